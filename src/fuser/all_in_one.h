/* all_in_one.h - inside AllInOneProjector: what its options mean and where its weights stand among
 * the slots. all_in_one_config.c reads the options and lists the slots, all_in_one_projector.c
 * computes with them. */
#ifndef C2C_FUSER_ALL_IN_ONE_H
#define C2C_FUSER_ALL_IN_ONE_H

#include "fuser/fuser.h"

/* What a gate or weight is one number for. */
typedef enum granularity {
    GRANULARITY_SCALAR = 0,  /* the section */
    GRANULARITY_TOKEN,       /* a token */
    GRANULARITY_HEAD,        /* a kv head of a token, made from that head */
    GRANULARITY_HEAD_MERGED, /* a kv head of a token, made from all of the token's heads */
    GRANULARITY_VALUE,       /* an element of a kv head of a token */
    GRANULARITY_COUNT
} granularity;

/* What gates and weights may be made from; the order in which features are concatenated. */
typedef enum feature {
    FEATURE_TARGET_KEY = 0,
    FEATURE_TARGET_VALUE,
    FEATURE_PROJECTED_KEY,
    FEATURE_PROJECTED_VALUE,
    FEATURE_COUNT
} feature;

static inline int64_t feature_count(const all_in_one_logits *logits) {
    return __builtin_popcount((uint32_t)logits->features);
}

static inline bool reads_projection(const all_in_one_logits *logits) {
    return logits->features >> FEATURE_PROJECTED_KEY != 0;
}

/* ---- Slots (all_in_one_config.c) ---------------------------------------------------------- */

/* Of an MLP that generates gates, or the hidden layers of weights. */
enum {
    GENERATOR_IN, /* weight, bias, as everywhere */
    GENERATOR_NORM = GENERATOR_IN + 2,
    GENERATOR_OUT = GENERATOR_NORM + 2,
    GENERATOR_SLOTS = GENERATOR_OUT + 2,
};

/* The first of a projection layer: its linear, SwiGLU's second linear, its norm; the last layer is
 * a linear alone. */
int all_in_one_layer_slot(const projector_spec *spec, int layer);
int all_in_one_combiner_slot(const projector_spec *spec);
/* The weights themselves, or the linear that each branch ends with, then the shared generator. */
int all_in_one_weight_slot(const projector_spec *spec);
/* The gates themselves when they are more than one number, or their generator. */
int all_in_one_gate_slot(const projector_spec *spec);

/* Numbers that a linear makes for one row of what `logits` are made from. */
int64_t all_in_one_outputs(const projector_spec *spec, const all_in_one_logits *logits);
/* Elements of one row of what `logits` are made from. */
int64_t all_in_one_inputs(const projector_spec *spec, const all_in_one_logits *logits);

/* ---- The computation (all_in_one_projector.c), see projector_kind --------------------------- */

int64_t all_in_one_scratch(const projector_spec *spec);
int64_t all_in_one_summary(const projector_spec *spec);
void all_in_one_survey(const projector_stack *stack, const projector_call *call);
void all_in_one_forward(const projector_stack *stack, const projector_call *call);

#endif
