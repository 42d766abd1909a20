/* run_rows.c - runs the ops whose rows do not depend on each other: cuts (groups x rows) into
 * parts of about equal work for the threads. */
#include "backend/cpu/cpu.h"

/* An op is cut into about PARTS, which may be small: threads that wait for the next op, as in a
 * prompt, come together in a fifth of a microsecond. Those of large ops are large, for threads that
 * take turns with a few rows each fetch ahead what the other one writes. */
#define PARTS     16
#define MOST_WORK 131072

/* A few tenths of a microsecond; up to two of them are done before another thread has begun. */
#define LEAST_WORK 4096

/* An op as a grid of rows. */
typedef struct row_grid {
    int64_t groups, rows, work; /* work: of one row, in elements that are only moved or added */
} row_grid;

/* Heads with a norm are read twice. */
static int64_t rope_store_work(const rope_store_args *a) {
    int64_t heads = a->q ? a->heads * (a->q_norm ? 2 : 1) : 0;
    if (a->k)
        heads += a->kv_heads * (a->k_norm ? 3 : 2);
    return heads * a->head_dim;
}

static row_grid grid_of(op_kind kind, const void *args) {
#define A(name) ((const name##_args *)args)
    switch (kind) {
    case OP_embed: return (row_grid){1, A(embed)->rows, A(embed)->features};
    case OP_rmsnorm: return (row_grid){A(rmsnorm)->groups, A(rmsnorm)->rows, A(rmsnorm)->features};
    case OP_layernorm:
        return (row_grid){A(layernorm)->groups, A(layernorm)->rows, A(layernorm)->features * 2};
    case OP_activate:
        return (row_grid){A(activate)->groups, A(activate)->rows, A(activate)->features * 3};
    case OP_add: return (row_grid){A(add)->groups, A(add)->rows, A(add)->features};
    case OP_add_difference:
        return (row_grid){A(add_difference)->groups, A(add_difference)->rows,
                          A(add_difference)->features};
    case OP_sum_rows: /* its rows are the features: each is a sum of its own */
        return (row_grid){A(sum_rows)->groups, A(sum_rows)->features, A(sum_rows)->rows};
    case OP_rope_table: return (row_grid){1, A(rope_table)->rows, A(rope_table)->half * 50};
    case OP_rope: return (row_grid){1, A(rope)->rows, A(rope)->heads * A(rope)->head_dim};
    case OP_rope_store: return (row_grid){1, A(rope_store)->rows, rope_store_work(args)};
    case OP_scatter_rows: return (row_grid){1, A(scatter_rows)->rows, A(scatter_rows)->features};
    case OP_gather_rows: return (row_grid){1, A(gather_rows)->rows, A(gather_rows)->features};
    case OP_copy_rows:
        return (row_grid){A(copy_rows)->groups, A(copy_rows)->rows, A(copy_rows)->features};
    case OP_fuse_mix:
        return (row_grid){A(fuse_mix)->groups, A(fuse_mix)->rows,
                          A(fuse_mix)->kv_heads * A(fuse_mix)->head_dim};
    case OP_pack_panels: /* its rows are the panels */
        return (row_grid){1, panel_elements(A(pack_panels)->rows, 1) / panel_stride(1),
                          panel_stride(A(pack_panels)->features)};
    case OP_quantize: return (row_grid){1, A(quantize)->rows, A(quantize)->features * 2};
    case OP_argmax: return (row_grid){1, A(argmax)->rows, A(argmax)->features};
    default: return (row_grid){0, 0, 0};
    }
#undef A
}

typedef struct row_job {
    row_kernel kernel;
    const void *args;
    row_grid grid;
    int64_t block, blocks; /* rows of a part, parts of a group */
} row_job;

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const row_job *job = context;
    int64_t group = index / job->blocks, begin = index % job->blocks * job->block;
    job->kernel(job->args, group, begin, min_i64(begin + job->block, job->grid.rows));
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    const row_job *job = context;
    for (int64_t group = 0; group < job->grid.groups; group++)
        job->kernel(job->args, group, 0, job->grid.rows);
}

void cpu_run_rows(cpu_backend *cpu, op_kind kind, const void *args) {
    row_job job = {.kernel = cpu->kernels->common->rows[kind],
                   .args = args,
                   .grid = grid_of(kind, args)};
    C2C_ASSERT(job.kernel);
    if (job.grid.groups <= 0 || job.grid.rows <= 0)
        return;
    int64_t row_work = max_i64(job.grid.work, 1);
    double work = (double)(job.grid.groups * job.grid.rows) * (double)row_work;
    if (work <= 2 * LEAST_WORK) {
        thread_pool_run(cpu->pool, 1, run_all, &job);
        return;
    }
    double part = work / PARTS;
    part = part < LEAST_WORK ? LEAST_WORK : part > MOST_WORK ? MOST_WORK : part;
    job.block = max_i64((int64_t)part / row_work, 1);
    job.blocks = (job.grid.rows + job.block - 1) / job.block;
    thread_pool_run(cpu->pool, job.grid.groups * job.blocks, run_part, &job);
}

/* ---- step_advance ------------------------------------------------------------------------- */

static void advance(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    const step_advance_args *a = context;
    for (int64_t b = 0; b < a->sequences; b++) {
        a->ids[b] = a->next[b];
        a->positions[b]++;
        a->index[b]++;
        if (a->range_start[b + 1] > a->range_start[b])
            a->ranges[a->range_start[b + 1] - 1].count++;
    }
}

void cpu_run_step_advance(cpu_backend *cpu, const step_advance_args *args) {
    thread_pool_run(cpu->pool, 1, advance, (void *)args);
}
