/* random_pair.h - models and a fuser of any size with random weights, for measuring time and memory
 * only: what they answer means nothing. */
#ifndef C2C_TEST_RANDOM_PAIR_H
#define C2C_TEST_RANDOM_PAIR_H

#include "c2c.h"

typedef struct random_model {
    const char *family; /* "qwen3" or "qwen2" */
    int64_t layers, embedding, feed_forward, heads, kv_heads, head_dim;
    int64_t vocabulary; /* at least the tokenizer's */
    int64_t context;
} random_model;

/* The sizes of Qwen3-0.6B and of Qwen2.5-0.5B. */
extern const random_model random_receiver, random_sharer;

/* Writes OUT/receiver, OUT/sharer and OUT/fuser (C2CProjectors of size `hidden` with open gates, or
 * with `pure` projectors that replace the receiver's rows; one for each layer of the receiver,
 * last_aligned), all bf16; OUT must not be there. The tokenizer's files are copied from a model
 * folder. */
c2c_status random_pair_write(const char *out, const random_model *receiver,
                             const random_model *sharer, int64_t hidden, bool pure,
                             const char *tokenizer, c2c_error *error);

#endif
