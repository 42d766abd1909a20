/* test_page.c - pages of reports: text that cannot become markup, numbers of axes. */
#include "formats/formats.h"
#include "support/test.h"

static void assert_text(const char *text, size_t most, const char *expected) {
    buffer out = {0};
    page_text(&out, text, most);
    buffer_append(&out, "", 0);
    assert_string_equal(out.data ? out.data : "", expected);
    buffer_free(&out);
}

static void test_text_is_no_markup(void **state) {
    (void)state;
    assert_text("a < b && c > \"d\"", SIZE_MAX, "a &lt; b &amp;&amp; c &gt; &quot;d&quot;");
    assert_text("</pre><script>", SIZE_MAX, "&lt;/pre&gt;&lt;script&gt;");
    assert_text("one\ntwo\x1b[0m\x01", SIZE_MAX, "one\ntwo\xef\xbf\xbd[0m\xef\xbf\xbd");
    assert_text(NULL, SIZE_MAX, "");
}

/* No character is cut in two, and what is left out is said. */
static void test_text_is_cut(void **state) {
    (void)state;
    assert_text("abc", 3, "abc");
    assert_text("abcd", 3, "abc ...");
    assert_text("a\xc3\xa4z", 2, "a ...");
    assert_text("a\xc3\xa4z", 3, "a\xc3\xa4 ...");
    assert_text("\xe4\xb8\xad\xe6\x96\x87", 5, "\xe4\xb8\xad ...");
}

static void test_steps(void **state) {
    (void)state;
    static const struct {
        double range, step;
    } rows[] = {{5, 1},     {6, 2},       {10, 2},     {11, 5},        {25, 5},   {26, 10},
                {0.9, 0.2}, {0.05, 0.01}, {1929, 500}, {1e-12, 2e-13}, {3e9, 1e9}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double step = svg_round_step(rows[i].range, 5);
        /* A power of ten and a few products of doubles. */
        if (!(fabs(step - rows[i].step) <= 1e-9 * rows[i].step))
            fail_msg("of %g: expected %g, found %g", rows[i].range, rows[i].step, step);
    }
}

/* A page is whole, and names nothing outside of it. */
static void test_page(void **state) {
    (void)state;
    buffer out = {0};
    page_begin(&out, "c2c <test>", "a & b");
    svg_begin(&out, 100, 50, "\"plot\"");
    svg_line(&out, "grid", 0, 1.25, 100, 2);
    svg_text(&out, 3, 4, SVG_END, "<name>", 80);
    svg_end(&out);
    page_end(&out);
    assert_false(out.failed);
    assert_int_equal(strncmp(out.data, "<!doctype html>", 15), 0);
    static const char *const held[] = {
        "<title>c2c &lt;test&gt;: a &amp; b</title>",
        "<h1>a &amp; b</h1>",
        "prefers-color-scheme:dark",
        "viewBox=\"0 0 100 50\"",
        "aria-label=\"&quot;plot&quot;\"",
        "<text x=\"3.0\" y=\"4.0\" text-anchor=\"end\">&lt;name&gt;</text>",
        "</svg></div>\n</html>\n"};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (!strstr(out.data, held[i]))
            fail_msg("\"%s\" is not in:\n%s", held[i], out.data);
    assert_null(strstr(out.data, "http"));
    assert_null(strstr(out.data, "script"));
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_no_markup),
        cmocka_unit_test(test_text_is_cut),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
