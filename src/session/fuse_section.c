/* fuse_section.c - several sharers over the rows of one section, and the fused response. */
#include "session/session.h"

static fuse_rows rows_of(const c2c_session *session, size_t s, int64_t receiver_row,
                         int64_t sharer_row, int64_t count) {
    return (fuse_rows){.out = &session->receiver.cache,
                       .receiver = &session->receiver.cache,
                       .sharer = &session->sharers[s].cache,
                       .out_row = receiver_row,
                       .receiver_row = receiver_row,
                       .sharer_row = sharer_row,
                       .count = count,
                       .section = count};
}

/* Each fuser reads what the one before it left. */
static void fuse_in_turn(c2c_session *session, int64_t receiver_row, const int64_t *sharer_rows,
                         int64_t count, int32_t mask) {
    for (size_t s = 0; s < session->pair_count; s++) {
        if (!(mask >> s & 1))
            continue;
        fuse_rows rows = rows_of(session, s, receiver_row, sharer_rows[s], count);
        fuser_apply(session->pairs[s].fuser, &session->fuse_scratches[s], &rows);
    }
}

/* K = K0 + sum_s (K'_s - K0), V alike: blocks of clean rows K0 are kept behind the lane's rows.
 * What projectors need to know of the whole section they learn before the first block is written.
 */
static void fuse_in_parallel(c2c_session *session, int64_t receiver_row, const int64_t *sharer_rows,
                             int64_t count, int32_t mask) {
    const kv_cache *cache = &session->receiver.cache;
    int64_t spare = session->receiver.rows - FUSE_BLOCK_ROWS;
    for (size_t s = 0; s < session->pair_count; s++) {
        fuse_rows rows = rows_of(session, s, receiver_row, sharer_rows[s], count);
        if (mask >> s & 1)
            fuser_survey(session->pairs[s].fuser, &session->fuse_scratches[s], &rows);
    }
    for (int64_t done = 0; done < count; done += FUSE_BLOCK_ROWS) {
        int64_t n = min_i64(FUSE_BLOCK_ROWS, count - done);
        kv_cache_copy(cache, spare, cache, receiver_row + done, n);
        for (size_t s = 0; s < session->pair_count; s++) {
            if (!(mask >> s & 1))
                continue;
            fuse_rows rows = rows_of(session, s, receiver_row + done, sharer_rows[s] + done, n);
            rows.receiver_row = spare;
            rows.first = done;
            rows.section = count;
            fuser_accumulate(session->pairs[s].fuser, &session->fuse_scratches[s], &rows);
        }
    }
}

void session_fuse(c2c_session *session, int64_t receiver_row, const int64_t *sharer_rows,
                  int64_t count, int32_t mask) {
    if (session->watch.cancelled)
        return;
    bool several = (mask & (mask - 1)) != 0;
    if (several && session->fusion_mode == C2C_FUSION_PARALLEL)
        fuse_in_parallel(session, receiver_row, sharer_rows, count, mask);
    else
        fuse_in_turn(session, receiver_row, sharer_rows, count, mask);
}

bool session_fuses_whole(const c2c_session *session, int32_t mask) {
    for (size_t s = 0; s < session->pair_count; s++)
        if (mask >> s & 1 && session->pairs[s].fuser->by_section)
            return true;
    return false;
}

bool session_replaces(const c2c_session *session, int32_t mask) {
    /* Clean rows may be asked for by a later turn, or as K0; in turn, the first fuser decides. */
    bool several = (mask & (mask - 1)) != 0;
    if (mask <= 0 || session->keeps_clean || session->include_response ||
        (several && session->fusion_mode == C2C_FUSION_PARALLEL))
        return false;
    size_t first = 0;
    while (!(mask >> first & 1))
        first++;
    return session->pairs[first].fuser->replaces;
}

void session_fuse_response(c2c_session *session, int64_t row, int64_t count) {
    if (session->watch.cancelled)
        return;
    /* No padding with include_response: a token has the same row in every lane. */
    kv_cache_copy(&session->receiver.cache, row, &session->clean.cache, row, count);
    /* Every token is a section of its own, which few projectors notice. */
    int64_t step = count, sharer_rows[C2C_MAX_SHARERS];
    for (size_t s = 0; s < session->pair_count; s++)
        step = session->pairs[s].fuser->by_section ? 1 : step;
    for (int64_t done = 0; done < count; done += step) {
        for (size_t s = 0; s < session->pair_count; s++)
            sharer_rows[s] = row + done;
        fuse_in_turn(session, row + done, sharer_rows, step,
                     (int32_t)((UINT32_C(1) << session->pair_count) - 1));
    }
}
