/* demo_train.c - demo --train: a fuser for the shipped pair, trained from nothing. */
#include "app/demo.h"
#include "app/train.h"

#include <stdlib.h>

#define QUICK_RECIPE "demo_quick.json"

/* "model.base_model=FOLDER/NAME": the pair's own models, wherever it stands. The value is YAML, in
 * which a text in double quotes is JSON's. */
static void write_setting(buffer *out, const char *key, const char *folder, const char *name) {
    char *path = path_join(folder, name);
    buffer_printf(out, "%s=", key);
    if (path)
        json_write_string(out, path, strlen(path));
    out->failed = out->failed || !path;
    free(path);
}

static c2c_status train(const train_settings *s, c2c_error *error) {
    train_job job = {0};
    c2c_status status = train_job_open(&job, s, error);
    if (!status)
        status = train_job_run(&job, error);
    train_job_close(&job);
    return status;
}

c2c_status demo_train(const char *folder, const demo_training *t, c2c_error *error) {
    char *recipe = NULL;
    buffer receiver = {0}, sharer = {0};
    c2c_status status =
        t->recipe ? C2C_STATUS_OK : demo_recipe_find(&recipe, folder, QUICK_RECIPE, error);
    write_setting(&receiver, "model.base_model", folder, "receiver");
    write_setting(&sharer, "model.teacher_model", folder, "sharer");
    if (!status && (receiver.failed || sharer.failed))
        status = error_memory(error, strlen(folder), "a path");
    if (!status) {
        const train_settings s = {.recipe = t->recipe ? t->recipe : recipe,
                                  .sets = {.items = {receiver.data, sharer.data}, .count = 2},
                                  .data = {.items = {folder}, .count = 1},
                                  .output = t->output,
                                  .isa = t->isa,
                                  .threads = t->threads,
                                  .every = 50,
                                  .resume = true,
                                  .aside = t->aside};
        status = train(&s, error);
    }
    buffer_free(&receiver);
    buffer_free(&sharer);
    free(recipe);
    return status;
}
