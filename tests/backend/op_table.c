/* op_table.c - makes random arguments for every op, and binds them to a backend's memory. */
#include "backend/op_table.h"

#include <stddef.h>
#include <stdlib.h>

/* ---- Random numbers ----------------------------------------------------------------------- */

/* The splitmix sequence: any seed is as good as another. */
uint64_t random_bits(test_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t random_below(test_random *r, int64_t n) {
    return (int64_t)(random_bits(r) % (uint64_t)n);
}

float random_float(test_random *r) {
    return (float)(random_bits(r) >> 40) * 0x1p-23f - 1;
}

static int64_t pick(test_random *r, const int64_t *values, size_t count) {
    return values[random_below(r, (int64_t)count)];
}
#define PICK(r, ...)                                                                               \
    pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static dtype random_weight_type(test_random *r) {
    return (dtype)PICK(r, DTYPE_F32, DTYPE_F16, DTYPE_BF16);
}

op_sizes op_sizes_random(test_random *r) {
    int64_t kv_heads = PICK(r, 1, 2, 3, 4);
    return (op_sizes){
        .groups = PICK(r, 1, 1, 2, 5),
        .rows = PICK(r, 1, 2, 3, 5, 6, 7, 13, 19),
        .features = PICK(r, 1, 3, 8, 15, 16, 17, 31, 64, 70, 100, 128, 192, 257, 1030),
        .out = PICK(r, 1, 2, 3, 4, 5, 8, 17, 63, 64, 67, 130),
        .heads = kv_heads * PICK(r, 1, 2, 3, 7, 17),
        .kv_heads = kv_heads,
        .head_dim = 2 * PICK(r, 1, 3, 4, 8, 16, 20, 32, 64),
        .sequences = PICK(r, 1, 1, 2, 4),
        .keys = PICK(r, 0, 1, 30, 63, 64, 65, 150),
        .window = PICK(r, 0, 0, 1, 16, 70),
        .padding = PICK(r, 0, 0, 1, 5),
        .w_type = random_weight_type(r),
        .b_type = random_weight_type(r),
        .math = (linear_math)PICK(r, LINEAR_F32, LINEAR_BF16),
        .activation = (activation)PICK(r, ACTIVATION_SILU, ACTIVATION_GELU_TANH, ACTIVATION_GELU,
                                       ACTIVATION_RELU),
        .accumulate = PICK(r, false, true),
        .in_place = PICK(r, false, true),
        .optional = PICK(r, false, true),
    };
}

/* ---- Memory of a case --------------------------------------------------------------------- */

static void *add_buffer(op_case *c, size_t bytes, bool written, bool is_float) {
    C2C_ASSERT(c->buffer_count < OP_CASE_BUFFERS);
    op_buffer *b = &c->buffers[c->buffer_count++];
    *b = (op_buffer){.host = malloc(bytes), .bytes = bytes, .written = written};
    b->is_float = is_float;
    C2C_ASSERT(b->host);
    return b->host;
}

/* [rows, stride] of f32, padding included: an op that writes there is found out. */
static float *add_floats(op_case *c, test_random *r, int64_t rows, int64_t stride, bool written) {
    size_t count = (size_t)(rows * stride);
    float *data = add_buffer(c, count * sizeof *data, written, true);
    for (size_t i = 0; i < count; i++)
        data[i] = random_float(r);
    return data;
}

static int32_t *add_ints(op_case *c, int64_t count, bool written) {
    return add_buffer(c, (size_t)count * sizeof(int32_t), written, false);
}

/* An f16 between -1 and 1, of all sizes down to subnormal. */
static uint16_t random_f16(test_random *r) {
    uint64_t bits = random_bits(r);
    uint16_t exponent = bits & 0x10000 ? (uint16_t)random_below(r, 15) : 14;
    return (uint16_t)((bits & 0x83ff) | exponent << 10);
}

static void *add_weights(op_case *c, test_random *r, dtype type, int64_t count) {
    if (type == DTYPE_F32)
        return add_floats(c, r, 1, count, false);
    uint16_t *data = add_buffer(c, (size_t)count * sizeof *data, false, false);
    for (int64_t i = 0; i < count; i++)
        data[i] = type == DTYPE_F16 ? random_f16(r) : bf16_from_f32(random_float(r));
    return data;
}

/* A pointer table, stored into the field at `offset` of the arguments. */
static const void **add_table(op_case *c, size_t offset, int64_t groups) {
    const void **table = calloc((size_t)groups, sizeof *table);
    C2C_ASSERT(table && c->table_count < OP_CASE_FIELDS);
    c->tables[c->table_count++] = table;
    memcpy(c->args.bytes + offset, &table, sizeof table);
    return table;
}

static void add_pointer(op_case *c, size_t offset) {
    C2C_ASSERT(c->pointer_count < OP_CASE_FIELDS);
    c->pointers[c->pointer_count++] = offset;
}

/* A table of written float rows; `same` (may be NULL) are taken for the ops that run in place. */
static void add_outputs(op_case *c, test_random *r, size_t offset, const op_sizes *s,
                        int64_t stride, const void **same) {
    const void **y = add_table(c, offset, s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        y[p] = same ? same[p] : add_floats(c, r, s->rows, stride, true);
}

/* A table of inputs; with several groups, the last reads what the first reads, as receiver layers
 * may share a sharer layer. Not when they are written, too. */
static const void **add_inputs(op_case *c, test_random *r, size_t offset, const op_sizes *s,
                               int64_t stride, bool written) {
    const void **x = add_table(c, offset, s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        x[p] = add_floats(c, r, s->rows, stride, written);
    if (s->groups > 2 && !written)
        x[s->groups - 1] = x[0];
    return x;
}

/* ---- Rows of the table -------------------------------------------------------------------- */

static void build_embed(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_rmsnorm(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_layernorm(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_linear(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, w_stride = s->features + 3 * s->padding;
    int64_t y_stride = s->out + 2 * s->padding;
    c->args.linear = (linear_args){.groups = (int32_t)s->groups,
                                   .w_type = s->w_type,
                                   .b_type = s->b_type,
                                   .math = s->math,
                                   .rows = s->rows,
                                   .in = s->features,
                                   .out = s->out,
                                   .y_stride = y_stride,
                                   .x_stride = x_stride,
                                   .w_stride = w_stride,
                                   .accumulate = s->accumulate};
    c->features = (size_t)s->features;
    add_inputs(c, r, offsetof(linear_args, x), s, x_stride, false);
    add_outputs(c, r, offsetof(linear_args, y), s, y_stride, NULL);
    const void **w = add_table(c, offsetof(linear_args, w), s->groups);
    /* The last row of a weight ends with its last element: reading on would leave the file. */
    for (int64_t p = 0; p < s->groups; p++)
        w[p] = add_weights(c, r, s->w_type, (s->out - 1) * w_stride + s->features);
    if (!s->optional)
        return;
    const void **b = add_table(c, offsetof(linear_args, b), s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        b[p] = s->padding && p == 0 ? NULL : add_weights(c, r, s->b_type, s->out);
}

static void build_activate(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_add(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_add_difference(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_sum_rows(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_rope_table(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_rope(op_case *c, const op_sizes *s, test_random *r) {
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

/* 0 .. count-1 in random order. */
static void fill_shuffled(int32_t *index, int64_t count, test_random *r) {
    for (int64_t i = 0; i < count; i++) {
        int64_t j = random_below(r, i + 1);
        index[i] = index[j];
        index[j] = (int32_t)i;
    }
}

static void build_scatter_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    int32_t *index = add_ints(c, s->rows + 3, false);
    fill_shuffled(index, s->rows + 3, r);
    c->args.scatter_rows = (scatter_rows_args){.y = add_floats(c, r, s->rows + 3, y_stride, true),
                                               .x = add_floats(c, r, s->rows, x_stride, false),
                                               .index = index,
                                               .rows = s->rows,
                                               .features = s->features,
                                               .y_stride = y_stride,
                                               .x_stride = x_stride};
    add_pointer(c, offsetof(scatter_rows_args, y));
    add_pointer(c, offsetof(scatter_rows_args, x));
    add_pointer(c, offsetof(scatter_rows_args, index));
}

static void build_gather_rows(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_copy_rows(op_case *c, const op_sizes *s, test_random *r) {
    int64_t x_stride = s->features + s->padding, y_stride = s->features + 2 * s->padding;
    c->args.copy_rows = (copy_rows_args){.groups = (int32_t)s->groups,
                                         .rows = s->rows,
                                         .features = s->features,
                                         .y_stride = y_stride,
                                         .x_stride = x_stride};
    add_inputs(c, r, offsetof(copy_rows_args, x), s, x_stride, false);
    add_outputs(c, r, offsetof(copy_rows_args, y), s, y_stride, NULL);
}

/* Each sequence has s->keys earlier rows, in up to three ranges that lie apart and out of order in
 * the pool, then one row for each of its queries. */
static void build_attention(op_case *c, const op_sizes *s, test_random *r) {
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
                         .k = add_floats(c, r, max_i64(pool, 1), kv_stride, false),
                         .v = add_floats(c, r, max_i64(pool, 1), kv_stride, false),
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
static fuse_strides logit_strides(const op_sizes *s, int64_t form) {
    int64_t heads = s->kv_heads, width = heads * s->head_dim;
    const fuse_strides forms[] = {
        {0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {heads + s->padding, 1, 0}, {width, s->head_dim, 1}};
    return forms[form % 5];
}

/* A table of logits, NULL in one place when padding is odd. */
static void add_logits(op_case *c, test_random *r, size_t offset, const op_sizes *s, dtype type,
                       int64_t absent) {
    const void **table = add_table(c, offset, s->groups);
    int64_t count = s->rows * (s->kv_heads * s->head_dim + s->padding);
    for (int64_t p = 0; p < s->groups; p++) {
        void *logits = add_weights(c, r, type, count);
        memset(logits, 0, dtype_size(type)); /* a gate of exactly 0 is closed */
        table[p] = s->padding % 2 && p == absent ? NULL : logits;
    }
}

static void build_fuse_mix(op_case *c, const op_sizes *s, test_random *r) {
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
    add_outputs(c, r, offsetof(fuse_mix_args, y), s, y_stride, in_place ? receiver : NULL);
}

static void build_argmax(op_case *c, const op_sizes *s, test_random *r) {
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
static void build_sample(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_count_ids(op_case *c, const op_sizes *s, test_random *r) {
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

static void build_zero(op_case *c, const op_sizes *s, test_random *r) {
    int64_t bytes = s->features; /* the rest must stay */
    c->args.zero = (zero_args){.y = add_floats(c, r, 1, s->features, true), .bytes = bytes};
    add_pointer(c, offsetof(zero_args, y));
}

static void build_step_advance(op_case *c, const op_sizes *s, test_random *r) {
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

const op_row op_rows[OP_COUNT] = {
    [OP_embed] = {OP_embed, 0, "one product", build_embed},
    [OP_rmsnorm] = {OP_rmsnorm, 1e-6f, "f32 sum of squares in many lanes", build_rmsnorm},
    [OP_linear] = {OP_linear, 2e-5f, "f32 sums of at most 1030 products below 1, 258 in a lane",
                   build_linear},
    [OP_layernorm] = {OP_layernorm, 3e-6f,
                      "f32 sums in many lanes; the mean's rounding, against small deviations",
                      build_layernorm},
    [OP_activate] = {OP_activate, 1e-6f, "f32 e^x or erf, a few roundings", build_activate},
    [OP_add] = {OP_add, 0, "one sum", build_add},
    [OP_add_difference] = {OP_add_difference, 0, "a difference and a sum", build_add_difference},
    [OP_sum_rows] = {OP_sum_rows, 2e-6f, "an f32 sum of at most 19 numbers below 1",
                     build_sum_rows},
    [OP_rope_table] = {OP_rope_table, 1e-6f, "cosf and sinf of the same f32 angle",
                       build_rope_table},
    [OP_rope] = {OP_rope, 1e-6f, "two products and a sum in f32", build_rope},
    [OP_scatter_rows] = {OP_scatter_rows, 0, "a copy", build_scatter_rows},
    [OP_gather_rows] = {OP_gather_rows, 0, "a copy", build_gather_rows},
    [OP_copy_rows] = {OP_copy_rows, 0, "a copy", build_copy_rows},
    [OP_attention] = {OP_attention, 1e-5f,
                      "f32 scores up to 30 whose error e^x carries over, then f32 sums",
                      build_attention},
    [OP_fuse_mix] = {OP_fuse_mix, 1e-6f, "f32 e^x, a few roundings", build_fuse_mix},
    [OP_argmax] = {OP_argmax, 0, "comparisons only", build_argmax},
    [OP_sample] = {OP_sample, 0, "ids; the draws are far enough from where shares meet",
                   build_sample},
    [OP_count_ids] = {OP_count_ids, 0, "integers", build_count_ids},
    [OP_zero] = {OP_zero, 0, "zeros", build_zero},
    [OP_step_advance] = {OP_step_advance, 0, "integers", build_step_advance},
};

/* ---- Cases -------------------------------------------------------------------------------- */

void op_case_make(op_case *c, const op_row *row, const op_sizes *s, test_random *r) {
    *c = (op_case){.kind = row->kind};
    row->build(c, s, r);
}

void op_case_free(op_case *c) {
    for (int i = 0; i < c->buffer_count; i++)
        free(c->buffers[i].host);
    for (int i = 0; i < c->table_count; i++)
        free(c->tables[i]);
}

/* The place in the backend's memory of a place in the case's. */
static const void *moved(const op_bound *bound, const void *host) {
    const op_case *c = bound->source;
    if (!host)
        return NULL;
    for (int i = 0; i < c->buffer_count; i++)
        if (host == c->buffers[i].host)
            return bound->memory[i];
    C2C_ASSERT(!"a pointer that is none of the case's buffers");
    return NULL;
}

c2c_status op_bound_make(op_bound *bound, const op_case *c, backend *b, c2c_error *error) {
    *bound = (op_bound){.source = c, .backend = b};
    c2c_status status = backend_reserve(b, c->features, error);
    for (int i = 0; i < c->buffer_count && !status; i++) {
        const op_buffer *buffer = &c->buffers[i];
        if (!buffer->written) {
            const void *memory;
            status = backend_import(b, &memory, buffer->host, buffer->bytes, error);
            bound->memory[i] = (void *)memory;
            continue;
        }
        status = backend_alloc(b, &bound->memory[i], buffer->bytes, error);
        if (!status)
            backend_upload(b, bound->memory[i], buffer->host, buffer->bytes);
    }
    if (status)
        return status;
    const op_info *info = &op_infos[c->kind];
    memcpy(bound->args, c->args.bytes, info->args_size);
    int32_t groups = 0;
    if (info->tables)
        memcpy(&groups, bound->args + info->groups_offset, sizeof groups);
    for (int t = 0; t < info->tables; t++) {
        const void *const *table;
        char *field = bound->args + (size_t)t * sizeof table;
        memcpy(&table, field, sizeof table);
        if (!table)
            continue;
        bound->tables[t] = calloc((size_t)groups, sizeof(void *));
        C2C_ASSERT(bound->tables[t]);
        for (int32_t p = 0; p < groups; p++)
            bound->tables[t][p] = moved(bound, table[p]);
        memcpy(field, &bound->tables[t], sizeof table);
    }
    for (int i = 0; i < c->pointer_count; i++) {
        const void *pointer;
        memcpy(&pointer, bound->args + c->pointers[i], sizeof pointer);
        pointer = moved(bound, pointer);
        memcpy(bound->args + c->pointers[i], &pointer, sizeof pointer);
    }
    return C2C_STATUS_OK;
}

void op_bound_free(op_bound *bound) {
    for (int i = 0; i < bound->source->buffer_count; i++) {
        if (bound->source->buffers[i].written)
            backend_release(bound->backend, bound->memory[i]);
        else
            backend_release_import(bound->backend, bound->memory[i]);
    }
    for (int t = 0; t < OP_CASE_FIELDS; t++)
        free(bound->tables[t]);
}
