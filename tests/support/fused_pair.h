/* fused_pair.h - for tests: the tiny receiver and sharer from tests/golden/data with a fuser, on
 * any backend and in any precision. */
#ifndef C2C_TEST_FUSED_PAIR_H
#define C2C_TEST_FUSED_PAIR_H

#include "backend/backend.h"

/* The fuser that was recorded with them. */
#define FUSED_PAIR_FUSER "tests/golden/data/fusers/qwen3_from_qwen2"

typedef struct fused_pair {
    c2c_engine *engine;
    c2c_model *receiver, *sharer;
    c2c_fuser *fuser;
} fused_pair;

/* A backend of the processor, or the one that queues ops. */
backend *backend_for_test(int threads, bool queue);

/* The engine takes the backend. */
fused_pair fused_pair_open(backend *b, c2c_compute compute, const char *fuser);
void fused_pair_close(fused_pair *p);

/* In f32, where nothing is rounded more than it must: tests of bits. */
fused_pair fused_pair_exact(backend *b);
fused_pair fused_pair_on_cpu(int threads);

#endif
