/* math_parse.c - tokens to a tree: numbers, fractions, roots, powers, functions, brackets, sets,
 * matrices, relations. LaTeX and plain notation go through the same rules. */
#include "eval/math.h"

#include <math.h>
#include <stdio.h>

typedef struct parser {
    const math_token *at;
    math_tree *tree;
    math_reading reading;
    int depth, bars; /* open brackets; open |...| */
    bool failed;
} parser;

static math_node *parse_list(parser *p);
static math_node *parse_sum(parser *p);
static math_node *parse_factor(parser *p);

static math_node *fail(parser *p) {
    p->failed = true;
    return NULL;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static bool is_mark(const parser *p, char mark) {
    return p->at->kind == MATH_TOKEN_MARK && p->at->mark == mark;
}

static bool is_command(const parser *p, const char *name) {
    return p->at->kind == MATH_TOKEN_COMMAND && strcmp(p->at->name, name) == 0;
}

static bool take_mark(parser *p, char mark) {
    bool is = is_mark(p, mark);
    p->at += is;
    return is;
}

static bool take_command(parser *p, const char *name) {
    bool is = is_command(p, name);
    p->at += is;
    return is;
}

static bool is_one_of(const parser *p, const char *const *names) {
    for (; *names; names++)
        if (is_command(p, *names))
            return true;
    return false;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static math_node *node_new(parser *p, math_kind kind) {
    if (p->failed || p->tree->used == MATH_MAX_NODES)
        return fail(p);
    math_node *n = &p->tree->nodes[p->tree->used++];
    *n = (math_node){.kind = kind, .decimals = -1, .sign = 1};
    return n;
}

static void node_add(math_node *parent, math_node *child) {
    if (!parent || !child)
        return;
    math_node **end = &parent->first;
    while (*end)
        end = &(*end)->next;
    *end = child;
    parent->count++;
    parent->percent = parent->percent || child->percent;
    parent->plus_minus = parent->plus_minus || child->plus_minus;
}

static math_node *node_pair(parser *p, math_kind kind, math_node *a, math_node *b) {
    math_node *n = a && b ? node_new(p, kind) : fail(p);
    node_add(n, a);
    node_add(n, b);
    return n;
}

static math_node *node_one(parser *p, math_kind kind, math_node *a) {
    math_node *n = a ? node_new(p, kind) : fail(p);
    node_add(n, a);
    return n;
}

static math_node *number_new(parser *p, double value) {
    math_node *n = node_new(p, MATH_NUMBER);
    if (n)
        n->number = value;
    return n;
}

static math_node *function_new(parser *p, const char *name, math_node *a, math_node *b) {
    math_node *n = a ? node_new(p, MATH_FUNCTION) : fail(p);
    if (n)
        memcpy(n->name, name, strlen(name) + 1);
    node_add(n, a);
    node_add(n, b);
    return n;
}

/* ---- Small parts ----------------------------------------------------------------------------- */

static bool enter(parser *p) {
    if (++p->depth > MATH_MAX_DEPTH)
        p->failed = true;
    return !p->failed;
}

/* What stands after \frac, ^, _ without braces: one digit or one letter, as TeX takes it. */
static math_node *parse_one(parser *p) {
    const math_token *t = p->at;
    if (take_mark(p, '{')) {
        math_node *n = enter(p) ? parse_list(p) : NULL;
        p->depth--;
        return take_mark(p, '}') ? n : fail(p);
    }
    if (take_mark(p, '-'))
        return node_one(p, MATH_NEGATE, enter(p) ? parse_one(p) : NULL);
    if (t->kind == MATH_TOKEN_NUMBER || t->kind == MATH_TOKEN_LETTER ||
        t->kind == MATH_TOKEN_COMMAND || is_mark(p, '(')) {
        int depth = p->depth;
        math_node *n = enter(p) ? parse_factor(p) : NULL;
        p->depth = depth;
        return n;
    }
    return fail(p);
}

/* \frac12, \frac43: the first digit is above, the rest below. */
static math_node *parse_close_digits(parser *p) {
    const math_token *t = p->at;
    double below = 10;
    if (t->end - t->start != 2 || t->decimals >= 0)
        return NULL;
    p->at++;
    math_node *a = number_new(p, floor(t->number / below));
    return node_pair(p, MATH_DIVIDE, a, number_new(p, fmod(t->number, below)));
}

static math_node *parse_fraction(parser *p) {
    math_node *n = p->at->kind == MATH_TOKEN_NUMBER ? parse_close_digits(p) : NULL;
    if (n)
        return n;
    math_node *a = parse_one(p), *b = a ? parse_one(p) : NULL;
    return node_pair(p, MATH_DIVIDE, a, b);
}

static math_node *parse_root(parser *p) {
    math_node *degree = NULL;
    if (take_mark(p, '[')) {
        degree = enter(p) ? parse_sum(p) : NULL;
        p->depth--;
        if (!take_mark(p, ']'))
            return fail(p);
    }
    math_node *under = parse_one(p);
    return function_new(p, degree ? "root" : "sqrt", under, degree);
}

/* ---- Brackets -------------------------------------------------------------------------------- */

/* From "(" or "[" on; which brackets stand there is part of the value when there are several
 * elements. */
static math_node *parse_brackets(parser *p) {
    int bars = p->bars;
    char open = p->at->kind == MATH_TOKEN_MARK ? p->at->mark : '(';
    p->at++;
    p->bars = 0;
    math_node *inner = enter(p) ? parse_list(p) : NULL;
    p->depth--;
    p->bars = bars;
    char close = is_command(p, "rangle")              ? ')'
                 : is_mark(p, ')') || is_mark(p, ']') ? p->at->mark
                                                      : '\0';
    if (!inner || !close)
        return fail(p);
    p->at++;
    if (inner->kind == MATH_SET && inner->open == 0 && inner->count > 1) {
        inner->kind = MATH_SEQUENCE;
        inner->open = open;
        inner->close = close;
        return inner;
    }
    return (open == '(') == (close == ')') ? inner : fail(p);
}

/* From "\{" or "{" on: a set, or, with plain braces around one expression, that expression. */
static math_node *parse_set(parser *p, bool plain) {
    p->at++;
    math_node *inner = NULL;
    bool empty = plain ? is_mark(p, '}') : is_command(p, "}");
    if (!empty)
        inner = enter(p) ? parse_list(p) : NULL;
    p->depth -= !empty;
    if (!(plain ? take_mark(p, '}') : take_command(p, "}")) || (!empty && !inner))
        return fail(p);
    if (plain && inner && inner->kind != MATH_SET)
        return inner;
    if (inner && inner->kind == MATH_SET && inner->open == 0) {
        inner->open = '{';
        return inner;
    }
    math_node *n = node_new(p, MATH_SET);
    if (n)
        n->open = '{';
    node_add(n, inner);
    return n;
}

/* |x|; the bar that ends it is not taken for one that begins another. */
static math_node *parse_bars(parser *p) {
    p->at++;
    p->bars++;
    math_node *inner = enter(p) ? parse_sum(p) : NULL;
    p->depth--;
    p->bars--;
    if (!inner || !(take_mark(p, '|') || take_command(p, "rvert") || take_command(p, "|")))
        return fail(p);
    return function_new(p, "abs", inner, NULL);
}

static math_node *parse_rounded(parser *p, const char *close, const char *name) {
    p->at++;
    math_node *inner = enter(p) ? parse_sum(p) : NULL;
    p->depth--;
    return take_command(p, close) ? function_new(p, name, inner, NULL) : fail(p);
}

static bool take_environment(parser *p, char name[MATH_NAME]) {
    size_t n = 0;
    if (!take_mark(p, '{'))
        return false;
    for (; p->at->kind == MATH_TOKEN_LETTER || p->at->kind == MATH_TOKEN_WORD; p->at++)
        for (const char *c = p->at->name; *c && n < MATH_NAME - 1; c++)
            name[n++] = *c;
    name[n] = '\0';
    return take_mark(p, '}');
}

/* \begin{pmatrix} a & b \\ c & d \end{pmatrix} */
static math_node *parse_matrix(parser *p) {
    char name[MATH_NAME], ended[MATH_NAME];
    math_node *n = node_new(p, MATH_MATRIX);
    if (!n || !take_environment(p, name))
        return fail(p);
    if (strstr(name, "matrix") == NULL && strcmp(name, "array") != 0)
        return fail(p);
    if (strcmp(name, "array") == 0 && !take_environment(p, ended)) /* {cc} */
        return fail(p);
    int column = 0;
    while (!p->failed && !is_command(p, "end")) {
        math_node *cell = enter(p) ? parse_sum(p) : NULL;
        p->depth--;
        if (!cell)
            return fail(p);
        node_add(n, cell);
        column++;
        if (take_mark(p, '&'))
            continue;
        if (n->columns && n->columns != column)
            return fail(p);
        n->columns = column;
        column = 0;
        if (!take_command(p, "\\") && !is_command(p, "end"))
            return fail(p);
    }
    p->at++;
    return take_environment(p, ended) && strcmp(name, ended) == 0 && column == 0 && n->count
               ? n
               : fail(p);
}

/* ---- Functions ------------------------------------------------------------------------------- */

static const char *const functions[] = {"sin",    "cos",    "tan",    "cot",  "sec",  "csc",
                                        "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
                                        "ln",     "log",    "lg",     "exp",  "abs",  "gcd",
                                        "max",    "min",    "det",    NULL};

static bool starts_factor(const parser *p);

/* sin 2x, \log_2 8, \sin^2 x, \sin^{-1} x */
static math_node *parse_function(parser *p) {
    char name[MATH_NAME];
    math_node *base = NULL, *power = NULL;
    memcpy(name, p->at->name, sizeof name);
    p->at++;
    if (take_mark(p, '_'))
        base = parse_one(p);
    if (take_mark(p, '^'))
        power = parse_one(p);
    if (base && take_mark(p, '^'))
        power = parse_one(p);
    math_node *argument = NULL;
    bool bracket = is_mark(p, '(') || is_mark(p, '{') || is_mark(p, '[');
    if (enter(p) && starts_factor(p))
        argument = parse_factor(p);
    while (argument && !bracket && starts_factor(p) && !is_one_of(p, functions))
        argument = node_pair(p, MATH_MULTIPLY, argument, parse_factor(p));
    p->depth--;
    bool inverse = power && power->kind == MATH_NEGATE && power->first->kind == MATH_NUMBER &&
                   power->first->number == 1;
    if (inverse && strlen(name) == 3) {
        char arc[MATH_NAME] = "arc";
        memcpy(arc + 3, name, 4);
        memcpy(name, arc, sizeof name);
        power = NULL;
    }
    math_node *n = function_new(p, name, argument, base);
    return power ? node_pair(p, MATH_POWER, n, power) : n;
}

/* ---- Factors --------------------------------------------------------------------------------- */

/* Digits in another base, 1011_2: every digit must be one of it. */
static math_node *parse_based(parser *p, const math_token *t) {
    math_node *base = parse_one(p);
    if (!base || base->kind != MATH_NUMBER || base->number < 2 || base->number > 36 ||
        t->decimals >= 0)
        return fail(p);
    double value = 0, rest = t->number, place = 1;
    if (t->number >= 1e15)
        return fail(p);
    for (; rest >= 1; rest = floor(rest / 10), place *= base->number) {
        double digit = fmod(rest, 10);
        if (digit >= base->number)
            return fail(p);
        value += digit * place;
    }
    math_node *n = number_new(p, value);
    if (n)
        n->digits = t->number;
    return n;
}

/* 0.1\overline{6} */
static double repeating(parser *p, const math_token *t) {
    const math_token *save = p->at;
    p->at++;
    const math_token *digits = p->at + 1;
    if (take_mark(p, '{') && p->at->kind == MATH_TOKEN_NUMBER && digits->decimals < 0) {
        double count = (double)(p->at->end - p->at->start), value = p->at->number;
        p->at++;
        if (take_mark(p, '}'))
            return value / (pow(10, count) - 1) / pow(10, t->decimals < 0 ? 0 : t->decimals);
    }
    p->at = save;
    return 0;
}

/* A mixed number's fraction, 4\frac{2}{3} or 4 2/3; NULL: none stands here. */
static math_node *parse_mixed(parser *p) {
    const math_token *t = p->at;
    bool latex = is_command(p, "frac") || is_command(p, "dfrac") || is_command(p, "tfrac");
    if (latex) {
        const math_token *a = t + 1, *b;
        if (a->kind == MATH_TOKEN_NUMBER) /* \frac23 */
            b = a->end - a->start == 2 ? a : NULL;
        else
            b = a->mark == '{' && a[1].kind == MATH_TOKEN_NUMBER && a[2].mark == '}' &&
                        a[3].mark == '{' && a[4].kind == MATH_TOKEN_NUMBER && a[5].mark == '}'
                    ? a
                    : NULL;
        if (!b)
            return NULL;
        p->at++;
        return parse_fraction(p);
    }
    if (t->kind == MATH_TOKEN_NUMBER && t->spaced && t->decimals < 0 &&
        t[1].kind == MATH_TOKEN_MARK && t[1].mark == '/' && t[2].kind == MATH_TOKEN_NUMBER) {
        p->at += 3;
        return node_pair(p, MATH_DIVIDE, number_new(p, t->number), number_new(p, t[2].number));
    }
    return NULL;
}

static math_node *parse_number(parser *p) {
    const math_token *t = p->at++;
    if (take_mark(p, '_'))
        return parse_based(p, t);
    math_node *n = number_new(p, t->number);
    if (!n)
        return n;
    n->literal = true;
    n->decimals = t->decimals;
    if (is_command(p, "overline")) {
        n->number += repeating(p, t);
        n->literal = false;
    }
    if (t->decimals < 0) {
        math_node *fraction = parse_mixed(p);
        if (fraction)
            return node_pair(p, MATH_ADD, n, fraction);
    }
    return n;
}

/* x, x_1, x_{12}, and the letters that are numbers. */
static math_node *parse_variable(parser *p) {
    const math_token *t = p->at++;
    if (strcmp(t->name, "i") == 0)
        return node_new(p, MATH_IMAGINARY);
    if (strcmp(t->name, "e") == 0)
        return number_new(p, exp(1));
    math_node *n = node_new(p, MATH_VARIABLE);
    if (!n)
        return n;
    memcpy(n->name, t->name, sizeof n->name);
    if (take_mark(p, '_')) {
        bool braces = take_mark(p, '{');
        size_t length = strlen(n->name);
        do {
            const char *name = p->at->name;
            char digits[MATH_NAME];
            if (p->at->kind == MATH_TOKEN_NUMBER) {
                snprintf(digits, sizeof digits, "%.15g", p->at->number);
                name = digits;
            } else if (p->at->kind == MATH_TOKEN_END || name[0] == '\0') {
                return fail(p);
            }
            for (; *name && length < MATH_NAME - 1; name++)
                n->name[length++] = *name;
            p->at++;
        } while (braces && !is_mark(p, '}'));
        n->name[length] = '\0';
        if (braces && !take_mark(p, '}'))
            return fail(p);
    }
    return n;
}

static math_node *parse_command(parser *p) {
    static const char *const fractions[] = {"frac", "dfrac", "tfrac", "cfrac", NULL};
    static const char *const infinities[] = {"infty", "infinity", "inf", "oo", NULL};
    if (is_one_of(p, functions))
        return parse_function(p);
    if (is_command(p, "{"))
        return parse_set(p, false);
    if (is_command(p, "langle"))
        return parse_brackets(p);
    if (is_command(p, "lvert") || is_command(p, "|"))
        return parse_bars(p);
    if (is_command(p, "lfloor"))
        return parse_rounded(p, "rfloor", "floor");
    if (is_command(p, "lceil"))
        return parse_rounded(p, "rceil", "ceil");
    const math_token *t = p->at;
    bool fraction = is_one_of(p, fractions), infinity = is_one_of(p, infinities);
    p->at++;
    if (fraction)
        return parse_fraction(p);
    if (infinity)
        return node_new(p, MATH_INFINITY);
    if (strcmp(t->name, "sqrt") == 0)
        return parse_root(p);
    if (strcmp(t->name, "cbrt") == 0)
        return function_new(p, "root", parse_one(p), number_new(p, 3));
    if (strcmp(t->name, "pi") == 0)
        return number_new(p, acos(-1));
    if (strcmp(t->name, "begin") == 0)
        return parse_matrix(p);
    if (strcmp(t->name, "emptyset") == 0 || strcmp(t->name, "varnothing") == 0) {
        math_node *n = node_new(p, MATH_SET);
        if (n)
            n->open = '{';
        return n;
    }
    if (strcmp(t->name, "binom") == 0 || strcmp(t->name, "dbinom") == 0) {
        math_node *a = parse_one(p), *b = a ? parse_one(p) : NULL;
        return b ? function_new(p, "binom", a, b) : fail(p);
    }
    if (strcmp(t->name, "boxed") == 0 || strcmp(t->name, "mathbb") == 0)
        return parse_one(p);
    /* Any other name is a symbol: \alpha, \ell. Those that mean something else are refused. */
    static const char *const structure[] = {"end",      "}",        "rangle",   "rvert",  "rfloor",
                                            "rceil",    "cdot",     "times",    "div",    "pm",
                                            "mp",       "cup",      "cap",      "le",     "leq",
                                            "ge",       "geq",      "ne",       "neq",    "in",
                                            "int",      "sum",      "prod",     "lim",    "to",
                                            "mid",      "forall",   "exists",   "%",      "\\",
                                            "leqslant", "geqslant", "approx",   "equiv",  "sim",
                                            "overline", "prime",    "setminus", "subset", NULL};
    for (size_t i = 0; structure[i]; i++)
        if (strcmp(structure[i], t->name) == 0)
            return fail(p);
    p->at = t;
    return parse_variable(p);
}

static math_node *parse_base(parser *p) {
    const math_token *t = p->at;
    switch (t->kind) {
    case MATH_TOKEN_NUMBER: return parse_number(p);
    case MATH_TOKEN_LETTER: return parse_variable(p);
    case MATH_TOKEN_COMMAND: return parse_command(p);
    case MATH_TOKEN_MARK:
        if (t->mark == '(' || t->mark == '[')
            return parse_brackets(p);
        if (t->mark == '{')
            return parse_set(p, true);
        if (t->mark == '|' && !p->bars)
            return parse_bars(p);
        return fail(p);
    default: return fail(p);
    }
}

/* A base with what follows it: powers, factorials, per cent. */
static math_node *parse_factor(parser *p) {
    math_node *n = parse_base(p);
    while (n && !p->failed) {
        if (take_mark(p, '^')) {
            bool minus = take_mark(p, '-');
            int depth = p->depth;
            math_node *power = enter(p) ? parse_one(p) : NULL;
            /* A tower stands on its right: 2^3^2 is 2^9. */
            if (power && take_mark(p, '^'))
                power = node_pair(p, MATH_POWER, power, enter(p) ? parse_one(p) : NULL);
            p->depth = depth;
            n = node_pair(p, MATH_POWER, n, minus ? node_one(p, MATH_NEGATE, power) : power);
        } else if (take_mark(p, '!')) {
            n = node_one(p, MATH_FACTORIAL, n);
        } else if (take_mark(p, '%') || take_command(p, "%")) {
            n = node_one(p, MATH_PERCENT, n);
            if (n)
                n->percent = true;
        } else {
            break;
        }
    }
    return n;
}

/* ---- Products and sums ------------------------------------------------------------------------
 */

/* Words that say what is counted are left out, with their powers: 5 \text{ cm}^2, 18 dollars. */
static void skip_units(parser *p) {
    for (;;) {
        bool lonely = p->reading.units && p->at->kind == MATH_TOKEN_LETTER && p->at->spaced &&
                      p->at[1].kind == MATH_TOKEN_END;
        if (p->at->kind != MATH_TOKEN_TEXT && p->at->kind != MATH_TOKEN_WORD && !lonely)
            return;
        p->at++;
        if (take_mark(p, '^'))
            parse_one(p);
        if (is_mark(p, '/') &&
            (p->at[1].kind == MATH_TOKEN_TEXT || p->at[1].kind == MATH_TOKEN_WORD))
            p->at++;
    }
}

static bool starts_factor(const parser *p) {
    static const char *const after[] = {"cdot",   "times", "div",      "pm",       "mp",
                                        "cup",    "cap",   "le",       "leq",      "ge",
                                        "geq",    "ne",    "neq",      "in",       "}",
                                        "%",      "\\",    "end",      "rangle",   "rvert",
                                        "|",      "mid",   "rfloor",   "rceil",    "to",
                                        "approx", "equiv", "leqslant", "geqslant", "setminus",
                                        "sim",    NULL};
    switch (p->at->kind) {
    case MATH_TOKEN_NUMBER:
    case MATH_TOKEN_LETTER: return true;
    case MATH_TOKEN_COMMAND: return !is_one_of(p, after);
    case MATH_TOKEN_MARK:
        return strchr("([{", p->at->mark) != NULL || (p->at->mark == '|' && !p->bars);
    default: return false;
    }
}

static math_node *parse_signed(parser *p) {
    int depth = p->depth;
    math_node *n = NULL;
    if (!enter(p))
        return NULL;
    if (take_mark(p, '-'))
        n = node_one(p, MATH_NEGATE, parse_signed(p));
    else if (take_mark(p, '+'))
        n = parse_signed(p);
    else
        n = parse_factor(p);
    p->depth = depth;
    return n;
}

static math_node *parse_product(parser *p) {
    math_node *n = parse_signed(p);
    while (n && !p->failed) {
        skip_units(p);
        if (take_mark(p, '*') || take_command(p, "cdot") || take_command(p, "times"))
            n = node_pair(p, MATH_MULTIPLY, n, parse_signed(p));
        else if (take_mark(p, '/') || take_command(p, "div"))
            n = node_pair(p, MATH_DIVIDE, n, parse_signed(p));
        else if (starts_factor(p))
            n = node_pair(p, MATH_MULTIPLY, n, parse_factor(p));
        else
            break;
    }
    return n;
}

static math_node *parse_sum(parser *p) {
    math_node *n = NULL;
    /* A sign that opens the sum belongs to its first product; plus-minus stands before nothing. */
    if (is_command(p, "pm") || is_command(p, "mp"))
        n = number_new(p, 0);
    else
        n = parse_product(p);
    while (n && !p->failed) {
        bool minus_plus = is_command(p, "mp");
        if (take_mark(p, '+')) {
            /* "+-", the way plus-minus is typed, is a sum of a negative number here. */
            n = node_pair(p, MATH_ADD, n, parse_product(p));
        } else if (take_mark(p, '-')) {
            n = node_pair(p, MATH_SUBTRACT, n, parse_product(p));
        } else if (take_command(p, "pm") || take_command(p, "mp")) {
            n = node_pair(p, MATH_PLUS_MINUS, n, parse_product(p));
            if (n) {
                n->plus_minus = true;
                n->sign = minus_plus ? -1 : 1;
            }
        } else {
            break;
        }
    }
    return n;
}

/* ---- Sets, relations, lists --------------------------------------------------------------------
 */

static math_node *parse_union(parser *p) {
    math_node *n = parse_sum(p);
    if (!n || !is_command(p, "cup"))
        return n;
    math_node *all = node_one(p, MATH_UNION, n);
    while (all && take_command(p, "cup"))
        node_add(all, parse_sum(p));
    return p->failed ? NULL : all;
}

/* The relation that stands here as one character; 0: none. */
static char relation_here(const parser *p) {
    static const struct {
        const char *name;
        char op;
    } names[] = {{"le", 'l'},  {"leq", 'l'},      {"leqslant", 'l'}, {"ge", 'g'},
                 {"geq", 'g'}, {"geqslant", 'g'}, {"ne", '!'},       {"neq", '!'},
                 {"in", 'i'},  {"lt", '<'},       {"gt", '>'}};
    if (p->at->kind == MATH_TOKEN_MARK && strchr("=<>", p->at->mark))
        return p->at->mark;
    for (size_t i = 0; p->at->kind == MATH_TOKEN_COMMAND && i < sizeof names / sizeof *names; i++)
        if (strcmp(p->at->name, names[i].name) == 0)
            return names[i].op;
    return 0;
}

static math_node *parse_relation(parser *p) {
    math_node *n = parse_union(p), *all = NULL;
    size_t count = 0;
    char op;
    while (n && (op = relation_here(p))) {
        p->at++;
        if (!all && !(all = node_one(p, MATH_RELATION, n)))
            return NULL;
        if (count + 1 >= sizeof all->ops)
            return fail(p);
        all->ops[count++] = op;
        math_node *next = parse_union(p);
        if (!next)
            return fail(p);
        node_add(all, next);
    }
    return all ? all : n;
}

/* One expression, or several with commas between them, as a set without brackets. */
static math_node *parse_list(parser *p) {
    math_node *n = parse_relation(p), *all = NULL;
    while (n && (is_mark(p, ',') || is_mark(p, ';'))) {
        while (is_mark(p, ',') || is_mark(p, ';')) /* "1, 2, and 3" */
            p->at++;
        if (!all && !(all = node_one(p, MATH_SET, n)))
            return NULL;
        n = parse_relation(p);
        node_add(all, n);
    }
    return p->failed || !n ? NULL : all ? all : n;
}

bool math_parse(math_tree *tree, const math_tokens *tokens, math_reading reading) {
    parser p = {.at = tokens->items, .tree = tree, .reading = reading};
    tree->used = 0;
    skip_units(&p);
    tree->root = p.failed || p.at->kind == MATH_TOKEN_END ? NULL : parse_list(&p);
    return tree->root && !p.failed && p.at->kind == MATH_TOKEN_END;
}
