/* case_align.c - chats aligned for two tokenizers: alignment_expected.json, and the messages behind
 * the rows of aligned/. Where the original failed, the rules of alignment are checked instead. */
#include "golden.h"
#include "support/align_rules.h"

/* What a row asks, and what must come out; positions of padding are marked with true. */
typedef struct align_job {
    char *receiver, *sharer;
    c2c_message *messages;
    size_t message_count;
    c2c_align_options options;
    const int32_t *ids[2];  /* [count] the receiver's and the sharer's; NULL: not recorded */
    const bool *padding[2]; /* [count] */
    const bool *content;    /* [count] */
    int64_t count;
} align_job;

static void compare_row(golden_case *c, const char *who, const int32_t *got, const int32_t *ids,
                        const bool *padding, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int32_t expected = padding[i] ? C2C_PADDING : ids[i];
        if (got[i] != expected) {
            case_fail(c, "%s: position %lld: expected %d, got %d", who, (long long)i, (int)expected,
                      (int)got[i]);
            return;
        }
    }
}

static void compare_alignment(golden_case *c, const align_job *job, const c2c_alignment *a) {
    if (a->token_count != job->count) {
        case_fail(c, "expected %lld positions, got %lld", (long long)job->count,
                  (long long)a->token_count);
        return;
    }
    compare_row(c, "receiver", a->ids, job->ids[0], job->padding[0], job->count);
    compare_row(c, "sharer", a->sharer_ids[0], job->ids[1], job->padding[1], job->count);
    int64_t at = 0;
    for (size_t s = 0; s < a->section_count; s++)
        for (int64_t i = 0; i < a->sections[s].length; i++, at++)
            if ((a->sections[s].mask > 0) != job->content[at]) {
                case_fail(c, "position %lld: expected %s", (long long)at,
                          job->content[at] ? "a content" : "template");
                return;
            }
}

static void align_job_run(golden_case *c, const align_job *job) {
    c2c_engine *engine = NULL;
    c2c_model *receiver = NULL, *sharer = NULL;
    c2c_alignment *a = NULL;
    c2c_error error = {0};
    c2c_status status = c2c_engine_open(&engine, &(c2c_engine_options){.threads = 1}, &error);
    if (!status && (status = c2c_model_open(&receiver, engine, job->receiver, NULL, &error)) == 0)
        status = c2c_model_open(&sharer, engine, job->sharer, NULL, &error);
    const c2c_model *sharers[] = {sharer};
    if (!status)
        status = c2c_align_chat(&a, receiver, sharers, 1, job->messages, job->message_count,
                                &job->options, &error);
    if (status) {
        case_status(c, status, "alignment", &error);
    } else {
        const char *broken = align_rules_broken(a, receiver, sharers, job->messages,
                                                job->message_count, &job->options);
        if (broken)
            case_fail(c, "%s", broken);
        if (job->ids[0])
            compare_alignment(c, job, a);
    }
    c2c_alignment_free(a);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static const char *text_of(golden_case *c, const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    if (value && value->type == JSON_STRING)
        return value->string;
    case_fail(c, "%s: expected a text", key);
    return "";
}

static bool flag_of(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value && value->type == JSON_BOOL && value->boolean;
}

static void strategy_read(golden_case *c, const json_value *object, align_job *job) {
    const char *strategy = text_of(c, object, "strategy");
    if (strcmp(strategy, "longest") == 0)
        job->options.strategy = C2C_ALIGN_LONGEST;
    else if (strcmp(strategy, "first") != 0)
        case_unsupported(c, "alignment strategy", strategy);
}

static void messages_read(golden_case *c, const json_value *object, align_job *job) {
    const json_value *list = json_get(object, "messages");
    if (!list || list->type != JSON_ARRAY) {
        case_fail(c, "messages: expected a list");
        return;
    }
    job->messages = memory_get(list->count + 1, sizeof *job->messages);
    for (uint32_t i = 0; i < list->count; i++)
        job->messages[i] = (c2c_message){text_of(c, &list->items[i], "role"),
                                         text_of(c, &list->items[i], "content")};
    job->message_count = list->count;
}

/* A list of `count` integers or booleans; NULL after case_fail. */
static const json_value *list_of(golden_case *c, const json_value *object, const char *key,
                                 json_type type, int64_t *count) {
    const json_value *list = json_get(object, key);
    if (!list || list->type != JSON_ARRAY || (*count >= 0 && list->count != *count)) {
        case_fail(c, "%s: expected a list of one length with the others", key);
        return NULL;
    }
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].type != type) {
            case_fail(c, "%s[%u]: expected %s", key, i, json_type_name(type));
            return NULL;
        }
    *count = list->count;
    return list;
}

static int32_t *ids_of(golden_case *c, const json_value *object, const char *key, int64_t *count) {
    const json_value *list = list_of(c, object, key, JSON_INTEGER, count);
    int32_t *ids = memory_get(list ? list->count + 1 : 1, sizeof *ids);
    for (uint32_t i = 0; list && i < list->count; i++)
        ids[i] = (int32_t)list->items[i].integer;
    return ids;
}

static bool *flags_of(golden_case *c, const json_value *object, const char *key, int64_t *count) {
    const json_value *list = list_of(c, object, key, JSON_BOOL, count);
    bool *flags = memory_get(list ? list->count + 1 : 1, sizeof *flags);
    for (uint32_t i = 0; list && i < list->count; i++)
        flags[i] = list->items[i].boolean;
    return flags;
}

static void align_job_free(align_job *job) {
    for (int i = 0; i < 2; i++) {
        free((void *)job->ids[i]);
        free((void *)job->padding[i]);
    }
    free((void *)job->content);
    free(job->messages);
    free(job->receiver);
    free(job->sharer);
}

/* ---- alignment_expected.json -------------------------------------------------------------- */

static void expected_row_run(golden_run *run, const char *models, const json_value *row,
                             uint32_t index) {
    golden_case c;
    align_job job = {.count = -1};
    case_begin(&c, run, "alignment_expected.json[%u]", index);
    job.receiver = path_make(models, text_of(&c, row, "slm"));
    job.sharer = path_make(models, text_of(&c, row, "llm"));
    job.options.add_generation_prompt = flag_of(row, "add_generation_prompt");
    job.options.open_end = flag_of(row, "remove_last_suffix");
    strategy_read(&c, row, &job);
    messages_read(&c, row, &job);
    if (!json_get(row, "error")) {
        static const char *const keys[2][2] = {{"slm_ids_padded", "slm_padding_mask"},
                                               {"llm_ids_padded", "llm_padding_mask"}};
        for (int i = 0; i < 2; i++) {
            job.ids[i] = ids_of(&c, row, keys[i][0], &job.count);
            job.padding[i] = flags_of(&c, row, keys[i][1], &job.count);
        }
        job.content = flags_of(&c, row, "message_mask", &job.count);
    }
    if (c.failures == 0 && !c.skipped)
        align_job_run(&c, &job);
    align_job_free(&job);
    case_end(&c);
}

void alignments_run(golden_run *run, const char *path) {
    json_document *document = NULL;
    c2c_error error = {0};
    char *models = path_make(run->folder, "models");
    c2c_status status = json_open(&document, path, &error);
    const json_value *root = document ? json_root(document) : NULL;
    if (status || root->type != JSON_ARRAY || root->count == 0) {
        golden_case c;
        case_begin(&c, run, "alignment_expected.json");
        case_fail(&c, "%s", status ? error.message : "expected a list of rows");
        case_end(&c);
    }
    for (uint32_t i = 0; root && root->type == JSON_ARRAY && i < root->count; i++)
        expected_row_run(run, models, &root->items[i], i);
    json_close(document);
    free(models);
}

/* ---- aligned/NAME: case.json to the rows of expected.safetensors -------------------------- */

static bool *masks_read(golden_case *c, const tensor_file *file, const char *name, int64_t count) {
    int64_t found = 0;
    int32_t *mask = expected_ids(c, file, name, &found);
    bool *padding = memory_get((size_t)count + 1, sizeof *padding);
    if (mask && found != count)
        case_fail(c, "%s: expected %lld numbers, found %lld", name, (long long)count,
                  (long long)found);
    for (int64_t i = 0; mask && found == count && i < count; i++)
        padding[i] = mask[i] == 0;
    free(mask);
    return padding;
}

static void recorded_rows_read(golden_case *c, const tensor_file *file, align_job *job) {
    int64_t sharer_count = 0, section_numbers = 0;
    job->ids[0] = expected_ids(c, file, "input_ids", &job->count);
    job->ids[1] = expected_ids(c, file, "sharer_input_ids", &sharer_count);
    int32_t *sections = expected_ids(c, file, "sections", &section_numbers);
    if (c->failures == 0 && sharer_count != job->count)
        case_fail(c, "sharer_input_ids: expected %lld ids", (long long)job->count);
    if (c->failures)
        job->count = 0;
    job->padding[0] = masks_read(c, file, "attention_mask", job->count);
    job->padding[1] = masks_read(c, file, "sharer_attention_mask", job->count);
    bool *content = memory_get((size_t)job->count + 1, sizeof *content);
    int64_t at = 0;
    for (int64_t s = 0; sections && s + 1 < section_numbers; s += 2)
        for (int32_t i = 0; i < sections[s] && at < job->count; i++)
            content[at++] = sections[s + 1] > 0;
    job->content = content;
    free(sections);
}

void aligned_messages_run(golden_run *run, const char *folder, const char *name) {
    golden_case c;
    align_job job = {.options = {.add_generation_prompt = true}};
    char *case_path = path_make(folder, "case.json");
    char *expected = path_make(folder, "expected.safetensors");
    char *models = path_make(run->folder, "models");
    json_document *document = NULL;
    tensor_file *file = NULL;
    c2c_error error = {0};
    case_begin(&c, run, "aligned/%s/alignment", name);
    if (json_open(&document, case_path, &error) || tensor_file_open(&file, expected, &error)) {
        case_fail(&c, "%s", error.message);
    } else {
        const json_value *root = json_root(document);
        job.receiver = path_make(models, text_of(&c, root, "receiver"));
        job.sharer = path_make(models, text_of(&c, root, "sharer"));
        strategy_read(&c, root, &job);
        messages_read(&c, root, &job);
        recorded_rows_read(&c, file, &job);
        if (c.failures == 0 && !c.skipped)
            align_job_run(&c, &job);
    }
    case_end(&c);
    align_job_free(&job);
    json_close(document);
    tensor_file_close(file);
    free(models);
    free(case_path);
    free(expected);
}
