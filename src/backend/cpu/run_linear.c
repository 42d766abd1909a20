/* run_linear.c - cuts a grouped linear into blocks of (rows of x) x (rows of w) for the threads. */
#include "backend/cpu/cpu.h"

/* A block's weights (LINEAR_PART_OUTS rows) should stay in a thread's second-level cache while the
 * block's rows of x pass by; a block of one row should be worth claiming. */
#define ROW_BLOCK 252 /* a multiple of every kernel's rows, so that full tiles stay full */

/* Multiplications below which waking the threads costs more than they bring. */
#define INLINE_WORK ((double)(1 << 18))

typedef struct linear_job {
    cpu_backend *cpu;
    const linear_args *args;
    int64_t out_blocks, row_blocks;
} linear_job;

static void run_part(void *context, int64_t index, int worker) {
    const linear_job *job = context;
    const linear_args *a = job->args;
    cpu_backend *cpu = job->cpu;
    int64_t rest = index / job->row_blocks;
    int64_t row = index % job->row_blocks * ROW_BLOCK,
            out = rest % job->out_blocks * LINEAR_PART_OUTS;
    linear_part part = {.group = rest / job->out_blocks,
                        .row_begin = row,
                        .row_end = min_i64(row + ROW_BLOCK, a->rows),
                        .out_begin = out,
                        .out_end = min_i64(out + LINEAR_PART_OUTS, a->out)};
    float *scratch = NULL;
    if (a->math == LINEAR_BF16) {
        C2C_ASSERT((size_t)a->in <= cpu->reserved);
        scratch = cpu->scratch + (size_t)worker * cpu->scratch_stride;
    }
    cpu->kernels->linear(a, &part, scratch);
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    const linear_job *job = context;
    int64_t parts = job->args->groups * job->out_blocks * job->row_blocks;
    for (int64_t i = 0; i < parts; i++)
        run_part(context, i, worker);
}

void cpu_run_linear(cpu_backend *cpu, const linear_args *args) {
    if (args->groups <= 0 || args->rows <= 0 || args->out <= 0)
        return;
    linear_job job = {.cpu = cpu,
                      .args = args,
                      .out_blocks = (args->out + LINEAR_PART_OUTS - 1) / LINEAR_PART_OUTS,
                      .row_blocks = (args->rows + ROW_BLOCK - 1) / ROW_BLOCK};
    double work = (double)args->groups * (double)args->rows * (double)args->out * (double)args->in;
    if (work < INLINE_WORK)
        thread_pool_run(cpu->pool, 1, run_all, &job);
    else
        thread_pool_run(cpu->pool, args->groups * job.out_blocks * job.row_blocks, run_part, &job);
}
