/* op_backward.c - random arguments for the ops of training. */
#include "backend/op_build.h"

/* A table of gradients [rows, stride]. With padding 1 the first group's is not wanted; weights that
 * are `shared` have one gradient for the first and the last of several groups. */
static void add_gradients(op_case *c, test_random *r, size_t offset, const op_sizes *s,
                          int64_t rows, int64_t stride, bool shared) {
    const void **table = add_table(c, offset, s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        table[p] = add_floats(c, r, rows, stride, true);
    if (shared && s->groups > 2)
        table[s->groups - 1] = table[0];
    else if (s->padding == 1)
        table[0] = NULL;
}

void build_linear_backward_x(op_case *c, const op_sizes *s, test_random *r) {
    int64_t dx_stride = s->features + s->padding, w_stride = s->features + 3 * s->padding;
    int64_t dy_stride = s->out + 2 * s->padding;
    c->args.linear_backward_x = (linear_backward_x_args){.groups = (int32_t)s->groups,
                                                         .w_type = s->w_type,
                                                         .math = s->math,
                                                         .rows = s->rows,
                                                         .in = s->features,
                                                         .out = s->out,
                                                         .dx_stride = dx_stride,
                                                         .dy_stride = dy_stride,
                                                         .w_stride = w_stride};
    add_gradients(c, r, offsetof(linear_backward_x_args, dx), s, s->rows, dx_stride, s->optional);
    add_inputs(c, r, offsetof(linear_backward_x_args, dy), s, dy_stride, false);
    const void **w = add_table(c, offsetof(linear_backward_x_args, w), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        w[p] = add_weights(c, r, s->w_type, (s->out - 1) * w_stride + s->features);
}

void build_linear_backward_w(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, dw_stride = s->features + 3 * s->padding;
    int64_t dy_stride = s->out + 2 * s->padding;
    c->args.linear_backward_w = (linear_backward_w_args){.groups = (int32_t)s->groups,
                                                         .math = s->math,
                                                         .rows = s->rows,
                                                         .in = s->features,
                                                         .out = s->out,
                                                         .dw_stride = dw_stride,
                                                         .dy_stride = dy_stride,
                                                         .x_stride = x_stride,
                                                         .overwrite = s->accumulate};
    add_gradients(c, r, offsetof(linear_backward_w_args, dw), s, s->out, dw_stride, true);
    if (s->optional)
        add_gradients(c, r, offsetof(linear_backward_w_args, db), s, 1, s->out, true);
    add_inputs(c, r, offsetof(linear_backward_w_args, dy), s, dy_stride, false);
    add_inputs(c, r, offsetof(linear_backward_w_args, x), s, x_stride, false);
}

void build_rmsnorm_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, dy_stride = s->features + 2 * s->padding;
    c->args.rmsnorm_backward = (rmsnorm_backward_args){.groups = (int32_t)s->groups,
                                                       .w_type = s->w_type,
                                                       .rows = s->rows,
                                                       .features = s->features,
                                                       .dx_stride = dy_stride,
                                                       .dy_stride = dy_stride,
                                                       .x_stride = x_stride,
                                                       .epsilon = 1e-3f};
    if (s->optional || s->in_place)
        add_gradients(c, r, offsetof(rmsnorm_backward_args, dx), s, s->rows, dy_stride, false);
    if (s->accumulate)
        add_gradients(c, r, offsetof(rmsnorm_backward_args, dw), s, 1, s->features, true);
    add_inputs(c, r, offsetof(rmsnorm_backward_args, dy), s, dy_stride, false);
    add_inputs(c, r, offsetof(rmsnorm_backward_args, x), s, x_stride, false);
    const void **w = add_table(c, offsetof(rmsnorm_backward_args, w), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        w[p] = add_weights(c, r, s->w_type, s->features);
}

void build_layernorm_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, dy_stride = s->features + 2 * s->padding;
    c->args.layernorm_backward = (layernorm_backward_args){.groups = (int32_t)s->groups,
                                                           .w_type = s->w_type,
                                                           .rows = s->rows,
                                                           .features = s->features,
                                                           .dx_stride = dy_stride,
                                                           .dy_stride = dy_stride,
                                                           .x_stride = x_stride,
                                                           .epsilon = 1e-2f};
    if (s->optional || s->in_place)
        add_gradients(c, r, offsetof(layernorm_backward_args, dx), s, s->rows, dy_stride, false);
    if (s->accumulate)
        add_gradients(c, r, offsetof(layernorm_backward_args, dw), s, 1, s->features, true);
    if (s->accumulate || s->math == LINEAR_BF16)
        add_gradients(c, r, offsetof(layernorm_backward_args, db), s, 1, s->features, true);
    add_inputs(c, r, offsetof(layernorm_backward_args, dy), s, dy_stride, false);
    add_inputs(c, r, offsetof(layernorm_backward_args, x), s, x_stride, false);
    const void **w = add_table(c, offsetof(layernorm_backward_args, w), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        w[p] = add_weights(c, r, s->w_type, s->features);
}

void build_activate_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t stride = s->features + s->padding, other = s->features + 2 * s->padding;
    c->args.activate_backward = (activate_backward_args){.groups = (int32_t)s->groups,
                                                         .activation = s->activation,
                                                         .rows = s->rows,
                                                         .features = s->features,
                                                         .dx_stride = stride,
                                                         .dup_stride = other,
                                                         .dy_stride = other,
                                                         .x_stride = stride,
                                                         .up_stride = stride};
    if (!s->optional || s->in_place)
        add_gradients(c, r, offsetof(activate_backward_args, dx), s, s->rows, stride, false);
    if (s->optional)
        add_gradients(c, r, offsetof(activate_backward_args, dup), s, s->rows, other, false);
    add_inputs(c, r, offsetof(activate_backward_args, dy), s, other, false);
    const void **x = add_inputs(c, r, offsetof(activate_backward_args, x), s, stride, false);
    for (int64_t i = 0; i < s->rows * stride; i++)
        ((float *)x[0])[i] *= 100; /* where e^x overflows */
    if (s->optional)
        add_inputs(c, r, offsetof(activate_backward_args, up), s, stride, false);
}

void build_accumulate(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    c->args.accumulate = (accumulate_args){.groups = (int32_t)s->groups,
                                           .rows = s->rows,
                                           .features = s->features,
                                           .y_stride = y_stride,
                                           .x_stride = x_stride,
                                           .scale = s->optional ? -1.0f : 0.3f};
    add_gradients(c, r, offsetof(accumulate_args, y), s, s->rows, y_stride, false);
    add_inputs(c, r, offsetof(accumulate_args, x), s, x_stride, false);
}

void build_sum_rows_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t dx_stride = s->features + s->padding;
    c->args.sum_rows_backward = (sum_rows_backward_args){.groups = (int32_t)s->groups,
                                                         .rows = s->rows,
                                                         .features = s->features,
                                                         .dx_stride = dx_stride,
                                                         .scale = 1 / (float)s->rows};
    add_gradients(c, r, offsetof(sum_rows_backward_args, dx), s, s->rows, dx_stride, false);
    add_inputs(c, r, offsetof(sum_rows_backward_args, dy), s, s->features, false);
}

void build_gather_rows_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t dx_stride = s->features + s->padding, dy_stride = s->features + 2 * s->padding;
    int32_t *index = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++)
        index[n] = (int32_t)random_below(r, 5);
    c->args.gather_rows_backward =
        (gather_rows_backward_args){.dx = add_floats(c, r, 5, dx_stride, true),
                                    .dy = add_floats(c, r, s->rows, dy_stride, false),
                                    .index = index,
                                    .rows = s->rows,
                                    .features = s->features,
                                    .dx_stride = dx_stride,
                                    .dy_stride = dy_stride};
    add_pointer(c, offsetof(gather_rows_backward_args, dx));
    add_pointer(c, offsetof(gather_rows_backward_args, dy));
    add_pointer(c, offsetof(gather_rows_backward_args, index));
}

void build_scatter_rows_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t dx_stride = s->features + s->padding, dy_stride = s->features + 2 * s->padding;
    int32_t *index = add_ints(c, s->rows + 3, false);
    fill_shuffled(index, s->rows + 3, r);
    c->args.scatter_rows_backward =
        (scatter_rows_backward_args){.dx = add_floats(c, r, s->rows, dx_stride, true),
                                     .dy = add_floats(c, r, s->rows + 3, dy_stride, false),
                                     .index = index,
                                     .rows = s->rows,
                                     .features = s->features,
                                     .dx_stride = dx_stride,
                                     .dy_stride = dy_stride};
    add_pointer(c, offsetof(scatter_rows_backward_args, dx));
    add_pointer(c, offsetof(scatter_rows_backward_args, dy));
    add_pointer(c, offsetof(scatter_rows_backward_args, index));
}

void build_rope_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t width = s->heads * s->head_dim, dy_stride = width + s->padding;
    c->args.rope_backward =
        (rope_backward_args){.dx = add_floats(c, r, s->rows, width + 2 * s->padding, true),
                             .dy = add_floats(c, r, s->rows, dy_stride, false),
                             .table = add_floats(c, r, s->rows, s->head_dim, false),
                             .rows = s->rows,
                             .heads = s->heads,
                             .head_dim = s->head_dim,
                             .dx_stride = width + 2 * s->padding,
                             .dy_stride = dy_stride};
    add_pointer(c, offsetof(rope_backward_args, dx));
    add_pointer(c, offsetof(rope_backward_args, dy));
    add_pointer(c, offsetof(rope_backward_args, table));
}

/* What the forward op is given. What it gave, y, may be anything: the formula takes it as it is. */
void build_attention_backward(op_case *c, const op_sizes *s, test_random *r) {
    op_sizes sizes = *s;
    sizes.b_type = DTYPE_F32; /* keys and values that have gradients are f32 */
    if (s->keys > 65)
        sizes.rows += 40; /* more than one tile of queries */
    build_attention(c, &sizes, r);
    const attention_args f = c->args.attention;
    c->pointer_count = 0;
    c->features = 0;
    int64_t ranges = f.range_start[f.sequences], pool = 1, stride = f.kv_stride + 2;
    int32_t *wanted = add_ints(c, max_i64(ranges, 1), false);
    for (int64_t i = 0; i < ranges; i++) {
        wanted[i] = (int32_t)random_below(r, 2);
        pool = max_i64(pool, f.ranges[i].row + f.ranges[i].count);
    }
    int64_t queries = max_i64(f.rows, 1), width = f.heads * f.head_dim;
    bool keys = s->accumulate || s->math == LINEAR_F32;
    c->args.attention_backward =
        (attention_backward_args){.dq = s->accumulate || !keys
                                            ? add_floats(c, r, queries, width, true)
                                            : NULL,
                                  .dk = keys ? add_floats(c, r, pool, stride, true) : NULL,
                                  .dv = keys ? add_floats(c, r, pool, stride, true) : NULL,
                                  .dy = add_floats(c, r, queries, width + s->padding, false),
                                  .y = f.y,
                                  .q = f.q,
                                  .k = f.k,
                                  .v = f.v,
                                  .q_start = f.q_start,
                                  .range_start = f.range_start,
                                  .ranges = f.ranges,
                                  .wanted = s->in_place ? wanted : NULL,
                                  .positions = f.positions,
                                  .rows = f.rows,
                                  .sequences = f.sequences,
                                  .heads = f.heads,
                                  .kv_heads = f.kv_heads,
                                  .head_dim = f.head_dim,
                                  .dq_stride = width,
                                  .dy_stride = width + s->padding,
                                  .y_stride = f.y_stride,
                                  .q_stride = f.q_stride,
                                  .kv_stride = f.kv_stride,
                                  .dkv_stride = stride,
                                  .window = f.window,
                                  .scale = f.scale};
    static const size_t pointers[] = {
        offsetof(attention_backward_args, dq),
        offsetof(attention_backward_args, dk),
        offsetof(attention_backward_args, dv),
        offsetof(attention_backward_args, dy),
        offsetof(attention_backward_args, y),
        offsetof(attention_backward_args, q),
        offsetof(attention_backward_args, k),
        offsetof(attention_backward_args, v),
        offsetof(attention_backward_args, q_start),
        offsetof(attention_backward_args, range_start),
        offsetof(attention_backward_args, ranges),
        offsetof(attention_backward_args, wanted),
        offsetof(attention_backward_args, positions),
    };
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
        add_pointer(c, pointers[i]);
}

/* Gradients of logits, as large as add_logits makes these. */
static void add_logit_gradients(op_case *c, test_random *r, size_t offset, const op_sizes *s) {
    add_gradients(c, r, offset, s, s->rows, s->kv_heads * s->head_dim + s->padding, true);
}

void build_fuse_mix_backward(op_case *c, const op_sizes *s, test_random *r) {
    int64_t width = s->kv_heads * s->head_dim;
    c->args.fuse_mix_backward =
        (fuse_mix_backward_args){.groups = (int32_t)s->groups,
                                 .w_type = s->w_type,
                                 .gate_type = s->b_type,
                                 .rows = s->rows,
                                 .kv_heads = s->kv_heads,
                                 .head_dim = s->head_dim,
                                 .dreceiver_stride = width + s->padding,
                                 .dx_stride = width + 2 * s->padding,
                                 .dy_stride = width,
                                 .receiver_stride = width + 3 * s->padding,
                                 .x_stride = width + s->padding,
                                 .w_strides = logit_strides(s, s->out + 3),
                                 .gate_strides = logit_strides(s, s->out + s->keys),
                                 .uniform_strides = logit_strides(s, s->out),
                                 .temperature = s->accumulate ? 0.1f : 0.7f,
                                 .gate_temperature = s->in_place ? 0.3f : 1.0f,
                                 .scale_receiver = s->math == LINEAR_BF16};
    const fuse_mix_backward_args *a = &c->args.fuse_mix_backward;
    if (s->optional || s->accumulate) {
        add_gradients(c, r, offsetof(fuse_mix_backward_args, dreceiver), s, s->rows,
                      a->dreceiver_stride, false);
        const void **receiver = add_inputs(c, r, offsetof(fuse_mix_backward_args, receiver), s,
                                           a->receiver_stride, false);
        if (s->padding)
            receiver[0] = NULL;
    }
    add_gradients(c, r, offsetof(fuse_mix_backward_args, dx), s, s->rows, a->dx_stride, false);
    add_inputs(c, r, offsetof(fuse_mix_backward_args, x), s, a->x_stride, false);
    add_inputs(c, r, offsetof(fuse_mix_backward_args, dy), s, a->dy_stride, false);
    if (s->optional || !s->accumulate) {
        add_logits(c, r, offsetof(fuse_mix_backward_args, w), s, s->w_type, 0);
        add_logit_gradients(c, r, offsetof(fuse_mix_backward_args, dw), s);
    }
    if (s->activation == ACTIVATION_SILU)
        return;
    add_logits(c, r, offsetof(fuse_mix_backward_args, gate), s, s->b_type, s->groups - 1);
    add_logit_gradients(c, r, offsetof(fuse_mix_backward_args, dgate), s);
    if (s->activation >= ACTIVATION_GELU)
        add_uniforms(c, r, offsetof(fuse_mix_backward_args, uniforms), s);
}

static random_rows add_random_rows(op_case *c, const op_sizes *s, test_random *r) {
    int32_t *samples = add_ints(c, s->rows, false), *positions = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++) {
        samples[n] = (int32_t)random_below(r, 100);
        positions[n] = (int32_t)random_below(r, 40000);
    }
    return (random_rows){.seed = random_bits(r),
                         .step = random_bits(r),
                         .site = (uint32_t)random_below(r, 50),
                         .group = (uint32_t)random_below(r, 50),
                         .samples = samples,
                         .positions = positions};
}

void build_uniforms(op_case *c, const op_sizes *s, test_random *r) {
    int64_t stride = s->features + s->padding;
    c->args.uniforms = (uniforms_args){.groups = (int32_t)s->groups,
                                       .random = add_random_rows(c, s, r),
                                       .rows = s->rows,
                                       .features = s->features,
                                       .u_stride = stride};
    add_outputs(c, r, offsetof(uniforms_args, u), s, stride, NULL);
    add_pointer(c, offsetof(uniforms_args, random.samples));
    add_pointer(c, offsetof(uniforms_args, random.positions));
}

void build_dropout(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    int64_t y_stride = s->in_place ? x_stride : s->features + 2 * s->padding;
    c->args.dropout = (dropout_args){.groups = (int32_t)s->groups,
                                     .random = add_random_rows(c, s, r),
                                     .rows = s->rows,
                                     .features = s->features,
                                     .y_stride = y_stride,
                                     .x_stride = x_stride,
                                     .rate = s->optional ? 0.1f : 0.6f,
                                     .accumulate = s->accumulate && !s->in_place};
    const void **x = add_inputs(c, r, offsetof(dropout_args, x), s, x_stride, s->in_place);
    add_outputs(c, r, offsetof(dropout_args, y), s, y_stride, s->in_place ? x : NULL);
    add_pointer(c, offsetof(dropout_args, random.samples));
    add_pointer(c, offsetof(dropout_args, random.positions));
}

void build_cross_entropy(op_case *c, const op_sizes *s, test_random *r) {
    int64_t stride = s->features + s->padding;
    int32_t *labels = add_ints(c, s->rows, false);
    float *logits = add_floats(c, r, s->rows, stride, true);
    for (int64_t n = 0; n < s->rows; n++)
        labels[n] = random_below(r, 4) ? (int32_t)random_below(r, s->features) : -100;
    for (int64_t i = 0; i < s->rows * stride; i++)
        logits[i] *= s->in_place ? 300 : 8; /* the large ones' e^x would overflow */
    c->args.cross_entropy = (cross_entropy_args){.losses = add_floats(c, r, 1, s->rows, true),
                                                 .logits = logits,
                                                 .labels = labels,
                                                 .rows = s->rows,
                                                 .features = s->features,
                                                 .stride = stride,
                                                 .scale = s->accumulate ? 1 : 0.37f,
                                                 .loss_only = s->optional};
    add_pointer(c, offsetof(cross_entropy_args, losses));
    add_pointer(c, offsetof(cross_entropy_args, logits));
    add_pointer(c, offsetof(cross_entropy_args, labels));
}

void build_squared_norm(op_case *c, const op_sizes *s, test_random *r) {
    int64_t count = s->features * s->rows * s->groups;
    int64_t blocks = (count + SQUARED_NORM_BLOCK - 1) / SQUARED_NORM_BLOCK;
    double *sum = add_buffer(c, sizeof *sum, true, false);
    c->buffers[c->buffer_count - 1].is_double = true;
    *sum = random_float(r);
    c->args.squared_norm =
        (squared_norm_args){.sum = sum,
                            .blocks = add_buffer(c, (size_t)blocks * sizeof(double), true, false),
                            .x = add_floats(c, r, 1, count, false),
                            .count = count,
                            .accumulate = s->accumulate};
    c->buffers[c->buffer_count - 2].scratch = true;
    add_pointer(c, offsetof(squared_norm_args, sum));
    add_pointer(c, offsetof(squared_norm_args, blocks));
    add_pointer(c, offsetof(squared_norm_args, x));
}

void build_scale(op_case *c, const op_sizes *s, test_random *r) {
    int64_t count = s->features * s->rows;
    c->args.scale = (scale_args){.y = add_floats(c, r, 1, count, true),
                                 .count = max_i64(count - s->padding, 1),
                                 .factor = 0.3f};
    add_pointer(c, offsetof(scale_args, y));
}

void build_adamw(op_case *c, const op_sizes *s, test_random *r) {
    int64_t count = s->features * s->rows;
    float *v = add_floats(c, r, 1, count, true), *dw = add_floats(c, r, 1, count, false);
    for (int64_t i = 0; i < count; i++) {
        v[i] = s->optional ? 0 : v[i] * v[i];
        dw[i] += dw[i] < 0 ? -0.01f : 0.01f; /* a first step divides by it */
    }
    c->args.adamw = (adamw_args){.w = add_floats(c, r, 1, count, true),
                                 .m = add_floats(c, r, 1, count, true),
                                 .v = v,
                                 .dw = dw,
                                 .count = max_i64(count - s->padding, 1),
                                 .step = s->optional ? 1 : 1 + random_below(r, 5000),
                                 .learning_rate = 1e-3,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .epsilon = 1e-8,
                                 .weight_decay = s->accumulate ? 0.01 : 0,
                                 .gradient_scale = s->in_place ? 1 : 0.25f};
    add_pointer(c, offsetof(adamw_args, w));
    add_pointer(c, offsetof(adamw_args, m));
    add_pointer(c, offsetof(adamw_args, v));
    add_pointer(c, offsetof(adamw_args, dw));
}
