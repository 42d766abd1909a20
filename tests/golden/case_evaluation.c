/* case_evaluation.c - rows of benchmarks and what becomes of them: prompts and truths,
 * letters out of answer texts, verdicts on mathematical answers, scores of LongBench. A file that
 * no function here compares is not built. */
#include "golden.h"

#include "eval/eval.h"

/* A string of a row, or NULL after case_fail (null: allowed where `optional`). */
static const json_value *row_text(golden_case *c, size_t i, const json_value *row, const char *key,
                                  bool optional) {
    const json_value *value = json_get(row, key);
    if (value && value->type == JSON_STRING)
        return value;
    if (!value || !optional || value->type != JSON_NULL)
        case_fail(c, "row %zu: expected a string \"%s\"", i, key);
    return NULL;
}

static void extraction_run(golden_case *c, const json_value *rows) {
    for (uint32_t i = 0; i < rows->count; i++) {
        const json_value *row = &rows->items[i], *text = row_text(c, i, row, "text", false);
        const json_value *answer = row_text(c, i, row, "answer", true);
        char letter = 0, got[2] = {0};
        c2c_error error = {0};
        if (!text)
            continue;
        if (choice_extract(&letter, text->string, text->count, 4, &error))
            case_fail(c, "row %u: %s", (unsigned)i, error.message);
        got[0] = letter;
        if (strcmp(got, answer ? answer->string : "") != 0)
            case_fail(c, "row %u: \"%.60s\": expected \"%s\", got \"%s\"", (unsigned)i,
                      text->string, answer ? answer->string : "", got);
    }
}

/* ---- Mathematical answers ---------------------------------------------------------------------
 */

/* Where ours says "right" and the original "wrong", one of these must be the reason. */
static const char *deliberate_difference(const char *response, const char *extracted) {
    /* It found no answer in a text that has one: without dollar signs it reads no LaTeX, names or
     * the minus sign of Unicode. Or it found one but could not read it (frac43, 11sqrt2), and
     * then only an equal parse counts, which there is none of. */
    if (strcmp(extracted, "No extracted answer") == 0)
        return "the original finds no answer";
    if (strncmp(extracted, "['", 2) == 0)
        return "the original cannot read the answer";
    /* 1.2e3 is 1200; it reads 1.2. */
    const char *e = strchr(response, 'e');
    for (; e; e = strchr(e + 1, 'e'))
        if (e > response && e[-1] >= '0' && e[-1] <= '9' && e[1] >= '0' && e[1] <= '9')
            return "the original reads no powers of ten";
    return NULL;
}

/* What was graded stands in the line that the original shows as the answer. */
static void math_line_check(golden_case *c, unsigned i, const json_value *line,
                            const math_verdict *verdict) {
    if (!line || line->type != JSON_STRING)
        return;
    char *piece = memory_get(verdict->length + 1, 1);
    if (verdict->start)
        memcpy(piece, verdict->start, verdict->length);
    if (!verdict->start || !strstr(line->string, piece))
        case_fail(c, "row %u: expected the answer in \"%s\", found \"%s\"", i, line->string, piece);
    free(piece);
}

static void math_run(golden_case *c, const json_value *rows) {
    for (uint32_t i = 0; i < rows->count; i++) {
        const json_value *row = &rows->items[i];
        const json_value *truth = row_text(c, i, row, "truth", false);
        const json_value *response = row_text(c, i, row, "response", false);
        const json_value *extracted = row_text(c, i, row, "extracted", false);
        const json_value *correct = json_get(row, "correct");
        math_verdict verdict;
        c2c_error error = {0};
        if (!truth || !response || !extracted || !correct)
            continue;
        if (math_grade(&verdict, response->string, response->count, truth->string, truth->count,
                       &error))
            case_fail(c, "row %u: %s", (unsigned)i, error.message);
        else if (correct->boolean != verdict.right &&
                 (correct->boolean || !deliberate_difference(response->string, extracted->string)))
            case_fail(c, "row %u: truth \"%s\", response \"%s\": expected %s", (unsigned)i,
                      truth->string, response->string, correct->boolean ? "right" : "wrong");
        math_line_check(c, i, json_get(row, "line_after_answer"), &verdict);
    }
}

/* ---- Prompts -----------------------------------------------------------------------------------
 */

static void prompt_compare(golden_case *c, unsigned i, const benchmark *b, const bench_item *item,
                           const json_value *row, const char *key, bool cot, bool use_template) {
    const json_value *expected = json_get(row, key);
    buffer out = {0};
    char what[64];
    c2c_error error = {0};
    if (!expected)
        return;
    snprintf(what, sizeof what, "row %u: %s", i, key);
    if (expected->type != JSON_STRING || bench_prompt(&out, b, item, cot, use_template, &error))
        case_fail(c, "%s: %s", what, error.message);
    else
        compare_text(c, what, expected->string, expected->count, out.data ? out.data : "",
                     out.length);
    buffer_free(&out);
}

/* The options as they were shuffled. */
static void prepared_compare(golden_case *c, unsigned i, const bench_item *item,
                             const json_value *prepared) {
    const json_value *choices = json_get(prepared, "choices");
    if (!prepared)
        return;
    if (!choices || choices->count != (uint32_t)item->choice_count)
        case_fail(c, "row %u: expected %u options", i, choices ? (unsigned)choices->count : 0);
    for (int k = 0; choices && k < item->choice_count && (uint32_t)k < choices->count; k++)
        if (strcmp(choices->items[k].string, item->choices[k]) != 0)
            case_fail(c, "row %u: option %d: expected \"%s\"", i, k, choices->items[k].string);
}

static void prompts_run(golden_case *c, const json_value *rows) {
    for (uint32_t i = 0; i < rows->count; i++) {
        const json_value *row = &rows->items[i];
        const json_value *name = row_text(c, i, row, "dataset", false);
        const json_value *truth = row_text(c, i, row, "truth", true);
        const json_value *data = json_get(row, "row");
        const benchmark *b = name ? benchmark_find(name->string) : NULL;
        bench_item item;
        c2c_error error = {0};
        if (!b || !data) {
            case_fail(c, "row %u: no such benchmark", (unsigned)i);
            continue;
        }
        if (bench_item_read(&item, b, data, "row", &error)) {
            case_fail(c, "row %u: %s", (unsigned)i, error.message);
            continue;
        }
        if (strcmp(item.truth ? item.truth : "", truth ? truth->string : "") != 0)
            case_fail(c, "row %u: expected the truth \"%s\", found \"%s\"", (unsigned)i,
                      truth ? truth->string : "", item.truth ? item.truth : "");
        prompt_compare(c, i, b, &item, row, "prompt", false, true);
        prompt_compare(c, i, b, &item, row, "prompt_plain", false, false);
        prompt_compare(c, i, b, &item, row, "prompt_cot", true, true);
        prompt_compare(c, i, b, &item, row, "prompt_cot_plain", true, false);
        prepared_compare(c, i, &item, json_get(row, "prepared"));
        bench_item_deinit(&item);
    }
}

/* ---- LongBench ----------------------------------------------------------------------------------
 */

static void long_tasks_compare(golden_case *c, const json_value *tasks) {
    static const char *const metrics[] = {"none",  "qa_f1",     "rouge",        "classification",
                                          "count", "retrieval", "retrieval_zh", "code_sim"};
    for (uint32_t i = 0; tasks && i < tasks->count; i++) {
        const char *name = tasks->members[i].key;
        const json_value *task = &tasks->members[i].value, *prompt = json_get(task, "prompt");
        const json_value *metric = json_get(task, "metric"),
                         *most = json_get(task, "max_new_tokens");
        const long_task *ours = long_task_find(name);
        if (!ours || !prompt || !metric || !most ||
            strcmp(prompt->string, long_task_prompt(ours)) != 0 ||
            most->integer != ours->max_new_tokens)
            case_fail(c, "%s: another prompt or length", name);
        else if (ours->metric != LONG_NONE && strcmp(metrics[ours->metric], metric->string) != 0)
            case_fail(c, "%s: expected the metric %s", name, metric->string);
    }
}

static long_texts texts_of(const json_value *list) {
    long_texts texts = {0};
    if (!list || list->type != JSON_ARRAY)
        return texts;
    const char **items = memory_get(list->count + 1, sizeof *items);
    for (uint32_t i = 0; i < list->count; i++)
        items[i] = list->items[i].string;
    return (long_texts){.items = items, .count = list->count};
}

/* A score is a handful of divisions of small integers, in the order of the public scripts. */
#define SCORE_TOLERANCE 1e-12

static void long_run(golden_case *c, const json_value *root) {
    const json_value *scored = json_get(root, "scored");
    long_tasks_compare(c, json_get(root, "tasks"));
    for (uint32_t i = 0; scored && i < scored->count; i++) {
        const json_value *row = &scored->items[i], *expected = json_get(row, "score");
        const json_value *name = row_text(c, i, row, "task", false);
        const json_value *said = row_text(c, i, row, "prediction", false);
        const long_task *task = name ? long_task_find(name->string) : NULL;
        long_texts answers = texts_of(json_get(row, "answers"));
        long_texts classes = texts_of(json_get(row, "all_classes"));
        double score = -1, wanted;
        c2c_error error = {0};
        if (!task || !said || !expected || task->metric == LONG_NONE) {
            case_fail(c, "scored[%u]: a task without metric", (unsigned)i);
        } else if (long_score(&score, task, said->string, &answers, &classes, &error)) {
            case_fail(c, "scored[%u]: %s", (unsigned)i, error.message);
        } else {
            wanted = expected->type == JSON_INTEGER ? (double)expected->integer : expected->real;
            if (fabs(score - wanted) > SCORE_TOLERANCE)
                case_fail(c, "scored[%u] (%s): expected %.17g, got %.17g", (unsigned)i, task->name,
                          wanted, score);
        }
        free((void *)answers.items);
        free((void *)classes.items);
    }
    if (!scored || scored->count == 0)
        case_fail(c, "no scored predictions");
}

/* ---- Files ---------------------------------------------------------------------------------- */

typedef struct evaluation_file {
    const char *name;
    void (*run)(golden_case *c, const json_value *rows);
} evaluation_file;

static const evaluation_file files[] = {{"extraction.json", extraction_run},
                                        {"math.json", math_run},
                                        {"prompts.json", prompts_run},
                                        {"longbench.json", long_run},
                                        {"chat_rows.json", chat_rows_run},
                                        {"token_rows.json", token_rows_run},
                                        {"collated.json", collated_run}};

static void file_run(golden_case *c, const evaluation_file *file, const char *path) {
    json_document *document = NULL;
    c2c_error error = {0};
    if (json_open(&document, path, &error)) {
        case_fail(c, "%s", error.message);
        return;
    }
    const json_value *root = json_root(document);
    if ((root->type != JSON_ARRAY && root->type != JSON_OBJECT) || root->count == 0)
        case_fail(c, "%s: expected rows", path);
    else
        file->run(c, root);
    json_close(document);
}

void evaluation_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        golden_case c;
        const evaluation_file *file = NULL;
        char *path = path_make(folder, names[i]);
        for (size_t k = 0; k < sizeof files / sizeof *files; k++)
            if (strcmp(files[k].name, names[i]) == 0)
                file = &files[k];
        case_begin(&c, run, "evaluation/%s", names[i]);
        if (file)
            file_run(&c, file, path);
        else
            case_unsupported(&c, "no comparison", "");
        case_end(&c);
        free(path);
    }
    names_free(names, count);
}
