/* line.c - lines of standard input: edited with libedit at a terminal, plain otherwise. */
#include "app/line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REMEMBERED_LINES 1000

struct line_reader {
    EditLine *editor; /* NULL: plain lines */
    History *history;
    char *line; /* plain: memory of getline */
    size_t capacity;
};

/* ---- Ctrl-C ------------------------------------------------------------------------------- */

/* A signal handler gets no argument, so this cannot be anywhere else. */
static volatile sig_atomic_t interrupted;

volatile sig_atomic_t *line_interrupt(void) {
    return &interrupted;
}

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* Writing an answer goes on. The editor's own handler, which stands before this one while it waits
 * for a line, ends the waiting. */
static void catch_interrupt(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static char *show_prompt(EditLine *editor) {
    static char prompt[] = "> ";
    (void)editor;
    return prompt;
}

static c2c_status open_editor(line_reader *r, c2c_error *error) {
    HistEvent event;
    /* The editor counts columns of characters as the locale has them. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    r->history = history_init();
    r->editor = r->history ? el_init("c2c", stdin, stderr, stderr) : NULL;
    if (!r->editor)
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY, "cannot start the line editor");
    history(r->history, &event, H_SETSIZE, REMEMBERED_LINES);
    history(r->history, &event, H_SETUNIQUE, 1);
    el_set(r->editor, EL_PROMPT, show_prompt);
    el_set(r->editor, EL_EDITOR, "emacs");
    el_set(r->editor, EL_HIST, history, r->history);
    /* Ctrl-Z and a changed window are the editor's business; it hands Ctrl-C on to our handler. */
    el_set(r->editor, EL_SIGNAL, 1);
    el_source(r->editor, NULL); /* ~/.editrc, if there is one */
    catch_interrupt();
    return C2C_STATUS_OK;
}

c2c_status line_reader_open(line_reader **reader, c2c_error *error) {
    *reader = NULL;
    line_reader *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(error, sizeof *r, "a line");
    c2c_status status = C2C_STATUS_OK;
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
        status = open_editor(r, error);
    if (status)
        line_reader_close(r);
    else
        *reader = r;
    return status;
}

void line_reader_close(line_reader *r) {
    if (!r)
        return;
    if (r->editor) {
        signal(SIGINT, SIG_DFL);
        el_end(r->editor);
    }
    if (r->history)
        history_end(r->history);
    free(r->line);
    free(r);
}

bool line_reader_is_terminal(const line_reader *r) {
    return r->editor != NULL;
}

/* ---- Reading ------------------------------------------------------------------------------ */

static size_t without_line_end(const char *text, size_t length) {
    if (length && text[length - 1] == '\n')
        length--;
    if (length && text[length - 1] == '\r')
        length--;
    return length;
}

static line_event read_failed(c2c_error *error) {
    error_set(error, C2C_STATUS_IO, "cannot read standard input: %s", strerror(errno));
    return LINE_FAILED;
}

/* Was nothing written on the line that is given up? */
static bool line_is_empty(const line_reader *r) {
    const LineInfo *line = el_line(r->editor);
    return line->lastchar == line->buffer;
}

static line_event read_edited(line_reader *r, const char **text, size_t *length, c2c_error *error) {
    int count;
    errno = 0;
    const char *line = el_gets(r->editor, &count);
    if (!line || count <= 0) {
        bool interrupt = count < 0 && errno == EINTR, failed = count < 0 && errno && !interrupt;
        line_event event = interrupt ? LINE_INTERRUPTED : failed ? read_failed(error) : LINE_END;
        fputs(interrupt && line_is_empty(r) ? "\nCtrl-D or /quit leaves.\n" : "\n", stderr);
        return event;
    }
    free(r->line);
    buffer copy = {0}; /* the editor's own memory is used again by what follows */
    buffer_append(&copy, line, without_line_end(line, (size_t)count));
    r->line = buffer_take(&copy, length);
    if (!r->line) {
        error_memory(error, (size_t)count, "a line");
        return LINE_FAILED;
    }
    HistEvent event;
    if (r->line[strspn(r->line, " ")])
        history(r->history, &event, H_ENTER, r->line);
    *text = r->line;
    return LINE_TEXT;
}

static line_event read_plain(line_reader *r, const char **text, size_t *length, c2c_error *error) {
    errno = 0;
    ssize_t count = getline(&r->line, &r->capacity, stdin);
    if (count < 0)
        return feof(stdin) ? LINE_END : read_failed(error);
    *length = without_line_end(r->line, (size_t)count);
    r->line[*length] = 0;
    *text = r->line;
    return LINE_TEXT;
}

line_event line_read(line_reader *r, const char **text, size_t *length, c2c_error *error) {
    return r->editor ? read_edited(r, text, length, error) : read_plain(r, text, length, error);
}
