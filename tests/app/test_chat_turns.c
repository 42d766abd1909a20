/* Turns of a chat: each answer is that of a fresh run over the whole chat, whatever was stopped or
 * planned otherwise before it. Seen from inside, where an answer stops at the very token it should.
 */
#include "app/answer.h"
#include "support/test.h"

#define DATA       "tests/golden/data/"
#define DEMO       "share/demo/"
#define MOST       6 /* tokens of an answer */
#define TO_THE_END (-1)
#define BEFORE_IT  (-2) /* stopped while the prompt is taken in, and asked again */

typedef struct turn {
    const char *says;
    int stopped_after; /* pieces of text */
    const char *plan;  /* NULL: as before */
} turn;

static const turn turns[] = {
    {"What is the favourite colour of Kumaso?", TO_THE_END, NULL},
    {"And which animal does Kumaso keep?", 3, NULL},
    {"Where was that, and when?", BEFORE_IT, NULL},
    {"Say it again.", 1, "front:0.5"},
    {"", TO_THE_END, NULL},
    {"Who else was there? Na\xc3\xafve!", BEFORE_IT, "none"},
    {"Once more, please.", 2, "all"},
    {"And now the end.", TO_THE_END, NULL},
};
#define TURN_COUNT (sizeof turns / sizeof *turns)

typedef struct listener {
    volatile sig_atomic_t stop;
    int heard, stopped_after;
} listener;

static c2c_status listen(void *user, const char *text, size_t length, c2c_error *error) {
    (void)text, (void)length, (void)error;
    listener *l = user;
    if (++l->heard == l->stopped_after)
        l->stop = 1;
    return C2C_STATUS_OK;
}

/* One chat with a pair that goes on, beside one that begins anew with every question. */
typedef struct world {
    pair going, fresh;
    chat messages;
    plan_spec plan;
    way way;
} world;

static c2c_status ask(world *w, bool goes_on, int stopped_after, answer *a) {
    listener l = {.stopped_after = stopped_after, .stop = stopped_after == BEFORE_IT};
    const c2c_sampling sampling = {.temperature = 1.5F, .frequency_penalty = 0.4F, .seed = 11};
    const question q = {.messages = &w->messages,
                        .thinking = C2C_THINKING_OFF,
                        .plan = &w->plan,
                        .sampling = &sampling,
                        .max_new_tokens = MOST,
                        .stream = listen,
                        .user = &l,
                        .turn = goes_on,
                        .stop = goes_on ? &l.stop : NULL};
    *a = (answer){0};
    return pair_answer(goes_on ? &w->going : &w->fresh, w->way, &q, a, NULL, &test_error);
}

static void check_turn(world *w, const turn *t) {
    answer got, expected;
    int stopped_after = t->stopped_after;
    assert_ok(chat_add(&w->messages, "user", t->says, &test_error));
    if (stopped_after == BEFORE_IT) {
        assert_int_equal(ask(w, true, BEFORE_IT, &got), C2C_STATUS_CANCELLED);
        assert_int_equal(got.id_count, 0);
        answer_deinit(&got);
        stopped_after = TO_THE_END;
    }
    assert_ok(ask(w, true, stopped_after, &got));
    assert_ok(ask(w, false, TO_THE_END, &expected));
    assert_int_equal(got.prompt_tokens, expected.prompt_tokens);
    assert_int_equal(expected.kept_tokens, 0);
    assert_true(got.id_count <= expected.id_count);
    if (got.finish != C2C_FINISH_CALLBACK)
        assert_int_equal(got.id_count, expected.id_count);
    assert_memory_equal(got.ids, expected.ids, got.id_count * sizeof *got.ids);
    /* Forgotten with what was cancelled; and another plan may fuse every row in another way. */
    if (w->messages.count > 1 && t->stopped_after != BEFORE_IT && !t->plan)
        assert_true(got.kept_tokens > 0);
    assert_ok(chat_add(&w->messages, "assistant", got.text.data ? got.text.data : "", &test_error));
    answer_deinit(&got);
    answer_deinit(&expected);
}

static void check_chat(pair_settings settings, bool plans) {
    world w = {.way = settings.sharer_count ? WAY_C2C : WAY_RECEIVER};
    settings.compute = C2C_COMPUTE_F32;
    settings.context = 1200;
    settings.keep_clean = true;
    assert_ok(pair_open(&w.going, &settings, &test_error));
    settings.keep_clean = false;
    assert_ok(pair_open(&w.fresh, &settings, &test_error));
    for (size_t i = 0; i < TURN_COUNT; i++) {
        if (plans && turns[i].plan) {
            plan_spec_deinit(&w.plan);
            assert_ok(plan_spec_parse(&w.plan, turns[i].plan, &test_error));
        }
        check_turn(&w, &turns[i]);
    }
    plan_spec_deinit(&w.plan);
    chat_deinit(&w.messages);
    pair_close(&w.going);
    pair_close(&w.fresh);
}

static void test_one_model(void **state) {
    (void)state;
    check_chat((pair_settings){.receiver = DATA "models/tiny-qwen3"}, false);
}

static void test_fused(void **state) {
    (void)state;
    const char *const demo_sharers[] = {DEMO "sharer", DEMO "sharer"};
    const char *const demo_fusers[] = {DEMO "fuser", DEMO "fuser"};
    const char *const tiny_sharers[] = {DATA "models/tiny-qwen2", DATA "models/tiny-qwen2"};
    const char *const tiny_fusers[] = {DATA "fusers/qwen3_from_qwen2",
                                       DATA "fusers/qwen3_from_qwen2"};
    for (size_t sharers = 1; sharers <= 2; sharers++)
        for (int response = 0; response < 2; response++) {
            pair_settings s = {.receiver = DEMO "receiver",
                               .sharers = demo_sharers,
                               .fusers = demo_fusers,
                               .sharer_count = sharers,
                               .fusion_mode =
                                   response ? C2C_FUSION_PARALLEL : C2C_FUSION_SEQUENTIAL,
                               .include_response = response};
            if (sharers == 1 && response)
                check_chat(s, true);
            s.receiver = DATA "models/tiny-qwen3";
            s.sharers = tiny_sharers;
            s.fusers = tiny_fusers;
            s.include_response = false;
            check_chat(s, true);
        }
}

static void test_one_tokenizer_aligned(void **state) {
    (void)state;
    const c2c_align_options align = {.add_generation_prompt = true};
    const char *const sharers[] = {DEMO "sharer"}, *const fusers[] = {DEMO "fuser"};
    check_chat((pair_settings){.receiver = DEMO "receiver",
                               .sharers = sharers,
                               .fusers = fusers,
                               .sharer_count = 1,
                               .align = &align},
               false);
}

static void test_two_tokenizers(void **state) {
    (void)state;
    const char *golden = test_shared("golden");
    if (!golden) {
        print_message("SKIP: no golden files: a pair with two tokenizers is there\n");
        skip();
    }
    static const char *const names[][2] = {{"models/tiny-llama", "fusers/qwen3_from_llama"},
                                           {"models/tiny-gemma3-wide", "fusers/qwen3_from_gemma3"}};
    char *receiver = path_join(golden, "models/tiny-qwen3");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *sharer = path_join(golden, names[i][0]), *fuser = path_join(golden, names[i][1]);
        for (int strategy = C2C_ALIGN_FIRST; strategy <= C2C_ALIGN_LONGEST; strategy++) {
            const c2c_align_options align = {.strategy = (c2c_align_strategy)strategy,
                                             .add_generation_prompt = true};
            const char *const sharers[] = {sharer}, *const fusers[] = {fuser};
            check_chat((pair_settings){.receiver = receiver,
                                       .sharers = sharers,
                                       .fusers = fusers,
                                       .sharer_count = 1,
                                       .align = &align},
                       false);
        }
        free(sharer);
        free(fuser);
    }
    free(receiver);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_model),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_one_tokenizer_aligned),
        cmocka_unit_test(test_two_tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
