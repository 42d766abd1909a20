/* tiny_pair.h - for tests: a tiny receiver and sharer from tests/golden/data, opened for a group.
 */
#ifndef C2C_TEST_TINY_PAIR_H
#define C2C_TEST_TINY_PAIR_H

#include "c2c.h"

typedef struct tiny_pair {
    c2c_engine *engine; /* of one thread */
    c2c_model *receiver, *sharer;
} tiny_pair;

/* Of a cmocka group: *state is a tiny_pair in between. */
int tiny_pair_open(void **state);
int tiny_pair_close(void **state);

#endif
