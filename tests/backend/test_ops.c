/* test_ops.c - every op of the table on every backend against the reference, and the promises about
 * bits: the same with any number of threads, and for a row alone or in a batch. */
#include "backend/cpu/cpu.h"
#include "backend/op_table.h"
#include "backend/reference.h"
#include "support/test.h"

#define CASES 60 /* of each op on each backend */

/* ---- Against the reference ---------------------------------------------------------------- */

/* The kernels of attention that round queries and weights to bf16; NULL: these kernels do not. */
static const attention_kernel *rounding_attention(const char *name, const op_case *c) {
    cpu_isa isa = cpu_isa_best();
    const attention_args *a = &c->args.attention;
    if (c->kind != OP_attention || a->math != LINEAR_BF16 || a->kv_type != DTYPE_BF16 ||
        a->head_dim > ATTENTION_DOT_WIDEST)
        return NULL;
    cpu_isa_find(name, &isa); /* else the queue's: the best there are */
    return cpu_kernels_for(isa)->attention_bf16;
}

/* A mean of numbers below 1 whose weights are off by 2^-9 each, half a step of bf16, is off by at
 * most as much, for their mean distance from their mean is at most 1; a little more for sums, for
 * what the weights' sum is off, and for 2^x. */
static op_row exactness(const op_row *row, const char *name, const op_case *c) {
    op_row exact = *row;
    if (rounding_attention(name, c)) {
        exact.tolerance = 0x1p-9f * 1.02f;
        exact.reason = "weights as bf16";
    }
    return exact;
}

/* So that kernels that round them have nothing to round, and nothing but weights is off. */
static void round_queries(op_case *c) {
    const attention_args *a = &c->args.attention;
    if (c->kind == OP_attention && a->kv_type == DTYPE_BF16)
        for (int64_t i = 0; i < a->rows * a->q_stride; i++)
            ((float *)a->q)[i] = f32_from_bf16(bf16_from_f32(a->q[i]));
}

static void compare_floats(const op_row *row, const char *name, const float *got,
                           const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float allowed = row->tolerance * fmaxf(1, fabsf(expected[i]));
        if (!(fabsf(got[i] - expected[i]) <= allowed))
            fail_msg("%s on %s: element %zu is %.9g, expected %.9g within %g (%s)",
                     op_infos[row->kind].name, name, i, (double)got[i], (double)expected[i],
                     (double)allowed, row->reason);
    }
}

/* The same within one step of bf16. */
static void compare_bf16(const op_row *row, const char *name, const uint16_t *got,
                         const uint16_t *expected, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float a = f32_from_bf16(got[i]), b = f32_from_bf16(expected[i]);
        if (!(fabsf(a - b) <= fmaxf(row->tolerance, 0x1p-7f * fabsf(b))))
            fail_msg("%s on %s: element %zu is %.9g, expected %.9g within a step of bf16",
                     op_infos[row->kind].name, name, i, (double)a, (double)b);
    }
}

/* Sums in f64, whose order differs. */
static void compare_doubles(const char *name, const double *got, const double *expected,
                            size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - expected[i]) <= 1e-12 * fmax(1, fabs(expected[i]))))
            fail_msg("%s: number %zu is %.17g, expected %.17g", name, i, got[i], expected[i]);
}

/* Runs a case on a backend; everything that was handed over is overwritten right after. */
static void run_case(backend *b, const op_case *c, char **results) {
    op_bound bound;
    assert_ok(op_bound_make(&bound, c, b, &test_error));
    backend_run(b, c->kind, bound.args);
    int32_t groups = 0;
    if (op_infos[c->kind].tables)
        memcpy(&groups, bound.args + op_infos[c->kind].groups_offset, sizeof groups);
    for (int t = 0; t < op_infos[c->kind].tables; t++)
        if (bound.tables[t])
            memset(bound.tables[t], 0xee, (size_t)groups * sizeof(void *));
    memset(bound.args, 0xee, sizeof bound.args);
    for (int i = 0; i < c->buffer_count; i++) {
        results[i] = malloc(c->buffers[i].bytes);
        assert_non_null(results[i]);
        backend_download(b, results[i], bound.memory[i], c->buffers[i].bytes);
    }
    op_bound_free(&bound);
}

static void free_results(const op_case *c, char **results) {
    for (int i = 0; i < c->buffer_count; i++)
        free(results[i]);
}

static void check_op_of(backend *b, const char *name, const op_row *row, const op_sizes *sizes,
                        uint64_t seed) {
    test_random random = {seed};
    op_case c;
    char *results[OP_CASE_BUFFERS];
    op_case_make(&c, row, sizes, &random);
    round_queries(&c);
    run_case(b, &c, results);
    const op_row exact = exactness(row, name, &c);
    reference_run(row->kind, c.args.bytes); /* changes the case's own buffers */
    for (int i = 0; i < c.buffer_count; i++) {
        const op_buffer *buffer = &c.buffers[i];
        if (buffer->scratch)
            continue;
        if (buffer->is_float && buffer->written)
            compare_floats(&exact, name, (float *)results[i], (float *)buffer->host,
                           buffer->bytes / sizeof(float));
        else if (buffer->is_bf16)
            compare_bf16(row, name, (uint16_t *)results[i], (uint16_t *)buffer->host,
                         buffer->bytes / sizeof(uint16_t));
        else if (buffer->is_double)
            compare_doubles(name, (double *)results[i], (double *)buffer->host,
                            buffer->bytes / sizeof(double));
        else if (memcmp(results[i], buffer->host, buffer->bytes) != 0)
            fail_msg("%s on %s: buffer %d differs (seed %llu)", op_infos[row->kind].name, name, i,
                     (unsigned long long)seed);
    }
    free_results(&c, results);
    op_case_free(&c);
}

static void check_op(backend *b, const char *name, const op_row *row, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    check_op_of(b, name, row, &sizes, random.state);
}

/* More keys than kernels sum in one run, more queries than they take in one part, wide heads. */
static op_sizes long_attention(uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    const int64_t keys[] = {447, 511, 512, 1090}, dims[] = {2, 66, 128, 200, 256, 258};
    sizes.keys = keys[seed % 4];
    sizes.head_dim = dims[seed % 6];
    sizes.rows = seed % 3 ? 3 : 41;
    sizes.kv_heads = seed % 3 ? 2 : 1;
    sizes.heads = sizes.kv_heads * 3;
    sizes.window = seed % 5 ? 0 : 530;
    sizes.b_type = seed % 8 == 7 ? DTYPE_F32 : DTYPE_BF16;
    sizes.math = seed % 8 == 6 ? LINEAR_F32 : LINEAR_BF16;
    return sizes;
}
#define LONG_CASES 12

static void check_all_ops(backend *b, const char *name) {
    for (int kind = 0; kind < OP_COUNT; kind++)
        for (uint64_t seed = 0; seed < CASES; seed++)
            check_op(b, name, &op_rows[kind], seed * 7919 + (uint64_t)kind);
    for (uint64_t seed = 0; seed < LONG_CASES; seed++)
        check_op_of(b, name, &op_rows[OP_attention], &(op_sizes[]){long_attention(seed)}[0], seed);
    backend_close(b);
}

static void cpu_matches_reference(void **state) {
    (void)state;
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++) {
        if (!cpu_kernels_for((cpu_isa)isa)) {
            print_message("kernels %s: not on this machine\n", cpu_isa_name((cpu_isa)isa));
            continue;
        }
        backend *b;
        assert_ok(backend_cpu_open_isa(&b, 2, (cpu_isa)isa, &test_error));
        check_all_ops(b, cpu_isa_name((cpu_isa)isa));
    }
}

static void queue_matches_reference(void **state) {
    (void)state;
    backend *b;
    assert_ok(backend_queue_open(&b, 2, &test_error));
    check_all_ops(b, "queue");
}

/* ---- Bits --------------------------------------------------------------------------------- */

static void assert_same_results(const op_case *c, char **a, char **b, const char *what) {
    for (int i = 0; i < c->buffer_count; i++)
        if (memcmp(a[i], b[i], c->buffers[i].bytes) != 0)
            fail_msg("%s: %s gives other bits", op_infos[c->kind].name, what);
}

/* Sizes that are cut into many parts, so that threads matter. */
static op_sizes large_sizes(test_random *random) {
    op_sizes sizes = op_sizes_random(random);
    sizes.rows = 61;
    sizes.features = 517;
    sizes.out = 203;
    sizes.groups = 3;
    return sizes;
}

static void results_do_not_depend_on_backend_or_threads(void **state) {
    (void)state;
    backend *one, *four, *queue;
    assert_ok(backend_cpu_open(&one, 1, &test_error));
    assert_ok(backend_cpu_open(&four, 4, &test_error));
    assert_ok(backend_queue_open(&queue, 3, &test_error));
    for (int kind = 0; kind < OP_COUNT; kind++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            test_random random = {seed};
            op_sizes sizes = large_sizes(&random);
            op_case c;
            char *a[OP_CASE_BUFFERS], *b[OP_CASE_BUFFERS], *q[OP_CASE_BUFFERS];
            op_case_make(&c, &op_rows[kind], &sizes, &random);
            run_case(one, &c, a);
            run_case(four, &c, b);
            run_case(queue, &c, q);
            assert_same_results(&c, a, b, "four threads");
            assert_same_results(&c, a, q, "the queue");
            free_results(&c, a);
            free_results(&c, b);
            free_results(&c, q);
            op_case_free(&c);
        }
    backend_close(one);
    backend_close(four);
    backend_close(queue);
}

/* Runs an op whose arguments lie in host memory, which a CPU backend may use as it is. */
typedef void (*isa_check)(backend *b, uint64_t seed);

static void on_every_isa(isa_check check) {
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++) {
        if (!cpu_kernels_for((cpu_isa)isa))
            continue;
        backend *b;
        assert_ok(backend_cpu_open_isa(&b, 2, (cpu_isa)isa, &test_error));
        for (uint64_t seed = 0; seed < CASES; seed++)
            check(b, seed);
        backend_close(b);
    }
}

/* The call that computes group p alone. */
static linear_args linear_of_group(const linear_args *a, int32_t p) {
    linear_args one = *a;
    one.groups = 1;
    one.y += p;
    one.x += p;
    one.w += p;
    one.b = a->b ? a->b + p : NULL;
    one.scale = a->scale ? a->scale + p : NULL;
    one.panels = a->panels ? a->panels + p : NULL;
    one.norm = a->norm ? a->norm + p : NULL;
    one.up = a->up ? a->up + p : NULL;
    one.prepared = a->prepared ? a->prepared + p : NULL;
    one.out = linear_outs(a, p);
    one.y_stride = linear_y_stride(a, p);
    one.outs[0] = 0;
    return one;
}

/* A linear's rows one by one, then all at once over the same y. */
static void check_linear_rows_of(backend *b, const op_sizes *sizes, uint64_t seed) {
    test_random random = {seed};
    op_case c;
    op_case_make(&c, &op_rows[OP_linear], sizes, &random);
    linear_args *a = &c.args.linear;
    assert_ok(backend_reserve(b, (size_t)a->in, &test_error));
    for (int32_t p = 0; p < a->groups; p++) {
        size_t bytes = (size_t)(a->rows * linear_y_stride(a, p)) * sizeof(float);
        float *alone = malloc(bytes), *together = malloc(bytes);
        assert_true(alone && together);
        memcpy(alone, a->y[p], bytes);
        memcpy(together, a->y[p], bytes);
        linear_args one = linear_of_group(a, p);
        one.prepare = LINEAR_PREPARE_NONE; /* other tests look at that */
        for (int64_t n = 0; n < a->rows; n++) {
            one.rows = 1;
            one.y = &(float *){alone + n * linear_y_stride(a, p)};
            one.x = &(const float *){a->x[p] + n * a->x_stride};
            op_linear(b, &one);
        }
        one.rows = a->rows;
        one.y = &together;
        one.x = a->x + p;
        op_linear(b, &one);
        assert_memory_equal(alone, together, bytes);
        free(alone);
        free(together);
    }
    op_case_free(&c);
}

static void check_linear_rows(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    check_linear_rows_of(b, &sizes, seed);
}

static void linear_row_alone_equals_row_in_batch(void **state) {
    (void)state;
    on_every_isa(check_linear_rows);
}

/* So many weights that kernels read them in another way where rows are few. */
static void check_large_linear(backend *b, uint64_t seed) {
    const op_sizes sizes = {.groups = 1,
                            .rows = 1 + (int64_t)seed % 7,
                            .features = 1030,
                            .out = 521,
                            .padding = (int64_t)seed % 3,
                            .w_type = DTYPE_BF16,
                            .math = LINEAR_BF16,
                            .accumulate = seed % 2,
                            .optional = seed % 5 == 0,
                            .int8 = seed % 4 > 1};
    if (seed < 28)
        check_linear_rows_of(b, &sizes, seed);
}

static void large_linear_row_alone_equals_row_in_batch(void **state) {
    (void)state;
    on_every_isa(check_large_linear);
}

/* Panels of two matrices side by side: the right one's begin within those of the whole. */
static void check_panel_columns(backend *b, uint64_t seed) {
    enum { ROWS = 7, LEFT = 34, RIGHT = 33, OUTS = 70, IN = LEFT + RIGHT };
    test_random random = {seed};
    static float x[ROWS * RIGHT], plain[ROWS * OUTS], by_panels[ROWS * OUTS];
    static uint16_t w[OUTS * IN];
    const uint16_t *panels;
    if (!backend_wants_panels(b, LINEAR_BF16, OUTS, IN, sizeof w) || seed >= 3)
        return;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = random_float(&random);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = bf16_from_f32(random_float(&random));
    assert_ok(backend_reserve(b, IN, &test_error));
    assert_ok(backend_make_panels(b, &panels, w, OUTS, IN, IN, &test_error));
    const uint16_t *right = panels + panel_stride(LEFT);
    linear_args a = {.y = &(float *){plain},
                     .x = &(const float *){x},
                     .w = &(const void *){w + LEFT},
                     .groups = 1,
                     .w_type = DTYPE_BF16,
                     .math = LINEAR_BF16,
                     .rows = ROWS,
                     .in = RIGHT,
                     .out = OUTS,
                     .y_stride = OUTS,
                     .x_stride = RIGHT,
                     .w_stride = IN};
    op_linear(b, &a);
    a.y = &(float *){by_panels};
    a.panels = &right;
    op_linear(b, &a);
    for (size_t i = 0; i < ROWS * OUTS; i++) /* the same products, added in another order */
        if (fabsf(plain[i] - by_panels[i]) > 1e-5f)
            fail_msg("element %zu is %.9g by panels, %.9g without", i, (double)by_panels[i],
                     (double)plain[i]);
    backend_release(b, (void *)panels);
}

static void panels_may_begin_at_a_column(void **state) {
    (void)state;
    on_every_isa(check_panel_columns);
}

/* Rows prepared by an op of their own, then each group's product: the bits of one call. */
static void check_linear_parts(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    op_case whole, parts;
    test_random again = random;
    op_case_make(&whole, &op_rows[OP_linear], &sizes, &random);
    op_case_make(&parts, &op_rows[OP_linear], &sizes, &again);
    const linear_args *a = &parts.args.linear;
    int32_t prepared = linear_shares_rows(a) ? 1 : a->groups;
    assert_ok(backend_reserve(b, (size_t)a->in, &test_error));
    op_linear(b, &whole.args.linear);
    if (a->prepare == LINEAR_PREPARE_NORM)
        op_rmsnorm(b, &(rmsnorm_args[]){linear_norm(a, prepared)}[0]);
    if (a->prepare == LINEAR_PREPARE_ACTIVATE)
        op_activate(b, &(activate_args[]){linear_activate(a, prepared)}[0]);
    for (int32_t p = 0; p < a->groups; p++) {
        linear_args one = linear_of_group(a, p);
        if (a->prepare) {
            one.x = (const float *const *)one.prepared;
            one.x_stride = a->in;
            one.prepare = LINEAR_PREPARE_NONE;
        }
        op_linear(b, &one);
    }
    for (int i = 0; i < whole.buffer_count; i++)
        assert_memory_equal(whole.buffers[i].host, parts.buffers[i].host, whole.buffers[i].bytes);
    op_case_free(&whole);
    op_case_free(&parts);
}

static void linear_in_one_call_equals_its_parts(void **state) {
    (void)state;
    on_every_isa(check_linear_parts);
}

/* Heads of x in place by ops of their own. */
static void place_heads(backend *b, const rope_store_args *a, float *x, int64_t heads,
                        const void *norm, dtype norm_type) {
    int64_t d = a->head_dim;
    if (norm)
        op_rmsnorm(b, &(rmsnorm_args){.y = &x,
                                      .x = &(const float *){x},
                                      .w = &norm,
                                      .groups = 1,
                                      .w_type = norm_type,
                                      .rows = a->rows * heads,
                                      .features = d,
                                      .y_stride = d,
                                      .x_stride = d,
                                      .epsilon = a->epsilon});
    op_rope(b, &(rope_args){x, x, a->table, a->rows, heads, d, heads * d, heads * d});
}

/* Queries, keys and values in one pass, then by the six ops that it stands for. */
static void check_rope_store_parts(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    op_case whole, parts;
    test_random again = random;
    op_case_make(&whole, &op_rows[OP_rope_store], &sizes, &random);
    op_case_make(&parts, &op_rows[OP_rope_store], &sizes, &again);
    op_rope_store(b, &whole.args.rope_store);
    const rope_store_args *a = &parts.args.rope_store;
    int64_t features = a->kv_heads * a->head_dim, stride = a->kv_stride;
    if (a->q)
        place_heads(b, a, a->q, a->heads, a->q_norm, a->q_norm_type);
    if (a->k) {
        place_heads(b, a, a->k, a->kv_heads, a->k_norm, a->k_norm_type);
        op_scatter_rows(b, &(scatter_rows_args){a->keys, a->k, a->index, a->rows, features, stride,
                                                features, a->kv_type});
        op_scatter_rows(b, &(scatter_rows_args){a->values, a->v, a->index, a->rows, features,
                                                stride, features, a->kv_type});
    }
    for (int i = 0; i < whole.buffer_count; i++)
        if (!whole.buffers[i].scratch)
            assert_memory_equal(whole.buffers[i].host, parts.buffers[i].host,
                                whole.buffers[i].bytes);
    op_case_free(&whole);
    op_case_free(&parts);
}

static void rope_store_equals_its_parts(void **state) {
    (void)state;
    on_every_isa(check_rope_store_parts);
}

/* The last row's values become infinite and NaN, which only the last query sees. */
static void add_special_values(attention_args *a) {
    const cache_range *last = &a->ranges[a->range_start[1] - 1];
    int64_t at = (last->row + last->count - 1) * a->kv_stride, n = a->kv_heads * a->head_dim;
    for (int64_t i = 0; i < n; i++) {
        const float value = i % 2 ? NAN : INFINITY;
        if (a->kv_type == DTYPE_F32)
            ((float *)a->v)[at + i] = value;
        else
            ((uint16_t *)a->v)[at + i] = bf16_from_f32(value);
    }
}

/* The queries of a chunk one by one, each with only the keys that stand before it and itself, then
 * all at once: prefill in any chunks gives the same bits. */
static void check_attention_chunks_of(backend *b, op_sizes sizes, uint64_t seed) {
    test_random random = {seed};
    sizes.sequences = 1;
    sizes.optional = false;
    op_case c;
    op_case_make(&c, &op_rows[OP_attention], &sizes, &random);
    attention_args *a = &c.args.attention;
    if (seed % 4 == 0) /* what a query does not see may be anything */
        add_special_values(a);
    size_t bytes = (size_t)(a->rows * a->y_stride) * sizeof(float);
    float *alone = malloc(bytes);
    assert_non_null(alone);
    memcpy(alone, a->y, bytes);
    op_attention(b, a);
    cache_range *ranges = malloc((size_t)a->range_start[1] * sizeof *ranges);
    assert_non_null(ranges);
    for (int64_t n = 0; n < a->rows; n++) {
        memcpy(ranges, a->ranges, (size_t)a->range_start[1] * sizeof *ranges);
        ranges[a->range_start[1] - 1].count = (int32_t)n + 1;
        attention_args one = *a;
        one.rows = 1;
        one.y = alone + n * a->y_stride;
        one.q = a->q + n * a->q_stride;
        one.positions = a->positions + n;
        one.q_start = (const int32_t[]){0, 1};
        one.ranges = ranges;
        op_attention(b, &one);
    }
    assert_memory_equal(alone, a->y, bytes);
    free(ranges);
    free(alone);
    op_case_free(&c);
}

static void check_attention_chunks(backend *b, uint64_t seed) {
    test_random random = {seed};
    check_attention_chunks_of(b, op_sizes_random(&random), seed);
    if (seed < LONG_CASES)
        check_attention_chunks_of(b, long_attention(seed), seed);
}

static void attention_does_not_depend_on_chunks(void **state) {
    (void)state;
    on_every_isa(check_attention_chunks);
}

/* Where queries are rounded, they are rounded as bf16 is. */
static void check_query_rounding(backend *b, uint64_t seed) {
    op_sizes sizes = long_attention(seed % LONG_CASES);
    test_random random = {seed};
    op_case c;
    op_case_make(&c, &op_rows[OP_attention], &sizes, &random);
    if (seed < LONG_CASES && rounding_attention(backend_cpu_isa(b), &c)) {
        attention_args *a = &c.args.attention;
        size_t bytes = (size_t)(a->rows * a->y_stride) * sizeof(float);
        float *before = malloc(bytes);
        assert_non_null(before);
        op_attention(b, a);
        memcpy(before, a->y, bytes);
        round_queries(&c);
        op_attention(b, a);
        assert_memory_equal(before, a->y, bytes);
        free(before);
    }
    op_case_free(&c);
}

static void attention_rounds_queries_like_bf16_from_f32(void **state) {
    (void)state;
    on_every_isa(check_query_rounding);
}

/* bf16 activations: ties to even, infinities, and NaN stay what they are. */
static void linear_bf16_rounds_like_bf16_from_f32(void **state) {
    (void)state;
    static const uint32_t hard[] = {0x3f808000, 0x3f818000, 0x3f817fff, 0x7f7fffff, 0x7f800000,
                                    0xff800000, 0x7f800001, 0xffffffff, 0x00000001, 0x80008000};
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++) {
        if (!cpu_kernels_for((cpu_isa)isa))
            continue;
        backend *b;
        assert_ok(backend_cpu_open_isa(&b, 1, (cpu_isa)isa, &test_error));
        assert_ok(backend_reserve(b, 1, &test_error));
        for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
            float x, y, one = 1;
            memcpy(&x, &hard[i], sizeof x);
            float expected = f32_from_bf16(bf16_from_f32(x));
            for (int weight = 0; weight < 2; weight++) { /* the odd number on either side */
                op_linear(b, &(linear_args){.y = &(float *){&y},
                                            .x = &(const float *){weight ? &one : &x},
                                            .w = &(const void *){weight ? &x : &one},
                                            .groups = 1,
                                            .math = LINEAR_BF16,
                                            .rows = 1,
                                            .in = 1,
                                            .out = 1,
                                            .y_stride = 1,
                                            .x_stride = 1,
                                            .w_stride = 1});
                assert_true(y == expected || (y != y && expected != expected));
            }
        }
        backend_close(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_matches_reference),
        cmocka_unit_test(queue_matches_reference),
        cmocka_unit_test(results_do_not_depend_on_backend_or_threads),
        cmocka_unit_test(linear_row_alone_equals_row_in_batch),
        cmocka_unit_test(large_linear_row_alone_equals_row_in_batch),
        cmocka_unit_test(panels_may_begin_at_a_column),
        cmocka_unit_test(linear_in_one_call_equals_its_parts),
        cmocka_unit_test(rope_store_equals_its_parts),
        cmocka_unit_test(attention_does_not_depend_on_chunks),
        cmocka_unit_test(attention_rounds_queries_like_bf16_from_f32),
        cmocka_unit_test(linear_bf16_rounds_like_bf16_from_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
