/* prefill.c - runs a plan section by section: the receiver, the sharers, then the fusion.
 *
 * The receiver is not run again over a fused section: its fused rows take the place of the clean
 * ones once the section is complete, and only later tokens see them. Work that cannot matter is
 * not done: a section that is not the last stops at its last keys and values, a sharer at its last
 * mapped layer and at the last fused section. */
#include "session/session.h"

#include <stdlib.h>

/* Points the lane's batch at `count` new tokens that follow its rows; their ids are in place. */
static void place_rows(c2c_session *session, session_lane *lane, int64_t count) {
    backend *b = session->backend;
    decoder_batch *batch = &lane->batch;
    const int32_t starts[2] = {0, (int32_t)count}, ranges_of[2] = {0, 1};
    const cache_range range = {.row = 0, .count = (int32_t)(lane->used + count), .position = 0};
    for (int64_t i = 0; i < count; i++)
        session->tokens[i] = (int32_t)(lane->used + i);
    batch->rows = count;
    batch->sequences = 1;
    /* The lane's rows lie in order of position, so a row's number is its position. */
    backend_upload(b, batch->positions, session->tokens, (size_t)count * sizeof(int32_t));
    backend_upload(b, batch->index, session->tokens, (size_t)count * sizeof(int32_t));
    backend_upload(b, batch->q_start, starts, sizeof starts);
    backend_upload(b, batch->range_start, ranges_of, sizeof ranges_of);
    backend_upload(b, batch->ranges, &range, sizeof range);
}

/* Runs up to a chunk of tokens through the first `layers` layers of a lane's model. */
static void run_chunk(c2c_session *session, session_lane *lane, const int32_t *ids, int64_t count,
                      int layers, bool cache_only) {
    backend_upload(session->backend, lane->batch.ids, ids, (size_t)count * sizeof *ids);
    place_rows(session, lane, count);
    decoder_forward(lane->model, &lane->scratch, &lane->cache, &lane->batch, layers, cache_only);
    lane->used += count;
}

/* Keys and values of a section, without logits. */
static void run_silent(c2c_session *session, session_lane *lane, const int32_t *ids, int64_t count,
                       int layers) {
    for (int64_t done = 0; done < count && layers > 0; done += session->chunk)
        run_chunk(session, lane, ids + done, min_i64(session->chunk, count - done), layers, true);
}

/* The logits of row `row` of the last chunk. */
static void read_logits(c2c_session *session, int64_t row, float *host) {
    const session_lane *lane = &session->receiver;
    decoder_logits(lane->model, &session->receiver.scratch, session->logits, row, 1);
    if (host)
        backend_download(session->backend, host, session->logits,
                         (size_t)lane->model->config.vocabulary * sizeof *host);
}

/* The last section: with `logits` those of every token, else those of the last one alone. */
static void run_last(c2c_session *session, const int32_t *ids, int64_t count, float *logits) {
    session_lane *lane = &session->receiver;
    const model_config *config = &lane->model->config;
    for (int64_t done = 0; done < count; done += session->chunk) {
        int64_t n = min_i64(session->chunk, count - done);
        bool last = done + n == count;
        run_chunk(session, lane, ids + done, n, config->layers, !last && !logits);
        for (int64_t row = logits ? 0 : n - 1; row < n && (logits || last); row++)
            read_logits(session, row, logits ? logits + (done + row) * config->vocabulary : NULL);
    }
    session->ready = true;
}

/* A section that is not the last. */
static void run_section(c2c_session *session, const c2c_plan *plan, const c2c_section *section,
                        int64_t start, bool sharers_needed) {
    session_lane *receiver = &session->receiver;
    int64_t first_row = receiver->used;
    run_silent(session, receiver, plan->ids + start, section->length,
               receiver->model->config.layers);
    for (size_t s = 0; s < session->pair_count && sharers_needed; s++) {
        session_lane *sharer = &session->sharers[s];
        const c2c_fuser *fuser = session->pairs[s].fuser;
        const int32_t *ids = plan->sharer_ids ? plan->sharer_ids[s] : plan->ids;
        int64_t sharer_row = sharer->used;
        run_silent(session, sharer, ids + start, section->length, fuser->sharer_layers);
        if (section->mask > 0 && section->mask >> s & 1)
            fuser_apply(fuser, &session->fuse_scratches[s], &receiver->cache, first_row,
                        &sharer->cache, sharer_row, section->length);
    }
}

static void run_sections(c2c_session *session, const c2c_plan *plan, const c2c_section *sections,
                         size_t count, float *logits) {
    size_t fused = 0; /* sections up to the last one that is fused */
    for (size_t i = 0; i + 1 < count; i++)
        if (sections[i].mask > 0)
            fused = i + 1;
    int64_t start = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        run_section(session, plan, &sections[i], start, i < fused);
        start += sections[i].length;
    }
    run_last(session, plan->ids + start, sections[count - 1].length, logits);
}

c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error) {
    c2c_section *sections;
    size_t count;
    if (session->receiver.used > 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "the session holds a conversation already: reset it first");
    if (plan->token_count > session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL,
                         "the prompt has %lld tokens, but the context holds %lld; shorten the "
                         "prompt or open the session with a larger context",
                         (long long)plan->token_count, (long long)session->context);
    c2c_status status = plan_check(&sections, &count, plan, session->receiver.model, session->pairs,
                                   session->pair_count, error);
    if (status)
        return status;
    run_sections(session, plan, sections, count, logits);
    free(sections);
    return C2C_STATUS_OK;
}

c2c_status c2c_session_prefill(c2c_session *session, const c2c_plan *plan, c2c_error *error) {
    return session_prefill_logits(session, plan, NULL, error);
}

c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error) {
    session_lane *lane = &session->receiver;
    if (lane->used >= session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL, "the context of %lld tokens is full",
                         (long long)session->context);
    C2C_ASSERT(id >= 0 && id < lane->model->config.vocabulary);
    run_chunk(session, lane, &id, 1, lane->model->config.layers, false);
    read_logits(session, 0, logits);
    session->ready = true;
    return C2C_STATUS_OK;
}
