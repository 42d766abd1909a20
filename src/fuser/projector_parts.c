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
                         .panels = stack->panels[slot],
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

void projector_linear_concat(const projector_stack *stack, const projector_call *call,
                             float *const *y, const float *const *left, const float *const *right,
                             int slot, int64_t left_features, int64_t right_features, int64_t out,
                             const void **tables) {
    linear_args args = projector_linear_args(stack, call, y, left, slot, left_features, out);
    args.b = stack->tables[slot + 1];
    args.b_type = stack->types[slot + 1];
    args.w_stride = left_features + right_features;
    if (left_features % 2) /* the right part begins within a pair */
        args.panels = NULL;
    op_linear(call->backend, &args);
    if (right_features == 0)
        return;
    const uint16_t **panels = (const uint16_t **)(tables + stack->groups);
    for (int32_t p = 0; p < stack->groups; p++) {
        tables[p] = (const char *)args.w[p] + (size_t)left_features * dtype_size(args.w_type);
        panels[p] = args.panels ? args.panels[p] + panel_stride(left_features) : NULL;
    }
    args.x = right;
    args.w = tables;
    args.panels = args.panels ? panels : NULL;
    args.b = NULL;
    args.in = args.x_stride = right_features;
    args.accumulate = true;
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
