/* template_access.c - what is inside a value: its length, its items, whether it contains
 * another, object.name and object[key], with Python's rules and jinja2's fallbacks.
 *
 * jinja2 lets a dot reach items and brackets reach attributes: object.x is getattr first, then
 * object["x"]; object["x"] is the item first, then the attribute. For a dict this decides what
 * {{ d.items }} means (the method, even where there is a key "items") and what {{ d["items"] }}
 * means (the key). What is not there is undefined, with a reason; only using *that* fails. */
#include "tokenizer/template.h"

static const value no_items[1]; /* so that there always is an address to count from */

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
    /* `loop|length` needs all items, so conditions of the loop that were not asked yet are asked
     * now. */
    case VALUE_LOOP:
        if (!loop_fetch(r, v->loop, SIZE_MAX))
            return false;
        *length = v->loop->ready_count;
        return true;
    default: return render_fail(r, "object of type '%s' has no len()", value_type_name(v));
    }
}

/* Characters as texts of their own, each a view. */
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
    /* A generator can be walked once: it is empty afterwards, and {{ x|list }}{{ x|list }} shows
     * the items once. */
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
    /* Enum order: all types before VALUE_TEXT are scalars. */
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
        /* A list as key is an error in Python, but jinja2 catches it: there is no such item. */
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
        /* Where every character is a byte, the place needed no walk. */
        return one && (t->characters == t->length || render_spend_walk(r, t->length));
    }
    bool is_list =
        object->type == VALUE_LIST || object->type == VALUE_TUPLE || object->type == VALUE_RANGE;
    if (is_list && index_resolve(index, object->sequence->count, &place))
        *out = object->sequence->items[place];
    return true;
}

/* The attribute first, then the item. Of undefined nothing can be asked: this is where misspelt
 * variables of a template come to light. */
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

/* The item first, then the attribute. A name with a NUL in it names no attribute, and would end
 * early as a C text. */
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
