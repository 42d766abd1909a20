/* expand.c - ops that do the work of several, in the parts that have rules: what a pass of
 * inference runs at once is recorded as the ops that it stands for, and has no backward op of its
 * own. The bits are the same. */
#include "graph/tape.h"

/* Group p alone, of rows that are prepared. */
static linear_args group_of(const linear_args *a, int32_t p) {
    linear_args one = *a;
    one.groups = 1;
    one.y += p;
    one.x += p;
    one.w += p;
    one.b = a->b ? a->b + p : NULL;
    one.scale = a->scale ? a->scale + p : NULL;
    one.panels = a->panels ? a->panels + p : NULL;
    one.out = linear_outs(a, p);
    one.y_stride = linear_y_stride(a, p);
    one.outs[0] = 0;
    return one;
}

static bool expand_linear(backend *tape, const linear_args *a) {
    if (!a->prepare && !a->outs[0])
        return false;
    linear_args rest = *a;
    if (a->prepare) {
        int32_t prepared = linear_shares_rows(a) ? 1 : a->groups;
        rmsnorm_args norm = linear_norm(a, prepared);
        activate_args activate = linear_activate(a, prepared);
        if (a->prepare == LINEAR_PREPARE_NORM)
            op_rmsnorm(tape, &norm);
        else
            op_activate(tape, &activate);
        rest.prepare = LINEAR_PREPARE_NONE;
        rest.x = (const float *const *)a->prepared;
        rest.x_stride = a->in;
    }
    if (!rest.outs[0]) {
        op_linear(tape, &rest);
        return true;
    }
    for (int32_t p = 0; p < a->groups; p++) {
        linear_args one = group_of(&rest, p);
        op_linear(tape, &one);
    }
    return true;
}

/* Heads of x in place: their norm, where it has weights, and their rotation. */
static void expand_heads(backend *tape, const rope_store_args *a, float *x, int64_t heads,
                         const void *norm, dtype norm_type) {
    const float *in = x;
    if (norm)
        op_rmsnorm(tape, &(rmsnorm_args){.y = &x,
                                         .x = &in,
                                         .w = &norm,
                                         .groups = 1,
                                         .w_type = norm_type,
                                         .rows = a->rows * heads,
                                         .features = a->head_dim,
                                         .y_stride = a->head_dim,
                                         .x_stride = a->head_dim,
                                         .epsilon = a->epsilon});
    op_rope(tape, &(rope_args){.y = x,
                               .x = x,
                               .table = a->table,
                               .rows = a->rows,
                               .heads = heads,
                               .head_dim = a->head_dim,
                               .y_stride = heads * a->head_dim,
                               .x_stride = heads * a->head_dim});
}

static void expand_store(backend *tape, const rope_store_args *a, void *pool, const float *x) {
    int64_t features = a->kv_heads * a->head_dim;
    op_scatter_rows(tape, &(scatter_rows_args){.y = pool,
                                               .x = x,
                                               .index = a->index,
                                               .rows = a->rows,
                                               .features = features,
                                               .y_stride = a->kv_stride,
                                               .x_stride = features,
                                               .y_type = a->kv_type});
}

static bool expand_rope_store(backend *tape, const rope_store_args *a) {
    if (a->k) {
        expand_heads(tape, a, a->k, a->kv_heads, a->k_norm, a->k_norm_type);
        expand_store(tape, a, a->keys, a->k);
        expand_store(tape, a, a->values, a->v);
    }
    if (a->q)
        expand_heads(tape, a, a->q, a->heads, a->q_norm, a->q_norm_type);
    return true;
}

bool tape_expand(tape *t, op_kind kind, const void *args) {
    switch (kind) {
    case OP_linear: return expand_linear(&t->base, args);
    case OP_rope_store: return expand_rope_store(&t->base, args);
    default: return false;
    }
}
