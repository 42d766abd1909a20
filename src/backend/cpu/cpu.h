/* cpu.h - inside the CPU backend: one set of kernels per instruction set, and the struct that holds
 * the set in use, the threads and their scratch.
 *
 *   cpu.c              the backend itself: memory, scratch, which op goes to which runner
 *   isa.c              which kernels this machine can run
 *   run_*.c            runners: cut an op into parts for the threads, by sizes alone
 *   kernels_<isa>.c    kernel_*.h compiled for one instruction set each, with vector.h
 *   training.h         the same things for the ops of training
 */
#ifndef C2C_BACKEND_CPU_H
#define C2C_BACKEND_CPU_H

#include "backend/backend.h"
#include "backend/cpu/training.h"

/* ---- Kernels ------------------------------------------------------------------------------ */

/* In the order of preference: a later one is faster where the machine has it. */
typedef enum cpu_isa { CPU_ISA_PORTABLE = 0, CPU_ISA_AVX2, CPU_ISA_AVX512, CPU_ISA_COUNT } cpu_isa;

/* Rows begin .. end-1 of one group of an op whose rows have nothing to do with each other. */
typedef void (*row_kernel)(const void *args, int64_t group, int64_t begin, int64_t end);

#define LINEAR_PART_OUTS 64 /* at most in one part */

/* A block of a linear's result: rows of x by rows of w. */
typedef struct linear_part {
    int64_t group, row_begin, row_end, out_begin, out_end;
} linear_part;

/* Queries of one sequence that share a kv head. Query i of the sequence's list for that head is
 * row i / (H / G), head i % (H / G) of the group. */
typedef struct attention_part {
    int64_t sequence, kv_head, begin, end;
} attention_part;

#define ATTENTION_PART_QUERIES 48 /* at most in one part */
#define ATTENTION_BLOCK_KEYS   64 /* whose softmax is computed at once */

typedef struct cpu_kernels {
    const char *name;
    int linear_rows; /* rows of x that are rounded at once: scratch holds so many */
    row_kernel rows[OP_COUNT];
    /* scratch: linear_rows * in floats when the math is LINEAR_BF16 */
    void (*linear)(const linear_args *a, const linear_part *part, float *scratch);
    void (*attention)(const attention_args *a, const attention_part *part);
    training_kernels training;
} cpu_kernels;

extern const cpu_kernels cpu_kernels_portable;
#ifdef __x86_64__
extern const cpu_kernels cpu_kernels_avx2;
extern const cpu_kernels cpu_kernels_avx512;
#endif

/* NULL where this machine cannot run them. */
const cpu_kernels *cpu_kernels_for(cpu_isa isa);
cpu_isa cpu_isa_best(void);

/* ---- The backend -------------------------------------------------------------------------- */

typedef struct cpu_backend {
    backend base;
    const cpu_kernels *kernels;
    thread_pool *pool;
    float *scratch;        /* [threads][scratch_stride] */
    size_t scratch_stride; /* floats of one thread */
    size_t reserved;       /* features that scratch is made for */
} cpu_backend;

/* backend_cpu_open with chosen kernels, for tests and measurements; unsupported where the machine
 * cannot run them. */
c2c_status backend_cpu_open_isa(backend **b, int threads, cpu_isa isa, c2c_error *error);

/* Runners; each returns when the op is done. */
void cpu_run_linear(cpu_backend *cpu, const linear_args *args);
void cpu_run_attention(cpu_backend *cpu, const attention_args *args);
void cpu_run_rows(cpu_backend *cpu, op_kind kind, const void *args);
void cpu_run_step_advance(cpu_backend *cpu, const step_advance_args *args);
void cpu_run_sample(cpu_backend *cpu, const sample_args *args);
void cpu_run_count_ids(cpu_backend *cpu, const count_ids_args *args);
void cpu_run_zero(cpu_backend *cpu, const zero_args *args);

/* Zeroed memory aligned to 64 that knows its size; NULL when there is none. */
void *cpu_memory_new(size_t bytes);
void cpu_memory_free(void *memory);

#endif
