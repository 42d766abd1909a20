/* Answers that are written together: tokens, texts, logits and caches are those of each session
 * alone, bit for bit, whoever else takes part, joins late or ends early. */
#include "session/session.h"
#include "support/fused_pair.h"
#include "support/test.h"

#define CONTEXT    96
#define SESSIONS   5
#define MOST       24
#define VOCABULARY 550 /* fits both models */

typedef struct world {
    fused_pair pair;
    c2c_fuser *pure;
} world;

static world open_world(bool queue, c2c_compute compute) {
    const c2c_recipe replacing = {.text =
                                      "{\"projector\": {\"type\": \"AblationProjector\", "
                                      "\"params\": {\"hidden_dim\": 32, \"intermediate_dim\": "
                                      "24, \"ablation_level\": 3}}, \"mapping\": \"k_nearest\"}",
                                  .seed = 4};
    world w = {.pair = fused_pair_open(backend_for_test(2, queue), compute, FUSED_PAIR_FUSER)};
    assert_ok(c2c_fuser_new(&w.pure, w.pair.receiver, w.pair.sharer, &replacing, &test_error));
    assert_true(w.pure->replaces);
    return w;
}

static void close_world(world *w) {
    c2c_fuser_close(w->pure);
    fused_pair_close(&w->pair);
}

/* ---- Kinds of systems, and what is asked --------------------------------------------------- */

typedef struct kind {
    const char *name;
    size_t sharers;
    bool pure, own_ids;
    c2c_session_options options;
} kind;

static const kind kinds[] = {
    {"alone", 0, false, false, {.context = CONTEXT}},
    {"fused", 1, false, false, {.context = CONTEXT, .keep_clean = true}},
    {"aligned", 1, false, true, {.context = CONTEXT, .chunk = 3}},
    {"pure", 1, true, false, {.context = CONTEXT, .chunk = 7}},
    {"in turn", 2, false, false, {.context = CONTEXT, .keep_clean = true, .chunk = 11}},
    {"parallel", 2, false, false, {.context = CONTEXT, .fusion_mode = C2C_FUSION_PARALLEL}},
    {"response", 2, false, false, {.context = CONTEXT, .include_response = true}},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static size_t pairs_of(c2c_pair pairs[2], const world *w, const kind *k) {
    for (int i = 0; i < 2; i++)
        pairs[i] = (c2c_pair){w->pair.sharer, k->pure ? w->pure : w->pair.fuser};
    return k->sharers;
}

/* One conversation's turn: a prompt and how it is answered. */
typedef struct turn {
    int32_t ids[CONTEXT], sharer_ids[CONTEXT];
    const int32_t *rows[2];
    int64_t count, most;
    c2c_section sections[3];
    c2c_sampling sampling;
} turn;

/* Every session another prompt and length; the second turn goes on with the first. Padding stands
 * where an aligned chat has it, also at the end, so that an answer opens a new range. */
static void make_turn(turn *t, const kind *k, int session, int number) {
    *t = (turn){.count = 9 + 7 * session + 23 * number, .most = 1 + (session * 5 + number) % MOST};
    for (int64_t i = 0; i < t->count; i++) {
        t->ids[i] = (int32_t)((i * 97 + (i < 6 ? 0 : session * 31) + 13) % VOCABULARY);
        t->sharer_ids[i] = (int32_t)((i * 89 + 5) % VOCABULARY);
    }
    if (k->own_ids)
        t->ids[5] = t->sharer_ids[t->count - 3] = C2C_PADDING;
    t->rows[0] = t->rows[1] = t->sharer_ids;
    t->sections[0] = (c2c_section){4, k->sharers > 0};
    t->sections[1] = (c2c_section){3, k->own_ids ? -1 : (1 << k->sharers) - 1};
    t->sections[2] = (c2c_section){t->count - 7, -1};
    if (session % 2)
        t->sampling = (c2c_sampling){.temperature = 0.8f,
                                     .top_k = 40,
                                     .frequency_penalty = 0.3f,
                                     .seed = (uint64_t)session};
    if (session == 2)
        t->sampling = (c2c_sampling){.repetition_penalty = 1.3f};
}

static c2c_plan plan_of(const turn *t, const kind *k) {
    return (c2c_plan){.ids = t->ids,
                      .sharer_ids = k->own_ids ? t->rows : NULL,
                      .token_count = t->count,
                      .sections = t->sections,
                      .section_count = 3};
}

/* ---- What comes out ------------------------------------------------------------------------ */

typedef struct reply {
    int32_t ids[MOST];
    int64_t count;
    char text[4096];
    size_t length;
    c2c_generation done;
    char *cache; /* keys and values of the last layer */
    size_t cache_bytes;
    float first[1024]; /* logits of the first token */
} reply;

static bool keep_token(void *user, int32_t id, const char *text, size_t length) {
    reply *r = user;
    assert_true(r->count < MOST && r->length + length < sizeof r->text);
    r->ids[r->count++] = id;
    memcpy(r->text + r->length, text, length);
    r->length += length;
    return true;
}

static void prefill(c2c_session *session, const turn *t, const kind *k, reply *r) {
    const c2c_plan plan = plan_of(t, k);
    *r = (reply){0};
    assert_ok(c2c_session_set_sampling(session, &t->sampling, &test_error));
    assert_ok(c2c_session_extend(session, &plan, NULL, &test_error));
    assert_ok(session_logits(session, r->first, &test_error));
}

static void keep_cache(const c2c_session *session, reply *r) {
    const session_lane *lane = &session->receiver;
    size_t bytes = (size_t)(lane->used * lane->cache.features) * dtype_size(lane->cache.type);
    r->cache_bytes = 2 * bytes;
    r->cache = malloc(r->cache_bytes);
    assert_non_null(r->cache);
    session_cache_read(session, lane->model->config.layers - 1, r->cache, r->cache + bytes);
}

static void assert_same(const reply *a, const reply *b, const char *name, int session) {
    if (a->count != b->count || memcmp(a->ids, b->ids, sizeof a->ids) != 0)
        fail_msg("%s: session %d: other tokens than alone", name, session);
    assert_int_equal(a->done.new_tokens, b->done.new_tokens);
    assert_int_equal(a->done.finish, b->done.finish);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->text, b->text, a->length);
    assert_memory_equal(a->first, b->first, sizeof a->first);
    assert_int_equal(a->cache_bytes, b->cache_bytes);
    if (memcmp(a->cache, b->cache, a->cache_bytes) != 0)
        fail_msg("%s: session %d: other rows than alone", name, session);
}

/* Two turns of every conversation, each on a session of its own. */
static void answer_alone(reply replies[2][SESSIONS], const world *w, const kind *k) {
    c2c_pair pairs[2];
    size_t count = pairs_of(pairs, w, k);
    for (int s = 0; s < SESSIONS; s++) {
        c2c_session *session;
        assert_ok(
            c2c_session_open(&session, w->pair.receiver, pairs, count, &k->options, &test_error));
        for (int n = 0; n < 2; n++) {
            turn t;
            reply *r = &replies[n][s];
            make_turn(&t, k, s, n);
            prefill(session, &t, k, r);
            assert_ok(c2c_session_generate(session, t.most, keep_token, r, &r->done, &test_error));
            keep_cache(session, r);
        }
        c2c_session_close(session);
    }
}

/* The same in one batch. A session joins whenever it may: the second turn of one stands beside the
 * first of another, and prefills happen between steps. */
static void answer_together(reply replies[2][SESSIONS], const world *w, const kind *k) {
    c2c_pair pairs[2];
    c2c_batch *batch;
    size_t count = pairs_of(pairs, w, k), writing = 0;
    int next[SESSIONS] = {0}, left = 2 * SESSIONS;
    bool asked[SESSIONS] = {false};
    assert_ok(
        c2c_batch_open(&batch, w->pair.receiver, pairs, count, SESSIONS, &k->options, &test_error));
    for (int step = 0; left > 0; step++) {
        for (int s = 0; s < SESSIONS; s++) {
            c2c_session *session = c2c_batch_session(batch, (size_t)s);
            turn t;
            /* Later sessions join later; no two in the same step. */
            if (asked[s] || next[s] == 2 || step % SESSIONS != s)
                continue;
            make_turn(&t, k, s, next[s]);
            reply *r = &replies[next[s]][s];
            prefill(session, &t, k, r);
            assert_ok(c2c_session_begin(session, t.most, keep_token, r, &test_error));
            assert_true(c2c_session_is_writing(session, NULL));
            asked[s] = true;
        }
        assert_ok(c2c_batch_step(batch, &writing, &test_error));
        for (int s = 0; s < SESSIONS; s++) {
            c2c_session *session = c2c_batch_session(batch, (size_t)s);
            if (!asked[s] || c2c_session_is_writing(session, &replies[next[s]][s].done))
                continue;
            keep_cache(session, &replies[next[s]++][s]);
            asked[s] = false;
            left--;
        }
    }
    assert_int_equal(writing, 0);
    c2c_batch_close(batch);
}

static void check_world(world w, bool all) {
    static reply alone[2][SESSIONS], together[2][SESSIONS];
    for (size_t k = 0; k < KINDS; k++) {
        if (!all && kinds[k].sharers == 1)
            continue;
        answer_alone(alone, &w, &kinds[k]);
        answer_together(together, &w, &kinds[k]);
        for (int i = 0; i < 2 * SESSIONS; i++) {
            reply *a = &alone[i / SESSIONS][i % SESSIONS],
                  *b = &together[i / SESSIONS][i % SESSIONS];
            assert_same(a, b, kinds[k].name, i % SESSIONS);
            free(a->cache);
            free(b->cache);
        }
    }
    close_world(&w);
}

static void test_f32(void **state) {
    (void)state;
    check_world(open_world(false, C2C_COMPUTE_F32), true);
}

static void test_bf16(void **state) {
    (void)state;
    check_world(open_world(false, C2C_COMPUTE_BF16), true);
}

/* On a backend that runs late and hides its memory. */
static void test_queue(void **state) {
    (void)state;
    check_world(open_world(true, C2C_COMPUTE_F32), false);
}

/* ---- Giving up, and what is refused --------------------------------------------------------- */

static bool stop_at_once(void *user, int32_t id, const char *text, size_t length) {
    (void)id, (void)text, (void)length;
    ++*(int *)user;
    return false;
}

static void test_answers_end_one_by_one(void **state) {
    (void)state;
    world w = open_world(false, C2C_COMPUTE_F32);
    c2c_batch *batch;
    c2c_session *s[3];
    turn t;
    reply r = {0};
    int tokens = 0;
    size_t writing;
    c2c_generation done;
    assert_ok(c2c_batch_open(&batch, w.pair.receiver, NULL, 0, 3, &kinds[0].options, &test_error));
    make_turn(&t, &kinds[0], 0, 0);
    for (int i = 0; i < 3; i++) {
        s[i] = c2c_batch_session(batch, (size_t)i);
        prefill(s[i], &t, &kinds[0], &r);
    }
    assert_null(c2c_batch_session(batch, 3));
    assert_ok(c2c_session_begin(s[0], 9, stop_at_once, &tokens, &test_error));
    assert_ok(c2c_session_begin(s[1], 9, NULL, NULL, &test_error));
    assert_ok(c2c_session_begin(s[2], 0, NULL, NULL, &test_error));
    assert_false(c2c_session_is_writing(s[2], &done));
    assert_int_equal(done.new_tokens, 0);
    assert_ok(c2c_batch_step(batch, &writing, &test_error));
    assert_int_equal(writing, 1);
    assert_int_equal(tokens, 1);
    assert_false(c2c_session_is_writing(s[0], &done));
    assert_int_equal(done.finish, C2C_FINISH_CALLBACK);
    c2c_session_close(s[1]); /* its batch goes on with it */
    assert_true(c2c_session_is_writing(s[1], NULL));
    c2c_session_reset(s[1]);
    assert_false(c2c_session_is_writing(s[1], NULL));
    assert_ok(c2c_batch_step(batch, &writing, &test_error));
    assert_int_equal(writing, 0);
    /* An answer is not continued. */
    assert_fails(c2c_session_begin(s[0], 9, NULL, NULL, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "there is no prompt to answer");
    /* One that is given up with its batch leaks nothing. */
    prefill(s[1], &t, &kinds[0], &r);
    assert_ok(c2c_session_begin(s[1], 9, NULL, NULL, &test_error));
    assert_ok(c2c_batch_step(batch, NULL, &test_error));
    c2c_batch_close(batch);
    assert_fails(c2c_batch_open(&batch, w.pair.receiver, NULL, 0, 0, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "a batch of 0 sessions", "1 to 1024");
    assert_null(batch);
    assert_fails(c2c_batch_open(&batch, w.pair.receiver, NULL, 0, C2C_MAX_BATCH + 1, NULL,
                                &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "a batch of 1025 sessions");
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_queue),
                                       cmocka_unit_test(test_answers_end_one_by_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
