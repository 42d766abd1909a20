/* test_training.c - promises of the ops of training beyond their formulas: bits do not depend on
 * what else is in a call, random numbers not on how rows are packed, and norms tell what is not
 * finite. */
#include "backend/cpu/cpu.h"
#include "backend/op_table.h"
#include "support/test.h"

#define CASES 40

/* On every kernel set of this machine; arguments lie in host memory. */
static void on_every_isa(void (*check)(backend *b, uint64_t seed)) {
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

static float *copy_of(const float *x, int64_t count) {
    float *copy = malloc((size_t)count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, (size_t)count * sizeof *copy);
    return copy;
}

/* ---- Written or added to ------------------------------------------------------------------ */

/* Gradients so large that they are written past the caches, some at places that are not aligned,
 * and the same added to zeros. Two groups share the first. */
static void check_written(backend *b, uint64_t seed) {
    enum { ROWS = 5, IN = 1040, OUT = 700, GROUPS = 4, STRIDE = IN + 16 };
    const int64_t skip = seed % 2 ? 1 : 0;
    float *dw[GROUPS], *zeros[GROUPS];
    const float *x[GROUPS], *dy[GROUPS];
    test_random random = {seed};
    if (seed > 3)
        return;
    for (int p = 0; p < GROUPS; p++) {
        float *in = malloc(ROWS * IN * sizeof *in), *out = malloc(ROWS * OUT * sizeof *out);
        dw[p] = aligned_alloc(64, OUT * STRIDE * sizeof(float));
        zeros[p] = calloc(OUT * STRIDE, sizeof(float));
        assert_true(in && out && dw[p] && zeros[p]);
        memset(dw[p], 0xff, OUT * STRIDE * sizeof(float)); /* no numbers */
        for (int64_t i = 0; i < ROWS * IN; i++)
            in[i] = random_float(&random);
        for (int64_t i = 0; i < ROWS * OUT; i++)
            out[i] = random_float(&random);
        x[p] = in;
        dy[p] = out;
    }
    float *const to[] = {dw[0] + skip, dw[1] + skip, dw[0] + skip, dw[3] + skip};
    float *const added[] = {zeros[0] + skip, zeros[1] + skip, zeros[0] + skip, zeros[3] + skip};
    linear_backward_w_args a = {.dw = to,
                                .dy = dy,
                                .x = x,
                                .groups = GROUPS,
                                .math = seed / 2 % 2 ? LINEAR_BF16 : LINEAR_F32,
                                .rows = ROWS,
                                .in = IN,
                                .out = OUT,
                                .dw_stride = STRIDE,
                                .dy_stride = OUT,
                                .x_stride = IN,
                                .overwrite = true};
    op_linear_backward_w(b, &a);
    a.dw = added;
    a.overwrite = false;
    op_linear_backward_w(b, &a);
    for (int p = 0; p < GROUPS; p++) {
        for (int64_t o = 0; o < OUT && p != 2; o++)
            for (int64_t i = 0; i < IN; i++)
                assert_true(to[p][o * STRIDE + i] == added[p][o * STRIDE + i]);
        assert_true(p == 2 || !(dw[p][IN + skip] == 0)); /* what lies between rows stays */
    }
    for (int p = 0; p < GROUPS; p++) {
        free(dw[p]);
        free(zeros[p]);
        free((float *)x[p]);
        free((float *)dy[p]);
    }
}

static void gradients_are_written_as_they_are_added(void **state) {
    (void)state;
    on_every_isa(check_written);
}

/* ---- Alone or together -------------------------------------------------------------------- */

static void check_linear_rows(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    sizes.groups = 1;
    sizes.padding = 5;
    op_case c;
    op_case_make(&c, &op_rows[OP_linear_backward_x], &sizes, &random);
    linear_backward_x_args *a = &c.args.linear_backward_x, one = *a;
    assert_ok(backend_reserve(b, (size_t)a->out, &test_error));
    int64_t count = a->rows * a->dx_stride;
    float *alone = copy_of(a->dx[0], count);
    one.rows = 1;
    for (int64_t n = 0; n < a->rows; n++) {
        one.dx = &(float *){alone + n * a->dx_stride};
        one.dy = &(const float *){a->dy[0] + n * a->dy_stride};
        op_linear_backward_x(b, &one);
    }
    op_linear_backward_x(b, a);
    assert_memory_equal(alone, a->dx[0], (size_t)count * sizeof *alone);
    free(alone);
    op_case_free(&c);
}

static void linear_row_alone_equals_row_in_batch(void **state) {
    (void)state;
    on_every_isa(check_linear_rows);
}

/* All sequences at once, and each as the only one of its call. */
static void check_sequences(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    sizes.sequences = 4;
    sizes.accumulate = true;
    op_case c;
    op_case_make(&c, &op_rows[OP_attention_backward], &sizes, &random);
    attention_backward_args *a = &c.args.attention_backward, one = *a;
    int64_t pool = 1;
    for (int32_t r = 0; r < a->range_start[a->sequences]; r++)
        pool = max_i64(pool, a->ranges[r].row + a->ranges[r].count);
    int64_t queries = max_i64(a->rows, 1) * a->dq_stride, keys = pool * a->dkv_stride;
    one.dq = copy_of(a->dq, queries);
    one.dk = copy_of(a->dk, keys);
    one.dv = copy_of(a->dv, keys);
    one.sequences = 1;
    op_attention_backward(b, a);
    for (int64_t s = 0; s < a->sequences; s++) {
        one.q_start = a->q_start + s;
        one.range_start = a->range_start + s;
        op_attention_backward(b, &one);
    }
    assert_memory_equal(one.dq, a->dq, (size_t)queries * sizeof(float));
    assert_memory_equal(one.dk, a->dk, (size_t)keys * sizeof(float));
    assert_memory_equal(one.dv, a->dv, (size_t)keys * sizeof(float));
    free(one.dq);
    free(one.dk);
    free(one.dv);
    op_case_free(&c);
}

static void sequence_alone_equals_sequence_in_batch(void **state) {
    (void)state;
    on_every_isa(check_sequences);
}

/* ---- Random numbers ----------------------------------------------------------------------- */

/* Row n of group p, packed with others or alone. */
static void check_packing(backend *b, uint64_t seed) {
    test_random random = {seed};
    op_sizes sizes = op_sizes_random(&random);
    op_case c;
    op_case_make(&c, &op_rows[OP_uniforms], &sizes, &random);
    uniforms_args *a = &c.args.uniforms, one = *a;
    op_uniforms(b, a);
    float *alone = malloc((size_t)a->features * sizeof *alone);
    assert_non_null(alone);
    one.u = &alone;
    one.groups = 1;
    one.rows = 1;
    for (int32_t p = 0; p < a->groups; p++)
        for (int64_t n = 0; n < a->rows; n++) {
            one.random.group = a->random.group + (uint32_t)p;
            one.random.samples = a->random.samples + n;
            one.random.positions = a->random.positions + n;
            op_uniforms(b, &one);
            assert_memory_equal(alone, a->u[p] + n * a->u_stride,
                                (size_t)a->features * sizeof *alone);
        }
    free(alone);
    op_case_free(&c);
}

static void uniforms_do_not_depend_on_packing(void **state) {
    (void)state;
    on_every_isa(check_packing);
}

/* Every part of the key matters; the numbers fill (0, 1) evenly; dropout keeps its share. */
static void check_spread(backend *b, uint64_t seed) {
    enum { COUNT = 4096 };
    static float u[COUNT], other[COUNT], ones[COUNT];
    const random_rows base = {.seed = seed,
                              .step = 7,
                              .site = 3,
                              .group = 1,
                              .samples = (const int32_t[]){2},
                              .positions = (const int32_t[]){11}};
    random_rows keys[6] = {base, base, base, base, base, base};
    keys[0].seed++;
    keys[1].step++;
    keys[2].site++;
    keys[3].group++;
    keys[4].samples = (const int32_t[]){3};
    keys[5].positions = (const int32_t[]){12};
    uniforms_args a = {
        .u = &(float *){u}, .groups = 1, .random = base, .rows = 1, .features = COUNT};
    op_uniforms(b, &a);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_true(u[i] > 0 && u[i] < 1);
        sum += u[i];
        squares += (double)u[i] * u[i];
        ones[i] = 1;
    }
    /* 5 deviations of a mean of 4096 uniform numbers, and of their squares */
    assert_true(fabs(sum / COUNT - 0.5) < 5 * 0.2887 / 64);
    assert_true(fabs(squares / COUNT - 1.0 / 3) < 5 * 0.2981 / 64);
    a.u = &(float *){other};
    for (int i = 0; i < 6; i++) {
        int equal = 0;
        a.random = keys[i];
        op_uniforms(b, &a);
        for (int j = 0; j < COUNT; j++)
            equal += u[j] == other[j];
        assert_true(equal < 4);
    }
    op_dropout(b, &(dropout_args){.y = &(float *){other},
                                  .x = &(const float *){ones},
                                  .groups = 1,
                                  .random = base,
                                  .rows = 1,
                                  .features = COUNT,
                                  .rate = 0.25f});
    for (int i = 0; i < COUNT; i++)
        assert_true(other[i] == (u[i] >= 0.25f ? 1 / 0.75f : 0));
}

static void uniforms_are_spread_evenly(void **state) {
    (void)state;
    on_every_isa(check_spread);
}

/* ---- Norms -------------------------------------------------------------------------------- */

static void check_norm(backend *b, uint64_t seed) {
    enum { COUNT = 3 * SQUARED_NORM_BLOCK - 5 };
    static float x[COUNT];
    static const float odd[] = {INFINITY, -INFINITY, NAN, 3e38f};
    double sum, blocks[3];
    for (int i = 0; i < COUNT; i++)
        x[i] = 1;
    squared_norm_args a = {.sum = &sum, .blocks = blocks, .x = x, .count = COUNT};
    op_squared_norm(b, &a);
    assert_true(sum == COUNT);
    x[(seed * 7919) % COUNT] = odd[seed % 4];
    op_squared_norm(b, &a);
    assert_int_equal(isfinite(sum), seed % 4 == 3);
}

static void norm_is_finite_when_all_is(void **state) {
    (void)state;
    on_every_isa(check_norm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_row_alone_equals_row_in_batch),
        cmocka_unit_test(gradients_are_written_as_they_are_added),
        cmocka_unit_test(sequence_alone_equals_sequence_in_batch),
        cmocka_unit_test(uniforms_do_not_depend_on_packing),
        cmocka_unit_test(uniforms_are_spread_evenly),
        cmocka_unit_test(norm_is_finite_when_all_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
