/* op_table.h - one row per op: how to make arguments for it, and how exactly a backend must agree
 * with the reference. Tests and the speed table walk the same rows. */
#ifndef C2C_TESTS_OP_TABLE_H
#define C2C_TESTS_OP_TABLE_H

#include "backend/backend.h"

/* ---- Random numbers ----------------------------------------------------------------------- */

typedef struct test_random {
    uint64_t state;
} test_random;

uint64_t random_bits(test_random *r);
int64_t random_below(test_random *r, int64_t n); /* 0 .. n-1 */
float random_float(test_random *r);              /* -1 .. 1 */

/* ---- Sizes -------------------------------------------------------------------------------- */

/* What an op's arguments are made from; an op looks at what concerns it. */
typedef struct op_sizes {
    int64_t groups, rows, features, out, heads, kv_heads, head_dim;
    int64_t sequences, keys, window; /* keys: that stand before the queries of a sequence */
    int64_t padding;                 /* by which strides are longer than rows */
    dtype w_type, b_type;
    linear_math math;
    linear_prepare prepare;
    activation activation;
    bool accumulate, in_place;
    bool shared;   /* all groups of a linear multiply the same rows */
    bool int8;     /* weights of a linear */
    bool panels;   /* bf16 weights of a linear that rounds are there as panels, too */
    bool optional; /* the tables that may be NULL are there (with a NULL inside, when padding) */
} op_sizes;

/* Small and awkward: one row, odd sizes, tails of every length, all dtypes. */
op_sizes op_sizes_random(test_random *r);

/* ---- Cases -------------------------------------------------------------------------------- */

/* Memory that the arguments point into. */
typedef struct op_buffer {
    char *host;
    size_t bytes;
    bool written; /* by the op; else it is imported */
    bool scratch; /* written, but not a result */
    bool is_float;
    bool is_double;
    bool is_bf16; /* a result that is rounded to bf16: of two near numbers one may go up */
} op_buffer;

#define OP_CASE_BUFFERS 256
#define OP_CASE_FIELDS  16

/* An op's arguments with all they point to, in host memory. */
typedef struct op_case {
    op_kind kind;
    union {
#define X(name, tables) name##_args name;
        OP_LIST(X)
#undef X
        char bytes[1];
    } args;
    op_buffer buffers[OP_CASE_BUFFERS];
    int buffer_count;
    const void **tables[OP_CASE_FIELDS]; /* made for this case */
    int table_count;
    size_t pointers[OP_CASE_FIELDS]; /* offsets in args of pointers that are not tables */
    int pointer_count;
    size_t features; /* to reserve */
} op_case;

typedef struct op_row {
    op_kind kind;
    float tolerance; /* |a - b| <= tolerance * max(1, |b|); 0: equal */
    const char *reason;
    void (*build)(op_case *c, const op_sizes *s, test_random *r);
} op_row;

extern const op_row op_rows[OP_COUNT];

void op_case_make(op_case *c, const op_row *row, const op_sizes *s, test_random *r);
void op_case_free(op_case *c);

/* The arguments in a backend's memory. */
typedef struct op_bound {
    const op_case *source;
    backend *backend;
    void *memory[OP_CASE_BUFFERS];
    char args[sizeof(((op_case *)0)->args)];
    const void **tables[OP_CASE_FIELDS];
} op_bound;

c2c_status op_bound_make(op_bound *bound, const op_case *c, backend *b, c2c_error *error);
void op_bound_free(op_bound *bound);

#endif
