/* fuser_trainee.h - for this room only: a training network and its samples as the loop's trainee.
 */
#ifndef C2C_TRAIN_FUSER_TRAINEE_H
#define C2C_TRAIN_FUSER_TRAINEE_H

#include "train/network.h"
#include "train/train.h"

/* Where samples come from; both functions get `user`. */
typedef struct sample_source {
    void *user;
    /* *samples is [count], valid until the next call; they have been checked. */
    c2c_status (*fill)(void *user, const uint32_t *rows, size_t count,
                       const training_sample **samples, c2c_error *error);
    void (*name)(void *user, uint32_t row, buffer *name);
} sample_source;

typedef struct fuser_trainee {
    training_network *network;
    sample_source source;
    size_t fusers;
    tensor_format format; /* that fusers are saved in */
} fuser_trainee;

/* The network and the source are the caller's, and outlive the trainee, which owns nothing. */
void fuser_trainee_init(fuser_trainee *f, trainee *t, training_network *network,
                        const sample_source *source, size_t fusers, tensor_format format);

#endif
