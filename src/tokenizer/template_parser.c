/* template_parser.c - lexemes to the tree of a whole template: statements, blocks, and the
 * parser's own tools (errors, nodes, nesting). Expressions are template_expression.c's.
 *
 * Only Jinja that a chat can need is known: blocks, inheritance, imports and includes are
 * refused by name, since a chat template has no other files. A tag that Jinja does not know
 * either is a mistake, and is called one: the two have different statuses, because a template
 * that this build cannot run is no reason to refuse a model's folder.
 *
 * While it parses, it tells template_names.c which names each block reads and assigns
 * (names_read, names_assign), in the order in which jinja2's compiler would see them. The tree
 * lives in the template's arena and is never changed again. */
#include "tokenizer/template.h"

#include <stdio.h>

/* ---- Tools -------------------------------------------------------------------------------- */

/* Messages name template and line; the construct is in the text. */
static void set_error(parser *p, c2c_status status, int line, const char *format, va_list list) {
    char text[400];
    vsnprintf(text, sizeof text, format, list);
    if (p->status == C2C_STATUS_OK) /* the first one tells most */
        p->status = error_set(p->error, status, "%s: line %d: %s", p->name, line, text);
}

node *parser_fail(parser *p, int line, const char *format, ...) {
    va_list list;
    va_start(list, format);
    set_error(p, C2C_STATUS_BAD_FILE, line, format, list);
    va_end(list);
    return NULL;
}

node *parser_refuse(parser *p, int line, const char *format, ...) {
    va_list list;
    va_start(list, format);
    set_error(p, C2C_STATUS_UNSUPPORTED, line, format, list);
    va_end(list);
    return NULL;
}

node *parser_node(parser *p, node_kind kind, int line) {
    node *n = arena_alloc(p->memory, sizeof *n);
    if (!n)
        return parser_fail(p, line, "out of memory");
    n->kind = kind;
    n->line = line;
    return n;
}

bool parser_enter(parser *p) {
    if (++p->nesting <= TEMPLATE_MAX_NESTING)
        return true;
    parser_fail(p, p->at->line, "nested deeper than %d levels", TEMPLATE_MAX_NESTING);
    return false;
}

void parser_leave(parser *p) {
    p->nesting--;
}

bool parser_is(const parser *p, lexeme_type type, const char *text) {
    return p->at->type == type && (!text || strcmp(p->at->text, text) == 0);
}

/* The end is never skipped, so whoever goes on reading stays there. */
bool parser_skip(parser *p, lexeme_type type, const char *text) {
    bool is = parser_is(p, type, text);
    p->at += is && p->at->type != LEXEME_EOF;
    return is;
}

const char *lexeme_describe(const lexeme *l, char out[64]) {
    static const char *const names[] = {
        [LEXEME_DATA] = "text",       [LEXEME_VARIABLE_BEGIN] = "{{",
        [LEXEME_VARIABLE_END] = "}}", [LEXEME_BLOCK_BEGIN] = "{%",
        [LEXEME_BLOCK_END] = "%}",    [LEXEME_EOF] = "the end of the template"};
    if (l->type == LEXEME_STRING)
        snprintf(out, 64, "a string");
    else if (l->type == LEXEME_DATA || l->type == LEXEME_EOF)
        snprintf(out, 64, "%s", names[l->type]);
    else
        snprintf(out, 64, "'%.50s'",
                 l->type == LEXEME_NAME || l->type >= LEXEME_INTEGER ? l->text : names[l->type]);
    return out;
}

bool parser_expect(parser *p, lexeme_type type, const char *text) {
    if (parser_skip(p, type, text))
        return true;
    lexeme wanted = {.type = type, .text = text ? text : "a name"};
    char a[64], b[64];
    parser_fail(p, p->at->line, "expected %s, found %s",
                type == LEXEME_NAME && !text ? "a name" : lexeme_describe(&wanted, a),
                lexeme_describe(p->at, b));
    return false;
}

bool node_list_add(parser *p, node_list *list, node *n) {
    if (!n)
        return false;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        node **items = arena_alloc(p->memory, capacity * sizeof *items);
        if (!items) {
            parser_fail(p, n->line, "out of memory");
            return false;
        }
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = n;
    return true;
}

/* ---- Bodies ------------------------------------------------------------------------------- */

static node *parse_statement(parser *p);

/* Whether the tag that was just opened ends the body being parsed. */
static bool at_end_tag(const parser *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (p->at->type == LEXEME_NAME && strcmp(p->at->text, *ends) == 0)
            return true;
    return false;
}

/* Statements up to one of the end tags, whose name is then the current lexeme (NULL: up to the end
 * of the template). `opened` is the line of the tag that is being closed. */
static bool parse_body(parser *p, const char *const *ends, int opened, node_list *body) {
    while (p->at->type != LEXEME_EOF) {
        const lexeme *l = p->at++;
        node *n = NULL;
        if (l->type == LEXEME_DATA) {
            n = parser_node(p, NODE_DATA, l->line);
            text *t = arena_alloc(p->memory, sizeof *t);
            if (!n || !t)
                return parser_fail(p, l->line, "out of memory");
            text_init(t, l->text, l->length);
            n->constant = value_from_text(t);
        } else if (l->type == LEXEME_VARIABLE_BEGIN) {
            n = parser_node(p, NODE_PRINT, l->line);
            if (!n || !(n->first = parse_tuple(p, true, NULL)) ||
                !parser_expect(p, LEXEME_VARIABLE_END, NULL))
                return false;
        } else {
            if (at_end_tag(p, ends))
                return true;
            n = parse_statement(p);
            if (!n || !parser_expect(p, LEXEME_BLOCK_END, NULL))
                return false;
        }
        if (!node_list_add(p, body, n))
            return false;
    }
    if (!ends)
        return true;
    parser_fail(p, p->at->line, "the template ends where {%% %s %%} is missing for line %d",
                ends[0], opened);
    return false;
}

/* The rest of an opening tag and its body. */
static bool parse_block(parser *p, const char *const *ends, int opened, node_list *body) {
    /* jinja2 lets a colon stand at the end of an opening tag, for those who write Python. */
    parser_skip(p, LEXEME_OPERATOR, ":");
    if (!parser_expect(p, LEXEME_BLOCK_END, NULL) || !parser_enter(p))
        return false;
    bool good = parse_body(p, ends, opened, body);
    parser_leave(p);
    return good;
}

/* A body that only one tag can end; that tag's name is taken. */
static bool parse_whole_block(parser *p, const char *end, node *n) {
    const char *const ends[] = {end, NULL};
    node_list body = {0};
    if (!parse_block(p, ends, n->line, &body))
        return false;
    p->at++;
    n->items = body.items;
    n->count = body.count;
    return true;
}

/* The same with names of its own: those of `inner`. */
static bool parse_inner_block(parser *p, const char *end, node *n, name_block *inner) {
    name_block *outer = p->names;
    p->names = inner;
    bool good = inner && parse_whole_block(p, end, n);
    p->names = outer;
    return good;
}

/* A body that becomes a function of its own: loops outside are out of reach, and the special names
 * it reads become its arguments. */
static bool parse_function_block(parser *p, const char *end, node *n, name_block *inner) {
    /* What the body of an inner macro reads counts for the outer one as well: jinja2 looks
     * through the whole body. */
    int loops = p->loops, uses = p->uses;
    p->loops = p->uses = 0;
    bool good = parse_inner_block(p, end, n, inner);
    n->uses = p->uses;
    p->loops = loops;
    p->uses |= uses;
    return good;
}

/* ---- Statements --------------------------------------------------------------------------- */

/* {% set x = 1 %}, or {% set x %}...{% endset %}, the latter perhaps with filters. */
static node *parse_set(parser *p, node *n) {
    n->first = parse_target(p, true, NULL);
    if (!n->first)
        return NULL;
    /* The value is parsed first, the name assigned then: in {% set x = x %} the right one is the
     * outer x. */
    if (parser_skip(p, LEXEME_OPERATOR, "=")) {
        n->kind = NODE_SET;
        if (!(n->second = parse_tuple(p, true, NULL)))
            return NULL;
        names_assign(p, n->first, false);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    names_assign(p, n->first, false);
    if (parser_is(p, LEXEME_OPERATOR, "|") && !(n->second = parse_filters(p, NULL, false)))
        return NULL;
    return parse_inner_block(p, "endset", n, names_block(p, n)) ? n : NULL;
}

/* Each branch is told to the names apart: a name that only some branches assign may still be the
 * outer one behind them. */
static node *parse_if(parser *p, node *n) {
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    static const char *const last[] = {"endif", NULL};
    node_list branches = {0};
    n->kind = NODE_IF;
    bool is_else = false;
    while (true) {
        node *branch = parser_node(p, NODE_BRANCH, p->at->line);
        node_list body = {0};
        if (!node_list_add(p, &branches, branch))
            return NULL;
        /* No condition at the end, as `if` would begin an inline one: {% if a if b %} is an
         * error in jinja2, too. */
        if (!is_else && !(branch->first = parse_tuple(p, false, NULL)))
            return NULL;
        names_branch(p, 1);
        bool good = parse_block(p, is_else ? last : ends, n->line, &body);
        names_branch(p, -1);
        if (!good)
            return NULL;
        branch->items = body.items;
        branch->count = body.count;
        const char *tag = p->at++->text;
        if (strcmp(tag, "endif") == 0)
            break;
        is_else = strcmp(tag, "else") == 0;
    }
    n->items = branches.items;
    n->count = branches.count;
    return n;
}

/* for TARGET in ITEMS if CONDITION; target and condition belong to blocks of their own. */
static bool parse_for_head(parser *p, node *n) {
    p->loops++; /* `loop` is no target here */
    n->first = parse_target(p, false, "in");
    p->loops--;
    if (!n->first || !parser_expect(p, LEXEME_NAME, "in") ||
        !(n->second = parse_tuple(p, false, "recursive")))
        return false;
    /* The condition sees the target but not what the body assigns: it has a block of its own. */
    if (parser_skip(p, LEXEME_NAME, "if")) {
        name_block *outer = p->names, *inner = names_block(p, NULL);
        if (!inner)
            return false;
        p->names = inner;
        names_assign(p, n->first, true);
        n->third = parse_expression(p);
        p->names = outer;
        if (!n->third)
            return false;
    }
    if (parser_is(p, LEXEME_NAME, "recursive"))
        return parser_refuse(p, n->line, "recursive for loops are not supported") != NULL;
    return true;
}

static node *parse_for(parser *p, node *n) {
    static const char *const ends[] = {"endfor", "else", NULL};
    node_list body = {0}, otherwise = {0};
    name_block *outer = p->names;
    n->kind = NODE_FOR;
    if (!parse_for_head(p, n) || !(p->names = names_block(p, n)))
        return NULL;
    names_assign(p, n->first, true);
    names_read(p, "loop");
    /* Inside the body, and there only, break and continue are allowed. */
    p->loops++;
    bool good = parse_block(p, ends, n->line, &body);
    p->loops--;
    p->names = outer;
    if (!good)
        return NULL;
    /* The else of a loop does not see the loop's variables. */
    if (strcmp(p->at++->text, "else") == 0) {
        node *rest = parser_node(p, NODE_SCOPE, n->line);
        if (!node_list_add(p, &otherwise, rest) ||
            !parse_inner_block(p, "endfor", rest, names_block(p, rest)))
            return NULL;
    }
    n->items = body.items;
    n->count = body.count;
    n->others = otherwise.items;
    n->other_count = otherwise.count;
    return n;
}

/* Values are looked up outside of the block: in {% with a=1, b=a %}, b is the outer a. */
static node *parse_with(parser *p, node *n) {
    node_list pairs = {0};
    n->kind = NODE_WITH;
    while (!parser_is(p, LEXEME_BLOCK_END, NULL)) {
        if (pairs.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return NULL;
        if (!node_list_add(p, &pairs, parse_target(p, false, NULL)) ||
            !parser_expect(p, LEXEME_OPERATOR, "=") ||
            !node_list_add(p, &pairs, parse_expression(p)))
            return NULL;
    }
    n->others = pairs.items;
    n->other_count = pairs.count;
    name_block *outer = p->names, *inner = names_block(p, n);
    p->names = inner;
    for (size_t i = 0; inner && i < pairs.count; i += 2)
        names_assign(p, pairs.items[i], true);
    p->names = outer;
    return inner && parse_inner_block(p, "endwith", n, inner) ? n : NULL;
}

/* (a, b, c=1): the parameters of a macro or of a call block. */
static bool parse_parameter_list(parser *p, node *n) {
    node_list list = {0};
    if (!parser_expect(p, LEXEME_OPERATOR, "("))
        return false;
    while (!parser_is(p, LEXEME_OPERATOR, ")")) {
        if (list.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return false;
        node *parameter = parser_node(p, NODE_PARAMETER, p->at->line);
        if (!node_list_add(p, &list, parameter))
            return false;
        parameter->name = p->at->text;
        if (!parser_expect(p, LEXEME_NAME, NULL))
            return false;
        /* jinja2's rule: a call without a call block must have something to give. */
        if (strcmp(parameter->name, "caller") == 0 && !parser_is(p, LEXEME_OPERATOR, "=")) {
            parser_fail(p, parameter->line, "a parameter named 'caller' needs a default");
            return false;
        }
        names_read(p, parameter->name);
        if (parser_skip(p, LEXEME_OPERATOR, "=")) {
            if (!(parameter->first = parse_expression(p)))
                return false;
            /* As in Python. */
        } else if (list.count > 1 && list.items[list.count - 2]->first) {
            parser_fail(p, parameter->line, "parameter '%s' without a default follows one with it",
                        parameter->name);
            return false;
        }
    }
    n->others = list.items;
    n->other_count = list.count;
    return parser_expect(p, LEXEME_OPERATOR, ")");
}

/* Parameters and their defaults belong to the block that they are for. */
static bool parse_parameters(parser *p, node *n, name_block *inner) {
    name_block *outer = p->names;
    p->names = inner;
    bool good = inner && parse_parameter_list(p, n);
    p->names = outer;
    return good;
}

static node *parse_macro(parser *p, node *n) {
    n->kind = NODE_MACRO;
    n->name = p->at->text;
    if (!parser_expect(p, LEXEME_NAME, NULL))
        return NULL;
    names_assign(p, n, false);
    /* The macro's own name belongs to the block around it, its parameters to its own. */
    name_block *inner = names_block(p, n);
    if (!parse_parameters(p, n, inner))
        return NULL;
    return parse_function_block(p, "endmacro", n, inner) ? n : NULL;
}

static node *parse_call_block(parser *p, node *n) {
    int line = p->at->line;
    n->kind = NODE_CALL_BLOCK;
    name_block *inner = names_block(p, n);
    if (!inner || (parser_is(p, LEXEME_OPERATOR, "(") && !parse_parameters(p, n, inner)))
        return NULL;
    if (!(n->first = parse_expression(p)))
        return NULL;
    /* {% call f %} without parentheses calls nothing. */
    if (n->first->kind != NODE_CALL)
        return parser_fail(p, line, "expected a call after 'call'");
    return parse_function_block(p, "endcall", n, inner) ? n : NULL;
}

static node *parse_filter_block(parser *p, node *n) {
    n->kind = NODE_FILTER_BLOCK;
    if (!(n->second = parse_filters(p, NULL, true)))
        return NULL;
    return parse_inner_block(p, "endfilter", n, names_block(p, n)) ? n : NULL;
}

/* {% generation %} marks what the assistant wrote, for training masks; its text is plain. */
static node *parse_generation(parser *p, node *n) {
    n->kind = NODE_SCOPE;
    return parse_function_block(p, "endgeneration", n, names_block(p, n)) ? n : NULL;
}

static node *parse_print(parser *p, node *n) {
    node_list parts = {0};
    n->kind = NODE_SCOPE;
    while (!parser_is(p, LEXEME_BLOCK_END, NULL)) {
        if (parts.count && !parser_expect(p, LEXEME_OPERATOR, ","))
            return NULL;
        node *print = parser_node(p, NODE_PRINT, p->at->line);
        if (!node_list_add(p, &parts, print) || !(print->first = parse_expression(p)))
            return NULL;
    }
    n->items = parts.items;
    n->count = parts.count;
    return n;
}

/* break and continue, which must not leave a macro either. */
static node *parse_leave(parser *p, node *n) {
    n->kind = strcmp(p->at[-1].text, "break") == 0 ? NODE_BREAK : NODE_CONTINUE;
    if (!p->loops)
        return parser_fail(p, n->line, "'%s' outside of a loop", p->at[-1].text);
    return n;
}

/* Tags of Jinja that chats have no use for are refused by name, others are mistakes. */
static node *parse_unknown(parser *p, node *n) {
    static const char *const known[] = {"autoescape", "block", "extends", "from",  "import",
                                        "include",    "do",    "debug",   "trans", NULL};
    const char *tag = p->at[-1].text;
    for (const char *const *k = known; *k; k++)
        if (strcmp(tag, *k) == 0)
            return parser_refuse(p, n->line, "the tag {%% %s %%} is not supported", tag);
    return parser_fail(p, n->line, "unknown tag {%% %.80s %%}", tag);
}

/* The statement behind a "{%", up to its "%}". */
static node *parse_statement(parser *p) {
    static const struct {
        const char *tag;
        node *(*parse)(parser *p, node *n);
    } tags[] = {
        {"set", parse_set},
        {"if", parse_if},
        {"for", parse_for},
        {"with", parse_with},
        {"macro", parse_macro},
        {"call", parse_call_block},
        {"filter", parse_filter_block},
        {"generation", parse_generation},
        {"print", parse_print},
        {"break", parse_leave},
        {"continue", parse_leave},
    };
    node *n = parser_node(p, NODE_SCOPE, p->at->line);
    if (!n || !parser_expect(p, LEXEME_NAME, NULL))
        return NULL;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strcmp(p->at[-1].text, tags[i].tag) == 0)
            return tags[i].parse(p, n);
    return parse_unknown(p, n);
}

c2c_status template_parse(node **body, arena *memory, const lexeme *lexemes, const char *name,
                          c2c_error *error) {
    parser p = {.at = lexemes, .memory = memory, .name = name, .error = error};
    node_list list = {0};
    *body = NULL;
    node *root = parser_node(&p, NODE_SCOPE, 1);
    p.names = root ? names_block(&p, root) : NULL;
    if (p.names && parse_body(&p, NULL, 1, &list) && names_resolve(&p)) {
        root->items = list.items;
        root->count = list.count;
        *body = root;
    }
    return p.status;
}
