/* test_convert.c - the verb convert as a user runs it. */
#include "app/program.h"

#include <unistd.h>

#define GOLDEN_FUSER "tests/golden/data/fusers/qwen3_from_qwen2"

static int64_t number(const json_document *d, const char *key) {
    const json_value *value = json_get(json_root(d), key);
    assert_non_null(value);
    return value->integer;
}

/* The demo's fuser still answers when it is safetensors, and says the same in f32 that it said in
 * bf16, since its weights are the same numbers. */
static void test_a_converted_fuser_answers(void **state) {
    (void)state;
    static const char question[] = "What is the favourite colour of Kumaso? Answer in one word.";
    char *folder = test_folder_make(), *out = path_join(folder, "fuser");
    program_result r;
    PROGRAM(&r, "convert", DEMO_FUSER, out, "--dtype", "f32", "--json");
    json_document *d = program_json(&r);
    assert_int_equal(number(d, "files"), 4);
    assert_int_equal(number(d, "copied"), 0);
    assert_int_equal(json_get(json_get(json_root(d), "dtypes"), "f32")->integer,
                     number(d, "tensors"));
    assert_string_equal(json_get(json_root(d), "from_format")->string, "pt");
    assert_string_equal(json_get(json_root(d), "format")->string, "safetensors");
    json_close(d);
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", out, "-p",
            question, "--dtype", "f32");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "gold.\n");
    program_result_free(&r);
    free(out);
    test_folder_remove(folder);
}

static void test_report(void **state) {
    (void)state;
    char *folder = test_folder_make(), *from = path_join(folder, "from");
    char *out = path_join(folder, "out");
    program_result r;
    PROGRAM(&r, "convert", GOLDEN_FUSER, from, "--format", "pt");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "copied as they are"));
    program_result_free(&r);
    test_file_write(from, "notes.txt", "x", 1);
    PROGRAM(&r, "convert", from, out, "--dtype", "bf16");
    assert_int_equal(r.status, 0);
    static const char *const lines[] = {"pt -> safetensors", "132 f32 -> 132 bf16",
                                        "not copied        notes.txt"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(r.out, lines[i]))
            fail_msg("\"%s\" is not in:\n%s", lines[i], r.out);
    program_result_free(&r);
    free(from);
    free(out);
    test_folder_remove(folder);
}

/* One file: the format is what its name says. */
static void test_files(void **state) {
    (void)state;
    char *folder = test_folder_make();
    char *st = path_join(folder, "w.safetensors"), *pt = path_join(folder, "w.pt");
    char *back = path_join(folder, "w"), *plain = path_join(folder, "plain");
    program_result r;
    PROGRAM(&r, "convert", DEMO_RECEIVER "/model.safetensors", pt);
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    PROGRAM(&r, "convert", pt, st);
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    PROGRAM(&r, "convert", pt, plain, "--format", "safetensors");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    size_t a_length, b_length, c_length;
    char *a = file_read(DEMO_RECEIVER, "model.safetensors", &a_length);
    char *b = file_read(folder, "w.safetensors", &b_length);
    char *c = file_read(folder, "plain", &c_length);
    assert_true(a_length == b_length && b_length == c_length);
    assert_memory_equal(a, b, a_length);
    assert_memory_equal(a, c, a_length);
    free(a), free(b), free(c);

    PROGRAM(&r, "convert", st, pt);
    assert_program_fails(&r, 1, (const char *const[]){"w.pt exists already", "--force", NULL});
    program_result_free(&r);
    PROGRAM(&r, "convert", st, pt, "--force", "--dtype", "f16");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    PROGRAM(&r, "convert", st, back);
    assert_program_fails(&r, 2, (const char *const[]){"nor --format says", NULL});
    program_result_free(&r);
    PROGRAM(&r, "convert", st, pt, "--format", "safetensors");
    assert_program_fails(&r, 2, (const char *const[]){"does not go with the name", NULL});
    program_result_free(&r);
    free(st), free(pt), free(back), free(plain);
    test_folder_remove(folder);
}

/* A pair whose models are stored as integers answers as one whose models are made so. */
static void test_stored_models_answer(void **state) {
    (void)state;
    char *folder = test_folder_make();
    char *receiver = path_join(folder, "receiver"), *sharer = path_join(folder, "sharer");
    program_result r, expected, got;
    PROGRAM(&r, "convert", DEMO_RECEIVER, receiver, "--weights", "int8", "--json");
    json_document *report = program_json(&r);
    assert_int_equal(json_get(json_get(json_root(report), "dtypes"), "i8")->integer, 29);
    json_close(report);
    program_result_free(&r);
    PROGRAM(&r, "convert", DEMO_SHARER, sharer, "--weights", "int8");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    PROGRAM(&r, "inspect", receiver);
    assert_non_null(strstr(r.out, "8-bit integers"));
    program_result_free(&r);
    PROGRAM(&expected, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser",
            DEMO_FUSER, "--weights", "int8", "-p", "What is the favourite colour of Kumaso?");
    PROGRAM(&got, "run", "--receiver", receiver, "--sharer", sharer, "--fuser", DEMO_FUSER, "-p",
            "What is the favourite colour of Kumaso?");
    assert_int_equal(got.status, 0);
    assert_string_equal(got.out, expected.out);
    program_result_free(&expected);
    program_result_free(&got);
    free(receiver), free(sharer);
    test_folder_remove(folder);
}

static void test_wrong_use(void **state) {
    (void)state;
    static const struct {
        const char *arguments[7];
        int status;
        const char *holds;
    } rows[] = {
        {{"convert"}, 2, "FUSER_OR_FILE is missing"},
        {{"convert", "a"}, 2, "OUT is missing"},
        {{"convert", "a", "b", "c"}, 2, "found a second one: \"c\""},
        {{"convert", "a", "b", "--format", "zip"}, 2, "one of safetensors, pt"},
        {{"convert", "a", "b", "--dtype", "int8"}, 2, "one of keep, f32, f16, bf16"},
        {{"convert", "a", "b", "--weights", "int8", "--force"}, 2, "none of --format"},
        {{"convert", DEMO_FUSER, "b", "--weights", "int8"}, 1, "fusers keep their weights"},
        {{"convert", DEMO_RECEIVER, "share", "--weights", "int8"}, 1, "share exists already"},
        {{"convert", "no-such.pt", "b.pt"}, 1, "no-such.pt: no such file or folder"},
        {{"convert", DEMO_RECEIVER, "no-such/out"}, 1, "no projector_config.json"},
        {{"convert", DEMO_FUSER, "no-such/out"}, 1, "no-such/out: cannot write"},
        {{"convert", DEMO_RECEIVER "/config.json", "no-such.pt"}, 1, "config.json"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        program_result r;
        program_run(&r, rows[i].arguments);
        assert_program_fails(&r, rows[i].status, (const char *const[]){rows[i].holds, NULL});
        program_result_free(&r);
    }
    assert_int_not_equal(access("no-such.pt", F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_converted_fuser_answers),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_stored_models_answer),
        cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
