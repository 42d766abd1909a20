/* prefill.c - runs a plan section by section: the receiver, the sharers, then the fusion.
 *
 * The receiver is not run again over a fused section: its fused rows take the place of the clean
 * ones once the section is complete, and only later tokens see them. Work that cannot matter is
 * not done: a section that is not the last stops at its last keys and values, a sharer at the last
 * layer that is used and, unless the response is fused too, at the last fused section; where a
 * fuser replaces all that the receiver would compute (pure C2C) the receiver is not run; and what
 * the lanes hold of an earlier prompt (turn.c says what that is) is not run again. */
#include "session/session.h"

#include <stdlib.h>

/* The logits of row `row` of the receiver's last pass. */
static void read_logits(c2c_session *session, int64_t row, float *host) {
    session_lane *lane = &session->receiver;
    if (session->watch.cancelled)
        return;
    decoder_logits(lane->model, &lane->pool->scratch, session->logits, row, 1);
    if (host)
        backend_download(session->backend, host, session->logits,
                         (size_t)lane->model->config.vocabulary * sizeof *host);
}

/* Penalties look at the ids of the prompt, too. */
static void count_ids(c2c_session *session, const int32_t *ids, int64_t count) {
    /* The receiver's batch holds the last chunk only, so the ids are handed over again. */
    lane_pool *pool = session->receiver.pool;
    int64_t vocabulary = pool->model->config.vocabulary;
    pool->stepping = false;
    op_zero(session->backend,
            &(zero_args){.y = session->counts, .bytes = vocabulary * (int64_t)sizeof(int32_t)});
    for (int64_t done = 0; done < count;) {
        int64_t rows = 0;
        for (; done < count && rows < session->chunk; done++)
            if (ids[done] != C2C_PADDING)
                pool->host[rows++] = ids[done];
        backend_upload(session->backend, pool->batch.ids, pool->host,
                       (size_t)rows * sizeof *pool->host);
        op_count_ids(session->backend, &(count_ids_args){.counts = session->counts,
                                                         .ids = pool->batch.ids,
                                                         .rows = rows});
    }
}

/* ---- Sections that are not the last ------------------------------------------------------- */

/* Copies the receiver's rows of those positions start .. end-1 that were fused (or were not) to
 * where rows before fusion are kept, or back. */
static void copy_clean(c2c_session *session, int64_t start, int64_t end, bool fused, bool back) {
    const session_lane *lane = &session->receiver;
    for (int64_t i = start; i < end;) {
        int64_t next = i;
        while (next < end && (session->rows[next].mask != 0) == fused)
            next++;
        if (next > i) {
            int64_t row = lane_row(lane, i), count = lane_row(lane, next) - row;
            int64_t clean = row + session->context;
            if (count > 0)
                kv_cache_copy(&lane->cache, back ? row : clean, &lane->cache, back ? clean : row,
                              count);
        }
        i = max_i64(next, i + 1);
    }
}

/* The receiver's rows before fusion, run where they are kept, among them those that are there
 * already; then those from `from` on also in their place, to be fused. */
static void run_aside(c2c_session *session, const int32_t *prompt, int64_t start, int64_t end,
                      int64_t from) {
    session_lane *lane = &session->receiver;
    copy_clean(session, start, min_i64(end, lane->position), false, false);
    if (lane->position < end) {
        lane_set_aside(lane, start, session->context);
        lane_run_to(lane, prompt, end, lane->model->config.layers);
        lane_put_back(lane, session->context);
    }
    int64_t row = lane_row(lane, from);
    kv_cache_copy(&lane->cache, row, &lane->cache, row + session->context,
                  lane_row(lane, end) - row);
}

/* Before anything is fused, the receiver's rows are those of its clean copy. */
static void take_from_clean(c2c_session *session, const int32_t *prompt, int64_t from,
                            int64_t end) {
    session_lane *lane = &session->receiver;
    lane_place_to(lane, prompt, end);
    int64_t row = lane_row(lane, from);
    kv_cache_copy(&lane->cache, row, &session->clean.cache, row, lane_row(lane, end) - row);
}

/* One section's rows of the receiver, before fusion, in their place from the returned position on;
 * before it there are fused ones that are kept. */
static int64_t run_receiver(c2c_session *session, const int32_t *prompt, int64_t start, int64_t end,
                            int32_t mask, int64_t seen, int64_t fused) {
    session_lane *lane = &session->receiver;
    bool whole = mask && session_fuses_whole(session, mask);
    int64_t from = whole ? start : max_i64(start, fused);
    if (session->include_response && !seen) {
        take_from_clean(session, prompt, from, end);
        return from;
    }
    if (session_replaces(session, mask)) {
        lane_place_to(lane, prompt, end);
        return from;
    }
    if (session->keeps_clean && mask) {
        run_aside(session, prompt, start, end, from);
        return from;
    }
    if (session->keeps_clean)
        copy_clean(session, start, min_i64(end, lane->position), true, true);
    lane_run_to(lane, prompt, end, lane->model->config.layers);
    return start;
}

/* A section that is not the last; returns where the fused part ends that later sections see. */
static int64_t run_section(c2c_session *session, const c2c_plan *plan, const c2c_section *section,
                           int64_t start, int64_t seen, bool sharers_needed,
                           const session_kept *kept) {
    int64_t end = start + section->length, sharer_rows[C2C_MAX_SHARERS];
    int32_t mask = section->mask > 0 ? section->mask : 0;
    if (session->include_response)
        lane_run_to(&session->clean, plan->ids, end, session->clean.model->config.layers);
    for (size_t s = 0; s < session->pair_count && sharers_needed; s++)
        lane_run_to(&session->sharers[s], plan_sharer_ids(plan, s), end,
                    session->pairs[s].fuser->sharer_used);
    if (end > kept->fused) {
        int64_t from = run_receiver(session, plan->ids, start, end, mask, seen, kept->fused);
        int64_t row = lane_row(&session->receiver, from);
        for (size_t s = 0; s < session->pair_count; s++)
            sharer_rows[s] = lane_row(&session->sharers[s], from);
        if (mask)
            session_fuse(session, row, sharer_rows, lane_row(&session->receiver, end) - row, mask);
    }
    session_record(session, start, end, mask, seen);
    return mask ? end : seen;
}

/* ---- The response: the last section, and tokens that are given one by one ----------------- */

/* Runs the next chunk of the response: by the receiver alone, or, with include_response, by the
 * clean receiver and the sharers, whose fused keys and values the receiver then uses for these very
 * tokens. `output`: logits of some of them are wanted. Returns the number of tokens. */
static int64_t run_response(c2c_session *session, const int32_t *ids, int64_t count, bool output) {
    session_lane *lane = &session->receiver;
    int layers = lane->model->config.layers;
    int64_t row = lane->used;
    if (session->include_response) {
        lane_run(&session->clean, ids, count, layers);
        for (size_t s = 0; s < session->pair_count; s++)
            lane_run(&session->sharers[s], ids, count, session->pairs[s].fuser->sharer_used);
    }
    int64_t rows = lane_push(lane, ids, count);
    session_record_response(session, count);
    if (session->include_response)
        session_fuse_response(session, row, rows);
    if (rows > 0)
        pool_forward(lane->pool, layers,
                     session->include_response ? DECODER_READ_ONLY
                     : output                  ? DECODER_OUTPUT
                                               : DECODER_CACHE);
    return rows;
}

/* The last section, from where the receiver stands: with `logits` those of every token that is run,
 * else those of its last token alone. */
static void run_last(c2c_session *session, const c2c_plan *plan, int64_t start, float *logits) {
    int64_t vocabulary = session->receiver.model->config.vocabulary;
    int64_t end = plan->token_count, last = end - 1, done = session->receiver.position;
    if (session->keeps_clean)
        copy_clean(session, start, done, true, true);
    session_record(session, start, done, 0, session->seen);
    while (plan->ids[last] == C2C_PADDING)
        last--;
    for (int64_t n; done < end; done += n) {
        n = min_i64(session->chunk, end - done);
        run_response(session, plan->ids + done, n, logits || (done <= last && last < done + n));
        for (int64_t i = done, row = 0; i < done + n; i++) {
            if (plan->ids[i] == C2C_PADDING)
                continue;
            if (logits || i == last)
                read_logits(session, row, logits ? logits + (i - start) * vocabulary : NULL);
            row++;
        }
    }
    session->ready = true;
}

/* ---- Progress ----------------------------------------------------------------------------- */

/* The tokens of start .. end-1 that are no padding. */
static int64_t count_tokens(const int32_t *ids, int64_t start, int64_t end) {
    int64_t tokens = 0;
    for (int64_t i = start; i < end; i++)
        tokens += ids[i] != C2C_PADDING;
    return tokens;
}

/* The tokens that all lanes together will run, from where they stand: the sharers those of the
 * first `needed` sections. */
static int64_t count_work(const c2c_session *session, const c2c_plan *plan,
                          const c2c_section *sections, size_t count, size_t needed) {
    int64_t needed_end = 0, first_fused = 0, end = plan->token_count, work = 0;
    for (size_t i = 0; i < needed; i++)
        needed_end += sections[i].length;
    if (session->include_response) {
        work += count_tokens(plan->ids, session->clean.position, end);
        /* The receiver's own rows up to the first fused section's end are the clean copy's. */
        for (size_t i = 0; i + 1 < count; i++) {
            first_fused += sections[i].length;
            if (sections[i].mask > 0)
                break;
        }
    }
    int64_t start = 0, at = max_i64(session->receiver.position, first_fused);
    for (size_t i = 0; i < count; start += sections[i++].length)
        if (i + 1 == count || !session_replaces(session, sections[i].mask))
            work += count_tokens(plan->ids, max_i64(at, start), start + sections[i].length);
    for (size_t s = 0; s < session->pair_count; s++)
        if (session->pairs[s].fuser->sharer_used > 0)
            work +=
                count_tokens(plan_sharer_ids(plan, s), session->sharers[s].position, needed_end);
    return work;
}

/* ---- The whole plan ----------------------------------------------------------------------- */

c2c_status session_run_plan(c2c_session *session, const c2c_plan *plan, const c2c_section *sections,
                            size_t count, const session_kept *kept, float *logits,
                            c2c_error *error) {
    prefill_watch *watch = &session->watch;
    size_t needed = session->include_response ? count : 0; /* sections that sharers read */
    for (size_t i = 0; i + 1 < count; i++)
        if (sections[i].mask > 0 && needed < i + 1)
            needed = i + 1;
    watch->active = watch->callback != NULL;
    watch->done = 0;
    watch->total = watch->active ? count_work(session, plan, sections, count, needed) : 0;
    session_end_answer(session);
    count_ids(session, plan->ids, plan->token_count);
    int64_t start = 0, seen = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        seen = run_section(session, plan, &sections[i], start, seen, i < needed, kept);
        start += sections[i].length;
    }
    session->seen = (int32_t)seen;
    run_last(session, plan, start, logits);
    bool cancelled = watch->cancelled;
    watch->active = watch->cancelled = false;
    if (!cancelled)
        return C2C_STATUS_OK;
    c2c_session_reset(session);
    return error_set(error, C2C_STATUS_CANCELLED,
                     "the prefill was cancelled after %lld of %lld tokens", (long long)watch->done,
                     (long long)watch->total);
}

c2c_status session_check_plan(c2c_section **sections, size_t *count, c2c_session *session,
                              const c2c_plan *plan, c2c_error *error) {
    if (plan->token_count > session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL,
                         "the prompt has %lld tokens, but the context holds %lld; shorten the "
                         "prompt or open the session with a larger context",
                         (long long)plan->token_count, (long long)session->context);
    c2c_status status = batch_need_sharers(session->batch, error);
    return status ? status : plan_check(sections, count, plan, session, error);
}

c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error) {
    c2c_section *sections;
    size_t count;
    if (session->receiver.position > 0)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "the session holds a conversation already: reset it first");
    c2c_status status = session_check_plan(&sections, &count, session, plan, error);
    if (status)
        return status;
    status = session_run_plan(session, plan, sections, count, &(session_kept){0}, logits, error);
    free(sections);
    return status;
}

void c2c_session_set_progress(c2c_session *session, c2c_progress_callback callback, void *user) {
    session->watch = (prefill_watch){.callback = callback, .user = user};
}

c2c_status c2c_session_prefill(c2c_session *session, const c2c_plan *plan, c2c_error *error) {
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session}, {"plan", plan});
    return status ? status : session_prefill_logits(session, plan, NULL, error);
}

c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error) {
    const session_lane *lane = &session->receiver;
    if (lane->position >= session->context)
        return error_set(error, C2C_STATUS_CONTEXT_FULL, "the context of %lld tokens is full",
                         (long long)session->context);
    C2C_ASSERT(id >= 0 && id < lane->model->config.vocabulary);
    session_end_answer(session);
    run_response(session, &id, 1, true);
    read_logits(session, 0, logits);
    session->ready = true;
    return C2C_STATUS_OK;
}
