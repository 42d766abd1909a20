/* Aligned chats: random ones keep the rules, and the check of the rules can fail. What the public
 * implementation makes of 42 chats, the golden tests compare. */
#include "support/align_rules.h"
#include "support/test.h"

#define DATA "tests/golden/data/models/"

typedef struct fixture {
    c2c_engine *engine;
    c2c_model *models[8];
    size_t count;
} fixture;

static void open_model(fixture *f, const char *folder) {
    if (folder_exists(folder))
        assert_ok(c2c_model_open(&f->models[f->count++], f->engine, folder, NULL, &test_error));
}

static int set_up(void **state) {
    static const char *const others[] = {"tiny-llama", "tiny-gemma3", "tiny-mistral"};
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_ok(c2c_engine_open(&f->engine, &(c2c_engine_options){.threads = 1}, &test_error));
    open_model(f, DATA "tiny-qwen3");
    open_model(f, DATA "tiny-qwen2");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *shared = test_shared("golden/models");
        char *folder = shared ? path_join(shared, others[i]) : NULL;
        if (folder)
            open_model(f, folder);
        free(folder);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < f->count; i++)
        c2c_model_close(f->models[i]);
    c2c_engine_close(f->engine);
    free(f);
    return 0;
}

/* ---- Random chats ------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *seed) {
    uint32_t bits[4];
    random_block(&(random_key){.seed = 99, .step = (*seed)++}, bits);
    return bits[0];
}

/* Nothing that NFC would change: then the ids would not decode to the very bytes. */
static char *random_content(uint64_t *seed) {
    static const char *const pieces[] = {
        "Hello",
        " world",
        "\n",
        "\n\n",
        "  ",
        "2+2=4",
        "\xc3\xa9t\xc3\xa9",
        "\xe4\xbd\xa0\xe5\xa5\xbd",
        "\xf0\x9f\x99\x82",
        "'s",
        " don't",
        "\t",
        "<",
        ">",
        "<think>",
        "user",
        "assistant",
        "Answer: B.",
        "12345",
        "{\"a\": [1, 2]}",

        "A. Oxygen\nB. Helium\n",
    };
    buffer text = {0};
    for (uint32_t n = next_random(seed) % 9; n > 0; n--)
        buffer_append_text(&text, pieces[next_random(seed) % (sizeof pieces / sizeof *pieces)]);
    char *content = buffer_take(&text, NULL);
    assert_non_null(content);
    return content;
}

#define MAX_MESSAGES 6

/* [system] user (assistant user)* [assistant] */
static size_t random_chat(uint64_t *seed, c2c_message messages[MAX_MESSAGES], bool open_end) {
    size_t count = 0, wanted = 1 + next_random(seed) % (MAX_MESSAGES - 1);
    if (wanted > 1 && next_random(seed) % 2)
        messages[count++] = (c2c_message){"system", random_content(seed)};
    bool user = true; /* is next; an open end needs an assistant at the end */
    for (; count < wanted || (open_end && !user) || count == 0; user = !user)
        messages[count++] = (c2c_message){user ? "user" : "assistant", random_content(seed)};
    if (open_end && strcmp(messages[count - 1].role, "assistant") != 0)
        messages[count++] = (c2c_message){"assistant", random_content(seed)};
    return count;
}

static void test_random_chats_keep_the_rules(void **state) {
    const fixture *f = *state;
    uint64_t seed = 1;
    int aligned = 0;
    for (int round = 0; round < 300; round++) {
        c2c_message messages[MAX_MESSAGES + 2];
        const c2c_align_options options = {
            .strategy = round % 2 ? C2C_ALIGN_LONGEST : C2C_ALIGN_FIRST,
            .add_generation_prompt = round % 3 == 0,
            .open_end = round % 3 == 1,
        };
        size_t count = random_chat(&seed, messages, options.open_end);
        const c2c_model *receiver = f->models[next_random(&seed) % f->count];
        const c2c_model *sharers[2];
        size_t sharer_count = 1 + next_random(&seed) % 2;
        for (size_t s = 0; s < sharer_count; s++)
            sharers[s] = f->models[next_random(&seed) % f->count];
        c2c_alignment *a;
        c2c_status status = c2c_align_chat(&a, receiver, sharers, sharer_count, messages, count,
                                           &options, &test_error);
        if (status) /* a template may refuse a chat, with its own words */
            assert_non_null(strstr(test_error.message, "template says"));
        const char *broken =
            status ? NULL : align_rules_broken(a, receiver, sharers, messages, count, &options);
        if (broken)
            fail_msg("round %d: %s", round, broken);
        aligned += status == C2C_STATUS_OK;
        c2c_alignment_free(a);
        for (size_t i = 0; i < count; i++)
            free((char *)messages[i].content);
    }
    assert_true(aligned > 200);
}

/* ---- One chat ----------------------------------------------------------------------------- */

static const c2c_message chat[] = {{"system", "You are terse."}, {"user", " What is 2+2? "}};
static const c2c_align_options plain = {.add_generation_prompt = true};

static c2c_alignment *align_chat(const fixture *f) {
    const c2c_model *sharers[] = {f->models[1]};
    c2c_alignment *a;
    assert_ok(c2c_align_chat(&a, f->models[0], sharers, 1, chat, 2, &plain, &test_error));
    return a;
}

static const char *broken_rule(const fixture *f, const c2c_alignment *a) {
    const c2c_model *sharers[] = {f->models[1]};
    return align_rules_broken(a, f->models[0], sharers, chat, 2, &plain);
}

static void test_the_rules_can_break(void **state) {
    const fixture *f = *state;
    c2c_alignment *a = align_chat(f);
    assert_null(broken_rule(f, a));
    assert_true(a->section_count >= 3);
    int64_t content = a->sections[0].length; /* the first content's first position */
    int32_t kept = a->ids[content];
    a->ids[content] = C2C_PADDING;
    assert_non_null(broken_rule(f, a));
    a->ids[content] = kept + 1;
    assert_non_null(broken_rule(f, a));
    a->ids[content] = kept;
    a->sections[0].length--;
    assert_non_null(broken_rule(f, a));
    a->sections[1].length++;
    assert_non_null(broken_rule(f, a));
    a->sections[0].length++, a->sections[1].length--;
    a->sections[0].mask = 1;
    assert_non_null(broken_rule(f, a));
    a->sections[0].mask = -1;
    int32_t *first = &a->sharer_ids[0][0];
    (*first)++;
    assert_non_null(strstr(broken_rule(f, a), "sharer"));
    (*first)--;
    assert_null(broken_rule(f, a));
    c2c_alignment_free(a);
}

/* One tokenizer on both sides: the contents are the same ids. */
static void test_equal_tokenizers_share_the_contents(void **state) {
    const fixture *f = *state;
    c2c_alignment *a = align_chat(f);
    int64_t at = 0;
    for (size_t s = 0; s < a->section_count; at += a->sections[s++].length)
        if (a->sections[s].mask > 0)
            assert_memory_equal(a->ids + at, a->sharer_ids[0] + at,
                                (size_t)a->sections[s].length * sizeof(int32_t));
    c2c_alignment_free(a);
}

static void test_what_is_refused(void **state) {
    const fixture *f = *state;
    const c2c_model *sharers[] = {f->models[1]};
    const c2c_align_options open_end = {.open_end = true};
    c2c_alignment *a;
    assert_fails(c2c_align_chat(&a, f->models[0], sharers, 1, chat, 2, &open_end, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "open end", "assistant");
    assert_null(a);
    assert_fails(c2c_align_chat(&a, f->models[0], sharers, 1, chat, 0, &open_end, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "open end");
    const c2c_message bad[] = {{"user", "caf\xe9"}};
    assert_fails(c2c_align_chat(&a, f->models[0], sharers, 1, bad, 1, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "message 1", "UTF-8");
    assert_fails(c2c_align_chat(&a, f->models[0], sharers, 32, chat, 2, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "32 sharers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_chats_keep_the_rules),
        cmocka_unit_test(test_the_rules_can_break),
        cmocka_unit_test(test_equal_tokenizers_share_the_contents),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
