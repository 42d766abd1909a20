/* prefill.c - runs a plan section by section: the receiver, the sharers, then the fusion.
 *
 * The receiver is not run again over a fused section: its fused rows take the place of the clean
 * ones once the section is complete, and only later tokens see them. Work that cannot matter is
 * not done: a section that is not the last stops at its last keys and values, a sharer at its last
 * mapped layer and, unless the response is fused too, at the last fused section. */
#include "session/session.h"

#include <stdlib.h>

/* The logits of row `row` of the receiver's last pass. */
static void read_logits(c2c_session *session, int64_t row, float *host) {
    session_lane *lane = &session->receiver;
    if (session->watch.cancelled)
        return;
    decoder_logits(lane->model, &lane->scratch, session->logits, row, 1);
    if (host)
        backend_download(session->backend, host, session->logits,
                         (size_t)lane->model->config.vocabulary * sizeof *host);
}

/* Penalties look at the ids of the prompt, too. */
static void count_ids(c2c_session *session, const int32_t *ids, int64_t count) {
    /* The receiver's batch holds the last chunk only, so the ids are handed over again. */
    session_lane *lane = &session->receiver;
    for (int64_t done = 0; done < count;) {
        int64_t rows = 0;
        for (; done < count && rows < session->chunk; done++)
            if (ids[done] != C2C_PADDING)
                lane->host[rows++] = ids[done];
        backend_upload(session->backend, lane->batch.ids, lane->host,
                       (size_t)rows * sizeof *lane->host);
        op_count_ids(session->backend, &(count_ids_args){.counts = session->counts,
                                                         .ids = lane->batch.ids,
                                                         .rows = rows});
    }
}

/* Runs the next chunk of the response: by the receiver alone, or, with include_response, by the
 * clean receiver and the sharers, whose fused keys and values the receiver then uses for these very
 * tokens. Returns the number of tokens. */
static int64_t run_response(c2c_session *session, const int32_t *ids, int64_t count) {
    session_lane *lane = &session->receiver;
    int layers = lane->model->config.layers;
    int64_t row = lane->used;
    if (session->include_response) {
        lane_run(&session->clean, ids, count, layers);
        for (size_t s = 0; s < session->pair_count; s++)
            lane_run(&session->sharers[s], ids, count, session->pairs[s].fuser->sharer_layers);
    }
    int64_t rows = lane_push(lane, ids, count);
    if (session->include_response)
        session_fuse_response(session, row, rows);
    if (rows > 0)
        lane_forward(lane, layers, session->include_response ? DECODER_READ_ONLY : DECODER_OUTPUT);
    return rows;
}

/* The last section: with `logits` those of every token, else those of its last token alone. */
static void run_last(c2c_session *session, const int32_t *ids, int64_t count, float *logits) {
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    int64_t last = count - 1;
    while (ids[last] == C2C_PADDING)
        last--;
    for (int64_t done = 0; done < count; done += session->chunk) {
        int64_t n = min_i64(session->chunk, count - done);
        run_response(session, ids + done, n);
        for (int64_t i = 0, row = 0; i < n; i++) {
            if (ids[done + i] == C2C_PADDING)
                continue;
            if (logits || done + i == last)
                read_logits(session, row, logits ? logits + (done + i) * vocabulary : NULL);
            row++;
        }
    }
    session->ready = true;
}

/* A section that is not the last. */
static void run_section(c2c_session *session, const c2c_plan *plan, const c2c_section *section,
                        int64_t start, bool sharers_needed) {
    session_lane *receiver = &session->receiver;
    int64_t first = receiver->used, sharer_rows[C2C_MAX_SHARERS];
    int layers = receiver->model->config.layers;
    lane_run(receiver, plan->ids + start, section->length, layers);
    if (session->include_response) {
        /* The clean copy starts as what the receiver has before it is fused. */
        session_lane *clean = &session->clean;
        kv_cache_copy(&clean->cache, first, &receiver->cache, first, receiver->used - first);
        lane_run(clean, plan->ids + start, section->length, 0);
    }
    for (size_t s = 0; s < session->pair_count && sharers_needed; s++) {
        sharer_rows[s] = session->sharers[s].used;
        lane_run(&session->sharers[s], plan_sharer_ids(plan, s) + start, section->length,
                 session->pairs[s].fuser->sharer_layers);
    }
    if (section->mask > 0)
        session_fuse(session, first, sharer_rows, receiver->used - first, section->mask);
}

/* ---- Progress ----------------------------------------------------------------------------- */

/* The tokens of start .. end-1 that are no padding. */
static int64_t count_tokens(const int32_t *ids, int64_t start, int64_t end) {
    int64_t tokens = 0;
    for (int64_t i = start; i < end; i++)
        tokens += ids[i] != C2C_PADDING;
    return tokens;
}

/* The tokens that all lanes together will run: the sharers those of the first `needed` sections. */
static int64_t count_work(const c2c_session *session, const c2c_plan *plan,
                          const c2c_section *sections, size_t count, size_t needed) {
    int64_t needed_end = 0, last = sections[count - 1].length;
    for (size_t i = 0; i < needed; i++)
        needed_end += sections[i].length;
    int64_t work = count_tokens(plan->ids, 0, plan->token_count);
    if (session->include_response)
        work += last;
    for (size_t s = 0; s < session->pair_count; s++)
        if (session->pairs[s].fuser->sharer_layers > 0)
            work += count_tokens(plan_sharer_ids(plan, s), 0, needed_end);
    return work;
}

static c2c_status run_sections(c2c_session *session, const c2c_plan *plan,
                               const c2c_section *sections, size_t count, float *logits,
                               c2c_error *error) {
    prefill_watch *watch = &session->watch;
    size_t needed = session->include_response ? count : 0; /* sections that sharers read */
    for (size_t i = 0; i + 1 < count; i++)
        if (sections[i].mask > 0 && needed < i + 1)
            needed = i + 1;
    watch->active = watch->callback != NULL;
    watch->done = 0;
    watch->total = watch->active ? count_work(session, plan, sections, count, needed) : 0;
    int64_t start = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        run_section(session, plan, &sections[i], start, i < needed);
        start += sections[i].length;
    }
    run_last(session, plan->ids + start, sections[count - 1].length, logits);
    bool cancelled = watch->cancelled;
    watch->active = watch->cancelled = false;
    if (!cancelled)
        return C2C_STATUS_OK;
    c2c_session_reset(session);
    return error_set(error, C2C_STATUS_CANCELLED,
                     "the prefill was cancelled after %lld of %lld tokens", (long long)watch->done,
                     (long long)watch->total);
}

c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error) {
    c2c_section *sections;
    size_t count;
    if (session->receiver.position > 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "the session holds a conversation already: reset it first");
    if (plan->token_count > session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL,
                         "the prompt has %lld tokens, but the context holds %lld; shorten the "
                         "prompt or open the session with a larger context",
                         (long long)plan->token_count, (long long)session->context);
    c2c_status status = session_need_sharers(session, error);
    if (status || (status = plan_check(&sections, &count, plan, session, error)))
        return status;
    count_ids(session, plan->ids, plan->token_count);
    status = run_sections(session, plan, sections, count, logits, error);
    free(sections);
    return status;
}

void c2c_session_set_progress(c2c_session *session, c2c_progress_callback callback, void *user) {
    session->watch = (prefill_watch){.callback = callback, .user = user};
}

c2c_status c2c_session_prefill(c2c_session *session, const c2c_plan *plan, c2c_error *error) {
    return session_prefill_logits(session, plan, NULL, error);
}

c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error) {
    const session_lane *lane = &session->receiver;
    if (lane->position >= session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL, "the context of %lld tokens is full",
                         (long long)session->context);
    C2C_ASSERT(id >= 0 && id < lane->model->config.vocabulary);
    run_response(session, &id, 1);
    read_logits(session, 0, logits);
    session->ready = true;
    return C2C_STATUS_OK;
}
