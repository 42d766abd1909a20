/* test_text.c - what is printed: tables, the progress line, numbers, JSON. */
#include "app/inspect.h"
#include "support/test.h"

static void test_table(void **state) {
    (void)state;
    static const char *const titles[] = {"way", "ms", "answer"};
    table t;
    buffer out = {0};
    table_init(&t, titles, "lrl");
    table_add(&t, "receiver");
    table_add(&t, "%.1f", 4.25);
    table_add(&t, "a few words that are broken at spaces\nand at line ends");
    /* Four columns for two Chinese characters, two for the two accents. */
    table_add(&t, "\xe4\xb8\xad\xe6\x96\x87");
    table_add(&t, "100");
    table_add(&t, "e\xcc\x81 \x1b[31m");
    table_write(&t, 2, 42, &out);
    assert_string_equal(out.data, "  way        ms  answer\n"
                                  "  receiver  4.2  a few words that are\n"
                                  "                 broken at spaces\n"
                                  "                 and at line ends\n"
                                  "  \xe4\xb8\xad\xe6\x96\x87      100  e\xcc\x81  [31m\n");
    table_deinit(&t);
    buffer_free(&out);
}

static void test_table_long_word(void **state) {
    (void)state;
    table t;
    buffer out = {0};
    table_init(&t, NULL, "l");
    table_add(&t, "abcdefghijklmnopqrstuvwxyz");
    table_add(&t, "%s", "");
    table_write(&t, 0, 20, &out);
    assert_string_equal(out.data, "abcdefghijklmnopqrst\nuvwxyz\n\n");
    table_deinit(&t);
    buffer_free(&out);
}

static void test_text_columns(void **state) {
    (void)state;
    assert_int_equal(text_columns("abc", 3), 3);
    assert_int_equal(text_columns("", 0), 0);
    assert_int_equal(text_columns("\xe4\xb8\xad", 3), 2);
    /* Bytes that are no character still take a place. */
    assert_int_equal(text_columns("\xff\xfe", 2), 2);
}

static void test_progress_line(void **state) {
    (void)state;
    buffer out = {0};
    progress_line(&out, "work", 5, 10, 12.3, 40);
    assert_string_equal(out.data, "work [###########...........] 5/10  12 s");
    assert_true(text_columns(out.data, out.length) <= 40);
    buffer_clear(&out);
    progress_line(&out, "work", 10, 10, 1, 200);
    assert_string_equal(out.data, "work [########################################] 10/10  1 s");
    buffer_clear(&out);
    progress_line(&out, "work", 3, 10, 1, 12);
    assert_string_equal(out.data, "work 3/10  1 s");
    buffer_clear(&out);
    progress_line(&out, "work", 7, 0, 0, 60);
    assert_non_null(strstr(out.data, " 0/0 "));
    buffer_free(&out);
}

static void test_numbers(void **state) {
    (void)state;
    char text[NUMBER_TEXT];
    assert_string_equal(number_text(0, text), "0");
    assert_string_equal(number_text(999, text), "999");
    assert_string_equal(number_text(1000, text), "1,000");
    assert_string_equal(number_text(-1234567, text), "-1,234,567");
    assert_string_equal(number_text(INT64_MIN, text), "-9,223,372,036,854,775,808");
    assert_string_equal(bytes_text(1023, text), "1023 bytes");
    assert_string_equal(bytes_text(1536, text), "1.5 KiB");
    assert_string_equal(bytes_text(INT64_MAX, text), "8192.0 PiB");
}

static void test_json_out(void **state) {
    (void)state;
    json_out o = {0};
    json_out_open(&o, NULL, '{');
    json_out_text(&o, "a", "x\"\n\xff", 4);
    json_out_open(&o, "list", '[');
    json_out_integer(&o, NULL, -1);
    json_out_real(&o, NULL, 0.5);
    json_out_real(&o, NULL, (double)NAN);
    json_out_real(&o, NULL, (double)INFINITY);
    json_out_close(&o, ']');
    json_out_open(&o, "none", '{');
    json_out_close(&o, '}');
    json_out_bool(&o, "yes", true);
    json_out_null(&o, "null");
    json_out_close(&o, '}');
    json_document *document;
    assert_ok(json_parse(&document, o.text.data, o.text.length, "printed", &test_error));
    assert_string_equal(o.text.data, "{\"a\": \"x\\\"\\n\xef\xbf\xbd\", \"list\": [-1, 0.5, null, "
                                     "null], \"none\": {}, \"yes\": true, \"null\": null}");
    json_close(document);
    buffer_free(&o.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_table_long_word),
        cmocka_unit_test(test_text_columns), cmocka_unit_test(test_progress_line),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_json_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
