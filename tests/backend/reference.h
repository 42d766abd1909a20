/* reference.h - every op in plain C: the specification that backends are tested against. Sums are
 * made in double, so that what a test measures is the error of the backend alone. */
#ifndef C2C_TESTS_REFERENCE_H
#define C2C_TESTS_REFERENCE_H

#include "backend/backend.h"

void reference_run(op_kind kind, const void *args);

/* One by one: reference.c has the forward ops, reference_backward.c those of training. */
#define X(name, tables) void reference_##name(const name##_args *a);
OP_LIST(X)
#undef X

#endif
