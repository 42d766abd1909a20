/* optimizer.c - AdamW and the length of the gradient, over one buffer: the moments are here, the
 * arithmetic is ops'. */
#include "train/train.h"

#include <math.h>

/* Of squared_norm: one sum for each block, and their sum in front. */
static int64_t sums_of(int64_t count) {
    return 1 + (count + SQUARED_NORM_BLOCK - 1) / SQUARED_NORM_BLOCK;
}

c2c_status optimizer_init(optimizer *o, const trainee *t, const adamw_options *options,
                          c2c_error *error) {
    size_t bytes = (size_t)t->count * sizeof(float);
    void *first = NULL, *second = NULL, *sums = NULL;
    *o = (optimizer){.backend = t->backend, .count = t->count, .options = *options};
    c2c_status status = backend_alloc_whole(t->backend, &first, bytes, error);
    if (!status)
        status = backend_alloc_whole(t->backend, &second, bytes, error);
    if (!status)
        status = backend_alloc_whole(t->backend, &sums, (size_t)sums_of(t->count) * sizeof(double),
                                     error);
    o->first = first;
    o->second = second;
    o->sums = sums;
    if (status) {
        optimizer_deinit(o);
        error_prefix(error, "the optimizer's two moments of %lld parameters", (long long)t->count);
    }
    return status;
}

void optimizer_deinit(optimizer *o) {
    if (!o->backend)
        return;
    backend_release(o->backend, o->first);
    backend_release(o->backend, o->second);
    backend_release(o->backend, o->sums);
    *o = (optimizer){0};
}

double optimizer_norm(optimizer *o, const trainee *t) {
    double sum;
    op_squared_norm(o->backend, &(squared_norm_args){.sum = o->sums,
                                                     .blocks = o->sums + 1,
                                                     .x = t->gradients,
                                                     .count = o->count});
    backend_download(o->backend, &sum, o->sums, sizeof sum);
    return sqrt(sum);
}

void optimizer_step(optimizer *o, const trainee *t, int64_t done, double rate, double scale) {
    op_adamw(o->backend, &(adamw_args){.w = t->parameters,
                                       .m = o->first,
                                       .v = o->second,
                                       .dw = t->gradients,
                                       .count = o->count,
                                       .step = done + 1,
                                       .learning_rate = rate,
                                       .beta1 = o->options.beta1,
                                       .beta2 = o->options.beta2,
                                       .epsilon = o->options.epsilon,
                                       .weight_decay = o->options.weight_decay,
                                       .gradient_scale = (float)scale});
}
