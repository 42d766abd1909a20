/* train.h - inside the app: a recipe trained, for the verbs train and demo. */
#ifndef C2C_APP_TRAIN_H
#define C2C_APP_TRAIN_H

#include "app/data_folders.h"
#include "app/train_show.h"

typedef struct train_settings {
    const char *recipe;
    option_list sets, data; /* --set, --data */
    const char *models;     /* folder in which names are looked up first; or NULL */
    const char *output;     /* NULL: the recipe's */
    const char *isa;        /* see compute.h */
    int64_t threads;
    int64_t every; /* steps between two lines, see train_show, for `aside` too */
    bool resume, aside;
} train_settings;

/* What a recipe names, opened. Zero-initialise; train_job_close. */
typedef struct train_job {
    c2c_engine *engine;
    c2c_model *receiver, *sharers[C2C_MAX_SHARERS];
    size_t sharer_count;
    data_folders data;
    train_show show;
    c2c_train_options options;
} train_job;

/* Reads the recipe for the names of its models, and opens them. */
c2c_status train_job_open(train_job *job, const train_settings *s, c2c_error *error);
void train_job_close(train_job *job);
/* Trains, and shows how it goes. */
c2c_status train_job_run(train_job *job, c2c_error *error);
/* Loads all and measures, without a trace on disk. */
c2c_status train_job_check(train_job *job, c2c_train_summary *summary, c2c_error *error);

#endif
