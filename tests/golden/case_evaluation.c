/* case_evaluation.c - rows of benchmarks and what becomes of them: letters out of answer texts,
 * verdicts on mathematical answers. A file that no function here compares is not built. */
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

/* ---- Files ---------------------------------------------------------------------------------- */

typedef struct evaluation_file {
    const char *name;
    void (*run)(golden_case *c, const json_value *rows);
} evaluation_file;

static const evaluation_file files[] = {{"extraction.json", extraction_run},
                                        {"math.json", math_run}};

static void file_run(golden_case *c, const evaluation_file *file, const char *path) {
    json_document *document = NULL;
    c2c_error error = {0};
    if (json_open(&document, path, &error)) {
        case_fail(c, "%s", error.message);
        return;
    }
    const json_value *root = json_root(document);
    if (root->type != JSON_ARRAY || root->count == 0)
        case_fail(c, "%s: expected a list of rows", path);
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
