/* eval_recipe.c - evaluation recipes of the original, unchanged: every key is read, known to be of
 * no meaning here, or named in a warning; what cannot be done is refused. */
#include "app/eval.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKGROUND "Briefly describe the most useful background to solve the problem:\n\n{question}"

/* The recipe while it is read. */
typedef struct reading {
    eval_recipe *r;
    const json_value *model, *rosetta, *generation, *eval;
    bool first; /* of the file's systems */
    c2c_error *error;
    char where[600]; /* "PATH: eval" */
} reading;

/* ---- Keys -------------------------------------------------------------------------------------
 */

static const char *const model_keys[] = {"model_name",
                                         "rosetta_config",
                                         "generation_config",
                                         "context_model_path",
                                         "answer_model_path",
                                         "background_prompt",
                                         "rosetta_checkpoint_dir",
                                         "rosetta_subfolder",
                                         "is_do_alignment",
                                         "max_length",
                                         NULL};
static const char *const rosetta_keys[] = {"base_model",         "teacher_model",
                                           "checkpoints_dir",    "is_do_alignment",
                                           "alignment_strategy", "multi_source_fusion_mode",
                                           "include_response",   NULL};
static const char *const generation_keys[] = {
    "do_sample",          "max_new_tokens",   "temperature",       "top_p", "top_k", "min_p",
    "repetition_penalty", "presence_penalty", "frequency_penalty", NULL};
/* gpu_ids and what follows it are read by the original; here they change no answer. */
static const char *const eval_keys[] = {"dataset",
                                        "answer_method",
                                        "use_cot",
                                        "use_template",
                                        "sample_interval",
                                        "limit",
                                        "subjects",
                                        "response_text",
                                        "kv_cache_proportion",
                                        "kv_cache_order_mode",
                                        "communication_max_new_tokens",
                                        "response_max_new_tokens",
                                        "max_new_tokens",
                                        "checkpoints_dir",
                                        "data_path",
                                        "longbench_e",
                                        "gpu_ids",
                                        "math_grading_method",
                                        "debug_dump_bad_samples",
                                        "cuda_launch_blocking",
                                        "longbench_prompt_format_path",
                                        "longbench_maxlen_format_path",
                                        NULL};
static const char *const output_keys[] = {"output_dir", NULL};
static const char *const root_keys[] = {"model", "systems", "output", "eval", NULL};

#define MAX_WARNINGS 64 /* a file of nonsense has no more to say than that */

/* Once of a file: its systems share what stands beside them. */
static void warn_unknown(eval_recipe *r, const json_value *object, const char *section,
                         const char *const *known) {
    for (uint32_t i = 0; object && object->type == JSON_OBJECT && i < object->count; i++) {
        const json_member *member = &object->members[i];
        if (json_key_is_known(member, known) || r->warnings++ >= MAX_WARNINGS)
            continue;
        const char *meant = json_key_nearest(member, known);
        app_message("warning: %s: %s%sunknown key \"%.100s\", which is not used%s%s%s", r->path,
                    section, *section ? ": " : "", member->key, meant ? "; did you mean \"" : "",
                    meant ? meant : "", meant ? "\"?" : "");
    }
}

static const char *at(reading *g, const char *section) {
    snprintf(g->where, sizeof g->where, "%.500s: %s", g->r->path, section);
    return g->where;
}

static c2c_status wrong(reading *g, const char *key, const char *expected) {
    return error_set(g->error, C2C_STATUS_BAD_FILE, "%s: %s: expected %s", g->r->path, key,
                     expected);
}

/* ---- Systems ----------------------------------------------------------------------------------
 */

static c2c_status add_sharer(reading *g, const char *sharer, const char *fuser) {
    if (g->r->sharer_count == C2C_MAX_SHARERS)
        return wrong(g, "model.rosetta_config.teacher_model", "at most 31 models");
    g->r->sharers[g->r->sharer_count] = sharer;
    g->r->fusers[g->r->sharer_count++] = fuser;
    return C2C_STATUS_OK;
}

/* checkpoints_dir is one path, or a list with one for each sharer. */
static const char *checkpoint_at(const json_value *folders, uint32_t i) {
    if (folders && folders->type == JSON_STRING && i == 0)
        return folders->string;
    if (folders && folders->type == JSON_ARRAY && i < folders->count &&
        folders->items[i].type == JSON_STRING)
        return folders->items[i].string;
    return NULL;
}

static c2c_status read_sharers(reading *g) {
    static const char *const key = "model.rosetta_config.teacher_model";
    const json_value *teacher = json_get(g->rosetta, "teacher_model");
    const json_value *folders = json_get(g->rosetta, "checkpoints_dir");
    if (!folders)
        folders = json_get(g->eval, "checkpoints_dir");
    uint32_t count = teacher && teacher->type == JSON_OBJECT ? teacher->count : 1;
    if (!teacher || (teacher->type != JSON_STRING && teacher->type != JSON_OBJECT) || !count)
        return wrong(g, key, "a path, or an object of name: path");
    if (folders && folders->type == JSON_ARRAY && folders->count != count)
        return wrong(g, "model.rosetta_config.checkpoints_dir", "as many folders as sharers");
    for (uint32_t i = 0; i < count; i++) {
        const json_value *one = teacher->type == JSON_STRING ? teacher : &teacher->members[i].value;
        const char *fuser = checkpoint_at(folders, i);
        if (one->type != JSON_STRING)
            return wrong(g, key, "paths");
        if (!fuser)
            return wrong(g, "model.rosetta_config.checkpoints_dir",
                         "the fuser's folder, one for each sharer");
        c2c_status status = add_sharer(g, one->string, fuser);
        if (status)
            return status;
    }
    return C2C_STATUS_OK;
}

static c2c_status read_alignment(reading *g) {
    static const bool no = false;
    static const char *const first = "first", *const sequential = "sequential";
    const char *strategy, *mode;
    bool in_model = false;
    c2c_status status;
    if ((status = json_get_bool(g->model, "is_do_alignment", &no, &in_model, at(g, "model"),
                                g->error)) ||
        (status = json_get_bool(g->rosetta, "is_do_alignment", &in_model, &g->r->aligned,
                                at(g, "model.rosetta_config"), g->error)) ||
        (status = json_get_string(g->rosetta, "alignment_strategy", &first, &strategy,
                                  at(g, "model.rosetta_config"), g->error)) ||
        (status = json_get_bool(g->rosetta, "include_response", &no, &g->r->include_response,
                                at(g, "model.rosetta_config"), g->error)) ||
        (status = json_get_string(g->rosetta, "multi_source_fusion_mode", &sequential, &mode,
                                  at(g, "model.rosetta_config"), g->error)))
        return status;
    if (strcmp(strategy, "first") != 0 && strcmp(strategy, "longest") != 0)
        return wrong(g, "model.rosetta_config.alignment_strategy", "first or longest");
    if (strcmp(mode, "sequential") != 0 && strcmp(mode, "parallel") != 0)
        return wrong(g, "model.rosetta_config.multi_source_fusion_mode", "sequential or parallel");
    g->r->align =
        (c2c_align_options){.strategy = strcmp(strategy, "longest") == 0 ? C2C_ALIGN_LONGEST
                                                                         : C2C_ALIGN_FIRST,
                            .add_generation_prompt = true};
    g->r->fusion_mode = strcmp(mode, "parallel") == 0 ? C2C_FUSION_PARALLEL : C2C_FUSION_SEQUENTIAL;
    return C2C_STATUS_OK;
}

static c2c_status read_rosetta(reading *g) {
    if (!g->rosetta || g->rosetta->type != JSON_OBJECT)
        return wrong(g, "model.rosetta_config", "an object with base_model and teacher_model");
    warn_unknown(g->r, g->rosetta, "model.rosetta_config", rosetta_keys);
    c2c_status status = json_get_string(g->rosetta, "base_model", NULL, &g->r->receiver,
                                        at(g, "model.rosetta_config"), g->error);
    if (!status)
        status = read_sharers(g);
    return status ? status : read_alignment(g);
}

static char *join(reading *g, const char *a, const char *b) {
    char *path = path_join(a, b), *copy = path ? arena_copy(g->r->texts, path, strlen(path)) : NULL;
    free(path);
    return copy;
}

/* Its models are those of the training recipe that lies in the checkpoint folder. */
static c2c_status read_checkpoint(reading *g) {
    static const char *const final = "final";
    const char *folder, *inside;
    json_document *trained = NULL;
    c2c_status status = json_get_string(g->model, "rosetta_checkpoint_dir", NULL, &folder,
                                        at(g, "model"), g->error);
    if (!status)
        status = json_get_string(g->model, "rosetta_subfolder", &final, &inside, at(g, "model"),
                                 g->error);
    if (status)
        return status;
    char *config = join(g, folder, "config.json"), *fuser = join(g, folder, inside);
    if (!config || !fuser)
        return error_memory(g->error, strlen(folder), "a path");
    if ((status = json_open(&trained, config, g->error)))
        return status;
    const json_value *model = json_get(json_root(trained), "model");
    const char *receiver, *sharer;
    static const bool no = false;
    status = json_get_string(model, "base_model", NULL, &receiver, config, g->error);
    if (!status)
        status = json_get_string(model, "teacher_model", NULL, &sharer, config, g->error);
    if (!status)
        status = json_get_bool(model, "is_do_alignment", &no, &g->r->aligned, config, g->error);
    if (!status) {
        g->r->receiver = arena_copy(g->r->texts, receiver, strlen(receiver));
        sharer = arena_copy(g->r->texts, sharer, strlen(sharer));
        g->r->align = (c2c_align_options){.add_generation_prompt = true};
        status = g->r->receiver && sharer ? add_sharer(g, sharer, fuser)
                                          : error_memory(g->error, 64, "a recipe");
    }
    json_close(trained);
    return status;
}

static bool same_word(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if ((*a >= 'A' && *a <= 'Z' ? *a - 'A' + 'a' : *a) != *b)
            return false;
    return *a == *b;
}

static c2c_status read_two_stages(reading *g, bool rosetta) {
    static const char *const background = BACKGROUND;
    static const int64_t most = 1024;
    c2c_status status;
    if ((status = json_get_string(g->model, "context_model_path", NULL, &g->r->writer,
                                  at(g, "model"), g->error)) ||
        (status = json_get_string(g->model, "background_prompt", &background, &g->r->background,
                                  at(g, "model"), g->error)) ||
        (status = json_get_integer(g->eval, "communication_max_new_tokens", &most, 1, INT32_MAX,
                                   &g->r->background_tokens, at(g, "eval"), g->error)))
        return status;
    if (!strstr(g->r->background, "{question}"))
        return wrong(g, "model.background_prompt", "a text with {question} in it");
    return rosetta ? read_checkpoint(g)
                   : json_get_string(g->model, "answer_model_path", NULL, &g->r->receiver,
                                     at(g, "model"), g->error);
}

static c2c_status read_model(reading *g) {
    c2c_status status =
        json_get_string(g->model, "model_name", NULL, &g->r->model_name, at(g, "model"), g->error);
    if (status)
        return status;
    warn_unknown(g->r, g->model, "model", model_keys);
    if (same_word(g->r->model_name, "rosetta"))
        return read_rosetta(g);
    if (same_word(g->r->model_name, "two_stage"))
        return read_two_stages(g, false);
    if (same_word(g->r->model_name, "two_stage_rosetta"))
        return read_two_stages(g, true);
    if (strstr(g->r->model_name, "oracle") || strstr(g->r->model_name, "Oracle"))
        return error_set(g->error, C2C_STATUS_UNSUPPORTED,
                         "%s: model.model_name: oracle analysis is not part of this program",
                         g->r->path);
    g->r->receiver = g->r->model_name;
    return C2C_STATUS_OK;
}

/* ---- How answers are chosen
 * ---------------------------------------------------------------------- */

/* Without do_sample the original drops what shapes sampling; the two penalties that are its own
 * stay. */
static c2c_status read_generation(reading *g) {
    static const bool no = false;
    static const double zero = 0, one = 1;
    static const int64_t none = 0;
    bool sampled = false;
    double temperature, top_p, min_p, repetition, presence, frequency;
    c2c_sampling *s = &g->r->sampling;
    const json_value *from = g->generation;
    const char *where = at(g, "model.generation_config");
    c2c_status status;
    warn_unknown(g->r, from, "model.generation_config", generation_keys);
    if ((status = json_get_bool(from, "do_sample", &no, &sampled, where, g->error)) ||
        (status = json_get_real(from, "temperature", &one, &temperature, where, g->error)) ||
        (status = json_get_real(from, "top_p", &one, &top_p, where, g->error)) ||
        (status =
             json_get_integer(from, "top_k", &none, 0, INT32_MAX, &s->top_k, where, g->error)) ||
        (status = json_get_real(from, "min_p", &zero, &min_p, where, g->error)) ||
        (status = json_get_real(from, "repetition_penalty", &one, &repetition, where, g->error)) ||
        (status = json_get_real(from, "presence_penalty", &zero, &presence, where, g->error)) ||
        (status = json_get_real(from, "frequency_penalty", &zero, &frequency, where, g->error)) ||
        (status = json_get_integer(from, "max_new_tokens", &none, 1, INT32_MAX,
                                   &g->r->max_new_tokens, where, g->error)))
        return status;
    s->presence_penalty = (float)presence;
    s->frequency_penalty = (float)frequency;
    if (sampled) {
        s->temperature = (float)temperature;
        s->top_p = (float)top_p;
        s->min_p = (float)min_p;
        s->repetition_penalty = (float)repetition;
    } else {
        s->top_k = 0;
    }
    return C2C_STATUS_OK;
}

/* ---- What is asked
 * --------------------------------------------------------------------------------- */

/* A number, or [from, to] where null stands for the end. */
static c2c_status read_limit(reading *g) {
    const json_value *limit = json_get(g->eval, "limit");
    eval_choice *c = &g->r->choice;
    if (!limit || limit->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (limit->type == JSON_INTEGER) {
        c->limit = limit->integer;
        return C2C_STATUS_OK;
    }
    if (limit->type != JSON_ARRAY || limit->count != 2)
        return wrong(g, "eval.limit", "a number or [from, to]");
    for (uint32_t i = 0; i < 2; i++) {
        const json_value *one = &limit->items[i];
        if (one->type != JSON_NULL && (one->type != JSON_INTEGER || one->integer < 0))
            return wrong(g, "eval.limit", "[from, to] of numbers from 0 on, or null");
        *(i ? &c->to : &c->from) = one->type == JSON_INTEGER ? one->integer : i ? INT64_MAX : 0;
    }
    c->ranged = true;
    return C2C_STATUS_OK;
}

static c2c_status read_subjects(reading *g) {
    const json_value *subjects = json_get(g->eval, "subjects");
    if (!subjects || subjects->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (subjects->type != JSON_ARRAY || subjects->count > EVAL_MAX_SUBJECTS)
        return wrong(g, "eval.subjects", "a list of names");
    for (uint32_t i = 0; i < subjects->count; i++) {
        if (subjects->items[i].type != JSON_STRING)
            return wrong(g, "eval.subjects", "a list of names");
        g->r->subjects[i] = subjects->items[i].string;
    }
    g->r->choice.subjects = g->r->subjects;
    g->r->choice.subject_count = subjects->count;
    return C2C_STATUS_OK;
}

static c2c_status read_plan(reading *g) {
    static const double all = 1;
    static const char *const front = "front";
    const char *order;
    double share;
    c2c_status status =
        json_get_real(g->eval, "kv_cache_proportion", &all, &share, at(g, "eval"), g->error);
    if (!status)
        status = json_get_string(g->eval, "kv_cache_order_mode", &front, &order, at(g, "eval"),
                                 g->error);
    if (status)
        return status;
    if (!(share >= 0 && share <= 1))
        return wrong(g, "eval.kv_cache_proportion", "a share from 0 to 1");
    if (strcmp(order, "front") != 0 && strcmp(order, "back") != 0)
        return wrong(g, "eval.kv_cache_order_mode", "front or back");
    if (share < 1 && g->r->aligned)
        return error_set(g->error, C2C_STATUS_UNSUPPORTED,
                         "%s: eval.kv_cache_proportion: with is_do_alignment the messages' "
                         "contents are fused, and no share of them",
                         g->r->path);
    g->r->plan = (plan_spec){.shape = share >= 1                   ? PLAN_ALL
                                      : strcmp(order, "back") == 0 ? PLAN_BACK
                                                                   : PLAN_FRONT,
                             .share = share};
    return C2C_STATUS_OK;
}

static c2c_status read_dataset(reading *g) {
    static const char *const redux = "mmlu-redux";
    const char *name;
    buffer known = {0};
    c2c_status status = json_get_string(g->eval, "dataset", &redux, &name, at(g, "eval"), g->error);
    if (status || (g->r->benchmark = benchmark_find(name)))
        return status;
    for (size_t i = 0; benchmark_at(i); i++)
        buffer_printf(&known, "%s%s", i ? ", " : "", benchmark_at(i)->name);
    status = error_set(g->error, C2C_STATUS_UNSUPPORTED,
                       "%s: eval.dataset: expected one of %s, found \"%s\"", g->r->path,
                       known.data ? known.data : "the benchmarks", name);
    buffer_free(&known);
    return status;
}

static c2c_status read_eval(reading *g) {
    static const char *const generate = "generate", *const response = "The correct answer is",
                             *const none = NULL;
    static const bool no = false, yes = true;
    static const int64_t one = 1, zero = 0, long_enough = 32768;
    const char *method;
    eval_recipe *r = g->r;
    const char *where;
    c2c_status status = read_dataset(g);
    if (g->first)
        warn_unknown(r, g->eval, "eval", eval_keys);
    where = at(g, "eval");
    if (status ||
        (status = json_get_string(g->eval, "answer_method", &generate, &method, where, g->error)) ||
        (status = json_get_bool(g->eval, "use_cot", &no, &r->cot, where, g->error)) ||
        (status =
             json_get_bool(g->eval, "use_template", &yes, &r->use_template, where, g->error)) ||
        (status = json_get_string(g->eval, "response_text", &response, &r->response_text, where,
                                  g->error)) ||
        (status = json_get_string(g->eval, "data_path", &none, &r->data, where, g->error)) ||
        (status = json_get_integer(g->eval, "sample_interval", &one, 1, INT32_MAX,
                                   &r->choice.interval, where, g->error)) ||
        (status = json_get_integer(g->model, "max_length", &long_enough, 2, INT32_MAX,
                                   &r->max_length, at(g, "model"), g->error)) ||
        (status = read_limit(g)) || (status = read_subjects(g)) || (status = read_plan(g)))
        return status;
    if (strcmp(method, "generate") != 0 && strcmp(method, "logits") != 0)
        return wrong(g, "eval.answer_method", "generate or logits");
    r->logits = strcmp(method, "logits") == 0;
    if (r->logits && r->benchmark->kind != BENCH_CHOICE)
        return error_set(g->error, C2C_STATUS_UNSUPPORTED,
                         "%s: eval.answer_method: logits choose among options, which the questions "
                         "of %s do not have; use generate",
                         r->path, r->benchmark->name);
    /* Two stages count their tokens by stage; the original gives both 1024. */
    if (r->writer && !r->max_new_tokens)
        r->max_new_tokens = 1024;
    int64_t of_eval = 0;
    status = json_get_integer(g->eval, r->writer ? "response_max_new_tokens" : "max_new_tokens",
                              &zero, 1, INT32_MAX, &of_eval, at(g, "eval"), g->error);
    if (!status && of_eval && (r->writer || !r->max_new_tokens))
        r->max_new_tokens = of_eval;
    return status;
}

/* What reports call the system: its recipe's name, without folders and ending. */
static c2c_status name_system(reading *g) {
    const char *slash = strrchr(g->r->path, '/'), *name = slash ? slash + 1 : g->r->path;
    const char *dot = strrchr(name, '.');
    g->r->name =
        arena_copy(g->r->texts, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
    return g->r->name ? C2C_STATUS_OK : error_memory(g->error, strlen(name), "a recipe");
}

/* A recipe of ours may ask several systems the same: "systems" in place of "model" names them.
 * Messages name the one that they are about. */
static c2c_status choose_system(reading *g, const json_value *root, size_t index) {
    const json_value *systems = json_get(root, "systems");
    g->model = json_get(root, "model");
    g->r->system_count = 1;
    if (!systems)
        return name_system(g);
    if (g->model)
        return wrong(g, "systems", "none beside \"model\"");
    if (systems->type != JSON_OBJECT || !systems->count)
        return wrong(g, "systems", "an object of name: model");
    C2C_ASSERT(index < systems->count);
    const char *name = systems->members[index].key;
    /* Files are called by it. */
    if (!*name || *name == '.' || strchr(name, '/'))
        return wrong(g, "systems", "names without a slash that begin with no dot");
    buffer path = {0};
    buffer_printf(&path, "%s: %s", g->r->path, name);
    if (!path.failed)
        g->r->path = arena_copy(g->r->texts, path.data, path.length);
    bool failed = path.failed || !g->r->path;
    buffer_free(&path);
    g->model = &systems->members[index].value;
    g->r->name = name;
    g->r->system_count = systems->count;
    return failed ? error_memory(g->error, strlen(name), "a recipe") : C2C_STATUS_OK;
}

/* A training recipe has no "eval"; that of the oracle analysis is one, and is known by its name. */
static c2c_status check_kind(const eval_recipe *r, const json_value *root, c2c_error *error) {
    const char *slash = strrchr(r->path, '/'), *name = slash ? slash + 1 : r->path;
    if (json_get(root, "eval") && (json_get(root, "model") || json_get(root, "systems")))
        return C2C_STATUS_OK;
    if (strstr(name, "oracle"))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: oracle analysis is not part of this program", r->path);
    return error_set(error, C2C_STATUS_BAD_FILE,
                     "%s: expected an evaluation recipe with \"model\", \"output\" and \"eval\", "
                     "found %s",
                     r->path, json_get(root, "training") ? "a training recipe" : "none of that");
}

c2c_status eval_recipe_open(eval_recipe *recipe, const char *path, size_t index, c2c_error *error) {
    *recipe = (eval_recipe){.path = path, .texts = arena_new(1024)};
    if (!recipe->texts)
        return error_memory(error, 1024, "a recipe");
    c2c_status status = document_open(&recipe->document, path, error);
    if (!status) {
        const json_value *root = json_root(recipe->document);
        static const char *const here = NULL;
        reading g = {.r = recipe, .eval = json_get(root, "eval"), .first = !index, .error = error};
        status = check_kind(recipe, root, error);
        if (!status && !index) {
            warn_unknown(recipe, root, "", root_keys);
            warn_unknown(recipe, json_get(root, "output"), "output", output_keys);
        }
        if (!status)
            status = choose_system(&g, root, index);
        static const json_value empty = {.type = JSON_OBJECT};
        const json_value *generation = json_get(g.model, "generation_config");
        g.rosetta = json_get(g.model, "rosetta_config");
        g.generation = generation && generation->type != JSON_NULL ? generation : &empty;
        if (!status)
            status = read_model(&g);
        if (!status)
            status = read_generation(&g);
        if (!status)
            status = read_eval(&g);
        if (!status)
            status = json_get_string(json_get(root, "output"), "output_dir", &here, &recipe->output,
                                     at(&g, "output"), error);
    }
    if (status)
        eval_recipe_close(recipe);
    return status;
}

void eval_recipe_close(eval_recipe *recipe) {
    plan_spec_deinit(&recipe->plan);
    json_close(recipe->document);
    arena_free(recipe->texts);
    *recipe = (eval_recipe){0};
}
