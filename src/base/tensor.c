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

uint16_t f16_from_f32(float value) {
    uint32_t u;
    memcpy(&u, &value, sizeof u);
    uint32_t sign = u >> 16 & 0x8000, size = u & 0x7fffffffu;
    if (size > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x1ff));
    if (size >= 0x477ff000u) /* 65520, half-way to what would be the next number */
        return (uint16_t)(sign | 0x7c00);
    if (size <
        0x38800000u) { /* below 2^-14: whole steps of 2^-24, which are the last bits of 0.5 */
        float half;
        memcpy(&half, &size, sizeof half);
        half += 0.5f;
        memcpy(&u, &half, sizeof u);
        return (uint16_t)(sign | (u - 0x3f000000u));
    }
    size -= (127u - 15u) << 23;
    return (uint16_t)(sign | (size + 0xfff + (size >> 13 & 1)) >> 13);
}

float tensor_get_f32(const tensor *t, int64_t i) {
    switch (t->type) {
    case DTYPE_F32: return ((const float *)t->data)[i];
    case DTYPE_BF16: return f32_from_bf16(((const uint16_t *)t->data)[i]);
    case DTYPE_F16: return f32_from_f16(((const uint16_t *)t->data)[i]);
    default: C2C_ASSERT(dtype_is_weight(t->type)); return 0;
    }
}

int64_t tensor_convert(void *out, dtype type, const tensor *from, int64_t first, int64_t count) {
    if (type == from->type) {
        size_t size = dtype_size(type);
        if (count > 0)
            memcpy(out, (const uint8_t *)from->data + (size_t)first * size, (size_t)count * size);
        return count;
    }
    C2C_ASSERT(dtype_is_weight(type) && dtype_is_weight(from->type));
    for (int64_t i = 0; i < count; i++) {
        float value = tensor_get_f32(from, first + i);
        float kept = value;
        if (type == DTYPE_F32) {
            ((float *)out)[i] = value;
        } else if (type == DTYPE_F16) {
            ((uint16_t *)out)[i] = f16_from_f32(value);
            kept = f32_from_f16(((uint16_t *)out)[i]);
        } else {
            ((uint16_t *)out)[i] = bf16_from_f32(value);
            kept = f32_from_bf16(((uint16_t *)out)[i]);
        }
        if (isinf(kept) && !isinf(value))
            return i;
    }
    return count;
}
