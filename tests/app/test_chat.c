/* test_chat.c - messages from files and from the command line. */
#include "app/app.h"
#include "support/test.h"

static c2c_status add_text(chat *c, const char *json) {
    json_document *document;
    c2c_status status = json_parse(&document, json, strlen(json), "m.json", &test_error);
    if (status)
        return status;
    status = chat_add_json(c, json_root(document), "m.json", &test_error);
    json_close(document);
    return status;
}

static void test_messages(void **state) {
    (void)state;
    chat c = {0};
    assert_ok(add_text(&c, "[{\"role\": \"user\", \"content\": \"a\\u00e4\"},"
                           " {\"content\": \"\", \"role\": \"assistant\"}]"));
    assert_int_equal(c.count, 2);
    assert_string_equal(c.messages[0].content, "a\xc3\xa4");
    assert_string_equal(c.messages[1].role, "assistant");
    assert_string_equal(chat_last_user(&c), "a\xc3\xa4");
    chat_deinit(&c);
    assert_null(chat_last_user(&c));
}

static void test_wrong_messages(void **state) {
    (void)state;
    static const struct {
        const char *json;
        c2c_status status;
        const char *holds[3];
    } cases[] = {
        {"{}", C2C_STATUS_BAD_FILE, {"m.json", "expected a list", "an object"}},
        {"[]", C2C_STATUS_BAD_FILE, {"m.json", "at least one message"}},
        {"[{\"role\": \"user\", \"content\": \"\"}, 5]",
         C2C_STATUS_BAD_FILE,
         {"m.json: element 1", "expected an object"}},
        {"[{\"content\": \"\"}]", C2C_STATUS_BAD_FILE, {"m.json: element 0", "role"}},
        {"[{\"role\": \"user\"}]", C2C_STATUS_BAD_FILE, {"m.json: element 0", "content"}},
        {"[{\"role\": \"user\", \"content\": [\"a\"]}]",
         C2C_STATUS_BAD_FILE,
         {"m.json: element 0", "content"}},
        {"[{\"role\": \"tool\", \"content\": \"\"}]",
         C2C_STATUS_BAD_FILE,
         {"element 0: role", "system, user or assistant", "\"tool\""}},
        {"[{\"role\": \"user\", \"content\": \"a\\u0000b\"}]",
         C2C_STATUS_BAD_FILE,
         {"element 0", "content", "without NUL"}},
        {"[{\"role\": \"user\", \"content\": \"\", \"name\": \"x\"}]",
         C2C_STATUS_UNSUPPORTED,
         {"element 0", "role and content", "\"name\""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chat c = {0};
        assert_int_equal(add_text(&c, cases[i].json), cases[i].status);
        for (size_t k = 0; k < 3 && cases[i].holds[k]; k++)
            if (!strstr(test_error.message, cases[i].holds[k]))
                fail_msg("\"%s\" lacks \"%s\"", test_error.message, cases[i].holds[k]);
        chat_deinit(&c);
    }
}

static void test_system(void **state) {
    (void)state;
    char *folder = test_folder_make();
    static const char plain[] = "[{\"role\": \"user\", \"content\": \"q\"}]";
    static const char own[] = "[{\"role\": \"system\", \"content\": \"own\"},"
                              " {\"role\": \"user\", \"content\": \"q\"}]";
    test_file_write(folder, "plain.json", plain, sizeof plain - 1);
    test_file_write(folder, "own.json", own, sizeof own - 1);
    char *plain_path = path_join(folder, "plain.json"), *own_path = path_join(folder, "own.json");
    chat c = {0};
    assert_ok(chat_add_file(&c, plain_path, "given", &test_error));
    assert_int_equal(c.count, 2);
    assert_string_equal(c.messages[0].content, "given");
    chat_deinit(&c);
    assert_ok(chat_add_file(&c, own_path, "given", &test_error));
    assert_int_equal(c.count, 2);
    assert_string_equal(c.messages[0].content, "own");
    /* A turn goes in front of all but the system message. */
    chat with_turn = {0};
    assert_ok(chat_add_after_turn(&with_turn, "ask", "reply", &c, &test_error));
    assert_int_equal(with_turn.count, 4);
    assert_string_equal(with_turn.messages[0].role, "system");
    assert_string_equal(with_turn.messages[1].content, "ask");
    assert_string_equal(with_turn.messages[2].content, "reply");
    assert_string_equal(with_turn.messages[2].role, "assistant");
    assert_string_equal(with_turn.messages[3].content, "q");
    chat_deinit(&with_turn);
    chat_deinit(&c);
    assert_fails(chat_add_file(&c, folder, NULL, &test_error), C2C_STATUS_IO, folder);
    chat_deinit(&c);
    free(own_path);
    free(plain_path);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_wrong_messages),
                                       cmocka_unit_test(test_system)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
