/* test_recipes.c - inspect on a recipe with two models: what would be made. */
#include "app/program.h"

#define RECIPE "recipes/pure_qwen3-0.6b_from_qwen2.5-0.5b.json"
#define MODELS "tests/golden/data/models/"

static void test_shows_what_would_be_made(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "inspect", RECIPE, "--receiver", MODELS "tiny-qwen3", "--sharer",
            MODELS "tiny-qwen2", "--json");
    json_document *d = program_json(&r);
    const json_value *root = json_root(d);
    assert_string_equal(json_get(root, "class")->string, "AblationProjector");
    assert_string_equal(json_get(root, "mapping")->string, "last_aligned");
    assert_int_equal(json_get(root, "projector_count")->integer, 4);
    /* Both branches: in (16 -> 1024), out (1024 -> 64), two blocks of a norm and 1024 x 1024 twice.
     */
    int64_t each = 2 * (17 * 1024 + 1025 * 64 + 2 * (1024 + 2 * 1024 * 1024));
    assert_int_equal(json_get(root, "projector_parameters")->integer, each);
    assert_int_equal(json_get(root, "parameters")->integer, 4 * each);
    const json_value *layers = json_get(root, "layers");
    assert_int_equal(layers->count, 4);
    assert_int_equal(json_get(&layers->items[0], "sharer_layer")->integer, 2);
    assert_int_equal(json_get(&layers->items[3], "projector")->integer, 3);
    json_close(d);
    program_result_free(&r);
    /* In words, by names of models in a folder, for a fuser with gates. */
    PROGRAM(&r, "inspect", "tests/golden/data/fusers/qwen3_from_qwen2/config.json", "--receiver",
            "tiny-qwen3", "--sharer", "tiny-qwen2", "--models", MODELS);
    assert_int_equal(r.status, 0);
    static const char *const lines[] = {"4 of C2CProjector", "sharer 2 heads of 8",
                                        "closed until training opens them", "in bf16"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(r.out, lines[i]))
            fail_msg("\"%s\" is not in:\n%s", lines[i], r.out);
    program_result_free(&r);
}

static void test_recipes_in_yaml(void **state) {
    (void)state;
    static const char text[] = "model:\n  base_model: a/b  # the receiver\n  projector:\n"
                               "    type: AblationProjector\n    params: {ablation_level: 3}\n";
    char *folder = test_folder_make(), path[4096];
    program_result r;
    test_file_write(folder, "recipe.yaml", text, strlen(text));
    snprintf(path, sizeof path, "%s/recipe.yaml", folder);
    PROGRAM(&r, "inspect", path, "--receiver", MODELS "tiny-qwen3", "--sharer",
            MODELS "tiny-qwen2");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "4 of AblationProjector"));
    program_result_free(&r);
    PROGRAM(&r, "inspect", path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "a/b"));
    program_result_free(&r);
    test_folder_remove(folder);
}

static void test_wrong_use(void **state) {
    (void)state;
    static const struct {
        const char *arguments[7];
        int status;
        const char *holds;
    } rows[] = {
        {{"inspect", RECIPE, "--receiver", "x"}, 2, "--receiver and --sharer go together"},
        {{"inspect", RECIPE, "--sharer", "x"}, 2, "--receiver and --sharer go together"},
        {{"inspect", RECIPE, "--receiver", MODELS "tiny-qwen3", "--sharer", "no-such"},
         1,
         "no-such: no such file or folder"},
        {{"inspect", MODELS "tiny-qwen3/config.json", "--receiver", MODELS "tiny-qwen3", "--sharer",
          MODELS "tiny-qwen2"},
         1,
         "expected \"projector\""},
        {{"inspect", RECIPE, "--receiver", MODELS, "--sharer", MODELS "tiny-qwen2"},
         1,
         "data/models/config.json"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        program_result r;
        program_run(&r, rows[i].arguments);
        assert_program_fails(&r, rows[i].status, (const char *const[]){rows[i].holds, NULL});
        program_result_free(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shows_what_would_be_made),
        cmocka_unit_test(test_recipes_in_yaml),
        cmocka_unit_test(test_wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
