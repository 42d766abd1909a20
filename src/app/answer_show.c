/* answer_show.c - one answer as it is shown: streamed and summed up, or as an object. */
#include "app/ask.h"

#include <stdio.h>

static c2c_status stream_answer(void *user, const char *text, size_t length, c2c_error *error) {
    (void)user;
    return output_write(text, length, error);
}

static c2c_status show_json(const answer *a, c2c_error *error) {
    json_out out = {0};
    answer_write_json(a, &out, NULL);
    buffer_append_char(&out.text, '\n');
    c2c_status status = output_buffer(&out.text, error);
    buffer_free(&out.text);
    return status;
}

static void show_summary(const answer *a) {
    fprintf(stderr, "%lld prompt tokens", (long long)a->prompt_tokens);
    if (a->kept_tokens)
        fprintf(stderr, " (%lld kept)", (long long)a->kept_tokens);
    fprintf(stderr, ", first token after %.1f ms, %zu new tokens (%s), %.1f tokens/s\n", a->ttft_ms,
            a->id_count, answer_finish_name(a), a->decode_tok_s);
}

c2c_status answer_show(pair *p, const question *q, bool json, answer *a, c2c_error *error) {
    question shown = *q;
    shown.stream = json ? NULL : stream_answer;
    c2c_status status =
        pair_answer(p, p->sharer_count ? WAY_C2C : WAY_RECEIVER, &shown, a, NULL, error);
    if (!status && json)
        return show_json(a, error);
    /* A message must not continue the line of a half-written answer. */
    if (!json && (!status || a->text.length)) {
        c2c_status ended = output_write("\n", 1, status ? NULL : error);
        status = status ? status : ended;
    }
    if (!status)
        show_summary(a);
    return status;
}
