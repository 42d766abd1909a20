/* Panels of weights: which matrices get them, and that a pair some of whose matrices have none
 * computes what it computes without any. */
#include "session/session.h"
#include "support/random_pair.h"
#include "support/test.h"

#include <stdlib.h>

#define TOKENIZER  "share/demo/receiver"
#define TOKENS     20
#define VOCABULARY 1008

/* Keys and values of 8 outputs stand beside queries of 32; the fuser has one scalar for a row. */
static const random_model narrow = {"qwen3", 2, 64, 128, 4, 1, 8, VOCABULARY, 256};
static const random_model sharer = {"qwen2", 2, 64, 128, 4, 1, 16, VOCABULARY, 256};

typedef struct world {
    c2c_engine *engine;
    c2c_model *receiver, *sharer;
    c2c_fuser *fuser;
    c2c_session *session;
} world;

static world open_world(const char *folder, const char *isa) {
    world w;
    c2c_engine_options engine = {.threads = 2, .isa = isa};
    const c2c_model_options models = {.compute = C2C_COMPUTE_BF16};
    char *parts[] = {path_join(folder, "receiver"), path_join(folder, "sharer"),
                     path_join(folder, "fuser")};
    assert_ok(c2c_engine_open(&w.engine, &engine, &test_error));
    assert_ok(c2c_model_open(&w.receiver, w.engine, parts[0], &models, &test_error));
    assert_ok(c2c_model_open(&w.sharer, w.engine, parts[1], &models, &test_error));
    assert_ok(c2c_fuser_open(&w.fuser, w.receiver, w.sharer, parts[2], &test_error));
    const c2c_pair pair = {.sharer = w.sharer, .fuser = w.fuser};
    assert_ok(c2c_session_open(&w.session, w.receiver, &pair, 1, NULL, &test_error));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
    return w;
}

static void close_world(world *w) {
    c2c_session_close(w->session);
    c2c_fuser_close(w->fuser);
    c2c_model_close(w->sharer);
    c2c_model_close(w->receiver);
    c2c_engine_close(w->engine);
}

/* The logits of the last token of a prompt that is fused but for this token. */
static void run_prompt(const world *w, float *logits) {
    int32_t ids[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++)
        ids[i] = (i * 7919 + 13) % VOCABULARY;
    const c2c_plan plan = {.ids = ids, .token_count = TOKENS};
    assert_ok(session_prefill_logits(w->session, &plan, logits, &test_error));
}

static void test_narrow_matrices_have_none(void **state) {
    (void)state;
    static float with[VOCABULARY], without[VOCABULARY];
    char *root = test_folder_make(), *folder = path_join(root, "pair");
    assert_ok(random_pair_write(folder, &narrow, &sharer, 32, false, TOKENIZER, &test_error));
    world w = open_world(folder, NULL);
    const layer_weights *layer = &w.receiver->layers[0];
    bool panels = layer->q.panels != NULL;
    assert_null(layer->k.panels);
    assert_null(layer->v.panels);
    run_prompt(&w, with);
    close_world(&w);
    if (!panels) {
        print_message("SKIP: this processor's kernels have no panels\n");
        test_folder_remove(root);
        free(folder);
        skip();
    }
    world plain = open_world(folder, "avx512-vnni");
    assert_null(plain.receiver->layers[0].q.panels);
    run_prompt(&plain, without);
    close_world(&plain);
    /* Other sums of the same products; an activation that is rounded to bf16 the other way for it
     * moves a logit, which is below 1 here, by 2^-9 of one of its terms. */
    for (int i = 0; i < VOCABULARY; i++)
        if (!(fabsf(with[i] - without[i]) <= 0x1p-9f))
            fail_msg("logit %d is %.6f with panels, %.6f without", i, (double)with[i],
                     (double)without[i]);
    test_folder_remove(root);
    free(folder);
}

/* On a backend that runs ops later: what a fuser made before it was refused is released, and no op
 * that waits may name it. */
static void test_a_refused_fuser_leaves_no_op(void **state) {
    (void)state;
    backend *queue;
    c2c_engine *engine;
    c2c_model *receiver, *other;
    c2c_fuser *fuser;
    assert_ok(backend_queue_open(&queue, 1, &test_error));
    assert_ok(engine_adopt(&engine, queue, &test_error));
    assert_ok(c2c_model_open(&receiver, engine, "share/demo/receiver", NULL, &test_error));
    assert_ok(c2c_model_open(&other, engine, "share/demo/sharer", NULL, &test_error));
    /* the two models change places */
    assert_fails(c2c_fuser_open(&fuser, other, receiver, "share/demo/fuser", &test_error),
                 C2C_STATUS_MISMATCH, "layer");
    backend_sync(queue);
    c2c_model_close(other);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_narrow_matrices_have_none),
                                       cmocka_unit_test(test_a_refused_fuser_leaves_no_op)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
