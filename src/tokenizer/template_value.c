/* template_value.c - how values are made and compared, as in Python. What is inside them is
 * template_access.c's, how they print template_print.c's, what operators make of them
 * template_operators.c's.
 *
 * Values are small and copied freely; what they point to is never changed once a template can
 * see it (but for namespaces, generators and loops), so two values may share a text or a list
 * without anyone noticing. Nothing is ever freed: all of it lives in the rendering's arena,
 * which has a limit. */
#include "tokenizer/template.h"

#include <stdio.h>

/* ---- Making ------------------------------------------------------------------------------- */

value value_none(void) {
    return (value){.type = VALUE_NONE};
}

value value_bool(bool b) {
    return (value){.type = VALUE_BOOL, .boolean = b};
}

value value_from_integer(int64_t i) {
    return (value){.type = VALUE_INTEGER, .integer = i};
}

value value_from_real(double d) {
    return (value){.type = VALUE_REAL, .real = d};
}

value value_from_text(const text *t) {
    return (value){.type = VALUE_TEXT, .text = t};
}

static const value no_items[1]; /* so that there always is an address to count from */

bool value_list(render *r, value_type type, const value *items, size_t count, value *out) {
    sequence *s = render_alloc(r, sizeof *s);
    if (!s)
        return false;
    *s = (sequence){.items = items ? items : no_items, .count = count};
    *out = (value){.type = type, .sequence = s};
    return true;
}

bool value_undefined(render *r, value *out, const char *reason, ...) {
    /* A reason may quote a name from the template; longer ones are cut, which only a message
     * shows. */
    char line[256];
    va_list list;
    va_start(list, reason);
    vsnprintf(line, sizeof line, reason, list);
    va_end(list);
    const char *copy = render_printf(r, "%s", line);
    *out = (value){.type = VALUE_UNDEFINED, .reason = copy};
    return copy != NULL;
}

/* A content may be a list of parts, {"type": "text", "text": ...}: of these, only the texts are
 * what was said, and only their bytes belong to the message. */
static bool dict_from_json(render *r, const json_value *json, int message, value *out) {
    dict *d = dict_new(r, json->count);
    for (uint32_t i = 0; d && i < json->count; i++) {
        const json_member *m = &json->members[i];
        const text *t = text_view(r, m->key, m->key_length);
        value v;
        int inner = t && text_is(t, "text") ? message : -1;
        if (!t || !value_from_json(r, &m->value, inner, &v))
            return false;
        value key = value_from_text(t);
        if (!dict_set(r, d, &key, &v))
            return false;
    }
    *out = (value){.type = VALUE_DICT, .dict = d};
    return d != NULL;
}

/* Texts are views of the caller's JSON, which outlives the rendering. A text of a message
 * remembers whose it is (text_run): that is how the aligner knows which bytes of the prompt are
 * contents. */
bool value_from_json(render *r, const json_value *json, int message, value *out) {
    switch (json->type) {
    case JSON_NULL: *out = value_none(); return true;
    case JSON_BOOL: *out = value_bool(json->boolean); return true;
    case JSON_INTEGER: *out = value_from_integer(json->integer); return true;
    case JSON_REAL: *out = value_from_real(json->real); return true;
    case JSON_OBJECT: return dict_from_json(r, json, message, out);
    case JSON_STRING: {
        text *t = text_view(r, json->string, json->count);
        if (t && message >= 0 && t->length) {
            text_run *run = render_alloc(r, sizeof *run);
            if (!run)
                return false;
            *run = (text_run){.start = 0, .end = t->length, .message = message};
            t->runs = run;
            t->run_count = 1;
        }
        *out = value_from_text(t);
        return t != NULL;
    }
    case JSON_ARRAY: break;
    }
    value *items = render_array(r, json->count, sizeof *items);
    for (uint32_t i = 0; items && i < json->count; i++)
        if (!value_from_json(r, &json->items[i], message, &items[i]))
            return false;
    return items && value_list(r, VALUE_LIST, items, json->count, out);
}

/* split() and the like of markup give lists of markup; nothing nests deeper than one list. */
bool value_marked(render *r, bool markup, value *v) {
    if (v->type == VALUE_TEXT) {
        const text *t = text_marked(r, v->text, markup);
        *v = value_from_text(t);
        return t != NULL;
    }
    if (v->type != VALUE_LIST && v->type != VALUE_TUPLE)
        return true;
    size_t count = v->sequence->count;
    value *items = render_array(r, count, sizeof *items);
    for (size_t i = 0; items && i < count; i++) {
        items[i] = v->sequence->items[i];
        if (items[i].type == VALUE_TEXT && !value_marked(r, markup, &items[i]))
            return false;
    }
    return items && value_list(r, v->type, items, count, v);
}

/* ---- Simple facts ------------------------------------------------------------------------- */

const char *value_type_name(const value *v) {
    switch (v->type) {
    case VALUE_UNDEFINED: return "Undefined";
    case VALUE_ABSENT: return "absent";
    case VALUE_NONE: return "NoneType";
    case VALUE_BOOL: return "bool";
    case VALUE_INTEGER: return "int";
    case VALUE_REAL: return "float";
    case VALUE_TEXT: return "str";
    case VALUE_LIST: return "list";
    case VALUE_TUPLE: return "tuple";
    case VALUE_RANGE: return "range";
    case VALUE_VIEW: return v->sequence->name;
    case VALUE_GENERATOR: return "generator";
    case VALUE_DICT: return "dict";
    case VALUE_NAMESPACE: return "Namespace";
    case VALUE_FUNCTION: return "function";
    case VALUE_MACRO: return "Macro";
    case VALUE_LOOP: return "LoopContext";
    }
    return "object";
}

bool value_is_number(const value *v) {
    return v->type == VALUE_INTEGER || v->type == VALUE_REAL || v->type == VALUE_BOOL;
}

/* In Python a bool is an integer, everywhere: True + 1, [1][False], range(True). */
bool value_integer(const value *v, int64_t *i) {
    *i = v->type == VALUE_INTEGER ? v->integer : v->type == VALUE_BOOL ? v->boolean : 0;
    return v->type == VALUE_INTEGER || v->type == VALUE_BOOL;
}

double value_real(const value *v) {
    return v->type == VALUE_REAL      ? v->real
           : v->type == VALUE_INTEGER ? (double)v->integer
                                      : (double)v->boolean;
}

/* Never fails and never walks: a generator is true whether or not it has items, as in Python. */
bool value_truth(const value *v) {
    switch (v->type) {
    case VALUE_UNDEFINED:
    case VALUE_ABSENT:
    case VALUE_NONE: return false;
    case VALUE_BOOL: return v->boolean;
    case VALUE_INTEGER: return v->integer != 0;
    case VALUE_REAL: return v->real != 0;
    case VALUE_TEXT: return v->text->length > 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_VIEW: return v->sequence->count > 0;
    case VALUE_DICT: return v->dict->count > 0;
    default: return true;
    }
}

/* ---- Comparing ---------------------------------------------------------------------------- */

/* Lists may hold lists, built in a loop to any depth: every level is counted. */
static bool sequences_equal(render *r, const value *a, const value *b, bool *equal) {
    *equal = a->sequence->count == b->sequence->count;
    bool good = render_enter(r);
    for (size_t i = 0; good && *equal && i < a->sequence->count; i++)
        good = value_equal(r, &a->sequence->items[i], &b->sequence->items[i], equal);
    render_leave(r);
    return good;
}

static bool dicts_equal(render *r, const dict *a, const dict *b, bool *equal) {
    *equal = a->count == b->count;
    bool good = render_enter(r);
    for (size_t i = 0; good && *equal && i < a->count; i++) {
        const value *other;
        good = dict_find(r, b, &a->entries[i].key, &other);
        *equal = other != NULL;
        if (good && *equal)
            good = value_equal(r, &a->entries[i].value, other, equal);
    }
    render_leave(r);
    return good;
}

/* 2 stands for "neither", which only NaN can be. */
static int order_of(double a, double b) {
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

/* Exact, also where an integer has more digits than a double. */
static int integer_real_order(int64_t i, double d) {
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0))
        return order_of(0, d);
    int64_t whole = (int64_t)d;
    return i != whole ? (i > whole) - (i < whole) : order_of(0, d - (double)whole);
}

/* -1, 0, 1, or 2 where one of them is not a number. */
static int number_order(const value *a, const value *b) {
    int64_t i, j;
    bool first = value_integer(a, &i), second = value_integer(b, &j);
    if (first && second)
        return (i > j) - (i < j);
    if (!first && !second)
        return order_of(a->real, b->real);
    int order = first ? integer_real_order(i, b->real) : integer_real_order(j, a->real);
    return first || order == 2 ? order : -order;
}

bool value_equal(render *r, const value *a, const value *b, bool *equal) {
    if (!render_spend(r, 1))
        return false;
    if (value_is_number(a) && value_is_number(b)) {
        *equal = number_order(a, b) == 0;
        return true;
    }
    *equal = false;
    /* A list equals no tuple, a text no number; 1 == True was answered above. */
    if (a->type != b->type)
        return true;
    switch (a->type) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: *equal = true; return true;
    case VALUE_TEXT:
        *equal = text_equal(a->text, b->text);
        return a->text->length != b->text->length || render_spend_bytes(r, a->text->length);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE: return sequences_equal(r, a, b, equal);
    case VALUE_DICT: return dicts_equal(r, a->dict, b->dict, equal);
    /* Functions, macros, loops, namespaces and generators are equal to themselves only; all of
     * these pointers share one place in the union. */
    default: *equal = a->dict == b->dict; return true; /* the same object */
    }
}

/* UTF-8 sorts by bytes as Python sorts by characters. */
static int text_order(const text *a, const text *b) {
    size_t length = a->length < b->length ? a->length : b->length;
    int order = length ? memcmp(a->bytes, b->bytes, length) : 0;
    return order < 0 ? -1 : order > 0 ? 1 : (a->length > b->length) - (a->length < b->length);
}

/* Lists order by their first unequal items. */
static bool sequence_order(render *r, const value *a, const value *b, const char *sign,
                           int *order) {
    const sequence *x = a->sequence, *y = b->sequence;
    bool good = render_enter(r), equal = true;
    size_t i = 0;
    for (; good && i < x->count && i < y->count; i++) {
        good = value_equal(r, &x->items[i], &y->items[i], &equal);
        if (!equal)
            break;
    }
    *order = (x->count > y->count) - (x->count < y->count);
    if (good && !equal)
        good = value_order(r, &x->items[i], &y->items[i], sign, order);
    render_leave(r);
    return good;
}

/* Python has no order between types, nor of dicts or none: a template that sorts those fails
 * with Python's message, and is not sorted in an order of our own. */
bool value_order(render *r, const value *a, const value *b, const char *sign, int *order) {
    if (!render_spend(r, 1))
        return false;
    if (value_is_number(a) && value_is_number(b)) {
        *order = number_order(a, b);
        return true;
    }
    if (a->type == VALUE_TEXT && b->type == VALUE_TEXT) {
        *order = text_order(a->text, b->text);
        return render_spend_bytes(r, a->text->length);
    }
    if (a->type == b->type && (a->type == VALUE_LIST || a->type == VALUE_TUPLE))
        return sequence_order(r, a, b, sign, order);
    if (a->type == VALUE_UNDEFINED || b->type == VALUE_UNDEFINED)
        return render_undefined(r, a->type == VALUE_UNDEFINED ? a : b);
    return render_fail(r, "'%s' not supported between instances of '%s' and '%s'", sign,
                       value_type_name(a), value_type_name(b));
}
