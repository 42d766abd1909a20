/* talk.c - a conversation: turns that remember, and the commands between them. */
#include "app/talk.h"
#include "app/compare.h"

#include <stdio.h>
#include <unistd.h>

static const char full_remedy[] = "--ctx N, or /reset to forget the chat";

void talk_deinit(talk *t) {
    chat_deinit(&t->messages);
    plan_spec_deinit(&t->plan);
    *t = (talk){0};
}

static question talk_question(const talk *t, const chat *messages) {
    question q = t->question;
    q.messages = messages;
    q.plan = &t->plan;
    q.turn = true;
    return q;
}

c2c_status talk_say(talk *t, const char *text, c2c_error *error) {
    answer a = {0};
    c2c_status status = chat_add(&t->messages, "user", text, error);
    if (status)
        return status;
    const question q = talk_question(t, &t->messages);
    status = answer_show(t->pair, &q, t->json, &a, error);
    if (!status)
        status = chat_add(&t->messages, "assistant", a.text.data ? a.text.data : "", error);
    if (status)
        chat_drop_last(&t->messages);
    answer_deinit(&a);
    return ask_explain(status, full_remedy, error);
}

/* ---- Commands ----------------------------------------------------------------------------- */

static c2c_status needs(c2c_error *error, const char *what) {
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "expected %s, found nothing", what);
}

static c2c_status needs_nothing(const char *argument, c2c_error *error) {
    if (!*argument)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "expected nothing, found \"%s\"",
                     argument);
}

static c2c_status needs_sharers(const talk *t, c2c_error *error) {
    if (t->pair->sharer_count)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "there is no sharer: start c2c chat with --sharer DIR --fuser DIR");
}

/* Four answers to a question that the conversation then forgets. */
static c2c_status run_compare(talk *t, const char *argument, c2c_error *error) {
    chat messages = {0};
    c2c_status status = needs_sharers(t, error);
    if (!status && !*argument)
        status = needs(error, "a question");
    if (!status)
        status = chat_add_chat(&messages, &t->messages, error);
    if (!status)
        status = chat_add(&messages, "user", argument, error);
    if (!status) {
        const question q = talk_question(t, &messages);
        status = compare_answers(t->pair, &q, t->json, error);
    }
    chat_deinit(&messages);
    return ask_explain(status, full_remedy, error);
}

static c2c_status run_plan(talk *t, const char *argument, c2c_error *error) {
    plan_spec plan;
    c2c_status status = needs_sharers(t, error);
    if (!status && !*argument)
        status = needs(error, "a plan: all, none, front:SHARE, back:SHARE or LENGTH:MASK,...");
    if (!status)
        status = plan_spec_parse(&plan, argument, error);
    if (status)
        return status;
    plan_spec_deinit(&t->plan);
    t->plan = plan;
    return C2C_STATUS_OK;
}

static c2c_status run_system(talk *t, const char *argument, c2c_error *error) {
    return chat_set_system(&t->messages, *argument ? argument : NULL, error);
}

static c2c_status run_save(talk *t, const char *argument, c2c_error *error) {
    if (!*argument)
        return needs(error, "a file name");
    json_out out = {0};
    chat_write_json(&t->messages, &out);
    buffer_append_char(&out.text, '\n');
    c2c_status status = out.text.failed
                            ? error_memory(error, out.text.length, "the chat")
                            : file_write(argument, out.text.data, out.text.length, error);
    buffer_free(&out.text);
    if (!status)
        fprintf(stderr, "%zu messages written to %s\n", t->messages.count, argument);
    return status;
}

/* The system message is a setting, not something that was said. */
static c2c_status run_reset(talk *t, const char *argument, c2c_error *error) {
    chat fresh = {0};
    const c2c_message *first = t->messages.messages;
    c2c_status status = needs_nothing(argument, error);
    if (!status && t->messages.count && strcmp(first->role, "system") == 0)
        status = chat_add(&fresh, "system", first->content, error);
    if (status) {
        chat_deinit(&fresh);
        return status;
    }
    chat_deinit(&t->messages);
    t->messages = fresh;
    return C2C_STATUS_OK;
}

static c2c_status run_quit(talk *t, const char *argument, c2c_error *error) {
    c2c_status status = needs_nothing(argument, error);
    t->over = !status;
    return status;
}

static c2c_status run_help(talk *t, const char *argument, c2c_error *error);

static const struct {
    const char *name, *argument;
    c2c_status (*run)(talk *t, const char *argument, c2c_error *error);
    const char *help;
} commands[] = {
    {"/compare", "QUESTION", run_compare,
     "answer four ways: receiver, sharer, text to text, C2C; the chat forgets it"},
    {"/plan", "PLAN", run_plan, "which prompt tokens are fused from now on, as --plan says it"},
    {"/system", "TEXT", run_system, "another system message; without TEXT, none"},
    {"/save", "FILE", run_save, "write the chat as JSON, as --messages reads it"},
    {"/reset", "", run_reset, "forget what was said; the system message stays"},
    {"/help", "", run_help, "this list"},
    {"/quit", "", run_quit, "leave, as the end of the input does"},
};

/* On standard error: standard output holds answers alone. */
static c2c_status run_help(talk *t, const char *argument, c2c_error *error) {
    (void)t;
    c2c_status status = needs_nothing(argument, error);
    if (status)
        return status;
    buffer text = {0};
    table list;
    table_init(&list, NULL, "ll");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        table_add(&list, "%s %s", commands[i].name, commands[i].argument);
        table_add(&list, "%s", commands[i].help);
    }
    table_write(&list, 2, output_columns(STDERR_FILENO, 100), &text);
    table_deinit(&list);
    if (text.failed)
        status = error_memory(error, text.length, "the list of commands");
    else
        fwrite(text.data, 1, text.length, stderr);
    buffer_free(&text);
    return status;
}

c2c_status talk_command(talk *t, const char *line, c2c_error *error) {
    size_t length = strcspn(line, " ");
    const char *argument = line + length + strspn(line + length, " ");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strlen(commands[i].name) != length || strncmp(commands[i].name, line, length) != 0)
            continue;
        c2c_status status = commands[i].run(t, argument, error);
        if (status)
            error_prefix(error, "%s", commands[i].name);
        return status;
    }
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "unknown command %.*s: /help lists the commands; a message that begins with "
                     "a slash is written with two",
                     (int)min_i64((int64_t)length, 64), line);
}
