/* compare.h - inside the app: one question answered four ways. */
#ifndef C2C_APP_COMPARE_H
#define C2C_APP_COMPARE_H

#include "app/app.h"

/* What the sharer is asked where nothing else was said. */
extern const char compare_background[];

/* Adds the rows --background-prompt and --background-tokens to a verb's table of `count` rows;
 * returns how many it has now. */
size_t compare_options(option *rows, size_t count, const char **background, int64_t *tokens);

/* Answers the question four ways and prints them. q->background is the prompt with {question} in
 * it, which stands for the last user message. */
c2c_status compare_answers(pair *p, const question *q, bool json, c2c_error *error);

#endif
