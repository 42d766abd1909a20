/* template_format.c - texts with places for values: "%s of %d" % (a, b) and "{} of
 * {n:>4}".format(). What is built: % with s r d i x f g e and %, {} with fields, attributes and
 * keys, and format specifications of texts and numbers.
 *
 * Numbers go through snprintf, whose conversions are exact as Python's are; where the two differ
 * (no code, '%', commas, "inf" in capitals) the difference is made here. Widths and precisions
 * come from the template: a width is bounded when it is read and paid for when it is written, a
 * precision is bounded by a buffer of fixed size. Characters that come from a message keep its
 * run, also when they are padded or cut. */
#include "tokenizer/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* How one value is written. */
typedef struct format_spec {
    text fill;  /* one character */
    char align; /* '<', '>', '^', '=' or 0: by type */
    char sign;  /* '-', '+' or ' ' */
    bool alternate, comma;
    int64_t width, precision; /* precision -1: not given */
    char kind;                /* 's', 'd', 'f', ... or 0: by type */
} format_spec;

/* ---- One value ---------------------------------------------------------------------------- */

/* Appends `sign` and `body`, padded to the width. */
static bool write_padded(text_builder *out, const format_spec *spec, const char *sign,
                         const text *body, char align) {
    int64_t gap = spec->width - (int64_t)body->characters - (int64_t)strlen(sign);
    if (gap < 0)
        gap = 0;
    /* Of an odd gap around a centred text the larger half is behind it. */
    int64_t left = align == '<' || align == '=' ? 0 : align == '^' ? gap / 2 : gap;
    int64_t inner = align == '=' ? gap : 0;
    return builder_repeat(out, &spec->fill, left) && builder_literal(out, sign) &&
           builder_repeat(out, &spec->fill, inner) && builder_text(out, body) &&
           builder_repeat(out, &spec->fill, gap - left - inner);
}

/* A precision cuts a text to that many characters. */
static bool format_text(text_builder *out, const format_spec *spec, const text *t) {
    if (spec->precision >= 0 && (int64_t)t->characters > spec->precision)
        t = text_slice(out->render, t, 0, text_offset(t, (size_t)spec->precision));
    return t && write_padded(out, spec, "", t, spec->align ? spec->align : '<');
}

/* Digits with a comma before every three of those in front of the point. */
static void add_commas(char *digits, size_t size) {
    size_t whole = strspn(digits, "0123456789");
    for (size_t at = whole; at > 3 && strlen(digits) + 2 < size;) {
        at -= 3;
        memmove(digits + at + 1, digits + at, strlen(digits + at) + 1);
        digits[at] = ',';
    }
}

#define DIGITS_MAX 480 /* of a number's digits; 1e308 with commas and a precision of 60 fits */

/* `prefix` ("0x") stands behind the sign and before any zeros that pad. */
static bool format_digits(text_builder *out, const format_spec *spec, bool negative,
                          const char *prefix, char *digits) {
    char head[4];
    if (spec->comma)
        add_commas(digits, DIGITS_MAX);
    snprintf(head, sizeof head, "%s%s",
             negative            ? "-"
             : spec->sign == '+' ? "+"
             : spec->sign == ' ' ? " "
                                 : "",
             prefix);
    text body;
    text_init(&body, digits, strlen(digits));
    return write_padded(out, spec, head, &body, spec->align ? spec->align : '>');
}

/* A precision without a code: that many digits, but always one behind the point, so an exponent
 * comes one digit sooner than with 'g'. */
static void short_digits(double size, int precision, char *digits) {
    /* At most 60 digits, a point, an exponent: format_real has checked the precision. */
    char scientific[96];
    precision = precision ? precision : 1;
    snprintf(scientific, sizeof scientific, "%.*e", precision - 1, size);
    char *tail = strchr(scientific, 'e');
    int exponent = (int)strtol(tail + 1, NULL, 10);
    if (exponent < -4 || exponent >= precision - 1) {
        size_t end = (size_t)(tail - scientific);
        while (precision > 1 && scientific[end - 1] == '0')
            end--;
        end -= scientific[end - 1] == '.';
        snprintf(digits, DIGITS_MAX, "%.*s%s", (int)end, scientific, tail);
        return;
    }
    snprintf(digits, DIGITS_MAX, "%.*f", precision - 1 - exponent, size);
    for (size_t n = strlen(digits); digits[n - 1] == '0' && digits[n - 2] != '.'; n--)
        digits[n - 1] = 0;
}

/* C's conversions are Python's, but for the exactness of %% and the missing precision of repr. */
static bool format_real(text_builder *out, const format_spec *spec, double d, char kind) {
    char digits[DIGITS_MAX], conversion[] = "%#.*f";
    int precision = spec->precision < 0 ? 6 : (int)min_i64(spec->precision, 61);
    /* The sign is written by format_digits, before zeros that pad; -0.0 has one, NaN has none. */
    double size = fabs(d);
    if (precision > 60)
        return render_refuse(out->render, "a precision of more than 60 digits");
    if (isnan(d) || isinf(d)) {
        bool upper = kind && strchr("EFG", kind);
        snprintf(digits, sizeof digits, "%s%s",
                 isnan(d) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"),
                 kind == '%' ? "%" : "");
    } else if (!kind && spec->precision >= 0) {
        short_digits(size, precision, digits);
    } else if (!kind) {
        real_format(size, digits);
    } else {
        /* "%#.*f", or "%.*f" without the flag. */
        char *letter = conversion + 4;
        if (!spec->alternate) {
            memmove(conversion + 1, conversion + 2, 4);
            letter--;
        }
        *letter = kind == '%' ? 'f' : kind;
        snprintf(digits, sizeof digits - 1, conversion, precision, kind == '%' ? size * 100 : size);
        if (kind == '%')
            strcat(digits, "%");
    }
    return format_digits(out, spec, signbit(d) && !isnan(d), "", digits);
}

/* A precision (of % only) is the least number of digits. */
static bool format_integer(text_builder *out, const format_spec *spec, int64_t i, char kind) {
    char digits[DIGITS_MAX];
    /* INT64_MIN has no positive twin among signed numbers. */
    unsigned long long size = i < 0 ? 0ull - (unsigned long long)i : (unsigned long long)i;
    const char *prefix = !spec->alternate ? ""
                         : kind == 'x'    ? "0x"
                         : kind == 'X'    ? "0X"
                         : kind == 'o'    ? "0o"
                                          : "";
    int least = spec->precision < 0 ? 1 : (int)min_i64(spec->precision, 61);
    if (least > 60)
        return render_refuse(out->render, "a precision of more than 60 digits");
    least = least ? least : 1; /* zero is written as 0 */
    if (kind == 'x')
        snprintf(digits, sizeof digits, "%.*llx", least, size);
    else if (kind == 'X')
        snprintf(digits, sizeof digits, "%.*llX", least, size);
    else if (kind == 'o')
        snprintf(digits, sizeof digits, "%.*llo", least, size);
    else
        snprintf(digits, sizeof digits, "%.*llu", least, size);
    return format_digits(out, spec, i < 0, prefix, digits);
}

/* What Python does not allow in a specification of this type; NULL when all is well. */
static const char *wrong_spec(const format_spec *spec, const value *v) {
    bool is_text = v->type == VALUE_TEXT;
    if (is_text && spec->kind && spec->kind != 's')
        return "unknown format code for object of type 'str'";
    if (is_text && spec->sign)
        return "Sign not allowed in string format specifier";
    if (is_text && spec->alternate)
        return "Alternate form (#) not allowed in string format specifier";
    if (is_text && spec->align == '=')
        return "'=' alignment not allowed in string format specifier";
    if (spec->comma && (is_text || (spec->kind && strchr("xXos", spec->kind))))
        return "Cannot specify ',' with this format code";
    if (!is_text && (!spec->kind || strchr("dxXo", spec->kind)) && spec->precision >= 0 &&
        v->type != VALUE_REAL)
        return "Precision not allowed in integer format specifier";
    return NULL;
}

/* One {} place: what a specification allows depends on the type. */
static bool format_value(text_builder *out, const format_spec *spec, const value *v) {
    render *r = out->render;
    int64_t i;
    bool is_integer = value_integer(v, &i);
    const char *wrong = value_is_number(v) || v->type == VALUE_TEXT ? wrong_spec(spec, v) : NULL;
    if (wrong)
        return render_fail(r, "%s", wrong);
    if (spec->comma && spec->align == '=')
        return render_refuse(r, "commas in a number padded with zeros");
    if (spec->kind && !strchr("sdxXoeEfFgG%", spec->kind))
        return render_refuse(r, "the format code '%c'", spec->kind);
    if (v->type == VALUE_TEXT)
        return format_text(out, spec, v->text);
    /* Anything can be written without a specification, as str() of it; with one, only texts and
     * numbers. */
    bool has_spec = spec->kind || spec->width || spec->precision >= 0 || spec->align ||
                    spec->sign || spec->alternate || spec->comma;
    if (!has_spec)
        return value_print(out, v);
    if (is_integer && (!spec->kind || strchr("dxXo", spec->kind)))
        return format_integer(out, spec, i, spec->kind);
    if (value_is_number(v) && spec->kind && strchr("eEfFgG%", spec->kind))
        return format_real(out, spec, value_real(v), spec->kind);
    if (v->type == VALUE_REAL && !spec->kind && !spec->alternate)
        return format_real(out, spec, v->real, 0);
    if (v->type == VALUE_REAL && !spec->kind)
        return render_refuse(r, "the format flag # without a format code");
    return render_fail(r, "unsupported format for object of type '%s'", value_type_name(v));
}

/* ---- "%s" % values ------------------------------------------------------------------------ */

typedef struct percent {
    render *render;
    text_builder out;
    const text *format;
    size_t at;
    const value *arguments; /* a tuple, a dict or the only value */
    size_t used;
} percent;

static bool next_value(percent *p, value *v) {
    const value *a = p->arguments;
    size_t count = a->type == VALUE_TUPLE ? a->sequence->count : 1;
    if (p->used >= count)
        return render_fail(p->render, "not enough arguments for format string");
    *v = a->type == VALUE_TUPLE ? a->sequence->items[p->used] : *a;
    p->used++;
    return true;
}

/* The next byte; 0 at the end, which no conversion can be. */
static char look(const percent *p) {
    return p->at < p->format->length ? p->format->bytes[p->at] : 0;
}

/* "(name)" picks from a dict. */
static bool named_value(percent *p, value *v) {
    size_t start = p->at + 1;
    while (look(p) && look(p) != ')')
        p->at++;
    if (!look(p) || p->arguments->type != VALUE_DICT)
        return render_fail(p->render, "format requires a mapping");
    const text *name = text_slice(p->render, p->format, start, p->at++);
    if (!name)
        return false;
    value key = value_from_text(name);
    const value *found;
    /* A dict is used by any of its keys; those that are not named do not matter. */
    p->used = 1;
    if (!dict_find(p->render, p->arguments->dict, &key, &found))
        return false;
    if (!found)
        return render_fail(p->render, "KeyError: %s", value_quote(p->render, &key));
    *v = *found;
    return true;
}

/* A number, or * for the next argument. */
static bool read_size(percent *p, int64_t *size) {
    value v;
    if (look(p) == '*') {
        p->at++;
        return next_value(p, &v) && argument_integer(p->render, "* in a format", &v, 0, size);
    }
    for (; look(p) >= '0' && look(p) <= '9'; p->at++)
        /* Checked digit by digit: it cannot grow until it wraps. */
        if ((*size = *size * 10 + (look(p) - '0')) > TEMPLATE_MAX_WIDTH)
            return render_fail(p->render, "width or precision too large");
    return true;
}

/* One % place. */
static bool percent_conversion(percent *p, const format_spec *spec, const value *v) {
    int64_t i;
    const text *t;
    if (spec->kind == 's' || spec->kind == 'r') {
        text_builder b = {.render = p->render};
        if (!(spec->kind == 's' ? value_print(&b, v) : value_repr(&b, v)) ||
            !(t = builder_finish(&b)))
            return false;
        format_spec right = *spec;
        right.align = spec->align == '<' ? '<' : '>';
        text_init(&right.fill, " ", 1);
        return format_text(&p->out, &right, t);
    }
    if (!value_is_number(v))
        return render_fail(p->render, "%%%c format: a real number is required, not %s", spec->kind,
                           value_type_name(v));
    if (strchr("eEfFgG", spec->kind))
        return format_real(&p->out, spec, value_real(v), spec->kind);
    /* %d of a float cuts it off towards zero; %x and %o want an integer. */
    if (!value_integer(v, &i)) {
        if (strchr("xXo", spec->kind) || !isfinite(v->real))
            return render_fail(p->render, "%%%c format: an integer is required, not float",
                               spec->kind);
        if (!(fabs(v->real) < 9e18))
            return render_refuse(p->render, "an integer that does not fit in 64 bits");
        i = (int64_t)v->real;
    }
    return format_integer(&p->out, spec, i, spec->kind);
}

/* "-" goes left, "0" fills with zeros unless it does, "#", "+" and " " are about signs. */
static void read_flags(percent *p, format_spec *spec) {
    text_init(&spec->fill, " ", 1);
    for (; look(p) && strchr("#0- +", look(p)); p->at++) {
        if (look(p) == '-') {
            spec->align = '<';
            text_init(&spec->fill, " ", 1);
        } else if (look(p) == '0' && spec->align != '<') {
            spec->align = '=';
            text_init(&spec->fill, "0", 1);
        } else if (look(p) == '#') {
            spec->alternate = true;
        } else if (look(p) == '+' || (look(p) == ' ' && spec->sign != '+')) {
            spec->sign = look(p);
        }
    }
}

/* Behind a %: (name), flags, width, precision, kind. */
static bool percent_place(percent *p) {
    format_spec spec = {.precision = -1};
    value v = {.type = VALUE_ABSENT};
    if (look(p) == '(' && !named_value(p, &v))
        return false;
    read_flags(p, &spec);
    if (!read_size(p, &spec.width))
        return false;
    if (spec.width < 0) { /* of a *, where it means "-" */
        spec.width = -spec.width;
        spec.align = '<';
        text_init(&spec.fill, " ", 1);
    }
    if (look(p) == '.') {
        p->at++;
        spec.precision = 0;
        if (!read_size(p, &spec.precision))
            return false;
        spec.precision = max_i64(spec.precision, 0);
    }
    /* At the end this is 0, and p->at one behind it: the loop that called ends then, too. */
    spec.kind = look(p);
    p->at++;
    if (spec.kind == '%')
        return builder_literal(&p->out, "%");
    if (!spec.kind)
        return render_fail(p->render, "incomplete format");
    if (!strchr("srdixXoeEfFgG", spec.kind))
        return render_refuse(p->render, "the format code '%%%c'", spec.kind);
    if (v.type == VALUE_ABSENT && !next_value(p, &v))
        return false;
    return percent_conversion(p, &spec, &v);
}

/* The text between places is sliced from the format, with its runs. One value that is no tuple is a
 * tuple of itself, which is why "%s" % [1, 2] prints the list. */
bool text_percent(render *r, const text *format, const value *arguments, value *out) {
    percent p = {.render = r, .out = {.render = r}, .format = format, .arguments = arguments};
    while (p.at < format->length) {
        const char *hit = memchr(format->bytes + p.at, '%', format->length - p.at);
        size_t place = hit ? (size_t)(hit - format->bytes) : format->length;
        if (!builder_slice(&p.out, format, p.at, place))
            return false;
        p.at = place + 1;
        if (hit && !percent_place(&p))
            return false;
    }
    size_t count = arguments->type == VALUE_TUPLE ? arguments->sequence->count : 1;
    /* Python takes whatever has [] for a mapping, whose items need not all be used. */
    bool may_be_left = arguments->type == VALUE_DICT || arguments->type == VALUE_LIST ||
                       arguments->type == VALUE_RANGE || arguments->type == VALUE_UNDEFINED;
    if (p.used < count && !may_be_left)
        return render_fail(r, "not all arguments converted during string formatting");
    const text *t = builder_finish(&p.out);
    *out = value_from_text(t);
    return t != NULL;
}

/* ---- "{}".format() ------------------------------------------------------------------------ */

typedef struct braces {
    render *render;
    const arguments *arguments;
    size_t automatic; /* the next {} without a number */
    bool numbered;
} braces;

static bool all_digits(const char *s, size_t length) {
    size_t i = 0;
    while (i < length && s[i] >= '0' && s[i] <= '9')
        i++;
    return length > 0 && i == length;
}

/* The number that `length` digits are, at most 1e9. */
static int64_t number_of(const char *s, size_t length) {
    int64_t n = 0;
    for (size_t i = 0; i < length && n < 1000000000; i++)
        n = n * 10 + (s[i] - '0');
    return n;
}

/* The argument a field starts with: by name, by number, or the next one. */
static bool field_root(braces *b, const char *name, size_t length, value *v) {
    const arguments *a = b->arguments;
    if (length && !all_digits(name, length)) {
        for (size_t i = 0; i < a->keyword_count; i++)
            if (strlen(a->keywords[i].name) == length &&
                memcmp(a->keywords[i].name, name, length) == 0) {
                *v = a->keywords[i].value;
                return true;
            }
        return render_fail(b->render, "KeyError: '%.*s'", (int)min_i64((int64_t)length, 100), name);
    }
    /* {} and {0} may not be mixed; which came first does not matter. */
    if ((length && b->automatic) || (!length && b->numbered))
        return render_fail(b->render, "cannot switch between manual and automatic field numbering");
    b->numbered |= length > 0;
    size_t place = length ? (size_t)number_of(name, length) : b->automatic++;
    if (place >= a->count)
        return render_fail(b->render,
                           "Replacement index %zu out of range for positional args "
                           "tuple",
                           place);
    *v = a->items[place];
    return true;
}

/* name.attribute[key]... */
static bool field_value(braces *b, const char *s, size_t length, value *v) {
    size_t at = 0;
    while (at < length && s[at] != '.' && s[at] != '[')
        at++;
    if (!field_root(b, s, at, v))
        return false;
    while (at < length) {
        char open = s[at++];
        size_t start = at;
        /* A key ends at its bracket and may hold dots; an attribute ends at the next of both. */
        while (at < length && (open == '[' ? s[at] != ']' : s[at] != '.' && s[at] != '['))
            at++;
        const text *name = text_copy(b->render, s + start, at - start);
        value object = *v, key = value_from_text(name);
        if (!name)
            return false;
        if (open == '[' && all_digits(s + start, at - start))
            key = value_from_integer(number_of(s + start, at - start));
        if (!(open == '[' ? value_item(b->render, &object, &key, v)
                          : value_attribute(b->render, &object, name->bytes, v)))
            return false;
        at += open == '[';
    }
    return true;
}

/* [[fill]align][sign][#][0][width][,][.precision][kind] */
static bool read_spec(braces *b, const char *s, size_t length, bool is_text, format_spec *spec) {
    size_t at = 0, first = 0;
    uint32_t c;
    text_init(&spec->fill, " ", 1);
    if (length)
        first = utf8_decode(s, length, &c);
    if (first < length && s[first] && strchr("<>^=", s[first])) {
        text_init(&spec->fill, s, first);
        spec->align = s[first];
        at = first + 1;
    } else if (length && s[0] && strchr("<>^=", s[0])) {
        spec->align = s[0];
        at = 1;
    }
    /* A fill that was given stays, where a 0 before the width would be another one. */
    bool filled = at > 1;
    if (at < length && s[at] && strchr("+- ", s[at]))
        spec->sign = s[at++];
    if (at < length && s[at] == '#')
        spec->alternate = ++at;
    if (at < length && s[at] == '0' && !filled) {
        text_init(&spec->fill, "0", 1);
        if (!spec->align && !is_text)
            spec->align = '=';
        at++;
    }
    size_t digits = strspn(s + at, "0123456789");
    spec->width = number_of(s + at, digits);
    at += digits;
    if (at < length && s[at] == ',')
        spec->comma = ++at;
    if (at < length && s[at] == '.') {
        digits = strspn(s + ++at, "0123456789");
        spec->precision = number_of(s + at, digits);
        at += digits;
    }
    if (at < length)
        spec->kind = s[at++];
    return at == length || render_fail(b->render, "Invalid format specifier '%.100s'", s);
}

/* What stands between { and }: field, !conversion, :specification. */
static bool write_field(braces *b, text_builder *out, const char *s, size_t length) {
    format_spec spec = {.precision = -1};
    size_t name = 0;
    value v;
    while (name < length && s[name] != '!' && s[name] != ':')
        /* ':' and '!' inside of brackets belong to a key. */
        name += s[name] == '[' ? strcspn(s + name, "]") : 1;
    name = name > length ? length : name;
    if (!field_value(b, s, name, &v))
        return false;
    size_t at = name;
    if (at + 1 < length && s[at] == '!') {
        text_builder converted = {.render = b->render};
        if (s[at + 1] != 'r' && s[at + 1] != 's')
            return render_refuse(b->render, "the conversion !%c", s[at + 1]);
        if (!(s[at + 1] == 'r' ? value_repr(&converted, &v) : value_print(&converted, &v)))
            return false;
        v = value_from_text(builder_finish(&converted));
        if (!v.text)
            return false;
        at += 2;
    }
    if (at < length && s[at] != ':')
        return render_fail(b->render, "expected ':' after conversion specifier");
    if (memchr(s + at, '{', length - at))
        return render_refuse(b->render, "fields inside a format specification");
    at += at < length;
    return read_spec(b, s + at, length - at, v.type == VALUE_TEXT, &spec) &&
           format_value(out, &spec, &v);
}

bool text_method_format(render *r, const value *self, const arguments *a, value *out) {
    braces b = {.render = r, .arguments = a};
    text_builder written = {.render = r};
    if (self->text->markup)
        return render_refuse(r, "format() of markup");
    /* NUL-terminated, so that looking at the next character is safe. */
    const text *t = text_copy(r, self->text->bytes, self->text->length);
    for (size_t at = 0; t && at < t->length;) {
        size_t stop = at + strcspn(t->bytes + at, "{}");
        if (!builder_slice(&written, self->text, at, stop))
            return false;
        if (stop >= t->length)
            break;
        /* A NUL ends strcspn's search but not the text; {{ and }} stand for one brace. */
        if (!t->bytes[stop] || t->bytes[stop + 1] == t->bytes[stop]) {
            if (!builder_slice(&written, self->text, stop, stop + 1))
                return false;
            at = stop + (t->bytes[stop] ? 2 : 1);
            continue;
        }
        size_t end = stop + 1, open = 1;
        if (t->bytes[stop] == '}')
            return render_fail(r, "Single '}' encountered in format string");
        for (; end < t->length; end++) {
            open += (t->bytes[end] == '{') - (t->bytes[end] == '}');
            if (!open)
                break;
        }
        if (end >= t->length)
            return render_fail(r, "expected '}' before end of string");
        const text *field = text_copy(r, t->bytes + stop + 1, end - stop - 1);
        if (!field || !write_field(&b, &written, field->bytes, field->length))
            return false;
        at = end + 1;
    }
    const text *result = t ? builder_finish(&written) : NULL;
    *out = value_from_text(result);
    return result != NULL;
}
