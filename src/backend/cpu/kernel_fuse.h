/* kernel_fuse.h - the end of every projector: weights and gates from their logits, and the mix of
 * receiver and projection, compiled once per instruction set. */
#ifndef C2C_BACKEND_CPU_KERNEL_FUSE_H
#define C2C_BACKEND_CPU_KERNEL_FUSE_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

/* Logits d .. d+left-1 of row n and head g; those of one number for all d, in every lane. */
KERNEL_INLINE vec load_logits(dtype type, const char *logits, const fuse_strides *strides,
                              int64_t n, int64_t g, int64_t d, int64_t left) {
    int64_t at = n * strides->row + g * strides->head;
    if (strides->element)
        return vec_load_weight(type, logits, at + d, left);
    return vec_set(weight_at(type, logits, at));
}

/* What one group's weights and gates are made from; pointers may be NULL. */
typedef struct mix_source {
    const char *w, *gate, *uniforms;
    dtype w_type, gate_type;
    const fuse_strides *w_strides, *gate_strides, *uniform_strides;
    float temperature, gate_temperature;
    bool by_element; /* they differ within a head */
} mix_source;

/* Of fuse_mix or fuse_mix_backward, whose fields have the same names. */
#define MIX_SOURCE(a, group)                                                                       \
    {                                                                                              \
        .w = (a)->w ? (a)->w[group] : NULL, .gate = (a)->gate ? (a)->gate[group] : NULL,           \
        .uniforms = (a)->uniforms ? (const char *)(a)->uniforms[group] : NULL,                     \
        .w_type = (a)->w_type, .gate_type = (a)->gate_type, .w_strides = &(a)->w_strides,          \
        .gate_strides = &(a)->gate_strides, .uniform_strides = &(a)->uniform_strides,              \
        .temperature = (a)->temperature, .gate_temperature = (a)->gate_temperature,                \
        .by_element =                                                                              \
            (a)->w_strides.element || (a)->gate_strides.element || (a)->uniform_strides.element,   \
    }

/* The s and open of backend.h. */
typedef struct mix_factors {
    vec s, open;
} mix_factors;

KERNEL_INLINE mix_factors load_factors(const mix_source *m, int64_t n, int64_t g, int64_t d,
                                       int64_t left) {
    mix_factors f = {vec_set(1.0f), vec_set(1.0f)};
    if (m->w)
        f.s =
            vec_sigmoid(load_logits(m->w_type, m->w, m->w_strides, n, g, d, left) / m->temperature);
    if (!m->gate)
        return f;
    vec gate = load_logits(m->gate_type, m->gate, m->gate_strides, n, g, d, left);
    if (m->uniforms) {
        vec u = load_logits(DTYPE_F32, m->uniforms, m->uniform_strides, n, g, d, left);
        vec noise = -vec_log(1e-20f - vec_log(u + 1e-20f));
        f.open = vec_sigmoid((gate + noise) / m->gate_temperature);
    } else {
        f.open = vec_select(gate > 0.0f, f.open, vec_set(0.0f));
    }
    return f;
}

static void kernel_fuse_mix(const void *args, int64_t group, int64_t begin, int64_t end) {
    const fuse_mix_args *a = args;
    const mix_source source = MIX_SOURCE(a, group);
    const float *receiver = a->receiver ? a->receiver[group] : NULL;
    const float *projected = a->x ? a->x[group] : NULL;
    for (int64_t n = begin; n < end; n++)
        for (int64_t g = 0; g < a->kv_heads; g++) {
            int64_t skip = g * a->head_dim;
            const float *x = projected ? projected + n * a->x_stride + skip : NULL;
            const float *r = receiver ? receiver + n * a->receiver_stride + skip : NULL;
            float *y = a->y[group] + n * a->y_stride + skip;
            mix_factors f = load_factors(&source, n, g, 0, a->head_dim);
            for (int64_t i = 0; i < a->head_dim; i += LANES) {
                int64_t left = a->head_dim - i;
                if (source.by_element && i)
                    f = load_factors(&source, n, g, i, left);
                vec v = {0};
                if (x)
                    v = f.s * f.open * vec_load_some(x + i, left);
                if (r) {
                    vec other = vec_load_some(r + i, left);
                    v += a->scale_receiver ? (1.0f - f.s) * other : other;
                }
                vec_store_some(y + i, v, left);
            }
        }
}

#endif
