/* template_order.c - filters that compare a list's items with each other: sorting, grouping,
 * extremes, sums.
 *
 * All of them take Python's order: what has none (texts and numbers, dicts, none) is an error
 * with Python's message. Texts compare without case unless `case_sensitive` says otherwise,
 * which is jinja2's choice and not Python's. Sorting is stable, also in reverse, so equal items
 * keep their order. */
#include "tokenizer/template.h"

#define FILTER(name)                                                                               \
    static bool filter_##name(render *r, const value *self, const arguments *a, value *out)

/* ---- Sorting ------------------------------------------------------------------------------ */

/* The values of all attributes ("a,b" names two) in a list, which compares by its first unequal
 * item: so items that cannot be ordered may still be equal. */
static bool sort_key(render *r, const value *attribute, bool ignore_case, const value *item,
                     value *key) {
    getter g;
    const text *all = attribute->type == VALUE_TEXT ? attribute->text : NULL;
    size_t count = 1, at = 0;
    for (size_t i = 0; all && i < all->length; i++)
        count += all->bytes[i] == ',';
    value *keys = render_array(r, count, sizeof *keys);
    for (size_t i = 0; keys && i < count; i++) {
        value one = *attribute;
        if (all) {
            const char *comma = memchr(all->bytes + at, ',', all->length - at);
            size_t end = comma ? (size_t)(comma - all->bytes) : all->length;
            const text *name = text_slice(r, all, at, end);
            if (!name)
                return false;
            one = value_from_text(name);
            at = end + 1;
        }
        if (!getter_init(r, &g, &one, ignore_case) || !getter_get(r, &g, item, &keys[i]))
            return false;
    }
    return keys && value_list(r, VALUE_LIST, keys, count, key);
}

static bool sort_by(render *r, const value *items, size_t count, const value *attribute,
                    bool ignore_case, bool reverse, sort_item **sorted) {
    *sorted = render_array(r, count, sizeof **sorted);
    for (size_t i = 0; *sorted && i < count; i++) {
        (*sorted)[i].item = items[i];
        if (!sort_key(r, attribute, ignore_case, &items[i], &(*sorted)[i].key))
            return false;
    }
    return *sorted && items_sort(r, *sorted, count, reverse);
}

/* Filters that sort give lists, not generators: {{ x|sort|length }} works. */
static bool give_sorted(render *r, const sort_item *sorted, size_t count, value *out) {
    value *items = render_array(r, count, sizeof *items);
    for (size_t i = 0; items && i < count; i++)
        items[i] = sorted[i].item;
    return items && value_list(r, VALUE_LIST, items, count, out);
}

FILTER(sort) {
    value v[3];
    const value *items;
    size_t count;
    sort_item *sorted;
    return arguments_bind(r, "sort", a, "reverse case_sensitive attribute", 0, v) &&
           value_items(r, self, &items, &count) &&
           sort_by(r, items, count, &v[2], !value_truth(&v[1]), value_truth(&v[0]), &sorted) &&
           give_sorted(r, sorted, count, out);
}

/* Pairs by key, or by value: the place in the pair is what they are sorted by. */
FILTER(dictsort) {
    value v[3], pairs, place;
    sort_item *sorted;
    if (!arguments_bind(r, "dictsort", a, "case_sensitive by reverse", 0, v))
        return false;
    if (self->type != VALUE_DICT)
        return render_fail(r, "dictsort: expected a mapping, found %s", value_type_name(self));
    bool by_value = v[1].type == VALUE_TEXT && text_is(v[1].text, "value");
    if (!by_value && v[1].type != VALUE_ABSENT &&
        !(v[1].type == VALUE_TEXT && text_is(v[1].text, "key")))
        return render_fail(r, "You can only sort by either \"key\" or \"value\"");
    place = value_from_integer(by_value);
    size_t count = self->dict->count;
    return dict_items(r, self, &(arguments){0}, &pairs) &&
           sort_by(r, pairs.sequence->items, count, &place, !value_truth(&v[0]), value_truth(&v[2]),
                   &sorted) &&
           give_sorted(r, sorted, count, out);
}

/* ---- Comparing ---------------------------------------------------------------------------- */

/* The first of each; they are keys of a dict, so lists and dicts fail as in Python. */
FILTER(unique) {
    value v[2], key, one = value_none();
    const value *items, *seen;
    size_t count, kept = 0;
    getter g;
    dict *keys = dict_new(r, 0);
    if (!keys || !arguments_bind(r, "unique", a, "case_sensitive attribute", 0, v) ||
        !getter_init(r, &g, &v[1], !value_truth(&v[0])) || !value_items(r, self, &items, &count))
        return false;
    value *uniques = render_array(r, count, sizeof *uniques);
    for (size_t i = 0; uniques && i < count; i++) {
        if (!getter_get(r, &g, &items[i], &key) || !dict_find(r, keys, &key, &seen))
            return false;
        if (seen)
            continue;
        if (!dict_set(r, keys, &key, &one))
            return false;
        uniques[kept++] = items[i];
    }
    return uniques && value_list(r, VALUE_GENERATOR, uniques, kept, out);
}

/* Of equal items the first one wins. */
static bool extreme(render *r, const value *self, const arguments *a, int wanted, value *out) {
    value v[2], best, key;
    const value *items;
    size_t count;
    getter g;
    const char *name = wanted < 0 ? "min" : "max";
    if (!arguments_bind(r, name, a, "case_sensitive attribute", 0, v) ||
        !getter_init(r, &g, &v[1], !value_truth(&v[0])) || !value_items(r, self, &items, &count))
        return false;
    if (!count)
        return value_undefined(r, out, "No aggregated item, sequence was empty.");
    *out = items[0];
    if (!getter_get(r, &g, &items[0], &best))
        return false;
    for (size_t i = 1; i < count; i++) {
        int order;
        if (!getter_get(r, &g, &items[i], &key) ||
            !value_order(r, &key, &best, wanted < 0 ? "<" : ">", &order))
            return false;
        if (order == wanted) {
            best = key;
            *out = items[i];
        }
    }
    return true;
}

FILTER(min) {
    return extreme(r, self, a, -1, out);
}

FILTER(max) {
    return extreme(r, self, a, 1, out);
}

/* ---- Putting together --------------------------------------------------------------------- */

/* By `+`, so lists can be summed with a list to start from; texts are refused as Python's sum()
 * does. */
FILTER(sum) {
    value v[2], item;
    const value *items;
    size_t count;
    getter g;
    if (!arguments_bind(r, "sum", a, "attribute start", 0, v) ||
        !getter_init(r, &g, &v[0], false) || !value_items(r, self, &items, &count))
        return false;
    value total = v[1].type == VALUE_ABSENT ? value_from_integer(0) : v[1];
    if (total.type == VALUE_TEXT)
        return render_fail(r, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < count; i++) {
        value before = total;
        if (!getter_get(r, &g, &items[i], &item) || !value_binary(r, "+", &before, &item, &total))
            return false;
    }
    *out = total;
    return true;
}

/* (grouper, list) pairs of items whose attribute is equal, in the order of the attribute. */
FILTER(groupby) {
    value v[3];
    const value *items;
    size_t count, groups = 0;
    sort_item *sorted;
    getter g;
    if (!arguments_bind(r, "groupby", a, "attribute default case_sensitive", 1, v) ||
        !getter_init(r, &g, &v[0], !value_truth(&v[2])) || !value_items(r, self, &items, &count))
        return false;
    if (v[1].type != VALUE_ABSENT && v[1].type != VALUE_NONE)
        g.fallback = &v[1];
    sorted = render_array(r, count, sizeof *sorted);
    value *out_items = render_array(r, count, sizeof *out_items);
    value *members = render_array(r, count, sizeof *members);
    if (!sorted || !out_items || !members)
        return false;
    for (size_t i = 0; i < count; i++) {
        sorted[i].item = items[i];
        if (!getter_get(r, &g, &items[i], &sorted[i].key))
            return false;
    }
    if (!items_sort(r, sorted, count, false))
        return false;
    g.ignore_case = false; /* a group is called what its first item says */
    for (size_t i = 0, start = 0; i < count; i++) {
        bool same = false;
        members[i] = sorted[i].item;
        if (i + 1 < count && !value_equal(r, &sorted[i].key, &sorted[i + 1].key, &same))
            return false;
        if (same)
            continue;
        value *pair = render_array(r, 2, sizeof *pair);
        if (!pair || !getter_get(r, &g, &members[start], &pair[0]) ||
            !value_list(r, VALUE_LIST, members + start, i + 1 - start, &pair[1]) ||
            !value_list(r, VALUE_TUPLE, pair, 2, &out_items[groups]))
            return false;
        out_items[groups++].sequence->is_group = true;
        start = i + 1;
    }
    return value_list(r, VALUE_LIST, out_items, groups, out);
}

const builtin *order_filter_find(const char *name) {
    static const builtin filters[] = {
        {"sort", filter_sort},       {"dictsort", filter_dictsort}, {"unique", filter_unique},
        {"min", filter_min},         {"max", filter_max},           {"sum", filter_sum},
        {"groupby", filter_groupby},
    };
    return builtin_find(filters, sizeof filters / sizeof *filters, name);
}
