/* eval.c - the verb eval: one recipe, or several that are compared on the same questions. */
#include "app/eval.h"
#include "app/compute.h"
#include "app/names.h"
#include "app/stop.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_SYSTEMS (OPTION_LIST_MAX + 1)

typedef struct eval_settings {
    const char *recipe, *data, *output;
    option_list compare;
    int64_t seed;
    int dtype, weights, cache;
    bool json;
    eval_options options;
} eval_settings;

/* ---- Folders and names ------------------------------------------------------------------------
 */

/* mkdir -p */
static c2c_status folders_make(const char *path, c2c_error *error) {
    char *copy = string_copy(path);
    c2c_status status = C2C_STATUS_OK;
    if (!copy)
        return error_memory(error, strlen(path), "a path");
    for (char *c = copy + 1; !status; c++) {
        char end = *c;
        if (end != '/' && end != '\0')
            continue;
        *c = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = error_set(error, C2C_STATUS_IO, "%s: cannot make this folder: %s", copy,
                               strerror(errno));
        *c = end;
        if (!end)
            break;
    }
    free(copy);
    return status;
}

/* Where a recipe's files go: --output, or what the recipe says; of several that go to one place,
 * each has a folder in it. */
static c2c_status find_folder(evaluated *all, size_t count, size_t i, const eval_settings *s,
                              c2c_error *error) {
    evaluated *e = &all[i];
    const char *base = s->output ? s->output : e->recipe.output;
    bool shared = s->output && count > 1;
    for (size_t k = 0; base && !shared && k < count; k++)
        shared = k != i && all[k].recipe.output && strcmp(all[k].recipe.output, base) == 0;
    if (!base)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: output.output_dir: expected a folder, found none; say --output DIR",
                         e->recipe.path);
    e->folder = shared ? path_join(base, e->recipe.name) : string_copy(base);
    return e->folder ? folders_make(e->folder, error) : error_memory(error, strlen(base), "a path");
}

/* ---- Results ----------------------------------------------------------------------------------
 */

static c2c_status print_results(const eval_settings *s, const eval_set *set,
                                const eval_result *results, size_t count, const char *report,
                                c2c_error *error) {
    buffer out = {0};
    c2c_status status;
    if (s->json) {
        json_out json = {0};
        status = eval_show_json(&json, results, count, error);
        buffer_append_char(&json.text, '\n');
        out = json.text;
    } else {
        status = eval_show_table(&out, results, count, error);
        if (!status)
            status = eval_show_pairings(&out, results, count, error);
        eval_show_notes(&out, set, results, count);
        buffer_printf(&out, "report: %s\n", report);
    }
    if (!status)
        status = output_buffer(&out, error);
    buffer_free(&out);
    return status;
}

/* The original's files of one system. */
static c2c_status write_files(const eval_result *result, const char *folder, const char *stamp,
                              c2c_error *error) {
    const char *slash = strrchr(result->model, '/');
    buffer prefix = {0};
    buffer_printf(&prefix, "%s_%s_%s_%s", slash ? slash + 1 : result->model,
                  result->set->benchmark->name, result->method, stamp);
    c2c_status status = prefix.failed ? error_memory(error, prefix.length, "a name")
                                      : eval_write_files(result, folder, prefix.data, error);
    buffer_free(&prefix);
    return status;
}

/* All of them, and one report. */
static c2c_status write_results(const eval_settings *s, const eval_set *set, const evaluated *all,
                                size_t count, c2c_error *error) {
    eval_result results[MAX_SYSTEMS];
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local))
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", &local);
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < count; i++) {
        results[i] = evaluated_result(&all[i], set);
        status = write_files(&results[i], all[i].folder, stamp, error);
    }
    char *report = path_join(s->output ? s->output : all[0].recipe.output, "report.html");
    if (!status)
        status = report ? eval_report_write(report, results, count, error)
                        : error_memory(error, 64, "a path");
    if (!status)
        status = print_results(s, set, results, count, report, error);
    free(report);
    return status;
}

/* ---- The verb
 * -------------------------------------------------------------------------------------- */

/* Compared systems must be asked the same: what is asked is the first recipe's business. */
static c2c_status check_same(const evaluated *all, size_t count, c2c_error *error) {
    for (size_t i = 1; i < count; i++) {
        if (all[i].recipe.benchmark != all[0].recipe.benchmark)
            return error_set(
                error, C2C_STATUS_MISMATCH,
                "%s: eval.dataset: expected %s as in %s, found %s; only answers to the "
                "same questions can be compared",
                all[i].recipe.path, all[0].recipe.benchmark->name, all[0].recipe.path,
                all[i].recipe.benchmark->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(all[k].recipe.name, all[i].recipe.name) == 0)
                return error_set(
                    error, C2C_STATUS_INVALID_ARGUMENT,
                    "%s and %s: reports name a system by its recipe's file; rename one",
                    all[k].recipe.path, all[i].recipe.path);
    }
    return C2C_STATUS_OK;
}

/* Every system of every recipe, in their order; *count: those that are to be closed. */
static c2c_status open_recipes(evaluated *all, size_t *count, const eval_settings *s,
                               c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t r = 0; !status && r <= s->compare.count; r++) {
        const char *path = r ? s->compare.items[r - 1] : s->recipe;
        size_t systems = 1;
        for (size_t i = 0; !status && i < systems; i++) {
            if (*count == MAX_SYSTEMS)
                return error_set(error, C2C_STATUS_UNSUPPORTED,
                                 "%s: expected %d systems at most, found more", path, MAX_SYSTEMS);
            status = eval_recipe_open(&all[*count].recipe, path, i, error);
            if (!status)
                systems = all[(*count)++].recipe.system_count;
        }
    }
    return status;
}

static c2c_status eval_settings_run(const eval_settings *s, c2c_error *error) {
    evaluated all[MAX_SYSTEMS] = {0};
    size_t count = 0;
    eval_set set = {0};
    char *data = NULL;
    c2c_status status = open_recipes(all, &count, s, error);
    if (!status)
        status = check_same(all, count, error);
    for (size_t i = 0; !status && i < count; i++)
        status = find_folder(all, count, i, s, error);
    if (!status)
        status = eval_data_find(&data, &all[0].recipe, s->data, error);
    if (!status)
        status = eval_questions_open(&set, &all[0].recipe, data, &s->options, error);
    for (size_t i = 0; !status && i < count; i++)
        status = evaluated_ask(&all[i], &set, data, &s->options, error);
    if (!status)
        status = write_results(s, &set, all, count, error);
    for (size_t i = 0; i < count; i++)
        evaluated_deinit(&all[i]);
    eval_set_close(&set);
    free(data);
    return status;
}

/* "--compare A B C" is "A --compare B --compare C": *argc words in the new array, to be freed. */
static char **spread_compare(int *argc, char *const *argv) {
    char **words = calloc(2 * (size_t)*argc + 1, sizeof *words);
    int count = 0;
    bool spreading = false, operand = false;
    for (int i = 0; words && i < *argc; i++) {
        bool is_option = argv[i][0] == '-';
        if (strcmp(argv[i], "--compare") == 0) {
            spreading = true;
        } else if (spreading && !is_option) {
            if (operand)
                words[count++] = (char *)"--compare";
            operand = true;
            words[count++] = argv[i];
        } else {
            /* An option of one word, or with its value; what stands before --compare and is no
             * value is the recipe. */
            spreading = false;
            bool value = i > 0 && argv[i - 1][0] == '-' && !strchr(argv[i - 1], '=') &&
                         strcmp(argv[i - 1], "--resume") != 0 && strcmp(argv[i - 1], "--json") != 0;
            operand = operand || (!is_option && !value);
            words[count++] = argv[i];
        }
    }
    *argc = count;
    return words;
}

static int eval_run_verb(const verb *v, int argc, char *const *argv) {
    eval_settings s = {.options = {.batch = EVAL_BATCH, .timed = -1}};
    const option options[] = {
        {.name = "--data",
         .value = "PATH",
         .kind = OPTION_PATH,
         .target = &s.data,
         .shown = "eval.data_path of the recipe, or the Hugging Face cache",
         .help = "file or folder of the benchmark's questions (JSON, JSONL, CSV)"},
        {.name = "--output",
         .value = "DIR",
         .kind = OPTION_PATH,
         .target = &s.output,
         .shown = "output.output_dir of the recipe",
         .help = "where the files go"},
        {.name = "--compare",
         .value = "RECIPE",
         .kind = OPTION_PATHS,
         .target = &s.compare,
         .shown = "",
         .help = "more systems, asked the same questions (several may follow)"},
        {.name = "--limit",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s.options.limit,
         .low = 1,
         .high = INT32_MAX,
         .shown = "eval.limit of the recipe",
         .help = "only the first N questions of each subject"},
        {.name = "--batch",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s.options.batch,
         .low = 1,
         .high = C2C_MAX_BATCH,
         .help = "questions that are answered together; the answers are the same"},
        {.name = "--timed",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s.options.timed,
         .low = 0,
         .high = INT32_MAX,
         .shown = "a twentieth, but 8 to 100",
         .help = "questions that are asked alone first, spread over all: latencies are theirs"},
        {.name = "--resume",
         .kind = OPTION_FLAG,
         .target = &s.options.resume,
         .help = "go on with the answers that an earlier run left"},
        {.name = "--seed",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s.seed,
         .low = 0,
         .high = INT64_MAX,
         .help = "for recipes that sample"},
        models_option(&s.options.models),
        dtype_option(&s.dtype),
        threads_option(&s.options.threads),
        isa_option(&s.options.isa),
        weights_option(&s.weights),
        kv_option(&s.cache),
        {.name = "--ctx",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &s.options.context,
         .low = 1,
         .high = INT32_MAX,
         .shown = "what the model and the memory allow",
         .help = "tokens of a question and its answer"},
        {.name = "--json",
         .kind = OPTION_FLAG,
         .target = &s.json,
         .help = "print the figures as JSON"}};
    const option_set set = {.options = options,
                            .count = sizeof options / sizeof *options,
                            .operand = "RECIPE",
                            .operand_target = &s.recipe};
    int status;
    char **words = spread_compare(&argc, argv);
    if (!words) {
        c2c_error error;
        error_memory(&error, (size_t)argc * sizeof *words, "arguments");
        return app_failed(&error);
    }
    if (verb_options(v, &set, argc, words, &status)) {
        c2c_error error = {0};
        s.options.compute = (c2c_compute)s.dtype;
        s.options.weights = (c2c_model_weights)s.weights;
        s.options.cache = (c2c_cache_type)s.cache;
        s.options.seed = (uint64_t)s.seed;
        s.options.stop = stop_flag();
        stop_install();
        status = eval_settings_run(&s, &error) ? app_failed(&error) : APP_OK;
    }
    free(words);
    return status;
}

const verb eval_verb = {
    .name = "eval",
    .usage = "RECIPE [--compare RECIPE...] [options]",
    .summary = "answer a benchmark's questions, grade them, and report",
    .notes =
        "RECIPE is an evaluation recipe (YAML or JSON) of the original. Answers are written as\n"
        "they come; the original's summary, table and lengths follow at the end, and a\n"
        "report.html with intervals, plots, and where compared systems disagree.",
    .run = eval_run_verb};
