/* network_run.c - one step of the network: passes and fusions round by round, the loss a few rows
 * at a time, and the tape backwards. */
#include "train/network_parts.h"

/* ---- The loss ----------------------------------------------------------------------------- */

/* Logits of graded rows, their losses, and with `learn` what flows back into the normalised rows.
 */
static void grade(training_network *n, bool learn, float scale) {
    step_memory *m = &n->memory;
    const c2c_model *model = &n->receiver;
    const model_config *c = &model->config;
    /* parts of about the same size, that none is small */
    int64_t parts = (n->plan.graded + m->logit_rows - 1) / m->logit_rows;
    for (int64_t done = 0, rows; done < n->plan.graded; done += rows, parts--) {
        const float *x = m->normed + done * c->embedding;
        float *dx = m->normed_shadow + done * c->embedding;
        rows = (n->plan.graded - done + parts - 1) / parts;
        op_linear(n->inner, &(linear_args){.y = &m->logits,
                                           .x = &x,
                                           .w = &model->head.data,
                                           .groups = 1,
                                           .w_type = model->head.type,
                                           .math = model->math,
                                           .rows = rows,
                                           .in = c->embedding,
                                           .out = c->vocabulary,
                                           .y_stride = c->vocabulary,
                                           .x_stride = c->embedding,
                                           .w_stride = c->embedding});
        op_cross_entropy(n->inner,
                         &(cross_entropy_args){.losses = m->losses + done,
                                               .logits = m->logits,
                                               .labels = m->integers + n->plan.labels_at + done,
                                               .rows = rows,
                                               .features = c->vocabulary,
                                               .stride = c->vocabulary,
                                               .scale = scale,
                                               .loss_only = !learn});
        if (!learn)
            continue;
        const float *dy = m->logits;
        op_linear_backward_x(n->inner, &(linear_backward_x_args){.dx = &dx,
                                                                 .dy = &dy,
                                                                 .w = &model->head.data,
                                                                 .groups = 1,
                                                                 .w_type = model->head.type,
                                                                 .math = model->math,
                                                                 .rows = rows,
                                                                 .in = c->embedding,
                                                                 .out = c->vocabulary,
                                                                 .dx_stride = c->embedding,
                                                                 .dy_stride = c->vocabulary,
                                                                 .w_stride = c->embedding});
    }
}

static void norm_graded(training_network *n) {
    step_memory *m = &n->memory;
    const c2c_model *model = &n->receiver;
    int64_t e = model->config.embedding;
    const float *x = m->graded;
    op_rmsnorm(model->backend, &(rmsnorm_args){.y = &m->normed,
                                               .x = &x,
                                               .w = &model->final_norm.data,
                                               .groups = 1,
                                               .w_type = model->final_norm.type,
                                               .rows = n->plan.graded,
                                               .features = e,
                                               .y_stride = e,
                                               .x_stride = e,
                                               .epsilon = model->config.norm_epsilon});
}

/* ---- The step ----------------------------------------------------------------------------- */

/* Everything up to the normalised rows that are graded. */
static void run_forward(training_network *n, const training_step *step) {
    int64_t noise_used = 0;
    network_run_sharers(n);
    for (size_t r = 0; r < n->plan.round_count; r++) {
        network_run_receiver(n, r);
        if (n->plan.rounds[r].run_count == 0)
            continue;
        if (step->learn)
            tape_record(n->tape);
        network_fuse(n, r, step, &noise_used);
    }
    if (n->plan.graded > 0)
        norm_graded(n);
}

static double sum_losses(training_network *n) {
    const step_memory *m = &n->memory;
    double sum = 0;
    backend_download(n->inner, m->host_losses, m->losses,
                     (size_t)n->plan.graded * sizeof *m->losses);
    for (int64_t i = 0; i < n->plan.graded; i++)
        sum += m->host_losses[i];
    return sum;
}

c2c_status training_network_run(training_network *n, const training_sample *samples, size_t count,
                                const training_step *step, training_result *result,
                                c2c_error *error) {
    *result = (training_result){0};
    c2c_status status = batch_plan_make(&n->plan, n, samples, count, step->first_sample, error);
    if (!status)
        status = step_memory_fit(n, &n->plan, error);
    if (status)
        return status;
    backend_upload(n->inner, n->memory.integers, n->plan.integers,
                   (size_t)n->plan.integer_count * sizeof *n->plan.integers);
    if (step->learn && n->cleared)
        tape_clear_gradients(n->tape);
    run_forward(n, step);
    /* Without a fused section before them, graded tokens depend on nothing that learns. */
    bool learn = step->learn && n->plan.graded > 0 && tape_needs(n->tape, n->memory.normed);
    grade(n, learn, learn ? step->scale / (float)n->plan.graded : 0);
    if (step->learn)
        status = tape_backward(n->tape, error);
    if (step->learn && !status)
        n->cleared = false;
    result->tokens = n->plan.graded;
    result->loss_sum = sum_losses(n);
    tape_reset(n->tape);
    if (status == C2C_STATUS_OUT_OF_MEMORY)
        step_memory_release(n); /* a smaller batch shall have it */
    return status;
}
