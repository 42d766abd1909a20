/* template_print.c - values as Python prints them: str() and repr(). JSON is template_json.c's.
 *
 * A template that prints a list or a dict puts Python's notation into the prompt, quotes and
 * all, and models were trained on such prompts; so this is as exact as the texts themselves.
 * What Python prints with an address is refused: no prompt should depend on one. */
#include "tokenizer/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Floats ------------------------------------------------------------------------------- */

/* The shortest digits that read back as `d`, as Python writes them: with an exponent below 1e-4 and
 * from 1e16 on, else with a fraction. */
void real_format(double d, char out[REAL_TEXT]) {
    char e[REAL_TEXT];
    if (isnan(d) || isinf(d)) {
        snprintf(out, REAL_TEXT, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    /* Seventeen digits name every double; mostly a few do. A correctly rounded strtod makes the
     * shortest that reads back also the nearest. */
    int digits = 1;
    do
        snprintf(e, sizeof e, "%.*e", digits - 1, d);
    while (strtod(e, NULL) != d && ++digits <= 17);
    int exponent = (int)strtol(strchr(e, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16)
        snprintf(out, REAL_TEXT, "%s", e);
    else
        snprintf(out, REAL_TEXT, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 1, d);
}

/* ---- repr of texts ------------------------------------------------------------------------ */

/* A character that repr() does not show as it is. */
static bool repr_escape(text_builder *out, const text *t, size_t at, size_t size, uint32_t c) {
    if (c == '\'' || c == '"' || c == '\\')
        return builder_literal(out, "\\") && builder_slice(out, t, at, at + size);
    if (c == '\n' || c == '\r' || c == '\t')
        return builder_literal(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    return builder_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

static bool repr_text(text_builder *out, const text *t) {
    bool single = memchr(t->bytes, '\'', t->length) != NULL;
    char quote = single && !memchr(t->bytes, '"', t->length) ? '"' : '\'';
    char mark[2] = {quote, 0};
    size_t kept = 0;
    if (!render_spend_walk(out->render, t->length) ||
        (t->markup && !builder_literal(out, "Markup(")) || !builder_literal(out, mark))
        return false;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        /* Plain stretches go as they are, in one piece. */
        if (c == (uint32_t)quote || c == '\\' || !character_is_printable(c)) {
            if (!builder_slice(out, t, kept, at) || !repr_escape(out, t, at, size, c))
                return false;
            kept = at + size;
        }
        at += size;
    }
    return builder_slice(out, t, kept, t->length) && builder_literal(out, mark) &&
           (!t->markup || builder_literal(out, ")"));
}

/* ---- Containers --------------------------------------------------------------------------- */

static bool repr_items(text_builder *out, const value *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        if ((i && !builder_literal(out, ", ")) || !value_repr(out, &items[i]))
            return false;
    return true;
}

static bool repr_dict(text_builder *out, const dict *d) {
    if (!builder_literal(out, "{"))
        return false;
    for (size_t i = 0; i < d->count; i++)
        if ((i && !builder_literal(out, ", ")) || !value_repr(out, &d->entries[i].key) ||
            !builder_literal(out, ": ") || !value_repr(out, &d->entries[i].value))
            return false;
    return builder_literal(out, "}");
}

static bool repr_sequence(text_builder *out, const value *v) {
    const sequence *s = v->sequence;
    if (v->type == VALUE_RANGE && s->step == 1)
        return builder_printf(out, "range(%lld, %lld)", (long long)s->start, (long long)s->stop);
    if (v->type == VALUE_RANGE)
        return builder_printf(out, "range(%lld, %lld, %lld)", (long long)s->start,
                              (long long)s->stop, (long long)s->step);
    const char *open = v->type == VALUE_TUPLE ? "(" : "[";
    const char *close = v->type == VALUE_LIST || v->type == VALUE_VIEW ? "]"
                        : s->count == 1                                ? ",)"
                                                                       : ")";
    if (v->type == VALUE_VIEW && !builder_printf(out, "%s(", s->name))
        return false;
    return builder_literal(out, open) && repr_items(out, s->items, s->count) &&
           builder_literal(out, close) && (v->type != VALUE_VIEW || builder_literal(out, ")"));
}

/* What templates print by mistake or for debugging; addresses, as Python shows them, are not
 * shown. */
static bool repr_other(text_builder *out, const value *v) {
    switch (v->type) {
    case VALUE_NAMESPACE:
        return builder_literal(out, "<Namespace ") && repr_dict(out, v->dict) &&
               builder_literal(out, ">");
    case VALUE_MACRO:
        if (!v->macro->name)
            return builder_literal(out, "<Macro anonymous>");
        return builder_literal(out, "<Macro '") && builder_literal(out, v->macro->name) &&
               builder_literal(out, "'>");
    case VALUE_LOOP: {
        size_t length;
        return value_length(out->render, v, &length) &&
               builder_printf(out, "<LoopContext %lld/%zu>", (long long)v->loop->index + 1, length);
    }
    default:
        return render_refuse(out->render, "printing a %s is not supported", value_type_name(v));
    }
}

bool value_repr(text_builder *out, const value *v) {
    char number[REAL_TEXT];
    if (!render_spend(out->render, 1))
        return false;
    switch (v->type) {
    case VALUE_UNDEFINED: return builder_literal(out, "Undefined");
    case VALUE_NONE: return builder_literal(out, "None");
    case VALUE_BOOL: return builder_literal(out, v->boolean ? "True" : "False");
    case VALUE_INTEGER: return builder_printf(out, "%lld", (long long)v->integer);
    case VALUE_REAL: real_format(v->real, number); return builder_literal(out, number);
    case VALUE_TEXT: return repr_text(out, v->text);
    default: break;
    }
    if (!render_enter(out->render))
        return false;
    bool is_sequence = v->type >= VALUE_LIST && v->type <= VALUE_VIEW;
    bool good = v->type == VALUE_DICT ? repr_dict(out, v->dict)
                : is_sequence         ? repr_sequence(out, v)
                                      : repr_other(out, v);
    render_leave(out->render);
    return good;
}

/* Undefined prints as nothing: jinja2's default, which chat templates use for what may be missing.
 */
bool value_print(text_builder *out, const value *v) {
    if (v->type == VALUE_TEXT)
        return builder_text(out, v->text);
    if (v->type == VALUE_UNDEFINED)
        return true;
    return value_repr(out, v);
}

bool value_to_text(render *r, const value *v, const text **out) {
    text_builder b = {.render = r};
    if (v->type == VALUE_TEXT) {
        *out = v->text;
        return true;
    }
    if (!value_print(&b, v))
        return false;
    return (*out = builder_finish(&b)) != NULL;
}

#define QUOTE_MAX 60 /* bytes of a text in a message */

const char *value_quote(render *r, const value *v) {
    text_builder b = {.render = r};
    text cut;
    value shown = *v;
    if (v->type == VALUE_TEXT && v->text->length > QUOTE_MAX) {
        text_init(&cut, v->text->bytes, utf8_before(v->text->bytes, QUOTE_MAX));
        shown = value_from_text(&cut);
    }
    bool simple = v->type <= VALUE_TEXT;
    if (!simple || !value_repr(&b, &shown) || !builder_bytes(&b, "", 1, -1))
        return value_type_name(v);
    return b.data;
}
