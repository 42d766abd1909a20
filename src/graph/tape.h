/* tape.h - inside the tape. tape.c records, replay.c replays, rules.c knows each op, memory.c knows
 * what is where: watched memory, what of it needs gradients, and copies. */
#ifndef C2C_GRAPH_TAPE_H
#define C2C_GRAPH_TAPE_H

#include "graph/graph.h"

/* ---- Memory (memory.c) -------------------------------------------------------------------- */

typedef struct span {
    uintptr_t begin, end;
} span;

/* Disjoint, in order. */
typedef struct span_set {
    span *items;
    size_t count, capacity;
} span_set;

bool span_set_meets(const span_set *set, span s);
bool span_set_covers(const span_set *set, span s);
bool span_set_add(span_set *set, span s); /* false: out of memory */
bool span_set_remove(span_set *set, span s);
/* Takes out the first part of s that is in the set; false: none is. */
bool span_set_take(span_set *set, span s, span *part, bool *whole);

typedef struct region {
    span span;
    char *shadow;
    tape_memory kind;
    bool used; /* its shadow may hold something */
} region;

/* Backend memory in pieces, given back in reverse. What was never used has not been touched. */
typedef struct store_block {
    char *memory;
    size_t bytes, used, most_used;
} store_block;

#define STORE_MAX_BLOCKS 64
typedef struct store {
    backend *backend;
    size_t limit; /* of all blocks together */
    store_block blocks[STORE_MAX_BLOCKS];
    int count, current;
} store;

typedef struct store_mark {
    int current;
    size_t used;
} store_mark;

/* NULL: out of memory. Aligned to 64. */
void *store_take(store *s, size_t bytes);
store_mark store_position(const store *s);
void store_return(store *s, store_mark to);
/* Everything is given back. */
void store_reset(store *s);
void store_deinit(store *s);
/* Bytes that were used at most. */
size_t store_bytes(const store *s);

/* A copy of watched memory as it is now. */
typedef struct copy {
    span of;
    void *memory;
} copy;

/* Room for `count` items; false: out of memory. */
bool list_grow(void **items, size_t *capacity, size_t count, size_t size);

typedef struct copy_list {
    copy *items;
    size_t count, capacity;
} copy_list;

bool copy_list_add(copy_list *list, copy c);
void *copy_list_find(const copy_list *list, span of);
void copy_list_forget(copy_list *list, span written);

/* ---- What an op reads and writes (rules.c) ------------------------------------------------ */

enum {
    OPERAND_READ = 1,    /* its gradient may be needed */
    OPERAND_VALUE = 2,   /* read, but a number that nothing flows into */
    OPERAND_WRITTEN = 4, /* the first operand, and no other */
    OPERAND_ADDED = 8,   /* written by += */
    OPERAND_WHOLE = 16, /* what is read or written, a table says: the watched piece stands for it */
    OPERAND_KEPT = 32,  /* backward reads it as it was before the op */
    OPERAND_RESULT = 64,  /* backward reads it as the op left it */
    OPERAND_LEARNS = 128, /* learned or not, it decides whether KEPT_TO_LEARN is kept */
    OPERAND_KEPT_TO_LEARN = 256
};

/* `groups` matrices of rows. */
typedef struct operand {
    const void *const *pointers; /* [groups], or NULL */
    const void *single;          /* where the op has a pointer, not a table */
    int32_t groups;
    uint32_t roles;
    int64_t rows, features, stride; /* in elements of `size` bytes */
    size_t size;
    void **gradients;    /* [groups] shadows, NULL in it where none is needed; NULL: none is */
    const void **copies; /* [groups]; NULL, or NULL in it: the value is where it was */
} operand;

#define OP_MAX_OPERANDS 6

typedef struct operand_list {
    int count;
    operand items[OP_MAX_OPERANDS];
} operand_list;

/* One recorded op. */
typedef struct record {
    op_kind kind;
    bool backward;    /* else it is here to be run again only */
    bool dies;        /* the shadow of what it wrote dies with it */
    bool overwrite;   /* the gradient of a linear's weights holds nothing yet */
    int segment;      /* -1: not to be run again */
    const void *args; /* a copy, tables too */
    const int32_t *wanted;
    operand_list list; /* of that copy */
} record;

typedef struct tape_rule {
    void (*operands)(const void *args, operand_list *list);
    /* dy: the gradient of the first operand */
    void (*backward)(tape *t, const record *r, const float *const *dy);
} tape_rule;

/* No operands: the op is run and not looked at. */
extern const tape_rule tape_rules[OP_COUNT];

/* What one matrix of an operand takes up. */
span operand_span(const operand *o, int32_t group);
static inline const void *operand_pointer(const operand *o, int32_t group) {
    return o->pointers ? o->pointers[group] : o->single;
}

/* ---- The tape (tape.c; replay.c; expand.c) ------------------------------------------------ */

/* Ops that are run again. */
typedef struct segment {
    size_t first, end;             /* records */
    size_t input_first, input_end; /* of tape.inputs: what they found there */
} segment;

struct tape {
    backend base;
    backend *inner;
    bool recording, failed;
    c2c_error error;
    const int32_t *wanted;

    region *regions; /* in order of address */
    size_t region_count, region_capacity;
    span_set needed;  /* what depends on learned memory */
    span_set empty;   /* gradients of learned memory that hold nothing yet */
    copy_list copies; /* that are still what the memory holds */
    store store;

    arena *host; /* arguments and tables of records */
    record **records;
    size_t record_count, record_capacity;

    segment *segments;
    size_t segment_count, segment_capacity;
    bool in_segment;
    span_set known;   /* what the segment has written or taken in */
    copy_list inputs; /* of all segments */

    const void **tables; /* [2 * table_room] for one call */
    size_t table_room;
};

region *tape_region(const tape *t, const void *memory);
/* The first failure counts; from then on ops are run, not recorded. */
void tape_fail(tape *t, const char *what);
/* Memory that lives until the tape is reset; NULL after tape_fail. */
void *tape_host_alloc(tape *t, size_t bytes);
/* Runs an op that does the work of several as these, one by one; false: it is none such. */
bool tape_expand(tape *t, op_kind kind, const void *args);
/* Room for two tables of a call. */
bool reserve_tables(tape *t, int32_t groups);
/* Copies matrices of an operand's shape. */
void copy_groups(tape *t, const operand *o, const void **to, const void **from, int32_t groups);
/* Copies those operands of a record that its backward op reads: before it is run, or after. */
void keep_operands(tape *t, record *r, bool after);

#endif
