/* network_parts.h - inside the training network. network.c owns what learns, network_memory.c what
 * a step works in, network_plan.c lays a batch out in rows, network_pass.c runs its passes and
 * fusions, network_run.c is the step. */
#ifndef C2C_TRAIN_NETWORK_PARTS_H
#define C2C_TRAIN_NETWORK_PARTS_H

#include "graph/graph.h"
#include "train/network.h"

/* Rows that a fuser's networks see at once: the weights' gradients are walked over once for so
 * many. Kinds that look at whole sections see those, however long. */
#define TRAINING_FUSE_ROWS 256

/* Floats of scratch of one call of a fuser, about: of more networks than that only some run at a
 * time, so that what one op writes is still in a cache when the next one reads it. */
#define TRAINING_FUSE_FLOATS ((int64_t)4 << 20)

/* A fuser with weights in the network's memory, and no files. */
typedef struct learner {
    c2c_fuser fuser;
    const void ***gates;   /* [stacks][P] logits of gates of one number; NULL: no gates */
    int32_t *stack_groups; /* [stacks] networks of the stacks before it: names in random numbers */
} learner;

/* ---- A batch as rows (network_plan.c) ------------------------------------------------------- */

/* One section of one sample. */
typedef struct section_rows {
    int64_t start, end;                  /* positions */
    int32_t mask;                        /* 0: not fused */
    int64_t count;                       /* the receiver's tokens; of a fused section all models' */
    int64_t row;                         /* cache row of the first, as later sections see it */
    int64_t clean_row;                   /* the same before fusion */
    int64_t sharer_row[C2C_MAX_SHARERS]; /* -1: the sharer does not run it */
} section_rows;

/* One pass of one model over one section of all samples, or over all sections (sharers). Tables are
 * offsets into the plan's integers. */
typedef struct pass_plan {
    int64_t rows, sequences;
    int64_t ids, positions, index, q_start, range_start, ranges, wanted;
    int64_t graded_rows, graded; /* rows of the pass that are graded, and which */
    int64_t graded_first;        /* the place of the first among all that are graded */
} pass_plan;

/* Sections of several samples with one mask, whose rows follow each other in every cache. */
typedef struct run_plan {
    int32_t mask;
    size_t first, count; /* of plan.order of that round */
    int64_t rows;
    int64_t samples, positions; /* tables [rows], offsets */
} run_plan;

/* Section i of all samples. */
typedef struct round_plan {
    size_t order_first, order_count; /* samples in the order of their rows */
    pass_plan pass;                  /* the receiver's; rows 0: not needed */
    size_t run_first, run_count;
    bool recorded; /* gradients flow through the pass */
} round_plan;

typedef struct batch_plan {
    arena *memory;
    const training_sample *samples;
    size_t sample_count, round_count;
    int64_t first_sample;    /* in the step's whole batch */
    section_rows **sections; /* [samples][its sections] */
    size_t *order;
    round_plan *rounds;
    run_plan *runs;
    pass_plan *sharers; /* [pairs] */
    int32_t *integers;  /* all tables */
    int64_t integer_count, integer_room;
    int32_t *labels;           /* [graded] */
    int64_t graded, labels_at; /* offset of labels in the integers */
    int64_t receiver_rows;     /* of the receiver's cache */
    int64_t stage_row;         /* where fused rows of all but the last sharer lie, one after the
                                  other for each sharer */
    int64_t stage_rows;        /* for one sharer */
    int64_t *sharer_rows;      /* [pairs] of their caches */
    int64_t most_rows;         /* of one pass of the receiver */
    int64_t most_section;      /* rows of the longest fused section */
    int64_t most_fused;        /* rows of one call of a fuser */
    int64_t noise;             /* uniform numbers */
} batch_plan;

/* Lays out a batch of checked samples. The plan's memory is used again by the next one. */
c2c_status batch_plan_make(batch_plan *plan, const training_network *n,
                           const training_sample *samples, size_t count, uint32_t first_sample,
                           c2c_error *error);

/* The most rows of one call of a stack, of `rows` that are to be fused in sections of at most
 * `section` rows. */
int64_t stack_block_rows(const projector_stack *stack, int64_t rows, int64_t section);
/* How many networks of a stack one call of `rows` rows runs; and the most rows of networks that one
 * call has, when it has up to `rows` rows. */
int32_t stack_call_networks(const projector_stack *stack, int64_t rows);
int64_t stack_call_places(const projector_stack *stack, int64_t rows);
/* Numbers that gates of one row are drawn with, by all networks of the stack; 0: none are drawn. */
int64_t stack_noise(const projector_stack *stack);

/* ---- What a step works in (network_memory.c) ------------------------------------------------- */

/* Sizes of a step's memory; grown to the largest batch so far. */
typedef struct step_sizes {
    int64_t receiver_rows, most_rows, most_section, most_fused, graded, integers, noise;
    int64_t sharer_rows[C2C_MAX_SHARERS];
} step_sizes;

typedef struct step_memory {
    step_sizes sizes;
    size_t bytes;
    kv_cache cache, cache_shadow; /* the receiver's, and gradients */
    decoder_scratch scratch;
    float *scratch_shadow;
    kv_cache sharer_caches[C2C_MAX_SHARERS];
    decoder_scratch sharer_scratch[C2C_MAX_SHARERS];
    float *fuse, *fuse_shadow; /* scratch of the fusers, then of results in parallel fusion */
    int64_t fuse_floats, result_floats;
    int64_t summary_floats;
    float *summary, *summary_shadow;
    float *graded, *graded_shadow; /* [graded, E] */
    float *normed, *normed_shadow; /* the same behind the last norm */
    float *losses;                 /* [graded] */
    float *logits;                 /* [logit_rows, V] */
    int64_t logit_rows;
    float *noise;
    int32_t *integers;
    float *host_noise, *host_losses;
} step_memory;

/* Makes sure that the plan fits, and tells the tape how much is left for copies. */
c2c_status step_memory_fit(training_network *n, const batch_plan *plan, c2c_error *error);
void step_memory_release(training_network *n);

/* What one fuser takes over from another (network_fuser.c): projector_<i>.json, which says f32 from
 * then on, and the layer map. */
c2c_status description_copy(json_document **to, const json_document *from, c2c_error *error);
c2c_status layer_map_copy(layer_map *to, const layer_map *from, c2c_error *error);

/* ---- The network --------------------------------------------------------------------------- */

struct training_network {
    tape *tape;
    backend *inner;
    training_options options;
    c2c_model receiver; /* behind the tape */
    const c2c_model *sharers[C2C_MAX_SHARERS];
    learner learners[C2C_MAX_SHARERS];
    size_t pair_count;
    training_parameters parameters;
    training_tensor *tensors;
    batch_plan plan;
    step_memory memory;
    bool cleared;        /* gradients count as 0, whatever they hold */
    size_t limit;        /* of the memory of a step, copies included; 0: what the machine has */
    const void **tables; /* for one call of a projector */
};

/* The sharers' passes, and the receiver's of a round (network_pass.c). */
void network_run_sharers(training_network *n);
void network_run_receiver(training_network *n, size_t round);
/* The fusions of a round, which draw from the noise behind what earlier ones have drawn
 * (network_fuse.c). */
void network_fuse(training_network *n, size_t round, const training_step *step,
                  int64_t *noise_used);

#endif
