/* test_data_folders.c - where data is looked for: --data, then C2C_DATA, then the cache. */
#include "app/data_folders.h"

#include "support/test.h"

static void test_order(void **state) {
    (void)state;
    const option_list given = {.items = {"a", "b"}, .count = 2};
    data_folders f;
    setenv("C2C_DATA", ":c::d:", 1);
    setenv("HF_HUB_CACHE", "/hub/", 1);
    assert_ok(data_folders_init(&f, &given, &test_error));
    static const char *const expected[] = {"a", "b", "c", "d"};
    assert_int_equal(f.places.folder_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(f.places.folders[i], expected[i]);
    assert_int_equal(f.places.cache_count, 1);
    assert_string_equal(f.places.caches[0], "/hub"); /* what is below it begins with the slash */
    data_folders_deinit(&f);
    data_folders_deinit(&f);
}

static void test_nothing_is_set(void **state) {
    (void)state;
    static const char *const variables[] = {"C2C_DATA", "HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE",
                                            "HF_HOME",  "XDG_CACHE_HOME", "HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    const option_list none = {.count = 0};
    data_folders f;
    assert_ok(data_folders_init(&f, &none, &test_error));
    assert_int_equal(f.places.folder_count, 0);
    assert_int_equal(f.places.cache_count, 0);
    data_folders_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_nothing_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
