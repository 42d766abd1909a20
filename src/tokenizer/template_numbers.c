/* template_numbers.c - filters that make numbers, from texts as Python's int() and float() read
 * them, and round them as Python's round() does. */
#include "tokenizer/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FILTER(name)                                                                               \
    static bool filter_##name(render *r, const value *self, const arguments *a, value *out)

/* ---- Reading ------------------------------------------------------------------------------ */

/* A number in a text as Python's int() and float() read it: white space around it, single
 * underscores between digits. *clean is what strtod and strtoll may read. */
static bool number_text(render *r, const text *t, const char **clean) {
    size_t from = space_leading(t->bytes, t->length);
    size_t to = space_trimmed_end(t->bytes, t->length);
    char *copy = render_alloc(r, t->length + 1);
    *clean = copy;
    size_t n = 0;
    for (size_t i = from; copy && i < to; i++) {
        /* Copied without underscores that stand between digits; others stay and make the number
         * none. */
        bool between = i > from && i + 1 < to && t->bytes[i - 1] != '_' && t->bytes[i + 1] != '_';
        if (t->bytes[i] != '_' || !between)
            copy[n++] = t->bytes[i] ? t->bytes[i] : '?';
    }
    return copy != NULL;
}

static bool text_to_real(const char *s, double *d) {
    char *end;
    /* strtod reads hexadecimal and "nan(...)", Python does not. */
    if (!*s || strpbrk(s, "xX(") || character_is_space((unsigned char)*s))
        return false;
    *d = strtod(s, &end);
    return *end == 0;
}

/* All of `s` as Python's int() reads it: a prefix such as 0x only where the base allows it. */
static bool text_to_integer(const char *s, int base, int64_t *i, bool *too_large) {
    char *end;
    const char *digits = s + (*s == '-' || *s == '+');
    if (!*digits || *digits == '-' || *digits == '+' || character_is_space((unsigned char)*digits))
        return false;
    /* Bit 5 makes a letter a small one. */
    char prefix = digits[0] == '0' ? (char)(digits[1] | 32) : 0;
    int prefix_base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (base == 0)
        base = prefix_base ? prefix_base : 10;
    bool prefixed = prefix_base == base && base != 10;
    if (prefixed)
        digits += 2;
    if (!*digits || strpbrk(digits, "xX+- "))
        return false;
    unsigned long long size = strtoull(digits, &end, base);
    /* strtoull stops at the largest number it has, which is beyond ours in any base. */
    *too_large = strlen(digits) > 15 && size > INT64_MAX;
    *i = *s == '-' ? -(int64_t)(size & INT64_MAX) : (int64_t)(size & INT64_MAX);
    return *end == 0;
}

/* Towards zero; what is no number gives the fallback. */
static bool real_to_integer(render *r, double d, const value *fallback, value *out) {
    *out = *fallback;
    if (isnan(d) || isinf(d))
        return true;
    if (!(fabs(d) < 9223372036854775808.0))
        return render_refuse(r, "an integer that does not fit in 64 bits");
    *out = value_from_integer((int64_t)d);
    return true;
}

/* "42.9" is 42: what int() refuses goes through float(). */
FILTER(int) {
    value v[2];
    int64_t base, i;
    if (!arguments_bind(r, "int", a, "default base", 0, v) ||
        !argument_integer(r, "int", &v[1], 10, &base))
        return false;
    if (base && (base < 2 || base > 36))
        return render_fail(r, "int() base must be >= 2 and <= 36, or 0");
    value fallback = v[0].type == VALUE_ABSENT ? value_from_integer(0) : v[0];
    *out = fallback;
    if (self->type == VALUE_UNDEFINED)
        return render_undefined(r, self);
    if (value_integer(self, &i)) {
        *out = value_from_integer(i);
        return true;
    }
    if (self->type == VALUE_REAL)
        return real_to_integer(r, self->real, &fallback, out);
    if (self->type != VALUE_TEXT)
        return true;
    const char *s;
    double d;
    bool too_large = false;
    if (!number_text(r, self->text, &s))
        return false;
    if (text_to_integer(s, (int)base, &i, &too_large)) {
        *out = value_from_integer(i);
        return !too_large || render_refuse(r, "an integer that does not fit in 64 bits");
    }
    return !text_to_real(s, &d) || real_to_integer(r, d, &fallback, out);
}

/* What is no number gives the default, 0.0 unless given; only undefined is an error, as jinja2's
 * Undefined refuses float(). */
FILTER(float) {
    value v;
    double d;
    const char *s;
    if (!arguments_bind(r, "float", a, "default", 0, &v))
        return false;
    if (self->type == VALUE_UNDEFINED)
        return render_undefined(r, self);
    *out = v.type == VALUE_ABSENT ? value_from_real(0) : v;
    if (value_is_number(self)) {
        *out = value_from_real(value_real(self));
    } else if (self->type == VALUE_TEXT) {
        if (!number_text(r, self->text, &s))
            return false;
        if (text_to_real(s, &d))
            *out = value_from_real(d);
    }
    return true;
}

/* ---- Rounding ----------------------------------------------------------------------------- */

FILTER(abs) {
    int64_t i;
    if (a->count || a->keyword_count)
        return render_fail(r, "abs takes no arguments");
    if (self->type == VALUE_UNDEFINED)
        return render_undefined(r, self);
    if (!value_is_number(self))
        return render_fail(r, "bad operand type for abs(): '%s'", value_type_name(self));
    if (self->type == VALUE_REAL) {
        *out = value_from_real(fabs(self->real));
        return true;
    }
    value_integer(self, &i);
    value v = value_from_integer(i);
    return value_negate(r, &v, i < 0, out);
}

/* Python's round: to the nearest, halves to even, decided on the exact decimal value. */
static double round_real(double d, int64_t digits) {
    char text[420];
    if (isnan(d) || isinf(d) || digits > 60)
        return d;
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, d);
        return strtod(text, NULL);
    }
    if (digits < -308)
        return copysign(0, d);
    /* Before the point there are no decimals to be exact about. */
    double unit = pow(10, (double)-digits);
    return rint(d / unit) * unit;
}

/* An integer to a multiple of 10^-digits, halves to even. */
static bool round_integer(render *r, int64_t i, int64_t digits, value *out) {
    int64_t unit = 1;
    *out = value_from_integer(digits < -18 ? 0 : i);
    if (digits >= 0 || digits < -18)
        return true;
    for (; digits < 0; digits++)
        unit *= 10;
    int64_t rest = i % unit, down;
    if (rest < 0)
        rest += unit;
    if (__builtin_sub_overflow(i, rest, &down))
        return render_refuse(r, "an integer that does not fit in 64 bits");
    bool up = rest > unit / 2 || (rest == unit / 2 && (down / unit) % 2 != 0);
    if (up && __builtin_add_overflow(down, unit, &down))
        return render_refuse(r, "an integer that does not fit in 64 bits");
    *out = value_from_integer(down);
    return true;
}

FILTER(round) {
    value v[2];
    int64_t digits, i;
    const text *method;
    if (!arguments_bind(r, "round", a, "precision method", 0, v) ||
        !argument_integer(r, "round", &v[0], 0, &digits) ||
        !argument_text(r, "round", &v[1], &method))
        return false;
    bool up = method && text_is(method, "ceil"), down = method && text_is(method, "floor");
    if (method && !up && !down && !text_is(method, "common"))
        return render_fail(r, "method must be common, ceil or floor");
    if (self->type == VALUE_UNDEFINED)
        return render_undefined(r, self);
    if (!value_is_number(self))
        return render_fail(r, "type %s doesn't define __round__ method", value_type_name(self));
    /* jinja2 computes these in floats, also of integers. */
    if (up || down) {
        double unit = pow(10, (double)digits), scaled = value_real(self) * unit;
        *out = value_from_real((up ? ceil(scaled) : floor(scaled)) / unit);
        return true;
    }
    if (value_integer(self, &i))
        return round_integer(r, i, digits, out);
    *out = value_from_real(round_real(self->real, digits));
    return true;
}

const builtin *number_filter_find(const char *name) {
    static const builtin filters[] = {{"int", filter_int},
                                      {"float", filter_float},
                                      {"abs", filter_abs},
                                      {"round", filter_round}};
    return builtin_find(filters, sizeof filters / sizeof *filters, name);
}
