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

#endif
