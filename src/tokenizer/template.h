/* template.h - the parts of the chat template interpreter, private to chat_template.c and
 * template_*.c of this room.
 *
 * A template is Jinja: source -> tokens (lexer) -> tree (parser) -> text (evaluator over values).
 * Semantics are those of jinja2's immutable sandbox with trim_blocks, lstrip_blocks and loop
 * controls, the way Hugging Face renders chats; values behave and print as Python's.
 *
 * Templates and messages are hostile: a tree's nesting, the evaluator's depth, its work, memory and
 * output are bounded by the limits below, and passing one is an error like any other. */
#ifndef C2C_TEMPLATE_H
#define C2C_TEMPLATE_H

#include "tokenizer/tokenizer.h"

#define TEMPLATE_MAX_SOURCE  (1u << 20) /* bytes of a template's text */
#define TEMPLATE_MAX_NESTING 200        /* brackets and blocks inside each other */
#define TEMPLATE_MAX_DEPTH   1000       /* evaluator calls inside each other, macros included */
#define TEMPLATE_MAX_RANGE   100000     /* numbers of a range, as in jinja2's sandbox */
#define TEMPLATE_MAX_WIDTH   1000000    /* characters that a number or text is padded to */

/* What one rendering may use; NULL stands for these numbers, which end a hostile rendering within
 * about a second. Fuzzing asks for less. */
typedef struct template_limits {
    size_t work;   /* 20,000,000: nodes evaluated, items visited, bytes of text / 16, ... */
    size_t memory; /* 256 MiB allocated */
    size_t output; /* 64 MiB of rendered text */
} template_limits;

/* ---- Values (template_value.c) ------------------------------------------------------------ */

typedef enum value_type {
    VALUE_UNDEFINED = 0,
    VALUE_ABSENT, /* an argument that was not given; never seen by a template */
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_RANGE,
    VALUE_VIEW,      /* of a dict: its keys, values or items */
    VALUE_GENERATOR, /* what a filter such as map gives: can be walked once */
    VALUE_DICT,
    VALUE_NAMESPACE,
    VALUE_FUNCTION,
    VALUE_MACRO,
    VALUE_LOOP
} value_type;

typedef struct text text;
typedef struct sequence sequence;
typedef struct dict dict;
typedef struct function function;
typedef struct macro macro;
typedef struct loop loop;

/* All but dicts of namespaces, generators and loops are immutable once a template sees them. What
 * they point to lives in the rendering's arena, in the template or in the caller's JSON. */
typedef struct value {
    value_type type;
    union {
        const char *reason; /* VALUE_UNDEFINED: the message of an error that uses it */
        bool boolean;
        int64_t integer;
        double real;
        const text *text;
        sequence *sequence; /* list, tuple, range, view, generator */
        dict *dict;         /* dict, namespace */
        const function *function;
        const macro *macro;
        loop *loop;
    };
} value;

struct sequence {
    const value *items;
    size_t count;
    size_t position;           /* of a generator: items already taken */
    const char *name;          /* of a range or view: how it prints before its items, "dict_keys" */
    int64_t start, step, stop; /* of a range */
    bool is_group; /* a (grouper, list) pair of the filter groupby, which has these attributes */
};

typedef struct render render;

const char *value_type_name(const value *v); /* Python's: "str", "NoneType", ... */
bool value_truth(const value *v);
bool value_is_number(const value *v);           /* integer, real or bool */
bool value_integer(const value *v, int64_t *i); /* an integer or a bool */
double value_real(const value *v);              /* of a number */
/* Fallible value functions return false after render_fail. */
bool value_equal(render *r, const value *a, const value *b, bool *equal);
/* Python's ordering: *order is -1, 0, 1, or 2 when not comparable numbers (NaN) meet. `sign` is
 * the operator that stands in the message. */
bool value_order(render *r, const value *a, const value *b, const char *sign, int *order);
bool value_contains(render *r, const value *container, const value *item, bool *found);
bool value_length(render *r, const value *v, size_t *length);
/* (template_access.c) The items that a for loop over `v` would see. Takes the rest of a generator.
 */
bool value_items(render *r, const value *v, const value **items, size_t *count);
/* obj.name and obj[key] with jinja2's fallbacks; undefined when there is none. */
bool value_attribute(render *r, const value *object, const char *name, value *out);
bool value_item(render *r, const value *object, const value *key, value *out);

value value_none(void);
value value_bool(bool b);
value value_from_integer(int64_t i);
value value_from_real(double d);
value value_from_text(const text *t);
bool value_list(render *r, value_type type, const value *items, size_t count, value *out);
bool value_undefined(render *r, value *out, const char *reason, ...) C2C_PRINTF(3, 4);
/* `message`: where strings under it come from (see text_run); negative: nowhere. */
bool value_from_json(render *r, const json_value *json, int message, value *out);

/* ---- Texts (template_text.c, template_case.c) --------------------------------------------- */

/* Bytes start..end-1 of a text were written by the content of chat message `message`. */
typedef struct text_run {
    size_t start, end;
    int message;
} text_run;

/* Room behind a text into which the next concatenation may write, so that a text built piece by
 * piece in a loop costs linear time and memory. */
typedef struct text_tail {
    const char *end;
    size_t room;
} text_tail;

/* Valid UTF-8. Every operation that takes characters from a text keeps their runs, so that the
 * output knows which bytes are message contents. */
struct text {
    const char *bytes;
    size_t length, characters;
    const text_run *runs; /* in order, disjoint; NULL when run_count is 0 */
    size_t run_count;
    text_tail *tail;
    bool markup; /* "safe": joined with plain texts, these are HTML-escaped as in jinja2 */
};

void text_init(text *t, const char *bytes, size_t length); /* borrows the bytes */
text *text_view(render *r, const char *bytes, size_t length);
const text *text_copy(render *r, const char *bytes, size_t length);
bool text_equal(const text *a, const text *b);
bool text_is(const text *t, const char *literal);
/* Bytes from..to-1, both at characters' borders. */
const text *text_slice(render *r, const text *t, size_t from, size_t to);
size_t text_offset(const text *t, size_t character); /* the byte where a character starts */
size_t text_index(const text *t, size_t offset);     /* the character that starts at a byte */
/* The first (last: from_end) place of `needle` in bytes from..to-1; SIZE_MAX when it is not there.
 */
size_t text_find(const text *t, const text *needle, size_t from, size_t to, bool from_end);
/* Whether `affix` stands at a byte behind which `t` has room for it. */
bool text_stands_at(const text *t, const text *affix, size_t offset);
/* Not markup, even if the parts are. */
const text *text_concat(render *r, const text *a, const text *b);
/* The same text, or the same value with its texts, with another mark. */
bool value_marked(render *r, bool markup, value *v);
const text *text_marked(render *r, const text *t, bool markup);

/* A text under construction; zero but for `render`. */
typedef struct text_builder {
    render *render;
    char *data;
    size_t length, capacity;
    size_t characters;
    text_run *runs;
    size_t run_count, run_capacity;
    size_t limit; /* of length; 0: the memory limit only */
} text_builder;

bool builder_reserve(text_builder *b, size_t extra);
bool builder_bytes(text_builder *b, const char *bytes, size_t length, int message);
bool builder_literal(text_builder *b, const char *literal);
bool builder_printf(text_builder *b, const char *format, ...) C2C_PRINTF(2, 3);
bool builder_slice(text_builder *b, const text *t, size_t from, size_t to);
bool builder_text(text_builder *b, const text *t);
bool builder_repeat(text_builder *b, const text *t, int64_t times);
const text *builder_finish(text_builder *b);
int text_message_at(const text *t, size_t offset); /* whose byte it is; -1: the template's own */

size_t utf8_decode(const char *bytes, size_t length, uint32_t *character); /* bytes taken */
size_t utf8_encode(uint32_t character, char bytes[4]);
size_t utf8_before(const char *bytes, size_t end); /* where the character before `end` starts */
bool character_is_space(uint32_t c);               /* as Python's str.isspace and regex \s */
bool character_is_printable(uint32_t c);
/* The bytes of `bytes` that are left without white space at its end (start). */
size_t space_trimmed_end(const char *bytes, size_t length);
size_t space_leading(const char *bytes, size_t length);

typedef enum text_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP } text_case;
const text *text_cased(render *r, const text *t, text_case to);
typedef enum text_class {
    CLASS_ALPHA,
    CLASS_DIGIT,
    CLASS_DECIMAL,
    CLASS_ALNUM,
    CLASS_SPACE,
    CLASS_UPPER,
    CLASS_LOWER,
    CLASS_ASCII
} text_class;
bool text_has_class(const text *t, text_class is); /* str.isalpha() and its relatives */
bool character_has_class(uint32_t c, text_class is);
const text *text_escaped(render *r, const text *t); /* HTML-escaped markup */

/* ---- Dicts (template_dict.c) -------------------------------------------------------------- */

typedef struct dict_entry {
    value key, value;
    uint64_t hash;
} dict_entry;

struct dict {
    dict_entry *entries; /* in order of insertion */
    size_t count, capacity;
    uint32_t *index; /* hash table of entry numbers + 1, for more than a few entries */
    size_t index_size;
};

dict *dict_new(render *r, size_t capacity);
bool dict_set(render *r, dict *d, const value *key, const value *v);
/* *found is NULL when the key is missing. A list or dict as key is an error. */
bool dict_find(render *r, const dict *d, const value *key, const value **found);
bool dict_find_name(render *r, const dict *d, const char *name, const value **found);
bool dict_set_name(render *r, dict *d, const char *name, const value *v);
bool value_hashable(const value *v);

/* ---- Printing (template_print.c, template_json.c) ----------------------------------------- */

bool value_print(text_builder *out, const value *v); /* Python's str() */
bool value_repr(text_builder *out, const value *v);  /* Python's repr() */
/* str(v); a text is itself. */
bool value_to_text(render *r, const value *v, const text **out);
/* "'abc'" in the rendering's memory, cut when long, for messages; never NULL. */
const char *value_quote(render *r, const value *v);
#define REAL_TEXT 32
void real_format(double d, char out[REAL_TEXT]); /* Python's repr of a float */

typedef struct json_style {
    const text *indent; /* NULL: one line */
    const text *item_separator, *key_separator;
    bool sort_keys, ascii;
} json_style;

bool value_json(text_builder *out, const value *v, const json_style *style, size_t level);

/* ---- Operators (template_operators.c) ----------------------------------------------------- */

bool value_binary(render *r, const char *sign, const value *a, const value *b, value *out);
bool value_negate(render *r, const value *v, bool minus, value *out);
/* v[start:stop:step]; each may be none. */
bool value_slice(render *r, const value *v, const value bounds[3], value *out);
/* A Python index (negative from the end) into `count` items; false when it is outside. */
bool index_resolve(int64_t index, size_t count, size_t *place);
bool text_join(render *r, const text *a, const text *b, value *out); /* +, with markup's rule */
bool text_percent(render *r, const text *format, const value *arguments, value *out);

/* ---- Sorting (template_sort.c) ------------------------------------------------------------ */

typedef struct sort_item {
    value key, item;
} sort_item;

/* Python's sorted(): stable, also in reverse. */
bool items_sort(render *r, sort_item *items, size_t count, bool reverse);

/* ---- Calls -------------------------------------------------------------------------------- */

typedef struct keyword {
    const char *name;
    value value;
} keyword;

typedef struct arguments {
    const value *items;
    size_t count;
    const keyword *keywords;
    size_t keyword_count;
} arguments;

typedef bool (*function_call)(render *r, const value *self, const arguments *a, value *out);

struct function {
    const char *name;
    function_call call;
    value self;
};

/* A row of a table of methods, filters, tests or globals. */
typedef struct builtin {
    const char *name;
    function_call call;
} builtin;

const builtin *builtin_find(const builtin *table, size_t count, const char *name);
bool function_value(render *r, const builtin *b, const value *self, value *out);
/* Sorts arguments into `out`, one for each of the parameter names in "a b c", VALUE_ABSENT where
 * none was given. The first `required` must be there. `who` stands in messages. */
bool arguments_bind(render *r, const char *who, const arguments *a, const char *parameters,
                    size_t required, value *out);
/* Typed arguments: `fallback` where it is absent (or none, for texts). */
bool argument_integer(render *r, const char *who, const value *v, int64_t fallback, int64_t *out);
bool argument_text(render *r, const char *who, const value *v, const text **out);

bool value_call(render *r, const value *callee, const arguments *a, value *out);
/* Filters get the piped value as `self`. */
bool filter_call(render *r, const char *name, const value *self, const arguments *a, value *out);
bool test_call(render *r, const char *name, const value *self, const arguments *a, bool *out);
bool filter_exists(const char *name);
bool test_exists(const char *name);

const builtin *list_filter_find(const char *name);   /* template_lists.c */
const builtin *order_filter_find(const char *name);  /* template_order.c */
const builtin *number_filter_find(const char *name); /* template_numbers.c */

/* What filters take as `attribute`: "a.b.0", or a number; absent: the item itself. */
typedef struct getter {
    value attribute;
    const value *fallback; /* where the attribute is undefined; NULL: none */
    bool ignore_case;      /* texts in lower case, as keys of sorting and comparing */
} getter;

/* Fails where `attribute` is neither absent nor none, a text or an integer. */
bool getter_init(render *r, getter *g, const value *attribute, bool ignore_case);
bool getter_get(render *r, const getter *g, const value *item, value *out);
bool dict_items(render *r, const value *self, const arguments *a, value *out);
bool text_replace(render *r, const text *t, const text *old, const text *with, int64_t limit,
                  value *out); /* limit < 0: everywhere */
/* A method of a str, list, dict or loop; *out is VALUE_ABSENT when there is none. */
bool object_method(render *r, const value *object, const char *name, value *out);
const builtin *text_method_find(const char *name);
const builtin *search_method_find(const char *name);
bool text_method_format(render *r, const value *self, const arguments *a, value *out);
bool loop_attribute(render *r, loop *l, const char *name, value *out);
/* namespace, range, dict, raise_exception, strftime_now; *out is VALUE_ABSENT when there is none.
 * Jinja's other globals are refused. */
bool global_find(render *r, const char *name, value *out);
bool global_exists(const render *r, const char *name); /* those that are refused, too */
/* strftime_now(format), of render.now (template_date.c). */
bool global_strftime_now(render *r, const value *self, const arguments *a, value *out);

/* ---- Tree (template_lexer.c, template_expression.c, template_parser.c) -------------------- */

typedef enum lexeme_type {
    LEXEME_DATA,
    LEXEME_VARIABLE_BEGIN,
    LEXEME_VARIABLE_END,
    LEXEME_BLOCK_BEGIN,
    LEXEME_BLOCK_END,
    LEXEME_NAME,
    LEXEME_STRING,
    LEXEME_INTEGER,
    LEXEME_REAL,
    LEXEME_OPERATOR,
    LEXEME_EOF
} lexeme_type;

typedef struct lexeme {
    lexeme_type type;
    int line;
    const char *text; /* NUL-terminated; a string may hold NULs, so it has a length */
    size_t length;
    int64_t integer;
    double real;
} lexeme;

typedef struct lexeme_list {
    lexeme *items;
    size_t count, capacity;
} lexeme_list;

/* Texts go into `memory`; the list itself is freed by the caller, also after an error. */
c2c_status template_lex(lexeme_list *list, arena *memory, const char *source, size_t length,
                        const char *name, c2c_error *error);

typedef enum node_kind {
    /* Expressions. Operands are first, second, third unless said. */
    NODE_CONSTANT,  /* constant */
    NODE_NAME,      /* name */
    NODE_LIST,      /* items */
    NODE_TUPLE,     /* items */
    NODE_DICT,      /* items: key, value, key, value, ... */
    NODE_NOT,       /* first */
    NODE_NEGATE,    /* first; name: "-" or "+" */
    NODE_BINARY,    /* name: the operator */
    NODE_CONCAT,    /* items */
    NODE_COMPARE,   /* first; items of NODE_OPERAND */
    NODE_OPERAND,   /* name: "<", "in", "not in"...; first */
    NODE_AND,       /* first, second */
    NODE_OR,        /* first, second */
    NODE_CONDITION, /* second if first else third (may be NULL) */
    NODE_ATTRIBUTE, /* first.name */
    NODE_ITEM,      /* first[second] */
    NODE_SLICE,     /* as second of NODE_ITEM: first:second:third, each may be NULL */
    NODE_CALL,      /* first(items, others of NODE_KEYWORD, *second, **third) */
    NODE_FILTER,    /* first|name(...): the same; first may be NULL in blocks */
    NODE_TEST,      /* first is name(...): the same */
    NODE_KEYWORD,   /* name=first */
    NODE_FIELD,     /* target name.text of a namespace */
    /* Statements. */
    NODE_DATA,         /* constant: template text */
    NODE_PRINT,        /* first */
    NODE_IF,           /* items of NODE_BRANCH */
    NODE_BRANCH,       /* first (NULL: else); items: body */
    NODE_FOR,          /* for first in second if third; items: body; others: a NODE_SCOPE or none */
    NODE_SET,          /* first = second */
    NODE_SET_BLOCK,    /* first; second: filters or NULL; items: body */
    NODE_WITH,         /* others: target, value, ...; items: body */
    NODE_MACRO,        /* name; others of NODE_PARAMETER; items: body */
    NODE_PARAMETER,    /* name; first: default or NULL */
    NODE_CALL_BLOCK,   /* first: the call; others of NODE_PARAMETER; items: body */
    NODE_FILTER_BLOCK, /* second: filters; items: body */
    NODE_SCOPE,        /* items: body with its own variables */
    NODE_BREAK,
    NODE_CONTINUE
} node_kind;

/* Special names that a macro's body reads: it then takes such arguments. */
#define MACRO_USES_CALLER  1
#define MACRO_USES_VARARGS 2
#define MACRO_USES_KWARGS  4

typedef struct node node;
struct node {
    node_kind kind;
    int line;
    int uses;         /* of a macro or call block: MACRO_USES_... */
    const char *name; /* NUL-terminated */
    const char *field;
    value constant;
    node *first, *second, *third;
    node **items, **others;
    size_t count, other_count;
    const char **hidden; /* of a block: names it hides, see template_names.c */
    size_t hidden_count;
};

typedef struct name_block name_block; /* template_names.c */

/* A parser's state, shared by its two files. */
typedef struct parser {
    const lexeme *at;
    arena *memory;
    const char *name;
    c2c_error *error;
    c2c_status status;
    int nesting;
    int loops;                  /* for loops that a break here would leave */
    int uses;                   /* special names read in the macro being parsed */
    int targets;                /* inside what is assigned to */
    name_block *names, *blocks; /* of the block being parsed; all of them */
    size_t name_work;
} parser;

node *parser_node(parser *p, node_kind kind, int line); /* NULL after an error, as all below */
node *parser_fail(parser *p, int line, const char *format, ...) C2C_PRINTF(3, 4);
node *parser_refuse(parser *p, int line, const char *format, ...) C2C_PRINTF(3, 4);
bool parser_enter(parser *p); /* one level deeper, or an error; parser_leave after it */
void parser_leave(parser *p);
bool parser_is(const parser *p, lexeme_type type, const char *text); /* text may be NULL */
bool parser_skip(parser *p, lexeme_type type, const char *text);     /* if it is there */
bool parser_expect(parser *p, lexeme_type type, const char *text);
const char *lexeme_describe(const lexeme *l, char out[64]);

/* A list of nodes that grows while its length is not known. */
typedef struct node_list {
    node **items;
    size_t count, capacity;
} node_list;
bool node_list_add(parser *p, node_list *list, node *n); /* false also when n is NULL */

node *parse_expression(parser *p);
node *parse_without_condition(parser *p); /* an expression that "if" ends */
/* a, b, c or one expression; `stop` (a name) also ends it. */
node *parse_tuple(parser *p, bool with_condition, const char *stop);
node *parse_target(parser *p, bool with_fields, const char *stop); /* what can be assigned to */
node *parse_filters(parser *p, node *input, bool first_without_pipe);

/* What the parser reports of names: a block that begins (p->names is set to it while it is parsed),
 * a branch of an `if` that begins (1) or ends (-1), names read and assigned. */
name_block *names_block(parser *p, node *owner);
void names_branch(parser *p, int by);
void names_read(parser *p, const char *name);
void names_assign(parser *p, const node *target, bool is_parameter);
bool names_resolve(parser *p); /* fills every block's hidden names */

/* The whole template; *body is a NODE_SCOPE in `memory`. */
c2c_status template_parse(node **body, arena *memory, const lexeme *lexemes, const char *name,
                          c2c_error *error);

/* ---- Rendering (template_eval.c, template_exec.c, template_render.c) ---------------------- */

typedef struct binding binding;
struct binding {
    binding *next;
    const char *name;
    value value;
};

/* Variables of a block; a name is looked up from the innermost scope outwards. */
typedef struct scope scope;
struct scope {
    scope *parent;
    binding *first;
};

struct macro {
    const char *name; /* NULL: the body of a call block */
    const node *node; /* parameters and body */
    scope *scope;     /* where it was defined */
};

/* A running for loop, which looks at most one item ahead unless its length is asked for. */
struct loop {
    const node *node;
    scope *outer;
    const value *items; /* what is walked, not yet filtered */
    size_t count, next;
    value *ready; /* filtered items: the walked ones and those looked at ahead */
    size_t ready_count, ready_capacity;
    int64_t index; /* of the current item, from 0 */
    value changed; /* what loop.changed() saw last */
};

struct render {
    arena *memory;
    const template_limits *limits;
    size_t memory_left, work_left;
    int depth;
    const c2c_moment *now; /* NULL: strftime_now is not defined */
    scope *context;        /* the variables given to the template */
    int line;              /* of the node at work, for messages */
    const char *name;      /* of the template */
    c2c_error *error;
    c2c_status status; /* of the first failure */
    text_builder *out; /* where statements print */
};

/* All return false (NULL), so that a failing line reads `return render_fail(r, ...)`. */
bool render_fail(render *r, const char *format, ...) C2C_PRINTF(2, 3);
bool render_refuse(render *r, const char *format, ...) C2C_PRINTF(2, 3); /* known, not built */
bool render_raise(render *r, const text *message);                       /* raise_exception */
bool render_undefined(render *r, const value *v); /* using an undefined value */
void *render_alloc(render *r, size_t bytes);      /* zeroed */
void *render_array(render *r, size_t count, size_t size);
const char *render_printf(render *r, const char *format, ...) C2C_PRINTF(2, 3);
bool render_spend(render *r, size_t work);
bool render_spend_bytes(render *r, size_t bytes);     /* copied or compared */
bool render_spend_walk(render *r, size_t characters); /* looked at one by one */
bool render_enter(render *r); /* one level deeper, or an error; render_leave after it */
void render_leave(render *r);

bool scope_set(render *r, scope *s, const char *name, const value *v);
bool scope_find(render *r, const scope *s, const char *name, value *out);
/* The scope of a block, in which what the block hides is undefined. */
scope *scope_new(render *r, scope *parent, const node *block);

bool node_eval(render *r, scope *s, const node *n, value *out);
bool node_call_filter(render *r, scope *s, const node *n, const value *input, value *out);
/* Evaluates a call's arguments, `caller` (may be NULL) among them. */
bool node_arguments(render *r, scope *s, const node *n, const value *caller, arguments *out);
bool node_exec(render *r, scope *s, const node *body);
bool node_assign(render *r, scope *s, const node *target, const value *v);
bool macro_call(render *r, const macro *m, const arguments *a, value *out);
bool loop_fetch(render *r, loop *l, size_t ready); /* makes items up to ready ready, if there are */

/* ---- The whole (chat_template.c) ---------------------------------------------------------- */

/* What chat_template_render does, and which bytes of the text are message contents: *runs are in
 * order and valid while `memory` is. */
c2c_status chat_template_render_runs(const chat_template *t, const json_value *messages,
                                     const c2c_chat_options *options, const template_limits *limits,
                                     arena *memory, const text **out, c2c_error *error);

#endif
