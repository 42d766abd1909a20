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

linear_args projector_linear_args(const projector_stack *stack, const projector_call *call,
                                  float *const *y, const float *const *x, int slot, int64_t in,
                                  int64_t out) {
    return (linear_args){.y = y,
                         .x = x,
                         .w = stack->tables[slot],
                         .groups = stack->groups,
                         .w_type = stack->types[slot],
                         .math = call->math,
                         .rows = call->rows,
                         .in = in,
                         .out = out,
                         .y_stride = out,
                         .x_stride = in,
                         .w_stride = in};
}

void projector_linear(const projector_stack *stack, const projector_call *call, float *const *y,
                      const float *const *x, int slot, bool has_bias, int64_t in, int64_t out) {
    linear_args args = projector_linear_args(stack, call, y, x, slot, in, out);
    if (has_bias) {
        args.b = stack->tables[slot + 1];
        args.b_type = stack->types[slot + 1];
    }
    op_linear(call->backend, &args);
}

void projector_mix(const projector_stack *stack, const projector_call *call, const float *const *x,
                   const float *const *scalars) {
    static const projector_training inference = {0};
    const projector_spec *spec = &stack->spec;
    const projector_training *t = call->training ? call->training : &inference;
    int64_t features = projector_receiver_features(spec);
    op_fuse_mix(call->backend,
                &(fuse_mix_args){.y = call->out,
                                 .receiver = spec->use_receiver ? call->receiver : NULL,
                                 .x = x,
                                 .w = (const void *const *)scalars,
                                 .gate = t->gates,
                                 .uniforms = t->uniforms,
                                 .groups = stack->groups,
                                 .w_type = DTYPE_F32,
                                 .rows = call->rows,
                                 .kv_heads = spec->receiver_heads,
                                 .head_dim = spec->receiver_dim,
                                 .y_stride = features,
                                 .receiver_stride = features,
                                 .x_stride = features,
                                 .w_strides = {.row = spec->receiver_heads, .head = 1},
                                 .uniform_strides = t->uniform_strides,
                                 .temperature = 1,
                                 .gate_temperature = t->gate_temperature});
}
