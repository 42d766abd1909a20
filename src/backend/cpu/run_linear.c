/* run_linear.c - cuts a grouped linear into blocks of (rows of x) x (rows of w) for the threads,
 * after packing the rows of x for kernels that want it.
 *
 * A block's weights (LINEAR_PART_OUTS rows) should stay in a thread's second-level cache while the
 * block's rows of x pass by; a block of one row should be worth claiming. */
#include "backend/cpu/cpu.h"

/* Multiplications below which waking the threads costs more than they bring. */
#define INLINE_WORK ((double)(1 << 18))

/* Rows that one thread packs at once. */
#define PACK_PART_ROWS 32

/* A unit is a block of rows of one group; a job is the units first .. first + units - 1. */
typedef struct linear_job {
    cpu_backend *cpu;
    const linear_args *args;
    const linear_kernel *kernel;
    int64_t block_rows, row_blocks, out_blocks, first, units;
    size_t unit_bytes;  /* packed; 0: not packed */
    int64_t pack_parts; /* of a unit */
} linear_job;

static const linear_kernel *kernel_for(const cpu_kernels *kernels, const linear_args *a) {
    if (a->w_type == DTYPE_I8)
        return kernels->linear_int8;
    if (a->math == LINEAR_F32)
        return kernels->linear_f32;
    return a->w_type == DTYPE_BF16 ? kernels->linear_bf16 : kernels->linear_round;
}

static linear_part unit_part(const linear_job *job, int64_t index) {
    int64_t unit = job->first + index, row = unit % job->row_blocks * job->block_rows;
    return (linear_part){.group = unit / job->row_blocks,
                         .row_begin = row,
                         .row_end = min_i64(row + job->block_rows, job->args->rows),
                         .packed = job->unit_bytes
                                       ? job->cpu->packed + (size_t)index * job->unit_bytes
                                       : NULL};
}

static void pack_part(void *context, int64_t index, int worker) {
    (void)worker;
    const linear_job *job = context;
    const linear_kernel *kernel = job->kernel;
    linear_part part = unit_part(job, index / job->pack_parts);
    int64_t skip = index % job->pack_parts * PACK_PART_ROWS, begin = part.row_begin + skip;
    size_t at = (size_t)(skip / kernel->pack_rows) * kernel->pack_bytes(job->args->in);
    if (begin < part.row_end)
        kernel->pack(job->args, part.group, begin, min_i64(begin + PACK_PART_ROWS, part.row_end),
                     (char *)part.packed + at);
}

/* Parts that use the same weights follow each other. */
static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const linear_job *job = context;
    linear_part part = unit_part(job, index % job->units);
    part.out_begin = index / job->units * LINEAR_PART_OUTS;
    part.out_end = min_i64(part.out_begin + LINEAR_PART_OUTS, job->args->out);
    job->kernel->run(job->args, &part);
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    const linear_job *job = context;
    for (int64_t i = 0; i < job->units * job->pack_parts && job->unit_bytes; i++)
        pack_part(context, i, worker);
    for (int64_t i = 0; i < job->units * job->out_blocks; i++)
        run_part(context, i, worker);
}

static void run_job(linear_job *job) {
    thread_pool *pool = job->cpu->pool;
    const linear_args *a = job->args;
    if ((double)job->units * (double)min_i64(a->rows, job->block_rows) * (double)a->out *
            (double)a->in <
        INLINE_WORK) {
        thread_pool_run(pool, 1, run_all, job);
        return;
    }
    if (job->unit_bytes)
        thread_pool_run(pool, job->units * job->pack_parts, pack_part, job);
    thread_pool_run(pool, job->units * job->out_blocks, run_part, job);
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
    job->pack_parts = (rows + PACK_PART_ROWS - 1) / PACK_PART_ROWS;
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
    if (args->groups <= 0 || args->rows <= 0 || args->out <= 0)
        return;
    const linear_kernel *kernel = kernel_for(cpu->kernels, args);
    linear_job job = {.cpu = cpu,
                      .args = args,
                      .kernel = kernel,
                      .out_blocks = (args->out + LINEAR_PART_OUTS - 1) / LINEAR_PART_OUTS};
    cut_rows(&job);
    job.units = args->groups * job.row_blocks;
    if (kernel->pack)
        run_packed(&job, job.units);
    else
        run_job(&job);
}
