/* compare.c - one question answered four ways side by side. */
#include "app/compare.h"

#include <stdlib.h>
#include <unistd.h>

static const char question_field[] = "{question}";

const char compare_background[] =
    "In one clear sentence, describe the most essential background knowledge needed to answer the "
    "question: {question}";

/* `prompt` with the question put wherever it says {question}; to be freed. */
static char *background_fill(const char *prompt, const char *question) {
    buffer text = {0};
    for (const char *found; (found = strstr(prompt, question_field));
         prompt = found + sizeof question_field - 1) {
        buffer_append(&text, prompt, (size_t)(found - prompt));
        buffer_append_text(&text, question);
    }
    buffer_append_text(&text, prompt);
    return buffer_take(&text, NULL);
}

static void append_table(const answer *answers, const char *reply, buffer *out) {
    static const char *const titles[] = {"way", "prompt", "first token", "total", "answer"};
    table t;
    table_init(&t, titles, "lrrrl");
    for (int w = 0; w < WAY_COUNT; w++) {
        const answer *a = &answers[w];
        table_add(&t, "%s", way_names[w]);
        table_add(&t, "%lld", (long long)a->prompt_tokens);
        table_add(&t, "%.1f ms", a->ttft_ms);
        table_add(&t, "%.1f ms", a->total_ms);
        table_add(&t, "%s", a->text.data ? a->text.data : "");
    }
    int width = output_columns(STDOUT_FILENO, 100);
    table_write(&t, 0, width, out);
    table_deinit(&t);
    /* What text-to-text spent its time on. */
    table_init(&t, NULL, "ll");
    table_add(&t, "the sharer's text:");
    table_add(&t, "%s", reply ? reply : "");
    buffer_append_char(out, '\n');
    table_write(&t, 0, width, out);
    table_deinit(&t);
}

static void append_json(const answer *answers, buffer *out) {
    json_out json = {.text = *out};
    json_out_open(&json, NULL, '{');
    for (int w = 0; w < WAY_COUNT; w++)
        answer_write_json(&answers[w], &json, way_keys[w]);
    json_out_close(&json, '}');
    buffer_append_char(&json.text, '\n');
    *out = json.text;
}

c2c_status compare_answers(pair *p, const question *q, bool json, c2c_error *error) {
    answer answers[WAY_COUNT] = {0};
    char *background = NULL, *reply = NULL;
    buffer out = {0};
    c2c_status status = C2C_STATUS_OK;
    const char *last = chat_last_user(q->messages);
    if (!last)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "--messages: --compare expected a user message, found none");
    background = background_fill(q->background, last);
    if (!background)
        return error_memory(error, strlen(last), "the background prompt");
    question asked = *q;
    asked.background = background;
    progress bar;
    progress_begin(&bar, "answering four ways", WAY_COUNT);
    for (int w = 0; !status && w < WAY_COUNT; w++) {
        status = pair_answer(p, (way)w, &asked, &answers[w], w == WAY_TEXT ? &reply : NULL, error);
        if (!status && q->stop && *q->stop)
            status = error_set(error, C2C_STATUS_CANCELLED, "stopped");
        if (status)
            error_prefix(error, "%s", way_names[w]);
        progress_update(&bar, w + 1);
    }
    progress_end(&bar);
    if (!status) {
        if (json)
            append_json(answers, &out);
        else
            append_table(answers, reply, &out);
        status = output_buffer(&out, error);
    }
    buffer_free(&out);
    for (int w = 0; w < WAY_COUNT; w++)
        answer_deinit(&answers[w]);
    free(reply);
    free(background);
    return status;
}

size_t compare_options(option *rows, size_t count, const char **background, int64_t *tokens) {
    rows[count++] = (option){.name = "--background-prompt",
                             .value = "TEXT",
                             .kind = OPTION_TEXT,
                             .target = background,
                             .shown = compare_background,
                             .help = "text-to-text: what the sharer is asked first"};
    rows[count++] = (option){.name = "--background-tokens",
                             .value = "N",
                             .kind = OPTION_INTEGER,
                             .target = tokens,
                             .low = 1,
                             .high = INT32_MAX,
                             .shown = "256",
                             .help = "text-to-text: tokens of that reply at most"};
    return count;
}
