/* The thread pool: every part once, whoever is awake, asleep, late, or calling at the same time. */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Plain bytes and a plain sum per worker: two threads in one part, or one worker number used by
 * two threads, is a race that the thread sanitizer sees and that loses counts. */
typedef struct job {
    unsigned char *seen;
    int64_t per_worker[64];
    int threads;
    atomic_int bad_worker;
} job;

static void count_part(void *context, int64_t index, int worker) {
    job *j = context;
    j->seen[index]++;
    if (worker < 0 || worker >= j->threads)
        atomic_fetch_add(&j->bad_worker, 1);
    else
        j->per_worker[worker]++;
}

/* Returns whether everything was done once, so that other threads than the test's may ask. */
static bool run_counts(thread_pool *pool, int64_t count) {
    job j = {.threads = thread_pool_size(pool), .seen = calloc((size_t)count + 1, 1)};
    if (!j.seen)
        return false;
    thread_pool_run(pool, count, count_part, &j);
    bool good = j.bad_worker == 0 && j.seen[count] == 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        good = good && j.seen[i] == 1;
    for (int i = 0; i < j.threads; i++)
        sum += j.per_worker[i];
    free(j.seen);
    return good && sum == count;
}

static void test_every_part_runs_once(void **state) {
    (void)state;
    static const int64_t counts[] = {0, 1, 2, 3, 97, 4096};
    for (int threads = 1; threads <= 9; threads++) {
        thread_pool *pool;
        assert_ok(thread_pool_new(&pool, threads, &test_error));
        assert_int_equal(thread_pool_size(pool), threads);
        for (int round = 0; round < 300; round++)
            assert_true(run_counts(pool, counts[round % 6]));
        thread_pool_free(pool);
    }
    thread_pool_free(NULL);
}

/* Sums of the first phase that the second reads: too few when it begins too early. */
typedef struct phases_job {
    int64_t first_count;
    unsigned char *first;
    atomic_llong early, second;
} phases_job;

static void fill_part(void *context, int64_t index, int worker) {
    (void)worker;
    phases_job *j = context;
    for (volatile int i = 0; i < 50 * (int)(index % 7); i++) /* parts of unequal length */
        ;
    j->first[index]++;
}

static void read_part(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    phases_job *j = context;
    for (int64_t i = 0; i < j->first_count; i++)
        if (j->first[i] != 1)
            atomic_fetch_add(&j->early, 1);
    atomic_fetch_add(&j->second, 1);
}

static void test_a_phase_waits_for_the_one_before(void **state) {
    (void)state;
    static const int64_t counts[][2] = {{0, 5}, {1, 1}, {5, 0}, {1, 30}, {30, 1}, {17, 40}};
    for (int threads = 1; threads <= 6; threads++) {
        thread_pool *pool;
        assert_ok(thread_pool_new(&pool, threads, &test_error));
        for (int round = 0; round < 600; round++) {
            unsigned char first[30] = {0};
            const int64_t *count = counts[round % 6];
            phases_job j = {.first_count = count[0], .first = first};
            const thread_phase phases[2] = {{count[0], fill_part}, {count[1], read_part}};
            thread_pool_run_phases(pool, phases, &j);
            assert_int_equal(j.early, 0);
            assert_int_equal(j.second, count[1]);
            for (int64_t i = 0; i < count[0]; i++)
                assert_int_equal(first[i], 1);
        }
        thread_pool_free(pool);
    }
}

static void test_sleeping_workers_are_woken(void **state) {
    (void)state;
    thread_pool *pool;
    assert_ok(thread_pool_new(&pool, 4, &test_error));
    /* From far below the time that a worker spins to far above it: jobs meet workers that spin,
     * that fall asleep at this moment, and that sleep. */
    for (int round = 0; round < 200; round++) {
        struct timespec gap = {.tv_nsec = 1000l * (round % 40) * (round % 40)};
        nanosleep(&gap, NULL);
        assert_true(run_counts(pool, 1 + round % 50));
    }
    thread_pool_free(pool);
}

typedef struct meeting {
    atomic_int arrived;
    int wanted;
    atomic_bool late;
} meeting;

/* Waits until as many parts run at once as there are threads, at most 10 s. */
static void meet(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    meeting *m = context;
    atomic_fetch_add(&m->arrived, 1);
    for (int i = 0; atomic_load(&m->arrived) < m->wanted; i++) {
        if (i > 10000)
            atomic_store(&m->late, true);
        if (atomic_load(&m->late))
            return;
        pause_ms(1);
    }
}

static void test_all_threads_work_at_once(void **state) {
    (void)state;
    thread_pool *pool;
    assert_ok(thread_pool_new(&pool, 5, &test_error));
    for (int round = 0; round < 5; round++) {
        pause_ms(round * 3); /* asleep or not, all of them come */
        meeting m = {.wanted = 5};
        thread_pool_run(pool, 5, meet, &m);
        assert_false(m.late);
    }
    thread_pool_free(pool);
}

typedef struct caller {
    pthread_t thread;
    thread_pool *pool;
    int seed;
    bool good;
} caller;

static void *call_often(void *argument) {
    caller *c = argument;
    c->good = true;
    for (int i = 0; i < 400; i++)
        c->good = run_counts(c->pool, (i * 7 + c->seed) % 60) && c->good;
    return NULL;
}

static void test_callers_take_turns(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        thread_pool *pool;
        assert_ok(thread_pool_new(&pool, threads, &test_error));
        caller callers[4];
        for (int i = 0; i < 4; i++) {
            callers[i] = (caller){.pool = pool, .seed = i};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
            assert_true(callers[i].good);
        }
        thread_pool_free(pool);
    }
}

static void test_pools_come_and_go(void **state) {
    (void)state;
    /* Freed before its workers have looked up for the first time, after one job, and asleep. */
    for (int round = 0; round < 150; round++) {
        thread_pool *pool;
        assert_ok(thread_pool_new(&pool, 1 + round % 6, &test_error));
        if (round % 3 == 1)
            assert_true(run_counts(pool, 5));
        if (round % 3 == 2 && round % 5 == 0)
            pause_ms(3);
        thread_pool_free(pool);
    }
}

static void test_a_pool_needs_a_thread(void **state) {
    (void)state;
    thread_pool *pool = (thread_pool *)&pool;
    assert_fails(thread_pool_new(&pool, 0, &test_error), C2C_STATUS_INVALID_ARGUMENT, "0");
    assert_null(pool);
    assert_fails(thread_pool_new(&pool, -3, &test_error), C2C_STATUS_INVALID_ARGUMENT, "-3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_part_runs_once),
        cmocka_unit_test(test_a_phase_waits_for_the_one_before),
        cmocka_unit_test(test_sleeping_workers_are_woken),
        cmocka_unit_test(test_all_threads_work_at_once),
        cmocka_unit_test(test_callers_take_turns),
        cmocka_unit_test(test_pools_come_and_go),
        cmocka_unit_test(test_a_pool_needs_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
