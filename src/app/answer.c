/* answer.c - the one way to an answer: prompt, prefill, decoding, and the clock beside it. */
#include "app/answer.h"
#include "session/session.h"

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
    a->sharer_tokens = extension.sharers_ran;
    return status;
}

/* The id that a letter is seen by: the first of " B". Where that is the space alone, for every
 * letter the same, `last` asks for the last one. */
static c2c_status letter_id(int32_t *id, const c2c_model *model, char letter, bool last,
                            c2c_error *error) {
    const char text[] = {' ', letter};
    int32_t *ids;
    size_t count;
    c2c_status status = c2c_model_encode(model, text, sizeof text, false, &ids, &count, error);
    if (status)
        return status;
    *id = count ? ids[last ? count - 1 : 0] : 0;
    c2c_free(ids);
    return C2C_STATUS_OK;
}

/* In place of an answer: the letter whose token is the likeliest to come next. */
static c2c_status choose_letter(answer *a, const c2c_session *session, const c2c_model *model,
                                int letters, c2c_error *error) {
    int32_t id = 0, first = 0;
    c2c_model_info info;
    c2c_model_describe(model, &info);
    float *logits = malloc((size_t)info.vocabulary_size * sizeof *logits), most = 0;
    if (!logits)
        return error_memory(error, (size_t)info.vocabulary_size * sizeof *logits, "logits");
    char best = 0;
    c2c_status status = session_logits(session, logits, error);
    if (!status)
        status = letter_id(&first, model, 'A', false, error);
    if (!status)
        status = letter_id(&id, model, 'B', false, error);
    bool last = !status && first == id;
    for (int i = 0; !status && i < letters; i++) {
        status = letter_id(&id, model, (char)('A' + i), last, error);
        if (!status && (!best || logits[id] > most)) {
            best = (char)('A' + i);
            most = logits[id];
        }
    }
    free(logits);
    buffer_append(&a->text, &best, 1);
    return status ? status : a->text.failed ? error_memory(error, 1, "a letter") : C2C_STATUS_OK;
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
    if (q->letters) {
        status = choose_letter(a, session, models->writer, q->letters, error);
        a->ttft_ms = a->total_ms = (system_seconds() - started) * 1e3;
        goto done;
    }
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
