/* network.h - what learns, and one pass of it: two or more frozen models, the fusers between them
 * with f32 weights of their own, and the gradients of a batch's loss. Which samples make a batch,
 * what an optimizer does with the gradients, and what is written to disk, others decide.
 *
 * A batch is packed: the samples are sequences of one pass of each model, without padding. Section
 * i of all samples makes one pass of the receiver. Passes before the first fused section, and all
 * of the sharers', are run without the tape: no gradient ever flows there. */
#ifndef C2C_TRAIN_NETWORK_H
#define C2C_TRAIN_NETWORK_H

#include "fuser/fuser.h"

#define LABEL_NONE (-100) /* a token that is not supervised */

/* One chat as rows of tokens: a c2c_plan with labels. All pointers are the caller's and are read
 * during the call only. */
typedef struct training_sample {
    const int32_t *ids;               /* [tokens] the receiver's, or C2C_PADDING */
    const int32_t *const *sharer_ids; /* [pairs][tokens]; NULL: the receiver's ids */
    const int32_t *labels;            /* [tokens] the id that the token shall be, or LABEL_NONE: the
                                         receiver's last token before it is what is graded */
    int64_t tokens;
    const c2c_section *sections; /* as in c2c_plan: a fused section holds no padding, the last
                                    section is never fused */
    size_t section_count;
} training_sample;

/* A tensor that learns. Elements offset .. offset + count - 1 of the buffers of parameters and
 * gradients; what lies between tensors is 0 in both, and stays 0. */
typedef struct training_tensor {
    char name[PROJECTOR_TENSOR_NAME]; /* as in projector_<i>'s file */
    int fuser, projector;
    tensor view; /* type and shape; no data */
    int64_t offset, count;
    bool gate; /* one number that opens a gate where it is above 0 */
} training_tensor;

/* The uniform number in (0, 1) of one gate, for tests that bring their own. `position` is the
 * token's place in its sample; `element` is 0 where a head has one number. */
typedef float (*training_draw)(void *user, int fuser, int layer, branch which, int64_t sample,
                               int64_t position, int64_t head, int64_t element);

typedef struct training_options {
    c2c_fusion_mode fusion_mode;
    bool
        recompute; /* keep only what decoder layers and fusers read, and run them again backwards */
} training_options;

typedef struct training_step {
    uint64_t seed;
    uint32_t step;         /* optimizer steps done before this one: also sets the temperatures */
    uint32_t first_sample; /* the number of samples[0] within the step's whole batch */
    bool learn;            /* add gradients, with soft gates and dropout; else the loss alone, as
                              inference computes it */
    float scale;           /* gradients are those of scale * mean loss of these samples */
    bool no_dropout;
    training_draw draw; /* or NULL: the counter generator draws */
    void *draw_user;
} training_step;

typedef struct training_result {
    double loss_sum; /* cross-entropies in nats; loss_sum / tokens is the loss */
    int64_t tokens;  /* that were supervised; 0: no gradient was added */
} training_result;

typedef struct training_network training_network;

/* Fusers start with the weights of pairs[i].fuser, which are copied: those fusers may be closed
 * then. The models must live as long as the network. */
c2c_status training_network_open(training_network **network, const c2c_model *receiver,
                                 const c2c_pair *pairs, size_t pair_count,
                                 const training_options *options, c2c_error *error);
void training_network_close(training_network *network);

/* The whole of what learns, in backend memory: two buffers of `elements` floats (a multiple of 16).
 * The order depends on the fusers' options alone. */
typedef struct training_parameters {
    backend *backend;
    float *values, *gradients;
    int64_t elements;   /* with the zeros between tensors */
    int64_t parameters; /* without */
    const training_tensor *tensors;
    size_t tensor_count;
} training_parameters;
const training_parameters *training_network_parameters(const training_network *network);

/* Checks a sample against the network: ids, labels, sections, lengths. `name` begins the message.
 */
c2c_status training_sample_check(const training_network *network, const training_sample *sample,
                                 const char *name, c2c_error *error);
/* Tokens that a sample would be graded on. */
int64_t training_sample_tokens(const training_sample *sample);

/* One forward pass, and with step->learn one backward pass, which ADDS to the gradients. The
 * samples were checked. Fails where there is no memory for a batch of this size; then nothing was
 * added. */
c2c_status training_network_run(training_network *network, const training_sample *samples,
                                size_t count, const training_step *step, training_result *result,
                                c2c_error *error);

/* Gradients count as 0 from here on: the next training_network_run that learns writes them, where
 * it would add to them, and leaves nothing of them unwritten. */
void training_network_clear_gradients(training_network *network);

/* The temperature of the first projector that has one, after `step` optimizer steps; 1 where none
 * has. */
float training_network_temperature(const training_network *network, uint32_t step);
/* Gates of one number that are open (logit > 0), and how many there are. Waits for queued ops. */
void training_network_gates(const training_network *network, int64_t *open, int64_t *count);

/* Steps work in so many bytes at most (weights and their gradients aside); 0: in what the machine
 * has available when a step asks for more than the ones before it. */
void training_network_set_limit(training_network *network, size_t bytes);

/* Bytes that the network holds now: parameters, gradients, activations of the largest batch so far.
 */
size_t training_network_bytes(const training_network *network);
/* Bytes that it takes to save what was learnt, which steps leave alone. */
double training_network_saving(const training_network *network);

/* Fuser `index` as it is now, in f32 and with the temperatures after `step` steps, to be saved or
 * used like any other; c2c_fuser_close it. */
c2c_status training_network_fuser(const training_network *network, size_t index, uint32_t step,
                                  c2c_fuser **fuser, c2c_error *error);

#endif
