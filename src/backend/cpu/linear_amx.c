/* linear_amx.c - y = x w^T + b for bf16 weights with tiles, as y^T = w x^T: 16 rows of w lie in the
 * file as a tile wants its left side, and x, which is small, is packed into right sides once.
 *
 * A result is one sum over steps of 32 elements of k, in order; what happens inside a step is the
 * instruction's business and the same for every result. Hence a row has the same bits alone, in a
 * batch, and on any thread. Rows that fill the last tile are zeros. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_amx.h"
#include "backend/cpu/kernel_put.h"
#include "backend/cpu/kernel_sets.h"

#define STEP    32   /* elements of a tile's row */
#define K_BLOCK 1024 /* so that two tiles of outputs, 64 KB, stay in the second-level cache */
#define STRIP   (2 * SIDE)

#define BLOCK_ROWS 256

static int64_t steps_of(int64_t in) {
    return (in + STEP - 1) / STEP;
}

/* ---- Packing ------------------------------------------------------------------------------ */

static size_t pack_bytes(int64_t in) {
    return (size_t)steps_of(in) * AMX_TILE_BYTES;
}

/* n <= STEP numbers as bf16, zeros behind them. */
static __m512i round_step(const float *x, int64_t n) {
    vec low = n >= LANES ? vec_load(x) : vec_load_part(x, n);
    vec high = {0};
    if (n > LANES)
        high = vec_load_some(x + LANES, n - LANES);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* [16 rows][step] -> [step][pair of k][16 rows][2]: the right side of each step, a tile. */
static void pack_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                      void *packed) {
    char *to = packed;
    for (int64_t row = begin; row < end; row += SIDE)
        for (int64_t i = 0; i < a->in; i += STEP, to += AMX_TILE_BYTES) {
            __m512i v[SIDE];
            for (int64_t r = 0; r < SIDE; r++)
                v[r] = row + r < end ? round_step(a->x[group] + (row + r) * a->x_stride + i,
                                                  min_i64(STEP, a->in - i))
                                     : _mm512_setzero_si512();
            transpose(v);
            for (int r = 0; r < SIDE; r++)
                _mm512_storeu_si512(to + r * 64, v[r]);
        }
}

/* ---- Strips of 32 outputs ----------------------------------------------------------------- */

/* A strip's memory: 96 KB of a thread's stack. */
typedef struct strip {
    /* weights of a piece of k as left sides: [step][two of outputs][16][32] */
    _Alignas(64) uint16_t w[K_BLOCK / STEP][2][SIDE][STEP];
    /* sums between two pieces, then the result: [16 rows][two of outputs][output][row] */
    _Alignas(64) float sums[BLOCK_ROWS / SIDE][2][SIDE][SIDE];
} strip;

/* The weights of outputs out .. out+outs-1 next to each other: in the file they are so far apart
 * that they would push each other out of the cache. Outputs and elements that are not there are
 * zeros. */
static void copy_weights(strip *s, const linear_block *k, int64_t out, int64_t outs,
                         k_range range) {
    for (int64_t o = 0; o < STRIP; o++) {
        const char *row = k->w + (out + o) * k->w_bytes;
        for (int64_t i = range.begin; i < range.end; i += STEP) {
            int64_t n = o < outs ? min_i64(STEP, range.end - i) : 0;
            __mmask32 mask = (__mmask32)((UINT64_C(1) << n) - 1);
            /* The next strip's rows: with few rows of x, waiting for them would be all there is. */
            __builtin_prefetch(row + STRIP * k->w_bytes + i * 2);
            _mm512_store_si512(s->w[(i - range.begin) / STEP][o / SIDE][o % SIDE],
                               n == 0 ? _mm512_setzero_si512()
                                      : _mm512_maskz_loadu_epi16(mask, row + i * 2));
        }
    }
}

/* Two tiles of rows, at x and x + row_bytes, by the strip's outputs. */
static void tile_four(strip *s, const char *x, int64_t x_bytes, int64_t row, int64_t steps,
                      bool first) {
    float *sums = s->sums[row / SIDE][0][0];
    if (first) {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    } else {
        AMX_LOAD(0, sums, 64);
        AMX_LOAD(1, sums + 256, 64);
        AMX_LOAD(2, sums + 512, 64);
        AMX_LOAD(3, sums + 768, 64);
    }
    for (int64_t i = 0; i < steps; i++) {
        AMX_LOAD(4, s->w[i][0], 64);
        AMX_LOAD(6, x + i * AMX_TILE_BYTES, 64);
        AMX_LOAD(5, s->w[i][1], 64);
        AMX_LOAD(7, x + x_bytes + i * AMX_TILE_BYTES, 64);
        AMX_DOT_BF16(0, 4, 6);
        AMX_DOT_BF16(1, 5, 6);
        AMX_DOT_BF16(2, 4, 7);
        AMX_DOT_BF16(3, 5, 7);
    }
    AMX_STORE(0, sums, 64);
    AMX_STORE(1, sums + 256, 64);
    AMX_STORE(2, sums + 512, 64);
    AMX_STORE(3, sums + 768, 64);
}

/* One tile of rows. */
static void tile_two(strip *s, const char *x, int64_t row, int64_t steps, bool first) {
    float *sums = s->sums[row / SIDE][0][0];
    if (first) {
        AMX_ZERO(0);
        AMX_ZERO(1);
    } else {
        AMX_LOAD(0, sums, 64);
        AMX_LOAD(1, sums + 256, 64);
    }
    for (int64_t i = 0; i < steps; i++) {
        AMX_LOAD(4, s->w[i][0], 64);
        AMX_LOAD(6, x + i * AMX_TILE_BYTES, 64);
        AMX_LOAD(5, s->w[i][1], 64);
        AMX_DOT_BF16(0, 4, 6);
        AMX_DOT_BF16(1, 5, 6);
    }
    AMX_STORE(0, sums, 64);
    AMX_STORE(1, sums + 256, 64);
}

/* One tile of rows by weights where they lie, all of k at once: copying them would cost more than
 * it saves when they are used once. The sums are those of tile_two. */
static void tile_two_in_place(strip *s, const linear_block *k, const char *x, int64_t out) {
    const char *w = k->w + out * k->w_bytes;
    AMX_ZERO(0);
    AMX_ZERO(1);
    for (int64_t i = 0; i < k->in; i += STEP, w += STEP * 2) {
        for (int64_t o = 0; o < STRIP; o++) /* the next strip's rows */
            __builtin_prefetch(w + (STRIP + o) * k->w_bytes);
        AMX_LOAD(4, w, k->w_bytes);
        AMX_LOAD(6, x + i / STEP * AMX_TILE_BYTES, 64);
        AMX_LOAD(5, w + SIDE * k->w_bytes, k->w_bytes);
        AMX_DOT_BF16(0, 4, 6);
        AMX_DOT_BF16(1, 5, 6);
    }
    AMX_STORE(0, s->sums[0][0][0], 64);
    AMX_STORE(1, s->sums[0][1][0], 64);
}

static void put_strip(const strip *s, const linear_block *k, const linear_part *part, int64_t out,
                      int64_t outs) {
    int64_t rows = part->row_end - part->row_begin;
    for (int64_t r = 0; r < rows; r += SIDE)
        for (int64_t half = 0; half * SIDE < outs; half++)
            put_tile(k, s->sums[r / SIDE][half][0], part->row_begin + r, min_i64(SIDE, rows - r),
                     out + half * SIDE, min_i64(SIDE, outs - half * SIDE));
}

static void run_strip(strip *s, const linear_block *k, const linear_part *part, int64_t out,
                      int64_t outs) {
    int64_t rows = part->row_end - part->row_begin, x_bytes = (int64_t)pack_bytes(k->in);
    if (rows <= SIDE && outs == STRIP && k->in % STEP == 0) {
        tile_two_in_place(s, k, part->packed, out);
        put_strip(s, k, part, out, outs);
        return;
    }
    for (k_range range = {0, 0}; range.end < k->in;) {
        range = (k_range){range.end, min_i64(range.end + K_BLOCK, k->in)};
        int64_t steps = steps_of(range.end - range.begin), row = 0;
        const char *x = (const char *)part->packed + range.begin / STEP * AMX_TILE_BYTES;
        copy_weights(s, k, out, outs, range);
        for (; rows - row > SIDE; row += STRIP)
            tile_four(s, x + row / SIDE * x_bytes, x_bytes, row, steps, range.begin == 0);
        if (row < rows)
            tile_two(s, x + row / SIDE * x_bytes, row, steps, range.begin == 0);
    }
    put_strip(s, k, part, out, outs);
}

static void run(const linear_args *a, const linear_part *part) {
    linear_block block = linear_block_of(a, part->group);
    strip s;
    if (a->in == 0)
        memset(s.sums, 0, sizeof s.sums);
    amx_begin();
    for (int64_t out = part->out_begin; out < part->out_end; out += STRIP)
        run_strip(&s, &block, part, out, min_i64(STRIP, part->out_end - out));
    amx_end();
}

/* ---- The ceiling -------------------------------------------------------------------------- */

double peak_bf16_amx(int64_t rounds) {
    amx_begin(); /* which clears the tiles */
    for (int64_t n = 0; n < rounds; n++) {
        AMX_DOT_BF16(0, 4, 6);
        AMX_DOT_BF16(1, 5, 6);
        AMX_DOT_BF16(2, 4, 7);
        AMX_DOT_BF16(3, 5, 7);
    }
    amx_end();
    return 2.0 * 4 * SIDE * SIDE * STEP * (double)rounds;
}

const linear_kernel linear_bf16_amx = {.pack_rows = SIDE,
                                       .step_rows = STRIP,
                                       .block_rows = BLOCK_ROWS,
                                       .pack_bytes = pack_bytes,
                                       .pack = pack_rows,
                                       .run = run};
#endif
