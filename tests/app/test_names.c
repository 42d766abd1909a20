/* test_names.c - names in place of paths, in a made-up cache and made-up folders of models. */
#include "app/names.h"
#include "app/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Made by make_places: root/hub, root/models, root/home, all empty, and no variable set. */
static char *root;

static char *in_root(const char *path) {
    char *full = path_join(root, path);
    assert_non_null(full);
    return full;
}

/* Makes a folder and those above it. */
static void make_folder(const char *path) {
    char *full = in_root(path);
    for (char *p = full + strlen(root) + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(full, 0777);
            *p = '/';
        }
    assert_int_equal(mkdir(full, 0777), 0);
    free(full);
}

static void make_file(const char *folder, const char *name, const char *text) {
    char *full = in_root(folder);
    test_file_write(full, name, text, strlen(text));
    free(full);
}

/* Seconds since the epoch as its time of change. */
static void set_time(const char *path, long seconds) {
    char *full = in_root(path);
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
    free(full);
}

static void set_variable(const char *name, const char *path) {
    char *full = in_root(path);
    setenv(name, full, 1);
    free(full);
}

static int make_places(void **state) {
    static const char *const variables[] = {"C2C_MODELS", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
                                            "XDG_CACHE_HOME", "HF_HOME"};
    (void)state;
    root = test_folder_make();
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    set_variable("HOME", "home");
    make_folder("models");
    make_folder("home");
    return 0;
}

static int remove_places(void **state) {
    (void)state;
    test_folder_remove(root);
    return 0;
}

/* `name` must stand for root/`expected`. */
static void assert_resolves(const char *name, const char *models, const char *expected) {
    char *path, *folder = models ? in_root(models) : NULL, *wanted = in_root(expected);
    assert_ok(name_resolve(&path, name, folder, &test_error));
    assert_string_equal(path, wanted);
    free(path);
    free(folder);
    free(wanted);
}

#define CACHED   "home/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B"
#define SNAPSHOT CACHED "/snapshots/abc123"

/* Path joins end folders of a repository with a slash. */
static void test_the_cache(void **state) {
    (void)state;
    char *path;
    assert_fails(name_resolve(&path, "Qwen/Qwen3-0.6B", NULL, &test_error), C2C_STATUS_NOT_FOUND,
                 "Qwen/Qwen3-0.6B: no such file or folder", "home/.cache/huggingface/hub (the Hug",
                 "huggingface-cli download Qwen/Qwen3-0.6B");
    assert_null(path);
    make_folder(CACHED "/refs");
    make_folder(SNAPSHOT "/sub");
    make_folder(CACHED "/snapshots/newer");
    set_time(CACHED "/snapshots/newer", 2000000000);
    make_file(CACHED "/refs", "main", "abc123\n");
    assert_resolves("Qwen/Qwen3-0.6B", NULL, SNAPSHOT "/");
    assert_resolves("Qwen/Qwen3-0.6B/sub", NULL, SNAPSHOT "/sub");
    assert_fails(name_resolve(&path, "Qwen/Qwen3-0.6B/other/x", NULL, &test_error),
                 C2C_STATUS_NOT_FOUND,
                 "huggingface-cli download Qwen/Qwen3-0.6B --include \"other/x/*\"");
}

/* Without refs/main, or where it names what is not there or no commit at all: the newest. */
static void test_no_ref(void **state) {
    (void)state;
    static const char *const refs[] = {"gone", "", "../../../../..", "/", NULL};
    make_folder(SNAPSHOT);
    make_folder(CACHED "/snapshots/newer");
    make_folder(CACHED "/snapshots/older/sub");
    make_folder(CACHED "/refs");
    make_file(CACHED "/snapshots", "a-file", "x");
    set_time(CACHED "/snapshots/older", 1000000000);
    set_time(SNAPSHOT, 1100000000);
    set_time(CACHED "/snapshots/newer", 1200000000);
    assert_resolves("Qwen/Qwen3-0.6B", NULL, CACHED "/snapshots/newer/");
    /* Only part of a repository may have been downloaded at a time. */
    assert_resolves("Qwen/Qwen3-0.6B/sub", NULL, CACHED "/snapshots/older/sub");
    for (size_t i = 0; refs[i]; i++) {
        make_file(CACHED "/refs", "main", refs[i]);
        assert_resolves("Qwen/Qwen3-0.6B", NULL, CACHED "/snapshots/newer/");
    }
}

/* Each variable wins over those below it. */
static void test_where_the_cache_is(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"XDG_CACHE_HOME", "d/huggingface/hub"},
        {"HF_HOME", "c/hub"},
        {"HUGGINGFACE_HUB_CACHE", "b"},
        {"HF_HUB_CACHE", "a"},
    };
    static const char *const values[] = {"d", "c", "b", "a"};
    make_folder("home/.cache/huggingface/hub/models--o--n/snapshots/1");
    assert_resolves("o/n", NULL, "home/.cache/huggingface/hub/models--o--n/snapshots/1/");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "%s/models--o--n/snapshots/1", rows[i][1]);
        make_folder(expected);
        set_variable(rows[i][0], values[i]);
        strcat(expected, "/");
        assert_resolves("o/n", NULL, expected);
    }
    unsetenv("HUGGINGFACE_HUB_CACHE");
    setenv("HF_HUB_CACHE", "~/.cache/huggingface/hub/", 1);
    assert_resolves("o/n", NULL, "home/.cache/huggingface/hub/models--o--n/snapshots/1/");
    unsetenv("HOME");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    char *path;
    assert_fails(name_resolve(&path, "o/n", NULL, &test_error), C2C_STATUS_NOT_FOUND,
                 "in no folder of models; download it with: huggingface-cli download o/n");
}

/* --models before C2C_MODELS before the cache; each folder laid out in any of three ways. */
static void test_folders_of_models(void **state) {
    (void)state;
    char *first = in_root("first"), *second = in_root("second"), *path;
    buffer list = {0};
    buffer_printf(&list, "%s::%s", first, second);
    setenv("C2C_MODELS", list.data, 1);
    assert_fails(name_resolve(&path, "o/n", root, &test_error), C2C_STATUS_NOT_FOUND, "(--models)",
                 "/first (C2C_MODELS), ", "/second (C2C_MODELS), ", "hub (the Hugging Face cache)");
    make_folder("home/.cache/huggingface/hub/models--o--n/snapshots/1");
    assert_resolves("o/n", "models", "home/.cache/huggingface/hub/models--o--n/snapshots/1/");
    make_folder("second/n");
    assert_resolves("o/n", "models", "second/n");
    assert_resolves("n", "models", "second/n");
    make_folder("second/o/n");
    assert_resolves("o/n", "models", "second/o/n");
    make_folder("first/models--o--n/snapshots/2");
    assert_resolves("o/n", "models", "first/models--o--n/snapshots/2/");
    make_folder("models/o/n");
    assert_resolves("o/n", "models", "models/o/n");
    assert_resolves("o/n", NULL, "first/models--o--n/snapshots/2/");
    buffer_free(&list);
    free(first);
    free(second);
}

/* What exists is meant, and what cannot be a name stays as it is for its opener to refuse. */
static void test_paths(void **state) {
    (void)state;
    static const char *const paths[] = {"share/demo/receiver", "/no/such", "./no/such", "../no",
                                        "no/../such",          "no//such", "no such",   "a/b/",
                                        "models--x/\xc3\xa4",  "."};
    make_folder("models/a/b");
    make_folder("models/share/demo/receiver");
    char *models = in_root("models"), *path;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_ok(name_resolve(&path, paths[i], models, &test_error));
        assert_string_equal(path, paths[i]);
        free(path);
    }
    char longest[2000];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_ok(name_resolve(&path, longest, models, &test_error));
    free(path);
    assert_fails(name_resolve(&path, "no-such", models, &test_error), C2C_STATUS_NOT_FOUND,
                 "a name of the form ORG/NAME");
    free(models);
}

/* The verbs: a pair in a cache answers by its names. */
static void test_verbs(void **state) {
    (void)state;
    static const char question[] = "What is the favourite colour of Kumaso? Answer in one word.";
    static const char *const links[][2] = {{DEMO_RECEIVER, "me--receiver"},
                                           {DEMO_SHARER, "me--sharer"},
                                           {DEMO_FUSER, "me--fuser"}};
    char *here = getcwd(NULL, 0);
    for (size_t i = 0; i < 3; i++) {
        char folder[256];
        snprintf(folder, sizeof folder, "hub/models--%s/snapshots", links[i][1]);
        make_folder(folder);
        strcat(folder, "/1");
        char *from = path_join(here, links[i][0]), *to = in_root(folder);
        assert_int_equal(symlink(from, to), 0);
        free(from);
        free(to);
    }
    set_variable("HF_HUB_CACHE", "hub");
    program_result r;
    PROGRAM(&r, "run", "--receiver", "me/receiver", "--sharer", "me/sharer", "--fuser", "me/fuser",
            "-p", question, "--dtype", "f32");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "gold.\n");
    program_result_free(&r);
    PROGRAM(&r, "inspect", "me/fuser/config.json");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "recipe"));
    program_result_free(&r);
    char *hub = in_root("hub"), *out = in_root("out");
    setenv("HF_HUB_CACHE", "/no/such", 1);
    PROGRAM(&r, "convert", "me/fuser", out, "--models", hub);
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", "me/receiver", "--models", hub, "--sharer", "me/other",
            "--fuser", "me/fuser", "-p", question);
    assert_program_fails(&r, 1,
                         (const char *const[]){"me/other: no such file", "/hub (--models)",
                                               "/no/such (the Hugging Face cache)",
                                               "download me/other", NULL});
    program_result_free(&r);
    free(hub);
    free(out);
    free(here);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_cache, make_places, remove_places),
        cmocka_unit_test_setup_teardown(test_no_ref, make_places, remove_places),
        cmocka_unit_test_setup_teardown(test_where_the_cache_is, make_places, remove_places),
        cmocka_unit_test_setup_teardown(test_folders_of_models, make_places, remove_places),
        cmocka_unit_test_setup_teardown(test_paths, make_places, remove_places),
        cmocka_unit_test_setup_teardown(test_verbs, make_places, remove_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
