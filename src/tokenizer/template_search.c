/* template_search.c - methods of str that look for a text: where it is, how often, at which end.
 * Places are characters outside, bytes inside; start and end arguments are those of slices, so
 * they never fail and may be the wrong way round. */
#include "tokenizer/template.h"

/* The byte range of the optional start and end arguments, as Python's slices have it; *from is
 * SIZE_MAX when start lies behind the text. */
static bool search_range(render *r, const text *t, const value *start, const value *end,
                         size_t *from, size_t *to) {
    const value absent = {.type = VALUE_ABSENT};
    int64_t n = (int64_t)t->characters, low, high;
    if (!argument_integer(r, "start", start->type == VALUE_NONE ? &absent : start, 0, &low) ||
        !argument_integer(r, "end", end->type == VALUE_NONE ? &absent : end, n, &high))
        return false;
    low = low >= 0 ? low : low < -n ? 0 : low + n;
    high = high >= 0 ? min_i64(high, n) : high < -n ? 0 : high + n;
    /* "abc".find("", 3) is 3 but "abc".find("", 4) is -1: a start behind the end finds nothing,
     * not even nothing. */
    *from = low > n ? SIZE_MAX : text_offset(t, (size_t)low);
    *to = text_offset(t, (size_t)high);
    return true;
}

/* find, rfind, index and rindex: -1 or a failure (`must`) where there is nothing. */
static bool search(render *r, const value *self, const arguments *a, const char *who, bool from_end,
                   bool must, value *out) {
    const text *t = self->text, *needle;
    size_t from, to;
    value v[3];
    if (!arguments_bind(r, who, a, "sub start end", 1, v) ||
        !argument_text(r, who, &v[0], &needle) || !search_range(r, t, &v[1], &v[2], &from, &to) ||
        !render_spend_walk(r, t->length))
        return false;
    if (!needle)
        return render_fail(r, "%s: must be str, not NoneType", who);
    size_t hit = text_find(t, needle, from, to, from_end);
    if (hit == SIZE_MAX && must)
        return render_fail(r, "substring not found");
    *out = value_from_integer(hit == SIZE_MAX ? -1 : (int64_t)text_index(t, hit));
    return true;
}

static bool method_find(render *r, const value *self, const arguments *a, value *out) {
    return search(r, self, a, "find()", false, false, out);
}

static bool method_rfind(render *r, const value *self, const arguments *a, value *out) {
    return search(r, self, a, "rfind()", true, false, out);
}

static bool method_index(render *r, const value *self, const arguments *a, value *out) {
    return search(r, self, a, "index()", false, true, out);
}

static bool method_rindex(render *r, const value *self, const arguments *a, value *out) {
    return search(r, self, a, "rindex()", true, true, out);
}

/* Without overlaps; the empty text stands between all characters and at both ends. */
static bool method_count(render *r, const value *self, const arguments *a, value *out) {
    const text *t = self->text, *needle;
    size_t from, to;
    int64_t count = 0;
    value v[3];
    if (!arguments_bind(r, "count()", a, "sub start end", 1, v) ||
        !argument_text(r, "count()", &v[0], &needle) ||
        !search_range(r, t, &v[1], &v[2], &from, &to) || !render_spend_walk(r, t->length))
        return false;
    if (!needle)
        return render_fail(r, "count(): must be str, not NoneType");
    if (!needle->length) {
        if (from <= to)
            /* As many gaps as characters, and one. */
            count = (int64_t)(text_index(t, to) - text_index(t, from)) + 1;
    } else {
        for (; (from = text_find(t, needle, from, to, false)) != SIZE_MAX; count++)
            from += needle->length;
    }
    *out = value_from_integer(count);
    return true;
}

/* startswith, endswith: one text or a tuple of them. */
static bool has_affix(render *r, const value *self, const arguments *a, bool at_end, value *out) {
    const text *t = self->text;
    size_t from, to;
    value v[3];
    const char *who = at_end ? "endswith()" : "startswith()";
    if (!arguments_bind(r, who, a, "affix start end", 1, v) ||
        !search_range(r, t, &v[1], &v[2], &from, &to))
        return false;
    bool several = v[0].type == VALUE_TUPLE, found = false;
    size_t count = several ? v[0].sequence->count : 1;
    for (size_t i = 0; i < count && !found; i++) {
        const text *affix;
        if (!argument_text(r, who, several ? &v[0].sequence->items[i] : &v[0], &affix))
            return false;
        if (!affix)
            return render_fail(r, "%s first arg must be str or a tuple of str", who);
        /* Texts of a tuple that do not fit are passed over; only their bytes that are compared
         * are charged. */
        if (from > to || to - from < affix->length || !render_spend_bytes(r, affix->length))
            continue;
        found = text_stands_at(t, affix, at_end ? to - affix->length : from);
    }
    *out = value_bool(found);
    return r->status == C2C_STATUS_OK;
}

static bool method_startswith(render *r, const value *self, const arguments *a, value *out) {
    return has_affix(r, self, a, false, out);
}

static bool method_endswith(render *r, const value *self, const arguments *a, value *out) {
    return has_affix(r, self, a, true, out);
}

const builtin *search_method_find(const char *name) {
    static const builtin methods[] = {
        {"find", method_find},         {"rfind", method_rfind}, {"index", method_index},
        {"rindex", method_rindex},     {"count", method_count}, {"startswith", method_startswith},
        {"endswith", method_endswith},
    };
    return builtin_find(methods, sizeof methods / sizeof *methods, name);
}
