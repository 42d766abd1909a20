/* archive.h - writes small .pt files for the tests: pickles opcode by opcode, and zip archives that
 * remember where their records lie, so that a test can change one field and name the lie. */
#ifndef C2C_TESTS_ARCHIVE_H
#define C2C_TESTS_ARCHIVE_H

#include "support/test.h"

/* ---- Pickles ------------------------------------------------------------------------------ */

static inline void put_number(buffer *b, uint64_t number, int width) {
    for (int i = 0; i < width; i++)
        buffer_append_char(b, i < 8 ? (char)(number >> (8 * i)) : 0);
}

static inline void put_text(buffer *b, const char *text) {
    buffer_append_char(b, 'X');
    put_number(b, strlen(text), 4);
    buffer_append_text(b, text);
}

static inline void put_integer(buffer *b, int64_t value) {
    buffer_append(b, "\x8a\x08", 2); /* LONG1 */
    put_number(b, (uint64_t)value, 8);
}

static inline void put_tuple(buffer *b, const int64_t *values, int count) {
    buffer_append_char(b, '(');
    for (int i = 0; i < count; i++)
        put_integer(b, values[i]);
    buffer_append_char(b, 't');
}

/* One tensor of a state dict, as torch.save says it. */
typedef struct pickled {
    const char *name, *type; /* "FloatStorage" */
    const char *key;         /* of the storage: member "data/KEY" */
    int64_t elements;        /* of the storage */
    int64_t offset;
    int rank;
    int64_t shape[9], strides[9];
    bool parameter;
} pickled;

/* The call that rebuilds a tensor, without its name. */
static inline void put_tensor(buffer *b, const pickled *t) {
    buffer_append_text(b, t->parameter ? "ctorch._utils\n_rebuild_parameter\n(" : "");
    buffer_append_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(b, "storage");
    buffer_printf(b, "ctorch\n%s\n", t->type);
    put_text(b, t->key);
    put_text(b, "cuda:0");
    put_integer(b, t->elements);
    buffer_append_text(b, "tQ");
    put_integer(b, t->offset);
    put_tuple(b, t->shape, t->rank);
    put_tuple(b, t->strides, t->rank);
    buffer_append_text(b, "\x89"
                          "ccollections\nOrderedDict\n)RtR");
    buffer_append_text(b, t->parameter ? "\x88"
                                         "ccollections\nOrderedDict\n)RtR"
                                       : "");
}

/* A whole state dict, with the _metadata that PyTorch puts on it. */
static inline buffer pickle_state_dict(const pickled *tensors, size_t count) {
    buffer b = {0};
    buffer_append_text(&b, "\x80\x02"
                           "ccollections\nOrderedDict\nq");
    put_number(&b, 0, 1);
    buffer_append_text(&b, ")R(");
    for (size_t i = 0; i < count; i++) {
        put_text(&b, tensors[i].name);
        put_tensor(&b, &tensors[i]);
    }
    buffer_append_text(&b, "u}");
    put_text(&b, "_metadata");
    buffer_append_text(&b, "h");
    put_number(&b, 0, 1);
    buffer_append_text(&b, ")R");
    put_text(&b, "");
    buffer_append_text(&b, "}");
    put_text(&b, "version");
    buffer_append_text(&b, "K\1sssb.");
    return b;
}

/* ---- Archives ----------------------------------------------------------------------------- */

#define ARCHIVE_MEMBERS 8

typedef struct archive {
    buffer bytes;
    size_t count;
    size_t local[ARCHIVE_MEMBERS], central[ARCHIVE_MEMBERS]; /* where each member's headers are */
    size_t end64, locator, end;                              /* where the end records are */
    const char *names[ARCHIVE_MEMBERS];
    size_t sizes[ARCHIVE_MEMBERS];
    bool plain; /* as a simple zip writes: sizes in the local headers, no zip64 records */
    size_t alignment;
} archive;

static inline void archive_add(archive *a, const char *name, const void *data, size_t size) {
    buffer *b = &a->bytes;
    size_t i = a->count++;
    assert_true(i < ARCHIVE_MEMBERS);
    a->local[i] = b->length;
    a->names[i] = name;
    a->sizes[i] = size;
    size_t start = b->length + 30 + strlen(name) + 4;
    size_t pad = a->alignment ? (a->alignment - start % a->alignment) % a->alignment : 0;
    put_number(b, 0x04034b50, 4);
    put_number(b, 0, 2);
    put_number(b, a->plain ? 0 : 0x0808, 2);
    put_number(b, 0, 2 + 4 + 4); /* stored, no time, no checksum */
    put_number(b, a->plain ? size : 0, 4);
    put_number(b, a->plain ? size : 0, 4);
    put_number(b, strlen(name), 2);
    put_number(b, 4 + pad, 2);
    buffer_append_text(b, name);
    put_number(b, 0x4246, 2); /* the padding that PyTorch writes */
    put_number(b, pad, 2);
    for (size_t k = 0; k < pad; k++)
        buffer_append_char(b, 'Z');
    buffer_append(b, data, size);
    if (!a->plain) {
        put_number(b, 0x08074b50, 4);
        put_number(b, 0, 4);
        put_number(b, size, 4);
        put_number(b, size, 4);
    }
}

static inline void archive_end(archive *a) {
    buffer *b = &a->bytes;
    size_t directory = b->length;
    for (size_t i = 0; i < a->count; i++) {
        a->central[i] = b->length;
        put_number(b, 0x02014b50, 4);
        put_number(b, 0, 2 + 2);
        put_number(b, a->plain ? 0 : 0x0808, 2);
        put_number(b, 0, 2 + 4 + 4);
        put_number(b, a->sizes[i], 4);
        put_number(b, a->sizes[i], 4);
        put_number(b, strlen(a->names[i]), 2);
        put_number(b, 0, 2 + 2 + 2 + 2 + 4);
        put_number(b, a->local[i], 4);
        buffer_append_text(b, a->names[i]);
    }
    size_t size = b->length - directory;
    if (!a->plain) {
        a->end64 = b->length;
        put_number(b, 0x06064b50, 4);
        put_number(b, 44, 8);
        put_number(b, 0, 2 + 2 + 4 + 4);
        put_number(b, a->count, 8);
        put_number(b, a->count, 8);
        put_number(b, size, 8);
        put_number(b, directory, 8);
        a->locator = b->length;
        put_number(b, 0x07064b50, 4);
        put_number(b, 0, 4);
        put_number(b, a->end64, 8);
        put_number(b, 1, 4);
    }
    a->end = b->length;
    put_number(b, 0x06054b50, 4);
    put_number(b, 0, 2 + 2);
    put_number(b, a->count, 2);
    put_number(b, a->count, 2);
    put_number(b, size, 4);
    put_number(b, directory, 4);
    put_number(b, 0, 2);
}

#endif
