/* bench.c - the verb bench: its options. What is measured stands in bench_tokenizer.c and
 * bench_pair.c. */
#include "app/bench.h"
#include "app/compute.h"
#include "app/names.h"

#include <stdlib.h>

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *times, int64_t count) {
    qsort(times, (size_t)count, sizeof *times, compare_times);
    return times[count / 2];
}

/* ---- Options ------------------------------------------------------------------------------ */

#define PATH_OPTION(option_name, field, words)                                                     \
    {                                                                                              \
        .name = option_name, .value = "DIR", .kind = OPTION_PATH, .target = &s->field,             \
        .shown = "", .help = words                                                                 \
    }
#define COUNT_OPTION(option_name, field, least, largest, words)                                    \
    {                                                                                              \
        .name = option_name, .value = "N", .kind = OPTION_INTEGER, .target = &s->field,            \
        .low = least, .high = largest, .help = words                                               \
    }

static size_t bench_options(bench_settings *s, option *rows) {
    const option options[] = {
        PATH_OPTION("--pair", pair, "folder with receiver, sharer and fuser"),
        PATH_OPTION("--receiver", receiver, "or the receiver's folder or name"),
        PATH_OPTION("--sharer", sharer, "with --receiver: the sharer's"),
        PATH_OPTION("--fuser", fuser, "with --sharer: the fuser's"),
        models_option(&s->models),
        COUNT_OPTION("--prompt-tokens", prompt_tokens, 2, 1 << 24, "tokens of the prompt"),
        COUNT_OPTION("--new-tokens", new_tokens, 2, 1 << 20, "tokens to write after it"),
        COUNT_OPTION("--batch", batch, 1, 256, "answers that are also written together"),
        dtype_option(&s->dtype),
        threads_option(&s->threads),
        isa_option(&s->isa),
        weights_option(&s->weights),
        kv_option(&s->cache),
        PATH_OPTION("--tokenizer", tokenizer, "measure a tokenizer instead: its folder"),
        {.name = "--text",
         .value = "FILE",
         .kind = OPTION_PATHS,
         .target = &s->texts,
         .shown = "",
         .help = "with --tokenizer: UTF-8 text to encode, as one text; may be given several times"},
        COUNT_OPTION("--repeat", repeat, 1, 1000000, "times to measure; medians are printed"),
        {.name = "--json",
         .kind = OPTION_FLAG,
         .target = &s->json,
         .help = "print one JSON object"}};
    memcpy(rows, options, sizeof options);
    return sizeof options / sizeof *options;
}

/* What goes together. NULL: all is well. */
static const char *find_mistake(const bench_settings *s) {
    int subjects = (s->tokenizer != NULL) + (s->pair != NULL) + (s->receiver != NULL);
    if (subjects == 0)
        return "--pair DIR, --receiver DIR or --tokenizer DIR is missing";
    if (subjects > 1)
        return "--pair, --receiver and --tokenizer exclude each other";
    if (!s->tokenizer != !s->texts.count)
        return "--tokenizer and --text go together";
    if (!s->sharer != !s->fuser)
        return "--sharer and --fuser go together";
    if (s->sharer && !s->receiver)
        return "--sharer needs --receiver";
    return NULL;
}

static int bench_run(const verb *v, int argc, char *const *argv) {
    bench_settings s = {.repeat = 5, .prompt_tokens = 512, .new_tokens = 32, .batch = 1};
    option options[OPTIONS_MAX];
    const option_set set = {.options = options, .count = bench_options(&s, options)};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    const char *mistake = find_mistake(&s);
    if (mistake)
        return verb_wrong_usage(v, "%s", mistake);
    c2c_error error = {0};
    c2c_status status = s.tokenizer ? bench_tokenizer(&s, &error) : bench_pair(&s, &error);
    return status ? app_failed(&error) : APP_OK;
}

const verb bench_verb = {
    .name = "bench",
    .usage = "(--pair DIR | --receiver DIR [--sharer DIR --fuser DIR] | --tokenizer DIR --text "
             "FILE...) [options]",
    .summary = "measure how fast a pair answers, or a tokenizer encodes",
    .notes = "Of a pair: first what the machine can do at most (products with the chosen kernels,\n"
             "bytes read from memory), then the parts of an answer, each with its median, its\n"
             "spread ((largest - smallest) / median) and its share of that ceiling. The prompt is\n"
             "made of arbitrary tokens, all but the last of them fused. The first token's time is\n"
             "that of the fused answer. A tokenizer is measured on one thread, in its processor\n"
             "time. Cold: the first text of a tokenizer that was just opened. Warm: the same text\n"
             "again.",
    .run = bench_run};
