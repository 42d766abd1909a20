/* kernels_portable.c - the kernels for plain C. */
#define LANES 4
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/kernel_peak.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/kernel_training.h"

const linear_kernel linear_f32_portable = LINEAR_KERNEL_F32;
const linear_kernel linear_round_portable = LINEAR_KERNEL_ROUND;
const linear_kernel linear_int8_portable = LINEAR_KERNEL_INT8;
const common_kernels common_portable = {.rows = ROW_KERNELS,
                                        .attention = ATTENTION_KERNEL,
                                        .training = TRAINING_KERNELS,
                                        .peak = kernel_peak};
