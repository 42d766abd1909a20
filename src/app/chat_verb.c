/* chat_verb.c - the verb chat: a conversation, line by line, at a terminal or from a script. */
#include "app/compare.h"
#include "app/line.h"
#include "app/talk.h"

#include <stdio.h>

typedef struct chat_settings {
    ask_settings ask;
    const char *messages, *background;
    int64_t background_tokens;
    bool json;
} chat_settings;

/* ---- Lines -------------------------------------------------------------------------------- */

/* A line holds text that models can read. */
static c2c_status check_line(const char *text, size_t length, int64_t number, c2c_error *error) {
    char place[48];
    snprintf(place, sizeof place, "line %lld", (long long)number);
    if (strlen(text) != length)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s: expected text, found a NUL byte",
                         place);
    return text_check_utf8(text, place, error);
}

static c2c_status run_line(talk *t, const char *text, c2c_error *error) {
    text += strspn(text, " \t");
    if (!*text)
        return C2C_STATUS_OK;
    if (text[0] == '/' && text[1] != '/')
        return talk_command(t, text, error);
    return talk_say(t, text[0] == '/' ? text + 1 : text, error);
}

/* Reads to the end. A line that fails says so and the next one is read; *failed: one did. Only what
 * nothing can follow is returned. */
static c2c_status run_lines(talk *t, line_reader *reader, bool *failed, c2c_error *error) {
    volatile sig_atomic_t *interrupt = line_interrupt();
    for (int64_t number = 1; !t->over; number++) {
        const char *text;
        size_t length;
        switch (line_read(reader, &text, &length, error)) {
        case LINE_TEXT: break;
        case LINE_END: return C2C_STATUS_OK;
        case LINE_INTERRUPTED: continue;
        case LINE_FAILED: return error->code;
        }
        *interrupt = 0;
        c2c_status status = check_line(text, length, number, error);
        if (!status)
            status = run_line(t, text, error);
        if (status && ferror(stdout))
            return status;
        if (status) {
            app_message("%s", error->message);
            *failed = true;
        }
    }
    return C2C_STATUS_OK;
}

/* ---- The verb ----------------------------------------------------------------------------- */

static c2c_status open_messages(chat *messages, const chat_settings *s, c2c_error *error) {
    if (s->messages)
        return chat_add_file(messages, s->messages, s->ask.system, error);
    return s->ask.system ? chat_add(messages, "system", s->ask.system, error) : C2C_STATUS_OK;
}

static void greet(void) {
    fputs("/help lists the commands; Ctrl-C stops an answer, Ctrl-D or /quit leaves.\n", stderr);
}

static c2c_status chat_settings_run(chat_settings *s, bool *failed, c2c_error *error) {
    pair p = {0};
    line_reader *reader = NULL;
    pair_settings opening = ask_pair_settings(&s->ask);
    opening.keep_clean = true;
    const c2c_sampling sampling = ask_sampling(&s->ask);
    talk t = {.pair = &p,
              .plan = s->ask.plan,
              .json = s->json,
              .question = {.thinking = ask_thinking(&s->ask),
                           .now = ask_moment(&s->ask),
                           .sampling = &sampling,
                           .max_new_tokens = s->ask.max_new_tokens,
                           .background = s->background ? s->background : compare_background,
                           .background_tokens = s->background_tokens ? s->background_tokens : 256,
                           .stop = line_interrupt()}};
    s->ask.plan = (plan_spec){0}; /* the talk's now, and it may change */
    c2c_status status = C2C_STATUS_OK;
    if (s->ask.system)
        status = text_check_utf8(s->ask.system, "--system", error);
    if (!status && s->background)
        status = text_check_utf8(s->background, "--background-prompt", error);
    if (!status)
        status = open_messages(&t.messages, s, error);
    if (!status)
        status = pair_open(&p, &opening, error);
    if (!status)
        status = line_reader_open(&reader, error);
    if (!status) {
        bool terminal = line_reader_is_terminal(reader), wrong = false;
        if (terminal)
            greet();
        status = run_lines(&t, reader, &wrong, error);
        /* A person has seen it; a script has not. */
        *failed = wrong && !terminal;
    }
    line_reader_close(reader);
    talk_deinit(&t);
    pair_close(&p);
    return status;
}

static size_t chat_options(chat_settings *s, option *rows, size_t count) {
    const option options[] = {{.name = "--messages",
                               .value = "FILE.json",
                               .kind = OPTION_PATH,
                               .target = &s->messages,
                               .shown = "",
                               .help = "go on with the chat that /save wrote"},
                              {.name = "--json",
                               .kind = OPTION_FLAG,
                               .target = &s->json,
                               .help = "print each answer as one JSON object on a line"}};
    memcpy(rows + count, options, sizeof options);
    count += sizeof options / sizeof *options;
    return compare_options(rows, count, &s->background, &s->background_tokens);
}

static int chat_run(const verb *v, int argc, char *const *argv) {
    chat_settings s = {0};
    ask_init(&s.ask);
    option options[OPTIONS_MAX];
    size_t count = ask_model_options(&s.ask, options, 0);
    count = chat_options(&s, options, count);
    count = ask_answer_options(&s.ask, options, count);
    const option_set set = {.options = options, .count = count};
    int status;
    if (verb_options(v, &set, argc, argv, &status) && ask_check(v, &s.ask, &status)) {
        c2c_error error = {0};
        bool failed = false;
        status = chat_settings_run(&s, &failed, &error) ? app_failed(&error)
                 : failed                               ? APP_FAILED
                                                        : APP_OK;
    }
    ask_deinit(&s.ask);
    return status;
}

const verb chat_verb = {
    .name = "chat",
    .usage = "--receiver DIR [--sharer DIR --fuser DIR]... [options]",
    .summary = "talk with a model, or with a fused pair",
    .notes =
        "Every line of standard input is a message, or a command when it begins with a slash:\n"
        "  /compare QUESTION  answer four ways: receiver, sharer, text to text, C2C; then forget\n"
        "                     the question\n"
        "  /plan PLAN         which prompt tokens are fused from now on, as with --plan\n"
        "  /system TEXT       another system message; without TEXT, none\n"
        "  /save FILE         write the chat as JSON, as --messages reads it\n"
        "  /reset             forget what was said; the system message stays\n"
        "  /help  /quit       this list; leave\n"
        "A message that begins with a slash is written with two. Empty lines are passed over.\n"
        "\n"
        "Each answer is what c2c run --messages gives for the whole chat, but what is known of\n"
        "earlier turns is not computed again; the summary says how many prompt tokens were kept.\n"
        "With sharers, that takes the memory of the receiver's cache twice.\n"
        "\n"
        "At a terminal lines can be edited and called back, Ctrl-C stops an answer, whose text so\n"
        "far stays in the chat, and Ctrl-D leaves. From a script, each line has its answer on\n"
        "standard output; a line that fails says why, the next one is read, and the exit status\n"
        "is 1 in the end. A chat that no longer fits into the context fails so until /reset.",
    .run = chat_run};
