/* session.h - one conversation: cache rows of the receiver and its sharers, plans run section by
 * section, decoding. What is said to whom in which words is the caller's business. */
#ifndef C2C_SESSION_H
#define C2C_SESSION_H

#include "fuser/fuser.h"

/* ---- Plans (plan.c) ----------------------------------------------------------------------- */

/* The row of ids that sharer s reads. */
static inline const int32_t *plan_sharer_ids(const c2c_plan *plan, size_t s) {
    return plan->sharer_ids ? plan->sharer_ids[s] : plan->ids;
}

/* Checks ids, lengths and masks of a plan against a session's models. *sections is a new array to
 * free: the plan's sections without empty ones, or the usual plan where it has none. */
c2c_status plan_check(c2c_section **sections, size_t *count, const c2c_plan *plan,
                      const c2c_session *session, c2c_error *error);

/* ---- Lanes (lane.c) ----------------------------------------------------------------------- */

/* Who watches a prefill, and whether it goes on. Once it is cancelled no lane runs anything. */
typedef struct prefill_watch {
    c2c_progress_callback callback; /* or NULL */
    void *user;
    bool active; /* a prefill is running */
    bool cancelled;
    int64_t done, total; /* tokens of all lanes */
} prefill_watch;

/* One model's side of a session. Its rows are 0 .. used-1 of its own pool, in order of position;
 * positions that hold padding have no row, and end a range. */
typedef struct session_lane {
    const c2c_model *model;
    kv_cache cache;
    int64_t used;        /* rows */
    int64_t position;    /* of the next token: used, and padding so far */
    cache_range *ranges; /* host: where the rows are */
    int64_t range_count, range_capacity;
    decoder_scratch scratch;
    decoder_batch batch;
    int32_t *host; /* [3][chunk]: ids, positions and rows on their way to the backend */
    int64_t chunk; /* tokens of one forward pass */
    prefill_watch *watch;
} session_lane;

/* Room for `positions` positions, and `spare` rows behind them that hold no position. */
c2c_status lane_init(session_lane *lane, const c2c_model *model, int64_t positions, int64_t spare,
                     int64_t chunk, prefill_watch *watch, c2c_error *error);
void lane_deinit(session_lane *lane);
void lane_reset(session_lane *lane);

/* Takes up to a chunk of ids, C2C_PADDING among them, as the batch of the next pass, and makes
 * them rows of the lane. Returns the number of tokens, padding not counted: 0 needs no pass. */
int64_t lane_push(session_lane *lane, const int32_t *ids, int64_t count);

/* A pass over the batch, which a watched prefill counts. */
void lane_forward(session_lane *lane, int layers, decoder_goal goal);

/* Runs ids through the first `layers` layers, for their keys and values alone. */
void lane_run(session_lane *lane, const int32_t *ids, int64_t count, int layers);

/* Makes the batch stand just before the next position: op_step_advance then moves it on, on the
 * backend, to a token that is chosen there. */
void lane_begin_steps(session_lane *lane);
void lane_step_advance(session_lane *lane, const int32_t *next);

/* ---- Sessions (session.c, prefill.c, fuse_section.c, generate.c) -------------------------- */

struct c2c_session {
    backend *backend;
    int64_t context; /* positions of each lane */
    int64_t chunk;
    prefill_watch watch;
    c2c_fusion_mode fusion_mode;
    bool include_response;
    session_lane receiver;
    session_lane clean; /* include_response: the receiver, never fused */
    size_t pair_count;
    c2c_pair *pairs;              /* [pair_count] */
    session_lane *sharers;        /* [pair_count]; without memory where it was released */
    fuse_scratch *fuse_scratches; /* [pair_count] */
    float *logits;                /* [1, V] backend memory: of the last token that was run */
    int32_t *next;                /* [1] backend memory: the token that the logits choose */
    c2c_sampling sampling;        /* with 1 where 0 means off */
    sample_candidate *candidates; /* [1, V] backend memory */
    int32_t *counts;              /* [1, V] backend memory: ids of prompt and answer so far */
    bool ready;                   /* the logits are there */
};

/* Bytes that one token takes in the caches of all lanes. */
int64_t session_row_bytes(const c2c_session *session);

/* Makes the memory of the sharers' side where there is none. */
c2c_status session_need_sharers(c2c_session *session, c2c_error *error);

/* Prefill that also hands out the logits of every token of the last section: `logits` is
 * [last section's length, V] on the host, or NULL. Rows of padding are left as they are. */
c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error);

/* Runs one given token; `logits` [V] on the host, or NULL. */
c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error);

/* Copies the receiver's rows of one layer: keys and values [session->receiver.used][G * D]. */
void session_cache_read(const c2c_session *session, int layer, float *keys, float *values);

/* Fuses `count` rows of the receiver from receiver_row on with the sharers that mask selects, whose
 * rows start at sharer_rows[s] (fuse_section.c). */
void session_fuse(c2c_session *session, int64_t receiver_row, const int64_t *sharer_rows,
                  int64_t count, int32_t mask);

/* include_response: makes the receiver's rows from `row` on, which its lane has pushed already, of
 * the clean copy's and the sharers' rows of the same tokens. */
void session_fuse_response(c2c_session *session, int64_t row, int64_t count);

#endif
