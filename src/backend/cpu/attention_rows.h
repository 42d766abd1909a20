/* attention_rows.h - a block's rows of bf16 keys or values where they lie in the pool: found, asked
 * for ahead of time, and loaded, for attention_dot.c. */
#ifndef C2C_BACKEND_CPU_ATTENTION_ROWS_H
#define C2C_BACKEND_CPU_ATTENTION_ROWS_H

#include "backend/cpu/attention_keys.h"
#include "backend/cpu/kernel_pairs.h"

#define WIDEST ATTENTION_DOT_WIDEST
#define KEYS   ATTENTION_BLOCK_KEYS
#define LINE   64 /* bytes of a cache line */

/* Where the rows of a block begin in a pool, for the first kv head of a part. */
typedef struct block_rows {
    int64_t at[KEYS];  /* bytes */
    int64_t keys;      /* rows that are there */
    int64_t row_bytes; /* of all kv heads of the part */
} block_rows;

static void find_rows(const attention_args *a, const attention_part *part, const key_block *block,
                      block_rows *rows) {
    const int64_t head_bytes = a->head_dim * (int64_t)sizeof(uint16_t);
    rows->keys = block->keys;
    rows->row_bytes = (part->head_end - part->head_begin) * head_bytes;
    for (int r = 0; r < block->runs_count; r++)
        for (int64_t j = 0; j < block->runs[r].count; j++)
            rows->at[block->runs[r].first + j] =
                (block->runs[r].row + j) * a->kv_stride * (int64_t)sizeof(uint16_t) +
                part->head_begin * head_bytes;
}

/* The lines of the next block, asked for in the order of memory while this one is worked on: heads
 * lie so far apart that the machine does not see where this is going. */
typedef struct ahead {
    const block_rows *rows;
    const char *pool;
    int64_t key, byte; /* next to be asked for */
} ahead;

KERNEL_INLINE void ask(ahead *next, int64_t lines) {
    while (lines > 0 && next->key < next->rows->keys) {
        const int64_t row_bytes = next->rows->row_bytes;
        const char *row = next->pool + next->rows->at[next->key];
        int64_t byte = next->byte, end = min_i64(byte + lines * LINE, row_bytes);
        lines -= (end - byte + LINE - 1) / LINE;
        for (; byte < end; byte += LINE)
            _mm_prefetch(row + byte, _MM_HINT_T0);
        next->byte = byte < row_bytes ? byte : 0;
        next->key += byte >= row_bytes;
    }
}

/* A kv head's rows of a block. Those that nobody wants are zeros, and are not read. */
typedef struct head_rows {
    const char *at[KEYS];
    int64_t head_dim;
} head_rows;

static void head_rows_make(head_rows *rows, const attention_args *a, const void *pool,
                           const block_rows *block, int64_t head, uint64_t wanted) {
    static const char zeros[WIDEST * sizeof(uint16_t)];
    const char *base = (const char *)pool + head * a->head_dim * (int64_t)sizeof(uint16_t);
    rows->head_dim = a->head_dim;
    for (int64_t j = 0; j < KEYS; j++)
        rows->at[j] = wanted >> j & 1 ? base + block->at[j] : zeros;
}

/* Which of a head's elements i .. i + 31 there are. */
KERNEL_INLINE __mmask32 there(int64_t i, int64_t head_dim) {
    int64_t left = head_dim - i;
    return left >= 2 * LANES ? ~(__mmask32)0 : (__mmask32)((UINT64_C(1) << max_i64(left, 0)) - 1);
}

/* Those of a row, the others zero. */
KERNEL_INLINE __m512i row_pairs(const head_rows *rows, int64_t key, int64_t i, __mmask32 mask) {
    return _mm512_maskz_loadu_epi16(mask, rows->at[key] + i * 2);
}

/* 32 columns of two rows, side by side. */
typedef struct value_pairs {
    __m512i low, high;
} value_pairs;

KERNEL_INLINE value_pairs pair_values(__m512i first, __m512i second) {
    __m512i low = _mm512_inserti64x4(first, _mm512_castsi512_si256(second), 1);
    __m512i high = _mm512_shuffle_i64x2(first, second, 0xee);
    return (value_pairs){interleave(low), interleave(high)};
}

#endif
