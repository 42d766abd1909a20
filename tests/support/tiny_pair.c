/* tiny_pair.c - two tiny models for a group of tests. */
#include "support/tiny_pair.h"
#include "support/test.h"

int tiny_pair_open(void **state) {
    tiny_pair *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_ok(c2c_engine_open(&f->engine, &(c2c_engine_options){.threads = 1}, &test_error));
    assert_ok(c2c_model_open(&f->receiver, f->engine, "tests/golden/data/models/tiny-qwen3", NULL,
                             &test_error));
    assert_ok(c2c_model_open(&f->sharer, f->engine, "tests/golden/data/models/tiny-qwen2", NULL,
                             &test_error));
    *state = f;
    return 0;
}

int tiny_pair_close(void **state) {
    tiny_pair *f = *state;
    c2c_model_close(f->receiver);
    c2c_model_close(f->sharer);
    c2c_engine_close(f->engine);
    free(f);
    return 0;
}
