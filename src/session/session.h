/* session.h - one conversation: cache rows of the receiver and its sharers, plans run section by
 * section, decoding. What is said to whom in which words is the caller's business. */
#ifndef C2C_SESSION_H
#define C2C_SESSION_H

#include "fuser/fuser.h"

/* ---- Plans (plan.c) ----------------------------------------------------------------------- */

/* Checks ids, lengths and masks of a plan against the models. *sections is a new array to free:
 * the plan's sections without empty ones, or the usual plan where it has none. */
c2c_status plan_check(c2c_section **sections, size_t *count, const c2c_plan *plan,
                      const c2c_model *receiver, const c2c_pair *pairs, size_t pair_count,
                      c2c_error *error);

/* ---- Sessions (session.c, prefill.c, generate.c) ------------------------------------------ */

/* One model's side of a session. Its rows are 0 .. used-1 of its own pool, in order of position. */
typedef struct session_lane {
    const c2c_model *model;
    kv_cache cache;
    int64_t used;
    decoder_scratch scratch;
    decoder_batch batch;
} session_lane;

struct c2c_session {
    backend *backend;
    int64_t context; /* rows of each lane */
    int64_t chunk;   /* tokens of one forward pass */
    session_lane receiver;
    size_t pair_count;
    c2c_pair *pairs;              /* [pair_count] */
    session_lane *sharers;        /* [pair_count] */
    fuse_scratch *fuse_scratches; /* [pair_count] */
    float *logits;                /* [1, V] backend memory: of the last token that was run */
    int32_t *next;                /* [1] backend memory: the token that the logits choose */
    int32_t *tokens;              /* [chunk] host: tables on their way to the backend */
    bool ready;                   /* the logits are there */
};

/* Bytes that one token takes in the caches of all models of a session. */
int64_t session_row_bytes(const c2c_model *receiver, const c2c_pair *pairs, size_t pair_count);

/* Prefill that also hands out the logits of every token of the last section: `logits` is
 * [last section's length, V] on the host, or NULL. */
c2c_status session_prefill_logits(c2c_session *session, const c2c_plan *plan, float *logits,
                                  c2c_error *error);

/* Runs one given token through the receiver; `logits` [V] on the host, or NULL. */
c2c_status session_step(c2c_session *session, int32_t id, float *logits, c2c_error *error);

/* Copies the receiver's rows of one layer: keys and values [session->receiver.used][G * D]. */
void session_cache_read(const c2c_session *session, int layer, float *keys, float *values);

#endif
