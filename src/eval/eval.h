/* eval.h - benchmarks: what is asked, what counts as right, and what a run says about a system.
 * How a question is answered is not known here; the program brings its systems along. */
#ifndef C2C_EVAL_H
#define C2C_EVAL_H

#include "formats/formats.h"

/* ---- The letter of a multiple-choice answer (choice.c) -------------------------------------- */

/* What an answer text says: *letter is 'A' .. , or 0 where it names none. `options` is the number
 * of choices: up to four, letters A-D in any case count, as the original reads them; with more, the
 * question's own letters, upper-case only, and neither the article "A" nor the pronoun "I". */
c2c_status choice_extract(char *letter, const char *text, size_t length, int options,
                          c2c_error *error);

/* ---- Mathematical answers (math_grade.c and the other math_*.c) ------------------------------ */

/* Of a longer answer only the end is read. */
#define MATH_MAX_RESPONSE (1 << 20)

typedef struct math_verdict {
    bool right;
    const char *start; /* what was taken for the answer, in the response; NULL: nothing */
    size_t length;
} math_verdict;

/* Grades a response by value against the truth, LaTeX or plain text both: the last \boxed{...},
 * else the rest of the last "Answer:" line, else the last number. Numbers and expressions are
 * compared at a few points, with a relative tolerance of 1e-9. */
c2c_status math_grade(math_verdict *verdict, const char *response, size_t length, const char *truth,
                      size_t truth_length, c2c_error *error);

#endif
