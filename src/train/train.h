/* train.h - training as a loop over steps: schedules, the order of rows, the optimizer, checkpoints
 * and logs. What is trained, and on what, the loop sees through a `trainee` alone; it never prints
 * and knows nothing of models. */
#ifndef C2C_TRAIN_H
#define C2C_TRAIN_H

#include "backend/backend.h"
#include "formats/formats.h"

/* ---- Schedules (schedule.c) --------------------------------------------------------------- */

typedef enum schedule_kind {
    SCHEDULE_LINEAR = 0,
    SCHEDULE_COSINE,
    SCHEDULE_COSINE_WITH_RESTARTS,
    SCHEDULE_POLYNOMIAL,
    SCHEDULE_CONSTANT,
    SCHEDULE_CONSTANT_WITH_WARMUP,
    SCHEDULE_INVERSE_SQRT,
    SCHEDULE_COUNT
} schedule_kind;

/* The learning rate of a run of `total` steps, of which the first `warmup` rise from 0 to `rate`.
 */
typedef struct schedule {
    schedule_kind kind;
    int64_t warmup, total;
    double rate;
} schedule;

const char *schedule_name(schedule_kind kind);
bool schedule_find(schedule_kind *kind, const char *name); /* by get_scheduler's names */
/* Steps of warmup that a share of all steps comes to, cut as Python's int() cuts. */
int64_t schedule_warmup_steps(double ratio, int64_t total);
/* What step `step` (from 0) multiplies the rate with: the first one of a warmup has factor 0. */
double schedule_factor(const schedule *s, int64_t step);
double schedule_rate(const schedule *s, int64_t step);

/* The gates' temperature after `done` optimizer steps: first * (last / first)^min(done / anneal,
 * 1).
 */
double anneal_temperature(double first, double last, int64_t anneal_steps, int64_t done);

/* ---- Order (order.c) ---------------------------------------------------------------------- */

/* Sites of random numbers; 1 and 2 are base's. */
#define RANDOM_SITE_SPLIT 3 /* which rows are evaluated on */
#define RANDOM_SITE_ORDER 4 /* of the rows of an epoch */

/* 0 .. count-1 in an order of (seed, epoch, site). */
void order_permute(uint32_t *items, int64_t count, uint64_t seed, uint32_t epoch, uint32_t site);
/* rows[0 .. result-1] are to be trained on, the rest of `count` to be evaluated on. */
int64_t order_split(uint32_t *rows, int64_t count, double train_ratio, uint64_t seed);

/* How an epoch's rows are cut into batches, and batches into steps: the last of each may be short.
 */
typedef struct step_plan {
    int64_t rows, batch, accumulation; /* batch: rows; accumulation: batches of one step */
    int64_t batches, steps_per_epoch;
    int64_t steps; /* of the whole run */
} step_plan;

/* `max_steps` > 0 counts instead of the epochs, as many of which are begun as it takes. */
c2c_status step_plan_init(step_plan *plan, int64_t rows, int64_t batch, int64_t accumulation,
                          int64_t epochs, int64_t max_steps, c2c_error *error);

/* The batches of one step, numbered within its epoch. */
typedef struct step_window {
    int64_t epoch, in_epoch, first_batch, batches;
} step_window;

step_window step_plan_window(const step_plan *plan, int64_t step);
/* The rows of a batch of an epoch's order: *first and how many. */
int64_t step_plan_batch(const step_plan *plan, int64_t batch, int64_t *first);

/* ---- What is trained ---------------------------------------------------------------------- */

/* A batch of rows of the data, by their numbers there. */
typedef struct train_batch {
    const uint32_t *rows;
    int64_t count;
    uint64_t seed;
    int64_t step;  /* optimizer steps that are done: temperatures and random numbers depend on it */
    int64_t first; /* place of the first row among those of the step: names random numbers too */
    double scale;  /* of the batch's mean loss, in the gradient */
} train_batch;

typedef struct train_result {
    double loss_sum;    /* of the supervised tokens */
    int64_t supervised; /* tokens; the batch's loss is the mean over them */
    int64_t tokens;     /* of the receiver, that were read */
} train_result;

/* The loop's view of a network. Functions get `user`. */
typedef struct trainee {
    void *user;
    backend *backend;
    float *parameters, *gradients; /* [count] backend memory */
    int64_t count;
    /* Begins a step: the gradients count as 0 from here on, until the next call of `gradient` makes
     * it so. NULL: the loop sets them to 0. */
    void (*clear)(void *user);
    /* gradients += scale * the gradient of the batch's loss. */
    c2c_status (*gradient)(void *user, const train_batch *batch, train_result *result,
                           c2c_error *error);
    /* The loss alone, with gates and dropout as when answering. */
    c2c_status (*evaluate)(void *user, const train_batch *batch, train_result *result,
                           c2c_error *error);
    /* Writes what was learnt in `done` steps into a folder that is there, in the form that is
     * published. */
    c2c_status (*save)(void *user, const char *folder, int64_t done, c2c_error *error);
    void (*gates)(void *user, int64_t *open, int64_t *count); /* logits above 0, and all */
    double (*temperature)(void *user, int64_t done);          /* of the gates, after `done` steps */
    void (*row_name)(void *user, uint32_t row, buffer *name); /* appends it, for messages */
} trainee;

/* ---- Optimizer (optimizer.c) -------------------------------------------------------------- */

typedef struct adamw_options {
    double beta1, beta2, epsilon, weight_decay;
} adamw_options;

/* AdamW over one buffer of parameters, with the moments that it needs. */
typedef struct optimizer {
    backend *backend;
    int64_t count;
    float *first, *second; /* [count] backend memory */
    double *sums;          /* backend memory: the squared norm, and those of blocks */
    adamw_options options;
} optimizer;

c2c_status optimizer_init(optimizer *o, const trainee *t, const adamw_options *options,
                          c2c_error *error);
void optimizer_deinit(optimizer *o);
/* The length of the gradient; infinite or no number where the gradient is. */
double optimizer_norm(optimizer *o, const trainee *t);
/* The step after `done` others; the gradient is multiplied with `scale` first. */
void optimizer_step(optimizer *o, const trainee *t, int64_t done, double rate, double scale);

/* ---- Checksums (crc32c.c) ----------------------------------------------------------------- */

/* CRC-32C (Castagnoli) of what gave `crc` (0: of nothing) and `length` more bytes. */
uint32_t crc32c_update(uint32_t crc, const void *bytes, size_t length);

/* ---- Metrics (metrics.c, event_file.c, train_report.c) ------------------------------------- */

typedef enum metric_kind { METRIC_STEP = 0, METRIC_EVAL } metric_kind;

/* One line of metrics.jsonl. */
typedef struct metric {
    metric_kind kind;
    int64_t step;                            /* steps done */
    double time;                             /* seconds since 1970 */
    double epoch;                            /* epochs done */
    double loss;                             /* of the step, or of the evaluation */
    double rate, gradient_norm, temperature; /* steps only, as all below */
    double tokens_per_second;
    int64_t tokens; /* of the step */
    int64_t gates_open, gates;
} metric;

void metric_write_line(buffer *out, const metric *m); /* with line end */
/* False: no line that metric_write_line makes. */
bool metric_read_line(metric *m, const char *line, size_t length);

typedef struct metric_list {
    metric *items;
    size_t count, capacity;
} metric_list;

/* Reads metrics.jsonl; a missing file is an empty list. A line that cannot be read, as a process
 * that was killed leaves one, ends the list. */
c2c_status metric_list_open(metric_list *list, const char *path, c2c_error *error);
void metric_list_free(metric_list *list);

/* Appends records of a TensorBoard event file: its head, and the scalars of one metric. */
void event_write_head(buffer *out, double time);
void event_write_metric(buffer *out, const metric *m);

/* Appends a page of plots that needs nothing but itself; `title` is what was trained. */
void train_report_write(buffer *out, const metric_list *list, const char *title, int64_t steps);

/* The three in one folder: metrics.jsonl, tensorboard/, report.html. */
typedef struct train_log {
    char *folder;
    int metrics, events; /* file descriptors, or -1 */
    buffer line;
} train_log;

/* Goes on with the metrics of steps up to `step`; later ones, of a run that was stopped behind its
 * last checkpoint, are dropped. */
c2c_status train_log_open(train_log *log, const char *folder, int64_t step, double time,
                          c2c_error *error);
c2c_status train_log_add(train_log *log, const metric *m, c2c_error *error);
/* Syncs what was added and writes report.html anew. */
c2c_status train_log_flush(train_log *log, const char *title, int64_t steps, c2c_error *error);
void train_log_close(train_log *log);

/* ---- Checkpoints (checkpoint.c, checkpoint_find.c) ----------------------------------------- */

/* Where a run stands, beside its parameters and moments. What must be equal when it goes on is
 * checked; what comes next is a function of `step` and the seed alone. */
typedef struct train_state {
    int64_t step; /* optimizer steps done */
    int64_t steps, rows, batch, accumulation, parameters;
    uint64_t seed;
    int64_t data; /* CRC-32C of what the data is */
} train_state;

/* Writes `folder`/checkpoint-<step>: what trainee.save writes, the optimizer's numbers and the
 * state. It appears whole. */
c2c_status checkpoint_write(const char *folder, const trainee *t, const optimizer *o,
                            const train_state *state, c2c_error *error);
/* Writes `folder`/final: what trainee.save writes. */
c2c_status checkpoint_write_final(const char *folder, const trainee *t, const train_state *state,
                                  c2c_error *error);
/* The path of the newest complete checkpoint in `folder`, to be freed; NULL: there is none. One
 * that is not complete is named, with what is wrong, through `note` (one line each). */
c2c_status checkpoint_find(char **path, const char *folder, c2c_log_callback note, void *user,
                           c2c_error *error);
/* Reads one into the trainee and the optimizer, unless it is of another run than `expected`. */
c2c_status checkpoint_read(const char *path, const trainee *t, const optimizer *o,
                           const train_state *expected, int64_t *step, c2c_error *error);
/* Whether `folder` holds checkpoints or a final fuser; and whether the final one is complete. */
bool checkpoint_exists(const char *folder);
bool checkpoint_final_exists(const char *folder);
/* Removes all but the newest `keep` (0: none is removed), and what killed processes left. */
c2c_status checkpoint_prune(const char *folder, int64_t keep, c2c_error *error);

#define DONE_NAME "DONE"

/* Writes DONE into a folder that is complete otherwise: name, size and checksum of every file in
 * it; and compares a folder with its own. */
c2c_status done_mark_write(const char *folder, c2c_error *error);
c2c_status done_mark_check(const char *folder, c2c_error *error);

/* ---- The loop (loop.c) -------------------------------------------------------------------- */

typedef struct train_options {
    step_plan plan;
    schedule schedule;
    adamw_options adamw;
    double max_gradient_norm; /* 0: the gradient is not clipped */
    uint64_t seed;
    int64_t data;               /* see train_state */
    const uint32_t *train_rows; /* [plan.rows] numbers of the data's rows */
    const uint32_t *eval_rows;  /* [eval_count] */
    int64_t eval_count;
    int64_t eval_steps, save_steps; /* 0: at the end of epochs only; never */
    int64_t keep_last;              /* checkpoints; 0: all */
    const char *folder, *title;
    const char *recipe; /* the text of config.json */
    bool resume;
    c2c_train_callback callback; /* or NULL */
    void *user;
} train_options;

/* Refuses a folder that holds a run, unless that is what shall go on. */
c2c_status train_check_folder(const char *folder, bool resume, c2c_error *error);
/* Trains, from the newest complete checkpoint on with `resume`, to the end or until the callback
 * stops it. */
c2c_status train_run(const trainee *t, const train_options *options, c2c_error *error);
/* Takes `steps` steps of one batch each, without a trace but in the trainee, and says how long a
 * whole step takes; the first is not counted, it gets memory. */
c2c_status train_measure(const trainee *t, const train_options *options, int64_t steps,
                         double *seconds_per_step, double *tokens_per_second, c2c_error *error);

#endif
