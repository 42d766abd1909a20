/* eval.c - the verb eval: one recipe, or several that are compared on the same questions. */
#include "app/eval.h"
#include "app/compute.h"
#include "app/names.h"

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
    int64_t limit, seed;
    int dtype;
    bool resume, json;
    eval_options options;
} eval_settings;

/* One recipe and what came of it. */
typedef struct evaluated {
    eval_recipe recipe;
    eval_records records;
    char *folder; /* of its files */
} evaluated;

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

/* Where a recipe's files go: --output, or what the recipe says; of several recipes with one
 * --output, each has a folder in it. */
static c2c_status find_folder(evaluated *e, const eval_settings *s, bool several,
                              c2c_error *error) {
    const char *base = s->output ? s->output : e->recipe.output;
    if (!base)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: output.output_dir: expected a folder, found none; say --output DIR",
                         e->recipe.path);
    e->folder = s->output && several ? path_join(base, e->recipe.name) : string_copy(base);
    return e->folder ? folders_make(e->folder, error) : error_memory(error, strlen(base), "a path");
}

/* What a run's answers depend on, as one line: a resumed run must have the same. */
static c2c_status about_make(buffer *out, const evaluated *e, const eval_settings *s,
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
    buffer_printf(out, "\", \"limit\": %lld, \"seed\": %lld, \"dtype\": \"%s\", \"data\": ",
                  (long long)s->limit, (long long)s->seed, compute_names[s->dtype]);
    json_write_string(out, data, strlen(data));
    buffer_append_text(out, "}");
    return out->failed ? error_memory(error, out->length, "a recipe") : C2C_STATUS_OK;
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

typedef struct asking {
    eval_system system;
    progress bar;
    char label[160];
    const char *name;
    double started;
    int64_t resumed, first;
} asking;

static c2c_status ask(void *user, const eval_set *set, const eval_question *question,
                      eval_answer *answer, c2c_error *error) {
    return eval_system_ask(&((asking *)user)->system, set, question, answer, error);
}

static bool watch(void *user, int64_t done, int64_t total, int64_t scored, double points) {
    asking *a = user;
    double spent = system_seconds() - a->started;
    double left = done ? spent / (double)done * (double)(total - done) : 0;
    if (scored)
        snprintf(a->label, sizeof a->label, "%.60s: %.1f%% right, %.0f s left", a->name,
                 points / (double)scored * 100, left);
    progress_update(&a->bar, done);
    return true;
}

static c2c_status evaluate(evaluated *e, const eval_set *set, const eval_settings *s,
                           const char *data, c2c_error *error) {
    asking a = {.name = e->recipe.name, .started = system_seconds()};
    buffer about = {0}, path = {0};
    c2c_status status = about_make(&about, e, s, data, error);
    buffer_printf(&path, "%s/%s_%s_%s_answers.jsonl", e->folder, e->recipe.name,
                  set->benchmark->name, e->recipe.logits ? "logits" : "generate");
    if (!status && path.failed)
        status = error_memory(error, path.length, "a path");
    if (!status)
        status = eval_system_open(&a.system, &e->recipe, &s->options, error);
    if (!status) {
        const eval_run run = {.set = set,
                              .path = path.data,
                              .about = about.data,
                              .resume = s->resume,
                              .ask = ask,
                              .watch = watch,
                              .user = &a};
        snprintf(a.label, sizeof a.label, "%.60s", e->recipe.name);
        progress_begin(&a.bar, a.label, (int64_t)set->count);
        status = eval_run_all(&e->records, &run, error);
        progress_end(&a.bar);
        eval_system_close(&a.system);
    }
    buffer_free(&path);
    buffer_free(&about);
    return status;
}

/* ---- What is printed
 * ------------------------------------------------------------------------------ */

static void add_share(table *t, const eval_interval *share) {
    if (isnan(share->value))
        table_add(t, "-");
    else
        table_add(t, "%.2f%% (%.1f-%.1f)", share->value * 100, share->low * 100, share->high * 100);
}

static void append_table(buffer *out, const eval_result *results, size_t count) {
    static const char *const titles[] = {"system",       "right (95%)", "questions", "first token",
                                         "whole answer", "tokens read", "written"};
    table t;
    table_init(&t, titles, "lrrrrrr");
    for (size_t i = 0; i < count; i++) {
        eval_summary s;
        eval_summarize(&s, &results[i]);
        table_add(&t, "%s", results[i].name);
        add_share(&t, &s.accuracy);
        table_add(&t, "%lld", (long long)s.scored);
        table_add(&t, "%.2f ms", s.median_ttft_ms);
        table_add(&t, "%.2f ms", s.median_total_ms);
        table_add(&t, "%.1f", s.read_tokens);
        table_add(&t, "%.1f", s.written_tokens);
    }
    table_write(&t, 0, output_columns(STDOUT_FILENO, 110), out);
    table_deinit(&t);
}

static c2c_status append_pairings(buffer *out, const eval_result *results, size_t count,
                                  c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 1; !status && i < count; i++) {
        eval_pairing p;
        status = eval_compare(&p, &results[0], &results[i], error);
        if (!status)
            buffer_printf(out,
                          "%s against %s: %+.2f points (95%%: %+.2f to %+.2f); only it is right "
                          "%lld times, only the other %lld (McNemar p = %.2g)\n",
                          results[i].name, results[0].name, p.difference.value * 100,
                          p.difference.low * 100, p.difference.high * 100, (long long)p.only_b,
                          (long long)p.only_a, p.p);
    }
    return status;
}

static void append_notes(buffer *out, const eval_set *set, const eval_result *results,
                         size_t count) {
    if (set->skipped)
        buffer_printf(out,
                      "%lld rows were not asked: they say themselves that they have no answer "
                      "to grade.\n",
                      (long long)set->skipped);
    if (set->malformed)
        buffer_printf(out,
                      "%lld malformed rows were not asked, and %lld files given up; the first: "
                      "%s\n",
                      (long long)(set->malformed - set->bad_files), (long long)set->bad_files,
                      set->first_malformed);
    for (size_t i = 0; i < count; i++) {
        int64_t failed = 0, unscored = 0;
        const char *why = "";
        for (size_t k = 0; k < results[i].records->count; k++) {
            const eval_record *r = &results[i].records->items[k];
            why = r->failed && !failed ? r->text : why;
            failed += r->failed;
            unscored += !r->failed && !r->scored;
        }
        if (failed)
            buffer_printf(out, "%s could not answer %lld questions, which count neither way: %s\n",
                          results[i].name, (long long)failed, why);
        if (unscored)
            buffer_printf(out,
                          "%s: of %lld questions only predictions were written: their metric "
                          "needs Chinese words, which nothing here cuts.\n",
                          results[i].name, (long long)unscored);
    }
}

static void write_json(json_out *out, const eval_result *results, size_t count) {
    json_out_open(out, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        eval_summary s;
        eval_summarize(&s, &results[i]);
        json_out_open(out, NULL, '{');
        json_out_text(out, "system", results[i].name, strlen(results[i].name));
        json_out_real(out, "accuracy", s.accuracy.value);
        json_out_real(out, "low", s.accuracy.low);
        json_out_real(out, "high", s.accuracy.high);
        json_out_integer(out, "questions", s.scored);
        json_out_integer(out, "failed", s.failed);
        json_out_real(out, "median_ttft_ms", s.median_ttft_ms);
        json_out_real(out, "median_total_ms", s.median_total_ms);
        json_out_real(out, "read_tokens", s.read_tokens);
        json_out_real(out, "written_tokens", s.written_tokens);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
    buffer_append_char(&out->text, '\n');
}

static c2c_status print_results(const eval_settings *s, const eval_set *set,
                                const eval_result *results, size_t count, const char *report,
                                c2c_error *error) {
    buffer out = {0};
    c2c_status status = C2C_STATUS_OK;
    if (s->json) {
        json_out json = {0};
        write_json(&json, results, count);
        out = json.text;
    } else {
        append_table(&out, results, count);
        status = append_pairings(&out, results, count, error);
        append_notes(&out, set, results, count);
        buffer_printf(&out, "report: %s\n", report);
    }
    if (!status)
        status = output_buffer(&out, error);
    buffer_free(&out);
    return status;
}

/* ---- Files
 * ----------------------------------------------------------------------------------------- */

/* The original's files of each system, and one report. */
static c2c_status write_results(const eval_settings *s, const eval_set *set, evaluated *all,
                                size_t count, c2c_error *error) {
    eval_result results[MAX_SYSTEMS];
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local))
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", &local);
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < count; i++) {
        const eval_recipe *r = &all[i].recipe;
        const char *slash = strrchr(r->model_name, '/');
        buffer prefix = {0};
        results[i] = (eval_result){.name = r->name,
                                   .model = r->model_name,
                                   .method = r->logits ? "logits" : "generate",
                                   .set = set,
                                   .records = &all[i].records};
        buffer_printf(&prefix, "%s_%s_%s_%s", slash ? slash + 1 : r->model_name,
                      set->benchmark->name, results[i].method, stamp);
        status = prefix.failed ? error_memory(error, 64, "a name")
                               : eval_write_files(&results[i], all[i].folder, prefix.data, error);
        buffer_free(&prefix);
    }
    char *report = path_join(s->output ? s->output : all[0].folder, "report.html");
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

static c2c_status eval_settings_run(const eval_settings *s, c2c_error *error) {
    evaluated all[MAX_SYSTEMS] = {0};
    size_t count = s->compare.count + 1, opened = 0;
    eval_set set = {0};
    char *data = NULL;
    c2c_status status = C2C_STATUS_OK;
    for (; !status && opened < count; opened += status == C2C_STATUS_OK)
        status = eval_recipe_open(&all[opened].recipe,
                                  opened ? s->compare.items[opened - 1] : s->recipe, error);
    if (!status)
        status = check_same(all, count, error);
    for (size_t i = 0; !status && i < count; i++)
        status = find_folder(&all[i], s, count > 1, error);
    if (!status && s->output)
        status = folders_make(s->output, error);
    if (!status)
        status = eval_data_find(&data, &all[0].recipe, s->data, error);
    if (!status) {
        eval_choice choice = all[0].recipe.choice;
        if (s->limit) {
            choice.limit = s->limit;
            choice.ranged = false;
        }
        status = eval_set_open(&set, all[0].recipe.benchmark, data, &choice, error);
    }
    for (size_t i = 0; !status && i < count; i++)
        status = evaluate(&all[i], &set, s, data, error);
    if (!status)
        status = write_results(s, &set, all, count, error);
    for (size_t i = 0; i < opened; i++) {
        eval_records_deinit(&all[i].records);
        eval_recipe_close(&all[i].recipe);
        free(all[i].folder);
    }
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
    eval_settings s = {0};
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
         .target = &s.limit,
         .low = 1,
         .high = INT32_MAX,
         .shown = "eval.limit of the recipe",
         .help = "only the first N questions of each subject"},
        {.name = "--resume",
         .kind = OPTION_FLAG,
         .target = &s.resume,
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
        s.options.seed = (uint64_t)s.seed;
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
