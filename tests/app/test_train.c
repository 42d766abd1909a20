/* test_train.c - the verb train on the demo pair: what a run leaves, runs that are stopped or
 * killed, and what --check says. */
#include "app/program.h"
#include "train/train.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS 40

/* A folder with a few rows of the pair's data and a recipe of 8 steps of 2 x 3 rows. */
static char *make_world(void) {
    static const char recipe[] =
        "model:\n"
        "  base_model: share/demo/receiver\n"
        "  teacher_model: share/demo/sharer\n"
        "  mapping: last_aligned\n"
        "  projector:\n"
        "    type: C2CProjector\n"
        "    params: {hidden_dim: 32, intermediate_dim: 32, anneal_steps: 8}\n"
        "training: {learning_rate: 0.01, max_steps: 8, per_device_train_batch_size: 3,\n"
        "           gradient_accumulation_steps: 2, seed: 7, scheduler_type: cosine}\n"
        "output: {save_steps: 2, eval_steps: 4, keep_last: 2, output_dir: nowhere}\n"
        "data:\n"
        "  type: MessagesDataset\n"
        "  kwargs: {data_path: rows.jsonl}\n"
        "  train_ratio: 0.9\n";
    char *folder = test_folder_make(), *line = NULL;
    buffer rows = {0};
    size_t size = 0;
    FILE *file = fopen("share/demo/train.jsonl", "rb");
    assert_non_null(file);
    for (int i = 0; i < ROWS; i++) {
        ssize_t length = getline(&line, &size, file);
        assert_true(length > 0);
        buffer_append(&rows, line, (size_t)length);
    }
    fclose(file);
    free(line);
    test_file_write(folder, "rows.jsonl", rows.data, rows.length);
    test_file_write(folder, "recipe.yaml", recipe, sizeof recipe - 1);
    buffer_free(&rows);
    return folder;
}

typedef struct paths {
    char *recipe, *output;
} paths;

static paths paths_in(const char *world, const char *output) {
    return (paths){path_join(world, "recipe.yaml"), path_join(world, output)};
}

static void paths_free(paths *p) {
    free(p->recipe);
    free(p->output);
}

static void train(const char *world, const char *output, const char *threads, bool resume) {
    program_result r;
    paths p = paths_in(world, output);
    if (resume)
        PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--threads", threads,
                "--resume");
    else
        PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--threads", threads);
    if (r.status != 0)
        fail_msg("exit status %d:\n%s", r.status, r.err);
    program_result_free(&r);
    paths_free(&p);
}

static void assert_same(const char *world, const char *a, const char *b, const char *name) {
    char *x = path_join(world, a), *y = path_join(world, b);
    size_t m, n;
    char *p = file_read(x, name, &m), *q = file_read(y, name, &n);
    assert_int_equal(m, n);
    assert_memory_equal(p, q, m);
    free(p);
    free(q);
    free(x);
    free(y);
}

static void assert_same_fuser(const char *world, const char *a, const char *b) {
    assert_same(world, a, b, "final/projector_0.safetensors");
    assert_same(world, a, b, "final/projector_3.safetensors");
    assert_same(world, a, b, "final/projector_0.json");
    assert_same(world, a, b, "final/projector_config.json");
}

static void runs_leave_a_fuser_and_logs(void **state) {
    (void)state;
    char *world = make_world();
    program_result r;
    paths p = paths_in(world, "out");
    metric_list list;
    train(world, "out", "1", false);
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
    train(world, "threads", "2", false);
    assert_same_fuser(world, "out", "threads");
    free(metrics);
    paths_free(&p);
    test_folder_remove(world);
}

/* Starts the program and lets it live for some milliseconds; its exit status, or 128 + signal. */
static int run_and_end(const char *world, const char *output, int milliseconds, int number) {
    const char *build = getenv("C2C_BUILD");
    char *program = path_join(build ? build : "build", "c2c");
    paths p = paths_in(world, output);
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execl(program, program, "train", p.recipe, "--data", world, "--output", p.output,
              "--threads", "1", "--resume", (char *)NULL);
        _exit(127);
    }
    bool ended = false;
    for (int i = 0; i < milliseconds && !ended; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        ended = waitpid(child, &status, WNOHANG) == child;
    }
    if (!ended) {
        kill(child, number);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    free(program);
    paths_free(&p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void killed_and_stopped_runs_end_alike(void **state) {
    (void)state;
    char *world = make_world();
    train(world, "whole", "1", false);
    for (int i = 0; i < 6; i++) {
        int number = i % 2 ? SIGTERM : SIGKILL;
        int status = run_and_end(world, "ended", 40 + 60 * i, number);
        /* A run that was asked to stop says so with exit status 1; before there is anything to
         * stop, the signal itself ends it. */
        assert_true(status == 0 || status == 1 || status == 128 + number);
    }
    train(world, "ended", "1", true);
    assert_same_fuser(world, "whole", "ended");
    test_folder_remove(world);
}

static void checks_write_nothing(void **state) {
    (void)state;
    char *world = make_world();
    program_result r;
    paths p = paths_in(world, "out");
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
    paths_free(&p);
    test_folder_remove(world);
}

static void wrong_runs_say_why(void **state) {
    (void)state;
    char *world = make_world();
    program_result r;
    paths p = paths_in(world, "out");
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
    paths_free(&p);
    test_folder_remove(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_leave_a_fuser_and_logs),
        cmocka_unit_test(killed_and_stopped_runs_end_alike),
        cmocka_unit_test(checks_write_nothing),
        cmocka_unit_test(wrong_runs_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
