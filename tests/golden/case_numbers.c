/* case_numbers.c - models and fusers: logits, caches and ids of expected*.safetensors against this
 * library's, in f32, and again in every way that must give the same bits. */
#include "golden.h"

/* ---- Against the file --------------------------------------------------------------------- */

static void caches_compare(golden_case *c, const tensor_file *file, const c2c_model *receiver,
                           const recorded_job *r, const prompt_numbers *n) {
    c2c_model_info info;
    c2c_model_describe(receiver, &info);
    const int64_t shape[4] = {1, info.kv_heads, r->job.plan.token_count, info.head_dim};
    for (int layer = 0; layer < n->layers; layer++) {
        const float *rows[] = {n->keys, n->values};
        for (int i = 0; i < 2; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%d", i ? "value" : "key", layer);
            const tensor *t = expected_f32(c, file, name, 4, shape);
            if (t)
                compare_cache(c, name, t, rows[i] + layer * n->rows * n->features, r->padding);
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
                            const recorded_job *r, const prompt_numbers *n) {
    const int64_t logits[3] = {1, n->last_rows, n->vocabulary};
    const int64_t decode[3] = {1, n->decode_count, n->vocabulary};
    const bool *padding = r->padding ? r->padding + r->job.plan.token_count - n->last_rows : NULL;
    const tensor *t = expected_f32(c, file, "logits", 3, logits);
    if (t)
        compare_rows(c, "logits", t, n->logits, padding);
    caches_compare(c, file, receiver, r, n);
    t = n->decode_count > 0 ? expected_f32(c, file, "decode_logits", 3, decode) : NULL;
    if (t)
        compare_rows(c, "decode_logits", t, n->decode_logits, NULL);
}

/* The receiver alone on the same ids; the file has the last token's logits. */
static void receiver_only_compare(golden_case *c, const tensor_file *file, const c2c_model *model,
                                  const recorded_job *r) {
    prompt_numbers n;
    c2c_error error = {0};
    const c2c_section all = {r->job.plan.token_count, -1};
    prompt_job job = {.plan = r->job.plan, .last_rows = all.length, .rows = r->job.rows};
    job.plan.sections = &all;
    job.plan.section_count = 1;
    c2c_status status =
        prompt_numbers_make(&n, &(prompt_models){.receiver = model}, &job, 0, &error);
    if (status != C2C_STATUS_OK) {
        case_fail(c, "receiver alone: %s", error.message);
        return;
    }
    const int64_t shape[2] = {1, n.vocabulary};
    const tensor *t = expected_f32(c, file, "receiver_only_last_logits", 2, shape);
    if (t)
        compare_rows(c, "receiver_only_last_logits", t, n.logits + (n.last_rows - 1) * n.vocabulary,
                     NULL);
    prompt_numbers_free(&n);
}

/* ---- In every way ------------------------------------------------------------------------- */

static c2c_status world_numbers(prompt_numbers *n, const world *w, const prompt_job *job, int chunk,
                                c2c_error *error) {
    const prompt_models models = {w->receiver, w->pairs, w->count};
    return prompt_numbers_make(n, &models, job, chunk, error);
}

/* Opens everything again in another way and expects the same bits. */
static void way_run(golden_case *c, const way *how, const case_paths *paths, const prompt_job *job,
                    const model_config *config, const prompt_numbers *first) {
    world w;
    prompt_numbers again;
    c2c_error error = {0};
    char kind[KIND_SIZE];
    c2c_status status = world_open(&w, how, paths, kind, &error);
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
    if (paths->count > 0 && recorded_job_is_usual(r, paths->count)) {
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

void numbers_case_run(golden_case *c, const numbers_case *numbers, const char *expected) {
    const case_paths *paths = &numbers->paths;
    world w = {0};
    tensor_file *file = NULL;
    recorded_job r = {.job = {.fusion_mode = numbers->fusion_mode,
                              .include_response = numbers->include_response}};
    prompt_numbers n = {0};
    c2c_error error = {0};
    char kind[KIND_SIZE];
    const way how = {.queue = c->run->queue, .threads = c->run->threads};
    c2c_status status = world_open(&w, &how, paths, kind, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, kind, &error);
        return;
    }
    status = tensor_file_open(&file, expected, &error);
    if (status != C2C_STATUS_OK) {
        case_fail(c, "%s", error.message);
        goto done;
    }
    recorded_names_check(c, file, w.receiver->config.layers, w.count, numbers->aligned);
    if (!recorded_job_read(c, file, w.count, numbers->aligned, &r))
        goto done;
    status = world_numbers(&n, &w, &r.job, 0, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, "session", &error);
        goto done;
    }
    numbers_compare(c, file, w.receiver, &r, &n);
    greedy_compare(c, w.receiver, paths->receiver, &r, &n);
    if (tensor_file_find(file, "receiver_only_last_logits"))
        receiver_only_compare(c, file, w.receiver, &r);
    ways_run(c, paths, &r, &w.receiver->config, &n);
done:
    prompt_numbers_free(&n);
    recorded_job_free(&r);
    tensor_file_close(file);
    world_close(&w);
}
