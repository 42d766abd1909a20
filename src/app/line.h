/* line.h - inside the app: lines of a person at a terminal, or of a script. */
#ifndef C2C_APP_LINE_H
#define C2C_APP_LINE_H

#include "app/app.h"

/* Reads standard input. At a terminal, lines are edited (on standard error, so that standard output
 * holds answers alone) and remembered, and Ctrl-C interrupts what is being done, not the program.
 */
typedef struct line_reader line_reader;

c2c_status line_reader_open(line_reader **reader, c2c_error *error);
void line_reader_close(line_reader *reader);
bool line_reader_is_terminal(const line_reader *reader);

typedef enum line_event {
    LINE_TEXT = 0,
    LINE_END,         /* nothing follows: the file ended, or Ctrl-D */
    LINE_INTERRUPTED, /* Ctrl-C: the line is given up */
    LINE_FAILED       /* *error says why; nothing follows */
} line_event;

/* The next line without its end; *text holds until the next call, and may hold NULs. */
line_event line_read(line_reader *reader, const char **text, size_t *length, c2c_error *error);

/* Set by Ctrl-C at a terminal; to be cleared before that which it shall stop. */
volatile sig_atomic_t *line_interrupt(void);

#endif
