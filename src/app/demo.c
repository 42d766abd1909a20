/* demo.c - the verb demo: the shipped pair, a few questions to read, and the table of all. */
#include "app/demo.h"
#include "app/compute.h"

#include <stdlib.h>

/* Tokens of a question and its answer: more than any has. */
#define DEMO_CONTEXT 1024

/* Where --train puts the fuser. */
#define DEMO_OUTPUT "checkpoints/demo_quick"

typedef struct demo_settings {
    const char *folder;
    int64_t questions, limit, threads;
    int dtype;
    const char *isa;
    int weights, cache;
    bool json, train;
    const char *recipe, *output; /* of training */
} demo_settings;

static c2c_status demo_settings_run(const demo_settings *s, c2c_error *error) {
    const eval_options options = {.compute = (c2c_compute)s->dtype,
                                  .isa = s->isa,
                                  .weights = (c2c_model_weights)s->weights,
                                  .cache = (c2c_cache_type)s->cache,
                                  .threads = s->threads,
                                  .context = DEMO_CONTEXT,
                                  .limit = s->limit,
                                  .batch = 1,
                                  .timed = INT64_MAX}; /* its first tokens are shown */
    const demo_training training = {s->recipe, s->output, s->isa, s->threads, s->json};
    char *folder = NULL;
    demo_results results = {0};
    c2c_status status = demo_find(&folder, s->folder, error);
    if (!status && s->train)
        status = demo_train(folder, &training, error);
    if (!status && !s->json)
        status = demo_show_models(folder, &options, error);
    if (!status)
        status = demo_evaluate(&results, folder, s->train ? s->output : NULL, &options, error);
    if (!status && s->json)
        status = demo_show_json(&results, error);
    else if (!status)
        status = demo_show_questions(&results, s->questions, error);
    if (!status && !s->json)
        status = demo_show_table(&results, s->train, error);
    demo_results_deinit(&results);
    free(folder);
    return status;
}

static int demo_run(const verb *v, int argc, char *const *argv) {
    demo_settings s = {.questions = 6};
    const option options[] = {{.name = "--pair",
                               .value = "DIR",
                               .kind = OPTION_PATH,
                               .target = &s.folder,
                               .shown = "the pair that came with the program",
                               .help = "folder with receiver, sharer, fuser, eval.jsonl"},
                              {.name = "--questions",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.questions,
                               .low = 0,
                               .high = 1000000,
                               .help = "questions to show with their answers"},
                              {.name = "--limit",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.limit,
                               .low = 1,
                               .high = 1000000,
                               .shown = "all",
                               .help = "use only the first N evaluation questions"},
                              dtype_option(&s.dtype),
                              threads_option(&s.threads),
                              isa_option(&s.isa),
                              weights_option(&s.weights),
                              kv_option(&s.cache),
                              {.name = "--train",
                               .kind = OPTION_FLAG,
                               .target = &s.train,
                               .help = "first train a fuser from nothing, and show what it learnt"},
                              {.name = "--output",
                               .value = "DIR",
                               .kind = OPTION_PATH,
                               .target = &s.output,
                               .shown = DEMO_OUTPUT,
                               .help = "with --train: folder that gets it; where it was begun "
                                       "there, it goes on"},
                              {.name = "--recipe",
                               .value = "FILE",
                               .kind = OPTION_PATH,
                               .target = &s.recipe,
                               .shown = "recipes/demo_quick.json",
                               .help = "with --train: how it is trained"},
                              {.name = "--json",
                               .kind = OPTION_FLAG,
                               .target = &s.json,
                               .help = "print the accuracies as one JSON object"}};
    const option_set set = {.options = options, .count = sizeof options / sizeof *options};
    int status;
    if (!verb_options(v, &set, argc, argv, &status))
        return status;
    if (!s.train && (s.output || s.recipe))
        return verb_wrong_usage(v, "--output and --recipe need --train");
    if (!s.output)
        s.output = DEMO_OUTPUT;
    c2c_error error = {0};
    return demo_settings_run(&s, &error) ? app_failed(&error) : APP_OK;
}

const verb demo_verb = {
    .name = "demo",
    .usage = "[options]",
    .summary = "two small models that know different things answer together",
    .notes =
        "Each question is answered four ways: by the receiver alone, by the sharer alone, by\n"
        "the receiver after it has read what the sharer writes (text to text), and by the\n"
        "receiver with the sharer's KV cache fused into its own (C2C), as recipes/demo_eval.yaml\n"
        "says; c2c eval with that recipe also writes a report. --train takes minutes;\n"
        "--recipe recipes/demo.json takes longer and learns more.",
    .run = demo_run};
