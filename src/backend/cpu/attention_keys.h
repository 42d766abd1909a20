/* attention_keys.h - the keys of a sequence as the kernels of attention take them: blocks of
 * ATTENTION_BLOCK_KEYS, counted from the start of the sequence's ranges, so that where a block ends
 * depends neither on how the ranges are cut nor on what else is in the call. */
#ifndef C2C_BACKEND_CPU_ATTENTION_KEYS_H
#define C2C_BACKEND_CPU_ATTENTION_KEYS_H

#include "backend/cpu/cpu.h"

/* Keys of one block that follow each other in the pool. */
typedef struct key_run {
    int64_t row, position;
    int64_t first, count; /* place in the block */
    int32_t range;        /* of which it is a part */
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

static inline void next_block(const attention_args *a, key_cursor *cursor, key_block *block) {
    block->runs_count = 0;
    block->keys = 0;
    while (block->keys < ATTENTION_BLOCK_KEYS && cursor->range < cursor->range_end) {
        const cache_range *range = &a->ranges[cursor->range];
        int64_t count = min_i64(range->count - cursor->used, ATTENTION_BLOCK_KEYS - block->keys);
        if (count > 0) {
            block->runs[block->runs_count++] = (key_run){.row = range->row + cursor->used,
                                                         .position = range->position + cursor->used,
                                                         .first = block->keys,
                                                         .count = count,
                                                         .range = cursor->range};
            block->keys += count;
            cursor->used += count;
        }
        if (cursor->used >= range->count) {
            cursor->range++;
            cursor->used = 0;
        }
    }
}

/* From the start of a sequence's ranges. */
static inline void skip_keys(const attention_args *a, key_cursor *cursor, int64_t keys) {
    while (keys > 0 && cursor->range < cursor->range_end) {
        int64_t count = min_i64(a->ranges[cursor->range].count - cursor->used, keys);
        cursor->used += count;
        keys -= count;
        if (cursor->used >= a->ranges[cursor->range].count) {
            cursor->range++;
            cursor->used = 0;
        }
    }
}

/* The keys of a run that a query at `position` sees, as places in the run: begin <= i < end. */
typedef struct key_span {
    int64_t begin, end;
} key_span;

static inline key_span visible(const attention_args *a, const key_run *run, int64_t position) {
    key_span span = {0, max_i64(0, min_i64(run->count, position - run->position + 1))};
    if (a->window > 0)
        span.begin = min_i64(span.end, max_i64(0, position - a->window + 1 - run->position));
    return span;
}

/* A kv head's part of a row of keys or values. */
static inline const void *cache_row(const attention_args *a, const void *pool, int64_t row,
                                    int64_t kv_head) {
    return (const char *)pool +
           (row * a->kv_stride + kv_head * a->head_dim) * (int64_t)dtype_size(a->kv_type);
}

#endif
