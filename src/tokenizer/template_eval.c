/* template_eval.c - expression trees to values. Statements are template_exec.c's; what
 * operators, filters, tests and methods do is in files of their own, so that this one is about
 * order: what is evaluated, when, and how often.
 *
 * Order matters although expressions have no side effects to speak of: a namespace, a generator
 * and loop.changed() remember, and the first error is the one that the user sees. It is Python's
 * order everywhere: left before right, the callee before its arguments, positional ones before
 * named ones, and nothing that a short circuit skips.
 *
 * Every node costs one step of work and one level of depth (node_eval), so neither a wide nor a
 * deep tree can run away. The line in render.line is set again after operands were evaluated,
 * since an operand on another line moved it. */
#include "tokenizer/template.h"

/* ---- Arguments ---------------------------------------------------------------------------- */

/* Adds the items of *extra behind the `count` that are there: f(a, *b). A text gives its
 * characters, a dict its keys, and undefined nothing, as in a for loop. */
static bool spread_items(render *r, scope *s, const node *extra, value **items, size_t *count) {
    value v;
    const value *more;
    size_t more_count;
    if (!node_eval(r, s, extra, &v) || !value_items(r, &v, &more, &more_count))
        return false;
    value *all = render_array(r, *count + more_count, sizeof *all);
    if (!all)
        return false;
    if (*count)
        memcpy(all, *items, *count * sizeof *all);
    if (more_count)
        memcpy(all + *count, more, more_count * sizeof *all);
    *items = all;
    *count += more_count;
    return true;
}

static bool spread_keywords(render *r, scope *s, const node *extra, keyword **keywords,
                            size_t *count) {
    value v;
    if (!node_eval(r, s, extra, &v))
        return false;
    if (v.type != VALUE_DICT)
        return render_fail(r, "argument after ** must be a mapping, not %s", value_type_name(&v));
    keyword *all = render_array(r, *count + v.dict->count + 1, sizeof *all);
    if (!all)
        return false;
    if (*count)
        memcpy(all, *keywords, *count * sizeof *all);
    for (size_t i = 0; i < v.dict->count; i++) {
        const dict_entry *e = &v.dict->entries[i];
        /* Names of parameters are C texts from here on; the copy has the NUL that a dict's key
         * need not have. */
        if (e->key.type != VALUE_TEXT)
            return render_fail(r, "keywords must be strings");
        const text *name = text_copy(r, e->key.text->bytes, e->key.text->length);
        if (!name)
            return false;
        all[(*count)++] = (keyword){.name = name->bytes, .value = e->value};
    }
    *keywords = all;
    return true;
}

/* One array each for what is given in order and by name; the room for one more name is for
 * `caller`, which a call block adds. */
bool node_arguments(render *r, scope *s, const node *n, const value *caller, arguments *out) {
    size_t count = n->count, keyword_count = n->other_count;
    value *items = render_array(r, count, sizeof *items);
    keyword *keywords = render_array(r, keyword_count + 1, sizeof *keywords);
    if (!items || !keywords)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!node_eval(r, s, n->items[i], &items[i]))
            return false;
    for (size_t i = 0; i < keyword_count; i++) {
        keywords[i].name = n->others[i]->name;
        if (!node_eval(r, s, n->others[i]->first, &keywords[i].value))
            return false;
    }
    /* A call has its callee in `first`, so its spread arguments are in second and third. */
    if (n->second && !spread_items(r, s, n->second, &items, &count))
        return false;
    if (n->third && !spread_keywords(r, s, n->third, &keywords, &keyword_count))
        return false;
    if (caller)
        keywords[keyword_count++] = (keyword){.name = "caller", .value = *caller};
    *out = (arguments){.items = items,
                       .count = count,
                       .keywords = keywords,
                       .keyword_count = keyword_count};
    return true;
}

/* What goes into a filter: of a chain, the innermost one gets the input. */
static bool filter_input(render *r, scope *s, const node *n, const value *input, value *self) {
    *self = *input;
    if (!n->first)
        return true;
    if (n->first->kind != NODE_FILTER)
        return node_eval(r, s, n->first, self);
    bool good = render_enter(r) && node_call_filter(r, s, n->first, input, self);
    render_leave(r);
    return good;
}

bool node_call_filter(render *r, scope *s, const node *n, const value *input, value *out) {
    value self;
    arguments a;
    if (!filter_input(r, s, n, input, &self) || !node_arguments(r, s, n, NULL, &a))
        return false;
    /* Arguments may stand on later lines than the filter that is to blame. */
    r->line = n->line;
    return filter_call(r, n->name, &self, &a, out);
}

/* Tests give true or false, whatever they are asked of. */
static bool eval_test(render *r, scope *s, const node *n, value *out) {
    value self;
    arguments a;
    bool result;
    if (!node_eval(r, s, n->first, &self) || !node_arguments(r, s, n, NULL, &a))
        return false;
    r->line = n->line;
    if (!test_call(r, n->name, &self, &a, &result))
        return false;
    *out = value_bool(result);
    return true;
}

static bool eval_call(render *r, scope *s, const node *n, value *out) {
    value callee;
    arguments a;
    if (!node_eval(r, s, n->first, &callee) || !node_arguments(r, s, n, NULL, &a))
        return false;
    r->line = n->line;
    return value_call(r, &callee, &a, out);
}

/* What str methods make of markup is markup. */
static bool function_run(render *r, const function *f, const arguments *a, value *out) {
    bool markup = f->self.type == VALUE_TEXT && f->self.text->markup;
    return f->call(r, &f->self, a, out) && (!markup || value_marked(r, true, out));
}

/* A class of jinja2's own (a namespace, say) is a function here, so these are all that can be
 * called. */
bool value_call(render *r, const value *callee, const arguments *a, value *out) {
    if (callee->type == VALUE_FUNCTION)
        return function_run(r, callee->function, a, out);
    if (callee->type == VALUE_MACRO)
        return macro_call(r, callee->macro, a, out);
    if (callee->type == VALUE_UNDEFINED)
        return render_undefined(r, callee);
    if (callee->type == VALUE_LOOP)
        return render_refuse(r, "recursive for loops are not supported");
    return render_fail(r, "'%s' object is not callable", value_type_name(callee));
}

/* ---- Displays ----------------------------------------------------------------------------- */

static bool eval_list(render *r, scope *s, const node *n, value *out) {
    value *items = render_array(r, n->count, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < n->count; i++)
        if (!node_eval(r, s, n->items[i], &items[i]))
            return false;
    return value_list(r, n->kind == NODE_LIST ? VALUE_LIST : VALUE_TUPLE, items, n->count, out);
}

/* Of equal keys the last one counts but keeps the place of the first, as in Python: dict_set
 * sees to that. */
static bool eval_dict(render *r, scope *s, const node *n, value *out) {
    dict *d = dict_new(r, n->count / 2);
    for (size_t i = 0; d && i < n->count; i += 2) {
        value key, v;
        if (!node_eval(r, s, n->items[i], &key) || !node_eval(r, s, n->items[i + 1], &v) ||
            !dict_set(r, d, &key, &v))
            return false;
    }
    *out = (value){.type = VALUE_DICT, .dict = d};
    return d != NULL;
}

/* ~ joins what its operands print as. */
static bool eval_concat(render *r, scope *s, const node *n, value *out) {
    const text *whole = NULL;
    for (size_t i = 0; i < n->count; i++) {
        value v;
        const text *part;
        if (!node_eval(r, s, n->items[i], &v) || !value_to_text(r, &v, &part))
            return false;
        whole = whole ? text_concat(r, whole, part) : part;
        if (!whole)
            return false;
    }
    whole = text_marked(r, whole, false); /* plain, even where a part was marked safe */
    *out = value_from_text(whole);
    return whole != NULL;
}

/* ---- Operators ---------------------------------------------------------------------------- */

static bool compare(render *r, const char *sign, const value *a, const value *b, bool *result) {
    /* The signs are ==, !=, in, not in, <, <=, >, >=: the first letter tells a negated one. */
    bool negated = sign[0] == 'n' || sign[0] == '!';
    if (strcmp(sign, "==") == 0 || strcmp(sign, "!=") == 0) {
        if (!value_equal(r, a, b, result))
            return false;
        *result ^= negated;
        return true;
    }
    if (strcmp(sign, "in") == 0 || negated) {
        if (!value_contains(r, b, a, result))
            return false;
        *result ^= negated;
        return true;
    }
    int order;
    if (!value_order(r, a, b, sign, &order))
        return false;
    /* 2: NaN is involved, and every comparison with it is false. */
    *result = order != 2 && ((sign[1] == '=' && order == 0) || (sign[0] == '<' && order < 0) ||
                             (sign[0] == '>' && order > 0));
    return true;
}

/* a < b < c: each operand is evaluated once, and none behind the first comparison that fails. */
static bool eval_compare(render *r, scope *s, const node *n, value *out) {
    value left, right;
    bool result = true;
    if (!node_eval(r, s, n->first, &left))
        return false;
    for (size_t i = 0; i < n->count && result; i++) {
        if (!node_eval(r, s, n->items[i]->first, &right))
            return false;
        r->line = n->items[i]->line;
        if (!compare(r, n->items[i]->name, &left, &right, &result))
            return false;
        left = right;
    }
    *out = value_bool(result);
    return true;
}

static bool eval_binary(render *r, scope *s, const node *n, value *out) {
    value a, b;
    if (!node_eval(r, s, n->first, &a) || !node_eval(r, s, n->second, &b))
        return false;
    r->line = n->line;
    return value_binary(r, n->name, &a, &b, out);
}

/* `and` and `or` give one of their operands, not true or false: {{ name or "nobody" }}. */
static bool eval_logic(render *r, scope *s, const node *n, value *out) {
    if (!node_eval(r, s, n->first, out))
        return false;
    if (value_truth(out) == (n->kind == NODE_OR))
        return true;
    return node_eval(r, s, n->second, out);
}

static bool eval_condition(render *r, scope *s, const node *n, value *out) {
    value test;
    if (!node_eval(r, s, n->first, &test))
        return false;
    if (value_truth(&test))
        return node_eval(r, s, n->second, out);
    if (n->third)
        return node_eval(r, s, n->third, out);
    /* Undefined and not an error: it prints as nothing, and only who uses it in earnest fails,
     * with this reason. */
    return value_undefined(r, out,
                           "the inline if-expression on line %d evaluated to false and no else "
                           "section was defined.",
                           n->line);
}

static bool eval_item(render *r, scope *s, const node *n, value *out) {
    value object, key;
    if (!node_eval(r, s, n->first, &object))
        return false;
    /* Slices have their own path in jinja2, too: they never fall back to attributes. */
    if (n->second->kind == NODE_SLICE) {
        const node *parts[] = {n->second->first, n->second->second, n->second->third};
        value bounds[3];
        for (int i = 0; i < 3; i++) {
            bounds[i] = value_none();
            if (parts[i] && !node_eval(r, s, parts[i], &bounds[i]))
                return false;
        }
        r->line = n->line;
        return value_slice(r, &object, bounds, out);
    }
    if (!node_eval(r, s, n->second, &key))
        return false;
    r->line = n->line;
    return value_item(r, &object, &key, out);
}

/* A filter without an input of its own stands in filter and set blocks, which do not come
 * here. */
static bool eval(render *r, scope *s, const node *n, value *out) {
    switch (n->kind) {
    case NODE_CONSTANT: *out = n->constant; return true;
    case NODE_NAME: return scope_find(r, s, n->name, out);
    case NODE_LIST:
    case NODE_TUPLE: return eval_list(r, s, n, out);
    case NODE_DICT: return eval_dict(r, s, n, out);
    case NODE_CONCAT: return eval_concat(r, s, n, out);
    case NODE_COMPARE: return eval_compare(r, s, n, out);
    case NODE_BINARY: return eval_binary(r, s, n, out);
    case NODE_AND:
    case NODE_OR: return eval_logic(r, s, n, out);
    case NODE_CONDITION: return eval_condition(r, s, n, out);
    case NODE_ITEM: return eval_item(r, s, n, out);
    case NODE_CALL: return eval_call(r, s, n, out);
    case NODE_TEST: return eval_test(r, s, n, out);
    case NODE_FILTER: return node_call_filter(r, s, n, &(value){0}, out);
    default: break;
    }
    /* What is left has one operand. */
    if (!node_eval(r, s, n->first, out))
        return false;
    r->line = n->line;
    if (n->kind == NODE_ATTRIBUTE) {
        value object = *out;
        return value_attribute(r, &object, n->name, out);
    }
    if (n->kind == NODE_NEGATE) {
        value operand = *out;
        return value_negate(r, &operand, n->name[0] == '-', out);
    }
    C2C_ASSERT(n->kind == NODE_NOT);
    *out = value_bool(!value_truth(out));
    return true;
}

bool node_eval(render *r, scope *s, const node *n, value *out) {
    r->line = n->line;
    if (!render_spend(r, 1) || !render_enter(r))
        return false;
    bool good = eval(r, s, n, out);
    render_leave(r);
    return good;
}
