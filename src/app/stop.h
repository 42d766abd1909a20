/* stop.h - inside the app: signals that end a long run in good order. */
#ifndef C2C_APP_STOP_H
#define C2C_APP_STOP_H

#include "app/app.h"

/* From now on Ctrl-C and SIGTERM ask the run to stop; a second one ends the program at once. */
void stop_install(void);
bool stop_asked(void);
/* Not 0 once that was asked. */
const volatile sig_atomic_t *stop_flag(void);

#endif
