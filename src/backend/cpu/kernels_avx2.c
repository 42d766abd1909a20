/* kernels_avx2.c - the kernels for AVX2, FMA and F16C. */
#ifdef __x86_64__
#define LANES 8
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/kernel_training.h"

const cpu_kernels cpu_kernels_avx2 = {
    .name = "avx2",
    .linear_rows = TILE_ROWS,
    .rows = ROW_KERNELS,
    .linear = kernel_linear,
    .attention = kernel_attention,
    .training = TRAINING_KERNELS,
};
#endif
