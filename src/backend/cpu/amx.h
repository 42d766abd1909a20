/* amx.h - the tile instructions by name: eight tiles of 16 rows by 64 bytes, always all of them.
 *
 * Inline assembly with a memory clobber, because the intrinsics of gcc 12 do not say that they read
 * and write memory: _tile_loadconfig names 8 of the 64 bytes, and stores to the others may vanish.
 */
#ifndef C2C_BACKEND_CPU_AMX_H
#define C2C_BACKEND_CPU_AMX_H

#include "base/base.h"

#define AMX_TILE_BYTES 1024

typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;

static inline void amx_begin(void) {
    amx_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

/* Without it every switch of threads would save the tiles. */
static inline void amx_end(void) {
    __asm__ volatile("tilerelease" : : : "memory");
}

#define AMX_LOAD(tile, address, stride)                                                            \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile                                            \
                     :                                                                             \
                     : "r"(address), "r"((int64_t)(stride))                                        \
                     : "memory")
#define AMX_STORE(tile, address, stride)                                                           \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)"                                        \
                     :                                                                             \
                     : "r"(address), "r"((int64_t)(stride))                                        \
                     : "memory")
#define AMX_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : : : "memory")
/* c[m][n] += sum_k a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1], bf16 into f32 */
#define AMX_DOT_BF16(c, a, b)                                                                      \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")

/* The same of signed 8-bit integers, four at a time, into 32 bits. */
#define AMX_DOT_INT8(c, a, b)                                                                      \
    __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")

#endif
