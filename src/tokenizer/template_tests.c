/* template_tests.c - what can stand behind "is". A test gives true or false and has no other
 * effect; how many arguments it takes stands in the table at the end, and is checked before the
 * test is called.
 *
 * Tests by an operator (eq, lt, in and their other names) are the operators themselves, with the
 * same errors: 'a' is lt 1 fails as 'a' < 1 does. */
#include "tokenizer/template.h"

static bool answer(value *out, bool yes) {
    *out = value_bool(yes);
    return true;
}

/* ---- Values -------------------------------------------------------------------------------- */

/* 1 is not true: only the two booleans are. */
static bool test_true(render *r, const value *v, const arguments *a, value *out) {
    (void)r;
    (void)a;
    return answer(out, v->type == VALUE_BOOL && v->boolean);
}

static bool test_false(render *r, const value *v, const arguments *a, value *out) {
    (void)r;
    (void)a;
    return answer(out, v->type == VALUE_BOOL && !v->boolean);
}

static bool test_escaped(render *r, const value *v, const arguments *a, value *out) {
    (void)r;
    (void)a;
    return answer(out, v->type == VALUE_TEXT && v->text->markup);
}

/* ---- Numbers and texts -------------------------------------------------------------------- */

/* v % divisor == rest */
/* By the operator %, so that a float is odd or even as Python has it, and a text (whose %
 * formats) fails or is compared. */
static bool has_rest(render *r, const value *v, value divisor, int64_t rest, value *out) {
    value remainder, wanted = value_from_integer(rest);
    bool equal;
    if (!value_binary(r, "%", v, &divisor, &remainder) ||
        !value_equal(r, &remainder, &wanted, &equal))
        return false;
    return answer(out, equal);
}

static bool test_odd(render *r, const value *v, const arguments *a, value *out) {
    (void)a;
    return has_rest(r, v, value_from_integer(2), 1, out);
}

static bool test_even(render *r, const value *v, const arguments *a, value *out) {
    (void)a;
    return has_rest(r, v, value_from_integer(2), 0, out);
}

static bool test_divisible(render *r, const value *v, const arguments *a, value *out) {
    return has_rest(r, v, a->items[0], 0, out);
}

static bool test_lower(render *r, const value *v, const arguments *a, value *out) {
    const text *t;
    (void)a;
    return value_to_text(r, v, &t) && render_spend_walk(r, t->length) &&
           answer(out, text_has_class(t, CLASS_LOWER));
}

static bool test_upper(render *r, const value *v, const arguments *a, value *out) {
    const text *t;
    (void)a;
    return value_to_text(r, v, &t) && render_spend_walk(r, t->length) &&
           answer(out, text_has_class(t, CLASS_UPPER));
}

/* ---- Comparisons -------------------------------------------------------------------------- */

static bool test_equal(render *r, const value *v, const arguments *a, value *out) {
    bool equal;
    return value_equal(r, v, &a->items[0], &equal) && answer(out, equal);
}

static bool test_unequal(render *r, const value *v, const arguments *a, value *out) {
    bool equal;
    return value_equal(r, v, &a->items[0], &equal) && answer(out, !equal);
}

static bool test_less(render *r, const value *v, const arguments *a, value *out) {
    int order;
    return value_order(r, v, &a->items[0], "<", &order) && answer(out, order == -1);
}

static bool test_less_equal(render *r, const value *v, const arguments *a, value *out) {
    int order;
    return value_order(r, v, &a->items[0], "<=", &order) && answer(out, order == -1 || order == 0);
}

static bool test_greater(render *r, const value *v, const arguments *a, value *out) {
    int order;
    return value_order(r, v, &a->items[0], ">", &order) && answer(out, order == 1);
}

static bool test_greater_equal(render *r, const value *v, const arguments *a, value *out) {
    int order;
    return value_order(r, v, &a->items[0], ">=", &order) && answer(out, order == 1 || order == 0);
}

static bool test_in(render *r, const value *v, const arguments *a, value *out) {
    bool found;
    return value_contains(r, &a->items[0], v, &found) && answer(out, found);
}

/* The same object; numbers and texts, which Python shares as it likes, by type and value. */
static bool test_same(render *r, const value *v, const arguments *a, value *out) {
    const value *other = &a->items[0];
    bool equal = v->type == other->type;
    if (equal && v->type >= VALUE_LIST)
        return answer(out, v->dict == other->dict);
    return (!equal || value_equal(r, v, other, &equal)) && answer(out, equal);
}

static bool test_filter(render *r, const value *v, const arguments *a, value *out) {
    const text *t;
    (void)a;
    return value_to_text(r, v, &t) && (t = text_copy(r, t->bytes, t->length)) &&
           answer(out, filter_exists(t->bytes));
}

static bool test_test(render *r, const value *v, const arguments *a, value *out) {
    const text *t;
    (void)a;
    return value_to_text(r, v, &t) && (t = text_copy(r, t->bytes, t->length)) &&
           answer(out, test_exists(t->bytes));
}

/* ---- Table -------------------------------------------------------------------------------- */

#define TYPE(name) (1u << VALUE_##name)
#define LISTS      (TYPE(LIST) | TYPE(TUPLE) | TYPE(RANGE))

/* A test asks for one of some types, or calls a function with one argument or none. */
static const struct {
    const char *name;
    unsigned types;
    function_call call;
    size_t arguments;
} tests[] = {
    {"defined", ~TYPE(UNDEFINED), NULL, 0},
    {"undefined", TYPE(UNDEFINED), NULL, 0},
    {"none", TYPE(NONE), NULL, 0},
    {"boolean", TYPE(BOOL), NULL, 0},
    {"integer", TYPE(INTEGER), NULL, 0},
    {"float", TYPE(REAL), NULL, 0},
    {"number", TYPE(INTEGER) | TYPE(REAL) | TYPE(BOOL), NULL, 0},
    {"string", TYPE(TEXT), NULL, 0},
    {"mapping", TYPE(DICT), NULL, 0},
    /* Has a length and an index; a dict has, its views have not. An undefined value can be walked
     * too, and called, as far as Python knows beforehand. */
    {"sequence", LISTS | TYPE(TEXT) | TYPE(DICT) | TYPE(UNDEFINED), NULL, 0},
    {"iterable",
     LISTS | TYPE(TEXT) | TYPE(DICT) | TYPE(VIEW) | TYPE(GENERATOR) | TYPE(UNDEFINED) | TYPE(LOOP),
     NULL, 0},
    {"callable", TYPE(FUNCTION) | TYPE(MACRO) | TYPE(UNDEFINED) | TYPE(LOOP), NULL, 0},
    {"true", 0, test_true, 0},
    {"false", 0, test_false, 0},
    {"escaped", 0, test_escaped, 0},
    {"odd", 0, test_odd, 0},
    {"even", 0, test_even, 0},
    {"divisibleby", 0, test_divisible, 1},
    {"lower", 0, test_lower, 0},
    {"upper", 0, test_upper, 0},
    {"==", 0, test_equal, 1},
    {"eq", 0, test_equal, 1},
    {"equalto", 0, test_equal, 1},
    {"!=", 0, test_unequal, 1},
    {"ne", 0, test_unequal, 1},
    {"<", 0, test_less, 1},
    {"lt", 0, test_less, 1},
    {"lessthan", 0, test_less, 1},
    {"<=", 0, test_less_equal, 1},
    {"le", 0, test_less_equal, 1},
    {">", 0, test_greater, 1},
    {"gt", 0, test_greater, 1},
    {"greaterthan", 0, test_greater, 1},
    {">=", 0, test_greater_equal, 1},
    {"ge", 0, test_greater_equal, 1},
    {"in", 0, test_in, 1},
    {"sameas", 0, test_same, 1},
    {"filter", 0, test_filter, 0},
    {"test", 0, test_test, 0},
};

static size_t find(const char *name) {
    size_t i = 0;
    while (i < sizeof tests / sizeof *tests && strcmp(tests[i].name, name) != 0)
        i++;
    return i;
}

bool test_exists(const char *name) {
    return find(name) < sizeof tests / sizeof *tests;
}

bool test_call(render *r, const char *name, const value *self, const arguments *a, bool *out) {
    size_t i = find(name);
    value result;
    if (i == sizeof tests / sizeof *tests)
        return render_fail(r, "No test named '%.100s'.", name);
    if (a->count != tests[i].arguments || a->keyword_count)
        return render_fail(r, "the test '%s' takes %zu argument(s)", name, tests[i].arguments);
    if (!tests[i].call) {
        *out = (tests[i].types & 1u << self->type) != 0;
        return true;
    }
    if (!tests[i].call(r, self, a, &result))
        return false;
    *out = value_truth(&result);
    return true;
}
