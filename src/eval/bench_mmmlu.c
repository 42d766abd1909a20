/* bench_mmmlu.c - MMMLU: MMLU in fourteen languages, one subject each. */
#include "eval/bench.h"

/* The answer is a letter, or a number from 0 as number or text. */
static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *answer;
    c2c_status status = bench_text(item, &item->question, row, "Question", false, where, error);
    if (status || (status = bench_letters(item, row, where, error)) ||
        (status = bench_text(item, &answer, row, "Answer", true, where, error)))
        return status;
    bool one = answer && answer[0] && !answer[1];
    return bench_truth(item,
                       !one                                   ? -1
                       : answer[0] >= '0' && answer[0] <= '3' ? answer[0] - '0'
                                                              : answer[0] - 'A',
                       error);
}

const benchmark bench_mmmlu = {.name = "mmmlu",
                               .hub = "openai/MMMLU",
                               .split = "test",
                               .kind = BENCH_CHOICE,
                               .letters = 4,
                               .read = read};
