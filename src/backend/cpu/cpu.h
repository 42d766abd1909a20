/* cpu.h - inside the CPU backend: one set of kernels per instruction set, and the struct that holds
 * the set in use, the threads and their scratch.
 *
 *   cpu.c              the backend itself: memory, scratch, which op goes to which runner
 *   isa.c              which kernels this machine can run
 *   run_*.c            runners: cut an op into parts for the threads, by sizes alone
 *   kernels_<isa>.c    kernel_*.h compiled for one instruction set each, with vector.h
 *   linear_*.c         products with an instruction of their own: bf16 dot products, AMX tiles
 *   attention_dot.c    attention with bf16 dot products
 *   training.h         the same things for the ops of training
 */
#ifndef C2C_BACKEND_CPU_H
#define C2C_BACKEND_CPU_H

#include "backend/backend.h"
#include "backend/cpu/training.h"

#include <pthread.h>

/* ---- Kernels ------------------------------------------------------------------------------ */

/* In the order of preference: a later one is faster where the machine has it. */
typedef enum cpu_isa {
    CPU_ISA_PORTABLE = 0,
    CPU_ISA_AVX2,
    CPU_ISA_AVX512,
    CPU_ISA_AVX512_VNNI, /* AVX-512 with dot products of 8-bit integers */
    CPU_ISA_AVX512_BF16, /* that, and dot products of bf16 pairs */
    CPU_ISA_AMX,         /* that, and tiles of both */
    CPU_ISA_COUNT
} cpu_isa;

/* Rows begin .. end-1 of one group of an op whose rows have nothing to do with each other. */
typedef void (*row_kernel)(const void *args, int64_t group, int64_t begin, int64_t end);

#define LINEAR_PART_OUTS 64 /* at most in one part */

/* A block of a linear's result: rows of x by rows of w. */
typedef struct linear_part {
    int64_t group, row_begin, row_end, out_begin, out_end;
    const void *packed; /* the part's rows as its kernel packed them */
    bool again;         /* of gradients: another group has been there before */
} linear_part;

/* One way to multiply. Rows of x are packed (rounded, brought into an order) once, then every block
 * of outputs reads them; pack_rows of them lie together, the last ones padded. */
typedef struct linear_kernel {
    /* Of a pack; that are best run together; of a part at most. Each divides the next. */
    int pack_rows, step_rows, block_rows;
    size_t (*pack_bytes)(int64_t in); /* of pack_rows rows; NULL: x is used as it lies */
    void (*pack)(const linear_args *a, int64_t group, int64_t begin, int64_t end, void *packed);
    void (*run)(const linear_args *a, const linear_part *part);
} linear_kernel;

#define LINEAR_MAX_BLOCK_ROWS 264

/* Queries of one sequence. Query i of its list for a kv head is row i / (H / G), head i % (H / G)
 * of the group; a part has queries begin .. end-1 of the lists of some kv heads. */
typedef struct attention_part {
    int64_t sequence, head_begin, head_end, begin, end;
    /* NULL: over all keys. Else over one run, from key_begin on: a record of
     * ATTENTION_RECORD_HEAD + head_dim floats, in whole cache lines, for each query. */
    float *sums;
    int64_t key_begin;
} attention_part;

#define ATTENTION_PART_QUERIES 48 /* at most in one part of kernel_attention.h */
#define ATTENTION_BLOCK_KEYS   64 /* whose softmax is computed at once */

/* Of attention_dot.c: keys whose sums begin from nothing, the widest head that it takes, and
 * queries of a part; half as many where heads are wider than half of the widest. */
#define ATTENTION_SPLIT_KEYS  512
#define ATTENTION_DOT_WIDEST  256
#define ATTENTION_DOT_QUERIES 192
#define ATTENTION_RECORD_HEAD 32

/* One way to attend. Parts have at most so many queries, which share the work of bringing keys into
 * an order, fewer where parts would be too few, of one kv head. Where run_keys is not 0, they may
 * have several heads, and keys may be cut into runs, whose records are merged: those of run r stand
 * at sums + r * stride. */
typedef struct attention_kernel {
    int64_t most_queries, least_queries, run_keys;
    void (*run)(const attention_args *a, const attention_part *part);
    void (*merge)(const attention_args *a, const attention_part *part, int64_t runs,
                  int64_t stride);
} attention_kernel;

/* Multiplies as fast as can be for so many rounds: the number of additions and products. */
typedef double (*peak_kernel)(int64_t rounds);

/* What several sets share. */
typedef struct common_kernels {
    row_kernel rows[OP_COUNT];
    attention_kernel attention;
    training_kernels training;
    peak_kernel peak; /* in f32 */
} common_kernels;

typedef struct cpu_kernels {
    const common_kernels *common;
    const linear_kernel *linear_f32;              /* LINEAR_F32 */
    const linear_kernel *linear_round;            /* LINEAR_BF16, any weights */
    const linear_kernel *linear_bf16;             /* LINEAR_BF16, bf16 weights */
    const linear_kernel *linear_panels;           /* LINEAR_BF16, weights in panels; may be NULL */
    const linear_kernel *linear_int8;             /* i8 weights */
    const attention_kernel *attention_bf16;       /* LINEAR_BF16, bf16 rows; NULL: that of common */
    const linear_backward_kernels *backward_bf16; /* LINEAR_BF16; NULL: those of common */
    peak_kernel peak_bf16;                        /* of linear_bf16; NULL: that of f32 */
} cpu_kernels;

/* NULL where this machine cannot run them. */
const cpu_kernels *cpu_kernels_for(cpu_isa isa);
cpu_isa cpu_isa_best(void);
/* As --isa spells it; whether or not this machine can run it. */
const char *cpu_isa_name(cpu_isa isa);
bool cpu_isa_find(const char *name, cpu_isa *isa);
/* What the processor calls itself, or "unknown"; returns `name`. */
#define CPU_NAME_TEXT 64
const char *cpu_name(char name[CPU_NAME_TEXT]);

/* ---- The backend -------------------------------------------------------------------------- */

typedef struct cpu_backend {
    backend base;
    cpu_isa isa;
    const cpu_kernels *kernels;
    thread_pool *pool;
    /* Packed rows of one linear at a time: who packs holds `packing` until the linear is done. */
    pthread_mutex_t packing;
    char *packed;
    size_t packed_bytes;
    size_t reserved; /* features that `packed` is made for */
} cpu_backend;

/* backend_cpu_open with chosen kernels, for tests and measurements; unsupported where the machine
 * cannot run them. */
c2c_status backend_cpu_open_isa(backend **b, int threads, cpu_isa isa, c2c_error *error);

/* The name of a CPU backend's kernels, and its threads. */
const char *backend_cpu_isa(const backend *b);
int backend_cpu_threads(const backend *b);

/* Runners; each returns when the op is done. */
void cpu_run_linear(cpu_backend *cpu, const linear_args *args);
void cpu_run_attention(cpu_backend *cpu, const attention_args *args);
void cpu_run_rows(cpu_backend *cpu, op_kind kind, const void *args);
void cpu_run_step_advance(cpu_backend *cpu, const step_advance_args *args);
void cpu_run_sample(cpu_backend *cpu, const sample_args *args);
void cpu_run_count_ids(cpu_backend *cpu, const count_ids_args *args);
void cpu_run_zero(cpu_backend *cpu, const zero_args *args);

/* The most that the backend's kernels and threads reach, per second (measure.c). */
double cpu_measure_peak(backend *b, linear_math math);
c2c_status cpu_measure_read(backend *b, double *bytes_per_second, c2c_error *error);
/* The same from memory that is there, whole parts of CPU_READ_PART bytes; for more than caches. */
#define CPU_READ_PART ((size_t)4 << 20)
double cpu_measure_read_of(backend *b, const void *memory, size_t bytes);

/* Zeroed memory aligned to 64 that knows its size; NULL when there is none. */
void *cpu_memory_new(size_t bytes);
void cpu_memory_free(void *memory);
/* All of it will be used: taken from the system in large pages, where it gives them. */
void cpu_memory_fill(void *memory);

#endif
