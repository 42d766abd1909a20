/* kernel_amx.h - what the products with tiles share: 16 x 16 transposed, and sums into y. */
#ifndef C2C_BACKEND_CPU_KERNEL_AMX_H
#define C2C_BACKEND_CPU_KERNEL_AMX_H

#include "backend/cpu/amx.h"
#include "backend/cpu/kernel_put.h"

#define SIDE 16 /* rows of a tile, and its columns of 32 bits */

/* v[i][j] becomes v[j][i], of 32-bit elements. */
static void transpose(__m512i v[SIDE]) {
    __m512i t[SIDE], u[SIDE];
    UNROLL for (int i = 0; i < SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < SIDE; i += 4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    /* u[4 g + c] holds column 4 l + c of rows 4 g .. 4 g + 3 in its quarter l */
    UNROLL for (int c = 0; c < 4; c++) {
        __m512i p = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x44);
        __m512i q = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xee);
        __m512i r = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0x44);
        __m512i s = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0xee);
        v[c] = _mm512_shuffle_i32x4(p, r, 0x88);
        v[4 + c] = _mm512_shuffle_i32x4(p, r, 0xdd);
        v[8 + c] = _mm512_shuffle_i32x4(q, s, 0x88);
        v[12 + c] = _mm512_shuffle_i32x4(q, s, 0xdd);
    }
}

/* The sums of one tile, whose columns are rows of y, into y. */
static void put_tile(const linear_block *k, const float *sums, int64_t row, int64_t rows,
                     int64_t out, int64_t outs) {
    __m512i v[SIDE];
    for (int i = 0; i < SIDE; i++)
        v[i] = _mm512_load_si512(sums + i * SIDE);
    transpose(v);
    for (int64_t r = 0; r < rows; r++) {
        float line[SIDE];
        _mm512_storeu_si512(line, v[r]);
        for (int64_t o = 0; o < outs; o += 4) {
            quad q;
            memcpy(&q, line + o, sizeof q);
            put(k, row + r, out + o, q, min_i64(4, outs - o));
        }
    }
}

#endif
