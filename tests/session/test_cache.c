/* test_cache.c - sessions that keep keys and values as bf16: rows are rounded once and nothing else
 * changes; what must not change the numbers does not change a bit of them here, either. */
#include "session/session.h"
#include "support/fused_pair.h"
#include "support/test.h"

#define PROMPT  75 /* more than one block of fused rows */
#define CONTEXT 128
#define ANSWER  12

static c2c_session *open_session(const fused_pair *w, size_t sharers, c2c_session_options options) {
    const c2c_pair pairs[2] = {{w->sharer, w->fuser}, {w->sharer, w->fuser}};
    c2c_session *session;
    options.context = CONTEXT;
    assert_ok(c2c_session_open(&session, w->receiver, pairs, sharers, &options, &test_error));
    return session;
}

/* What a run gives: the last section's logits, the rows of every layer as f32, the answer. */
typedef struct run {
    float logits[8][576];
    float *rows; /* [layers][2][receiver.used][features] */
    size_t row_count;
    int32_t ids[ANSWER];
    int64_t count;
} run;

static bool keep_id(void *user, int32_t id, const char *text, size_t length) {
    (void)text, (void)length;
    run *r = user;
    r->ids[r->count++] = id;
    return true;
}

/* One layer's keys, then its values, as f32. */
static void read_layer(const c2c_session *session, int layer, float *to, size_t count) {
    char *bytes = calloc(2 * count, sizeof(float));
    assert_non_null(bytes);
    size_t size = dtype_size(session->receiver.cache.type);
    session_cache_read(session, layer, bytes, bytes + count * size);
    for (size_t i = 0; i < 2 * count; i++)
        if (size == sizeof(float))
            to[i] = ((float *)bytes)[i];
        else
            to[i] = f32_from_bf16(((uint16_t *)bytes)[i]);
    free(bytes);
}

static run run_session(c2c_session *session, const c2c_plan *plan) {
    run r = {.count = 0};
    assert_int_equal(session->receiver.model->config.vocabulary, 576);
    assert_true(plan->sections[plan->section_count - 1].length <= 8);
    assert_ok(session_prefill_logits(session, plan, r.logits[0], &test_error));
    const kv_cache *cache = &session->receiver.cache;
    size_t count = (size_t)(session->receiver.used * cache->features);
    r.row_count = 2 * count * (size_t)cache->layers;
    r.rows = malloc(r.row_count * sizeof *r.rows);
    assert_non_null(r.rows);
    for (int i = 0; i < cache->layers; i++)
        read_layer(session, i, r.rows + 2 * (size_t)i * count, count);
    assert_ok(c2c_session_generate(session, ANSWER, keep_id, &r, NULL, &test_error));
    return r;
}

static void assert_same_runs(const run *a, const run *b) {
    assert_memory_equal(a->logits, b->logits, sizeof a->logits);
    assert_int_equal(a->row_count, b->row_count);
    assert_memory_equal(a->rows, b->rows, a->row_count * sizeof *a->rows);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ids, b->ids, sizeof a->ids);
}

/* Fused sections of more and of fewer rows than a block, and one that is not fused. */
static const c2c_section usual[] = {{66, 1}, {1, -1}, {5, 1}, {3, -1}};
static const c2c_section both[] = {{66, 3}, {1, -1}, {5, 3}, {3, -1}};
static const c2c_section unfused[] = {{72, -1}, {3, -1}};

static c2c_plan plan_of(int32_t ids[PROMPT], const c2c_section *sections, size_t count) {
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 97 + 13) % 550;
    return (
        c2c_plan){.ids = ids, .token_count = PROMPT, .sections = sections, .section_count = count};
}

/* ---- Bits -------------------------------------------------------------------------------------
 */

/* How a session is opened whose bits must not depend on chunks, threads and backend. */
typedef struct way {
    const char *name;
    size_t sharers;
    const c2c_section *sections;
    size_t section_count;
    c2c_session_options options;
} way;

static const way ways[] = {
    {"receiver alone", 0, unfused, 2, {0}},
    {"one sharer", 1, usual, 4, {0}},
    {"two in turn", 2, both, 4, {0}},
    {"two in parallel", 2, both, 4, {.fusion_mode = C2C_FUSION_PARALLEL}},
    {"fused response", 1, usual, 4, {.include_response = true}},
    {"clean rows kept", 1, usual, 4, {.keep_clean = true}},
};

static run run_way(const way *way, backend *b, int chunk) {
    fused_pair w = fused_pair_exact(b);
    int32_t ids[PROMPT];
    c2c_plan plan = plan_of(ids, way->sections, way->section_count);
    c2c_session_options options = way->options;
    options.chunk = chunk;
    options.cache = C2C_CACHE_BF16;
    c2c_session *session = open_session(&w, way->sharers, options);
    run r = run_session(session, &plan);
    /* What another run left in memory must not show. */
    c2c_session_reset(session);
    run again = run_session(session, &plan);
    assert_same_runs(&r, &again);
    free(again.rows);
    c2c_session_close(session);
    fused_pair_close(&w);
    return r;
}

static void test_chunks_threads_and_backends_give_the_same_bits(void **state) {
    (void)state;
    static const struct {
        int threads, chunk;
        bool queue;
    } rows[] = {{1, 64, false}, {3, 7, false}, {2, 5, true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        run expected = {.count = 0};
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            backend *b = backend_for_test(rows[j].threads, rows[j].queue);
            run got = run_way(&ways[i], b, rows[j].chunk);
            if (j == 0) {
                expected = got;
                continue;
            }
            assert_same_runs(&expected, &got);
            free(got.rows);
        }
        free(expected.rows);
    }
}

/* Positions without a row, as two tokenizers make them. */
static void test_padding(void **state) {
    (void)state;
    fused_pair w = fused_pair_on_cpu(1);
    const c2c_section sections[] = {{12, -1}, {PROMPT - 15, 1}, {3, -1}};
    int32_t ids[PROMPT], sharer_ids[PROMPT];
    c2c_plan plan = plan_of(ids, sections, 3);
    memcpy(sharer_ids, ids, sizeof ids);
    ids[10] = ids[11] = sharer_ids[4] = C2C_PADDING;
    plan.sharer_ids = (const int32_t *[]){sharer_ids};
    run runs[2];
    for (int i = 0; i < 2; i++) {
        c2c_session *session =
            open_session(&w, 1,
                         (c2c_session_options){.chunk = i ? 5 : 64, .cache = C2C_CACHE_BF16});
        runs[i] = run_session(session, &plan);
        assert_int_equal(session->receiver.used, PROMPT - 2 + runs[i].count - 1);
        c2c_session_close(session);
    }
    assert_same_runs(&runs[0], &runs[1]);
    free(runs[0].rows);
    free(runs[1].rows);
    fused_pair_close(&w);
}

/* ---- Numbers ----------------------------------------------------------------------------------
 */

static run run_type(const fused_pair *w, const way *way, c2c_cache_type type) {
    int32_t ids[PROMPT];
    c2c_plan plan = plan_of(ids, way->sections, way->section_count);
    c2c_session_options options = way->options;
    options.cache = type;
    c2c_session *session = open_session(w, way->sharers, options);
    run r = run_session(session, &plan);
    c2c_session_close(session);
    return r;
}

/* The first layer sees no cache before it writes its rows: they are those of f32, rounded once. */
static void test_rows_are_rounded_once(void **state) {
    (void)state;
    fused_pair w = fused_pair_on_cpu(1);
    run exact = run_type(&w, &ways[0], C2C_CACHE_F32),
        kept = run_type(&w, &ways[0], C2C_CACHE_BF16);
    size_t first_layer = exact.row_count / (size_t)w.receiver->config.layers;
    for (size_t i = 0; i < first_layer; i++)
        assert_true(kept.rows[i] == f32_from_bf16(bf16_from_f32(exact.rows[i])));
    free(exact.rows);
    free(kept.rows);
    fused_pair_close(&w);
}

/* Each kept number is off by at most 2^-9 of itself. Through four layers, two fusions and the last
 * norm, which brings what comes out to size 1, this grows: 2^-5 of the largest logit is 16 times as
 * much. */
static void test_error_is_that_of_rounding(void **state) {
    (void)state;
    fused_pair w = fused_pair_on_cpu(1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        run exact = run_type(&w, &ways[i], C2C_CACHE_F32);
        run kept = run_type(&w, &ways[i], C2C_CACHE_BF16);
        float largest = 0, difference = 0;
        for (int row = 0; row < 3; row++)
            for (int v = 0; v < 576; v++) {
                largest = fmaxf(largest, fabsf(exact.logits[row][v]));
                difference = fmaxf(difference, fabsf(exact.logits[row][v] - kept.logits[row][v]));
            }
        print_message("%s: largest logit %.3f, largest difference %.5f\n", ways[i].name,
                      (double)largest, (double)difference);
        assert_true(difference > 0);
        assert_true(difference <= largest * 0x1p-5f);
        free(exact.rows);
        free(kept.rows);
    }
    fused_pair_close(&w);
}

/* ---- Choosing ---------------------------------------------------------------------------------
 */

static dtype type_of(const c2c_model *model, c2c_cache_type asked) {
    c2c_session *session;
    const c2c_session_options options = {.context = 16, .cache = asked};
    assert_ok(c2c_session_open(&session, model, NULL, 0, &options, &test_error));
    dtype type = session->receiver.cache.type;
    int64_t element = batch_row_bytes(session->batch) / (4 * 2 * 2 * 32);
    assert_int_equal(element, dtype_size(type));
    c2c_session_close(session);
    return type;
}

static void test_auto_follows_what_is_computed_in(void **state) {
    (void)state;
    fused_pair w = fused_pair_on_cpu(1);
    c2c_model *bf16;
    assert_ok(c2c_model_open(&bf16, w.engine, "tests/golden/data/models/tiny-qwen3",
                             &(c2c_model_options){.compute = C2C_COMPUTE_BF16}, &test_error));
    assert_int_equal(type_of(w.receiver, C2C_CACHE_AUTO), DTYPE_F32);
    assert_int_equal(type_of(w.receiver, C2C_CACHE_BF16), DTYPE_BF16);
    assert_int_equal(type_of(bf16, C2C_CACHE_AUTO), DTYPE_BF16);
    assert_int_equal(type_of(bf16, C2C_CACHE_F32), DTYPE_F32);
    c2c_model_info info;
    c2c_model_describe(bf16, &info);
    assert_int_equal(info.cache_row_bytes, 4 * 2 * 2 * 32 * 2);
    c2c_session *session;
    assert_fails(c2c_session_open(&session, bf16, NULL, 0,
                                  &(c2c_session_options){.cache = (c2c_cache_type)3}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "cache");
    c2c_model_close(bf16);
    fused_pair_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_threads_and_backends_give_the_same_bits),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_rows_are_rounded_once),
        cmocka_unit_test(test_error_is_that_of_rounding),
        cmocka_unit_test(test_auto_follows_what_is_computed_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
