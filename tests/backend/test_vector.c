/* test_vector.c - the words of vector.h in plain C, on every or on many numbers. The wider sets use
 * the same text and are tested through the ops. */
#define LANES 4
#include "backend/cpu/vector.h"
#include "support/test.h"

/* How far a result is from the true value, in units of the last place of the true value. */
static double units_off(float got, double expected) {
    float nearest = fabsf((float)expected);
    return fabs(got - expected) / ((double)nextafterf(nearest, INFINITY) - nearest);
}

static void exp_is_within_two_units(void **state) {
    (void)state;
    for (double x = -105; x < 88.7; x += 0.00137) {
        float got = vec_exp(vec_set((float)x))[1];
        double off = units_off(got, exp((float)x)); /* subnormal results have wider units */
        if (!(off < 2))
            fail_msg("exp(%.9g) = %.9g is %g units off", x, (double)got, off);
    }
    assert_true(vec_exp(vec_set(0))[0] == 1);
    assert_true(vec_exp(vec_set(-INFINITY))[0] == 0);
    assert_true(vec_exp(vec_set(-1e30f))[0] == 0);
    assert_true(vec_exp(vec_set(INFINITY))[0] == INFINITY);
    assert_true(vec_exp(vec_set(88.8f))[0] == INFINITY);
    assert_true(isnan(vec_exp(vec_set(NAN))[0]));
}

static void erf_is_within_two_units(void **state) {
    (void)state;
    for (double x = -6; x < 6; x += 0.000171) {
        float got = vec_erf(vec_set((float)x))[2];
        double off = units_off(got, erf((float)x));
        if (!(off < 2))
            fail_msg("erf(%.9g) = %.9g is %g units off", x, (double)got, off);
    }
    assert_true(vec_erf(vec_set(INFINITY))[0] == 1);
    assert_true(vec_erf(vec_set(-INFINITY))[0] == -1);
    assert_true(isnan(vec_erf(vec_set(NAN))[0]));
}

static void every_f16_and_bf16_widens(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint16_t bits[LANES] = {0, (uint16_t)i, 0, 0};
        float f16 = vec_from_f16(bits)[1], bf16 = vec_from_bf16(bits)[1];
        float expected = f32_from_f16((uint16_t)i);
        assert_true(f16 == expected || (isnan(f16) && isnan(expected)));
        assert_true(signbit(f16) == signbit(expected) || isnan(expected));
        expected = f32_from_bf16((uint16_t)i);
        assert_memory_equal(&bf16, &expected, sizeof bf16);
    }
}

static void rounding_is_bf16_from_f32(void **state) {
    (void)state;
    for (uint64_t i = 0; i <= UINT32_MAX; i += 9973) {
        uint32_t bits = (uint32_t)i;
        float x, got, expected;
        memcpy(&x, &bits, sizeof x);
        got = vec_round_bf16(vec_set(x))[3];
        expected = f32_from_bf16(bf16_from_f32(x));
        assert_memory_equal(&got, &expected, sizeof got);
    }
}

static void parts_leave_the_rest_alone(void **state) {
    (void)state;
    static const float from[] = {1, 2, 3, 4};
    for (int64_t n = 1; n < LANES; n++) {
        float to[LANES] = {9, 9, 9, 9};
        vec v = vec_load_part(from, n);
        for (int64_t i = 0; i < LANES; i++)
            assert_true(v[i] == (i < n ? from[i] : 0));
        vec_store_some(to, vec_set(5), n);
        for (int64_t i = 0; i < LANES; i++)
            assert_true(to[i] == (i < n ? 5 : 9));
    }
}

static void sums_agree_one_by_one_and_four_at_once(void **state) {
    (void)state;
    vec v[4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < LANES; j++)
            v[i][j] = ldexpf((float)(i + 3 * j - 5), 7 * j); /* the order of adding shows */
    quad sums = vec_sum4(v[0], v[1], v[2], v[3]);
    for (int i = 0; i < 4; i++)
        assert_true(sums[i] == vec_sum(v[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_units),
        cmocka_unit_test(erf_is_within_two_units),
        cmocka_unit_test(every_f16_and_bf16_widens),
        cmocka_unit_test(rounding_is_bf16_from_f32),
        cmocka_unit_test(parts_leave_the_rest_alone),
        cmocka_unit_test(sums_agree_one_by_one_and_four_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
