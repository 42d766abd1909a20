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
    PICKLE_DICT,    /* items: key, value, key, value, ...; an OrderedDict too */
    PICKLE_GLOBAL,  /* one of the few names that are allowed, by itself */
    PICKLE_CALL,    /* function `global`, of `items` */
    PICKLE_STORAGE, /* a persistent id: `items` */
} pickle_type;

typedef enum pickle_global {
    GLOBAL_ORDERED_DICT = 0,
    GLOBAL_TENSOR,    /* torch._utils._rebuild_tensor_v2 */
    GLOBAL_PARAMETER, /* torch._utils._rebuild_parameter: around a tensor */
    GLOBAL_STORAGE,   /* torch.FloatStorage and its like; `dtype` says which */
} pickle_global;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_type type;
    pickle_global global; /* of a global or call */
    dtype dtype;          /* of a storage type */
    uint32_t count;       /* items, or bytes of a string */
    uint32_t capacity;    /* of a list or dict, while it grows */
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
