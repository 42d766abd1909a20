/* bench_mmlu_pro.c - MMLU-Pro: up to ten options, A to J. */
#include "eval/bench.h"

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    c2c_status status = bench_text(item, &item->question, row, "question", false, where, error);
    if (status || (status = bench_choices(item, json_get(row, "options"), where, error)) ||
        (status = bench_text(item, &item->category, row, "category", true, where, error)))
        return status;
    return bench_letter_truth(item, row, "answer", where, error);
}

const benchmark bench_mmlu_pro = {.name = "mmlu-pro",
                                  .hub = "TIGER-Lab/MMLU-Pro",
                                  .split = "test",
                                  .subject = "main",
                                  .kind = BENCH_CHOICE,
                                  .letters = 10,
                                  .read = read};
