/* progress.c - a bar on standard error while something takes long. Nothing is drawn where standard
 * error is not a terminal. */
#include "app/app.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRESS_BAR_MAX 40

/* Drawing more often than this would only cost time. */
#define PROGRESS_INTERVAL 0.1

void progress_line(buffer *out, const char *label, int64_t done, int64_t total, double seconds,
                   int width) {
    char tail[96];
    done = total > 0 ? max_i64(0, min_i64(done, total)) : 0;
    int n = snprintf(tail, sizeof tail, " %lld/%lld  %.0f s", (long long)done, (long long)total,
                     seconds);
    int room = width - text_columns(label, strlen(label)) - n - 3;
    int bar = room > PROGRESS_BAR_MAX ? PROGRESS_BAR_MAX : room;
    buffer_append_text(out, label);
    /* A narrow terminal still gets the numbers. */
    if (bar >= 4) {
        int filled = total > 0 ? (int)((double)done / (double)total * bar) : 0;
        buffer_append_text(out, " [");
        for (int i = 0; i < bar; i++)
            buffer_append_char(out, i < filled ? '#' : '.');
        buffer_append_char(out, ']');
    }
    buffer_append_text(out, tail);
}

/* Draws over the line that is there. */
static void progress_draw(progress *p, int64_t done) {
    buffer line = {0};
    p->drawn = system_seconds();
    progress_line(&line, p->label, done, p->total, p->drawn - p->started,
                  output_columns(STDERR_FILENO, 80));
    fprintf(stderr, "\r\033[K%s", line.data ? line.data : "");
    fflush(stderr);
    buffer_free(&line);
}

void progress_begin(progress *p, const char *label, int64_t total) {
    *p = (progress){.label = label, .total = total, .started = system_seconds()};
    p->shown = isatty(STDERR_FILENO) == 1;
    if (p->shown)
        progress_draw(p, 0);
}

void progress_update(progress *p, int64_t done) {
    if (p->shown && system_seconds() - p->drawn >= PROGRESS_INTERVAL)
        progress_draw(p, done);
}

void progress_end(progress *p) {
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
