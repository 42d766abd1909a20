/* math_brackets.c - parts of an expression that have an end of their own: fractions, roots, tuples,
 * sets, absolute values, matrices. */
#include "eval/math_parser.h"

#include <math.h>

/* ---- Small parts ----------------------------------------------------------------------------- */

/* What stands after \frac, ^, _ without braces: one digit or one letter, as TeX takes it. */
math_node *math_parse_one(math_parser *p) {
    const math_token *t = p->at;
    if (math_take_mark(p, '{')) {
        math_node *n = math_enter(p) ? math_parse_list(p) : NULL;
        p->depth--;
        return math_take_mark(p, '}') ? n : math_fail(p);
    }
    if (math_take_mark(p, '-'))
        return math_node_one(p, MATH_NEGATE, math_enter(p) ? math_parse_one(p) : NULL);
    if (t->kind == MATH_TOKEN_NUMBER || t->kind == MATH_TOKEN_LETTER ||
        t->kind == MATH_TOKEN_COMMAND || math_is_mark(p, '(')) {
        int depth = p->depth;
        math_node *n = math_enter(p) ? math_parse_factor(p) : NULL;
        p->depth = depth;
        return n;
    }
    return math_fail(p);
}

/* \frac12, \frac43: the first digit is above, the rest below. */
static math_node *parse_close_digits(math_parser *p) {
    const math_token *t = p->at;
    double below = 10;
    if (t->end - t->start != 2 || t->decimals >= 0)
        return NULL;
    p->at++;
    math_node *a = math_number_new(p, floor(t->number / below));
    return math_node_pair(p, MATH_DIVIDE, a, math_number_new(p, fmod(t->number, below)));
}

math_node *math_parse_fraction(math_parser *p) {
    math_node *n = p->at->kind == MATH_TOKEN_NUMBER ? parse_close_digits(p) : NULL;
    if (n)
        return n;
    math_node *a = math_parse_one(p), *b = a ? math_parse_one(p) : NULL;
    return math_node_pair(p, MATH_DIVIDE, a, b);
}

math_node *math_parse_root(math_parser *p) {
    math_node *degree = NULL;
    if (math_take_mark(p, '[')) {
        degree = math_enter(p) ? math_parse_sum(p) : NULL;
        p->depth--;
        if (!math_take_mark(p, ']'))
            return math_fail(p);
    }
    math_node *under = math_parse_one(p);
    return math_function_new(p, degree ? "root" : "sqrt", under, degree);
}

/* ---- Brackets -------------------------------------------------------------------------------- */

/* From "(" or "[" on; which brackets stand there is part of the value when there are several
 * elements. */
math_node *math_parse_brackets(math_parser *p) {
    int bars = p->bars;
    char open = p->at->kind == MATH_TOKEN_MARK ? p->at->mark : '(';
    p->at++;
    p->bars = 0;
    math_node *inner = math_enter(p) ? math_parse_list(p) : NULL;
    p->depth--;
    p->bars = bars;
    char close = math_is_command(p, "rangle")                   ? ')'
                 : math_is_mark(p, ')') || math_is_mark(p, ']') ? p->at->mark
                                                                : '\0';
    if (!inner || !close)
        return math_fail(p);
    p->at++;
    if (inner->kind == MATH_SET && inner->open == 0 && inner->count > 1) {
        inner->kind = MATH_SEQUENCE;
        inner->open = open;
        inner->close = close;
        return inner;
    }
    return (open == '(') == (close == ')') ? inner : math_fail(p);
}

/* From "\{" or "{" on: a set, or, with plain braces around one expression, that expression. */
math_node *math_parse_set(math_parser *p, bool plain) {
    p->at++;
    math_node *inner = NULL;
    bool empty = plain ? math_is_mark(p, '}') : math_is_command(p, "}");
    if (!empty)
        inner = math_enter(p) ? math_parse_list(p) : NULL;
    p->depth -= !empty;
    if (!(plain ? math_take_mark(p, '}') : math_take_command(p, "}")) || (!empty && !inner))
        return math_fail(p);
    if (plain && inner && inner->kind != MATH_SET)
        return inner;
    if (inner && inner->kind == MATH_SET && inner->open == 0) {
        inner->open = '{';
        return inner;
    }
    math_node *n = math_node_new(p, MATH_SET);
    if (n)
        n->open = '{';
    math_node_add(n, inner);
    return n;
}

/* |x|; the bar that ends it is not taken for one that begins another. */
math_node *math_parse_bars(math_parser *p) {
    p->at++;
    p->bars++;
    math_node *inner = math_enter(p) ? math_parse_sum(p) : NULL;
    p->depth--;
    p->bars--;
    if (!inner ||
        !(math_take_mark(p, '|') || math_take_command(p, "rvert") || math_take_command(p, "|")))
        return math_fail(p);
    return math_function_new(p, "abs", inner, NULL);
}

math_node *math_parse_rounded(math_parser *p, const char *close, const char *name) {
    p->at++;
    math_node *inner = math_enter(p) ? math_parse_sum(p) : NULL;
    p->depth--;
    return math_take_command(p, close) ? math_function_new(p, name, inner, NULL) : math_fail(p);
}

static bool take_environment(math_parser *p, char name[MATH_NAME]) {
    size_t n = 0;
    if (!math_take_mark(p, '{'))
        return false;
    for (; p->at->kind == MATH_TOKEN_LETTER || p->at->kind == MATH_TOKEN_WORD; p->at++)
        for (const char *c = p->at->name; *c && n < MATH_NAME - 1; c++)
            name[n++] = *c;
    name[n] = '\0';
    return math_take_mark(p, '}');
}

/* \begin{pmatrix} a & b \\ c & d \end{pmatrix} */
math_node *math_parse_matrix(math_parser *p) {
    char name[MATH_NAME], ended[MATH_NAME];
    math_node *n = math_node_new(p, MATH_MATRIX);
    if (!n || !take_environment(p, name))
        return math_fail(p);
    if (strstr(name, "matrix") == NULL && strcmp(name, "array") != 0)
        return math_fail(p);
    if (strcmp(name, "array") == 0 && !take_environment(p, ended)) /* {cc} */
        return math_fail(p);
    int column = 0;
    while (!p->failed && !math_is_command(p, "end")) {
        math_node *cell = math_enter(p) ? math_parse_sum(p) : NULL;
        p->depth--;
        if (!cell)
            return math_fail(p);
        math_node_add(n, cell);
        column++;
        if (math_take_mark(p, '&'))
            continue;
        if (n->columns && n->columns != column)
            return math_fail(p);
        n->columns = column;
        column = 0;
        if (!math_take_command(p, "\\") && !math_is_command(p, "end"))
            return math_fail(p);
    }
    p->at++;
    return take_environment(p, ended) && strcmp(name, ended) == 0 && column == 0 && n->count
               ? n
               : math_fail(p);
}
