/* test_chat_verb.c - c2c chat from a script and at a terminal: turns are what fresh runs are. */
#define _DEFAULT_SOURCE /* forkpty */
#include "app/program.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

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
    assert_int_equal(strncmp(r.out, "ivory.\n", 7), 0);
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
    buffer_printf(&expected, "ivory.\n%sivory.\n", alone.out);
    assert_string_equal(r.out, expected.data);
    program_result_free(&r);
    program_result_free(&alone);
    /* What is compared is not said. */
    buffer_clear(&lines);
    buffer_printf(&lines, "/compare %s/help\n%s", ask, ask);
    CHAT(&r, lines.data, SHARED);
    assert_int_equal(r.status, 0);
    static const char *const shown[] = {"receiver alone", "text to text", "C2C", "/plan PLAN",
                                        "\nivory.\n"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        assert_holds(r.out, shown[i]);
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
    assert_holds(r.err, "(--ctx N)");
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

/* ---- A terminal --------------------------------------------------------------------------- */

typedef struct terminal {
    pid_t child;
    int file;
    buffer seen; /* all that it showed */
    size_t read; /* where the next wait begins */
} terminal;

/* A tiny model that writes until its context is full; NULL: no pseudo-terminals here. */
static bool terminal_open(terminal *t) {
    const char *build = getenv("C2C_BUILD");
    char *program = path_join(build ? build : "build", "c2c");
    *t = (terminal){0};
    t->child = forkpty(&t->file, NULL, NULL, NULL);
    if (t->child == 0) {
        setenv("TERM", "vt100", 1);
        unsetenv("EDITRC");
        setenv("HOME", "/nonexistent", 1);
        execl(program, program, "chat", "--receiver", "tests/golden/data/models/tiny-qwen3", "-n",
              "1000000", "--presence-penalty", "3", (char *)NULL);
        _exit(127);
    }
    free(program);
    return t->child > 0;
}

static void terminal_type(terminal *t, const char *keys) {
    assert_int_equal(write(t->file, keys, strlen(keys)), strlen(keys));
}

/* The end of what was shown, for messages. */
static const char *terminal_tail(const terminal *t) {
    return t->seen.data ? t->seen.data + max_i64(0, (int64_t)t->seen.length - 400) : "";
}

static bool terminal_shows(const terminal *t, int milliseconds) {
    struct pollfd wait = {.fd = t->file, .events = POLLIN};
    return poll(&wait, 1, milliseconds) != 0;
}

/* Reads what is shown; false when nothing more comes. */
static bool terminal_read(terminal *t) {
    char block[4096];
    if (!terminal_shows(t, 60000))
        fail_msg("nothing was shown for a minute after:\n%s", terminal_tail(t));
    ssize_t n = read(t->file, block, sizeof block);
    if (n <= 0)
        return false; /* Linux: EIO when the other side is closed */
    /* A NUL would hide what follows. */
    for (ssize_t i = 0; i < n; i++)
        buffer_append_char(&t->seen, block[i] ? block[i] : ' ');
    return true;
}

/* Waits until a text is shown, after what was waited for before. */
static void terminal_wait(terminal *t, const char *text) {
    const char *found;
    while (!t->seen.data || !(found = strstr(t->seen.data + t->read, text)))
        if (!terminal_read(t))
            fail_msg("it ended without \"%s\":\n%s", text, terminal_tail(t));
    t->read = (size_t)(found - t->seen.data) + strlen(text);
}

/* The prompt is shown a moment before the editor takes over from the kernel's line editing, which
 * would treat some keys in its own way. */
static void terminal_prompt(terminal *t) {
    struct termios modes;
    terminal_wait(t, "> ");
    for (int tries = 0; tries < 10000; tries++) {
        if (tcgetattr(t->file, &modes) == 0 && !(modes.c_lflag & ICANON))
            return;
        poll(NULL, 0, 1);
    }
    fail_msg("the editor did not begin:\n%s", terminal_tail(t));
}

static int terminal_close(terminal *t) {
    int status;
    while (terminal_read(t))
        ;
    while (waitpid(t->child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    close(t->file);
    buffer_free(&t->seen);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_terminal(void **state) {
    (void)state;
    terminal t;
    if (!terminal_open(&t)) {
        print_message("SKIP: no pseudo-terminals here (%s)\n", strerror(errno));
        skip();
    }
    terminal_wait(&t, "Ctrl-D leaves");
    terminal_prompt(&t);
    /* Two wrong letters are taken back. */
    terminal_type(&t, "/hexx\x7f\x7flp\r");
    terminal_wait(&t, "/compare QUESTION");
    terminal_prompt(&t);
    /* The line before. */
    terminal_type(&t, "\x10\r");
    terminal_wait(&t, "/compare QUESTION");
    terminal_prompt(&t);
    /* A line that is given up is no question. */
    terminal_type(&t, "/unknown");
    terminal_wait(&t, "/unknown");
    /* Ctrl-C just before the editor waits is as if it had not been pressed: press it again. */
    do
        terminal_type(&t, "\x03");
    while (!terminal_shows(&t, 2000));
    terminal_prompt(&t);
    terminal_type(&t, "/wrong\r");
    terminal_wait(&t, "unknown command /wrong");
    assert_null(strstr(t.seen.data, "unknown command /unknown"));
    terminal_prompt(&t);
    /* An answer is stopped, unless it has filled the context before we could do that. */
    bool stopped = false;
    for (int tries = 0; tries < 10 && !stopped; tries++) {
        terminal_type(&t, "Tell me a story\r");
        terminal_wait(&t, "story\r\n");
        assert_true(terminal_read(&t));
        terminal_type(&t, "\x03");
        terminal_wait(&t, "new tokens (");
        while (!strchr(t.seen.data + t.read, ')'))
            assert_true(terminal_read(&t));
        stopped = strncmp(t.seen.data + t.read, "interrupted)", 12) == 0;
        terminal_prompt(&t);
        terminal_type(&t, "/reset\r");
        terminal_prompt(&t);
    }
    assert_true(stopped);
    terminal_type(&t, "/help\r");
    terminal_wait(&t, "/compare QUESTION");
    terminal_prompt(&t);
    terminal_type(&t, "\x04");
    assert_int_equal(terminal_close(&t), 0);
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
        cmocka_unit_test(test_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
