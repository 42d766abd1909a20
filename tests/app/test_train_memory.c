/* test_train_memory.c - the verb train where memory is short (a limit on addresses, as ulimit -v
 * sets it): --check foresees it, a run that goes ahead says how many rows fit, and these do. */
#include "app/train_world.h"

#include <sys/resource.h>

/* Address sanitizers take all addresses for themselves. */
#if defined(__SANITIZE_ADDRESS__)
#define LIMITS_WORK 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMITS_WORK 0
#endif
#endif
#ifndef LIMITS_WORK
#define LIMITS_WORK 1
#endif

#define BATCH 36 /* all rows that are learnt from */

/* The program under a limit of so many bytes; RLIM_INFINITY: without one. */
static void train_within(program_result *r, const char *world, rlim_t bytes, int64_t batch,
                         const char *option, const char *other) {
    struct rlimit before, limit;
    static int runs;
    char set[80], output[32];
    snprintf(output, sizeof output, "out-%d", runs++);
    train_paths p = train_paths_in(world, output);
    snprintf(set, sizeof set, "training.per_device_train_batch_size=%lld", (long long)batch);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = (struct rlimit){bytes, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    PROGRAM(r, "train", p.recipe, "--data", world, "--output", p.output, "--threads", "1", "--set",
            set, "--set", "training.gradient_accumulation_steps=1", "--set", "training.max_steps=2",
            "--set", "output.save_steps=0", "--set", "model.projector.params.hidden_dim=128",
            option, other);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    train_paths_free(&p);
}

static int64_t integer_in(const char *text, const char *key) {
    json_document *document;
    int64_t value;
    assert_ok(json_parse(&document, text, strlen(text), "standard output", &test_error));
    assert_ok(json_get_integer(json_root(document), key, NULL, 0, INT64_MAX, &value,
                               "standard output", &test_error));
    json_close(document);
    return value;
}

/* A limit under which the recipe's batch has so much of what it takes. */
static rlim_t short_limit(const char *world, double share) {
    const rlim_t plenty = (rlim_t)8 << 30;
    program_result r;
    train_within(&r, world, plenty, BATCH, "--check", "--json");
    if (r.status != 0)
        fail_msg("%s", r.err);
    int64_t need = integer_in(r.out, "memory_bytes"), room = integer_in(r.out, "memory_available");
    assert_int_equal(integer_in(r.out, "batch_that_fits"), BATCH);
    assert_true(room > need && (rlim_t)room < plenty);
    program_result_free(&r);
    return plenty - (rlim_t)room + (rlim_t)((double)need * share);
}

static void skip_without_limits(void) {
    if (LIMITS_WORK)
        return;
    printf("SKIP: no limit on addresses under a sanitizer\n");
    skip();
}

static void checks_foresee_what_does_not_fit(void **state) {
    (void)state;
    skip_without_limits();
    program_result r;
    char *world = train_world_make(), text[80];
    rlim_t limit = short_limit(world, 0.6);
    train_within(&r, world, limit, BATCH, "--check", "--json");
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "needs more memory than there is"));
    int64_t fits = integer_in(r.out, "batch_that_fits");
    assert_in_range(fits, 1, BATCH - 1);
    program_result_free(&r);
    train_within(&r, world, limit, BATCH, "--check", NULL);
    snprintf(text, sizeof text, "use training.per_device_train_batch_size=%lld", (long long)fits);
    assert_non_null(strstr(r.out, text));
    program_result_free(&r);
    train_within(&r, world, limit, fits, NULL, NULL);
    if (r.status != 0)
        fail_msg("%lld rows: %s", (long long)fits, r.err);
    program_result_free(&r);
    test_folder_remove(world);
}

/* What is foreseen is not less than what is needed, but may be more: the limit is lowered until a
 * run fails. */
static void runs_say_how_many_rows_fit(void **state) {
    (void)state;
    skip_without_limits();
    static const char key[] = "use training.per_device_train_batch_size=";
    program_result r = {0};
    char *world = train_world_make();
    rlim_t limit = 0;
    for (double share = 0.6; r.status == 0 && share > 0.1; share *= 0.75) {
        program_result_free(&r);
        limit = short_limit(world, share);
        train_within(&r, world, limit, BATCH, "--log-steps", "1");
    }
    const char *at = strstr(r.err, key);
    if (r.status != 1 || !at || !strstr(r.err, "there is no checkpoint yet"))
        fail_msg("exit status %d:\n%s", r.status, r.err);
    int64_t fits = strtoll(at + strlen(key), NULL, 10);
    assert_in_range(fits, 1, BATCH - 1);
    program_result_free(&r);
    train_within(&r, world, limit, fits, NULL, NULL);
    if (r.status != 0)
        fail_msg("%lld rows: %s", (long long)fits, r.err);
    program_result_free(&r);
    test_folder_remove(world);
}

int main(void) {
    /* A second thread's heap reserves 64 MB of addresses, in one run and not in the next: half of
     * what a batch here takes. */
    setenv("MALLOC_ARENA_MAX", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_foresee_what_does_not_fit),
        cmocka_unit_test(runs_say_how_many_rows_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
