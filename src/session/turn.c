/* turn.c - the next prompt of a conversation: which rows of the session it would compute again with
 * the same bits, so that they need not be run.
 *
 * A row of the receiver depends on the ids up to its own, and on which earlier rows it saw fused:
 * while a section is run its tokens see their own section unfused, and all before it as it was
 * left. So two plans compute the same row where ids agree, where the fused part that the row saw
 * ends at the same position, and where that part holds the same rows. A fused row depends further
 * on the sharers' rows of its position, which depend on their ids alone. (A token that was decoded
 * is a token of an unfused section; ops give a row the same bits alone and in a batch.)
 *
 * In a chat that is fused whole, an answer's rows saw the prompt fused, and the next prompt makes
 * them part of its one section, whose tokens must not: they are run again, on the clean rows. */
#include "session/session.h"

#include <stdlib.h>

/* ---- What the rows are -------------------------------------------------------------------- */

void session_record(c2c_session *session, int64_t start, int64_t end, int32_t mask, int64_t seen) {
    for (int64_t i = start; i < end; i++)
        session->rows[i] =
            (row_state){.mask = mask, .section = (int32_t)start, .seen = (int32_t)seen};
}

void session_record_response(c2c_session *session, int64_t count) {
    int64_t end = session->receiver.position;
    session_record(session, end - count, end, session->include_response ? MASK_RESPONSE : 0,
                   session->seen);
}

/* ---- What is kept ------------------------------------------------------------------------- */

/* A section of the new plan. */
typedef struct new_section {
    int64_t start, end, seen;
    int32_t mask;
} new_section;

/* Positions from the section's start on, up to `limit`, whose rows before fusion are the same. */
static int64_t same_rows(const c2c_session *session, const c2c_plan *plan, const new_section *n,
                         int64_t fused, int64_t limit) {
    int64_t i = n->start;
    /* The part that it saw fused must have stayed what it was. */
    if (fused < n->seen)
        return i;
    while (i < limit && session->receiver.ids[i] == plan->ids[i] &&
           session->rows[i].seen == n->seen)
        i++;
    return i;
}

/* The first position whose row of the sharers in `mask` differs. */
static int64_t same_sharers(const c2c_session *session, const c2c_plan *plan, int32_t mask) {
    int64_t same = plan->token_count;
    for (size_t s = 0; s < session->pair_count; s++)
        if (mask >> s & 1)
            same = min_i64(same, lane_common(&session->sharers[s], plan_sharer_ids(plan, s),
                                             plan->token_count));
    return same;
}

/* Some projectors look at a whole section: any change of it is one of all its rows. */
static bool is_same_section(const c2c_session *session, const new_section *n) {
    int64_t known = session->receiver.position;
    return n->end <= known && session->rows[n->end - 1].section == n->start &&
           (n->end == known || session->rows[n->end].section != n->start);
}

/* Positions from the section's start on whose rows come out of the fusion as they are. */
static int64_t same_fused(const c2c_session *session, const c2c_plan *plan, const new_section *n,
                          int64_t rows) {
    if (n->mask && rows > n->start) {
        rows = min_i64(rows, same_sharers(session, plan, n->mask));
        if (session_fuses_whole(session, n->mask) && !is_same_section(session, n))
            return n->start;
    }
    int64_t i = n->start;
    while (i < rows && session->rows[i].mask == n->mask)
        i++;
    return i;
}

/* Counts a section in; false when it is not there as a whole, so that later ones are not either. */
static bool keep_section(session_kept *kept, const c2c_session *session, const c2c_plan *plan,
                         const new_section *n, int64_t limit) {
    int64_t rows = same_rows(session, plan, n, kept->fused, min_i64(limit, n->end));
    if (kept->fused == n->start) {
        int64_t fused = same_fused(session, plan, n, rows);
        if (fused == n->end) {
            kept->fused = kept->rows = fused;
            return true;
        }
        /* The rest of a fused section is run on the clean rows of its beginning. */
        if (session->keeps_clean || (session->include_response && !n->seen) || !n->mask ||
            session_replaces(session, n->mask))
            kept->fused = fused;
    }
    if (session->include_response && !n->seen) {
        kept->rows = kept->fused; /* the others come from the clean copy */
        return false;
    }
    if (!session->keeps_clean) {
        int64_t clean = n->start;
        while (clean < rows && !session->rows[clean].mask)
            clean++;
        rows = clean;
    }
    /* Where rows before fusion are never computed, those that are fused take their place. */
    kept->rows = max_i64(rows, kept->fused);
    return rows == n->end;
}

/* Sections [0, count - 1) and the start of the last one, whose last token is always run. */
static session_kept find_kept(const c2c_session *session, const c2c_plan *plan,
                              const c2c_section *sections, size_t count) {
    session_kept kept = {0};
    int64_t last = plan->token_count - 1, seen = 0, start = 0;
    while (plan->ids[last] == C2C_PADDING)
        last--;
    int64_t limit = min_i64(session->receiver.position, last);
    for (size_t i = 0; i < count; i++) {
        bool response = i + 1 == count;
        new_section n = {.start = start,
                         .end = start + sections[i].length,
                         .seen = seen,
                         .mask = response ? 0 : max_i64(0, sections[i].mask)};
        if ((response && session->include_response) ||
            !keep_section(&kept, session, plan, &n, limit))
            break;
        if (n.mask)
            seen = n.end;
        start = n.end;
    }
    return kept;
}

/* ---- The next turn ------------------------------------------------------------------------ */

/* A companion of the response runs over all of it. */
static void rewind_lane(const c2c_session *session, session_lane *lane, const int32_t *ids,
                        int64_t count, int64_t response) {
    int64_t common = lane_common(lane, ids, count);
    lane_rewind(lane, session->include_response ? min_i64(common, response) : common);
}

static void rewind_lanes(c2c_session *session, const c2c_plan *plan, const session_kept *kept,
                         int64_t response) {
    lane_rewind(&session->receiver, kept->rows);
    rewind_lane(session, &session->clean, plan->ids, plan->token_count, response);
    for (size_t s = 0; s < session->pair_count; s++)
        rewind_lane(session, &session->sharers[s], plan_sharer_ids(plan, s), plan->token_count,
                    response);
}

static int64_t sharers_run(const c2c_session *session) {
    int64_t sum = 0;
    for (size_t s = 0; s < session->pair_count; s++)
        sum += session->sharers[s].tokens_run;
    return sum;
}

c2c_status c2c_session_extend(c2c_session *session, const c2c_plan *plan, c2c_extension *extension,
                              c2c_error *error) {
    c2c_section *sections;
    size_t count;
    if (extension)
        *extension = (c2c_extension){0};
    c2c_status status = ARGUMENTS_CHECK(error, {"session", session}, {"plan", plan});
    if (status)
        return status;
    status = session_check_plan(&sections, &count, session, plan, error);
    if (status)
        return status;
    session_kept kept = find_kept(session, plan, sections, count);
    rewind_lanes(session, plan, &kept, plan->token_count - sections[count - 1].length);
    int64_t receiver = session->receiver.tokens_run + session->clean.tokens_run;
    int64_t sharers = sharers_run(session);
    status = session_run_plan(session, plan, sections, count, &kept, NULL, error);
    free(sections);
    if (!status && extension)
        *extension = (c2c_extension){.kept = kept.rows,
                                     .receiver_ran = session->receiver.tokens_run +
                                                     session->clean.tokens_run - receiver,
                                     .sharers_ran = sharers_run(session) - sharers};
    return status;
}
