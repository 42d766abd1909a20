/* reference.c - the ops of a forward pass in plain C, as backend.h writes it down. No speed, no
 * tricks. */
#include "backend/reference.h"

#include <math.h>
#include <stdlib.h>

static double weight(dtype type, const void *data, int64_t i) {
    tensor t = {.type = type, .data = data};
    return tensor_get_f32(&t, i);
}

static double round_bf16(double x) {
    return f32_from_bf16(bf16_from_f32((float)x));
}

void reference_embed(const embed_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->features; i++)
            a->y[n * a->features + i] =
                (float)weight(a->table_type, a->table, a->ids[n] * a->features + i) * a->scale;
}

void reference_rmsnorm(const rmsnorm_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            const float *x = a->x[p] + n * a->x_stride;
            double squares = 0;
            for (int64_t i = 0; i < a->features; i++)
                squares += (double)x[i] * x[i];
            double root = sqrt(squares / (double)a->features + a->epsilon);
            for (int64_t i = 0; i < a->features; i++)
                a->y[p][n * a->y_stride + i] = (float)(x[i] / root * weight(a->w_type, a->w[p], i));
        }
}

/* Numbers as integers times a scale: both in f32, as the op says, so that ties are the same. */
static float quantum(float largest) {
    return largest > 1e-36f ? largest / 127 : 0;
}

static float quantized(float x, float largest) {
    return largest > 1e-36f ? rintf(x * (127 / largest)) : 0;
}

void reference_quantize(const quantize_args *a) {
    for (int64_t n = 0; n < a->rows; n++) {
        float largest = 0;
        for (int64_t i = 0; i < a->features; i++)
            largest = fmaxf(largest, fabsf((float)weight(a->x_type, a->x, n * a->x_stride + i)));
        a->scale[n] = quantum(largest);
        for (int64_t i = 0; i < a->features; i++)
            a->y[n * a->features + i] =
                (int8_t)quantized((float)weight(a->x_type, a->x, n * a->x_stride + i), largest);
    }
}

/* From where each element stands in y to what it is. */
void reference_pack_panels(const pack_panels_args *a) {
    const int64_t pairs = (a->features + 1) / 2;
    for (int64_t at = 0; at < panel_elements(a->rows, a->features); at++) {
        int64_t which = at % 2, row = at / 2 % PANEL_OUTS, pair = at / 2 / PANEL_OUTS % pairs;
        int64_t i = 2 * pair + which;
        row += at / 2 / PANEL_OUTS / pairs * PANEL_OUTS;
        a->y[at] = row < a->rows && i < a->features ? a->x[row * a->x_stride + i] : 0;
    }
}

/* Element i of a row as a linear with i8 weights sees it. */
static double rounded_to_block(const float *row, int64_t in, int64_t i) {
    int64_t begin = i / LINEAR_INT8_BLOCK * LINEAR_INT8_BLOCK;
    float largest = 0;
    for (int64_t k = begin; k < in && k < begin + LINEAR_INT8_BLOCK; k++)
        largest = fmaxf(largest, fabsf(row[k]));
    return (double)quantized(row[i], largest) * quantum(largest);
}

static double linear_product(const linear_args *a, int64_t p, int64_t n, int64_t o, int64_t i) {
    const float *row = a->prepare ? a->prepared[p] + n * a->in : a->x[p] + n * a->x_stride;
    int64_t at = o * a->w_stride + i;
    if (a->w_type == DTYPE_I8)
        return rounded_to_block(row, a->in, i) * ((const int8_t *)a->w[p])[at] * a->scale[p][o];
    double w = weight(a->w_type, a->w[p], at);
    return a->math == LINEAR_BF16 ? round_bf16(row[i]) * round_bf16(w) : row[i] * w;
}

void reference_linear(const linear_args *a) {
    int32_t prepared = linear_shares_rows(a) ? 1 : a->groups;
    rmsnorm_args norm = linear_norm(a, prepared);
    activate_args activate = linear_activate(a, prepared);
    if (a->prepare == LINEAR_PREPARE_NORM)
        reference_rmsnorm(&norm);
    if (a->prepare == LINEAR_PREPARE_ACTIVATE)
        reference_activate(&activate);
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t o = 0; o < linear_outs(a, p); o++) {
                double sum = 0;
                for (int64_t i = 0; i < a->in; i++)
                    sum += linear_product(a, p, n, o, i);
                if (a->b && a->b[p])
                    sum += weight(a->b_type, a->b[p], o);
                float *y = &a->y[p][n * linear_y_stride(a, p) + o];
                *y = (float)(a->accumulate ? *y + sum : sum);
            }
}

void reference_layernorm(const layernorm_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            const float *x = a->x[p] + n * a->x_stride;
            double sum = 0, squares = 0, count = (double)a->features;
            for (int64_t i = 0; i < a->features; i++)
                sum += x[i];
            for (int64_t i = 0; i < a->features; i++)
                squares += (x[i] - sum / count) * (x[i] - sum / count);
            double mean = sum / count, root = sqrt(squares / count + a->epsilon);
            for (int64_t i = 0; i < a->features; i++)
                a->y[p][n * a->y_stride + i] =
                    (float)((x[i] - mean) / root * weight(a->w_type, a->w[p], i) +
                            weight(a->b_type, a->b[p], i));
        }
}

void reference_add(const add_args *op) {
    for (int64_t p = 0; p < op->groups; p++)
        for (int64_t n = 0; n < op->rows; n++)
            for (int64_t i = 0; i < op->features; i++)
                op->y[p][n * op->y_stride + i] =
                    op->a[p][n * op->a_stride + i] + op->b[p][n * op->b_stride + i];
}

void reference_add_difference(const add_difference_args *op) {
    for (int64_t p = 0; p < op->groups; p++)
        for (int64_t n = 0; n < op->rows; n++)
            for (int64_t i = 0; i < op->features; i++)
                op->y[p][n * op->y_stride + i] +=
                    op->a[p][n * op->a_stride + i] - op->b[p][n * op->b_stride + i];
}

static double reference_activation(activation kind, double x) {
    switch (kind) {
    case ACTIVATION_SILU: return x / (1 + exp(-x));
    case ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACTIVATION_RELU: return x > 0 ? x : 0;
    default:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    }
}

void reference_activate(const activate_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t i = 0; i < a->features; i++) {
                double x = a->x[p][n * a->x_stride + i];
                double up = a->up ? a->up[p][n * a->up_stride + i] : 1;
                a->y[p][n * a->y_stride + i] = (float)(reference_activation(a->activation, x) * up);
            }
}

void reference_sum_rows(const sum_rows_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t i = 0; i < a->features; i++) {
            double sum = 0;
            for (int64_t n = 0; n < a->rows; n++)
                sum += a->x[p][n * a->x_stride + i];
            a->y[p][i] = (float)((a->accumulate ? a->y[p][i] : 0) + sum * a->scale);
        }
}

void reference_rope_table(const rope_table_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->half; i++) {
            float angle = (float)a->positions[n] * a->inverse_frequency[i];
            a->table[n * 2 * a->half + i] = (float)(cos(angle) * a->scale);
            a->table[n * 2 * a->half + a->half + i] = (float)(sin(angle) * a->scale);
        }
}

void reference_rope(const rope_args *a) {
    int64_t half = a->head_dim / 2;
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < half; i++) {
                const float *x = a->x + n * a->x_stride + h * a->head_dim;
                float *y = a->y + n * a->y_stride + h * a->head_dim;
                double c = a->table[n * a->head_dim + i], s = a->table[n * a->head_dim + half + i];
                double x1 = x[i], x2 = x[half + i];
                y[i] = (float)(x1 * c - x2 * s);
                y[half + i] = (float)(x2 * c + x1 * s);
            }
}

static void put(dtype type, void *y, int64_t i, float value) {
    if (type == DTYPE_BF16)
        ((uint16_t *)y)[i] = bf16_from_f32(value);
    else
        ((float *)y)[i] = value;
}

void reference_scatter_rows(const scatter_rows_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->features; i++)
            put(a->y_type, a->y, a->index[n] * a->y_stride + i, a->x[n * a->x_stride + i]);
}

/* One head: norm where it has weights, then rotation. */
static void place_head(const rope_store_args *a, const float *x, const void *w, dtype w_type,
                       const float *table, double *y) {
    int64_t d = a->head_dim, half = d / 2;
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += (double)x[i] * x[i];
    for (int64_t i = 0; i < d; i++)
        y[i] = w ? x[i] / sqrt(sum / (double)d + a->epsilon) * weight(w_type, w, i) : x[i];
    for (int64_t i = 0; i < half; i++) {
        double y1 = y[i], y2 = y[half + i], c = table[i], s = table[half + i];
        y[i] = y1 * c - y2 * s;
        y[half + i] = y2 * c + y1 * s;
    }
}

void reference_rope_store(const rope_store_args *a) {
    int64_t d = a->head_dim, features = a->kv_heads * d;
    double *y = malloc((size_t)d * sizeof *y);
    for (int64_t n = 0; n < a->rows; n++) {
        const float *table = a->table + n * d;
        for (int64_t h = 0; a->q && h < a->heads; h++) {
            float *q = a->q + (n * a->heads + h) * d;
            place_head(a, q, a->q_norm, a->q_norm_type, table, y);
            for (int64_t i = 0; i < d; i++)
                q[i] = (float)y[i];
        }
        for (int64_t i = 0; a->k && i < features; i++) {
            int64_t at = a->index[n] * a->kv_stride + i;
            if (i % d == 0)
                place_head(a, a->k + n * features + i, a->k_norm, a->k_norm_type, table, y);
            put(a->kv_type, a->keys, at, (float)y[i % d]);
            put(a->kv_type, a->values, at, a->v[n * features + i]);
        }
    }
    free(y);
}

void reference_gather_rows(const gather_rows_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t i = 0; i < a->features; i++)
            a->y[n * a->y_stride + i] = a->x[a->index[n] * a->x_stride + i];
}

void reference_copy_rows(const copy_rows_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t i = 0; i < a->features; i++)
                put(a->y_type, a->y[p], n * a->y_stride + i,
                    weight(a->x_type, a->x[p], n * a->x_stride + i));
}

/* Two walks over what query n sees: the largest score, then the weighted sum. */
static void attend(const attention_args *a, int64_t b, int64_t n, int64_t h) {
    int64_t g = h / (a->heads / a->kv_heads);
    const float *q = a->q + n * a->q_stride + h * a->head_dim;
    float *y = a->y + n * a->y_stride + h * a->head_dim;
    double largest = -INFINITY, total = 0, values[4096] = {0};
    C2C_ASSERT(a->head_dim <= 4096);
    for (int walk = 0; walk < 2; walk++)
        for (int32_t r = a->range_start[b]; r < a->range_start[b + 1]; r++)
            for (int64_t j = 0; j < a->ranges[r].count; j++) {
                int64_t position = a->ranges[r].position + j;
                if (position > a->positions[n] ||
                    (a->window > 0 && position <= a->positions[n] - a->window))
                    continue;
                int64_t at = (a->ranges[r].row + j) * a->kv_stride + g * a->head_dim;
                double score = 0;
                for (int64_t d = 0; d < a->head_dim; d++)
                    score += (double)q[d] * weight(a->kv_type, a->k, at + d);
                score *= a->scale;
                if (walk == 0) {
                    largest = score > largest ? score : largest;
                    continue;
                }
                double e = exp(score - largest);
                total += e;
                for (int64_t d = 0; d < a->head_dim; d++)
                    values[d] += e * weight(a->kv_type, a->v, at + d);
            }
    for (int64_t d = 0; d < a->head_dim; d++)
        y[d] = total > 0 ? (float)(values[d] / total) : 0;
}

void reference_attention(const attention_args *a) {
    for (int64_t b = 0; b < a->sequences; b++)
        for (int64_t n = a->q_start[b]; n < a->q_start[b + 1]; n++)
            for (int64_t h = 0; h < a->heads; h++)
                attend(a, b, n, h);
}

static double logit(dtype type, const void *data, const fuse_strides *strides, int64_t n, int64_t g,
                    int64_t d) {
    return weight(type, data, n * strides->row + g * strides->head + d * strides->element);
}

static float mixed(const fuse_mix_args *a, int64_t p, int64_t n, int64_t g, int64_t d) {
    int64_t at = g * a->head_dim + d;
    double s = 1, open = 1, sum = 0;
    if (a->w && a->w[p])
        s = 1 / (1 + exp(-logit(a->w_type, a->w[p], &a->w_strides, n, g, d) / a->temperature));
    if (a->gate && a->gate[p]) {
        double gate = logit(a->gate_type, a->gate[p], &a->gate_strides, n, g, d);
        open = gate > 0;
        if (a->uniforms && a->uniforms[p]) {
            double u = logit(DTYPE_F32, a->uniforms[p], &a->uniform_strides, n, g, d);
            gate -= log(-log(u + 1e-20) + 1e-20);
            open = 1 / (1 + exp(-gate / a->gate_temperature));
        }
    }
    if (a->receiver && a->receiver[p])
        sum += (a->scale_receiver ? 1 - s : 1) * a->receiver[p][n * a->receiver_stride + at];
    if (a->x && a->x[p])
        sum += open * s * a->x[p][n * a->x_stride + at];
    return (float)sum;
}

void reference_fuse_mix(const fuse_mix_args *a) {
    for (int64_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t g = 0; g < a->kv_heads; g++)
                for (int64_t d = 0; d < a->head_dim; d++)
                    a->y[p][n * a->y_stride + g * a->head_dim + d] = mixed(a, p, n, g, d);
}

void reference_argmax(const argmax_args *a) {
    for (int64_t n = 0; n < a->rows; n++) {
        float best = -INFINITY;
        bool found = false;
        a->ids[n] = 0;
        for (int64_t i = 0; i < a->features; i++) {
            float x = a->x[n * a->x_stride + i];
            if (x > best || (!found && x == x)) {
                found = true;
                best = x;
                a->ids[n] = (int32_t)i;
            }
        }
    }
}

/* ---- Sampling: probabilities in double, filters one after the other as SPEC words them ------ */

static double penalised_logit(const sample_args *a, int64_t at) {
    double x = a->logits[at];
    if (a->counts && a->counts[at] > 0) {
        x = x < 0 ? x * a->repetition_penalty : x / a->repetition_penalty;
        x -= a->presence_penalty + (double)a->frequency_penalty * a->counts[at];
    }
    return x == x ? x : -INFINITY;
}

/* The id of the largest probability that is not taken yet; the first of equals. */
static int64_t largest_left(const double *p, const bool *taken, int64_t count) {
    int64_t best = -1;
    for (int64_t i = 0; i < count; i++)
        if (!taken[i] && (best < 0 || p[i] > p[best]))
            best = i;
    return best;
}

static int32_t reference_draw(const sample_args *a, int64_t n, double *p, bool *kept,
                              int64_t *order) {
    int64_t v = a->features, k = a->top_k > 0 && a->top_k < v ? a->top_k : v, stay = 0;
    double sum = 0, cumulative = 0;
    for (int64_t i = 0; i < k; i++) {
        order[i] = largest_left(p, kept, v);
        kept[order[i]] = true;
        sum += p[order[i]];
    }
    for (; stay < k; stay++) {
        cumulative += p[order[stay]] / sum;
        if (stay > 0 && a->top_p < 1 && cumulative > a->top_p)
            break;
    }
    if (k == v && a->top_p >= 1) /* nothing was sorted out: in order of id */
        for (int64_t i = 0; i < v; i++)
            order[i] = i, stay = v;
    double largest = 0, total = 0;
    for (int64_t i = 0; i < stay; i++)
        largest = fmax(largest, p[order[i]]);
    for (int64_t i = 0; i < stay; i++)
        total += p[order[i]] >= a->min_p * largest ? p[order[i]] : 0;
    const random_key key = {.seed = a->seed,
                            .step = (uint64_t)a->positions[n] + 1,
                            .sample = (uint32_t)n,
                            .site = RANDOM_SITE_SAMPLING};
    double u = random_uniform(&key) * total;
    for (int64_t i = 0; i < stay; i++) {
        if (p[order[i]] < a->min_p * largest)
            continue;
        u -= p[order[i]];
        if (u < 0)
            return (int32_t)order[i];
    }
    return (int32_t)order[stay - 1];
}

void reference_sample(const sample_args *a) {
    double *p = malloc((size_t)a->features * sizeof *p);
    bool *kept = malloc((size_t)a->features * sizeof *kept);
    int64_t *order = malloc((size_t)a->features * sizeof *order);
    for (int64_t n = 0; n < a->rows; n++) {
        double largest = -INFINITY, total = 0;
        a->ids[n] = 0;
        for (int64_t i = 0; i < a->features; i++) {
            kept[i] = false;
            p[i] = penalised_logit(a, n * a->features + i);
            if (p[i] > largest) {
                largest = p[i];
                a->ids[n] = (int32_t)i;
            }
        }
        if (a->temperature <= 0 || largest == -INFINITY)
            continue;
        for (int64_t i = 0; i < a->features; i++)
            total += p[i] = exp((p[i] - largest) / a->temperature);
        for (int64_t i = 0; i < a->features; i++)
            p[i] /= total;
        a->ids[n] = reference_draw(a, n, p, kept, order);
    }
    free(p);
    free(kept);
    free(order);
}

void reference_count_ids(const count_ids_args *a) {
    for (int64_t n = 0; n < a->rows; n++)
        a->counts[n * a->stride + a->ids[n]] += 1;
}

void reference_zero(const zero_args *a) {
    for (int64_t i = 0; i < a->bytes; i++)
        ((char *)a->y)[i] = 0;
}

void reference_step_advance(const step_advance_args *a) {
    for (int64_t b = 0; b < a->sequences; b++) {
        a->ids[b] = a->next[b];
        a->positions[b] += 1;
        a->index[b] += 1;
        a->ranges[a->range_start[b + 1] - 1].count += 1;
    }
}

void reference_run(op_kind kind, const void *args) {
    switch (kind) {
#define X(name, tables)                                                                            \
    case OP_##name: reference_##name(args); break;
        OP_LIST(X)
#undef X
    case OP_COUNT: break;
    }
}
