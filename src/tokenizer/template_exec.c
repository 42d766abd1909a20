/* template_exec.c - statement trees to output: variables and their blocks, loops, macros.
 *
 * Scopes are jinja2's, which are not Python's: a for loop, a macro, a with block and a captured
 * block have variables of their own, and what is set in them is gone at their end; only a branch
 * of an `if` shares those around it. That is why templates carry state in namespaces. A block
 * also hides outer names that it assigns anywhere inside, even before the assignment runs;
 * template_names.c computes which, and scope_new makes them undefined.
 *
 * break and continue travel upwards as the result of bodies (flow). None leaves a macro: the parser
 * counts its loops anew. One in a set block leaves that block, whose text is then lost. */
#include "tokenizer/template.h"

/* How a body ended. FLOW_FAILED: render.status and the error say why. */
typedef enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAILED } flow;

static flow exec_body(render *r, scope *s, node *const *body, size_t count);

/* ---- Assignment --------------------------------------------------------------------------- */

/* for a, b in ...: as many targets as items, or an error. */
static bool unpack(render *r, scope *s, const node *target, const value *v) {
    const value *items;
    size_t count;
    if (!value_items(r, v, &items, &count))
        return false;
    if (count < target->count)
        return render_fail(r, "not enough values to unpack (expected %zu, got %zu)", target->count,
                           count);
    if (count > target->count)
        return render_fail(r, "too many values to unpack (expected %zu)", target->count);
    for (size_t i = 0; i < count; i++)
        if (!node_assign(r, s, target->items[i], &items[i]))
            return false;
    return true;
}

/* A namespace is the one thing that can be changed after it was made; the target is looked up
 * from here outwards, so that a loop can write into one that stands before it. */
bool node_assign(render *r, scope *s, const node *target, const value *v) {
    if (target->kind == NODE_TUPLE)
        return unpack(r, s, target, v);
    if (target->kind == NODE_NAME)
        return scope_set(r, s, target->name, v);
    value space;
    if (!scope_find(r, s, target->name, &space))
        return false;
    if (space.type != VALUE_NAMESPACE)
        return render_fail(r, "cannot assign attribute on non-namespace object");
    return dict_set_name(r, space.dict, target->field, v);
}

/* Runs a body and gives what it printed; what a break or continue in it leaves is dropped. */
static flow capture(render *r, scope *s, const node *n, value *out) {
    /* Statements print where r->out points; it is put back whatever the body did, since
     * `captured` ends with this function. */
    text_builder captured = {.render = r}, *outer = r->out;
    r->out = &captured;
    flow f = exec_body(r, s, n->items, n->count);
    r->out = outer;
    const text *t = f == FLOW_FAILED ? NULL : builder_finish(&captured);
    *out = value_from_text(t);
    return t ? f : FLOW_FAILED;
}

/* {% set x | filters %}...{% endset %} and {% filter f %}...{% endfilter %} */
static flow exec_captured(render *r, scope *s, const node *n) {
    value v;
    scope *inner = scope_new(r, s, n);
    flow f = inner ? capture(r, inner, n, &v) : FLOW_FAILED;
    if (f != FLOW_ON)
        return f;
    value input = v;
    if (n->second && !node_call_filter(r, inner, n->second, &input, &v))
        return FLOW_FAILED;
    bool good =
        n->kind == NODE_FILTER_BLOCK ? value_print(r->out, &v) : node_assign(r, s, n->first, &v);
    return good ? FLOW_ON : FLOW_FAILED;
}

/* A value may name the targets before it: in {% with a=1, b=a %} the outer a is meant, which is
 * what `s` knows; the new ones go into `inner`. */
static flow exec_with(render *r, scope *s, const node *n) {
    scope *inner = scope_new(r, s, n);
    for (size_t i = 0; i < n->other_count; i += 2) {
        value v;
        if (!inner || !node_eval(r, s, n->others[i + 1], &v) ||
            !node_assign(r, inner, n->others[i], &v))
            return FLOW_FAILED;
    }
    return inner ? exec_body(r, inner, n->items, n->count) : FLOW_FAILED;
}

/* ---- Loops -------------------------------------------------------------------------------- */

/* Items are kept: loop.previtem, loop.last and loop.length look behind and ahead. */
static bool keep_ready(render *r, loop *l, const value *v) {
    if (l->ready_count == l->ready_capacity) {
        size_t capacity = l->ready_capacity ? l->ready_capacity * 2 : 8;
        value *ready = render_array(r, capacity, sizeof *ready);
        if (!ready)
            return false;
        if (l->ready_count)
            memcpy(ready, l->ready, l->ready_count * sizeof *ready);
        l->ready = ready;
        l->ready_capacity = capacity;
    }
    l->ready[l->ready_count++] = *v;
    return true;
}

/* The condition of a loop is asked only when an item is needed: it may depend on what the body did
 * with the items before. */
bool loop_fetch(render *r, loop *l, size_t ready) {
    while (l->ready_count < ready && l->next < l->count) {
        const value *v = &l->items[l->next++];
        bool wanted = true;
        if (l->node->third) {
            value test;
            scope *inner = scope_new(r, l->outer, NULL);
            if (!inner || !node_assign(r, inner, l->node->first, v) ||
                !node_eval(r, inner, l->node->third, &test))
                return false;
            wanted = value_truth(&test);
        }
        if (wanted && !keep_ready(r, l, v))
            return false;
    }
    return true;
}

/* Every round has its own variables; what it sets is gone in the next one. */
static flow exec_for(render *r, scope *s, const node *n) {
    value over;
    loop *l = render_alloc(r, sizeof *l);
    if (!l || !node_eval(r, s, n->second, &over))
        return FLOW_FAILED;
    /* What `loop.changed()` compares with is absent, not none: the first call is a change
     * whatever it gets. */
    *l = (loop){.node = n, .outer = s, .changed = {.type = VALUE_ABSENT}};
    r->line = n->line;
    if (!value_items(r, &over, &l->items, &l->count))
        return FLOW_FAILED;
    value self = {.type = VALUE_LOOP, .loop = l};
    for (size_t i = 0;; i++) {
        if (!render_spend(r, 1) || !loop_fetch(r, l, i + 1))
            return FLOW_FAILED;
        /* Fetching stops at the end, so an index without an item is the end. */
        if (i >= l->ready_count)
            break;
        l->index = (int64_t)i;
        scope *inner = scope_new(r, s, n);
        if (!inner || !scope_set(r, inner, "loop", &self) ||
            !node_assign(r, inner, n->first, &l->ready[i]))
            return FLOW_FAILED;
        flow f = exec_body(r, inner, n->items, n->count);
        if (f == FLOW_FAILED)
            return f;
        if (f == FLOW_BREAK)
            return FLOW_ON;
    }
    /* The else of a loop is for no rounds at all; after a break it does not run. */
    return l->ready_count ? FLOW_ON : exec_body(r, s, n->others, n->other_count);
}

/* ---- Macros ------------------------------------------------------------------------------- */

/* A macro keeps the scope where it was defined: its body sees later assignments there, as in
 * jinja2. */
static bool define_macro(render *r, scope *s, const node *n, const char *name, value *out) {
    macro *m = render_alloc(r, sizeof *m);
    if (!m)
        return false;
    *m = (macro){.name = name, .node = n, .scope = s};
    *out = (value){.type = VALUE_MACRO, .macro = m};
    return true;
}

/* A keyword argument, marked as taken. */
static const value *keyword_take(const arguments *a, bool *taken, const char *name) {
    for (size_t i = 0; i < a->keyword_count; i++)
        if (strcmp(a->keywords[i].name, name) == 0) {
            taken[i] = true;
            return &a->keywords[i].value;
        }
    return NULL;
}

/* Parameters first, then defaults, which may name parameters before them. */
static bool bind_parameters(render *r, const macro *m, const arguments *a, scope *s, bool *taken) {
    const node *n = m->node;
    for (size_t i = 0; i < n->other_count; i++) {
        const char *name = n->others[i]->name;
        value v;
        /* A parameter given both ways is no error in jinja2: the positional one wins, and the
         * name is left over for bind_rest to refuse. */
        const value *given = i < a->count ? &a->items[i] : keyword_take(a, taken, name);
        if (given)
            v = *given;
        else if (n->others[i]->first) {
            if (!node_eval(r, s, n->others[i]->first, &v))
                return false;
        } else if (!value_undefined(r, &v, "parameter '%.200s' was not provided", name)) {
            return false;
        }
        if (!scope_set(r, s, name, &v))
            return false;
    }
    return true;
}

/* The body of a call block, or something that says it was not called by one. */
static bool bind_caller(render *r, const arguments *a, scope *s, bool *taken) {
    const value *given = keyword_take(a, taken, "caller");
    value v;
    if (given && given->type != VALUE_NONE)
        v = *given;
    else if (!value_undefined(r, &v, "No caller defined"))
        return false;
    return scope_set(r, s, "caller", &v);
}

/* Arguments without a parameter: an error, unless the macro reads varargs or kwargs. */
static bool bind_rest(render *r, const macro *m, const arguments *a, scope *s, const bool *taken) {
    const char *name = m->name ? m->name : "caller";
    size_t parameters = m->node->other_count;
    value v;
    dict *rest = dict_new(r, 0);
    if (!rest)
        return false;
    for (size_t i = 0; i < a->keyword_count; i++) {
        if (taken[i])
            continue;
        if (!(m->node->uses & MACRO_USES_KWARGS))
            return render_fail(r, "macro '%s' takes no keyword argument '%s'", name,
                               a->keywords[i].name);
        if (!dict_set_name(r, rest, a->keywords[i].name, &a->keywords[i].value))
            return false;
    }
    v = (value){.type = VALUE_DICT, .dict = rest};
    if ((m->node->uses & MACRO_USES_KWARGS) && !scope_set(r, s, "kwargs", &v))
        return false;
    if (!(m->node->uses & MACRO_USES_VARARGS))
        return a->count <= parameters ||
               render_fail(r, "macro '%s' takes not more than %zu argument(s)", name, parameters);
    size_t extra = a->count > parameters ? a->count - parameters : 0;
    return value_list(r, VALUE_TUPLE, extra ? a->items + parameters : NULL, extra, &v) &&
           scope_set(r, s, "varargs", &v);
}

/* Recursion is bounded by depth: a macro that calls itself forever meets render_enter. */
bool macro_call(render *r, const macro *m, const arguments *a, value *out) {
    scope *s = scope_new(r, m->scope, m->node);
    bool *taken = render_alloc(r, a->keyword_count);
    if (!s || !taken || !render_enter(r))
        return false;
    bool good = bind_parameters(r, m, a, s, taken);
    if (good && (m->node->uses & MACRO_USES_CALLER))
        good = bind_caller(r, a, s, taken);
    good = good && bind_rest(r, m, a, s, taken) && capture(r, s, m->node, out) != FLOW_FAILED;
    render_leave(r);
    return good;
}

/* {% call(x) f(y) %}...{% endcall %}: f gets the body as its caller. */
static flow exec_call_block(render *r, scope *s, const node *n) {
    value caller, callee, v;
    arguments a;
    if (!define_macro(r, s, n, NULL, &caller) || !node_eval(r, s, n->first->first, &callee) ||
        !node_arguments(r, s, n->first, &caller, &a))
        return FLOW_FAILED;
    r->line = n->line;
    return value_call(r, &callee, &a, &v) && value_print(r->out, &v) ? FLOW_ON : FLOW_FAILED;
}

/* ---- Statements --------------------------------------------------------------------------- */

/* Branches have no variables of their own: what they set stays. */
static flow exec_if(render *r, scope *s, const node *n) {
    for (size_t i = 0; i < n->count; i++) {
        const node *branch = n->items[i];
        value test = value_bool(true);
        if (branch->first && !node_eval(r, s, branch->first, &test))
            return FLOW_FAILED;
        if (value_truth(&test))
            return exec_body(r, s, branch->items, branch->count);
    }
    return FLOW_ON;
}

static flow exec_scope(render *r, scope *s, const node *n) {
    scope *inner = scope_new(r, s, n);
    return inner ? exec_body(r, inner, n->items, n->count) : FLOW_FAILED;
}

static flow exec(render *r, scope *s, const node *n) {
    value v;
    bool good = true;
    r->line = n->line;
    switch (n->kind) {
    case NODE_IF: return exec_if(r, s, n);
    case NODE_FOR: return exec_for(r, s, n);
    case NODE_WITH: return exec_with(r, s, n);
    case NODE_SCOPE: return exec_scope(r, s, n);
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK: return exec_captured(r, s, n);
    case NODE_CALL_BLOCK: return exec_call_block(r, s, n);
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    case NODE_DATA: good = builder_text(r->out, n->constant.text); break;
    case NODE_PRINT: good = node_eval(r, s, n->first, &v) && value_print(r->out, &v); break;
    case NODE_SET: good = node_eval(r, s, n->second, &v) && node_assign(r, s, n->first, &v); break;
    default:
        C2C_ASSERT(n->kind == NODE_MACRO);
        good = define_macro(r, s, n, n->name, &v) && scope_set(r, s, n->name, &v);
    }
    return good ? FLOW_ON : FLOW_FAILED;
}

/* One step for each statement, one level for each body: together with node_eval's these bound
 * time and stack. */
static flow exec_body(render *r, scope *s, node *const *body, size_t count) {
    flow f = render_enter(r) ? FLOW_ON : FLOW_FAILED;
    for (size_t i = 0; i < count && f == FLOW_ON; i++)
        f = render_spend(r, 1) ? exec(r, s, body[i]) : FLOW_FAILED;
    render_leave(r);
    return f;
}

bool node_exec(render *r, scope *s, const node *body) {
    return exec_body(r, s, body->items, body->count) != FLOW_FAILED;
}
