/* tensor.c - number formats and dense views; reading elements is for small tensors only. */
#include "base/base.h"

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

/* As the processors do it: every number exactly, NaNs quiet and with their payload. */
float f32_from_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    uint32_t u;
    if (exponent == 31) {
        u = 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0);
    } else if (exponent) {
        u = (exponent + 127 - 15) << 23 | fraction << 13;
    } else { /* zero, or a number without the leading one: fraction * 2^-24 */
        float value = (float)fraction * 0x1p-24f;
        memcpy(&u, &value, sizeof u);
    }
    u |= sign;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float tensor_get_f32(const tensor *t, int64_t i) {
    switch (t->type) {
    case DTYPE_F32: return ((const float *)t->data)[i];
    case DTYPE_BF16: return f32_from_bf16(((const uint16_t *)t->data)[i]);
    case DTYPE_F16: return f32_from_f16(((const uint16_t *)t->data)[i]);
    default: C2C_ASSERT(dtype_is_weight(t->type)); return 0;
    }
}
