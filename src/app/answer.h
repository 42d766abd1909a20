/* answer.h - inside the app: one session asked once. Verbs use pair_answer instead. */
#ifndef C2C_APP_ANSWER_H
#define C2C_APP_ANSWER_H

#include "app/prompt.h"

/* Makes the prompt, prefills the session with it, emptied unless it is a turn, and decodes. Times
 * count from `started` (system_seconds). A question that is stopped before its first token fails
 * with C2C_STATUS_CANCELLED. */
c2c_status answer_ask(answer *a, c2c_session *session, const prompt_models *models,
                      const question *q, double started, c2c_error *error);

#endif
