/* bench_ops.c - the speed of every op on the CPU, at the sizes of Qwen3-0.6B: one line per row with
 * its time, and the rate that bounds it (GB/s of memory moved, GFLOP/s of products).
 * usage: bench_ops [THREADS [KERNELS [WORD]]], KERNELS as --isa spells them; only rows with WORD */
#include "backend/cpu/cpu.h"
#include "backend/op_table.h"

#include <stdio.h>
#include <stdlib.h>

#define SECONDS  0.25 /* of measuring per row */
#define MAX_RUNS 2000

typedef struct bench_row {
    const char *name;
    op_kind kind;
    op_sizes sizes;
    double flops, bytes; /* of one group */
} bench_row;

/* Matrices alternate among enough groups to come from memory, not from a cache. */
#define LINEAR(label, n, i, o, type, how, copies)                                                  \
    {                                                                                              \
        label, OP_linear,                                                                          \
            {.groups = copies, .rows = n, .features = i, .out = o, .w_type = type, .math = how},   \
            2.0 * (n) * (i) * (o), (double)(i) * (o) * ((type) == DTYPE_F32 ? 4 : 2)               \
    }
/* Rows that the linear prepares itself. */
#define PREPARED(label, how, n, i, o)                                                              \
    {                                                                                              \
        label, OP_linear,                                                                          \
            {.groups = 8,                                                                          \
             .rows = n,                                                                            \
             .features = i,                                                                        \
             .out = o,                                                                             \
             .w_type = DTYPE_BF16,                                                                 \
             .b_type = DTYPE_BF16,                                                                 \
             .math = LINEAR_BF16,                                                                  \
             .prepare = how,                                                                       \
             .optional = true},                                                                    \
            2.0 * (n) * (i) * (o), (double)(i) * (o)*2                                             \
    }
/* bf16 weights of short rows, as they lie or in panels, and out of a cache. */
#define SHORT(label, n, i, o, as_panels)                                                           \
    {                                                                                              \
        label, OP_linear,                                                                          \
            {.groups = 4,                                                                          \
             .rows = n,                                                                            \
             .features = i,                                                                        \
             .out = o,                                                                             \
             .w_type = DTYPE_BF16,                                                                 \
             .math = LINEAR_BF16,                                                                  \
             .panels = as_panels},                                                                 \
            2.0 * (n) * (i) * (o), (double)(i) * (o)*2                                             \
    }
/* 8-bit weights. */
#define LINEAR_INT8(label, n, i, o, copies)                                                        \
    {                                                                                              \
        label, OP_linear, {.groups = copies, .rows = n, .features = i, .out = o, .int8 = true},    \
            2.0 * (n) * (i) * (o), (double)(i) * (o)                                               \
    }
/* The same products backwards. */
#define BACKWARD(label, op, n, i, o, type, how, copies)                                            \
    {                                                                                              \
        label, op,                                                                                 \
            {.groups = copies, .rows = n, .features = i, .out = o, .w_type = type, .math = how},   \
            2.0 * (n) * (i) * (o), 0                                                               \
    }
#define ROWS(label, op, n, size, moved)                                                            \
    {                                                                                              \
        label, op, {.groups = 1, .rows = n, .features = size, .w_type = DTYPE_BF16}, 0,            \
            (double)(n) * (size)*4 * (moved)                                                       \
    }
#define HEADS .groups = 1, .sequences = 1, .heads = 16, .kv_heads = 8, .head_dim = 128
/* n queries, `before` keys before the first of them; memory counts where they wait for it. */
#define ATTENTION(label, n, before, type)                                                          \
    {                                                                                              \
        label, OP_attention,                                                                       \
            {HEADS, .rows = n, .keys = before, .b_type = type, .math = LINEAR_BF16},               \
            4.0 * (n) * ((before) + ((n) + 1) / 2.0) * 2048,                                       \
            (n) > 1 ? 0 : ((before) + 1.0) * 1024 * 2 * ((type) == DTYPE_F32 ? 4 : 2)              \
    }

static const bench_row rows[] = {
    LINEAR("linear 1 x 1024 -> 1024 bf16", 1, 1024, 1024, DTYPE_BF16, LINEAR_BF16, 60),
    LINEAR("linear 1 x 1024 -> 3072 bf16", 1, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 1 x 3072 -> 1024 bf16", 1, 3072, 1024, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 1 x 1024 -> 151936 bf16", 1, 1024, 151936, DTYPE_BF16, LINEAR_BF16, 1),
    LINEAR("linear 1 x 1024 -> 3072 f32", 1, 1024, 3072, DTYPE_F32, LINEAR_F32, 10),
    LINEAR("linear 1 x 1024 -> 3072 f16 in f32", 1, 1024, 3072, DTYPE_F16, LINEAR_F32, 20),
    LINEAR("linear 4 x 1024 -> 3072 bf16", 4, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 8 x 1024 -> 3072 bf16", 8, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 8 x 3072 -> 1024 bf16", 8, 3072, 1024, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 16 x 1024 -> 3072 bf16", 16, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 32 x 1024 -> 3072 bf16", 32, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 20),
    LINEAR("linear 512 x 1024 -> 1024 bf16", 512, 1024, 1024, DTYPE_BF16, LINEAR_BF16, 8),
    LINEAR("linear 512 x 1024 -> 3072 bf16", 512, 1024, 3072, DTYPE_BF16, LINEAR_BF16, 8),
    LINEAR("linear 512 x 3072 -> 1024 bf16", 512, 3072, 1024, DTYPE_BF16, LINEAR_BF16, 8),
    LINEAR("linear 512 x 1024 -> 3072 bf16 in f32", 512, 1024, 3072, DTYPE_BF16, LINEAR_F32, 8),
    LINEAR("linear 512 x 1024 -> 3072 f32", 512, 1024, 3072, DTYPE_F32, LINEAR_F32, 4),
    LINEAR("linear 512 x 3072 -> 1024 f32", 512, 3072, 1024, DTYPE_F32, LINEAR_F32, 4),
    LINEAR("linear 512 x 1024 -> 3072 f32 in bf16", 512, 1024, 3072, DTYPE_F32, LINEAR_BF16, 4),
    PREPARED("norm, linear 512 x 1024 -> 3072 bf16", LINEAR_PREPARE_NORM, 512, 1024, 3072),
    PREPARED("norm, linear 1 x 1024 -> 3072 bf16", LINEAR_PREPARE_NORM, 1, 1024, 3072),
    PREPARED("gate, linear 512 x 3072 -> 1024 bf16", LINEAR_PREPARE_ACTIVATE, 512, 3072, 1024),
    LINEAR("linear 1 x 1024 -> 3072 f32 in bf16", 1, 1024, 3072, DTYPE_F32, LINEAR_BF16, 10),
    LINEAR_INT8("linear 1 x 1024 -> 3072 int8", 1, 1024, 3072, 40),
    LINEAR_INT8("linear 1 x 1024 -> 151936 int8", 1, 1024, 151936, 1),
    LINEAR_INT8("linear 4 x 1024 -> 3072 int8", 4, 1024, 3072, 40),
    LINEAR_INT8("linear 512 x 1024 -> 3072 int8", 512, 1024, 3072, 8),
    LINEAR_INT8("linear 512 x 3072 -> 1024 int8", 512, 3072, 1024, 8),
    LINEAR("linear 24 x 64 -> 64 f32 (tiny)", 24, 64, 64, DTYPE_F32, LINEAR_F32, 1),
    SHORT("linear 50 x 192 -> 192 bf16", 50, 192, 192, false),
    SHORT("linear 50 x 192 -> 192 bf16 in panels", 50, 192, 192, true),
    SHORT("linear 50 x 512 -> 192 bf16", 50, 512, 192, false),
    SHORT("linear 50 x 512 -> 192 bf16 in panels", 50, 512, 192, true),
    SHORT("linear 1 x 192 -> 512 bf16", 1, 192, 512, false),
    SHORT("linear 1 x 192 -> 512 bf16 in panels", 1, 192, 512, true),
    ATTENTION("attention 1 over 2048", 1, 2047, DTYPE_F32),
    ATTENTION("attention 512 over 512", 512, 0, DTYPE_F32),
    ATTENTION("attention 256 over 4096", 256, 3840, DTYPE_F32),
    ATTENTION("attention 1 over 512 bf16", 1, 511, DTYPE_BF16),
    ATTENTION("attention 1 over 4096 bf16", 1, 4095, DTYPE_BF16),
    ATTENTION("attention 1 over 32768 bf16", 1, 32767, DTYPE_BF16),
    ATTENTION("attention 64 over 64 bf16", 64, 0, DTYPE_BF16),
    ATTENTION("attention 512 over 512 bf16", 512, 0, DTYPE_BF16),
    ATTENTION("attention 256 over 4096 bf16", 256, 3840, DTYPE_BF16),
    ROWS("rmsnorm 1 x 1024", OP_rmsnorm, 1, 1024, 2),
    ROWS("rmsnorm 512 x 1024", OP_rmsnorm, 512, 1024, 2),
    ROWS("rmsnorm 8192 x 128 (heads)", OP_rmsnorm, 8192, 128, 2),
    ROWS("layernorm 512 x 1024", OP_layernorm, 512, 1024, 2),
    {"activate 512 x 3072 (silu, up)",
     OP_activate,
     {.groups = 1, .rows = 512, .features = 3072, .optional = true},
     0,
     512.0 * 3072 * 4 * 3},
    ROWS("activate 512 x 1024 (silu)", OP_activate, 512, 1024, 2),
    {"activate 512 x 1024 (gelu)",
     OP_activate,
     {.groups = 1, .rows = 512, .features = 1024, .activation = ACTIVATION_GELU},
     0,
     512.0 * 1024 * 4 * 2},
    ROWS("sum_rows 512 x 1024", OP_sum_rows, 512, 1024, 1),
    ROWS("add 512 x 1024", OP_add, 512, 1024, 3),
    ROWS("add_difference 512 x 1024", OP_add_difference, 512, 1024, 4),
    ROWS("embed 512 x 1024", OP_embed, 512, 1024, 2),
    ROWS("scatter_rows 512 x 1024", OP_scatter_rows, 512, 1024, 2),
    ROWS("gather_rows 512 x 1024", OP_gather_rows, 512, 1024, 2),
    ROWS("copy_rows 512 x 1024 (bf16 -> f32)", OP_copy_rows, 512, 1024, 1.5),
    ROWS("zero 4 MB", OP_zero, 1, 4096 * 1024, 0.25), /* its features are bytes */
    ROWS("argmax 1 x 151936", OP_argmax, 1, 151936, 1),
    ROWS("sample 1 x 151936", OP_sample, 1, 151936, 2),
    ROWS("count_ids 1 x 151936", OP_count_ids, 1, 151936, 0),
    {"step_advance 8", OP_step_advance, {.sequences = 8}, 0, 0},
    ROWS("quantize 3072 x 1024", OP_quantize, 3072, 1024, 0.75),
    {"pack_panels 192 x 64", OP_pack_panels, {.features = 64, .out = 192}, 0, 192.0 * 64 * 2 * 2},
    {"rope_table 512 x 64", OP_rope_table, {.rows = 512, .head_dim = 128}, 0, 512.0 * 128 * 4},
    {"rope 512 x 16 x 128", OP_rope, {HEADS, .rows = 512}, 0, 512.0 * 2048 * 4 * 2},
    {"rope_store 512 x (16 + 8 + 8) x 128",
     OP_rope_store,
     {HEADS, .rows = 512, .optional = true, .w_type = DTYPE_BF16, .b_type = DTYPE_BF16},
     0,
     512.0 * 128 * (16 * 4 * 2 + 16 * 6)},
    {"fuse_mix 512 x 8 x 128",
     OP_fuse_mix,
     {HEADS, .rows = 512, .optional = true},
     0,
     512.0 * 1024 * 4 * 3},
    BACKWARD("linear dx 256 x 1024 -> 3072 f32", OP_linear_backward_x, 256, 1024, 3072, DTYPE_F32,
             LINEAR_F32, 4),
    BACKWARD("linear dx 256 x 3072 -> 1024 bf16 in f32", OP_linear_backward_x, 256, 3072, 1024,
             DTYPE_BF16, LINEAR_F32, 8),
    BACKWARD("linear dx 256 x 3072 -> 1024 bf16", OP_linear_backward_x, 256, 3072, 1024, DTYPE_BF16,
             LINEAR_BF16, 8),
    BACKWARD("linear dx 64 x 1024 -> 151936 bf16 in f32", OP_linear_backward_x, 64, 1024, 151936,
             DTYPE_BF16, LINEAR_F32, 1),
    BACKWARD("linear dw 256 x 1024 -> 1024 f32", OP_linear_backward_w, 256, 1024, 1024, DTYPE_F32,
             LINEAR_F32, 8),
    BACKWARD("linear dw 256 x 2048 -> 1024 f32", OP_linear_backward_w, 256, 2048, 1024, DTYPE_F32,
             LINEAR_F32, 4),
    BACKWARD("linear dw 256 x 1024 -> 1024 in bf16", OP_linear_backward_w, 256, 1024, 1024,
             DTYPE_F32, LINEAR_BF16, 8),
    {"attention backward 128 over 256",
     OP_attention_backward,
     {HEADS, .rows = 128, .keys = 128, .accumulate = true},
     10.0 * 128 * (128 + 64) * 2048,
     0},
    {"attention backward 512 over 512",
     OP_attention_backward,
     {HEADS, .rows = 512, .accumulate = true},
     10.0 * 512 * 512 / 2 * 2048,
     0},
    {"rmsnorm backward 512 x 1024",
     OP_rmsnorm_backward,
     {.groups = 1, .rows = 512, .features = 1024, .w_type = DTYPE_BF16, .optional = true},
     0,
     512.0 * 1024 * 4 * 4},
    {"layernorm backward 512 x 1024",
     OP_layernorm_backward,
     {.groups = 1, .rows = 512, .features = 1024, .w_type = DTYPE_BF16, .optional = true},
     0,
     512.0 * 1024 * 4 * 4},
    {"activate backward 512 x 3072 (silu, up)",
     OP_activate_backward,
     {.groups = 1, .rows = 512, .features = 3072, .optional = true, .in_place = true},
     0,
     512.0 * 3072 * 4 * 7},
    {"activate backward 512 x 1024 (gelu)",
     OP_activate_backward,
     {.groups = 1, .rows = 512, .features = 1024, .activation = ACTIVATION_GELU},
     0,
     512.0 * 1024 * 4 * 4},
    {"fuse_mix backward 512 x 8 x 128",
     OP_fuse_mix_backward,
     {HEADS, .rows = 512, .optional = true, .activation = ACTIVATION_RELU},
     0,
     512.0 * 1024 * 4 * 7},
    {"rope backward 512 x 16 x 128",
     OP_rope_backward,
     {HEADS, .rows = 512},
     0,
     512.0 * 2048 * 4 * 3},
    ROWS("accumulate 512 x 1024", OP_accumulate, 512, 1024, 3),
    ROWS("sum_rows backward 512 x 1024", OP_sum_rows_backward, 512, 1024, 2),
    ROWS("gather_rows backward 512 x 1024", OP_gather_rows_backward, 512, 1024, 1),
    ROWS("scatter_rows backward 512 x 1024", OP_scatter_rows_backward, 512, 1024, 3),
    ROWS("uniforms 512 x 1024", OP_uniforms, 512, 1024, 1),
    ROWS("dropout 512 x 1024", OP_dropout, 512, 1024, 2),
    ROWS("cross_entropy 64 x 151936", OP_cross_entropy, 64, 151936, 3),
    ROWS("squared_norm 4M", OP_squared_norm, 4096, 1024, 1),
    ROWS("scale 4M", OP_scale, 4096, 1024, 2),
    ROWS("adamw 4M", OP_adamw, 4096, 1024, 7),
};

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of linears, one group at a time, each in its turn. */
static void run_group(backend *b, op_case *c, int32_t groups, int64_t turn) {
    const op_info *info = &op_infos[c->kind];
    if (c->kind != OP_linear && c->kind != OP_linear_backward_x &&
        c->kind != OP_linear_backward_w) {
        backend_run(b, c->kind, c->args.bytes);
        return;
    }
    char one[sizeof c->args];
    int32_t count = 1;
    memcpy(one, c->args.bytes, sizeof one);
    memcpy(one + info->groups_offset, &count, sizeof count);
    for (int t = 0; t < info->tables; t++) {
        const void *const *table;
        memcpy(&table, one + (size_t)t * sizeof table, sizeof table);
        table = table ? table + turn % groups : NULL;
        memcpy(one + (size_t)t * sizeof table, &table, sizeof table);
    }
    backend_run(b, c->kind, one);
}

static void print_rate(double rate) {
    if (rate > 0)
        printf(" %8.1f", rate);
    else
        printf(" %8s", "");
}

static bool bench(backend *b, const bench_row *row) {
    static double seconds[MAX_RUNS];
    test_random random = {1};
    op_case c;
    op_case_make(&c, &op_rows[row->kind], &row->sizes, &random);
    c2c_error error;
    if (backend_reserve(b, c.features, &error)) {
        fprintf(stderr, "bench_ops: %s\n", error.message);
        return false;
    }
    int runs = 0;
    double start = system_seconds();
    run_group(b, &c, (int32_t)row->sizes.groups, 1); /* touches the pages */
    while (runs < MAX_RUNS && (runs < 5 || system_seconds() - start < SECONDS)) {
        double begin = system_seconds();
        run_group(b, &c, (int32_t)row->sizes.groups, runs);
        seconds[runs++] = system_seconds() - begin;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, compare);
    double median = seconds[runs / 2], best = seconds[0];
    printf("%-40s %10.1f %10.1f", row->name, median * 1e6, best * 1e6);
    print_rate(row->bytes / median * 1e-9);
    print_rate(row->flops / median * 1e-9);
    printf("\n");
    op_case_free(&c);
    return true;
}

/* The table is of all ops: names one that has no row. */
static bool is_whole(void) {
    bool there[OP_COUNT] = {false};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        there[rows[i].kind] = true;
    for (int i = 0; i < OP_COUNT; i++)
        if (!there[i]) {
            fprintf(stderr, "bench_ops: no row for %s\n", op_infos[i].name);
            return false;
        }
    return true;
}

int main(int count, char **words) {
    int threads = count > 1 ? (int)strtol(words[1], NULL, 10) : system_processors();
    cpu_isa isa = cpu_isa_best();
    if (count > 2 && !cpu_isa_find(words[2], &isa))
        isa = CPU_ISA_COUNT;
    c2c_error error;
    backend *b;
    if (threads < 1 || backend_cpu_open_isa(&b, threads, isa, &error)) {
        fprintf(stderr, "bench_ops: cannot use %d threads with %s\n", threads,
                count > 2 ? words[2] : "them");
        return 1;
    }
    printf("%d threads, %s\n%-40s %10s %10s %8s %8s\n", threads, cpu_isa_name(isa), "op",
           "median us", "best us", "GB/s", "GFLOP/s");
    bool good = true;
    for (size_t i = 0; good && i < sizeof rows / sizeof *rows; i++)
        if (count <= 3 || strstr(rows[i].name, words[3]))
            good = bench(b, &rows[i]);
    backend_close(b);
    return good && is_whole() ? 0 : 1;
}
