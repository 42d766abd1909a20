/* generate.c - decoding: chooses one token at a time, runs it, and streams its text. */
#include "session/session.h"

/* The lanes that a new token runs through before the receiver. */
static void run_companions(c2c_session *session, int32_t id) {
    session_lane *clean = &session->clean;
    lane_step_advance(clean, session->next, id);
    lane_forward(clean, clean->model->config.layers, DECODER_CACHE);
    for (size_t s = 0; s < session->pair_count; s++) {
        session_lane *sharer = &session->sharers[s];
        lane_step_advance(sharer, session->next, id);
        if (session->pairs[s].fuser->sharer_used > 0)
            lane_forward(sharer, session->pairs[s].fuser->sharer_used, DECODER_CACHE);
    }
}

static void begin_steps(c2c_session *session) {
    lane_begin_steps(&session->receiver);
    if (!session->include_response)
        return;
    lane_begin_steps(&session->clean);
    for (size_t s = 0; s < session->pair_count; s++)
        lane_begin_steps(&session->sharers[s]);
}

/* Runs the token in session->next, which is `id`, and leaves its logits. */
static void run_step(c2c_session *session, int32_t id) {
    session_lane *lane = &session->receiver;
    int64_t row = lane->used;
    if (session->include_response)
        run_companions(session, id);
    lane_step_advance(lane, session->next, id);
    session_record_response(session, 1);
    if (session->include_response)
        session_fuse_response(session, row, 1);
    lane_forward(lane, lane->model->config.layers,
                 session->include_response ? DECODER_READ_ONLY : DECODER_OUTPUT);
    decoder_logits(lane->model, &lane->scratch, session->logits, 0, 1);
}

/* ---- Choosing ----------------------------------------------------------------------------- */

static c2c_status check_range(const char *name, double value, double low, double high,
                              c2c_error *error) {
    if (value >= low && value <= high)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "sampling: %s: expected a number from %g to %g, found %g", name, low, high,
                     value);
}

c2c_status c2c_session_set_sampling(c2c_session *session, const c2c_sampling *sampling,
                                    c2c_error *error) {
    c2c_sampling s = sampling ? *sampling : (c2c_sampling){0};
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session});
    if (status || (status = check_range("temperature", s.temperature, 0, 1e6, error)) ||
        (status = check_range("top_k", (double)s.top_k, 0, INT32_MAX, error)) ||
        (status = check_range("top_p", s.top_p, 0, 1, error)) ||
        (status = check_range("min_p", s.min_p, 0, 1, error)) ||
        (status = check_range("repetition_penalty", s.repetition_penalty, 0, 1e6, error)) ||
        (status = check_range("presence_penalty", s.presence_penalty, -1e6, 1e6, error)) ||
        (status = check_range("frequency_penalty", s.frequency_penalty, -1e6, 1e6, error)))
        return status;
    if (s.top_p == 0)
        s.top_p = 1;
    if (s.repetition_penalty == 0)
        s.repetition_penalty = 1;
    session->sampling = s;
    return C2C_STATUS_OK;
}

static bool has_penalty(const c2c_sampling *s) {
    return s->repetition_penalty != 1 || s->presence_penalty != 0 || s->frequency_penalty != 0;
}

static void run_sample(c2c_session *session) {
    const c2c_sampling *s = &session->sampling;
    op_sample(session->backend,
              &(sample_args){.ids = session->next,
                             .logits = session->logits,
                             .counts = has_penalty(s) ? session->counts : NULL,
                             .positions = session->receiver.batch.positions,
                             .candidates = session->candidates,
                             .rows = 1,
                             .features = session->receiver.model->config.vocabulary,
                             .top_k = s->top_k,
                             .temperature = s->temperature,
                             .top_p = s->top_p,
                             .min_p = s->min_p,
                             .repetition_penalty = s->repetition_penalty,
                             .presence_penalty = s->presence_penalty,
                             .frequency_penalty = s->frequency_penalty,
                             .seed = s->seed});
}

/* The next token, counted, also on the host. */
static int32_t choose(c2c_session *session) {
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    if (session->sampling.temperature > 0 || has_penalty(&session->sampling))
        run_sample(session);
    else
        op_argmax(session->backend, &(argmax_args){.ids = session->next,
                                                   .x = session->logits,
                                                   .rows = 1,
                                                   .features = vocabulary,
                                                   .x_stride = vocabulary});
    op_count_ids(session->backend,
                 &(count_ids_args){.counts = session->counts, .ids = session->next, .rows = 1});
    int32_t id;
    backend_download(session->backend, &id, session->next, sizeof id);
    return id;
}

c2c_status session_logits(const c2c_session *session, float *logits, c2c_error *error) {
    if (!session->ready)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "there are no logits: call c2c_session_prefill first");
    backend_download(session->backend, logits, session->logits,
                     (size_t)session->receiver.model->config.vocabulary * sizeof *logits);
    return C2C_STATUS_OK;
}

/* ---- The answer --------------------------------------------------------------------------- */

/* One token's text to the caller; the last token also brings what is left of a cut character. */
static c2c_status emit(text_stream *stream, buffer *text, int32_t id, bool last,
                       c2c_token_callback callback, void *user, bool *go_on, c2c_error *error) {
    buffer_clear(text);
    c2c_status status = text_stream_push(stream, id, text, error);
    if (!status && last)
        status = text_stream_finish(stream, text, error);
    buffer_append(text, "", 0);
    if (!status && text->failed)
        status = error_memory(error, text->length, "a text");
    *go_on = status == C2C_STATUS_OK && (!callback || callback(user, id, text->data, text->length));
    return status;
}

c2c_status c2c_session_generate(c2c_session *session, int64_t max_new_tokens,
                                c2c_token_callback callback, void *user, c2c_generation *result,
                                c2c_error *error) {
    c2c_generation done = {.finish = C2C_FINISH_LENGTH};
    if (result)
        *result = done;
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session});
    if (status)
        return status;
    session_lane *lane = &session->receiver;
    if (max_new_tokens < 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "max_new_tokens is negative: %lld",
                         (long long)max_new_tokens);
    if (!session->ready)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "there is no prompt to answer: call c2c_session_prefill first");
    session->ready = false;
    /* The last token that is written need not be run: the context may hold one token less. */
    int64_t most = min_i64(max_new_tokens, session->context - lane->position + 1);
    buffer text = {0};
    text_stream stream;
    text_stream_init(&stream, lane->model->tokenizer, true);
    begin_steps(session);
    int32_t id = 0;
    while (done.new_tokens < most) {
        if (done.new_tokens > 0)
            run_step(session, id);
        id = choose(session);
        bool eos = model_config_is_eos(&lane->model->config, id), go_on;
        done.new_tokens++;
        status =
            emit(&stream, &text, id, eos || done.new_tokens == most, callback, user, &go_on, error);
        if (status)
            break;
        if (eos || !go_on) {
            done.finish = eos ? C2C_FINISH_STOP : C2C_FINISH_CALLBACK;
            break;
        }
    }
    text_stream_deinit(&stream);
    buffer_free(&text);
    if (result)
        *result = done;
    return status;
}
