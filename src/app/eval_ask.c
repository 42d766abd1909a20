/* eval_ask.c - one recipe's system asked all questions, with a bar, and its answers kept. */
#include "app/compute.h"
#include "app/eval.h"

#include <stdio.h>
#include <stdlib.h>

/* What a run's answers depend on, as one line: a resumed run must have the same. How many are
 * asked, and how many at once, they do not depend on. */
static c2c_status about_make(buffer *out, const evaluated *e, const eval_options *options,
                             const char *data, c2c_error *error) {
    buffer recipe = {0};
    uint8_t digest[DIGEST_SHA256];
    json_write_value(&recipe, json_root(e->recipe.document), 0);
    if (recipe.failed)
        return error_memory(error, recipe.length, "a recipe");
    digest_sha256(digest, recipe.data, recipe.length);
    buffer_free(&recipe);
    buffer_append_text(out, "{\"recipe_sha256\": \"");
    for (size_t i = 0; i < sizeof digest; i++)
        buffer_printf(out, "%02x", digest[i]);
    buffer_printf(out,
                  "\", \"seed\": %llu, \"dtype\": \"%s\", \"weights\": \"%s\", "
                  "\"kv\": \"%s\", \"data\": ",
                  (unsigned long long)options->seed, compute_names[options->compute],
                  weight_names[options->weights], compute_names[options->cache]);
    json_write_string(out, data, strlen(data));
    buffer_append_text(out, "}");
    return out->failed ? error_memory(error, out->length, "a recipe") : C2C_STATUS_OK;
}

typedef struct asking {
    eval_system system;
    const evaluated *evaluated;
    progress bar;
    char label[160];
    double started;
} asking;

static c2c_status ask(void *user, eval_queue *queue, c2c_error *error) {
    return eval_system_ask(&((asking *)user)->system, queue, error);
}

/* Enough for a median, and no great part of the run. */
static int64_t timed_share(int64_t count) {
    return max_i64(8, min_i64(100, count / 20));
}

/* The running accuracy, and the time that is left at the pace of this run. */
static bool watch(void *user, int64_t done, int64_t total, int64_t scored, double points) {
    asking *a = user;
    int64_t asked = done - a->evaluated->records.resumed;
    double spent = system_seconds() - a->started;
    const char *name = a->evaluated->recipe.name;
    if (scored && asked > 0)
        snprintf(a->label, sizeof a->label, "%.60s: %.1f%% right, %.0f s left", name,
                 points / (double)scored * 100, spent / (double)asked * (double)(total - done));
    progress_update(&a->bar, done);
    const volatile sig_atomic_t *stop = a->system.options->stop;
    return !stop || !*stop;
}

static c2c_status ask_all(evaluated *e, const eval_set *set, const char *path, const char *about,
                          asking *a, c2c_error *error) {
    const eval_options *options = a->system.options;
    const eval_run run = {.set = set,
                          .path = path,
                          .about = about,
                          .resume = options->resume,
                          .timed = options->timed < 0 ? timed_share((int64_t)set->count)
                                                      : options->timed,
                          .ask = ask,
                          .watch = watch,
                          .user = a};
    a->started = system_seconds();
    snprintf(a->label, sizeof a->label, "%.60s", e->recipe.name);
    progress_begin(&a->bar, a->label, (int64_t)set->count);
    c2c_status status = eval_run_all(&e->records, &run, error);
    progress_end(&a->bar);
    return status;
}

c2c_status evaluated_ask(evaluated *e, const eval_set *set, const char *data,
                         const eval_options *options, c2c_error *error) {
    asking a = {.evaluated = e};
    buffer about = {0}, path = {0};
    c2c_status status = about_make(&about, e, options, data, error);
    if (e->folder)
        buffer_printf(&path, "%s/%s_%s_%s_answers.jsonl", e->folder, e->recipe.name,
                      set->benchmark->name, e->recipe.logits ? "logits" : "generate");
    if (!status && path.failed)
        status = error_memory(error, path.length, "a path");
    if (!status)
        status = eval_system_open(&a.system, &e->recipe, options, error);
    if (!status) {
        status = ask_all(e, set, path.data, about.data, &a, error);
        eval_system_close(&a.system);
    }
    buffer_free(&path);
    buffer_free(&about);
    return status;
}

eval_result evaluated_result(const evaluated *e, const eval_set *set) {
    return (eval_result){.name = e->recipe.name,
                         .model = e->recipe.model_name,
                         .method = e->recipe.logits ? "logits" : "generate",
                         .set = set,
                         .records = &e->records};
}

void evaluated_deinit(evaluated *e) {
    eval_records_deinit(&e->records);
    eval_recipe_close(&e->recipe);
    free(e->folder);
    *e = (evaluated){0};
}
