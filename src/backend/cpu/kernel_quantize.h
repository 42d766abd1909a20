/* kernel_quantize.h - numbers as 8-bit integers times a scale, compiled once per instruction set:
 * scale = largest size / 127, integer = x * (127 / largest size), rounded to the nearest, even on
 * ties. Weights have a scale for each row, activations one for each LINEAR_INT8_BLOCK elements. */
#ifndef C2C_BACKEND_CPU_KERNEL_QUANTIZE_H
#define C2C_BACKEND_CPU_KERNEL_QUANTIZE_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#include <math.h>

/* The largest bits of |x|: an order of sizes in which infinity and NaN come last. */
KERNEL_INLINE vec_ints larger_bits(vec_ints best, vec v) {
    vec_ints bits = (vec_ints)v & INT32_MAX;
    vec_ints mask = bits > best;
    return (mask & bits) | (~mask & best);
}

KERNEL_INLINE float largest_size(vec_ints best) {
    int32_t most = 0;
    float size;
    for (int i = 0; i < LANES; i++)
        most = best[i] > most ? best[i] : most;
    memcpy(&size, &most, sizeof size);
    return size;
}

/* What n numbers are multiplied with. A scale of NaN says that one of them is not finite. */
typedef struct quantum {
    float scale, inverse;
} quantum;

KERNEL_INLINE quantum quantum_of(float largest) {
    if (!(largest <= 3.402823466e38f))
        return (quantum){NAN, 0};
    /* A subnormal largest one has no finite inverse: such numbers count as zeros. */
    return largest > 1e-36f ? (quantum){largest / 127, 127 / largest} : (quantum){0, 0};
}

KERNEL_INLINE quantum quantum_of_floats(const float *x, int64_t n) {
    vec_ints best = {0};
    for (int64_t i = 0; i < n; i += LANES)
        best = larger_bits(best, vec_load_some(x + i, n - i));
    return quantum_of(largest_size(best));
}

/* The integer, as a float; with an inverse of 0 it is 0, whatever x is. */
KERNEL_INLINE vec quantize(vec x, float inverse) {
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    if (inverse == 0)
        return (vec){0};
    return (x * inverse + magic) - magic;
}

#endif
