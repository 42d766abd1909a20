/* answer.h - inside the app: one session asked once. Verbs use pair_answer instead. */
#ifndef C2C_APP_ANSWER_H
#define C2C_APP_ANSWER_H

#include "app/app.h"

/* Renders or takes the text, encodes it, prefills an emptied session that has `sharers` of them,
 * and decodes. Times count from `started` (system_seconds). */
c2c_status answer_ask(answer *a, c2c_session *session, const c2c_model *receiver, size_t sharers,
                      const question *q, double started, c2c_error *error);

#endif
