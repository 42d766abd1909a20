/* kernel_transpose.h - 16 x 16 transposed in AVX-512's registers, for products that want the other
 * operand's order. */
#ifndef C2C_BACKEND_CPU_KERNEL_TRANSPOSE_H
#define C2C_BACKEND_CPU_KERNEL_TRANSPOSE_H

#include "backend/cpu/vector.h"

/* v[i][j] becomes v[j][i], of 32-bit elements: rounds of exchanges between rows 1, 2, 4 and 8
 * apart. */
KERNEL_INLINE void transpose(__m512i v[LANES]) {
    __m512i t[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4) UNROLL for (int j = 0; j < 2; j++) {
        v[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + 2 + j]);
        v[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + 2 + j]);
    }
    /* v[4 g + c]: columns c, 4 + c, 8 + c, 12 + c of rows 4 g .. 4 g + 3, in its quarters */
    UNROLL for (int c = 0; c < 4; c++) {
        __m512i even = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
        __m512i even2 = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
        __m512i odd2 = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
        t[c] = _mm512_shuffle_i32x4(even, even2, 0x88);
        t[4 + c] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(even, even2, 0xdd);
        t[12 + c] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
    }
    UNROLL for (int i = 0; i < LANES; i++) v[i] = t[i];
}

#endif
