/* plot.h - for this room only: one plot as an SVG element. */
#ifndef C2C_TRAIN_PLOT_H
#define C2C_TRAIN_PLOT_H

#include "formats/formats.h"

/* Points in order of x; one whose y is no finite number leaves a gap. */
typedef struct plot_curve {
    const char *name, *class; /* of the legend; of the page's style sheet */
    const double *x, *y;
    size_t count;
} plot_curve;

typedef struct plot {
    const char *title;
    double x_last;               /* the x axis reaches from 0 to it */
    bool from_zero, logarithmic; /* the y axis */
    plot_curve curves[3];
    size_t curve_count;
} plot;

void plot_write(buffer *out, const plot *p);

#endif
