/* kernel_peak.h - multiplications and additions that depend on nothing but registers, compiled once
 * per instruction set: the ceiling of every product in f32. */
#ifndef C2C_BACKEND_CPU_KERNEL_PEAK_H
#define C2C_BACKEND_CPU_KERNEL_PEAK_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#define PEAK_SUMS 12 /* enough to hide an addition's latency, few enough for 16 registers */

static double kernel_peak(int64_t rounds) {
    /* volatile, so that nobody computes the result beforehand */
    volatile float factors[2] = {0.999f, 0.001f}, result;
    vec a = vec_set(factors[0]), b = vec_set(factors[1]), sum[PEAK_SUMS];
    UNROLL for (int i = 0; i < PEAK_SUMS; i++) sum[i] = vec_set((float)i);
    for (int64_t n = 0; n < rounds; n++)
        UNROLL for (int i = 0; i < PEAK_SUMS; i++) sum[i] = vec_fma(sum[i], a, b);
    UNROLL for (int i = 1; i < PEAK_SUMS; i++) sum[0] += sum[i];
    result = vec_sum(sum[0]);
    (void)result;
    return 2.0 * LANES * PEAK_SUMS * (double)rounds;
}

#endif
