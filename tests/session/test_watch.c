/* A prefill that is watched, and one that is stopped; the sharers' memory, which can be given back.
 * Neither changes a bit of any answer. */
#include "support/test.h"

#include "session/session.h"
#include "support/fused_pair.h"

#include <pthread.h>

#define PROMPT 41
#define ANSWER 8

/* ---- A backend that counts ---------------------------------------------------------------- */

#define MOST_BLOCKS 256

/* What a CPU backend has given out. Tests that use it run one after the other. */
static struct {
    backend_class class;
    const backend_class *real;
    struct {
        void *memory;
        size_t bytes;
    } blocks[MOST_BLOCKS];
    size_t live;
    bool full; /* no memory is left */
} counted;

static c2c_status counted_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    if (counted.full)
        return error_memory(error, bytes, "tensors");
    c2c_status status = counted.real->alloc(b, memory, bytes, error);
    size_t i = 0;
    while (i < MOST_BLOCKS && counted.blocks[i].memory)
        i++;
    assert_true(i < MOST_BLOCKS);
    counted.blocks[i].memory = *memory;
    counted.blocks[i].bytes = bytes;
    counted.live += bytes;
    return status;
}

static void counted_release(backend *b, void *memory) {
    for (size_t i = 0; i < MOST_BLOCKS; i++)
        if (counted.blocks[i].memory == memory) {
            counted.live -= counted.blocks[i].bytes;
            counted.blocks[i].memory = NULL;
            break;
        }
    counted.real->release(b, memory);
}

/* ---- A pair of models --------------------------------------------------------------------- */

static fused_pair open_pair(int threads, bool queue, bool counts) {
    backend *b = backend_for_test(threads, queue);
    if (counts) {
        memset(&counted, 0, sizeof counted);
        counted.real = b->class;
        counted.class = *b->class;
        counted.class.alloc = counted_alloc;
        counted.class.release = counted_release;
        b->class = &counted.class;
    }
    fused_pair p = fused_pair_exact(b);
    p.receiver->config.eos_count = 0;
    return p;
}

static c2c_session *open_session(const fused_pair *p, size_t pair_count,
                                 c2c_session_options options) {
    const c2c_pair pairs[2] = {{p->sharer, p->fuser}, {p->sharer, p->fuser}};
    c2c_session *session;
    options.context = 100;
    assert_ok(c2c_session_open(&session, p->receiver, pairs, pair_count, &options, &test_error));
    return session;
}

static void fill_prompt(int32_t ids[PROMPT]) {
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 97 + 13) % 550;
}

static c2c_status prefill(c2c_session *session) {
    int32_t ids[PROMPT];
    fill_prompt(ids);
    const c2c_plan plan = {.ids = ids, .token_count = PROMPT};
    return c2c_session_prefill(session, &plan, &test_error);
}

typedef struct reply {
    int32_t ids[ANSWER];
    int64_t count;
} reply;

static bool keep_id(void *user, int32_t id, const char *text, size_t length) {
    (void)text, (void)length;
    reply *r = user;
    r->ids[r->count++] = id;
    return true;
}

static reply answer(c2c_session *session) {
    reply r = {0};
    assert_ok(c2c_session_generate(session, ANSWER, keep_id, &r, NULL, &test_error));
    assert_int_equal(r.count, ANSWER);
    return r;
}

static void assert_same_reply(const reply *a, const reply *b) {
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ids, b->ids, sizeof a->ids);
}

/* ---- Progress ----------------------------------------------------------------------------- */

typedef struct watcher {
    int64_t calls, stop_at; /* the call that says no; 0: none */
    int64_t done, total, largest_step;
    pthread_t thread;
    bool wrong; /* called on another thread, or without progress; asserted by the main thread */
} watcher;

static bool watch(void *user, int64_t done, int64_t total) {
    watcher *w = user;
    w->calls++;
    w->wrong = w->wrong || done <= w->done || !pthread_equal(pthread_self(), w->thread);
    w->largest_step = max_i64(w->largest_step, done - w->done);
    w->done = done;
    w->total = total;
    return w->calls != w->stop_at;
}

static void test_progress_ends_at_the_total(void **state) {
    (void)state;
    static const struct {
        size_t pairs;
        c2c_session_options options;
        int64_t total; /* the sharers do not run the last token, which is not fused */
    } rows[] = {
        {0, {.chunk = 16}, PROMPT},
        {1, {.chunk = 16}, PROMPT + PROMPT - 1},
        {2, {.chunk = 7, .fusion_mode = C2C_FUSION_PARALLEL}, PROMPT + 2 * (PROMPT - 1)},
        /* The clean copy takes the rows of the fused section from the receiver. */
        {1, {.chunk = 5, .include_response = true}, PROMPT + 1 + PROMPT},
    };
    for (int queue = 0; queue < 2; queue++) {
        fused_pair p = open_pair(2, queue, false);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            c2c_session *session = open_session(&p, rows[i].pairs, rows[i].options);
            assert_ok(prefill(session));
            reply expected = answer(session);
            c2c_session_reset(session);
            watcher w = {.thread = pthread_self()};
            c2c_session_set_progress(session, watch, &w);
            assert_ok(prefill(session));
            assert_false(w.wrong);
            assert_int_equal(w.done, w.total);
            assert_int_equal(w.total, rows[i].total);
            assert_int_equal(w.largest_step, rows[i].options.chunk);
            int64_t calls = w.calls;
            reply watched = answer(session);
            assert_int_equal(w.calls, calls); /* an answer is not watched */
            assert_same_reply(&expected, &watched);
            c2c_session_reset(session);
            c2c_session_set_progress(session, NULL, NULL);
            assert_ok(prefill(session));
            assert_int_equal(w.calls, calls);
            c2c_session_close(session);
        }
        fused_pair_close(&p);
    }
}

static void test_progress_counts_no_padding(void **state) {
    (void)state;
    fused_pair p = open_pair(1, false, false);
    c2c_session *session = open_session(&p, 1, (c2c_session_options){.chunk = 4});
    int32_t ids[PROMPT], sharer_ids[PROMPT];
    fill_prompt(ids);
    fill_prompt(sharer_ids);
    ids[3] = ids[4] = ids[5] = C2C_PADDING;
    sharer_ids[1] = C2C_PADDING;
    const int32_t *rows[] = {sharer_ids};
    const c2c_section sections[] = {{8, -1}, {20, 1}, {13, -1}};
    const c2c_plan plan = {.ids = ids,
                           .sharer_ids = rows,
                           .token_count = PROMPT,
                           .sections = sections,
                           .section_count = 3};
    watcher w = {.thread = pthread_self()};
    c2c_session_set_progress(session, watch, &w);
    assert_ok(c2c_session_prefill(session, &plan, &test_error));
    assert_int_equal(w.total, PROMPT - 3 + 27);
    assert_int_equal(w.done, w.total);
    c2c_session_close(session);
    fused_pair_close(&p);
}

/* Wherever it is stopped, nothing of the prompt is left, and no memory is taken or lost. */
static void test_a_cancelled_prefill_leaves_nothing(void **state) {
    (void)state;
    fused_pair p = open_pair(1, false, true);
    static const c2c_session_options modes[] = {{.chunk = 10},
                                                {.chunk = 10, .include_response = true}};
    for (size_t m = 0; m < 2; m++) {
        c2c_session *session = open_session(&p, 1, modes[m]);
        assert_ok(prefill(session));
        reply expected = answer(session);
        size_t live = counted.live;
        c2c_session_reset(session);
        watcher w = {.thread = pthread_self()};
        c2c_session_set_progress(session, watch, &w);
        assert_ok(prefill(session));
        for (int64_t stop = w.calls; stop >= 1; stop--) {
            c2c_session_reset(session);
            w = (watcher){.thread = pthread_self(), .stop_at = stop};
            assert_fails(prefill(session), C2C_STATUS_CANCELLED, "cancelled after");
            assert_int_equal(w.calls, stop);
            assert_false(w.wrong);
            assert_int_equal(session->receiver.position, 0);
            assert_int_equal(session->sharers[0].position, 0);
            assert_int_equal(session->clean.position, 0);
            assert_fails(c2c_session_generate(session, 1, NULL, NULL, NULL, &test_error),
                         C2C_STATUS_INVALID_ARGUMENT, "c2c_session_prefill");
            /* Also the counts of ids, which penalties read, are those of an empty session. */
            c2c_session_set_progress(session, NULL, NULL);
            assert_ok(prefill(session));
            reply again = answer(session);
            assert_same_reply(&expected, &again);
            assert_int_equal(counted.live, live);
            c2c_session_set_progress(session, watch, &w);
        }
        c2c_session_close(session);
    }
    fused_pair_close(&p);
    assert_int_equal(counted.live, 0);
}

/* ---- Threads ------------------------------------------------------------------------------ */

typedef struct worker {
    const fused_pair *p;
    bool cancels, releases;
    reply reply;
    c2c_status status;
} worker;

/* No assertions here: cmocka knows the main thread only. */
static void *work(void *user) {
    worker *w = user;
    const c2c_pair pairs[1] = {{w->p->sharer, w->p->fuser}};
    const c2c_session_options options = {.context = 100, .chunk = 3};
    c2c_session *session;
    c2c_error error = {0};
    int32_t ids[PROMPT];
    fill_prompt(ids);
    const c2c_plan plan = {.ids = ids, .token_count = PROMPT};
    w->status = c2c_session_open(&session, w->p->receiver, pairs, 1, &options, &error);
    for (int round = 0; round < 5 && !w->status; round++) {
        watcher watcher = {.thread = pthread_self(), .stop_at = w->cancels ? 1 + 3 * round : 0};
        c2c_session_set_progress(session, watch, &watcher);
        c2c_session_reset(session);
        c2c_status status = c2c_session_prefill(session, &plan, &error);
        if (watcher.wrong || status != (w->cancels ? C2C_STATUS_CANCELLED : C2C_STATUS_OK))
            w->status = C2C_STATUS_INVALID_ARGUMENT;
        if (!w->status && w->releases)
            w->status = c2c_session_release_sharers(session, &error);
        w->reply.count = 0;
        if (!w->status && !w->cancels)
            w->status = c2c_session_generate(session, ANSWER, keep_id, &w->reply, NULL, &error);
    }
    c2c_session_close(session);
    return NULL;
}

/* Sessions of one pair on threads of their own: one that is stopped and one that releases its
 * sharers do not disturb the others. */
static void test_threads_do_not_disturb_each_other(void **state) {
    (void)state;
    fused_pair p = open_pair(2, false, false);
    worker workers[4] = {{.p = &p},
                         {.p = &p, .cancels = true},
                         {.p = &p, .releases = true},
                         {.p = &p}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(workers[i].status, C2C_STATUS_OK);
        if (!workers[i].cancels)
            assert_same_reply(&workers[0].reply, &workers[i].reply);
    }
    fused_pair_close(&p);
}

/* ---- Sharers that are released ------------------------------------------------------------ */

static void test_released_sharers_take_no_memory(void **state) {
    (void)state;
    fused_pair p = open_pair(1, false, true);
    size_t models = counted.live;
    c2c_session *alone = open_session(&p, 0, (c2c_session_options){.chunk = 16});
    size_t receiver = counted.live - models;
    c2c_session_close(alone);
    c2c_session *session = open_session(&p, 1, (c2c_session_options){.chunk = 16});
    size_t both = counted.live - models;
    assert_true(both > receiver);
    assert_ok(prefill(session));
    reply expected = answer(session);
    c2c_session_reset(session);
    for (int round = 0; round < 2; round++) {
        assert_ok(prefill(session));
        assert_int_equal(counted.live - models, both);
        assert_ok(c2c_session_release_sharers(session, &test_error));
        assert_int_equal(counted.live - models, receiver);
        assert_ok(c2c_session_release_sharers(session, &test_error)); /* nothing is left to free */
        reply got = answer(session);
        assert_same_reply(&expected, &got);
        c2c_session_reset(session);
        assert_int_equal(counted.live - models, receiver);
    }
    /* Where there is no memory for them any more, the next prefill says so, and works later. */
    counted.full = true;
    assert_fails(prefill(session), C2C_STATUS_OUT_OF_MEMORY, "sharers' memory", "released");
    assert_int_equal(counted.live - models, receiver);
    counted.full = false;
    assert_ok(prefill(session));
    reply got = answer(session);
    assert_same_reply(&expected, &got);
    c2c_session_close(session);
    assert_int_equal(counted.live, models);
    fused_pair_close(&p);
}

static void test_sharers_of_a_fused_response_stay(void **state) {
    (void)state;
    fused_pair p = open_pair(1, false, false);
    c2c_session *session = open_session(&p, 1, (c2c_session_options){.include_response = true});
    assert_ok(prefill(session));
    assert_fails(c2c_session_release_sharers(session, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "include_response");
    answer(session);
    c2c_session_close(session);
    fused_pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress_ends_at_the_total),
        cmocka_unit_test(test_progress_counts_no_padding),
        cmocka_unit_test(test_a_cancelled_prefill_leaves_nothing),
        cmocka_unit_test(test_threads_do_not_disturb_each_other),
        cmocka_unit_test(test_released_sharers_take_no_memory),
        cmocka_unit_test(test_sharers_of_a_fused_response_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
