/* batch.c - memory: how many rows there is room for, and the pools and scratch that the sessions of
 * a batch share. A lone session is a batch of one. */
#include "session/session.h"

#include <stdlib.h>

#define USUAL_CHUNK 256
#define MAX_CHUNK   65536

/* ---- How many rows ------------------------------------------------------------------------ */

/* What a model's rows are kept as. */
static dtype cache_type(const c2c_batch *batch, const c2c_model *model) {
    if (batch->options.cache == C2C_CACHE_AUTO)
        return model_cache_type(model);
    return batch->options.cache == C2C_CACHE_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

static int64_t model_row_bytes(const c2c_batch *batch, const c2c_model *model) {
    return model_cache_row_bytes(&model->config, cache_type(batch, model));
}

int64_t batch_row_bytes(const c2c_batch *batch) {
    int64_t receiver = model_row_bytes(batch, batch->model);
    int64_t bytes = batch->options.include_response || batch->keeps_clean ? 2 * receiver : receiver;
    for (size_t s = 0; s < batch->pair_count; s++)
        bytes += model_row_bytes(batch, batch->pairs[s].sharer);
    return bytes;
}

/* The model of the batch that was made for the shortest context. */
static const c2c_model *shortest_context(const c2c_batch *batch) {
    const c2c_model *shortest = batch->model;
    for (size_t s = 0; s < batch->pair_count; s++)
        if (batch->pairs[s].sharer->config.context < shortest->config.context)
            shortest = batch->pairs[s].sharer;
    return shortest;
}

/* Rows are committed as they are touched, so a large context costs nothing until it is used; but
 * what could never be used is refused now, not in the middle of an answer. */
static c2c_status choose_context(c2c_batch *batch, c2c_error *error) {
    const c2c_model *shortest = shortest_context(batch);
    int64_t asked = batch->options.context, count = (int64_t)batch->count;
    int64_t row = batch_row_bytes(batch) * count;
    int64_t available = system_memory_available();
    /* A tenth stays for activations and for everybody else. */
    int64_t fits = available < 0 ? INT64_MAX : (available - available / 10) / row;
    fits = min_i64(fits, BATCH_MOST_POSITIONS / count);
    if (asked > shortest->config.context)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "a context of %lld tokens: %s was made for at most %lld "
                         "(max_position_embeddings)",
                         (long long)asked, shortest->folder, (long long)shortest->config.context);
    if (asked > fits || fits < 1)
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                         "a context of %lld tokens needs %.1f GiB for its caches, but only %.1f "
                         "GiB of memory are available: at most %lld tokens fit",
                         (long long)asked, (double)asked * (double)row / (1 << 30),
                         (double)available / (1 << 30), (long long)fits);
    batch->context = asked ? asked : min_i64(shortest->config.context, fits);
    return C2C_STATUS_OK;
}

/* ---- What is shared ----------------------------------------------------------------------- */

static c2c_status check_pairs(const c2c_model *receiver, const c2c_pair *pairs, size_t pair_count,
                              c2c_error *error) {
    if (pair_count > C2C_MAX_SHARERS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%zu sharers: a mask has room for at most %d", pair_count,
                         C2C_MAX_SHARERS);
    for (size_t s = 0; s < pair_count; s++)
        if (!pairs[s].sharer || !pairs[s].fuser)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "sharer %zu: neither the model nor its fuser may be NULL", s + 1);
        else if (pairs[s].fuser->receiver != receiver || pairs[s].fuser->sharer != pairs[s].sharer)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "sharer %zu: the fuser %s was opened for other models", s + 1,
                             pairs[s].fuser->folder);
    return C2C_STATUS_OK;
}

static c2c_status alloc_tables(c2c_batch *batch, const c2c_pair *pairs, c2c_error *error) {
    size_t room = batch->pair_count + 1; /* calloc(0) may be NULL */
    batch->pairs = calloc(room, sizeof *batch->pairs);
    batch->sharers = calloc(room, sizeof *batch->sharers);
    batch->fuse_scratches = calloc(room, sizeof *batch->fuse_scratches);
    batch->sessions = calloc(batch->count, sizeof *batch->sessions);
    batch->stepping = calloc(batch->count, sizeof *batch->stepping);
    batch->lanes = calloc(batch->count, sizeof *batch->lanes);
    batch->ids = calloc(batch->count, sizeof *batch->ids);
    if (!batch->pairs || !batch->sharers || !batch->fuse_scratches || !batch->sessions ||
        !batch->stepping || !batch->lanes || !batch->ids)
        return error_memory(error, room * sizeof *batch->sharers, "a session");
    for (size_t s = 0; s < batch->pair_count; s++)
        batch->pairs[s] = pairs[s];
    return C2C_STATUS_OK;
}

static bool fuses_in_parallel(const c2c_batch *batch) {
    return batch->options.fusion_mode == C2C_FUSION_PARALLEL && batch->pair_count > 1;
}

/* What choosing the next tokens needs. A lone session's logits lie in one place, whatever ran. */
static c2c_status alloc_choice(c2c_batch *batch, c2c_error *error) {
    size_t vocabulary = (size_t)batch->model->config.vocabulary;
    const size_t bytes[] = {batch->count * sizeof(int32_t), vocabulary * sizeof(sample_candidate),
                            batch->count * vocabulary * sizeof(float)};
    size_t needed = batch->count > 1 ? 3 : 2;
    void *parts[3] = {NULL};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < needed && !status; i++)
        status = backend_alloc(batch->backend, &parts[i], bytes[i], error);
    batch->next = parts[0];
    batch->candidates = parts[1];
    batch->logits = needed > 2 ? parts[2] : batch->sessions[0].logits;
    return status;
}

static c2c_status alloc_sharer(c2c_batch *batch, size_t s, c2c_error *error) {
    const c2c_pair *pair = &batch->pairs[s];
    dtype type = cache_type(batch, pair->sharer);
    bool staged = type != DTYPE_F32 || cache_type(batch, batch->model) != DTYPE_F32;
    c2c_status status =
        lane_pool_init(&batch->sharers[s], pair->sharer, type, (int64_t)batch->count,
                       batch->context, batch->context, batch->chunk, error);
    if (!status)
        status = fuse_scratch_init(&batch->fuse_scratches[s], pair->fuser, fuses_in_parallel(batch),
                                   staged, error);
    for (size_t i = 0; i < batch->count && !status; i++)
        status = lane_init(&batch->sessions[i].sharers[s], &batch->sharers[s], (int64_t)i,
                           batch->context, 0, &batch->sessions[i].watch, error);
    return status;
}

void batch_free_sharers(c2c_batch *batch) {
    for (size_t s = 0; s < batch->pair_count && batch->sharers; s++) {
        for (size_t i = 0; i < batch->count; i++)
            if (batch->sessions[i].sharers)
                lane_deinit(&batch->sessions[i].sharers[s]);
        lane_pool_deinit(&batch->sharers[s]);
        fuse_scratch_deinit(&batch->fuse_scratches[s]);
    }
}

c2c_status batch_need_sharers(c2c_batch *batch, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t s = 0; s < batch->pair_count && !status; s++)
        if (!batch->sharers[s].model)
            status = alloc_sharer(batch, s, error);
    if (status) {
        batch_free_sharers(batch);
        error_prefix(error, "the sharers' memory, which was released");
    }
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static c2c_status alloc_pools(c2c_batch *batch, c2c_error *error) {
    int64_t count = (int64_t)batch->count;
    /* Behind the rows: clean ones, then those of the block that is being fused in parallel. */
    int64_t spare = (batch->keeps_clean ? batch->context : 0) +
                    (fuses_in_parallel(batch) ? FUSE_BLOCK_ROWS : 0);
    dtype type = cache_type(batch, batch->model);
    c2c_status status = lane_pool_init(&batch->receiver, batch->model, type, count, batch->context,
                                       batch->context + spare, batch->chunk, error);
    if (!status && batch->options.include_response)
        status = lane_pool_init(&batch->clean, batch->model, type, count, batch->context,
                                batch->context, batch->chunk, error);
    for (size_t i = 0; i < batch->count && !status; i++)
        status = session_init(&batch->sessions[i], batch, i, spare, error);
    for (size_t s = 0; s < batch->pair_count && !status; s++)
        status = alloc_sharer(batch, s, error);
    return status ? status : alloc_choice(batch, error);
}

static c2c_status batch_init(c2c_batch *batch, const c2c_pair *pairs, c2c_error *error) {
    c2c_session_options *o = &batch->options;
    c2c_status status;
    o->include_response = o->include_response && batch->pair_count > 0;
    /* A fused response has a clean copy of everything already, and one fuser that replaces clean
     * rows never reads them. */
    batch->keeps_clean = o->keep_clean && batch->pair_count > 0 && !o->include_response &&
                         !(batch->pair_count == 1 && pairs[0].fuser->replaces);
    if ((status = alloc_tables(batch, pairs, error)) || (status = choose_context(batch, error)))
        return status;
    batch->chunk = min_i64(o->chunk ? o->chunk : USUAL_CHUNK, batch->context);
    return alloc_pools(batch, error);
}

c2c_status c2c_batch_open(c2c_batch **out, const c2c_model *receiver, const c2c_pair *pairs,
                          size_t pair_count, size_t count, const c2c_session_options *options,
                          c2c_error *error) {
    static const c2c_session_options defaults = {0};
    if (!options)
        options = &defaults;
    if (out)
        *out = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"batch", out}, {"receiver", receiver},
                                        {"pairs", pair_count ? (const void *)pairs : ""});
    if (!status)
        status = error_choice(error, "fusion_mode", (int)options->fusion_mode, C2C_FUSION_PARALLEL);
    if (!status)
        status = error_choice(error, "cache", (int)options->cache, C2C_CACHE_BF16);
    if (status)
        return status;
    if (options->context < 0 || options->chunk < 0 || options->chunk > MAX_CHUNK)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "session options: context %lld must not be negative, chunk %d must be 0 "
                         "to %d",
                         (long long)options->context, options->chunk, MAX_CHUNK);
    if (count < 1 || count > C2C_MAX_BATCH)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "a batch of %zu sessions: expected 1 to %d", count, C2C_MAX_BATCH);
    if ((status = check_pairs(receiver, pairs, pair_count, error)))
        return status;
    c2c_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return error_memory(error, sizeof *batch, "a batch");
    *batch = (c2c_batch){.options = *options,
                         .backend = receiver->backend,
                         .model = receiver,
                         .count = count,
                         .pair_count = pair_count};
    if ((status = batch_init(batch, pairs, error)))
        c2c_batch_close(batch);
    else
        *out = batch;
    return status;
}

void c2c_batch_close(c2c_batch *batch) {
    if (!batch)
        return;
    backend_sync(batch->backend);
    batch_free_sharers(batch);
    if (batch->count > 1)
        backend_release(batch->backend, batch->logits);
    for (size_t i = 0; i < batch->count && batch->sessions; i++)
        session_deinit(&batch->sessions[i]);
    lane_pool_deinit(&batch->receiver);
    lane_pool_deinit(&batch->clean);
    backend_release(batch->backend, batch->next);
    backend_release(batch->backend, batch->candidates);
    free(batch->pairs);
    free(batch->sharers);
    free(batch->fuse_scratches);
    free(batch->sessions);
    free(batch->stepping);
    free(batch->lanes);
    free(batch->ids);
    free(batch);
}

c2c_session *c2c_batch_session(c2c_batch *batch, size_t i) {
    return batch && i < batch->count ? &batch->sessions[i] : NULL;
}
