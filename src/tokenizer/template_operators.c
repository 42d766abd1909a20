/* template_operators.c - what + - * / // % ** and slices make of values, as in Python. Integers
 * have 64 bits: where Python's would grow beyond, the rendering fails. */
#include "tokenizer/template.h"

#include <math.h>

/* ---- Numbers ------------------------------------------------------------------------------ */

/* Python would go on with a longer integer; to wrap around would be a silent lie. */
static bool too_large(render *r) {
    return render_refuse(r, "an integer that does not fit in 64 bits");
}

/* Squares and products; the last square is not computed when no factor follows, as it may
 * overflow although the result fits. */
static bool integer_power(render *r, int64_t base, int64_t exponent, int64_t *out) {
    int64_t result = 1;
    bool fits = true;
    while (exponent > 0) {
        if (exponent & 1)
            fits = !__builtin_mul_overflow(result, base, &result);
        exponent >>= 1;
        if (!fits || (exponent && __builtin_mul_overflow(base, base, &base)))
            return too_large(r);
    }
    *out = result;
    return true;
}

/* Quotient and remainder with the remainder's sign that of the divisor. */
static void floor_divide(int64_t a, int64_t b, int64_t *quotient, int64_t *rest) {
    *quotient = a / b;
    *rest = a % b;
    if (*rest && (*rest < 0) != (b < 0)) {
        *rest += b;
        --*quotient;
    }
}

static bool integer_binary(render *r, const char *sign, int64_t a, int64_t b, value *out) {
    int64_t result = 0, rest = 0;
    bool overflow = false;
    if (strcmp(sign, "/") == 0) {
        *out = value_from_real(b ? (double)a / (double)b : 0);
        return b || render_fail(r, "division by zero");
    }
    if (strcmp(sign, "**") == 0) {
        if (b < 0) {
            *out = value_from_real(a ? pow((double)a, (double)b) : 0);
            return a || render_fail(r, "0.0 cannot be raised to a negative power");
        }
        if (!integer_power(r, a, b, &result))
            return false;
    } else if (sign[0] == '+') {
        overflow = __builtin_add_overflow(a, b, &result);
    } else if (sign[0] == '-') {
        overflow = __builtin_sub_overflow(a, b, &result);
    } else if (sign[0] == '*') {
        overflow = __builtin_mul_overflow(a, b, &result);
    } else {
        if (!b)
            return render_fail(r, "integer division or modulo by zero");
        /* The one quotient that does not fit, which the processor traps. */
        overflow = b == -1 && a == INT64_MIN;
        if (!overflow)
            floor_divide(a, b, &result, &rest);
        result = sign[0] == '%' ? rest : result;
    }
    *out = value_from_integer(result);
    return !overflow || too_large(r);
}

/* Quotients and remainders round towards minus infinity, also in their signed zeros. */
static bool real_binary(render *r, const char *sign, double a, double b, value *out) {
    double result = 0;
    if (strcmp(sign, "**") == 0) {
        if (a == 0 && b < 0)
            return render_fail(r, "0.0 cannot be raised to a negative power");
        /* Python goes on with a complex number; no template means that. */
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            return render_refuse(r, "complex numbers");
        result = pow(a, b);
        if (isinf(result) && isfinite(a) && isfinite(b))
            return render_fail(r, "Result too large");
    } else if (sign[0] == '+') {
        result = a + b;
    } else if (sign[0] == '-') {
        result = a - b;
    } else if (sign[0] == '*') {
        result = a * b;
    } else {
        if (b == 0)
            return render_fail(r, "float division by zero");
        /* As CPython's float_divmod: fmod is exact, so the quotient is nearly whole and is
         * rounded to what it must be. */
        double rest = fmod(a, b);
        double quotient = (a - rest) / b;
        if (rest != 0 && (rest < 0) != (b < 0)) {
            rest += b;
            quotient -= 1;
        } else if (rest == 0) {
            rest = copysign(0, b);
        }
        double whole = quotient != 0 ? floor(quotient) : copysign(0, a / b);
        if (quotient - whole > 0.5)
            whole += 1;
        result = strcmp(sign, "/") == 0 ? a / b : sign[0] == '%' ? rest : whole;
    }
    *out = value_from_real(result);
    return true;
}

bool value_negate(render *r, const value *v, bool minus, value *out) {
    int64_t i;
    if (v->type == VALUE_UNDEFINED)
        return render_undefined(r, v);
    if (v->type == VALUE_REAL) {
        *out = value_from_real(minus ? -v->real : v->real);
        return true;
    }
    if (!value_integer(v, &i))
        return render_fail(r, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
                           value_type_name(v));
    *out = value_from_integer(minus && i != INT64_MIN ? -i : i);
    return !minus || i != INT64_MIN || too_large(r);
}

/* ---- Texts and lists ---------------------------------------------------------------------- */

/* Markup and plain text join to markup, the plain one escaped first: jinja2's rule, by which
 * "safe" never makes an unsafe neighbour safe. */
bool text_join(render *r, const text *a, const text *b, value *out) {
    bool markup = a->markup || b->markup;
    if (markup && (!(a = text_escaped(r, a)) || !(b = text_escaped(r, b))))
        return false;
    const text *joined = text_concat(r, a, b);
    if (joined)
        joined = text_marked(r, joined, markup);
    *out = value_from_text(joined);
    return joined != NULL;
}

static bool join_lists(render *r, const value *a, const value *b, value *out) {
    size_t n = a->sequence->count, m = b->sequence->count;
    value *items = render_array(r, n + m, sizeof *items);
    if (!items || !render_spend(r, n + m))
        return false;
    if (n)
        memcpy(items, a->sequence->items, n * sizeof *items);
    if (m)
        memcpy(items + n, b->sequence->items, m * sizeof *items);
    return value_list(r, a->type, items, n + m, out);
}

static bool repeat(render *r, const value *v, int64_t times, value *out) {
    if (times < 0)
        times = 0;
    if (v->type == VALUE_TEXT) {
        text_builder b = {.render = r};
        if (!builder_repeat(&b, v->text, times))
            return false;
        const text *t = builder_finish(&b);
        if (t)
            t = text_marked(r, t, v->text->markup);
        *out = value_from_text(t);
        return t != NULL;
    }
    size_t n = v->sequence->count, total;
    /* Too many to count are too many to pay for: the work limit refuses them before memory is
     * asked for. */
    if (!size_mul(n, (size_t)times, &total))
        total = SIZE_MAX;
    if (!render_spend(r, total))
        return false;
    value *items = render_array(r, total, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < total; i++)
        items[i] = v->sequence->items[i % n];
    return value_list(r, v->type, items, total, out);
}

static bool is_repeatable(const value *v) {
    return v->type == VALUE_TEXT || v->type == VALUE_LIST || v->type == VALUE_TUPLE;
}

/* Python's messages; an undefined operand explains itself. */
static bool no_operation(render *r, const char *sign, const value *a, const value *b) {
    const value *undefined = a->type == VALUE_UNDEFINED ? a : b;
    if (undefined->type == VALUE_UNDEFINED)
        return render_undefined(r, undefined);
    if (sign[0] == '+' && is_repeatable(a))
        return render_fail(r, "can only concatenate %s (not \"%s\") to %s", value_type_name(a),
                           value_type_name(b), value_type_name(a));
    return render_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", sign,
                       value_type_name(a), value_type_name(b));
}

/* `%` of a text formats whatever is on its right, a number too, so it comes before the rest; `+`
 * joins equal types only. */
bool value_binary(render *r, const char *sign, const value *a, const value *b, value *out) {
    int64_t i, j;
    if (value_is_number(a) && value_is_number(b)) {
        if (value_integer(a, &i) && value_integer(b, &j))
            return integer_binary(r, sign, i, j, out);
        return real_binary(r, sign, value_real(a), value_real(b), out);
    }
    if (strcmp(sign, "%") == 0 && a->type == VALUE_TEXT)
        return text_percent(r, a->text, b, out);
    if (strcmp(sign, "+") == 0 && a->type == b->type && is_repeatable(a))
        return a->type == VALUE_TEXT ? text_join(r, a->text, b->text, out)
                                     : join_lists(r, a, b, out);
    if (strcmp(sign, "*") == 0 && is_repeatable(a) && value_integer(b, &j))
        return repeat(r, a, j, out);
    if (strcmp(sign, "*") == 0 && is_repeatable(b) && value_integer(a, &i))
        return repeat(r, b, i, out);
    return no_operation(r, sign, a, b);
}

/* ---- Indices and slices ------------------------------------------------------------------- */

bool index_resolve(int64_t index, size_t count, size_t *place) {
    if (index < 0)
        index += (int64_t)count;
    *place = (size_t)index;
    return index >= 0 && index < (int64_t)count;
}

/* A bound of a slice moved into low..high; `fallback` where it is none. */
static bool bound(render *r, const value *v, int64_t count, int64_t low, int64_t high,
                  int64_t fallback, int64_t *out) {
    *out = fallback;
    if (v->type == VALUE_NONE)
        return true;
    if (!value_integer(v, out))
        return render_fail(r, "slice indices must be integers or None");
    if (*out < 0)
        *out = *out < -count ? -1 : *out + count;
    *out = *out < low ? low : *out > high ? high : *out;
    return true;
}

/* `length` characters from `start`, `step` apart; the bounds have been checked. */
static bool slice_text(render *r, const text *t, int64_t start, int64_t step, int64_t length,
                       value *out) {
    const text *slice;
    if (t->characters != t->length && !render_spend_walk(r, t->length))
        return false;
    if (step == 1) {
        size_t from = text_offset(t, (size_t)start);
        size_t to = text_offset(t, (size_t)(start + length));
        slice = text_slice(r, t, from, length ? to : from);
    } else {
        /* Walk a table of offsets: text_offset for each character would be quadratic. */
        const value *characters;
        size_t count;
        text_builder b = {.render = r};
        value whole = value_from_text(t);
        if (!value_items(r, &whole, &characters, &count))
            return false;
        for (int64_t i = 0; i < length; i++)
            if (!builder_text(&b, characters[start + i * step].text))
                return false;
        slice = builder_finish(&b);
        slice = slice ? text_marked(r, slice, t->markup) : NULL;
    }
    *out = value_from_text(slice);
    return slice != NULL;
}

bool value_slice(render *r, const value *v, const value bounds[3], value *out) {
    int64_t start, stop, step = 1;
    size_t size;
    bool is_list = v->type == VALUE_LIST || v->type == VALUE_TUPLE || v->type == VALUE_RANGE;
    if (v->type == VALUE_UNDEFINED)
        return render_undefined(r, v);
    if (v->type != VALUE_TEXT && !is_list)
        return render_fail(r, "'%s' object cannot be sliced", value_type_name(v));
    if (bounds[2].type != VALUE_NONE && !value_integer(&bounds[2], &step))
        return render_fail(r, "slice indices must be integers or None");
    if (!step)
        return render_fail(r, "slice step cannot be zero");
    if (!value_length(r, v, &size))
        return false;
    int64_t n = (int64_t)size, low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    if (!bound(r, &bounds[0], n, low, high, step < 0 ? n - 1 : 0, &start) ||
        !bound(r, &bounds[1], n, low, high, step < 0 ? -1 : n, &stop))
        return false;
    /* A step beyond both ends takes one item, whatever its size; this one does the same and
     * cannot overflow below. */
    if (step < -n - 1 || step > n + 1)
        step = step < 0 ? -n - 1 : n + 1; /* one item either way, and nothing overflows */
    int64_t span = step > 0 ? stop - start : start - stop, stride = step > 0 ? step : -step;
    int64_t length = span > 0 ? (span - 1) / stride + 1 : 0;
    if (v->type == VALUE_TEXT)
        return slice_text(r, v->text, start, step, length, out);
    value *items = render_array(r, (size_t)length, sizeof *items);
    if (!items || !render_spend(r, (size_t)length))
        return false;
    for (int64_t i = 0; i < length; i++)
        items[i] = v->sequence->items[start + i * step];
    if (!value_list(r, v->type, items, (size_t)length, out))
        return false;
    /* A slice of a range is a range, which prints by its bounds. */
    if (v->type == VALUE_RANGE) {
        const sequence *s = v->sequence;
        out->sequence->step = s->step * step;
        out->sequence->start = s->start + start * s->step;
        out->sequence->stop = s->start + stop * s->step;
    }
    return true;
}
