/* answer.h - inside the app: a question on its way to an answer. Verbs use pair_answer instead. */
#ifndef C2C_APP_ANSWER_H
#define C2C_APP_ANSWER_H

#include "app/prompt.h"

/* A question that one session of a batch answers. */
typedef struct answering {
    answer *answer;
    const question *question;
    const c2c_session *session;
    double started, first, last; /* when the question, the first and the latest token came */
    c2c_status status;           /* why the last token ended the answer; a message stands beside */
    c2c_error error;
} answering;

/* Makes the prompt and prefills the session with it, emptied unless it is a turn. With letters the
 * answer is there then; else it has begun, and c2c_batch_step writes it. Times count from `started`
 * (system_seconds). All of it is borrowed until the end. C2C_STATUS_CANCELLED: stopped before the
 * first token. C2C_STATUS_CONTEXT_FULL, nothing begun: with `whole`, also where the longest answer
 * would not fit. */
c2c_status answer_begin(answering *w, answer *a, c2c_session *session, const prompt_models *models,
                        const question *q, double started, c2c_error *error);
/* Once the session does not write any more: how it ended. */
c2c_status answer_end(answering *w, c2c_error *error);

/* Both, on a batch whose other sessions do not write, with its first session. */
c2c_status answer_ask(answer *a, c2c_batch *batch, const prompt_models *models, const question *q,
                      double started, c2c_error *error);

#endif
