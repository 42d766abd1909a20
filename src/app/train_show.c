/* train_show.c - a run of training as it is watched: a line that is drawn over on a terminal, plain
 * lines elsewhere. */
#include "app/train_show.h"
#include "app/stop.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define DRAW_INTERVAL 0.1
#define SMOOTHING     0.05 /* what one step adds to the loss that is shown */

/* ---- Lines -------------------------------------------------------------------------------- */

static void append_duration(buffer *out, double seconds) {
    if (seconds < 100)
        buffer_printf(out, "%.0f s", seconds);
    else if (seconds < 6000)
        buffer_printf(out, "%.0f min", seconds / 60);
    else
        buffer_printf(out, "%.0f h %.0f min", floor(seconds / 3600), fmod(seconds, 3600) / 60);
}

void train_show_line(buffer *out, const train_show *s, double seconds) {
    const c2c_train_event *e = &s->last;
    int64_t done = e->step - s->first;
    buffer_printf(out, "step %lld/%lld  loss %.4f  lr %.2e  %.0f tok/s", (long long)e->step,
                  (long long)e->steps, s->loss, e->learning_rate, e->tokens_per_second);
    if (e->gates)
        buffer_printf(out, "  gates %lld/%lld open", (long long)e->gates_open, (long long)e->gates);
    if (done > 0 && e->step < e->steps) {
        buffer_append_text(out, "  ");
        append_duration(out, seconds / (double)done * (double)(e->steps - e->step));
        buffer_append_text(out, " left");
    }
}

static void take_away(train_show *s) {
    if (s->drawn)
        fputs("\r\033[K", stderr);
    s->drawn = false;
}

static void draw(train_show *s) {
    double now = system_seconds();
    buffer line = {0};
    if (!s->progress || (s->drawn && now - s->drawn_at < DRAW_INTERVAL))
        return;
    train_show_line(&line, s, now - s->started);
    int columns = output_columns(STDERR_FILENO, 80) - 1;
    fprintf(stderr, "\r\033[K%.*s", columns, line.data ? line.data : "");
    fflush(stderr);
    buffer_free(&line);
    s->drawn = true;
    s->drawn_at = now;
}

static void draw_reading(train_show *s, double share) {
    double now = system_seconds();
    if (!s->progress || (s->drawn && now - s->drawn_at < DRAW_INTERVAL))
        return;
    fprintf(stderr, "\r\033[Kreading the data: %.0f%%", share * 100);
    fflush(stderr);
    s->drawn = true;
    s->drawn_at = now;
}

/* A line that stays. */
static void print(train_show *s, const buffer *line) {
    FILE *out = s->aside ? stderr : stdout;
    take_away(s);
    fprintf(out, "%s\n", line->data ? line->data : "");
    fflush(out);
}

/* ---- Events ------------------------------------------------------------------------------- */

static void show_step(train_show *s, const c2c_train_event *e) {
    buffer line = {0};
    s->last = *e;
    /* The first steps are averaged plainly: the line does not start at 0. */
    double share = fmax(SMOOTHING, 1.0 / (double)++s->counted);
    s->loss += share * (e->loss - s->loss);
    if (s->lines && (e->step % s->every == 0 || e->step == e->steps)) {
        train_show_line(&line, s, system_seconds() - s->started);
        print(s, &line);
    }
    buffer_free(&line);
    draw(s);
}

static void show_begin(train_show *s, const c2c_train_event *e) {
    buffer line = {0};
    s->started = system_seconds();
    s->first = e->step;
    s->last = *e;
    if (e->step > 0)
        buffer_printf(&line, "going on behind step %lld of %lld in %s", (long long)e->step,
                      (long long)e->steps, e->text);
    else
        buffer_printf(&line, "training %lld steps in %s", (long long)e->steps, e->text);
    print(s, &line);
    buffer_free(&line);
}

bool train_show_event(void *user, const c2c_train_event *e) {
    train_show *s = user;
    buffer line = {0};
    switch (e->kind) {
    case C2C_TRAIN_EVENT_READING: draw_reading(s, e->share); break;
    case C2C_TRAIN_EVENT_HELP:
        take_away(s);
        fputs(e->text, stderr);
        break;
    case C2C_TRAIN_EVENT_LOADED:
        buffer_append_text(&line, e->text);
        print(s, &line);
        break;
    case C2C_TRAIN_EVENT_BEGIN: show_begin(s, e); break;
    case C2C_TRAIN_EVENT_BATCH: draw(s); break;
    case C2C_TRAIN_EVENT_STEP: show_step(s, e); break;
    case C2C_TRAIN_EVENT_EVAL:
        buffer_printf(&line, "step %lld: evaluated loss %.4f", (long long)e->step, e->loss);
        print(s, &line);
        break;
    case C2C_TRAIN_EVENT_SAVED:
        buffer_printf(&line, "saved %s", e->text);
        print(s, &line);
        break;
    case C2C_TRAIN_EVENT_NOTE:
        take_away(s);
        app_warning(NULL, e->text);
        break;
    }
    buffer_free(&line);
    return !stop_asked();
}

void train_show_begin(train_show *s) {
    s->progress = isatty(STDERR_FILENO) == 1;
    s->lines = isatty(s->aside ? STDERR_FILENO : STDOUT_FILENO) != 1;
    s->started = system_seconds();
}

void train_show_end(train_show *s) {
    take_away(s);
}
