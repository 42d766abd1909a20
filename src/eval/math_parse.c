/* math_parse.c - tokens to a tree: numbers, functions, powers, products, sums, relations, lists.
 * LaTeX and plain notation go through the same rules. */
#include "eval/math_parser.h"

#include <math.h>
#include <stdio.h>

/* ---- Functions ------------------------------------------------------------------------------- */

static const char *const functions[] = {"sin",    "cos",    "tan",    "cot",  "sec",  "csc",
                                        "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
                                        "ln",     "log",    "lg",     "exp",  "abs",  "gcd",
                                        "max",    "min",    "det",    NULL};

static bool starts_factor(const math_parser *p);

/* sin 2x, \log_2 8, \sin^2 x, \sin^{-1} x */
static math_node *parse_function(math_parser *p) {
    char name[MATH_NAME];
    math_node *base = NULL, *power = NULL;
    memcpy(name, p->at->name, sizeof name);
    p->at++;
    if (math_take_mark(p, '_'))
        base = math_parse_one(p);
    if (math_take_mark(p, '^'))
        power = math_parse_one(p);
    if (base && math_take_mark(p, '^'))
        power = math_parse_one(p);
    math_node *argument = NULL;
    bool bracket = math_is_mark(p, '(') || math_is_mark(p, '{') || math_is_mark(p, '[');
    if (math_enter(p) && starts_factor(p))
        argument = math_parse_factor(p);
    while (argument && !bracket && starts_factor(p) && !math_is_one_of(p, functions))
        argument = math_node_pair(p, MATH_MULTIPLY, argument, math_parse_factor(p));
    p->depth--;
    bool inverse = power && power->kind == MATH_NEGATE && power->first->kind == MATH_NUMBER &&
                   power->first->number == 1;
    if (inverse && strlen(name) == 3) {
        char arc[MATH_NAME] = "arc";
        memcpy(arc + 3, name, 4);
        memcpy(name, arc, sizeof name);
        power = NULL;
    }
    math_node *n = math_function_new(p, name, argument, base);
    return power ? math_node_pair(p, MATH_POWER, n, power) : n;
}

/* ---- Factors --------------------------------------------------------------------------------- */

/* Digits in another base, 1011_2: every digit must be one of it. */
static math_node *parse_based(math_parser *p, const math_token *t) {
    math_node *base = math_parse_one(p);
    if (!base || base->kind != MATH_NUMBER || base->number < 2 || base->number > 36 ||
        t->decimals >= 0)
        return math_fail(p);
    double value = 0, rest = t->number, place = 1;
    if (t->number >= 1e15)
        return math_fail(p);
    for (; rest >= 1; rest = floor(rest / 10), place *= base->number) {
        double digit = fmod(rest, 10);
        if (digit >= base->number)
            return math_fail(p);
        value += digit * place;
    }
    math_node *n = math_number_new(p, value);
    if (n)
        n->digits = t->number;
    return n;
}

/* 0.1\overline{6} */
static double repeating(math_parser *p, const math_token *t) {
    const math_token *save = p->at;
    p->at++;
    const math_token *digits = p->at + 1;
    if (math_take_mark(p, '{') && p->at->kind == MATH_TOKEN_NUMBER && digits->decimals < 0) {
        double count = (double)(p->at->end - p->at->start), value = p->at->number;
        p->at++;
        if (math_take_mark(p, '}'))
            return value / (pow(10, count) - 1) / pow(10, t->decimals < 0 ? 0 : t->decimals);
    }
    p->at = save;
    return 0;
}

/* A mixed number's fraction, 4\frac{2}{3} or 4 2/3; NULL: none stands here. */
static math_node *parse_mixed(math_parser *p) {
    const math_token *t = p->at;
    bool latex =
        math_is_command(p, "frac") || math_is_command(p, "dfrac") || math_is_command(p, "tfrac");
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
        return math_parse_fraction(p);
    }
    if (t->kind == MATH_TOKEN_NUMBER && t->spaced && t->decimals < 0 &&
        t[1].kind == MATH_TOKEN_MARK && t[1].mark == '/' && t[2].kind == MATH_TOKEN_NUMBER) {
        p->at += 3;
        return math_node_pair(p, MATH_DIVIDE, math_number_new(p, t->number),
                              math_number_new(p, t[2].number));
    }
    return NULL;
}

static math_node *parse_number(math_parser *p) {
    const math_token *t = p->at++;
    if (math_take_mark(p, '_'))
        return parse_based(p, t);
    math_node *n = math_number_new(p, t->number);
    if (!n)
        return n;
    n->literal = true;
    n->decimals = t->decimals;
    if (math_is_command(p, "overline")) {
        n->number += repeating(p, t);
        n->literal = false;
    }
    if (t->decimals < 0) {
        math_node *fraction = parse_mixed(p);
        if (fraction)
            return math_node_pair(p, MATH_ADD, n, fraction);
    }
    return n;
}

/* x, x_1, x_{12}, and the letters that are numbers. */
static math_node *parse_variable(math_parser *p) {
    const math_token *t = p->at++;
    if (strcmp(t->name, "i") == 0)
        return math_node_new(p, MATH_IMAGINARY);
    if (strcmp(t->name, "e") == 0)
        return math_number_new(p, exp(1));
    math_node *n = math_node_new(p, MATH_VARIABLE);
    if (!n)
        return n;
    memcpy(n->name, t->name, sizeof n->name);
    if (math_take_mark(p, '_')) {
        bool braces = math_take_mark(p, '{');
        size_t length = strlen(n->name);
        do {
            const char *name = p->at->name;
            char digits[MATH_NAME];
            if (p->at->kind == MATH_TOKEN_NUMBER) {
                snprintf(digits, sizeof digits, "%.15g", p->at->number);
                name = digits;
            } else if (p->at->kind == MATH_TOKEN_END || name[0] == '\0') {
                return math_fail(p);
            }
            for (; *name && length < MATH_NAME - 1; name++)
                n->name[length++] = *name;
            p->at++;
        } while (braces && !math_is_mark(p, '}'));
        n->name[length] = '\0';
        if (braces && !math_take_mark(p, '}'))
            return math_fail(p);
    }
    return n;
}

static math_node *parse_command(math_parser *p) {
    static const char *const fractions[] = {"frac", "dfrac", "tfrac", "cfrac", NULL};
    static const char *const infinities[] = {"infty", "infinity", "inf", "oo", NULL};
    if (math_is_one_of(p, functions))
        return parse_function(p);
    if (math_is_command(p, "{"))
        return math_parse_set(p, false);
    if (math_is_command(p, "langle"))
        return math_parse_brackets(p);
    if (math_is_command(p, "lvert") || math_is_command(p, "|"))
        return math_parse_bars(p);
    if (math_is_command(p, "lfloor"))
        return math_parse_rounded(p, "rfloor", "floor");
    if (math_is_command(p, "lceil"))
        return math_parse_rounded(p, "rceil", "ceil");
    const math_token *t = p->at;
    bool fraction = math_is_one_of(p, fractions), infinity = math_is_one_of(p, infinities);
    p->at++;
    if (fraction)
        return math_parse_fraction(p);
    if (infinity)
        return math_node_new(p, MATH_INFINITY);
    if (strcmp(t->name, "sqrt") == 0)
        return math_parse_root(p);
    if (strcmp(t->name, "cbrt") == 0)
        return math_function_new(p, "root", math_parse_one(p), math_number_new(p, 3));
    if (strcmp(t->name, "pi") == 0)
        return math_number_new(p, acos(-1));
    if (strcmp(t->name, "begin") == 0)
        return math_parse_matrix(p);
    if (strcmp(t->name, "emptyset") == 0 || strcmp(t->name, "varnothing") == 0) {
        math_node *n = math_node_new(p, MATH_SET);
        if (n)
            n->open = '{';
        return n;
    }
    if (strcmp(t->name, "binom") == 0 || strcmp(t->name, "dbinom") == 0) {
        math_node *a = math_parse_one(p), *b = a ? math_parse_one(p) : NULL;
        return b ? math_function_new(p, "binom", a, b) : math_fail(p);
    }
    if (strcmp(t->name, "boxed") == 0 || strcmp(t->name, "mathbb") == 0)
        return math_parse_one(p);
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
            return math_fail(p);
    p->at = t;
    return parse_variable(p);
}

static math_node *parse_base(math_parser *p) {
    const math_token *t = p->at;
    switch (t->kind) {
    case MATH_TOKEN_NUMBER: return parse_number(p);
    case MATH_TOKEN_LETTER: return parse_variable(p);
    case MATH_TOKEN_COMMAND: return parse_command(p);
    case MATH_TOKEN_MARK:
        if (t->mark == '(' || t->mark == '[')
            return math_parse_brackets(p);
        if (t->mark == '{')
            return math_parse_set(p, true);
        if (t->mark == '|' && !p->bars)
            return math_parse_bars(p);
        return math_fail(p);
    default: return math_fail(p);
    }
}

/* A base with what follows it: powers, factorials, per cent. */
math_node *math_parse_factor(math_parser *p) {
    math_node *n = parse_base(p);
    while (n && !p->failed) {
        if (math_take_mark(p, '^')) {
            bool minus = math_take_mark(p, '-');
            int depth = p->depth;
            math_node *power = math_enter(p) ? math_parse_one(p) : NULL;
            /* A tower stands on its right: 2^3^2 is 2^9. */
            if (power && math_take_mark(p, '^'))
                power =
                    math_node_pair(p, MATH_POWER, power, math_enter(p) ? math_parse_one(p) : NULL);
            p->depth = depth;
            n = math_node_pair(p, MATH_POWER, n,
                               minus ? math_node_one(p, MATH_NEGATE, power) : power);
        } else if (math_take_mark(p, '!')) {
            n = math_node_one(p, MATH_FACTORIAL, n);
        } else if (math_take_mark(p, '%') || math_take_command(p, "%")) {
            n = math_node_one(p, MATH_PERCENT, n);
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
static void skip_units(math_parser *p) {
    for (;;) {
        bool lonely = p->reading.units && p->at->kind == MATH_TOKEN_LETTER && p->at->spaced &&
                      p->at[1].kind == MATH_TOKEN_END;
        if (p->at->kind != MATH_TOKEN_TEXT && p->at->kind != MATH_TOKEN_WORD && !lonely)
            return;
        p->at++;
        if (math_take_mark(p, '^'))
            math_parse_one(p);
        if (math_is_mark(p, '/') &&
            (p->at[1].kind == MATH_TOKEN_TEXT || p->at[1].kind == MATH_TOKEN_WORD))
            p->at++;
    }
}

static bool starts_factor(const math_parser *p) {
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
    case MATH_TOKEN_COMMAND: return !math_is_one_of(p, after);
    case MATH_TOKEN_MARK:
        return strchr("([{", p->at->mark) != NULL || (p->at->mark == '|' && !p->bars);
    default: return false;
    }
}

static math_node *parse_signed(math_parser *p) {
    int depth = p->depth;
    math_node *n = NULL;
    if (!math_enter(p))
        return NULL;
    if (math_take_mark(p, '-'))
        n = math_node_one(p, MATH_NEGATE, parse_signed(p));
    else if (math_take_mark(p, '+'))
        n = parse_signed(p);
    else
        n = math_parse_factor(p);
    p->depth = depth;
    return n;
}

static math_node *parse_product(math_parser *p) {
    math_node *n = parse_signed(p);
    while (n && !p->failed) {
        skip_units(p);
        if (math_take_mark(p, '*') || math_take_command(p, "cdot") || math_take_command(p, "times"))
            n = math_node_pair(p, MATH_MULTIPLY, n, parse_signed(p));
        else if (math_take_mark(p, '/') || math_take_command(p, "div"))
            n = math_node_pair(p, MATH_DIVIDE, n, parse_signed(p));
        else if (starts_factor(p))
            n = math_node_pair(p, MATH_MULTIPLY, n, math_parse_factor(p));
        else
            break;
    }
    return n;
}

math_node *math_parse_sum(math_parser *p) {
    math_node *n = NULL;
    /* A sign that opens the sum belongs to its first product; plus-minus stands before nothing. */
    if (math_is_command(p, "pm") || math_is_command(p, "mp"))
        n = math_number_new(p, 0);
    else
        n = parse_product(p);
    while (n && !p->failed) {
        bool minus_plus = math_is_command(p, "mp");
        if (math_take_mark(p, '+')) {
            /* "+-", the way plus-minus is typed, is a sum of a negative number here. */
            n = math_node_pair(p, MATH_ADD, n, parse_product(p));
        } else if (math_take_mark(p, '-')) {
            n = math_node_pair(p, MATH_SUBTRACT, n, parse_product(p));
        } else if (math_take_command(p, "pm") || math_take_command(p, "mp")) {
            n = math_node_pair(p, MATH_PLUS_MINUS, n, parse_product(p));
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

static math_node *parse_union(math_parser *p) {
    math_node *n = math_parse_sum(p);
    if (!n || !math_is_command(p, "cup"))
        return n;
    math_node *all = math_node_one(p, MATH_UNION, n);
    while (all && math_take_command(p, "cup"))
        math_node_add(all, math_parse_sum(p));
    return p->failed ? NULL : all;
}

/* The relation that stands here as one character; 0: none. */
static char relation_here(const math_parser *p) {
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

static math_node *parse_relation(math_parser *p) {
    math_node *n = parse_union(p), *all = NULL;
    size_t count = 0;
    char op;
    while (n && (op = relation_here(p))) {
        p->at++;
        if (!all && !(all = math_node_one(p, MATH_RELATION, n)))
            return NULL;
        if (count + 1 >= sizeof all->ops)
            return math_fail(p);
        all->ops[count++] = op;
        math_node *next = parse_union(p);
        if (!next)
            return math_fail(p);
        math_node_add(all, next);
    }
    return all ? all : n;
}

/* One expression, or several with commas between them, as a set without brackets. */
math_node *math_parse_list(math_parser *p) {
    math_node *n = parse_relation(p), *all = NULL;
    while (n && (math_is_mark(p, ',') || math_is_mark(p, ';'))) {
        while (math_is_mark(p, ',') || math_is_mark(p, ';')) /* "1, 2, and 3" */
            p->at++;
        if (!all && !(all = math_node_one(p, MATH_SET, n)))
            return NULL;
        n = parse_relation(p);
        math_node_add(all, n);
    }
    return p->failed || !n ? NULL : all ? all : n;
}

bool math_parse(math_tree *tree, const math_tokens *tokens, math_reading reading) {
    math_parser p = {.at = tokens->items, .tree = tree, .reading = reading};
    tree->used = 0;
    skip_units(&p);
    tree->root = p.failed || p.at->kind == MATH_TOKEN_END ? NULL : math_parse_list(&p);
    return tree->root && !p.failed && p.at->kind == MATH_TOKEN_END;
}
