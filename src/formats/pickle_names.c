/* pickle_names.c - every name that a pickle may ask for. The list is short and closed: a pickle
 * that can import more can run any program, and a state dict needs nothing else. Complex,
 * quantized and sparse tensors stay outside because tensor has no dtype for them. */
#include "formats/pickle.h"

static const struct {
    const char *module, *name;
    pickle_name meaning;
} names[] = {
    {"collections", "OrderedDict", {NAME_ORDERED_DICT, 0}},
    {"torch._utils", "_rebuild_tensor_v2", {NAME_TENSOR, 0}},
    {"torch._utils", "_rebuild_parameter", {NAME_PARAMETER, 0}},
    {"torch", "FloatStorage", {NAME_STORAGE, DTYPE_F32}},
    {"torch", "HalfStorage", {NAME_STORAGE, DTYPE_F16}},
    {"torch", "BFloat16Storage", {NAME_STORAGE, DTYPE_BF16}},
    {"torch", "DoubleStorage", {NAME_STORAGE, DTYPE_F64}},
    {"torch", "LongStorage", {NAME_STORAGE, DTYPE_I64}},
    {"torch", "IntStorage", {NAME_STORAGE, DTYPE_I32}},
    {"torch", "ShortStorage", {NAME_STORAGE, DTYPE_I16}},
    {"torch", "CharStorage", {NAME_STORAGE, DTYPE_I8}},
    {"torch", "ByteStorage", {NAME_STORAGE, DTYPE_U8}},
    {"torch", "BoolStorage", {NAME_STORAGE, DTYPE_BOOL}},
};

/* Lengths count too: a name with a NUL inside is another name. */
static bool text_is(const char *text, size_t length, const char *expected) {
    return length == strlen(expected) && memcmp(text, expected, length) == 0;
}

const pickle_name *pickle_name_find(const char *module, size_t module_length, const char *name,
                                    size_t name_length) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (text_is(module, module_length, names[i].module) &&
            text_is(name, name_length, names[i].name))
            return &names[i].meaning;
    return NULL;
}
