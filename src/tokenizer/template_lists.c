/* template_lists.c - filters on lists, dicts and whatever else can be walked; template_order.c
 * has those that compare items with each other.
 *
 * What jinja2 makes lazily (map, select, batch, reverse, ...) is a generator here too, since
 * templates can tell: it can be walked once, has no length and prints as no list. But its items
 * are computed at once, which only an item that fails could show: jinja2 would fail when that
 * item is reached. */
#include "tokenizer/template.h"

#define FILTER(name)                                                                               \
    static bool filter_##name(render *r, const value *self, const arguments *a, value *out)

/* ---- Attributes of items ------------------------------------------------------------------ */

/* One step of "a.b.0": digits are an index, all else a name; value_item falls back to attributes.
 */
static bool get_part(render *r, const char *part, size_t length, value *v) {
    int64_t number = 0;
    size_t i = 0;
    for (; i < length && part[i] >= '0' && part[i] <= '9' && number < 1000000000; i++)
        number = number * 10 + (part[i] - '0');
    value object = *v, key = value_from_integer(number);
    if (i < length || !length) {
        const text *t = text_copy(r, part, length);
        if (!t)
            return false;
        key = value_from_text(t);
    }
    return value_item(r, &object, &key, v);
}

bool getter_get(render *r, const getter *g, const value *item, value *out) {
    value v = *item;
    if (g->attribute.type == VALUE_INTEGER) {
        if (!value_item(r, item, &g->attribute, &v))
            return false;
    } else if (g->attribute.type == VALUE_TEXT) {
        const text *path = g->attribute.text;
        for (size_t at = 0; at <= path->length;) {
            const char *dot = memchr(path->bytes + at, '.', path->length - at);
            size_t end = dot ? (size_t)(dot - path->bytes) : path->length;
            if (!get_part(r, path->bytes + at, end - at, &v))
                return false;
            /* As in jinja2 the default takes the place of every part that is missing, and the
             * path goes on from it. */
            if (v.type == VALUE_UNDEFINED && g->fallback)
                v = *g->fallback;
            at = end + 1;
        }
    }
    /* jinja2 compares texts without case unless asked not to; other values as they are. */
    if (g->ignore_case && v.type == VALUE_TEXT) {
        const text *lower = text_cased(r, v.text, CASE_LOWER);
        if (!lower)
            return false;
        v = value_from_text(lower);
    }
    *out = v;
    return true;
}

bool getter_init(render *r, getter *g, const value *attribute, bool ignore_case) {
    *g = (getter){.attribute = *attribute, .ignore_case = ignore_case};
    if (attribute->type == VALUE_ABSENT || attribute->type == VALUE_NONE ||
        attribute->type == VALUE_TEXT || attribute->type == VALUE_INTEGER)
        return true;
    return render_fail(r, "an attribute is named by a string or a number, not by %s",
                       value_type_name(attribute));
}

/* ---- Walking ------------------------------------------------------------------------------ */

static bool no_arguments(render *r, const char *who, const arguments *a) {
    return (!a->count && !a->keyword_count) || render_fail(r, "%s takes no arguments", who);
}

FILTER(list) {
    const value *items;
    size_t count;
    return no_arguments(r, "list", a) && value_items(r, self, &items, &count) &&
           value_list(r, VALUE_LIST, items, count, out);
}

FILTER(first) {
    const value *items;
    size_t count;
    if (!no_arguments(r, "first", a))
        return false;
    /* Only one item of a generator is taken. */
    if (self->type == VALUE_GENERATOR && self->sequence->position < self->sequence->count) {
        *out = self->sequence->items[self->sequence->position++];
        return true;
    }
    if (!value_items(r, self, &items, &count))
        return false;
    if (!count)
        return value_undefined(r, out, "No first item, sequence was empty.");
    *out = items[0];
    return true;
}

/* reversed() is asked for, which a generator does not have. */
FILTER(last) {
    const value *items;
    size_t count;
    if (!no_arguments(r, "last", a))
        return false;
    if (self->type == VALUE_GENERATOR)
        return render_fail(r, "'generator' object is not reversible");
    if (!value_items(r, self, &items, &count))
        return false;
    if (!count)
        return value_undefined(r, out, "No last item, sequence was empty.");
    *out = items[count - 1];
    return true;
}

/* A text gives a text, all else a generator. */
FILTER(reverse) {
    const value *items;
    size_t count;
    if (!no_arguments(r, "reverse", a))
        return false;
    if (self->type == VALUE_TEXT) {
        value bounds[3] = {value_none(), value_none(), value_from_integer(-1)};
        return value_slice(r, self, bounds, out);
    }
    if (!value_items(r, self, &items, &count))
        return false;
    value *reversed = render_array(r, count, sizeof *reversed);
    for (size_t i = 0; reversed && i < count; i++)
        reversed[i] = items[count - 1 - i];
    return reversed && value_list(r, VALUE_GENERATOR, reversed, count, out);
}

/* Every item prints as str() of it, unlike the method, which wants texts. Markup is not
 * propagated: chats are not HTML. */
FILTER(join) {
    value v[2];
    const value *items;
    const text *separator, *part;
    size_t count;
    getter g;
    text_builder b = {.render = r};
    if (!arguments_bind(r, "join", a, "d attribute", 0, v) || !getter_init(r, &g, &v[1], false) ||
        !value_items(r, self, &items, &count))
        return false;
    if (v[0].type == VALUE_ABSENT)
        separator = text_view(r, "", 0);
    else if (!value_to_text(r, &v[0], &separator))
        return false;
    for (size_t i = 0; separator && i < count; i++) {
        value item;
        if (!getter_get(r, &g, &items[i], &item) || !value_to_text(r, &item, &part) ||
            (i && !builder_text(&b, separator)) || !builder_text(&b, part))
            return false;
    }
    const text *t = separator ? builder_finish(&b) : NULL;
    *out = value_from_text(t);
    return t != NULL;
}

/* For templates that may meet an undefined mapping: that one has no items. */
FILTER(items) {
    if (self->type == VALUE_UNDEFINED)
        return value_list(r, VALUE_GENERATOR, NULL, 0, out);
    if (self->type != VALUE_DICT)
        return render_fail(r, "Can only get item pairs from a mapping.");
    if (!dict_items(r, self, a, out))
        return false;
    out->type = VALUE_GENERATOR;
    return true;
}

/* Lists of `linecount` items. */
FILTER(batch) {
    value v[2];
    const value *items;
    size_t count;
    int64_t size;
    if (!arguments_bind(r, "batch", a, "linecount fill_with", 1, v) ||
        !argument_integer(r, "batch", &v[0], 0, &size) || !value_items(r, self, &items, &count))
        return false;
    if (size < 1)
        return render_fail(r, "batch: the line count must be positive");
    /* none fills nothing, so no list can be filled with none. */
    bool fill = v[1].type != VALUE_ABSENT && v[1].type != VALUE_NONE;
    size_t rows = count ? (count - 1) / (size_t)size + 1 : 0;
    value *lists = render_array(r, rows, sizeof *lists);
    for (size_t i = 0; lists && i < rows; i++) {
        size_t from = i * (size_t)size, left = count - from;
        size_t n = left < (size_t)size && !fill ? left : (size_t)size;
        value *row = render_array(r, n, sizeof *row);
        for (size_t j = 0; row && j < n; j++)
            row[j] = j < left ? items[from + j] : v[1];
        if (!row || !value_list(r, VALUE_LIST, row, n, &lists[i]))
            return false;
    }
    return lists && value_list(r, VALUE_GENERATOR, lists, rows, out);
}

/* `slices` lists, the first ones one longer where it does not come out even. */
FILTER(slice) {
    value v[2];
    const value *items;
    size_t count, at = 0;
    int64_t slices;
    if (!arguments_bind(r, "slice", a, "slices fill_with", 1, v) ||
        !argument_integer(r, "slice", &v[0], 0, &slices) || !value_items(r, self, &items, &count))
        return false;
    if (slices < 1)
        return render_fail(r, "slice: the number of slices must be positive");
    value *lists = render_array(r, (size_t)slices, sizeof *lists);
    if (!lists || !render_spend(r, (size_t)slices))
        return false;
    bool fill = v[1].type != VALUE_ABSENT && v[1].type != VALUE_NONE;
    size_t even = count / (size_t)slices, longer = count % (size_t)slices;
    for (size_t i = 0; i < (size_t)slices; i++) {
        /* Only the shorter lists are filled up. */
        size_t n = even + (i < longer), extra = fill && i >= longer;
        value *row = render_array(r, n + extra, sizeof *row);
        for (size_t j = 0; row && j < n + extra; j++)
            row[j] = j < n ? items[at + j] : v[1];
        if (!row || !value_list(r, VALUE_LIST, row, n + extra, &lists[i]))
            return false;
        at += n;
    }
    return value_list(r, VALUE_GENERATOR, lists, (size_t)slices, out);
}

/* ---- Picking and mapping ------------------------------------------------------------------ */

/* The arguments behind the first `skip`, for the filter or test that they name. */
static arguments rest_of(const arguments *a, size_t skip) {
    arguments rest = *a;
    rest.items += skip;
    rest.count -= skip;
    return rest;
}

static bool name_argument(render *r, const char *who, const value *v, const char **name) {
    if (v->type != VALUE_TEXT)
        return render_fail(r, "%s: a name is a string, not %s", who, value_type_name(v));
    const text *t = text_copy(r, v->text->bytes, v->text->length);
    *name = t ? t->bytes : NULL;
    return t != NULL;
}

/* map(attribute=..., default=...) or map("filter", ...); like the ones below it takes whatever is
 * false for an empty list. */
FILTER(map) {
    const value *items;
    size_t count;
    value v[2];
    const char *name = NULL;
    getter g = {0};
    if (!value_truth(self))
        return value_list(r, VALUE_GENERATOR, NULL, 0, out);
    if (!a->count) {
        if (!arguments_bind(r, "map",
                            &(arguments){.keywords = a->keywords,
                                         .keyword_count = a->keyword_count},
                            "attribute default", 1, v) ||
            !getter_init(r, &g, &v[0], false))
            return false;
        if (v[1].type != VALUE_ABSENT && v[1].type != VALUE_NONE)
            g.fallback = &v[1];
    } else if (!name_argument(r, "map", &a->items[0], &name)) {
        return false;
    }
    if (!value_items(r, self, &items, &count))
        return false;
    value *mapped = render_array(r, count, sizeof *mapped);
    for (size_t i = 0; mapped && i < count; i++) {
        /* A filter of map gets what stands behind its name, for each item anew. */
        arguments rest = name ? rest_of(a, 1) : *a;
        if (!(name ? filter_call(r, name, &items[i], &rest, &mapped[i])
                   : getter_get(r, &g, &items[i], &mapped[i])))
            return false;
    }
    return mapped && value_list(r, VALUE_GENERATOR, mapped, count, out);
}

/* Keeps the items (or those with an attribute) whose test says `wanted`. */
static bool pick(render *r, const value *self, const arguments *a, bool by_attribute, bool wanted,
                 value *out) {
    const value *items;
    size_t count, kept = 0, skip = by_attribute;
    const char *test = NULL;
    getter g = {.attribute = {.type = VALUE_ABSENT}};
    if (!value_truth(self))
        return value_list(r, VALUE_GENERATOR, NULL, 0, out);
    if (by_attribute && !a->count)
        return render_fail(r, "Missing parameter for attribute name");
    if (by_attribute && !getter_init(r, &g, &a->items[0], false))
        return false;
    if (a->count > skip && !name_argument(r, "select", &a->items[skip++], &test))
        return false;
    if (!value_items(r, self, &items, &count))
        return false;
    value *picked = render_array(r, count, sizeof *picked);
    arguments rest = rest_of(a, skip);
    for (size_t i = 0; picked && i < count; i++) {
        value v;
        if (!getter_get(r, &g, &items[i], &v))
            return false;
        bool yes = value_truth(&v);
        if (test && !test_call(r, test, &v, &rest, &yes))
            return false;
        if (yes == wanted)
            picked[kept++] = items[i];
    }
    return picked && value_list(r, VALUE_GENERATOR, picked, kept, out);
}

FILTER(select) {
    return pick(r, self, a, false, true, out);
}

FILTER(reject) {
    return pick(r, self, a, false, false, out);
}

FILTER(selectattr) {
    return pick(r, self, a, true, true, out);
}

FILTER(rejectattr) {
    return pick(r, self, a, true, false, out);
}

const builtin *list_filter_find(const char *name) {
    static const builtin filters[] = {
        {"list", filter_list},
        {"first", filter_first},
        {"last", filter_last},
        {"reverse", filter_reverse},
        {"join", filter_join},
        {"items", filter_items},
        {"batch", filter_batch},
        {"slice", filter_slice},
        {"map", filter_map},
        {"select", filter_select},
        {"reject", filter_reject},
        {"selectattr", filter_selectattr},
        {"rejectattr", filter_rejectattr},
    };
    return builtin_find(filters, sizeof filters / sizeof *filters, name);
}
