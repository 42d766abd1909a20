/* fused_pair.c - a tiny pair and its fuser for one test. */
#include "support/fused_pair.h"
#include "model/model.h"
#include "support/test.h"

#define MODELS "tests/golden/data/models/"

backend *backend_for_test(int threads, bool queue) {
    backend *b;
    assert_ok(queue ? backend_queue_open(&b, threads, &test_error)
                    : backend_cpu_open(&b, threads, &test_error));
    return b;
}

fused_pair fused_pair_open(backend *b, c2c_compute compute, const char *fuser) {
    fused_pair p = {0};
    const c2c_model_options options = {.compute = compute};
    assert_ok(engine_adopt(&p.engine, b, &test_error));
    assert_ok(c2c_model_open(&p.receiver, p.engine, MODELS "tiny-qwen3", &options, &test_error));
    assert_ok(c2c_model_open(&p.sharer, p.engine, MODELS "tiny-qwen2", &options, &test_error));
    assert_ok(c2c_fuser_open(&p.fuser, p.receiver, p.sharer, fuser, &test_error));
    return p;
}

void fused_pair_close(fused_pair *p) {
    c2c_fuser_close(p->fuser);
    c2c_model_close(p->sharer);
    c2c_model_close(p->receiver);
    c2c_engine_close(p->engine);
}

fused_pair fused_pair_exact(backend *b) {
    return fused_pair_open(b, C2C_COMPUTE_F32, FUSED_PAIR_FUSER);
}

fused_pair fused_pair_on_cpu(int threads) {
    return fused_pair_exact(backend_for_test(threads, false));
}
