/* fuzz_questions.c - any bytes as a benchmark's row: read, worded, and, as if the text were the
 * answer to itself, scored. */
#include "eval/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void score(const bench_item *item, const char *text, c2c_error *error) {
    double points;
    if (item->task && long_score(&points, item->task, text, &item->answers, &item->classes,
                                 error) == C2C_STATUS_OK)
        C2C_ASSERT(points >= 0 && points <= 1);
}

static void ask(const benchmark *b, const json_value *row) {
    c2c_error error;
    bench_item item;
    buffer prompt = {0};
    if (bench_item_read(&item, b, row, "fuzz", &error) != C2C_STATUS_OK)
        return;
    C2C_ASSERT(item.question && (item.truth || item.skipped));
    C2C_ASSERT(item.choice_count <= BENCH_MAX_CHOICES);
    if (b->kind == BENCH_CHOICE && item.truth)
        C2C_ASSERT(item.truth[0] >= 'A' && item.truth[0] < 'A' + item.choice_count);
    for (int i = 0; i < 4; i++) {
        buffer_clear(&prompt);
        C2C_ASSERT(bench_prompt(&prompt, b, &item, i & 1, i & 2, &error) == C2C_STATUS_OK);
    }
    score(&item, prompt.data ? prompt.data : "", &error);
    buffer_free(&prompt);
    bench_item_deinit(&item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *row;
    if (size > 1 << 14 || json_parse(&row, (const char *)data, size, "fuzz", NULL))
        return 0;
    for (size_t i = 0; benchmark_at(i); i++)
        ask(benchmark_at(i), json_root(row));
    json_close(row);
    return 0;
}
