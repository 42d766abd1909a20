/* Where a folder's template is looked for, which variables it sees, and what is said when there is
 * none. */
#include "support/test.h"
#include "tokenizer/tokenizer.h"

typedef struct place {
    char *folder;
} place;

static int make_place(void **state) {
    static place p;
    p.folder = test_folder_make();
    *state = &p;
    return 0;
}

static int remove_place(void **state) {
    test_folder_remove(((place *)*state)->folder);
    return 0;
}

static void put(const place *p, const char *name, const char *text) {
    test_file_write(p->folder, name, text, strlen(text));
}

/* Opens the folder and renders one user message that says "hi". */
static c2c_status render(const place *p, const char *override, const c2c_chat_options *options,
                         buffer *out, c2c_error *error) {
    static const char messages[] = "[{\"role\": \"user\", \"content\": \"hi\"}]";
    json_document *document = NULL;
    chat_template *t = NULL;
    c2c_status status = chat_template_open(&t, p->folder, override, error);
    if (status == C2C_STATUS_OK)
        status = json_parse(&document, messages, strlen(messages), "messages", error);
    if (status == C2C_STATUS_OK)
        status = chat_template_render(t, json_root(document), options, out, error);
    chat_template_close(t);
    json_close(document);
    return status;
}

static void expect(const place *p, const char *override, const char *expected) {
    buffer out = {0};
    assert_ok(render(p, override, NULL, &out, &test_error));
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

static void test_places_in_order(void **state) {
    const place *p = *state;
    buffer out = {0};
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_NOT_FOUND, p->folder,
                 "chat_template.jinja", "tokenizer_config.json", "--chat-template", "--raw");
    put(p, "tokenizer_config.json", "{\"eos_token\": \"</s>\"}");
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_NOT_FOUND,
                 "no chat template");
    put(p, "tokenizer_config.json",
        "{\"eos_token\": \"</s>\", \"chat_template\": \"3{{ eos_token }}\"}");
    expect(p, NULL, "3</s>");
    put(p, "chat_template.json", "{\"chat_template\": null}");
    expect(p, NULL, "3</s>");
    put(p, "chat_template.json", "{\"chat_template\": \"2{{ eos_token }}\"}");
    expect(p, NULL, "2</s>");
    put(p, "chat_template.jinja", "1{{ eos_token }}{{ messages[0].content }}\n");
    expect(p, NULL, "1</s>hi");
    put(p, "other.jinja", "0{{ eos_token }}");
    char *path = path_join(p->folder, "other.jinja");
    expect(p, path, "0</s>");
    free(path);
}

static void test_named_templates(void **state) {
    const place *p = *state;
    buffer out = {0};
    put(p, "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"},"
        " {\"name\": \"default\", \"template\": \"d\"}]}");
    expect(p, NULL, "d");
    put(p, "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"},"
        " {\"name\": \"rag\", \"template\": \"r\"}]}");
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_UNSUPPORTED, "default",
                 "tool_use, rag");
    put(p, "tokenizer_config.json", "{\"chat_template\": [{\"name\": \"default\"}]}");
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_BAD_FILE, "chat_template[0]");
    put(p, "tokenizer_config.json", "{\"chat_template\": 5}");
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_BAD_FILE,
                 "tokenizer_config.json", "chat_template", "found");
}

static void test_bad_files(void **state) {
    const place *p = *state;
    buffer out = {0};
    chat_template *t = (chat_template *)1;
    assert_fails(chat_template_open(&t, p->folder, "/does/not/exist.jinja", &test_error),
                 C2C_STATUS_NOT_FOUND, "/does/not/exist.jinja");
    assert_null(t);
    put(p, "chat_template.jinja", "a\n\xc3(");
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_BAD_FILE,
                 "chat_template.jinja", "byte 2", "UTF-8");
    put(p, "chat_template.jinja", "a\n{% if %}");
    assert_fails(chat_template_open(&t, p->folder, NULL, &test_error), C2C_STATUS_BAD_FILE,
                 "chat_template.jinja: line 2");
    /* What this build lacks stops a rendering, not the opening: not every use renders a chat. */
    put(p, "chat_template.jinja", "a\n{% include 'x' %}");
    assert_ok(chat_template_open(&t, p->folder, NULL, &test_error));
    chat_template_close(t);
    assert_fails(render(p, NULL, NULL, &out, &test_error), C2C_STATUS_UNSUPPORTED,
                 "chat_template.jinja: line 2", "include");
    put(p, "tokenizer_config.json", "{");
    assert_fails(chat_template_open(&t, p->folder, NULL, &test_error), C2C_STATUS_BAD_FILE,
                 "tokenizer_config.json");
}

static void test_variables(void **state) {
    const place *p = *state;
    buffer out = {0};
    put(p, "tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": false}, \"eos_token\": \"</s>\","
        " \"pad_token\": null, \"additional_special_tokens\": [\"<a>\", {\"content\": \"<b>\"}],"
        " \"extra_special_tokens\": {\"image_token\": \"<img>\"}}");
    put(p, "chat_template.jinja",
        "{{ bos_token }}{{ eos_token }} {{ pad_token is defined }} {{ unk_token is defined }} "
        "{{ additional_special_tokens }} {{ image_token }} {{ tools }} {{ documents }} "
        "{{ add_generation_prompt }} {{ enable_thinking is defined }} {{ enable_thinking }} "
        "{{ strftime_now is defined }} {{ date_string is defined }}");
    expect(p, NULL, "<s></s> False False ['<a>', '<b>'] <img> None None False False  False False");
    c2c_chat_options options = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};
    assert_ok(render(p, NULL, &options, &out, &test_error));
    assert_string_equal(out.data, "<s></s> False False ['<a>', '<b>'] <img> None None True True "
                                  "False False False");
    buffer_clear(&out);
    options.thinking = C2C_THINKING_ON;
    put(p, "chat_template.jinja", "{{ enable_thinking }}");
    assert_ok(render(p, NULL, &options, &out, &test_error));
    assert_string_equal(out.data, "True");
    buffer_free(&out);
}

static void test_messages_must_be_a_list(void **state) {
    (void)state;
    static const char text[] = "{\"role\": \"user\"}";
    json_document *document;
    chat_template *t;
    buffer out = {0};
    assert_ok(json_parse(&document, text, strlen(text), "messages", &test_error));
    assert_ok(chat_template_parse(&t, "a", 1, "a.jinja", NULL, &test_error));
    assert_fails(chat_template_render(t, json_root(document), NULL, &out, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "messages", "list", "object");
    chat_template_close(t);
    json_close(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places_in_order, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_named_templates, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_bad_files, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_variables, make_place, remove_place),
        cmocka_unit_test(test_messages_must_be_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
