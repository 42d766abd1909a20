/* bench_math_500.c - MATH-500: competition problems, answers in LaTeX. */
#include "eval/bench.h"

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *truth;
    c2c_status status = bench_text(item, &item->question, row, "problem", false, where, error);
    if (status || (status = bench_text(item, &truth, row, "answer", true, where, error)) ||
        (status = bench_text(item, &item->category, row, "subject", true, where, error)))
        return status;
    if (!truth) {
        item->skipped = "it has no answer";
        return C2C_STATUS_OK;
    }
    size_t length = strlen(truth);
    while (length && (truth[length - 1] == ' ' || truth[length - 1] == '\n'))
        length--;
    while (*truth == ' ' || *truth == '\n')
        truth++, length--;
    item->truth = bench_copy(item, truth, length);
    return item->truth ? C2C_STATUS_OK : error_memory(error, length, "a question");
}

const benchmark bench_math_500 = {.name = "math-500",
                                  .hub = "HuggingFaceH4/MATH-500",
                                  .split = "test",
                                  .subject = "all",
                                  .kind = BENCH_MATH,
                                  .read = read};
