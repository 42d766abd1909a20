/* talk.h - inside the app: a conversation with its settings, and the commands that change it. */
#ifndef C2C_APP_TALK_H
#define C2C_APP_TALK_H

#include "app/ask.h"

/* A conversation that goes on. What it points to outlives it; talk_deinit. */
typedef struct talk {
    pair *pair;
    chat messages;
    plan_spec plan;
    question question; /* what is the same for every turn */
    bool json;
    bool over; /* /quit was said */
} talk;

void talk_deinit(talk *t);

/* The user says something; the answer is shown and both are remembered. When this fails, or is
 * stopped before the answer began, the conversation is as it was. */
c2c_status talk_say(talk *t, const char *text, c2c_error *error);

/* A line that begins with '/': a command with its argument. */
c2c_status talk_command(talk *t, const char *line, c2c_error *error);

#endif
