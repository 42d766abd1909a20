/* kernel_rows_backward.h - the gradients of the ops that treat each row by itself, compiled once
 * per instruction set. Each kernel does rows begin .. end-1 of one group; the gradients of weights
 * are added row after row, so the runner gives one part all rows of a group then. */
#ifndef C2C_BACKEND_CPU_KERNEL_ROWS_BACKWARD_H
#define C2C_BACKEND_CPU_KERNEL_ROWS_BACKWARD_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/vector.h"

#include <math.h>

/* The pointer of a group in a table that may be NULL. */
KERNEL_INLINE float *in_table(float *const *table, int64_t group) {
    return table ? table[group] : NULL;
}

KERNEL_INLINE const float *const_in_table(const float *const *table, int64_t group) {
    return table ? table[group] : NULL;
}

KERNEL_INLINE void add_some(float *y, vec v, int64_t n) {
    vec_store_some(y, vec_load_some(y, n) + v, n);
}

/* ---- Norms -------------------------------------------------------------------------------- */

/* Sums over a row, in partial sums like mean_square's. */
typedef struct norm_sums {
    vec g, gh; /* of g = dy * w; of g * (x - mean) * factor */
} norm_sums;

KERNEL_INLINE norm_sums sum_norm(const float *dy, const float *x, dtype w_type, const char *w,
                                 int64_t features, float mean, float factor) {
    norm_sums sums[4] = {{{0}, {0}}};
    for (int64_t i = 0, j = 0; i < features; i += LANES, j = (j + 1) % 4) {
        int64_t left = features - i;
        vec g = vec_load_some(dy + i, left) * vec_load_weight(w_type, w, i, left);
        /* g is zero behind the end */
        vec h = (vec_load_some(x + i, left) - mean) * factor;
        sums[j].g += g;
        sums[j].gh = vec_fma(g, h, sums[j].gh);
    }
    return (norm_sums){(sums[0].g + sums[1].g) + (sums[2].g + sums[3].g),
                       (sums[0].gh + sums[1].gh) + (sums[2].gh + sums[3].gh)};
}

static void kernel_rmsnorm_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    const rmsnorm_backward_args *a = args;
    const char *w = a->w[group];
    float *dx = in_table(a->dx, group), *dw = in_table(a->dw, group);
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x[group] + n * a->x_stride, *dy = a->dy[group] + n * a->dy_stride;
        float factor = 1.0f / sqrtf(mean_square(x, a->features) + a->epsilon), mean = 0;
        if (dx) {
            norm_sums sums = sum_norm(dy, x, a->w_type, w, a->features, 0, factor);
            mean = vec_sum(sums.gh) / (float)a->features;
        }
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            vec h = vec_load_some(x + i, left) * factor, d = vec_load_some(dy + i, left);
            if (dx) {
                vec g = d * vec_load_weight(a->w_type, w, i, left);
                add_some(dx + n * a->dx_stride + i, (g - h * mean) * factor, left);
            }
            if (dw)
                add_some(dw + i, d * h, left);
        }
    }
}

static void kernel_layernorm_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    const layernorm_backward_args *a = args;
    const char *w = a->w[group];
    float *dx = in_table(a->dx, group), *dw = in_table(a->dw, group), *db = in_table(a->db, group);
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x[group] + n * a->x_stride, *dy = a->dy[group] + n * a->dy_stride;
        float mean = sum_shifted(x, a->features, 0, false) / (float)a->features;
        float variance = sum_shifted(x, a->features, mean, true) / (float)a->features;
        float factor = 1.0f / sqrtf(variance + a->epsilon), mean_g = 0, mean_gh = 0;
        if (dx) {
            norm_sums sums = sum_norm(dy, x, a->w_type, w, a->features, mean, factor);
            mean_g = vec_sum(sums.g) / (float)a->features;
            mean_gh = vec_sum(sums.gh) / (float)a->features;
        }
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            vec h = (vec_load_some(x + i, left) - mean) * factor, d = vec_load_some(dy + i, left);
            if (dx) {
                vec g = d * vec_load_weight(a->w_type, w, i, left);
                add_some(dx + n * a->dx_stride + i, (g - mean_g - h * mean_gh) * factor, left);
            }
            if (dw)
                add_some(dw + i, d * h, left);
            if (db)
                add_some(db + i, d, left);
        }
    }
}

/* ---- Activations -------------------------------------------------------------------------- */

/* The derivative of vec_activation. */
KERNEL_INLINE vec vec_activation_slope(activation kind, vec x) {
    if (kind == ACTIVATION_RELU)
        return vec_select(x > 0.0f, vec_set(1.0f), vec_set(0.0f));
    if (kind == ACTIVATION_GELU) {
        vec density = vec_exp(-0.5f * x * x) * 0.39894228040143268f; /* 1 / sqrt(2 pi) */
        return 0.5f * (1.0f + vec_erf(x * 0x1.6a09e6p-1f)) + x * density;
    }
    vec t = x, slope = vec_set(1.0f);
    if (kind == ACTIVATION_GELU_TANH) {
        t = (x + 0.044715f * x * x * x) * 1.5957691216057308f; /* 2 sqrt(2/pi) */
        slope = (1.0f + 0.134145f * x * x) * 1.5957691216057308f;
    }
    /* of x s(t): s + x s (1 - s) t' */
    vec s = vec_sigmoid(t);
    return s + x * (s * (1.0f - s)) * slope;
}

/* One row, inlined with constants like the forward's. */
KERNEL_INLINE void activate_row_backward(activation kind, float *dx, float *dup, const float *dy,
                                         const float *x, const float *up, int64_t features) {
    for (int64_t i = 0; i < features; i += LANES) {
        int64_t left = features - i;
        vec v = vec_load_some(x + i, left), d = vec_load_some(dy + i, left);
        if (dup)
            add_some(dup + i, d * vec_activation(kind, v), left);
        if (!dx)
            continue;
        d *= vec_activation_slope(kind, v);
        add_some(dx + i, up ? d * vec_load_some(up + i, left) : d, left);
    }
}

static void kernel_activate_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    const activate_backward_args *a = args;
    float *dx = in_table(a->dx, group), *dup = in_table(a->dup, group);
    const float *up = const_in_table(a->up, group);
    for (int64_t n = begin; n < end; n++) {
        float *to_x = dx ? dx + n * a->dx_stride : NULL;
        float *to_up = dup ? dup + n * a->dup_stride : NULL;
        const float *dy = a->dy[group] + n * a->dy_stride, *x = a->x[group] + n * a->x_stride;
        const float *row_up = up ? up + n * a->up_stride : NULL;
        switch (a->activation) {
#define CASE(kind)                                                                                 \
    case kind: activate_row_backward(kind, to_x, to_up, dy, x, row_up, a->features); break;
            CASE(ACTIVATION_SILU)
            CASE(ACTIVATION_GELU_TANH)
            CASE(ACTIVATION_GELU)
            CASE(ACTIVATION_RELU)
#undef CASE
        }
    }
}

/* ---- Where rows went ---------------------------------------------------------------------- */

KERNEL_INLINE void add_row(float *y, const float *x, int64_t features) {
    for (int64_t i = 0; i < features; i += LANES)
        add_some(y + i, vec_load_some(x + i, features - i), features - i);
}

static void kernel_accumulate(const void *args, int64_t group, int64_t begin, int64_t end) {
    const accumulate_args *a = args;
    if (!a->y[group])
        return;
    for (int64_t n = begin; n < end; n++) {
        float *y = a->y[group] + n * a->y_stride;
        const float *x = a->x[group] + n * a->x_stride;
        for (int64_t i = 0; i < a->features; i += LANES)
            add_some(y + i, vec_load_some(x + i, a->features - i) * a->scale, a->features - i);
    }
}

static void kernel_sum_rows_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    const sum_rows_backward_args *a = args;
    const float *dy = a->dy[group];
    if (!a->dx[group])
        return;
    for (int64_t n = begin; n < end; n++) {
        float *dx = a->dx[group] + n * a->dx_stride;
        for (int64_t i = 0; i < a->features; i += LANES)
            add_some(dx + i, vec_load_some(dy + i, a->features - i) * a->scale, a->features - i);
    }
}

/* begin .. end-1 are features here: rows may come together in one row of dx. */
static void kernel_gather_rows_backward(const void *args, int64_t group, int64_t begin,
                                        int64_t end) {
    (void)group;
    const gather_rows_backward_args *a = args;
    for (int64_t n = 0; n < a->rows; n++)
        add_row(a->dx + a->index[n] * a->dx_stride + begin, a->dy + n * a->dy_stride + begin,
                end - begin);
}

static void kernel_scatter_rows_backward(const void *args, int64_t group, int64_t begin,
                                         int64_t end) {
    (void)group;
    const scatter_rows_backward_args *a = args;
    for (int64_t n = begin; n < end; n++)
        add_row(a->dx + n * a->dx_stride, a->dy + a->index[n] * a->dy_stride, a->features);
}

static void kernel_rope_backward(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const rope_backward_args *a = args;
    int64_t half = a->head_dim / 2;
    for (int64_t n = begin; n < end; n++) {
        const float *cosines = a->table + n * a->head_dim, *sines = cosines + half;
        for (int64_t h = 0; h < a->heads; h++) {
            const float *dy = a->dy + n * a->dy_stride + h * a->head_dim;
            float *dx = a->dx + n * a->dx_stride + h * a->head_dim;
            for (int64_t i = 0; i < half; i += LANES) {
                int64_t left = half - i;
                vec y1 = vec_load_some(dy + i, left), y2 = vec_load_some(dy + half + i, left);
                vec c = vec_load_some(cosines + i, left), s = vec_load_some(sines + i, left);
                add_some(dx + i, y1 * c + y2 * s, left);
                add_some(dx + half + i, y2 * c - y1 * s, left);
            }
        }
    }
}

#endif
