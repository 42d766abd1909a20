/* op_forward.c - random arguments for the ops of a forward pass. */
#include "backend/op_build.h"

#include <math.h>

/* ---- Rows of the table -------------------------------------------------------------------- */

void build_embed(op_case *c, const op_sizes *s, test_random *r) {
    int64_t vocabulary = 11;
    int32_t *ids = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++)
        ids[n] = (int32_t)random_below(r, vocabulary);
    c->args.embed = (embed_args){.y = add_floats(c, r, s->rows, s->features, true),
                                 .table = add_weights(c, r, s->w_type, vocabulary * s->features),
                                 .ids = ids,
                                 .rows = s->rows,
                                 .features = s->features,
                                 .table_type = s->w_type,
                                 .scale = s->optional ? 1.0f : 3.7f};
    add_pointer(c, offsetof(embed_args, y));
    add_pointer(c, offsetof(embed_args, table));
    add_pointer(c, offsetof(embed_args, ids));
}

void build_rmsnorm(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    int64_t y_stride = s->in_place ? x_stride : s->features + 2 * s->padding;
    c->args.rmsnorm = (rmsnorm_args){.groups = (int32_t)s->groups,
                                     .w_type = s->w_type,
                                     .rows = s->rows,
                                     .features = s->features,
                                     .y_stride = y_stride,
                                     .x_stride = x_stride,
                                     .epsilon = 1e-6f};
    const void **x = add_inputs(c, r, offsetof(rmsnorm_args, x), s, x_stride, s->in_place);
    add_outputs(c, r, offsetof(rmsnorm_args, y), s, y_stride, s->in_place ? x : NULL);
    const void **w = add_table(c, offsetof(rmsnorm_args, w), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        w[p] = add_weights(c, r, s->w_type, s->features);
}

void build_layernorm(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    int64_t y_stride = s->in_place ? x_stride : s->features + 2 * s->padding;
    c->args.layernorm = (layernorm_args){.groups = (int32_t)s->groups,
                                         .w_type = s->w_type,
                                         .b_type = s->b_type,
                                         .rows = s->rows,
                                         .features = s->features,
                                         .y_stride = y_stride,
                                         .x_stride = x_stride,
                                         .epsilon = 1e-5f};
    const void **x = add_inputs(c, r, offsetof(layernorm_args, x), s, x_stride, s->in_place);
    for (int64_t i = 0; i < s->rows * x_stride; i++)
        ((float *)x[0])[i] += 3; /* a mean that is larger than the deviations */
    add_outputs(c, r, offsetof(layernorm_args, y), s, y_stride, s->in_place ? x : NULL);
    const void **w = add_table(c, offsetof(layernorm_args, w), s->groups);
    const void **b = add_table(c, offsetof(layernorm_args, b), s->groups);
    for (int64_t p = 0; p < s->groups; p++) {
        w[p] = add_weights(c, r, s->w_type, s->features);
        b[p] = add_weights(c, r, s->b_type, s->features);
    }
}

/* A row of one size, whose norm is exact: where x is rounded next, the last bit of what is rounded
 * decides on much more. */
static void fill_one_size(float *x, int64_t rows, int64_t stride, test_random *r) {
    for (int64_t n = 0; n < rows; n++) {
        float size = ldexpf(1, (int)random_below(r, 9) - 4);
        for (int64_t i = 0; i < stride; i++)
            x[n * stride + i] = random_bits(r) & 1 ? size : -size;
    }
}

/* What a linear prepares its rows with, and where to. */
static void build_prepare(op_case *c, const op_sizes *s, test_random *r) {
    linear_args *a = &c->args.linear;
    bool in_place = a->prepare == LINEAR_PREPARE_ACTIVATE && s->in_place;
    bool rounded = s->math == LINEAR_BF16 || s->int8;
    const void **x = (const void **)a->x,
               **prepared = add_table(c, offsetof(linear_args, prepared), s->groups);
    const void **with = NULL;
    a->norm_type = s->b_type;
    a->epsilon = rounded ? 0 : 1e-6f;
    a->activation = rounded ? ACTIVATION_RELU : s->activation;
    if (a->prepare == LINEAR_PREPARE_NORM)
        with = add_table(c, offsetof(linear_args, norm), s->groups);
    else if (s->optional)
        with = add_table(c, offsetof(linear_args, up), s->groups);
    for (int64_t p = 0; p < s->groups; p++) {
        bool again = s->shared && p > 0;
        if (rounded && !again)
            fill_one_size((float *)x[p], s->rows, a->x_stride, r);
        prepared[p] = again      ? prepared[0]
                      : in_place ? x[p]
                                 : add_floats(c, r, s->rows, s->features, true);
        if (with)
            with[p] = again ? with[0]
                      : a->prepare == LINEAR_PREPARE_NORM
                          ? add_weights(c, r, s->b_type, s->features)
                          : add_floats(c, r, s->rows, a->x_stride, false);
    }
}

/* The rows of x; read by all groups, or by each its own. */
static void build_linear_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t stride = c->args.linear.x_stride;
    bool written = s->prepare == LINEAR_PREPARE_ACTIVATE && s->in_place;
    if (!s->shared && (s->prepare == LINEAR_PREPARE_NONE || !written)) {
        add_inputs(c, r, offsetof(linear_args, x), s, stride, written);
        return;
    }
    const void **x = add_table(c, offsetof(linear_args, x), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        x[p] = s->shared && p > 0 ? x[0] : add_floats(c, r, s->rows, stride, written);
}

/* The bytes of w in panels whose rows are w_stride long. */
static void build_panels(op_case *c, const linear_args *a, const void **w) {
    const void **panels = add_table(c, offsetof(linear_args, panels), a->groups);
    for (int64_t p = 0; p < a->groups; p++) {
        size_t bytes = (size_t)panel_elements(linear_outs(a, p), a->w_stride) * sizeof(uint16_t);
        uint16_t *y = add_buffer(c, bytes, false, false);
        memset(y, 0, bytes);
        for (int64_t o = 0; o < linear_outs(a, p); o++)
            for (int64_t i = 0; i < a->in; i++)
                y[o / PANEL_OUTS * panel_stride(a->w_stride) + i / 2 * 2 * PANEL_OUTS +
                  o % PANEL_OUTS * 2 + i % 2] = ((const uint16_t *)w[p])[o * a->w_stride + i];
        panels[p] = y;
    }
}

void build_linear(op_case *c, const op_sizes *s, test_random *r) {
    bool in_place = s->prepare == LINEAR_PREPARE_ACTIVATE && s->in_place;
    int64_t x_stride = s->features + (in_place ? 0 : s->padding);
    int64_t w_stride = s->features + 3 * s->padding, y_stride = s->out + 2 * s->padding;
    bool own_outs = s->shared && s->groups <= LINEAR_MAX_OUTS && s->in_place;
    dtype w_type = s->int8 ? DTYPE_I8 : s->w_type;
    c->args.linear = (linear_args){.groups = (int32_t)s->groups,
                                   .w_type = w_type,
                                   .b_type = s->b_type,
                                   .math = s->math,
                                   .prepare = s->prepare,
                                   .rows = s->rows,
                                   .in = s->features,
                                   .out = s->out,
                                   .y_stride = y_stride,
                                   .x_stride = x_stride,
                                   .w_stride = w_stride,
                                   .accumulate = s->accumulate};
    linear_args *a = &c->args.linear;
    c->features = (size_t)s->features;
    for (int64_t p = 0; p < s->groups && own_outs; p++)
        a->outs[p] = 1 + random_below(r, s->out + 3);
    build_linear_rows(c, s, r);
    if (s->prepare)
        build_prepare(c, s, r);
    const void **y = add_table(c, offsetof(linear_args, y), s->groups);
    const void **w = add_table(c, offsetof(linear_args, w), s->groups);
    const void **scale = s->int8 ? add_table(c, offsetof(linear_args, scale), s->groups) : NULL;
    const void **b = s->optional ? add_table(c, offsetof(linear_args, b), s->groups) : NULL;
    /* The last row of a weight ends with its last element: reading on would leave the file. */
    for (int64_t p = 0; p < s->groups; p++) {
        int64_t outs = linear_outs(a, p);
        y[p] = add_floats(c, r, s->rows, linear_y_stride(a, p), true);
        w[p] = add_weights(c, r, w_type, (outs - 1) * w_stride + s->features);
        if (b)
            b[p] = s->padding && p == 0 ? NULL : add_weights(c, r, s->b_type, outs);
        if (!scale)
            continue;
        float *scales = add_floats(c, r, 1, outs, false);
        for (int64_t o = 0; o < outs; o++)
            scales[o] /= 127;
        scale[p] = scales;
    }
    if (s->panels && w_type == DTYPE_BF16 && s->math == LINEAR_BF16)
        build_panels(c, a, w);
}

void build_pack_panels(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    size_t bytes = (size_t)panel_elements(s->out, s->features) * sizeof(uint16_t);
    uint16_t *y = add_buffer(c, bytes, true, false);
    memset(y, 3, bytes);
    c->args.pack_panels =
        (pack_panels_args){.y = y,
                           .x =
                               add_weights(c, r, DTYPE_BF16, (s->out - 1) * x_stride + s->features),
                           .rows = s->out,
                           .features = s->features,
                           .x_stride = x_stride};
    add_pointer(c, offsetof(pack_panels_args, y));
    add_pointer(c, offsetof(pack_panels_args, x));
}

void build_quantize(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    size_t count = (size_t)(s->rows * s->features);
    int8_t *y = add_buffer(c, count, true, false);
    memset(y, 3, count);
    void *x = add_weights(c, r, s->w_type, s->rows * x_stride);
    if (s->optional) /* a row of zeros */
        memset(x, 0, (size_t)s->features * dtype_size(s->w_type));
    c->args.quantize = (quantize_args){.y = y,
                                       .scale = add_floats(c, r, 1, s->rows, true),
                                       .x = x,
                                       .rows = s->rows,
                                       .features = s->features,
                                       .x_stride = x_stride,
                                       .x_type = s->w_type};
    add_pointer(c, offsetof(quantize_args, y));
    add_pointer(c, offsetof(quantize_args, scale));
    add_pointer(c, offsetof(quantize_args, x));
}

void build_activate(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, up_stride = s->features + 2 * s->padding;
    int64_t y_stride = s->in_place ? x_stride : s->features;
    c->args.activate = (activate_args){.groups = (int32_t)s->groups,
                                       .activation = s->activation,
                                       .rows = s->rows,
                                       .features = s->features,
                                       .y_stride = y_stride,
                                       .x_stride = x_stride,
                                       .up_stride = up_stride};
    const void **x = add_inputs(c, r, offsetof(activate_args, x), s, x_stride, s->in_place);
    /* both tails of erf, and where e^x overflows */
    float size = s->activation == ACTIVATION_GELU ? 8 : 100;
    for (int64_t i = 0; i < s->rows * x_stride; i++)
        ((float *)x[0])[i] *= size;
    if (s->optional)
        add_inputs(c, r, offsetof(activate_args, up), s, up_stride, false);
    add_outputs(c, r, offsetof(activate_args, y), s, y_stride, s->in_place ? x : NULL);
}

void build_add(op_case *c, const op_sizes *s, test_random *r) {
    int64_t a_stride = s->features + s->padding, b_stride = s->features + 2 * s->padding;
    int64_t y_stride = s->in_place ? b_stride : s->features;
    c->args.add = (add_args){.groups = (int32_t)s->groups,
                             .rows = s->rows,
                             .features = s->features,
                             .y_stride = y_stride,
                             .a_stride = a_stride,
                             .b_stride = b_stride};
    add_inputs(c, r, offsetof(add_args, a), s, a_stride, false);
    const void **b = add_inputs(c, r, offsetof(add_args, b), s, b_stride, s->in_place);
    add_outputs(c, r, offsetof(add_args, y), s, y_stride, s->in_place ? b : NULL);
}

void build_add_difference(op_case *c, const op_sizes *s, test_random *r) {
    int64_t a_stride = s->features + s->padding, b_stride = s->features + 2 * s->padding;
    c->args.add_difference = (add_difference_args){.groups = (int32_t)s->groups,
                                                   .rows = s->rows,
                                                   .features = s->features,
                                                   .y_stride = s->features,
                                                   .a_stride = a_stride,
                                                   .b_stride = b_stride};
    add_inputs(c, r, offsetof(add_difference_args, a), s, a_stride, false);
    add_inputs(c, r, offsetof(add_difference_args, b), s, b_stride, false);
    add_outputs(c, r, offsetof(add_difference_args, y), s, s->features, NULL);
}

void build_sum_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    c->args.sum_rows = (sum_rows_args){.groups = (int32_t)s->groups,
                                       .rows = s->rows,
                                       .features = s->features,
                                       .x_stride = x_stride,
                                       .scale = 1 / (float)s->rows,
                                       .accumulate = s->accumulate};
    add_inputs(c, r, offsetof(sum_rows_args, x), s, x_stride, false);
    const void **y = add_table(c, offsetof(sum_rows_args, y), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        y[p] = add_floats(c, r, 1, s->features + s->padding, true);
}

void build_rope_table(op_case *c, const op_sizes *s, test_random *r) {
    int64_t half = s->head_dim / 2;
    int32_t *positions = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++)
        positions[n] = (int32_t)random_below(r, 40000);
    c->args.rope_table = (rope_table_args){.table = add_floats(c, r, s->rows, s->head_dim, true),
                                           .positions = positions,
                                           .inverse_frequency = add_floats(c, r, 1, half, false),
                                           .rows = s->rows,
                                           .half = half,
                                           .scale = s->optional ? 1.0f : 1.3f};
    add_pointer(c, offsetof(rope_table_args, table));
    add_pointer(c, offsetof(rope_table_args, positions));
    add_pointer(c, offsetof(rope_table_args, inverse_frequency));
}

void build_rope(op_case *c, const op_sizes *s, test_random *r) {
    int64_t width = s->heads * s->head_dim, x_stride = width + s->padding;
    float *x = add_floats(c, r, s->rows, x_stride, s->in_place);
    c->args.rope = (rope_args){.y = s->in_place ? x : add_floats(c, r, s->rows, width, true),
                               .x = x,
                               .table = add_floats(c, r, s->rows, s->head_dim, false),
                               .rows = s->rows,
                               .heads = s->heads,
                               .head_dim = s->head_dim,
                               .y_stride = s->in_place ? x_stride : width,
                               .x_stride = x_stride};
    add_pointer(c, offsetof(rope_args, y));
    add_pointer(c, offsetof(rope_args, x));
    add_pointer(c, offsetof(rope_args, table));
}

/* What rows of a cache are: f32 or bf16. */
static dtype cache_type(const op_sizes *s) {
    return s->b_type == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

/* [rows, stride] that an op writes; rounding has one right result, so bf16 is compared as bytes. */
static void *add_cached(op_case *c, test_random *r, dtype type, int64_t rows, int64_t stride) {
    if (type == DTYPE_F32)
        return add_floats(c, r, rows, stride, true);
    void *data = add_weights(c, r, type, rows * stride);
    c->buffers[c->buffer_count - 1].written = true;
    return data;
}

/* 0 .. count-1 in random order. */
void fill_shuffled(int32_t *index, int64_t count, test_random *r) {
    for (int64_t i = 0; i < count; i++) {
        int64_t j = random_below(r, i + 1);
        index[i] = index[j];
        index[j] = (int32_t)i;
    }
}

void build_scatter_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    int32_t *index = add_ints(c, s->rows + 3, false);
    fill_shuffled(index, s->rows + 3, r);
    dtype type = cache_type(s);
    c->args.scatter_rows = (scatter_rows_args){.y = add_cached(c, r, type, s->rows + 3, y_stride),
                                               .x = add_floats(c, r, s->rows, x_stride, false),
                                               .index = index,
                                               .rows = s->rows,
                                               .features = s->features,
                                               .y_stride = y_stride,
                                               .x_stride = x_stride,
                                               .y_type = type};
    add_pointer(c, offsetof(scatter_rows_args, y));
    add_pointer(c, offsetof(scatter_rows_args, x));
    add_pointer(c, offsetof(scatter_rows_args, index));
}

/* A row pool, whose bf16 numbers are rounded results. */
static void *add_pool(op_case *c, const op_sizes *s, test_random *r, int64_t rows, int64_t stride) {
    void *data = add_cached(c, r, cache_type(s), rows, stride);
    c->buffers[c->buffer_count - 1].is_bf16 = cache_type(s) == DTYPE_BF16;
    return data;
}

/* Queries, keys and values, or with `accumulate` one side of them, which in_place says. */
void build_rope_store(op_case *c, const op_sizes *s, test_random *r) {
    int64_t features = s->kv_heads * s->head_dim, stride = features + s->padding;
    int64_t pool_rows = s->rows + 3;
    rope_store_args *a = &c->args.rope_store;
    *a = (rope_store_args){.rows = s->rows,
                           .heads = s->heads,
                           .kv_heads = s->kv_heads,
                           .head_dim = s->head_dim,
                           .kv_stride = stride,
                           .q_norm_type = s->w_type,
                           .k_norm_type = s->padding ? DTYPE_F32 : s->w_type,
                           .kv_type = cache_type(s),
                           .epsilon = 1e-6f};
    a->table = add_floats(c, r, s->rows, s->head_dim, false);
    if (!s->accumulate || s->in_place)
        a->q = add_floats(c, r, s->rows, s->heads * s->head_dim, true);
    if (!s->accumulate || !s->in_place) {
        int32_t *index = add_ints(c, pool_rows, false);
        fill_shuffled(index, pool_rows, r);
        a->index = index;
        a->v = add_floats(c, r, s->rows, features, false);
        a->k = add_floats(c, r, s->rows, features, true);
        c->buffers[c->buffer_count - 1].scratch = true;
        a->keys = add_pool(c, s, r, pool_rows, stride);
        a->values = add_pool(c, s, r, pool_rows, stride);
    }
    if (s->optional) {
        a->q_norm = add_weights(c, r, a->q_norm_type, s->head_dim);
        a->k_norm = add_weights(c, r, a->k_norm_type, s->head_dim);
    }
    add_pointer(c, offsetof(rope_store_args, q));
    add_pointer(c, offsetof(rope_store_args, k));
    add_pointer(c, offsetof(rope_store_args, v));
    add_pointer(c, offsetof(rope_store_args, keys));
    add_pointer(c, offsetof(rope_store_args, values));
    add_pointer(c, offsetof(rope_store_args, index));
    add_pointer(c, offsetof(rope_store_args, table));
    add_pointer(c, offsetof(rope_store_args, q_norm));
    add_pointer(c, offsetof(rope_store_args, k_norm));
}

void build_gather_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    int32_t *index = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++)
        index[n] = (int32_t)random_below(r, 9);
    c->args.gather_rows = (gather_rows_args){.y = add_floats(c, r, s->rows, y_stride, true),
                                             .x = add_floats(c, r, 9, x_stride, false),
                                             .index = index,
                                             .rows = s->rows,
                                             .features = s->features,
                                             .y_stride = y_stride,
                                             .x_stride = x_stride};
    add_pointer(c, offsetof(gather_rows_args, y));
    add_pointer(c, offsetof(gather_rows_args, x));
    add_pointer(c, offsetof(gather_rows_args, index));
}

void build_copy_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    dtype x_type = s->w_type == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32, y_type = cache_type(s);
    c->args.copy_rows = (copy_rows_args){.groups = (int32_t)s->groups,
                                         .rows = s->rows,
                                         .features = s->features,
                                         .y_stride = y_stride,
                                         .x_stride = x_stride,
                                         .y_type = y_type,
                                         .x_type = x_type};
    const void **x = add_table(c, offsetof(copy_rows_args, x), s->groups);
    const void **y = add_table(c, offsetof(copy_rows_args, y), s->groups);
    for (int64_t p = 0; p < s->groups; p++) {
        /* the last reads what the first reads */
        x[p] = p > 1 && p + 1 == s->groups ? x[0] : add_weights(c, r, x_type, s->rows * x_stride);
        y[p] = add_cached(c, r, y_type, s->rows, y_stride);
    }
}

/* Each sequence has s->keys earlier rows, in up to three ranges that lie apart and out of order in
 * the pool, then one row for each of its queries. */
void build_attention(op_case *c, const op_sizes *s, test_random *r) {
    dtype type = cache_type(s);
    int32_t *q_start = add_ints(c, s->sequences + 1, false);
    int32_t *range_start = add_ints(c, s->sequences + 1, false);
    cache_range *ranges = add_buffer(c, (size_t)s->sequences * 4 * sizeof *ranges, false, false);
    memset(ranges, 0, (size_t)s->sequences * 4 * sizeof *ranges);
    int32_t *positions = add_ints(c, s->rows * s->sequences, false);
    int32_t queries = 0, pool = 0, count = 0;
    q_start[0] = range_start[0] = 0;
    for (int64_t b = 0; b < s->sequences; b++) {
        /* with one sequence all rows; else fewer and fewer, none at last */
        int32_t own = (int32_t)(s->rows * (s->sequences - b) / s->sequences);
        if (b > 0 && b == s->sequences - 1)
            own = 0;
        int32_t first = 3, keys = (int32_t)s->keys;
        for (int part = 0; part < 3 && keys; part++) {
            int32_t length = part == 2 ? keys : (int32_t)random_below(r, keys + 1);
            ranges[count++] = (cache_range){.row = pool, .count = length, .position = first};
            pool += length + (int32_t)s->padding;
            first += length;
            keys -= length;
        }
        if (own)
            ranges[count++] = (cache_range){.row = pool, .count = own, .position = first};
        pool += own;
        for (int32_t n = 0; n < own; n++)
            positions[queries++] = first + n;
        /* A query before every key sees nothing. */
        if (own > 2 && s->optional)
            positions[queries - own] = 1;
        q_start[b + 1] = queries;
        range_start[b + 1] = count;
    }
    int64_t width = s->heads * s->head_dim, kv_stride = s->kv_heads * s->head_dim + s->padding;
    int64_t q_stride = width + s->padding, y_stride = width + 2 * s->padding;
    c->features = (size_t)width;
    c->args.attention =
        (attention_args){.y = add_floats(c, r, max_i64(queries, 1), y_stride, true),
                         .q = add_floats(c, r, max_i64(queries, 1), q_stride, false),
                         .k = add_weights(c, r, type, max_i64(pool, 1) * kv_stride),
                         .v = add_weights(c, r, type, max_i64(pool, 1) * kv_stride),
                         .q_start = q_start,
                         .range_start = range_start,
                         .ranges = ranges,
                         .positions = positions,
                         .rows = queries,
                         .sequences = s->sequences,
                         .heads = s->heads,
                         .kv_heads = s->kv_heads,
                         .head_dim = s->head_dim,
                         .y_stride = y_stride,
                         .q_stride = q_stride,
                         .kv_stride = kv_stride,
                         .window = s->window,
                         .kv_type = type,
                         .math = s->math,
                         .scale = s->in_place ? 1.0f : 0.2f};
    add_pointer(c, offsetof(attention_args, y));
    add_pointer(c, offsetof(attention_args, q));
    add_pointer(c, offsetof(attention_args, k));
    add_pointer(c, offsetof(attention_args, v));
    add_pointer(c, offsetof(attention_args, q_start));
    add_pointer(c, offsetof(attention_args, range_start));
    add_pointer(c, offsetof(attention_args, ranges));
    add_pointer(c, offsetof(attention_args, positions));
}

/* Logits of one of five forms: one number; one per row, per head, per row and head; all. */
fuse_strides logit_strides(const op_sizes *s, int64_t form) {
    int64_t heads = s->kv_heads, width = heads * s->head_dim;
    const fuse_strides forms[] = {
        {0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {heads + s->padding, 1, 0}, {width, s->head_dim, 1}};
    return forms[form % 5];
}

/* A table of logits, NULL in one place when padding is odd. */
void add_logits(op_case *c, test_random *r, size_t offset, const op_sizes *s, dtype type,
                int64_t absent) {
    const void **table = add_table(c, offset, s->groups);
    int64_t count = s->rows * (s->kv_heads * s->head_dim + s->padding);
    for (int64_t p = 0; p < s->groups; p++) {
        void *logits = add_weights(c, r, type, count);
        memset(logits, 0, dtype_size(type)); /* a gate of exactly 0 is closed */
        table[p] = s->padding % 2 && p == absent ? NULL : logits;
    }
}

/* A table of uniform numbers for gates; the first group's gate is hard when padding is odd. */
void add_uniforms(op_case *c, test_random *r, size_t offset, const op_sizes *s) {
    const void **table = add_table(c, offset, s->groups);
    int64_t count = s->rows * (s->kv_heads * s->head_dim + s->padding);
    for (int64_t p = 0; p < s->groups; p++) {
        float *u = add_floats(c, r, 1, count, false);
        for (int64_t i = 0; i < count; i++)
            u[i] = u[i] * 0.499f + 0.5f;
        table[p] = s->padding % 2 && p == 0 ? NULL : u;
    }
}

void build_fuse_mix(op_case *c, const op_sizes *s, test_random *r) {
    int64_t width = s->kv_heads * s->head_dim;
    int64_t r_stride = width + s->padding, x_stride = width + 2 * s->padding;
    bool in_place = s->in_place && s->optional && !s->padding;
    int64_t y_stride = in_place ? r_stride : width + 3 * s->padding;
    c->args.fuse_mix = (fuse_mix_args){.groups = (int32_t)s->groups,
                                       .w_type = s->w_type,
                                       .gate_type = s->b_type,
                                       .rows = s->rows,
                                       .kv_heads = s->kv_heads,
                                       .head_dim = s->head_dim,
                                       .y_stride = y_stride,
                                       .receiver_stride = r_stride,
                                       .x_stride = x_stride,
                                       .w_strides = logit_strides(s, s->out + 3),
                                       .gate_strides = logit_strides(s, s->out + s->keys),
                                       /* the small one where e^x overflows */
                                       .temperature = s->accumulate ? 0.01f : 0.7f,
                                       .uniform_strides = logit_strides(s, s->out),
                                       .gate_temperature = s->in_place ? 0.3f : 1.0f,
                                       .scale_receiver = s->math == LINEAR_BF16};
    const void **receiver = NULL;
    if (s->optional || s->accumulate) {
        receiver = add_inputs(c, r, offsetof(fuse_mix_args, receiver), s, r_stride, in_place);
        if (s->padding)
            receiver[0] = NULL;
    }
    if (s->optional || s->in_place) {
        const void **x = add_inputs(c, r, offsetof(fuse_mix_args, x), s, x_stride, false);
        if (s->padding > 1)
            x[0] = NULL;
    }
    if (s->optional || !s->accumulate)
        add_logits(c, r, offsetof(fuse_mix_args, w), s, s->w_type, 0);
    if (s->activation != ACTIVATION_SILU)
        add_logits(c, r, offsetof(fuse_mix_args, gate), s, s->b_type, s->groups - 1);
    if (s->activation >= ACTIVATION_GELU)
        add_uniforms(c, r, offsetof(fuse_mix_args, uniforms), s);
    add_outputs(c, r, offsetof(fuse_mix_args, y), s, y_stride, in_place ? receiver : NULL);
}

void build_argmax(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding;
    float *x = add_floats(c, r, s->rows, x_stride, false);
    for (int64_t n = 0; n < s->rows; n++) {
        int64_t kind = random_below(r, 4), at = random_below(r, s->features);
        for (int64_t i = 0; i < s->features; i++) {
            if (kind == 1) /* many equal ones: the first wins */
                x[n * x_stride + i] = (float)random_below(r, 3);
            if (kind == 2 && (i == at || random_below(r, 2)))
                x[n * x_stride + i] = __builtin_nanf("");
            if (kind == 3)
                x[n * x_stride + i] = i < at ? __builtin_nanf("") : -__builtin_inff();
        }
    }
    c->args.argmax = (argmax_args){.ids = add_ints(c, s->rows, true),
                                   .x = x,
                                   .rows = s->rows,
                                   .features = s->features,
                                   .x_stride = x_stride};
    add_pointer(c, offsetof(argmax_args, ids));
    add_pointer(c, offsetof(argmax_args, x));
}

/* Logits between -8 and 8, with a NaN here and there; every option on or off. */
void build_sample(op_case *c, const op_sizes *s, test_random *r) {
    float *logits = add_floats(c, r, s->rows, s->features, false);
    int32_t *counts = add_ints(c, s->rows * s->features, false);
    int32_t *positions = add_ints(c, s->rows, false);
    for (int64_t i = 0; i < s->rows * s->features; i++) {
        logits[i] = random_below(r, 50) ? logits[i] * 8 : __builtin_nanf("");
        counts[i] = (int32_t)random_below(r, 3);
    }
    for (int64_t n = 0; n < s->rows; n++)
        positions[n] = (int32_t)random_below(r, 100000);
    c->args.sample =
        (sample_args){.ids = add_ints(c, s->rows, true),
                      .logits = logits,
                      .counts = counts,
                      .positions = positions,
                      .rows = s->rows,
                      .features = s->features,
                      .top_k = random_below(r, 2) ? random_below(r, s->features + 2) : 0,
                      .temperature = (float)random_below(r, 4) * 0.6f,
                      .top_p = random_below(r, 2) ? 1 : 0.3f + random_float(r) / 4,
                      .min_p = random_below(r, 2) ? 0 : 0.05f,
                      .repetition_penalty = random_below(r, 2) ? 1 : 1.3f,
                      .presence_penalty = random_below(r, 2) ? 0 : 0.7f,
                      .frequency_penalty = random_below(r, 2) ? 0 : -0.2f,
                      .seed = random_bits(r)};
    size_t scratch = (size_t)(s->rows * s->features) * sizeof(sample_candidate);
    c->args.sample.candidates = add_buffer(c, scratch, true, false);
    c->buffers[c->buffer_count - 1].scratch = true;
    add_pointer(c, offsetof(sample_args, ids));
    add_pointer(c, offsetof(sample_args, logits));
    add_pointer(c, offsetof(sample_args, counts));
    add_pointer(c, offsetof(sample_args, positions));
    add_pointer(c, offsetof(sample_args, candidates));
}

void build_count_ids(op_case *c, const op_sizes *s, test_random *r) {
    int32_t *ids = add_ints(c, s->rows, false);
    for (int64_t n = 0; n < s->rows; n++)
        ids[n] = (int32_t)random_below(r, s->features);
    int64_t stride = s->in_place ? 0 : s->features + s->padding;
    int64_t count = stride ? s->rows * stride : s->features;
    c->args.count_ids = (count_ids_args){.counts = add_ints(c, count, true),
                                         .ids = ids,
                                         .rows = s->rows,
                                         .stride = stride};
    for (int64_t i = 0; i < count; i++)
        c->args.count_ids.counts[i] = (int32_t)random_below(r, 9);
    add_pointer(c, offsetof(count_ids_args, counts));
    add_pointer(c, offsetof(count_ids_args, ids));
}

void build_zero(op_case *c, const op_sizes *s, test_random *r) {
    int64_t bytes = s->features; /* the rest must stay */
    c->args.zero = (zero_args){.y = add_floats(c, r, 1, s->features, true), .bytes = bytes};
    add_pointer(c, offsetof(zero_args, y));
}

void build_step_advance(op_case *c, const op_sizes *s, test_random *r) {
    int64_t slots = s->sequences;
    step_advance_args *a = &c->args.step_advance;
    int32_t *next = add_ints(c, slots, false), *range_start = add_ints(c, slots + 1, false);
    *a = (step_advance_args){.ids = add_ints(c, slots, true),
                             .positions = add_ints(c, slots, true),
                             .index = add_ints(c, slots, true),
                             .ranges = add_buffer(c, (size_t)slots * 2 * sizeof(cache_range), true,
                                                  false),
                             .range_start = range_start,
                             .next = next,
                             .sequences = slots};
    range_start[0] = 0;
    for (int64_t b = 0; b < slots; b++) {
        next[b] = (int32_t)random_below(r, 1000);
        a->ids[b] = (int32_t)random_below(r, 1000);
        a->positions[b] = (int32_t)random_below(r, 1000);
        a->index[b] = (int32_t)random_below(r, 1000);
        range_start[b + 1] = range_start[b] + 1 + (int32_t)random_below(r, 2);
    }
    for (int64_t i = 0; i < slots * 2; i++)
        a->ranges[i] = (cache_range){(int32_t)random_below(r, 1000), (int32_t)random_below(r, 1000),
                                     (int32_t)random_below(r, 1000)};
    add_pointer(c, offsetof(step_advance_args, ids));
    add_pointer(c, offsetof(step_advance_args, positions));
    add_pointer(c, offsetof(step_advance_args, index));
    add_pointer(c, offsetof(step_advance_args, ranges));
    add_pointer(c, offsetof(step_advance_args, range_start));
    add_pointer(c, offsetof(step_advance_args, next));
}
