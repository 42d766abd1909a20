/* replay.c - runs the backward ops of what was recorded, in reverse, and what is to be recomputed
 * before it. Owns the life of shadows: each is 0 until the ops that read its memory have been
 * replayed, and again once the op that wrote it has. */
#include "graph/tape.h"

/* Whether the op wrote over something whose gradient is needed. */
static bool in_place(const record *r, int32_t group) {
    for (int i = 1; i < r->list.count; i++) {
        const operand *o = &r->list.items[i];
        if (o->gradients && o->roles & OPERAND_READ && group < o->groups &&
            o->gradients[group] == r->list.items[0].gradients[group])
            return true;
    }
    return false;
}

/* Rows with gaps between them: what stands in the gaps is somebody else's. */
static void kill_patch(tape *t, const operand *o) {
    float *zeros = store_take(&t->store, (size_t)o->features * sizeof *zeros);
    if (!zeros || !reserve_tables(t, o->groups)) {
        tape_fail(t, "gradients");
        return;
    }
    op_zero(t->inner, &(zero_args){.y = zeros, .bytes = o->features * (int64_t)sizeof *zeros});
    for (int32_t p = 0; p < o->groups; p++)
        t->tables[p] = zeros;
    op_copy_rows(t->inner, &(copy_rows_args){.y = (void *const *)o->gradients,
                                             .x = t->tables,
                                             .groups = o->groups,
                                             .rows = o->rows,
                                             .features = o->features,
                                             .y_stride = o->stride,
                                             .x_stride = 0});
}

/* Makes shadows 0, neighbours in one go. */
static void kill_gradients(tape *t, const operand *o) {
    if (o->rows > 1 && o->stride > o->features) {
        kill_patch(t, o);
        return;
    }
    char *begin = NULL, *end = NULL;
    for (int32_t p = 0; p <= o->groups; p++) {
        char *next = NULL, *next_end = NULL;
        if (p < o->groups) {
            span s = operand_span(o, p);
            next = o->gradients[p];
            next_end = next + (s.end - s.begin);
        }
        if (p < o->groups && next == end) {
            end = next_end;
            continue;
        }
        if (end > begin)
            op_zero(t->inner, &(zero_args){.y = begin, .bytes = end - begin});
        begin = next;
        end = next_end;
    }
}

/* Copies of the gradients of what the op wrote, so that their shadows can take those of what was
 * there before. */
static const float *const *move_aside(tape *t, const operand *o) {
    const float **moved = tape_host_alloc(t, (size_t)o->groups * sizeof *moved);
    bool whole = moved && reserve_tables(t, o->groups);
    const void **to = t->tables, **from = t->tables + t->table_room;
    for (int32_t p = 0; p < o->groups && whole; p++) {
        span s = operand_span(o, p);
        moved[p] = store_take(&t->store, s.end - s.begin);
        whole = moved[p] != NULL;
        to[p] = moved[p];
        from[p] = o->gradients[p];
    }
    if (!whole) {
        tape_fail(t, "gradients");
        return NULL;
    }
    copy_groups(t, o, to, from, o->groups);
    return moved;
}

/* x += y in place leaves the gradient of x where it is. */
static bool is_residual(const record *r) {
    const add_args *a = r->args;
    if (r->kind != OP_add || !r->list.items[1].gradients)
        return false;
    for (int32_t p = 0; p < a->groups; p++)
        if (a->y[p] != a->a[p] || r->list.items[1].gradients[p] == NULL || a->y[p] == a->b[p])
            return false;
    return true;
}

static void replay_residual(tape *t, record *r) {
    operand saved = r->list.items[1];
    r->list.items[1].gradients = NULL;
    tape_rules[OP_add].backward(t, r, (const float *const *)r->list.items[0].gradients);
    r->list.items[1] = saved;
}

/* ---- Gradients that hold nothing yet ------------------------------------------------------ */

/* Makes 0 what of a span of gradients holds nothing yet. */
static void settle_span(tape *t, span s) {
    span part;
    bool whole = true;
    while (whole && span_set_take(&t->empty, s, &part, &whole))
        op_zero(t->inner,
                &(zero_args){.y = (void *)part.begin, .bytes = (int64_t)(part.end - part.begin)});
    if (!whole)
        tape_fail(t, "the tape");
}

static span gradient_span(const operand *o, int32_t group) {
    span of = operand_span(o, group);
    uintptr_t begin = (uintptr_t)o->gradients[group];
    return (span){begin, begin + (of.end - of.begin)};
}

/* Whether all gradients of the operand hold nothing yet, and have no gaps, where others' are. */
static bool is_empty(const tape *t, const operand *o) {
    if (o->rows > 1 && o->stride > o->features)
        return false;
    for (int32_t p = 0; p < o->groups; p++)
        if (o->gradients[p] && !span_set_covers(&t->empty, gradient_span(o, p)))
            return false;
    return true;
}

/* Before a backward op adds to gradients of learned memory: those that hold nothing become 0,
 * unless the op writes them all. Only a linear can, and its weights are most of what there is. */
static void settle(tape *t, record *r) {
    for (int i = 1; i < r->list.count && t->empty.count; i++) {
        const operand *o = &r->list.items[i];
        if (!o->gradients)
            continue;
        if (r->kind == OP_linear && o->roles & OPERAND_LEARNS && o->groups > 0 &&
            ((const linear_args *)r->args)->rows > 0 && is_empty(t, o)) {
            r->overwrite = true;
            for (int32_t p = 0; p < o->groups; p++)
                if (o->gradients[p] && !span_set_remove(&t->empty, gradient_span(o, p)))
                    tape_fail(t, "the tape");
            continue;
        }
        for (int32_t p = 0; p < o->groups; p++)
            if (o->gradients[p])
                settle_span(t, gradient_span(o, p));
    }
}

/* ---- One op ------------------------------------------------------------------------------- */

static void replay(tape *t, record *r) {
    const operand *y = &r->list.items[0];
    const float *const *dy = (const float *const *)y->gradients;
    bool moved = false;
    store_mark mark = store_position(&t->store);
    settle(t, r);
    if (is_residual(r)) {
        replay_residual(t, r);
        return;
    }
    for (int32_t p = 0; p < y->groups && r->dies && !moved; p++)
        moved = in_place(r, p);
    if (moved) {
        dy = move_aside(t, y);
        if (!dy)
            return;
        kill_gradients(t, y);
    }
    tape_rules[r->kind].backward(t, r, dy);
    if (r->dies && !moved)
        kill_gradients(t, y);
    store_return(&t->store, mark);
}

/* Puts back what the segment found, and runs it again, this time keeping what backward reads. */
static void run_again(tape *t, const segment *s) {
    t->copies.count = 0;
    for (size_t i = s->input_first; i < s->input_end; i++) {
        const copy *c = &t->inputs.items[i];
        void *y = (void *)c->of.begin;
        const void *x = c->memory;
        int64_t elements = (int64_t)((c->of.end - c->of.begin) / sizeof(float));
        op_copy_rows(t->inner, &(copy_rows_args){.y = &y,
                                                 .x = &x,
                                                 .groups = 1,
                                                 .rows = 1,
                                                 .features = elements,
                                                 .y_stride = elements,
                                                 .x_stride = elements});
    }
    for (size_t i = s->first; i < s->end && !t->failed; i++) {
        record *r = t->records[i];
        if (r->backward)
            keep_operands(t, r, false);
        backend_run(t->inner, r->kind, r->args);
        const operand *y = &r->list.items[0];
        for (int32_t p = 0; p < y->groups; p++)
            if (!(y->roles & OPERAND_WHOLE))
                copy_list_forget(&t->copies, operand_span(y, p));
        if (r->backward)
            keep_operands(t, r, true);
    }
}

c2c_status tape_backward(tape *t, c2c_error *error) {
    size_t i = t->record_count;
    store_mark mark = store_position(&t->store);
    C2C_ASSERT(!t->in_segment);
    t->recording = false;
    while (i > 0 && !t->failed) {
        record *r = t->records[--i];
        const segment *s = r->segment < 0 ? NULL : &t->segments[r->segment];
        if (s && i + 1 == s->end) {
            mark = store_position(&t->store);
            run_again(t, s);
        }
        if (r->backward && !t->failed)
            replay(t, r);
        if (s && i == s->first)
            store_return(&t->store, mark);
    }
    settle_span(t, (span){0, UINTPTR_MAX});
    if (!t->failed)
        return C2C_STATUS_OK;
    return error_set(error, t->error.code, "%s", t->error.message);
}
