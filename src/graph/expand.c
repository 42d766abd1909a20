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

bool tape_expand(tape *t, op_kind kind, const void *args) {
    return kind == OP_linear && expand_linear(&t->base, args);
}
