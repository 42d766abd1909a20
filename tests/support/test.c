/* test.c - shared helpers of the tests. */
#include "support/test.h"

#include <dirent.h>
#include <unistd.h>

c2c_error test_error;

void test_message_holds(const char *file, int line, const char *const *texts) {
    for (; *texts; texts++)
        if (!strstr(test_error.message, *texts)) {
            print_error("%s:%d: message \"%s\" lacks \"%s\"\n", file, line, test_error.message,
                        *texts);
            fail();
        }
}

const char *test_shared(const char *folder) {
    static char path[4096];
    const char *root = getenv("C2C_SHARED");
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared", folder);
    return folder_exists(path) ? path : NULL;
}

char *test_folder_make(void) {
    const char *root = getenv("TMPDIR");
    char *folder = path_join(root ? root : "/tmp", "c2c-test-XXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    return folder;
}

void test_folder_remove(char *folder) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = path_join(folder, entry->d_name);
        /* A link is removed, never what it names. */
        if (unlink(path) == 0)
            free(path);
        else
            test_folder_remove(path);
    }
    closedir(dir);
    rmdir(folder);
    free(folder);
}

void test_file_write(const char *folder, const char *name, const void *bytes, size_t length) {
    char *path = path_join(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(path);
}
