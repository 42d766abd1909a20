/* pickle.h - for this room only: the pickle of a state dict as a tree of plain values. */
#ifndef C2C_FORMATS_PICKLE_H
#define C2C_FORMATS_PICKLE_H

#include "formats/tensor_file.h"

typedef enum pickle_type {
    PICKLE_NONE = 0,
    PICKLE_BOOL,
    PICKLE_INTEGER, /* also for bool: 0 or 1 */
    PICKLE_REAL,
    PICKLE_STRING,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,   /* items: key, value, key, value, ...; an OrderedDict too */
    PICKLE_NAME,   /* one of the few names that are allowed, by itself */
    PICKLE_CALL,   /* function `name`, of `items` */
    PICKLE_STORAGE /* a persistent id: `items` */
} pickle_type;

typedef enum pickle_name_kind {
    NAME_ORDERED_DICT = 0,
    NAME_TENSOR,    /* torch._utils._rebuild_tensor_v2 */
    NAME_PARAMETER, /* torch._utils._rebuild_parameter: around a tensor */
    NAME_STORAGE    /* torch.FloatStorage and its like; `dtype` says which */
} pickle_name_kind;

/* What an importable name stands for. */
typedef struct pickle_name {
    pickle_name_kind kind;
    dtype dtype; /* of a storage type */
} pickle_name;

/* The meaning of an allowed name, NULL for any other. Lives for ever. */
const pickle_name *pickle_name_find(const char *module, size_t module_length, const char *name,
                                    size_t name_length);

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_type type;
    uint32_t count;          /* items, or bytes of a string */
    uint32_t capacity;       /* of a list or dict, while it grows */
    const pickle_name *name; /* of a name or call */
    union {
        int64_t integer;
        double real;
        const char *string; /* in the pickle's bytes: valid UTF-8, not NUL-terminated */
        const pickle_value **items;
    };
};

const char *pickle_type_name(pickle_type type); /* "a dict", ... */

/* Runs the pickle; the tree lives in `memory` and borrows `data`. Nothing outside a short list of
 * names can be asked for, and nothing is ever called. Lists and dicts may hold themselves: do not
 * recurse without a bound. */
c2c_status pickle_read(const pickle_value **root, arena *memory, const uint8_t *data, size_t size,
                       const char *path, c2c_error *error);

#endif
