/* test_gradients.c - what the ops of training call gradients, against central differences of the
 * forward formulas in double. The loss is sum(dy * y) over all groups; an input is moved by about
 * STEP to both sides. */
#include "backend/cpu/cpu.h"
#include "backend/op_table.h"
#include "backend/reference.h"
#include "support/test.h"

#define CASES  40
#define PROBES 6 /* numbers of each gradient that are looked at */
#define STEP   0x1p-10f

/* The curvature within STEP gives errors of about 1e-6; the ops' f32 sums up to 1e-5. */
#define TOLERANCE 5e-5

/* ---- Cases -------------------------------------------------------------------------------- */

typedef struct check check;
typedef double (*loss_function)(const check *k);

struct check {
    op_case c;
    op_sizes sizes;
    test_random random;
    loss_function loss;
    /* For each buffer a twin of its size, with values of an input that the op does not need. */
    float *twins[OP_CASE_BUFFERS];
};

/* The values that belong to a gradient. */
static float *twin_of(const check *k, const float *gradient) {
    for (int i = 0; i < k->c.buffer_count; i++)
        if ((const char *)gradient == k->c.buffers[i].host)
            return k->twins[i];
    fail_msg("no buffer of the case");
    return NULL;
}

static float *at(float *const *table, int64_t p) {
    return table ? table[p] : NULL;
}

static const float *const_at(const float *const *table, int64_t p) {
    return table ? table[p] : NULL;
}

/* Moves all `inputs` together and compares the slope of the loss with `gradient`. */
static void probe(check *k, float gradient, float *const *inputs, int64_t count, const char *what) {
    float old[16];
    double moved = 0, difference = 0;
    assert_true(count <= 16);
    for (int side = 1; side >= -1; side -= 2) {
        for (int64_t i = 0; i < count; i++) {
            if (side > 0)
                old[i] = *inputs[i];
            *inputs[i] = old[i] + (float)side * STEP;
            moved += side * ((double)*inputs[i] - old[i]) / (double)count;
        }
        difference += side * k->loss(k);
    }
    for (int64_t i = 0; i < count; i++)
        *inputs[i] = old[i];
    double expected = difference / moved;
    if (!(fabs(gradient - expected) <= TOLERANCE * fmax(1, fabs(expected))))
        fail_msg("%s, %s: %.9g, the slope is %.9g", op_infos[k->c.kind].name, what,
                 (double)gradient, expected);
}

/* Some numbers of a [rows, columns] gradient of each group. The inputs lie in `inputs`, or in the
 * twins where that is NULL; groups that share a gradient are moved together. */
static void probe_table(check *k, float *const *gradients, int64_t gradient_stride,
                        const void *inputs, int64_t input_stride, int64_t rows, int64_t columns,
                        const char *what) {
    int32_t groups;
    memcpy(&groups, k->c.args.bytes + op_infos[k->c.kind].groups_offset, sizeof groups);
    for (int32_t p = 0; gradients && p < groups; p++)
        for (int i = 0; i < PROBES && gradients[p]; i++) {
            int64_t row = random_below(&k->random, rows),
                    column = random_below(&k->random, columns);
            float *to[16];
            int64_t count = 0;
            for (int32_t q = 0; q < groups; q++) {
                float *base = inputs ? ((float *const *)inputs)[q] : NULL;
                if (gradients[q] != gradients[p] || (!inputs && q != p))
                    continue;
                if (!inputs)
                    base = twin_of(k, gradients[q]);
                to[count++] = base + row * input_stride + column;
            }
            /* Groups may read one input: it is moved, and counted, once. */
            for (int64_t q = 1; q < count; q++)
                if (to[q] == to[0])
                    count = q;
            probe(k, gradients[p][row * gradient_stride + column], to, count, what);
        }
}

/* Twins with random values, and gradients that start at zero. */
static void check_open(check *k, op_kind kind, uint64_t seed, loss_function loss) {
    k->random = (test_random){seed * 31 + (uint64_t)kind};
    k->loss = loss;
    op_sizes *s = &k->sizes;
    *s = op_sizes_random(&k->random);
    s->rows = 1 + s->rows % 6;
    s->features = 1 + s->features % 37;
    s->keys %= 40;
    s->w_type = s->b_type = DTYPE_F32;
    s->math = LINEAR_F32;
    op_case_make(&k->c, &op_rows[kind], s, &k->random);
    for (int i = 0; i < k->c.buffer_count; i++) {
        op_buffer *b = &k->c.buffers[i];
        k->twins[i] = malloc(b->bytes);
        assert_non_null(k->twins[i]);
        for (size_t j = 0; j < b->bytes / sizeof(float); j++)
            k->twins[i][j] = random_float(&k->random);
        if (b->written && b->is_float)
            memset(b->host, 0, b->bytes);
    }
}

static void check_close(check *k) {
    for (int i = 0; i < k->c.buffer_count; i++)
        free(k->twins[i]);
    op_case_free(&k->c);
}

/* The op itself, on the fastest kernels; its arguments lie in host memory. */
static void check_run(check *k) {
    backend *b;
    assert_ok(backend_cpu_open(&b, 2, &test_error));
    assert_ok(backend_reserve(b, 4096, &test_error));
    backend_run(b, k->c.kind, k->c.args.bytes);
    backend_close(b);
}

#define FOR_CASES(k, kind, loss)                                                                   \
    for (uint64_t seed = 0; seed < CASES && (check_open(k, kind, seed, loss), true);               \
         check_close(k), seed++)

/* ---- Linear ------------------------------------------------------------------------------- */

static double loss_linear_x(const check *k) {
    const linear_backward_x_args *a = &k->c.args.linear_backward_x;
    double loss = 0;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows && a->dx[p]; n++)
            for (int64_t o = 0; o < a->out; o++)
                for (int64_t i = 0; i < a->in; i++)
                    loss += (double)a->dy[p][n * a->dy_stride + o] *
                            twin_of(k, a->dx[p])[n * a->dx_stride + i] *
                            ((const float *)a->w[p])[o * a->w_stride + i];
    return loss;
}

static void linear_backward_x_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_linear_backward_x, loss_linear_x) {
        const linear_backward_x_args *a = &k.c.args.linear_backward_x;
        check_run(&k);
        probe_table(&k, a->dx, a->dx_stride, NULL, a->dx_stride, a->rows, a->in, "dx");
    }
}

static double loss_linear_w(const check *k) {
    const linear_backward_w_args *a = &k->c.args.linear_backward_w;
    double loss = 0;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t o = 0; o < a->out; o++) {
                double y = 0;
                for (int64_t i = 0; i < a->in && a->dw[p]; i++)
                    y += (double)a->x[p][n * a->x_stride + i] *
                         twin_of(k, a->dw[p])[o * a->dw_stride + i];
                if (at(a->db, p))
                    y += twin_of(k, a->db[p])[o];
                loss += y * a->dy[p][n * a->dy_stride + o];
            }
    return loss;
}

static void linear_backward_w_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_linear_backward_w, loss_linear_w) {
        const linear_backward_w_args *a = &k.c.args.linear_backward_w;
        check_run(&k);
        probe_table(&k, a->dw, a->dw_stride, NULL, a->dw_stride, a->out, a->in, "dw");
        probe_table(&k, a->db, a->out, NULL, a->out, 1, a->out, "db");
    }
}

/* ---- Norms and activations ---------------------------------------------------------------- */

static double loss_rmsnorm(const check *k) {
    const rmsnorm_backward_args *a = &k->c.args.rmsnorm_backward;
    double loss = 0;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            const float *x = a->x[p] + n * a->x_stride, *dy = a->dy[p] + n * a->dy_stride;
            double squares = 0, sum = 0;
            for (int64_t i = 0; i < a->features; i++) {
                squares += (double)x[i] * x[i];
                sum += (double)dy[i] * x[i] * ((const float *)a->w[p])[i];
            }
            loss += sum / sqrt(squares / (double)a->features + a->epsilon);
        }
    return loss;
}

/* Rows of x that two groups read get two gradients, so their loss must count one group's only: such
 * inputs are left out. */
static void part_inputs(check *k, const float *const *x, int32_t groups) {
    for (int32_t p = 1; p < groups; p++)
        for (int32_t q = 0; q < p; q++)
            if (x[p] == x[q]) {
                const float **table = (const float **)(uintptr_t)x;
                for (int i = 0; i < k->c.buffer_count; i++)
                    if ((const char *)x[q] == k->c.buffers[i].host)
                        table[p] = k->twins[i];
            }
}

static void rmsnorm_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_rmsnorm_backward, loss_rmsnorm) {
        const rmsnorm_backward_args *a = &k.c.args.rmsnorm_backward;
        part_inputs(&k, a->x, a->groups);
        check_run(&k);
        probe_table(&k, a->dx, a->dx_stride, a->x, a->x_stride, a->rows, a->features, "dx");
        probe_table(&k, a->dw, a->features, a->w, a->features, 1, a->features, "dw");
    }
}

static double loss_layernorm(const check *k) {
    const layernorm_backward_args *a = &k->c.args.layernorm_backward;
    double loss = 0, count = (double)a->features;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            const float *x = a->x[p] + n * a->x_stride, *dy = a->dy[p] + n * a->dy_stride;
            double mean = 0, variance = 0;
            for (int64_t i = 0; i < a->features; i++)
                mean += x[i] / count;
            for (int64_t i = 0; i < a->features; i++)
                variance += (x[i] - mean) * (x[i] - mean) / count;
            for (int64_t i = 0; i < a->features; i++) {
                double h = (x[i] - mean) / sqrt(variance + a->epsilon);
                loss += dy[i] * h * ((const float *)a->w[p])[i];
                if (at(a->db, p))
                    loss += (double)dy[i] * twin_of(k, a->db[p])[i];
            }
        }
    return loss;
}

static void layernorm_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_layernorm_backward, loss_layernorm) {
        const layernorm_backward_args *a = &k.c.args.layernorm_backward;
        part_inputs(&k, a->x, a->groups);
        check_run(&k);
        probe_table(&k, a->dx, a->dx_stride, a->x, a->x_stride, a->rows, a->features, "dx");
        probe_table(&k, a->dw, a->features, a->w, a->features, 1, a->features, "dw");
        probe_table(&k, a->db, a->features, NULL, a->features, 1, a->features, "db");
    }
}

static double activation_of(activation kind, double x) {
    switch (kind) {
    case ACTIVATION_SILU: return x / (1 + exp(-x));
    case ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACTIVATION_RELU: return x > 0 ? x : 0;
    default:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    }
}

static double loss_activate(const check *k) {
    const activate_backward_args *a = &k->c.args.activate_backward;
    double loss = 0;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t i = 0; i < a->features; i++) {
                double up = a->up ? a->up[p][n * a->up_stride + i] : 1;
                loss += up * a->dy[p][n * a->dy_stride + i] *
                        activation_of(a->activation, a->x[p][n * a->x_stride + i]);
            }
    return loss;
}

static void activate_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_activate_backward, loss_activate) {
        const activate_backward_args *a = &k.c.args.activate_backward;
        part_inputs(&k, a->x, a->groups);
        if (a->up)
            part_inputs(&k, a->up, a->groups);
        for (int32_t p = 0; p < a->groups; p++)
            for (int64_t i = 0; i < a->rows * a->x_stride; i++)
                if (fabsf(a->x[p][i]) < 2 * STEP) /* where relu has no slope */
                    ((float *)(uintptr_t)a->x[p])[i] = 0.1f;
        check_run(&k);
        probe_table(&k, a->dx, a->dx_stride, a->x, a->x_stride, a->rows, a->features, "dx");
        probe_table(&k, a->dup, a->dup_stride, a->up, a->up_stride, a->rows, a->features, "dup");
    }
}

/* ---- Rope --------------------------------------------------------------------------------- */

static double loss_rope(const check *k) {
    const rope_backward_args *a = &k->c.args.rope_backward;
    const float *x = twin_of(k, a->dx);
    int64_t half = a->head_dim / 2;
    double loss = 0;
    for (int64_t n = 0; n < a->rows; n++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < half; i++) {
                double c = a->table[n * a->head_dim + i], s = a->table[n * a->head_dim + half + i];
                const float *row = x + n * a->dx_stride + h * a->head_dim;
                const float *dy = a->dy + n * a->dy_stride + h * a->head_dim;
                loss += dy[i] * (row[i] * c - row[half + i] * s) +
                        dy[half + i] * (row[half + i] * c + row[i] * s);
            }
    return loss;
}

static void rope_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_rope_backward, loss_rope) {
        const rope_backward_args *a = &k.c.args.rope_backward;
        check_run(&k);
        for (int i = 0; i < 4 * PROBES; i++) {
            int64_t place = random_below(&k.random, a->rows) * a->dx_stride +
                            random_below(&k.random, a->heads * a->head_dim);
            float *input = twin_of(&k, a->dx) + place;
            probe(&k, a->dx[place], &input, 1, "dx");
        }
    }
}

/* ---- Attention ---------------------------------------------------------------------------- */

/* One query's output times its dy; with `y` the output is stored there. */
static double attend(const attention_backward_args *a, int64_t b, int64_t n, int64_t h, float *y) {
    int64_t skip = h / (a->heads / a->kv_heads) * a->head_dim;
    const float *q = a->q + n * a->q_stride + h * a->head_dim;
    double total = 0, sum[128] = {0}, loss = 0;
    assert_true(a->head_dim <= 128);
    for (int32_t r = a->range_start[b]; r < a->range_start[b + 1]; r++)
        for (int64_t j = 0; j < a->ranges[r].count; j++) {
            int64_t position = a->ranges[r].position + j;
            int64_t row = (a->ranges[r].row + j) * a->kv_stride + skip;
            if (position > a->positions[n] ||
                (a->window > 0 && position <= a->positions[n] - a->window))
                continue;
            double score = 0;
            for (int64_t d = 0; d < a->head_dim; d++)
                score += (double)q[d] * a->k[row + d];
            double e = exp(score * a->scale);
            total += e;
            for (int64_t d = 0; d < a->head_dim; d++)
                sum[d] += e * a->v[row + d];
        }
    for (int64_t d = 0; d < a->head_dim; d++) {
        double value = total > 0 ? sum[d] / total : 0;
        loss += value * a->dy[n * a->dy_stride + h * a->head_dim + d];
        if (y)
            y[n * a->y_stride + h * a->head_dim + d] = (float)value;
    }
    return loss;
}

static double attend_all(const attention_backward_args *a, float *y) {
    double loss = 0;
    for (int64_t b = 0; b < a->sequences; b++)
        for (int64_t n = a->q_start[b]; n < a->q_start[b + 1]; n++)
            for (int64_t h = 0; h < a->heads; h++)
                loss += attend(a, b, n, h, y);
    return loss;
}

static double loss_attention(const check *k) {
    return attend_all(&k->c.args.attention_backward, NULL);
}

/* Some rows of the ranges: theirs are slopes where they are wanted, else they stay zero. */
static void probe_keys(check *k, const attention_backward_args *a) {
    int32_t ranges = a->range_start[a->sequences];
    for (int i = 0; i < 8 * PROBES && ranges; i++) {
        int64_t r = random_below(&k->random, ranges);
        if (!a->ranges[r].count)
            continue;
        int64_t row = a->ranges[r].row + random_below(&k->random, a->ranges[r].count);
        int64_t column = random_below(&k->random, a->kv_heads * a->head_dim);
        int64_t place = row * a->dkv_stride + column;
        float *key = (float *)(uintptr_t)a->k + row * a->kv_stride + column;
        float *value = (float *)(uintptr_t)a->v + row * a->kv_stride + column;
        if (a->wanted && !a->wanted[r]) {
            assert_true(a->dk[place] == 0 && a->dv[place] == 0);
            continue;
        }
        probe(k, a->dk[place], &key, 1, "dk");
        probe(k, a->dv[place], &value, 1, "dv");
    }
}

static void attention_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_attention_backward, loss_attention) {
        attention_backward_args *a = &k.c.args.attention_backward;
        attend_all(a, (float *)(uintptr_t)a->y);
        check_run(&k);
        if (a->dk)
            probe_keys(&k, a);
        for (int i = 0; i < 4 * PROBES && a->dq && a->rows; i++) {
            int64_t n = random_below(&k.random, a->rows);
            int64_t column = random_below(&k.random, a->heads * a->head_dim);
            float *query = (float *)(uintptr_t)a->q + n * a->q_stride + column;
            probe(&k, a->dq[n * a->dq_stride + column], &query, 1, "dq");
        }
    }
}

/* ---- Fusing ------------------------------------------------------------------------------- */

static int64_t stride_at(const fuse_strides *s, int64_t n, int64_t g, int64_t d) {
    return n * s->row + g * s->head + d * s->element;
}

static double mixed(const fuse_mix_backward_args *a, int64_t p, int64_t n, int64_t g, int64_t d) {
    int64_t i = g * a->head_dim + d;
    const float *w = a->w ? a->w[p] : NULL, *gate = a->gate ? a->gate[p] : NULL;
    const float *u = const_at(a->uniforms, p), *x = const_at(a->x, p);
    const float *r = const_at(a->receiver, p);
    double s = 1, open = 1, y = 0;
    if (w)
        s = 1 / (1 + exp(-w[stride_at(&a->w_strides, n, g, d)] / a->temperature));
    if (gate) {
        double logit = gate[stride_at(&a->gate_strides, n, g, d)];
        open = logit > 0;
        if (u) {
            logit -= log(-log(u[stride_at(&a->uniform_strides, n, g, d)] + 1e-20) + 1e-20);
            open = 1 / (1 + exp(-logit / a->gate_temperature));
        }
    }
    if (r)
        y += (a->scale_receiver ? 1 - s : 1) * r[n * a->receiver_stride + i];
    if (x)
        y += open * s * x[n * a->x_stride + i];
    return y;
}

static double loss_fuse_mix(const check *k) {
    const fuse_mix_backward_args *a = &k->c.args.fuse_mix_backward;
    double loss = 0;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++)
            for (int64_t g = 0; g < a->kv_heads; g++)
                for (int64_t d = 0; d < a->head_dim; d++)
                    loss += mixed(a, p, n, g, d) * a->dy[p][n * a->dy_stride + g * a->head_dim + d];
    return loss;
}

/* Where a gradient has numbers that no place reads, they are zero and the loss is flat. */
static void fuse_mix_backward_is_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_fuse_mix_backward, loss_fuse_mix) {
        fuse_mix_backward_args *a = &k.c.args.fuse_mix_backward;
        int64_t width = a->kv_heads * a->head_dim, logits = 1;
        part_inputs(&k, a->x, a->groups);
        if (a->receiver)
            part_inputs(&k, a->receiver, a->groups);
        a->scale_receiver = seed % 2;
        a->temperature = 0.7f; /* small ones bend too much for STEP */
        a->gate_temperature = 0.8f;
        for (int32_t p = 0; p < a->groups; p++) { /* gradients of inputs that are not there */
            if (a->receiver && !a->receiver[p] && a->dreceiver)
                ((float **)(uintptr_t)a->dreceiver)[p] = NULL;
            if (a->w && !a->w[p])
                ((float **)(uintptr_t)a->dw)[p] = NULL;
            if (a->gate && !(a->gate[p] && const_at(a->uniforms, p)))
                ((float **)(uintptr_t)a->dgate)[p] = NULL;
        }
        check_run(&k);
        probe_table(&k, a->dreceiver, a->dreceiver_stride, a->receiver, a->receiver_stride, a->rows,
                    width, "dreceiver");
        probe_table(&k, a->dx, a->dx_stride, a->x, a->x_stride, a->rows, width, "dx");
        logits = stride_at(&a->w_strides, a->rows - 1, a->kv_heads - 1, a->head_dim - 1) + 1;
        probe_table(&k, a->dw, 0, a->w, 0, 1, logits, "dw");
        logits = stride_at(&a->gate_strides, a->rows - 1, a->kv_heads - 1, a->head_dim - 1) + 1;
        probe_table(&k, a->dgate, 0, a->gate, 0, 1, logits, "dgate");
    }
}

/* ---- Loss --------------------------------------------------------------------------------- */

static double loss_cross_entropy(const check *k) {
    const cross_entropy_args *a = &k->c.args.cross_entropy;
    const float *logits = twin_of(k, a->logits);
    double loss = 0;
    for (int64_t n = 0; n < a->rows; n++) {
        double total = 0;
        for (int64_t i = 0; i < a->features; i++)
            total += exp(logits[n * a->stride + i]);
        if (a->labels[n] >= 0)
            loss += a->scale * (log(total) - logits[n * a->stride + a->labels[n]]);
    }
    return loss;
}

static void cross_entropy_leaves_the_slope(void **state) {
    (void)state;
    check k;
    FOR_CASES(&k, OP_cross_entropy, loss_cross_entropy) {
        cross_entropy_args *a = &k.c.args.cross_entropy;
        float *twin = twin_of(&k, a->logits);
        double sum = 0;
        a->loss_only = false;
        memcpy(a->logits, twin, (size_t)(a->rows * a->stride) * sizeof *twin);
        check_run(&k);
        for (int64_t n = 0; n < a->rows; n++)
            sum += (double)a->losses[n] * a->scale;
        assert_true(fabs(sum - k.loss(&k)) <= 1e-6 * fmax(1, sum));
        for (int i = 0; i < 4 * PROBES; i++) {
            int64_t place =
                random_below(&k.random, a->rows) * a->stride + random_below(&k.random, a->features);
            float *input = twin + place;
            probe(&k, a->logits[place], &input, 1, "logits");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_backward_x_is_the_slope),
        cmocka_unit_test(linear_backward_w_is_the_slope),
        cmocka_unit_test(rmsnorm_backward_is_the_slope),
        cmocka_unit_test(layernorm_backward_is_the_slope),
        cmocka_unit_test(activate_backward_is_the_slope),
        cmocka_unit_test(rope_backward_is_the_slope),
        cmocka_unit_test(attention_backward_is_the_slope),
        cmocka_unit_test(fuse_mix_backward_is_the_slope),
        cmocka_unit_test(cross_entropy_leaves_the_slope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
