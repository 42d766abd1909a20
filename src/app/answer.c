/* answer.c - the one way to an answer: prompt, prefill, decoding, and the clock beside it. */
#include "app/answer.h"
#include "session/session.h"

#include <stdlib.h>

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
    answering *w = user;
    w->last = system_seconds();
    if (w->answer->id_count == 0)
        w->first = w->last;
    w->status = answer_keep(w->answer, id, text, length, &w->error);
    if (!w->status && w->question->stream && length)
        w->status = w->question->stream(w->question->user, text, length, &w->error);
    return w->status == C2C_STATUS_OK && !stops(w->question);
}

static bool on_progress(void *user, int64_t done, int64_t total) {
    (void)done, (void)total;
    return !stops(user);
}

/* What all sharers read of a prompt, be it there already: up to the last fused section, or, with a
 * fused response, all of it. */
static int64_t count_sharer_tokens(const c2c_session *session, const c2c_plan *plan) {
    int64_t end = plan->sections ? 0 : plan->token_count - 1, at = 0, tokens = 0;
    for (size_t i = 0; i + 1 < plan->section_count; i++) {
        at += plan->sections[i].length;
        end = plan->sections[i].mask > 0 ? at : end;
    }
    if (session->include_response)
        end = plan->token_count;
    for (size_t s = 0; s < session->pair_count; s++)
        for (int64_t i = 0; i < end && session->pairs[s].fuser->sharer_used; i++)
            tokens += plan_sharer_ids(plan, s)[i] != C2C_PADDING;
    return tokens;
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
    a->sharer_tokens = count_sharer_tokens(session, plan);
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

/* Whether the prompt and the longest answer fit; the last token of an answer needs no row. */
static c2c_status check_room(const c2c_session *session, const c2c_plan *plan, const question *q,
                             c2c_error *error) {
    int64_t needed = plan->token_count + (q->letters ? 0 : q->max_new_tokens - 1);
    if (!q->whole || needed <= session->context)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_CONTEXT_FULL,
                     "the prompt and its answer take up to %lld tokens, but the context holds %lld",
                     (long long)needed, (long long)session->context);
}

c2c_status answer_begin(answering *w, answer *a, c2c_session *session, const prompt_models *models,
                        const question *q, double started, c2c_error *error) {
    prompt asked = {0};
    *w = (answering){.answer = a, .question = q, .session = session, .started = started};
    c2c_status status = prompt_make(&asked, models, q, error);
    if (!status)
        status = check_room(session, &asked.plan, q, error);
    if (!status)
        status = c2c_session_set_sampling(session, q->sampling, error);
    if (!status)
        status = prompt_run(a, session, &asked.plan, q, error);
    if (!status && q->letters) {
        status = choose_letter(a, session, models->writer, q->letters, error);
        w->first = w->last = system_seconds();
    } else if (!status) {
        status = c2c_session_begin(session, q->max_new_tokens, on_token, w, error);
    }
    prompt_deinit(&asked);
    return status;
}

c2c_status answer_end(answering *w, c2c_error *error) {
    answer *a = w->answer;
    c2c_generation generation;
    c2c_session_is_writing(w->session, &generation);
    if (w->status && error)
        *error = w->error;
    if (w->status)
        return w->status;
    if (!w->question->letters)
        a->finish = generation.finish;
    a->ttft_ms = (w->first - w->started) * 1e3;
    a->total_ms = (w->last - w->started) * 1e3;
    if (a->id_count > 1 && w->last > w->first)
        a->decode_tok_s = (double)(a->id_count - 1) / (w->last - w->first);
    return C2C_STATUS_OK;
}

c2c_status answer_ask(answer *a, c2c_batch *batch, const prompt_models *models, const question *q,
                      double started, c2c_error *error) {
    answering w;
    c2c_session *session = c2c_batch_session(batch, 0);
    c2c_status status = answer_begin(&w, a, session, models, q, started, error);
    while (!status && c2c_session_is_writing(session, NULL))
        status = c2c_batch_step(batch, NULL, error);
    return status ? status : answer_end(&w, error);
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
