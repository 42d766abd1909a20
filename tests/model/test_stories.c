/* Trained models write real text: two small story models (llama family, tied weights, sentencepiece
 * vocabulary), which stand outside the repository.
 *
 * Beside stories260K lies the text that it writes greedily from the bos token, which another
 * program made. Every id must be the most likely one again for some hundreds of tokens, each after
 * those before it, so a wrong rotation or epsilon shows. */
#include "support/test.h"

/* More tokens than the expected text has; the story goes on behind them. */
#define STORY_TOKENS 320

typedef struct story {
    buffer text;
    int64_t tokens;
} story;

static bool keep_text(void *user, int32_t id, const char *text, size_t length) {
    story *s = user;
    (void)id;
    buffer_append(&s->text, text, length);
    s->tokens++;
    return true;
}

/* The folder of a story model, or NULL where it is missing. */
static char *story_folder(const char *name) {
    const char *assets = test_shared("assets/models");
    char *folder = assets ? path_join(assets, name) : NULL;
    if (folder && folder_exists(folder))
        return folder;
    free(folder);
    print_message("SKIP: ../shared/assets/models/%s is not there\n", name);
    return NULL;
}

static void write_story(story *s, const char *folder, const c2c_engine_options *engine_options,
                        c2c_compute compute) {
    static const int32_t bos[] = {1};
    const c2c_model_options model_options = {.compute = compute};
    const c2c_plan plan = {.ids = bos, .token_count = 1};
    c2c_engine *engine;
    c2c_model *model;
    c2c_session *session;
    c2c_generation done;
    assert_ok(c2c_engine_open(&engine, engine_options, &test_error));
    assert_ok(c2c_model_open(&model, engine, folder, &model_options, &test_error));
    assert_ok(c2c_session_open(&session, model, NULL, 0, NULL, &test_error));
    assert_ok(c2c_session_prefill(session, &plan, &test_error));
    assert_ok(c2c_session_generate(session, STORY_TOKENS, keep_text, s, &done, &test_error));
    assert_int_equal(done.new_tokens, s->tokens);
    assert_false(s->text.failed);
    c2c_session_close(session);
    c2c_model_close(model);
    c2c_engine_close(engine);
}

static void test_stories260k_writes_the_expected_story(void **state) {
    (void)state;
    char *folder = story_folder("stories260K");
    if (!folder)
        skip();
    char *path = path_join(folder, "expected_greedy.txt");
    file_map expected;
    assert_ok(file_map_open(&expected, path, &test_error));
    size_t length = expected.size;
    while (length > 0 && expected.data[length - 1] == '\n')
        length--; /* the file's last line ends, the story does not */
    assert_true(length > 500);
    for (int threads = 1; threads <= 3; threads += 2) {
        story s = {0};
        write_story(&s, folder, &(c2c_engine_options){.threads = threads}, C2C_COMPUTE_F32);
        if (s.text.length < length || memcmp(s.text.data, expected.data, length) != 0)
            fail_msg("%s: expected \"%.*s\", found \"%s\"", folder, (int)length,
                     (const char *)expected.data, s.text.data);
        buffer_free(&s.text);
    }
    file_map_close(&expected);
    free(path);
    free(folder);
}

/* Nobody wrote down what this one says, but its words are of a kind: English letters, spaces and
 * marks, with words of a length that words have. A model that is run wrongly babbles. */
static void test_babyllama_writes_words(void **state) {
    (void)state;
    char *folder = story_folder("babyllama105");
    if (!folder)
        skip();
    story s = {0};
    write_story(&s, folder, NULL, C2C_COMPUTE_AUTO);
    print_message("%s\n", s.text.data);
    size_t letters = 0, spaces = 0;
    for (size_t i = 0; i < s.text.length; i++) {
        char c = s.text.data[i];
        letters += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        spaces += c == ' ' || c == '\n';
    }
    assert_true(s.text.length > 150);
    assert_true(letters * 10 > s.text.length * 7);
    assert_true(spaces * 10 > s.text.length && spaces * 3 < s.text.length);
    assert_non_null(strstr(s.text.data, " the "));
    buffer_free(&s.text);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories260k_writes_the_expected_story),
        cmocka_unit_test(test_babyllama_writes_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
