/* test_train_stop.c - runs of the verb train that end before their end: asked to stop, once or
 * twice, killed at any moment, on a full disk, with torn files. Each goes on to the bits of a run
 * that was left alone. The loop itself is tested so without a model in tests/train/test_loop.c. */
#include "app/train_world.h"
#include "train/train.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* More steps than a page takes lines of, and short ones: under a sanitizer they are slow. */
#define STEPS "training.max_steps=48"
#define LONG_RUN                                                                                   \
    "--threads", "1", "--set", STEPS, "--set", "training.per_device_train_batch_size=1", "--set",  \
        "output.eval_steps=16", "--set", "model.projector.params.hidden_dim=16"

/* ---- A run that is watched ---------------------------------------------------------------- */

#define PIPE_PAGE 4096

/* Standard output is a pipe with room for one page, or nothing. */
typedef struct run {
    pid_t child;
    int out;  /* where the pipe is read, or -1 */
    int err;  /* a file */
    int full; /* bytes in the pipe when there is no room */
} run;

static _Noreturn void child_run(const char *world, const char *output, size_t file_bytes, int out,
                                int err) {
    const char *build = getenv("C2C_BUILD");
    char *program = path_join(build ? build : "build", "c2c");
    train_paths p = train_paths_in(world, output);
    const struct rlimit limit = {file_bytes, file_bytes};
    /* A full disk sends no signal either. */
    if (file_bytes && (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit)))
        _exit(126);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execl(program, program, "train", p.recipe, "--data", world, "--output", p.output, "--resume",
          "--log-steps", "1", LONG_RUN, (char *)NULL);
    _exit(127);
}

/* A pipe that is full, but for one page. */
static void pipe_open(run *r, int *in) {
    static const char page[PIPE_PAGE];
    int ends[2];
    char taken[PIPE_PAGE];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], page, sizeof page) == sizeof page)
        r->full += PIPE_PAGE;
    assert_int_equal(read(ends[0], taken, sizeof taken), sizeof taken);
    fcntl(ends[1], F_SETFL, 0);
    r->out = ends[0];
    *in = ends[1];
}

/* `file_bytes`: files may not be larger; 0: they may. */
static run run_start(const char *world, const char *output, bool piped, size_t file_bytes) {
    char *name = path_join(world, "err-XXXXXX");
    run r = {.out = -1, .err = mkstemp(name)};
    int in = -1;
    assert_true(r.err >= 0);
    if (piped)
        pipe_open(&r, &in);
    else
        in = open("/dev/null", O_WRONLY);
    r.child = fork();
    assert_true(r.child >= 0);
    if (r.child == 0)
        child_run(world, output, file_bytes, in, r.err);
    close(in);
    unlink(name);
    free(name);
    return r;
}

static void wait_milliseconds(int milliseconds) {
    nanosleep(&(struct timespec){.tv_sec = milliseconds / 1000,
                                 .tv_nsec = milliseconds % 1000 * 1000000L},
              NULL);
}

static bool run_has_ended(const run *r, int *status) {
    return waitpid(r->child, status, WNOHANG) == r->child;
}

/* Its exit status, or 128 + signal; what it says on standard error is `err`, to be freed. */
static int run_end(run *r, char **err) {
    char block[4096];
    buffer text = {0};
    int status;
    while (r->out >= 0 && read(r->out, block, sizeof block) > 0)
        ;
    assert_int_equal(waitpid(r->child, &status, 0), r->child);
    assert_int_equal(lseek(r->err, 0, SEEK_SET), 0);
    for (ssize_t n; (n = read(r->err, block, sizeof block)) > 0;)
        buffer_append(&text, block, (size_t)n);
    *err = buffer_take(&text, NULL);
    assert_non_null(*err);
    if (r->out >= 0)
        close(r->out);
    close(r->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A field of /proc/PID/status, behind its colon. */
static bool read_status(const run *r, const char *field, char *value, size_t size) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)r->child);
    FILE *file = fopen(path, "rb");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':';
        if (found)
            snprintf(value, size, "%s",
                     line + strlen(field) + 1 + strspn(line + strlen(field) + 1, " \t"));
    }
    if (file)
        fclose(file);
    return found;
}

/* Waits until the run can print no more: it sleeps, and the pipe has no room for another line. */
static void run_wait_full(const run *r) {
    char state[64];
    int bytes = 0, status;
    for (int calm = 0; calm < 3; wait_milliseconds(5)) {
        assert_false(run_has_ended(r, &status));
        assert_int_equal(ioctl(r->out, FIONREAD, &bytes), 0);
        bool sleeps = read_status(r, "State", state, sizeof state) && state[0] == 'S';
        calm = sleeps && bytes > r->full - 200 ? calm + 1 : 0;
    }
}

/* Sends a signal and waits until the run's handler has seen it. */
static void run_signal(const run *r, int number) {
    char waiting[64];
    assert_int_equal(kill(r->child, number), 0);
    while (read_status(r, "ShdPnd", waiting, sizeof waiting) &&
           strtoull(waiting, NULL, 16) >> (number - 1) & 1)
        wait_milliseconds(1);
}

/* ---- Tests -------------------------------------------------------------------------------- */

static char *world; /* with "whole", a run that nothing disturbed, in it */
static double whole_seconds;

static int world_open(void **state) {
    (void)state;
    world = train_world_make();
    double started = system_seconds();
    train_world_run(world, "whole", LONG_RUN);
    whole_seconds = system_seconds() - started;
    return 0;
}

static int world_close(void **state) {
    (void)state;
    test_folder_remove(world);
    return 0;
}

/* The checkpoint that `message` names ("stopped after step 31 of 48") is complete. */
static void assert_saved(const char *output, const char *message) {
    const char *at = strstr(message, "stopped after step ");
    char name[128];
    if (!at)
        fail_msg("%s", message);
    snprintf(name, sizeof name, "%s/checkpoint-%d", output,
             atoi(at + strlen("stopped after step ")));
    char *path = path_join(world, name);
    assert_ok(done_mark_check(path, &test_error));
    free(path);
}

static void no_notes(void *user, const char *message) {
    (void)user;
    fail_msg("%s", message);
}

/* Without a terminal, one signal saves and ends the run; what it leaves goes on. */
static void one_signal_saves_and_stops(void **state) {
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM};
    char *err;
    for (int i = 0; i < 2; i++) {
        const char *output = i ? "terminated" : "interrupted";
        run r = run_start(world, output, true, 0);
        run_wait_full(&r);
        run_signal(&r, numbers[i]);
        assert_int_equal(run_end(&r, &err), 1);
        assert_saved(output, err);
        assert_non_null(strstr(err, "the same command with --resume goes on"));
        free(err);
        train_world_run(world, output, LONG_RUN, "--resume");
        train_world_assert_same(world, "whole", output);
    }
}

/* The first signal waits for the step to end, which the full pipe keeps it from; the second one
 * waits for nothing, and takes no checkpoint with it. */
static void a_second_signal_ends_at_once(void **state) {
    (void)state;
    static const int numbers[][2] = {{SIGINT, SIGINT}, {SIGTERM, SIGINT}};
    char *err, *path;
    for (int i = 0; i < 2; i++) {
        int status;
        const char *output = i ? "second" : "first";
        train_paths p = train_paths_in(world, output);
        run r = run_start(world, output, true, 0);
        run_wait_full(&r);
        run_signal(&r, numbers[i][0]);
        wait_milliseconds(30);
        assert_false(run_has_ended(&r, &status));
        kill(r.child, numbers[i][1]);
        assert_int_equal(run_end(&r, &err), 128 + numbers[i][1]);
        assert_null(strstr(err, "stopped after"));
        free(err);
        assert_ok(checkpoint_find(&path, p.output, no_notes, NULL, &test_error));
        assert_non_null(path);
        assert_ok(done_mark_check(path, &test_error));
        free(path);
        train_world_run(world, output, LONG_RUN, "--resume");
        train_world_assert_same(world, "whole", output);
        train_paths_free(&p);
    }
}

#define KILLS 20

/* Killed at moments that differ from one run of the test to the next, which are printed so that
 * they can be had again. Between the kills two signals come one right after the other: often the
 * second one finds the run saving. Where a run ends before all of them, another one begins. */
static void killed_runs_end_with_the_same_bits(void **state) {
    (void)state;
    char *err, output[32];
    uint64_t seed = (uint64_t)time(NULL);
    int kills = 0, runs = 0;
    snprintf(output, sizeof output, "killed-%d", runs);
    for (uint64_t i = 0; kills < KILLS; i++) {
        const random_key when = {.seed = seed, .step = i},
                         next = {.seed = seed, .step = i, .site = 1};
        bool twice = i % 4 == 3;
        run r = run_start(world, output, false, 0);
        wait_milliseconds((int)(random_uniform(&when) * whole_seconds * 1000 / 12));
        kill(r.child, twice ? SIGINT : SIGKILL);
        if (twice) {
            wait_milliseconds((int)(random_uniform(&next) * 10));
            kill(r.child, SIGINT);
        }
        int status = run_end(&r, &err);
        /* Asked to stop it may have saved by then; before there is anything to stop, the signal
         * itself ends it. */
        if (status != 0 && status != 128 + (twice ? SIGINT : SIGKILL) && !(twice && status == 1))
            fail_msg("exit status %d:\n%s", status, err);
        free(err);
        kills += status == 128 + SIGKILL;
        if (status != 0)
            continue;
        train_world_assert_same(world, "whole", output);
        snprintf(output, sizeof output, "killed-%d", ++runs);
    }
    printf("killed %d times in %d runs, seed %llu\n", kills, runs + 1, (unsigned long long)seed);
    train_world_run(world, output, LONG_RUN, "--resume");
    train_world_assert_same(world, "whole", output);
}

/* A run that was stopped with two checkpoints on disk; the step of the newer one. */
static int64_t stop_half_way(const char *output) {
    char *err;
    run r = run_start(world, output, true, 0);
    run_wait_full(&r);
    run_signal(&r, SIGTERM);
    assert_int_equal(run_end(&r, &err), 1);
    assert_saved(output, err);
    int64_t step = atoi(strstr(err, "stopped after step ") + strlen("stopped after step "));
    free(err);
    return step;
}

/* A disk that takes the fuser, but not the optimizer's numbers. */
static void full_disks_leave_the_last_checkpoint(void **state) {
    (void)state;
    char *err, name[128];
    size_t size;
    int64_t step = stop_half_way("full");
    snprintf(name, sizeof name, "full/checkpoint-%lld/optimizer.safetensors", (long long)step);
    free(file_read(world, name, &size));
    run r = run_start(world, "full", false, size / 2);
    int status = run_end(&r, &err);
    snprintf(name, sizeof name, "full/checkpoint-%lld", (long long)step);
    if (status != 1 || !strstr(err, "the checkpoint could not be written") ||
        !strstr(err, strerror(EFBIG)) || !strstr(err, "the last good checkpoint is") ||
        !strstr(err, name))
        fail_msg("exit status %d:\n%s", status, err);
    free(err);
    train_world_run(world, "full", LONG_RUN, "--resume");
    train_world_assert_same(world, "whole", "full");
}

/* The run goes on from the checkpoint before the one that is torn, and says so. */
static void torn_files_are_not_used(void **state) {
    (void)state;
    static const char *const names[] = {"optimizer.safetensors", "DONE"};
    char name[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char output[32];
        program_result r;
        size_t size;
        snprintf(output, sizeof output, "torn-%zu", i);
        train_paths p = train_paths_in(world, output);
        int64_t step = stop_half_way(output);
        snprintf(name, sizeof name, "%s/checkpoint-%lld/%s", output, (long long)step, names[i]);
        char *bytes = file_read(world, name, &size);
        bytes[size / 2] ^= 1;
        /* Every other one is also shorter. */
        test_file_write(world, name, bytes, i % 2 ? size : size / 2 + 1);
        PROGRAM(&r, "train", p.recipe, "--data", world, "--output", p.output, "--resume", LONG_RUN);
        *strrchr(name, '/') = 0;
        if (r.status != 0 || !strstr(r.err, name) || !strstr(r.out, "going on behind step"))
            fail_msg("exit status %d:\n%s%s", r.status, r.err, r.out);
        train_world_assert_same(world, "whole", output);
        program_result_free(&r);
        train_paths_free(&p);
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_signal_saves_and_stops),
        cmocka_unit_test(a_second_signal_ends_at_once),
        cmocka_unit_test(killed_runs_end_with_the_same_bits),
        cmocka_unit_test(full_disks_leave_the_last_checkpoint),
        cmocka_unit_test(torn_files_are_not_used),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
