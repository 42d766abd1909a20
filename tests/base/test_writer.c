/* Files and folders that appear whole, and leave nothing behind where they fail. */
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

/* The names in a folder, one behind the other. */
static c2c_status append_name(void *user, const char *name, c2c_error *error) {
    (void)error;
    buffer_printf(user, "%s ", name);
    return C2C_STATUS_OK;
}

static void assert_names(const char *folder, const char *names) {
    buffer found = {0};
    buffer_append_text(&found, "");
    assert_ok(folder_each(folder, append_name, &found, &test_error));
    assert_string_equal(found.data, names);
    buffer_free(&found);
}

static void assert_content(const char *path, const void *bytes, size_t length) {
    file_map map;
    assert_ok(file_map_open(&map, path, &test_error));
    assert_int_equal(map.size, length);
    if (length)
        assert_memory_equal(map.data, bytes, length);
    file_map_close(&map);
}

/* Pieces of every size around that of the buffer. */
static void test_a_file_is_what_was_appended(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "f");
    size_t total = 0, room = 4u << 20;
    char *expected = malloc(room);
    static const size_t sizes[] = {0, 1, 262143, 1, 262144, 7, 262145, 1000000, 3, 262136, 1, 5};
    for (size_t i = 0; i < room; i++)
        expected[i] = (char)(i * 2654435761u >> 24);
    file_writer *w;
    assert_ok(file_writer_open(&w, path, &test_error));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_ok(file_writer_append(w, expected + total, sizes[i], &test_error));
        total += sizes[i];
        assert_int_equal(file_writer_size(w), total);
        assert_false(file_exists(path)); /* not before it is whole */
    }
    assert_ok(file_writer_end(w, C2C_STATUS_OK, &test_error));
    assert_content(path, expected, total);
    assert_names(folder, "f ");
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask); /* as any other program's files */
    free(expected);
    free(path);
    test_folder_remove(folder);
}

static void test_a_failure_changes_nothing(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "f");
    assert_ok(file_write(path, "old", 3, &test_error));
    file_writer *w;
    assert_ok(file_writer_open(&w, path, &test_error));
    assert_ok(file_writer_append(w, "new", 3, &test_error));
    assert_int_equal(file_writer_end(w, C2C_STATUS_BAD_FILE, NULL), C2C_STATUS_BAD_FILE);
    assert_content(path, "old", 3);
    assert_names(folder, "f ");
    assert_ok(file_write(path, "", 0, &test_error));
    assert_content(path, "", 0);
    assert_int_equal(file_writer_end(NULL, C2C_STATUS_IO, NULL), C2C_STATUS_IO);
    free(path);
    test_folder_remove(folder);
}

/* No folder to write into, and a folder or a pipe where the file should be. */
static void test_what_cannot_be_written(void **state) {
    (void)state;
    char *folder = test_folder_make(), *below = path_join(folder, "no/f");
    file_writer *w = (file_writer *)&below;
    assert_fails(file_writer_open(&w, below, &test_error), C2C_STATUS_NOT_FOUND, "no/f: cannot");
    assert_null(w);
    assert_fails(file_write(folder, "x", 1, &test_error), C2C_STATUS_IO, "cannot replace");
    assert_names(folder, "");
    /* Were it replaced, a file would stand where a device was. */
    char *pipe = path_join(folder, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_fails(file_write(pipe, "x", 1, &test_error), C2C_STATUS_INVALID_ARGUMENT, "pipe",
                 "device or pipe");
    assert_names(folder, "pipe ");
    free(pipe);
    free(below);
    test_folder_remove(folder);
}

static void test_copies(void **state) {
    (void)state;
    char *folder = test_folder_make(), *from = path_join(folder, "from");
    char *to = path_join(folder, "to"), *copy = path_join(to, "f"), *inner = path_join(from, "d");
    assert_int_equal(mkdir(from, 0700), 0);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    test_file_write(from, "f", "a\0b", 3);
    assert_ok(file_copy(from, to, "f", false, &test_error));
    assert_content(copy, "a\0b", 3);
    assert_ok(file_copy(from, to, "none", true, &test_error));
    assert_ok(file_copy(from, to, "d", true, &test_error));
    assert_names(to, "f ");
    assert_fails(file_copy(from, to, "none", false, &test_error), C2C_STATUS_NOT_FOUND,
                 "from/none");
    free(inner);
    free(copy);
    free(to);
    free(from);
    test_folder_remove(folder);
}

static void test_folders_appear_whole(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "out/");
    char *aside, *file = path_join(folder, "out/f");
    assert_ok(folder_begin(&aside, path, &test_error));
    assert_true(folder_exists(aside));
    assert_false(folder_exists(path));
    test_file_write(aside, "f", "1", 1);
    assert_ok(folder_end(aside, path, C2C_STATUS_OK, &test_error));
    assert_content(file, "1", 1);
    free(aside);

    /* Another one in its place, then one that fails. */
    assert_ok(folder_begin(&aside, path, &test_error));
    test_file_write(aside, "g", "2", 1);
    char *nested = path_join(aside, "nested");
    assert_int_equal(mkdir(nested, 0777), 0);
    test_file_write(nested, "h", "3", 1);
    assert_ok(folder_end(aside, path, C2C_STATUS_OK, &test_error));
    assert_names(path, "g nested ");
    free(aside);
    assert_ok(folder_begin(&aside, path, &test_error));
    test_file_write(aside, "f", "4", 1);
    assert_int_equal(folder_end(aside, path, C2C_STATUS_IO, NULL), C2C_STATUS_IO);
    assert_names(path, "g nested ");
    assert_names(folder, "out ");
    free(aside);
    free(nested);
    free(file);
    free(path);
    test_folder_remove(folder);
}

/* What a link points at is not ours. */
static void test_removing_keeps_what_links_point_at(void **state) {
    (void)state;
    char *folder = test_folder_make(), *kept = path_join(folder, "kept");
    char *gone = path_join(folder, "gone"), *link = path_join(folder, "gone/link");
    assert_int_equal(mkdir(kept, 0777), 0);
    assert_int_equal(mkdir(gone, 0777), 0);
    test_file_write(kept, "f", "1", 1);
    assert_int_equal(symlink(kept, link), 0);
    assert_ok(folder_remove(gone, &test_error));
    assert_names(folder, "kept ");
    assert_names(kept, "f ");
    assert_fails(folder_remove(gone, &test_error), C2C_STATUS_NOT_FOUND, "gone: cannot open");
    char *aside = gone;
    assert_fails(folder_begin(&aside, "/proc/none/x", &test_error), C2C_STATUS_NOT_FOUND, "/proc");
    assert_null(aside);
    free(gone);
    free(link);
    free(kept);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_what_was_appended),
        cmocka_unit_test(test_a_failure_changes_nothing),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_folders_appear_whole),
        cmocka_unit_test(test_removing_keeps_what_links_point_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
