/* lone_fuser.h - projectors without models: rows of caches go in as numbers, fused rows come out.
 * For the golden projector cases and for tests of single projector kinds. */
#ifndef C2C_LONE_FUSER_H
#define C2C_LONE_FUSER_H

#include "fuser/fuser.h"

/* Receiver layer i reads sharer layer i through projector_<i> of a folder. */
typedef struct lone_fuser {
    backend *backend;
    c2c_model receiver, sharer; /* sizes alone */
    c2c_fuser fuser;
    fuse_scratch scratch;
} lone_fuser;

/* Opens projector_0 .. projector_<layers-1>, whose sizes must be equal. */
c2c_status lone_fuser_open(lone_fuser *f, backend *b, const char *folder, int layers,
                           c2c_error *error);
void lone_fuser_close(lone_fuser *f);

/* Fuses `rows` rows as one section: sharer, receiver and out are [layers][2][rows][features] of the
 * host. With accumulate, out holds the receiver's rows plus the difference, as several sharers in
 * parallel make it: in blocks that are written one after the other. */
void lone_fuser_run(lone_fuser *f, int64_t rows, const float *sharer, const float *receiver,
                    float *out, bool accumulate);

int64_t lone_fuser_receiver_features(const lone_fuser *f);
int64_t lone_fuser_sharer_features(const lone_fuser *f);

#endif
