/* loop.c - training: steps of batches, evaluations, checkpoints, in the order that the step's
 * number says. Nothing here depends on what came before but through the parameters, the moments and
 * the number of steps done, so a run that goes on is the run that was not stopped. */
#include "train/train.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* Rows that a message names; the rest are counted. */
#define NAMED_ROWS 8

typedef struct run {
    const trainee *t;
    const train_options *o;
    optimizer optimizer;
    train_log log;
    uint32_t *order; /* [plan.rows] places in train_rows, of one epoch */
    uint32_t *rows;  /* [plan.batch] of one batch */
    int64_t epoch;   /* that `order` is of, or -1 */
    int64_t step;    /* done */
    int64_t saved;   /* the step of the newest checkpoint, or -1 */
    bool cancelled;
} run;

/* ---- Telling ------------------------------------------------------------------------------ */

static void tell(run *r, c2c_train_event event) {
    event.step = r->step;
    event.steps = r->o->plan.steps;
    if (r->o->callback && !r->o->callback(r->o->user, &event))
        r->cancelled = true;
}

static void note(void *user, const char *message) {
    tell(user, (c2c_train_event){.kind = C2C_TRAIN_EVENT_NOTE, .text = message});
}

static double wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Says what the user has after a failure. */
static void add_last_checkpoint(const run *r, c2c_error *error) {
    if (!error || error->code == C2C_STATUS_CANCELLED)
        return;
    if (r->saved >= 0)
        error_set(error, error->code, "%s; the last good checkpoint is %s/checkpoint-%lld",
                  error->message, r->o->folder, (long long)r->saved);
    else
        error_set(error, error->code, "%s; there is no checkpoint yet", error->message);
}

/* ---- One step ----------------------------------------------------------------------------- */

/* What a step comes to. */
typedef struct step_sum {
    double loss; /* mean of the batches' losses */
    int64_t tokens;
} step_sum;

static double epochs_done(const run *r) {
    const step_plan *p = &r->o->plan;
    return (double)r->step / (double)p->steps_per_epoch;
}

/* The rows of a batch of the step's epoch. */
static train_batch make_batch(run *r, const step_window *w, int64_t index) {
    const step_plan *p = &r->o->plan;
    int64_t first, count = step_plan_batch(p, w->first_batch + index, &first);
    if (r->epoch != w->epoch)
        order_permute(r->order, p->rows, r->o->seed, (uint32_t)w->epoch, RANDOM_SITE_ORDER);
    r->epoch = w->epoch;
    for (int64_t i = 0; i < count; i++)
        r->rows[i] = r->o->train_rows[r->order[first + i]];
    return (train_batch){.rows = r->rows,
                         .count = count,
                         .seed = r->o->seed,
                         .step = r->step,
                         .first = index * p->batch,
                         .scale = 1 / (double)p->accumulation};
}

static void name_rows(const run *r, const train_batch *batch, buffer *names) {
    for (int64_t i = 0; i < batch->count && i < NAMED_ROWS; i++) {
        buffer_append_text(names, i ? ", " : "");
        r->t->row_name(r->t->user, batch->rows[i], names);
    }
    if (batch->count > NAMED_ROWS)
        buffer_printf(names, " and %lld more", (long long)(batch->count - NAMED_ROWS));
}

/* What is infinite or no number would spoil every parameter. */
static c2c_status refuse(const run *r, const train_batch *batch, const char *what, double value,
                         c2c_error *error) {
    buffer names = {0};
    name_rows(r, batch, &names);
    c2c_status status =
        error_set(error, C2C_STATUS_MISMATCH,
                  "step %lld: %s is %s (rows: %s); a lower training.learning_rate or a look at "
                  "these rows may help",
                  (long long)(r->step + 1), what, isnan(value) ? "not a number" : "infinite",
                  names.data ? names.data : "");
    buffer_free(&names);
    return status;
}

static void clear_gradients(const run *r) {
    if (r->t->clear) {
        r->t->clear(r->t->user);
        return;
    }
    op_zero(r->t->backend,
            &(zero_args){.y = r->t->gradients, .bytes = r->t->count * (int64_t)sizeof(float)});
}

/* Adds up the gradients of all batches of the step. */
static c2c_status run_batches(run *r, const step_window *w, step_sum *sum, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    *sum = (step_sum){0};
    for (int64_t i = 0; i < w->batches && !status && !r->cancelled; i++) {
        train_result result = {0};
        const train_batch batch = make_batch(r, w, i);
        status = r->t->gradient(r->t->user, &batch, &result, error);
        double loss = result.loss_sum / (double)max_i64(1, result.supervised);
        if (!status && !isfinite(loss))
            status = refuse(r, &batch, "the loss", loss, error);
        sum->loss += loss / (double)w->batches;
        sum->tokens += result.tokens;
        if (!status && i + 1 < w->batches)
            tell(r, (c2c_train_event){.kind = C2C_TRAIN_EVENT_BATCH});
    }
    return status;
}

/* As torch.nn.utils.clip_grad_norm_ scales. */
static double clip_scale(const run *r, double norm) {
    double most = r->o->max_gradient_norm;
    return most > 0 ? fmin(1, most / (norm + 1e-6)) : 1;
}

/* A step that was cancelled half-way leaves the run as it was before it. */
static c2c_status take_step(run *r, metric *m, c2c_error *error) {
    const step_window w = step_plan_window(&r->o->plan, r->step);
    double started = system_seconds();
    step_sum sum;
    clear_gradients(r);
    c2c_status status = run_batches(r, &w, &sum, error);
    if (status || r->cancelled)
        return status;
    double norm = optimizer_norm(&r->optimizer, r->t);
    if (!isfinite(norm)) {
        const train_batch batch = make_batch(r, &w, 0);
        return refuse(r, &batch, "the gradient", norm, error);
    }
    *m = (metric){.kind = METRIC_STEP,
                  .loss = sum.loss,
                  .rate = schedule_rate(&r->o->schedule, r->step),
                  .gradient_norm = norm,
                  .temperature = r->t->temperature(r->t->user, r->step),
                  .tokens = sum.tokens};
    optimizer_step(&r->optimizer, r->t, r->step, m->rate, clip_scale(r, norm));
    r->step++;
    r->t->gates(r->t->user, &m->gates_open, &m->gates);
    m->step = r->step;
    m->epoch = epochs_done(r);
    m->tokens_per_second = (double)sum.tokens / fmax(system_seconds() - started, 1e-9);
    return C2C_STATUS_OK;
}

/* ---- Evaluating and saving ---------------------------------------------------------------- */

static c2c_status log_metric(run *r, metric *m, c2c_train_event_kind kind, c2c_error *error) {
    m->time = wall_time();
    c2c_status status = train_log_add(&r->log, m, error);
    if (status)
        return status;
    tell(r, (c2c_train_event){.kind = kind,
                              .epoch = m->epoch,
                              .loss = m->loss,
                              .learning_rate = m->rate,
                              .gradient_norm = m->gradient_norm,
                              .temperature = m->temperature,
                              .tokens_per_second = m->tokens_per_second,
                              .tokens = m->tokens,
                              .gates_open = m->gates_open,
                              .gates = m->gates});
    return C2C_STATUS_OK;
}

/* An evaluation that is cancelled is not counted: the run that goes on makes none for this step. */
static c2c_status evaluate(run *r, c2c_error *error) {
    const train_options *o = r->o;
    double loss = 0;
    int64_t supervised = 0;
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < o->eval_count && !status && !r->cancelled; i += o->plan.batch) {
        train_result result = {0};
        const train_batch batch = {.rows = o->eval_rows + i,
                                   .count = min_i64(o->plan.batch, o->eval_count - i),
                                   .seed = o->seed,
                                   .step = r->step};
        status = r->t->evaluate(r->t->user, &batch, &result, error);
        loss += result.loss_sum;
        supervised += result.supervised;
        if (!status)
            tell(r, (c2c_train_event){.kind = C2C_TRAIN_EVENT_BATCH});
    }
    if (status || r->cancelled)
        return status;
    metric m = {.kind = METRIC_EVAL,
                .step = r->step,
                .epoch = epochs_done(r),
                .loss = loss / (double)max_i64(1, supervised)};
    return log_metric(r, &m, C2C_TRAIN_EVENT_EVAL, error);
}

static train_state state_of(const run *r) {
    const step_plan *p = &r->o->plan;
    return (train_state){.step = r->step,
                         .steps = p->steps,
                         .rows = p->rows,
                         .batch = p->batch,
                         .accumulation = p->accumulation,
                         .parameters = r->t->count,
                         .seed = r->o->seed,
                         .data = r->o->data};
}

static void tell_saved(run *r, const char *name) {
    char *path = path_join(r->o->folder, name);
    if (path)
        tell(r, (c2c_train_event){.kind = C2C_TRAIN_EVENT_SAVED, .text = path});
    free(path);
}

static c2c_status save(run *r, c2c_error *error) {
    char name[48];
    const train_state state = state_of(r);
    if (r->saved == r->step)
        return C2C_STATUS_OK;
    c2c_status status = train_log_flush(&r->log, r->o->title, r->o->plan.steps, error);
    if (!status)
        status = checkpoint_write(r->o->folder, r->t, &r->optimizer, &state, error);
    if (status) {
        error_prefix(error, "step %lld: the checkpoint could not be written", (long long)r->step);
        return status;
    }
    r->saved = r->step;
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)r->step);
    tell_saved(r, name);
    return checkpoint_prune(r->o->folder, r->o->keep_last, error);
}

static bool is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

/* What comes after a step: of these two the evaluation is first, so that a checkpoint holds it. */
static c2c_status after_step(run *r, c2c_error *error) {
    bool epoch_ends = r->step % r->o->plan.steps_per_epoch == 0 || r->step == r->o->plan.steps;
    c2c_status status = C2C_STATUS_OK;
    if (r->o->eval_count > 0 && (epoch_ends || is_due(r->o->eval_steps, r->step)))
        status = evaluate(r, error);
    if (!status && is_due(r->o->save_steps, r->step))
        status = save(r, error);
    return status;
}

/* ---- The run ------------------------------------------------------------------------------ */

/* Makes a folder and those around it. */
static c2c_status make_folders(const char *path, c2c_error *error) {
    char *part = string_copy(path);
    c2c_status status = part ? C2C_STATUS_OK : error_memory(error, strlen(path), "a folder name");
    for (char *at = part; !status && at; at = strchr(at + 1, '/')) {
        if (at == part && *at != '/')
            continue;
        *at = 0;
        if (part[0] && mkdir(part, 0777) != 0 && errno != EEXIST)
            status = error_set(error, C2C_STATUS_IO, "%s: cannot make a folder: %s", part,
                               strerror(errno));
        *at = '/';
    }
    free(part);
    if (!status && mkdir(path, 0777) != 0 && !folder_exists(path))
        status =
            error_set(error, C2C_STATUS_IO, "%s: cannot make a folder: %s", path, strerror(errno));
    return status;
}

static bool has_text(const char *path, const char *text) {
    file_map map;
    if (file_map_open(&map, path, NULL))
        return false;
    bool same = map.size == strlen(text) && (!map.size || memcmp(map.data, text, map.size) == 0);
    file_map_close(&map);
    return same;
}

/* config.json: a copy of the recipe, as a fuser's user expects it. */
static c2c_status write_recipe(run *r, c2c_error *error) {
    char *path = path_join(r->o->folder, "config.json");
    c2c_status status = C2C_STATUS_OK;
    if (!path)
        return error_memory(error, strlen(r->o->folder), "a file name");
    if (r->step > 0 && file_exists(path) && !has_text(path, r->o->recipe))
        note(r, "the recipe is not the one that this run began with; it goes on with the new one");
    if (!has_text(path, r->o->recipe))
        status = file_write(path, r->o->recipe, strlen(r->o->recipe), error);
    free(path);
    return status;
}

c2c_status train_check_folder(const char *folder, bool resume, c2c_error *error) {
    if (resume || (!checkpoint_exists(folder) && !checkpoint_final_exists(folder)))
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "%s holds a run already; go on with it (--resume), or choose another output "
                     "folder",
                     folder);
}

static c2c_status find_start(run *r, c2c_error *error) {
    const train_options *o = r->o;
    char *path = NULL;
    c2c_status status = train_check_folder(o->folder, o->resume, error);
    if (!status)
        status = checkpoint_prune(o->folder, 0, error);
    if (!status && o->resume)
        status = checkpoint_find(&path, o->folder, note, r, error);
    if (!status && path) {
        const train_state expected = state_of(r);
        status = checkpoint_read(path, r->t, &r->optimizer, &expected, &r->step, error);
        r->saved = status ? -1 : r->step;
    }
    free(path);
    return status;
}

static c2c_status run_init(run *r, c2c_error *error) {
    const step_plan *p = &r->o->plan;
    r->epoch = r->saved = -1;
    r->order = malloc((size_t)p->rows * sizeof *r->order);
    r->rows = malloc((size_t)p->batch * sizeof *r->rows);
    if (!r->order || !r->rows)
        return error_memory(error, (size_t)p->rows * sizeof *r->order, "the order of rows");
    return optimizer_init(&r->optimizer, r->t, &r->o->adamw, error);
}

static void run_deinit(run *r) {
    train_log_close(&r->log);
    optimizer_deinit(&r->optimizer);
    free(r->order);
    free(r->rows);
}

static c2c_status run_steps(run *r, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    while (r->step < r->o->plan.steps && !status && !r->cancelled) {
        metric m;
        int64_t before = r->step;
        status = take_step(r, &m, error);
        if (status || r->step == before)
            break;
        status = log_metric(r, &m, C2C_TRAIN_EVENT_STEP, error);
        if (!status && !r->cancelled)
            status = after_step(r, error);
    }
    return status;
}

/* The end: final/, or a checkpoint where the callback stopped the run. */
static c2c_status finish(run *r, c2c_error *error) {
    const train_state state = state_of(r);
    if (r->step < r->o->plan.steps) {
        c2c_status status = save(r, error);
        return status
                   ? status
                   : error_set(error, C2C_STATUS_CANCELLED,
                               "stopped after step %lld of %lld; %s/checkpoint-%lld holds it all",
                               (long long)r->step, (long long)r->o->plan.steps, r->o->folder,
                               (long long)r->step);
    }
    c2c_status status = train_log_flush(&r->log, r->o->title, r->o->plan.steps, error);
    if (!status)
        status = checkpoint_write_final(r->o->folder, r->t, &state, error);
    if (!status)
        tell_saved(r, "final");
    return status;
}

c2c_status train_run(const trainee *t, const train_options *o, c2c_error *error) {
    run r = {.t = t, .o = o, .log = {.metrics = -1, .events = -1}};
    c2c_status status = make_folders(o->folder, error);
    if (!status && o->resume && checkpoint_final_exists(o->folder)) {
        note(&r, "the run is complete already");
        return C2C_STATUS_OK;
    }
    if (!status)
        status = run_init(&r, error);
    if (!status)
        status = find_start(&r, error);
    if (!status)
        status = write_recipe(&r, error);
    if (!status)
        status = train_log_open(&r.log, o->folder, r.step, wall_time(), error);
    if (!status) {
        tell(&r, (c2c_train_event){.kind = C2C_TRAIN_EVENT_BEGIN, .text = o->folder});
        status = run_steps(&r, error);
        if (!status)
            status = finish(&r, error);
        if (status)
            add_last_checkpoint(&r, error);
    }
    run_deinit(&r);
    return status;
}

/* What the parts of steps took. */
typedef struct step_times {
    double batches, rest; /* seconds */
    int64_t tokens, counted;
} step_times;

/* One batch of a step and what comes once in a step. */
static c2c_status measure_step(run *r, step_times *times, c2c_error *error) {
    step_window w = step_plan_window(&r->o->plan, r->step);
    double started = system_seconds();
    step_sum sum;
    w.batches = 1;
    clear_gradients(r);
    c2c_status status = run_batches(r, &w, &sum, error);
    double between = system_seconds();
    if (status)
        return status;
    double norm = optimizer_norm(&r->optimizer, r->t);
    optimizer_step(&r->optimizer, r->t, r->step, schedule_rate(&r->o->schedule, r->step),
                   isfinite(norm) ? clip_scale(r, norm) : 0);
    backend_sync(r->t->backend);
    times->batches += between - started;
    times->rest += system_seconds() - between;
    times->tokens += sum.tokens;
    times->counted++;
    r->step++;
    return C2C_STATUS_OK;
}

c2c_status train_measure(const trainee *t, const train_options *o, int64_t steps,
                         double *seconds_per_step, double *tokens_per_second, c2c_error *error) {
    run r = {.t = t, .o = o, .log = {.metrics = -1, .events = -1}};
    step_times times = {0};
    c2c_status status = run_init(&r, error);
    steps = min_i64(steps, o->plan.steps);
    for (int64_t i = 0; i < steps && !status; i++) {
        if (i == 1)
            times = (step_times){0}; /* the first one gets memory */
        status = measure_step(&r, &times, error);
    }
    double counted = (double)max_i64(1, times.counted);
    double batches = (double)min_i64(o->plan.accumulation, o->plan.batches);
    *seconds_per_step = (times.batches * batches + times.rest) / counted;
    *tokens_per_second = (double)times.tokens * batches / counted / fmax(*seconds_per_step, 1e-9);
    run_deinit(&r);
    return status;
}
