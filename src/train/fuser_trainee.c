/* fuser_trainee.c - the loop's view of a training network: rows become samples, gradients are the
 * network's, and what was learnt is saved as fusers are published. */
#include "train/fuser_trainee.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int64_t receiver_tokens(const training_sample *s) {
    int64_t tokens = 0;
    for (int64_t i = 0; i < s->tokens; i++)
        tokens += s->ids[i] != C2C_PADDING;
    return tokens;
}

static training_step step_of(const train_batch *batch, bool learn) {
    return (training_step){.seed = batch->seed,
                           .step = (uint32_t)batch->step,
                           .first_sample = (uint32_t)batch->first,
                           .learn = learn,
                           .scale = (float)batch->scale};
}

/* The most rows of a batch that have room, found by halves; what they leave in the gradients is of
 * no use to anybody. 0: not even one. */
static int64_t rows_that_fit(fuser_trainee *f, const train_batch *batch,
                             const training_sample *samples, bool learn) {
    const training_step step = step_of(batch, learn);
    training_result ignored;
    int64_t rows = batch->count;
    while (rows > 1) {
        rows /= 2;
        if (training_network_run(f->network, samples, (size_t)rows, &step, &ignored, NULL) ==
            C2C_STATUS_OK)
            return rows;
    }
    return 0;
}

/* What to do where a batch has no room: fewer rows at a time, and more times. */
static void add_what_fits(fuser_trainee *f, const train_batch *batch,
                          const training_sample *samples, bool learn, int64_t tokens,
                          c2c_error *error) {
    if (!error || error->code != C2C_STATUS_OUT_OF_MEMORY)
        return;
    int64_t rows = rows_that_fit(f, batch, samples, learn);
    if (rows > 0)
        error_set(error, error->code,
                  "%s; of a batch of %lld rows with %lld tokens %lld rows fit: use "
                  "training.per_device_train_batch_size=%lld with more "
                  "gradient_accumulation_steps, or training.recompute=true",
                  error->message, (long long)batch->count, (long long)tokens, (long long)rows,
                  (long long)rows);
    else
        error_set(error, error->code,
                  "%s; of a batch of %lld rows with %lld tokens not even one row fits: use a lower "
                  "training.max_length, or training.recompute=true",
                  error->message, (long long)batch->count, (long long)tokens);
}

static c2c_status run(fuser_trainee *f, const train_batch *batch, bool learn, train_result *result,
                      c2c_error *error) {
    int64_t tokens = 0;
    training_result got = {0};
    const training_sample *samples;
    *result = (train_result){0};
    c2c_status status =
        f->source.fill(f->source.user, batch->rows, (size_t)batch->count, &samples, error);
    if (status)
        return status;
    for (int64_t i = 0; i < batch->count; i++)
        tokens += receiver_tokens(&samples[i]);
    const training_step step = step_of(batch, learn);
    status = training_network_run(f->network, samples, (size_t)batch->count, &step, &got, error);
    if (status)
        add_what_fits(f, batch, samples, learn, tokens, error);
    *result = (train_result){.loss_sum = got.loss_sum, .supervised = got.tokens, .tokens = tokens};
    return status;
}

static void clear(void *user) {
    training_network_clear_gradients(((fuser_trainee *)user)->network);
}

static c2c_status gradient(void *user, const train_batch *batch, train_result *result,
                           c2c_error *error) {
    return run(user, batch, true, result, error);
}

static c2c_status evaluate(void *user, const train_batch *batch, train_result *result,
                           c2c_error *error) {
    return run(user, batch, false, result, error);
}

/* One fuser is the folder itself; several stand in folders of their own, in the sharers' order. */
static c2c_status save_fuser(const fuser_trainee *f, size_t index, const char *folder, int64_t done,
                             c2c_error *error) {
    char name[32];
    c2c_fuser *fuser = NULL;
    snprintf(name, sizeof name, "sharer_%zu", index + 1);
    char *path = f->fusers > 1 ? path_join(folder, name) : string_copy(folder);
    c2c_status status = path ? C2C_STATUS_OK : error_memory(error, strlen(folder), "a folder name");
    if (!status && f->fusers > 1 && mkdir(path, 0777) != 0)
        status = error_set(error, C2C_STATUS_IO, "%s: cannot make a folder", path);
    if (!status)
        status = training_network_fuser(f->network, index, (uint32_t)done, &fuser, error);
    if (!status)
        status = fuser_write(fuser, path, f->format, DTYPE_COUNT, error);
    c2c_fuser_close(fuser);
    free(path);
    return status;
}

static c2c_status save(void *user, const char *folder, int64_t done, c2c_error *error) {
    const fuser_trainee *f = user;
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < f->fusers && !status; i++)
        status = save_fuser(f, i, folder, done, error);
    return status;
}

static void gates(void *user, int64_t *open, int64_t *count) {
    training_network_gates(((fuser_trainee *)user)->network, open, count);
}

static double temperature(void *user, int64_t done) {
    return (double)training_network_temperature(((fuser_trainee *)user)->network, (uint32_t)done);
}

static void row_name(void *user, uint32_t row, buffer *name) {
    const fuser_trainee *f = user;
    f->source.name(f->source.user, row, name);
}

void fuser_trainee_init(fuser_trainee *f, trainee *t, training_network *network,
                        const sample_source *source, size_t fusers, tensor_format format) {
    const training_parameters *p = training_network_parameters(network);
    *f = (fuser_trainee){.network = network, .source = *source, .fusers = fusers, .format = format};
    *t = (trainee){.user = f,
                   .backend = p->backend,
                   .parameters = p->values,
                   .gradients = p->gradients,
                   .count = p->elements,
                   .clear = clear,
                   .gradient = gradient,
                   .evaluate = evaluate,
                   .save = save,
                   .gates = gates,
                   .temperature = temperature,
                   .row_name = row_name};
}
