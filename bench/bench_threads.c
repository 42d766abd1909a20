/* bench_threads.c - what an empty thread_pool_run costs: workers spinning, and workers asleep. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void nothing(void *context, int64_t index, int worker) {
    (void)context, (void)index, (void)worker;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median and 99th percentile of `rounds` runs, in microseconds, after a pause of `pause` ns each.
 */
static void measure(thread_pool *pool, int rounds, long pause, const char *what) {
    double *times = malloc((size_t)rounds * sizeof *times);
    if (!times)
        return;
    for (int i = 0; i < rounds; i++) {
        if (pause)
            nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        double start = system_seconds();
        thread_pool_run(pool, 8, nothing, NULL);
        times[i] = (system_seconds() - start) * 1e6;
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    printf("threads %d, 8 empty parts, workers %-9s median %7.2f us, 99%% %7.2f us\n",
           thread_pool_size(pool), what, times[rounds / 2], times[rounds * 99 / 100]);
    free(times);
}

int main(void) {
    int processors = system_processors();
    int most = processors > 8 ? 8 : processors;
    for (int threads = 1; threads <= most; threads *= 2) {
        thread_pool *pool;
        c2c_error error;
        if (thread_pool_new(&pool, threads, &error) != C2C_STATUS_OK) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
        measure(pool, 20000, 0, "spinning");
        measure(pool, 300, 3000000, "asleep");
        thread_pool_free(pool);
    }
    return 0;
}
