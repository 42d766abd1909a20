/* training.c - the public calls: a recipe, its data and two or more models become a trainee, which
 * the loop trains or measures. */
#include "train/data.h"
#include "train/fuser_trainee.h"

#include <math.h>
#include <stdlib.h>

/* The optimizer's constants, which recipes do not set. */
#define BETA1   0.9
#define BETA2   0.999
#define EPSILON 1e-8

/* Steps that are taken to measure one. */
#define MEASURED_STEPS 4

typedef struct training {
    const c2c_train_options *options;
    const c2c_model *receiver;
    const c2c_model *const *sharers;
    size_t sharer_count;
    train_recipe recipe;
    buffer recipe_text;
    c2c_fuser *fusers[C2C_MAX_SHARERS];
    data_set *data;
    data_batch batch;
    training_network *network;
    fuser_trainee fuser_trainee;
    trainee trainee;
    uint32_t *rows; /* of the data, those to be trained on first */
    int64_t train_rows;
    train_options loop;
} training;

static bool tell(const training *t, c2c_train_event event) {
    return !t->options->callback || t->options->callback(t->options->user, &event);
}

/* ---- Samples ------------------------------------------------------------------------------ */

static c2c_status fill(void *user, const uint32_t *rows, size_t count,
                       const training_sample **samples, c2c_error *error) {
    training *t = user;
    c2c_status status = data_batch_fill(&t->batch, t->data, rows, count, error);
    *samples = t->batch.samples;
    return status;
}

static void name_row(void *user, uint32_t row, buffer *name) {
    data_set_name(((training *)user)->data, row, name);
}

static bool reading(void *user, int64_t rows, double share) {
    (void)rows;
    return tell(user, (c2c_train_event){.kind = C2C_TRAIN_EVENT_READING, .share = share});
}

static c2c_status open_data(training *t, c2c_error *error) {
    const c2c_train_options *o = t->options;
    const train_recipe *r = &t->recipe;
    const data_options options = {.type = r->data_type,
                                  .kwargs = r->data_kwargs,
                                  .where = r->where,
                                  .models = {.receiver = t->receiver,
                                             .sharers = t->sharers,
                                             .sharer_count = t->sharer_count,
                                             .align = r->align,
                                             .strategy = r->align_strategy,
                                             .max_length = r->max_length},
                                  .places = {o->data_folders, o->data_folder_count, o->caches,
                                             o->cache_count},
                                  .progress = reading,
                                  .progress_user = t};
    buffer help = {0};
    c2c_status status = data_set_open(&t->data, &options, &help, error);
    if (status && help.length)
        tell(t, (c2c_train_event){.kind = C2C_TRAIN_EVENT_HELP, .text = help.data});
    buffer_free(&help);
    return status;
}

/* Says which files are not there, how many rows are left out, and why. */
static int64_t note_left_out(const training *t) {
    int64_t left_out = 0;
    const char *names;
    int missing = data_set_missing(t->data, &names);
    if (missing > 0) {
        buffer text = {0};
        buffer_printf(&text, "%d tasks have no file and are left out: %s", missing, names);
        if (!text.failed)
            tell(t, (c2c_train_event){.kind = C2C_TRAIN_EVENT_NOTE, .text = text.data});
        buffer_free(&text);
    }
    for (int fate = ROW_KEPT + 1; fate < ROW_FATES; fate++) {
        int64_t rows = data_set_rows(t->data, (row_fate)fate);
        const char *reason = data_set_reason(t->data, (row_fate)fate);
        buffer text = {0};
        left_out += rows;
        if (rows == 0)
            continue;
        buffer_printf(&text, "%lld rows are left out: %s%s%s", (long long)rows,
                      row_fate_text((row_fate)fate), *reason ? "; the first: " : "", reason);
        if (!text.failed)
            tell(t, (c2c_train_event){.kind = C2C_TRAIN_EVENT_NOTE, .text = text.data});
        buffer_free(&text);
    }
    return left_out;
}

/* Every sample is checked once, before anything is trained. */
static c2c_status check_samples(training *t, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < data_set_count(t->data) && !status; i++) {
        const training_sample *s = NULL;
        buffer name = {0};
        data_set_name(t->data, i, &name);
        status = fill(t, &(uint32_t){(uint32_t)i}, 1, &s, error);
        if (!status)
            status = training_sample_check(t->network, s, name.data ? name.data : "", error);
        buffer_free(&name);
    }
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static c2c_status open_recipe(training *t, c2c_error *error) {
    const c2c_train_options *o = t->options;
    c2c_status status =
        train_recipe_open(&t->recipe, o->recipe, o->settings, o->setting_count, error);
    if (status)
        return status;
    for (size_t i = 0; i < t->recipe.note_count; i++)
        tell(t, (c2c_train_event){.kind = C2C_TRAIN_EVENT_NOTE, .text = t->recipe.notes[i]});
    json_write_value(&t->recipe_text, json_root(t->recipe.document), 0);
    buffer_append_char(&t->recipe_text, '\n');
    if (t->recipe_text.failed)
        return error_memory(error, t->recipe_text.length, "the recipe");
    if (t->recipe.sharer_count != t->sharer_count)
        return error_set(error, C2C_STATUS_MISMATCH, "%s: expected %zu sharers, found %zu",
                         t->recipe.where, t->recipe.sharer_count, t->sharer_count);
    return C2C_STATUS_OK;
}

static void close_fusers(training *t) {
    for (size_t i = 0; i < C2C_MAX_SHARERS; i++) {
        c2c_fuser_close(t->fusers[i]);
        t->fusers[i] = NULL;
    }
}

static c2c_status open_network(training *t, c2c_error *error) {
    c2c_pair pairs[C2C_MAX_SHARERS];
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < t->sharer_count && !status; i++) {
        /* Equal fusers would learn the same, so each starts from a seed of its own. */
        const c2c_recipe recipe = {.text = t->recipe_text.data, .seed = t->recipe.seed + i};
        status = c2c_fuser_new(&t->fusers[i], t->receiver, t->sharers[i], &recipe, error);
        pairs[i] = (c2c_pair){t->sharers[i], t->fusers[i]};
    }
    const training_options options = {.fusion_mode = t->recipe.fusion_mode,
                                      .recompute = t->recipe.recompute};
    if (!status)
        status = training_network_open(&t->network, t->receiver, pairs, t->sharer_count, &options,
                                       error);
    /* The network has copies of its own. */
    close_fusers(t);
    const sample_source source = {.user = t, .fill = fill, .name = name_row};
    if (!status)
        fuser_trainee_init(&t->fuser_trainee, &t->trainee, t->network, &source, t->sharer_count,
                           t->recipe.save_format);
    return status;
}

/* The numbers of the loop. */
static c2c_status plan_loop(training *t, c2c_error *error) {
    const train_recipe *r = &t->recipe;
    int64_t count = data_set_count(t->data);
    train_options *o = &t->loop;
    t->rows = malloc(((size_t)count + 1) * sizeof *t->rows);
    if (!t->rows)
        return error_memory(error, (size_t)count * sizeof *t->rows, "the order of rows");
    t->train_rows = order_split(t->rows, count, r->train_ratio, r->seed);
    *o = (train_options){.adamw = {BETA1, BETA2, EPSILON, r->weight_decay},
                         .schedule = {.rate = r->learning_rate},
                         .max_gradient_norm = r->max_grad_norm,
                         .seed = r->seed,
                         .data = (int64_t)data_set_checksum(t->data),
                         .train_rows = t->rows,
                         .eval_rows = t->rows + t->train_rows,
                         .eval_count = count - t->train_rows,
                         .eval_steps = r->eval_steps,
                         .save_steps = r->save_steps,
                         .keep_last = r->keep_last,
                         .folder = t->options->folder ? t->options->folder : r->output_dir,
                         .title = r->where,
                         .recipe = t->recipe_text.data,
                         .resume = t->options->resume,
                         .callback = t->options->callback,
                         .user = t->options->user};
    if (!o->folder)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: output: expected \"output_dir\", found no such key; say where to "
                         "write",
                         r->where);
    if (!schedule_find(&o->schedule.kind, r->scheduler))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: training.scheduler_type: expected linear, cosine, "
                         "cosine_with_restarts, polynomial, constant, constant_with_warmup or "
                         "inverse_sqrt, found \"%s\"",
                         r->where, r->scheduler);
    c2c_status status = step_plan_init(&o->plan, t->train_rows, r->batch, r->accumulation,
                                       r->num_epochs, r->max_steps, error);
    o->schedule.total = o->plan.steps;
    o->schedule.warmup = r->warmup_steps >= 0
                             ? r->warmup_steps
                             : schedule_warmup_steps(r->warmup_ratio, o->plan.steps);
    return status;
}

static c2c_status training_open(training *t, const c2c_model *receiver,
                                const c2c_model *const *sharers, size_t sharer_count,
                                const c2c_train_options *options, bool writes, c2c_error *error) {
    const argument needed[] = {{"receiver", receiver},
                               {"sharers", sharers},
                               {"options", options},
                               {"options->recipe", options ? options->recipe : NULL}};
    *t = (training){.options = options,
                    .receiver = receiver,
                    .sharers = sharers,
                    .sharer_count = sharer_count};
    c2c_status status = error_arguments(error, "c2c_train", needed, sizeof needed / sizeof *needed);
    if (status)
        return status;
    if (sharer_count < 1 || sharer_count > C2C_MAX_SHARERS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "training: expected 1 to %d sharers, found %zu", C2C_MAX_SHARERS,
                         sharer_count);
    for (size_t i = 0; i < sharer_count; i++)
        if (!sharers[i])
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "sharer %zu: must not be NULL",
                             i + 1);
    status = open_recipe(t, error);
    const char *folder = status || options->folder ? options->folder : t->recipe.output_dir;
    /* Known before a large data set is read. */
    if (!status && writes && folder)
        status = train_check_folder(folder, options->resume, error);
    if (!status)
        status = open_network(t, error);
    if (!status)
        status = open_data(t, error);
    if (!status)
        status = check_samples(t, error);
    return status ? status : plan_loop(t, error);
}

static void training_close(training *t) {
    data_batch_deinit(&t->batch);
    data_set_close(t->data);
    training_network_close(t->network);
    close_fusers(t);
    free(t->rows);
    buffer_free(&t->recipe_text);
    train_recipe_close(&t->recipe);
}

static void describe(const training *t, c2c_train_summary *s) {
    const step_plan *p = &t->loop.plan;
    c2c_model_info info;
    c2c_model_describe(t->receiver, &info);
    s->trainable = training_network_parameters(t->network)->parameters;
    s->parameters = s->trainable + info.parameters;
    for (size_t i = 0; i < t->sharer_count; i++) {
        c2c_model_describe(t->sharers[i], &info);
        s->parameters += info.parameters;
    }
    s->train_rows = t->train_rows;
    s->eval_rows = t->loop.eval_count;
    s->longest_row = data_set_longest(t->data);
    s->rows_per_step = p->batch * p->accumulation;
    s->steps_per_epoch = p->steps_per_epoch;
    s->steps = p->steps;
    s->memory_available = system_memory_available();
}

/* How many parameters there are is what people ask first. */
static void tell_loaded(const training *t) {
    c2c_train_summary s = {0};
    buffer text = {0};
    describe(t, &s);
    buffer_printf(
        &text, "%lld parameters, of which %lld learn; %lld rows to train on, %lld to evaluate on",
        (long long)s.parameters, (long long)s.trainable, (long long)s.train_rows,
        (long long)s.eval_rows);
    if (!text.failed)
        tell(t, (c2c_train_event){.kind = C2C_TRAIN_EVENT_LOADED, .text = text.data});
    buffer_free(&text);
}

c2c_status c2c_train(const c2c_model *receiver, const c2c_model *const *sharers,
                     size_t sharer_count, const c2c_train_options *options, c2c_error *error) {
    training t;
    c2c_status status = training_open(&t, receiver, sharers, sharer_count, options, true, error);
    if (!status) {
        note_left_out(&t);
        tell_loaded(&t);
        status = train_run(&t.trainee, &t.loop, error);
    }
    training_close(&t);
    return status;
}

/* ---- Checking ----------------------------------------------------------------------------- */

typedef struct row_length {
    uint32_t row;
    int64_t tokens;
} row_length;

static int longest_first(const void *a, const void *b) {
    const row_length *x = a, *y = b;
    if (x->tokens != y->tokens)
        return x->tokens < y->tokens ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

static c2c_status list_lengths(training *t, row_length **lengths, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    *lengths = malloc(((size_t)t->train_rows + 1) * sizeof **lengths);
    if (!*lengths)
        return error_memory(error, (size_t)t->train_rows * sizeof **lengths, "lengths of rows");
    for (int64_t i = 0; i < t->train_rows && !status; i++) {
        const training_sample *s;
        status = fill(t, &t->rows[i], 1, &s, error);
        if (!status)
            (*lengths)[i] = (row_length){t->rows[i], s->tokens};
    }
    if (!status)
        qsort(*lengths, (size_t)t->train_rows, sizeof **lengths, longest_first);
    return status;
}

/* What a step holds after the gradient of a batch of these rows. */
typedef struct probe {
    double tokens, bytes;
} probe;

static c2c_status probe_take(probe *p, training *t, const row_length *rows, int64_t count,
                             c2c_error *error) {
    train_result result;
    uint32_t *numbers = malloc((size_t)count * sizeof *numbers);
    if (!numbers)
        return error_memory(error, (size_t)count * sizeof *numbers, "rows of a batch");
    p->tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = rows[i].row;
        p->tokens += (double)rows[i].tokens;
    }
    const train_batch batch = {.rows = numbers, .count = count, .seed = t->recipe.seed, .scale = 1};
    c2c_status status = t->trainee.gradient(t->trainee.user, &batch, &result, error);
    p->bytes = (double)training_network_bytes(t->network);
    free(numbers);
    return status;
}

/* The longest rows of a batch: a quarter of them, and then half, say how much there is for each
 * token and how much anyway. Where half has no room, what the quarter takes is shared out among its
 * tokens. */
static c2c_status probe_both(probe probes[2], training *t, const row_length *lengths,
                             c2c_error *error) {
    int64_t most = min_i64(t->recipe.batch, t->train_rows), few = max_i64(1, most / 4);
    double fixed = (double)training_network_bytes(t->network);
    c2c_status status;
    /* Without a place for a message nobody looks for the rows that fit. */
    while ((status = probe_take(&probes[0], t, lengths, few, few > 1 ? NULL : error)) ==
               C2C_STATUS_OUT_OF_MEMORY &&
           few > 1)
        few /= 2;
    if (status)
        return status;
    int64_t more = max_i64(few + 1, most / 2);
    if (more <= most && !probe_take(&probes[1], t, lengths, more, NULL))
        return C2C_STATUS_OK;
    probes[1] = probes[0];
    probes[0] = (probe){0, fixed};
    return C2C_STATUS_OK;
}

/* Mapped weights are touched as they are used, and then take memory like everything else. */
static double weight_bytes(const training *t) {
    c2c_model_info info;
    c2c_model_describe(t->receiver, &info);
    double bytes = (double)info.weight_bytes;
    for (size_t i = 0; i < t->sharer_count; i++) {
        c2c_model_describe(t->sharers[i], &info);
        bytes += (double)info.weight_bytes;
    }
    return bytes;
}

/* What the longest rows of one batch will take, and how many of them have room. */
static c2c_status foresee_memory(training *t, c2c_train_summary *s, c2c_error *error) {
    row_length *lengths;
    probe probes[2];
    double held = (double)training_network_bytes(t->network) + (double)data_set_bytes(t->data);
    c2c_status status = list_lengths(t, &lengths, error);
    if (!status)
        status = probe_both(probes, t, lengths, error);
    if (!status) {
        double more = probes[1].tokens - probes[0].tokens, tokens = 0, need = 0;
        double each = more > 0 ? (probes[1].bytes - probes[0].bytes) / more : 0;
        double others = (double)data_set_bytes(t->data) + weight_bytes(t) +
                        training_network_saving(t->network) +
                        2.0 * sizeof(float) * (double)t->trainee.count;
        int64_t most = min_i64(t->recipe.batch, t->train_rows);
        if (s->memory_available >= 0)
            s->memory_available += (int64_t)held;
        for (int64_t i = 0; i < most; i++) {
            tokens += (double)lengths[i].tokens;
            need = probes[0].bytes + others + each * (tokens - probes[0].tokens);
            if (s->memory_available < 0 || need <= (double)s->memory_available)
                s->batch_that_fits = i + 1 == most ? t->recipe.batch : i + 1;
        }
        s->memory_bytes = (int64_t)need;
    }
    free(lengths);
    return status;
}

c2c_status c2c_train_check(const c2c_model *receiver, const c2c_model *const *sharers,
                           size_t sharer_count, const c2c_train_options *options,
                           c2c_train_summary *summary, c2c_error *error) {
    training t;
    c2c_status status = ARGUMENTS_CHECK(error, {"summary", summary});
    if (status)
        return status;
    *summary = (c2c_train_summary){0};
    status = training_open(&t, receiver, sharers, sharer_count, options, false, error);
    if (!status) {
        summary->left_out = note_left_out(&t);
        describe(&t, summary);
        status = foresee_memory(&t, summary, error);
    }
    if (!status && summary->batch_that_fits >= t.recipe.batch)
        status = train_measure(&t.trainee, &t.loop, MEASURED_STEPS, &summary->seconds_per_step,
                               &summary->tokens_per_second, error);
    training_close(&t);
    return status;
}
