/* Mapped files, also what is not a file, and facts about the machine. */
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

static void test_file_is_mapped(void **state) {
    (void)state;
    char *folder = test_folder_make();
    test_file_write(folder, "five", "a\0b\nc", 5);
    test_file_write(folder, "empty", "", 0);
    char *path = path_join(folder, "five");
    file_map map;
    assert_ok(file_map_open(&map, path, &test_error));
    /* The name may go away while the bytes stay. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "a\0b\nc", 5);
    file_map_close(&map);
    assert_null(map.data);
    file_map_close(&map);
    free(path);

    path = path_join(folder, "empty");
    map.size = 1;
    assert_ok(file_map_open(&map, path, &test_error));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    file_map_close(&map);
    free(path);
    test_folder_remove(folder);
}

static void test_what_is_not_a_file_is_refused(void **state) {
    (void)state;
    char *folder = test_folder_make();
    char *pipe = path_join(folder, "pipe"), *missing = path_join(folder, "missing");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    file_map map = {.size = 1};
    assert_fails(file_map_open(&map, folder, &test_error), C2C_STATUS_IO, folder, "a folder");
    assert_true(map.data == NULL && map.size == 0);
    /* Nobody writes to the pipe: this must come back all the same. */
    assert_fails(file_map_open(&map, pipe, &test_error), C2C_STATUS_IO, pipe, "expected a file");
    assert_fails(file_map_open(&map, missing, &test_error), C2C_STATUS_NOT_FOUND, missing,
                 "No such file");
    char *below = path_join(pipe, "x");
    assert_fails(file_map_open(&map, below, &test_error), C2C_STATUS_NOT_FOUND, below);
    assert_fails(file_map_open(&map, "", &test_error), C2C_STATUS_NOT_FOUND, "No such file");

    assert_true(folder_exists(folder));
    assert_false(folder_exists(pipe) || folder_exists(missing));
    assert_false(file_exists(folder) || file_exists(pipe) || file_exists(missing));
    free(below), free(pipe), free(missing);
    test_folder_remove(folder);
}

static void test_unreadable_file_is_refused(void **state) {
    (void)state;
    if (geteuid() == 0) {
        print_message("SKIP: root may read every file\n");
        skip();
    }
    char *folder = test_folder_make();
    test_file_write(folder, "secret", "x", 1);
    char *path = path_join(folder, "secret");
    assert_int_equal(chmod(path, 0), 0);
    file_map map;
    assert_fails(file_map_open(&map, path, &test_error), C2C_STATUS_IO, path, "Permission");
    free(path);
    test_folder_remove(folder);
}

static void test_machine(void **state) {
    (void)state;
    int processors = system_processors();
    assert_in_range(processors, 1, 100000);
    assert_true(processors <= sysconf(_SC_NPROCESSORS_CONF));
    int64_t memory = system_memory_available();
    if (memory >= 0) { /* less than nothing: the system does not say */
        int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
        assert_true(memory <= all);
    }
    double before = system_seconds(), after = system_seconds();
    assert_true(after >= before && after - before < 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_is_mapped),
        cmocka_unit_test(test_what_is_not_a_file_is_refused),
        cmocka_unit_test(test_unreadable_file_is_refused),
        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
