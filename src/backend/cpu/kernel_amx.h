/* kernel_amx.h - what the products with tiles share: sums into y. */
#ifndef C2C_BACKEND_CPU_KERNEL_AMX_H
#define C2C_BACKEND_CPU_KERNEL_AMX_H

#include "backend/cpu/amx.h"
#include "backend/cpu/kernel_put.h"
#include "backend/cpu/kernel_transpose.h"

#define SIDE 16 /* rows of a tile, and its columns of 32 bits */

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
