/* learn.c - what projectors do only while they learn: dropout, and gates that harden with time. */
#include "fuser/fuser.h"

#include <math.h>

float projector_temperature(const projector_spec *spec, uint32_t step) {
    double first = spec->start.temperature, last = spec->learning.last_temperature;
    int64_t steps = spec->learning.anneal_steps;
    double done = step < steps ? (double)step / (double)steps : 1;
    return (float)(first * pow(last / first, done));
}

void projector_dropout(backend *b, const projector_training *training, float *const *y,
                       int32_t groups, int slot, float rate, int64_t rows, int64_t features) {
    if (!training->dropout || rate <= 0)
        return;
    dropout_args args = {.y = y,
                         .x = (const float *const *)y,
                         .groups = groups,
                         .random = training->random,
                         .rows = rows,
                         .features = features,
                         .y_stride = features,
                         .x_stride = features,
                         .rate = rate};
    args.random.site += (uint32_t)slot;
    op_dropout(b, &args);
}
