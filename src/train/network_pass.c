/* network_pass.c - passes of the frozen models over a planned batch: the same layers as at
 * inference, called behind the tape for the receiver. */
#include "train/network_parts.h"

static decoder_batch batch_of(const training_network *n, backend *b, const pass_plan *pass) {
    int32_t *integers = n->memory.integers;
    return (decoder_batch){.backend = b,
                           .rows = pass->rows,
                           .sequences = pass->sequences,
                           .ids = integers + pass->ids,
                           .positions = integers + pass->positions,
                           .index = integers + pass->index,
                           .q_start = integers + pass->q_start,
                           .range_start = integers + pass->range_start,
                           .ranges = (cache_range *)(integers + pass->ranges)};
}

/* Up to the last layer that is mapped. */
void network_run_sharers(training_network *n) {
    step_memory *m = &n->memory;
    for (size_t s = 0; s < n->pair_count; s++) {
        const pass_plan *pass = &n->plan.sharers[s];
        decoder_batch batch = batch_of(n, n->inner, pass);
        if (pass->rows > 0)
            decoder_forward(n->sharers[s], &m->sharer_scratch[s], &m->sharer_caches[s], &batch,
                            n->learners[s].fuser.sharer_layers, DECODER_CACHE);
    }
}

/* Only a pass with graded tokens goes on behind its last keys and values. */
void network_run_receiver(training_network *n, size_t round) {
    step_memory *m = &n->memory;
    const pass_plan *pass = &n->plan.rounds[round].pass;
    const c2c_model *model = &n->receiver;
    decoder_batch batch = batch_of(n, model->backend, pass);
    int layers = model->config.layers;
    int64_t e = model->config.embedding;
    if (pass->rows == 0)
        return;
    tape_set_wanted(n->tape, m->integers + pass->wanted);
    decoder_begin(model, &m->scratch, &batch);
    for (int i = 0; i < layers; i++) {
        if (n->options.recompute)
            tape_recompute_begin(n->tape);
        decoder_layer(model, &m->scratch, &m->cache, &batch, i, true,
                      i == layers - 1 && pass->graded_rows == 0);
        tape_recompute_end(n->tape);
    }
    if (pass->graded_rows > 0)
        op_gather_rows(model->backend, &(gather_rows_args){.y = m->graded + pass->graded_first * e,
                                                           .x = m->scratch.x,
                                                           .index = m->integers + pass->graded,
                                                           .rows = pass->graded_rows,
                                                           .features = e,
                                                           .y_stride = e,
                                                           .x_stride = e});
}
