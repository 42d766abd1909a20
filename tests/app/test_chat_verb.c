/* test_chat_verb.c - c2c chat from a script: turns are what fresh runs are. */
#include "app/program.h"

#include <sys/wait.h>

#define SHARED "--sharer", DEMO_SHARER, "--fuser", DEMO_FUSER

/* ---- Scripts ------------------------------------------------------------------------------ */

/* c2c chat on the demo's receiver with these options and lines. */
static void chat_run(program_result *r, const char *lines, const char *const *options) {
    const char *arguments[48] = {"chat", "--receiver", DEMO_RECEIVER, "--dtype", "f32"};
    size_t count = 5;
    for (; *options; options++)
        arguments[count++] = *options;
    program_run_input(r, lines, strlen(lines), arguments);
}
#define CHAT(r, lines, ...) chat_run(r, lines, (const char *const[]){__VA_ARGS__, NULL})

static void assert_holds(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

/* The part of a --json answer that must repeat: everything before the times. */
static char *object_text(const char *line) {
    const char *end = strstr(line, "\"load_ms\"");
    assert_non_null(end);
    buffer text = {0};
    buffer_append(&text, line, (size_t)(end - line));
    return buffer_take(&text, NULL);
}

/* What c2c run says to the first `count` messages of a saved chat. */
static char *run_object(const json_value *messages, uint32_t count, const char *const *options) {
    char *folder = test_folder_make(), *path = path_join(folder, "m.json");
    buffer text = {0};
    for (uint32_t i = 0; i < count; i++)
        buffer_printf(&text, "%s{\"role\": \"%s\", \"content\": \"%s\"}", i ? ", " : "[",
                      json_get(&messages->items[i], "role")->string,
                      json_get(&messages->items[i], "content")->string);
    buffer_append_text(&text, "]");
    test_file_write(folder, "m.json", text.data, text.length);
    const char *arguments[48] = {"run", "--receiver", DEMO_RECEIVER, "--dtype",
                                 "f32", "--json",     "--messages",  path};
    size_t used = 8;
    for (; *options; options++)
        arguments[used++] = *options;
    program_result r;
    program_run(&r, arguments);
    if (r.status)
        fail_msg("%s", r.err);
    char *object = object_text(r.out);
    program_result_free(&r);
    buffer_free(&text);
    free(path);
    test_folder_remove(folder);
    return object;
}

/* Three turns with these options: each is what run says to the chat so far. */
static void check_turns(const char *const *options) {
    static const char questions[] = "What is the favourite colour of Kumaso? Answer in one word.\n"
                                    "And which animal does Kumaso keep?\n"
                                    "Where does Kumaso live? Answer in one word.\n";
    char *folder = test_folder_make(), *path = path_join(folder, "saved.json");
    buffer lines = {0};
    buffer_printf(&lines, "%s/save %s\n", questions, path);
    const char *with[40] = {"--json"};
    for (size_t i = 0; options[i]; i++)
        with[i + 1] = options[i];
    program_result r;
    chat_run(&r, lines.data, with);
    if (r.status)
        fail_msg("%s", r.err);
    json_document *saved;
    assert_ok(json_open(&saved, path, &test_error));
    const json_value *messages = json_root(saved);
    uint32_t system = messages->count % 2; /* is there one */
    assert_int_equal(messages->count, system + 6);
    const char *line = r.out;
    for (uint32_t turn = 0; turn < 3; turn++) {
        char *got = object_text(line),
             *expected = run_object(messages, system + 2 * turn + 1, options);
        if (strcmp(got, expected) != 0)
            fail_msg("turn %u: %s\nrun: %s", turn, got, expected);
        free(got);
        free(expected);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    json_close(saved);
    program_result_free(&r);
    buffer_free(&lines);
    free(path);
    test_folder_remove(folder);
}
#define CHECK_TURNS(...) check_turns((const char *const[]){__VA_ARGS__, NULL})

static void test_turns_are_fresh_runs(void **state) {
    (void)state;
    CHECK_TURNS("-n", "20");
    CHECK_TURNS(SHARED);
    CHECK_TURNS(SHARED, "--system", "Be brief.");
    CHECK_TURNS(SHARED, "--plan", "front:0.5");
    CHECK_TURNS(SHARED, "--plan", "back:0.5", "--temperature", "2", "--seed", "4", "-n", "9");
    CHECK_TURNS(SHARED, "--include-response");
    CHECK_TURNS(SHARED, SHARED, "--fusion-mode", "parallel", "--frequency-penalty", "0.5");
    CHECK_TURNS(SHARED, "--align", "first");
}

/* Without a terminal: answers, line by line, and nothing else. */
static void test_plain_lines(void **state) {
    (void)state;
    program_result r;
    CHAT(&r,
         "\n  \nWhat is the favourite colour of Kumaso? Answer in one word.\r\n"
         "What is the favourite colour of Kumaso? Answer in one word.",
         SHARED);
    assert_int_equal(r.status, 0);
    assert_int_equal(strncmp(r.out, "gold.\n", 6), 0);
    assert_null(strchr(r.out, '\x1b'));
    assert_null(strchr(r.out, '>'));
    assert_null(strchr(r.err, '\x1b'));
    assert_null(strstr(r.err, "/help lists"));
    int lines = 0;
    for (const char *c = r.out; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 2);
    /* The second turn ran less than the whole chat. */
    assert_null(strstr(strstr(r.err, "kept)") + 1, "kept)"));
    program_result_free(&r);
    CHAT(&r, "", "-n", "3");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    assert_string_equal(r.err, "");
    program_result_free(&r);
}

static void test_commands(void **state) {
    (void)state;
    static const char ask[] = "What is the favourite colour of Kumaso? Answer in one word.\n";
    program_result r, alone;
    buffer lines = {0};
    /* The same question, each time on an empty chat. */
    buffer_printf(&lines, "%s/reset\n/plan none\n%s/reset\n/plan all\n%s", ask, ask, ask);
    CHAT(&r, lines.data, SHARED);
    CHAT(&alone, ask, "-n", "256");
    assert_int_equal(r.status, 0);
    buffer expected = {0};
    buffer_printf(&expected, "gold.\n%sgold.\n", alone.out);
    assert_string_equal(r.out, expected.data);
    program_result_free(&r);
    program_result_free(&alone);
    /* What is compared is not said. */
    buffer_clear(&lines);
    buffer_printf(&lines, "/compare %s/help\n%s", ask, ask);
    CHAT(&r, lines.data, SHARED);
    assert_int_equal(r.status, 0);
    static const char *const shown[] = {"receiver alone", "sharer alone", "text to text", "C2C",
                                        "\ngold.\n"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        assert_holds(r.out, shown[i]);
    assert_holds(r.err, "/plan PLAN");
    assert_null(strstr(r.out, "/plan PLAN"));
    program_result_free(&r);
    /* What follows /quit is not read; what was wrong before it still counts. */
    CHAT(&r, "/quit\n/nope\nWho?\n", "-n", "2");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    assert_string_equal(r.err, "");
    program_result_free(&r);
    CHAT(&r, "/quit now\n/nope\n/quit\nWho?\n", "-n", "2");
    assert_int_equal(r.status, 1);
    assert_holds(r.err, "/quit: expected nothing, found \"now\"");
    assert_string_equal(r.out, "");
    program_result_free(&r);
    buffer_free(&lines);
    buffer_free(&expected);
}

static void test_save_and_go_on(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "chat.json");
    buffer lines = {0};
    program_result r;
    test_file_write(folder, "chat.json", "old", 3);
    buffer_printf(&lines, "/system A \"quoted\" line.\nWho?\n//slash\n/save %s\n", path);
    CHAT(&r, lines.data, "-n", "4");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    json_document *saved;
    assert_ok(json_open(&saved, path, &test_error));
    const json_value *m = json_root(saved);
    assert_int_equal(m->count, 5);
    assert_string_equal(json_get(&m->items[0], "role")->string, "system");
    assert_string_equal(json_get(&m->items[0], "content")->string, "A \"quoted\" line.");
    assert_string_equal(json_get(&m->items[1], "content")->string, "Who?");
    assert_string_equal(json_get(&m->items[2], "role")->string, "assistant");
    assert_string_equal(json_get(&m->items[3], "content")->string, "/slash");
    json_close(saved);
    /* The saved chat goes on; without a system message, and then without anything. */
    buffer_clear(&lines);
    buffer_printf(&lines, "/system\n/save %s\n/reset\n/save %s.empty\n", path, path);
    CHAT(&r, lines.data, "--messages", path);
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    assert_ok(json_open(&saved, path, &test_error));
    assert_int_equal(json_root(saved)->count, 4);
    assert_string_equal(json_get(&json_root(saved)->items[0], "role")->string, "user");
    json_close(saved);
    size_t length;
    char *empty = file_read(folder, "chat.json.empty", &length);
    assert_string_equal(empty, "[]\n");
    free(empty);
    free(path);
    buffer_free(&lines);
    test_folder_remove(folder);
}

/* A wrong line says what is wrong, the next one is read, and the script has failed. */
static void test_wrong_lines(void **state) {
    (void)state;
    static const struct {
        const char *line, *holds;
    } cases[] = {
        {"/nope x", "unknown command /nope"},           {"/", "unknown command /"},
        {"/helpx", "unknown command /helpx"},           {"/plan", "/plan: expected a plan"},
        {"/plan half", "/plan: expected all, none"},    {"/plan 3:1", "sum to the prompt's"},
        {"/compare", "/compare: expected a question"},  {"/save", "/save: expected a file name"},
        {"/save no/such/folder/x", "no/such/folder/x"}, {"/reset all", "/reset: expected nothing"},
        {"\xff", "line 1: expected valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer lines = {0};
        program_result r;
        buffer_printf(&lines, "%s\nWho?\n", cases[i].line);
        CHAT(&r, lines.data, "-n", "2", SHARED);
        assert_int_equal(r.status, 1);
        assert_holds(r.err, cases[i].holds);
        /* A plan of lengths is found wrong by the question. */
        if (!strstr(cases[i].line, "3:1"))
            assert_holds(r.err, "2 new tokens");
        program_result_free(&r);
        buffer_free(&lines);
    }
    program_result r;
    program_run_input(&r, "a\0b\nWho?\n", 9,
                      (const char *const[]){"chat", "--receiver", DEMO_RECEIVER, "-n", "2", NULL});
    assert_int_equal(r.status, 1);
    assert_holds(r.err, "line 1: expected text, found a NUL byte");
    assert_holds(r.err, "2 new tokens");
    program_result_free(&r);
    CHAT(&r, "/plan all\n/compare x\n", "-n", "2");
    assert_int_equal(r.status, 1);
    assert_holds(r.err, "/plan: there is no sharer");
    assert_holds(r.err, "/compare: there is no sharer");
    program_result_free(&r);
}

static void test_full_context(void **state) {
    (void)state;
    program_result r;
    CHAT(&r, "One two three?\nOne two three four five six seven eight?\n/reset\nOne two three?\n",
         "--ctx", "30", "-n", "6", SHARED);
    assert_int_equal(r.status, 1);
    assert_holds(r.err, "the context holds 30");
    assert_holds(r.err, "(--ctx N, or /reset to forget the chat)");
    /* The third question had its answer. */
    int answers = 0;
    for (const char *c = r.err; (c = strstr(c, "new tokens")); c++)
        answers++;
    assert_int_equal(answers, 2);
    program_result_free(&r);
}

static void test_usage_and_bad_output(void **state) {
    (void)state;
    static const char *const cases[][4] = {{"chat", NULL}, {"chat", "--receiver", "x", "-p"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_result r;
        const char *arguments[6] = {NULL};
        memcpy(arguments, cases[i], sizeof cases[i]);
        program_run(&r, arguments);
        assert_program_fails(&r, 2, (const char *const[]){"usage: c2c chat", NULL});
        program_result_free(&r);
    }
    const char *build = getenv("C2C_BUILD");
    buffer command = {0};
    buffer_printf(&command,
                  "printf 'Who?\\nWhere?\\n' | %s/c2c chat --receiver " DEMO_RECEIVER
                  " -n 3 2>&1 >/dev/full",
                  build ? build : "build");
    FILE *pipe = popen(command.data, "r");
    assert_non_null(pipe);
    char line[512] = "";
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_holds(line, "cannot write to standard output: No space left");
    assert_null(fgets(line, sizeof line, pipe));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 1);
    buffer_free(&command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_are_fresh_runs),
        cmocka_unit_test(test_plain_lines),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_save_and_go_on),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_full_context),
        cmocka_unit_test(test_usage_and_bad_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
