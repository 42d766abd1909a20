/* generate.c - decoding: runs the latest token of each answer that is being written, all in one
 * pass, chooses the next ones, and streams their texts. A session alone is the batch of one. */
#include "session/session.h"

/* ---- Running the tokens that were chosen -------------------------------------------------- */

static session_lane *lane_in(c2c_session *session, const lane_pool *pool) {
    c2c_batch *batch = session->batch;
    if (pool == &batch->receiver)
        return &session->receiver;
    return pool == &batch->clean ? &session->clean : &session->sharers[pool - batch->sharers];
}

/* The lanes in one pool of the first `count` sessions that step. */
static session_lane *const *step_lanes(c2c_batch *batch, const lane_pool *pool, size_t count) {
    for (size_t i = 0; i < count; i++)
        batch->lanes[i] = lane_in(batch->stepping[i], pool);
    return batch->lanes;
}

static void advance(c2c_batch *batch, const lane_pool *pool, size_t count) {
    lanes_step_advance(step_lanes(batch, pool, count), count, batch->next, batch->ids);
}

/* The lanes that a new token runs through before the receiver. */
static void run_companions(c2c_batch *batch, size_t count) {
    advance(batch, &batch->clean, count);
    pool_forward(&batch->clean, batch->model->config.layers, DECODER_CACHE);
    for (size_t s = 0; s < batch->pair_count; s++) {
        int used = batch->pairs[s].fuser->sharer_used;
        advance(batch, &batch->sharers[s], count);
        if (used > 0)
            pool_forward(&batch->sharers[s], used, DECODER_CACHE);
    }
}

/* Runs the token that each session chose last, and leaves the logits of all. */
static void run_step(c2c_batch *batch, size_t count) {
    lane_pool *pool = &batch->receiver;
    bool response = batch->options.include_response;
    for (size_t i = 0; i < count; i++)
        batch->ids[i] = batch->stepping[i]->answer.id;
    /* The backend knows what it chose last, and no more. */
    if (!lanes_stand(step_lanes(batch, pool, count), count))
        backend_upload(batch->backend, batch->next, batch->ids, count * sizeof *batch->ids);
    if (response)
        run_companions(batch, count);
    advance(batch, pool, count);
    for (size_t i = 0; i < count; i++) {
        c2c_session *session = batch->stepping[i];
        session_record_response(session, 1);
        if (response)
            session_fuse_response(session, session->receiver.used - 1, 1);
    }
    pool_forward(pool, batch->model->config.layers, response ? DECODER_READ_ONLY : DECODER_OUTPUT);
    decoder_logits(batch->model, &pool->scratch, batch->logits, 0, (int64_t)count);
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

static void run_sample(const c2c_session *session, const float *logits, int32_t *next,
                       const int32_t *position) {
    const c2c_sampling *s = &session->sampling;
    op_sample(session->backend,
              &(sample_args){.ids = next,
                             .logits = logits,
                             .counts = has_penalty(s) ? session->counts : NULL,
                             .positions = position,
                             .candidates = session->batch->candidates,
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

/* The next token of every session, counted, also on the host. What is drawn for a session depends
 * on nobody else: to each its own call, as if it were alone. */
static void choose(c2c_batch *batch, size_t count, bool first) {
    int64_t vocabulary = batch->model->config.vocabulary;
    for (size_t i = 0; i < count; i++) {
        const c2c_session *session = batch->stepping[i];
        const float *logits = first ? session->logits : batch->logits + (int64_t)i * vocabulary;
        int32_t *next = batch->next + i;
        if (session->sampling.temperature > 0 || has_penalty(&session->sampling))
            run_sample(session, logits, next, batch->receiver.batch.positions + i);
        else
            op_argmax(batch->backend, &(argmax_args){.ids = next,
                                                     .x = logits,
                                                     .rows = 1,
                                                     .features = vocabulary,
                                                     .x_stride = vocabulary});
        op_count_ids(batch->backend,
                     &(count_ids_args){.counts = session->counts, .ids = next, .rows = 1});
    }
    backend_download(batch->backend, batch->ids, batch->next, count * sizeof *batch->ids);
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

void session_end_answer(c2c_session *session) {
    session_answer *a = &session->answer;
    if (!a->begun)
        return;
    text_stream_deinit(&a->stream);
    buffer_free(&a->text);
    a->begun = false;
}

c2c_status c2c_session_begin(c2c_session *session, int64_t max_new_tokens,
                             c2c_token_callback callback, void *user, c2c_error *error) {
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session});
    if (status)
        return status;
    const session_lane *lane = &session->receiver;
    if (max_new_tokens < 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "max_new_tokens is negative: %lld",
                         (long long)max_new_tokens);
    if (!session->ready)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "there is no prompt to answer: call c2c_session_prefill first");
    session->ready = false;
    session_end_answer(session);
    session->answer = (session_answer){
        .begun = true,
        /* The last token that is written need not be run: the context may hold one token less. */
        .most = min_i64(max_new_tokens, session->context - lane->position + 1),
        .done = {.finish = C2C_FINISH_LENGTH},
        .callback = callback,
        .user = user};
    text_stream_init(&session->answer.stream, lane->model->tokenizer, true);
    if (session->answer.most == 0)
        session_end_answer(session);
    return C2C_STATUS_OK;
}

bool c2c_session_is_writing(const c2c_session *session, c2c_generation *result) {
    if (result)
        *result = session ? session->answer.done : (c2c_generation){0};
    return session && session->answer.begun;
}

/* One token's text to the caller; the last token also brings what is left of a cut character. */
static c2c_status emit(session_answer *a, bool last, bool *go_on, c2c_error *error) {
    buffer *text = &a->text;
    buffer_clear(text);
    c2c_status status = text_stream_push(&a->stream, a->id, text, error);
    if (!status && last)
        status = text_stream_finish(&a->stream, text, error);
    buffer_append(text, "", 0);
    if (!status && text->failed)
        status = error_memory(error, text->length, "a text");
    *go_on = status == C2C_STATUS_OK &&
             (!a->callback || a->callback(a->user, a->id, text->data, text->length));
    return status;
}

/* Takes the token in, and ends the answer where it was the last one. */
static c2c_status take_token(c2c_session *session, int32_t id, c2c_error *error) {
    session_answer *a = &session->answer;
    bool eos = model_config_is_eos(&session->receiver.model->config, id), go_on;
    a->id = id;
    a->chosen = true;
    bool full = ++a->done.new_tokens == a->most;
    c2c_status status = emit(a, eos || full, &go_on, error);
    if (eos || (!status && !go_on))
        a->done.finish = eos ? C2C_FINISH_STOP : C2C_FINISH_CALLBACK;
    if (eos || full || !go_on)
        session_end_answer(session);
    return status;
}

/* The next token of the first `count` sessions of batch->stepping: none of them has one yet, or all
 * have. Returns the first failure; all answers go on that did not fail. */
static c2c_status step(c2c_batch *batch, size_t count, c2c_error *error) {
    bool first = !batch->stepping[0]->answer.chosen;
    c2c_status failed = C2C_STATUS_OK;
    if (first) /* Sampling wants to know the positions. */
        lanes_begin_steps(step_lanes(batch, &batch->receiver, count), count);
    else
        run_step(batch, count);
    choose(batch, count, first);
    for (size_t i = 0; i < count; i++) {
        c2c_status status = take_token(batch->stepping[i], batch->ids[i], failed ? NULL : error);
        failed = failed ? failed : status;
    }
    return failed;
}

/* A step of those whose answer has a token already, or of those that have none. */
static c2c_status step_those(c2c_batch *batch, bool chosen, c2c_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        c2c_session *session = &batch->sessions[i];
        if (session->answer.begun && session->answer.chosen == chosen)
            batch->stepping[count++] = session;
    }
    return count ? step(batch, count, error) : C2C_STATUS_OK;
}

c2c_status c2c_batch_step(c2c_batch *batch, size_t *writing, c2c_error *error) {
    if (writing)
        *writing = 0;
    c2c_status status = ARGUMENTS_CHECK(error, {"batch", batch});
    if (status)
        return status;
    status = step_those(batch, true, error);
    if (!status)
        status = step_those(batch, false, error);
    for (size_t i = 0; i < batch->count && writing; i++)
        *writing += batch->sessions[i].answer.begun;
    return status;
}

c2c_status c2c_session_generate(c2c_session *session, int64_t max_new_tokens,
                                c2c_token_callback callback, void *user, c2c_generation *result,
                                c2c_error *error) {
    if (result)
        *result = (c2c_generation){.finish = C2C_FINISH_LENGTH};
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session});
    if (!status)
        status = c2c_session_begin(session, max_new_tokens, callback, user, error);
    if (status)
        return status;
    while (!status && session->answer.begun) {
        session->batch->stepping[0] = session;
        status = step(session->batch, 1, error);
    }
    if (result)
        *result = session->answer.done;
    return status;
}
