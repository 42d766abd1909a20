/* bench.h - inside the evaluation room: what benchmarks have in common when they read a row. */
#ifndef C2C_EVAL_BENCH_H
#define C2C_EVAL_BENCH_H

#include "eval/eval.h"

/* A member as text that lives as long as the item: a string, or a number as Python prints it.
 * *text is NULL where the member is missing or null, which is an error unless `optional`. */
c2c_status bench_text(bench_item *item, const char **text, const json_value *row, const char *key,
                      bool optional, const char *where, c2c_error *error);
/* Adds an option, in the order of letters. */
c2c_status bench_choice(bench_item *item, const json_value *value, const char *where,
                        c2c_error *error);
/* The options of a list, of strings or of objects with "text", or of {"text": [...]}. */
c2c_status bench_choices(bench_item *item, const json_value *choices, const char *where,
                         c2c_error *error);
/* Members A, B, C, D. */
c2c_status bench_letters(bench_item *item, const json_value *row, const char *where,
                         c2c_error *error);
/* A truth that is a letter, which must name one of the options; else the row is skipped. */
c2c_status bench_letter_truth(bench_item *item, const json_value *row, const char *key,
                              const char *where, c2c_error *error);
/* The truth is option `index`, 0 for A. */
c2c_status bench_truth(bench_item *item, int64_t index, c2c_error *error);
/* Copies, or NULL when out of memory. */
const char *bench_copy(bench_item *item, const char *text, size_t length);

/* LongBench's own prompt. */
void long_prompt(buffer *out, const bench_item *item);
/* The category of an MMLU subject. */
const char *mmlu_category(const char *subject, const char **group);

/* One benchmark, one file. */
extern const benchmark bench_mmlu_redux, bench_mmmlu, bench_gpqa, bench_math_500, bench_gsm8k,
    bench_openbookqa, bench_ai2_arc, bench_mmlu_pro, bench_ceval, bench_longbench, bench_qa;

#endif
