/* Where files of rows are found, and what is said when there is none. */
#include "train/data.h"

#include "support/test.h"

#include <sys/stat.h>

static char *root;

static int setup(void **state) {
    (void)state;
    root = test_folder_make();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    test_folder_remove(root);
    return 0;
}

/* An empty file at root/NAME, its folders made. */
static void touch(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    test_file_write(root, name, "", 0);
}

static void assert_finds(const data_wanted *wanted, const char *expected) {
    const char *const folders[] = {"/nowhere", root};
    const data_places places = {folders, 2, folders, 2};
    char *path;
    assert_ok(data_file_find(&path, wanted, &places, NULL, &test_error));
    assert_string_equal(path + strlen(root) + 1, expected);
    free(path);
}

/* Each is found before those that were there already. */
static void test_published_sets(void **state) {
    (void)state;
    static const char *const order[] = {
        "datasets--o--Set/snapshots/1234/train.json",
        "Set.csv",
        "Set_train.json",
        "Set-train.jsonl",
        "Set/data/train.json",
        "Set/train.csv",
        "Set/train.jsonl",
        "Set/main_train.jsonl",
        "Set/main/train.jsonl",
        "o/Set/only.jsonl",
    };
    const data_wanted wanted = {.hub = "o/Set", .config = "main", .split = "train"};
    const data_wanted other = {.hub = "o/Set", .config = "main", .split = "test"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        touch(order[i]);
        assert_finds(&wanted, order[i]);
    }
    touch("o/Set/dataset_infos.json"); /* is none of rows */
    assert_finds(&wanted, "o/Set/only.jsonl");
    assert_finds(&other, "Set.csv"); /* the only file of a folder is not a test split */
    touch("o/Set/second.jsonl");
    assert_finds(&wanted, "Set/main/train.jsonl");
}

static void test_files_of_configs(void **state) {
    (void)state;
    const data_wanted wanted = {.hub = "o/Bench",
                                .config = "trec_e",
                                .split = "test",
                                .file_of_config = true};
    touch("Bench/data/trec_e.jsonl");
    assert_finds(&wanted, "Bench/data/trec_e.jsonl");
    touch("Bench/trec_e.jsonl");
    assert_finds(&wanted, "Bench/trec_e.jsonl");
}

static void test_own_paths(void **state) {
    (void)state;
    char path[4096];
    touch("mine/rows.txt");
    touch("mine/test.csv");
    touch("other.jsonl");
    data_wanted wanted = {.hub = "o/Set", .split = "test", .path = path};
    snprintf(path, sizeof path, "%s/mine/rows.txt", root);
    assert_finds(&wanted, "mine/rows.txt");
    snprintf(path, sizeof path, "%s/mine", root);
    assert_finds(&wanted, "mine/test.csv");
    snprintf(path, sizeof path, "%s/other", root);
    assert_finds(&wanted, "other.jsonl");
    snprintf(path, sizeof path, "mine"); /* in one of the folders */
    assert_finds(&wanted, "mine/test.csv");
}

static void test_what_is_said(void **state) {
    (void)state;
    const char *const folders[] = {"/nowhere/a", "/nowhere/b"}, *const caches[] = {"/nowhere/c"};
    const data_places places = {folders, 2, caches, 1}, none = {0};
    data_wanted wanted = {.hub = "teknium/OpenHermes-2.5", .split = "train"};
    buffer help = {0};
    char *path;
    assert_fails(data_file_find(&path, &wanted, &places, &help, &test_error), C2C_STATUS_NOT_FOUND,
                 "teknium/OpenHermes-2.5", "OpenHermes-2.5/train.jsonl",
                 "/nowhere/a, /nowhere/b, /nowhere/c");
    assert_null(path);
    assert_string_equal(help.data,
                        "Python makes such a file with\n"
                        "    from datasets import load_dataset\n"
                        "    rows = load_dataset(\"teknium/OpenHermes-2.5\", split=\"train\")\n"
                        "    rows.to_json(\"/nowhere/a/OpenHermes-2.5/train.jsonl\")\n");
    buffer_clear(&help);
    wanted.config = "main";
    assert_fails(data_file_find(&path, &wanted, &none, &help, &test_error), C2C_STATUS_NOT_FOUND,
                 "no folder");
    assert_non_null(strstr(help.data, "2.5\", \"main\", split="));
    buffer_clear(&help);
    wanted.path = "/nowhere/saved";
    assert_fails(data_file_find(&path, &wanted, &places, &help, &test_error), C2C_STATUS_NOT_FOUND,
                 "/nowhere/saved", "found nothing");
    assert_non_null(strstr(help.data, "load_from_disk(\"/nowhere/saved\")"));
    wanted.path = "saved";
    assert_fails(data_file_find(&path, &wanted, &places, NULL, &test_error), C2C_STATUS_NOT_FOUND,
                 "found nothing, here and in /nowhere/a, /nowhere/b");
    buffer_free(&help);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_sets),
        cmocka_unit_test(test_files_of_configs),
        cmocka_unit_test(test_own_paths),
        cmocka_unit_test(test_what_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
