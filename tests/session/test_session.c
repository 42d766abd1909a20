/* Sessions on the tiny models: what must not change the numbers does not change a bit of them, and
 * what cannot be run is refused. That the numbers are right, the golden tests show. */
#include "support/fused_pair.h"
#include "support/test.h"

#include "session/session.h"

#define PROMPT 41

static void fill_prompt(int32_t ids[PROMPT]) {
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 97 + 13) % 550;
}

static c2c_session *open_session(const fused_pair *p, size_t pair_count, int chunk) {
    const c2c_pair pairs[1] = {{.sharer = p->sharer, .fuser = p->fuser}};
    const c2c_session_options options = {.context = 128, .chunk = chunk};
    c2c_session *session;
    assert_ok(c2c_session_open(&session, p->receiver, pairs, pair_count, &options, &test_error));
    return session;
}

/* Everything a run gives: logits of the last section, the last layer's cache, greedy ids. */
typedef struct run {
    float *logits, *keys, *values;
    size_t logits_bytes, cache_bytes;
    int32_t ids[24];
    int64_t count;
} run;

static bool keep_id(void *user, int32_t id, const char *text, size_t length) {
    run *r = user;
    assert_int_equal(text[length], 0);
    r->ids[r->count++] = id;
    return true;
}

static run run_plan(c2c_session *session, const c2c_section *sections, size_t section_count) {
    int32_t ids[PROMPT];
    fill_prompt(ids);
    const c2c_plan plan = {.ids = ids,
                           .token_count = PROMPT,
                           .sections = sections,
                           .section_count = section_count};
    const model_config *config = &session->receiver.model->config;
    int64_t last = section_count ? sections[section_count - 1].length : 1;
    run r = {.logits_bytes = (size_t)(last * config->vocabulary) * sizeof(float),
             .cache_bytes = (size_t)(PROMPT * config->kv_heads * config->head_dim) * sizeof(float)};
    r.logits = malloc(r.logits_bytes);
    r.keys = malloc(r.cache_bytes);
    r.values = malloc(r.cache_bytes);
    assert_true(r.logits && r.keys && r.values);
    assert_ok(session_prefill_logits(session, &plan, r.logits, &test_error));
    session_cache_read(session, config->layers - 1, r.keys, r.values);
    c2c_generation done;
    assert_ok(c2c_session_generate(session, 24, keep_id, &r, &done, &test_error));
    assert_int_equal(done.new_tokens, r.count);
    return r;
}

static void free_run(run *r) {
    free(r->logits);
    free(r->keys);
    free(r->values);
}

static void assert_same_bits(const run *a, const run *b) {
    assert_int_equal(a->logits_bytes, b->logits_bytes);
    assert_memory_equal(a->logits, b->logits, a->logits_bytes);
    assert_memory_equal(a->keys, b->keys, a->cache_bytes);
    assert_memory_equal(a->values, b->values, a->cache_bytes);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ids, b->ids, sizeof a->ids);
}

static const c2c_section many[] = {{10, 1}, {3, -1}, {20, 1}, {8, -1}};

static void test_chunks_threads_and_backends_give_the_same_bits(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session = open_session(&p, 1, 64);
    run expected = run_plan(session, many, 4);
    c2c_session_close(session);
    fused_pair_close(&p);
    static const struct {
        int threads, chunk;
        bool queue;
    } rows[] = {{1, 1, false}, {1, 7, false}, {3, 64, false}, {4, 5, false}, {2, 7, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        p = fused_pair_exact(backend_for_test(rows[i].threads, rows[i].queue));
        session = open_session(&p, 1, rows[i].chunk);
        run got = run_plan(session, many, 4);
        assert_same_bits(&expected, &got);
        free_run(&got);
        c2c_session_close(session);
        fused_pair_close(&p);
    }
    free_run(&expected);
}

static void test_a_reset_session_is_a_new_one(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session = open_session(&p, 1, 16);
    run first = run_plan(session, NULL, 0);
    c2c_session_reset(session);
    run again = run_plan(session, NULL, 0);
    assert_same_bits(&first, &again);
    free_run(&first);
    free_run(&again);
    c2c_session_close(session);
    fused_pair_close(&p);
}

/* Mask 0 and -1 mean no fusion, and the last section is never fused, whatever its mask. */
static void test_masks_that_fuse_nothing(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *alone = open_session(&p, 0, 16);
    const c2c_section plain[] = {{40, -1}, {1, -1}};
    run expected = run_plan(alone, plain, 2);
    c2c_session *session = open_session(&p, 1, 16);
    const c2c_section plans[][2] = {{{40, 0}, {1, 1}}, {{40, -1}, {1, 0}}, {{40, -7}, {1, -1}}};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        c2c_session_reset(session);
        run got = run_plan(session, plans[i], 2);
        assert_same_bits(&expected, &got);
        free_run(&got);
    }
    c2c_session_reset(session);
    run fused = run_plan(session, NULL, 0);
    assert_memory_not_equal(expected.logits, fused.logits, expected.logits_bytes);
    free_run(&fused);
    free_run(&expected);
    c2c_session_close(session);
    c2c_session_close(alone);
    fused_pair_close(&p);
}

/* With every gate closed the fused rows are the receiver's own. */
static void test_closed_gates_leave_the_receiver_alone(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *alone = open_session(&p, 0, 16);
    run expected = run_plan(alone, NULL, 0);
    fuser_stacks_free(p.fuser);
    for (int i = 0; i < p.fuser->projector_count; i++)
        for (int which = 0; which < BRANCH_COUNT; which++)
            p.fuser->projectors[i].gate_logits[which] = 0;
    assert_ok(fuser_stacks_build(p.fuser, &test_error));
    c2c_session *session = open_session(&p, 1, 16);
    run got = run_plan(session, NULL, 0);
    assert_same_bits(&expected, &got);
    free_run(&expected);
    free_run(&got);
    c2c_session_close(session);
    c2c_session_close(alone);
    fused_pair_close(&p);
}

static void test_plans_that_cannot_be_run(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session = open_session(&p, 1, 16);
    int32_t ids[200] = {0};
    c2c_plan plan = {.ids = ids, .token_count = 10};
    const c2c_section short_one[] = {{4, 1}, {5, -1}}, long_one[] = {{4, 1}, {7, -1}},
                      negative[] = {{-1, 1}, {11, -1}}, stranger[] = {{9, 2}, {1, -1}};
    const struct {
        const c2c_section *sections;
        const char *part;
    } rows[] = {{short_one, "hold 9 tokens, the prompt 10"},
                {long_one, "section 1: length 7 does not fit; 6 of 10"},
                {negative, "section 0: length -1"},
                {stranger, "section 0: mask 2"}};
    plan.section_count = 2;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plan.sections = rows[i].sections;
        assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                     rows[i].part);
    }
    plan.sections = NULL;
    ids[3] = 576;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "prompt token 3", "id 576", "vocabulary of 576", "tiny-qwen3");
    ids[3] = -2;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "id -2");
    ids[3] = C2C_PADDING;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "positions 0 to 8", "mask 1", "padding");
    ids[3] = 0;
    ids[9] = C2C_PADDING;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "last section", "padding");
    ids[9] = 0;
    ids[3] = 0;
    plan.token_count = 0;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "no tokens");
    plan.token_count = 129;
    assert_fails(c2c_session_prefill(session, &plan, &test_error), C2C_STATUS_CONTEXT_FULL,
                 "129 tokens", "holds 128");
    assert_fails(c2c_session_generate(session, 1, NULL, NULL, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "c2c_session_prefill");
    c2c_session_close(session);
    fused_pair_close(&p);
}

static void test_generation_ends_with_the_context(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    const c2c_session_options options = {.context = PROMPT + 2};
    c2c_session *session;
    assert_ok(c2c_session_open(&session, p.receiver, NULL, 0, &options, &test_error));
    int32_t ids[PROMPT];
    fill_prompt(ids);
    const c2c_plan plan = {.ids = ids, .token_count = PROMPT};
    assert_ok(c2c_session_prefill(session, &plan, &test_error));
    c2c_generation done;
    assert_ok(c2c_session_generate(session, 100, NULL, NULL, &done, &test_error));
    /* Two rows are left for two of the three tokens; the third is written, not run. */
    assert_true(done.finish == C2C_FINISH_STOP || done.new_tokens == 3);
    c2c_session_close(session);
    fused_pair_close(&p);
}

static void test_contexts_that_do_not_fit(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session;
    c2c_session_options options = {.context = 4097};
    assert_fails(c2c_session_open(&session, p.receiver, NULL, 0, &options, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "4097", "at most 4096", "tiny-qwen3");
    assert_null(session);
    p.receiver->config.context = INT64_C(1) << 40;
    options.context = INT64_C(1) << 40;
    assert_fails(c2c_session_open(&session, p.receiver, NULL, 0, &options, &test_error),
                 C2C_STATUS_OUT_OF_MEMORY, "GiB", "tokens fit");
    c2c_pair pairs[C2C_MAX_SHARERS + 1];
    for (int i = 0; i <= C2C_MAX_SHARERS; i++)
        pairs[i] = (c2c_pair){p.sharer, p.fuser};
    assert_fails(c2c_session_open(&session, p.receiver, pairs, C2C_MAX_SHARERS + 1, NULL,
                                  &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "32 sharers", "at most 31");
    assert_fails(c2c_session_open(&session, p.sharer, pairs, 1, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "other models");
    fused_pair_close(&p);
}

/* ---- Several sharers, padding, the fused response ----------------------------------------- */

static c2c_session *open_with(const fused_pair *p, size_t pair_count,
                              const c2c_session_options *options) {
    const c2c_pair pairs[2] = {{p->sharer, p->fuser}, {p->sharer, p->fuser}};
    c2c_session *session;
    assert_ok(c2c_session_open(&session, p->receiver, pairs, pair_count, options, &test_error));
    return session;
}

/* The same sharer twice: in parallel its difference counts twice, in sequence the second reads what
 * the first left, and one selected sharer is one sharer in both modes. */
static void test_two_sharers(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *one = open_session(&p, 1, 16);
    const c2c_section first[] = {{40, 1}, {1, -1}}, both[] = {{40, 3}, {1, -1}};
    run single = run_plan(one, first, 2), results[2];
    c2c_session_reset(one);
    const c2c_section none[] = {{40, -1}, {1, -1}};
    run clean = run_plan(one, none, 2);
    for (int mode = 0; mode < 2; mode++) {
        const c2c_session_options options = {.context = 100,
                                             .chunk = 16,
                                             .fusion_mode = (c2c_fusion_mode)mode};
        c2c_session *two = open_with(&p, 2, &options);
        run got = run_plan(two, first, 2);
        assert_same_bits(&single, &got);
        free_run(&got);
        c2c_session_reset(two);
        results[mode] = run_plan(two, both, 2);
        c2c_session_close(two);
    }
    assert_memory_not_equal(results[0].keys, results[1].keys, single.cache_bytes);
    /* Row 0 of the cache: K0 + 2 (K' - K0), in f32. */
    for (int i = 0; i < 64; i++) {
        float expected = clean.keys[i] + 2 * (single.keys[i] - clean.keys[i]);
        assert_true(fabsf(results[1].keys[i] - expected) <= 1e-5f * fmaxf(1, fabsf(expected)));
    }
    free_run(&single);
    free_run(&clean);
    free_run(&results[0]);
    free_run(&results[1]);
    c2c_session_close(one);
    fused_pair_close(&p);
}

/* Padding takes positions, not rows: one at the end of a section moves later tokens by one, and
 * what a model does not have it does not see. */
static void test_padding_is_a_position_without_a_row(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    int32_t ids[PROMPT + 2], sharer_ids[PROMPT + 2];
    fill_prompt(ids);
    memmove(ids + 12, ids + 10, (PROMPT - 10) * sizeof *ids);
    memcpy(sharer_ids, ids, sizeof ids);
    ids[10] = ids[11] = C2C_PADDING;
    sharer_ids[10] = sharer_ids[11] = 5;
    const int32_t *rows[] = {sharer_ids};
    const c2c_section sections[] = {{12, -1}, {30, 1}, {1, -1}};
    const c2c_plan plan = {.ids = ids,
                           .sharer_ids = rows,
                           .token_count = PROMPT + 2,
                           .sections = sections,
                           .section_count = 3};
    float logits[2][576];
    for (int i = 0; i < 2; i++) {
        c2c_session *session = open_session(&p, 1, i ? 5 : 64);
        assert_ok(session_prefill_logits(session, &plan, logits[i], &test_error));
        assert_int_equal(session->receiver.used, PROMPT);
        assert_int_equal(session->receiver.position, PROMPT + 2);
        assert_int_equal(session->receiver.range_count, 2);
        assert_int_equal(session->receiver.ranges[1].position, 12);
        assert_int_equal(session->sharers[0].used, PROMPT + 1); /* the last token is not needed */
        c2c_generation done;
        assert_ok(c2c_session_generate(session, 5, NULL, NULL, &done, &test_error));
        assert_true(done.new_tokens > 0);
        c2c_session_close(session);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    fused_pair_close(&p);
}

/* With all gates closed the fused response is the receiver's own; with open ones it is not; and
 * chunks change nothing. */
static void test_include_response(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    const c2c_section sections[] = {{30, 1}, {11, -1}};
    c2c_session_options options = {.context = 100, .chunk = 4, .include_response = true};
    c2c_session *session = open_with(&p, 1, &options), *plain = open_session(&p, 1, 16);
    run fused = run_plan(session, sections, 2), without = run_plan(plain, sections, 2);
    assert_memory_not_equal(fused.logits, without.logits, fused.logits_bytes);
    c2c_session_close(session);
    options.chunk = 32;
    session = open_with(&p, 1, &options);
    run again = run_plan(session, sections, 2);
    assert_same_bits(&fused, &again);
    c2c_session_close(session);
    c2c_session_close(plain);
    fuser_stacks_free(p.fuser);
    for (int i = 0; i < p.fuser->projector_count; i++)
        p.fuser->projectors[i].gate_logits[0] = p.fuser->projectors[i].gate_logits[1] = -1;
    assert_ok(fuser_stacks_build(p.fuser, &test_error));
    session = open_with(&p, 1, &options);
    plain = open_session(&p, 0, 16);
    const c2c_section unfused[] = {{30, -1}, {11, -1}};
    run closed = run_plan(session, sections, 2), alone = run_plan(plain, unfused, 2);
    assert_same_bits(&closed, &alone);
    free_run(&fused);
    free_run(&without);
    free_run(&again);
    free_run(&closed);
    free_run(&alone);
    c2c_session_close(session);
    c2c_session_close(plain);
    fused_pair_close(&p);
}

/* The same seed gives the same answer on any number of threads; another seed another one. */
static void test_sampling_repeats(void **state) {
    (void)state;
    run runs[3];
    for (int i = 0; i < 3; i++) {
        fused_pair p = fused_pair_on_cpu(i == 1 ? 3 : 1);
        c2c_session *session = open_session(&p, 1, 16);
        const c2c_sampling sampling = {.temperature = 1.5f,
                                       .top_k = 50,
                                       .top_p = 0.95f,
                                       .frequency_penalty = 0.1f,
                                       .seed = i == 2 ? 8 : 7};
        assert_ok(c2c_session_set_sampling(session, &sampling, &test_error));
        runs[i] = run_plan(session, NULL, 0);
        c2c_session_close(session);
        fused_pair_close(&p);
    }
    assert_same_bits(&runs[0], &runs[1]);
    assert_memory_not_equal(runs[0].ids, runs[2].ids, sizeof runs[0].ids);
    for (int i = 0; i < 3; i++)
        free_run(&runs[i]);
}

/* A penalty that forbids what occurred: no id of prompt or answer comes twice. */
static void test_penalties_see_prompt_and_answer(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session = open_session(&p, 1, 16);
    p.receiver->config.eos_count = 0;
    const c2c_sampling sampling = {.presence_penalty = 1e6f};
    assert_ok(c2c_session_set_sampling(session, &sampling, &test_error));
    run r = run_plan(session, NULL, 0);
    int32_t ids[PROMPT];
    fill_prompt(ids);
    assert_int_equal(r.count, 24);
    for (int64_t i = 0; i < r.count; i++) {
        for (int j = 0; j < PROMPT; j++)
            assert_int_not_equal(r.ids[i], ids[j]);
        for (int64_t j = 0; j < i; j++)
            assert_int_not_equal(r.ids[i], r.ids[j]);
    }
    free_run(&r);
    c2c_session_close(session);
    fused_pair_close(&p);
}

static void test_sampling_out_of_range(void **state) {
    (void)state;
    fused_pair p = fused_pair_on_cpu(1);
    c2c_session *session = open_session(&p, 0, 16);
    const struct {
        c2c_sampling sampling;
        const char *part;
    } rows[] = {{{.temperature = -1}, "temperature"},
                {{.temperature = NAN}, "temperature"},
                {{.top_p = 1.5f}, "top_p"},
                {{.min_p = -0.1f}, "min_p"},
                {{.repetition_penalty = -1}, "repetition"},
                {{.top_k = -1}, "top_k"},
                {{.presence_penalty = INFINITY}, "presence"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(c2c_session_set_sampling(session, &rows[i].sampling, &test_error),
                     C2C_STATUS_INVALID_ARGUMENT, rows[i].part);
    c2c_session_close(session);
    fused_pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_threads_and_backends_give_the_same_bits),
        cmocka_unit_test(test_a_reset_session_is_a_new_one),
        cmocka_unit_test(test_masks_that_fuse_nothing),
        cmocka_unit_test(test_closed_gates_leave_the_receiver_alone),
        cmocka_unit_test(test_plans_that_cannot_be_run),
        cmocka_unit_test(test_generation_ends_with_the_context),
        cmocka_unit_test(test_contexts_that_do_not_fit),
        cmocka_unit_test(test_two_sharers),
        cmocka_unit_test(test_padding_is_a_position_without_a_row),
        cmocka_unit_test(test_include_response),
        cmocka_unit_test(test_sampling_repeats),
        cmocka_unit_test(test_penalties_see_prompt_and_answer),
        cmocka_unit_test(test_sampling_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
