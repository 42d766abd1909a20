/* run_sample.c - choosing the next token: penalties, temperature, top-k, top-p, min-p, the draw.
 * Plain C, one part per row: the candidates of one token fit a processor's cache. */
#include "backend/cpu/cpu.h"

#include <math.h>

/* The logit of id i after penalties; a NaN counts as minus infinity. */
static float penalised(const sample_args *a, int64_t row, int64_t i) {
    float x = a->logits[row * a->features + i];
    int32_t count = a->counts ? a->counts[row * a->features + i] : 0;
    if (count > 0) {
        if (a->repetition_penalty != 1)
            x = x < 0 ? x * a->repetition_penalty : x / a->repetition_penalty;
        x -= a->presence_penalty + a->frequency_penalty * (float)count;
    }
    return x == x ? x : -INFINITY;
}

/* Fills the candidates in order of id, with logits for weights; returns the first largest one. */
static sample_candidate collect(const sample_args *a, int64_t row, sample_candidate *c) {
    sample_candidate best = {.weight = -INFINITY, .id = 0};
    for (int64_t i = 0; i < a->features; i++) {
        c[i] = (sample_candidate){.weight = penalised(a, row, i), .id = (int32_t)i};
        if (c[i].weight > best.weight)
            best = c[i];
    }
    return best;
}

/* ---- The largest ones first --------------------------------------------------------------- */

/* Equal weights keep the order of ids. */
static bool before(sample_candidate a, sample_candidate b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

static void sift_down(sample_candidate *heap, int64_t count, int64_t at) {
    sample_candidate moved = heap[at];
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Takes the largest of a heap of `count` out, to the heap's last place. */
static sample_candidate pop(sample_candidate *heap, int64_t count) {
    sample_candidate top = heap[0];
    heap[0] = heap[count - 1];
    heap[count - 1] = top;
    sift_down(heap, count - 1, 0);
    return top;
}

/* Keeps the candidates that top-k and then top-p leave, in falling order at the end of c[]: their
 * number. `total` is the sum of all weights. */
static int64_t keep_largest(const sample_args *a, sample_candidate *c, double total) {
    int64_t n = a->features, k = a->top_k > 0 ? min_i64(a->top_k, n) : n, kept = 0;
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_down(c, n, i);
    if (k < n) {
        total = 0; /* of the k that are left */
        for (int64_t i = 0; i < k; i++)
            total += pop(c, n - i).weight;
    }
    double sum = 0;
    for (; kept < k; kept++) {
        sum += k < n ? c[n - 1 - kept].weight : pop(c, n - kept).weight;
        if (kept > 0 && a->top_p < 1 && sum > (double)a->top_p * total)
            break;
    }
    return kept;
}

/* ---- The draw ----------------------------------------------------------------------------- */

/* The candidate in whose share the uniform number falls, of those whose weight min-p allows. */
static int32_t draw(const sample_args *a, int64_t row, const sample_candidate *c, int64_t count,
                    int64_t step) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += c[i * step].weight >= a->min_p ? c[i * step].weight : 0;
    const random_key key = {.seed = a->seed,
                            .step = (uint64_t)a->positions[row] + 1,
                            .sample = (uint32_t)row,
                            .site = RANDOM_SITE_SAMPLING};
    double left = random_uniform(&key) * sum;
    int32_t id = c[0].id;
    for (int64_t i = 0; i < count; i++) {
        if (!(c[i * step].weight >= a->min_p) || c[i * step].weight == 0)
            continue;
        id = c[i * step].id;
        left -= c[i * step].weight;
        if (left < 0)
            break;
    }
    return id;
}

static void sample_row(void *context, int64_t row, int worker) {
    (void)worker;
    const sample_args *a = context;
    sample_candidate *c = a->candidates + row * a->features;
    sample_candidate best = collect(a, row, c);
    a->ids[row] = best.id;
    if (a->temperature <= 0 || best.weight == -INFINITY)
        return;
    /* Weights relative to the largest, which is 1: min_p can be compared as it is. */
    double total = 0;
    for (int64_t i = 0; i < a->features; i++) {
        c[i].weight = expf((c[i].weight - best.weight) / a->temperature);
        total += c[i].weight;
    }
    bool all = (a->top_k <= 0 || a->top_k >= a->features) && a->top_p >= 1;
    if (all) {
        a->ids[row] = draw(a, row, c, a->features, 1);
        return;
    }
    int64_t kept = keep_largest(a, c, total);
    a->ids[row] = draw(a, row, c + a->features - 1, kept, -1);
}

void cpu_run_sample(cpu_backend *cpu, const sample_args *args) {
    thread_pool_run(cpu->pool, args->rows, sample_row, (void *)args);
}

/* ---- Counting ----------------------------------------------------------------------------- */

static void count_ids(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    const count_ids_args *a = context;
    for (int64_t n = 0; n < a->rows; n++)
        a->counts[n * a->stride + a->ids[n]]++;
}

void cpu_run_count_ids(cpu_backend *cpu, const count_ids_args *args) {
    thread_pool_run(cpu->pool, 1, count_ids, (void *)args);
}

static void zero(void *context, int64_t index, int worker) {
    (void)index, (void)worker;
    const zero_args *a = context;
    memset(a->y, 0, (size_t)a->bytes);
}

void cpu_run_zero(cpu_backend *cpu, const zero_args *args) {
    thread_pool_run(cpu->pool, 1, zero, (void *)args);
}
