/* answer.c - the one way to an answer: prompt, prefill, decoding, and the clock beside it. */
#include "app/answer.h"

#include <stdlib.h>

typedef struct listener {
    answer *answer;
    const question *question;
    double first, last; /* when the first and the latest token came */
    c2c_status status;
    c2c_error *error;
} listener;

static c2c_status answer_keep(answer *a, int32_t id, const char *text, size_t length,
                              c2c_error *error) {
    if (a->id_count == a->id_capacity) {
        size_t capacity = a->id_capacity ? a->id_capacity * 2 : 256, bytes;
        int32_t *ids = size_mul(capacity, sizeof *ids, &bytes) ? realloc(a->ids, bytes) : NULL;
        if (!ids)
            return error_memory(error, capacity * sizeof *ids, "the answer's ids");
        a->ids = ids;
        a->id_capacity = capacity;
    }
    a->ids[a->id_count++] = id;
    buffer_append(&a->text, text, length);
    return a->text.failed ? error_memory(error, length, "the answer") : C2C_STATUS_OK;
}

static bool stops(const question *q) {
    return q->stop && *q->stop;
}

static bool on_token(void *user, int32_t id, const char *text, size_t length) {
    listener *l = user;
    l->last = system_seconds();
    if (l->answer->id_count == 0)
        l->first = l->last;
    l->status = answer_keep(l->answer, id, text, length, l->error);
    if (!l->status && l->question->stream && length)
        l->status = l->question->stream(l->question->user, text, length, l->error);
    return l->status == C2C_STATUS_OK && !stops(l->question);
}

static bool on_progress(void *user, int64_t done, int64_t total) {
    (void)done, (void)total;
    return !stops(user);
}

/* Takes the prompt in, after what the session knows or on an emptied session. */
static c2c_status prompt_run(answer *a, c2c_session *session, const c2c_plan *plan,
                             const question *q, c2c_error *error) {
    c2c_extension extension;
    if (!q->turn)
        c2c_session_reset(session);
    if (q->stop)
        c2c_session_set_progress(session, on_progress, (void *)q);
    c2c_status status = c2c_session_extend(session, plan, &extension, error);
    c2c_session_set_progress(session, NULL, NULL);
    a->prompt_tokens = plan->token_count;
    a->kept_tokens = extension.kept;
    return status;
}

c2c_status answer_ask(answer *a, c2c_session *session, const prompt_models *models,
                      const question *q, double started, c2c_error *error) {
    prompt asked = {0};
    listener l = {.answer = a, .question = q, .error = error};
    c2c_generation generation;
    c2c_status status = prompt_make(&asked, models, q, error);
    if (status || (status = c2c_session_set_sampling(session, q->sampling, error)))
        goto done;
    if ((status = prompt_run(a, session, &asked.plan, q, error)))
        goto done;
    status = c2c_session_generate(session, q->max_new_tokens, on_token, &l, &generation, error);
    if (!status)
        status = l.status;
    if (status)
        goto done;
    a->finish = generation.finish;
    a->ttft_ms = (l.first - started) * 1e3;
    a->total_ms = (l.last - started) * 1e3;
    if (a->id_count > 1 && l.last > l.first)
        a->decode_tok_s = (double)(a->id_count - 1) / (l.last - l.first);
done:
    prompt_deinit(&asked);
    return status;
}

const char *answer_finish_name(const answer *a) {
    static const char *const names[] = {[C2C_FINISH_STOP] = "stop",
                                        [C2C_FINISH_LENGTH] = "length",
                                        [C2C_FINISH_CALLBACK] = "interrupted"};
    return names[a->finish];
}

void answer_write_json(const answer *a, json_out *out, const char *key) {
    json_out_open(out, key, '{');
    json_out_text(out, "text", a->text.data, a->text.length);
    json_out_open(out, "ids", '[');
    for (size_t i = 0; i < a->id_count; i++)
        json_out_integer(out, NULL, a->ids[i]);
    json_out_close(out, ']');
    json_out_integer(out, "prompt_tokens", a->prompt_tokens);
    json_out_integer(out, "new_tokens", (int64_t)a->id_count);
    const char *finish = answer_finish_name(a);
    json_out_text(out, "finish_reason", finish, strlen(finish));
    json_out_real(out, "load_ms", a->load_ms);
    json_out_real(out, "ttft_ms", a->ttft_ms);
    json_out_real(out, "decode_tok_s", a->decode_tok_s);
    json_out_close(out, '}');
}

void answer_deinit(answer *a) {
    buffer_free(&a->text);
    free(a->ids);
    *a = (answer){0};
}
