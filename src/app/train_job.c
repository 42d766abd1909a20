/* train_job.c - what a recipe names, opened: models by path or name, places where data may lie;
 * then the library's training, watched. */
#include "app/names.h"
#include "app/stop.h"
#include "app/train.h"
#include "train/recipe.h"

#include <stdlib.h>

/* ---- Models ------------------------------------------------------------------------------- */

static c2c_status open_model(c2c_model **model, const train_job *job, const char *name,
                             const train_settings *s, c2c_compute compute, c2c_error *error) {
    char *path;
    c2c_status status = name_resolve(&path, name, s->models, error);
    if (!status)
        status = c2c_model_open(model, job->engine, path, &(c2c_model_options){.compute = compute},
                                error);
    free(path);
    return status;
}

static c2c_status open_models(train_job *job, const train_settings *s, const train_recipe *recipe,
                              c2c_error *error) {
    c2c_compute compute = recipe->precision == RECIPE_BF16 ? C2C_COMPUTE_BF16 : C2C_COMPUTE_F32;
    c2c_status status = open_model(&job->receiver, job, recipe->receiver, s, compute, error);
    job->sharer_count = recipe->sharer_count;
    for (size_t i = 0; i < recipe->sharer_count && !status; i++) {
        status = open_model(&job->sharers[i], job, recipe->sharers[i], s, compute, error);
        if (!status && !recipe->align)
            status = pair_check_tokens(job->receiver, job->sharers[i],
                                       "set model.is_do_alignment=true in the recipe", error);
    }
    return status;
}

c2c_status train_job_open(train_job *job, const train_settings *s, c2c_error *error) {
    train_recipe recipe;
    const c2c_engine_options engine = {.threads = (int)s->threads,
                                       .log = app_warning,
                                       .isa = s->isa};
    *job = (train_job){.show = {.every = s->every, .aside = s->aside}};
    c2c_status status = train_recipe_open(&recipe, s->recipe, s->sets.items, s->sets.count, error);
    if (status)
        return status;
    status = c2c_engine_open(&job->engine, &engine, error);
    if (!status)
        status = open_models(job, s, &recipe, error);
    if (!status)
        status = data_folders_init(&job->data, &s->data, error);
    train_recipe_close(&recipe);
    job->options = (c2c_train_options){.recipe = s->recipe,
                                       .settings = s->sets.items,
                                       .setting_count = s->sets.count,
                                       .data_folders = job->data.places.folders,
                                       .data_folder_count = job->data.places.folder_count,
                                       .caches = job->data.places.caches,
                                       .cache_count = job->data.places.cache_count,
                                       .folder = s->output,
                                       .resume = s->resume,
                                       .callback = train_show_event,
                                       .user = &job->show};
    return status;
}

void train_job_close(train_job *job) {
    for (size_t i = 0; i < C2C_MAX_SHARERS; i++)
        c2c_model_close(job->sharers[i]);
    c2c_model_close(job->receiver);
    c2c_engine_close(job->engine);
    data_folders_deinit(&job->data);
    *job = (train_job){0};
}

/* ---- Training ----------------------------------------------------------------------------- */

c2c_status train_job_run(train_job *job, c2c_error *error) {
    stop_install();
    train_show_begin(&job->show);
    c2c_status status = c2c_train(job->receiver, (const c2c_model *const *)job->sharers,
                                  job->sharer_count, &job->options, error);
    train_show_end(&job->show);
    if (status == C2C_STATUS_CANCELLED && error)
        error_set(error, status, "%s; the same command with --resume goes on", error->message);
    return status;
}

c2c_status train_job_check(train_job *job, c2c_train_summary *summary, c2c_error *error) {
    train_show_begin(&job->show);
    c2c_status status = c2c_train_check(job->receiver, (const c2c_model *const *)job->sharers,
                                        job->sharer_count, &job->options, summary, error);
    train_show_end(&job->show);
    return status;
}
