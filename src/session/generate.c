/* generate.c - greedy decoding: the receiver alone, one token at a time, streamed as text. */
#include "session/session.h"

/* Tables of a batch whose token stands just before the first one to run: step_advance moves them
 * on, on the backend, where the chosen id already is. */
static void begin_steps(c2c_session *session) {
    session_lane *lane = &session->receiver;
    decoder_batch *batch = &lane->batch;
    const int32_t last = (int32_t)lane->used - 1;
    const int32_t starts[2] = {0, 1};
    const cache_range range = {.row = 0, .count = (int32_t)lane->used, .position = 0};
    backend *b = session->backend;
    batch->rows = batch->sequences = 1;
    backend_upload(b, batch->positions, &last, sizeof last);
    backend_upload(b, batch->index, &last, sizeof last);
    backend_upload(b, batch->q_start, starts, sizeof starts);
    backend_upload(b, batch->range_start, starts, sizeof starts);
    backend_upload(b, batch->ranges, &range, sizeof range);
}

/* Runs the token in session->next and leaves its logits. */
static void run_step(c2c_session *session) {
    session_lane *lane = &session->receiver;
    decoder_batch *batch = &lane->batch;
    op_step_advance(session->backend, &(step_advance_args){.ids = batch->ids,
                                                           .positions = batch->positions,
                                                           .index = batch->index,
                                                           .ranges = batch->ranges,
                                                           .range_start = batch->range_start,
                                                           .next = session->next,
                                                           .sequences = 1});
    decoder_forward(lane->model, &lane->scratch, &lane->cache, batch, lane->model->config.layers,
                    false);
    decoder_logits(lane->model, &lane->scratch, session->logits, 0, 1);
    lane->used++;
}

static int32_t choose(c2c_session *session) {
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    int32_t id;
    op_argmax(session->backend, &(argmax_args){.ids = session->next,
                                               .x = session->logits,
                                               .rows = 1,
                                               .features = vocabulary,
                                               .x_stride = vocabulary});
    backend_download(session->backend, &id, session->next, sizeof id);
    return id;
}

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
    session_lane *lane = &session->receiver;
    c2c_generation done = {.finish = C2C_FINISH_LENGTH};
    if (result)
        *result = done;
    if (max_new_tokens < 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "max_new_tokens is negative: %lld",
                         (long long)max_new_tokens);
    if (!session->ready)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "there is no prompt to answer: call c2c_session_prefill first");
    session->ready = false;
    /* The last token that is written need not be run: the context may hold one token less. */
    int64_t most = min_i64(max_new_tokens, session->context - lane->used + 1);
    c2c_status status = C2C_STATUS_OK;
    buffer text = {0};
    text_stream stream;
    text_stream_init(&stream, lane->model->tokenizer, true);
    begin_steps(session);
    while (done.new_tokens < most) {
        if (done.new_tokens > 0)
            run_step(session);
        int32_t id = choose(session);
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
