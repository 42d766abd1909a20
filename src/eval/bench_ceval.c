/* bench_ceval.c - C-Eval: 52 subjects in Chinese, one file each. Its test split has no answers in
 * public, so those rows are skipped. */
#include "eval/bench.h"

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    c2c_status status = bench_text(item, &item->question, row, "question", false, where, error);
    if (!status)
        status = bench_letters(item, row, where, error);
    return status ? status : bench_letter_truth(item, row, "answer", where, error);
}

const benchmark bench_ceval = {.name = "ceval",
                               .hub = "ceval/ceval-exam",
                               .split = "val",
                               .kind = BENCH_CHOICE,
                               .letters = 4,
                               .read = read};
