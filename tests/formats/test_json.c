/* JSON: what is a document, what is not and what the message says; typed access; writing. */
#include "formats/formats.h"
#include "support/test.h"

static c2c_status parse(json_document **d, const char *text) {
    return json_parse(d, text, strlen(text), "t.json", &test_error);
}

/* ---- Documents ---------------------------------------------------------------------------- */

static void test_values(void **state) {
    (void)state;
    json_document *d;
    assert_ok(parse(&d,
                    " {\"n\":null, \"t\":true,\"f\":false,\"i\":-12,\"r\":2.5e-1,"
                    "\"s\":\"\\u00e9\\n\\ud83d\\ude00\",\"a\":[1,[],{}],\"o\":{\"k\":\"v\"}}\n "));
    assert_string_equal(json_name(d), "t.json");
    const json_value *root = json_root(d);
    assert_int_equal(root->type, JSON_OBJECT);
    assert_int_equal(root->count, 8);
    assert_string_equal(root->members[5].key, "s"); /* the order of the file */
    assert_int_equal(json_get(root, "n")->type, JSON_NULL);
    assert_true(json_get(root, "t")->boolean);
    assert_false(json_get(root, "f")->boolean);
    assert_int_equal(json_get(root, "i")->integer, -12);
    assert_true(json_get(root, "r")->real == 0.25);
    assert_string_equal(json_get(root, "s")->string, "\xc3\xa9\n\xf0\x9f\x98\x80");
    const json_value *a = json_get(root, "a");
    assert_int_equal(a->count, 3);
    assert_int_equal(a->items[0].integer, 1);
    assert_int_equal(a->items[1].type, JSON_ARRAY);
    assert_int_equal(a->items[1].count, 0);
    assert_int_equal(a->items[2].type, JSON_OBJECT);
    assert_string_equal(json_get(json_get(root, "o"), "k")->string, "v");
    assert_null(json_get(root, "missing"));
    assert_null(json_get(a, "k"));
    assert_null(json_get(NULL, "k"));
    json_close(d);
    json_close(NULL);
}

static void test_single_values_are_documents(void **state) {
    (void)state;
    static const struct {
        const char *text;
        json_type type;
    } rows[] = {{"1", JSON_INTEGER},   {" 1.0 ", JSON_REAL}, {"\"\"", JSON_STRING},
                {"true", JSON_BOOL},   {"null", JSON_NULL},  {"[]", JSON_ARRAY},
                {"{}\n", JSON_OBJECT}, {"1e2", JSON_REAL},   {"-0", JSON_INTEGER}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_document *d;
        assert_ok(parse(&d, rows[i].text));
        assert_int_equal(json_root(d)->type, rows[i].type);
        json_close(d);
    }
}

static void test_numbers_at_the_edges(void **state) {
    (void)state;
    json_document *d;
    assert_ok(parse(&d, "[9223372036854775807,-9223372036854775808,9223372036854775808,"
                        "-9223372036854775809,100000000000000000000000,1e-999]"));
    const json_value *items = json_root(d)->items;
    assert_true(items[0].type == JSON_INTEGER && items[0].integer == INT64_MAX);
    assert_true(items[1].type == JSON_INTEGER && items[1].integer == INT64_MIN);
    assert_true(items[2].type == JSON_REAL && items[2].real == 9223372036854775808.0);
    assert_true(items[3].type == JSON_REAL && items[3].real == -9223372036854775808.0);
    assert_true(items[4].type == JSON_REAL && items[4].real == 1e23);
    assert_true(items[5].type == JSON_REAL && items[5].real == 0.0);
    json_close(d);
}

static void test_the_last_of_equal_keys_counts(void **state) {
    (void)state;
    json_document *d;
    assert_ok(parse(&d, "{\"a\":1,\"b\":2,\"a\":3,\"a\\u0000\":4}"));
    assert_int_equal(json_get(json_root(d), "a")->integer, 3);
    assert_int_equal(json_root(d)->count, 4);
    json_close(d);
}

static void test_bad_documents_say_where(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "t.json: line 1, column 1: invalid JSON: expected more, found the end; is the file "
             "truncated?"},
        {"{\"a\":[1", "t.json: line 1, column 8: invalid JSON: expected more, found the end; is "
                      "the file truncated?"},
        {"[1,]", "line 1, column 4: invalid JSON"},
        {"[\n  1,\n  2 3]", "line 3, column 5: invalid JSON"},
        {"[1}", "column 3"},
        {"[01]", "column 3"},
        {"[.5]", "column 2"},
        {"[1.]", "malformed number"},
        {"{a:1}", "column 2"},
        {"{\"a\" 1}", "colon"},
        {"{\"a\":1,}", "object key"},
        {"NaN", "invalid JSON"},
        {"[Infinity]", "invalid JSON"},
        {"[-Infinity]", "malformed number"},
        {"[1e999]", "number too large for a double"},
        {"1 x", "trailing garbage"},
        {"[] []", "trailing garbage"},
        {"\"\xc3\xa9\t\"", "line 1, column 3: invalid JSON: invalid character inside string"},
        {"\"\\x\"", "invalid JSON"},
        {"\"\\u12g4\"", "non-hex"},
        {"\"ab", "is the file truncated?"},
        {"// x\n1", "comment"},
        {"\xef\xbb\xbf{}", "invalid JSON"},
        {"\"\xc0\x80\"", "line 1, column 2: not valid UTF-8"},        /* overlong NUL */
        {"\"\xed\xa0\x80\"", "column 2: not valid UTF-8"},            /* a surrogate */
        {"[\"a\xff\"]", "column 4: not valid UTF-8"},                 /* no such byte */
        {"\"\\ud800\"", "column 2: half of a surrogate pair"},        /* first half alone */
        {"\"x\\udc00\"", "column 3: half of a surrogate pair"},       /* second half alone */
        {"\"\\ud800\\u0041\"", "column 2: half of a surrogate pair"}, /* half and a letter */
        {"\"\\ud800\\ud800\"", "column 2: half of a surrogate pair"}, /* two first halves */
        {"\"\\\\\\ud800\"", "column 4: half of a surrogate pair"},    /* behind a backslash */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_document *d = (json_document *)&rows;
        assert_fails(parse(&d, rows[i].text), C2C_STATUS_BAD_FILE, "t.json", rows[i].message);
        assert_null(d);
    }
    json_document *d;
    assert_ok(parse(&d, "\"\\\\ud800\"")); /* an escaped backslash, then plain letters */
    assert_string_equal(json_root(d)->string, "\\ud800");
    json_close(d);
}

static void test_depth_is_bounded(void **state) {
    (void)state;
    char text[2 * JSON_MAX_DEPTH + 8];
    for (int depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = 0;
        json_document *d;
        if (depth <= JSON_MAX_DEPTH)
            assert_ok(parse(&d, text));
        else
            assert_fails(parse(&d, text), C2C_STATUS_BAD_FILE, "line 1, column 129",
                         "deeper than 128 levels");
        json_close(d);
    }
}

/* What costs most for its size: each value takes two bytes of text. */
static void test_values_are_counted(void **state) {
    (void)state;
    for (size_t values = JSON_MAX_VALUES; values <= JSON_MAX_VALUES + 1; values++) {
        size_t items = values - 1; /* the array is one, too */
        char *text = malloc(2 * items + 2);
        assert_non_null(text);
        for (size_t i = 0; i < items; i++)
            memcpy(text + 2 * i, i ? ",0" : "[0", 2);
        memcpy(text + 2 * items, "]", 2);
        json_document *d;
        if (values <= JSON_MAX_VALUES) {
            assert_ok(parse(&d, text));
            assert_int_equal(json_root(d)->count, items);
        } else {
            assert_fails(parse(&d, text), C2C_STATUS_BAD_FILE, "t.json: line 1, column",
                         "more than 4194304 values");
            assert_null(d);
        }
        json_close(d);
        free(text);
    }
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    static const char text[] = "{\"a\":[1,2.5,\"\\u00e9\\ud83d\\ude00\",null],\"b\":{\"c\":true}}";
    for (size_t length = 0; length < sizeof text - 1; length++) {
        char *copy = malloc(length ? length : 1); /* so that a sanitizer sees a read behind it */
        memcpy(copy, text, length);
        json_document *d;
        assert_fails(json_parse(&d, copy, length, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                     "t.json: line 1, column ");
        free(copy);
    }
}

static void test_open(void **state) {
    (void)state;
    char *folder = test_folder_make();
    test_file_write(folder, "good.json", "{\"x\":\"y\"}", 9);
    test_file_write(folder, "empty.json", "", 0);
    char *good = path_join(folder, "good.json"), *empty = path_join(folder, "empty.json");
    char *missing = path_join(folder, "missing.json");
    json_document *d;
    assert_ok(json_open(&d, good, &test_error));
    assert_string_equal(json_name(d), good);
    assert_string_equal(json_get(json_root(d), "x")->string, "y");
    json_close(d);
    assert_fails(json_open(&d, empty, &test_error), C2C_STATUS_BAD_FILE, "empty.json",
                 "is the file truncated?");
    assert_fails(json_open(&d, missing, &test_error), C2C_STATUS_NOT_FOUND, "missing.json");
    assert_fails(json_open(&d, folder, &test_error), C2C_STATUS_IO, "a folder");
    free(good);
    free(empty);
    free(missing);
    test_folder_remove(folder);
}

/* ---- Typed access ------------------------------------------------------------------------- */

static void test_typed_members(void **state) {
    (void)state;
    json_document *d;
    assert_ok(
        parse(&d, "{\"i\":7,\"r\":0.5,\"b\":true,\"s\":\"text\",\"n\":null,\"z\":\"a\\u0000b\"}"));
    const json_value *o = json_root(d);
    int64_t i, five = 5;
    double r, half = 0.5;
    bool b, yes = true;
    const char *s, *other = "other";
    assert_ok(json_get_integer(o, "i", NULL, 0, 7, &i, "t", &test_error));
    assert_int_equal(i, 7);
    assert_ok(json_get_integer(o, "n", &five, 0, 1, &i, "t", &test_error));
    assert_int_equal(i, 5);
    assert_ok(json_get_real(o, "i", NULL, &r, "t", &test_error)); /* 10000 for 10000.0 */
    assert_true(r == 7.0);
    assert_ok(json_get_real(o, "none", &half, &r, "t", &test_error));
    assert_true(r == 0.5);
    assert_ok(json_get_bool(o, "b", NULL, &b, "t", &test_error));
    assert_true(b);
    assert_ok(json_get_bool(o, "none", &yes, &b, "t", &test_error));
    assert_true(b);
    assert_ok(json_get_string(o, "s", NULL, &s, "t", &test_error));
    assert_string_equal(s, "text");
    assert_ok(json_get_string(o, "n", &other, &s, "t", &test_error));
    assert_ptr_equal(s, other);

    assert_fails(json_get_integer(o, "i", &five, 0, 6, &i, "t.json", &test_error),
                 C2C_STATUS_BAD_FILE, "t.json: \"i\": expected 0 to 6, found 7");
    assert_fails(json_get_integer(o, "r", &five, 0, 6, &i, "t.json", &test_error),
                 C2C_STATUS_BAD_FILE, "t.json: \"r\": expected an integer, found a number");
    assert_fails(json_get_integer(o, "none", NULL, 0, 6, &i, "t.json", &test_error),
                 C2C_STATUS_BAD_FILE, "\"none\": expected an integer, found no such key");
    assert_fails(json_get_real(o, "s", NULL, &r, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                 "expected a number, found a string");
    assert_fails(json_get_bool(o, "i", NULL, &b, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                 "expected true or false, found an integer");
    assert_fails(json_get_string(o, "n", NULL, &s, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                 "expected a string, found null");
    assert_fails(json_get_string(o, "b", NULL, &s, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                 "expected a string, found true or false");
    assert_fails(json_get_string(o, "z", NULL, &s, "t.json", &test_error), C2C_STATUS_BAD_FILE,
                 "\"z\": expected text without NUL");
    assert_fails(json_get_string(NULL, "s", &other, &s, "t.json: part", &test_error),
                 C2C_STATUS_BAD_FILE, "t.json: part: expected an object with \"s\", found nothing");
    json_close(d);
}

/* ---- Writing, UTF-8 ----------------------------------------------------------------------- */

static void test_written_strings(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *json;
    } rows[] = {
        {"", 0, "\"\""},
        {"a\"\\\n\x01\x7f", 6, "\"a\\\"\\\\\\n\\u0001\\u007f\""},
        {"x\0y", 3, "\"x\\u0000y\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {"a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buffer out = {0};
        json_write_string(&out, rows[i].text, rows[i].length);
        assert_string_equal(out.data, rows[i].json);
        buffer_free(&out);
    }
}

static void test_valid_prefix(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"", 0},
        {"12345678901234567", 17},
        {"1234567\x80", 7},
        {"12345678\xc3\xa9z", 11},
        {"\xc3", 0},
        {"a\xe2\x82", 1},
        {"\xe0\x9f\xbf", 0},             /* overlong */
        {"\xe0\xa0\x80", 3},             /* U+0800, the first of three bytes */
        {"\xed\x9f\xbf", 3},             /* U+D7FF, the last before the surrogates */
        {"\xed\xa0\x80", 0},             /* U+D800 */
        {"\xf0\x8f\xbf\xbf", 0},         /* overlong */
        {"\xf4\x8f\xbf\xbf", 4},         /* U+10FFFF */
        {"\xf4\x90\x80\x80", 0},         /* behind it */
        {"\xf5\x80\x80\x80", 0},         /* no such first byte */
        {"\xf0\x9f\x98\x80\xf0\x9f", 4}, /* the second character is cut */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(utf8_valid_prefix(rows[i].text, strlen(rows[i].text)), rows[i].valid);
}

/* As json.dump(value, indent=2) writes it; parsed again, the same text comes out. */
static void test_values_are_written(void **state) {
    (void)state;
    static const char text[] = "{\n  \"a\": [\n    1,\n    -2.5,\n    1e-05,\n    0.1,\n    1.0,\n"
                               "    1e+300,\n    -9223372036854775808,\n    []\n  ],\n"
                               "  \"quote\\\"\": {},\n  \"n\": null,\n  \"t\": true,\n"
                               "  \"f\": false,\n  \"third\": 0.3333333333333333,\n"
                               "  \"s\": {\n    \"x\": \"\xc3\xa4\\n\"\n  }\n}";
    json_document *document;
    buffer out = {0};
    assert_ok(json_parse(&document, text, sizeof text - 1, "t", &test_error));
    json_write_value(&out, json_root(document), 0);
    assert_string_equal(out.data, text);
    json_close(document);
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_single_values_are_documents),
        cmocka_unit_test(test_numbers_at_the_edges),
        cmocka_unit_test(test_the_last_of_equal_keys_counts),
        cmocka_unit_test(test_bad_documents_say_where),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_values_are_counted),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_typed_members),
        cmocka_unit_test(test_written_strings),
        cmocka_unit_test(test_valid_prefix),
        cmocka_unit_test(test_values_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
