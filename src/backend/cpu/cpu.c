/* cpu.c - the CPU backend: ops run at once, on the calling thread and the pool's. Owns the threads
 * and the memory of packed rows; leaves the cutting into parts to run_*.c and the arithmetic to the
 * kernels. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>

static cpu_backend *cpu_of(backend *b) {
    return (cpu_backend *)b;
}

static void cpu_close(backend *b) {
    cpu_backend *cpu = cpu_of(b);
    thread_pool_free(cpu->pool);
    cpu_memory_free(cpu->packed);
    pthread_mutex_destroy(&cpu->packing);
    free(cpu);
}

static c2c_status cpu_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    (void)b;
    *memory = cpu_memory_new(bytes);
    return *memory ? C2C_STATUS_OK : error_memory(error, bytes, "tensors");
}

static void cpu_release(backend *b, void *memory) {
    (void)b;
    cpu_memory_free(memory);
}

static void cpu_fill(backend *b, void *memory) {
    (void)b;
    cpu_memory_fill(memory);
}

/* Mapped weights are used where they lie. */
static c2c_status cpu_import(backend *b, const void **memory, const void *host, size_t bytes,
                             c2c_error *error) {
    (void)b, (void)bytes, (void)error;
    *memory = host;
    return C2C_STATUS_OK;
}

static void cpu_release_import(backend *b, const void *memory) {
    (void)b, (void)memory;
}

/* Rows that are packed at once, at most; at least a part's rows. */
#define PACKED_ROWS ((size_t)2 * LINEAR_MAX_BLOCK_ROWS)

static c2c_status cpu_reserve(backend *b, size_t features, c2c_error *error) {
    cpu_backend *cpu = cpu_of(b);
    size_t padded, bytes;
    /* A row is packed into whole cache lines, of at most four bytes per element. */
    if (!size_add(features, 63, &padded) ||
        !size_mul(padded & ~(size_t)63, PACKED_ROWS * sizeof(float), &bytes))
        return error_memory(error, SIZE_MAX, "packed rows");
    char *memory = cpu_memory_new(bytes);
    if (!memory)
        return error_memory(error, bytes, "packed rows");
    pthread_mutex_lock(&cpu->packing);
    if (features > cpu->reserved) {
        char *old = cpu->packed;
        cpu->packed = memory;
        cpu->packed_bytes = bytes;
        cpu->reserved = features;
        memory = old;
    }
    pthread_mutex_unlock(&cpu->packing);
    cpu_memory_free(memory);
    return C2C_STATUS_OK;
}

/* Longer rows are multiplied as they lie: folding their sums costs little. So are weights that do
 * not stay in a cache: where few rows wait for memory, and a copy of everything would be felt. */
#define PANEL_INPUTS 512
#define PANEL_BYTES  ((int64_t)32 << 20)

/* Fewer outputs leave most of a panel's vectors empty. */
#define PANEL_LEAST_OUTS 16

static bool cpu_wants_panels(backend *b, linear_math math, int64_t out, int64_t in, int64_t bytes) {
    return cpu_of(b)->kernels->linear_panels && math == LINEAR_BF16 && in <= PANEL_INPUTS &&
           bytes <= PANEL_BYTES && out >= PANEL_LEAST_OUTS;
}

static void cpu_run(backend *b, op_kind kind, const void *args) {
    switch (kind) {
    case OP_linear: cpu_run_linear(cpu_of(b), args); break;
    case OP_attention: cpu_run_attention(cpu_of(b), args); break;
    case OP_step_advance: cpu_run_step_advance(cpu_of(b), args); break;
    case OP_sample: cpu_run_sample(cpu_of(b), args); break;
    case OP_count_ids: cpu_run_count_ids(cpu_of(b), args); break;
    case OP_zero: cpu_run_zero(cpu_of(b), args); break;
    default:
        if (kind >= OP_TRAINING_FIRST)
            cpu_run_training(cpu_of(b), kind, args);
        else
            cpu_run_rows(cpu_of(b), kind, args);
        break;
    }
}

static void cpu_upload(backend *b, void *memory, const void *host, size_t bytes) {
    (void)b;
    memcpy(memory, host, bytes);
}

static void cpu_download(backend *b, void *host, const void *memory, size_t bytes) {
    (void)b;
    memcpy(host, memory, bytes);
}

static void cpu_sync(backend *b) {
    (void)b; /* nothing is ever waiting */
}

static const backend_class cpu_class = {
    .name = "cpu",
    .close = cpu_close,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .fill = cpu_fill,
    .import = cpu_import,
    .release_import = cpu_release_import,
    .reserve = cpu_reserve,
    .wants_panels = cpu_wants_panels,
    .run = cpu_run,
    .upload = cpu_upload,
    .download = cpu_download,
    .sync = cpu_sync,
};

c2c_status backend_cpu_open_isa(backend **b, int threads, cpu_isa isa, c2c_error *error) {
    *b = NULL;
    const cpu_kernels *kernels = cpu_kernels_for(isa);
    if (!kernels)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "this processor lacks the instructions of the kernels %s; the best it has "
                         "are %s",
                         isa < CPU_ISA_COUNT ? cpu_isa_name(isa) : "asked for",
                         cpu_isa_name(cpu_isa_best()));
    cpu_backend *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return error_memory(error, sizeof *cpu, "the CPU backend");
    cpu->base.class = &cpu_class;
    cpu->isa = isa;
    cpu->kernels = kernels;
    c2c_status status = thread_pool_new(&cpu->pool, threads, error);
    if (status) {
        free(cpu);
        return status;
    }
    pthread_mutex_init(&cpu->packing, NULL);
    *b = &cpu->base;
    return C2C_STATUS_OK;
}

const char *backend_cpu_isa(const backend *b) {
    return cpu_isa_name(((const cpu_backend *)b)->isa);
}

int backend_cpu_threads(const backend *b) {
    return thread_pool_size(((const cpu_backend *)b)->pool);
}

c2c_status backend_cpu_open_named(backend **b, int threads, const char *isa, c2c_error *error) {
    cpu_isa found = cpu_isa_best();
    *b = NULL;
    if (!isa || cpu_isa_find(isa, &found))
        return backend_cpu_open_isa(b, threads, found, error);
    buffer names = {0};
    for (int i = 0; i < CPU_ISA_COUNT; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", cpu_isa_name((cpu_isa)i));
    c2c_status status = error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                                  "there are no CPU kernels named \"%s\"; known: %s", isa,
                                  names.data ? names.data : "");
    buffer_free(&names);
    return status;
}

c2c_status backend_cpu_open(backend **b, int threads, c2c_error *error) {
    return backend_cpu_open_isa(b, threads, cpu_isa_best(), error);
}
