/* Number formats, checked on every 16-bit value, and tensor views. */
#include "support/test.h"

static uint32_t f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* The value by the definition of the format: sign, exponent bits, fraction bits. */
static double value_by_definition(unsigned bits, int exponent_bits, int fraction_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    double fraction = (double)(bits & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias);
    return sign * ldexp(1 + fraction, exponent - bias);
}

static void test_every_f16(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 65536; bits++) {
        float f = f32_from_f16((uint16_t)bits);
        unsigned exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
        assert_int_equal(signbit(f) != 0, bits >> 15);
        if (exponent == 31 && fraction)
            assert_true(isnan(f));
        else if (exponent == 31)
            assert_true(isinf(f));
        else
            assert_true((double)f == value_by_definition(bits, 5, 10));
    }
}

static void test_every_bf16(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 65536; bits++) {
        float f = f32_from_bf16((uint16_t)bits);
        unsigned exponent = bits >> 7 & 0xff, fraction = bits & 0x7f;
        if (exponent == 255) {
            assert_true(fraction ? isnan(f) : isinf(f));
        } else {
            assert_true((double)f == value_by_definition(bits, 8, 7));
        }
        /* There and back is the same number; a signalling NaN becomes a quiet one. */
        unsigned back = bf16_from_f32(f);
        assert_int_equal(back, exponent == 255 && fraction ? (bits | 0x40) : bits);
    }
}

static void test_bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    /* Between each bf16 and the next one: just below half way, half way, just above. The largest
     * finite one is followed by infinity. */
    for (uint32_t low = 0; low < 0x7f80; low++)
        for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
            uint32_t base = (low | sign) << 16;
            uint32_t even = low & 1 ? low + 1 : low;
            static const uint32_t parts[] = {0x0001, 0x7fff, 0x8000, 0x8001, 0xffff};
            uint32_t rounded[] = {low, low, even, low + 1, low + 1};
            for (int i = 0; i < 5; i++) {
                uint32_t u = base | parts[i];
                float f;
                memcpy(&f, &u, sizeof f);
                assert_int_equal(bf16_from_f32(f), rounded[i] | sign);
            }
        }
    /* A NaN whose payload stands in the low half only must not become infinity. */
    uint32_t u = 0x7f800001;
    float f;
    memcpy(&f, &u, sizeof f);
    assert_int_equal(bf16_from_f32(f), 0x7fc0);
}

/* Exact, with nothing rounded twice: every half that there is comes back; a float between two of
 * them goes to the nearer one, from the middle to the even one. Doubles hold all of these exactly.
 */
static void test_f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = f32_from_f16((uint16_t)bits);
        uint16_t back = f16_from_f32(value);
        if (isnan(value)) {
            assert_true(isnan(f32_from_f16(back)));
            assert_int_equal(back & 0x8000, bits & 0x8000);
            continue;
        }
        assert_int_equal(back, bits);
        if ((bits & 0x7fff) >= 0x7c00)
            continue;
        /* Beyond the largest number lies the one that would be next: 65536. */
        uint32_t next = bits + 1;
        double a = fabs((double)value),
               b = (next & 0x7fff) == 0x7c00 ? 65536 : fabs((double)f32_from_f16((uint16_t)next));
        float middle = copysignf((float)((a + b) / 2), value);
        assert_int_equal(f16_from_f32(middle), bits & 1 ? next : bits);
        assert_int_equal(f16_from_f32(nextafterf(middle, 0)), bits);
        assert_int_equal(f16_from_f32(nextafterf(middle, copysignf(INFINITY, value))), next);
    }
    assert_int_equal(f16_from_f32(1e30f), 0x7c00);
    assert_int_equal(f16_from_f32(-1e-30f), 0x8000);
}

static void test_converted_elements(void **state) {
    (void)state;
    const float f[] = {1.5f, -2.25f, 0x1.01p0f, 65519, 65520, INFINITY};
    tensor t = {.type = DTYPE_F32, .rank = 1, .shape = {6}, .data = f};
    uint16_t out[6] = {0};
    assert_int_equal(tensor_convert(out, DTYPE_F16, &t, 1, 3), 3);
    assert_int_equal(out[0], 0xc080);
    assert_int_equal(out[2], 0x7bff);
    assert_int_equal(tensor_convert(out, DTYPE_F16, &t, 0, 6), 4); /* 65520 has no finite half */
    assert_int_equal(tensor_convert(out, DTYPE_F16, &t, 5, 1), 1); /* infinity stays */
    assert_int_equal(out[0], 0x7c00);
    assert_int_equal(tensor_convert(out, DTYPE_BF16, &t, 0, 6), 6);
    assert_int_equal(out[2], 0x3f80); /* half-way between 0x3f80 and 0x3f81 */
    const float largest = 0x1.fffffep127f;
    t = (tensor){.type = DTYPE_F32, .data = &largest};
    assert_int_equal(tensor_convert(out, DTYPE_BF16, &t, 0, 1), 0);
    const uint16_t half[] = {0x3e00, 0xc080};
    float wide[2];
    t = (tensor){.type = DTYPE_F16, .rank = 1, .shape = {2}, .data = half};
    assert_int_equal(tensor_convert(wide, DTYPE_F32, &t, 0, 2), 2);
    assert_true(wide[0] == 1.5f && wide[1] == -2.25f);
    const int64_t whole[] = {1, -2, 3};
    int64_t copy[2];
    t = (tensor){.type = DTYPE_I64, .rank = 1, .shape = {3}, .data = whole};
    assert_int_equal(tensor_convert(copy, DTYPE_I64, &t, 1, 2), 2);
    assert_memory_equal(copy, whole + 1, sizeof copy);
}

static void test_dtypes(void **state) {
    (void)state;
    static const struct {
        dtype type;
        size_t size;
        const char *name;
        bool weight;
    } expected[] = {
        {DTYPE_F32, 4, "f32", true},    {DTYPE_F16, 2, "f16", true},  {DTYPE_BF16, 2, "bf16", true},
        {DTYPE_F64, 8, "f64", false},   {DTYPE_I64, 8, "i64", false}, {DTYPE_I32, 4, "i32", false},
        {DTYPE_I16, 2, "i16", false},   {DTYPE_I8, 1, "i8", false},   {DTYPE_U8, 1, "u8", false},
        {DTYPE_BOOL, 1, "bool", false},
    };
    assert_int_equal(sizeof expected / sizeof *expected, DTYPE_COUNT);
    for (int i = 0; i < DTYPE_COUNT; i++) {
        assert_int_equal(dtype_size(expected[i].type), expected[i].size);
        assert_string_equal(dtype_name(expected[i].type), expected[i].name);
        assert_int_equal(dtype_is_weight(expected[i].type), expected[i].weight);
    }
}

static void test_views(void **state) {
    (void)state;
    char text[TENSOR_SHAPE_TEXT];
    tensor t = {.type = DTYPE_BF16, .rank = 0};
    assert_int_equal(tensor_elements(&t), 1);
    assert_int_equal(tensor_bytes(&t), 2);
    assert_string_equal(tensor_shape_text(&t, text), "[]");
    t = (tensor){.type = DTYPE_F64, .rank = 3, .shape = {3, 4, 5}};
    assert_int_equal(tensor_elements(&t), 60);
    assert_int_equal(tensor_bytes(&t), 480);
    assert_string_equal(tensor_shape_text(&t, text), "[3, 4, 5]");
    t.shape[1] = 0;
    assert_int_equal(tensor_elements(&t), 0);
    /* The longest text that can be asked for fits. */
    t.rank = TENSOR_MAX_RANK;
    for (int i = 0; i < TENSOR_MAX_RANK; i++)
        t.shape[i] = INT64_MIN;
    tensor_shape_text(&t, text);
    assert_int_equal(text[strlen(text) - 1], ']');
    assert_int_equal(strlen(text), TENSOR_MAX_RANK * 20 + (TENSOR_MAX_RANK - 1) * 2 + 2);
}

static void test_elements_as_f32(void **state) {
    (void)state;
    const float f[] = {1.5f, -2.25f};
    const uint16_t half[] = {0x3e00, 0xc080}, brain[] = {0x3fc0, 0xc010};
    const void *data[] = {f, half, brain};
    const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (int i = 0; i < 3; i++) {
        tensor t = {.type = types[i], .rank = 1, .shape = {2}, .data = data[i]};
        for (int k = 0; k < 2; k++)
            assert_int_equal(f32_bits(tensor_get_f32(&t, k)), f32_bits(f[k]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_f16),
        cmocka_unit_test(test_every_bf16),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_converted_elements),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_elements_as_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
