/* kernel_rows.h - the ops that treat each row by itself, compiled once per instruction set. Each
 * kernel does rows begin .. end-1 of one group. */
#ifndef C2C_BACKEND_CPU_KERNEL_ROWS_H
#define C2C_BACKEND_CPU_KERNEL_ROWS_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_fuse.h"
#include "backend/cpu/kernel_quantize.h"
#include "backend/cpu/vector.h"

#include <math.h>

static void kernel_embed(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const embed_args *a = args;
    int64_t row_bytes = a->features * (int64_t)dtype_size(a->table_type);
    for (int64_t n = begin; n < end; n++) {
        C2C_ASSERT(a->ids[n] >= 0);
        const char *x = (const char *)a->table + a->ids[n] * row_bytes;
        float *y = a->y + n * a->features;
        for (int64_t i = 0; i < a->features; i += LANES) {
            vec v = vec_load_weight(a->table_type, x, i, a->features - i);
            vec_store_some(y + i, v * a->scale, a->features - i);
        }
    }
}

/* The sum of squares in 4 * LANES partial sums, which keeps its error near one rounding. */
static float mean_square(const float *x, int64_t features) {
    vec sum[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * LANES <= features; i += 4 * LANES)
        UNROLL for (int j = 0; j < 4; j++) {
            vec v = vec_load(x + i + j * LANES);
            sum[j] = vec_fma(v, v, sum[j]);
        }
    for (int j = 0; i < features; i += LANES, j++) {
        vec v = vec_load_some(x + i, features - i);
        sum[j] = vec_fma(v, v, sum[j]);
    }
    return vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)features;
}

/* What rmsnorm multiplies a row by, beside the weights. */
static float norm_factor(const float *x, int64_t features, float epsilon) {
    return 1.0f / sqrtf(mean_square(x, features) + epsilon);
}

static void kernel_rmsnorm(const void *args, int64_t group, int64_t begin, int64_t end) {
    const rmsnorm_args *a = args;
    const char *w = a->w[group];
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x[group] + n * a->x_stride;
        float *y = a->y[group] + n * a->y_stride;
        float factor = norm_factor(x, a->features, a->epsilon);
        for (int64_t i = 0; i < a->features; i += LANES) {
            vec v = vec_load_some(x + i, a->features - i) * factor;
            v *= vec_load_weight(a->w_type, w, i, a->features - i);
            vec_store_some(y + i, v, a->features - i);
        }
    }
}

/* The sum of x - shift, or of its squares, in 4 * LANES partial sums like mean_square's. */
KERNEL_INLINE float sum_shifted(const float *x, int64_t features, float shift, bool squares) {
    vec sum[4] = {{0}};
    for (int64_t i = 0, j = 0; i < features; i += LANES, j = (j + 1) % 4) {
        int64_t left = features - i;
        /* The lanes behind the end must stay zero: shift is loaded as x is. */
        vec v = left >= LANES ? vec_load(x + i) - shift
                              : vec_load_part(x + i, left) - vec_set_part(shift, left);
        sum[j] = squares ? vec_fma(v, v, sum[j]) : sum[j] + v;
    }
    return vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void kernel_layernorm(const void *args, int64_t group, int64_t begin, int64_t end) {
    const layernorm_args *a = args;
    const char *w = a->w[group], *b = a->b[group];
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x[group] + n * a->x_stride;
        float *y = a->y[group] + n * a->y_stride;
        float mean = sum_shifted(x, a->features, 0, false) / (float)a->features;
        float variance = sum_shifted(x, a->features, mean, true) / (float)a->features;
        float factor = 1.0f / sqrtf(variance + a->epsilon);
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            vec v = (vec_load_some(x + i, left) - mean) * factor;
            v = v * vec_load_weight(a->w_type, w, i, left);
            vec_store_some(y + i, v + vec_load_weight(a->b_type, b, i, left), left);
        }
    }
}

static void kernel_add(const void *args, int64_t group, int64_t begin, int64_t end) {
    const add_args *op = args;
    for (int64_t n = begin; n < end; n++) {
        const float *a = op->a[group] + n * op->a_stride, *b = op->b[group] + n * op->b_stride;
        float *y = op->y[group] + n * op->y_stride;
        for (int64_t i = 0; i < op->features; i += LANES) {
            int64_t left = op->features - i;
            vec_store_some(y + i, vec_load_some(a + i, left) + vec_load_some(b + i, left), left);
        }
    }
}

static void kernel_add_difference(const void *args, int64_t group, int64_t begin, int64_t end) {
    const add_difference_args *op = args;
    for (int64_t n = begin; n < end; n++) {
        const float *a = op->a[group] + n * op->a_stride, *b = op->b[group] + n * op->b_stride;
        float *y = op->y[group] + n * op->y_stride;
        for (int64_t i = 0; i < op->features; i += LANES) {
            int64_t left = op->features - i;
            vec difference = vec_load_some(a + i, left) - vec_load_some(b + i, left);
            vec_store_some(y + i, vec_load_some(y + i, left) + difference, left);
        }
    }
}

/* Two of the activations are x / (1 + e^-t) with another t. */
KERNEL_INLINE vec vec_activation(activation kind, vec x) {
    vec t = x;
    if (kind == ACTIVATION_GELU)
        return 0.5f * x * (1.0f + vec_erf(x * 0x1.6a09e6p-1f)); /* x / sqrt 2 */
    if (kind == ACTIVATION_RELU)
        return vec_max(vec_set(0.0f), x); /* a NaN stays a NaN */
    if (kind == ACTIVATION_GELU_TANH)
        t = (x + 0.044715f * x * x * x) * 1.5957691216057308f; /* 2 sqrt(2/pi) */
    return x / (1.0f + vec_exp(-t));
}

/* Inlined with constants: a loop of its own for each activation, with and without up. */
KERNEL_INLINE void activate_row(activation kind, float *y, const float *x, const float *up,
                                int64_t features) {
    for (int64_t i = 0; i < features; i += LANES) {
        int64_t left = features - i;
        vec v = vec_activation(kind, vec_load_some(x + i, left));
        vec_store_some(y + i, up ? v * vec_load_some(up + i, left) : v, left);
    }
}

static void kernel_activate(const void *args, int64_t group, int64_t begin, int64_t end) {
    const activate_args *a = args;
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x[group] + n * a->x_stride;
        const float *up = a->up ? a->up[group] + n * a->up_stride : NULL;
        float *y = a->y[group] + n * a->y_stride;
        switch (a->activation) {
        case ACTIVATION_SILU: activate_row(ACTIVATION_SILU, y, x, up, a->features); break;
        case ACTIVATION_GELU_TANH: activate_row(ACTIVATION_GELU_TANH, y, x, up, a->features); break;
        case ACTIVATION_GELU: activate_row(ACTIVATION_GELU, y, x, up, a->features); break;
        case ACTIVATION_RELU: activate_row(ACTIVATION_RELU, y, x, up, a->features); break;
        }
    }
}

/* begin .. end-1 are features here. Each is summed by itself, one row after the other. */
static void kernel_sum_rows(const void *args, int64_t group, int64_t begin, int64_t end) {
    const sum_rows_args *a = args;
    for (int64_t i = begin; i < end; i += LANES) {
        int64_t left = end - i;
        const float *x = a->x[group] + i;
        float *y = a->y[group] + i;
        vec sum = {0};
        for (int64_t n = 0; n < a->rows; n++)
            sum += vec_load_some(x + n * a->x_stride, left);
        sum *= a->scale;
        vec_store_some(y, a->accumulate ? vec_load_some(y, left) + sum : sum, left);
    }
}

static void kernel_rope_table(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const rope_table_args *a = args;
    for (int64_t n = begin; n < end; n++) {
        float *row = a->table + n * 2 * a->half;
        for (int64_t i = 0; i < a->half; i++) {
            /* The product in f32, as PyTorch makes it: at far positions its rounding shows. */
            float angle = (float)a->positions[n] * a->inverse_frequency[i];
            row[i] = cosf(angle) * a->scale;
            row[a->half + i] = sinf(angle) * a->scale;
        }
    }
}

static void kernel_rope(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const rope_args *a = args;
    int64_t half = a->head_dim / 2;
    for (int64_t n = begin; n < end; n++) {
        const float *cosines = a->table + n * a->head_dim, *sines = cosines + half;
        for (int64_t h = 0; h < a->heads; h++) {
            const float *x = a->x + n * a->x_stride + h * a->head_dim;
            float *y = a->y + n * a->y_stride + h * a->head_dim;
            for (int64_t i = 0; i < half; i += LANES) {
                int64_t left = half - i;
                vec x1 = vec_load_some(x + i, left), x2 = vec_load_some(x + half + i, left);
                vec c = vec_load_some(cosines + i, left), s = vec_load_some(sines + i, left);
                vec_store_some(y + i, x1 * c - x2 * s, left);
                vec_store_some(y + half + i, x2 * c + x1 * s, left);
            }
        }
    }
}

/* A row of a cache: f32 or bf16. */
static void copy_row(void *y, dtype y_type, const void *x, dtype x_type, int64_t features) {
    if (y_type == x_type) {
        memcpy(y, x, (size_t)features * dtype_size(y_type));
        return;
    }
    for (int64_t i = 0; i < features; i += LANES) {
        vec v = vec_load_weight(x_type, x, i, features - i);
        if (y_type == DTYPE_BF16)
            vec_store_bf16((uint16_t *)y + i, v, features - i);
        else
            vec_store_some((float *)y + i, v, features - i);
    }
}

static void kernel_scatter_rows(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const scatter_rows_args *a = args;
    int64_t row_bytes = a->y_stride * (int64_t)dtype_size(a->y_type);
    for (int64_t n = begin; n < end; n++)
        copy_row((char *)a->y + a->index[n] * row_bytes, a->y_type, a->x + n * a->x_stride,
                 DTYPE_F32, a->features);
}

/* Weights of a head's norm; data is NULL where it has none. */
typedef struct head_norm {
    const char *data;
    dtype type;
    float epsilon;
} head_norm;

/* y = rope(norm(x)), the bits of both kernels above; y of y_type may be x. */
KERNEL_INLINE void place_head(void *y, dtype y_type, const float *x, head_norm norm,
                              const float *cosines, int64_t half) {
    const float *sines = cosines + half;
    float factor = norm.data ? norm_factor(x, 2 * half, norm.epsilon) : 0;
    for (int64_t i = 0; i < half; i += LANES) {
        int64_t left = half - i;
        vec x1 = vec_load_some(x + i, left), x2 = vec_load_some(x + half + i, left);
        if (norm.data) {
            x1 = x1 * factor * vec_load_weight(norm.type, norm.data, i, left);
            x2 = x2 * factor * vec_load_weight(norm.type, norm.data, half + i, left);
        }
        vec c = vec_load_some(cosines + i, left), s = vec_load_some(sines + i, left);
        vec y1 = x1 * c - x2 * s, y2 = x2 * c + x1 * s;
        if (y_type == DTYPE_BF16) {
            vec_store_bf16((uint16_t *)y + i, y1, left);
            vec_store_bf16((uint16_t *)y + half + i, y2, left);
        } else {
            vec_store_some((float *)y + i, y1, left);
            vec_store_some((float *)y + half + i, y2, left);
        }
    }
}

static void kernel_rope_store(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const rope_store_args *a = args;
    const head_norm q_norm = {a->q_norm, a->q_norm_type, a->epsilon};
    const head_norm k_norm = {a->k_norm, a->k_norm_type, a->epsilon};
    int64_t d = a->head_dim, features = a->kv_heads * d, size = (int64_t)dtype_size(a->kv_type);
    /* One kind after the other: rows that follow each other are fetched ahead. */
    for (int64_t n = begin; a->q && n < end; n++)
        for (int64_t h = 0; h < a->heads; h++) {
            float *q = a->q + (n * a->heads + h) * d;
            place_head(q, DTYPE_F32, q, q_norm, a->table + n * d, d / 2);
        }
    for (int64_t n = begin; a->k && n < end; n++)
        for (int64_t g = 0; g < a->kv_heads; g++)
            place_head((char *)a->keys + (a->index[n] * a->kv_stride + g * d) * size, a->kv_type,
                       a->k + n * features + g * d, k_norm, a->table + n * d, d / 2);
    for (int64_t n = begin; a->k && n < end; n++)
        copy_row((char *)a->values + a->index[n] * a->kv_stride * size, a->kv_type,
                 a->v + n * features, DTYPE_F32, features);
}

static void kernel_gather_rows(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const gather_rows_args *a = args;
    for (int64_t n = begin; n < end; n++)
        memcpy(a->y + n * a->y_stride, a->x + a->index[n] * a->x_stride,
               (size_t)a->features * sizeof(float));
}

static void kernel_copy_rows(const void *args, int64_t group, int64_t begin, int64_t end) {
    const copy_rows_args *a = args;
    int64_t y_bytes = a->y_stride * (int64_t)dtype_size(a->y_type);
    int64_t x_bytes = a->x_stride * (int64_t)dtype_size(a->x_type);
    for (int64_t n = begin; n < end; n++)
        copy_row((char *)a->y[group] + n * y_bytes, a->y_type,
                 (const char *)a->x[group] + n * x_bytes, a->x_type, a->features);
}

static void kernel_argmax(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const argmax_args *a = args;
    for (int64_t n = begin; n < end; n++) {
        const float *x = a->x + n * a->x_stride;
        /* The largest number first, then where it stands: two plain passes beat one with
         * a place for every lane. A NaN never is larger. */
        vec best = vec_set(-INFINITY);
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            if (left >= LANES)
                best = vec_max(vec_load(x + i), best);
            else
                for (int64_t j = i; j < a->features; j++)
                    best[0] = x[j] > best[0] ? x[j] : best[0];
        }
        float largest = vec_largest(best);
        int64_t id = 0;
        while (id < a->features && x[id] != largest)
            id++;
        a->ids[n] = id < a->features ? (int32_t)id : 0;
    }
}

/* A row of weights of any type. */
static void kernel_quantize(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const quantize_args *a = args;
    for (int64_t row = begin; row < end; row++) {
        const char *x = (const char *)a->x + row * a->x_stride * (int64_t)dtype_size(a->x_type);
        int8_t *y = a->y + row * a->features;
        vec_ints best = {0};
        for (int64_t i = 0; i < a->features; i += LANES)
            best = larger_bits(best, vec_load_weight(a->x_type, x, i, a->features - i));
        quantum q = quantum_of(largest_size(best));
        a->scale[row] = q.scale;
        for (int64_t i = 0; i < a->features; i += LANES) {
            vec v = quantize(vec_load_weight(a->x_type, x, i, a->features - i), q.inverse);
            for (int64_t k = 0; k < min_i64(LANES, a->features - i); k++)
                y[i + k] = (int8_t)v[k];
        }
    }
}

/* Row by row of a panel: reads along x, writes pairs PANEL_OUTS apart. */
static void kernel_pack_panels(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const pack_panels_args *a = args;
    const int64_t stride = panel_stride(a->features);
    for (int64_t panel = begin; panel < end; panel++)
        for (int64_t r = 0; r < PANEL_OUTS; r++) {
            const int64_t row = panel * PANEL_OUTS + r, n = row < a->rows ? a->features : 0;
            uint16_t *y = a->y + panel * stride + 2 * r;
            for (int64_t i = 0; i < stride / PANEL_OUTS; i++)
                y[i / 2 * 2 * PANEL_OUTS + i % 2] = i < n ? a->x[row * a->x_stride + i] : 0;
        }
}

#define ROW_KERNELS                                                                                \
    {                                                                                              \
        [OP_embed] = kernel_embed, [OP_rmsnorm] = kernel_rmsnorm,                                  \
        [OP_layernorm] = kernel_layernorm, [OP_activate] = kernel_activate, [OP_add] = kernel_add, \
        [OP_add_difference] = kernel_add_difference, [OP_sum_rows] = kernel_sum_rows,              \
        [OP_rope_table] = kernel_rope_table, [OP_rope] = kernel_rope,                              \
        [OP_rope_store] = kernel_rope_store, [OP_scatter_rows] = kernel_scatter_rows,              \
        [OP_gather_rows] = kernel_gather_rows, [OP_copy_rows] = kernel_copy_rows,                  \
        [OP_fuse_mix] = kernel_fuse_mix, [OP_argmax] = kernel_argmax,                              \
        [OP_quantize] = kernel_quantize, [OP_pack_panels] = kernel_pack_panels,                    \
    }

#endif
