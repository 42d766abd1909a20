/* threads.c - the thread pool: one job at a time, whose parts are cut into as many runs as there
 * are threads. Each thread claims parts of its own run, in order, then of those that others have
 * not finished. So a thread finds in its caches what it wrote in the job before, where parts are
 * alike, and reads weights that lie one behind the other.
 *
 * The caller works on its job like everyone else and would finish it alone, so a worker that still
 * sleeps, or wakes up late, costs nobody any time. What the caller must know is who is *inside* the
 * job, that is, who may still read its fields or run one of its parts. `door` says so in one word:
 * its lowest bit is set while a job is open, and every worker inside adds ENTERED. A worker enters
 * by adding ENTERED and looks at the bit of the very value it added to: if the door was closed, it
 * takes the addition back and has touched nothing. The caller closes the door and waits until the
 * word is zero. All changes of one word stand in one order, so each worker either entered before
 * the door closed, and is waited for, or did not enter.
 *
 * A job may have two phases. Who finds no part of the first left waits until it is done: all of its
 * parts are in somebody's hands by then, and who holds one waits for nobody. */
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Ops follow each other within microseconds, and waking a sleeper costs more than that. */
#define SPINS 4000

#define OPEN    1u
#define ENTERED 2u

typedef struct worker {
    thread_pool *pool;
    pthread_t thread;
    int index;
} worker;

/* Parts next .. end-1, which one thread claims before others do. Everyone writes `next`. */
typedef struct part_run {
    _Alignas(64) atomic_llong next;
    int64_t end;
} part_run;

#define PHASES 2

struct thread_pool {
    int threads;
    worker *workers; /* threads - 1; the caller is worker 0 */
    int started;
    pthread_mutex_t turn; /* held by the caller whose job runs */

    /* Sleeping. A worker counts itself before it looks at `generation` for the last time, and a
     * caller changes `generation` before it looks at `sleepers`: one of them sees the other. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_int sleepers;
    atomic_uint generation; /* a new job, or the end */
    atomic_bool stop;

    /* The job: written while the door is closed and nobody is inside, read inside only. */
    thread_phase phases[PHASES];
    void *context;
    part_run *runs; /* [PHASES][threads] */

    /* The two words that everyone writes have cache lines of their own. */
    _Alignas(64) atomic_uint door;
    _Alignas(64) atomic_llong done; /* parts of the first phase */
};

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One look more at a word that another thread is about to change. Waits are short, unless that
 * thread was put aside by the system, and then this one must not keep it from a processor. */
static void wait_a_moment(int *spins) {
    if ((*spins)++ < SPINS)
        cpu_relax();
    else
        sched_yield();
}

/* Claims and runs parts until none is left; how many it were. */
static int64_t run_phase(thread_pool *pool, int phase, int index) {
    const thread_task task = pool->phases[phase].task;
    int64_t done = 0;
    for (int i = 0; i < pool->threads; i++) {
        part_run *run = &pool->runs[phase * pool->threads + (index + i) % pool->threads];
        while (atomic_load_explicit(&run->next, memory_order_relaxed) < run->end) {
            int64_t part = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
            if (part >= run->end)
                break;
            task(pool->context, part, index);
            done++;
        }
    }
    return done;
}

static void run_parts(thread_pool *pool, int index) {
    int64_t first = pool->phases[0].count, done = run_phase(pool, 0, index);
    if (pool->phases[1].count == 0)
        return;
    if (done > 0)
        atomic_fetch_add_explicit(&pool->done, done, memory_order_release);
    for (int spins = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < first;)
        wait_a_moment(&spins);
    run_phase(pool, 1, index);
}

/* ---- A worker's side ---------------------------------------------------------------------- */

/* Returns the generation once it is no longer `seen`. */
static unsigned wait_for_job(thread_pool *pool, unsigned seen) {
    unsigned now;
    for (int i = 0; i < SPINS; i++) {
        now = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (now != seen)
            return now;
        cpu_relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while ((now = atomic_load(&pool->generation)) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return now;
}

static void *worker_main(void *argument) {
    worker *self = argument;
    thread_pool *pool = self->pool;
    for (unsigned seen = 0;;) {
        seen = wait_for_job(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        /* Acquire: who finds the door open sees the job that the caller wrote before opening it. */
        unsigned door = atomic_fetch_add_explicit(&pool->door, ENTERED, memory_order_acquire);
        if (door & OPEN)
            run_parts(pool, self->index);
        /* Release: the caller that reads zero sees everything that was done inside. */
        atomic_fetch_sub_explicit(&pool->door, ENTERED, memory_order_release);
    }
}

/* ---- The caller's side -------------------------------------------------------------------- */

/* Changes the generation and wakes up to `helpers` sleepers. */
static void announce(thread_pool *pool, int64_t helpers) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    /* With the lock held, every counted sleeper is waiting, or will look at the generation again.
     */
    pthread_mutex_lock(&pool->lock);
    int64_t sleepers = atomic_load(&pool->sleepers);
    if (helpers >= sleepers)
        pthread_cond_broadcast(&pool->wake);
    else
        for (int64_t i = 0; i < helpers; i++)
            pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* Closes the door and returns when nobody is inside. */
static void close_door(thread_pool *pool) {
    unsigned door = atomic_fetch_and_explicit(&pool->door, ~OPEN, memory_order_acquire) & ~OPEN;
    for (int spins = 0; door != 0;) {
        wait_a_moment(&spins); /* those inside run their last part */
        door = atomic_load_explicit(&pool->door, memory_order_acquire);
    }
}

/* Cuts the phases' parts into runs of about the same number. */
static void cut_runs(thread_pool *pool) {
    for (int i = 0; i < PHASES * pool->threads; i++) {
        const int64_t count = pool->phases[i / pool->threads].count, place = i % pool->threads;
        pool->runs[i].end = count * (place + 1) / pool->threads;
        atomic_store_explicit(&pool->runs[i].next, count * place / pool->threads,
                              memory_order_relaxed);
    }
}

void thread_pool_run_phases(thread_pool *pool, const thread_phase phases[2], void *context) {
    int64_t most = max_i64(phases[0].count, phases[1].count);
    pthread_mutex_lock(&pool->turn);
    if (most <= 1 || pool->started == 0) {
        for (int phase = 0; phase < 2; phase++)
            for (int64_t i = 0; i < phases[phase].count; i++)
                phases[phase].task(context, i, 0);
        pthread_mutex_unlock(&pool->turn);
        return;
    }
    pool->phases[0] = phases[0];
    pool->phases[1] = phases[1];
    pool->context = context;
    cut_runs(pool);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    atomic_fetch_or_explicit(&pool->door, OPEN, memory_order_release);
    announce(pool, most - 1);
    run_parts(pool, 0);
    close_door(pool);
    pthread_mutex_unlock(&pool->turn);
}

void thread_pool_run(thread_pool *pool, int64_t count, thread_task task, void *context) {
    const thread_phase phases[2] = {{count, task}, {0, NULL}};
    thread_pool_run_phases(pool, phases, context);
}

/* ---- Life --------------------------------------------------------------------------------- */

/* Signals are the program's business: they go to threads that it made itself. */
static int start_worker(worker *w) {
    sigset_t all, before;
    sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code)
        return code;
    code = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

c2c_status thread_pool_new(thread_pool **out, int threads, c2c_error *error) {
    *out = NULL;
    if (threads < 1)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "a thread pool needs at least 1 thread, got %d", threads);
    size_t bytes = (sizeof(thread_pool) + 63) / 64 * 64;
    thread_pool *pool = aligned_alloc(64, bytes);
    if (!pool)
        return error_memory(error, bytes, "the thread pool");
    *pool = (thread_pool){.threads = threads};
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    c2c_status status = C2C_STATUS_OK;
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    pool->runs = aligned_alloc(64, PHASES * (size_t)threads * sizeof *pool->runs);
    if (!pool->workers || !pool->runs) {
        status = error_memory(error, (size_t)threads * sizeof *pool->runs, "the thread pool");
        goto done;
    }
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[i - 1];
        *w = (worker){.pool = pool, .index = i};
        int code = start_worker(w);
        if (code) {
            status = error_set(error, C2C_STATUS_OUT_OF_MEMORY, "cannot start thread %d of %d: %s",
                               i + 1, threads, strerror(code));
            goto done;
        }
        pool->started++;
    }
    *out = pool;
    pool = NULL;
done:
    thread_pool_free(pool);
    return status;
}

void thread_pool_free(thread_pool *pool) {
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    announce(pool, pool->started);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool->workers);
    free(pool->runs);
    free(pool);
}

int thread_pool_size(const thread_pool *pool) {
    return pool->threads;
}
