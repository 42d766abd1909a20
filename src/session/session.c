/* session.c - one conversation's own part of a batch: its lanes, and what is known of its rows. */
#include "session/session.h"

#include <stdlib.h>

c2c_status session_init(c2c_session *session, c2c_batch *batch, size_t i, int64_t spare,
                        c2c_error *error) {
    int64_t context = batch->context;
    size_t vocabulary = (size_t)batch->model->config.vocabulary;
    *session = (c2c_session){.batch = batch,
                             .backend = batch->backend,
                             .context = context,
                             .chunk = batch->chunk,
                             .fusion_mode = batch->options.fusion_mode,
                             .include_response = batch->options.include_response,
                             .keeps_clean = batch->keeps_clean,
                             .pair_count = batch->pair_count,
                             .pairs = batch->pairs,
                             .fuse_scratches = batch->fuse_scratches};
    session->rows = calloc((size_t)context, sizeof *session->rows);
    session->sharers = calloc(batch->pair_count + 1, sizeof *session->sharers);
    if (!session->rows || !session->sharers)
        return error_memory(error, (size_t)context * sizeof *session->rows, "a session");
    c2c_status status = lane_init(&session->receiver, &batch->receiver, (int64_t)i, context, spare,
                                  &session->watch, error);
    if (!status && session->include_response)
        status = lane_init(&session->clean, &batch->clean, (int64_t)i, context, 0, &session->watch,
                           error);
    void *parts[2] = {NULL};
    if (!status)
        status = backend_alloc(batch->backend, &parts[0], vocabulary * sizeof(float), error);
    session->logits = parts[0];
    if (!status)
        status = backend_alloc(batch->backend, &parts[1], vocabulary * sizeof(int32_t), error);
    session->counts = parts[1];
    return status ? status : c2c_session_set_sampling(session, NULL, error);
}

void session_deinit(c2c_session *session) {
    if (!session->batch)
        return;
    session_end_answer(session);
    lane_deinit(&session->receiver);
    lane_deinit(&session->clean);
    backend_release(session->backend, session->logits);
    backend_release(session->backend, session->counts);
    free(session->rows);
    free(session->sharers);
    *session = (c2c_session){0};
}

c2c_status c2c_session_open(c2c_session **out, const c2c_model *receiver, const c2c_pair *pairs,
                            size_t pair_count, const c2c_session_options *options,
                            c2c_error *error) {
    c2c_batch *batch = NULL;
    if (out)
        *out = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"session", out}, {"receiver", receiver},
                                        {"pairs", pair_count ? (const void *)pairs : ""});
    if (!status)
        status = c2c_batch_open(&batch, receiver, pairs, pair_count, 1, options, error);
    if (status)
        return status;
    batch->lone = true;
    *out = batch->sessions;
    return C2C_STATUS_OK;
}

void c2c_session_close(c2c_session *session) {
    if (session && session->batch->lone)
        c2c_batch_close(session->batch);
}

c2c_status c2c_session_release_sharers(c2c_session *session, c2c_error *error) {
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session});
    if (status)
        return status;
    if (session->include_response)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "the sharers cannot be released: with include_response they read every "
                         "token of the answer");
    backend_sync(session->backend); /* fusing may be queued */
    batch_free_sharers(session->batch);
    return C2C_STATUS_OK;
}

void c2c_session_reset(c2c_session *session) {
    session_end_answer(session);
    lane_reset(&session->receiver);
    lane_reset(&session->clean);
    for (size_t s = 0; s < session->pair_count; s++)
        lane_reset(&session->sharers[s]);
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    op_zero(session->backend,
            &(zero_args){.y = session->counts, .bytes = vocabulary * (int64_t)sizeof(int32_t)});
    session->ready = false;
}

void session_cache_read(const c2c_session *session, int layer, void *keys, void *values) {
    const kv_cache *cache = &session->receiver.cache;
    size_t bytes = (size_t)(session->receiver.used * cache->features) * dtype_size(cache->type);
    backend_download(session->backend, keys, kv_cache_keys(cache, layer, 0), bytes);
    backend_download(session->backend, values, kv_cache_values(cache, layer, 0), bytes);
}
