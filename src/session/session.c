/* session.c - makes room for one conversation: caches, activations and tables of each model. */
#include "session/session.h"

#include <stdlib.h>

#define USUAL_CHUNK 256
#define MAX_CHUNK   65536

/* ---- How many rows ------------------------------------------------------------------------ */

int64_t session_row_bytes(const c2c_session *session) {
    int64_t receiver = model_cache_row_bytes(&session->receiver.model->config);
    int64_t bytes = session->include_response || session->keeps_clean ? 2 * receiver : receiver;
    for (size_t s = 0; s < session->pair_count; s++)
        bytes += model_cache_row_bytes(&session->pairs[s].sharer->config);
    return bytes;
}

/* The model of the session that was made for the shortest context. */
static const c2c_model *shortest_context(const c2c_session *session) {
    const c2c_model *shortest = session->receiver.model;
    for (size_t s = 0; s < session->pair_count; s++)
        if (session->pairs[s].sharer->config.context < shortest->config.context)
            shortest = session->pairs[s].sharer;
    return shortest;
}

/* Rows are committed as they are touched, so a large context costs nothing until it is used; but
 * what could never be used is refused now, not in the middle of an answer. */
static c2c_status choose_context(c2c_session *session, int64_t asked, c2c_error *error) {
    const c2c_model *shortest = shortest_context(session);
    int64_t row = session_row_bytes(session);
    int64_t available = system_memory_available();
    /* A tenth stays for activations and for everybody else. */
    int64_t fits = available < 0 ? INT64_MAX : (available - available / 10) / row;
    fits = min_i64(fits, SESSION_MOST_POSITIONS);
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
    session->context = asked ? asked : min_i64(shortest->config.context, fits);
    return C2C_STATUS_OK;
}

/* ---- Opening ------------------------------------------------------------------------------ */

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

static c2c_status alloc_pairs(c2c_session *session, const c2c_pair *pairs, size_t pair_count,
                              c2c_error *error) {
    size_t room = pair_count + 1; /* calloc(0) may be NULL */
    session->pairs = calloc(room, sizeof *session->pairs);
    session->sharers = calloc(room, sizeof *session->sharers);
    session->fuse_scratches = calloc(room, sizeof *session->fuse_scratches);
    if (!session->pairs || !session->sharers || !session->fuse_scratches)
        return error_memory(error, room * sizeof *session->sharers, "a session");
    for (size_t s = 0; s < pair_count; s++)
        session->pairs[s] = pairs[s];
    session->pair_count = pair_count;
    return C2C_STATUS_OK;
}

static bool fuses_in_parallel(const c2c_session *session) {
    return session->fusion_mode == C2C_FUSION_PARALLEL && session->pair_count > 1;
}

static c2c_status alloc_sharer(c2c_session *session, size_t s, c2c_error *error) {
    const c2c_pair *pair = &session->pairs[s];
    c2c_status status = lane_init(&session->sharers[s], pair->sharer, session->context, 0,
                                  session->chunk, &session->watch, error);
    return status ? status
                  : fuse_scratch_init(&session->fuse_scratches[s], pair->fuser,
                                      fuses_in_parallel(session), error);
}

static void free_sharers(c2c_session *session) {
    for (size_t s = 0; s < session->pair_count; s++) {
        lane_deinit(&session->sharers[s]);
        fuse_scratch_deinit(&session->fuse_scratches[s]);
    }
}

c2c_status session_need_sharers(c2c_session *session, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t s = 0; s < session->pair_count && !status; s++)
        if (!session->sharers[s].model)
            status = alloc_sharer(session, s, error);
    if (status) {
        free_sharers(session);
        error_prefix(error, "the sharers' memory, which was released");
    }
    return status;
}

/* What choosing the next token needs. */
static c2c_status alloc_choice(c2c_session *session, c2c_error *error) {
    size_t vocabulary = (size_t)session->receiver.model->config.vocabulary;
    struct {
        size_t bytes;
        void *memory;
    } parts[] = {{vocabulary * sizeof(float), NULL},
                 {sizeof(int32_t), NULL},
                 {vocabulary * sizeof(sample_candidate), NULL},
                 {vocabulary * sizeof(int32_t), NULL}};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !status; i++)
        status = backend_alloc(session->backend, &parts[i].memory, parts[i].bytes, error);
    session->logits = parts[0].memory;
    session->next = parts[1].memory;
    session->candidates = parts[2].memory;
    session->counts = parts[3].memory;
    return status;
}

static c2c_status alloc_lanes(c2c_session *session, c2c_error *error) {
    const c2c_model *receiver = session->receiver.model;
    session->rows = calloc((size_t)session->context, sizeof *session->rows);
    if (!session->rows)
        return error_memory(error, (size_t)session->context * sizeof *session->rows, "a session");
    /* Behind the rows: clean ones, then those of the block that is being fused in parallel. */
    int64_t spare = (session->keeps_clean ? session->context : 0) +
                    (fuses_in_parallel(session) ? FUSE_BLOCK_ROWS : 0);
    c2c_status status = lane_init(&session->receiver, receiver, session->context, spare,
                                  session->chunk, &session->watch, error);
    if (!status && session->include_response)
        status = lane_init(&session->clean, receiver, session->context, 0, session->chunk,
                           &session->watch, error);
    for (size_t s = 0; s < session->pair_count && !status; s++)
        status = alloc_sharer(session, s, error);
    return status ? status : alloc_choice(session, error);
}

c2c_status c2c_session_open(c2c_session **out, const c2c_model *receiver, const c2c_pair *pairs,
                            size_t pair_count, const c2c_session_options *options,
                            c2c_error *error) {
    static const c2c_session_options defaults = {0};
    if (!options)
        options = &defaults;
    if (out)
        *out = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"session", out}, {"receiver", receiver},
                                        {"pairs", pair_count ? (const void *)pairs : ""});
    if (!status)
        status = error_choice(error, "fusion_mode", (int)options->fusion_mode, C2C_FUSION_PARALLEL);
    if (status)
        return status;
    if (options->context < 0 || options->chunk < 0 || options->chunk > MAX_CHUNK)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "session options: context %lld must not be negative, chunk %d must be 0 "
                         "to %d",
                         (long long)options->context, options->chunk, MAX_CHUNK);
    if ((status = check_pairs(receiver, pairs, pair_count, error)))
        return status;
    c2c_session *session = calloc(1, sizeof *session);
    if (!session)
        return error_memory(error, sizeof *session, "a session");
    session->backend = receiver->backend;
    session->receiver.model = receiver;
    session->fusion_mode = options->fusion_mode;
    session->include_response = options->include_response && pair_count > 0;
    /* A fused response has a clean copy of everything already. */
    session->keeps_clean = options->keep_clean && pair_count > 0 && !session->include_response;
    /* One fuser that replaces them never reads them. */
    if (pair_count == 1 && pairs[0].fuser->replaces)
        session->keeps_clean = false;
    if ((status = alloc_pairs(session, pairs, pair_count, error)) ||
        (status = choose_context(session, options->context, error)))
        goto failed;
    session->chunk = min_i64(options->chunk ? options->chunk : USUAL_CHUNK, session->context);
    if ((status = alloc_lanes(session, error)))
        goto failed;
    if ((status = c2c_session_set_sampling(session, NULL, error)))
        goto failed;
    *out = session;
    return C2C_STATUS_OK;
failed:
    c2c_session_close(session);
    return status;
}

void c2c_session_close(c2c_session *session) {
    if (!session)
        return;
    backend_sync(session->backend);
    free_sharers(session);
    lane_deinit(&session->receiver);
    lane_deinit(&session->clean);
    backend_release(session->backend, session->logits);
    backend_release(session->backend, session->next);
    backend_release(session->backend, session->candidates);
    backend_release(session->backend, session->counts);
    free(session->rows);
    free(session->pairs);
    free(session->sharers);
    free(session->fuse_scratches);
    free(session);
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
    free_sharers(session);
    return C2C_STATUS_OK;
}

void c2c_session_reset(c2c_session *session) {
    lane_reset(&session->receiver);
    lane_reset(&session->clean);
    for (size_t s = 0; s < session->pair_count; s++)
        lane_reset(&session->sharers[s]);
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    op_zero(session->backend,
            &(zero_args){.y = session->counts, .bytes = vocabulary * (int64_t)sizeof(int32_t)});
    session->ready = false;
}

void session_cache_read(const c2c_session *session, int layer, float *keys, float *values) {
    const session_lane *lane = &session->receiver;
    size_t bytes = (size_t)(lane->used * lane->cache.features) * sizeof(float);
    backend_download(session->backend, keys, kv_cache_keys(&lane->cache, layer), bytes);
    backend_download(session->backend, values, kv_cache_values(&lane->cache, layer), bytes);
}
