/* kernel_attention.h - attention of a few queries that share a kv head, compiled once per
 * instruction set.
 *
 * Keys are taken in blocks of ATTENTION_BLOCK_KEYS, counted from the start of the sequence's
 * ranges, with a running maximum m, a running sum l, and the weighted values in y itself: memory
 * does not grow with the context. A block in which a query sees nothing leaves it untouched, so a
 * query's bits do not depend on which other queries or later keys are in the call. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#include <math.h>

/* Keys of one block that follow each other in the pool. */
typedef struct key_run {
    int64_t row, position;
    int64_t first, count; /* place in the block */
} key_run;

typedef struct key_block {
    key_run runs[ATTENTION_BLOCK_KEYS];
    int runs_count;
    int64_t keys;
} key_block;

/* Where the next block starts. */
typedef struct key_cursor {
    int32_t range, range_end;
    int64_t used; /* rows of that range */
} key_cursor;

static void next_block(const attention_args *a, key_cursor *cursor, key_block *block) {
    block->runs_count = 0;
    block->keys = 0;
    while (block->keys < ATTENTION_BLOCK_KEYS && cursor->range < cursor->range_end) {
        const cache_range *range = &a->ranges[cursor->range];
        int64_t count = min_i64(range->count - cursor->used, ATTENTION_BLOCK_KEYS - block->keys);
        if (count > 0) {
            block->runs[block->runs_count++] = (key_run){.row = range->row + cursor->used,
                                                         .position = range->position + cursor->used,
                                                         .first = block->keys,
                                                         .count = count};
            block->keys += count;
            cursor->used += count;
        }
        if (cursor->used >= range->count) {
            cursor->range++;
            cursor->used = 0;
        }
    }
}

/* One query's state; y accumulates the values. */
typedef struct query_state {
    const float *q;
    float *y;
    int64_t position;
    float largest, sum;
    bool seen;
} query_state;

/* The keys of a run that a query at `position` sees, as places in the run: begin <= i < end. */
KERNEL_INLINE void visible(const attention_args *a, const key_run *run, int64_t position,
                           int64_t *begin, int64_t *end) {
    *end = max_i64(0, min_i64(run->count, position - run->position + 1));
    *begin = 0;
    if (a->window > 0)
        *begin = min_i64(*end, max_i64(0, position - a->window + 1 - run->position));
}

KERNEL_INLINE float dot(const float *x, const float *y, int64_t n) {
    vec sum = {0};
    for (int64_t i = 0; i < n; i += LANES)
        sum = vec_fma(vec_load_some(x + i, n - i), vec_load_some(y + i, n - i), sum);
    return vec_sum(sum);
}

KERNEL_INLINE void scale_row(float *y, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        vec_store_some(y + i, vec_load_some(y + i, n - i) * factor, n - i);
}

/* One block of keys into one query's state. */
static void attend_block(const attention_args *a, const key_block *block, int64_t kv_head,
                         query_state *s) {
    float p[ATTENTION_BLOCK_KEYS];
    int64_t begin[ATTENTION_BLOCK_KEYS], end[ATTENTION_BLOCK_KEYS];
    int64_t offset = kv_head * a->head_dim;
    float largest = -INFINITY;
    bool seen = false;
    for (int64_t j = 0; j < ATTENTION_BLOCK_KEYS; j++)
        p[j] = -INFINITY;
    for (int r = 0; r < block->runs_count; r++) {
        const key_run *run = &block->runs[r];
        visible(a, run, s->position, &begin[r], &end[r]);
        for (int64_t i = begin[r]; i < end[r]; i++) {
            const float *key = a->k + (run->row + i) * a->kv_stride + offset;
            float score = dot(s->q, key, a->head_dim) * a->scale;
            p[run->first + i] = score;
            largest = score > largest ? score : largest;
            seen = true;
        }
    }
    if (!seen)
        return;
    if (!s->seen) {
        s->seen = true;
        s->largest = largest;
    } else if (largest > s->largest) {
        float factor = vec_exp(vec_set(s->largest - largest))[0];
        s->largest = largest;
        s->sum *= factor;
        scale_row(s->y, factor, a->head_dim);
    }
    vec sum = {0};
    for (int64_t j = 0; j < ATTENTION_BLOCK_KEYS; j += LANES) {
        /* An unseen key has score -inf, which gives 0. */
        vec e = vec_exp(vec_load(p + j) - s->largest);
        vec_store(p + j, e);
        sum += e;
    }
    s->sum += vec_sum(sum);
    for (int r = 0; r < block->runs_count; r++)
        for (int64_t i = begin[r]; i < end[r]; i++) {
            const key_run *run = &block->runs[r];
            const float *value = a->v + (run->row + i) * a->kv_stride + offset;
            vec weight = vec_set(p[run->first + i]);
            for (int64_t d = 0; d < a->head_dim; d += LANES) {
                vec y = vec_load_some(s->y + d, a->head_dim - d);
                y = vec_fma(weight, vec_load_some(value + d, a->head_dim - d), y);
                vec_store_some(s->y + d, y, a->head_dim - d);
            }
        }
}

static void kernel_attention(const attention_args *a, const attention_part *part) {
    query_state states[ATTENTION_PART_QUERIES];
    int64_t repeat = a->heads / a->kv_heads;
    int64_t count = part->end - part->begin;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = a->q_start[part->sequence] + (part->begin + i) / repeat;
        int64_t head = part->kv_head * repeat + (part->begin + i) % repeat;
        states[i] = (query_state){.q = a->q + row * a->q_stride + head * a->head_dim,
                                  .y = a->y + row * a->y_stride + head * a->head_dim,
                                  .position = a->positions[row]};
        memset(states[i].y, 0, (size_t)a->head_dim * sizeof(float));
    }
    key_block block;
    key_cursor cursor = {.range = a->range_start[part->sequence],
                         .range_end = a->range_start[part->sequence + 1]};
    for (next_block(a, &cursor, &block); block.keys; next_block(a, &cursor, &block))
        for (int64_t i = 0; i < count; i++)
            attend_block(a, &block, part->kv_head, &states[i]);
    for (int64_t i = 0; i < count; i++)
        if (states[i].seen)
            scale_row(states[i].y, 1.0f / states[i].sum, a->head_dim);
}
