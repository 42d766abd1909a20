/* A fuser's recipe names the models that it was trained with; other folders are a warning, on the
 * thread that opens the fuser, and never more. */
#include "support/test.h"

#include "fuser/fuser.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA "tests/golden/data/"

#define MOST_LINES 8

/* What was logged; every thread has its own. */
static _Thread_local char lines[MOST_LINES][1024];
static _Thread_local int line_count;
static int users; /* its address is the `user` that the callback must get */

static void keep_line(void *user, const char *message) {
    if (user == &users && line_count < MOST_LINES)
        snprintf(lines[line_count++], sizeof lines[0], "%s", message);
}

typedef struct fixture {
    c2c_engine *engine;
    char *folder; /* holds links to models, and a fuser */
    c2c_model *receiver, *sharer;
} fixture;

/* FOLDER/name, valid until the next call. */
static const char *in_folder(const fixture *f, const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    return path;
}

static void link_to(const fixture *f, const char *what, const char *name) {
    char here[256], target[512];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(target, sizeof target, "%s/" DATA "%s", here, what);
    assert_int_equal(symlink(target, in_folder(f, name)), 0);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const c2c_engine_options options = {.threads = 1, .log = keep_line, .log_user = &users};
    assert_ok(c2c_engine_open(&f->engine, &options, &test_error));
    f->folder = test_folder_make();
    link_to(f, "fusers/qwen3_from_qwen2/final", "final");
    assert_ok(c2c_model_open(&f->receiver, f->engine, DATA "models/tiny-qwen3", NULL, &test_error));
    assert_ok(c2c_model_open(&f->sharer, f->engine, DATA "models/tiny-qwen2", NULL, &test_error));
    line_count = 0;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    c2c_model_close(f->receiver);
    c2c_model_close(f->sharer);
    c2c_engine_close(f->engine);
    test_folder_remove(f->folder);
    free(f);
    return 0;
}

/* Opens the fuser with a recipe beside its final/, which is FOLDER/final. */
static int warnings(const fixture *f, const char *recipe) {
    c2c_fuser *fuser;
    test_file_write(f->folder, "config.json", recipe, strlen(recipe));
    line_count = 0;
    assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, f->folder, &test_error));
    c2c_fuser_close(fuser);
    return line_count;
}

static void assert_line(int i, const char *const *parts) {
    for (; *parts; parts++)
        if (!strstr(lines[i], *parts))
            fail_msg("expected \"%s\" in \"%s\"", *parts, lines[i]);
}
#define LINE(i, ...) assert_line(i, (const char *[]){__VA_ARGS__, NULL})

/* ---- Tests -------------------------------------------------------------------------------- */

static void test_names_that_fit_say_nothing(void **state) {
    const fixture *f = *state;
    static const char *const recipes[] = {
        "{\"model\": {\"base_model\": \"tiny-qwen3\", \"teacher_model\": \"tiny-qwen2\"}}",
        "{\"model\": {\"base_model\": \"Someone/tiny-qwen3\", \"teacher_model\": "
        "\"/x/tiny-qwen2/\"}}",
        "{\"model\": {\"base_model\": \"tiny-qwen3\",\n"
        "  \"teacher_model\": {\"first\": \"a/other\", \"second\": \"b/tiny-qwen2\"}}}",
        "{\"model\": {\"teacher_model\": {\"tiny-qwen2\": 5}}}",
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        assert_int_equal(warnings(f, recipes[i]), 0);
}

static void test_other_names_are_a_warning(void **state) {
    const fixture *f = *state;
    assert_int_equal(warnings(f, "{\"model\": {\"base_model\": \"Qwen/Qwen3-0.6B\", "
                                 "\"teacher_model\": \"tiny-qwen2\"}}"),
                     1);
    LINE(0, in_folder(f, "config.json"), "base_model", "receiver Qwen/Qwen3-0.6B",
         "models/tiny-qwen3");
    assert_int_equal(warnings(f, "{\"model\": {\"base_model\": \"tiny-qwen\", \"teacher_model\": "
                                 "{\"one\": \"x/y\", \"two\": \"tiny-qwen2-b\"}}}"),
                     2);
    LINE(0, "receiver tiny-qwen");
    LINE(1, "teacher_model", "sharer one", "models/tiny-qwen2");
    /* What a hostile recipe says stays one line of text. */
    assert_int_equal(warnings(f, "{\"model\": {\"base_model\": \"a\\n\\u001b[2Jb\"}}"), 1);
    assert_null(strpbrk(lines[0], "\n\033"));
}

static void test_odd_recipes_say_nothing(void **state) {
    const fixture *f = *state;
    static const char *const recipes[] = {
        "",
        "{",
        "[]",
        "{\"model\": 5}",
        "{\"model\": {}}",
        "{\"model\": {\"base_model\": 7}}",
        "{\"model\": {\"base_model\": \"\", \"teacher_model\": {}}}",
        "{\"model\": {\"base_model\": \"///\", \"teacher_model\": [\"x\"]}}",
        "{\"base_model\": \"elsewhere\"}",
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        assert_int_equal(warnings(f, recipes[i]), 0);
    assert_int_equal(unlink(in_folder(f, "config.json")), 0);
    c2c_fuser *fuser;
    assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, f->folder, &test_error));
    c2c_fuser_close(fuser);
    assert_int_equal(line_count, 0);
}

/* A link's own name counts, and so does that of the folder behind it; a snapshot in the cache of
 * Hugging Face has its name two folders up. */
static void test_folders_of_other_names(void **state) {
    fixture *f = *state;
    static const char qwen[] = "{\"model\": {\"base_model\": \"Qwen/Qwen3-0.6B\"}}";
    static const char tiny[] = "{\"model\": {\"base_model\": \"tiny-qwen3\"}}";
    static const struct {
        const char *name, *recipe;
        int warnings;
    } rows[] = {
        {"Qwen3-0.6B", qwen, 0},
        {"Qwen3-0.6B", tiny, 0},
        {"mine", qwen, 1},
        {"models--Qwen--Qwen3-0.6B/snapshots/0a1b", qwen, 0},
        {"models--Qwen--NotQwen3-0.6B/snapshots/0a1b", qwen, 1},
        {"models--Qwen3-0.6B/snapshots/0a1b", qwen, 0},
    };
    c2c_model *usual = f->receiver;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[512], part[256] = "";
        for (const char *c = rows[i].name; (c = strchr(c, '/')); c++) {
            snprintf(part, sizeof part, "%.*s", (int)(c - rows[i].name), rows[i].name);
            assert_int_equal(mkdir(in_folder(f, part), 0700), 0);
        }
        if (access(in_folder(f, rows[i].name), F_OK) != 0)
            link_to(f, "models/tiny-qwen3", rows[i].name);
        snprintf(path, sizeof path, "%s", in_folder(f, rows[i].name));
        assert_ok(c2c_model_open(&f->receiver, f->engine, path, NULL, &test_error));
        int got = warnings(f, rows[i].recipe);
        c2c_model_close(f->receiver);
        f->receiver = usual;
        if (got != rows[i].warnings)
            fail_msg("%s: expected %d warnings, got %d", rows[i].name, rows[i].warnings, got);
    }
}

/* The recipe in the fuser's own folder counts before the one beside it. */
static void test_the_nearest_recipe_counts(void **state) {
    const fixture *f = *state;
    c2c_fuser *fuser;
    static const char wrong[] = "{\"model\": {\"base_model\": \"elsewhere\"}}";
    test_file_write(f->folder, "config.json", wrong, sizeof wrong - 1);
    assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, in_folder(f, "final/"), &test_error));
    c2c_fuser_close(fuser);
    assert_int_equal(line_count, 1);
    LINE(0, in_folder(f, "config.json"));
}

static void test_without_a_listener(void **state) {
    const fixture *f = *state;
    c2c_engine *quiet;
    c2c_model *receiver, *sharer;
    c2c_fuser *fuser;
    static const char wrong[] = "{\"model\": {\"base_model\": \"elsewhere\"}}";
    test_file_write(f->folder, "config.json", wrong, sizeof wrong - 1);
    assert_ok(c2c_engine_open(&quiet, NULL, &test_error));
    assert_ok(c2c_model_open(&receiver, quiet, DATA "models/tiny-qwen3", NULL, &test_error));
    assert_ok(c2c_model_open(&sharer, quiet, DATA "models/tiny-qwen2", NULL, &test_error));
    assert_ok(c2c_fuser_open(&fuser, receiver, sharer, f->folder, &test_error));
    assert_int_equal(line_count, 0);
    c2c_fuser_close(fuser);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(quiet);
}

/* ---- Threads ------------------------------------------------------------------------------ */

/* Opens fusers; returns NULL if each of them warned once, on this very thread. */
static void *open_many(void *user) {
    const fixture *f = user;
    for (int i = 0; i < 20; i++) {
        c2c_fuser *fuser;
        line_count = 0;
        if (c2c_fuser_open(&fuser, f->receiver, f->sharer, f->folder, NULL) || line_count != 1)
            return user;
        c2c_fuser_close(fuser);
    }
    return NULL;
}

static void test_warnings_come_on_their_own_thread(void **state) {
    fixture *f = *state;
    static const char wrong[] = "{\"model\": {\"base_model\": \"elsewhere\"}}";
    test_file_write(f->folder, "config.json", wrong, sizeof wrong - 1);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_many, f), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(line_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names_that_fit_say_nothing),        TEST(test_other_names_are_a_warning),
        TEST(test_odd_recipes_say_nothing),           TEST(test_folders_of_other_names),
        TEST(test_the_nearest_recipe_counts),         TEST(test_without_a_listener),
        TEST(test_warnings_come_on_their_own_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
