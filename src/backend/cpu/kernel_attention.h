/* kernel_attention.h - attention of a few queries that share a kv head, compiled once per
 * instruction set.
 *
 * Keys are taken in blocks of ATTENTION_BLOCK_KEYS, counted from the start of the sequence's
 * ranges, with a running maximum m, a running sum l, and the weighted values in y itself: memory
 * does not grow with the context. A block in which a query sees nothing leaves it untouched, so a
 * query's bits do not depend on which other queries or later keys are in the call. */
#ifndef C2C_BACKEND_CPU_KERNEL_ATTENTION_H
#define C2C_BACKEND_CPU_KERNEL_ATTENTION_H

#include "backend/cpu/attention_keys.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/vector.h"

#include <math.h>

#if LANES == 16
#define MIX_ROWS 4 /* 16 sums + 4 values + 1 weight of 32 registers */
#else
#define MIX_ROWS 2 /* 8 sums + 4 values + 1 weight of 16 registers */
#endif
#define MIX_COLUMNS 4

/* The queries of a part; y accumulates the values. */
typedef struct query_tile {
    int64_t count;
    const float *q[ATTENTION_PART_QUERIES];
    float *y[ATTENTION_PART_QUERIES];
    int64_t position[ATTENTION_PART_QUERIES];
    float largest[ATTENTION_PART_QUERIES], sum[ATTENTION_PART_QUERIES]; /* sum 0: saw nothing */
    float p[ATTENTION_PART_QUERIES][ATTENTION_BLOCK_KEYS];              /* scores, then e^score */
} query_tile;

/* Keys that some of queries first .. last-1 see (some), and that all of them see (all). */
static void spans_of(const attention_args *a, const key_run *run, const query_tile *t,
                     int64_t first, int64_t last, key_span *some, key_span *all) {
    *some = (key_span){run->count, 0};
    *all = (key_span){0, run->count};
    for (int64_t i = first; i < last; i++) {
        key_span span = visible(a, run, t->position[i]);
        all->begin = max_i64(all->begin, span.begin);
        all->end = min_i64(all->end, span.end);
        if (span.begin < span.end) {
            some->begin = min_i64(some->begin, span.begin);
            some->end = max_i64(some->end, span.end);
        }
    }
}

/* p = q . k for the keys that anyone sees: a linear whose weights are the run's keys. */
static void score_run(const attention_args *a, const key_run *run, int64_t kv_head, query_tile *t) {
    key_span some, all;
    spans_of(a, run, t, 0, t->count, &some, &all);
    if (some.begin >= some.end)
        return;
    vec kept[ATTENTION_BLOCK_KEYS * TILE_ROWS];
    linear_block block = {.w = cache_row(a, a->k, run->row, kv_head),
                          .y = t->p[0] + run->first,
                          .in = a->head_dim,
                          .w_bytes = a->kv_stride * (int64_t)dtype_size(a->kv_type),
                          .y_stride = ATTENTION_BLOCK_KEYS,
                          .kept = kept};
    linear_part part = {.out_begin = some.begin, .out_end = some.end};
    strips_kernel strips = a->kv_type == DTYPE_BF16 ? strips_bf16 : strips_f32;
    for (int64_t i = 0; i < t->count; i += TILE_ROWS)
        strips((int)min_i64(TILE_ROWS, t->count - i), &block, t->q + i, i, &part);
}

/* Places in a block, in whole vectors, behind which query i sees no key; 0: it sees none at all. */
static int64_t seen_end(const attention_args *a, const key_block *block, const query_tile *t,
                        int64_t i) {
    int64_t end = 0;
    for (int r = 0; r < block->runs_count; r++) {
        key_span span = visible(a, &block->runs[r], t->position[i]);
        if (span.begin < span.end)
            end = max_i64(end, block->runs[r].first + span.end);
    }
    return (end + LANES - 1) / LANES * LANES;
}

/* Scores of keys before `end` that query i does not see become -inf; the others are scaled. */
static void mask_scores(const attention_args *a, const key_block *block, query_tile *t, int64_t i,
                        int64_t end) {
    float *p = t->p[i];
    for (int r = 0; r < block->runs_count; r++) {
        const key_run *run = &block->runs[r];
        key_span span = visible(a, run, t->position[i]);
        int64_t run_end = min_i64(run->count, end - run->first);
        for (int64_t j = 0; j < min_i64(span.begin, run_end); j++)
            p[run->first + j] = -INFINITY;
        for (int64_t j = span.end; j < run_end; j++)
            p[run->first + j] = -INFINITY;
    }
    for (int64_t j = block->keys; j < end; j++)
        p[j] = -INFINITY;
    for (int64_t j = 0; j < end; j += LANES)
        vec_store(p + j, vec_load(p + j) * a->scale);
}

KERNEL_INLINE void scale_row(float *y, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_some(y + i, vec_load_some(y + i, n - i) * factor, n - i);
}

/* Query i's scores before `end` become e^(score - largest); what it summed before is brought to the
 * same largest score. An unseen key has score -inf, which gives 0, so that it does not matter how
 * many of them there are. */
static void soften(const attention_args *a, query_tile *t, int64_t i, int64_t end) {
    float *p = t->p[i];
    vec largest_lanes = vec_load(p);
    for (int64_t j = LANES; j < end; j += LANES)
        largest_lanes = vec_max(vec_load(p + j), largest_lanes);
    float largest = vec_largest(largest_lanes);
    if (t->sum[i] == 0) {
        t->largest[i] = largest;
    } else if (largest > t->largest[i]) {
        float factor = vec_exp(vec_set(t->largest[i] - largest))[0];
        t->largest[i] = largest;
        t->sum[i] *= factor;
        scale_row(t->y[i], factor, a->head_dim);
    }
    vec sum = {0};
    for (int64_t j = 0; j < end; j += LANES) {
        vec e = vec_exp(vec_load(p + j) - t->largest[i]);
        vec_store(p + j, e);
        sum += e;
    }
    t->sum[i] += vec_sum(sum);
}

/* min(n, LANES) elements of a cache's row. */
KERNEL_INLINE vec vec_load_cached(dtype type, const char *p, int64_t n) {
    return type == DTYPE_BF16 ? vec_load_weight(DTYPE_BF16, p, 0, n) : vec_load_some(p, n);
}

/* y += p v for `rows` queries from `first` on over keys span.begin .. span.end-1 of a run, all of
 * which they see; `columns` vectors of the head from column d on. */
KERNEL_INLINE void mix(dtype type, int rows, int columns, const attention_args *a,
                       const key_run *run, int64_t kv_head, query_tile *t, int64_t first,
                       key_span span, int64_t d) {
    const int64_t width = type == DTYPE_BF16 ? 2 : 4, row_bytes = a->kv_stride * width;
    int64_t left = a->head_dim - d;
    const char *value =
        (const char *)cache_row(a, a->v, run->row + span.begin, kv_head) + d * width;
    vec sum[MIX_ROWS][MIX_COLUMNS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < columns; c++) sum[r][c] =
        vec_load_some(t->y[first + r] + d + c * LANES, columns == 1 ? left : LANES);
    for (int64_t j = run->first + span.begin; j < run->first + span.end; j++) {
        vec v[MIX_COLUMNS];
        UNROLL for (int c = 0; c < columns; c++) {
            if (rows <= 2)
                __builtin_prefetch(value + 4 * row_bytes + c * LANES * width);
            v[c] = vec_load_cached(type, value + c * LANES * width, columns == 1 ? left : LANES);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            vec p = vec_set(t->p[first + r][j]);
            UNROLL for (int c = 0; c < columns; c++) sum[r][c] = vec_fma(p, v[c], sum[r][c]);
        }
        value += row_bytes;
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < columns; c++)
        vec_store_some(t->y[first + r] + d + c * LANES, sum[r][c], columns == 1 ? left : LANES);
}

KERNEL_INLINE void mix_columns(dtype type, int rows, const attention_args *a, const key_run *run,
                               int64_t kv_head, query_tile *t, int64_t first, key_span span) {
    int64_t d = 0;
    for (; d + MIX_COLUMNS * LANES <= a->head_dim; d += MIX_COLUMNS * LANES)
        mix(type, rows, MIX_COLUMNS, a, run, kv_head, t, first, span, d);
    for (; d < a->head_dim; d += LANES)
        mix(type, rows, 1, a, run, kv_head, t, first, span, d);
}

KERNEL_INLINE void mix_head(int rows, const attention_args *a, const key_run *run, int64_t kv_head,
                            query_tile *t, int64_t first, key_span span) {
    if (span.begin >= span.end)
        return;
    if (a->kv_type == DTYPE_BF16)
        mix_columns(DTYPE_BF16, rows, a, run, kv_head, t, first, span);
    else
        mix_columns(DTYPE_F32, rows, a, run, kv_head, t, first, span);
}

/* Keys that all of the tile's queries see are mixed together; the few before and after that only
 * some see, query by query, in the same order. */
KERNEL_INLINE void mix_tile(int rows, const attention_args *a, const key_run *run, int64_t kv_head,
                            query_tile *t, int64_t first) {
    key_span some, all;
    spans_of(a, run, t, first, first + rows, &some, &all);
    if (all.begin >= all.end)
        all.begin = all.end = some.end;
    for (int64_t i = first; i < first + rows; i++) {
        key_span span = visible(a, run, t->position[i]);
        span.end = min_i64(span.end, all.begin);
        mix_head(1, a, run, kv_head, t, i, span);
    }
    mix_head(rows, a, run, kv_head, t, first, all);
    for (int64_t i = first; i < first + rows; i++) {
        key_span span = visible(a, run, t->position[i]);
        span.begin = max_i64(span.begin, all.end);
        mix_head(1, a, run, kv_head, t, i, span);
    }
}

static void attend_block(const attention_args *a, const key_block *block, int64_t kv_head,
                         query_tile *t) {
    for (int r = 0; r < block->runs_count; r++)
        score_run(a, &block->runs[r], kv_head, t);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t end = seen_end(a, block, t, i);
        if (!end)
            continue; /* its p is not read: no run has a key for it */
        mask_scores(a, block, t, i, end);
        soften(a, t, i, end);
    }
    for (int r = 0; r < block->runs_count; r++) {
        int64_t i = 0;
        for (; i + MIX_ROWS <= t->count; i += MIX_ROWS)
            mix_tile(MIX_ROWS, a, &block->runs[r], kv_head, t, i);
        for (; i + 2 <= t->count; i += 2)
            mix_tile(2, a, &block->runs[r], kv_head, t, i);
        for (; i < t->count; i++)
            mix_tile(1, a, &block->runs[r], kv_head, t, i);
    }
}

static void kernel_attention(const attention_args *a, const attention_part *part) {
    query_tile t;
    int64_t repeat = a->heads / a->kv_heads;
    t.count = part->end - part->begin;
    for (int64_t i = 0; i < t.count; i++) {
        int64_t row = a->q_start[part->sequence] + (part->begin + i) / repeat;
        int64_t head = part->head_begin * repeat + (part->begin + i) % repeat;
        t.q[i] = a->q + row * a->q_stride + head * a->head_dim;
        t.y[i] = a->y + row * a->y_stride + head * a->head_dim;
        t.position[i] = a->positions[row];
        t.sum[i] = 0;
        memset(t.y[i], 0, (size_t)a->head_dim * sizeof(float));
    }
    key_block block;
    key_cursor cursor = {.range = a->range_start[part->sequence],
                         .range_end = a->range_start[part->sequence + 1]};
    for (next_block(a, &cursor, &block); block.keys; next_block(a, &cursor, &block))
        attend_block(a, &block, part->head_begin, &t);
    for (int64_t i = 0; i < t.count; i++)
        if (t.sum[i] != 0)
            scale_row(t.y[i], 1.0f / t.sum[i], a->head_dim);
}

#define ATTENTION_KERNEL                                                                           \
    {                                                                                              \
        .most_queries = ATTENTION_PART_QUERIES, .least_queries = ATTENTION_PART_QUERIES,           \
        .run = kernel_attention                                                                    \
    }

#endif
