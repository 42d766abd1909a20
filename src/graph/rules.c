/* rules.c - one rule for each op that gradients flow through: what it reads and writes, what of it
 * its backward op reads, and that op with its arguments. The formulas stand in backend.h and
 * backward.h. Operands have fixed places in a rule's list; the written one is the first. */
#include "graph/tape.h"

/* ---- Operands ----------------------------------------------------------------------------- */

static operand *push(operand_list *list, uint32_t roles, int64_t rows, int64_t features,
                     int64_t stride, size_t size) {
    C2C_ASSERT(list->count < OP_MAX_OPERANDS);
    operand *o = &list->items[list->count++];
    *o = (operand){.groups = 1,
                   .roles = roles,
                   .rows = rows,
                   .features = features,
                   .stride = stride,
                   .size = size};
    return o;
}

/* A table of `groups` matrices; NULL: the op has none here. */
static void push_table(operand_list *list, uint32_t roles, const void *table, int32_t groups,
                       int64_t rows, int64_t features, int64_t stride, size_t size) {
    operand *o = push(list, roles, rows, features, stride, size);
    o->pointers = table;
    o->groups = table ? groups : 0;
}

static void push_single(operand_list *list, uint32_t roles, const void *pointer, int64_t rows,
                        int64_t features, int64_t stride) {
    push(list, roles, rows, features, stride, sizeof(float))->single = pointer;
}

span operand_span(const operand *o, int32_t group) {
    uintptr_t begin = (uintptr_t)operand_pointer(o, group);
    int64_t elements = o->rows > 0 ? (o->rows - 1) * o->stride + o->features : 0;
    return (span){begin, begin + (size_t)elements * o->size};
}

/* ---- What a backward op is given ---------------------------------------------------------- */

/* The table of gradients of operand i, or NULL. */
static float *const *gradients(const record *r, int i) {
    return (float *const *)r->list.items[i].gradients;
}

/* The same of an op without tables. */
static float *gradient(const record *r, int i) {
    return r->list.items[i].gradients ? r->list.items[i].gradients[0] : NULL;
}

/* Operand i as it was read: a copy, or still in its place. */
static const void *const *values(const record *r, int i) {
    const operand *o = &r->list.items[i];
    return o->copies ? o->copies : o->pointers;
}

static const void *value(const record *r, int i) {
    const operand *o = &r->list.items[i];
    return o->copies ? o->copies[0] : o->single;
}

/* ---- Norms -------------------------------------------------------------------------------- */

static void rmsnorm_operands(const void *args, operand_list *list) {
    const rmsnorm_args *a = args;
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->x, a->groups, a->rows, a->features,
               a->x_stride, 4);
    push_table(list, OPERAND_READ, a->w, a->groups, 1, a->features, 0, dtype_size(a->w_type));
}

static void rmsnorm_backward(tape *t, const record *r, const float *const *dy) {
    const rmsnorm_args *a = r->args;
    op_rmsnorm_backward(t->inner, &(rmsnorm_backward_args){.dx = gradients(r, 1),
                                                           .dw = gradients(r, 2),
                                                           .dy = dy,
                                                           .x = (const float *const *)values(r, 1),
                                                           .w = a->w,
                                                           .groups = a->groups,
                                                           .w_type = a->w_type,
                                                           .rows = a->rows,
                                                           .features = a->features,
                                                           .dx_stride = a->x_stride,
                                                           .dy_stride = a->y_stride,
                                                           .x_stride = a->x_stride,
                                                           .epsilon = a->epsilon});
}

static void layernorm_operands(const void *args, operand_list *list) {
    const layernorm_args *a = args;
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->x, a->groups, a->rows, a->features,
               a->x_stride, 4);
    push_table(list, OPERAND_READ, a->w, a->groups, 1, a->features, 0, dtype_size(a->w_type));
    push_table(list, OPERAND_READ, a->b, a->groups, 1, a->features, 0, dtype_size(a->b_type));
}

static void layernorm_backward(tape *t, const record *r, const float *const *dy) {
    const layernorm_args *a = r->args;
    op_layernorm_backward(t->inner,
                          &(layernorm_backward_args){.dx = gradients(r, 1),
                                                     .dw = gradients(r, 2),
                                                     .db = gradients(r, 3),
                                                     .dy = dy,
                                                     .x = (const float *const *)values(r, 1),
                                                     .w = a->w,
                                                     .groups = a->groups,
                                                     .w_type = a->w_type,
                                                     .rows = a->rows,
                                                     .features = a->features,
                                                     .dx_stride = a->x_stride,
                                                     .dy_stride = a->y_stride,
                                                     .x_stride = a->x_stride,
                                                     .epsilon = a->epsilon});
}

/* ---- Linear and activations --------------------------------------------------------------- */

static void linear_operands(const void *args, operand_list *list) {
    const linear_args *a = args;
    push_table(list, OPERAND_WRITTEN | (a->accumulate ? OPERAND_ADDED : 0), a->y, a->groups,
               a->rows, a->out, a->y_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT_TO_LEARN, a->x, a->groups, a->rows, a->in,
               a->x_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_LEARNS, a->w, a->groups, a->out, a->in, a->w_stride,
               dtype_size(a->w_type));
    push_table(list, OPERAND_READ, a->b, a->groups, 1, a->out, 0, dtype_size(a->b_type));
}

static void linear_backward(tape *t, const record *r, const float *const *dy) {
    const linear_args *a = r->args;
    if (gradients(r, 1))
        op_linear_backward_x(t->inner, &(linear_backward_x_args){.dx = gradients(r, 1),
                                                                 .dy = dy,
                                                                 .w = a->w,
                                                                 .groups = a->groups,
                                                                 .w_type = a->w_type,
                                                                 .math = a->math,
                                                                 .rows = a->rows,
                                                                 .in = a->in,
                                                                 .out = a->out,
                                                                 .dx_stride = a->x_stride,
                                                                 .dy_stride = a->y_stride,
                                                                 .w_stride = a->w_stride});
    if (gradients(r, 2) || gradients(r, 3))
        op_linear_backward_w(t->inner,
                             &(linear_backward_w_args){.dw = gradients(r, 2),
                                                       .db = gradients(r, 3),
                                                       .dy = dy,
                                                       .x = (const float *const *)values(r, 1),
                                                       .groups = a->groups,
                                                       .math = a->math,
                                                       .overwrite = r->overwrite,
                                                       .rows = a->rows,
                                                       .in = a->in,
                                                       .out = a->out,
                                                       .dw_stride = a->w_stride,
                                                       .dy_stride = a->y_stride,
                                                       .x_stride = a->x_stride});
}

static void activate_operands(const void *args, operand_list *list) {
    const activate_args *a = args;
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->x, a->groups, a->rows, a->features,
               a->x_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->up, a->groups, a->rows, a->features,
               a->up_stride, 4);
}

static void activate_backward(tape *t, const record *r, const float *const *dy) {
    const activate_args *a = r->args;
    op_activate_backward(t->inner,
                         &(activate_backward_args){.dx = gradients(r, 1),
                                                   .dup = gradients(r, 2),
                                                   .dy = dy,
                                                   .x = (const float *const *)values(r, 1),
                                                   .up = (const float *const *)values(r, 2),
                                                   .groups = a->groups,
                                                   .activation = a->activation,
                                                   .rows = a->rows,
                                                   .features = a->features,
                                                   .dx_stride = a->x_stride,
                                                   .dup_stride = a->up_stride,
                                                   .dy_stride = a->y_stride,
                                                   .x_stride = a->x_stride,
                                                   .up_stride = a->up_stride});
}

/* ---- Sums and rows ------------------------------------------------------------------------ */

/* dx += scale * dy */
static void accumulate(tape *t, float *const *dx, int64_t dx_stride, const float *const *dy,
                       int64_t dy_stride, int32_t groups, int64_t rows, int64_t features,
                       float scale) {
    if (dx)
        op_accumulate(t->inner, &(accumulate_args){.y = dx,
                                                   .x = dy,
                                                   .groups = groups,
                                                   .rows = rows,
                                                   .features = features,
                                                   .y_stride = dx_stride,
                                                   .x_stride = dy_stride,
                                                   .scale = scale});
}

static void add_operands(const void *args, operand_list *list) {
    const add_args *a = args;
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ, a->a, a->groups, a->rows, a->features, a->a_stride, 4);
    push_table(list, OPERAND_READ, a->b, a->groups, a->rows, a->features, a->b_stride, 4);
}

static void add_backward(tape *t, const record *r, const float *const *dy) {
    const add_args *a = r->args;
    accumulate(t, gradients(r, 1), a->a_stride, dy, a->y_stride, a->groups, a->rows, a->features,
               1);
    accumulate(t, gradients(r, 2), a->b_stride, dy, a->y_stride, a->groups, a->rows, a->features,
               1);
}

static void add_difference_operands(const void *args, operand_list *list) {
    const add_difference_args *a = args;
    push_table(list, OPERAND_WRITTEN | OPERAND_ADDED, a->y, a->groups, a->rows, a->features,
               a->y_stride, 4);
    push_table(list, OPERAND_READ, a->a, a->groups, a->rows, a->features, a->a_stride, 4);
    push_table(list, OPERAND_READ, a->b, a->groups, a->rows, a->features, a->b_stride, 4);
}

static void add_difference_backward(tape *t, const record *r, const float *const *dy) {
    const add_difference_args *a = r->args;
    accumulate(t, gradients(r, 1), a->a_stride, dy, a->y_stride, a->groups, a->rows, a->features,
               1);
    accumulate(t, gradients(r, 2), a->b_stride, dy, a->y_stride, a->groups, a->rows, a->features,
               -1);
}

static void sum_rows_operands(const void *args, operand_list *list) {
    const sum_rows_args *a = args;
    push_table(list, OPERAND_WRITTEN | (a->accumulate ? OPERAND_ADDED : 0), a->y, a->groups, 1,
               a->features, 0, 4);
    push_table(list, OPERAND_READ, a->x, a->groups, a->rows, a->features, a->x_stride, 4);
}

static void sum_rows_backward(tape *t, const record *r, const float *const *dy) {
    const sum_rows_args *a = r->args;
    op_sum_rows_backward(t->inner, &(sum_rows_backward_args){.dx = gradients(r, 1),
                                                             .dy = dy,
                                                             .groups = a->groups,
                                                             .rows = a->rows,
                                                             .features = a->features,
                                                             .dx_stride = a->x_stride,
                                                             .scale = a->scale});
}

static void copy_rows_operands(const void *args, operand_list *list) {
    const copy_rows_args *a = args;
    C2C_ASSERT(a->y_type == DTYPE_F32 && a->x_type == DTYPE_F32); /* what learns is f32 */
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ, a->x, a->groups, a->rows, a->features, a->x_stride, 4);
}

static void copy_rows_backward(tape *t, const record *r, const float *const *dy) {
    const copy_rows_args *a = r->args;
    accumulate(t, gradients(r, 1), a->x_stride, dy, a->y_stride, a->groups, a->rows, a->features,
               1);
}

static void scatter_rows_operands(const void *args, operand_list *list) {
    const scatter_rows_args *a = args;
    C2C_ASSERT(a->y_type == DTYPE_F32);
    push_single(list, OPERAND_WRITTEN | OPERAND_WHOLE, a->y, 0, 0, 0);
    push_single(list, OPERAND_READ, a->x, a->rows, a->features, a->x_stride);
}

static void scatter_rows_backward(tape *t, const record *r, const float *const *dy) {
    const scatter_rows_args *a = r->args;
    op_scatter_rows_backward(t->inner, &(scatter_rows_backward_args){.dx = gradient(r, 1),
                                                                     .dy = dy[0],
                                                                     .index = a->index,
                                                                     .rows = a->rows,
                                                                     .features = a->features,
                                                                     .dx_stride = a->x_stride,
                                                                     .dy_stride = a->y_stride});
}

static void gather_rows_operands(const void *args, operand_list *list) {
    const gather_rows_args *a = args;
    push_single(list, OPERAND_WRITTEN, a->y, a->rows, a->features, a->y_stride);
    push_single(list, OPERAND_READ | OPERAND_WHOLE, a->x, 0, 0, 0);
}

static void gather_rows_backward(tape *t, const record *r, const float *const *dy) {
    const gather_rows_args *a = r->args;
    op_gather_rows_backward(t->inner, &(gather_rows_backward_args){.dx = gradient(r, 1),
                                                                   .dy = dy[0],
                                                                   .index = a->index,
                                                                   .rows = a->rows,
                                                                   .features = a->features,
                                                                   .dx_stride = a->x_stride,
                                                                   .dy_stride = a->y_stride});
}

/* ---- Attention ---------------------------------------------------------------------------- */

static void rope_operands(const void *args, operand_list *list) {
    const rope_args *a = args;
    push_single(list, OPERAND_WRITTEN, a->y, a->rows, a->heads * a->head_dim, a->y_stride);
    push_single(list, OPERAND_READ, a->x, a->rows, a->heads * a->head_dim, a->x_stride);
    push_single(list, OPERAND_VALUE | OPERAND_KEPT, a->table, a->rows, a->head_dim, a->head_dim);
}

static void rope_backward(tape *t, const record *r, const float *const *dy) {
    const rope_args *a = r->args;
    op_rope_backward(t->inner, &(rope_backward_args){.dx = gradient(r, 1),
                                                     .dy = dy[0],
                                                     .table = value(r, 2),
                                                     .rows = a->rows,
                                                     .heads = a->heads,
                                                     .head_dim = a->head_dim,
                                                     .dx_stride = a->x_stride,
                                                     .dy_stride = a->y_stride});
}

/* Rows of the pools are written once, so that they need no copies. */
static void attention_operands(const void *args, operand_list *list) {
    const attention_args *a = args;
    C2C_ASSERT(a->kv_type == DTYPE_F32);
    int64_t features = a->heads * a->head_dim;
    push_single(list, OPERAND_WRITTEN | OPERAND_RESULT, a->y, a->rows, features, a->y_stride);
    push_single(list, OPERAND_READ | OPERAND_KEPT, a->q, a->rows, features, a->q_stride);
    push_single(list, OPERAND_READ | OPERAND_WHOLE, a->k, 0, 0, 0);
    push_single(list, OPERAND_READ | OPERAND_WHOLE, a->v, 0, 0, 0);
}

static void attention_backward(tape *t, const record *r, const float *const *dy) {
    const attention_args *a = r->args;
    /* Keys and values come together: where one has no gradient, its shadow takes it all the same
     * and nobody looks at it. */
    bool pools = gradient(r, 2) || gradient(r, 3);
    if (pools)
        tape_region(t, a->k)->used = tape_region(t, a->v)->used = true;
    op_attention_backward(t->inner,
                          &(attention_backward_args){.dq = gradient(r, 1),
                                                     .dk = pools ? tape_shadow(t, a->k) : NULL,
                                                     .dv = pools ? tape_shadow(t, a->v) : NULL,
                                                     .dy = dy[0],
                                                     .y = value(r, 0),
                                                     .q = value(r, 1),
                                                     .k = a->k,
                                                     .v = a->v,
                                                     .q_start = a->q_start,
                                                     .range_start = a->range_start,
                                                     .ranges = a->ranges,
                                                     .wanted = r->wanted,
                                                     .positions = a->positions,
                                                     .rows = a->rows,
                                                     .sequences = a->sequences,
                                                     .heads = a->heads,
                                                     .kv_heads = a->kv_heads,
                                                     .head_dim = a->head_dim,
                                                     .dq_stride = a->q_stride,
                                                     .dy_stride = a->y_stride,
                                                     .y_stride = a->y_stride,
                                                     .q_stride = a->q_stride,
                                                     .kv_stride = a->kv_stride,
                                                     .dkv_stride = a->kv_stride,
                                                     .window = a->window,
                                                     .scale = a->scale});
}

/* ---- Fusing ------------------------------------------------------------------------------- */

/* A table of logits takes up what lies between its first and its last number. */
static int64_t logits_extent(const fuse_mix_args *a, const fuse_strides *s) {
    return (a->rows - 1) * s->row + (a->kv_heads - 1) * s->head + (a->head_dim - 1) * s->element +
           1;
}

static void fuse_mix_operands(const void *args, operand_list *list) {
    const fuse_mix_args *a = args;
    int64_t features = a->kv_heads * a->head_dim;
    push_table(list, OPERAND_WRITTEN, a->y, a->groups, a->rows, features, a->y_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->receiver, a->groups, a->rows, features,
               a->receiver_stride, 4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->x, a->groups, a->rows, features, a->x_stride,
               4);
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->w, a->groups, 1,
               logits_extent(a, &a->w_strides), 0, dtype_size(a->w_type));
    push_table(list, OPERAND_READ | OPERAND_KEPT, a->gate, a->groups, 1,
               logits_extent(a, &a->gate_strides), 0, dtype_size(a->gate_type));
    push_table(list, OPERAND_VALUE | OPERAND_KEPT, a->uniforms, a->groups, 1,
               logits_extent(a, &a->uniform_strides), 0, 4);
}

static void fuse_mix_backward(tape *t, const record *r, const float *const *dy) {
    const fuse_mix_args *a = r->args;
    op_fuse_mix_backward(t->inner,
                         &(fuse_mix_backward_args){.dreceiver = gradients(r, 1),
                                                   .dx = gradients(r, 2),
                                                   .dw = gradients(r, 3),
                                                   .dgate = a->uniforms ? gradients(r, 4) : NULL,
                                                   .dy = dy,
                                                   .receiver = (const float *const *)values(r, 1),
                                                   .x = (const float *const *)values(r, 2),
                                                   .w = values(r, 3),
                                                   .gate = values(r, 4),
                                                   .uniforms = (const float *const *)values(r, 5),
                                                   .groups = a->groups,
                                                   .w_type = a->w_type,
                                                   .gate_type = a->gate_type,
                                                   .rows = a->rows,
                                                   .kv_heads = a->kv_heads,
                                                   .head_dim = a->head_dim,
                                                   .dreceiver_stride = a->receiver_stride,
                                                   .dx_stride = a->x_stride,
                                                   .dy_stride = a->y_stride,
                                                   .receiver_stride = a->receiver_stride,
                                                   .x_stride = a->x_stride,
                                                   .w_strides = a->w_strides,
                                                   .gate_strides = a->gate_strides,
                                                   .uniform_strides = a->uniform_strides,
                                                   .temperature = a->temperature,
                                                   .gate_temperature = a->gate_temperature,
                                                   .scale_receiver = a->scale_receiver});
}

static void dropout_operands(const void *args, operand_list *list) {
    const dropout_args *a = args;
    push_table(list, OPERAND_WRITTEN | (a->accumulate ? OPERAND_ADDED : 0), a->y, a->groups,
               a->rows, a->features, a->y_stride, 4);
    push_table(list, OPERAND_READ, a->x, a->groups, a->rows, a->features, a->x_stride, 4);
}

/* The same numbers are drawn again. */
static void dropout_backward(tape *t, const record *r, const float *const *dy) {
    dropout_args back = *(const dropout_args *)r->args;
    int64_t stride = back.y_stride;
    back.y = gradients(r, 1);
    back.y_stride = back.x_stride;
    back.x = dy;
    back.x_stride = stride;
    back.accumulate = true;
    op_dropout(t->inner, &back);
}

/* ---- Ops without gradients that write watched memory -------------------------------------- */

static void embed_operands(const void *args, operand_list *list) {
    const embed_args *a = args;
    push_single(list, OPERAND_WRITTEN, a->y, a->rows, a->features, a->features);
}

static void rope_table_operands(const void *args, operand_list *list) {
    const rope_table_args *a = args;
    push_single(list, OPERAND_WRITTEN, a->table, a->rows, 2 * a->half, 2 * a->half);
}

static void zero_operands(const void *args, operand_list *list) {
    const zero_args *a = args;
    push(list, OPERAND_WRITTEN, 1, a->bytes, 0, 1)->single = a->y;
}

const tape_rule tape_rules[OP_COUNT] = {
    [OP_embed] = {embed_operands, NULL},
    [OP_rmsnorm] = {rmsnorm_operands, rmsnorm_backward},
    [OP_layernorm] = {layernorm_operands, layernorm_backward},
    [OP_linear] = {linear_operands, linear_backward},
    [OP_activate] = {activate_operands, activate_backward},
    [OP_add] = {add_operands, add_backward},
    [OP_add_difference] = {add_difference_operands, add_difference_backward},
    [OP_sum_rows] = {sum_rows_operands, sum_rows_backward},
    [OP_rope_table] = {rope_table_operands, NULL},
    [OP_rope] = {rope_operands, rope_backward},
    [OP_scatter_rows] = {scatter_rows_operands, scatter_rows_backward},
    [OP_gather_rows] = {gather_rows_operands, gather_rows_backward},
    [OP_copy_rows] = {copy_rows_operands, copy_rows_backward},
    [OP_attention] = {attention_operands, attention_backward},
    [OP_fuse_mix] = {fuse_mix_operands, fuse_mix_backward},
    [OP_zero] = {zero_operands, NULL},
    [OP_dropout] = {dropout_operands, dropout_backward},
};
