/* train_report.c - report.html: the curves of a run on one page that needs no network, no script
 * and no other file. */
#include "train/plot.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

/* Of the smoothed loss: what one step adds. */
#define SMOOTHING 0.05

/* The columns that are drawn, steps and evaluations apart. */
typedef enum column {
    COLUMN_STEP = 0,
    COLUMN_LOSS,
    COLUMN_SMOOTH,
    COLUMN_RATE,
    COLUMN_NORM,
    COLUMN_TEMPERATURE,
    COLUMN_GATES,
    COLUMN_EVAL_STEP,
    COLUMN_EVAL_LOSS,
    COLUMN_COUNT
} column;

typedef struct columns {
    double *of[COLUMN_COUNT];
    size_t steps, evals;
    int64_t gates;
} columns;

static void columns_fill(columns *c, const metric_list *list) {
    double smooth = 0;
    for (size_t i = 0; i < list->count; i++) {
        const metric *m = &list->items[i];
        if (m->kind == METRIC_EVAL) {
            c->of[COLUMN_EVAL_STEP][c->evals] = (double)m->step;
            c->of[COLUMN_EVAL_LOSS][c->evals++] = m->loss;
            continue;
        }
        /* The first steps are averaged plainly, so that the curve does not start at 0. */
        double share = fmax(SMOOTHING, 1.0 / (double)(c->steps + 1));
        if (isfinite(m->loss))
            smooth += share * (m->loss - smooth);
        c->of[COLUMN_STEP][c->steps] = (double)m->step;
        c->of[COLUMN_LOSS][c->steps] = m->loss;
        c->of[COLUMN_SMOOTH][c->steps] = smooth;
        c->of[COLUMN_RATE][c->steps] = m->rate;
        c->of[COLUMN_NORM][c->steps] = m->gradient_norm;
        c->of[COLUMN_TEMPERATURE][c->steps] = m->temperature;
        c->of[COLUMN_GATES][c->steps++] = (double)m->gates_open;
        c->gates = m->gates;
    }
}

static plot_curve curve(const columns *c, column y, const char *name, const char *class) {
    bool eval = y == COLUMN_EVAL_LOSS;
    return (plot_curve){.name = name,
                        .class = class,
                        .x = c->of[eval ? COLUMN_EVAL_STEP : COLUMN_STEP],
                        .y = c->of[y],
                        .count = eval ? c->evals : c->steps};
}

static void write_plots(buffer *out, const columns *c, int64_t steps) {
    double last = (double)steps;
    plot_write(out, &(plot){.title = "Loss",
                            .x_last = last,
                            .from_zero = true,
                            .curves = {curve(c, COLUMN_LOSS, "each step", "faint"),
                                       curve(c, COLUMN_SMOOTH, "smoothed", "line"),
                                       curve(c, COLUMN_EVAL_LOSS, "evaluated", "other")},
                            .curve_count = c->evals ? 3 : 2});
    plot_write(out, &(plot){.title = "Learning rate",
                            .x_last = last,
                            .from_zero = true,
                            .curves = {curve(c, COLUMN_RATE, "rate", "line")},
                            .curve_count = 1});
    plot_write(out, &(plot){.title = "Temperature of the gates (logarithmic)",
                            .x_last = last,
                            .logarithmic = true,
                            .curves = {curve(c, COLUMN_TEMPERATURE, "temperature", "line")},
                            .curve_count = 1});
    if (c->gates)
        plot_write(out, &(plot){.title = "Gates that are open",
                                .x_last = last,
                                .from_zero = true,
                                .curves = {curve(c, COLUMN_GATES, "open", "line")},
                                .curve_count = 1});
    plot_write(out, &(plot){.title = "Length of the gradient, before it is clipped (logarithmic)",
                            .x_last = last,
                            .logarithmic = true,
                            .curves = {curve(c, COLUMN_NORM, "length", "line")},
                            .curve_count = 1});
}

static void write_summary(buffer *out, const columns *c, const metric_list *list, int64_t steps) {
    int64_t tokens = 0;
    double done = c->steps ? c->of[COLUMN_STEP][c->steps - 1] : 0;
    for (size_t i = 0; i < list->count; i++)
        tokens += list->items[i].tokens;
    buffer_printf(out, "<table>\n<tr><td>steps<td>%.0f of %lld\n<tr><td>tokens<td>%lld\n", done,
                  (long long)steps, (long long)tokens);
    if (c->steps)
        buffer_printf(out, "<tr><td>loss, smoothed<td>%.4f\n", c->of[COLUMN_SMOOTH][c->steps - 1]);
    if (c->evals)
        buffer_printf(out, "<tr><td>loss, evaluated<td>%.4f\n",
                      c->of[COLUMN_EVAL_LOSS][c->evals - 1]);
    if (c->gates)
        buffer_printf(out, "<tr><td>gates open<td>%.0f of %lld\n",
                      c->of[COLUMN_GATES][c->steps - 1], (long long)c->gates);
    buffer_append_text(out, "</table>\n");
}

void train_report_write(buffer *out, const metric_list *list, const char *title, int64_t steps) {
    columns c = {0};
    double *memory = calloc(COLUMN_COUNT * (list->count + 1), sizeof *memory);
    if (!memory) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < COLUMN_COUNT; i++)
        c.of[i] = memory + (size_t)i * (list->count + 1);
    columns_fill(&c, list);
    page_begin(out, "c2c train", title);
    write_summary(out, &c, list, steps);
    write_plots(out, &c, steps);
    page_end(out);
    free(memory);
}
