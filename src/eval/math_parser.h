/* math_parser.h - for math_parse.c, math_brackets.c and math_nodes.c only: the parser's state, its
 * tokens, and the nodes that it makes. A function that fails marks the parser and gives NULL, which
 * the others pass on. */
#ifndef C2C_EVAL_MATH_PARSER_H
#define C2C_EVAL_MATH_PARSER_H

#include "eval/math.h"

typedef struct math_parser {
    const math_token *at;
    math_tree *tree;
    math_reading reading;
    int depth, bars; /* open brackets; open |...| */
    bool failed;
} math_parser;

/* ---- Tokens and nodes (math_nodes.c) --------------------------------------------------------- */

math_node *math_fail(math_parser *p); /* NULL */
/* One level deeper; false: too deep. The caller takes the level back. */
bool math_enter(math_parser *p);
bool math_is_mark(const math_parser *p, char mark);
bool math_is_command(const math_parser *p, const char *name);
bool math_is_one_of(const math_parser *p, const char *const *names); /* ends with NULL */
bool math_take_mark(math_parser *p, char mark);
bool math_take_command(math_parser *p, const char *name);

math_node *math_node_new(math_parser *p, math_kind kind);
void math_node_add(math_node *parent, math_node *child);
math_node *math_node_one(math_parser *p, math_kind kind, math_node *a);
math_node *math_node_pair(math_parser *p, math_kind kind, math_node *a, math_node *b);
math_node *math_number_new(math_parser *p, double value);
math_node *math_function_new(math_parser *p, const char *name, math_node *a, math_node *b);

/* ---- What stands between brackets (math_brackets.c) --------------------------------------------
 */

math_node *math_parse_one(math_parser *p);
math_node *math_parse_fraction(math_parser *p);
math_node *math_parse_root(math_parser *p);
math_node *math_parse_brackets(math_parser *p);
math_node *math_parse_set(math_parser *p, bool plain);
math_node *math_parse_bars(math_parser *p);
math_node *math_parse_rounded(math_parser *p, const char *close, const char *name);
math_node *math_parse_matrix(math_parser *p);

/* ---- Expressions (math_parse.c)
 * ------------------------------------------------------------------ */

math_node *math_parse_list(math_parser *p);
math_node *math_parse_sum(math_parser *p);
math_node *math_parse_factor(math_parser *p);

#endif
