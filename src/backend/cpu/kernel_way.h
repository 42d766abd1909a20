/* kernel_way.h - how the first products of a step come into the gradients of weights. */
#ifndef C2C_BACKEND_CPU_KERNEL_WAY_H
#define C2C_BACKEND_CPU_KERNEL_WAY_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

/* Bytes of one call's gradients from which on they do not wait in a cache for whoever reads them
 * next. */
#define PAST_CACHES ((double)(8 << 20))

/* For the first `depth` of the rows that are summed; for the others VEC_ADD. What will be added to
 * once more stays in a cache. */
KERNEL_INLINE vec_way backward_way(const linear_backward_w_args *a, const linear_part *part,
                                   int64_t depth) {
    if (!a->overwrite || part->again)
        return VEC_ADD;
    double bytes = 4.0 * (double)a->groups * (double)a->out * (double)a->in;
    return bytes >= PAST_CACHES && a->rows <= depth ? VEC_PAST : VEC_OVER;
}

#endif
