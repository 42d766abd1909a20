/* projector_parts.c - what the forwards of several kinds of projectors are made of. */
#include "fuser/fuser.h"

float *const *projector_buffers(const projector_stack *stack, const projector_call *call, int table,
                                float **scratch, int64_t features) {
    C2C_ASSERT(table >= 0 && table < PROJECTOR_TABLES);
    float **buffers = (float **)(call->tables + (int64_t)table * stack->groups);
    for (int32_t p = 0; p < stack->groups; p++, *scratch += features * call->rows)
        buffers[p] = *scratch;
    return buffers;
}

void projector_linear(const projector_stack *stack, const projector_call *call, float *const *y,
                      const float *const *x, int slot, bool has_bias, int64_t in, int64_t out) {
    op_linear(call->backend, &(linear_args){.y = y,
                                            .x = x,
                                            .w = stack->tables[slot],
                                            .b = has_bias ? stack->tables[slot + 1] : NULL,
                                            .groups = stack->groups,
                                            .w_type = stack->types[slot],
                                            .b_type = stack->types[slot + has_bias],
                                            .math = call->math,
                                            .rows = call->rows,
                                            .in = in,
                                            .out = out,
                                            .y_stride = out,
                                            .x_stride = in,
                                            .w_stride = in});
}
