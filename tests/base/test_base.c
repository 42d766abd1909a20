/* Status and errors, buffers, arenas, number formats, the thread pool. */
#include "support/test.h"

static void test_buffer_takes_an_empty_text(void **state) {
    (void)state;
    buffer b = {0};
    size_t length = 7;
    char *text = buffer_take(&b, &length);
    assert_non_null(text);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    free(text);
}

static void test_bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    assert_int_equal(bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(bf16_from_f32(1.00390625f), 0x3f80); /* half way: to even, down */
    assert_int_equal(bf16_from_f32(1.01171875f), 0x3f82); /* half way: to even, up */
    assert_int_equal(bf16_from_f32(-1.0051f), 0xbf81);
    assert_int_equal(bf16_from_f32(f32_from_bf16(0x7fc1)), 0x7fc1);
    assert_true(f32_from_f16(0x3c01) == 1.0009765625f);
    assert_true(f32_from_f16(0x8001) == -5.9604644775390625e-8f);
    assert_true(f32_from_f16(0x7bff) == 65504.0f);
}

static void count_part(void *context, int64_t index, int worker) {
    (void)worker;
    ((unsigned char *)context)[index]++;
}

static void test_every_part_runs_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        thread_pool *pool;
        assert_ok(thread_pool_new(&pool, threads, &test_error));
        for (int round = 0; round < 200; round++) {
            unsigned char seen[97] = {0};
            thread_pool_run(pool, 97, count_part, seen);
            for (int i = 0; i < 97; i++)
                assert_int_equal(seen[i], 1);
        }
        thread_pool_free(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_takes_an_empty_text),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_every_part_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
