/* bench_longbench.c - LongBench: 21 tasks over long texts, with their answer lengths and
 * metrics; the public prompts are train/longbench_tasks.c. Of each task the rows are asked that the
 * original keeps for evaluation: those whose SHA-256 of "_id" is 1 modulo 4 (training keeps the
 * others). */
#include "eval/bench.h"

#include "train/data.h"

/* For LONG_NONE the public metric cuts Chinese into words, which nothing here does: of those tasks
 * only the predictions are written. */
static const long_task tasks[] = {
    {"narrativeqa", LONG_F1, 128, false},
    {"qasper", LONG_F1, 128, false},
    {"multifieldqa_en", LONG_F1, 64, false},
    {"multifieldqa_zh", LONG_NONE, 64, false},
    {"hotpotqa", LONG_F1, 32, false},
    {"2wikimqa", LONG_F1, 32, false},
    {"musique", LONG_F1, 32, false},
    {"dureader", LONG_NONE, 128, false},
    {"gov_report", LONG_ROUGE, 512, false},
    {"qmsum", LONG_ROUGE, 512, false},
    {"multi_news", LONG_ROUGE, 512, false},
    {"vcsum", LONG_NONE, 512, false},
    {"trec", LONG_CLASSES, 64, true},
    {"triviaqa", LONG_F1, 32, true},
    {"samsum", LONG_ROUGE, 128, true},
    {"lsht", LONG_CLASSES, 64, true},
    {"passage_count", LONG_COUNT, 32, false},
    {"passage_retrieval_en", LONG_RETRIEVAL, 32, false},
    {"passage_retrieval_zh", LONG_RETRIEVAL_ZH, 32, false},
    {"lcc", LONG_CODE, 64, true},
    {"repobench-p", LONG_CODE, 64, true},
};

const long_task *long_task_find(const char *name) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
    return NULL;
}

const char *long_task_prompt(const long_task *task) {
    const longbench_task *published = longbench_task_find(task->name);
    return published ? published->prompt : "";
}

void long_prompt(buffer *out, const bench_item *item) {
    for (const char *at = long_task_prompt(item->task); *at;) {
        if (strncmp(at, "{context}", strlen("{context}")) == 0) {
            buffer_append_text(out, item->context);
            at += strlen("{context}");
        } else if (strncmp(at, "{input}", strlen("{input}")) == 0) {
            buffer_append_text(out, item->question);
            at += strlen("{input}");
        } else {
            buffer_append_char(out, *at++);
        }
    }
}

/* A list of texts; null: none. */
static c2c_status read_texts(bench_item *item, long_texts *texts, const json_value *list,
                             const char *where, const char *key, c2c_error *error) {
    *texts = (long_texts){0};
    if (!list || list->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (list->type != JSON_ARRAY)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: %s: expected a list, found %s", where,
                         key, json_type_name(list->type));
    const char **items = arena_alloc(item->texts, list->count * sizeof *items);
    if (!items)
        return error_memory(error, list->count * sizeof *items, "a question");
    for (uint32_t i = 0; i < list->count; i++) {
        const json_value *one = &list->items[i];
        if (one->type != JSON_STRING)
            return error_set(error, C2C_STATUS_BAD_FILE, "%s: %s[%u]: expected a text, found %s",
                             where, key, (unsigned)i, json_type_name(one->type));
        if (!(items[i] = bench_copy(item, one->string, one->count)))
            return error_memory(error, one->count, "a question");
    }
    *texts = (long_texts){.items = items, .count = list->count};
    return C2C_STATUS_OK;
}

/* The task is the row's, as in the public files, where its name may end in "_e" (LongBench-E). */
static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *name;
    uint8_t digest[DIGEST_SHA256];
    static const int64_t none = 0;
    c2c_status status = bench_text(item, &item->question, row, "input", false, where, error);
    if (status ||
        (status = bench_text(item, &item->context, row, "context", false, where, error)) ||
        (status = bench_text(item, &name, row, "dataset", false, where, error)) ||
        (status = bench_text(item, &item->row_id, row, "_id", false, where, error)) ||
        (status =
             json_get_integer(row, "length", &none, 0, INT64_MAX, &item->length, where, error)) ||
        (status =
             read_texts(item, &item->answers, json_get(row, "answers"), where, "answers", error)) ||
        (status = read_texts(item, &item->classes, json_get(row, "all_classes"), where,
                             "all_classes", error)))
        return status;
    item->subject = name;
    item->task = long_task_find(name);
    size_t length = strlen(name);
    if (!item->task && length > 2 && strcmp(name + length - 2, "_e") == 0) {
        const char *base = bench_copy(item, name, length - 2);
        item->task = base ? long_task_find(base) : NULL;
    }
    if (!item->task)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: dataset: expected a task of LongBench, found \"%s\"", where, name);
    item->truth = "";
    digest_sha256(digest, item->row_id, strlen(item->row_id));
    if (digest[DIGEST_SHA256 - 1] % 4 != 1) {
        item->truth = NULL;
        item->skipped = "it is kept for training";
    }
    return C2C_STATUS_OK;
}

const benchmark bench_longbench = {.name = "longbench",
                                   .hub = "THUDM/LongBench",
                                   .split = "test",
                                   .kind = BENCH_LONG,
                                   .read = read};
