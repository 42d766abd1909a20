/* pickle_write.c - a state dict as a pickle of protocol 2, opcode for opcode what torch.save
 * writes, but for the _metadata of modules, which nothing here needs. The archive around it is
 * pt_write.c's.
 *
 * The opcodes are those of Python's pickletools. What Python remembers (the memo) is numbered in
 * the order in which it meets objects, so here every object that it would remember takes a number.
 */
#include "formats/tensor_write.h"

#include <stdio.h>

#define NOT_YET    UINT32_MAX
#define BATCH_SIZE 1000 /* entries that one SETITEMS takes */

/* Storage types by dtype. */
static const char *const storages[DTYPE_COUNT] = {
    [DTYPE_F32] = "FloatStorage",  [DTYPE_F16] = "HalfStorage", [DTYPE_BF16] = "BFloat16Storage",
    [DTYPE_F64] = "DoubleStorage", [DTYPE_I64] = "LongStorage", [DTYPE_I32] = "IntStorage",
    [DTYPE_I16] = "ShortStorage",  [DTYPE_I8] = "CharStorage",  [DTYPE_U8] = "ByteStorage",
    [DTYPE_BOOL] = "BoolStorage",
};

/* What is written once and then fetched by its number. */
typedef struct pickler {
    buffer *out;
    uint32_t next; /* number of the next object */
    uint32_t ordered_dict, rebuild, storage, cpu;
    uint32_t storage_types[DTYPE_COUNT];
} pickler;

static void opcode(pickler *p, char code) {
    buffer_append_char(p->out, code);
}

static void put_word(pickler *p, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        buffer_append_char(p->out, (char)(value >> (8 * i)));
}

/* BINPUT or LONG_BINPUT: the object on the stack gets a number. */
static uint32_t remember(pickler *p) {
    uint32_t number = p->next++;
    opcode(p, number < 256 ? 'q' : 'r');
    put_word(p, number, number < 256 ? 1 : 4);
    return number;
}

/* BINGET or LONG_BINGET */
static void fetch(pickler *p, uint32_t number) {
    opcode(p, number < 256 ? 'h' : 'j');
    put_word(p, number, number < 256 ? 1 : 4);
}

/* GLOBAL, a class or function by module and name. */
static void put_global(pickler *p, uint32_t *number, const char *module, const char *name) {
    if (*number != NOT_YET) {
        fetch(p, *number);
        return;
    }
    buffer_printf(p->out, "c%s\n%s\n", module, name);
    *number = remember(p);
}

/* BINUNICODE */
static uint32_t put_text(pickler *p, const char *text) {
    size_t length = strlen(text);
    opcode(p, 'X');
    put_word(p, length, 4);
    buffer_append(p->out, text, length);
    return remember(p);
}

static void put_constant(pickler *p, uint32_t *number, const char *text) {
    if (*number != NOT_YET)
        fetch(p, *number);
    else
        *number = put_text(p, text);
}

/* BININT1, BININT2, BININT, or LONG1 with as many bytes as two's complement needs. */
static void put_integer(pickler *p, uint64_t value) {
    if (value < 1u << 8) {
        opcode(p, 'K');
        put_word(p, value, 1);
    } else if (value < 1u << 16) {
        opcode(p, 'M');
        put_word(p, value, 2);
    } else if (value < UINT64_C(1) << 31) {
        opcode(p, 'J');
        put_word(p, value, 4);
    } else {
        int bytes = 4;
        while (value >> (8 * bytes - 1))
            bytes++;
        opcode(p, '\x8a');
        put_word(p, (uint64_t)bytes, 1);
        put_word(p, value, bytes);
    }
}

/* TUPLE1 to TUPLE3, or MARK ... TUPLE; an empty one has no number. */
static void put_tuple(pickler *p, const int64_t *values, int count) {
    if (count > 3)
        opcode(p, '(');
    for (int i = 0; i < count; i++)
        put_integer(p, (uint64_t)values[i]);
    opcode(p, count == 0   ? ')'
              : count == 1 ? '\x85'
              : count == 2 ? '\x86'
              : count == 3 ? '\x87'
                           : 't');
    if (count)
        remember(p);
}

/* OrderedDict() */
static void put_ordered_dict(pickler *p) {
    put_global(p, &p->ordered_dict, "collections", "OrderedDict");
    buffer_append_text(p->out, ")R");
    remember(p);
}

/* The persistent id ("storage", type, key, "cpu", elements) */
static void put_storage(pickler *p, dtype type, size_t key, int64_t elements) {
    char text[24];
    snprintf(text, sizeof text, "%zu", key);
    opcode(p, '(');
    put_constant(p, &p->storage, "storage");
    put_global(p, &p->storage_types[type], "torch", storages[type]);
    put_text(p, text);
    put_constant(p, &p->cpu, "cpu");
    put_integer(p, (uint64_t)elements);
    opcode(p, 't');
    remember(p);
    opcode(p, 'Q');
}

/* _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()) */
static void put_tensor(pickler *p, const tensor *view, dtype type, size_t key) {
    int64_t strides[TENSOR_MAX_RANK], stride = 1;
    /* A dimension without elements counts as one, as in PyTorch. */
    for (int d = view->rank - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= max_i64(view->shape[d], 1);
    }
    put_global(p, &p->rebuild, "torch._utils", "_rebuild_tensor_v2");
    opcode(p, '(');
    put_storage(p, type, key, tensor_elements(view));
    put_integer(p, 0);
    put_tuple(p, view->shape, view->rank);
    put_tuple(p, strides, view->rank);
    opcode(p, '\x89');
    put_ordered_dict(p);
    opcode(p, 't');
    remember(p);
    opcode(p, 'R');
    remember(p);
}

void pickle_write(buffer *pickle, const tensor_output *out) {
    pickler p = {.out = pickle,
                 .ordered_dict = NOT_YET,
                 .rebuild = NOT_YET,
                 .storage = NOT_YET,
                 .cpu = NOT_YET};
    for (int type = 0; type < DTYPE_COUNT; type++)
        p.storage_types[type] = NOT_YET;
    buffer_append_text(pickle, "\x80\x02");
    put_ordered_dict(&p);
    for (size_t first = 0; first < out->count; first += BATCH_SIZE) {
        size_t end = out->count - first > BATCH_SIZE ? first + BATCH_SIZE : out->count;
        if (end - first > 1)
            opcode(&p, '(');
        for (size_t i = first; i < end; i++) {
            const tensor *view = &out->tensors[i].view;
            put_text(&p, out->tensors[i].name);
            put_tensor(&p, view, tensor_written_type(view, out->type), i);
        }
        opcode(&p, end - first > 1 ? 'u' : 's');
    }
    opcode(&p, '.');
}
