/* moment.h - inside the app: the date that templates see. */
#ifndef C2C_APP_MOMENT_H
#define C2C_APP_MOMENT_H

#include "app/app.h"

/* What --date says. Taken once for all prompts of a run, so that a conversation keeps its date. */
typedef struct moment_choice {
    c2c_moment moment;
    bool none; /* templates find no date */
} moment_choice;

/* Reads "now" (as NULL: the local time), "none" or YYYY-MM-DD (its first second). */
c2c_status moment_read(moment_choice *choice, const char *text, c2c_error *error);

#endif
