/* test_eval_refused.c - the verb eval: recipes, data and models that are refused or warned about,
 * and the published recipes, which are not. */
#include "app/eval.h"
#include "app/eval_world.h"

#include <unistd.h>

/* ---- Recipes and data ----------------------------------------------------------------------- */

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *model, *eval, *data, *holds;
    } cases[] = {
        {"  model_name: " DEMO_RECEIVER, "dataset: mmlu", DEMO_ROWS, "expected one of mmlu-redux"},
        {"  model_name: " DEMO_RECEIVER, "dataset: gsm8k, answer_method: logits", DEMO_ROWS,
         "use generate"},
        {"  model_name: " DEMO_RECEIVER, "dataset: gsm8k", DEMO_ROWS, "no question to ask"},
        {"  model_name: " DEMO_RECEIVER, "dataset: ceval", DEMO_ROWS, "expected rows of ceval"},
        {"  model_name: " DEMO_RECEIVER, "dataset: qa", "nowhere.jsonl", "no such file"},
        {"  model_name: " DEMO_RECEIVER, "dataset: qa, answer_method: guess", DEMO_ROWS,
         "generate or logits"},
        {"  model_name: " DEMO_RECEIVER, "dataset: qa, limit: [1, 2, 3]", DEMO_ROWS, "[from, to]"},
        {"  model_name: Rosetta", "dataset: qa", DEMO_ROWS, "model.rosetta_config"},
        {"  model_name: Rosetta\n  rosetta_config: {base_model: a, teacher_model: {x: b, y: c}, "
         "checkpoints_dir: [d]}",
         "dataset: qa", DEMO_ROWS, "as many folders as sharers"},
        {"  model_name: two_stage\n  context_model_path: a\n  answer_model_path: b\n  "
         "background_prompt: no place",
         "dataset: qa", DEMO_ROWS, "{question}"},
        {"  model_name: oracle_rosetta", "dataset: qa", DEMO_ROWS, "oracle analysis is not part"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = test_folder_make(), *path = path_join(folder, "r.yaml");
        program_result r;
        eval_world_recipe(folder, "r.yaml", cases[i].model, cases[i].eval);
        PROGRAM(&r, "eval", path, "--data", cases[i].data);
        assert_program_fails(&r, 1, (const char *const[]){cases[i].holds, NULL});
        program_result_free(&r);
        free(path);
        test_folder_remove(folder);
    }
}

static void test_refused_systems(void **state) {
    (void)state;
    static const struct {
        const char *text, *holds;
    } cases[] = {
        {"systems: {a: {model_name: x}}\nmodel: {model_name: x}", "none beside \"model\""},
        {"systems: {}", "an object of name: model"},
        {"systems: {a/b: {model_name: x}}", "names without a slash"},
        {"systems: {one: {model_name: " DEMO_RECEIVER "}, two: {model_name: Rosetta}}",
         "r.yaml: two: model.rosetta_config"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = test_folder_make(), *path = path_join(folder, "r.yaml");
        buffer text = {0};
        program_result r;
        buffer_printf(&text, "%s\neval: {dataset: qa}\noutput: {output_dir: %s}\n", cases[i].text,
                      folder);
        test_file_write(folder, "r.yaml", text.data, text.length);
        PROGRAM(&r, "eval", path, "--data", DEMO_ROWS);
        assert_program_fails(&r, 1, (const char *const[]){cases[i].holds, NULL});
        program_result_free(&r);
        buffer_free(&text);
        free(path);
        test_folder_remove(folder);
    }
}

/* A key that nothing reads is told, once, with the one that was meant. */
static void test_unknown_keys(void **state) {
    (void)state;
    static const char text[] =
        "systems:\n"
        "  one: {model_name: " DEMO_RECEIVER ", max_lenght: 90}\n"
        "  two: {model_name: " DEMO_SHARER ", generation_config: {temprature: 1}}\n"
        "eval: {dataset: qa, use_cots: true, colour: red}\n"
        "output: {ouput_dir: x, output_dir: %s}\n";
    static const char *const expected[] = {
        "model: unknown key \"max_lenght\", which is not used; did you mean \"max_length\"?",
        ("model.generation_config: unknown key \"temprature\", which is not used; did you mean "
         "\"temperature\"?"),
        "eval: unknown key \"use_cots\", which is not used; did you mean \"use_cot\"?",
        "eval: unknown key \"colour\", which is not used\n",
        "output: unknown key \"ouput_dir\", which is not used; did you mean \"output_dir\"?"};
    char *folder = test_folder_make(), *path = path_join(folder, "r.yaml");
    buffer recipe = {0};
    program_result r;
    buffer_printf(&recipe, text, folder);
    test_file_write(folder, "r.yaml", recipe.data, recipe.length);
    PROGRAM(&r, "eval", path, "--data", DEMO_ROWS, "--limit", "1");
    assert_int_equal(r.status, 0);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *found = strstr(r.err, expected[i]);
        if (!found || strstr(found + 1, expected[i]))
            fail_msg("expected once \"%s\" in:\n%s", expected[i], r.err);
    }
    program_result_free(&r);
    buffer_free(&recipe);
    free(path);
    test_folder_remove(folder);
}

/* A model without a template cannot be asked, which is said once and scores nothing. */
static void test_no_template(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "r.yaml");
    char *model = folder_of_links(DEMO_RECEIVER);
    buffer text = {0};
    program_result r;
    buffer_printf(&text, "%s/chat_template.jinja", model);
    unlink(text.data);
    file_replace(model, "tokenizer_config.json", "{}", 2);
    buffer_clear(&text);
    buffer_printf(&text, "  model_name: %s", model);
    eval_world_recipe(folder, "r.yaml", text.data, "dataset: qa");
    PROGRAM(&r, "eval", path, "--data", DEMO_ROWS, "--limit", "3");
    assert_program_fails(&r, 1, (const char *const[]){"template", NULL});
    program_result_free(&r);
    buffer_free(&text);
    test_folder_remove(model);
    free(path);
    test_folder_remove(folder);
}

/* Questions that were not downloaded: where they would be, told with one slash. */
static void test_data_not_downloaded(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "r.yaml");
    buffer expected = {0}, hub = {0};
    program_result r;
    eval_world_recipe(folder, "r.yaml", "  model_name: " DEMO_RECEIVER, "dataset: gsm8k");
    buffer_printf(&hub, "%s/", folder);
    buffer_printf(&expected, " in %s/datasets--openai--gsm8k: say where", folder);
    setenv("HF_HUB_CACHE", hub.data, 1);
    PROGRAM(&r, "eval", path);
    unsetenv("HF_HUB_CACHE");
    assert_program_fails(&r, 1, (const char *const[]){expected.data, "--data PATH", NULL});
    program_result_free(&r);
    buffer_free(&expected);
    buffer_free(&hub);
    free(path);
    test_folder_remove(folder);
}

/* ---- Published recipes ---------------------------------------------------------------------- */

/* Every published evaluation recipe is read; training recipes are told apart, oracle.json by name.
 */
static c2c_status check_recipe(void *user, const char *name, c2c_error *error) {
    char *path = path_join(user, name);
    eval_recipe recipe;
    bool training = strstr(user, "train_recipe");
    c2c_status status = eval_recipe_open(&recipe, path, 0, &test_error);
    (void)error;
    if (!training && status)
        fail_msg("%s: %s", name, test_error.message);
    if (training && (status == C2C_STATUS_OK ||
                     !strstr(test_error.message,
                             strstr(name, "oracle") ? "oracle analysis" : "a training recipe")))
        fail_msg("%s: expected a refusal with its reason, got \"%s\"", name, test_error.message);
    if (!status)
        eval_recipe_close(&recipe);
    free(path);
    return C2C_STATUS_OK;
}

static void test_published_recipes(void **state) {
    (void)state;
    static const char *const folders[] = {"recipes/eval_recipe", "recipes/train_recipe"};
    const char *assets = test_shared("assets");
    if (!assets) {
        print_message("SKIP: no folder assets beside the repository\n");
        skip();
    }
    char *copy = string_copy(assets);
    for (int i = 0; i < 2; i++) {
        char *folder = path_join(copy, folders[i]);
        assert_ok(folder_each(folder, check_recipe, folder, &test_error));
        free(folder);
    }
    free(copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_systems),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_no_template),
        cmocka_unit_test(test_data_not_downloaded),
        cmocka_unit_test(test_published_recipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
