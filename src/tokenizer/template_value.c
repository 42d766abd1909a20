/* template_value.c - what values are and how they compare, count and contain, as in Python. How
 * they print is template_print.c's, what operators make of them template_operators.c's. */
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
    char line[256];
    va_list list;
    va_start(list, reason);
    vsnprintf(line, sizeof line, reason, list);
    va_end(list);
    const char *copy = render_printf(r, "%s", line);
    *out = (value){.type = VALUE_UNDEFINED, .reason = copy};
    return copy != NULL;
}

/* Of a content in parts, only the texts are what was said. */
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

bool value_integer(const value *v, int64_t *i) {
    *i = v->type == VALUE_INTEGER ? v->integer : v->type == VALUE_BOOL ? v->boolean : 0;
    return v->type == VALUE_INTEGER || v->type == VALUE_BOOL;
}

double value_real(const value *v) {
    return v->type == VALUE_REAL      ? v->real
           : v->type == VALUE_INTEGER ? (double)v->integer
                                      : (double)v->boolean;
}

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
    default: *equal = a->dict == b->dict; return true; /* the same object */
    }
}

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

/* ---- Containers --------------------------------------------------------------------------- */

bool value_length(render *r, const value *v, size_t *length) {
    switch (v->type) {
    case VALUE_UNDEFINED: *length = 0; return true;
    case VALUE_TEXT: *length = v->text->characters; return true;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_VIEW: *length = v->sequence->count; return true;
    case VALUE_DICT: *length = v->dict->count; return true;
    case VALUE_LOOP:
        if (!loop_fetch(r, v->loop, SIZE_MAX))
            return false;
        *length = v->loop->ready_count;
        return true;
    default: return render_fail(r, "object of type '%s' has no len()", value_type_name(v));
    }
}

static bool text_items(render *r, const text *t, const value **items, size_t *count) {
    value *list = render_array(r, t->characters, sizeof *list);
    if (!list || !render_spend(r, t->characters))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < t->characters; i++) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        const text *one = text_slice(r, t, at, at + size);
        one = one ? text_marked(r, one, false) : NULL; /* its characters are plain */
        if (!one)
            return false;
        list[i] = value_from_text(one);
        at += size;
    }
    *items = list;
    *count = t->characters;
    return true;
}

bool value_items(render *r, const value *v, const value **items, size_t *count) {
    sequence *s = v->sequence;
    switch (v->type) {
    case VALUE_UNDEFINED:
        *items = no_items;
        *count = 0;
        return true;
    case VALUE_TEXT: return text_items(r, v->text, items, count);
    case VALUE_GENERATOR:
        *items = s->items + s->position;
        *count = s->count - s->position;
        s->position = s->count;
        return render_spend(r, *count);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_VIEW:
        *items = s->items;
        *count = s->count;
        return render_spend(r, *count);
    case VALUE_DICT: {
        value *keys = render_array(r, v->dict->count, sizeof *keys);
        if (!keys || !render_spend(r, v->dict->count))
            return false;
        for (size_t i = 0; i < v->dict->count; i++)
            keys[i] = v->dict->entries[i].key;
        *items = keys;
        *count = v->dict->count;
        return true;
    }
    default: return render_fail(r, "'%s' object is not iterable", value_type_name(v));
    }
}

bool value_contains(render *r, const value *container, const value *item, bool *found) {
    const value *items;
    size_t count;
    *found = false;
    if (container->type == VALUE_TEXT) {
        if (item->type != VALUE_TEXT)
            return render_fail(r, "'in <string>' requires string as left operand, not %s",
                               value_type_name(item));
        *found =
            text_find(container->text, item->text, 0, container->text->length, false) != SIZE_MAX;
        return render_spend_walk(r, container->text->length);
    }
    if (container->type == VALUE_DICT) {
        const value *entry;
        bool good = dict_find(r, container->dict, item, &entry);
        *found = good && entry;
        return good;
    }
    if (container->type < VALUE_TEXT && container->type != VALUE_UNDEFINED)
        return render_fail(r, "argument of type '%s' is not iterable", value_type_name(container));
    if (!value_items(r, container, &items, &count))
        return false;
    size_t i = 0;
    while (i < count && !*found)
        if (!value_equal(r, &items[i++], item, found))
            return false;
    if (container->type == VALUE_GENERATOR)
        container->sequence->position -= count - i; /* the rest was not looked at */
    return true;
}

/* ---- Attributes and items ----------------------------------------------------------------- */

/* "'dict object' has no attribute 'x'", "list object has no element 5" */
static bool nothing_there(render *r, const value *object, const value *key, value *out) {
    const char *type = object->type == VALUE_NONE ? "None" : value_type_name(object);
    const char *suffix = object->type == VALUE_NONE ? "" : " object";
    if (key->type == VALUE_TEXT)
        return value_undefined(r, out, "'%s%s' has no attribute %s", type, suffix,
                               value_quote(r, key));
    return value_undefined(r, out, "%s%s has no element %s", type, suffix, value_quote(r, key));
}

/* object.name as a method, field of a namespace or fact of a loop; VALUE_ABSENT when there is none.
 */
static bool own_attribute(render *r, const value *object, const char *name, value *out) {
    *out = (value){.type = VALUE_ABSENT};
    if (object->type == VALUE_NAMESPACE) {
        const value *found;
        if (!dict_find_name(r, object->dict, name, &found))
            return false;
        if (found)
            *out = *found;
        return true;
    }
    if (object->type == VALUE_LOOP)
        return loop_attribute(r, object->loop, name, out);
    if (object->type == VALUE_TUPLE && object->sequence->is_group) {
        if (strcmp(name, "grouper") == 0 || strcmp(name, "list") == 0)
            *out = object->sequence->items[name[0] == 'l'];
        if (out->type != VALUE_ABSENT)
            return true;
    }
    return object_method(r, object, name, out);
}

/* object[key] without fallbacks; VALUE_ABSENT when there is none, of whatever reason. */
static bool own_item(render *r, const value *object, const value *key, value *out) {
    int64_t index;
    size_t place;
    *out = (value){.type = VALUE_ABSENT};
    if (object->type == VALUE_DICT) {
        const value *found = NULL;
        if (value_hashable(key) && !dict_find(r, object->dict, key, &found))
            return false;
        if (found)
            *out = *found;
        return true;
    }
    if (!value_integer(key, &index))
        return true;
    if (object->type == VALUE_TEXT) {
        const text *t = object->text;
        if (!index_resolve(index, t->characters, &place))
            return true;
        size_t from = text_offset(t, place), to = from + 1;
        while (to < t->length && (t->bytes[to] & 0xc0) == 0x80)
            to++;
        const text *one = text_slice(r, t, from, to);
        *out = value_from_text(one);
        return one && (t->characters == t->length || render_spend_walk(r, t->length));
    }
    bool is_list =
        object->type == VALUE_LIST || object->type == VALUE_TUPLE || object->type == VALUE_RANGE;
    if (is_list && index_resolve(index, object->sequence->count, &place))
        *out = object->sequence->items[place];
    return true;
}

bool value_attribute(render *r, const value *object, const char *name, value *out) {
    if (object->type == VALUE_UNDEFINED)
        return render_undefined(r, object);
    text t;
    text_init(&t, name, strlen(name));
    value key = value_from_text(&t);
    if (!own_attribute(r, object, name, out))
        return false;
    if (out->type == VALUE_ABSENT && !own_item(r, object, &key, out))
        return false;
    return out->type != VALUE_ABSENT || nothing_there(r, object, &key, out);
}

bool value_item(render *r, const value *object, const value *key, value *out) {
    if (object->type == VALUE_UNDEFINED)
        return render_undefined(r, object);
    if (!own_item(r, object, key, out))
        return false;
    if (out->type == VALUE_ABSENT && key->type == VALUE_TEXT &&
        memchr(key->text->bytes, 0, key->text->length) == NULL) {
        const text *name = text_copy(r, key->text->bytes, key->text->length); /* with its NUL */
        if (!name || !own_attribute(r, object, name->bytes, out))
            return false;
    }
    return out->type != VALUE_ABSENT || nothing_there(r, object, key, out);
}
