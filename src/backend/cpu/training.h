/* training.h - the training half of cpu.h: kernels and runners of the ops of backend/backward.h.
 *
 *   kernel_training.h    all training kernels, included once per instruction set
 *   run_training.c       ops over rows, and which other op goes to which runner
 *   run_linear_backward.c, run_attention_backward.c
 */
#ifndef C2C_BACKEND_CPU_TRAINING_H
#define C2C_BACKEND_CPU_TRAINING_H

#include "backend/backend.h"

/* At most in one part of a linear's gradients. */
#define BACKWARD_PART_COLUMNS 256
#define BACKWARD_BLOCK_ROWS   252

struct linear_part;
struct cpu_backend;

/* Rows begin .. end-1 of one group; for some ops, of other things (see run_training.c). */
typedef void (*training_kernel)(const void *args, int64_t group, int64_t begin, int64_t end);

/* A block of dx, or of dw without the bias: rows by columns out_begin .. out_end-1 of it. */
typedef struct linear_backward_kernels {
    void (*x)(const linear_backward_x_args *a, const struct linear_part *part);
    void (*w)(const linear_backward_w_args *a, const struct linear_part *part);
} linear_backward_kernels;

typedef struct training_kernels {
    training_kernel rows[OP_COUNT];
    linear_backward_kernels linear; /* for either math */
    /* db for rows out_begin .. out_end-1 of w */
    void (*bias)(const linear_backward_w_args *a, int64_t group, int64_t begin, int64_t end);
    void (*attention_backward)(const attention_backward_args *a, int64_t sequence, int64_t kv_head);
} training_kernels;

void cpu_run_training(struct cpu_backend *cpu, op_kind kind, const void *args);
void cpu_run_linear_backward_x(struct cpu_backend *cpu, const linear_backward_x_args *args);
void cpu_run_linear_backward_w(struct cpu_backend *cpu, const linear_backward_w_args *args);
void cpu_run_attention_backward(struct cpu_backend *cpu, const attention_backward_args *args);

/* ---- Gradients that groups share ---------------------------------------------------------- */

/* An earlier group has the same pointer: its part does this group, too. */
static inline bool shared_with_earlier(float *const *table, int64_t group) {
    for (int64_t p = 0; p < group; p++)
        if (table[p] == table[group])
            return true;
    return false;
}

/* The next group with the pointer of `group`; `groups` when there is none. */
static inline int64_t shared_next(float *const *table, int64_t groups, int64_t group) {
    int64_t p = group + 1;
    while (p < groups && table[p] != table[group])
        p++;
    return p;
}

#endif
