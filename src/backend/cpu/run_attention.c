/* run_attention.c - cuts attention into (sequence, kv head, tile of queries) for the threads. */
#include "backend/cpu/cpu.h"

/* Multiplications below which waking the threads costs more than they bring; short heads and
 * softmax make them slow ones. */
#define INLINE_WORK ((double)(1 << 15))

typedef struct attention_job {
    cpu_backend *cpu;
    const attention_args *args;
    int64_t repeat; /* query heads of one kv head */
} attention_job;

/* Tiles of one kv head in a sequence. */
static int64_t tile_count(const attention_job *job, int64_t sequence) {
    const int32_t *start = job->args->q_start;
    int64_t queries = (int64_t)(start[sequence + 1] - start[sequence]) * job->repeat;
    return (queries + ATTENTION_PART_QUERIES - 1) / ATTENTION_PART_QUERIES;
}

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const attention_job *job = context;
    const attention_args *a = job->args;
    int64_t sequence = 0;
    for (; index >= tile_count(job, sequence) * a->kv_heads; sequence++)
        index -= tile_count(job, sequence) * a->kv_heads;
    int64_t queries = (int64_t)(a->q_start[sequence + 1] - a->q_start[sequence]) * job->repeat;
    /* The last tile first: it sees the most keys, and would keep the others waiting at the end. */
    int64_t begin = (tile_count(job, sequence) - 1 - index / a->kv_heads) * ATTENTION_PART_QUERIES;
    attention_part part = {.sequence = sequence,
                           .kv_head = index % a->kv_heads,
                           .begin = begin,
                           .end = min_i64(begin + ATTENTION_PART_QUERIES, queries)};
    job->cpu->kernels->common->attention(a, &part);
}

typedef struct attention_all {
    attention_job *job;
    int64_t parts;
} attention_all;

static void run_all(void *context, int64_t index, int worker) {
    (void)index;
    const attention_all *all = context;
    for (int64_t i = 0; i < all->parts; i++)
        run_part(all->job, i, worker);
}

void cpu_run_attention(cpu_backend *cpu, const attention_args *args) {
    attention_job job = {.cpu = cpu, .args = args, .repeat = args->heads / args->kv_heads};
    int64_t parts = 0;
    double work = 0;
    for (int64_t b = 0; b < args->sequences; b++) {
        int64_t keys = 0;
        for (int32_t r = args->range_start[b]; r < args->range_start[b + 1]; r++)
            keys += args->ranges[r].count;
        parts += tile_count(&job, b) * args->kv_heads;
        work += (double)(args->q_start[b + 1] - args->q_start[b]) * (double)keys *
                (double)(args->heads * args->head_dim);
    }
    attention_all all = {.job = &job, .parts = parts};
    if (work < INLINE_WORK)
        thread_pool_run(cpu->pool, 1, run_all, &all);
    else
        thread_pool_run(cpu->pool, parts, run_part, &job);
}
