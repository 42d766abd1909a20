/* test_questions.c - questions out of files: which rows, which subjects, which forms; and the real
 * files of the benchmarks, where they lie beside the repository. */
#include "eval/run.h"
#include "support/test.h"

static const eval_choice all = {0};

static void set_open(eval_set *set, const char *name, const char *path, const eval_choice *choice) {
    const benchmark *b = benchmark_find(name);
    assert_non_null(b);
    assert_ok(eval_set_open(set, b, path, choice, &test_error));
}

/* ---- Which rows --------------------------------------------------------------------------------
 */

static char *rows_of(const char *folder, const char *name, int count) {
    buffer b = {0};
    for (int i = 0; i < count; i++)
        buffer_printf(&b, "{\"question\": \"q%d\", \"answer\": \"so\\n#### 1,%03d\"}\n", i, i);
    test_file_write(folder, name, b.data, b.length);
    buffer_free(&b);
    return path_join(folder, name);
}

static void assert_ids(const char *path, const eval_choice *choice, const char *expected) {
    eval_set set;
    buffer got = {0};
    set_open(&set, "gsm8k", path, choice);
    for (size_t i = 0; i < set.count; i++)
        buffer_printf(&got, "%s%lld", i ? " " : "", (long long)set.items[i].id);
    assert_string_equal(got.data, expected);
    assert_string_equal(set.items[0].subject, "main");
    buffer_free(&got);
    eval_set_close(&set);
}

static void test_rows(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = rows_of(folder, "rows.jsonl", 10);
    static const char *const other[] = {"physics"};
    eval_set set;
    assert_ids(path, &all, "0 1 2 3 4 5 6 7 8 9");
    assert_ids(path, &(eval_choice){.interval = 3}, "0 3 6 9");
    assert_ids(path, &(eval_choice){.interval = 3, .limit = 2}, "0 3");
    assert_ids(path, &(eval_choice){.ranged = true, .from = 4, .to = 7}, "4 5 6");
    assert_ids(path, &(eval_choice){.interval = 2, .ranged = true, .from = 1, .to = INT64_MAX},
               "2 4 6 8");
    assert_fails(eval_set_open(&set, benchmark_find("gsm8k"), path,
                               &(eval_choice){.subjects = other, .subject_count = 1}, &test_error),
                 C2C_STATUS_BAD_FILE, "no question to ask", "subjects");
    free(path);
    test_folder_remove(folder);
}

/* Truths lose their commas; a folder gives the files of the split, subjects by name. */
static void test_folders(void **state) {
    (void)state;
    static const char csv[] =
        "id,question,A,B,C,D,answer\n0,\"one, two\",a,b,c,d,C\n1,x,a,b,c,d,\n";
    char *folder = test_folder_make(), *path = rows_of(folder, "rows.jsonl", 2);
    eval_set set;
    set_open(&set, "gsm8k", path, &all);
    assert_string_equal(set.items[1].item.truth, "1001");
    eval_set_close(&set);
    test_folder_remove(folder);
    free(path);
    folder = test_folder_make();
    test_file_write(folder, "law_val.csv", csv, sizeof csv - 1);
    test_file_write(folder, "law_dev.csv", csv, sizeof csv - 1);
    test_file_write(folder, "readme.txt", "x", 1);
    set_open(&set, "ceval", folder, &all);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.files, 1);
    assert_int_equal(set.skipped, 1); /* a row without an answer */
    assert_string_equal(set.items[0].subject, "law");
    assert_string_equal(set.items[0].item.question, "one, two");
    assert_string_equal(set.items[0].item.truth, "C");
    eval_set_close(&set);
    test_folder_remove(folder);
    folder = test_folder_make();
    assert_fails(eval_set_open(&set, benchmark_find("ceval"), folder, &all, &test_error),
                 C2C_STATUS_NOT_FOUND, "Parquet");
    test_folder_remove(folder);
}

/* ---- Real files
 * ---------------------------------------------------------------------------------- */

static char *asset(const char *name) {
    const char *assets = test_shared("assets");
    char *path = assets ? path_join(assets, name) : NULL;
    if (path && !file_exists(path) && !folder_exists(path)) {
        free(path);
        path = NULL;
    }
    if (!path)
        print_message("SKIP: no assets/%s beside the repository\n", name);
    return path;
}

/* Both sets ask the same. */
static void assert_same_questions(const eval_set *a, const eval_set *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        buffer x = {0}, y = {0};
        assert_ok(bench_prompt(&x, a->benchmark, &a->items[i].item, false, true, &test_error));
        assert_ok(bench_prompt(&y, b->benchmark, &b->items[i].item, false, true, &test_error));
        assert_string_equal(x.data, y.data);
        assert_string_equal(a->items[i].item.truth, b->items[i].item.truth);
        buffer_free(&x);
        buffer_free(&y);
    }
}

/* A benchmark in the form of Hugging Face and in that of its authors. */
static void test_two_forms(void **state) {
    (void)state;
    static const struct {
        const char *name, *first, *second;
        size_t rows;
    } cases[] = {{"ai2-arc", "eval/arc_challenge/hf_test.jsonl",
                  "eval/arc_challenge/ARC-Challenge-Test.jsonl", 1172},
                 {"openbookqa", "eval/openbookqa/main_test.jsonl",
                  "eval/openbookqa/allenai_form_test.jsonl", 500}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *first = asset(cases[i].first), *second = asset(cases[i].second);
        if (!first || !second)
            skip();
        eval_set a, b;
        set_open(&a, cases[i].name, first, &all);
        set_open(&b, cases[i].name, second, &all);
        assert_int_equal(a.count + (size_t)a.skipped, cases[i].rows);
        assert_same_questions(&a, &b);
        eval_set_close(&a);
        eval_set_close(&b);
        free(first);
        free(second);
    }
}

static void test_real_files(void **state) {
    (void)state;
    static const struct {
        const char *name, *path;
        int64_t rows;
        size_t least; /* questions to ask */
    } cases[] = {{"gsm8k", "eval/gsm8k/test.jsonl", 1319, 1319},
                 {"math-500", "eval/math500/test.jsonl", 500, 500},
                 {"ceval", "eval/ceval/val", 1346, 1346},
                 {"mmlu-pro", "eval/mmlu_pro/test_first2000.jsonl", 2000, 2000},
                 {"longbench", "eval/longbench/multi_news.jsonl", 200, 30},
                 {"mmlu-redux", "eval/mmlu_redux/mmlu_redux.jsonl", 5700, 5000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = asset(cases[i].path);
        if (!path)
            skip();
        eval_set set;
        set_open(&set, cases[i].name, path, &all);
        assert_int_equal(set.rows, cases[i].rows);
        assert_int_equal(set.malformed, 0);
        assert_true(set.count >= cases[i].least);
        eval_set_close(&set);
        free(path);
    }
}

/* The authors' CSV of MMLU-Redux: options as Python writes a list, two separators, and one file
 * that is not UTF-8, whose rows are counted as malformed. */
static void test_redux_csv(void **state) {
    (void)state;
    char *csv = asset("eval/mmlu_redux/csv"), *lines = asset("eval/mmlu_redux/mmlu_redux.jsonl");
    static const char *const subjects[] = {"anatomy", "virology", "world_religions"};
    const eval_choice some = {.subjects = subjects, .subject_count = 3};
    if (!csv || !lines)
        skip();
    eval_set a, b;
    set_open(&a, "mmlu-redux", csv, &some);
    set_open(&b, "mmlu-redux", lines, &some);
    assert_same_questions(&a, &b);
    assert_true(a.bad_files <= 20);
    eval_set_close(&a);
    eval_set_close(&b);
    free(csv);
    free(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_folders),
                                       cmocka_unit_test(test_two_forms),
                                       cmocka_unit_test(test_real_files),
                                       cmocka_unit_test(test_redux_csv)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
