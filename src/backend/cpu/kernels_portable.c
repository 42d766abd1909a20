/* kernels_portable.c - the kernels for plain C. */
#define LANES 4
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/kernel_training.h"

const cpu_kernels cpu_kernels_portable = {
    .name = "portable",
    .linear_rows = TILE_ROWS,
    .rows = ROW_KERNELS,
    .linear = kernel_linear,
    .attention = kernel_attention,
    .training = TRAINING_KERNELS,
};
