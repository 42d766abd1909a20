/* kernels_avx512.c - the kernels for AVX-512. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/kernel_training.h"

const cpu_kernels cpu_kernels_avx512 = {
    .name = "avx512",
    .linear_rows = TILE_ROWS,
    .rows = ROW_KERNELS,
    .linear = kernel_linear,
    .attention = kernel_attention,
    .training = TRAINING_KERNELS,
};
#endif
