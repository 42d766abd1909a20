/* run_attention.c - cuts attention into parts for the threads: usually (sequence, kv head, tile of
 * queries). Where a sequence has few queries, which wait for memory, a part is a run of keys for
 * several kv heads, whose rows lie side by side, and the runs are put together afterwards. */
#include "backend/cpu/cpu.h"

/* Multiplications below which waking the threads costs more than they bring; short heads and
 * softmax make them slow ones. */
#define INLINE_WORK ((double)(1 << 15))

/* Parts that keep many threads busy. */
#define ENOUGH_PARTS 16

typedef struct attention_job {
    const attention_args *args;
    const attention_kernel *kernel;
    int64_t repeat;    /* query heads of one kv head */
    int64_t tile;      /* queries of a part, where they are many */
    int64_t few_heads; /* kv heads of a part, where they are few */
    float *sums;       /* records of runs; NULL: a part has all keys */
} attention_job;

/* Of a kv head. */
static int64_t query_count(const attention_job *job, int64_t sequence) {
    const int32_t *start = job->args->q_start;
    return (int64_t)(start[sequence + 1] - start[sequence]) * job->repeat;
}

static int64_t key_count(const attention_args *a, int64_t sequence) {
    int64_t keys = 0;
    for (int32_t r = a->range_start[sequence]; r < a->range_start[sequence + 1]; r++)
        keys += a->ranges[r].count;
    return keys;
}

static int64_t most_queries(const attention_job *job) {
    bool wide = job->kernel->run_keys && job->args->head_dim > ATTENTION_DOT_WIDEST / 2;
    return wide ? job->kernel->most_queries / 2 : job->kernel->most_queries;
}

/* All queries of a sequence fit into one part. */
static bool is_few(const attention_job *job, int64_t sequence) {
    int64_t queries = query_count(job, sequence) * job->args->kv_heads;
    return job->kernel->run_keys && queries > 0 && queries <= most_queries(job);
}

static int64_t run_count(const attention_job *job, int64_t sequence) {
    int64_t keys = job->kernel->run_keys;
    return max_i64(1, (key_count(job->args, sequence) + keys - 1) / keys);
}

static int64_t head_parts(const attention_job *job) {
    return (job->args->kv_heads + job->few_heads - 1) / job->few_heads;
}

/* Tiles of a kv head. */
static int64_t tile_count(const attention_job *job, int64_t sequence) {
    return (query_count(job, sequence) + job->tile - 1) / job->tile;
}

static int64_t part_count(const attention_job *job, int64_t sequence) {
    if (is_few(job, sequence))
        return head_parts(job) * (job->sums ? run_count(job, sequence) : 1);
    return tile_count(job, sequence) * job->args->kv_heads;
}

/* ---- Records ------------------------------------------------------------------------------ */

static int64_t record_floats(const attention_args *a) {
    return ATTENTION_RECORD_HEAD + (a->head_dim + 15) / 16 * 16;
}

/* Of one run of a sequence: its queries, kv head by kv head. */
static int64_t run_floats(const attention_job *job, int64_t sequence) {
    return query_count(job, sequence) * job->args->kv_heads * record_floats(job->args);
}

/* Records of the sequences before this one. */
static int64_t floats_before(const attention_job *job, int64_t sequence) {
    int64_t floats = 0;
    for (int64_t b = 0; b < sequence; b++)
        if (is_few(job, b))
            floats += run_count(job, b) * run_floats(job, b);
    return floats;
}

/* ---- Parts -------------------------------------------------------------------------------- */

static void run_few(const attention_job *job, int64_t sequence, int64_t index) {
    int64_t group = index % head_parts(job), queries = query_count(job, sequence);
    attention_part part = {.sequence = sequence,
                           .head_begin = group * job->few_heads,
                           .head_end = min_i64((group + 1) * job->few_heads, job->args->kv_heads),
                           .end = queries,
                           .key_begin = index / head_parts(job) * job->kernel->run_keys};
    if (job->sums)
        part.sums = job->sums + floats_before(job, sequence) +
                    index / head_parts(job) * run_floats(job, sequence) +
                    part.head_begin * queries * record_floats(job->args);
    job->kernel->run(job->args, &part);
}

static void run_tile(const attention_job *job, int64_t sequence, int64_t index) {
    const int64_t heads = job->args->kv_heads;
    /* The last tile first: it sees the most keys, and would keep the others waiting at the end. */
    int64_t begin = (tile_count(job, sequence) - 1 - index / heads) * job->tile;
    attention_part part = {.sequence = sequence,
                           .head_begin = index % heads,
                           .head_end = index % heads + 1,
                           .begin = begin,
                           .end = min_i64(begin + job->tile, query_count(job, sequence))};
    job->kernel->run(job->args, &part);
}

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const attention_job *job = context;
    int64_t sequence = 0;
    for (; index >= part_count(job, sequence); sequence++)
        index -= part_count(job, sequence);
    if (is_few(job, sequence))
        run_few(job, sequence, index);
    else
        run_tile(job, sequence, index);
}

static void merge_part(void *context, int64_t index, int worker) {
    (void)worker;
    const attention_job *job = context;
    int64_t sequence = index / job->args->kv_heads, head = index % job->args->kv_heads;
    if (!is_few(job, sequence))
        return;
    int64_t queries = query_count(job, sequence), run = run_floats(job, sequence);
    attention_part part = {.sequence = sequence,
                           .head_begin = head,
                           .head_end = head + 1,
                           .end = queries,
                           .sums = job->sums + floats_before(job, sequence) +
                                   head * queries * record_floats(job->args)};
    job->kernel->merge(job->args, &part, run_count(job, sequence), run);
}

static int64_t count_parts(const attention_job *job) {
    int64_t parts = 0;
    for (int64_t b = 0; b < job->args->sequences; b++)
        parts += part_count(job, b);
    return parts;
}

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    attention_job *job = context;
    int64_t parts = count_parts(job);
    for (int64_t i = 0; i < parts; i++)
        run_part(job, i, worker);
}

/* ---- The op ------------------------------------------------------------------------------- */

static const attention_kernel *kernel_for(const cpu_kernels *kernels, const attention_args *a) {
    bool rounds = a->math == LINEAR_BF16 && a->kv_type == DTYPE_BF16;
    return rounds && kernels->attention_bf16 && a->head_dim <= ATTENTION_DOT_WIDEST
               ? kernels->attention_bf16
               : &kernels->common->attention;
}

/* Smaller tiles where there are few of them; as many heads together as leave enough parts. */
static void cut(attention_job *job) {
    const attention_args *a = job->args;
    int64_t runs = 0;
    for (int64_t b = 0; b < a->sequences; b++)
        runs += is_few(job, b) ? (job->sums ? run_count(job, b) : 1) : 0;
    job->few_heads = max_i64(1, a->kv_heads * runs / ENOUGH_PARTS);
    job->few_heads = min_i64(job->few_heads, a->kv_heads);
    job->tile = most_queries(job);
    while (job->tile > job->kernel->least_queries && count_parts(job) < ENOUGH_PARTS)
        job->tile = max_i64(job->tile / 2, job->kernel->least_queries);
}

/* Parts that are whole, or, where any sequence has several runs and there is room for records,
 * runs that are merged. */
static void run_parts(cpu_backend *cpu, attention_job *job) {
    const attention_args *a = job->args;
    bool several = false;
    for (int64_t b = 0; b < a->sequences; b++)
        several = several || (is_few(job, b) && run_count(job, b) > 1);
    if (!several) {
        cut(job);
        thread_pool_run(cpu->pool, count_parts(job), run_part, job);
        return;
    }
    pthread_mutex_lock(&cpu->packing);
    if (floats_before(job, a->sequences) <= (int64_t)(cpu->packed_bytes / sizeof(float)))
        job->sums = (void *)cpu->packed;
    cut(job);
    thread_pool_run(cpu->pool, count_parts(job), run_part, job);
    if (job->sums)
        thread_pool_run(cpu->pool, a->sequences * a->kv_heads, merge_part, job);
    pthread_mutex_unlock(&cpu->packing);
}

void cpu_run_attention(cpu_backend *cpu, const attention_args *args) {
    attention_job job = {.args = args,
                         .kernel = kernel_for(cpu->kernels, args),
                         .repeat = args->heads / args->kv_heads};
    double work = 0;
    for (int64_t b = 0; b < args->sequences; b++)
        work += (double)(args->q_start[b + 1] - args->q_start[b]) * (double)key_count(args, b) *
                (double)(args->heads * args->head_dim);
    if (work >= INLINE_WORK) {
        run_parts(cpu, &job);
        return;
    }
    cut(&job);
    job.few_heads = args->kv_heads;
    thread_pool_run(cpu->pool, 1, run_all, &job);
}
