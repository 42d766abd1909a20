/* run_training.c - runs the ops of training: those that are grids of rows (or of columns, blocks or
 * elements) are cut into parts of about equal work here; those that add to gradients of weights get
 * one part for each gradient, which takes its groups and their rows in order. */
#include "backend/cpu/cpu.h"

/* About 10 microseconds: less is not worth a thread's attention. */
#define PART_WORK 16384

/* Elements of a part of what streams through memory once: long runs, which the machine foresees. */
#define STREAM_ELEMENTS 65536

/* An op as groups of items, which a kernel takes in runs. */
typedef struct grid {
    int64_t groups, items, work; /* work: of one item, in elements that are moved or added */
    int64_t unit;                /* runs are multiples of it, but the last */
    /* Gradients of weights, one for each group: then a run is all of a group. Or NULL. */
    float *const *gradients;
} grid;

/* The first of the tables that is there. */
static float *const *first_table(float *const *a, float *const *b) {
    return a ? a : b;
}

static grid grid_of(op_kind kind, const void *args) {
#define A(name)    ((const name##_args *)args)
#define ROWS(name) .groups = A(name)->groups, .items = A(name)->rows, .unit = 1
#define ONE        .groups = 1, .unit = 1
    switch (kind) {
    case OP_rmsnorm_backward:
        return (grid){ROWS(rmsnorm_backward), .work = A(rmsnorm_backward)->features * 4,
                      .gradients = A(rmsnorm_backward)->dw};
    case OP_layernorm_backward:
        return (grid){ROWS(layernorm_backward), .work = A(layernorm_backward)->features * 5,
                      .gradients =
                          first_table(A(layernorm_backward)->dw, A(layernorm_backward)->db)};
    case OP_activate_backward:
        return (grid){ROWS(activate_backward), .work = A(activate_backward)->features * 6};
    case OP_accumulate: return (grid){ROWS(accumulate), .work = A(accumulate)->features};
    case OP_sum_rows_backward:
        return (grid){ROWS(sum_rows_backward), .work = A(sum_rows_backward)->features};
    case OP_gather_rows_backward: /* columns: rows may come together in one */
        return (grid){.groups = 1,
                      .items = A(gather_rows_backward)->features,
                      .work = A(gather_rows_backward)->rows,
                      .unit = 16};
    case OP_scatter_rows_backward:
        return (grid){ONE, .items = A(scatter_rows_backward)->rows,
                      .work = A(scatter_rows_backward)->features};
    case OP_rope_backward:
        return (grid){ONE, .items = A(rope_backward)->rows,
                      .work = A(rope_backward)->heads * A(rope_backward)->head_dim * 2};
    case OP_fuse_mix_backward:
        return (grid){ROWS(fuse_mix_backward),
                      .work = A(fuse_mix_backward)->kv_heads * A(fuse_mix_backward)->head_dim * 4,
                      .gradients =
                          first_table(A(fuse_mix_backward)->dgate, A(fuse_mix_backward)->dw)};
    case OP_uniforms: return (grid){ROWS(uniforms), .work = A(uniforms)->features * 8};
    case OP_dropout: return (grid){ROWS(dropout), .work = A(dropout)->features * 8};
    case OP_cross_entropy:
        return (grid){ONE, .items = A(cross_entropy)->rows, .work = A(cross_entropy)->features * 8};
    case OP_squared_norm:
        return (grid){.groups = 1,
                      .items =
                          (A(squared_norm)->count + SQUARED_NORM_BLOCK - 1) / SQUARED_NORM_BLOCK,
                      .work = SQUARED_NORM_BLOCK,
                      .unit = STREAM_ELEMENTS / SQUARED_NORM_BLOCK};
    case OP_scale: return (grid){.groups = 1, .items = A(scale)->count, .work = 1, .unit = 16};
    case OP_adamw:
        return (grid){.groups = 1, .items = A(adamw)->count, .work = 8, .unit = STREAM_ELEMENTS};
    default: return (grid){0};
    }
#undef ONE
#undef ROWS
#undef A
}

typedef struct grid_job {
    training_kernel kernel;
    const void *args;
    grid grid;
    int64_t block, blocks; /* items of a run, runs of a group */
} grid_job;

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const grid_job *job = context;
    int64_t group = index / job->blocks, begin = index % job->blocks * job->block;
    job->kernel(job->args, group, begin, min_i64(begin + job->block, job->grid.items));
}

/* All groups that add to the gradient of group `index`, from its first one. */
static void run_gradient(void *context, int64_t index, int worker) {
    (void)worker;
    const grid_job *job = context;
    float *const *gradients = job->grid.gradients;
    bool shared = gradients[index] != NULL;
    if (shared && shared_with_earlier(gradients, index))
        return;
    for (int64_t p = index; p < job->grid.groups;
         p = shared ? shared_next(gradients, job->grid.groups, p) : job->grid.groups)
        job->kernel(job->args, p, 0, job->grid.items);
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    const grid_job *job = context;
    for (int64_t group = 0; group < job->grid.groups; group++)
        job->kernel(job->args, group, 0, job->grid.items);
}

static void run_grid(cpu_backend *cpu, op_kind kind, const void *args) {
    grid_job job = {.kernel = cpu->kernels->common->training.rows[kind],
                    .args = args,
                    .grid = grid_of(kind, args)};
    C2C_ASSERT(job.kernel);
    if (job.grid.groups <= 0 || job.grid.items <= 0)
        return;
    int64_t work = max_i64(job.grid.work, 1);
    if (job.grid.groups * job.grid.items <= 2 * PART_WORK / work) {
        thread_pool_run(cpu->pool, 1, run_all, &job);
        return;
    }
    if (job.grid.gradients) {
        thread_pool_run(cpu->pool, job.grid.groups, run_gradient, &job);
        return;
    }
    job.block = max_i64(PART_WORK / work / job.grid.unit, 1) * job.grid.unit;
    job.blocks = (job.grid.items + job.block - 1) / job.block;
    thread_pool_run(cpu->pool, job.grid.groups * job.blocks, run_part, &job);
}

/* The blocks' sums in order: few, so the calling thread adds them. */
static void add_blocks(const squared_norm_args *a) {
    double sum = a->accumulate ? *a->sum : 0;
    for (int64_t i = 0; i * SQUARED_NORM_BLOCK < a->count; i++)
        sum += a->blocks[i];
    *a->sum = sum;
}

void cpu_run_training(cpu_backend *cpu, op_kind kind, const void *args) {
    switch (kind) {
    case OP_linear_backward_x: cpu_run_linear_backward_x(cpu, args); break;
    case OP_linear_backward_w: cpu_run_linear_backward_w(cpu, args); break;
    case OP_attention_backward: cpu_run_attention_backward(cpu, args); break;
    default: run_grid(cpu, kind, args); break;
    }
    if (kind == OP_squared_norm)
        add_blocks(args);
}
