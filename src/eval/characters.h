/* characters.h - inside the evaluation room: texts as characters, and Python's idea of what they
 * are, since the original's rules are written in it. */
#ifndef C2C_EVAL_CHARACTERS_H
#define C2C_EVAL_CHARACTERS_H

#include "eval/eval.h"

/* Zero-initialise; characters_free. */
typedef struct characters {
    uint32_t *at;
    size_t count;
} characters;

/* Bytes that are not UTF-8 become U+FFFD. */
c2c_status characters_read(characters *c, const char *text, size_t length, c2c_error *error);
void characters_free(characters *c);

bool python_is_space(uint32_t c); /* str.isspace, and \s of its regular expressions */
bool python_is_word(uint32_t c);  /* \w: letters, numbers of every kind, the underscore */
uint32_t python_lower(uint32_t c);

#endif
