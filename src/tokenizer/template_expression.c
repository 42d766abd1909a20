/* template_expression.c - lexemes to expression trees: Jinja's grammar of operators, calls,
 * subscripts, filters and tests, with its precedences. Statements are template_parser.c's.
 *
 * One function for each level of precedence, from parse_expression (loosest) to parse_primary.
 * Jinja's differ from Python's in places that templates rely on: filters and tests bind tighter
 * than any binary operator (`a + b|trim` trims b), `~` binds tighter than `+`, `**` goes from
 * left to right, and a minus is applied before a filter (`-1|abs` is 1).
 *
 * All functions return NULL after an error that they have reported; the first report counts.
 * Depth is bounded by parser_enter wherever the grammar can nest without end: primaries, unary
 * signs, `not`, conditions. */
#include "tokenizer/template.h"

static node *parse_unary(parser *p, bool with_filters);
static node *parse_or(parser *p);

/* ---- Literals ----------------------------------------------------------------------------- */

/* Literals are evaluated here, once. */
static node *constant(parser *p, int line, value v) {
    node *n = parser_node(p, NODE_CONSTANT, line);
    if (n)
        n->constant = v;
    return n;
}

/* Neighbouring strings are one, as in Python. */
static node *parse_string(parser *p) {
    int line = p->at->line;
    size_t length = 0, at = 0;
    const lexeme *end = p->at;
    for (; end->type == LEXEME_STRING; end++)
        length += end->length;
    char *bytes = arena_alloc(p->memory, length + 1);
    text *t = arena_alloc(p->memory, sizeof *t);
    if (!bytes || !t)
        return parser_fail(p, line, "out of memory");
    for (; p->at < end; at += p->at->length, p->at++)
        memcpy(bytes + at, p->at->text, p->at->length);
    text_init(t, bytes, length);
    return constant(p, line, value_from_text(t));
}

/* [a, b] or {a: b, c: d}; the opening bracket is the current lexeme. */
static node *parse_display(parser *p, bool is_dict) {
    const char *close = is_dict ? "}" : "]";
    node *n = parser_node(p, is_dict ? NODE_DICT : NODE_LIST, p->at->line);
    node_list items = {0};
    p->at++;
    while (n && !parser_is(p, LEXEME_OPERATOR, close)) {
        if (items.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return NULL;
        /* A comma may stand behind the last item. */
        if (parser_is(p, LEXEME_OPERATOR, close))
            break;
        if (!node_list_add(p, &items, parse_expression(p)))
            return NULL;
        if (is_dict && (!parser_expect(p, LEXEME_OPERATOR, ":") ||
                        !node_list_add(p, &items, parse_expression(p))))
            return NULL;
    }
    if (!n || !parser_expect(p, LEXEME_OPERATOR, close))
        return NULL;
    n->items = items.items;
    n->count = items.count;
    return n;
}

/* Names that look like constants are constants; a namespace's field is a target only. */
static node *parse_name(parser *p, bool with_fields) {
    const lexeme *l = p->at++;
    if (strcmp(l->text, "true") == 0 || strcmp(l->text, "True") == 0)
        return constant(p, l->line, value_bool(true));
    if (strcmp(l->text, "false") == 0 || strcmp(l->text, "False") == 0)
        return constant(p, l->line, value_bool(false));
    if (strcmp(l->text, "none") == 0 || strcmp(l->text, "None") == 0)
        return constant(p, l->line, value_none());
    /* Whether a macro takes a caller, varargs or kwargs is decided by its body reading these
     * names: jinja2 looks for them when it compiles. */
    p->uses |= strcmp(l->text, "caller") == 0    ? MACRO_USES_CALLER
               : strcmp(l->text, "varargs") == 0 ? MACRO_USES_VARARGS
               : strcmp(l->text, "kwargs") == 0  ? MACRO_USES_KWARGS
                                                 : 0;
    bool is_field = with_fields && parser_skip(p, LEXEME_OPERATOR, ".");
    node *n = parser_node(p, is_field ? NODE_FIELD : NODE_NAME, l->line);
    if (!n)
        return NULL;
    n->name = l->text;
    /* Names that are only written to are reported as assigned, by the statement. */
    if (!p->targets)
        names_read(p, l->text);
    if (is_field) {
        n->field = p->at->text;
        if (!parser_expect(p, LEXEME_NAME, NULL))
            return NULL;
    }
    return n;
}

/* () is the empty tuple, (a) is a, (a,) and (a, b) are tuples. */
static node *parse_parenthesis(parser *p) {
    int line = p->at++->line;
    if (parser_skip(p, LEXEME_OPERATOR, ")"))
        return parser_node(p, NODE_TUPLE, line);
    node *n = parse_tuple(p, true, NULL);
    return n && parser_expect(p, LEXEME_OPERATOR, ")") ? n : NULL;
}

/* What stands alone: a name, a literal, or something in brackets. */
static node *parse_primary(parser *p, bool with_fields) {
    const lexeme *l = p->at;
    char described[64];
    if (!parser_enter(p))
        return NULL;
    node *n = NULL;
    if (l->type == LEXEME_NAME) {
        n = parse_name(p, with_fields);
    } else if (l->type == LEXEME_STRING) {
        n = parse_string(p);
    } else if (l->type == LEXEME_INTEGER) {
        p->at++;
        n = constant(p, l->line, value_from_integer(l->integer));
    } else if (l->type == LEXEME_REAL) {
        p->at++;
        n = constant(p, l->line, value_from_real(l->real));
    } else if (parser_is(p, LEXEME_OPERATOR, "(")) {
        n = parse_parenthesis(p);
    } else if (parser_is(p, LEXEME_OPERATOR, "[")) {
        n = parse_display(p, false);
    } else if (parser_is(p, LEXEME_OPERATOR, "{")) {
        n = parse_display(p, true);
    } else {
        n = parser_fail(p, l->line, "unexpected %s", lexeme_describe(l, described));
    }
    parser_leave(p);
    return n;
}

/* ---- Behind a value: subscripts, calls, filters, tests ------------------------------------ */

/* A part of a slice that is left out is none. */
static bool slice_ends(const parser *p) {
    return parser_is(p, LEXEME_OPERATOR, "]") || parser_is(p, LEXEME_OPERATOR, ",");
}

/* One index, or start:stop:step with each part optional. */
static node *parse_index(parser *p) {
    int line = p->at->line;
    node *first = NULL;
    if (!parser_is(p, LEXEME_OPERATOR, ":")) {
        first = parse_expression(p);
        if (!first || !parser_is(p, LEXEME_OPERATOR, ":"))
            return first;
    }
    node *n = parser_node(p, NODE_SLICE, line);
    if (!n)
        return NULL;
    p->at++;
    n->first = first;
    if (!slice_ends(p) && !parser_is(p, LEXEME_OPERATOR, ":") && !(n->second = parse_expression(p)))
        return NULL;
    if (parser_skip(p, LEXEME_OPERATOR, ":") && !slice_ends(p) && !(n->third = parse_expression(p)))
        return NULL;
    return n;
}

/* object[index], where the index may be a slice or several values. */
static node *parse_brackets(parser *p, node *object) {
    node *n = parser_node(p, NODE_ITEM, p->at->line);
    node_list indices = {0};
    p->at++;
    while (n && !parser_is(p, LEXEME_OPERATOR, "]")) {
        if (indices.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return NULL;
        if (!node_list_add(p, &indices, parse_index(p)))
            return NULL;
    }
    if (!n || !parser_expect(p, LEXEME_OPERATOR, "]"))
        return NULL;
    n->first = object;
    if (indices.count == 1) {
        n->second = indices.items[0];
        return n;
    }
    /* x[1, 2] takes a tuple. */
    n->second = parser_node(p, NODE_TUPLE, n->line);
    for (size_t i = 0; i < indices.count; i++)
        if (indices.items[i]->kind == NODE_SLICE)
            return parser_refuse(p, n->line, "slices in several dimensions");
    if (!n->second)
        return NULL;
    n->second->items = indices.items;
    n->second->count = indices.count;
    return n;
}

/* object.name, and object.0 as Jinja allows. */
/* A number behind a dot reads as a float to most lexers; this one gives the dot and the number. */
static node *parse_dot(parser *p, node *object) {
    int line = p->at++->line;
    const lexeme *l = p->at++;
    if (l->type == LEXEME_NAME) {
        node *n = parser_node(p, NODE_ATTRIBUTE, line);
        if (n) {
            n->first = object;
            n->name = l->text;
        }
        return n;
    }
    if (l->type != LEXEME_INTEGER) {
        p->at--;
        return parser_fail(p, l->line, "expected a name or a number after '.'");
    }
    node *n = parser_node(p, NODE_ITEM, line);
    if (n) {
        n->first = object;
        n->second = constant(p, l->line, value_from_integer(l->integer));
    }
    return n && n->second ? n : NULL;
}

/* (a, b, name=c, *d, **e) into a call, filter or test; the parenthesis is the current lexeme. */
static bool parse_arguments(parser *p, node *n) {
    node_list items = {0}, keywords = {0};
    int line = p->at++->line;
    bool any = false, good = true;
    while (good && !parser_is(p, LEXEME_OPERATOR, ")")) {
        if (any && !parser_expect(p, LEXEME_OPERATOR, ","))
            return false;
        if (parser_is(p, LEXEME_OPERATOR, ")"))
            break;
        any = true;
        bool in_order = !n->second && !n->third;
        if (parser_skip(p, LEXEME_OPERATOR, "*")) {
            good = in_order && (n->second = parse_expression(p));
        } else if (parser_skip(p, LEXEME_OPERATOR, "**")) {
            good = !n->third && (n->third = parse_expression(p));
            /* The list of lexemes ends with LEXEME_EOF, so one may look at the next. */
        } else if (p->at->type == LEXEME_NAME && p->at[1].type == LEXEME_OPERATOR &&
                   strcmp(p->at[1].text, "=") == 0) {
            node *k = parser_node(p, NODE_KEYWORD, p->at->line);
            good = !n->third && node_list_add(p, &keywords, k);
            if (good) {
                k->name = p->at->text;
                p->at += 2;
                good = (k->first = parse_expression(p)) != NULL;
            }
        } else {
            good = in_order && !keywords.count && node_list_add(p, &items, parse_expression(p));
        }
    }
    if (!good)
        return parser_fail(p, line, "invalid order of arguments in a call") != NULL;
    n->items = items.items;
    n->count = items.count;
    n->others = keywords.items;
    n->other_count = keywords.count;
    return parser_expect(p, LEXEME_OPERATOR, ")");
}

/* Each call gets a node of its own with the callee inside: a()(b) nests to the left. */
static node *parse_call(parser *p, node *callee) {
    node *n = parser_node(p, NODE_CALL, p->at->line);
    if (!n)
        return NULL;
    n->first = callee;
    return parse_arguments(p, n) ? n : NULL;
}

/* Subscripts and calls, as many as there are. */
static node *parse_postfix(parser *p, node *n) {
    while (n) {
        if (parser_is(p, LEXEME_OPERATOR, "."))
            n = parse_dot(p, n);
        else if (parser_is(p, LEXEME_OPERATOR, "["))
            n = parse_brackets(p, n);
        else if (parser_is(p, LEXEME_OPERATOR, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

node *parse_filters(parser *p, node *input, bool first_without_pipe) {
    node *n = input;
    while (first_without_pipe || parser_skip(p, LEXEME_OPERATOR, "|")) {
        first_without_pipe = false;
        node *filter = parser_node(p, NODE_FILTER, p->at->line);
        /* Whether there is a filter of this name is asked when it is used: in a branch that never
         * runs it may be missing, as in jinja2. */
        const char *name = p->at->text;
        if (!filter || !parser_expect(p, LEXEME_NAME, NULL))
            return NULL;
        if (parser_is(p, LEXEME_OPERATOR, "."))
            return parser_fail(p, filter->line, "no filter is named '%s.%s'", name, p->at[1].text);
        filter->name = name;
        filter->first = n;
        if (parser_is(p, LEXEME_OPERATOR, "(") && !parse_arguments(p, filter))
            return NULL;
        n = filter;
    }
    return n;
}

/* A test's single argument may stand without parentheses: "x is divisibleby 3". */
static bool test_argument_follows(const parser *p) {
    if (p->at->type == LEXEME_NAME)
        return strcmp(p->at->text, "else") != 0 && strcmp(p->at->text, "or") != 0 &&
               strcmp(p->at->text, "and") != 0;
    /* A parenthesis was looked for before; a minus does not start an argument, so {{ x is odd -
     * 1 }} subtracts. */
    return p->at->type == LEXEME_STRING || p->at->type == LEXEME_INTEGER ||
           p->at->type == LEXEME_REAL || parser_is(p, LEXEME_OPERATOR, "[") ||
           parser_is(p, LEXEME_OPERATOR, "{");
}

static node *parse_test(parser *p, node *input) {
    int line = p->at++->line;
    bool negated = parser_skip(p, LEXEME_NAME, "not");
    node *n = parser_node(p, NODE_TEST, line);
    const char *name = p->at->text;
    if (!n || !parser_expect(p, LEXEME_NAME, NULL))
        return NULL;
    n->name = name;
    n->first = input;
    if (parser_is(p, LEXEME_OPERATOR, "(")) {
        if (!parse_arguments(p, n))
            return NULL;
    } else if (test_argument_follows(p)) {
        if (parser_is(p, LEXEME_NAME, "is"))
            return parser_fail(p, line, "tests cannot be chained with 'is'");
        node_list items = {0};
        if (!node_list_add(p, &items, parse_postfix(p, parse_primary(p, false))))
            return NULL;
        n->items = items.items;
        n->count = items.count;
    }
    if (!negated)
        return n;
    node *negation = parser_node(p, NODE_NOT, line);
    if (negation)
        negation->first = n;
    return negation;
}

/* Filters, tests, and calls of what they give. */
static node *parse_piped(parser *p, node *n) {
    while (n) {
        if (parser_is(p, LEXEME_OPERATOR, "|"))
            n = parse_filters(p, n, false);
        else if (parser_is(p, LEXEME_NAME, "is"))
            n = parse_test(p, n);
        else if (parser_is(p, LEXEME_OPERATOR, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* ---- Operators, from the tightest to the loosest ------------------------------------------ */

static node *parse_unary(parser *p, bool with_filters) {
    node *n;
    if (!parser_enter(p))
        return NULL;
    if (parser_is(p, LEXEME_OPERATOR, "-") || parser_is(p, LEXEME_OPERATOR, "+")) {
        n = parser_node(p, NODE_NEGATE, p->at->line);
        if (n) {
            n->name = p->at++->text;
            /* Filters behind the operand are for the whole: -x|abs is (-x)|abs. */
            n->first = parse_unary(p, false);
            n = n->first ? n : NULL;
        }
    } else {
        n = parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    if (with_filters)
        n = parse_piped(p, n);
    parser_leave(p);
    return n;
}

/* operand sign operand ...: left-associative, ** too. */
static node *parse_chain(parser *p, const char *const *signs, node *(*operand)(parser *p)) {
    node *left = operand(p);
    while (left) {
        /* The longest sign is one lexeme already: "//" is not two of "/". */
        const char *sign = NULL;
        for (int i = 0; signs[i]; i++)
            if (parser_is(p, LEXEME_OPERATOR, signs[i]))
                sign = signs[i];
        if (!sign)
            break;
        node *n = parser_node(p, NODE_BINARY, p->at++->line);
        if (!n)
            return NULL;
        n->name = sign;
        n->first = left;
        n->second = operand(p);
        left = n->second ? n : NULL;
    }
    return left;
}

static node *parse_operand(parser *p) {
    return parse_unary(p, true);
}

static node *parse_power(parser *p) {
    static const char *const signs[] = {"**", NULL};
    return parse_chain(p, signs, parse_operand);
}

static node *parse_product(parser *p) {
    static const char *const signs[] = {"*", "/", "//", "%", NULL};
    return parse_chain(p, signs, parse_power);
}

/* ~ takes all its operands at once, and binds tighter than +. */
static node *parse_concat(parser *p) {
    int line = p->at->line;
    node_list parts = {0};
    do {
        if (!node_list_add(p, &parts, parse_product(p)))
            return NULL;
    } while (parser_skip(p, LEXEME_OPERATOR, "~"));
    if (parts.count == 1)
        return parts.items[0];
    node *n = parser_node(p, NODE_CONCAT, line);
    if (n) {
        n->items = parts.items;
        n->count = parts.count;
    }
    return n;
}

static node *parse_sum(parser *p) {
    static const char *const signs[] = {"+", "-", NULL};
    return parse_chain(p, signs, parse_concat);
}

/* The comparison operator at hand, or NULL; `lexemes` of them to skip. */
static const char *comparison(const parser *p, int *lexemes) {
    static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
    *lexemes = 1;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (parser_is(p, LEXEME_OPERATOR, signs[i]))
            return signs[i];
    if (parser_is(p, LEXEME_NAME, "in"))
        return "in";
    *lexemes = 2;
    if (parser_is(p, LEXEME_NAME, "not") && p->at[1].type == LEXEME_NAME &&
        strcmp(p->at[1].text, "in") == 0)
        return "not in";
    return NULL;
}

/* a < b < c is one comparison with two operands, not two comparisons. */
static node *parse_compare(parser *p) {
    int line = p->at->line, lexemes;
    node *first = parse_sum(p);
    node_list operands = {0};
    for (const char *sign; first && (sign = comparison(p, &lexemes));) {
        node *operand = parser_node(p, NODE_OPERAND, p->at->line);
        p->at += lexemes;
        if (!node_list_add(p, &operands, operand))
            return NULL;
        operand->name = sign;
        operand->first = parse_sum(p);
        if (!operand->first)
            return NULL;
    }
    if (!first || !operands.count)
        return first;
    node *n = parser_node(p, NODE_COMPARE, line);
    if (n) {
        n->first = first;
        n->items = operands.items;
        n->count = operands.count;
    }
    return n;
}

/* `not` is looser than comparisons. */
static node *parse_not(parser *p) {
    if (!parser_is(p, LEXEME_NAME, "not"))
        return parse_compare(p);
    node *n = parser_node(p, NODE_NOT, p->at++->line);
    if (!n || !parser_enter(p))
        return NULL;
    n->first = parse_not(p);
    parser_leave(p);
    return n->first ? n : NULL;
}

/* Loops instead of recursion for what is left-associative: a chain of a thousand `and` is not
 * deep to parse. It is to run, where every level is counted. */
static node *parse_and(parser *p) {
    node *left = parse_not(p);
    while (left && parser_is(p, LEXEME_NAME, "and")) {
        node *n = parser_node(p, NODE_AND, p->at++->line);
        if (!n)
            return NULL;
        n->first = left;
        n->second = parse_not(p);
        left = n->second ? n : NULL;
    }
    return left;
}

static node *parse_or(parser *p) {
    node *left = parse_and(p);
    while (left && parser_is(p, LEXEME_NAME, "or")) {
        node *n = parser_node(p, NODE_OR, p->at++->line);
        if (!n)
            return NULL;
        n->first = left;
        n->second = parse_and(p);
        left = n->second ? n : NULL;
    }
    return left;
}

node *parse_without_condition(parser *p) {
    return parse_or(p);
}

/* a if test else b; without an else the value is undefined where the test fails. */
node *parse_expression(parser *p) {
    if (!parser_enter(p))
        return NULL;
    node *n = parse_or(p);
    /* `a if b if c` is allowed and nests to the left. */
    while (n && parser_is(p, LEXEME_NAME, "if")) {
        node *condition = parser_node(p, NODE_CONDITION, p->at++->line);
        if (!condition || !(condition->first = parse_or(p)))
            return NULL;
        condition->second = n;
        if (parser_skip(p, LEXEME_NAME, "else") && !(condition->third = parse_expression(p)))
            return NULL;
        n = condition;
    }
    parser_leave(p);
    return n;
}

/* ---- Tuples and targets ------------------------------------------------------------------- */

/* A comma may stand behind the last part, so each of these may end a tuple. */
static bool tuple_ends(const parser *p, const char *stop) {
    return p->at->type == LEXEME_VARIABLE_END || p->at->type == LEXEME_BLOCK_END ||
           parser_is(p, LEXEME_OPERATOR, ")") || (stop && parser_is(p, LEXEME_NAME, stop));
}

/* Tuples of expressions and tuples of targets differ in their parts only. */
typedef node *(*parse_part)(parser *p);

static node *parse_parts(parser *p, parse_part part, const char *stop) {
    int line = p->at->line;
    node_list items = {0};
    bool is_tuple = false;
    char described[64];
    while (true) {
        if (items.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return NULL;
        if (tuple_ends(p, stop))
            break;
        if (!node_list_add(p, &items, part(p)))
            return NULL;
        if (!parser_is(p, LEXEME_OPERATOR, ","))
            break;
        is_tuple = true;
    }
    if (!items.count)
        return parser_fail(p, line, "expected an expression, found %s",
                           lexeme_describe(p->at, described));
    if (!is_tuple)
        return items.items[0];
    node *n = parser_node(p, NODE_TUPLE, line);
    if (n) {
        n->items = items.items;
        n->count = items.count;
    }
    return n;
}

node *parse_tuple(parser *p, bool with_condition, const char *stop) {
    return parse_parts(p, with_condition ? parse_expression : parse_without_condition, stop);
}

static node *parse_target_name(parser *p) {
    return parse_primary(p, false);
}

static node *parse_target_field(parser *p) {
    return parse_primary(p, true);
}

/* In a for loop, `loop` is not a name like others. */
static bool can_assign(const parser *p, const node *n) {
    if (n->kind == NODE_TUPLE) {
        for (size_t i = 0; i < n->count; i++)
            if (!can_assign(p, n->items[i]))
                return false;
        return true;
    }
    if (n->kind == NODE_NAME)
        return !p->loops || strcmp(n->name, "loop") != 0;
    return n->kind == NODE_FIELD;
}

node *parse_target(parser *p, bool with_fields, const char *stop) {
    int line = p->at->line;
    p->targets++;
    node *n = parse_parts(p, with_fields ? parse_target_field : parse_target_name, stop);
    p->targets--;
    if (n && !can_assign(p, n))
        return parser_fail(p, line, "this cannot be assigned to");
    return n;
}
