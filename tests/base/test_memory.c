/* Checked sizes, byte buffers, paths and arenas. */
#include "support/test.h"

static void test_sizes_do_not_wrap(void **state) {
    (void)state;
    size_t n = 0;
    assert_true(size_mul(3, 7, &n) && n == 21);
    assert_true(size_mul(SIZE_MAX, 1, &n) && n == SIZE_MAX);
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &n));
    assert_true(size_add(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &n));
    assert_true(min_i64(INT64_MIN, 3) == INT64_MIN && max_i64(INT64_MIN, 3) == 3);
}

static void test_buffer_keeps_what_was_appended(void **state) {
    (void)state;
    buffer b = {0};
    char expected[4096];
    size_t length = 0;
    for (int i = 0; i < 500; i++) {
        buffer_append(&b, "ab\0c", 4); /* a NUL is a byte like others */
        buffer_append_char(&b, (char)i);
        buffer_printf(&b, "%d", i % 10);
        memcpy(expected + length, "ab\0c", 4);
        expected[length + 4] = (char)i;
        expected[length + 5] = (char)('0' + i % 10);
        length += 6;
        assert_int_equal(b.data[b.length], 0);
    }
    assert_false(b.failed);
    assert_int_equal(b.length, length);
    assert_memory_equal(b.data, expected, length);
    buffer_clear(&b);
    assert_int_equal(b.length, 0);
    assert_string_equal(b.data, "");
    buffer_append_text(&b, "again");
    size_t taken;
    char *text = buffer_take(&b, &taken);
    assert_string_equal(text, "again");
    assert_int_equal(taken, 5);
    assert_null(b.data);
    free(text);
}

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

static void test_buffer_remembers_a_failure(void **state) {
    (void)state;
    buffer b = {0};
    buffer_append_text(&b, "text");
    /* No memory is touched: there is no room for the NUL behind so many bytes. */
    buffer_append(&b, "", SIZE_MAX - 4);
    assert_true(b.failed);
    buffer_append_text(&b, "more");
    assert_string_equal(b.data, "text");
    size_t length = 7;
    assert_null(buffer_take(&b, &length));
    assert_int_equal(length, 0);
    assert_null(b.data);
    assert_false(b.failed);
}

static void test_path_join_adds_one_slash(void **state) {
    (void)state;
    static const char *const cases[][3] = {{"a", "b", "a/b"},
                                           {"a/", "b", "a/b"},
                                           {"/", "b", "/b"},
                                           {"", "b", "b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

#define PIECES 3000

/* Pieces of many sizes: aligned, zeroed, and no two share a byte. */
static void fill_arena(arena *a, unsigned seed) {
    unsigned char *pieces[PIECES];
    size_t sizes[PIECES];
    for (int i = 0; i < PIECES; i++) {
        seed = seed * 1103515245u + 12345u;
        sizes[i] = seed >> 16 & 0xff;
        if (i % 500 == 499)
            sizes[i] = 100000; /* more than a block */
        pieces[i] = arena_alloc(a, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], i & 0xff, sizes[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(pieces[i][k], i & 0xff);
}

static void test_arena_pieces_are_separate(void **state) {
    (void)state;
    arena *a = arena_new(100);
    assert_non_null(a);
    fill_arena(a, 1);
    size_t used = arena_used(a);
    assert_in_range(used, 600000, 2000000);
    /* Used again in the same order, then in another. */
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    fill_arena(a, 1);
    assert_int_equal(arena_used(a), used);
    arena_reset(a);
    fill_arena(a, 77);
    arena_free(a);
    arena_free(NULL);
}

static void test_arena_refuses_the_impossible(void **state) {
    (void)state;
    arena *a = arena_new(0);
    assert_non_null(a);
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 20));
    assert_null(arena_copy(a, "x", SIZE_MAX));
    /* ... and is as good as before. */
    assert_string_equal(arena_copy(a, "text and more", 4), "text");
    assert_string_equal(arena_copy(a, NULL, 0), "");
    void *nothing = arena_alloc(a, 0);
    assert_non_null(nothing);
    assert_ptr_not_equal(nothing, arena_alloc(a, 0));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_do_not_wrap),
        cmocka_unit_test(test_buffer_keeps_what_was_appended),
        cmocka_unit_test(test_buffer_takes_an_empty_text),
        cmocka_unit_test(test_buffer_remembers_a_failure),
        cmocka_unit_test(test_path_join_adds_one_slash),
        cmocka_unit_test(test_arena_pieces_are_separate),
        cmocka_unit_test(test_arena_refuses_the_impossible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
