/* The public functions' promises to their callers: NULL where it is not allowed and values that an
 * enum does not have are refused by name and leave outputs NULL; success leaves the error alone. */
#include "support/test.h"

#define DEMO "share/demo/"

static c2c_engine *engine;
static c2c_model *receiver, *sharer;
static c2c_fuser *fuser;
static c2c_session *session;

static const c2c_message hello = {"user", "Hello"};

static int open_all(void **state) {
    (void)state;
    assert_ok(c2c_engine_open(&engine, NULL, &test_error));
    assert_ok(c2c_model_open(&receiver, engine, DEMO "receiver", NULL, &test_error));
    assert_ok(c2c_model_open(&sharer, engine, DEMO "sharer", NULL, &test_error));
    assert_ok(c2c_fuser_open(&fuser, receiver, sharer, DEMO "fuser", &test_error));
    const c2c_session_options small = {.context = 64};
    assert_ok(
        c2c_session_open(&session, receiver, &(c2c_pair){sharer, fuser}, 1, &small, &test_error));
    return 0;
}

static int close_all(void **state) {
    (void)state;
    c2c_session_close(session);
    c2c_fuser_close(fuser);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
    return 0;
}

/* `call` is refused, and its message holds `text`. */
#define REFUSED(call, text)                                                                        \
    do {                                                                                           \
        test_error = (c2c_error){0};                                                               \
        assert_int_equal(call, C2C_STATUS_INVALID_ARGUMENT);                                       \
        if (!strstr(test_error.message, text))                                                     \
            fail_msg("\"%s\" lacks \"%s\"", test_error.message, text);                             \
    } while (0)

#define E (&test_error)

static void test_null_while_opening(void **state) {
    (void)state;
    void *const stale = &test_error;
    c2c_model *m = stale;
    c2c_fuser *f = stale;
    c2c_session *s = stale;
    REFUSED(c2c_engine_open(NULL, NULL, E), "c2c_engine_open: `engine`");
    REFUSED(c2c_model_open(NULL, engine, "x", NULL, E), "c2c_model_open: `model`");
    REFUSED(c2c_model_open(&m, NULL, "x", NULL, E), "`engine`");
    assert_null(m);
    REFUSED(c2c_model_open(&m, engine, NULL, NULL, E), "`folder`");
    REFUSED(c2c_fuser_open(NULL, receiver, sharer, "x", E), "c2c_fuser_open: `fuser`");
    REFUSED(c2c_fuser_open(&f, NULL, sharer, "x", E), "`receiver`");
    assert_null(f);
    REFUSED(c2c_fuser_open(&f, receiver, NULL, "x", E), "`sharer`");
    REFUSED(c2c_fuser_open(&f, receiver, sharer, NULL, E), "`folder`");
    f = stale;
    REFUSED(c2c_fuser_new(&f, receiver, sharer, NULL, E), "c2c_fuser_new: `recipe`");
    assert_null(f);
    REFUSED(c2c_fuser_new(&f, receiver, sharer, &(c2c_recipe){0}, E), "neither");
    REFUSED(c2c_fuser_save(NULL, "x", NULL, E), "c2c_fuser_save: `fuser`");
    REFUSED(c2c_fuser_save(fuser, NULL, NULL, E), "`folder`");
    REFUSED(c2c_session_open(&s, NULL, NULL, 0, NULL, E), "c2c_session_open: `receiver`");
    assert_null(s);
    REFUSED(c2c_session_open(&s, receiver, NULL, 1, NULL, E), "`pairs`");
    REFUSED(c2c_session_open(&s, receiver, &(c2c_pair){sharer, NULL}, 1, NULL, E), "sharer 1");
    REFUSED(c2c_session_open(NULL, receiver, NULL, 0, NULL, E), "`session`");
    /* Without an error to fill, too. */
    assert_int_equal(c2c_engine_open(NULL, NULL, NULL), C2C_STATUS_INVALID_ARGUMENT);
}

static void test_null_in_texts(void **state) {
    (void)state;
    char *text = (char *)&test_error;
    int32_t *ids = (int32_t *)&test_error;
    size_t n;
    REFUSED(c2c_model_render(NULL, &hello, 1, NULL, &text, &n, E), "c2c_model_render: `model`");
    assert_null(text);
    REFUSED(c2c_model_render(receiver, NULL, 1, NULL, &text, &n, E), "`messages`");
    REFUSED(c2c_model_render(receiver, &hello, 1, NULL, NULL, &n, E), "`text`");
    REFUSED(c2c_model_render(receiver, &hello, 1, NULL, &text, NULL, E), "`length`");
    REFUSED(c2c_model_render(receiver, &(c2c_message){"user", NULL}, 1, NULL, &text, &n, E),
            "message 1: content");
    REFUSED(c2c_model_encode(NULL, "x", 1, false, &ids, &n, E), "c2c_model_encode: `model`");
    assert_null(ids);
    REFUSED(c2c_model_encode(receiver, NULL, 1, false, &ids, &n, E), "`text`");
    REFUSED(c2c_model_encode(receiver, "x", 1, false, NULL, &n, E), "`ids`");
    REFUSED(c2c_model_encode(receiver, "x", 1, false, &ids, NULL, E), "`count`");
    REFUSED(c2c_model_decode(NULL, NULL, 0, false, &text, &n, E), "c2c_model_decode: `model`");
    REFUSED(c2c_model_decode(receiver, NULL, 1, false, &text, &n, E), "`ids`");
    /* Nothing at all may be NULL. */
    assert_ok(c2c_model_encode(receiver, NULL, 0, false, &ids, &n, E));
    assert_int_equal(n, 0);
    c2c_free(ids);
    assert_ok(c2c_model_decode(receiver, NULL, 0, false, &text, &n, E));
    assert_string_equal(text, "");
    c2c_free(text);
    c2c_alignment *a;
    const c2c_model *const none[] = {NULL};
    REFUSED(c2c_align_chat(NULL, receiver, none, 0, &hello, 1, NULL, E), "`alignment`");
    REFUSED(c2c_align_chat(&a, NULL, none, 0, &hello, 1, NULL, E), "`receiver`");
    REFUSED(c2c_align_chat(&a, receiver, NULL, 1, &hello, 1, NULL, E), "`sharers`");
    REFUSED(c2c_align_chat(&a, receiver, none, 1, &hello, 1, NULL, E), "sharer 1");
}

static void test_null_in_sessions(void **state) {
    (void)state;
    const int32_t ids[] = {5, 6}, *const no_rows[] = {NULL};
    REFUSED(c2c_session_prefill(NULL, &(c2c_plan){0}, E), "c2c_session_prefill: `session`");
    REFUSED(c2c_session_prefill(session, NULL, E), "`plan`");
    REFUSED(c2c_session_prefill(session, &(c2c_plan){.token_count = 2}, E), "ids must not be NULL");
    REFUSED(c2c_session_prefill(session,
                                &(c2c_plan){.ids = ids, .sharer_ids = no_rows, .token_count = 2},
                                E),
            "ids of sharer 1");
    REFUSED(c2c_session_extend(NULL, &(c2c_plan){0}, NULL, E), "c2c_session_extend: `session`");
    REFUSED(c2c_session_extend(session, NULL, NULL, E), "`plan`");
    REFUSED(c2c_session_generate(NULL, 1, NULL, NULL, NULL, E), "c2c_session_generate: `session`");
    REFUSED(c2c_session_begin(NULL, 1, NULL, NULL, E), "c2c_session_begin: `session`");
    REFUSED(c2c_batch_step(NULL, NULL, E), "c2c_batch_step: `batch`");
    REFUSED(c2c_batch_open(NULL, receiver, NULL, 0, 1, NULL, E), "c2c_batch_open: `batch`");
    REFUSED(c2c_session_set_sampling(NULL, NULL, E), "c2c_session_set_sampling: `session`");
    REFUSED(c2c_session_release_sharers(NULL, E), "c2c_session_release_sharers: `session`");
    assert_null(c2c_batch_session(NULL, 0));
    assert_false(c2c_session_is_writing(NULL, NULL));
    c2c_batch_close(NULL);
    c2c_session_close(NULL);
    c2c_fuser_close(NULL);
    c2c_model_close(NULL);
    c2c_engine_close(NULL);
    c2c_alignment_free(NULL);
    c2c_free(NULL);
}

static void test_null_in_training(void **state) {
    (void)state;
    const c2c_model *const sharers[] = {sharer}, *const none[] = {NULL};
    const c2c_train_options options = {.recipe = "x.json"}, no_recipe = {.folder = "x"};
    c2c_train_summary summary;
    REFUSED(c2c_train(NULL, sharers, 1, &options, E), "c2c_train: `receiver`");
    REFUSED(c2c_train(receiver, NULL, 1, &options, E), "`sharers`");
    REFUSED(c2c_train(receiver, none, 1, &options, E), "sharer 1");
    REFUSED(c2c_train(receiver, sharers, 1, NULL, E), "`options`");
    REFUSED(c2c_train(receiver, sharers, 1, &no_recipe, E), "`options->recipe`");
    REFUSED(c2c_train_check(receiver, sharers, 1, &options, NULL, E), "`summary`");
    REFUSED(c2c_train_check(receiver, sharers, 1, NULL, &summary, E), "`options`");
}

static void test_values_that_enums_lack(void **state) {
    (void)state;
    c2c_model *m;
    c2c_session *s;
    c2c_alignment *a;
    char *text;
    size_t n;
    REFUSED(c2c_model_open(&m, engine, DEMO "receiver",
                           &(c2c_model_options){.compute = (c2c_compute)3}, E),
            "compute: expected 0 to 2, found 3");
    REFUSED(c2c_model_open(&m, engine, DEMO "receiver",
                           &(c2c_model_options){.weights = (c2c_model_weights)2}, E),
            "weights: expected 0 to 1, found 2");
    REFUSED(c2c_model_render(receiver, &hello, 1, &(c2c_chat_options){.thinking = (c2c_thinking)-1},
                             &text, &n, E),
            "thinking: expected 0 to 2, found -1");
    REFUSED(c2c_session_open(&s, receiver, NULL, 0,
                             &(c2c_session_options){.fusion_mode = (c2c_fusion_mode)2}, E),
            "fusion_mode: expected 0 to 1, found 2");
    REFUSED(c2c_align_chat(&a, receiver, NULL, 0, &hello, 1,
                           &(c2c_align_options){.strategy = (c2c_align_strategy)2}, E),
            "strategy: expected 0 to 1, found 2");
    REFUSED(c2c_fuser_save(fuser, "x", &(c2c_save_options){.format = (c2c_format)2}, E),
            "format: expected 0 to 1, found 2");
}

static void test_two_engines(void **state) {
    (void)state;
    c2c_engine *other;
    c2c_model *stranger;
    c2c_fuser *f;
    assert_ok(c2c_engine_open(&other, &(c2c_engine_options){.threads = 1}, E));
    assert_ok(c2c_model_open(&stranger, other, DEMO "sharer", NULL, E));
    REFUSED(c2c_fuser_open(&f, receiver, stranger, DEMO "fuser", E), "one engine");
    assert_null(f);
    c2c_model_close(stranger);
    c2c_engine_close(other);
}

/* What is not there but may be missing is no error afterwards. */
static void test_success_leaves_the_error_alone(void **state) {
    (void)state;
    c2c_error error = {.code = C2C_STATUS_CANCELLED, .message = "as it was"};
    c2c_engine *e;
    c2c_model *r, *s;
    c2c_fuser *f;
    c2c_session *own;
    c2c_alignment *a;
    char *text;
    int32_t *ids;
    size_t length, count;
    assert_ok(c2c_engine_open(&e, NULL, &error));
    assert_ok(c2c_model_open(&r, e, DEMO "receiver", NULL, &error));
    assert_ok(c2c_model_open(&s, e, DEMO "sharer", NULL, &error));
    assert_ok(c2c_fuser_open(&f, r, s, DEMO "fuser", &error));
    assert_ok(c2c_session_open(&own, r, &(c2c_pair){s, f}, 1, &(c2c_session_options){.context = 64},
                               &error));
    assert_ok(c2c_model_render(r, &hello, 1, NULL, &text, &length, &error));
    assert_ok(c2c_model_encode(r, text, length, false, &ids, &count, &error));
    const c2c_plan plan = {.ids = ids, .token_count = (int64_t)count};
    assert_ok(c2c_session_prefill(own, &plan, &error));
    assert_ok(c2c_session_generate(own, 2, NULL, NULL, NULL, &error));
    assert_ok(c2c_session_extend(own, &plan, NULL, &error));
    const c2c_model *const sharers[] = {s};
    assert_ok(c2c_align_chat(&a, r, sharers, 1, &hello, 1, NULL, &error));
    assert_int_equal(error.code, C2C_STATUS_CANCELLED);
    assert_string_equal(error.message, "as it was");
    c2c_alignment_free(a);
    c2c_free(ids);
    c2c_free(text);
    c2c_session_close(own);
    c2c_fuser_close(f);
    c2c_model_close(s);
    c2c_model_close(r);
    c2c_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_while_opening),
        cmocka_unit_test(test_null_in_texts),
        cmocka_unit_test(test_null_in_sessions),
        cmocka_unit_test(test_null_in_training),
        cmocka_unit_test(test_values_that_enums_lack),
        cmocka_unit_test(test_two_engines),
        cmocka_unit_test(test_success_leaves_the_error_alone),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
