/* reference_backward.c - the ops of training in plain C, as backward.h writes them down. Their
 * formulas are tested against finite differences in test_gradients.c. */
#include "backend/reference.h"

#include <math.h>
#include <stdlib.h>

static double weight(dtype type, const void *data, int64_t i) {
    tensor t = {.type = type, .data = data};
    return tensor_get_f32(&t, i);
}

static double rounded(linear_math math, double x) {
    return math == LINEAR_BF16 ? f32_from_bf16(bf16_from_f32((float)x)) : x;
}

static void add(float *y, double x) {
    *y = (float)(*y + x);
}

static float *table_at(float *const *table, int64_t p) {
    return table ? table[p] : NULL;
}

static const float *const_table_at(const float *const *table, int64_t p) {
    return table ? table[p] : NULL;
}

/* ---- Linear ------------------------------------------------------------------------------- */

void reference_linear_backward_x(const linear_backward_x_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows && table_at(a->dx, p); n++)
            for (int64_t i = 0; i < a->in; i++) {
                double sum = 0;
                for (int64_t o = 0; o < a->out; o++)
                    sum += rounded(a->math, a->dy[p][n * a->dy_stride + o]) *
                           rounded(a->math, weight(a->w_type, a->w[p], o * a->w_stride + i));
                add(&a->dx[p][n * a->dx_stride + i], sum);
            }
}

/* Whether an earlier group has the same gradient. */
static bool seen_before(float *const *table, int64_t group) {
    for (int64_t p = 0; p < group; p++)
        if (table[p] == table[group])
            return true;
    return false;
}

void reference_linear_backward_w(const linear_backward_w_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t o = 0; o < a->out; o++) {
            double bias = 0;
            for (int64_t n = 0; n < a->rows; n++)
                bias += a->dy[p][n * a->dy_stride + o];
            if (table_at(a->db, p))
                add(&a->db[p][o], bias);
            for (int64_t i = 0; i < a->in && table_at(a->dw, p); i++) {
                double sum = 0;
                for (int64_t n = 0; n < a->rows; n++)
                    sum += rounded(a->math, a->dy[p][n * a->dy_stride + o]) *
                           rounded(a->math, a->x[p][n * a->x_stride + i]);
                float *dw = &a->dw[p][o * a->dw_stride + i];
                if (a->overwrite && !seen_before(a->dw, p))
                    *dw = 0;
                add(dw, sum);
            }
        }
}

/* ---- Norms and activations ---------------------------------------------------------------- */

void reference_rmsnorm_backward(const rmsnorm_backward_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            const float *x = a->x[p] + n * a->x_stride, *dy = a->dy[p] + n * a->dy_stride;
            double squares = 0, gx = 0, count = (double)a->features;
            for (int64_t i = 0; i < a->features; i++) {
                squares += (double)x[i] * x[i];
                gx += dy[i] * weight(a->w_type, a->w[p], i) * x[i];
            }
            double r = 1 / sqrt(squares / count + a->epsilon);
            for (int64_t i = 0; i < a->features; i++) {
                double g = dy[i] * weight(a->w_type, a->w[p], i);
                if (table_at(a->dx, p))
                    add(&a->dx[p][n * a->dx_stride + i], r * (g - x[i] * r * r * gx / count));
                if (table_at(a->dw, p))
                    add(&a->dw[p][i], dy[i] * x[i] * r);
            }
        }
}

static void layernorm_row(const layernorm_backward_args *a, int64_t p, int64_t n) {
    const float *x = a->x[p] + n * a->x_stride, *dy = a->dy[p] + n * a->dy_stride;
    double mean = 0, variance = 0, mean_g = 0, mean_gh = 0, count = (double)a->features;
    for (int64_t i = 0; i < a->features; i++)
        mean += x[i] / count;
    for (int64_t i = 0; i < a->features; i++)
        variance += (x[i] - mean) * (x[i] - mean) / count;
    double r = 1 / sqrt(variance + a->epsilon);
    for (int64_t i = 0; i < a->features; i++) {
        double g = dy[i] * weight(a->w_type, a->w[p], i);
        mean_g += g / count;
        mean_gh += g * (x[i] - mean) * r / count;
    }
    for (int64_t i = 0; i < a->features; i++) {
        double g = dy[i] * weight(a->w_type, a->w[p], i), h = (x[i] - mean) * r;
        if (table_at(a->dx, p))
            add(&a->dx[p][n * a->dx_stride + i], r * (g - mean_g - h * mean_gh));
        if (table_at(a->dw, p))
            add(&a->dw[p][i], dy[i] * h);
        if (table_at(a->db, p))
            add(&a->db[p][i], dy[i]);
    }
}

void reference_layernorm_backward(const layernorm_backward_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            layernorm_row(a, p, n);
}

/* The activation and its derivative. */
static void activation_of(activation kind, double x, double *value, double *slope) {
    const double pi = 3.14159265358979323846, c = sqrt(2 / pi);
    double s = 1 / (1 + exp(-x)), t = tanh(c * (x + 0.044715 * x * x * x));
    switch (kind) {
    case ACTIVATION_SILU:
        *value = x * s;
        *slope = s + x * s * (1 - s);
        break;
    case ACTIVATION_GELU:
        *value = x * 0.5 * (1 + erf(x / sqrt(2)));
        *slope = 0.5 * (1 + erf(x / sqrt(2))) + x * exp(-x * x / 2) / sqrt(2 * pi);
        break;
    case ACTIVATION_RELU:
        *value = x > 0 ? x : 0;
        *slope = x > 0;
        break;
    default:
        *value = 0.5 * x * (1 + t);
        *slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
}

void reference_activate_backward(const activate_backward_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t i = 0; i < a->features; i++) {
                double value, slope, dy = a->dy[p][n * a->dy_stride + i];
                double up = a->up ? a->up[p][n * a->up_stride + i] : 1;
                activation_of(a->activation, a->x[p][n * a->x_stride + i], &value, &slope);
                if (table_at(a->dx, p))
                    add(&a->dx[p][n * a->dx_stride + i], dy * up * slope);
                if (table_at(a->dup, p))
                    add(&a->dup[p][n * a->dup_stride + i], dy * value);
            }
}

/* ---- Where rows went ---------------------------------------------------------------------- */

void reference_accumulate(const accumulate_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows && a->y[p]; n++)
            for (int64_t i = 0; i < a->features; i++)
                add(&a->y[p][n * a->y_stride + i], a->x[p][n * a->x_stride + i] * a->scale);
}

void reference_sum_rows_backward(const sum_rows_backward_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows && a->dx[p]; n++)
            for (int64_t i = 0; i < a->features; i++)
                add(&a->dx[p][n * a->dx_stride + i], a->dy[p][i] * a->scale);
}

void reference_gather_rows_backward(const gather_rows_backward_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->features; i++)
            a->dx[a->index[n] * a->dx_stride + i] += a->dy[n * a->dy_stride + i];
}

void reference_scatter_rows_backward(const scatter_rows_backward_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->features; i++)
            a->dx[n * a->dx_stride + i] += a->dy[a->index[n] * a->dy_stride + i];
}

void reference_rope_backward(const rope_backward_args *a) {
    int64_t half = a->head_dim / 2;
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < half; i++) {
                const float *dy = a->dy + n * a->dy_stride + h * a->head_dim;
                float *dx = a->dx + n * a->dx_stride + h * a->head_dim;
                double c = a->table[n * a->head_dim + i], s = a->table[n * a->head_dim + half + i];
                add(&dx[i], dy[i] * c + dy[half + i] * s);
                add(&dx[half + i], dy[half + i] * c - dy[i] * s);
            }
}

/* ---- Attention ---------------------------------------------------------------------------- */

static double dot(const float *x, const float *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* Three walks over what query n sees: the largest score, the sum, the gradients, which go to dq,
 * dk and dv in double. */
static void attend_backward(const attention_backward_args *a, int64_t b, int64_t n, int64_t h,
                            double *dq, double *dk, double *dv) {
    int64_t g = h / (a->heads / a->kv_heads), dim = a->head_dim;
    const float *q = a->q + n * a->q_stride + h * dim, *dy = a->dy + n * a->dy_stride + h * dim;
    double largest = -INFINITY, total = 0;
    double center = dot(dy, a->y + n * a->y_stride + h * dim, dim);
    for (int walk = 0; walk < 3; walk++)
        for (int32_t r = a->range_start[b]; r < a->range_start[b + 1]; r++)
            for (int64_t j = 0; j < a->ranges[r].count; j++) {
                int64_t position = a->ranges[r].position + j, row = a->ranges[r].row + j;
                if (position > a->positions[n] ||
                    (a->window > 0 && position <= a->positions[n] - a->window))
                    continue;
                const float *k = a->k + row * a->kv_stride + g * dim;
                double score = dot(q, k, dim) * a->scale;
                if (walk == 0)
                    largest = fmax(largest, score);
                if (walk == 1)
                    total += exp(score - largest);
                if (walk < 2)
                    continue;
                double p = exp(score - largest) / total;
                double e = p * (dot(dy, a->v + row * a->kv_stride + g * dim, dim) - center);
                bool wanted = !a->wanted || a->wanted[r];
                for (int64_t d = 0; d < dim; d++) {
                    dq[(n * a->heads + h) * dim + d] += e * k[d] * a->scale;
                    dk[row * a->dkv_stride + g * dim + d] += wanted ? e * q[d] * a->scale : 0;
                    dv[row * a->dkv_stride + g * dim + d] += wanted ? p * dy[d] : 0;
                }
            }
}

void reference_attention_backward(const attention_backward_args *a) {
    int64_t pool = 1, width = a->heads * a->head_dim;
    for (int32_t r = 0; r < a->range_start[a->sequences]; r++)
        pool = max_i64(pool, a->ranges[r].row + a->ranges[r].count);
    size_t count = (size_t)(pool * a->dkv_stride);
    double *dq = calloc((size_t)(max_i64(a->rows, 1) * width), sizeof *dq);
    double *dk = calloc(count, sizeof *dk), *dv = calloc(count, sizeof *dv);
    C2C_ASSERT(dq && dk && dv);
    for (int64_t b = 0; b < a->sequences; b++)
        for (int64_t n = a->q_start[b]; n < a->q_start[b + 1]; n++)
            for (int64_t h = 0; h < a->heads; h++)
                attend_backward(a, b, n, h, dq, dk, dv);
    for (int64_t n = 0; n < a->rows && a->dq; n++)
        for (int64_t i = 0; i < width; i++)
            add(&a->dq[n * a->dq_stride + i], dq[n * width + i]);
    for (size_t i = 0; i < count && a->dk; i++) {
        add(&a->dk[i], dk[i]);
        add(&a->dv[i], dv[i]);
    }
    free(dq);
    free(dk);
    free(dv);
}

/* ---- Fusing ------------------------------------------------------------------------------- */

static int64_t stride_at(const fuse_strides *s, int64_t n, int64_t g, int64_t d) {
    return n * s->row + g * s->head + d * s->element;
}

static void mix_backward(const fuse_mix_backward_args *a, int64_t p, int64_t n, int64_t g,
                         int64_t d) {
    int64_t i = g * a->head_dim + d, at_w = stride_at(&a->w_strides, n, g, d);
    int64_t at_gate = stride_at(&a->gate_strides, n, g, d);
    const void *w = a->w ? a->w[p] : NULL, *gate = a->gate ? a->gate[p] : NULL;
    const float *u = const_table_at(a->uniforms, p);
    double s = 1, open = 1, dy = a->dy[p][n * a->dy_stride + i];
    double x = const_table_at(a->x, p) ? a->x[p][n * a->x_stride + i] : 0;
    double r = const_table_at(a->receiver, p) ? a->receiver[p][n * a->receiver_stride + i] : 0;
    if (w)
        s = 1 / (1 + exp(-weight(a->w_type, w, at_w) / a->temperature));
    if (gate && u) {
        double noise = -log(-log(u[stride_at(&a->uniform_strides, n, g, d)] + 1e-20) + 1e-20);
        open = 1 / (1 + exp(-(weight(a->gate_type, gate, at_gate) + noise) / a->gate_temperature));
    } else if (gate) {
        open = weight(a->gate_type, gate, at_gate) > 0;
    }
    if (table_at(a->dreceiver, p))
        add(&a->dreceiver[p][n * a->dreceiver_stride + i], (a->scale_receiver ? 1 - s : 1) * dy);
    if (table_at(a->dx, p))
        add(&a->dx[p][n * a->dx_stride + i], open * s * dy);
    if (w && table_at(a->dw, p))
        add(&a->dw[p][at_w],
            s * (1 - s) / a->temperature * dy * (open * x - (a->scale_receiver ? r : 0)));
    if (gate && u && table_at(a->dgate, p))
        add(&a->dgate[p][at_gate], open * (1 - open) / a->gate_temperature * dy * s * x);
}

void reference_fuse_mix_backward(const fuse_mix_backward_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t g = 0; g < a->kv_heads; g++)
                for (int64_t d = 0; d < a->head_dim; d++)
                    mix_backward(a, p, n, g, d);
}

/* ---- Random numbers ----------------------------------------------------------------------- */

/* Number j of row n and group p, block by block from the generator of base. */
static float uniform_of(const random_rows *r, int64_t p, int64_t n, int64_t j) {
    uint32_t bits[4];
    const random_key key = {.seed = r->seed,
                            .step = r->step,
                            .sample = (uint32_t)r->samples[n],
                            .site = r->site};
    random_block(&key, bits);
    const random_key row = {.seed = bits[0] | (uint64_t)bits[1] << 32,
                            .step = (uint32_t)r->positions[n] | (uint64_t)(r->group + (uint32_t)p)
                                                                    << 32,
                            .sample = (uint32_t)(j / 64 * 16 + j % 16)};
    random_block(&row, bits);
    return ((float)(bits[j / 16 % 4] >> 9) + 0.5f) * 0x1p-23f;
}

void reference_uniforms(const uniforms_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t j = 0; j < a->features; j++)
                a->u[p][n * a->u_stride + j] = uniform_of(&a->random, p, n, j);
}

void reference_dropout(const dropout_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t j = 0; j < a->features; j++) {
                float *y = &a->y[p][n * a->y_stride + j], x = a->x[p][n * a->x_stride + j];
                double kept =
                    uniform_of(&a->random, p, n, j) >= a->rate ? x / (1 - (double)a->rate) : 0;
                *y = (float)(a->accumulate ? *y + kept : kept);
            }
}

/* ---- Loss and optimizer ------------------------------------------------------------------- */

void reference_cross_entropy(const cross_entropy_args *a) {
    for (int64_t n = 0; n < a->rows; n++) {
        float *x = a->logits + n * a->stride;
        int32_t label = a->labels[n];
        double largest = -INFINITY, total = 0;
        for (int64_t i = 0; i < a->features; i++)
            largest = fmax(largest, x[i]);
        for (int64_t i = 0; i < a->features; i++)
            total += exp(x[i] - largest);
        a->losses[n] = label < 0 ? 0 : (float)(log(total) + largest - x[label]);
        for (int64_t i = 0; i < a->features && !a->loss_only; i++) {
            double p = exp(x[i] - largest) / total - (i == label);
            x[i] = label < 0 ? 0 : (float)(p * a->scale);
        }
    }
}

void reference_squared_norm(const squared_norm_args *a) {
    double sum = a->accumulate ? *a->sum : 0;
    for (int64_t i = 0; i < a->count; i++)
        sum += (double)a->x[i] * a->x[i];
    *a->sum = sum;
}

void reference_scale(const scale_args *a) {
    for (int64_t i = 0; i < a->count; i++)
        a->y[i] *= a->factor;
}

void reference_adamw(const adamw_args *a) {
    double correction1 = 1 - pow(a->beta1, (double)a->step);
    double correction2 = 1 - pow(a->beta2, (double)a->step);
    for (int64_t i = 0; i < a->count; i++) {
        double g = (double)a->dw[i] * a->gradient_scale;
        double m = a->beta1 * a->m[i] + (1 - a->beta1) * g;
        double v = a->beta2 * a->v[i] + (1 - a->beta2) * g * g;
        double w = a->w[i] * (1 - a->learning_rate * a->weight_decay);
        w -= a->learning_rate * (m / correction1) / (sqrt(v / correction2) + a->epsilon);
        a->w[i] = (float)w;
        a->m[i] = (float)m;
        a->v[i] = (float)v;
    }
}
