/* bench_ai2_arc.c - ARC-Challenge, in the Hugging Face form or in that of its authors. Questions
 * have three to five options; the original asks only those whose answer is one of A to D. */
#include "eval/bench.h"

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const json_value *question = json_get(row, "question");
    bool nested = question && question->type == JSON_OBJECT;
    c2c_status status = bench_text(item, &item->question, nested ? question : row,
                                   nested ? "stem" : "question", false, where, error);
    if (!status)
        status = bench_choices(item, json_get(nested ? question : row, "choices"), where, error);
    if (!status)
        status = bench_letter_truth(item, row, "answerKey", where, error);
    if (!status && item->truth && item->truth[0] > 'D') {
        item->truth = NULL;
        item->skipped = "its answer is none of A to D";
    }
    return status;
}

const benchmark bench_ai2_arc = {.name = "ai2-arc",
                                 .hub = "allenai/ai2_arc",
                                 .split = "test",
                                 .subject = "ARC-Challenge",
                                 .kind = BENCH_CHOICE,
                                 .letters = 4,
                                 .read = read};
