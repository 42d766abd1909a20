/* measure.c - what this machine can do at most, with the chosen kernels and all threads: products
 * per second, and bytes read per second. For reports that compare with it. */
#include "backend/cpu/cpu.h"

#define PARTS       16 /* per thread, so that one that comes late does its share */
#define TRIES       5
#define PEAK_ROUNDS 20000
#define READ_BYTES  ((size_t)256 << 20) /* more than caches hold */

typedef struct peak_job {
    peak_kernel kernel;
    double flops[1024]; /* by worker: engines have no more threads */
} peak_job;

static void run_peak(void *context, int64_t index, int worker) {
    (void)index;
    peak_job *job = context;
    job->flops[worker % 1024] += job->kernel(PEAK_ROUNDS);
}

double cpu_measure_peak(backend *b, linear_math math) {
    cpu_backend *cpu = (cpu_backend *)b;
    int threads = thread_pool_size(cpu->pool);
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        peak_job job = {.kernel = cpu->kernels->common->peak};
        if (math == LINEAR_BF16 && cpu->kernels->peak_bf16)
            job.kernel = cpu->kernels->peak_bf16;
        double start = system_seconds(), flops = 0;
        thread_pool_run(cpu->pool, (int64_t)threads * PARTS, run_peak, &job);
        double seconds = system_seconds() - start;
        for (int t = 0; t < threads && t < 1024; t++)
            flops += job.flops[t];
        if (seconds > 0 && flops / seconds > best)
            best = flops / seconds;
    }
    return best;
}

typedef struct read_job {
    const char *memory;
    uint64_t sums[READ_BYTES / CPU_READ_PART];
} read_job;

static void run_read(void *context, int64_t index, int worker) {
    (void)worker;
    read_job *job = context;
    typedef uint64_t wide __attribute__((vector_size(64)));
    const char *p = job->memory + (size_t)index * CPU_READ_PART;
    wide sum[4] = {{0}};
    for (size_t i = 0; i < CPU_READ_PART; i += 4 * sizeof *sum)
        for (size_t k = 0; k < 4; k++) {
            wide v;
            memcpy(&v, p + i + k * sizeof v, sizeof v);
            sum[k] ^= v;
        }
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    job->sums[index] = sum[0][0] ^ sum[0][3];
}

double cpu_measure_read_of(backend *b, const void *memory, size_t bytes) {
    cpu_backend *cpu = (cpu_backend *)b;
    read_job job = {.memory = memory};
    double best = 0;
    bytes = bytes < READ_BYTES ? bytes : READ_BYTES;
    int64_t parts = (int64_t)(bytes / CPU_READ_PART);
    for (int i = 0; i < TRIES && parts > 0; i++) {
        double start = system_seconds();
        thread_pool_run(cpu->pool, parts, run_read, &job);
        double rate = (double)parts * (double)CPU_READ_PART / (system_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

c2c_status cpu_measure_read(backend *b, double *bytes_per_second, c2c_error *error) {
    *bytes_per_second = 0;
    char *memory = cpu_memory_new(READ_BYTES);
    if (!memory)
        return error_memory(error, READ_BYTES, "the measurement of memory");
    memset(memory, 1, READ_BYTES);
    *bytes_per_second = cpu_measure_read_of(b, memory, READ_BYTES);
    cpu_memory_free(memory);
    return C2C_STATUS_OK;
}
