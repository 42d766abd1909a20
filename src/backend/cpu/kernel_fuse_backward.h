/* kernel_fuse_backward.h - the gradients of fuse_mix, compiled once per instruction set. The runner
 * gives one part all rows of a group: logits that many places read get one sum, row after row. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_fuse.h"
#include "backend/cpu/kernel_rows_backward.h"
#include "backend/cpu/vector.h"

/* A gradient of logits: added up over a head, or over everything, when one number is read there. */
typedef struct logit_sum {
    float *to; /* NULL: not wanted */
    const fuse_strides *strides;
    vec head;
    double all; /* of the heads, when there is but one number */
} logit_sum;

KERNEL_INLINE void logit_add(logit_sum *sum, vec v, int64_t n, int64_t g, int64_t d, int64_t left) {
    if (sum->strides->element)
        add_some(sum->to + n * sum->strides->row + g * sum->strides->head + d, v, left);
    else
        sum->head += v;
}

KERNEL_INLINE void logit_end_head(logit_sum *sum, int64_t n, int64_t g) {
    if (!sum->to || sum->strides->element)
        return;
    float total = vec_sum(sum->head);
    sum->head = (vec){0};
    if (sum->strides->row || sum->strides->head)
        sum->to[n * sum->strides->row + g * sum->strides->head] += total;
    else
        sum->all += total;
}

static void logit_end(logit_sum *sum) {
    if (sum->to && !sum->strides->row && !sum->strides->head && !sum->strides->element)
        sum->to[0] += (float)sum->all;
}

/* One head's rows of everything; NULL as in the arguments. */
typedef struct mix_rows {
    float *dreceiver, *dx;
    const float *dy, *receiver, *x;
} mix_rows;

KERNEL_INLINE void mix_backward(const fuse_mix_backward_args *a, const mix_rows *row, mix_factors f,
                                logit_sum *dw, logit_sum *dgate, int64_t n, int64_t g, int64_t i) {
    int64_t left = a->head_dim - i;
    vec d = vec_load_some(row->dy + i, left), zero = {0};
    vec x = row->x ? vec_load_some(row->x + i, left) : zero;
    if (row->dx)
        add_some(row->dx + i, f.open * f.s * d, left);
    if (row->dreceiver)
        add_some(row->dreceiver + i, a->scale_receiver ? (1.0f - f.s) * d : d, left);
    if (dw->to) {
        vec inner = f.open * x;
        if (a->scale_receiver && row->receiver)
            inner -= vec_load_some(row->receiver + i, left);
        logit_add(dw, f.s * (1.0f - f.s) / a->temperature * d * inner, n, g, i, left);
    }
    if (dgate->to) {
        vec slope = f.open * (1.0f - f.open) / a->gate_temperature;
        logit_add(dgate, slope * d * f.s * x, n, g, i, left);
    }
}

static void kernel_fuse_mix_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    const fuse_mix_backward_args *a = args;
    const mix_source source = MIX_SOURCE(a, group);
    float *dreceiver = in_table(a->dreceiver, group), *dx = in_table(a->dx, group);
    const float *receiver = const_in_table(a->receiver, group), *x = const_in_table(a->x, group);
    logit_sum dw = {.to = source.w ? in_table(a->dw, group) : NULL, .strides = &a->w_strides};
    logit_sum dgate = {.to = source.gate && source.uniforms ? in_table(a->dgate, group) : NULL,
                       .strides = &a->gate_strides};
    for (int64_t n = begin; n < end; n++)
        for (int64_t g = 0; g < a->kv_heads; g++) {
            int64_t skip = g * a->head_dim;
            const mix_rows row = {.dreceiver =
                                      dreceiver ? dreceiver + n * a->dreceiver_stride + skip : NULL,
                                  .dx = dx ? dx + n * a->dx_stride + skip : NULL,
                                  .dy = a->dy[group] + n * a->dy_stride + skip,
                                  .receiver =
                                      receiver ? receiver + n * a->receiver_stride + skip : NULL,
                                  .x = x ? x + n * a->x_stride + skip : NULL};
            mix_factors f = load_factors(&source, n, g, 0, a->head_dim);
            for (int64_t i = 0; i < a->head_dim; i += LANES) {
                if (source.by_element && i)
                    f = load_factors(&source, n, g, i, a->head_dim - i);
                mix_backward(a, &row, f, &dw, &dgate, n, g, i);
            }
            logit_end_head(&dw, n, g);
            logit_end_head(&dgate, n, g);
        }
    logit_end(&dw);
    logit_end(&dgate);
}
