/* case_numbers.c - models and fusers: logits, caches and ids of expected*.safetensors against this
 * library's, in f32, and again in every way that must give the same bits. */
#include "golden.h"

/* ---- What the file asks ------------------------------------------------------------------- */

/* A job with the memory behind it. */
typedef struct recorded_job {
    prompt_job job;
    int32_t *ids, *decode_ids, *greedy;
    int64_t greedy_count;
    c2c_section *sections;
} recorded_job;

static void recorded_job_free(recorded_job *r) {
    free(r->ids);
    free(r->decode_ids);
    free(r->greedy);
    free(r->sections);
    *r = (recorded_job){0};
}

/* sections [[length, mask], ...], or for a model alone one section of all tokens. */
static bool sections_read(golden_case *c, const tensor_file *file, bool fused, recorded_job *r) {
    int64_t count = 2, total = 0, tokens = r->job.plan.token_count;
    int32_t *pairs = NULL;
    if (fused && !(pairs = expected_ids(c, file, "sections", &count)))
        return false;
    r->sections = memory_get((size_t)count / 2, sizeof *r->sections);
    r->sections[0] = (c2c_section){tokens, -1};
    for (int64_t i = 0; pairs && i < count / 2; i++)
        r->sections[i] = (c2c_section){pairs[2 * i], pairs[2 * i + 1]};
    for (int64_t i = 0; i < count / 2; i++)
        total += r->sections[i].length;
    free(pairs);
    r->job.plan.sections = r->sections;
    r->job.plan.section_count = (size_t)count / 2;
    r->job.last_rows = count ? r->sections[count / 2 - 1].length : 0;
    if (count % 2 != 0 || total != tokens || r->job.last_rows < 1)
        case_fail(c, "sections: %lld tokens in sections, %lld in input_ids", (long long)total,
                  (long long)tokens);
    return c->failures == 0;
}

static bool recorded_job_read(golden_case *c, const tensor_file *file, bool fused,
                              recorded_job *r) {
    r->ids = expected_ids(c, file, "input_ids", &r->job.plan.token_count);
    r->decode_ids = expected_ids(c, file, "decode_ids", &r->job.decode_count);
    r->greedy = expected_ids(c, file, "greedy_ids", &r->greedy_count);
    if (!r->ids || !r->decode_ids || !r->greedy)
        return false;
    r->job.plan.ids = r->ids;
    r->job.decode_ids = r->decode_ids;
    r->job.greedy_limit = r->greedy_count;
    return sections_read(c, file, fused, r);
}

/* All but the last token fused with the only sharer: what a plan without sections means. */
static bool sections_are_usual(const recorded_job *r) {
    return r->job.plan.section_count == 2 && r->sections[0].mask == 1 && r->sections[1].length == 1;
}

/* ---- Against the file --------------------------------------------------------------------- */

static void caches_compare(golden_case *c, const tensor_file *file, const c2c_model *receiver,
                           const prompt_numbers *n) {
    c2c_model_info info;
    c2c_model_describe(receiver, &info);
    const int64_t shape[4] = {1, info.kv_heads, n->tokens, info.head_dim};
    for (int layer = 0; layer < n->layers; layer++) {
        const float *rows[] = {n->keys, n->values};
        for (int i = 0; i < 2; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%d", i ? "value" : "key", layer);
            const tensor *t = expected_f32(c, file, name, 4, shape);
            if (t)
                compare_cache(c, name, t, rows[i] + layer * n->tokens * n->features);
        }
    }
}

/* pad_token_id of the folder's generation_config.json or config.json; -1 where it has none. */
static int64_t pad_id_read(const char *folder) {
    const char *names[] = {"generation_config.json", "config.json"};
    int64_t id = -1;
    for (int i = 0; i < 2 && id < 0; i++) {
        char *path = path_make(folder, names[i]);
        json_document *document = NULL;
        if (json_open(&document, path, NULL) == C2C_STATUS_OK) {
            const json_value *value = json_get(json_root(document), "pad_token_id");
            if (value && value->type == JSON_INTEGER)
                id = value->integer;
        }
        json_close(document);
        free(path);
    }
    return id;
}

/* The original fills its row with pads after the first end-of-sequence id; we stop there. */
static void greedy_compare(golden_case *c, const c2c_model *receiver, const char *folder,
                           const recorded_job *r, const prompt_numbers *n) {
    int64_t used = 0;
    while (used < r->greedy_count && !model_config_is_eos(&receiver->config, r->greedy[used]))
        used++;
    bool stops = used < r->greedy_count;
    used += stops;
    compare_ids(c, "greedy_ids", r->greedy, (size_t)used, n->greedy, (size_t)n->greedy_count);
    if (n->finish != (stops ? C2C_FINISH_STOP : C2C_FINISH_LENGTH))
        case_fail(c, "greedy_ids: finish reason %d", (int)n->finish);
    int64_t pad = pad_id_read(folder);
    for (int64_t i = used; i < r->greedy_count; i++) {
        int32_t id = r->greedy[i];
        if (pad >= 0 ? id != pad : !model_config_is_eos(&receiver->config, id))
            case_fail(c, "greedy_ids[%lld]: the original goes on with %d after our end",
                      (long long)i, (int)id);
    }
}

static void numbers_compare(golden_case *c, const tensor_file *file, const c2c_model *receiver,
                            const prompt_numbers *n) {
    const int64_t logits[3] = {1, n->last_rows, n->vocabulary};
    const int64_t decode[3] = {1, n->decode_count, n->vocabulary};
    const tensor *t = expected_f32(c, file, "logits", 3, logits);
    if (t)
        compare_rows(c, "logits", t, n->logits);
    caches_compare(c, file, receiver, n);
    t = expected_f32(c, file, "decode_logits", 3, decode);
    if (t)
        compare_rows(c, "decode_logits", t, n->decode_logits);
}

/* The receiver alone on the same ids; the file has the last token's logits. */
static void receiver_only_compare(golden_case *c, const tensor_file *file, const c2c_model *model,
                                  const recorded_job *r) {
    prompt_numbers n;
    c2c_error error = {0};
    const c2c_section all = {r->job.plan.token_count, -1};
    prompt_job job = {.plan = r->job.plan, .last_rows = all.length};
    job.plan.sections = &all;
    job.plan.section_count = 1;
    c2c_status status = prompt_numbers_make(&n, model, NULL, 0, &job, 0, &error);
    if (status != C2C_STATUS_OK) {
        case_fail(c, "receiver alone: %s", error.message);
        return;
    }
    const int64_t shape[2] = {1, n.vocabulary};
    const tensor *t = expected_f32(c, file, "receiver_only_last_logits", 2, shape);
    if (t)
        compare_rows(c, "receiver_only_last_logits", t,
                     n.logits + (n.last_rows - 1) * n.vocabulary);
    prompt_numbers_free(&n);
}

/* A tensor that nothing here compares would otherwise pass whatever it holds. */
static void names_check(golden_case *c, const tensor_file *file, int layers, bool fused) {
    static const char *const known[] = {"input_ids",
                                        "logits",
                                        "decode_ids",
                                        "decode_logits",
                                        "greedy_ids",
                                        "sections",
                                        "receiver_only_last_logits"};
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const char *name = tensor_file_at(file, i)->name;
        bool found = false;
        for (size_t k = 0; k < (fused ? 7 : 5); k++)
            found = found || strcmp(name, known[k]) == 0;
        for (int layer = 0; !found && layer < layers; layer++) {
            char key[32], value[32];
            snprintf(key, sizeof key, "key.%d", layer);
            snprintf(value, sizeof value, "value.%d", layer);
            found = strcmp(name, key) == 0 || strcmp(name, value) == 0;
        }
        if (!found)
            case_fail(c, "%s: a tensor that this runner does not compare", name);
    }
}

/* ---- In every way ------------------------------------------------------------------------- */

/* The files of one case; sharer and fuser are NULL for a model alone. */
typedef struct case_paths {
    const char *receiver, *sharer, *fuser;
} case_paths;

static c2c_status world_numbers(prompt_numbers *n, const world *w, const prompt_job *job, int chunk,
                                c2c_error *error) {
    const c2c_pair pair = {w->sharer, w->fuser};
    return prompt_numbers_make(n, w->receiver, &pair, w->fuser ? 1 : 0, job, chunk, error);
}

/* Opens everything again in another way and expects the same bits. */
static void way_run(golden_case *c, const way *how, const case_paths *paths, const prompt_job *job,
                    const model_config *config, const prompt_numbers *first) {
    world w;
    prompt_numbers again;
    c2c_error error = {0};
    char kind[KIND_SIZE];
    c2c_status status =
        world_open(&w, how, paths->receiver, paths->sharer, paths->fuser, kind, &error);
    if (status != C2C_STATUS_OK) {
        case_fail(c, "%s: %s", how->name, error.message);
        return;
    }
    const model_config *other = &w.receiver->config;
    if (other->context != config->context || other->eos_count != config->eos_count ||
        memcmp(other->eos_ids, config->eos_ids,
               (size_t)config->eos_count * sizeof *config->eos_ids) != 0)
        case_fail(c, "%s: another context length or other eos ids", how->name);
    status = world_numbers(&again, &w, job, how->chunk, &error);
    if (status == C2C_STATUS_OK) {
        compare_numbers(c, how->name, first, &again);
        prompt_numbers_free(&again);
    } else {
        case_fail(c, "%s: %s", how->name, error.message);
    }
    world_close(&w);
}

static void ways_run(golden_case *c, const case_paths *paths, const recorded_job *r,
                     const model_config *config, const prompt_numbers *first) {
    static const way ways[] = {
        {.name = "in chunks of 7 tokens", .threads = 1, .chunk = 7},
        {.name = "with 3 threads", .threads = 3},
        {.name = "on the queue backend", .queue = true, .threads = 2},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        way_run(c, &ways[i], paths, &r->job, config, first);
    if (paths->fuser && sections_are_usual(r)) {
        prompt_job job = r->job;
        job.plan.sections = NULL;
        job.plan.section_count = 0;
        const way how = {.name = "with the usual plan", .threads = 1};
        way_run(c, &how, paths, &job, config, first);
    }
    /* The same model as another release of transformers writes it: config.transformers5.json. */
    size_t count = 0;
    char **names = names_list(paths->receiver, &count);
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], "config.", 7) == 0 && strcmp(names[i], "config.json") != 0 &&
            text_ends(names[i], ".json")) {
            const way how = {.name = names[i], .threads = 1, .config = names[i]};
            way_run(c, &how, paths, &r->job, config, first);
        }
    names_free(names, count);
}

static void numbers_case_run(golden_case *c, const case_paths *paths, const char *expected) {
    world w = {0};
    tensor_file *file = NULL;
    recorded_job r = {0};
    prompt_numbers n = {0};
    c2c_error error = {0};
    char kind[KIND_SIZE];
    const way how = {.queue = c->run->queue, .threads = c->run->threads};
    c2c_status status =
        world_open(&w, &how, paths->receiver, paths->sharer, paths->fuser, kind, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, kind, &error);
        return;
    }
    status = tensor_file_open(&file, expected, &error);
    if (status != C2C_STATUS_OK) {
        case_fail(c, "%s", error.message);
        goto done;
    }
    names_check(c, file, w.receiver->config.layers, paths->fuser != NULL);
    if (!recorded_job_read(c, file, paths->fuser != NULL, &r))
        goto done;
    status = world_numbers(&n, &w, &r.job, 0, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, kind, &error);
        goto done;
    }
    numbers_compare(c, file, w.receiver, &n);
    greedy_compare(c, w.receiver, paths->receiver, &r, &n);
    if (paths->fuser && tensor_file_find(file, "receiver_only_last_logits"))
        receiver_only_compare(c, file, w.receiver, &r);
    ways_run(c, paths, &r, &w.receiver->config, &n);
done:
    prompt_numbers_free(&n);
    recorded_job_free(&r);
    tensor_file_close(file);
    world_close(&w);
}

/* ---- Folders ------------------------------------------------------------------------------ */

/* "expected_front_half.safetensors" gives "expected_front_half"; "" for any other file. */
static void expected_name(const char *file, char name[256]) {
    name[0] = '\0';
    if (strncmp(file, "expected", 8) == 0 && text_ends(file, ".safetensors"))
        snprintf(name, 256, "%.*s", (int)(strlen(file) - strlen(".safetensors")), file);
}

static void model_run(golden_run *run, const char *path, const char *model) {
    size_t count = 0;
    char **names = names_list(path, &count), base[256];
    for (size_t i = 0; i < count; i++) {
        golden_case c;
        char *file = path_make(path, names[i]), name[300];
        expected_name(names[i], base);
        snprintf(name, sizeof name, "models/%s", model);
        if (strcmp(names[i], "tokenizer_expected.json") == 0) {
            text_cases_run(run, name, file, path);
        } else if (base[0]) {
            case_begin(&c, run, "%s/%s", name, base);
            numbers_case_run(&c, &(case_paths){.receiver = path}, file);
            case_end(&c);
        } else if (strstr(names[i], "expected")) {
            case_begin(&c, run, "%s/%s", name, names[i]);
            case_unsupported(&c, "unknown file", "");
            case_end(&c);
        }
        free(file);
    }
    names_free(names, count);
}

void models_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        model_run(run, path, names[i]);
        free(path);
    }
    names_free(names, count);
}

/* The fuser's recipe names its models, which are folders in DIR/models. */
static bool fuser_models_find(golden_case *c, const char *fuser, char **receiver, char **sharer) {
    char *config = path_make(fuser, "config.json"), *models = path_make(c->run->folder, "models");
    char names[2][256];
    json_text_read(config, "model.base_model", names[0], sizeof names[0]);
    json_text_read(config, "model.teacher_model", names[1], sizeof names[1]);
    bool found = names[0][0] && names[1][0];
    if (found) {
        *receiver = path_make(models, names[0]);
        *sharer = path_make(models, names[1]);
    } else {
        case_fail(c, "%s: expected strings model.base_model and model.teacher_model", config);
    }
    free(config);
    free(models);
    return found;
}

static void fuser_case_run(golden_run *run, const char *path, const char *fuser, const char *file) {
    golden_case c;
    char base[256], *receiver = NULL, *sharer = NULL;
    expected_name(file, base);
    case_begin(&c, run, "fusers/%s/%s", fuser, base);
    if (strncmp(base, "expected_include_response", 25) == 0) {
        case_unsupported(&c, "include_response", "");
    } else if (fuser_models_find(&c, path, &receiver, &sharer)) {
        char *expected = path_make(path, file);
        numbers_case_run(&c, &(case_paths){receiver, sharer, path}, expected);
        free(expected);
    }
    free(receiver);
    free(sharer);
    case_end(&c);
}

void fusers_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count), base[256];
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]), *readme = path_make(path, "README.json");
        bool several = file_exists(readme); /* names a receiver, sharers and fusers */
        size_t file_count = 0, cases = 0;
        char **files = names_list(path, &file_count);
        for (size_t k = 0; k < file_count; k++) {
            golden_case c;
            expected_name(files[k], base);
            if (!base[0])
                continue;
            cases++;
            if (!several) {
                fuser_case_run(run, path, names[i], files[k]);
                continue;
            }
            case_begin(&c, run, "fusers/%s/%s", names[i], base);
            case_unsupported(&c, "several sharers", "");
            case_end(&c);
        }
        if (cases == 0) {
            golden_case c;
            case_begin(&c, run, "fusers/%s", names[i]);
            case_unsupported(&c, "a fuser without expected*.safetensors", "");
            case_end(&c);
        }
        names_free(files, file_count);
        free(readme);
        free(path);
    }
    names_free(names, count);
}
