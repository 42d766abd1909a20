/* run.c - the verb run: one prompt, answered and streamed. Its --compare is in compare.c. */
#include "app/compare.h"

#include <stdio.h>

static const char *const dtype_names[] = {"auto", "f32", "bf16", NULL}; /* as in c2c_compute */

static const char default_background[] =
    "In one clear sentence, describe the most essential background knowledge needed to answer the "
    "question: {question}";

typedef struct run_settings {
    const char *receiver;
    option_list sharers, fusers;
    const char *prompt, *messages, *system, *chat_template;
    bool raw, no_thinking, thinking, json, compare;
    int dtype;
    int64_t max_new_tokens, threads, context;
    const char *background;
    int64_t background_tokens;
} run_settings;

/* Options that do not go together. Fills *status and returns false where they are wrong. */
static bool settings_check(const verb *v, const run_settings *s, int *status) {
    *status = APP_USAGE;
    if (s->sharers.count != s->fusers.count)
        verb_wrong_usage(v, "--sharer and --fuser go together: found %zu --sharer and %zu --fuser",
                         s->sharers.count, s->fusers.count);
    else if (s->prompt && s->messages)
        verb_wrong_usage(v, "-p and --messages exclude each other");
    else if (!s->prompt && !s->messages)
        verb_wrong_usage(v, "-p TEXT or --messages FILE.json is missing");
    else if (s->raw && !s->prompt)
        verb_wrong_usage(v, "--raw needs -p TEXT: messages need a template");
    else if (s->raw && s->system)
        verb_wrong_usage(v, "--raw and --system exclude each other: a raw text has no messages");
    else if (s->raw && s->compare)
        verb_wrong_usage(v, "--raw and --compare exclude each other: text-to-text is a chat");
    else if (s->thinking && s->no_thinking)
        verb_wrong_usage(v, "--thinking and --no-thinking exclude each other");
    else if (s->compare && !s->sharers.count)
        verb_wrong_usage(v, "--compare needs --sharer DIR --fuser DIR");
    else if ((s->background || s->background_tokens) && !s->compare)
        verb_wrong_usage(v, "%s needs --compare",
                         s->background ? "--background-prompt" : "--background-tokens");
    else
        *status = APP_OK;
    if (*status == APP_OK && s->sharers.count > 1) {
        /* Right usage, but more than this version can do. */
        c2c_error error;
        error_set(&error, C2C_STATUS_UNSUPPORTED,
                  "--sharer %s: expected one sharer, found %zu; this version fuses one sharer, "
                  "leave out all but the first",
                  s->sharers.items[1], s->sharers.count);
        *status = app_failed(&error);
    }
    return *status == APP_OK;
}

/* What the command line gave as text must be UTF-8. */
static c2c_status settings_check_texts(const run_settings *s, c2c_error *error) {
    const char *const texts[][2] = {{s->prompt, "-p"},
                                    {s->system, "--system"},
                                    {s->background, "--background-prompt"}};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        if (texts[i][0])
            status = text_check_utf8(texts[i][0], texts[i][1], error);
    return status;
}

static c2c_status settings_messages(const run_settings *s, chat *c, c2c_error *error) {
    if (s->messages)
        return chat_add_file(c, s->messages, s->system, error);
    c2c_status status = C2C_STATUS_OK;
    if (s->system)
        status = chat_add(c, "system", s->system, error);
    return status ? status : chat_add(c, "user", s->prompt, error);
}

static c2c_status stream_answer(void *user, const char *text, size_t length, c2c_error *error) {
    (void)user;
    return output_write(text, length, error);
}

/* One answer: streamed, with a summary on standard error, or as one object. */
static c2c_status run_answer(pair *p, const run_settings *s, question *q, c2c_error *error) {
    answer a = {0};
    json_out out = {0};
    if (!s->json)
        q->stream = stream_answer;
    c2c_status status = pair_answer(p, p->sharer ? WAY_C2C : WAY_RECEIVER, q, &a, NULL, error);
    if (status) {
        /* The message must not continue the line of a half-written answer. */
        if (q->stream && a.text.length)
            output_write("\n", 1, NULL);
        goto done;
    }
    if (s->json) {
        answer_write_json(&a, &out, NULL);
        buffer_append_char(&out.text, '\n');
        status = output_buffer(&out.text, error);
    } else {
        status = output_write("\n", 1, error);
        if (!status)
            fprintf(stderr,
                    "%lld prompt tokens, first token after %.1f ms, %zu new tokens (%s), %.1f "
                    "tokens/s\n",
                    (long long)a.prompt_tokens, a.ttft_ms, a.id_count, answer_finish_name(&a),
                    a.decode_tok_s);
    }
done:
    buffer_free(&out.text);
    answer_deinit(&a);
    return status;
}

static c2c_status run_settings_run(const run_settings *s, c2c_error *error) {
    pair p = {0};
    chat messages = {0};
    const pair_settings opening = {.receiver = s->receiver,
                                   .sharer = s->sharers.count ? s->sharers.items[0] : NULL,
                                   .fuser = s->fusers.count ? s->fusers.items[0] : NULL,
                                   .chat_template = s->chat_template,
                                   .compute = (c2c_compute)s->dtype,
                                   .threads = s->threads,
                                   .context = s->context};
    question q = {.messages = &messages,
                  .raw = s->raw ? s->prompt : NULL,
                  .thinking = s->thinking ? C2C_THINKING_ON : C2C_THINKING_OFF,
                  .max_new_tokens = s->max_new_tokens,
                  .background = s->background ? s->background : default_background,
                  .background_tokens = s->background_tokens ? s->background_tokens : 256};
    c2c_status status = settings_check_texts(s, error);
    if (!status)
        status = settings_messages(s, &messages, error);
    if (!status)
        status = pair_open(&p, &opening, error);
    if (!status)
        status =
            s->compare ? compare_answers(&p, &q, s->json, error) : run_answer(&p, s, &q, error);
    pair_close(&p);
    chat_deinit(&messages);
    if (status == C2C_STATUS_CONTEXT_FULL) {
        const c2c_error full = *error;
        error_set(error, status, "%s (--ctx N)", full.message);
    }
    return status;
}

static int run_run(const verb *v, int argc, char *const *argv) {
    run_settings s = {.max_new_tokens = 256};
    const option options[] = {{.name = "--receiver",
                               .value = "DIR",
                               .kind = OPTION_PATH,
                               .target = &s.receiver,
                               .required = true,
                               .help = "model folder that answers"},
                              {.name = "--sharer",
                               .value = "DIR",
                               .kind = OPTION_PATHS,
                               .target = &s.sharers,
                               .shown = "",
                               .help = "model folder whose cache is shared; needs --fuser"},
                              {.name = "--fuser",
                               .value = "DIR",
                               .kind = OPTION_PATHS,
                               .target = &s.fusers,
                               .shown = "",
                               .help = "fuser folder made for this receiver and sharer"},
                              {.name = "-p",
                               .value = "TEXT",
                               .kind = OPTION_TEXT,
                               .target = &s.prompt,
                               .shown = "",
                               .help = "the user's message"},
                              {.name = "--messages",
                               .value = "FILE.json",
                               .kind = OPTION_PATH,
                               .target = &s.messages,
                               .shown = "",
                               .help = "a list of {\"role\", \"content\"} in place of -p"},
                              {.name = "--system",
                               .value = "TEXT",
                               .kind = OPTION_TEXT,
                               .target = &s.system,
                               .shown = "",
                               .help = "system message, unless the messages begin with one"},
                              {.name = "-n",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.max_new_tokens,
                               .low = 1,
                               .high = INT32_MAX,
                               .help = "new tokens at most"},
                              {.name = "--raw",
                               .kind = OPTION_FLAG,
                               .target = &s.raw,
                               .help = "use the text of -p without a template"},
                              {.name = "--no-thinking",
                               .kind = OPTION_FLAG,
                               .target = &s.no_thinking,
                               .help = "enable_thinking=false in the template (default)"},
                              {.name = "--thinking",
                               .kind = OPTION_FLAG,
                               .target = &s.thinking,
                               .help = "enable_thinking=true in the template"},
                              {.name = "--chat-template",
                               .value = "FILE",
                               .kind = OPTION_PATH,
                               .target = &s.chat_template,
                               .shown = "the folder's own",
                               .help = "Jinja template for receiver and sharer"},
                              {.name = "--dtype",
                               .value = "NAME",
                               .kind = OPTION_CHOICE,
                               .target = &s.dtype,
                               .choices = dtype_names,
                               .shown = "auto: bf16 when the files are bf16",
                               .help = "compute in f32 or bf16"},
                              {.name = "--threads",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.threads,
                               .low = 1,
                               .high = 1024,
                               .shown = "all processors",
                               .help = "threads to compute with"},
                              {.name = "--ctx",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.context,
                               .low = 1,
                               .high = INT32_MAX,
                               .shown = "what the model has and memory allows",
                               .help = "tokens of context"},
                              {.name = "--compare",
                               .kind = OPTION_FLAG,
                               .target = &s.compare,
                               .help = "answer four ways: receiver, sharer, text to text, C2C"},
                              {.name = "--background-prompt",
                               .value = "TEXT",
                               .kind = OPTION_TEXT,
                               .target = &s.background,
                               .shown = default_background,
                               .help = "with --compare: what the sharer is asked first"},
                              {.name = "--background-tokens",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.background_tokens,
                               .low = 1,
                               .high = INT32_MAX,
                               .shown = "256",
                               .help = "with --compare: tokens of that reply at most"},
                              {.name = "--json",
                               .kind = OPTION_FLAG,
                               .target = &s.json,
                               .help = "print one JSON object instead of streaming"}};
    const option_set set = {.options = options, .count = sizeof options / sizeof *options};
    int status;
    if (!verb_options(v, &set, argc, argv, &status) || !settings_check(v, &s, &status))
        return status;
    c2c_error error = {0};
    return run_settings_run(&s, &error) ? app_failed(&error) : APP_OK;
}

const verb run_verb = {
    .name = "run",
    .usage = "--receiver DIR [--sharer DIR --fuser DIR]... (-p TEXT | --messages FILE.json) "
             "[options]",
    .summary = "answer one prompt",
    .notes = "The answer goes to standard output as it is written, a summary line to standard "
             "error.\n"
             "--raw encodes the text with the special tokens that tokenizer.json adds to a text;\n"
             "rendered messages are encoded as they are. --json prints text, ids, prompt_tokens,\n"
             "new_tokens, finish_reason (stop or length), load_ms, ttft_ms, decode_tok_s; with\n"
             "--compare one such object each for receiver, sharer, text and c2c.",
    .run = run_run};
