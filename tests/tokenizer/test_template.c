/* The template language: what jinja2 renders (template_cases.json, whose texts are jinja2's own),
 * what is refused, what hostile templates run into, and whose bytes the rendered text is. */
#include "support/test.h"
#include "tokenizer/template.h"

static json_document *cases;

static int open_cases(void **state) {
    (void)state;
    return json_open(&cases, "tests/tokenizer/template_cases.json", &test_error);
}

static int close_cases(void **state) {
    (void)state;
    json_close(cases);
    return 0;
}

/* Renders `source` with the messages of template_cases.json. */
static c2c_status render_source(const char *source, size_t length, buffer *out, c2c_error *error) {
    chat_template *t;
    c2c_status status = chat_template_parse(&t, source, length, "a.jinja", NULL, error);
    if (status != C2C_STATUS_OK)
        return status;
    status = chat_template_render(t, json_get(json_root(cases), "messages"), NULL, out, error);
    chat_template_close(t);
    return status;
}

static void test_cases_of_jinja2(void **state) {
    (void)state;
    const json_value *rows = json_get(json_root(cases), "cases");
    uint32_t failed = 0;
    assert_true(rows->count > 1000);
    for (uint32_t i = 0; i < rows->count; i++) {
        const json_value *source = json_get(&rows->items[i], "template");
        const json_value *text = json_get(&rows->items[i], "text");
        const json_value *error = json_get(&rows->items[i], "error");
        buffer out = {0};
        c2c_error why = {0};
        c2c_status status = render_source(source->string, source->count, &out, &why);
        bool holds = text ? status == C2C_STATUS_OK && out.length == text->count &&
                                (!out.length || memcmp(out.data, text->string, out.length) == 0)
                          : status != C2C_STATUS_OK && strstr(why.message, error->string);
        if (!holds)
            print_error("%s\n  expected \"%s\"\n  got \"%s\" (%s)\n", source->string,
                        text ? text->string : error->string, out.data ? out.data : "", why.message);
        failed += !holds;
        buffer_free(&out);
    }
    assert_int_equal(failed, 0);
}

typedef struct refused {
    const char *source;
    c2c_status status;
    const char *message; /* the whole of it */
} refused;

static void check_refused(const refused *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        buffer out = {0};
        c2c_error why = {0};
        c2c_status status = render_source(rows[i].source, strlen(rows[i].source), &out, &why);
        if (status != rows[i].status || strcmp(why.message, rows[i].message) != 0)
            fail_msg("%.100s\n  expected \"%s\" (%s)\n  got \"%s\" (%s)", rows[i].source,
                     rows[i].message, c2c_status_name(rows[i].status), why.message,
                     c2c_status_name(status));
        assert_int_equal(out.length, 0);
        buffer_free(&out);
    }
}

static void test_messages_name_template_line_and_construct(void **state) {
    (void)state;
    static const refused rows[] = {
        {"{{ 1 }}\n\n{{ raise_exception('No \"x\", please') }}", C2C_STATUS_INVALID_ARGUMENT,
         "a.jinja: line 3: the template says: No \"x\", please"},
        {"{% if 1 %}\n{{ 'a' + 1 }}{% endif %}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 2: can only concatenate str (not \"int\") to str"},
        {"a\n{#- b\n -#}\n{{ messages[0].nothing.more }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 4: 'dict object' has no attribute 'nothing'"},
        {"a\n\n{% for x in [1] %}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 3: the template ends where {% endfor %} is missing for line 3"},
        {"\r\n\r\n{{ ) }}", C2C_STATUS_BAD_FILE, "a.jinja: line 3: unexpected ')'"},
        {"{{ '\n' ~\n $ }}", C2C_STATUS_BAD_FILE, "a.jinja: line 3: unexpected character '$'"},
        {"\n{% include 'b' %}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 2: the tag {% include %} is not supported"},
        {"{% for x in [] recursive %}{% endfor %}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: recursive for loops are not supported"},
        {"\n{{ 'a'|pprint }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 2: the filter 'pprint' is not supported"},
        {"{{ 'a'.encode() }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: the attribute 'encode' of str is not supported"},
        {"{{ cycler }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: the global 'cycler' is not supported"},
        {"{{ [1]|map('string') }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: printing a generator is not supported"},
        {"{{ 2 ** 64 }}", C2C_STATUS_UNSUPPORTED,
         "a.jinja: line 1: an integer that does not fit in 64 bits"},
        {"{{ '%c' % 'a' }}", C2C_STATUS_UNSUPPORTED, "a.jinja: line 1: the format code '%c'"},
        {"a\xff", C2C_STATUS_BAD_FILE, "a.jinja: byte 1 is not UTF-8"},
    };
    check_refused(rows, sizeof rows / sizeof *rows);
}

/* ---- Hostile templates -------------------------------------------------------------------- */

#define DEEP  "a.jinja: line 1: macros or values nested deeper than 1000 levels"
#define LARGE "a.jinja: line 1: rendering needs more than 256 MiB"
#define LONG  "a.jinja: line 1: rendering takes more than 20000000 steps"

static void test_hostile_templates_are_stopped(void **state) {
    (void)state;
    static const refused rows[] = {
        {"{{ 'a' * 1000000000 }}", C2C_STATUS_BAD_FILE, LARGE},
        {"{{ [1] * 9223372036854775807 }}", C2C_STATUS_BAD_FILE, LONG},
        {"{{ '%-999999999s' % 1 }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: width or precision too large"},
        {"{{ 'a'.center(9223372036854775807) }}", C2C_STATUS_BAD_FILE, LARGE},
        {"{{ [1]|batch(1000000000, 0)|list }}", C2C_STATUS_BAD_FILE, LARGE},
        {"{{ range(100001) }}", C2C_STATUS_BAD_FILE,
         "a.jinja: line 1: range too big: more than 100000 numbers"},
        {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
         C2C_STATUS_BAD_FILE, LARGE},
        {"{% set l = range(100000)|list %}{% for i in l %}{{ -1 in l }}{% endfor %}",
         C2C_STATUS_BAD_FILE, LONG},
        {"{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}"
         "{% endfor %}",
         C2C_STATUS_BAD_FILE, LARGE},
        {"{% set x = 'a' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
         C2C_STATUS_BAD_FILE, "a.jinja: line 1: the rendered text is longer than 67108864 bytes"},
        {"{% set x = 'a' * 1000000 %}{% set y = 'a' * 500000 ~ 'b' %}"
         "{% for i in range(1000) %}{{ x.find(y) }}{% endfor %}",
         C2C_STATUS_BAD_FILE, LONG},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", C2C_STATUS_BAD_FILE, DEEP},
        {"{% set n = namespace() %}{% set n.x = n %}{{ n }}", C2C_STATUS_BAD_FILE, DEEP},
        {"{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}"
         "{{ n.x == n.x }}",
         C2C_STATUS_BAD_FILE, DEEP},
        {"{% set n = namespace(x=()) %}{% for i in range(9999) %}{% set n.x = (n.x,) %}{% endfor %}"
         "{{ n.x|tojson }}",
         C2C_STATUS_BAD_FILE, DEEP},
        {"{% set n = namespace(x=()) %}{% for i in range(9999) %}{% set n.x = (n.x,) %}{% endfor %}"
         "{{ {n.x: 1} }}",
         C2C_STATUS_BAD_FILE, "a.jinja: line 1: unhashable type: 'tuple'"},
    };
    check_refused(rows, sizeof rows / sizeof *rows);
}

/* `open` and `close` around 1, `times` times. */
static void check_repeated(const char *open, const char *close, int times, const char *part) {
    buffer source = {0}, out = {0};
    buffer_append_text(&source, "{{ ");
    for (int i = 0; i < times; i++)
        buffer_append_text(&source, open);
    buffer_append_text(&source, "1");
    for (int i = 0; i < times; i++)
        buffer_append_text(&source, close);
    buffer_append_text(&source, " }}");
    assert_fails(render_source(source.data, source.length, &out, &test_error), C2C_STATUS_BAD_FILE,
                 part);
    buffer_free(&source);
    buffer_free(&out);
}

static void test_deep_nesting_is_stopped(void **state) {
    (void)state;
    check_repeated("(", ")", 100000, "more than 256 brackets inside each other");
    check_repeated("[", "]", 250, "nested deeper than 200 levels");
    check_repeated("not ", "", 100000, "nested deeper than 200 levels");
    check_repeated("-", "", 100000, "nested deeper than 200 levels");
    check_repeated("1 if 1 else ", "", 50000, "nested deeper than 200 levels");
    check_repeated("1+", "", 100000, "nested deeper than 1000 levels");
    check_repeated("", "|abs", 100000, "nested deeper than 1000 levels");
    check_repeated("", ".a", 100000, "nested deeper than 1000 levels");
    check_repeated("", "[0]", 100000, "nested deeper than 1000 levels");
    check_repeated("", " and 1", 100000, "nested deeper than 1000 levels");
}

static void test_a_template_that_is_too_large_is_refused(void **state) {
    (void)state;
    size_t length = TEMPLATE_MAX_SOURCE + 1;
    char *source = malloc(length);
    buffer out = {0};
    assert_non_null(source);
    memset(source, 'a', length);
    assert_fails(render_source(source, length, &out, &test_error), C2C_STATUS_BAD_FILE,
                 "1048577 bytes", "at most 1048576");
    assert_ok(render_source(source, length - 1, &out, &test_error));
    assert_int_equal(out.length, length - 1);
    buffer_free(&out);
    free(source);
}

/* A text that grows in a loop costs its length, not the square of it. */
static void test_a_text_may_grow_piece_by_piece(void **state) {
    (void)state;
    static const char source[] =
        "{% set n = namespace(x='') %}{% for i in range(100000) %}"
        "{% set n.x = n.x + '0123456789' %}{% endfor %}{{ n.x|length }}{{ n.x[-3:] }}";
    buffer out = {0};
    assert_ok(render_source(source, strlen(source), &out, &test_error));
    assert_string_equal(out.data, "1000000789");
    buffer_free(&out);
}

/* ---- Whose bytes they are ----------------------------------------------------------------- */

/* Renders with `messages` (JSON) and writes "text" with each message's bytes as "<N:bytes>". */
static void check_runs(const char *source, const char *messages, const char *expected) {
    chat_template *t;
    json_document *document;
    const text *rendered;
    buffer marked = {0};
    arena *memory = arena_new(1024);
    assert_ok(json_parse(&document, messages, strlen(messages), "messages", &test_error));
    assert_ok(chat_template_parse(&t, source, strlen(source), "a.jinja", NULL, &test_error));
    assert_ok(chat_template_render_runs(t, json_root(document), NULL, NULL, memory, &rendered,
                                        &test_error));
    size_t at = 0;
    for (size_t i = 0; i < rendered->run_count; i++) {
        const text_run *run = &rendered->runs[i];
        assert_true(run->start >= at && run->start < run->end && run->end <= rendered->length);
        buffer_append(&marked, rendered->bytes + at, run->start - at);
        buffer_printf(&marked, "<%d:%.*s>", run->message, (int)(run->end - run->start),
                      rendered->bytes + run->start);
        at = run->end;
    }
    buffer_append(&marked, rendered->bytes + at, rendered->length - at);
    assert_string_equal(marked.data, expected);
    buffer_free(&marked);
    chat_template_close(t);
    json_close(document);
    arena_free(memory);
}

static void test_contents_are_known_in_the_rendered_text(void **state) {
    (void)state;
    static const char two[] = "[{\"role\": \"user\", \"content\": \"  Hi,  you \"},"
                              " {\"role\": \"assistant\", \"content\": \"<t>é</t>\\n\\nYo\"}]";
    static const struct {
        const char *source, *expected;
    } rows[] = {
        {"{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}",
         "[user:<0:  Hi,  you >][assistant:<1:<t>é</t>\n\nYo>]"},
        {"{{ 'a' + messages[0].content|trim + 'b' }}", "a<0:Hi,  you>b"},
        {"{{ messages[1].content.split('</t>')[-1].lstrip('\\n') }}", "<1:Yo>"},
        {"{{ messages[1].content.split('</t>')[0] ~ '|' }}", "<1:<t>é>|"},
        {"{{ messages[0].content|replace('  ', '__') }}", "__<0:Hi,>__<0:you >"},
        {"{{ messages|map(attribute='content')|join('+') }}", "<0:  Hi,  you >+<1:<t>é</t>\n\nYo>"},
        {"{{ messages[0].content[2:4] }}{{ messages[0].content[4] }}", "<0:Hi,>"},
        {"{{ messages[1].content|upper }}", "<1:<T>É</T>\n\nYO>"},
        {"{{ messages[0].content * 2 }}", "<0:  Hi,  you   Hi,  you >"},
        {"{% set x %}.{{ messages[0].content.strip() }}.{% endset %}{{ x }}{{ x[1:3] }}",
         ".<0:Hi,  you>.<0:Hi>"},
        {"{% macro f(x) %}({{ x }}){% endmacro %}{{ f(messages[1].content[-2:]) }}", "(<1:Yo>)"},
        {"{{ '%s/%s' % (messages[0].content[2:4], 1) }}{{ '{}'.format(messages[1].content[-2:]) }}",
         "<0:Hi>/1<1:Yo>"},
        {"{{ messages[0].content|trim|list }}",
         "['<0:H>', '<0:i>', '<0:,>', '<0: >', '<0: >', '<0:y>', '<0:o>', '<0:u>']"},
        {"{{ messages[0].role|upper }}{{ 'Hi' }}", "USERHi"},
        {"{{ messages[0].content|length }}", "11"},
        {"{{ 'a' ~ messages[0].content[3:3] ~ 'b' }}", "ab"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_runs(rows[i].source, two, rows[i].expected);
    check_runs("{% for part in messages[0].content %}{{ part.type }}={{ part.text }};{% endfor %}",
               "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"},"
               "{\"type\": \"text\", \"text\": \"b\"}]}]",
               "text=<0:a>;text=<0:b>;");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases_of_jinja2),
        cmocka_unit_test(test_messages_name_template_line_and_construct),
        cmocka_unit_test(test_hostile_templates_are_stopped),
        cmocka_unit_test(test_deep_nesting_is_stopped),
        cmocka_unit_test(test_a_template_that_is_too_large_is_refused),
        cmocka_unit_test(test_a_text_may_grow_piece_by_piece),
        cmocka_unit_test(test_contents_are_known_in_the_rendered_text),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
