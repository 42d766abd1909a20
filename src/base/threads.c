/* threads.c - the thread pool: one job at a time, parts claimed in order from one counter. */
#define _GNU_SOURCE
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Ops follow each other within microseconds, and waking a sleeper costs more than that. */
#define SPINS 4000

typedef struct worker {
    thread_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct thread_pool {
    int threads;
    worker *workers; /* threads - 1; the caller is worker 0 */
    int started;
    pthread_mutex_t turn; /* held by the caller whose job runs */
    pthread_mutex_t lock; /* guards sleeping and waking */
    pthread_cond_t wake;
    int sleepers;
    /* The job. `generation` is written last: who sees the new value sees the job. */
    thread_task task;
    void *context;
    int64_t count;
    atomic_llong next;  /* next part to claim */
    atomic_int running; /* workers that have not finished with this job */
    atomic_uint generation;
    atomic_bool stop;
};

static inline void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_parts(thread_pool *pool, int index) {
    for (;;) {
        int64_t part = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (part >= pool->count)
            return;
        pool->task(pool->context, part, index);
    }
}

/* Returns when the generation is no longer `seen`, or the pool stops. */
static void wait_for_job(thread_pool *pool, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen)
            return;
        cpu_relax();
    }
    pthread_mutex_lock(&pool->lock);
    pool->sleepers++;
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleepers--;
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    thread_pool *pool = self->pool;
    for (unsigned seen = 0;; seen++) {
        wait_for_job(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        run_parts(pool, self->index);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}

static void announce(thread_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    if (pool->sleepers)
        pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

c2c_status thread_pool_new(thread_pool **out, int threads, c2c_error *error) {
    *out = NULL;
    thread_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return error_memory(error, sizeof *pool, "the thread pool");
    pool->threads = threads;
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    if (!pool->workers) {
        thread_pool_free(pool);
        return error_memory(error, (size_t)threads * sizeof *pool->workers, "the thread pool");
    }
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[i - 1];
        *w = (worker){.pool = pool, .index = i};
        int code = pthread_create(&w->thread, NULL, worker_main, w);
        if (code) {
            thread_pool_free(pool);
            return error_set(error, C2C_STATUS_OUT_OF_MEMORY, "cannot start thread %d of %d: %s",
                             i + 1, threads, strerror(code));
        }
        pool->started++;
    }
    *out = pool;
    return C2C_STATUS_OK;
}

void thread_pool_free(thread_pool *pool) {
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    announce(pool);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    free(pool->workers);
    free(pool);
}

int thread_pool_size(const thread_pool *pool) {
    return pool->threads;
}

void thread_pool_run(thread_pool *pool, int64_t count, thread_task task, void *context) {
    pthread_mutex_lock(&pool->turn);
    if (count <= 1 || pool->started == 0) {
        for (int64_t i = 0; i < count; i++)
            task(context, i, 0);
        pthread_mutex_unlock(&pool->turn);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->running, pool->started, memory_order_relaxed);
    announce(pool);
    run_parts(pool, 0);
    /* The other parts are being run at this moment: the wait is short, unless their threads were
     * put aside by the system, and then this one must not keep them from a processor. */
    for (int spins = 0; atomic_load_explicit(&pool->running, memory_order_acquire); spins++) {
        if (spins < SPINS)
            cpu_relax();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&pool->turn);
}
