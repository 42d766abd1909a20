/* eval_system.c - one recipe's models, and where its questions are. */
#include "app/eval.h"
#include "app/names.h"

#include <stdlib.h>
#include <sys/stat.h>

/* ---- Models -----------------------------------------------------------------------------------
 */

c2c_status eval_system_open(eval_system *system, const eval_recipe *recipe,
                            const eval_options *options, c2c_error *error) {
    *system = (eval_system){.recipe = recipe, .options = options};
    const pair_settings answerer = {.receiver = recipe->receiver,
                                    .sharers = recipe->sharers,
                                    .fusers = recipe->fusers,
                                    .sharer_count = recipe->sharer_count,
                                    .models = options->models,
                                    .compute = options->compute,
                                    .threads = options->threads,
                                    .isa = options->isa,
                                    .weights = options->weights,
                                    .cache = options->cache,
                                    .context = options->context,
                                    .fusion_mode = recipe->fusion_mode,
                                    .include_response = recipe->include_response,
                                    .keep_clean = recipe->sharer_count > 0,
                                    .batch = (size_t)options->batch,
                                    .align = recipe->aligned ? &recipe->align : NULL};
    c2c_status status = pair_open(&system->answerer, &answerer, error);
    if (!status && recipe->writer) {
        const pair_settings writer = {.receiver = recipe->writer,
                                      .models = options->models,
                                      .compute = options->compute,
                                      .threads = options->threads,
                                      .isa = options->isa,
                                      .weights = options->weights,
                                      .cache = options->cache,
                                      .batch = (size_t)options->batch,
                                      .context = options->context};
        status = pair_open(&system->writer, &writer, error);
        system->has_writer = status == C2C_STATUS_OK;
    }
    if (status)
        eval_system_close(system);
    return status;
}

void eval_system_close(eval_system *system) {
    if (system->has_writer)
        pair_close(&system->writer);
    pair_close(&system->answerer);
    *system = (eval_system){0};
}

/* ---- Data
 * ---------------------------------------------------------------------------------------- */

/* hub/datasets--openai--gsm8k, to be freed. */
static char *cache_folder(const char *hub, const char *name) {
    buffer path = {0};
    buffer_printf(&path, "%s/datasets--", hub);
    for (; *name; name++)
        buffer_append_text(&path, *name == '/' ? "--" : (const char[]){*name, 0});
    return buffer_take(&path, NULL);
}

c2c_status eval_questions_open(eval_set *set, const eval_recipe *recipe, const char *data,
                               const eval_options *options, c2c_error *error) {
    eval_choice choice = recipe->choice;
    if (options->limit) {
        choice.limit = options->limit;
        choice.ranged = false;
    }
    return eval_set_open(set, recipe->benchmark, data, &choice, error);
}

c2c_status eval_data_find(char **path, const eval_recipe *recipe, const char *given,
                          c2c_error *error) {
    const char *named = given ? given : recipe->data;
    *path = NULL;
    if (named) {
        struct stat info;
        if (stat(named, &info) != 0)
            return error_set(error, C2C_STATUS_NOT_FOUND,
                             "%s: no such file or folder with the questions of %s", named,
                             recipe->benchmark->name);
        *path = string_copy(named);
        return *path ? C2C_STATUS_OK : error_memory(error, strlen(named), "a path");
    }
    char *hub = recipe->benchmark->hub ? name_cache_folder() : NULL;
    char *cached = hub ? cache_folder(hub, recipe->benchmark->hub) : NULL;
    char *folder = cached ? path_join(cached, "snapshots") : NULL;
    c2c_status status = C2C_STATUS_OK;
    if (folder && folder_exists(folder)) {
        *path = folder;
        folder = NULL;
    } else {
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "the questions of %s were not found%s%s: say where they are with --data "
                           "PATH, a file or a folder of .json, .jsonl or .csv files",
                           recipe->benchmark->name, cached ? " in " : "", cached ? cached : "");
    }
    free(folder);
    free(cached);
    free(hub);
    return status;
}
