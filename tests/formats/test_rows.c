/* Rows: JSON arrays, JSON lines and CSV, good ones and bad ones, with the line in the message; the
 * same answers as Python's csv module where assets have real files. */
#include "formats/formats.h"
#include "support/test.h"

static row_reader *open_text(const char *text, const rows_options *options) {
    row_reader *r;
    assert_ok(rows_open_bytes(&r, text, strlen(text), "t.json", options, &test_error));
    return r;
}

static const json_value *next(row_reader *r) {
    const json_value *row;
    assert_ok(rows_next(r, &row, &test_error));
    return row;
}

#define assert_bad_row(r, ...)                                                                     \
    do {                                                                                           \
        const json_value *row_;                                                                    \
        assert_fails(rows_next(r, &row_, &test_error), C2C_STATUS_BAD_FILE, __VA_ARGS__);          \
        assert_null(row_);                                                                         \
    } while (0)

/* ---- JSON --------------------------------------------------------------------------------- */

static void test_an_array(void **state) {
    (void)state;
    row_reader *r =
        open_text(" [ {\"a\": 1},\n\n {\"b\": \"]}\\\"\", \"c\": [[{}]]}\n,{}]\n ", NULL);
    assert_int_equal(json_get(next(r), "a")->integer, 1);
    assert_int_equal(rows_line(r), 1);
    assert_string_equal(json_get(next(r), "b")->string, "]}\"");
    assert_int_equal(rows_line(r), 3);
    assert_int_equal(next(r)->count, 0);
    assert_int_equal(rows_line(r), 4);
    assert_null(next(r));
    assert_null(next(r));
    assert_false(rows_torn(r));
    rows_close(r);
    r = open_text("[\n]", NULL);
    assert_null(next(r));
    rows_close(r);
    r = open_text("", NULL);
    assert_null(next(r));
    rows_close(r);
}

static void test_bad_rows_of_an_array(void **state) {
    (void)state;
    row_reader *r = open_text("[3, {\"a\": 1},\n  {\"a\": nul}, {\"a\": 2}]", NULL);
    assert_bad_row(r, "t.json: line 1", "expected an object, found an integer");
    assert_int_equal(json_get(next(r), "a")->integer, 1);
    assert_bad_row(r, "t.json: line 2, column 11", "invalid JSON"); /* of the file, not the row */
    assert_int_equal(json_get(next(r), "a")->integer, 2);
    assert_null(next(r));
    rows_close(r);
}

static void test_torn_arrays(void **state) {
    (void)state;
    static const char *const texts[] = {"[{}, {\"a\": [", "[{}",    "[{},", "[{} {}]",
                                        "[{},,{}]",       "[{}] x", "[",    "[{}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        row_reader *r = open_text(texts[i], NULL);
        const json_value *row;
        c2c_status status = C2C_STATUS_OK;
        int rows = 0;
        while (!(status = rows_next(r, &row, &test_error)) && row)
            rows++;
        if (status != C2C_STATUS_BAD_FILE || rows > 1)
            fail_msg("%s: %d rows, %s", texts[i], rows, c2c_status_name(status));
        /* What was inside the torn row may have been found first; after it nothing comes. */
        while (rows_next(r, &row, &test_error))
            assert_true(++rows < 5);
        assert_true(rows_torn(r));
        rows_close(r);
    }
}

static void test_lines(void **state) {
    (void)state;
    row_reader *r =
        open_text("\xef\xbb\xbf{\"a\": 1}\r\n\n  \n{\"a\": }\n[]\n{\"a\": \"\xff\"}\n{\"a\": 2}",
                  NULL);
    assert_int_equal(json_get(next(r), "a")->integer, 1);
    assert_bad_row(r, "t.json: line 4, column 7", "invalid JSON");
    assert_bad_row(r, "t.json: line 5", "expected an object, found an array");
    assert_bad_row(r, "t.json: line 6, column 8", "UTF-8");
    assert_int_equal(json_get(next(r), "a")->integer, 2);
    assert_int_equal(rows_line(r), 7);
    assert_null(next(r));
    assert_false(rows_torn(r));
    rows_close(r);
}

/* ---- CSV ---------------------------------------------------------------------------------- */

static void test_csv(void **state) {
    (void)state;
    const rows_options csv = {.format = ROWS_CSV};
    row_reader *r = open_text("question,A,\"B\"\r\n\"two \"\"words\"\",\nand a line\",1, x\r\n\r\n"
                              "a\"b,,\"\"\n1,2,3",
                              &csv);
    const json_value *row = next(r);
    assert_int_equal(row->count, 3);
    assert_string_equal(json_get(row, "question")->string, "two \"words\",\nand a line");
    assert_string_equal(json_get(row, "A")->string, "1"); /* text, like all */
    assert_string_equal(json_get(row, "B")->string, " x");
    assert_int_equal(rows_line(r), 2);
    row = next(r);
    assert_string_equal(json_get(row, "question")->string, "a\"b");
    assert_string_equal(json_get(row, "B")->string, "");
    assert_int_equal(rows_line(r), 5);
    assert_string_equal(json_get(next(r), "B")->string, "3");
    assert_null(next(r));
    rows_close(r);
}

static void test_separators_and_columns(void **state) {
    (void)state;
    static const char *const columns[] = {"q", "answer"};
    const rows_options csv = {.format = ROWS_CSV}, named = {ROWS_CSV, columns, 2, 0};
    row_reader *r = open_text("a;b\n1,5;2\n", &csv);
    assert_string_equal(json_get(next(r), "a")->string, "1,5");
    rows_close(r);
    r = open_text("a\tb\n1;5\t2\n", &csv);
    assert_string_equal(json_get(next(r), "b")->string, "2");
    rows_close(r);
    r = open_text("What?,A\n\"Why, then?\",B\n", &named);
    assert_string_equal(json_get(next(r), "q")->string, "What?");
    assert_string_equal(json_get(next(r), "answer")->string, "B");
    assert_null(next(r));
    rows_close(r);
    /* As spreadsheets save columns that once held something. */
    r = open_text("a;b;;\n1;2;;\n", &csv);
    assert_string_equal(json_get(next(r), "b")->string, "2");
    rows_close(r);
}

static void test_bad_csv(void **state) {
    (void)state;
    const rows_options csv = {.format = ROWS_CSV};
    row_reader *r = open_text("a,b\n1\n1,2,\"3\n4,5\"\n\xff,1\n1,2\n\"x\"y,2\n3,4\n", &csv);
    assert_bad_row(r, "t.json: line 2: expected 2 fields, found 1");
    assert_bad_row(r, "t.json: line 3: expected 2 fields, found 3"); /* and read to its end */
    assert_bad_row(r, "t.json: line 5", "UTF-8");
    assert_string_equal(json_get(next(r), "b")->string, "2");
    assert_bad_row(r, "t.json: line 7", "behind a quoted field");
    assert_true(rows_torn(r));
    assert_null(next(r));
    rows_close(r);
    r = open_text("a,b\n1,\"2\n3,4\n", &csv);
    assert_bad_row(r, "t.json: line 2", "does not end");
    assert_true(rows_torn(r));
    rows_close(r);
    row_reader *none;
    assert_fails(rows_open_bytes(&none, "", 0, "t.csv", NULL, &test_error), C2C_STATUS_BAD_FILE,
                 "t.csv", "names of the columns");
    assert_fails(rows_open_bytes(&none, "a,a\n", 4, "t.csv", NULL, &test_error),
                 C2C_STATUS_BAD_FILE, "two columns", "\"a\"");
    assert_fails(rows_open(&none, "/nowhere/t.csv", NULL, &test_error), C2C_STATUS_NOT_FOUND,
                 "/nowhere");
}

/* ---- Real files --------------------------------------------------------------------------- */

static int count_rows(const char *folder, const char *name, const rows_options *options) {
    char path[4096];
    row_reader *r;
    int rows = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(rows_open(&r, path, options, &test_error));
    while (next(r))
        rows++;
    rows_close(r);
    return rows;
}

/* The numbers of rows are those that the makers of the files state. */
static void test_real_files(void **state) {
    (void)state;
    static const char *const mmlu[] = {"question", "A", "B", "C", "D", "answer"};
    const rows_options headless = {ROWS_CSV, mmlu, 6, ','};
    const char *assets = test_shared("assets");
    if (!assets) {
        printf("SKIP: no folder of assets beside the repository\n");
        skip();
    }
    assert_int_equal(count_rows(assets, "train/FastChat/dummy_conversation.json", NULL), 500);
    assert_int_equal(count_rows(assets, "train/openhermes_like.jsonl", NULL), 10454);
    assert_int_equal(count_rows(assets, "eval/mmlu_redux/csv/mmlu_virology.csv", NULL), 100);
    assert_int_equal(count_rows(assets, "eval/mmlu/test/professional_law_test.csv", &headless),
                     1534);
    assert_int_equal(count_rows(assets, "eval/ceval/val/law_val.csv", NULL), 24);
    assert_int_equal(count_rows(assets, "eval/mmlu_redux/csv/mmlu_econometrics.csv", NULL), 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_array),    cmocka_unit_test(test_bad_rows_of_an_array),
        cmocka_unit_test(test_torn_arrays), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_csv),         cmocka_unit_test(test_separators_and_columns),
        cmocka_unit_test(test_bad_csv),     cmocka_unit_test(test_real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
