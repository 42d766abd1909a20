/* run_attention_backward.c - cuts the gradients of attention into (sequence, kv head): all queries
 * that add to the same rows of dk and dv are one part. */
#include "backend/cpu/cpu.h"

typedef struct attention_job {
    const training_kernels *kernels;
    const attention_backward_args *args;
} attention_job;

/* Whether a sequence has anything to do. */
static bool sequence_wanted(const attention_backward_args *a, int64_t sequence) {
    if (a->dq)
        return true;
    if (a->dk)
        for (int32_t r = a->range_start[sequence]; r < a->range_start[sequence + 1]; r++)
            if (!a->wanted || a->wanted[r])
                return true;
    return false;
}

static void run_part(void *context, int64_t index, int worker) {
    (void)worker;
    const attention_job *job = context;
    int64_t sequence = index / job->args->kv_heads;
    if (sequence_wanted(job->args, sequence))
        job->kernels->attention_backward(job->args, sequence, index % job->args->kv_heads);
}

void cpu_run_attention_backward(cpu_backend *cpu, const attention_backward_args *args) {
    attention_job job = {&cpu->kernels->common->training, args};
    thread_pool_run(cpu->pool, args->sequences * args->kv_heads, run_part, &job);
}
