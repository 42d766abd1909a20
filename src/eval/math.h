/* math.h - inside the evaluation room: mathematical texts, LaTeX or plain, as trees that can be
 * compared by value. Everything here is bounded: a text by MATH_MAX_TEXT, a tree by MATH_MAX_NODES
 * and MATH_MAX_DEPTH. What goes beyond is a text that says nothing, never a slow or deep one. */
#ifndef C2C_EVAL_MATH_H
#define C2C_EVAL_MATH_H

#include "eval/eval.h"

#define MATH_MAX_TEXT  4096
#define MATH_MAX_NODES 1024
#define MATH_MAX_DEPTH 64
#define MATH_NAME      24 /* bytes of a variable's or a function's name */

/* ---- Tokens (math_tokens.c) ----------------------------------------------------------------- */

typedef enum math_token_kind {
    MATH_TOKEN_END = 0,
    MATH_TOKEN_NUMBER,  /* digits with at most one point, as written, without thousands' commas */
    MATH_TOKEN_LETTER,  /* one letter */
    MATH_TOKEN_WORD,    /* letters without a backslash, no known name */
    MATH_TOKEN_COMMAND, /* \name, or a plain word such as sqrt, pi */
    MATH_TOKEN_TEXT,    /* what stands in \text{...} */
    MATH_TOKEN_MARK     /* one character */
} math_token_kind;

typedef struct math_token {
    math_token_kind kind;
    char mark;
    bool spaced; /* white space stands before it */
    char name[MATH_NAME];
    double number;
    int decimals;      /* digits after the point; -1: no point */
    size_t start, end; /* where in the source */
} math_token;

typedef struct math_tokens {
    char source[MATH_MAX_TEXT];
    math_token items[MATH_MAX_TEXT + 1];
    size_t count; /* without the END that stands behind */
} math_tokens;

/* How a text can be read where it can be read in two ways. */
typedef struct math_reading {
    bool thousands; /* 1,200 is one number; else a list of two */
    bool units;     /* words after a number say what is counted; else letters are factors */
} math_reading;

/* False: too long. */
bool math_tokenize(math_tokens *tokens, const char *text, size_t length, math_reading reading);

/* ---- Trees (math_parse.c) ------------------------------------------------------------------- */

typedef enum math_kind {
    MATH_NUMBER = 0,
    MATH_VARIABLE,
    MATH_IMAGINARY, /* i */
    MATH_INFINITY,
    MATH_ADD,      /* a + b */
    MATH_SUBTRACT, /* a - b */
    MATH_MULTIPLY,
    MATH_DIVIDE,
    MATH_POWER,
    MATH_NEGATE,
    MATH_PLUS_MINUS, /* a +- b; `sign` -1: minus-plus */
    MATH_PERCENT,
    MATH_FACTORIAL,
    MATH_FUNCTION, /* name(a) or name(a, b) */
    MATH_SEQUENCE, /* in brackets: a tuple, an interval, a list */
    MATH_SET,      /* {...}, or commas without brackets (`open` 0) */
    MATH_UNION,
    MATH_MATRIX,  /* `columns` to a row */
    MATH_RELATION /* a op b op c ...; `ops` as text of one character each */
} math_kind;

typedef struct math_node math_node;
struct math_node {
    math_kind kind;
    double number;
    bool literal;  /* a number as written */
    double digits; /* of a number in another base, read as decimal; 0: in base ten */
    int decimals;  /* of a literal; -1: an integer */
    int sign;
    char open, close; /* brackets */
    int columns;
    char name[MATH_NAME];
    char ops[8];
    math_node *first, *next; /* children */
    size_t count;
    bool percent, plus_minus; /* somewhere in it */
};

typedef struct math_tree {
    math_node nodes[MATH_MAX_NODES];
    size_t used;
    math_node *root;
} math_tree;

/* False: it is no mathematics that we read, or goes beyond the bounds. */
bool math_parse(math_tree *tree, const math_tokens *tokens, math_reading reading);

/* ---- Values (math_value.c, math_compare.c) --------------------------------------------------- */

/* How one side is evaluated. */
typedef struct math_view {
    double percent; /* what % stands for: 1 or 0.01 */
    int sign;       /* of plus-minus */
} math_view;

/* Two expressions without brackets of their own have the same value, at a few points if they have
 * variables. `ratio` not NULL: they only have to be proportional; *ratio is then a / b. */
bool math_same_value(const math_node *a, math_view va, const math_node *b, math_view vb,
                     double *ratio);
/* The answer says the same as the truth. */
bool math_same(const math_node *truth, const math_node *answer);

#endif
