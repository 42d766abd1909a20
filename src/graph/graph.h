/* graph.h - the tape: a backend that hands every op on to another one, and, while it records, keeps
 * what is needed to run their backward ops in reverse. Models and projectors do not know of it:
 * they call ops on a backend, and this is one.
 *
 * Gradients live in *shadows*: memory of the same layout as what they are gradients of, found by
 * address. Which memory has a shadow the owner of the tape says (tape_watch). The gradient of an
 * op's output is the shadow of what it wrote; its backward op adds to the shadows of what it read.
 * Since memory is written again and again by a forward pass, the tape copies what a backward op
 * will read of it, and the shadow of what was written dies (becomes 0) once its op has been
 * replayed: before, the memory held another value.
 *
 * What needs no gradient costs nothing: an op of whose inputs none depends on learned memory is run
 * and forgotten. */
#ifndef C2C_GRAPH_H
#define C2C_GRAPH_H

#include "backend/backend.h"

typedef struct tape tape;

/* Kinds of watched memory. Memory that is not watched never needs gradients, and must not change
 * between recording and tape_backward (weights, tables of a batch, the sharers' rows). */
typedef enum tape_memory {
    TAPE_REUSED = 0, /* scratch: written many times */
    TAPE_ONCE,       /* a place is written at most once between two resets: rows of a cache */
    TAPE_LEARNED     /* weights: never written, their gradients always wanted, never reset */
} tape_memory;

/* `inner` must live longer. */
c2c_status tape_open(tape **t, backend *inner, c2c_error *error);
void tape_close(tape *t);
/* What models and projectors are to call. Not recording, it is `inner`. */
backend *tape_backend(tape *t);

/* Watches bytes of memory of `inner`; `shadow` is as large, of `inner`, all 0. Pieces that ops take
 * as a whole (a pool of rows) are watched one by one. */
c2c_status tape_watch(tape *t, tape_memory kind, const void *memory, size_t bytes, void *shadow,
                      c2c_error *error);
/* Forgets all watched memory, which may then be released; the tape must be reset. */
void tape_unwatch(tape *t);

/* From here on ops are recorded. */
void tape_record(tape *t);
/* Between these two, nothing is kept but what the ops read that was there before: they are run
 * again when their turn comes in tape_backward. */
void tape_recompute_begin(tape *t);
void tape_recompute_end(tape *t);
/* One flag for each range of the attention ops that follow: whether its rows need gradients.
 * Backend memory; NULL: all do. */
void tape_set_wanted(tape *t, const int32_t *wanted);

/* Whether watched memory depends on learned memory now. */
bool tape_needs(const tape *t, const void *memory);
/* Where the gradient of watched memory is. */
float *tape_shadow(const tape *t, const void *memory);

/* The gradients of learned memory count as 0 from here on, whatever they hold, until the next
 * tape_backward: it writes what it would add to them, and leaves nothing of them unwritten. */
void tape_clear_gradients(tape *t);

/* Stops recording and replays backwards what was recorded, from the gradients that were put into
 * shadows. Fails, here or for what happened since the last reset, when memory for copies ran out:
 * then gradients of learned memory are not whole. */
c2c_status tape_backward(tape *t, c2c_error *error);
/* Forgets what was recorded and makes all shadows 0 but those of learned memory. The memory for
 * copies is kept, so that the next step of this size asks for none. */
void tape_reset(tape *t);

/* Copies may take up so many bytes in all; more is a failure like any lack of memory. */
void tape_set_limit(tape *t, size_t bytes);

/* Bytes of copies that were held at most, and ops that are recorded. */
size_t tape_bytes(const tape *t);
size_t tape_length(const tape *t);

#endif
