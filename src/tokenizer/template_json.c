/* template_json.c - the tojson filter as Hugging Face defines it: Python's json.dumps with
 * ensure_ascii off, and not escaped for HTML as jinja2's own filter is. Tools and their
 * arguments get into prompts this way, so every space and digit counts: separators have a space,
 * numbers are Python's repr, NaN and Infinity are written as json.dumps writes them. */
#include "tokenizer/template.h"

#include <math.h>

static bool write_character(text_builder *out, const text *t, size_t at, size_t size, uint32_t c,
                            bool ascii) {
    static const char shorts[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    /* strchr would find the NUL at the end of the list. */
    const char *hit = c && c < 128 ? strchr(shorts, (int)c) : NULL;
    if (hit)
        return builder_printf(out, "\\%c", letters[hit - shorts]);
    if (c >= 0x10000 && ascii)
        return builder_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                              0xdc00 + (c & 0x3ff));
    if (c < 0x20 || (c >= 0x7f && ascii))
        return builder_printf(out, "\\u%04x", c);
    return builder_slice(out, t, at, at + size);
}

static bool write_text(text_builder *out, const text *t, bool ascii) {
    if (!render_spend_walk(out->render, t->length) || !builder_literal(out, "\""))
        return false;
    size_t kept = 0;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        /* 0x7f is plain to json.dumps unless all of it shall be ASCII. */
        bool plain = c >= 0x20 && c != '"' && c != '\\' && (c < 0x7f || !ascii);
        /* Plain stretches go as they are, in one piece. */
        if (!plain) {
            if (!builder_slice(out, t, kept, at) || !write_character(out, t, at, size, c, ascii))
                return false;
            kept = at + size;
        }
        at += size;
    }
    return builder_slice(out, t, kept, t->length) && builder_literal(out, "\"");
}

static bool write_number(text_builder *out, const value *v) {
    char number[REAL_TEXT];
    if (v->type == VALUE_INTEGER)
        return builder_printf(out, "%lld", (long long)v->integer);
    if (v->type == VALUE_BOOL)
        return builder_literal(out, v->boolean ? "true" : "false");
    real_format(v->real, number);
    if (isnan(v->real) || isinf(v->real))
        return builder_literal(out, isnan(v->real) ? "NaN"
                                    : v->real < 0  ? "-Infinity"
                                                   : "Infinity");
    return builder_literal(out, number);
}

/* A line end and the indentation of `level`, where the style has lines. */
static bool write_break(text_builder *out, const json_style *style, size_t level) {
    return !style->indent ||
           (builder_literal(out, "\n") && builder_repeat(out, style->indent, (int64_t)level));
}

static bool write_list(text_builder *out, const sequence *s, const json_style *style,
                       size_t level) {
    if (!s->count)
        return builder_literal(out, "[]");
    if (!builder_literal(out, "["))
        return false;
    for (size_t i = 0; i < s->count; i++)
        if ((i && !builder_text(out, style->item_separator)) ||
            !write_break(out, style, level + 1) || !value_json(out, &s->items[i], style, level + 1))
            return false;
    return write_break(out, style, level) && builder_literal(out, "]");
}

/* JSON knows only texts as keys; Python writes numbers, bools and None as such. */
static bool write_key(text_builder *out, const value *key, const json_style *style) {
    if (key->type == VALUE_TEXT)
        return write_text(out, key->text, style->ascii);
    if (!value_is_number(key) && key->type != VALUE_NONE)
        return render_fail(out->render, "keys must be str, int, float, bool or None, not %s",
                           value_type_name(key));
    return builder_literal(out, "\"") && value_json(out, key, style, 0) &&
           builder_literal(out, "\"");
}

/* Entry numbers in the order of their keys. */
static sort_item *sorted_entries(render *r, const dict *d) {
    sort_item *order = render_array(r, d->count, sizeof *order);
    for (size_t i = 0; order && i < d->count; i++)
        order[i] = (sort_item){.key = d->entries[i].key, .item = value_from_integer((int64_t)i)};
    return order && items_sort(r, order, d->count, false) ? order : NULL;
}

static bool write_dict(text_builder *out, const dict *d, const json_style *style, size_t level) {
    if (!d->count)
        return builder_literal(out, "{}");
    sort_item *order = style->sort_keys ? sorted_entries(out->render, d) : NULL;
    if ((style->sort_keys && !order) || !builder_literal(out, "{"))
        return false;
    for (size_t i = 0; i < d->count; i++) {
        const dict_entry *e = &d->entries[order ? (size_t)order[i].item.integer : i];
        if ((i && !builder_text(out, style->item_separator)) ||
            !write_break(out, style, level + 1) || !write_key(out, &e->key, style) ||
            !builder_text(out, style->key_separator) ||
            !value_json(out, &e->value, style, level + 1))
            return false;
    }
    return write_break(out, style, level) && builder_literal(out, "}");
}

/* A namespace that holds itself would never end; depth and work are bounded for all values
 * alike. */
bool value_json(text_builder *out, const value *v, const json_style *style, size_t level) {
    if (!render_spend(out->render, 1) || !render_enter(out->render))
        return false;
    bool good;
    if (v->type == VALUE_NONE)
        good = builder_literal(out, "null");
    else if (value_is_number(v))
        good = write_number(out, v);
    else if (v->type == VALUE_TEXT)
        good = write_text(out, v->text, style->ascii);
    else if (v->type == VALUE_LIST || v->type == VALUE_TUPLE)
        good = write_list(out, v->sequence, style, level);
    else if (v->type == VALUE_DICT)
        good = write_dict(out, v->dict, style, level);
    else
        good = render_fail(out->render, "Object of type %s is not JSON serializable",
                           value_type_name(v));
    render_leave(out->render);
    return good;
}
