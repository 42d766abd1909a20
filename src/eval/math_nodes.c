/* math_nodes.c - the parser's tokens and nodes. */
#include "eval/math_parser.h"

math_node *math_fail(math_parser *p) {
    p->failed = true;
    return NULL;
}

bool math_enter(math_parser *p) {
    if (++p->depth > MATH_MAX_DEPTH)
        p->failed = true;
    return !p->failed;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

bool math_is_mark(const math_parser *p, char mark) {
    return p->at->kind == MATH_TOKEN_MARK && p->at->mark == mark;
}

bool math_is_command(const math_parser *p, const char *name) {
    return p->at->kind == MATH_TOKEN_COMMAND && strcmp(p->at->name, name) == 0;
}

bool math_take_mark(math_parser *p, char mark) {
    bool is = math_is_mark(p, mark);
    p->at += is;
    return is;
}

bool math_take_command(math_parser *p, const char *name) {
    bool is = math_is_command(p, name);
    p->at += is;
    return is;
}

bool math_is_one_of(const math_parser *p, const char *const *names) {
    for (; *names; names++)
        if (math_is_command(p, *names))
            return true;
    return false;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

math_node *math_node_new(math_parser *p, math_kind kind) {
    if (p->failed || p->tree->used == MATH_MAX_NODES)
        return math_fail(p);
    math_node *n = &p->tree->nodes[p->tree->used++];
    *n = (math_node){.kind = kind, .decimals = -1, .sign = 1};
    return n;
}

void math_node_add(math_node *parent, math_node *child) {
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

math_node *math_node_pair(math_parser *p, math_kind kind, math_node *a, math_node *b) {
    math_node *n = a && b ? math_node_new(p, kind) : math_fail(p);
    math_node_add(n, a);
    math_node_add(n, b);
    return n;
}

math_node *math_node_one(math_parser *p, math_kind kind, math_node *a) {
    math_node *n = a ? math_node_new(p, kind) : math_fail(p);
    math_node_add(n, a);
    return n;
}

math_node *math_number_new(math_parser *p, double value) {
    math_node *n = math_node_new(p, MATH_NUMBER);
    if (n)
        n->number = value;
    return n;
}

math_node *math_function_new(math_parser *p, const char *name, math_node *a, math_node *b) {
    math_node *n = a ? math_node_new(p, MATH_FUNCTION) : math_fail(p);
    if (n)
        memcpy(n->name, name, strlen(name) + 1);
    math_node_add(n, a);
    math_node_add(n, b);
    return n;
}
