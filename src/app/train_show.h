/* train_show.h - inside the app: what a run of training shows. */
#ifndef C2C_APP_TRAIN_SHOW_H
#define C2C_APP_TRAIN_SHOW_H

#include "app/app.h"

/* Zero-initialise, with `every` set: steps between two lines where standard output is no terminal.
 */
typedef struct train_show {
    int64_t every;
    bool aside;      /* lines go to standard error: something else is printed */
    bool progress;   /* a line that is drawn over, on a terminal */
    bool lines;      /* a line every so many steps */
    bool drawn;      /* the progress line stands there */
    double drawn_at; /* system_seconds */
    double started;
    int64_t first;        /* steps that were done before */
    double loss;          /* smoothed */
    int64_t counted;      /* steps in it */
    c2c_train_event last; /* the last step */
} train_show;

void train_show_begin(train_show *s);
/* A c2c_train_callback; false once the user has asked to stop. `user` is the train_show. */
bool train_show_event(void *user, const c2c_train_event *e);
void train_show_end(train_show *s);

/* Appends "step 12/100  loss 1.234 ..." without line end. */
void train_show_line(buffer *out, const train_show *s, double seconds);

#endif
