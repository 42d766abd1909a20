/* plot.c - curves over steps as inline SVG: axes with round numbers, and no more points than can be
 * told apart. Colours are the page's. */
#include "train/plot.h"

#include <math.h>
#include <stdio.h>

/* In SVG units: the whole, and the margins of the field that curves are drawn in. */
#define WIDTH  680.0
#define HEIGHT 240.0
#define LEFT   64.0
#define RIGHT  16.0
#define TOP    16.0
#define BOTTOM 32.0

#define POINTS_MAX 600 /* of one curve */
#define TICKS      5   /* about as many on each axis */

/* What is shown of y: a range of values, or of their logarithms. */
typedef struct field {
    const plot *plot;
    double low, high;
} field;

static double place_x(const field *f, double x) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (f->plot->x_last > 0 ? x / f->plot->x_last : 0);
}

static double place_y(const field *f, double y) {
    double value = f->plot->logarithmic ? log10(y) : y;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - f->low) / (f->high - f->low);
}

static bool can_show(const plot *p, double y) {
    return isfinite(y) && (!p->logarithmic || y > 0);
}

static field field_of(const plot *p) {
    field f = {.plot = p, .low = INFINITY, .high = -INFINITY};
    for (size_t c = 0; c < p->curve_count; c++)
        for (size_t i = 0; i < p->curves[c].count; i++) {
            double y = p->curves[c].y[i];
            if (!can_show(p, y))
                continue;
            double value = p->logarithmic ? log10(y) : y;
            f.low = fmin(f.low, value);
            f.high = fmax(f.high, value);
        }
    if (p->from_zero && !p->logarithmic)
        f.low = fmin(f.low, 0);
    if (!(f.low <= f.high)) /* nothing to show */
        f.low = 0, f.high = 1;
    if (f.high - f.low <= 1e-12 * fmax(fabs(f.low), fabs(f.high)) || f.high == f.low)
        f.low -= p->from_zero && f.low >= 0 ? 0 : 0.5, f.high += 0.5;
    return f;
}

/* ---- Axes --------------------------------------------------------------------------------- */

static void write_number(buffer *out, double x, double y, svg_anchor anchor, double value,
                         int digits) {
    char text[32];
    snprintf(text, sizeof text, "%.*g", digits, fabs(value) < 1e-15 ? 0 : value);
    svg_text(out, x, y, anchor, text, sizeof text);
}

static void write_tick_y(buffer *out, const field *f, double value) {
    double shown = f->plot->logarithmic ? pow(10, value) : value;
    double y = place_y(f, shown);
    svg_line(out, "grid", LEFT, y, WIDTH - RIGHT, y);
    write_number(out, LEFT - 6, y + 4, SVG_END, shown, 4);
}

static void write_axes(buffer *out, const field *f) {
    double step = svg_round_step(f->high - f->low, TICKS);
    for (int i = 0; i <= 2 * TICKS; i++) {
        double value = (ceil(f->low / step - 1e-9) + i) * step;
        if (value <= f->high + 1e-9 * step)
            write_tick_y(out, f, value);
    }
    double last = fmax(f->plot->x_last, 1), along = fmax(1, svg_round_step(last, TICKS));
    for (int i = 0; i <= 2 * TICKS && i * along <= last * (1 + 1e-9); i++)
        write_number(out, place_x(f, i * along), HEIGHT - BOTTOM + 18, SVG_MIDDLE, i * along, 10);
}

/* ---- Curves ------------------------------------------------------------------------------- */

/* The mean of points first .. end-1 that can be shown; false: there is none. */
static bool mean_point(const field *f, const plot_curve *c, size_t first, size_t end, double *x,
                       double *y) {
    size_t count = 0;
    *x = *y = 0;
    for (size_t i = first; i < end; i++)
        if (can_show(f->plot, c->y[i])) {
            *x += c->x[i];
            *y += c->y[i];
            count++;
        }
    if (count == 0)
        return false;
    *x /= (double)count;
    *y /= (double)count;
    return true;
}

static void write_curve(buffer *out, const field *f, const plot_curve *c) {
    size_t each = (c->count + POINTS_MAX - 1) / POINTS_MAX;
    bool drawing = false;
    buffer_printf(out, "<path class=\"%s\" d=\"", c->class);
    for (size_t i = 0; i < c->count; i += each) {
        double x, y;
        size_t end = i + each < c->count ? i + each : c->count;
        bool shown = mean_point(f, c, i, end, &x, &y);
        if (shown)
            buffer_printf(out, "%c%.1f %.1f", drawing ? 'L' : 'M', place_x(f, x), place_y(f, y));
        /* A path of one point shows as a dot: the line's ends are round. */
        if (shown && !drawing)
            buffer_append_text(out, "h0");
        drawing = shown;
    }
    buffer_append_text(out, "\"/>\n");
}

static void write_legend(buffer *out, const plot *p) {
    buffer_append_text(out, "<p class=\"legend\">");
    for (size_t c = 0; c < p->curve_count; c++)
        buffer_printf(out, "<span class=\"%s\">&#9473; %s</span> ", p->curves[c].class,
                      p->curves[c].name);
    buffer_append_text(out, "</p>\n");
}

void plot_write(buffer *out, const plot *p) {
    field f = field_of(p);
    buffer_append_text(out, "<section><h2>");
    page_text(out, p->title, SIZE_MAX);
    buffer_append_text(out, "</h2>\n");
    svg_begin(out, WIDTH, HEIGHT, p->title);
    write_axes(out, &f);
    for (size_t c = 0; c < p->curve_count; c++)
        write_curve(out, &f, &p->curves[c]);
    svg_end(out);
    if (p->curve_count > 1)
        write_legend(out, p);
    buffer_append_text(out, "</section>\n");
}
