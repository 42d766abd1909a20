/* test_loop.c - runs of a small problem that need no model: stopped, killed, torn and starved ones
 * end with the bits of one that was left alone. */
#include "support/test.h"
#include "train/train.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARAMETERS 1003
#define ROWS       50
#define EVAL_ROWS  5

/* ---- The problem: parameters shall be like rows of random numbers -------------------------- */

typedef struct toy {
    backend *backend;
    float *parameters, *gradients;
    int64_t poison_step;    /* a step whose loss is not a number, or -1 */
    double poison_gradient; /* what then stands in the gradient */
    long nanoseconds;       /* that a batch takes at least */
    int64_t reads[ROWS];    /* how often each row was trained on */
    float host[2][PARAMETERS];
} toy;

static double row_number(uint32_t row, int64_t i) {
    return random_uniform(&(random_key){.seed = 7, .step = (uint64_t)i, .sample = row}) * 2 - 1;
}

static c2c_status toy_loss(toy *t, const train_batch *b, bool learn, train_result *result) {
    size_t bytes = sizeof t->host[0];
    double loss = 0;
    backend_download(t->backend, t->host[0], t->parameters, bytes);
    backend_download(t->backend, t->host[1], t->gradients, bytes);
    for (int64_t n = 0; n < b->count; n++)
        for (int64_t i = 0; i < PARAMETERS; i++) {
            /* Noise that depends on the seed, the step and the place in the step, as dropout does.
             */
            random_key key = {.seed = b->seed,
                              .step = (uint64_t)b->step << 16 | (uint64_t)i,
                              .sample = (uint32_t)(b->first + n),
                              .site = 99};
            double noise = learn ? random_uniform(&key) - 0.5 : 0;
            double d = (double)t->host[0][i] - row_number(b->rows[n], i) + noise;
            loss += d * d / PARAMETERS;
            t->host[1][i] += (float)(b->scale * 2 * d / PARAMETERS / (double)b->count);
        }
    if (learn) {
        if (b->step == t->poison_step)
            t->host[1][5] = (float)t->poison_gradient;
        backend_upload(t->backend, t->gradients, t->host[1], bytes);
    }
    *result = (train_result){.loss_sum = loss, .supervised = b->count, .tokens = 10 * b->count};
    return C2C_STATUS_OK;
}

static c2c_status toy_gradient(void *user, const train_batch *b, train_result *result,
                               c2c_error *error) {
    toy *t = user;
    (void)error;
    nanosleep(&(struct timespec){.tv_nsec = t->nanoseconds}, NULL);
    for (int64_t i = 0; i < b->count; i++)
        t->reads[b->rows[i]]++;
    toy_loss(t, b, true, result);
    if (b->step == t->poison_step && t->poison_gradient == 0)
        result->loss_sum = NAN;
    return C2C_STATUS_OK;
}

static c2c_status toy_evaluate(void *user, const train_batch *b, train_result *result,
                               c2c_error *error) {
    (void)error;
    return toy_loss(user, b, false, result);
}

static c2c_status toy_save(void *user, const char *folder, int64_t done, c2c_error *error) {
    toy *t = user;
    char *path = path_join(folder, "projector_0.safetensors");
    (void)done;
    backend_download(t->backend, t->host[0], t->parameters, sizeof t->host[0]);
    named_tensor one = {
        .name = "w",
        .view = {.type = DTYPE_F32, .rank = 1, .shape = {PARAMETERS}, .data = t->host[0]}};
    c2c_status status =
        tensor_file_write(path, TENSOR_FORMAT_SAFETENSORS, &one, 1, DTYPE_COUNT, error);
    free(path);
    return status;
}

static void toy_gates(void *user, int64_t *open, int64_t *count) {
    (void)user;
    *open = 1;
    *count = 3;
}

static double toy_temperature(void *user, int64_t done) {
    (void)user;
    return anneal_temperature(1, 0.01, 10, done);
}

static void toy_row_name(void *user, uint32_t row, buffer *name) {
    (void)user;
    buffer_printf(name, "toy %u", row);
}

static trainee toy_open(toy *t) {
    void *memory[2];
    *t = (toy){.poison_step = -1};
    assert_ok(backend_cpu_open(&t->backend, 1, &test_error));
    for (int i = 0; i < 2; i++)
        assert_ok(backend_alloc(t->backend, &memory[i], sizeof t->host[0], &test_error));
    t->parameters = memory[0];
    t->gradients = memory[1];
    return (trainee){.user = t,
                     .backend = t->backend,
                     .parameters = t->parameters,
                     .gradients = t->gradients,
                     .count = PARAMETERS,
                     .gradient = toy_gradient,
                     .evaluate = toy_evaluate,
                     .save = toy_save,
                     .gates = toy_gates,
                     .temperature = toy_temperature,
                     .row_name = toy_row_name};
}

static void toy_close(toy *t) {
    backend_release(t->backend, t->parameters);
    backend_release(t->backend, t->gradients);
    backend_close(t->backend);
}

/* ---- Runs --------------------------------------------------------------------------------- */

/* What a callback saw, and when it says no. */
typedef struct watch {
    int64_t stop_step; /* says no in the first event from this step on, or -1 */
    int64_t events[C2C_TRAIN_EVENT_SAVED + 1];
    int64_t begin, last; /* steps of the first and the last event */
    char note[1024];
    char saved[256];
} watch;

static bool watch_event(void *user, const c2c_train_event *e) {
    watch *w = user;
    w->events[e->kind]++;
    if (e->kind == C2C_TRAIN_EVENT_BEGIN)
        w->begin = e->step;
    if (e->kind == C2C_TRAIN_EVENT_NOTE)
        snprintf(w->note, sizeof w->note, "%s", e->text);
    if (e->kind == C2C_TRAIN_EVENT_SAVED)
        snprintf(w->saved, sizeof w->saved, "%s", e->text);
    w->last = e->step;
    return w->stop_step < 0 || e->step < w->stop_step;
}

static uint32_t numbers[ROWS];

static train_options options_for(const char *folder, int64_t steps, watch *w) {
    train_options o = {
        .schedule = {.kind = SCHEDULE_LINEAR, .warmup = 5, .total = steps, .rate = 0.1},
        .adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01},
        .max_gradient_norm = 0.05,
        .seed = 42,
        .eval_count = EVAL_ROWS,
        .eval_steps = 10,
        .save_steps = 7,
        .keep_last = 2,
        .folder = folder,
        .title = "toy",
        .recipe = "{}\n",
        .resume = true,
        .callback = watch_event,
        .user = w};
    int64_t train = order_split(numbers, ROWS, 0.9, 42);
    assert_int_equal(train, ROWS - EVAL_ROWS);
    o.train_rows = numbers;
    o.eval_rows = numbers + train;
    assert_ok(step_plan_init(&o.plan, train, 4, 3, 1, steps, &test_error));
    *w = (watch){.stop_step = -1};
    return o;
}

static void run_whole(const char *folder, int64_t steps) {
    toy t;
    watch w;
    const trainee trainee = toy_open(&t);
    train_options o = options_for(folder, steps, &w);
    o.save_steps = 0;
    assert_ok(train_run(&trainee, &o, &test_error));
    toy_close(&t);
}

static buffer read_file(const char *folder, const char *name) {
    file_map map;
    buffer bytes = {0};
    char *path = path_join(folder, name);
    assert_ok(file_map_open(&map, path, &test_error));
    buffer_append(&bytes, map.data, map.size);
    file_map_close(&map);
    free(path);
    return bytes;
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    buffer x = read_file(a, name), y = read_file(b, name);
    assert_int_equal(x.length, y.length);
    assert_memory_equal(x.data, y.data, x.length);
    buffer_free(&x);
    buffer_free(&y);
}

#define FINAL "final/projector_0.safetensors"

static bool exists(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    bool there = folder_exists(path) || file_exists(path);
    free(path);
    return there;
}

/* ---- Tests -------------------------------------------------------------------------------- */

static void a_run_learns_and_leaves_its_files(void **state) {
    (void)state;
    toy t;
    watch w;
    char *folder = test_folder_make(), *deep = path_join(folder, "a/b");
    const trainee trainee = toy_open(&t);
    train_options o = options_for(deep, 23, &w);
    o.resume = false;
    assert_ok(train_run(&trainee, &o, &test_error));
    /* 45 rows make 12 batches and 4 steps an epoch; the sixth epoch is begun: 23 = 5 * 4 + 3. */
    assert_int_equal(w.events[C2C_TRAIN_EVENT_STEP], 23);
    assert_int_equal(w.events[C2C_TRAIN_EVENT_SAVED], 4);
    /* At the ends of epochs, and at steps 10 and 23. */
    assert_int_equal(w.events[C2C_TRAIN_EVENT_EVAL], 7);
    for (int64_t i = 0; i < ROWS; i++) {
        bool evaluated = false;
        for (int64_t e = 0; e < EVAL_ROWS; e++)
            evaluated = evaluated || o.eval_rows[e] == i;
        assert_in_range(t.reads[i], evaluated ? 0 : 5, evaluated ? 0 : 6);
    }
    assert_false(exists(deep, "checkpoint-7"));
    assert_true(exists(deep, "checkpoint-14") && exists(deep, "checkpoint-21"));
    assert_true(exists(deep, "final/DONE") && exists(deep, "config.json") &&
                exists(deep, "report.html"));
    metric_list list;
    char *metrics = path_join(deep, "metrics.jsonl");
    assert_ok(metric_list_open(&list, metrics, &test_error));
    assert_int_equal(list.count, 30);
    assert_true(list.items[0].rate == 0 && list.items[1].rate > 0);
    assert_true(list.items[29].loss < list.items[0].loss * 0.9);
    /* What is complete is not trained again, and a folder in use is not taken by a new run. */
    assert_fails(train_run(&trainee, &o, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "holds a run already", "--resume");
    o.resume = true;
    assert_ok(train_run(&trainee, &o, &test_error));
    assert_string_equal(w.note, "the run is complete already");
    metric_list_free(&list);
    free(metrics);
    free(deep);
    toy_close(&t);
    test_folder_remove(folder);
}

/* Stopped at every step by the callback, in the middle of a step or behind it. */
static void stopped_runs_end_with_the_same_bits(void **state) {
    (void)state;
    char *whole = test_folder_make(), *folder = test_folder_make();
    run_whole(whole, 12);
    c2c_status status = C2C_STATUS_CANCELLED;
    for (int64_t stop = 0; status == C2C_STATUS_CANCELLED && stop < 30; stop++) {
        toy t;
        watch w;
        const trainee trainee = toy_open(&t);
        train_options o = options_for(folder, 12, &w);
        o.save_steps = 0;
        w.stop_step = stop;
        status = train_run(&trainee, &o, &test_error);
        if (status == C2C_STATUS_CANCELLED)
            assert_non_null(strstr(test_error.message, "stopped after step"));
        toy_close(&t);
    }
    assert_int_equal(status, C2C_STATUS_OK);
    assert_same_file(whole, folder, FINAL);
    test_folder_remove(whole);
    test_folder_remove(folder);
}

#define KILLS      20
#define KILL_STEPS 200

/* A child that goes on with the run; it never returns. */
static _Noreturn void child_run(const char *folder) {
    toy t;
    watch w;
    const trainee trainee = toy_open(&t);
    train_options o = options_for(folder, KILL_STEPS, &w);
    c2c_error error = {0};
    t.nanoseconds = 2000000; /* 20 kills come before the end */
    c2c_status status = train_run(&trainee, &o, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    _exit(status ? 1 : 0);
}

/* Runs until it is done or `milliseconds` are over; true: it was killed. */
static bool run_and_kill(const char *folder, int milliseconds) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_run(folder);
    for (int i = 0; milliseconds < 0 || i < milliseconds; i++) {
        if (waitpid(child, &status, WNOHANG) == child) {
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    /* It may have ended just now. */
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void killed_runs_end_with_the_same_bits(void **state) {
    (void)state;
    char *whole = test_folder_make(), *folder = test_folder_make();
    int kills = 0;
    /* Another place in every run of the test: the moment is printed, so that it can be had again.
     */
    uint64_t seed = (uint64_t)time(NULL);
    run_whole(whole, KILL_STEPS);
    for (uint64_t i = 0; i < KILLS; i++) {
        random_key key = {.seed = seed, .step = i};
        int milliseconds = 1 + (int)(random_uniform(&key) * 60);
        if (!run_and_kill(folder, milliseconds))
            break;
        kills++;
    }
    printf("killed %d times, seed %llu\n", kills, (unsigned long long)seed);
    assert_int_equal(kills, KILLS);
    run_and_kill(folder, -1);
    assert_same_file(whole, folder, FINAL);
    test_folder_remove(whole);
    test_folder_remove(folder);
}

/* Cuts a file, or changes one of its bytes. */
static void damage(const char *folder, const char *name, bool cut) {
    buffer bytes = read_file(folder, name);
    bytes.data[bytes.length / 2] ^= 1;
    test_file_write(folder, name, bytes.data, cut ? bytes.length / 2 : bytes.length);
    buffer_free(&bytes);
}

static void torn_checkpoints_are_not_used(void **state) {
    (void)state;
    static const char *const torn[] = {"checkpoint-14/optimizer.safetensors",
                                       "checkpoint-14/state.json",
                                       "checkpoint-14/projector_0.safetensors",
                                       "checkpoint-14/DONE"};
    char *whole = test_folder_make();
    run_whole(whole, 20);
    for (int i = 0; i < 8; i++) {
        toy t;
        watch w;
        char *folder = test_folder_make();
        trainee trainee = toy_open(&t);
        train_options o = options_for(folder, 20, &w);
        w.stop_step = 14;
        assert_int_equal(train_run(&trainee, &o, &test_error), C2C_STATUS_CANCELLED);
        toy_close(&t);
        damage(folder, torn[i / 2], i % 2);
        trainee = toy_open(&t);
        o = options_for(folder, 20, &w);
        assert_ok(train_run(&trainee, &o, &test_error));
        assert_int_equal(w.begin, 7);
        assert_non_null(strstr(w.note, "checkpoint-14"));
        assert_same_file(whole, folder, FINAL);
        toy_close(&t);
        test_folder_remove(folder);
    }
    test_folder_remove(whole);
}

/* A disk that takes no more: files may not grow beyond what the metrics need. */
static void full_disks_leave_the_last_checkpoint(void **state) {
    (void)state;
    toy t;
    watch w;
    struct rlimit limit, before;
    char *folder = test_folder_make(), *whole = test_folder_make();
    trainee trainee = toy_open(&t);
    train_options o = options_for(folder, 20, &w);
    run_whole(whole, 20);
    w.stop_step = 8;
    assert_int_equal(train_run(&trainee, &o, &test_error), C2C_STATUS_CANCELLED);
    assert_true(exists(folder, "checkpoint-8"));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 3 * PARAMETERS * sizeof(float);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    w.stop_step = -1;
    c2c_status status = train_run(&trainee, &o, &test_error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, C2C_STATUS_IO);
    assert_non_null(strstr(test_error.message, "step 14: the checkpoint could not be written"));
    assert_non_null(strstr(test_error.message, strerror(EFBIG)));
    assert_non_null(strstr(test_error.message, "the last good checkpoint is"));
    assert_non_null(strstr(test_error.message, "checkpoint-8"));
    assert_false(exists(folder, "checkpoint-14"));
    toy_close(&t);
    trainee = toy_open(&t);
    o = options_for(folder, 20, &w);
    assert_ok(train_run(&trainee, &o, &test_error));
    assert_int_equal(w.begin, 8);
    assert_same_file(whole, folder, FINAL);
    toy_close(&t);
    test_folder_remove(folder);
    test_folder_remove(whole);
}

static void numbers_that_are_none_stop_the_run(void **state) {
    (void)state;
    const struct {
        double gradient;
        const char *what;
    } cases[] = {{0, "the loss is not a number"},
                 {NAN, "the gradient is not a number"},
                 {INFINITY, "the gradient is infinite"}};
    for (int i = 0; i < 3; i++) {
        toy t;
        watch w;
        char *folder = test_folder_make();
        const trainee trainee = toy_open(&t);
        const train_options o = options_for(folder, 20, &w);
        t.poison_step = 9;
        t.poison_gradient = cases[i].gradient;
        assert_fails(train_run(&trainee, &o, &test_error), C2C_STATUS_MISMATCH, "step 10",
                     cases[i].what, "rows: toy ", "the last good checkpoint is", "checkpoint-7");
        assert_false(exists(folder, "final"));
        toy_close(&t);
        test_folder_remove(folder);
    }
}

static void other_runs_do_not_go_on(void **state) {
    (void)state;
    toy t;
    watch w;
    char *folder = test_folder_make();
    const trainee trainee = toy_open(&t);
    train_options o = options_for(folder, 20, &w);
    w.stop_step = 8;
    assert_int_equal(train_run(&trainee, &o, &test_error), C2C_STATUS_CANCELLED);
    o = options_for(folder, 20, &w);
    o.seed = 43;
    assert_fails(train_run(&trainee, &o, &test_error), C2C_STATUS_MISMATCH, "state.json",
                 "seed was 42", "is 43 now");
    o = options_for(folder, 20, &w);
    o.recipe = "{\"a\": 1}\n";
    w.stop_step = 9;
    assert_int_equal(train_run(&trainee, &o, &test_error), C2C_STATUS_CANCELLED);
    assert_non_null(strstr(w.note, "the recipe is not the one"));
    toy_close(&t);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_learns_and_leaves_its_files),
        cmocka_unit_test(stopped_runs_end_with_the_same_bits),
        cmocka_unit_test(killed_runs_end_with_the_same_bits),
        cmocka_unit_test(torn_checkpoints_are_not_used),
        cmocka_unit_test(full_disks_leave_the_last_checkpoint),
        cmocka_unit_test(numbers_that_are_none_stop_the_run),
        cmocka_unit_test(other_runs_do_not_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
