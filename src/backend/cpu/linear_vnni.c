/* linear_vnni.c - y = x w^T + b for int8 weights with AVX-512's dot products of 8-bit integers.
 *
 * Rows of x are quantised in blocks of LINEAR_INT8_BLOCK. Lane l of a result's 16 sums adds, block
 * after block, scale of the block * the exact integer sum of the block's elements 4 l .. 4 l + 3
 * modulo 64; the lanes are folded by one fixed tree, and the row of w's scale comes last. The
 * instruction multiplies unsigned by signed: weights get 128 added, and each block of x brings its
 * lanes' sums times -128 to begin with. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_put.h"
#include "backend/cpu/kernel_quantize.h"
#include "backend/cpu/kernel_sets.h"

#define BLOCK LINEAR_INT8_BLOCK
#define HALF  64 /* elements of one vector */

#define TILE_ROWS  4 /* 16 sums + 8 weights + 5 of 32 registers */
#define TILE_OUTS  4
#define PANEL_ROWS 8 /* stay in the first-level cache while the weights of a block pass by */

/* Few rows wait for memory: weights are read as they lie (linear_dot.c says why). */
#define STREAM_ROWS   4
#define STREAM_VALUES 16384
#define STREAM_AHEAD  4096      /* bytes */
#define STREAM_LEAST  (1 << 19) /* weights: fewer stay in a cache, and are better folded by four */

_Static_assert(BLOCK == 2 * HALF, "a block is two vectors");

/* ---- Packing ------------------------------------------------------------------------------ */

/* A row: blocks of integers, then what their sums begin with, then their scales. */
typedef struct packed_row {
    const int8_t *integers;
    const int32_t *begins; /* [blocks][LANES] */
    const float *scales;   /* [blocks] */
} packed_row;

static int64_t blocks_of(int64_t in) {
    return (in + BLOCK - 1) / BLOCK;
}

static size_t row_bytes(int64_t in) {
    size_t blocks = (size_t)blocks_of(in), scales = (blocks * sizeof(float) + 63) / 64 * 64;
    return blocks * (BLOCK + LANES * sizeof(int32_t)) + scales;
}

KERNEL_INLINE packed_row row_of(const char *packed, int64_t in) {
    int64_t blocks = blocks_of(in);
    const char *begins = packed + blocks * BLOCK, *scales = begins + blocks * LANES * 4;
    return (packed_row){(const int8_t *)packed, (const int32_t *)begins, (const void *)scales};
}

static void pack_block(const float *x, int64_t n, int8_t *integers, int32_t *begins, float *scale) {
    quantum q = quantum_of_floats(x, n);
    *scale = q.scale;
    for (int64_t i = 0; i < BLOCK; i += LANES) {
        vec v = i < n ? quantize(vec_load_some(x + i, n - i), q.inverse) : (vec){0};
        __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
        memcpy(integers + i, &bytes, sizeof bytes);
    }
    const __m512i minus = _mm512_set1_epi8(-128); /* unsigned 128 */
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), minus, _mm512_loadu_si512(integers));
    sum = _mm512_dpbusd_epi32(sum, minus, _mm512_loadu_si512(integers + HALF));
    _mm512_storeu_si512(begins, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
}

static void pack_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                      void *packed) {
    char *to = packed;
    for (int64_t row = begin; row < end; row++, to += row_bytes(a->in)) {
        packed_row r = row_of(to, a->in);
        const float *x = a->x[group] + row * a->x_stride;
        for (int64_t b = 0; b < blocks_of(a->in); b++)
            pack_block(x + b * BLOCK, min_i64(BLOCK, a->in - b * BLOCK),
                       (int8_t *)r.integers + b * BLOCK, (int32_t *)r.begins + b * LANES,
                       (float *)r.scales + b);
    }
}

/* ---- Tiles -------------------------------------------------------------------------------- */

/* n weights (more than a vector: a whole one) with 128 added; those that are not there meet zeros.
 */
KERNEL_INLINE __m512i load_weights(const char *w, int64_t n) {
    __mmask64 mask = n >= HALF ? ~(__mmask64)0 : n <= 0 ? 0 : ((__mmask64)1 << n) - 1;
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, w), _mm512_set1_epi8(-128));
}

KERNEL_INLINE void add_block(int rows, int outs, const packed_row *x, const char *const *w,
                             int64_t b, int64_t n, vec sum[TILE_ROWS][TILE_OUTS]) {
    __m512i low[TILE_OUTS], high[TILE_OUTS];
    UNROLL for (int o = 0; o < outs; o++) {
        low[o] = load_weights(w[o] + b * BLOCK, n);
        high[o] = load_weights(w[o] + b * BLOCK + HALF, n - HALF);
    }
    UNROLL for (int r = 0; r < rows; r++) {
        __m512i x_low = _mm512_loadu_si512(x[r].integers + b * BLOCK);
        __m512i x_high = _mm512_loadu_si512(x[r].integers + b * BLOCK + HALF);
        __m512i begin = _mm512_loadu_si512(x[r].begins + b * LANES);
        vec scale = vec_set(x[r].scales[b]);
        UNROLL for (int o = 0; o < outs; o++) {
            __m512i dot = _mm512_dpbusd_epi32(begin, low[o], x_low);
            dot = _mm512_dpbusd_epi32(dot, high[o], x_high);
            sum[r][o] = vec_fma(_mm512_cvtepi32_ps(dot), scale, sum[r][o]);
        }
    }
}

/* Rows row .. row+rows-1, packed at x, by rows out .. out+outs-1 of w; outs is TILE_OUTS or 1. */
KERNEL_INLINE void tile(int rows, int outs, const linear_block *k, const char *packed, int64_t row,
                        int64_t out) {
    vec sum[TILE_ROWS][TILE_OUTS];
    const char *w[TILE_OUTS];
    packed_row x[TILE_ROWS];
    UNROLL for (int r = 0; r < rows; r++) {
        x[r] = row_of(packed + r * (int64_t)row_bytes(k->in), k->in);
        UNROLL for (int o = 0; o < outs; o++) sum[r][o] = (vec){0};
    }
    UNROLL for (int o = 0; o < outs; o++) w[o] = k->w + (out + o) * k->w_bytes;
    int64_t b = 0;
    for (; (b + 1) * BLOCK <= k->in; b++) {
        UNROLL for (int o = 0; o < outs; o++) {
            /* The next tile's rows lie elsewhere, where the machine does not expect them. */
            __builtin_prefetch(w[o] + TILE_OUTS * k->w_bytes + b * BLOCK);
            __builtin_prefetch(w[o] + TILE_OUTS * k->w_bytes + b * BLOCK + HALF);
        }
        add_block(rows, outs, x, w, b, BLOCK, sum);
    }
    if (b * BLOCK < k->in)
        add_block(rows, outs, x, w, b, k->in - b * BLOCK, sum);
    UNROLL for (int r = 0; r < rows; r++) {
        if (outs == 4)
            put(k, row + r, out, vec_sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]), 4);
        else
            put(k, row + r, out, (quad){vec_sum(sum[r][0])}, 1);
    }
}

static void tiles(int rows, const linear_block *k, const char *x, int64_t row, int64_t out,
                  int64_t outs) {
#define TILES(n)                                                                                   \
    case n:                                                                                        \
        if (outs == TILE_OUTS)                                                                     \
            tile(n, TILE_OUTS, k, x, row, out);                                                    \
        else                                                                                       \
            tile(n, 1, k, x, row, out);                                                            \
        break;
    switch (rows) {
        TILES(4)
        TILES(3)
        TILES(2)
        TILES(1)
    }
#undef TILES
}

/* ---- Streams ------------------------------------------------------------------------------ */

/* A few packed rows by one output; the sums are those of a tile. */
KERNEL_INLINE void stream(int rows, const linear_block *k, const char *packed, int64_t row,
                          int64_t out) {
    const char *w = k->w + out * k->w_bytes;
    vec sum[STREAM_ROWS];
    packed_row x[STREAM_ROWS];
    UNROLL for (int r = 0; r < rows; r++) {
        x[r] = row_of(packed + r * (int64_t)row_bytes(k->in), k->in);
        sum[r] = (vec){0};
    }
    for (int64_t b = 0; b * BLOCK < k->in; b++) {
        const char *at = w + b * BLOCK;
        int64_t n = k->in - b * BLOCK;
        __builtin_prefetch(at + STREAM_AHEAD);
        __builtin_prefetch(at + STREAM_AHEAD + HALF);
        __m512i low = load_weights(at, n), high = load_weights(at + HALF, n - HALF);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i dot = _mm512_loadu_si512(x[r].begins + b * LANES);
            dot = _mm512_dpbusd_epi32(dot, low, _mm512_loadu_si512(x[r].integers + b * BLOCK));
            dot = _mm512_dpbusd_epi32(dot, high,
                                      _mm512_loadu_si512(x[r].integers + b * BLOCK + HALF));
            sum[r] = vec_fma(_mm512_cvtepi32_ps(dot), vec_set(x[r].scales[b]), sum[r]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) put(k, row + r, out, (quad){vec_sum(sum[r])}, 1);
}

static void run_stream(const linear_block *k, const char *x, int64_t row, int64_t rows,
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
    linear_block block = linear_block_of(a, part->group);
    int64_t rows = part->row_end - part->row_begin;
    if (rows <= STREAM_ROWS && rows * a->in <= STREAM_VALUES &&
        linear_outs(a, part->group) * a->in >= STREAM_LEAST) {
        run_stream(&block, part->packed, part->row_begin, rows, part);
        return;
    }
    int64_t bytes = (int64_t)row_bytes(a->in);
    for (int64_t panel = part->row_begin; panel < part->row_end; panel += PANEL_ROWS) {
        int64_t end = min_i64(panel + PANEL_ROWS, part->row_end);
        for (int64_t out = part->out_begin, outs; out < part->out_end; out += outs) {
            outs = part->out_end - out >= TILE_OUTS ? TILE_OUTS : 1;
            for (int64_t row = panel; row < end; row += TILE_ROWS)
                tiles((int)min_i64(TILE_ROWS, end - row), &block,
                      (const char *)part->packed + (row - part->row_begin) * bytes, row, out, outs);
        }
    }
}

const linear_kernel linear_int8_vnni = {.pack_rows = 1,
                                        .step_rows = PANEL_ROWS,
                                        .block_rows = LINEAR_MAX_BLOCK_ROWS,
                                        .pack_bytes = row_bytes,
                                        .pack = pack_rows,
                                        .run = run};
#endif
