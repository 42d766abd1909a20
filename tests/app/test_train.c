/* test_train.c - the verb train on the demo pair: what a run leaves, what --check says, and what is
 * refused. Runs that are stopped or killed are test_train_stop.c's. */
#include "app/train_world.h"
#include "train/train.h"

static void runs_leave_a_fuser_and_logs(void **state) {
    (void)state;
    char *world = train_world_make();
    program_result r;
    train_paths p = train_paths_in(world, "out");
    metric_list list;
    train_world_run(world, "out", "--threads", "1");
    char *metrics = path_join(p.output, "metrics.jsonl");
    assert_ok(metric_list_open(&list, metrics, &test_error));
    /* 36 rows make 6 steps an epoch: evaluated after steps 4, 6 and 8. */
    assert_int_equal(list.count, 11);
    for (size_t i = 0; i < list.count; i++)
        assert_true(isfinite(list.items[i].loss) && list.items[i].loss > 0);
    metric_list_free(&list);
    /* It answers. */
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", p.output,
            "-p", "Hello", "-n", "2");
    if (r.status != 0)
        fail_msg("%s", r.err);
    program_result_free(&r);
    /* What is complete is said to be, and another run does not take its place. */
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--resume");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "complete already"));
    program_result_free(&r);
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output);
    assert_program_fails(&r, 1, (const char *const[]){"holds a run already", "--resume", NULL});
    program_result_free(&r);
    /* The number of threads is no part of what is learnt. */
    train_world_run(world, "threads", "--threads", "2");
    train_world_assert_same(world, "out", "threads");
    free(metrics);
    train_paths_free(&p);
    test_folder_remove(world);
}

static void checks_write_nothing(void **state) {
    (void)state;
    char *world = train_world_make();
    program_result r;
    train_paths p = train_paths_in(world, "out");
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--check", "--json",
            "--set", "training.max_steps=100");
    json_document *d = program_json(&r);
    const json_value *root = json_root(d);
    assert_int_equal(json_get(root, "train_rows")->integer, 36);
    assert_int_equal(json_get(root, "eval_rows")->integer, 4);
    assert_int_equal(json_get(root, "left_out")->integer, 0);
    assert_int_equal(json_get(root, "steps")->integer, 100);
    assert_int_equal(json_get(root, "steps_per_epoch")->integer, 6);
    assert_int_equal(json_get(root, "rows_per_step")->integer, 6);
    assert_int_equal(json_get(root, "batch_that_fits")->integer, 3);
    assert_true(json_get(root, "trainable")->integer < json_get(root, "parameters")->integer);
    assert_true(json_get(root, "memory_bytes")->integer > 1000000);
    assert_true(json_get(root, "seconds_per_step")->real > 0);
    json_close(d);
    program_result_free(&r);
    assert_false(folder_exists(p.output));
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--check");
    assert_int_equal(r.status, 0);
    static const char *const words[] = {"parameters", "36 to train on", "6 an epoch", "a step"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(r.out, words[i]))
            fail_msg("\"%s\" is not in:\n%s", words[i], r.out);
    program_result_free(&r);
    train_paths_free(&p);
    test_folder_remove(world);
}

static void wrong_runs_say_why(void **state) {
    (void)state;
    char *world = train_world_make();
    program_result r;
    train_paths p = train_paths_in(world, "out");
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--set",
            "training.scheduler_type=step");
    assert_program_fails(&r, 1, (const char *const[]){"scheduler_type", "step", NULL});
    program_result_free(&r);
    PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--set",
            "model.base_model=nowhere/at-all");
    assert_program_fails(&r, 1, (const char *const[]){"nowhere/at-all", NULL});
    program_result_free(&r);
    PROGRAM(&r, "train", p.recipe, "--json");
    assert_program_fails(&r, 2, (const char *const[]){"--json needs --check", NULL});
    program_result_free(&r);
    PROGRAM(&r, "train");
    assert_program_fails(&r, 2, (const char *const[]){"RECIPE is missing", NULL});
    program_result_free(&r);
    train_paths_free(&p);
    test_folder_remove(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_leave_a_fuser_and_logs),
        cmocka_unit_test(checks_write_nothing),
        cmocka_unit_test(wrong_runs_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
