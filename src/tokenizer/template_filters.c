/* template_filters.c - filters on texts, and where all filters are looked up. Those on lists are
 * template_lists.c's and template_order.c's, those on numbers template_numbers.c's. A filter
 * gets the piped value as its self.
 *
 * Most of jinja2's text filters take str() of whatever is piped into them, so {{ 5|center(9) }}
 * works while {{ (5).center(9) }} does not; the few that want a text say so. Names that jinja2
 * knows and nobody uses in a chat are refused as not supported, others are an error of the
 * template: only the first is this interpreter's fault. */
#include "tokenizer/template.h"

#define FILTER(name)                                                                               \
    static bool filter_##name(render *r, const value *self, const arguments *a, value *out)

static bool give_text(const text *t, value *out) {
    *out = value_from_text(t);
    return t != NULL;
}

static bool no_arguments(render *r, const char *who, const arguments *a) {
    return (!a->count && !a->keyword_count) || render_fail(r, "%s takes no arguments", who);
}

/* ---- Texts -------------------------------------------------------------------------------- */

/* Filters that are str methods of str(self). */
static bool as_method(render *r, const value *self, const arguments *a, const char *method,
                      value *out) {
    const text *t;
    if (!value_to_text(r, self, &t))
        return false;
    value v = value_from_text(t);
    return text_method_find(method)->call(r, &v, a, out) && value_marked(r, t->markup, out);
}

FILTER(upper) {
    return as_method(r, self, a, "upper", out);
}

FILTER(lower) {
    return as_method(r, self, a, "lower", out);
}

FILTER(capitalize) {
    return as_method(r, self, a, "capitalize", out);
}

/* str.strip, with an argument for the characters that are taken away. */
FILTER(trim) {
    return as_method(r, self, a, "strip", out);
}

/* What the pattern of Jinja's own title filter splits at. */
static bool begins_words(uint32_t c) {
    return character_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

/* Jinja's title: words begin after white space and opening brackets only, not after "'". */
FILTER(title) {
    const text *t;
    text_builder b = {.render = r};
    if (!no_arguments(r, "title", a) || !value_to_text(r, self, &t))
        return false;
    for (size_t at = 0, end; at < t->length; at = end) {
        uint32_t c;
        end = at + utf8_decode(t->bytes + at, t->length - at, &c);
        bool between = begins_words(c);
        /* A stretch is white space and brackets, or what lies between: the first character of
         * each goes up, the rest down; what has no case stays. */
        size_t rest = end;
        while (end < t->length) {
            size_t size = utf8_decode(t->bytes + end, t->length - end, &c);
            if (begins_words(c) != between)
                break;
            end += size;
        }
        const text *first = text_slice(r, t, at, rest), *others = text_slice(r, t, rest, end);
        if (!first || !others || !(first = text_cased(r, first, CASE_UPPER)) ||
            !(others = text_cased(r, others, CASE_LOWER)) || !builder_text(&b, first) ||
            !builder_text(&b, others))
            return false;
    }
    return give_text(builder_finish(&b), out);
}

/* Already a text, it stays the same one, its mark and its runs with it. */
FILTER(string) {
    const text *t;
    return no_arguments(r, "string", a) && value_to_text(r, self, &t) && give_text(t, out);
}

/* Chats are rendered without automatic escaping, so being marked shows only where texts are
 * joined or escaped. */
FILTER(safe) {
    const text *t;
    return no_arguments(r, "safe", a) && value_to_text(r, self, &t) &&
           give_text(text_marked(r, t, true), out);
}

FILTER(escape) {
    const text *t;
    return no_arguments(r, "escape", a) && value_to_text(r, self, &t) &&
           give_text(text_escaped(r, t), out);
}

/* Escapes what was escaped once more. */
FILTER(forceescape) {
    const text *t;
    if (!no_arguments(r, "forceescape", a) || !value_to_text(r, self, &t))
        return false;
    text plain = *t;
    plain.markup = false;
    return give_text(text_escaped(r, &plain), out);
}

/* Unlike the method, it takes str() of everything. */
FILTER(replace) {
    value v[3];
    const text *t, *old, *with;
    int64_t limit;
    if (!arguments_bind(r, "replace", a, "old new count", 2, v) || !value_to_text(r, self, &t) ||
        !value_to_text(r, &v[0], &old) || !value_to_text(r, &v[1], &with) ||
        !argument_integer(r, "replace",
                          v[2].type == VALUE_NONE ? &(value){VALUE_ABSENT, {0}} : &v[2], -1,
                          &limit))
        return false;
    return text_replace(r, t, old, with, limit, out);
}

/* "%s" formatting; all arguments are positional, or all are named. */
FILTER(format) {
    const text *t;
    value arguments;
    if (!value_to_text(r, self, &t))
        return false;
    if (a->count && a->keyword_count)
        return render_fail(r, "can't handle positional and keyword arguments at the same time");
    if (a->keyword_count) {
        arguments = (value){.type = VALUE_DICT, .dict = dict_new(r, a->keyword_count)};
        for (size_t i = 0; arguments.dict && i < a->keyword_count; i++)
            if (!dict_set_name(r, arguments.dict, a->keywords[i].name, &a->keywords[i].value))
                return false;
        if (!arguments.dict)
            return false;
    } else if (!value_list(r, VALUE_TUPLE, a->items, a->count, &arguments)) {
        return false;
    }
    return text_percent(r, t, &arguments, out);
}

FILTER(center) {
    /* jinja2's width; the method has none. */
    value width = value_from_integer(80), v;
    if (!arguments_bind(r, "center", a, "width", 0, &v))
        return false;
    return as_method(r, self,
                     &(arguments){.items = v.type == VALUE_ABSENT ? &width : &v, .count = 1},
                     "center", out);
}

/* Indents the lines behind the first, empty ones only with `blank`. */
FILTER(indent) {
    value v[3], lines_value, no_text;
    const text *by;
    text_builder b = {.render = r};
    if (!arguments_bind(r, "indent", a, "width first blank", 0, v))
        return false;
    if (self->type != VALUE_TEXT)
        return render_fail(r, "indent: expected a string, found %s", value_type_name(self));
    int64_t width = 4;
    if (v[0].type == VALUE_TEXT) {
        by = v[0].text;
    } else {
        text space;
        text_builder spaces = {.render = r};
        text_init(&space, " ", 1);
        if (!argument_integer(r, "indent", &v[0], 4, &width) ||
            !builder_repeat(&spaces, &space, width) || !(by = builder_finish(&spaces)))
            return false;
    }
    bool first = value_truth(&v[1]), blank = value_truth(&v[2]);
    text end;
    text_init(&end, "\n", 1);
    const text *whole = text_concat(r, self->text, &end); /* the last line end counts, too */
    if (!whole)
        return false;
    no_text = value_from_text(whole);
    if (!text_method_find("splitlines")->call(r, &no_text, &(arguments){0}, &lines_value))
        return false;
    const sequence *lines = lines_value.sequence;
    for (size_t i = 0; i < lines->count; i++) {
        const text *line = lines->items[i].text;
        bool indented = i ? blank || line->length : first;
        if ((i && !builder_literal(&b, "\n")) || (indented && !builder_text(&b, by)) ||
            !builder_text(&b, line))
            return false;
    }
    return give_text(builder_finish(&b), out) && value_marked(r, self->text->markup, out);
}

/* Cuts at a word (or anywhere, with killwords) unless only `leeway` characters are too many. */
FILTER(truncate) {
    value v[4];
    int64_t length, leeway;
    const text *end;
    if (!arguments_bind(r, "truncate", a, "length killwords end leeway", 0, v) ||
        !argument_integer(r, "truncate", &v[0], 255, &length) ||
        !argument_text(r, "truncate", &v[2], &end) ||
        !argument_integer(r, "truncate",
                          v[3].type == VALUE_NONE ? &(value){VALUE_ABSENT, {0}} : &v[3], 5,
                          &leeway))
        return false;
    if (!end && !(end = text_view(r, "...", 3)))
        return false;
    if (length < (int64_t)end->characters || leeway < 0)
        return render_fail(r, "truncate: expected length >= %zu and leeway >= 0", end->characters);
    /* jinja2 asks for a length only, so what is short enough may be anything that has one. */
    size_t items;
    if (!value_length(r, self, &items))
        return false;
    if (leeway > INT64_MAX - length || (int64_t)items <= length + leeway) {
        *out = *self;
        return true;
    }
    if (self->type != VALUE_TEXT)
        return render_fail(r, "truncate: expected a string, found %s", value_type_name(self));
    const text *t = self->text;
    size_t cut = text_offset(t, (size_t)length - end->characters);
    text space;
    text_init(&space, " ", 1);
    /* Back to the last space, so that no word is cut; a text without a space is cut anyway. */
    if (!value_truth(&v[1])) {
        size_t word = text_find(t, &space, 0, cut, true);
        cut = word == SIZE_MAX ? cut : word;
    }
    t = text_slice(r, t, 0, cut);
    return t && text_join(r, t, end, out);
}

/* Runs of letters, digits and underscores. */
FILTER(wordcount) {
    const text *t;
    int64_t words = 0;
    bool inside = false;
    if (!no_arguments(r, "wordcount", a) || !value_to_text(r, self, &t))
        return false;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        at += utf8_decode(t->bytes + at, t->length - at, &c);
        bool word = c == '_' || character_has_class(c, CLASS_ALNUM);
        words += word && !inside;
        inside = word;
    }
    *out = value_from_integer(words);
    return true;
}

/* As Hugging Face redefines it: arguments and result are json.dumps's, nothing is escaped. */
FILTER(tojson) {
    value v[4];
    json_style style = {0};
    text_builder b = {.render = r};
    if (!arguments_bind(r, "tojson", a, "ensure_ascii indent separators sort_keys", 0, v))
        return false;
    /* Undefined and none count as false, as Python's json.dumps takes them. */
    style.ascii = value_truth(&v[0]);
    style.sort_keys = value_truth(&v[3]);
    int64_t width;
    if (v[1].type == VALUE_TEXT) {
        style.indent = v[1].text;
    } else if (v[1].type != VALUE_ABSENT && v[1].type != VALUE_NONE) {
        text space;
        text_builder spaces = {.render = r};
        text_init(&space, " ", 1);
        if (!argument_integer(r, "tojson(indent)", &v[1], 0, &width) ||
            !builder_repeat(&spaces, &space, width) || !(style.indent = builder_finish(&spaces)))
            return false;
    }
    if (v[2].type == VALUE_ABSENT || v[2].type == VALUE_NONE) {
        /* json.dumps leaves out the space behind a comma where a line end follows. */
        style.item_separator = text_copy(r, ", ", style.indent ? 1 : 2);
        style.key_separator = text_copy(r, ": ", 2);
    } else {
        const value *items;
        size_t count;
        if (!value_items(r, &v[2], &items, &count))
            return false;
        if (count != 2 || items[0].type != VALUE_TEXT || items[1].type != VALUE_TEXT)
            return render_fail(r, "tojson: separators are two strings");
        style.item_separator = items[0].text;
        style.key_separator = items[1].text;
    }
    return style.item_separator && style.key_separator && value_json(&b, self, &style, 0) &&
           give_text(builder_finish(&b), out);
}

/* ---- Any value ---------------------------------------------------------------------------- */

/* For what is undefined; with `boolean` for whatever is false. */
FILTER(default) {
    value v[2];
    if (!arguments_bind(r, "default", a, "default_value boolean", 0, v))
        return false;
    bool replaced = self->type == VALUE_UNDEFINED || (value_truth(&v[1]) && !value_truth(self));
    *out = *self;
    if (replaced && v[0].type == VALUE_ABSENT)
        return give_text(text_view(r, "", 0), out);
    if (replaced)
        *out = v[0];
    return true;
}

/* Undefined has length 0; a generator has none and fails. */
FILTER(length) {
    size_t length;
    if (!no_arguments(r, "length", a) || !value_length(r, self, &length))
        return false;
    *out = value_from_integer((int64_t)length);
    return true;
}

FILTER(attr) {
    value name;
    const text *t;
    if (!arguments_bind(r, "attr", a, "name", 1, &name) || !value_to_text(r, &name, &t) ||
        !(t = text_copy(r, t->bytes, t->length)))
        return false;
    if (self->type == VALUE_UNDEFINED)
        return render_undefined(r, self);
    /* Unlike a dot, it does not look into a dict. */
    if (self->type != VALUE_DICT)
        return value_attribute(r, self, t->bytes, out);
    if (!object_method(r, self, t->bytes, out))
        return false;
    return out->type != VALUE_ABSENT ||
           value_undefined(r, out, "'dict object' has no attribute '%.100s'", t->bytes);
}

/* ---- Table -------------------------------------------------------------------------------- */

static const builtin filters[] = {
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"trim", filter_trim},
    {"string", filter_string},
    {"safe", filter_safe},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"forceescape", filter_forceescape},
    {"replace", filter_replace},
    {"format", filter_format},
    {"center", filter_center},
    {"indent", filter_indent},
    {"truncate", filter_truncate},
    {"wordcount", filter_wordcount},
    {"tojson", filter_tojson},
    {"default", filter_default},
    {"d", filter_default},
    {"length", filter_length},
    {"count", filter_length},
    {"attr", filter_attr},
};

/* Four short tables: a template names a filter once for each time it is used, and strings of a
 * few letters compare fast. */
static const builtin *find(const char *name) {
    const builtin *b = builtin_find(filters, sizeof filters / sizeof *filters, name);
    b = b ? b : list_filter_find(name);
    b = b ? b : order_filter_find(name);
    return b ? b : number_filter_find(name);
}

bool filter_exists(const char *name) {
    return find(name) != NULL;
}

bool filter_call(render *r, const char *name, const value *self, const arguments *a, value *out) {
    static const char *const others[] = {"filesizeformat", "pprint", "random",  "striptags",
                                         "urlencode",      "urlize", "xmlattr", "wordwrap"};
    const builtin *b = find(name);
    if (b)
        return b->call(r, self, a, out);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return render_refuse(r, "the filter '%s' is not supported", name);
    return render_fail(r, "No filter named '%.100s'.", name);
}
