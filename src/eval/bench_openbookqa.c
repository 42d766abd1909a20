/* bench_openbookqa.c - OpenBookQA, in the Hugging Face form or in that of its authors. */
#include "eval/bench.h"

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const json_value *question = json_get(row, "question");
    bool nested = question && question->type == JSON_OBJECT; /* {"stem": ..., "choices": ...} */
    c2c_status status = bench_text(item, &item->question, nested ? question : row,
                                   nested ? "stem" : "question_stem", false, where, error);
    if (!status)
        status = bench_choices(item, json_get(nested ? question : row, "choices"), where, error);
    return status ? status : bench_letter_truth(item, row, "answerKey", where, error);
}

const benchmark bench_openbookqa = {.name = "openbookqa",
                                    .hub = "openbookqa",
                                    .split = "test",
                                    .subject = "main",
                                    .kind = BENCH_CHOICE,
                                    .letters = 4,
                                    .read = read};
