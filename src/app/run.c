/* run.c - the verb run: one prompt, answered and streamed. Its --compare is in compare.c. */
#include "app/ask.h"
#include "app/compare.h"

#include <stdio.h>

typedef struct run_settings {
    ask_settings ask;
    const char *prompt, *messages;
    bool raw, json, compare;
    const char *background;
    int64_t background_tokens;
} run_settings;

/* Options that do not go together. Fills *status and returns false where they are wrong. */
static bool settings_check(const verb *v, run_settings *s, int *status) {
    if (!ask_check(v, &s->ask, status))
        return false;
    *status = APP_USAGE;
    if (s->prompt && s->messages)
        verb_wrong_usage(v, "-p and --messages exclude each other");
    else if (!s->prompt && !s->messages)
        verb_wrong_usage(v, "-p TEXT or --messages FILE.json is missing");
    else if (s->raw && !s->prompt)
        verb_wrong_usage(v, "--raw needs -p TEXT: messages need a template");
    else if (s->raw && s->ask.system)
        verb_wrong_usage(v, "--raw and --system exclude each other: a raw text has no messages");
    else if (s->raw && s->compare)
        verb_wrong_usage(v, "--raw and --compare exclude each other: text-to-text is a chat");
    else if (s->compare && !s->ask.sharers.count)
        verb_wrong_usage(v, "--compare needs --sharer DIR --fuser DIR");
    else if ((s->background || s->background_tokens) && !s->compare)
        verb_wrong_usage(v, "%s needs --compare",
                         s->background ? "--background-prompt" : "--background-tokens");
    else
        *status = APP_OK;
    return *status == APP_OK;
}

/* What the command line gave as text must be UTF-8. */
static c2c_status settings_check_texts(const run_settings *s, c2c_error *error) {
    const char *const texts[][2] = {{s->prompt, "-p"},
                                    {s->ask.system, "--system"},
                                    {s->background, "--background-prompt"}};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        if (texts[i][0])
            status = text_check_utf8(texts[i][0], texts[i][1], error);
    return status;
}

static c2c_status settings_messages(const run_settings *s, chat *c, c2c_error *error) {
    if (s->messages)
        return chat_add_file(c, s->messages, s->ask.system, error);
    c2c_status status = C2C_STATUS_OK;
    if (s->ask.system)
        status = chat_add(c, "system", s->ask.system, error);
    return status ? status : chat_add(c, "user", s->prompt, error);
}

static c2c_status run_settings_run(const run_settings *s, c2c_error *error) {
    pair p = {0};
    answer a = {0};
    chat messages = {0};
    const pair_settings opening = ask_pair_settings(&s->ask);
    const c2c_sampling sampling = ask_sampling(&s->ask);
    question q = {.messages = &messages,
                  .raw = s->raw ? s->prompt : NULL,
                  .thinking = ask_thinking(&s->ask),
                  .now = ask_moment(&s->ask),
                  .plan = &s->ask.plan,
                  .sampling = &sampling,
                  .max_new_tokens = s->ask.max_new_tokens,
                  .background = s->background ? s->background : compare_background,
                  .background_tokens = s->background_tokens ? s->background_tokens : 256};
    c2c_status status = settings_check_texts(s, error);
    if (!status)
        status = settings_messages(s, &messages, error);
    if (!status)
        status = pair_open(&p, &opening, error);
    if (!status)
        status = s->compare ? compare_answers(&p, &q, s->json, error)
                            : answer_show(&p, &q, s->json, &a, error);
    answer_deinit(&a);
    pair_close(&p);
    chat_deinit(&messages);
    return ask_explain(status, "--ctx N", error);
}

static size_t run_options(run_settings *s, option *rows, size_t count) {
    const option options[] = {{.name = "-p",
                               .value = "TEXT",
                               .kind = OPTION_TEXT,
                               .target = &s->prompt,
                               .shown = "",
                               .help = "the user's message"},
                              {.name = "--messages",
                               .value = "FILE.json",
                               .kind = OPTION_PATH,
                               .target = &s->messages,
                               .shown = "",
                               .help = "a list of {\"role\", \"content\"} in place of -p"},
                              {.name = "--raw",
                               .kind = OPTION_FLAG,
                               .target = &s->raw,
                               .help = "use the text of -p without a template"},
                              {.name = "--compare",
                               .kind = OPTION_FLAG,
                               .target = &s->compare,
                               .help = "answer four ways: receiver, sharer, text to text, C2C"},
                              {.name = "--json",
                               .kind = OPTION_FLAG,
                               .target = &s->json,
                               .help = "print one JSON object instead of streaming"}};
    memcpy(rows + count, options, sizeof options);
    count += sizeof options / sizeof *options;
    return compare_options(rows, count, &s->background, &s->background_tokens);
}

static int run_run(const verb *v, int argc, char *const *argv) {
    run_settings s = {0};
    ask_init(&s.ask);
    option options[OPTIONS_MAX];
    size_t count = ask_model_options(&s.ask, options, 0);
    count = run_options(&s, options, count);
    count = ask_answer_options(&s.ask, options, count);
    const option_set set = {.options = options, .count = count};
    int status;
    if (verb_options(v, &set, argc, argv, &status) && settings_check(v, &s, &status)) {
        c2c_error error = {0};
        status = run_settings_run(&s, &error) ? app_failed(&error) : APP_OK;
    }
    ask_deinit(&s.ask);
    return status;
}

const verb run_verb = {
    .name = "run",
    .usage = "--receiver DIR [--sharer DIR --fuser DIR]... (-p TEXT | --messages FILE.json) "
             "[options]",
    .summary = "answer one prompt",
    .notes =
        "The answer goes to standard output as it is written, a summary line to standard "
        "error.\n"
        "--raw encodes the text with the special tokens that tokenizer.json adds to a text;\n"
        "rendered messages are encoded as they are. --json prints text, ids, prompt_tokens,\n"
        "new_tokens, finish_reason (stop or length), load_ms, ttft_ms, decode_tok_s; with\n"
        "--compare one such object each for receiver, sharer, text and c2c. Where a sharer\n"
        "writes there, it is the first one.\n"
        "A plan of LENGTH:MASK pairs covers the whole prompt: bit s-1 of a mask selects sharer\n"
        "s, 0 and -1 select none, and the last section is never fused.",
    .run = run_run};
