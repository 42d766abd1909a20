/* backward.h - the ops of training: what replays the forward ops backwards, what training adds to a
 * forward pass (random numbers, dropout, the loss), and what moves weights. The second half of
 * backend.h, which includes this file: its rules hold here, too.
 *
 * dx is the gradient of x. Gradients are added to what is there (+=), unless said. A gradient that
 * nobody needs has no table, or NULL in it, and what only it needs is not computed. Weights may be
 * shared: several groups may name one dw (or db, dgate), and linear_backward_x one dx; they are
 * added in the order of the groups. All other outputs of a call lie apart, and none is an input.
 */
#ifndef C2C_BACKEND_BACKWARD_H
#define C2C_BACKEND_BACKWARD_H

#ifndef C2C_BACKEND_H
#error "include backend/backend.h"
#endif

/* ---- Linear ------------------------------------------------------------------------------- */

/* dx[p][n, i] += sum_o dy[p][n, o] * w[p][o, i]. LINEAR_BF16 rounds dy, and weights that are
 * not bf16, to bf16 first. A row has the same bits alone and in a batch. */
typedef struct linear_backward_x_args {
    float *const *dx;
    const float *const *dy;
    const void *const *w; /* [out, in] of w_type */
    int32_t groups;
    dtype w_type;
    linear_math math;
    int64_t rows, in, out, dx_stride, dy_stride, w_stride;
} linear_backward_x_args;

/* dw[p][o, i] (= or +=) sum_n dy[p][n, o] * x[p][n, i], and db[p][o] += sum_n dy[p][n, o].
 * LINEAR_BF16 rounds dy and x to bf16 first, for dw. Groups that share db share dw; the first of
 * them writes where it is written. */
typedef struct linear_backward_w_args {
    float *const *dw; /* [out, in] */
    float *const *db; /* [out]; the table, or one pointer in it, may be NULL */
    const float *const *dy;
    const float *const *x;
    int32_t groups;
    linear_math math;
    int64_t rows, in, out, dw_stride, dy_stride, x_stride;
    bool overwrite; /* =, into what may hold anything; else += */
} linear_backward_w_args;

/* ---- Norms and activations ---------------------------------------------------------------- */

/* With r = 1 / sqrt(mean(x[p][n, :]^2) + epsilon) and g = dy[p][n, :] * w[p][:]
 *     dx[p][n, :] += r * (g - x[p][n, :] * r^2 * mean(g * x[p][n, :]))
 *     dw[p][:] += sum_n dy[p][n, :] * x[p][n, :] * r
 */
typedef struct rmsnorm_backward_args {
    float *const *dx;
    float *const *dw; /* [features] */
    const float *const *dy;
    const float *const *x;
    const void *const *w; /* [features] of w_type */
    int32_t groups;
    dtype w_type;
    int64_t rows, features, dx_stride, dy_stride, x_stride;
    float epsilon;
} rmsnorm_backward_args;

/* With m, v as in layernorm, r = 1 / sqrt(v + epsilon), h = (x[p][n, :] - m) * r and
 * g = dy[p][n, :] * w[p][:]
 *     dx[p][n, :] += r * (g - mean(g) - h * mean(g * h))
 *     dw[p][:] += sum_n dy[p][n, :] * h,  db[p][:] += sum_n dy[p][n, :]
 * Groups that share db share dw, where that is there. */
typedef struct layernorm_backward_args {
    float *const *dx;
    float *const *dw; /* [features] */
    float *const *db; /* [features] */
    const float *const *dy;
    const float *const *x;
    const void *const *w; /* [features] of w_type */
    int32_t groups;
    dtype w_type;
    int64_t rows, features, dx_stride, dy_stride, x_stride;
    float epsilon;
} layernorm_backward_args;

/* dx[p] += dy[p] * up[p] * activation'(x[p]), dup[p] += dy[p] * activation(x[p]).
 * The table up is NULL where the forward had none: then it counts as 1, and dup is NULL, too.
 * relu'(0) is 0. */
typedef struct activate_backward_args {
    float *const *dx;
    float *const *dup;
    const float *const *dy;
    const float *const *x;
    const float *const *up;
    int32_t groups;
    activation activation;
    int64_t rows, features, dx_stride, dup_stride, dy_stride, x_stride, up_stride;
} activate_backward_args;

/* ---- Where rows went ---------------------------------------------------------------------- */

/* y[p][n, :] += scale * x[p][n, :]: the backward of add (scale 1, twice), of add_difference (1 and
 * -1) and of copy_rows. */
typedef struct accumulate_args {
    float *const *y;
    const float *const *x;
    int32_t groups;
    int64_t rows, features, y_stride, x_stride;
    float scale;
} accumulate_args;

/* dx[p][n, :] += scale * dy[p][:] */
typedef struct sum_rows_backward_args {
    float *const *dx;
    const float *const *dy;
    int32_t groups;
    int64_t rows, features, dx_stride;
    float scale;
} sum_rows_backward_args;

/* dx[index[n], :] += dy[n, :], for n = 0, 1, ...: indices may repeat. */
typedef struct gather_rows_backward_args {
    float *dx;
    const float *dy;
    const int32_t *index; /* [N] */
    int64_t rows, features, dx_stride, dy_stride;
} gather_rows_backward_args;

/* dx[n, :] += dy[index[n], :]. What stood in y before has no gradient in those rows. */
typedef struct scatter_rows_backward_args {
    float *dx;
    const float *dy;
    const int32_t *index; /* [N] */
    int64_t rows, features, dx_stride, dy_stride;
} scatter_rows_backward_args;

/* The rotation by minus the angle: dx1 += dy1 cos + dy2 sin, dx2 += dy2 cos - dy1 sin
 * for the pairs (i, i + D/2) of every head. */
typedef struct rope_backward_args {
    float *dx;
    const float *dy;    /* [N, heads * D] */
    const float *table; /* [N, D] of rope_table */
    int64_t rows, heads, head_dim, dx_stride, dy_stride;
} rope_backward_args;

/* ---- Attention ---------------------------------------------------------------------------- */

/* With p_j the weights that the forward op gave the rows j which query n and head h saw, and
 * e_j = p_j * (dy[n, h, :] . v[j, g, :] - dy[n, h, :] . y[n, h, :]):
 *     dq[n, h, :] += scale * sum_j e_j k[j, g, :]
 *     dk[j, g, :] += scale * sum_(n, h) e_j q[n, h, :]
 *     dv[j, g, :] += sum_(n, h) p_j dy[n, h, :]
 * dk and dv are pools of the layout of k and v. Only rows of ranges whose `wanted` is not 0 get
 * them; two sequences may share rows, but not wanted ones. The p_j are computed again from q and k.
 * dq may be NULL; dk and dv may be NULL, both or neither. */
typedef struct attention_backward_args {
    float *dq; /* [N, H * D] */
    float *dk; /* row pool [rows, G * D] */
    float *dv;
    const float *dy; /* [N, H * D] */
    const float *y;  /* [N, H * D], what the forward op gave */
    const float *q;  /* [N, H * D] */
    const float *k;  /* row pool [rows, G * D] */
    const float *v;
    const int32_t *q_start;
    const int32_t *range_start;
    const cache_range *ranges;
    const int32_t *wanted; /* one for each range; NULL: all are wanted */
    const int32_t *positions;
    int64_t rows, sequences, heads, kv_heads, head_dim;
    int64_t dq_stride, dy_stride, y_stride, q_stride, kv_stride, dkv_stride;
    int64_t window;
    float scale;
} attention_backward_args;

/* ---- Fusing ------------------------------------------------------------------------------- */

/* With s, a, open as in fuse_mix, and d the dy[p][n, g, d] of the same place:
 *     dreceiver += a * d,   dx += open * s * d
 *     dw   += s * (1 - s) / temperature * d * (open * x - receiver with scale_receiver)
 *     dgate += open * (1 - open) / gate_temperature * d * s * x, where there are uniforms; a gate
 *             without them has no gradient, and its dgate stays
 * dw and dgate have the strides of w and gate: where those are 0, the places that read one number
 * are added up. Each table but dy may be NULL, and so may each pointer in it; what is NULL is what
 * it is in the forward op. Groups that share dw share dgate, where that is there. */
typedef struct fuse_mix_backward_args {
    float *const *dreceiver;
    float *const *dx;
    float *const *dw;
    float *const *dgate;
    const float *const *dy;
    const float *const *receiver;
    const float *const *x;
    const void *const *w;
    const void *const *gate;
    const float *const *uniforms;
    int32_t groups;
    dtype w_type, gate_type;
    int64_t rows, kv_heads, head_dim;
    int64_t dreceiver_stride, dx_stride, dy_stride, receiver_stride, x_stride;
    fuse_strides w_strides, gate_strides, uniform_strides;
    float temperature, gate_temperature;
    bool scale_receiver;
} fuse_mix_backward_args;

/* ---- Random numbers ----------------------------------------------------------------------- */

/* What names the random numbers of a call. Number j of row n and group p depends on seed, step,
 * site, group + p, samples[n], positions[n] and j alone: not on which rows are packed together. The
 * first 64 bits of random_block for {seed, step, samples[n], site} are the seed of the row, and
 * number j is word j / 16 % 4 of random_block for {that seed, step positions[n] + (group + p) 2^32,
 * sample j / 64 * 16 + j % 16, site 0}. */
typedef struct random_rows {
    uint64_t seed, step;
    uint32_t site, group;
    const int32_t *samples;   /* [N] */
    const int32_t *positions; /* [N] */
} random_rows;

/* u[p][n, j] = (word / 2^9 + 1/2) / 2^23, with number j's word: uniform, never 0, never 1. */
typedef struct uniforms_args {
    float *const *u;
    int32_t groups;
    random_rows random;
    int64_t rows, features, u_stride;
} uniforms_args;

/* y[p][n, j] (= or +=) x[p][n, j] / (1 - rate) where number j of the row (that of `uniforms`) is at
 * least `rate`, else 0. Its own backward, with dy for x and dx for y. y[p] may be x[p] where it is
 * written. 0 <= rate < 1. */
typedef struct dropout_args {
    float *const *y;
    const float *const *x;
    int32_t groups;
    random_rows random;
    int64_t rows, features, y_stride, x_stride;
    float rate;
    bool accumulate;
} dropout_args;

/* ---- Loss and optimizer ------------------------------------------------------------------- */

/* losses[n] = -log softmax(logits[n, :])[labels[n]], and logits[n, :] becomes its gradient,
 * scale * (softmax(logits[n, :]) - onehot(labels[n])); not with loss_only, which leaves it. A row
 * with a negative label has loss 0 and gradient 0. Rows may be few at a time: linear (hidden rows
 * to logits), this, linear_backward_x, so that nobody holds the logits of all tokens. Sums in f32
 * lanes, then f64. */
typedef struct cross_entropy_args {
    float *losses;         /* [N] */
    float *logits;         /* [N, V] */
    const int32_t *labels; /* [N] */
    int64_t rows, features, stride;
    float scale;
    bool loss_only;
} cross_entropy_args;

/* Elements of x whose squares are summed as one block. */
#define SQUARED_NORM_BLOCK 8192

/* *sum (= or +=) sum_i x[i]^2, in f64: blocks of SQUARED_NORM_BLOCK elements into `blocks`, which
 * is scratch, then those in order. It is finite exactly when all of x is. */
typedef struct squared_norm_args {
    double *sum;
    double *blocks; /* [count / SQUARED_NORM_BLOCK, rounded up] */
    const float *x;
    int64_t count;
    bool accumulate;
} squared_norm_args;

/* y[i] *= factor */
typedef struct scale_args {
    float *y;
    int64_t count;
    float factor;
} scale_args;

/* One step of AdamW, in the order in which PyTorch rounds; `step` counts from 1.
 *     g = dw * gradient_scale,  w *= 1 - learning_rate * weight_decay
 *     m += (1 - beta1) * (g - m),  v = beta2 * v + (1 - beta2) * g * g
 *     w -= learning_rate / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon) */
typedef struct adamw_args {
    float *w, *m, *v;
    const float *dw;
    int64_t count, step;
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale;
} adamw_args;

#endif
