/* Every recorded rendering of real and tiny models' chats, found from the files themselves. */
#include "support/test.h"
#include "tokenizer/tokenizer.h"

#include <dirent.h>

/* Of {text} or {error: "Kind: message"}: the row holds, or is printed. */
static bool row_holds(const chat_template *t, const json_value *row, const char *file, uint32_t i) {
    const json_value *thinking = json_get(row, "enable_thinking");
    const json_value *error = json_get(row, "error"), *text = json_get(row, "text");
    c2c_chat_options options = {.add_generation_prompt =
                                    json_get(row, "add_generation_prompt")->boolean};
    if (thinking && thinking->type == JSON_BOOL)
        options.thinking = thinking->boolean ? C2C_THINKING_ON : C2C_THINKING_OFF;
    buffer out = {0};
    c2c_error why = {0};
    c2c_status status = chat_template_render(t, json_get(row, "messages"), &options, &out, &why);
    bool holds;
    if (error && error->type == JSON_STRING) {
        /* The template's own message must stand in ours; a missing template is said our way. */
        const char *message = strstr(error->string, ": ");
        holds = status != C2C_STATUS_OK && message &&
                (strstr(why.message, message + 2) || strstr(why.message, "no chat template"));
    } else {
        holds = status == C2C_STATUS_OK && out.length == text->count &&
                (!out.length || memcmp(out.data, text->string, out.length) == 0);
    }
    if (!holds)
        print_error("%s: chat %u: got \"%s\" (%s)\n", file, i, out.data ? out.data : "",
                    why.message);
    buffer_free(&out);
    return holds;
}

static uint32_t check_file(const char *file, const char *folder) {
    json_document *document;
    chat_template *t;
    uint32_t failed = 0;
    assert_ok(json_open(&document, file, &test_error));
    assert_ok(chat_template_open(&t, folder, NULL, &test_error));
    const json_value *rows = json_get(json_root(document), "chat");
    assert_non_null(rows);
    for (uint32_t i = 0; i < rows->count; i++)
        failed += !row_holds(t, &rows->items[i], file, i);
    uint32_t count = rows->count;
    chat_template_close(t);
    json_close(document);
    assert_int_equal(failed, 0);
    return count;
}

/* The goldens of Llama 3.2 were rendered without a clock: its template then writes the day on which
 * it was made. With a clock on that day it must write the same, and on another day another. */
static void test_a_clock_on_the_default_date(void **state) {
    (void)state;
    static const c2c_moment then = {1721952000, 0}, next = {1722038400, 0};
    const char *folder = test_shared("assets/tokenizers/Llama-3.2-1B-Instruct");
    if (!folder) {
        puts("SKIP: assets/tokenizers/Llama-3.2-1B-Instruct is not there");
        skip();
    }
    json_document *document;
    chat_template *t;
    buffer texts[3] = {{0}, {0}, {0}};
    static const char chat[] = "[{\"role\": \"user\", \"content\": \"Hello\"}]";
    assert_ok(json_parse(&document, chat, strlen(chat), "chat", &test_error));
    assert_ok(chat_template_open(&t, folder, NULL, &test_error));
    const c2c_moment *const moments[] = {NULL, &then, &next};
    for (int i = 0; i < 3; i++) {
        const c2c_chat_options options = {.now = moments[i]};
        assert_ok(chat_template_render(t, json_root(document), &options, &texts[i], &test_error));
        buffer_append_char(&texts[i], 0);
    }
    assert_string_equal(texts[0].data, texts[1].data);
    assert_non_null(strstr(texts[1].data, "Today Date: 26 Jul 2024"));
    assert_non_null(strstr(texts[2].data, "Today Date: 27 Jul 2024"));
    for (int i = 0; i < 3; i++)
        buffer_free(&texts[i]);
    chat_template_close(t);
    json_close(document);
}

/* Calls check_file for root/<entry>/tokenizer_expected.json, or, where `folders` says where the
 * tokenizers are, for root/<name>.json. */
static uint32_t check_all(const char *root, const char *folders) {
    DIR *dir = opendir(root);
    uint32_t rows = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[256];
        snprintf(name, sizeof name, "%s", entry->d_name);
        char *ending = strstr(name, ".json");
        if (name[0] == '.' || (folders && !ending))
            continue;
        char *file, *folder;
        if (folders) {
            file = path_join(root, name);
            *ending = 0;
            folder = path_join(folders, name);
        } else {
            folder = path_join(root, name);
            file = path_join(folder, "tokenizer_expected.json");
        }
        if (file_exists(file) && folder_exists(folder))
            rows += check_file(file, folder);
        free(file);
        free(folder);
    }
    closedir(dir);
    return rows;
}

static void test_tiny_models(void **state) {
    (void)state;
    const char *golden = test_shared("golden/models");
    if (!golden) {
        puts("SKIP: golden/models is not there");
        skip();
    }
    assert_true(check_all(golden, NULL) > 0);
}

static void test_real_tokenizers(void **state) {
    (void)state;
    char golden[4096], assets[4096];
    const char *path = test_shared("golden/tokenizers");
    snprintf(golden, sizeof golden, "%s", path ? path : "");
    path = test_shared("assets/tokenizers");
    snprintf(assets, sizeof assets, "%s", path ? path : "");
    if (!*golden || !*assets) {
        puts("SKIP: golden/tokenizers or assets/tokenizers is not there");
        skip();
    }
    assert_true(check_all(golden, assets) > 0);
}

/* The copies in the repository, so that something is proved without data beside it. */
static void test_models_in_the_repository(void **state) {
    (void)state;
    if (!folder_exists("tests/golden/data/models")) {
        puts("SKIP: tests/golden/data/models is not there");
        skip();
    }
    assert_true(check_all("tests/golden/data/models", NULL) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_in_the_repository),
        cmocka_unit_test(test_tiny_models),
        cmocka_unit_test(test_real_tokenizers),
        cmocka_unit_test(test_a_clock_on_the_default_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
