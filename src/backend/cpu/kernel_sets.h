/* kernel_sets.h - what the files compiled for one instruction set each define, for isa.c alone. */
#ifndef C2C_BACKEND_CPU_KERNEL_SETS_H
#define C2C_BACKEND_CPU_KERNEL_SETS_H

#include "backend/cpu/cpu.h"

extern const common_kernels common_portable, common_avx2, common_avx512;
extern const linear_kernel linear_f32_portable, linear_f32_avx2, linear_f32_avx512;
extern const linear_kernel linear_round_portable, linear_round_avx2, linear_round_avx512;
extern const linear_kernel linear_int8_portable, linear_int8_avx2, linear_int8_avx512;
extern const linear_kernel linear_bf16_dot, linear_bf16_amx, linear_int8_vnni, linear_int8_amx;
extern const linear_kernel linear_panels_dot;
extern const attention_kernel attention_bf16_dot;
extern const linear_backward_kernels linear_backward_dot;
double peak_bf16_dot(int64_t rounds);
double peak_bf16_amx(int64_t rounds);

#endif
