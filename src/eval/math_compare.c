/* math_compare.c - whether an answer says the same as the truth: values, but also tuples, sets,
 * intervals, matrices and relations, part by part. */
#include "eval/math.h"

static bool same(const math_node *truth, const math_node *answer, int depth);

/* ---- Numbers and expressions ------------------------------------------------------------------
 */

static bool is_container(const math_node *n) {
    return n->kind >= MATH_SEQUENCE && n->kind <= MATH_RELATION;
}

/* Who is asked for 204_5 may leave the base out. */
static bool same_digits(const math_node *a, const math_node *b) {
    return a->kind == MATH_NUMBER && a->digits != 0 && b->kind == MATH_NUMBER && b->literal &&
           a->digits == b->number;
}

/* 50% is 0.5 or 50, on either side. */
static bool same_scalar(const math_node *a, int a_sign, const math_node *b, int b_sign) {
    static const double percents[] = {1, 0.01};
    if (same_digits(a, b))
        return true;
    for (int i = 0; i < (a->percent ? 2 : 1); i++)
        for (int k = 0; k < (b->percent ? 2 : 1); k++)
            if (math_same_value(a, (math_view){percents[i], a_sign}, b,
                                (math_view){percents[k], b_sign}, NULL))
                return true;
    return false;
}

/* ---- Several values ----------------------------------------------------------------------------
 */

/* The elements of a set or of a bare list; anything else is its own only element. An element with
 * plus-minus is two values. */
typedef struct values {
    const math_node *first, *end;
} values;

static values values_of(const math_node *n) {
    if (n->kind == MATH_SET)
        return (values){.first = n->first};
    return (values){.first = n, .end = n->next};
}

static bool same_element(const math_node *x, int x_sign, const math_node *y, int y_sign,
                         int depth) {
    if (is_container(x) || is_container(y))
        return x_sign == y_sign && same(x, y, depth + 1);
    return same_scalar(x, x_sign, y, y_sign);
}

/* One value is among the others; `swapped`: it is the answer's, they are the truth's. */
static bool is_among(const math_node *x, int x_sign, const values *b, bool swapped, int depth) {
    for (const math_node *y = b->first; y != b->end; y = y->next)
        for (int y_sign = 1; y_sign >= (y->plus_minus ? -1 : 1); y_sign -= 2)
            if (swapped ? same_element(y, y_sign, x, x_sign, depth)
                        : same_element(x, x_sign, y, y_sign, depth))
                return true;
    return false;
}

/* Every value of the one is one of the other: repeated ones count once. */
static bool covers(const values *a, const values *b, bool swapped, int depth) {
    for (const math_node *x = a->first; x != a->end; x = x->next)
        for (int sign = 1; sign >= (x->plus_minus ? -1 : 1); sign -= 2)
            if (!is_among(x, sign, b, swapped, depth))
                return false;
    return true;
}

static bool same_values(const values *a, const values *b, int depth) {
    return covers(a, b, false, depth) && covers(b, a, true, depth);
}

/* Element by element; the brackets were compared. */
static bool same_children(const math_node *a, const math_node *b, int depth) {
    if (a->count != b->count)
        return false;
    const math_node *y = b->first;
    for (const math_node *x = a->first; x; x = x->next, y = y->next)
        if (!same(x, y, depth + 1))
            return false;
    return true;
}

/* Parts of a union stand in any order. */
static bool same_union(const math_node *a, const math_node *b, int depth) {
    const math_node *x, *y;
    if (a->count != b->count)
        return false;
    for (x = a->first; x; x = x->next) {
        for (y = b->first; y && !same(x, y, depth + 1); y = y->next)
            continue;
        if (!y)
            return false;
    }
    return true;
}

static bool is_parentheses(const math_node *n) {
    return n->kind == MATH_SEQUENCE && n->open == '(' && n->close == ')';
}

/* At least one side holds several values. A bare list may stand for a tuple, then in its order; a
 * tuple for a bare list. Braces say "set", which a tuple is not. */
static bool same_several(const math_node *a, const math_node *b, int depth) {
    if (a->kind == MATH_MATRIX || b->kind == MATH_MATRIX)
        return a->kind == b->kind && a->columns == b->columns && same_children(a, b, depth);
    if (a->kind == MATH_UNION || b->kind == MATH_UNION)
        return a->kind == b->kind && same_union(a, b, depth);
    if (a->kind == MATH_SEQUENCE && b->kind == MATH_SEQUENCE)
        return a->open == b->open && a->close == b->close && same_children(a, b, depth);
    if (is_parentheses(a) && b->kind == MATH_SET && b->open == 0)
        return same_children(a, b, depth);
    if (a->kind == MATH_SET && a->open == 0 && is_parentheses(b)) {
        const values truth = values_of(a), answer = {.first = b->first};
        return a->count == b->count && same_values(&truth, &answer, depth);
    }
    if (a->kind == MATH_SEQUENCE || b->kind == MATH_SEQUENCE)
        return false;
    const values truth = values_of(a), answer = values_of(b);
    return same_values(&truth, &answer, depth);
}

/* ---- Relations ---------------------------------------------------------------------------------
 */

static const math_node *last_child(const math_node *n) {
    const math_node *c = n->first;
    while (c->next)
        c = c->next;
    return c;
}

/* Only "=" and "in". */
static bool is_equation(const math_node *n) {
    return n->kind == MATH_RELATION && strspn(n->ops, "=i") == strlen(n->ops);
}

/* x = ..., f(x) = ...: a name for what stands on the right. */
static bool is_assignment(const math_node *n) {
    if (!is_equation(n))
        return false;
    const math_node *left = n->first;
    while (left->kind == MATH_MULTIPLY && left->first->next->kind == MATH_VARIABLE)
        left = left->first;
    return left->kind == MATH_VARIABLE;
}

static char mirrored(char op) {
    static const char from[] = "<>lg", to[] = "><gl";
    const char *at = strchr(from, op);
    return at ? to[at - from] : op;
}

/* a op b beside c op d: the sides are the same; or, as a - b against c - d, one is a multiple of
 * the other, which keeps "=" and, when positive, the direction of an inequality. */
static bool same_sides(const math_node *a, char op_a, const math_node *c, char op_c, int depth) {
    const math_node *b = a->next, *d = c->next;
    bool assigned = op_a == 'i' || op_c == 'i';
    if (assigned && strchr("=i", op_a) && strchr("=i", op_c)) /* x = [0, 1] for x in [0, 1] */
        return same(a, c, depth) && same(b, d, depth);
    if (op_a == op_c && same(a, c, depth) && same(b, d, depth))
        return true;
    if (mirrored(op_a) == op_c && same(a, d, depth) && same(b, c, depth))
        return true;
    if (is_container(a) || is_container(b) || is_container(c) || is_container(d))
        return false;
    math_node left = {.kind = MATH_SUBTRACT, .count = 2}, right = left, a1 = *a, b1 = *b, c1 = *c,
              d1 = *d;
    a1.next = &b1;
    b1.next = NULL;
    c1.next = &d1;
    d1.next = NULL;
    left.first = &a1;
    right.first = &c1;
    const math_view view = {1, 1};
    double ratio = 0;
    if (!math_same_value(&left, view, &right, view, &ratio))
        return false;
    return op_a == '=' || op_a == '!' ? op_a == op_c : op_c == (ratio > 0 ? op_a : mirrored(op_a));
}

static bool same_relation(const math_node *a, const math_node *b, int depth) {
    size_t n = strlen(a->ops);
    if (n != strlen(b->ops))
        return false;
    const math_node *y = b->first;
    size_t i = 0;
    for (const math_node *x = a->first; i < n; x = x->next, y = y->next, i++)
        if (!same_sides(x, a->ops[i], y, b->ops[i], depth + 1))
            break;
    if (i == n)
        return true;
    /* 7 > x > -2 is -2 < x < 7 read from its end. */
    if (n != 2)
        return false;
    const math_node *c = b->first, *d = c->next, *e = d->next;
    return mirrored(a->ops[0]) == b->ops[1] && mirrored(a->ops[1]) == b->ops[0] &&
           same(a->first, e, depth + 1) && same(a->first->next, d, depth + 1) &&
           same(a->first->next->next, c, depth + 1);
}

/* A truth such as -2 <= x < 7 or x > 3, against an interval; NULL sides are infinite. */
static bool same_interval(const math_node *a, const math_node *b, int depth) {
    const math_node *low = NULL, *high = NULL, *x = a->first, *y = x->next, *from = b->first;
    char low_op = '<', high_op = '<';
    if (b->kind != MATH_SEQUENCE || b->count != 2)
        return false;
    if (a->count == 3 && y->kind == MATH_VARIABLE) {
        bool up = strchr("<l", a->ops[0]) && strchr("<l", a->ops[1]);
        bool down = strchr(">g", a->ops[0]) && strchr(">g", a->ops[1]);
        if (!up && !down)
            return false;
        low = up ? x : y->next;
        high = up ? y->next : x;
        low_op = up ? a->ops[0] : a->ops[1];
        high_op = up ? a->ops[1] : a->ops[0];
    } else if (a->count == 2 && (x->kind == MATH_VARIABLE) != (y->kind == MATH_VARIABLE)) {
        bool upper = (strchr("<l", a->ops[0]) != NULL) == (x->kind == MATH_VARIABLE);
        const math_node *bound = x->kind == MATH_VARIABLE ? y : x;
        if (!strchr("<>lg", a->ops[0]))
            return false;
        *(upper ? &high : &low) = bound;
        *(upper ? &high_op : &low_op) = a->ops[0];
    } else {
        return false;
    }
    math_node infinity = {.kind = MATH_INFINITY}, minus = {.kind = MATH_NEGATE, .count = 1};
    minus.first = &infinity;
    return (b->open == '[') == (strchr("lg", low_op) != NULL) &&
           (b->close == ']') == (strchr("lg", high_op) != NULL) &&
           same(low ? low : &minus, from, depth + 1) &&
           same(high ? high : &infinity, from->next, depth + 1);
}

/* ---- Anything ----------------------------------------------------------------------------------
 */

static bool same(const math_node *truth, const math_node *answer, int depth) {
    if (depth > MATH_MAX_DEPTH)
        return false;
    /* "x = 5" says 5 where the truth does, and the other way round; x = 1 is not y = 1. */
    if (is_equation(answer) && !is_equation(truth))
        answer = last_child(answer);
    else if (is_assignment(truth) && !is_equation(answer))
        truth = last_child(truth);
    if (truth->kind == MATH_RELATION && answer->kind == MATH_RELATION)
        return same_relation(truth, answer, depth);
    if (truth->kind == MATH_RELATION)
        return same_interval(truth, answer, depth);
    if (answer->kind == MATH_RELATION)
        return false;
    if (is_container(truth) || is_container(answer) || truth->plus_minus || answer->plus_minus)
        return same_several(truth, answer, depth);
    return same_scalar(truth, 1, answer, 1);
}

bool math_same(const math_node *truth, const math_node *answer) {
    return same(truth, answer, 0);
}
