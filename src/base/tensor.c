/* tensor.c - number formats and dense views; reading elements is for small tensors only. */
#include "base/base.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4},   [DTYPE_F16] = {"f16", 2}, [DTYPE_BF16] = {"bf16", 2},
    [DTYPE_F64] = {"f64", 8},   [DTYPE_I64] = {"i64", 8}, [DTYPE_I32] = {"i32", 4},
    [DTYPE_I16] = {"i16", 2},   [DTYPE_I8] = {"i8", 1},   [DTYPE_U8] = {"u8", 1},
    [DTYPE_BOOL] = {"bool", 1},
};

size_t dtype_size(dtype type) {
    return dtypes[type].size;
}

const char *dtype_name(dtype type) {
    return dtypes[type].name;
}

bool dtype_is_weight(dtype type) {
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

int64_t tensor_elements(const tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

size_t tensor_bytes(const tensor *t) {
    return (size_t)tensor_elements(t) * dtype_size(t->type);
}

const char *tensor_shape_text(const tensor *t, char text[TENSOR_SHAPE_TEXT]) {
    int n = snprintf(text, TENSOR_SHAPE_TEXT, "[");
    for (int i = 0; i < t->rank; i++)
        n += snprintf(text + n, TENSOR_SHAPE_TEXT - (size_t)n, i ? ", %lld" : "%lld",
                      (long long)t->shape[i]);
    snprintf(text + n, TENSOR_SHAPE_TEXT - (size_t)n, "]");
    return text;
}

float f32_from_f16(uint16_t bits) {
    int exponent = bits >> 10 & 0x1f;
    float fraction = (float)(bits & 0x3ff);
    float value;
    if (exponent == 0)
        value = ldexpf(fraction, -24);
    else if (exponent == 31)
        value = fraction == 0 ? INFINITY : NAN;
    else
        value = ldexpf(fraction + 1024, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

float tensor_get_f32(const tensor *t, int64_t i) {
    switch (t->type) {
    case DTYPE_F32: return ((const float *)t->data)[i];
    case DTYPE_BF16: return f32_from_bf16(((const uint16_t *)t->data)[i]);
    case DTYPE_F16: return f32_from_f16(((const uint16_t *)t->data)[i]);
    default: C2C_ASSERT(dtype_is_weight(t->type)); return 0;
    }
}
