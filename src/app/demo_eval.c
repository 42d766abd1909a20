/* demo_eval.c - the pair's questions asked by the recipe of its evaluation, as `c2c eval` asks
 * them, and its answers compared with those that are recorded beside the questions. */
#include "app/demo.h"

#include <stdlib.h>

#define EVAL_RECIPE "demo_eval.yaml"

/* ---- Systems ------------------------------------------------------------------------------ */

/* A model of the recipe is a folder of the pair, wherever that stands. */
static c2c_status place(const char **model, const char *folder, arena *texts, c2c_error *error) {
    if (!*model)
        return C2C_STATUS_OK;
    char *path = path_join(folder, *model);
    *model = path ? arena_copy(texts, path, strlen(path)) : NULL;
    free(path);
    return *model ? C2C_STATUS_OK : error_memory(error, strlen(folder), "a path");
}

static c2c_status place_all(eval_recipe *r, const char *folder, const char *fuser,
                            c2c_error *error) {
    c2c_status status = place(&r->receiver, folder, r->texts, error);
    if (!status)
        status = place(&r->writer, folder, r->texts, error);
    for (size_t i = 0; !status && i < r->sharer_count; i++) {
        status = place(&r->sharers[i], folder, r->texts, error);
        if (!status && !fuser)
            status = place(&r->fusers[i], folder, r->texts, error);
        else if (fuser)
            r->fusers[i] = fuser;
    }
    return status;
}

static c2c_status open_ways(demo_results *d, const char *folder, const char *fuser,
                            c2c_error *error) {
    char *path;
    c2c_status status = demo_recipe_find(&path, folder, EVAL_RECIPE, error);
    for (size_t w = 0; !status && w < DEMO_WAYS; w++) {
        eval_recipe *r = &d->ways[w].recipe;
        status = eval_recipe_open(r, path, w, error);
        if (!status && r->system_count != DEMO_WAYS)
            status = error_set(error, C2C_STATUS_BAD_FILE,
                               "%s: systems: expected the demo's %d, found %zu", path, DEMO_WAYS,
                               r->system_count);
        if (!status)
            status = place_all(r, folder, fuser, error);
    }
    free(path);
    return status;
}

/* ---- What is recorded --------------------------------------------------------------------- */

/* The recorded answers of a row against ours. Questions are numbered by their rows. */
static c2c_status compare_row(demo_results *d, const json_value *row, size_t i, const char *where,
                              c2c_error *error) {
    static const char *const keys[DEMO_WAYS] = {"receiver", "sharer", "t2t", "c2c"};
    static const char *const none = NULL;
    c2c_status status = C2C_STATUS_OK;
    for (int w = 0; !status && w < DEMO_WAYS; w++) {
        const char *recorded;
        status = json_get_string(row, keys[w], &none, &recorded, where, error);
        if (status || !recorded)
            continue;
        d->way_recorded[w]++;
        d->way_as_recorded[w] += strcmp(d->ways[w].records.items[i].text, recorded) == 0;
    }
    return status;
}

static c2c_status compare_recorded(demo_results *d, c2c_error *error) {
    row_reader *reader;
    const json_value *row = NULL;
    size_t i = 0;
    c2c_status status = rows_open(&reader, d->data, NULL, error);
    if (status)
        return status;
    for (int64_t id = 0; !status && i < d->set.count; id++) {
        status = rows_next(reader, &row, error);
        if (status || !row)
            break;
        if (d->set.items[i].id == id)
            status = compare_row(d, row, i++, d->data, error);
    }
    rows_close(reader);
    for (int w = 0; w < DEMO_WAYS; w++) {
        d->recorded += d->way_recorded[w];
        d->as_recorded += d->way_as_recorded[w];
    }
    return status;
}

/* ---- All of it ----------------------------------------------------------------------------- */

c2c_status demo_evaluate(demo_results *d, const char *folder, const char *fuser,
                         const eval_options *options, c2c_error *error) {
    double started = system_seconds();
    d->data = path_join(folder, "eval.jsonl");
    c2c_status status =
        d->data ? C2C_STATUS_OK : error_memory(error, strlen(folder), "the demo's questions");
    if (!status)
        status = open_ways(d, folder, fuser, error);
    if (!status)
        status = eval_questions_open(&d->set, &d->ways[0].recipe, d->data, options, error);
    for (size_t w = 0; !status && w < DEMO_WAYS; w++)
        status = evaluated_ask(&d->ways[w], &d->set, d->data, options, error);
    if (!status)
        status = compare_recorded(d, error);
    d->seconds = system_seconds() - started;
    return status;
}

void demo_results_deinit(demo_results *d) {
    for (size_t w = 0; w < DEMO_WAYS; w++)
        evaluated_deinit(&d->ways[w]);
    eval_set_close(&d->set);
    free(d->data);
    *d = (demo_results){0};
}
