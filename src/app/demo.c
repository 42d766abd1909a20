/* demo.c - the verb demo: the shipped pair, a few questions to read, and accuracy on all. */
#include "app/demo.h"
#include "app/compute.h"

#include <stdlib.h>

/* Answers of the pair are one word, and what its sharer writes is one sentence. */
#define DEMO_ANSWER_TOKENS 32

/* Where --train puts the fuser. */
#define DEMO_OUTPUT "checkpoints/demo_quick"

typedef struct demo_settings {
    const char *folder;
    int64_t questions, limit, threads;
    int dtype;
    const char *isa;
    int weights;
    bool json, train;
    const char *recipe, *output; /* of training */
} demo_settings;

c2c_status demo_answer(pair *p, way w, const demo_row *row, answer *a, char **reply,
                       c2c_error *error) {
    buffer ask = {0};
    buffer_printf(&ask, "Tell me what helps to answer: %s", row->question);
    const question q = {.messages = &row->messages,
                        .thinking = C2C_THINKING_OFF,
                        .max_new_tokens = DEMO_ANSWER_TOKENS,
                        .background = ask.data,
                        .background_tokens = DEMO_ANSWER_TOKENS};
    c2c_status status = ask.failed ? error_memory(error, ask.length, "a question")
                                   : pair_answer(p, w, &q, a, reply, error);
    buffer_free(&ask);
    return status;
}

bool demo_is_right(const demo_row *row, const answer *a) {
    return strcmp(a->text.data ? a->text.data : "", row->answer) == 0;
}

static c2c_status open_pair(pair *p, const char *folder, const demo_settings *s, c2c_error *error) {
    char *receiver = path_join(folder, "receiver"), *sharer = path_join(folder, "sharer"),
         *fuser = s->train ? string_copy(s->output) : path_join(folder, "fuser");
    c2c_status status;
    if (receiver && sharer && fuser)
        status = pair_open(p,
                           &(pair_settings){.receiver = receiver,
                                            .sharers = (const char *const *)&sharer,
                                            .fusers = (const char *const *)&fuser,
                                            .sharer_count = 1,
                                            .compute = (c2c_compute)s->dtype,
                                            .threads = s->threads,
                                            .isa = s->isa,
                                            .weights = (c2c_model_weights)s->weights,
                                            .context = 1024},
                           error);
    else
        status = error_memory(error, strlen(folder), "a path");
    free(fuser);
    free(sharer);
    free(receiver);
    return status;
}

static c2c_status demo_settings_run(const demo_settings *s, c2c_error *error) {
    char *folder = NULL;
    demo_rows rows = {0};
    pair p = {0};
    c2c_status status = demo_find(&folder, s->folder, error);
    if (!status && s->train)
        status =
            demo_train(folder, &(demo_training){s->recipe, s->output, s->isa, s->threads, s->json},
                       error);
    if (!status)
        status = demo_rows_open(&rows, folder, s->limit, error);
    if (!status)
        status = open_pair(&p, folder, s, error);
    if (!status && !s->json)
        status = demo_show(&p, &rows, s->questions, error);
    if (!status)
        status = demo_score(&p, &rows, s->json, s->train, error);
    pair_close(&p);
    demo_rows_close(&rows);
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
        "receiver with the sharer's KV cache fused into its own (C2C). --train takes minutes;\n"
        "--recipe recipes/demo.json takes longer and learns more.",
    .run = demo_run};
