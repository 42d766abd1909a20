/* pickle.c - a pickle machine that can build plain values and nothing else.
 *
 * A pickle is a program for a stack machine that may import and call anything. This one knows the
 * opcodes that torch.save writes (protocol 2, and the newer ways to say the same), and the names
 * that a state dict needs; a call is kept as a value for pt.c to judge. Anything else ends it.
 *
 * Every opcode takes at least one byte and makes at most one small value, so memory is bounded by
 * the size of the pickle, which is bounded too. The opcodes are described in Python's
 * Lib/pickletools.py. */
#include "formats/pickle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A state dict of a large model has some thousand tensors and takes about 200 bytes for each; its
 * stack holds a batch of a thousand pairs. These are far above, and bound time and memory. */
#define MAX_BYTES (16u << 20)
#define MAX_MEMO  (4u << 20)
#define MAX_STACK (1u << 20)
#define MAX_MARKS 256

typedef struct machine {
    arena *memory; /* all values; stack and memo only point to them */
    const uint8_t *data;
    size_t size, at;
    size_t opcode_at; /* for messages */
    pickle_value **stack;
    uint32_t stack_used, stack_capacity;
    uint32_t marks[MAX_MARKS]; /* how much of the stack lies under each open mark */
    int mark_count;
    pickle_value **memo; /* with NULL where nothing was put */
    uint32_t memo_used, memo_capacity;
    const char *path;
    c2c_error *error;
} machine;

/* ---- Errors and bytes --------------------------------------------------------------------- */

/* What is wrong, with the place of the opcode that is. */
static c2c_status bad(const machine *m, const char *what) {
    return error_set(m->error, C2C_STATUS_BAD_FILE, "%s: pickle, byte %zu: %s", m->path,
                     m->opcode_at, what);
}

static c2c_status no_memory(const machine *m, size_t bytes) {
    return error_memory(m->error, bytes, m->path);
}

/* The next `length` bytes. */
static c2c_status take(machine *m, uint64_t length, const uint8_t **bytes) {
    if (length > m->size - m->at)
        return bad(m, "expected more bytes, found the end; is the file truncated?");
    *bytes = m->data + m->at;
    m->at += (size_t)length;
    return C2C_STATUS_OK;
}

/* A little-endian number of `width` bytes. */
static c2c_status take_number(machine *m, int width, uint64_t *number) {
    const uint8_t *bytes = NULL;
    c2c_status status = take(m, (uint64_t)width, &bytes);
    *number = 0;
    for (int i = 0; status == C2C_STATUS_OK && i < width; i++)
        *number |= (uint64_t)bytes[i] << (8 * i);
    return status;
}

/* ---- Stack and memo ----------------------------------------------------------------------- */

/* Doubles an array of values so that `index` fits; false when out of memory. */
static bool grow(pickle_value ***array, uint32_t *capacity, uint32_t index) {
    uint32_t wanted = *capacity ? *capacity : 256;
    while (wanted <= index)
        wanted *= 2; /* both arrays are far smaller than 4 GiB */
    pickle_value **values = realloc(*array, wanted * sizeof *values);
    if (!values)
        return false;
    memset(values + *capacity, 0, (wanted - *capacity) * sizeof *values);
    *array = values;
    *capacity = wanted;
    return true;
}

/* One value more, which may be on the stack or in the memo already. */
static c2c_status push(machine *m, pickle_value *value) {
    if (m->stack_used == MAX_STACK)
        return bad(m, "expected a small stack, found over a million values on it");
    if (m->stack_used == m->stack_capacity && !grow(&m->stack, &m->stack_capacity, m->stack_used))
        return no_memory(m, m->stack_capacity * 2 * sizeof *m->stack);
    m->stack[m->stack_used++] = value;
    return C2C_STATUS_OK;
}

/* A new value; the 48 bytes for a one-byte opcode are why the pickle's size is bounded. */
static c2c_status push_new(machine *m, pickle_value value) {
    pickle_value *v = arena_alloc(m->memory, sizeof *v);
    if (!v)
        return no_memory(m, sizeof *v);
    *v = value;
    return push(m, v);
}

static c2c_status push_integer(machine *m, int64_t integer) {
    return push_new(m, (pickle_value){.type = PICKLE_INTEGER, .integer = integer});
}

/* Values that may be popped: those above the last mark. */
static uint32_t available(const machine *m) {
    return m->stack_used - (m->mark_count ? m->marks[m->mark_count - 1] : 0);
}

static c2c_status need(const machine *m, uint32_t values) {
    return available(m) >= values ? C2C_STATUS_OK
                                  : bad(m, "expected more values on the stack, found too few");
}

/* Ends the last mark; the `count` values above it are at `values`, no longer on the stack. */
static c2c_status pop_mark(machine *m, pickle_value ***values, uint32_t *count) {
    if (m->mark_count == 0)
        return bad(m, "expected a mark on the stack, found none");
    uint32_t first = m->marks[--m->mark_count];
    *count = m->stack_used - first;
    *values = m->stack + first;
    m->stack_used = first;
    return C2C_STATUS_OK;
}

/* Python numbers its memos from 0 on, but other writers need not: only the number is bounded. */
static c2c_status put_memo(machine *m, uint64_t index) {
    c2c_status status = need(m, 1);
    if (status != C2C_STATUS_OK)
        return status;
    if (index >= MAX_MEMO)
        return bad(m, "expected at most four million remembered values, found more");
    if (index >= m->memo_capacity && !grow(&m->memo, &m->memo_capacity, (uint32_t)index))
        return no_memory(m, (size_t)index * sizeof *m->memo);
    m->memo[index] = m->stack[m->stack_used - 1];
    if (m->memo_used <= index)
        m->memo_used = (uint32_t)index + 1;
    return C2C_STATUS_OK;
}

static c2c_status get_memo(machine *m, uint64_t index) {
    if (index >= m->memo_used || !m->memo[index])
        return bad(m, "expected a remembered value, found none under this number");
    return push(m, m->memo[index]);
}

/* ---- Building values ---------------------------------------------------------------------- */

/* Strings stay in the pickle's bytes. Python 2 wrote byte strings; ours must be UTF-8 as well. */
static c2c_status push_string(machine *m, uint64_t length) {
    const uint8_t *bytes = NULL;
    c2c_status status = take(m, length, &bytes);
    if (status != C2C_STATUS_OK)
        return status;
    if (utf8_valid_prefix((const char *)bytes, (size_t)length) < length)
        return bad(m, "expected text in UTF-8, found other bytes");
    return push_new(m, (pickle_value){.type = PICKLE_STRING,
                                      .count = (uint32_t)length,
                                      .string = (const char *)bytes});
}

static c2c_status push_prefixed_string(machine *m, int width) {
    uint64_t length;
    c2c_status status = take_number(m, width, &length);
    return status == C2C_STATUS_OK ? push_string(m, length) : status;
}

/* Integers of any length, in two's complement; more than 64 bits count nothing here. */
static c2c_status push_long(machine *m) {
    uint64_t width, number;
    c2c_status status = take_number(m, 1, &width);
    if (status != C2C_STATUS_OK)
        return status;
    if (width > 8)
        return bad(m, "expected an integer of at most 64 bits, found a longer one");
    status = take_number(m, (int)width, &number);
    if (status != C2C_STATUS_OK)
        return status;
    if (width > 0 && width < 8 && number >> (8 * width - 1))
        number |= UINT64_MAX << (8 * width);
    return push_integer(m, (int64_t)number);
}

static c2c_status push_real(machine *m) {
    const uint8_t *bytes = NULL;
    c2c_status status = take(m, 8, &bytes);
    if (status != C2C_STATUS_OK)
        return status;
    uint64_t bits = 0; /* the one big-endian number of the format */
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    double real;
    memcpy(&real, &bits, sizeof real);
    return push_new(m, (pickle_value){.type = PICKLE_REAL, .real = real});
}

/* A tuple of `count` values that were just popped and still lie at `values`. */
static c2c_status push_tuple(machine *m, pickle_value **values, uint32_t count) {
    size_t bytes = count * sizeof *values;
    const pickle_value **items = arena_alloc(m->memory, bytes);
    if (!items)
        return no_memory(m, bytes);
    if (count)
        memcpy(items, values, bytes);
    return push_new(m, (pickle_value){.type = PICKLE_TUPLE, .count = count, .items = items});
}

/* TUPLE1, TUPLE2 and TUPLE3 need no mark. */
static c2c_status push_short_tuple(machine *m, uint32_t count) {
    c2c_status status = need(m, count);
    if (status != C2C_STATUS_OK)
        return status;
    m->stack_used -= count;
    return push_tuple(m, m->stack + m->stack_used, count);
}

static c2c_status push_marked_tuple(machine *m) {
    pickle_value **values = NULL;
    uint32_t count = 0;
    c2c_status status = pop_mark(m, &values, &count);
    return status == C2C_STATUS_OK ? push_tuple(m, values, count) : status;
}

/* Adds popped values to the list or dict on top of the stack. */
static c2c_status extend(machine *m, pickle_type type, pickle_value **values, uint32_t count) {
    c2c_status status = need(m, 1);
    if (status != C2C_STATUS_OK)
        return status;
    pickle_value *target = m->stack[m->stack_used - 1];
    if (target->type != type || (type == PICKLE_DICT && count % 2))
        return bad(m, type == PICKLE_DICT ? "expected a dict and pairs to put in, found others"
                                          : "expected a list to append to, found something else");
    if (count > target->capacity - target->count) {
        uint32_t capacity = target->capacity > count ? target->capacity * 2 : target->count + count;
        const pickle_value **items = arena_alloc(m->memory, capacity * sizeof *items);
        if (!items)
            return no_memory(m, capacity * sizeof *items);
        if (target->count)
            memcpy(items, target->items, target->count * sizeof *items);
        target->items = items;
        target->capacity = capacity;
    }
    if (count)
        memcpy(target->items + target->count, values, count * sizeof *values);
    target->count += count;
    return C2C_STATUS_OK;
}

/* APPEND and SETITEM: `count` values without a mark. */
static c2c_status extend_short(machine *m, pickle_type type, uint32_t count) {
    c2c_status status = need(m, count + 1);
    if (status != C2C_STATUS_OK)
        return status;
    m->stack_used -= count;
    return extend(m, type, m->stack + m->stack_used, count);
}

/* APPENDS and SETITEMS: all values above the mark. */
static c2c_status extend_marked(machine *m, pickle_type type) {
    pickle_value **values = NULL;
    uint32_t count = 0;
    c2c_status status = pop_mark(m, &values, &count);
    return status == C2C_STATUS_OK ? extend(m, type, values, count) : status;
}

/* ---- Names, calls ------------------------------------------------------------------------- */

/* Where a pickle imports. The message names what was asked for: it tells an attack from a file
 * that holds a whole model or optimizer. */
static c2c_status push_name(machine *m, const char *module, size_t module_length, const char *name,
                            size_t name_length) {
    const pickle_name *known = pickle_name_find(module, module_length, name, name_length);
    if (known)
        return push_new(m, (pickle_value){.type = PICKLE_NAME, .name = known});
    if (utf8_valid_prefix(module, module_length) < module_length ||
        utf8_valid_prefix(name, name_length) < name_length)
        return bad(m, "expected a name in UTF-8, found other bytes");
    return error_set(m->error, C2C_STATUS_BAD_FILE,
                     "%s: pickle, byte %zu: expected nothing but tensors, found the name "
                     "\"%.*s.%.*s\"; save only model.state_dict() with torch.save",
                     m->path, m->opcode_at, (int)(module_length < 200 ? module_length : 200),
                     module, (int)(name_length < 200 ? name_length : 200), name);
}

/* Module and name, each up to a newline. */
static c2c_status read_name(machine *m) {
    const char *text[2];
    size_t length[2];
    for (int i = 0; i < 2; i++) {
        text[i] = (const char *)m->data + m->at;
        const char *end = m->at < m->size ? memchr(text[i], '\n', m->size - m->at) : NULL;
        if (!end)
            return bad(m, "expected a name, found the end; is the file truncated?");
        length[i] = (size_t)(end - text[i]);
        m->at += length[i] + 1;
    }
    return push_name(m, text[0], length[0], text[1], length[1]);
}

/* Module and name as two strings of the stack. */
static c2c_status pop_name(machine *m) {
    c2c_status status = need(m, 2);
    if (status != C2C_STATUS_OK)
        return status;
    m->stack_used -= 2;
    const pickle_value *module = m->stack[m->stack_used], *name = m->stack[m->stack_used + 1];
    if (module->type != PICKLE_STRING || name->type != PICKLE_STRING)
        return bad(m, "expected two strings that make a name, found others");
    return push_name(m, module->string, module->count, name->string, name->count);
}

/* Keeps a call as a value; only OrderedDict() is carried out, as what follows fills it. An
 * OrderedDict with arguments is how Python 2 wrote one; PyTorch's zip form is younger. */
static c2c_status reduce(machine *m) {
    c2c_status status = need(m, 2);
    if (status != C2C_STATUS_OK)
        return status;
    m->stack_used -= 2;
    const pickle_value *function = m->stack[m->stack_used];
    const pickle_value *arguments = m->stack[m->stack_used + 1];
    if (function->type != PICKLE_NAME || arguments->type != PICKLE_TUPLE)
        return bad(m, "expected a function and a tuple, found others");
    switch (function->name->kind) {
    case NAME_ORDERED_DICT:
        if (arguments->count > 0)
            return bad(m, "expected OrderedDict() without arguments, found some");
        return push_new(m, (pickle_value){.type = PICKLE_DICT});
    case NAME_TENSOR:
    case NAME_PARAMETER:
        return push_new(m, (pickle_value){.type = PICKLE_CALL,
                                          .name = function->name,
                                          .count = arguments->count,
                                          .items = arguments->items});
    case NAME_STORAGE: break;
    }
    return bad(m, "expected a storage type by itself, found a call of one");
}

/* A persistent id: in torch.save's use always a storage. pt.c knows its parts. */
static c2c_status push_storage(machine *m) {
    c2c_status status = need(m, 1);
    if (status != C2C_STATUS_OK)
        return status;
    const pickle_value *id = m->stack[--m->stack_used];
    if (id->type != PICKLE_TUPLE)
        return bad(m, "expected a storage as a tuple, found something else");
    return push_new(m,
                    (pickle_value){.type = PICKLE_STORAGE, .count = id->count, .items = id->items});
}

/* An OrderedDict's attributes (the _metadata of a state dict) are of no use here. */
static c2c_status build(machine *m) {
    c2c_status status = need(m, 2);
    if (status != C2C_STATUS_OK)
        return status;
    m->stack_used--;
    if (m->stack[m->stack_used - 1]->type != PICKLE_DICT)
        return bad(m, "expected attributes on a dict only, found them on something else");
    return C2C_STATUS_OK;
}

/* ---- The machine -------------------------------------------------------------------------- */

/* Protocols 0 and 1 have opcodes of their own that torch.save never wrote. */
static c2c_status check_protocol(machine *m) {
    uint64_t protocol;
    c2c_status status = take_number(m, 1, &protocol);
    if (status == C2C_STATUS_OK && (protocol < 2 || protocol > 5))
        return bad(m, "expected pickle protocol 2 to 5, found another");
    return status;
}

static c2c_status push_mark(machine *m) {
    if (m->mark_count == MAX_MARKS)
        return bad(m, "expected at most 256 nested levels, found more");
    m->marks[m->mark_count++] = m->stack_used;
    return C2C_STATUS_OK;
}

static c2c_status pop(machine *m) {
    c2c_status status = need(m, 1);
    if (status == C2C_STATUS_OK)
        m->stack_used--;
    return status;
}

static c2c_status unknown_opcode(const machine *m, uint8_t opcode) {
    char what[80];
    snprintf(what, sizeof what, "expected an opcode that torch.save writes, found 0x%02x", opcode);
    return bad(m, what);
}

/* BININT (signed), BININT1, BININT2 */
static c2c_status step_number(machine *m, uint8_t opcode) {
    uint64_t number;
    int width = opcode == 'J' ? 4 : opcode == 'M' ? 2 : 1;
    c2c_status status = take_number(m, width, &number);
    if (status != C2C_STATUS_OK)
        return status;
    return push_integer(m, width == 4 ? (int32_t)(uint32_t)number : (int64_t)number);
}

/* BINPUT, LONG_BINPUT, BINGET, LONG_BINGET */
static c2c_status step_memo(machine *m, uint8_t opcode) {
    uint64_t index;
    bool is_put = opcode == 'q' || opcode == 'r';
    c2c_status status = take_number(m, opcode == 'q' || opcode == 'h' ? 1 : 4, &index);
    if (status != C2C_STATUS_OK)
        return status;
    return is_put ? put_memo(m, index) : get_memo(m, index);
}

/* One opcode but STOP; the name of each in pickletools stands beside it. */
static c2c_status step(machine *m, uint8_t opcode) {
    uint64_t ignored;
    switch (opcode) {
    case 0x80: return check_protocol(m);                               /* PROTO */
    case 0x95: return take_number(m, 8, &ignored);                     /* FRAME */
    case '(': return push_mark(m);                                     /* MARK */
    case '0': return pop(m);                                           /* POP */
    case 'N': return push_new(m, (pickle_value){.type = PICKLE_NONE}); /* NONE */
    case 0x88:                                                         /* NEWTRUE */
    case 0x89:                                                         /* NEWFALSE */
        return push_new(m, (pickle_value){.type = PICKLE_BOOL, .integer = opcode == 0x88});
    case 'J':                                                           /* BININT */
    case 'K':                                                           /* BININT1 */
    case 'M': return step_number(m, opcode);                            /* BININT2 */
    case 0x8a: return push_long(m);                                     /* LONG1 */
    case 'G': return push_real(m);                                      /* BINFLOAT */
    case 'U':                                                           /* SHORT_BINSTRING */
    case 0x8c: return push_prefixed_string(m, 1);                       /* SHORT_BINUNICODE */
    case 'T':                                                           /* BINSTRING */
    case 'X': return push_prefixed_string(m, 4);                        /* BINUNICODE */
    case 0x8d: return push_prefixed_string(m, 8);                       /* BINUNICODE8 */
    case ')': return push_new(m, (pickle_value){.type = PICKLE_TUPLE}); /* EMPTY_TUPLE */
    case 't': return push_marked_tuple(m);                              /* TUPLE */
    case 0x85: return push_short_tuple(m, 1);                           /* TUPLE1 */
    case 0x86: return push_short_tuple(m, 2);                           /* TUPLE2 */
    case 0x87: return push_short_tuple(m, 3);                           /* TUPLE3 */
    case ']': return push_new(m, (pickle_value){.type = PICKLE_LIST});  /* EMPTY_LIST */
    case 'a': return extend_short(m, PICKLE_LIST, 1);                   /* APPEND */
    case 'e': return extend_marked(m, PICKLE_LIST);                     /* APPENDS */
    case '}': return push_new(m, (pickle_value){.type = PICKLE_DICT});  /* EMPTY_DICT */
    case 's': return extend_short(m, PICKLE_DICT, 2);                   /* SETITEM */
    case 'u': return extend_marked(m, PICKLE_DICT);                     /* SETITEMS */
    case 'q':                                                           /* BINPUT */
    case 'r':                                                           /* LONG_BINPUT */
    case 'h':                                                           /* BINGET */
    case 'j': return step_memo(m, opcode);                              /* LONG_BINGET */
    case 0x94: return put_memo(m, m->memo_used);                        /* MEMOIZE */
    case 'c': return read_name(m);                                      /* GLOBAL */
    case 0x93: return pop_name(m);                                      /* STACK_GLOBAL */
    case 'R': return reduce(m);                                         /* REDUCE */
    case 'Q': return push_storage(m);                                   /* BINPERSID */
    case 'b': return build(m);                                          /* BUILD */
    default: return unknown_opcode(m, opcode);
    }
}

/* Ends at STOP: bytes behind it are no part of the pickle, as in Python. */
static c2c_status run(machine *m) {
    c2c_status status = C2C_STATUS_OK;
    while (status == C2C_STATUS_OK) {
        const uint8_t *opcode = NULL;
        m->opcode_at = m->at;
        status = take(m, 1, &opcode);
        if (status != C2C_STATUS_OK)
            return status;
        if (*opcode == '.') /* STOP */
            return m->stack_used == 1 && m->mark_count == 0
                       ? C2C_STATUS_OK
                       : bad(m, "expected one value at the end, found another number");
        status = step(m, *opcode);
    }
    return status;
}

c2c_status pickle_read(const pickle_value **root, arena *memory, const uint8_t *data, size_t size,
                       const char *path, c2c_error *error) {
    machine m = {.memory = memory, .data = data, .size = size, .path = path, .error = error};
    c2c_status status;
    if (size > MAX_BYTES)
        status = error_set(error, C2C_STATUS_UNSUPPORTED,
                           "%s: expected a pickle of at most %u bytes, found %zu", path, MAX_BYTES,
                           size);
    else if (!grow(&m.stack, &m.stack_capacity, 0)) /* so that the stack is never NULL */
        status = error_memory(error, 256 * sizeof *m.stack, path);
    else
        status = run(&m);
    *root = status == C2C_STATUS_OK ? m.stack[0] : NULL;
    free(m.stack);
    free(m.memo);
    return status;
}

const char *pickle_type_name(pickle_type type) {
    switch (type) {
    case PICKLE_NONE: return "None";
    case PICKLE_BOOL: return "a bool";
    case PICKLE_INTEGER: return "an integer";
    case PICKLE_REAL: return "a float";
    case PICKLE_STRING: return "a string";
    case PICKLE_TUPLE: return "a tuple";
    case PICKLE_LIST: return "a list";
    case PICKLE_DICT: return "a dict";
    case PICKLE_NAME: return "a type or function";
    case PICKLE_CALL: return "a tensor";
    case PICKLE_STORAGE: return "a storage";
    }
    return "an unknown value";
}
