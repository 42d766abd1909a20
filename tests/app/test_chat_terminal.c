/* test_chat_terminal.c - c2c chat at a terminal: lines are edited, Ctrl-C stops an answer and not
 * the program. */
#define _DEFAULT_SOURCE /* forkpty */
#include "app/program.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

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

/* What was said before the stop is part of the chat. */
static void check_stopped_stays(terminal *t) {
    char *folder = test_folder_make(), *path = path_join(folder, "chat.json");
    buffer keys = {0};
    buffer_printf(&keys, "/save %s\r", path);
    terminal_type(t, keys.data);
    terminal_wait(t, "2 messages written");
    terminal_prompt(t);
    json_document *saved;
    assert_ok(json_open(&saved, path, &test_error));
    const json_value *messages = json_root(saved);
    assert_int_equal(messages->count, 2);
    assert_string_equal(json_get(&messages->items[1], "role")->string, "assistant");
    assert_true(*json_get(&messages->items[1], "content")->string);
    json_close(saved);
    buffer_free(&keys);
    free(path);
    test_folder_remove(folder);
}

static void test_terminal(void **state) {
    (void)state;
    terminal t;
    if (!terminal_open(&t)) {
        print_message("SKIP: no pseudo-terminals here (%s)\n", strerror(errno));
        skip();
    }
    terminal_wait(&t, "Ctrl-D or /quit leaves");
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
    /* Nothing is given up: this wants to leave. */
    do
        terminal_type(&t, "\x03");
    while (!terminal_shows(&t, 2000));
    terminal_wait(&t, "Ctrl-D or /quit leaves.");
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
        if (stopped)
            check_stopped_stays(&t);
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
        cmocka_unit_test(test_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
