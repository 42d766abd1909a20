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

/* What a model's lanes share, be it the one of a lone session or those of all sessions of a batch:
 * the pool of rows, and what one forward pass needs. A pass takes the next tokens of one lane, or
 * of several together. */
typedef struct lane_pool {
    const c2c_model *model; /* NULL: there is no memory */
    kv_cache cache;         /* the rows of all lanes */
    decoder_scratch scratch;
    decoder_batch batch; /* the tables of the pass that comes next */
    int64_t chunk;       /* tokens of one pass */
    int64_t lanes;       /* that may take part in one */
    int64_t range_capacity;
    struct session_lane **members; /* host: [lanes] whose tokens are in the batch */
    int64_t *member_rows;          /* host: [lanes] how many each */
    int32_t *host;       /* [3][chunk]: ids, positions and rows on their way to the backend */
    int32_t *starts;     /* [2][lanes + 1]: q_start and range_start on their way */
    cache_range *ranges; /* [lanes * range_capacity] on their way */
    bool stepping;       /* the batch holds a step of the members, that step_advance can move on */
} lane_pool;

/* Room for `lanes` lanes of `rows` rows and `positions` positions each. */
c2c_status lane_pool_init(lane_pool *pool, const c2c_model *model, dtype cache_type, int64_t lanes,
                          int64_t positions, int64_t rows, int64_t chunk, c2c_error *error);
void lane_pool_deinit(lane_pool *pool);

/* One model's side of a session. Its rows are 0 .. used-1 of its part of the pool, in order of
 * position; positions that hold padding have no row, and end a range. */
typedef struct session_lane {
    const c2c_model *model;
    lane_pool *pool;
    kv_cache cache;      /* its part of the pool: a view */
    int64_t first;       /* row of the pool that is row 0 here */
    int64_t rows;        /* of its part */
    int64_t used;        /* rows */
    int64_t position;    /* of the next token: used, and padding so far */
    int32_t *ids;        /* host: what each position holds, padding too */
    int64_t tokens_run;  /* since the session was opened */
    cache_range *ranges; /* host: where the rows are */
    int64_t range_count, range_capacity;
    prefill_watch *watch;
} session_lane;

/* Lane `i` of a pool, with room for `positions` positions, and `spare` rows behind them that hold
 * no position. */
c2c_status lane_init(session_lane *lane, lane_pool *pool, int64_t i, int64_t positions,
                     int64_t spare, prefill_watch *watch, c2c_error *error);
void lane_deinit(session_lane *lane);
void lane_reset(session_lane *lane);

/* Takes up to a chunk of ids, C2C_PADDING among them, as the batch of the next pass, and makes
 * them rows of the lane. Returns the number of tokens, padding not counted: 0 needs no pass. */
int64_t lane_push(session_lane *lane, const int32_t *ids, int64_t count);

/* A pass over the pool's batch, which watched prefills of its lanes count. */
void pool_forward(lane_pool *pool, int layers, decoder_goal goal);

/* Runs ids through the first `layers` layers, for their keys and values alone. */
void lane_run(session_lane *lane, const int32_t *ids, int64_t count, int layers);

/* Brings the lane to position `end` of a prompt, unless it stands there or behind it. The first
 * runs the ids that are missing; the second leaves their rows to be written by somebody else. */
void lane_run_to(session_lane *lane, const int32_t *prompt, int64_t end, int layers);
void lane_place_to(session_lane *lane, const int32_t *prompt, int64_t end);

/* Positions from the first one on that hold what `ids` has there. */
int64_t lane_common(const session_lane *lane, const int32_t *ids, int64_t count);
/* The row of the first token at or behind a position. */
int64_t lane_row(const session_lane *lane, int64_t position);
/* Forgets everything from `position` on. */
void lane_rewind(session_lane *lane, int64_t position);

/* Lets positions from `start` on, where no padding follows, live `offset` rows behind their place;
 * lane_put_back ends that. What the rows hold is the caller's business. */
void lane_set_aside(session_lane *lane, int64_t start, int64_t offset);
void lane_put_back(session_lane *lane, int64_t offset);

/* Makes the pool's batch stand just before the next position of `count` of its lanes:
 * op_step_advance then moves it on, on the backend, to the tokens that are chosen there. */
void lanes_begin_steps(session_lane *const *lanes, size_t count);
/* Whether it stands just before them, or at their latest tokens. */
bool lanes_stand(session_lane *const *lanes, size_t count);
/* Moves it on, from the beginning where it does not stand there: next[i] is chosen, and is ids[i],
 * as the host knows by now. */
void lanes_step_advance(session_lane *const *lanes, size_t count, const int32_t *next,
                        const int32_t *ids);

/* ---- Sessions (session.c, batch.c, prefill.c, fuse_section.c, generate.c, turn.c) --------- */

/* A row of the receiver that the response made (include_response): no mask is equal to it. */
#define MASK_RESPONSE INT32_MIN

/* What the receiver's row of a position is: `mask` as in c2c_section, 0 for no fusion. It was
 * computed in a section from `section` on, by a token that saw the positions before `seen` as they
 * were fused, and all later ones as the receiver computed them. */
typedef struct row_state {
    int32_t mask, section, seen;
} row_state;

/* What a prompt need not run again: positions before `fused` hold the rows that it will make;
 * positions before `rows` (>= fused) have the receiver's rows as it computes them, before fusion.
 */
typedef struct session_kept {
    int64_t fused, rows;
} session_kept;

/* An answer that is being written. */
typedef struct session_answer {
    bool begun;   /* and not ended */
    bool chosen;  /* `id` is there, and was not run yet */
    int32_t id;   /* the latest token */
    int64_t most; /* tokens */
    c2c_generation done;
    text_stream stream;
    buffer text;
    c2c_token_callback callback;
    void *user;
} session_answer;

struct c2c_session {
    c2c_batch *batch; /* whose memory it uses */
    backend *backend;
    int64_t context; /* positions of each lane */
    int64_t chunk;
    prefill_watch watch;
    c2c_fusion_mode fusion_mode;
    bool include_response;
    session_lane receiver;
    row_state *rows;    /* [context] by position of the receiver */
    int32_t seen;       /* of the response's rows */
    bool keeps_clean;   /* the receiver's rows before fusion lie `context` rows behind the fused
                           ones, for positions with a mask */
    session_lane clean; /* include_response: the receiver, never fused */
    size_t pair_count;
    const c2c_pair *pairs;        /* [pair_count] the batch's */
    session_lane *sharers;        /* [pair_count]; without memory where it was released */
    fuse_scratch *fuse_scratches; /* [pair_count] the batch's */
    float *logits;                /* [1, V] backend memory: after a prefill */
    c2c_sampling sampling;        /* with 1 where 0 means off */
    int32_t *counts;              /* [1, V] backend memory: ids of prompt and answer so far */
    bool ready;                   /* the logits are there */
    session_answer answer;
};

/* Sessions of the same models that can be advanced together: each has its part of every pool, and
 * all use the same scratch. A session that was opened alone is a batch of one. */
struct c2c_batch {
    c2c_session_options options;
    backend *backend;
    bool lone; /* closed with its session */
    size_t count;
    c2c_session *sessions;  /* [count] */
    const c2c_model *model; /* the receiver */
    int64_t context, chunk; /* of each session */
    bool keeps_clean;
    size_t pair_count;
    c2c_pair *pairs;              /* [pair_count] */
    lane_pool receiver, clean;    /* clean: only with include_response */
    lane_pool *sharers;           /* [pair_count]; without memory where it was released */
    fuse_scratch *fuse_scratches; /* [pair_count] */
    sample_candidate *candidates; /* [1, V] backend memory */
    float *logits;                /* [count, V] backend memory: of the latest step */
    int32_t *next;                /* [count] backend memory: the tokens that were chosen last */
    int32_t *ids;                 /* [count] the same on the host */
    c2c_session **stepping;       /* [count] who takes a step */
    session_lane **lanes;         /* [count] theirs, in one pool */
};

/* The memory of the sharers' side: makes it where there is none; frees it. */
c2c_status batch_need_sharers(c2c_batch *batch, c2c_error *error);
void batch_free_sharers(c2c_batch *batch);

/* Bytes that one token of a session takes in the caches of all lanes. */
int64_t batch_row_bytes(const c2c_batch *batch);

/* Session `i` of a batch; `spare` as in lane_init, of the receiver's lane. */
c2c_status session_init(c2c_session *session, c2c_batch *batch, size_t i, int64_t spare,
                        c2c_error *error);
void session_deinit(c2c_session *session);

/* Frees what an answer needed while it was written; one that has not ended is given up. */
void session_end_answer(c2c_session *session);

/* Prefill that also hands out the logits of every token of the last section: `logits` is
 * [last section's length, V] on the host, or NULL. Rows of padding are left as they are. */
c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error);

/* Checks a plan, and that there is room for it; *sections is to be freed. */
c2c_status session_check_plan(c2c_section **sections, size_t *count, c2c_session *session,
                              const c2c_plan *plan, c2c_error *error);
/* Runs a checked plan after what is kept of an earlier one, from where the lanes stand. Fails only
 * when it is cancelled; the session is empty then. */
c2c_status session_run_plan(c2c_session *session, const c2c_plan *plan, const c2c_section *sections,
                            size_t count, const session_kept *kept, float *logits,
                            c2c_error *error);

/* The rows of a pool are numbered with 32 bits, kept clean ones among them. */
#define BATCH_MOST_POSITIONS (INT64_C(1) << 29)

/* Says what the receiver's rows of positions start .. end-1, a section, are; and of the last
 * `count` positions, which are the response (turn.c). */
void session_record(c2c_session *session, int64_t start, int64_t end, int32_t mask, int64_t seen);
void session_record_response(c2c_session *session, int64_t count);

/* After a prefill: the logits [V] that the first token of an answer is chosen from, on the host. */
c2c_status session_logits(const c2c_session *session, float *logits, c2c_error *error);
/* Runs one given token; `logits` [V] on the host, or NULL. */
c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error);

/* Copies the receiver's rows of one layer: keys and values [session->receiver.used][G * D] of the
 * cache's type. */
void session_cache_read(const c2c_session *session, int layer, void *keys, void *values);

/* Fuses `count` rows of the receiver from receiver_row on with the sharers that mask selects, whose
 * rows start at sharer_rows[s] (fuse_section.c). */
void session_fuse(c2c_session *session, int64_t receiver_row, const int64_t *sharer_rows,
                  int64_t count, int32_t mask);

/* Whether what becomes of a row depends on the whole section, for a fuser that mask selects. */
bool session_fuses_whole(const c2c_session *session, int32_t mask);

/* Whether the receiver's own rows of a section with this mask are read by nothing, so that they
 * need not be computed. */
bool session_replaces(const c2c_session *session, int32_t mask);

/* include_response: makes the receiver's rows from `row` on, which its lane has pushed already, of
 * the clean copy's and the sharers' rows of the same tokens. */
void session_fuse_response(c2c_session *session, int64_t row, int64_t count);

#endif
