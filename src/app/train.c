/* train.c - the verb train: a recipe trained, or checked and described. */
#include "app/train.h"
#include "app/compute.h"
#include "app/inspect.h"
#include "app/names.h"

#include <stdlib.h>

/* ---- --check ------------------------------------------------------------------------------ */

static void report_rows(report *r, const c2c_train_summary *s) {
    char train[NUMBER_TEXT], eval[NUMBER_TEXT], out[NUMBER_TEXT];
    report_line(r, "rows",
                "%s to train on, %s to evaluate on, %s left out; the longest has %lld tokens",
                number_text(s->train_rows, train), number_text(s->eval_rows, eval),
                number_text(s->left_out, out), (long long)s->longest_row);
    json_out_integer(&r->json, "train_rows", s->train_rows);
    json_out_integer(&r->json, "eval_rows", s->eval_rows);
    json_out_integer(&r->json, "left_out", s->left_out);
    json_out_integer(&r->json, "longest_row", s->longest_row);
}

static void report_steps(report *r, const c2c_train_summary *s) {
    char steps[NUMBER_TEXT], epoch[NUMBER_TEXT];
    report_line(r, "steps", "%s of %lld rows, %s an epoch", number_text(s->steps, steps),
                (long long)s->rows_per_step, number_text(s->steps_per_epoch, epoch));
    json_out_integer(&r->json, "steps", s->steps);
    json_out_integer(&r->json, "rows_per_step", s->rows_per_step);
    json_out_integer(&r->json, "steps_per_epoch", s->steps_per_epoch);
}

static void report_memory(report *r, const c2c_train_summary *s) {
    char need[NUMBER_TEXT], room[NUMBER_TEXT];
    if (s->memory_available < 0)
        report_line(r, "memory", "%s", bytes_text(s->memory_bytes, need));
    else
        report_line(r, "memory", "%s of %s that are free", bytes_text(s->memory_bytes, need),
                    bytes_text(s->memory_available, room));
    json_out_integer(&r->json, "memory_bytes", s->memory_bytes);
    json_out_integer(&r->json, "memory_available", s->memory_available);
    json_out_integer(&r->json, "batch_that_fits", s->batch_that_fits);
    if (s->seconds_per_step > 0)
        return;
    if (s->batch_that_fits > 0)
        report_line(r, "too large",
                    "use training.per_device_train_batch_size=%lld with more "
                    "gradient_accumulation_steps, or training.recompute=true",
                    (long long)s->batch_that_fits);
    else
        report_line(r, "too large",
                    "not even one row fits: use a lower training.max_length, or "
                    "training.recompute=true");
}

static void report_time(report *r, const c2c_train_summary *s) {
    double seconds = s->seconds_per_step * (double)s->steps;
    json_out_real(&r->json, "seconds_per_step", s->seconds_per_step);
    json_out_real(&r->json, "tokens_per_second", s->tokens_per_second);
    if (seconds <= 0)
        return;
    report_line(r, "time", "%.3g s a step (%.0f tokens/s): %s%.3g %s in all", s->seconds_per_step,
                s->tokens_per_second, "about ",
                seconds < 100    ? seconds
                : seconds < 6000 ? seconds / 60
                                 : seconds / 3600,
                seconds < 100    ? "s"
                : seconds < 6000 ? "minutes"
                                 : "hours");
}

static c2c_status check(train_job *job, bool json, c2c_error *error) {
    c2c_train_summary s;
    report r = {0};
    char all[NUMBER_TEXT], learn[NUMBER_TEXT];
    c2c_status status = train_job_check(job, &s, error);
    if (status)
        return status;
    json_out_open(&r.json, NULL, '{');
    report_line(&r, "parameters", "%s, of which %s learn", number_text(s.parameters, all),
                number_text(s.trainable, learn));
    json_out_integer(&r.json, "parameters", s.parameters);
    json_out_integer(&r.json, "trainable", s.trainable);
    report_rows(&r, &s);
    report_steps(&r, &s);
    report_memory(&r, &s);
    report_time(&r, &s);
    json_out_close(&r.json, '}');
    buffer_append_char(&r.json.text, '\n');
    status = output_buffer(json ? &r.json.text : &r.text, error);
    report_deinit(&r);
    if (!status && s.seconds_per_step <= 0)
        status = error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                           "a batch of this recipe needs more memory than there is");
    return status;
}

/* ---- The verb ----------------------------------------------------------------------------- */

typedef struct train_verb_settings {
    train_settings train;
    bool check, json;
} train_verb_settings;

static size_t fill_options(option *rows, train_verb_settings *s) {
    const option options[] = {
        {.name = "--check",
         .kind = OPTION_FLAG,
         .target = &s->check,
         .help = "load models and data, say what would be trained and how long it takes, and stop"},
        {.name = "--resume",
         .kind = OPTION_FLAG,
         .target = &s->train.resume,
         .help = "go on behind the newest complete checkpoint in the output folder"},
        {.name = "--set",
         .value = "KEY.PATH=VALUE",
         .kind = OPTION_PATHS,
         .target = &s->train.sets,
         .shown = "",
         .help =
             "over the recipe, such as training.learning_rate=3e-4; may be given several times"},
        {.name = "--output",
         .value = "DIR",
         .kind = OPTION_PATH,
         .target = &s->train.output,
         .shown = "the recipe's output_dir",
         .help = "folder of checkpoints, logs and the trained fuser"},
        data_option(&s->train.data),
        models_option(&s->train.models),
        threads_option(&s->train.threads),
        isa_option(&s->train.isa),
        {.name = "--log-steps",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s->train.every,
         .low = 1,
         .high = 1000000,
         .help = "steps between two lines where standard output is no terminal"},
        {.name = "--json",
         .kind = OPTION_FLAG,
         .target = &s->json,
         .help = "with --check: print one JSON object"}};
    memcpy(rows, options, sizeof options);
    return sizeof options / sizeof *options;
}

static int train_run_verb(const verb *v, int argc, char *const *argv) {
    train_verb_settings s = {.train = {.every = 50}};
    option rows[OPTIONS_MAX];
    const option_set set = {.options = rows,
                            .count = fill_options(rows, &s),
                            .operand = "RECIPE",
                            .operand_target = &s.train.recipe};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    if (s.json && !s.check)
        return verb_wrong_usage(v, "--json needs --check");
    c2c_error error = {0};
    train_job job = {0};
    c2c_status status = train_job_open(&job, &s.train, &error);
    if (!status)
        status = s.check ? check(&job, s.json, &error) : train_job_run(&job, &error);
    train_job_close(&job);
    return status ? app_failed(&error) : APP_OK;
}

const verb train_verb = {
    .name = "train",
    .usage = "RECIPE [options]",
    .summary = "train a fuser between two models",
    .notes =
        "RECIPE is a training recipe of the Python original, JSON or YAML. The output folder\n"
        "gets final/ (the fuser, which --fuser of the other verbs takes), checkpoints,\n"
        "metrics.jsonl, tensorboard/ and report.html. Ctrl-C saves a checkpoint and stops; a\n"
        "second one stops at once. A run that was stopped or killed ends, with --resume, with\n"
        "the same bits as one that was not.",
    .run = train_run_verb};
