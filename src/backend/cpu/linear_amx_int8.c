/* linear_amx_int8.c - y = x w^T + b for int8 weights with tiles, as y^T = w x^T (linear_amx.c says
 * why that way round).
 *
 * Rows of x are quantised in blocks of LINEAR_INT8_BLOCK. A result adds, block after block, scale
 * of the block * the block's exact integer sum; the row of w's scale comes last. Hence a row has
 * the same bits alone, in a batch, and on any thread. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_amx.h"
#include "backend/cpu/kernel_quantize.h"
#include "backend/cpu/kernel_sets.h"

#define BLOCK      LINEAR_INT8_BLOCK
#define STEP       64 /* elements of a tile's row */
#define K_BLOCK    1024
#define STRIP      (2 * SIDE)
#define BLOCK_ROWS 256

_Static_assert(BLOCK == 2 * STEP, "a block is two tiles");

/* 16 rows of x by one block of k: right sides of the two steps, and the rows' scales. */
typedef struct packed_block {
    int8_t tiles[2][AMX_TILE_BYTES];
    float scales[SIDE];
} packed_block;

static int64_t blocks_of(int64_t in) {
    return (in + BLOCK - 1) / BLOCK;
}

static size_t pack_bytes(int64_t in) {
    return (size_t)blocks_of(in) * sizeof(packed_block);
}

/* n <= BLOCK numbers as integers, zeros behind them. */
static float quantize_block(const float *x, int64_t n, int8_t integers[BLOCK]) {
    quantum q = quantum_of_floats(x, n);
    for (int64_t i = 0; i < BLOCK; i += LANES) {
        vec v = i < n ? quantize(vec_load_some(x + i, n - i), q.inverse) : (vec){0};
        __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
        memcpy(integers + i, &bytes, sizeof bytes);
    }
    return q.scale;
}

static void pack_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                      void *packed) {
    packed_block *to = packed;
    for (int64_t row = begin; row < end; row += SIDE)
        for (int64_t i = 0; i < a->in; i += BLOCK, to++) {
            int8_t integers[SIDE][BLOCK] = {{0}};
            memset(to->scales, 0, sizeof to->scales);
            for (int64_t r = 0; r < min_i64(SIDE, end - row); r++)
                to->scales[r] = quantize_block(a->x[group] + (row + r) * a->x_stride + i,
                                               min_i64(BLOCK, a->in - i), integers[r]);
            for (int step = 0; step < 2; step++) {
                __m512i v[SIDE];
                for (int r = 0; r < SIDE; r++)
                    v[r] = _mm512_loadu_si512(integers[r] + step * STEP);
                transpose(v);
                for (int r = 0; r < SIDE; r++)
                    _mm512_storeu_si512(to->tiles[step] + r * 64, v[r]);
            }
        }
}

/* ---- Strips of 32 outputs ----------------------------------------------------------------- */

/* A strip's memory: 66 KB of a thread's stack. */
typedef struct strip {
    /* weights of a piece of k as left sides: [block][two of outputs][step][16][64] */
    _Alignas(64) int8_t w[K_BLOCK / BLOCK][2][2][SIDE][STEP];
    /* [16 rows][two of outputs][output][row] */
    _Alignas(64) float sums[BLOCK_ROWS / SIDE][2][SIDE][SIDE];
    _Alignas(64) int32_t dots[2][SIDE][SIDE]; /* of one block */
} strip;

static void copy_weights(strip *s, const linear_block *k, int64_t out, int64_t outs, int64_t begin,
                         int64_t end) {
    for (int64_t o = 0; o < STRIP; o++) {
        const char *row = k->w + (out + o) * k->w_bytes;
        for (int64_t i = begin; i < (end + BLOCK - 1) / BLOCK * BLOCK; i += STEP) {
            int64_t n = o < outs ? max_i64(0, min_i64(STEP, end - i)) : 0;
            __builtin_prefetch(row + STRIP * k->w_bytes + i); /* of the next strip */
            __mmask64 mask = n == STEP ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
            _mm512_store_si512(s->w[(i - begin) / BLOCK][o / SIDE][i / STEP % 2][o % SIDE],
                               n == 0 ? _mm512_setzero_si512()
                                      : _mm512_maskz_loadu_epi8(mask, row + i));
        }
    }
}

/* sums += scale of the row * dots */
static void add_dots(float (*sums)[SIDE], int32_t (*dots)[SIDE], vec scales) {
    for (int o = 0; o < SIDE; o++) {
        vec dot = _mm512_cvtepi32_ps(_mm512_load_si512(dots[o]));
        vec_store(sums[o], vec_fma(dot, scales, vec_load(sums[o])));
    }
}

/* One tile of rows by the strip's outputs over a piece of k. */
static void add_piece(strip *s, const packed_block *x, int64_t tile, int64_t blocks) {
    for (int64_t b = 0; b < blocks; b++) {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_LOAD(4, x[b].tiles[0], 64);
        AMX_LOAD(5, x[b].tiles[1], 64);
        AMX_LOAD(2, s->w[b][0][0], 64);
        AMX_LOAD(3, s->w[b][1][0], 64);
        AMX_LOAD(6, s->w[b][0][1], 64);
        AMX_LOAD(7, s->w[b][1][1], 64);
        AMX_DOT_INT8(0, 2, 4);
        AMX_DOT_INT8(1, 3, 4);
        AMX_DOT_INT8(0, 6, 5);
        AMX_DOT_INT8(1, 7, 5);
        AMX_STORE(0, s->dots[0], 64);
        AMX_STORE(1, s->dots[1], 64);
        vec scales = vec_load(x[b].scales);
        add_dots(s->sums[tile][0], s->dots[0], scales);
        add_dots(s->sums[tile][1], s->dots[1], scales);
    }
}

static void run_strip(strip *s, const linear_block *k, const linear_part *part, int64_t out,
                      int64_t outs) {
    int64_t rows = part->row_end - part->row_begin, tiles = (rows + SIDE - 1) / SIDE;
    const packed_block *x = part->packed;
    memset(s->sums, 0, (size_t)tiles * sizeof s->sums[0]);
    for (int64_t begin = 0; begin < k->in; begin += K_BLOCK) {
        int64_t end = min_i64(begin + K_BLOCK, k->in);
        copy_weights(s, k, out, outs, begin, end);
        for (int64_t t = 0; t < tiles; t++)
            add_piece(s, x + t * blocks_of(k->in) + begin / BLOCK, t, blocks_of(end - begin));
    }
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t half = 0; half * SIDE < outs; half++)
            put_tile(k, s->sums[t][half][0], part->row_begin + t * SIDE,
                     min_i64(SIDE, rows - t * SIDE), out + half * SIDE,
                     min_i64(SIDE, outs - half * SIDE));
}

static void run(const linear_args *a, const linear_part *part) {
    linear_block block = linear_block_of(a, part->group);
    strip s;
    amx_begin();
    for (int64_t out = part->out_begin; out < part->out_end; out += STRIP)
        run_strip(&s, &block, part, out, min_i64(STRIP, part->out_end - out));
    amx_end();
}

const linear_kernel linear_int8_amx = {.pack_rows = SIDE,
                                       .step_rows = STRIP,
                                       .block_rows = BLOCK_ROWS,
                                       .pack_bytes = pack_bytes,
                                       .pack = pack_rows,
                                       .run = run};
#endif
