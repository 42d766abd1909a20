/* op_table.c - the table of ops: random sizes, memory for arguments, which exactness is asked of
 * whom, and binding a case to a backend's memory. Leaves the arguments to op_forward.c and
 * op_backward.c. */
#include "backend/op_build.h"

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
        .rows = PICK(r, 1, 2, 3, 5, 6, 7, 13, 19, 37),
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
        .int8 = PICK(r, false, false, true),
        .shared = PICK(r, false, true),
        .panels = PICK(r, false, true),
        .prepare = (linear_prepare)PICK(r, LINEAR_PREPARE_NONE, LINEAR_PREPARE_NONE,
                                        LINEAR_PREPARE_NORM, LINEAR_PREPARE_ACTIVATE),
    };
}

/* ---- Memory of a case --------------------------------------------------------------------- */

void *add_buffer(op_case *c, size_t bytes, bool written, bool is_float) {
    C2C_ASSERT(c->buffer_count < OP_CASE_BUFFERS);
    op_buffer *b = &c->buffers[c->buffer_count++];
    *b = (op_buffer){.host = malloc(bytes), .bytes = bytes, .written = written};
    b->is_float = is_float;
    C2C_ASSERT(b->host);
    return b->host;
}

/* [rows, stride] of f32, padding included: an op that writes there is found out. */
float *add_floats(op_case *c, test_random *r, int64_t rows, int64_t stride, bool written) {
    size_t count = (size_t)(rows * stride);
    float *data = add_buffer(c, count * sizeof *data, written, true);
    for (size_t i = 0; i < count; i++)
        data[i] = random_float(r);
    return data;
}

int32_t *add_ints(op_case *c, int64_t count, bool written) {
    return add_buffer(c, (size_t)count * sizeof(int32_t), written, false);
}

/* An f16 between -1 and 1, of all sizes down to subnormal. */
static uint16_t random_f16(test_random *r) {
    uint64_t bits = random_bits(r);
    uint16_t exponent = bits & 0x10000 ? (uint16_t)random_below(r, 15) : 14;
    return (uint16_t)((bits & 0x83ff) | exponent << 10);
}

void *add_weights(op_case *c, test_random *r, dtype type, int64_t count) {
    if (type == DTYPE_F32)
        return add_floats(c, r, 1, count, false);
    if (type == DTYPE_I8) {
        int8_t *bytes = add_buffer(c, (size_t)count, false, false);
        for (int64_t i = 0; i < count; i++)
            bytes[i] = (int8_t)(random_below(r, 255) - 127);
        return bytes;
    }
    uint16_t *data = add_buffer(c, (size_t)count * sizeof *data, false, false);
    for (int64_t i = 0; i < count; i++)
        data[i] = type == DTYPE_F16 ? random_f16(r) : bf16_from_f32(random_float(r));
    return data;
}

/* A pointer table, stored into the field at `offset` of the arguments. */
const void **add_table(op_case *c, size_t offset, int64_t groups) {
    const void **table = calloc((size_t)groups, sizeof *table);
    C2C_ASSERT(table && c->table_count < OP_CASE_FIELDS);
    c->tables[c->table_count++] = table;
    memcpy(c->args.bytes + offset, &table, sizeof table);
    return table;
}

void add_pointer(op_case *c, size_t offset) {
    C2C_ASSERT(c->pointer_count < OP_CASE_FIELDS);
    c->pointers[c->pointer_count++] = offset;
}

/* A table of written float rows; `same` (may be NULL) are taken for the ops that run in place. */
void add_outputs(op_case *c, test_random *r, size_t offset, const op_sizes *s, int64_t stride,
                 const void **same) {
    const void **y = add_table(c, offset, s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        y[p] = same ? same[p] : add_floats(c, r, s->rows, stride, true);
}

/* A table of inputs; with several groups, the last reads what the first reads, as receiver layers
 * may share a sharer layer. Not when they are written, too. */
const void **add_inputs(op_case *c, test_random *r, size_t offset, const op_sizes *s,
                        int64_t stride, bool written) {
    const void **x = add_table(c, offset, s->groups);
    for (int64_t p = 0; p < s->groups; p++)
        x[p] = add_floats(c, r, s->rows, stride, written);
    if (s->groups > 2 && !written)
        x[s->groups - 1] = x[0];
    return x;
}

/* ---- The table ---------------------------------------------------------------------------- */

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
    [OP_rope_store] = {OP_rope_store, 1e-5f,
                       "f32 sum of squares, then products up to sqrt(D) that may cancel",
                       build_rope_store},
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
    [OP_quantize] = {OP_quantize, 0, "the same roundings", build_quantize},
    [OP_pack_panels] = {OP_pack_panels, 0, "a copy", build_pack_panels},
    [OP_step_advance] = {OP_step_advance, 0, "integers", build_step_advance},
    [OP_linear_backward_x] = {OP_linear_backward_x, 2e-5f,
                              "f32 sums of at most 130 products below 1", build_linear_backward_x},
    [OP_linear_backward_w] = {OP_linear_backward_w, 2e-5f, "f32 sums of at most 5 x 19 products",
                              build_linear_backward_w},
    [OP_rmsnorm_backward] = {OP_rmsnorm_backward, 1e-5f,
                             "f32 sums; a small row is divided by its root",
                             build_rmsnorm_backward},
    [OP_layernorm_backward] = {OP_layernorm_backward, 1e-5f, "f32 sums; the mean's rounding",
                               build_layernorm_backward},
    [OP_activate_backward] = {OP_activate_backward, 3e-6f, "f32 e^x or erf, a few roundings",
                              build_activate_backward},
    [OP_accumulate] = {OP_accumulate, 1e-6f, "a product and a sum", build_accumulate},
    [OP_sum_rows_backward] = {OP_sum_rows_backward, 1e-6f, "a product and a sum",
                              build_sum_rows_backward},
    [OP_gather_rows_backward] = {OP_gather_rows_backward, 2e-6f, "f32 sums of at most 20 numbers",
                                 build_gather_rows_backward},
    [OP_scatter_rows_backward] = {OP_scatter_rows_backward, 0, "one sum",
                                  build_scatter_rows_backward},
    [OP_rope_backward] = {OP_rope_backward, 1e-6f, "two products and two sums in f32",
                          build_rope_backward},
    [OP_attention_backward] = {OP_attention_backward, 3e-5f,
                               "f32 scores up to 30 whose error e^x carries over, then f32 sums",
                               build_attention_backward},
    [OP_fuse_mix_backward] = {OP_fuse_mix_backward, 3e-5f,
                              "f32 sums of up to 19 x 512 numbers of size 5 that cancel",
                              build_fuse_mix_backward},
    [OP_uniforms] = {OP_uniforms, 0, "integers and one exact product", build_uniforms},
    [OP_dropout] = {OP_dropout, 1e-6f, "a product and a sum", build_dropout},
    [OP_cross_entropy] = {OP_cross_entropy, 3e-6f, "f32 e^x summed in lanes", build_cross_entropy},
    [OP_squared_norm] = {OP_squared_norm, 0, "a sum in f64", build_squared_norm},
    [OP_scale] = {OP_scale, 0, "one product", build_scale},
    [OP_adamw] = {OP_adamw, 1e-6f, "a few roundings in f32", build_adamw},
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
