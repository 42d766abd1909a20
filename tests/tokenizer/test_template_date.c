/* strftime_now: the rows of template_dates.json, whose texts are those of Python's
 * datetime.strftime; what it refuses; and that it is there only where a moment was given. */
#include "support/test.h"
#include "tokenizer/tokenizer.h"

static json_document *rows;

static int open_rows(void **state) {
    (void)state;
    return json_open(&rows, "tests/tokenizer/template_dates.json", &test_error);
}

static int close_rows(void **state) {
    (void)state;
    json_close(rows);
    return 0;
}

/* Renders `source` for a chat of one message. */
static c2c_status render(const char *source, const char *content, const c2c_moment *now,
                         buffer *out, c2c_error *error) {
    const json_value role = {.type = JSON_STRING, .string = "user", .count = 4};
    const json_value text = {.type = JSON_STRING,
                             .string = content,
                             .count = (uint32_t)strlen(content)};
    json_member members[] = {{.key = "role", .key_length = 4, .value = role},
                             {.key = "content", .key_length = 7, .value = text}};
    json_value message = {.type = JSON_OBJECT, .members = members, .count = 2};
    const json_value messages = {.type = JSON_ARRAY, .items = &message, .count = 1};
    const c2c_chat_options options = {.now = now};
    chat_template *t;
    c2c_status status = chat_template_parse(&t, source, strlen(source), "a.jinja", NULL, error);
    if (status != C2C_STATUS_OK)
        return status;
    status = chat_template_render(t, &messages, &options, out, error);
    chat_template_close(t);
    return status;
}

/* The wall shows the same wherever it hangs: seconds and offset add up. */
static void test_rows_of_python(void **state) {
    (void)state;
    static const int32_t offsets[] = {0, 3600, -12 * 3600, 20700, -86399, 86399};
    const json_value *list = json_get(json_root(rows), "rows");
    assert_true(list->count > 500);
    for (uint32_t i = 0; i < list->count; i++) {
        int32_t offset = offsets[i % 6];
        c2c_moment now = {json_get(&list->items[i], "seconds")->integer - offset, offset};
        const json_value *format = json_get(&list->items[i], "format");
        const json_value *text = json_get(&list->items[i], "text");
        buffer out = {0};
        assert_ok(render("{{ strftime_now(messages[0].content) }}", format->string, &now, &out,
                         &test_error));
        if (out.length != text->count || memcmp(out.data, text->string, text->count) != 0)
            fail_msg("%s of %lld: expected \"%s\", got \"%.*s\"", format->string,
                     (long long)now.unix_seconds, text->string, (int)out.length, out.data);
        buffer_free(&out);
    }
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const c2c_moment now = {1721952000, 0};
    static const struct {
        const char *source;
        c2c_status status;
        const char *message;
    } bad[] = {
        {"\n{{ strftime_now('%Q') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 2: strftime_now(): the directive '%Q'"},
        {"{{ strftime_now('a%') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: strftime_now(): the directive '%'"},
        {"{{ strftime_now('%-\xc3\xa9') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: strftime_now(): the directive '%-\xc3\xa9'"},
        {"{{ strftime_now('%99999999d') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: strftime_now(): the directive '%9'"},
        {"{{ strftime_now('%Ed') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: strftime_now(): the directive '%Ed'"},
        {"{{ strftime_now('%-z') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: strftime_now(): the directive '%-z'"},
        {"{{ strftime_now('a\\0b') }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: strftime_now(): embedded null character"},
        {"{{ strftime_now(1) }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: strftime_now(): expected a string, found int"},
        {"{{ strftime_now() }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: strftime_now() needs at least 1 argument(s)"},
        {"{{ strftime_now('%d', '%m') }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: strftime_now() takes at most 1 argument(s), not 2"},
        {"{{ strftime_now(messages[0].x) }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: 'dict object' has no attribute 'x'"},
        {"{{ strftime_now('%c' * 3000000) }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: rendering takes more than 20000000 steps"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer out = {0};
        c2c_error why = {0};
        c2c_status status = render(bad[i].source, "", &now, &out, &why);
        if (status != bad[i].status || strcmp(why.message, bad[i].message) != 0)
            fail_msg("%s: expected \"%s\", got \"%s\"", bad[i].source, bad[i].message, why.message);
        buffer_free(&out);
    }
}

static void test_moments_that_no_calendar_has(void **state) {
    (void)state;
    static const c2c_moment bad[] = {{INT64_MAX, 0}, {INT64_MIN, 0},   {253402300800, 0},
                                     {0, 86400},     {0, INT32_MIN},   {-62135596801, 0},
                                     {0, -86400},    {253402300799, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer out = {0};
        assert_fails(render("{{ strftime_now('%d') }}", "", &bad[i], &out, &test_error),
                     C2C_STATUS_BAD_FILE, "years 1 to 9999");
        buffer_free(&out);
    }
}

/* A template asks whether there is a date before it shows one. */
static void test_without_a_moment_it_is_undefined(void **state) {
    (void)state;
    static const char shy[] = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}"
                              "{% else %}no date{% endif %}";
    static const c2c_moment now = {1721952000, 0};
    buffer out = {0};
    assert_ok(render(shy, "", NULL, &out, &test_error));
    assert_string_equal(out.data, "no date");
    buffer_clear(&out);
    assert_ok(render(shy, "", &now, &out, &test_error));
    assert_string_equal(out.data, "26 Jul 2024");
    buffer_clear(&out);
    assert_fails(render("{{ strftime_now('%d') }}", "", NULL, &out, &test_error),
                 C2C_STATUS_BAD_FILE, "'strftime_now' is undefined");
    /* A variable of the template's own hides it. */
    assert_ok(render("{% set strftime_now = 1 %}{{ strftime_now }}", "", &now, &out, &test_error));
    assert_string_equal(out.data, "1");
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_python),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_moments_that_no_calendar_has),
        cmocka_unit_test(test_without_a_moment_it_is_undefined),
    };
    return cmocka_run_group_tests(tests, open_rows, close_rows);
}
