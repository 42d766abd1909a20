/* run_linear.c - cuts a grouped linear into blocks of (rows of x) x (rows of w) for the threads,
 * after a first pass over the rows of x, which prepares them and packs them for kernels that want
 * it: a few rows at a time, so that what one step writes the next finds in a cache.
 *
 * A block's weights (LINEAR_PART_OUTS rows) should stay in a thread's second-level cache while the
 * block's rows of x pass by; a block of one row should be worth claiming. */
#include "backend/cpu/cpu.h"

/* Multiplications below which waking the threads costs more than they bring. */
#define INLINE_WORK ((double)(1 << 18))

/* Outputs that are multiplied in the time in which rows are prepared and packed, about. */
#define PACK_OUTS 32

/* Rows that one thread prepares and packs at once. */
#define PACK_PART_ROWS 16

/* Fewer blocks than this are cut smaller, so that threads can share them. */
#define ENOUGH_BLOCKS 16
#define SMALL_OUTS    (LINEAR_PART_OUTS / 2)

/* A unit is a block of rows of one group, or of all groups where they share their rows; a job is
 * the units first .. first + units - 1. */
typedef struct linear_job {
    cpu_backend *cpu;
    const linear_args *args;
    linear_args read; /* what the kernel is given: x are the prepared rows */
    const linear_kernel *kernel;
    bool shared;
    int64_t block_rows, row_blocks, first, units;
    int64_t block_outs;
    int64_t outs, out_blocks; /* of a unit */
    size_t unit_bytes;        /* packed; 0: not packed */
    int64_t pack_parts;       /* of a unit; 0: rows are used as they lie */
} linear_job;

static const linear_kernel *kernel_for(const cpu_kernels *kernels, const linear_args *a) {
    if (a->w_type == DTYPE_I8)
        return kernels->linear_int8;
    if (a->math == LINEAR_F32)
        return kernels->linear_f32;
    if (a->panels && kernels->linear_panels)
        return kernels->linear_panels;
    return a->w_type == DTYPE_BF16 ? kernels->linear_bf16 : kernels->linear_round;
}

/* Of shared rows, the first group's. */
static linear_part unit_part(const linear_job *job, int64_t index) {
    int64_t unit = job->first + index, row = unit % job->row_blocks * job->block_rows;
    return (linear_part){.group = unit / job->row_blocks,
                         .row_begin = row,
                         .row_end = min_i64(row + job->block_rows, job->args->rows),
                         .packed = job->unit_bytes
                                       ? job->cpu->packed + (size_t)index * job->unit_bytes
                                       : NULL};
}

/* ---- Rows --------------------------------------------------------------------------------- */

/* Rows do not depend on each other: the kernels of the ops that the preparation stands for. */
static void prepare_rows(const linear_job *job, int64_t group, int64_t begin, int64_t end) {
    const row_kernel *rows = job->cpu->kernels->common->rows;
    const linear_args *a = job->args;
    if (a->prepare == LINEAR_PREPARE_NORM) {
        rmsnorm_args norm = linear_norm(a, a->groups);
        rows[OP_rmsnorm](&norm, group, begin, end);
    } else if (a->prepare == LINEAR_PREPARE_ACTIVATE) {
        activate_args activate = linear_activate(a, a->groups);
        rows[OP_activate](&activate, group, begin, end);
    }
}

static void pack_part(void *context, int64_t index, int worker) {
    (void)worker;
    const linear_job *job = context;
    const linear_kernel *kernel = job->kernel;
    linear_part part = unit_part(job, index / job->pack_parts);
    int64_t skip = index % job->pack_parts * PACK_PART_ROWS, begin = part.row_begin + skip;
    int64_t end = min_i64(begin + PACK_PART_ROWS, part.row_end);
    if (begin >= end)
        return;
    prepare_rows(job, part.group, begin, end);
    if (!job->unit_bytes)
        return;
    size_t at = (size_t)(skip / kernel->pack_rows) * kernel->pack_bytes(job->args->in);
    kernel->pack(&job->read, part.group, begin, end, (char *)part.packed + at);
}

/* ---- Blocks ------------------------------------------------------------------------------- */

static int64_t out_blocks(const linear_job *job, int64_t group) {
    return (linear_outs(job->args, group) + job->block_outs - 1) / job->block_outs;
}

/* All outputs of groups that share their rows, else the most that one group has. */
static void count_outs(linear_job *job, int64_t block_outs) {
    const linear_args *a = job->args;
    job->block_outs = block_outs;
    job->outs = job->out_blocks = 0;
    for (int32_t p = 0; p < a->groups; p++) {
        int64_t outs = linear_outs(a, p), blocks = out_blocks(job, p);
        job->outs = job->shared ? job->outs + outs : max_i64(job->outs, outs);
        job->out_blocks = job->shared ? job->out_blocks + blocks : max_i64(job->out_blocks, blocks);
    }
}

/* A block of outputs of a unit. */
static void run_block(const linear_job *job, int64_t unit, int64_t block) {
    linear_part part = unit_part(job, unit);
    if (job->shared)
        for (; block >= out_blocks(job, part.group); part.group++)
            block -= out_blocks(job, part.group);
    part.out_begin = block * job->block_outs;
    part.out_end = min_i64(part.out_begin + job->block_outs, linear_outs(job->args, part.group));
    if (part.out_begin >= part.out_end)
        return;
    linear_args args = job->read;
    args.y_stride = linear_y_stride(job->args, part.group);
    job->kernel->run(&args, &part);
}

/* Group by group; parts that use the same weights follow each other. */
static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const linear_job *job = context;
    int64_t rows = job->units % job->row_blocks ? job->units : job->row_blocks;
    int64_t parts = job->out_blocks * rows, part = index % parts;
    run_block(job, index / parts * rows + part % rows, part / rows);
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    const linear_job *job = context;
    for (int64_t i = 0; i < job->units * job->pack_parts; i++)
        pack_part(context, i, worker);
    for (int64_t i = 0; i < job->units * job->out_blocks; i++)
        run_block(job, i % job->units, i / job->units);
}

static void run_job(linear_job *job) {
    thread_pool *pool = job->cpu->pool;
    const linear_args *a = job->args;
    int64_t rows = job->units * min_i64(a->rows, job->block_rows);
    double outs = (double)(job->outs + (job->pack_parts ? PACK_OUTS : 0));
    if ((double)rows * outs * (double)a->in < INLINE_WORK) {
        thread_pool_run(pool, 1, run_all, job);
        return;
    }
    const thread_phase phases[2] = {{job->units * job->pack_parts, pack_part},
                                    {job->units * job->out_blocks, run_part}};
    thread_pool_run_phases(pool, phases, job);
}

/* Blocks of about the same number of rows, in whole steps of the kernel. */
static void cut_rows(linear_job *job) {
    int64_t rows = job->args->rows, most = job->kernel->block_rows, step = job->kernel->step_rows;
    job->row_blocks = (rows + most - 1) / most;
    int64_t share = (rows + job->row_blocks - 1) / job->row_blocks;
    job->block_rows = (share + step - 1) / step * step;
    job->row_blocks = (rows + job->block_rows - 1) / job->block_rows;
}

/* As many units at a time as there is room for packed rows. */
static void run_packed(linear_job *job, int64_t all) {
    cpu_backend *cpu = job->cpu;
    const linear_kernel *kernel = job->kernel;
    int64_t rows = min_i64(job->args->rows, job->block_rows);
    job->unit_bytes = (size_t)((rows + kernel->pack_rows - 1) / kernel->pack_rows) *
                      kernel->pack_bytes(job->args->in);
    pthread_mutex_lock(&cpu->packing);
    C2C_ASSERT((size_t)job->args->in <= cpu->reserved && job->unit_bytes <= cpu->packed_bytes);
    int64_t most = (int64_t)(cpu->packed_bytes / job->unit_bytes);
    for (; job->first < all; job->first += job->units) {
        job->units = min_i64(most, all - job->first);
        run_job(job);
    }
    pthread_mutex_unlock(&cpu->packing);
}

void cpu_run_linear(cpu_backend *cpu, const linear_args *args) {
    if (args->groups <= 0 || args->rows <= 0)
        return;
    C2C_ASSERT(!args->outs[0] || args->groups <= LINEAR_MAX_OUTS);
    const linear_kernel *kernel = kernel_for(cpu->kernels, args);
    bool shared = linear_shares_rows(args);
    linear_job job = {.cpu = cpu, .args = args, .read = *args, .kernel = kernel, .shared = shared};
    if (args->prepare) {
        job.read.x = (const float *const *)args->prepared;
        job.read.x_stride = args->in;
    }
    cut_rows(&job);
    job.units = (shared ? 1 : args->groups) * job.row_blocks;
    count_outs(&job, LINEAR_PART_OUTS);
    if (job.units * job.out_blocks < ENOUGH_BLOCKS)
        count_outs(&job, SMALL_OUTS);
    if (kernel->pack || args->prepare)
        job.pack_parts =
            (min_i64(args->rows, job.block_rows) + PACK_PART_ROWS - 1) / PACK_PART_ROWS;
    if (kernel->pack)
        run_packed(&job, job.units);
    else
        run_job(&job);
}
