/* The tape on small graphs: gradients against finite differences, recomputing, memory that is
 * written several times, several threads, the queue backend.
 *
 * A gradient is compared along a direction: with d random, sum_i g_i d_i against
 * (L(w + h d) - L(w - h d)) / 2h. L is a sum of about a hundred f32 numbers of size 1, known to
 * about 1e-6; with h = 1/64 the difference is known to 1e-4, and the third derivative adds h^2 of
 * it: 2e-3 of the largest terms is allowed. A wrong or missing term of a gradient is off by far
 * more. */
#include "graph/graph.h"
#include "support/test.h"

#define ROWS     6
#define FEATURES 8
#define STEP     (1.0f / 64)

/* ---- A graph ------------------------------------------------------------------------------ */

enum { W1, B1, NORM, W2, GATE, UP, DOWN, WEIGHTS }; /* learned tensors */
static const int64_t sizes[WEIGHTS] = {FEATURES * FEATURES, FEATURES,           FEATURES,
                                       FEATURES *FEATURES,  FEATURES *FEATURES, FEATURES *FEATURES,
                                       FEATURES *FEATURES};
#define ALL_WEIGHTS (5 * FEATURES * FEATURES + 2 * FEATURES)
#define BUFFER      (ROWS * FEATURES)
#define POOL_ROWS   (2 * ROWS)
#define POOL        (POOL_ROWS * FEATURES)
enum { X, T, U, Q, WIDE, BUFFERS = WIDE + 2 }; /* reused memory; WIDE is two buffers */

typedef struct graph {
    backend *inner;
    tape *tape;
    float *weights, *gradients; /* learned */
    float *work, *work_shadow;  /* reused */
    float *pools, *pool_shadow; /* written once: keys, values */
    float *input, *direction;   /* not watched; direction: of the loss */
    int32_t *integers;          /* index, positions, q_start, range_start, ranges */
    float host[ALL_WEIGHTS];
} graph;

static float number(uint32_t i) {
    const random_key key = {.seed = 7, .step = i, .sample = 0, .site = 99};
    return (float)(2 * random_uniform(&key) - 1);
}

static float *memory_of(graph *g, int64_t floats) {
    void *memory;
    assert_ok(backend_alloc(g->inner, &memory, (size_t)floats * sizeof(float), &test_error));
    return memory;
}

static void graph_open(graph *g, bool queue, int threads) {
    float values[BUFFER];
    *g = (graph){0};
    assert_ok(queue ? backend_queue_open(&g->inner, threads, &test_error)
                    : backend_cpu_open(&g->inner, threads, &test_error));
    assert_ok(backend_reserve(g->inner, 64, &test_error));
    assert_ok(tape_open(&g->tape, g->inner, &test_error));
    g->weights = memory_of(g, ALL_WEIGHTS);
    g->gradients = memory_of(g, ALL_WEIGHTS);
    g->work = memory_of(g, BUFFERS * BUFFER);
    g->work_shadow = memory_of(g, BUFFERS * BUFFER);
    g->pools = memory_of(g, 2 * POOL);
    g->pool_shadow = memory_of(g, 2 * POOL);
    g->input = memory_of(g, BUFFER);
    g->direction = memory_of(g, BUFFER);
    g->integers = (int32_t *)memory_of(g, 64);
    for (uint32_t i = 0; i < ALL_WEIGHTS; i++)
        g->host[i] = number(i) / 2;
    for (uint32_t i = 0; i < FEATURES; i++)
        g->host[sizes[W1] + sizes[B1] + i] += 1; /* a norm's weights are around 1 */
    backend_upload(g->inner, g->weights, g->host, sizeof g->host);
    for (uint32_t i = 0; i < BUFFER; i++)
        values[i] = number(1000 + i);
    backend_upload(g->inner, g->input, values, sizeof values);
    for (uint32_t i = 0; i < BUFFER; i++)
        values[i] = number(2000 + i);
    backend_upload(g->inner, g->direction, values, sizeof values);
    /* Row n is written to pool row ROWS + n, and sees the rows up to its own. */
    int32_t tables[ROWS + ROWS + 2 + 2 + 3];
    for (int32_t n = 0; n < ROWS; n++) {
        tables[n] = ROWS + n;
        tables[ROWS + n] = n;
    }
    const int32_t rest[] = {0, ROWS, 0, 1, ROWS, ROWS, 0};
    memcpy(tables + 2 * ROWS, rest, sizeof rest);
    backend_upload(g->inner, g->integers, tables, sizeof tables);
    assert_ok(tape_watch(g->tape, TAPE_LEARNED, g->weights, ALL_WEIGHTS * sizeof(float),
                         g->gradients, &test_error));
    assert_ok(tape_watch(g->tape, TAPE_REUSED, g->work, BUFFERS * BUFFER * sizeof(float),
                         g->work_shadow, &test_error));
    for (int i = 0; i < 2; i++)
        assert_ok(tape_watch(g->tape, TAPE_ONCE, g->pools + i * POOL, POOL * sizeof(float),
                             g->pool_shadow + i * POOL, &test_error));
}

static void graph_close(graph *g) {
    backend_sync(g->inner);
    void *const pieces[] = {g->weights,     g->gradients, g->work,      g->work_shadow, g->pools,
                            g->pool_shadow, g->input,     g->direction, g->integers};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        backend_release(g->inner, pieces[i]);
    tape_close(g->tape);
    backend_close(g->inner);
}

static float *buffer_of(const graph *g, int which) {
    return g->work + which * BUFFER;
}

static const float *weight_of(const graph *g, int which) {
    const float *w = g->weights;
    for (int i = 0; i < which; i++)
        w += sizes[i];
    return w;
}

/* ---- Ops in the way of models ------------------------------------------------------------- */

static void linear(const graph *g, float *y, const float *x, int w, int bias, bool add) {
    const void *weight = weight_of(g, w), *b = bias >= 0 ? weight_of(g, bias) : NULL;
    op_linear(tape_backend(g->tape), &(linear_args){.y = &y,
                                                    .x = &x,
                                                    .w = &weight,
                                                    .b = &b,
                                                    .groups = 1,
                                                    .rows = ROWS,
                                                    .in = FEATURES,
                                                    .out = FEATURES,
                                                    .y_stride = FEATURES,
                                                    .x_stride = FEATURES,
                                                    .w_stride = FEATURES,
                                                    .accumulate = add});
}

static void norm(const graph *g, float *y, const float *x) {
    const void *w = weight_of(g, NORM);
    op_rmsnorm(tape_backend(g->tape), &(rmsnorm_args){.y = &y,
                                                      .x = &x,
                                                      .w = &w,
                                                      .groups = 1,
                                                      .rows = ROWS,
                                                      .features = FEATURES,
                                                      .y_stride = FEATURES,
                                                      .x_stride = FEATURES,
                                                      .epsilon = 1e-6f});
}

/* y = f(y), or f(y) * up */
static void activate(const graph *g, float *y, const float *up, activation f) {
    const float *x = y;
    op_activate(tape_backend(g->tape), &(activate_args){.y = &y,
                                                        .x = &x,
                                                        .up = up ? &up : NULL,
                                                        .groups = 1,
                                                        .activation = f,
                                                        .rows = ROWS,
                                                        .features = FEATURES,
                                                        .y_stride = FEATURES,
                                                        .x_stride = FEATURES,
                                                        .up_stride = FEATURES});
}

/* y = a + b */
static void add(const graph *g, float *y, const float *a, const float *b) {
    op_add(tape_backend(g->tape), &(add_args){.y = &y,
                                              .a = &a,
                                              .b = &b,
                                              .groups = 1,
                                              .rows = ROWS,
                                              .features = FEATURES,
                                              .y_stride = FEATURES,
                                              .a_stride = FEATURES,
                                              .b_stride = FEATURES});
}

static void copy(const graph *g, float *y, const float *x, int64_t stride) {
    op_copy_rows(tape_backend(g->tape), &(copy_rows_args){.y = &(void *){y},
                                                          .x = &(const void *){x},
                                                          .groups = 1,
                                                          .rows = ROWS,
                                                          .features = FEATURES,
                                                          .y_stride = stride,
                                                          .x_stride = FEATURES});
}

static void store(const graph *g, float *pool, const float *x) {
    op_scatter_rows(tape_backend(g->tape), &(scatter_rows_args){.y = pool,
                                                                .x = x,
                                                                .index = g->integers,
                                                                .rows = ROWS,
                                                                .features = FEATURES,
                                                                .y_stride = FEATURES,
                                                                .x_stride = FEATURES});
}

static void attend(const graph *g, float *y, const float *q) {
    op_attention(tape_backend(g->tape),
                 &(attention_args){.y = y,
                                   .q = q,
                                   .k = g->pools,
                                   .v = g->pools + POOL,
                                   .q_start = g->integers + 2 * ROWS,
                                   .range_start = g->integers + 2 * ROWS + 2,
                                   .ranges = (cache_range *)(g->integers + 2 * ROWS + 4),
                                   .positions = g->integers + ROWS,
                                   .rows = ROWS,
                                   .sequences = 1,
                                   .heads = 2,
                                   .kv_heads = 2,
                                   .head_dim = FEATURES / 2,
                                   .y_stride = FEATURES,
                                   .q_stride = FEATURES,
                                   .kv_stride = FEATURES,
                                   .scale = 0.5f});
}

/* Heads of few elements may be short, and the norm of a short one bends within a STEP. */
#define HEAD_EPSILON 0.1f

/* Two heads of x in place: the norm with weights of their own, and a rotation of some sort. */
static void place(const graph *g, float *x, int norm_at) {
    const float *in = x;
    const void *w = weight_of(g, NORM) + norm_at;
    op_rmsnorm(tape_backend(g->tape), &(rmsnorm_args){.y = &x,
                                                      .x = &in,
                                                      .w = &w,
                                                      .groups = 1,
                                                      .rows = ROWS * 2,
                                                      .features = FEATURES / 2,
                                                      .y_stride = FEATURES / 2,
                                                      .x_stride = FEATURES / 2,
                                                      .epsilon = HEAD_EPSILON});
    op_rope(tape_backend(g->tape), &(rope_args){.y = x,
                                                .x = x,
                                                .table = g->input,
                                                .rows = ROWS,
                                                .heads = 2,
                                                .head_dim = FEATURES / 2,
                                                .y_stride = FEATURES,
                                                .x_stride = FEATURES});
}

/* Both, and the pools, in one op. */
static void place_and_store(const graph *g, float *q, float *k, const float *v) {
    op_rope_store(tape_backend(g->tape),
                  &(rope_store_args){.q = q,
                                     .k = k,
                                     .v = v,
                                     .keys = g->pools,
                                     .values = g->pools + POOL,
                                     .index = g->integers,
                                     .table = g->input,
                                     .q_norm = weight_of(g, NORM),
                                     .k_norm = weight_of(g, NORM) + FEATURES / 2,
                                     .rows = ROWS,
                                     .heads = 2,
                                     .kv_heads = 2,
                                     .head_dim = FEATURES / 2,
                                     .kv_stride = FEATURES,
                                     .epsilon = HEAD_EPSILON});
}

/* ---- Graphs ------------------------------------------------------------------------------- */

/* A layer that writes over its own buffers as decoders do: norms and activations in place, one
 * buffer for many values, a residual stream, a pool of rows, += . */
static void layer_graph(const graph *g, bool recompute) {
    float *x = buffer_of(g, X), *t = buffer_of(g, T), *u = buffer_of(g, U), *q = buffer_of(g, Q);
    copy(g, x, g->input, FEATURES); /* depends on nothing learned */
    if (recompute)
        tape_recompute_begin(g->tape);
    norm(g, t, x);
    linear(g, q, t, W1, B1, false);
    store(g, g->pools, q);
    linear(g, u, t, W2, -1, false);
    linear(g, u, x, W1, -1, true);
    norm(g, u, u);
    store(g, g->pools + POOL, u);
    activate(g, q, NULL, ACTIVATION_GELU);
    attend(g, t, q);
    linear(g, u, t, W2, B1, false);
    add(g, x, x, u);
    tape_recompute_end(g->tape);
    if (recompute)
        tape_recompute_begin(g->tape);
    norm(g, t, x);
    linear(g, q, t, GATE, -1, false);
    linear(g, u, t, UP, -1, false);
    activate(g, q, u, ACTIVATION_SILU);
    linear(g, t, q, DOWN, -1, false);
    add(g, x, x, t);
    tape_recompute_end(g->tape);
}

/* Features side by side in rows with gaps, of which some depend on nothing; and the same memory
 * again for values that do not depend on anything, between those that do. */
static void patch_graph(const graph *g, bool recompute) {
    float *x = buffer_of(g, X), *t = buffer_of(g, T), *u = buffer_of(g, U), *q = buffer_of(g, Q);
    float *wide = buffer_of(g, WIDE);
    if (recompute)
        tape_recompute_begin(g->tape);
    linear(g, x, g->input, W1, B1, false);
    for (int again = 0; again < 2; again++) {
        copy(g, wide, again ? x : g->input, 2 * FEATURES);
        copy(g, wide + FEATURES, again ? g->input : x, 2 * FEATURES);
        const float *from = wide;
        op_sum_rows(tape_backend(g->tape), &(sum_rows_args){.y = &t,
                                                            .x = &from,
                                                            .groups = 1,
                                                            .rows = ROWS,
                                                            .features = 2 * FEATURES,
                                                            .x_stride = 2 * FEATURES,
                                                            .scale = 0.5f,
                                                            .accumulate = again});
    }
    copy(g, q, g->input, FEATURES);
    activate(g, q, x, ACTIVATION_GELU_TANH);
    copy(g, u, g->input, FEATURES);
    linear(g, u, q, W2, -1, true); /* += to what depends on nothing */
    copy(g, q, g->input, FEATURES);
    add(g, x, u, q);
    /* The sums stand in the first two rows of t. */
    float *y = x;
    const float *a = x, *b = t;
    op_add(tape_backend(g->tape), &(add_args){.y = &y,
                                              .a = &a,
                                              .b = &b,
                                              .groups = 1,
                                              .rows = 2,
                                              .features = FEATURES,
                                              .y_stride = FEATURES,
                                              .a_stride = FEATURES,
                                              .b_stride = FEATURES});
    tape_recompute_end(g->tape);
}

/* Attention whose heads are placed by one op, or by those that it stands for; then queries alone,
 * which read what is in the pools. */
static void attention_graph(const graph *g, bool recompute, bool one_op) {
    float *x = buffer_of(g, X), *t = buffer_of(g, T), *u = buffer_of(g, U), *q = buffer_of(g, Q);
    copy(g, x, g->input, FEATURES);
    if (recompute)
        tape_recompute_begin(g->tape);
    linear(g, q, x, W1, B1, false);
    linear(g, t, x, W2, -1, false);
    linear(g, u, x, GATE, -1, false);
    if (one_op) {
        place_and_store(g, q, t, u);
    } else {
        place(g, t, FEATURES / 2);
        store(g, g->pools, t);
        store(g, g->pools + POOL, u);
        place(g, q, 0);
    }
    attend(g, t, q);
    add(g, x, x, t);
    linear(g, q, x, UP, -1, false); /* another pass over the same cache */
    if (one_op)
        place_and_store(g, q, NULL, NULL);
    else
        place(g, q, 0);
    attend(g, t, q);
    linear(g, x, t, DOWN, -1, true);
    tape_recompute_end(g->tape);
}

static void heads_graph(const graph *g, bool recompute) {
    attention_graph(g, recompute, true);
}

static void parts_graph(const graph *g, bool recompute) {
    attention_graph(g, recompute, false);
}

typedef void (*graph_function)(const graph *g, bool recompute);

/* ---- Loss and gradients ------------------------------------------------------------------- */

static double loss(graph *g, graph_function f) {
    float out[BUFFER], direction[BUFFER];
    double sum = 0;
    f(g, false);
    backend_download(g->inner, out, buffer_of(g, X), sizeof out);
    backend_download(g->inner, direction, g->direction, sizeof direction);
    for (int i = 0; i < BUFFER; i++)
        sum += (double)out[i] * direction[i];
    return sum;
}

/* Gradients of one recorded step, `result` added to those that are there. */
static void learn(graph *g, graph_function f, bool recompute, float *result) {
    tape_record(g->tape);
    f(g, recompute);
    float *y = tape_shadow(g->tape, buffer_of(g, X));
    const float *x = g->direction;
    op_accumulate(g->inner, &(accumulate_args){.y = &y,
                                               .x = &x,
                                               .groups = 1,
                                               .rows = ROWS,
                                               .features = FEATURES,
                                               .y_stride = FEATURES,
                                               .x_stride = FEATURES,
                                               .scale = 1});
    assert_ok(tape_backward(g->tape, &test_error));
    backend_download(g->inner, result, g->gradients, ALL_WEIGHTS * sizeof *result);
    tape_reset(g->tape);
}

static void assert_no_shadows(graph *g) {
    float shadow[BUFFERS * BUFFER], pool[2 * POOL];
    backend_download(g->inner, shadow, g->work_shadow, sizeof shadow);
    for (size_t i = 0; i < sizeof shadow / sizeof *shadow; i++)
        assert_true(shadow[i] == 0);
    backend_download(g->inner, pool, g->pool_shadow, sizeof pool);
    for (size_t i = 0; i < sizeof pool / sizeof *pool; i++)
        assert_true(pool[i] == 0);
}

/* Changes the weights first .. first + count - 1 along a direction of their own. */
static void move(graph *g, int64_t first, int64_t count, float by) {
    float moved[ALL_WEIGHTS];
    memcpy(moved, g->host, sizeof moved);
    for (int64_t i = first; i < first + count; i++)
        moved[i] += by * number(5000 + (uint32_t)i);
    backend_upload(g->inner, g->weights, moved, sizeof moved);
}

static void check_gradients(graph_function f) {
    graph g;
    float gradient[ALL_WEIGHTS];
    graph_open(&g, false, 1);
    learn(&g, f, false, gradient);
    assert_no_shadows(&g);
    for (int64_t i = 0, first = 0; i < WEIGHTS; first += sizes[i++]) {
        double along = 0, size = 1;
        for (int64_t k = first; k < first + sizes[i]; k++) {
            along += (double)gradient[k] * number(5000 + (uint32_t)k);
            size = fmax(size, fabs((double)gradient[k]));
        }
        move(&g, first, sizes[i], STEP);
        double above = loss(&g, f);
        move(&g, first, sizes[i], -STEP);
        double below = loss(&g, f), expected = (above - below) / (2 * STEP);
        move(&g, first, sizes[i], 0);
        if (!(fabs(along - expected) <= 2e-3 * size))
            fail_msg("weights %d: %.6f along the gradient, %.6f by differences", (int)i, along,
                     expected);
    }
    graph_close(&g);
}

static void test_layer(void **state) {
    (void)state;
    check_gradients(layer_graph);
}

static void test_patches(void **state) {
    (void)state;
    check_gradients(patch_graph);
}

static void test_heads(void **state) {
    (void)state;
    check_gradients(heads_graph);
}

/* ---- The same bits ------------------------------------------------------------------------ */

static void gradients_in_a_way(graph_function f, bool queue, int threads, bool recompute,
                               float *result) {
    graph g;
    graph_open(&g, queue, threads);
    learn(&g, f, recompute, result);
    assert_no_shadows(&g);
    graph_close(&g);
}

static void test_same_bits(void **state) {
    (void)state;
    const graph_function graphs[] = {layer_graph, patch_graph, heads_graph};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        float first[ALL_WEIGHTS], again[ALL_WEIGHTS];
        gradients_in_a_way(graphs[i], false, 1, false, first);
        gradients_in_a_way(graphs[i], false, 1, true, again);
        assert_memory_equal(first, again, sizeof first);
        gradients_in_a_way(graphs[i], false, 3, false, again);
        assert_memory_equal(first, again, sizeof first);
        gradients_in_a_way(graphs[i], true, 2, true, again);
        assert_memory_equal(first, again, sizeof first);
    }
}

/* One op is recorded as those that it stands for: gradients and results of the same bits. */
static void test_one_op_as_its_parts(void **state) {
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        graph g[2];
        float gradient[2][ALL_WEIGHTS], x[2][BUFFER];
        size_t length[2];
        for (int i = 0; i < 2; i++) {
            graph_open(&g[i], false, 2);
            graph_function f = i ? parts_graph : heads_graph;
            tape_record(g[i].tape);
            f(&g[i], recompute);
            length[i] = tape_length(g[i].tape);
            tape_reset(g[i].tape);
            learn(&g[i], f, recompute, gradient[i]);
            backend_download(g[i].inner, x[i], buffer_of(&g[i], X), sizeof x[i]);
            graph_close(&g[i]);
        }
        assert_int_equal(length[0], length[1]);
        assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
        assert_memory_equal(x[0], x[1], sizeof x[0]);
    }
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* A second step adds the same gradients once more, and asks for no memory. */
static void test_steps(void **state) {
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        graph g;
        float once[ALL_WEIGHTS], twice[ALL_WEIGHTS];
        graph_open(&g, false, 1);
        learn(&g, layer_graph, recompute, once);
        size_t bytes = tape_bytes(g.tape);
        learn(&g, layer_graph, recompute, twice);
        assert_int_equal(tape_bytes(g.tape), bytes);
        for (int i = 0; i < ALL_WEIGHTS; i++)
            assert_true(fabsf(twice[i] - 2 * once[i]) <= 1e-5f * fmaxf(1, fabsf(once[i])));
        graph_close(&g);
    }
}

/* Nothing is recorded of what depends on no weights, nor without being asked. */
static void test_nothing_recorded(void **state) {
    (void)state;
    graph g;
    graph_open(&g, false, 1);
    layer_graph(&g, true);
    assert_int_equal(tape_length(g.tape), 0);
    tape_record(g.tape);
    copy(&g, buffer_of(&g, X), g.input, FEATURES);
    copy(&g, buffer_of(&g, T), buffer_of(&g, X), FEATURES);
    activate(&g, buffer_of(&g, T), NULL, ACTIVATION_SILU);
    assert_int_equal(tape_length(g.tape), 0);
    assert_false(tape_needs(g.tape, buffer_of(&g, T)));
    linear(&g, buffer_of(&g, T), g.input, W1, B1, false);
    assert_int_equal(tape_length(g.tape), 1);
    assert_true(tape_needs(g.tape, buffer_of(&g, T)));
    copy(&g, buffer_of(&g, T), g.input, FEATURES);
    assert_false(tape_needs(g.tape, buffer_of(&g, T)));
    tape_reset(g.tape);
    graph_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_one_op_as_its_parts),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_nothing_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
