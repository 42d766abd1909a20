/* template_methods.c - methods of str that cut, split, join and change; those that search are
 * template_search.c's, those of list and dict template_objects.c's. Results keep the message
 * runs of what they are made of: a template that strips, splits or replaces still shows which
 * bytes of the prompt are a message's.
 *
 * Work is charged for characters that are looked at, not only for what is made: x.split(y) in a
 * loop over a long text costs time even where it finds nothing. */
#include "tokenizer/template.h"

static bool give_text(const text *t, value *out) {
    *out = value_from_text(t);
    return t != NULL;
}

/* A method that wants exactly its self. */
static bool no_arguments(render *r, const char *who, const arguments *a) {
    return (!a->count && !a->keyword_count) || render_fail(r, "%s takes no arguments", who);
}

/* ---- Stripping ---------------------------------------------------------------------------- */

/* Strip sets are few characters, so looking through them beats a table. */
static bool in_set(const text *set, const char *character, size_t size) {
    for (size_t at = 0; at < set->length;) {
        uint32_t c;
        size_t length = utf8_decode(set->bytes + at, set->length - at, &c);
        if (length == size && memcmp(set->bytes + at, character, size) == 0)
            return true;
        at += length;
    }
    return false;
}

/* Without a set, white space is stripped. */
static bool stripped(const text *set, const char *bytes, size_t size) {
    uint32_t c;
    if (set)
        return in_set(set, bytes, size);
    utf8_decode(bytes, size, &c);
    return character_is_space(c);
}

/* Work is charged for sets only: white space is cheap to look at, a long set is not. */
static const text *strip(render *r, const text *t, const text *set, bool left, bool right) {
    size_t from = 0, to = t->length;
    while (left && from < to) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + from, to - from, &c);
        if (!stripped(set, t->bytes + from, size))
            break;
        from += size;
        if (!render_spend(r, set ? 1 + set->length / 2 : 0))
            return NULL;
    }
    while (right && to > from) {
        size_t start = utf8_before(t->bytes, to);
        if (!stripped(set, t->bytes + start, to - start))
            break;
        to = start;
        if (!render_spend(r, set ? 1 + set->length / 2 : 0))
            return NULL;
    }
    return text_slice(r, t, from, to);
}

static bool strip_method(render *r, const value *self, const arguments *a, bool left, bool right,
                         value *out) {
    value chars;
    const text *set;
    if (!arguments_bind(r, "strip()", a, "chars", 0, &chars) ||
        !argument_text(r, "strip()", &chars, &set))
        return false;
    return give_text(strip(r, self->text, set, left, right), out);
}

static bool method_strip(render *r, const value *self, const arguments *a, value *out) {
    return strip_method(r, self, a, true, true, out);
}

static bool method_lstrip(render *r, const value *self, const arguments *a, value *out) {
    return strip_method(r, self, a, true, false, out);
}

static bool method_rstrip(render *r, const value *self, const arguments *a, value *out) {
    return strip_method(r, self, a, false, true, out);
}

/* Cuts a prefix (a suffix, if from_end) off where it is there. */
static bool remove_affix(render *r, const value *self, const arguments *a, bool from_end,
                         value *out) {
    value v;
    const text *affix, *t = self->text;
    if (!arguments_bind(r, from_end ? "removesuffix()" : "removeprefix()", a, "affix", 1, &v) ||
        !argument_text(r, "removeprefix()", &v, &affix))
        return false;
    if (!affix)
        return render_fail(r, "removeprefix() argument must be str, not NoneType");
    /* text_stands_at wants room for the affix. */
    if (affix->length > t->length)
        return give_text(t, out);
    size_t start = from_end ? t->length - affix->length : 0;
    if (!text_stands_at(t, affix, start))
        return give_text(t, out);
    return give_text(from_end ? text_slice(r, t, 0, start)
                              : text_slice(r, t, affix->length, t->length),
                     out);
}

static bool method_removeprefix(render *r, const value *self, const arguments *a, value *out) {
    return remove_affix(r, self, a, false, out);
}

static bool method_removesuffix(render *r, const value *self, const arguments *a, value *out) {
    return remove_affix(r, self, a, true, out);
}

/* ---- Splitting ---------------------------------------------------------------------------- */

typedef struct pieces {
    value *items;
    size_t count, capacity;
} pieces;

/* Pieces are views of the text, so splitting copies no bytes. */
static bool add_piece(render *r, pieces *p, const text *t, size_t from, size_t to) {
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 8;
        value *items = render_array(r, capacity, sizeof *items);
        if (!items)
            return false;
        if (p->count)
            memcpy(items, p->items, p->count * sizeof *items);
        p->items = items;
        p->capacity = capacity;
    }
    return render_spend(r, 1) && give_text(text_slice(r, t, from, to), &p->items[p->count++]);
}

/* rsplit finds pieces from the end; Python lists them from the start. */
static void reverse(pieces *p) {
    for (size_t i = 0, j = p->count; i + 1 < j; i++) {
        value swap = p->items[i];
        p->items[i] = p->items[--j];
        p->items[j] = swap;
    }
}

/* Around runs of white space, with none left at the ends but the end of what the limit leaves. */
static bool split_space(render *r, const text *t, int64_t limit, pieces *p) {
    size_t at = space_leading(t->bytes, t->length);
    while (at < t->length) {
        size_t end = at;
        for (uint32_t c; end < t->length;) {
            size_t size = utf8_decode(t->bytes + end, t->length - end, &c);
            if (character_is_space(c))
                break;
            end += size;
        }
        /* The rest begins with a character that is not white space, and keeps what is at its end.
         */
        if (limit >= 0 && (int64_t)p->count == limit)
            return add_piece(r, p, t, at, t->length);
        if (!add_piece(r, p, t, at, end))
            return false;
        at = end + space_leading(t->bytes + end, t->length - end);
    }
    return true;
}

/* From the end; what is left when the limit is reached keeps the white space at its start. */
static bool rsplit_space(render *r, const text *t, int64_t limit, pieces *p) {
    size_t end = space_trimmed_end(t->bytes, t->length);
    while (end > 0) {
        size_t at = end;
        for (uint32_t c; at > 0;) {
            size_t start = utf8_before(t->bytes, at);
            utf8_decode(t->bytes + start, at - start, &c);
            if (character_is_space(c))
                break;
            at = start;
        }
        if (limit >= 0 && (int64_t)p->count == limit)
            return add_piece(r, p, t, 0, end);
        if (!add_piece(r, p, t, at, end))
            return false;
        end = space_trimmed_end(t->bytes, at);
    }
    return true;
}

/* `separator` is not empty. With from_end the pieces come last one first. */
static bool split_at(render *r, const text *t, const text *separator, int64_t limit, bool from_end,
                     pieces *p) {
    size_t from = 0, to = t->length;
    while (limit < 0 || (int64_t)p->count < limit) {
        size_t hit = text_find(t, separator, from, to, from_end);
        if (hit == SIZE_MAX)
            break;
        size_t behind = hit + separator->length;
        if (!add_piece(r, p, t, from_end ? behind : from, from_end ? to : hit) ||
            !render_spend_walk(r, separator->length))
            return false;
        from = from_end ? from : behind;
        to = from_end ? hit : to;
    }
    return add_piece(r, p, t, from, to);
}

static bool split_method(render *r, const value *self, const arguments *a, bool from_end,
                         value *out) {
    value v[2];
    const text *separator;
    int64_t limit;
    pieces p = {0};
    if (!arguments_bind(r, "split()", a, "sep maxsplit", 0, v) ||
        !argument_text(r, "split()", &v[0], &separator) ||
        !argument_integer(r, "split()", &v[1], -1, &limit) ||
        !render_spend_walk(r, self->text->length))
        return false;
    /* Every place would match an empty one, and Python has no answer either. */
    if (separator && !separator->length)
        return render_fail(r, "empty separator");
    /* Without a separator (none counts as without) runs of white space separate, and empty
     * pieces do not exist. */
    bool good = separator  ? split_at(r, self->text, separator, limit, from_end, &p)
                : from_end ? rsplit_space(r, self->text, limit, &p)
                           : split_space(r, self->text, limit, &p);
    if (good && from_end)
        reverse(&p);
    return good && value_list(r, VALUE_LIST, p.items, p.count, out);
}

static bool method_split(render *r, const value *self, const arguments *a, value *out) {
    return split_method(r, self, a, false, out);
}

static bool method_rsplit(render *r, const value *self, const arguments *a, value *out) {
    return split_method(r, self, a, true, out);
}

/* The line ends of Python's splitlines, which are more than \n. */
static bool ends_line(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

static bool method_splitlines(render *r, const value *self, const arguments *a, value *out) {
    const text *t = self->text;
    value keep;
    pieces p = {0};
    size_t start = 0;
    if (!arguments_bind(r, "splitlines()", a, "keepends", 0, &keep) ||
        !render_spend_walk(r, t->length))
        return false;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        size_t end = at;
        at += utf8_decode(t->bytes + at, t->length - at, &c);
        if (!ends_line(c))
            continue;
        /* \r\n is one line end. */
        at += c == '\r' && at < t->length && t->bytes[at] == '\n';
        if (!add_piece(r, &p, t, start, value_truth(&keep) ? at : end))
            return false;
        start = at;
    }
    /* A line end at the very end does not begin another line. */
    if (start < t->length && !add_piece(r, &p, t, start, t->length))
        return false;
    return value_list(r, VALUE_LIST, p.items, p.count, out);
}

/* Before, the separator, behind; all before (behind, if from_end) when it is not there. */
static bool partition(render *r, const value *self, const arguments *a, bool from_end, value *out) {
    const text *t = self->text, *separator;
    value v;
    pieces p = {0};
    if (!arguments_bind(r, "partition()", a, "sep", 1, &v) ||
        !argument_text(r, "partition()", &v, &separator))
        return false;
    if (!render_spend_walk(r, t->length))
        return false;
    if (!separator || !separator->length)
        return render_fail(r, "partition() needs a separator that is not empty");
    size_t hit = text_find(t, separator, 0, t->length, from_end);
    size_t first = hit == SIZE_MAX ? (from_end ? 0 : t->length) : hit;
    size_t second = hit == SIZE_MAX ? first : hit + separator->length;
    return add_piece(r, &p, t, 0, first) && add_piece(r, &p, t, first, second) &&
           add_piece(r, &p, t, second, t->length) &&
           value_list(r, VALUE_TUPLE, p.items, p.count, out);
}

static bool method_partition(render *r, const value *self, const arguments *a, value *out) {
    return partition(r, self, a, false, out);
}

static bool method_rpartition(render *r, const value *self, const arguments *a, value *out) {
    return partition(r, self, a, true, out);
}

/* ---- Making new texts --------------------------------------------------------------------- */

/* An empty text stands between all characters, and at both ends. */
static bool replace_empty(text_builder *b, const text *t, const text *with, int64_t limit) {
    for (size_t at = 0;; limit--) {
        if (limit && !builder_text(b, with))
            return false;
        if (at == t->length || !limit)
            return builder_slice(b, t, at, t->length);
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        if (!builder_slice(b, t, at, at + size))
            return false;
        at += size;
    }
}

bool text_replace(render *r, const text *t, const text *old, const text *with, int64_t limit,
                  value *out) {
    text_builder b = {.render = r};
    if (!old->length) {
        if (!replace_empty(&b, t, with, limit < 0 ? INT64_MAX : limit))
            return false;
        return give_text(builder_finish(&b), out);
    }
    size_t from = 0;
    if (!render_spend_walk(r, t->length))
        return false;
    /* Matches do not overlap: the search goes on behind each one. What is put in keeps its own
     * runs. */
    for (size_t hit; limit && (hit = text_find(t, old, from, t->length, false)) != SIZE_MAX;
         limit--) {
        if (!builder_slice(&b, t, from, hit) || !builder_text(&b, with) || !render_spend(r, 1) ||
            !render_spend_walk(r, old->length))
            return false;
        from = hit + old->length;
    }
    return builder_slice(&b, t, from, t->length) && give_text(builder_finish(&b), out);
}

static bool method_replace(render *r, const value *self, const arguments *a, value *out) {
    value v[3];
    const text *old, *with;
    int64_t limit;
    if (!arguments_bind(r, "replace()", a, "old new count", 2, v) ||
        !argument_text(r, "replace()", &v[0], &old) ||
        !argument_text(r, "replace()", &v[1], &with) ||
        !argument_integer(r, "replace()", &v[2], -1, &limit))
        return false;
    if (!old || !with)
        return render_fail(r, "replace(): expected strings, found NoneType");
    /* Markup would have to be escaped into; templates of chats have none. */
    if (self->text->markup)
        return render_refuse(r, "replace() of markup");
    return text_replace(r, self->text, old, with, limit, out);
}

static bool method_join(render *r, const value *self, const arguments *a, value *out) {
    const value *items;
    size_t count;
    value v;
    text_builder b = {.render = r};
    if (!arguments_bind(r, "join()", a, "iterable", 1, &v) || !value_items(r, &v, &items, &count))
        return false;
    if (self->text->markup)
        return render_refuse(r, "join() of markup");
    for (size_t i = 0; i < count; i++) {
        /* Python's join does not print numbers: a template that means to has the filter of this
         * name. */
        if (items[i].type != VALUE_TEXT)
            return render_fail(r, "sequence item %zu: expected str instance, %s found", i,
                               value_type_name(&items[i]));
        if ((i && !builder_text(&b, self->text)) || !builder_text(&b, items[i].text))
            return false;
    }
    return give_text(builder_finish(&b), out);
}

/* Pads to `width` characters: the share of the left side is all, none or half. */
static bool pad(render *r, const value *self, const arguments *a, const char *who, int side,
                value *out) {
    const text *t = self->text, *fill;
    int64_t width;
    value v[2];
    if (!arguments_bind(r, who, a, "width fillchar", 1, v) ||
        !argument_integer(r, who, &v[0], 0, &width) || !argument_text(r, who, &v[1], &fill))
        return false;
    if (!fill && !(fill = text_view(r, " ", 1)))
        return false;
    /* One character, of any number of bytes. */
    if (fill->characters != 1)
        return render_fail(r, "%s: the fill character must be exactly one character long", who);
    int64_t gap = width - (int64_t)t->characters;
    if (gap <= 0)
        return give_text(t, out);
    /* Python's center puts the odd one left when the width is odd too. */
    int64_t left = side < 0 ? gap : side > 0 ? 0 : gap / 2 + (gap & width & 1);
    text_builder b = {.render = r};
    return builder_repeat(&b, fill, left) && builder_text(&b, t) &&
           builder_repeat(&b, fill, gap - left) && give_text(builder_finish(&b), out);
}

static bool method_ljust(render *r, const value *self, const arguments *a, value *out) {
    return pad(r, self, a, "ljust()", 1, out);
}

static bool method_rjust(render *r, const value *self, const arguments *a, value *out) {
    return pad(r, self, a, "rjust()", -1, out);
}

static bool method_center(render *r, const value *self, const arguments *a, value *out) {
    return pad(r, self, a, "center()", 0, out);
}

/* Zeros go behind a sign. */
static bool method_zfill(render *r, const value *self, const arguments *a, value *out) {
    const text *t = self->text;
    value v;
    int64_t width;
    text zero;
    text_builder b = {.render = r};
    if (!arguments_bind(r, "zfill()", a, "width", 1, &v) ||
        !argument_integer(r, "zfill()", &v, 0, &width))
        return false;
    text_init(&zero, "0", 1);
    size_t sign = t->length && (t->bytes[0] == '-' || t->bytes[0] == '+');
    return builder_slice(&b, t, 0, sign) &&
           builder_repeat(&b, &zero, width - (int64_t)t->characters) &&
           builder_slice(&b, t, sign, t->length) && give_text(builder_finish(&b), out);
}

/* ---- Cases and classes -------------------------------------------------------------------- */

/* Unicode's full mappings: one character may become several, which is why these make new texts. */
#define CASE_METHOD(name, to)                                                                      \
    static bool method_##name(render *r, const value *self, const arguments *a, value *out) {      \
        return no_arguments(r, #name "()", a) && give_text(text_cased(r, self->text, to), out);    \
    }
CASE_METHOD(upper, CASE_UPPER)
CASE_METHOD(lower, CASE_LOWER)
CASE_METHOD(title, CASE_TITLE)
CASE_METHOD(capitalize, CASE_CAPITAL)
CASE_METHOD(swapcase, CASE_SWAP)

/* Every character is looked at, so the length is paid for. */
#define CLASS_METHOD(name, is)                                                                     \
    static bool method_##name(render *r, const value *self, const arguments *a, value *out) {      \
        *out = value_bool(text_has_class(self->text, is));                                         \
        return no_arguments(r, #name "()", a) && render_spend_walk(r, self->text->length);         \
    }
CLASS_METHOD(isalpha, CLASS_ALPHA)
CLASS_METHOD(isdigit, CLASS_DIGIT)
CLASS_METHOD(isdecimal, CLASS_DECIMAL)
CLASS_METHOD(isalnum, CLASS_ALNUM)
CLASS_METHOD(isspace, CLASS_SPACE)
CLASS_METHOD(isupper, CLASS_UPPER)
CLASS_METHOD(islower, CLASS_LOWER)
CLASS_METHOD(isascii, CLASS_ASCII)

const builtin *text_method_find(const char *name) {
    static const builtin methods[] = {
        {"strip", method_strip},
        {"lstrip", method_lstrip},
        {"rstrip", method_rstrip},
        {"removeprefix", method_removeprefix},
        {"removesuffix", method_removesuffix},
        {"split", method_split},
        {"rsplit", method_rsplit},
        {"splitlines", method_splitlines},
        {"partition", method_partition},
        {"rpartition", method_rpartition},
        {"replace", method_replace},
        {"join", method_join},
        {"format", text_method_format},
        {"ljust", method_ljust},
        {"rjust", method_rjust},
        {"center", method_center},
        {"zfill", method_zfill},
        {"upper", method_upper},
        {"lower", method_lower},
        {"title", method_title},
        {"capitalize", method_capitalize},
        {"swapcase", method_swapcase},
        {"isalpha", method_isalpha},
        {"isdigit", method_isdigit},
        {"isdecimal", method_isdecimal},
        {"isalnum", method_isalnum},
        {"isspace", method_isspace},
        {"isupper", method_isupper},
        {"islower", method_islower},
        {"isascii", method_isascii},
    };
    const builtin *b = builtin_find(methods, sizeof methods / sizeof *methods, name);
    return b ? b : search_method_find(name);
}
