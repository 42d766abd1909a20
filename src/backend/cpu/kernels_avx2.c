/* kernels_avx2.c - the kernels for AVX2, FMA and F16C. */
#ifdef __x86_64__
#define LANES 8
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_linear.h"
#include "backend/cpu/kernel_peak.h"
#include "backend/cpu/kernel_rows.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/kernel_training.h"

const linear_kernel linear_f32_avx2 = LINEAR_KERNEL_F32;
const linear_kernel linear_round_avx2 = LINEAR_KERNEL_ROUND;
const linear_kernel linear_int8_avx2 = LINEAR_KERNEL_INT8;
const common_kernels common_avx2 = {.rows = ROW_KERNELS,
                                    .attention = ATTENTION_KERNEL,
                                    .training = TRAINING_KERNELS,
                                    .peak = kernel_peak};
#endif
