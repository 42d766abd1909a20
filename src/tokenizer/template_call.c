/* template_call.c - how built-in functions are found and get their arguments; the global
 * functions; what a loop variable offers.
 *
 * Arguments are sorted by arguments_bind with one text such as "old new count" for the
 * parameters, so that every built-in takes them by place and by name as Python's do, and
 * complains in the same words. A global that jinja2 has and this interpreter has not is refused
 * by its name, even where a template only asks whether it is defined: the answer "no" would
 * silently choose another branch than jinja2 does. */
#include "tokenizer/template.h"

/* ---- Arguments ---------------------------------------------------------------------------- */

const builtin *builtin_find(const builtin *table, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

bool function_value(render *r, const builtin *b, const value *self, value *out) {
    function *f = render_alloc(r, sizeof *f);
    if (!f)
        return false;
    *f = (function){.name = b->name, .call = b->call};
    if (self)
        f->self = *self;
    *out = (value){.type = VALUE_FUNCTION, .function = f};
    return true;
}

/* The place of a name in a list such as "a b c"; *count is how many names there are. */
static size_t parameter_place(const char *parameters, const char *name, size_t *count) {
    size_t place = SIZE_MAX, length = strlen(name);
    *count = 0;
    for (const char *at = parameters; *at;) {
        size_t size = strcspn(at, " ");
        if (size == length && memcmp(at, name, size) == 0)
            place = *count;
        ++*count;
        at += size + (at[size] == ' ');
    }
    return place;
}

bool arguments_bind(render *r, const char *who, const arguments *a, const char *parameters,
                    size_t required, value *out) {
    size_t count;
    parameter_place(parameters, "", &count);
    if (a->count > count)
        return render_fail(r, "%s takes at most %zu argument(s), not %zu", who, count, a->count);
    for (size_t i = 0; i < count; i++)
        out[i] = i < a->count ? a->items[i] : (value){.type = VALUE_ABSENT};
    for (size_t i = 0; i < a->keyword_count; i++) {
        size_t place = parameter_place(parameters, a->keywords[i].name, &count);
        if (place == SIZE_MAX)
            return render_fail(r, "%s takes no keyword argument '%s'", who, a->keywords[i].name);
        if (out[place].type != VALUE_ABSENT)
            return render_fail(r, "%s got two values for argument '%s'", who, a->keywords[i].name);
        out[place] = a->keywords[i].value;
    }
    /* Absent, not none: none is a value that somebody gave. */
    for (size_t i = 0; i < required; i++)
        if (out[i].type == VALUE_ABSENT)
            return render_fail(r, "%s needs at least %zu argument(s)", who, required);
    return true;
}

/* An undefined argument fails with its own reason, which names the variable that the template
 * misspelt. */
bool argument_integer(render *r, const char *who, const value *v, int64_t fallback, int64_t *out) {
    *out = fallback;
    if (v->type == VALUE_ABSENT)
        return true;
    if (v->type == VALUE_UNDEFINED)
        return render_undefined(r, v);
    return value_integer(v, out) ||
           render_fail(r, "%s: expected an integer, found %s", who, value_type_name(v));
}

bool argument_text(render *r, const char *who, const value *v, const text **out) {
    *out = NULL;
    if (v->type == VALUE_ABSENT || v->type == VALUE_NONE)
        return true;
    if (v->type == VALUE_UNDEFINED)
        return render_undefined(r, v);
    if (v->type != VALUE_TEXT)
        return render_fail(r, "%s: expected a string, found %s", who, value_type_name(v));
    *out = v->text;
    return true;
}

/* ---- Globals ------------------------------------------------------------------------------ */

/* A list item that a dict can be made of. */
static bool pair_of(render *r, const value *v, const value **pair) {
    size_t count;
    if (!value_items(r, v, pair, &count))
        return false;
    return count == 2 || render_fail(r,
                                     "dictionary update sequence element has length %zu; 2 is "
                                     "required",
                                     count);
}

/* dict(mapping or pairs, a=1, ...) */
static bool make_dict(render *r, const char *who, const arguments *a, dict **out) {
    dict *d = *out = dict_new(r, a->keyword_count);
    if (!d)
        return false;
    if (a->count > 1)
        return render_fail(r, "%s expected at most 1 argument, got %zu", who, a->count);
    /* A copy: what is given later with the same key replaces it here only. */
    if (a->count && a->items[0].type == VALUE_DICT) {
        const dict *from = a->items[0].dict;
        for (size_t i = 0; i < from->count; i++)
            if (!dict_set(r, d, &from->entries[i].key, &from->entries[i].value))
                return false;
    } else if (a->count) {
        const value *items, *pair;
        size_t count;
        if (!value_items(r, &a->items[0], &items, &count))
            return false;
        for (size_t i = 0; i < count; i++)
            if (!pair_of(r, &items[i], &pair) || !dict_set(r, d, &pair[0], &pair[1]))
                return false;
    }
    for (size_t i = 0; i < a->keyword_count; i++)
        if (!dict_set_name(r, d, a->keywords[i].name, &a->keywords[i].value))
            return false;
    return true;
}

static bool global_dict(render *r, const value *self, const arguments *a, value *out) {
    (void)self;
    out->type = VALUE_DICT;
    return make_dict(r, "dict", a, &out->dict);
}

static bool global_namespace(render *r, const value *self, const arguments *a, value *out) {
    (void)self;
    out->type = VALUE_NAMESPACE;
    return make_dict(r, "namespace", a, &out->dict);
}

/* All numbers are made at once, which the limit keeps small. Unsigned arithmetic: bounds may be
 * as far apart as 64 bits allow. */
static bool global_range(render *r, const value *self, const arguments *a, value *out) {
    int64_t bounds[3] = {0, 0, 1};
    (void)self;
    if (a->keyword_count || a->count < 1 || a->count > 3)
        return render_fail(r, "range expected 1 to 3 arguments, got %zu", a->count);
    for (size_t i = 0; i < a->count; i++)
        if (!argument_integer(r, "range()", &a->items[i], 0, &bounds[a->count == 1 ? 1 : i]))
            return false;
    int64_t start = bounds[0], stop = bounds[1], step = bounds[2];
    if (!step)
        return render_fail(r, "range() arg 3 must not be zero");
    uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool empty = step > 0 ? stop <= start : stop >= start;
    uint64_t count = empty ? 0 : (span - 1) / stride + 1;
    if (count > TEMPLATE_MAX_RANGE)
        return render_fail(r, "range too big: more than %d numbers", TEMPLATE_MAX_RANGE);
    value *items = render_array(r, count, sizeof *items);
    if (!items)
        return false;
    for (uint64_t i = 0; i < count; i++)
        items[i] = value_from_integer((int64_t)((uint64_t)start + i * (uint64_t)step));
    if (!value_list(r, VALUE_RANGE, items, count, out))
        return false;
    out->sequence->start = start;
    out->sequence->stop = stop;
    out->sequence->step = step;
    return true;
}

/* What a template says about messages that it cannot render. */
static bool global_raise(render *r, const value *self, const arguments *a, value *out) {
    value message;
    const text *t;
    (void)self;
    (void)out;
    if (!arguments_bind(r, "raise_exception()", a, "message", 1, &message) ||
        !value_to_text(r, &message, &t))
        return false;
    return render_raise(r, t);
}

static const builtin globals[] = {
    {"namespace", global_namespace},
    {"range", global_range},
    {"dict", global_dict},
    {"raise_exception", global_raise},
    {"strftime_now", global_strftime_now},
    {"cycler", NULL}, /* not built */
    {"joiner", NULL},
    {"lipsum", NULL},
    {"self", NULL},
};

/* Without a moment there is no strftime_now: templates ask whether it is defined. */
static const builtin *find_global(const render *r, const char *name) {
    const builtin *b = builtin_find(globals, sizeof globals / sizeof *globals, name);
    return b && b->call == global_strftime_now && !r->now ? NULL : b;
}

bool global_exists(const render *r, const char *name) {
    return find_global(r, name) != NULL;
}

bool global_find(render *r, const char *name, value *out) {
    const builtin *b = find_global(r, name);
    *out = (value){.type = VALUE_ABSENT};
    if (b && !b->call)
        return render_refuse(r, "the global '%s' is not supported", name);
    return !b || function_value(r, b, NULL, out);
}

/* ---- The loop variable -------------------------------------------------------------------- */

static bool loop_cycle(render *r, const value *self, const arguments *a, value *out) {
    if (!a->count || a->keyword_count)
        return render_fail(r, "no items for cycling given");
    *out = a->items[(size_t)self->loop->index % a->count];
    return true;
}

/* True unless the last call of this loop had equal arguments. */
static bool loop_changed(render *r, const value *self, const arguments *a, value *out) {
    value now;
    bool equal = false;
    if (!value_list(r, VALUE_TUPLE, a->items, a->count, &now) ||
        !value_equal(r, &self->loop->changed, &now, &equal))
        return false;
    self->loop->changed = now;
    *out = value_bool(!equal);
    return true;
}

bool loop_attribute(render *r, loop *l, const char *name, value *out) {
    static const builtin functions[] = {{"cycle", loop_cycle}, {"changed", loop_changed}};
    const builtin *b = builtin_find(functions, 2, name);
    value self = {.type = VALUE_LOOP, .loop = l};
    size_t current = (size_t)l->index;
    if (b)
        return function_value(r, b, &self, out);
    /* Only these look at items that the loop has not come to: its condition is then asked for
     * them at once. */
    bool counts = strcmp(name, "length") == 0 || strncmp(name, "revindex", 8) == 0;
    bool looks_ahead = strcmp(name, "last") == 0 || strcmp(name, "nextitem") == 0;
    if ((counts && !loop_fetch(r, l, SIZE_MAX)) || (looks_ahead && !loop_fetch(r, l, current + 2)))
        return false;
    int64_t count = (int64_t)l->ready_count;
    if (strcmp(name, "index") == 0)
        *out = value_from_integer(l->index + 1);
    else if (strcmp(name, "index0") == 0)
        *out = value_from_integer(l->index);
    else if (strcmp(name, "first") == 0)
        *out = value_bool(l->index == 0);
    else if (strcmp(name, "last") == 0)
        *out = value_bool(l->index + 1 == count);
    else if (strcmp(name, "length") == 0)
        *out = value_from_integer(count);
    else if (strcmp(name, "revindex") == 0)
        *out = value_from_integer(count - l->index);
    else if (strcmp(name, "revindex0") == 0)
        *out = value_from_integer(count - l->index - 1);
    else if (strcmp(name, "depth") == 0 || strcmp(name, "depth0") == 0)
        *out = value_from_integer(name[5] == 0); /* only recursive loops go deeper */
    else if (strcmp(name, "previtem") == 0 && current > 0)
        *out = l->ready[current - 1];
    else if (strcmp(name, "nextitem") == 0 && current + 1 < l->ready_count)
        *out = l->ready[current + 1];
    else if (strcmp(name, "previtem") == 0 || strcmp(name, "nextitem") == 0)
        return value_undefined(r, out, "there is no %s item", name[0] == 'p' ? "previous" : "next");
    return true;
}
