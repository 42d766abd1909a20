/* linear_dot.c - y = x w^T + b for bf16 weights with AVX-512's dot products of bf16 pairs.
 *
 * Both operands lie with k next to each other. A result is 16 sums, lane i of which adds the pairs
 * (k, k + 1) with k = 2 i modulo 32, in order, folded at the end by one fixed tree. This holds for
 * every tile shape, hence a row has the same bits alone, in a batch, and on any thread. The
 * instruction takes subnormal numbers for zero. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_put.h"
#include "backend/cpu/kernel_sets.h"

#define TILE_ROWS 6 /* 24 sums + 4 weights + 1 activation of 32 registers */
#define TILE_OUTS 4
#define STEP      32 /* elements of one vector */

/* Tiles of rows of x that stay in the first-level cache while the weights of a block pass by, and
 * the pieces of k for which they do: 24 KB. Sums are kept from one piece to the next. */
#define PANEL_TILES 2
#define K_BLOCK     1024

/* Few rows wait for memory. Then weights are read as they lie, one output after the other: one
 * stream is what the machine foresees best, but for the next page. So many numbers of x stay in the
 * first-level cache meanwhile. */
#define STREAM_ROWS   4
#define STREAM_VALUES 16384
#define STREAM_AHEAD  4096      /* bytes */
#define STREAM_LEAST  (1 << 19) /* weights: fewer stay in a cache, and are better folded by four */

/* ---- Packing ------------------------------------------------------------------------------ */

static int64_t padded(int64_t in) {
    return (in + STEP - 1) / STEP * STEP;
}

static size_t row_bytes(int64_t in) {
    return (size_t)padded(in) * sizeof(uint16_t);
}

/* Rows of bf16, with zeros behind their last element. */
static void pack_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                      void *packed) {
    int64_t in = a->in;
    uint16_t *to = packed;
    for (int64_t row = begin; row < end; row++, to += padded(in)) {
        const float *x = a->x[group] + row * a->x_stride;
        int64_t i = 0;
        for (; i + STEP <= in; i += STEP) {
            __m512bh both =
                _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
            memcpy(to + i, &both, sizeof both);
        }
        if (i < in) {
            int64_t low = min_i64(in - i, LANES), high = in - i - low;
            __m512bh both =
                _mm512_cvtne2ps_pbh(high ? vec_load_part(x + i + LANES, high) : (vec){0},
                                    vec_load_some(x + i, low));
            memcpy(to + i, &both, sizeof both);
        }
    }
}

/* ---- Tiles -------------------------------------------------------------------------------- */

typedef __m512bh pairs;

KERNEL_INLINE pairs load_pairs(const void *p) {
    return (pairs)_mm512_loadu_si512(p);
}

/* The first n < STEP elements, the others zero. */
KERNEL_INLINE pairs load_pairs_part(const void *p, int64_t n) {
    return (pairs)_mm512_maskz_loadu_epi16((__mmask32)((UINT64_C(1) << n) - 1), p);
}

/* Sums of four rows by four outputs: quad r of the result is row r. The additions are those of
 * vec_sum: lanes 8 apart, 4 apart, 2 apart, 1 apart. */
KERNEL_INLINE vec fold16(vec sum[TILE_ROWS][TILE_OUTS], int first) {
    __m512 quarter[TILE_OUTS];
    UNROLL for (int o = 0; o < TILE_OUTS; o++) {
        __m512 a = sum[first][o], b = sum[first + 1][o];
        __m512 c = sum[first + 2][o], d = sum[first + 3][o];
        __m512 ab = _mm512_shuffle_f32x4(a, b, 0x44) + _mm512_shuffle_f32x4(a, b, 0xee);
        __m512 cd = _mm512_shuffle_f32x4(c, d, 0x44) + _mm512_shuffle_f32x4(c, d, 0xee);
        quarter[o] = _mm512_shuffle_f32x4(ab, cd, 0x88) + _mm512_shuffle_f32x4(ab, cd, 0xdd);
    }
    __m512 low = _mm512_shuffle_ps(quarter[0], quarter[1], 0x44) +
                 _mm512_shuffle_ps(quarter[0], quarter[1], 0xee);
    __m512 high = _mm512_shuffle_ps(quarter[2], quarter[3], 0x44) +
                  _mm512_shuffle_ps(quarter[2], quarter[3], 0xee);
    return _mm512_shuffle_ps(low, high, 0x88) + _mm512_shuffle_ps(low, high, 0xdd);
}

KERNEL_INLINE void put_tile(int rows, int outs, const linear_block *k,
                            vec sum[TILE_ROWS][TILE_OUTS], int64_t row, int64_t out) {
    int r = 0;
    if (outs == 4 && rows >= 4) {
        vec four = fold16(sum, 0);
        put(k, row, out, _mm512_extractf32x4_ps(four, 0), 4);
        put(k, row + 1, out, _mm512_extractf32x4_ps(four, 1), 4);
        put(k, row + 2, out, _mm512_extractf32x4_ps(four, 2), 4);
        put(k, row + 3, out, _mm512_extractf32x4_ps(four, 3), 4);
        r = 4;
    }
    UNROLL for (; r < rows; r++) {
        if (outs == 4)
            put(k, row + r, out, vec_sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]), 4);
        else
            put(k, row + r, out, (quad){vec_sum(sum[r][0])}, 1);
    }
}

/* Rows row .. row+rows-1, which lie packed at x, by rows out .. out+outs-1 of w over a piece of k;
 * outs is TILE_OUTS or 1. */
KERNEL_INLINE void tile(int rows, int outs, const linear_block *k, const uint16_t *x, int64_t row,
                        int64_t out, k_range range, vec *kept) {
    const int64_t stride = padded(k->in);
    vec sum[TILE_ROWS][TILE_OUTS];
    const char *w[TILE_OUTS];
    UNROLL for (int o = 0; o < outs; o++) {
        w[o] = k->w + (out + o) * k->w_bytes;
        UNROLL for (int r = 0; r < rows; r++) sum[r][o] =
            range.begin ? kept[o * TILE_ROWS + r] : (vec){0};
    }
    int64_t i = range.begin;
    for (; i + STEP <= range.end; i += STEP) {
        pairs weight[TILE_OUTS];
        UNROLL for (int o = 0; o < outs; o++) {
            /* The next tile's rows lie elsewhere, where the machine does not expect them. */
            __builtin_prefetch(w[o] + TILE_OUTS * k->w_bytes + i * 2);
            weight[o] = load_pairs(w[o] + i * 2);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            pairs value = load_pairs(x + r * stride + i);
            UNROLL for (int o = 0; o < outs; o++) sum[r][o] =
                _mm512_dpbf16_ps(sum[r][o], value, weight[o]);
        }
    }
    if (i < range.end)
        UNROLL for (int o = 0; o < outs; o++) {
            pairs weight = load_pairs_part(w[o] + i * 2, range.end - i);
            UNROLL for (int r = 0; r < rows; r++) sum[r][o] =
                _mm512_dpbf16_ps(sum[r][o], load_pairs(x + r * stride + i), weight);
        }
    if (range.end < k->in) {
        UNROLL for (int o = 0; o < outs; o++) UNROLL for (int r = 0; r < rows; r++)
            kept[o * TILE_ROWS + r] = sum[r][o];
        return;
    }
    put_tile(rows, outs, k, sum, row, out);
}

static void run_tile(int rows, const linear_block *k, const uint16_t *x, int64_t row, int64_t out,
                     int64_t outs, k_range range, vec *kept) {
#define TILES(n)                                                                                   \
    case n:                                                                                        \
        if (outs == TILE_OUTS)                                                                     \
            tile(n, TILE_OUTS, k, x, row, out, range, kept);                                       \
        else                                                                                       \
            tile(n, 1, k, x, row, out, range, kept);                                               \
        break;
    switch (rows) {
        TILES(6)
        TILES(5)
        TILES(4)
        TILES(3)
        TILES(2)
        TILES(1)
    }
#undef TILES
}

/* ---- Blocks ------------------------------------------------------------------------------- */

/* A panel of rows by the block's outputs, one piece of k after the other. */
static void run_panel(const linear_block *k, const uint16_t *x, int64_t row, int64_t rows,
                      const linear_part *part) {
    vec kept[LINEAR_PART_OUTS * PANEL_TILES * TILE_ROWS];
    const int64_t count = (rows + TILE_ROWS - 1) / TILE_ROWS;
    int64_t step = rows <= 2 ? max_i64(k->in, 1) : K_BLOCK;
    k_range range = {0, 0};
    do {
        range = (k_range){range.end, min_i64(range.end + step, k->in)};
        vec *next = kept;
        for (int64_t out = part->out_begin, outs; out < part->out_end; out += outs) {
            outs = part->out_end - out >= TILE_OUTS ? TILE_OUTS : 1;
            for (int64_t i = 0; i < count; i++, next += outs * TILE_ROWS) {
                int64_t r = rows * i / count, end = rows * (i + 1) / count;
                run_tile((int)(end - r), k, x + r * padded(k->in), row + r, out, outs, range, next);
            }
        }
    } while (range.end < k->in);
}

/* A few rows by one output. */
KERNEL_INLINE void stream(int rows, const linear_block *k, const uint16_t *x, int64_t row,
                          int64_t out) {
    const int64_t stride = padded(k->in);
    const char *w = k->w + out * k->w_bytes;
    vec sum[STREAM_ROWS];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = (vec){0};
    int64_t i = 0;
    for (; i + STEP <= k->in; i += STEP) {
        pairs weight = load_pairs(w + i * 2);
        __builtin_prefetch(w + i * 2 + STREAM_AHEAD);
        UNROLL for (int r = 0; r < rows; r++) sum[r] =
            _mm512_dpbf16_ps(sum[r], load_pairs(x + r * stride + i), weight);
    }
    if (i < k->in) {
        pairs weight = load_pairs_part(w + i * 2, k->in - i);
        UNROLL for (int r = 0; r < rows; r++) sum[r] =
            _mm512_dpbf16_ps(sum[r], load_pairs(x + r * stride + i), weight);
    }
    UNROLL for (int r = 0; r < rows; r++) put(k, row + r, out, (quad){vec_sum(sum[r])}, 1);
}

static void run_stream(const linear_block *k, const uint16_t *x, int64_t row, int64_t rows,
                       const linear_part *part) {
    for (int64_t out = part->out_begin; out < part->out_end; out++)
        switch (rows) {
        case 4: stream(4, k, x, row, out); break;
        case 3: stream(3, k, x, row, out); break;
        case 2: stream(2, k, x, row, out); break;
        default: stream(1, k, x, row, out); break;
        }
}

static void run(const linear_args *a, const linear_part *part) {
    int64_t rows = part->row_end - part->row_begin, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    linear_block block = linear_block_of(a, part->group);
    const uint16_t *x = part->packed;
    if (rows <= STREAM_ROWS && rows * a->in <= STREAM_VALUES &&
        linear_outs(a, part->group) * a->in >= STREAM_LEAST) {
        run_stream(&block, x, part->row_begin, rows, part);
        return;
    }
    /* Tiles of about as many rows: one that is left over would load all weights for itself. */
    for (int64_t tile = 0; tile < tiles; tile += PANEL_TILES) {
        int64_t begin = rows * tile / tiles;
        int64_t end = rows * min_i64(tile + PANEL_TILES, tiles) / tiles;
        run_panel(&block, x + begin * padded(a->in), part->row_begin + begin, end - begin, part);
    }
}

/* ---- The ceiling -------------------------------------------------------------------------- */

double peak_bf16_dot(int64_t rounds) {
    enum { SUMS = 16 };
    volatile int two = 0x3f803f80;
    volatile float result;
    pairs a = (pairs)_mm512_set1_epi32(two), b = a;
    vec sum[SUMS];
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = vec_set((float)i);
    for (int64_t n = 0; n < rounds; n++)
        UNROLL for (int i = 0; i < SUMS; i++) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    UNROLL for (int i = 1; i < SUMS; i++) sum[0] += sum[i];
    result = vec_sum(sum[0]);
    (void)result;
    return 2.0 * STEP * SUMS * (double)rounds;
}

const linear_kernel linear_bf16_dot = {.pack_rows = 1,
                                       .step_rows = PANEL_TILES * TILE_ROWS,
                                       .block_rows = LINEAR_MAX_BLOCK_ROWS,
                                       .pack_bytes = row_bytes,
                                       .pack = pack_rows,
                                       .run = run};
#endif
