/* template_objects.c - which methods a value has: those of dict and list are here, those of str
 * in template_methods.c.
 *
 * There are three kinds of no. Methods that change their object are undefined with jinja2's own
 * reason, as in its immutable sandbox. Python's others that are not built are refused by name,
 * so that nobody takes them for missing. What Python does not have either is not there, and the
 * item of that name is looked for. */
#include "tokenizer/template.h"

/* ---- Dicts -------------------------------------------------------------------------------- */

typedef enum dict_part { PART_KEYS, PART_VALUES, PART_ITEMS } dict_part;

/* A view is computed when it is asked for. In Python it would follow changes of the dict; here
 * none can change. */
static bool dict_view(render *r, const value *self, const arguments *a, dict_part part,
                      value *out) {
    static const char *const names[] = {"dict_keys", "dict_values", "dict_items"};
    const dict *d = self->dict;
    if (a->count || a->keyword_count)
        return render_fail(r, "dict.%s() takes no arguments", names[part] + 5);
    value *items = render_array(r, d->count, sizeof *items);
    for (size_t i = 0; items && i < d->count; i++) {
        const dict_entry *e = &d->entries[i];
        items[i] = part == PART_KEYS ? e->key : e->value;
        if (part != PART_ITEMS)
            continue;
        value *pair = render_array(r, 2, sizeof *pair);
        if (!pair)
            return false;
        pair[0] = e->key;
        pair[1] = e->value;
        if (!value_list(r, VALUE_TUPLE, pair, 2, &items[i]))
            return false;
    }
    if (!items || !value_list(r, VALUE_VIEW, items, d->count, out))
        return false;
    out->sequence->name = names[part];
    return render_spend(r, d->count);
}

static bool dict_keys(render *r, const value *self, const arguments *a, value *out) {
    return dict_view(r, self, a, PART_KEYS, out);
}

static bool dict_values(render *r, const value *self, const arguments *a, value *out) {
    return dict_view(r, self, a, PART_VALUES, out);
}

bool dict_items(render *r, const value *self, const arguments *a, value *out) {
    return dict_view(r, self, a, PART_ITEMS, out);
}

static bool dict_get(render *r, const value *self, const arguments *a, value *out) {
    const value *found;
    value v[2];
    if (!arguments_bind(r, "get()", a, "key default", 1, v) ||
        !dict_find(r, self->dict, &v[0], &found))
        return false;
    *out = found ? *found : v[1].type == VALUE_ABSENT ? value_none() : v[1];
    return true;
}

static bool copy(render *r, const value *self, const arguments *a, value *out) {
    (void)r;
    (void)a;
    *out = *self; /* nothing can change either of the two */
    return true;
}

/* ---- Lists -------------------------------------------------------------------------------- */

static bool list_count(render *r, const value *self, const arguments *a, value *out) {
    int64_t count = 0;
    value wanted;
    if (!arguments_bind(r, "count()", a, "value", 1, &wanted))
        return false;
    for (size_t i = 0; i < self->sequence->count; i++) {
        bool equal;
        if (!value_equal(r, &self->sequence->items[i], &wanted, &equal))
            return false;
        count += equal;
    }
    *out = value_from_integer(count);
    return true;
}

static bool list_index(render *r, const value *self, const arguments *a, value *out) {
    value v[3];
    int64_t n = (int64_t)self->sequence->count, from, to;
    if (!arguments_bind(r, "index()", a, "value start stop", 1, v) ||
        !argument_integer(r, "index()", &v[1], 0, &from) ||
        !argument_integer(r, "index()", &v[2], n, &to))
        return false;
    /* Bounds move into the list as those of a slice, except that a negative stop is not raised
     * to 0: nothing is found then. */
    from = from < 0 ? max_i64(from + n, 0) : from;
    to = to < 0 ? to + n : min_i64(to, n);
    for (int64_t i = from; i < to; i++) {
        bool equal;
        if (!value_equal(r, &self->sequence->items[i], &v[0], &equal))
            return false;
        if (equal) {
            *out = value_from_integer(i);
            return true;
        }
    }
    return render_fail(r, "%s is not in list", value_quote(r, &v[0]));
}

/* ---- Which method is which ---------------------------------------------------------------- */

static bool one_of(const char *const *names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* Python has them, a sandboxed template may not use them. */
static bool is_unsafe(value_type type, const char *name) {
    static const char *const list[] = {"append", "clear",   "extend", "insert", "pop",
                                       "remove", "reverse", "sort",   NULL};
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    return (type == VALUE_LIST && one_of(list, name)) || (type == VALUE_DICT && one_of(dict, name));
}

static bool is_not_built(value_type type, const char *name) {
    static const char *const text[] = {"casefold",     "encode",    "expandtabs",  "format_map",
                                       "isidentifier", "isnumeric", "isprintable", "istitle",
                                       "maketrans",    "translate", NULL};
    static const char *const dict[] = {"fromkeys", NULL};
    static const char *const number[] = {"real",       "imag",       "numerator", "denominator",
                                         "bit_length", "is_integer", "conjugate", NULL};
    static const char *const macro[] = {"name", "arguments", "caller", NULL};
    bool is_number = type == VALUE_INTEGER || type == VALUE_REAL || type == VALUE_BOOL;
    return (type == VALUE_TEXT && one_of(text, name)) ||
           (type == VALUE_DICT && one_of(dict, name)) || (is_number && one_of(number, name)) ||
           (type == VALUE_MACRO && one_of(macro, name));
}

bool object_method(render *r, const value *object, const char *name, value *out) {
    static const builtin of_dict[] = {{"keys", dict_keys},
                                      {"values", dict_values},
                                      {"items", dict_items},
                                      {"get", dict_get},
                                      {"copy", copy}};
    static const builtin of_list[] = {{"count", list_count}, {"index", list_index}, {"copy", copy}};
    const builtin *b = NULL;
    *out = (value){.type = VALUE_ABSENT};
    if (object->type == VALUE_TEXT)
        b = text_method_find(name);
    else if (object->type == VALUE_DICT)
        b = builtin_find(of_dict, sizeof of_dict / sizeof *of_dict, name);
    else if (object->type == VALUE_LIST)
        b = builtin_find(of_list, 3, name);
    else if (object->type == VALUE_TUPLE || object->type == VALUE_RANGE)
        b = builtin_find(of_list, 2, name);
    if (b)
        return function_value(r, b, object, out);
    if (is_not_built(object->type, name))
        return render_refuse(r, "the attribute '%s' of %s is not supported", name,
                             value_type_name(object));
    if (is_unsafe(object->type, name))
        return value_undefined(r, out, "access to attribute '%s' of '%s' object is unsafe.", name,
                               value_type_name(object));
    return true;
}
