/* op_build.h - what the rows of the op table are made with: memory of a case, filled with random
 * numbers. For the files that define rows. */
#ifndef C2C_TESTS_OP_BUILD_H
#define C2C_TESTS_OP_BUILD_H

#include "backend/op_table.h"

#include <stddef.h>

/* ---- Memory of a case (op_table.c) -------------------------------------------------------- */

void *add_buffer(op_case *c, size_t bytes, bool written, bool is_float);
/* [rows, stride] of f32, padding included: an op that writes there is found out. */
float *add_floats(op_case *c, test_random *r, int64_t rows, int64_t stride, bool written);
int32_t *add_ints(op_case *c, int64_t count, bool written);
void *add_weights(op_case *c, test_random *r, dtype type, int64_t count);
/* A pointer table, stored into the field at `offset` of the arguments. */
const void **add_table(op_case *c, size_t offset, int64_t groups);
/* Says that the field at `offset` is a pointer into the case's memory. */
void add_pointer(op_case *c, size_t offset);
/* A table of written float rows; `same` (may be NULL) are taken for the ops that run in place. */
void add_outputs(op_case *c, test_random *r, size_t offset, const op_sizes *s, int64_t stride,
                 const void **same);
/* A table of inputs; with several groups, the last reads what the first reads, as receiver layers
 * may share a sharer layer. Not when they are written, too. */
const void **add_inputs(op_case *c, test_random *r, size_t offset, const op_sizes *s,
                        int64_t stride, bool written);

/* ---- Parts of arguments (op_forward.c) ---------------------------------------------------- */

/* 0 .. count-1 in random order. */
void fill_shuffled(int32_t *index, int64_t count, test_random *r);
/* Logits of one of five forms: one number; one per row, per head, per row and head; all. */
fuse_strides logit_strides(const op_sizes *s, int64_t form);
/* A table of logits, NULL in one place when padding is odd. */
void add_logits(op_case *c, test_random *r, size_t offset, const op_sizes *s, dtype type,
                int64_t absent);
/* A table of uniform numbers for gates; the first group's gate is hard when padding is odd. */
void add_uniforms(op_case *c, test_random *r, size_t offset, const op_sizes *s);

/* ---- Rows (op_forward.c, op_backward.c) --------------------------------------------------- */

#define X(name, tables) void build_##name(op_case *c, const op_sizes *s, test_random *r);
OP_LIST(X)
#undef X

#endif
