/* run_linear_backward.c - cuts the gradients of a grouped linear into blocks for the threads. A
 * block of a gradient that several groups share is one part, which adds group after group. */
#include "backend/cpu/cpu.h"

/* A packed panel is read by the rows of a block, which should pay for its packing. Blocks have
 * about BACKWARD_BLOCK_ROWS rows, and full tiles, whatever the kernel's tile. */
#define BLOCK_UNIT 12

/* Fewer columns to a block, where there would be fewer blocks than many threads can share. */
#define ENOUGH_BLOCKS 16
#define LEAST_COLUMNS 128

/* Multiplications below which waking the threads costs more than they bring. */
#define INLINE_WORK ((double)(1 << 18))

/* A product of each group, rows x columns, cut into blocks. */
typedef struct block_job {
    const linear_backward_kernels *kernels;
    const training_kernels *training;
    const linear_backward_x_args *x; /* one of the two; the other is NULL */
    const linear_backward_w_args *w;
    float *const *results;
    int64_t groups, rows, columns;
    int64_t row_block, row_blocks, column_block, column_blocks;
} block_job;

/* The bias goes with the first columns. */
static void run_weights(const block_job *job, const linear_part *part) {
    const linear_backward_w_args *a = job->w;
    job->kernels->w(a, part);
    if (part->out_begin == 0 && a->db && a->db[part->group])
        job->training->bias(a, part->group, part->row_begin, part->row_end);
}

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const block_job *job = context;
    int64_t rest = index / job->row_blocks;
    int64_t row = index % job->row_blocks * job->row_block,
            column = rest % job->column_blocks * job->column_block;
    linear_part part = {.group = rest / job->column_blocks,
                        .row_begin = row,
                        .row_end = min_i64(row + job->row_block, job->rows),
                        .out_begin = column,
                        .out_end = min_i64(column + job->column_block, job->columns)};
    if (!job->results[part.group] || shared_with_earlier(job->results, part.group))
        return;
    for (; part.group < job->groups;
         part.group = shared_next(job->results, job->groups, part.group)) {
        if (job->x)
            job->kernels->x(job->x, &part);
        else
            run_weights(job, &part);
        part.again = true;
    }
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    const block_job *job = context;
    int64_t parts = job->groups * job->column_blocks * job->row_blocks;
    for (int64_t i = 0; i < parts; i++)
        run_part(context, i, worker);
}

/* `depth`: the numbers that are added up for each result. */
static void run_blocks(cpu_backend *cpu, block_job *job, int64_t depth, linear_math math) {
    if (!job->results || job->groups <= 0 || job->rows <= 0 || job->columns <= 0)
        return;
    int64_t blocks = (job->rows + BACKWARD_BLOCK_ROWS - 1) / BACKWARD_BLOCK_ROWS;
    int64_t units = (job->rows + BLOCK_UNIT - 1) / BLOCK_UNIT;
    job->training = &cpu->kernels->common->training;
    job->kernels = math == LINEAR_BF16 && cpu->kernels->backward_bf16 ? cpu->kernels->backward_bf16
                                                                      : &job->training->linear;
    job->row_block = (units + blocks - 1) / blocks * BLOCK_UNIT;
    job->row_blocks = (job->rows + job->row_block - 1) / job->row_block;
    job->column_block = BACKWARD_PART_COLUMNS;
    while (job->column_block > LEAST_COLUMNS &&
           job->groups * job->row_blocks * job->columns < ENOUGH_BLOCKS * job->column_block)
        job->column_block /= 2;
    job->column_blocks = (job->columns + job->column_block - 1) / job->column_block;
    double work = (double)job->groups * (double)job->rows * (double)job->columns * (double)depth;
    if (work < INLINE_WORK)
        thread_pool_run(cpu->pool, 1, run_all, job);
    else
        thread_pool_run(cpu->pool, job->groups * job->column_blocks * job->row_blocks, run_part,
                        job);
}

void cpu_run_linear_backward_x(cpu_backend *cpu, const linear_backward_x_args *args) {
    C2C_ASSERT(dtype_is_weight(args->w_type)); /* integers have no gradient */
    block_job job = {.x = args,
                     .results = args->dx,
                     .groups = args->groups,
                     .rows = args->rows,
                     .columns = args->in};
    run_blocks(cpu, &job, args->out, args->math);
}

void cpu_run_linear_backward_w(cpu_backend *cpu, const linear_backward_w_args *args) {
    block_job job = {.w = args,
                     .results = args->dw,
                     .groups = args->groups,
                     .rows = args->out,
                     .columns = args->in};
    run_blocks(cpu, &job, args->rows, args->math);
}
