/* case_evaluation.c - rows of benchmarks and what becomes of them: letters out of answer texts. A
 * file that no function here compares is not built. */
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

/* ---- Files ---------------------------------------------------------------------------------- */

typedef struct evaluation_file {
    const char *name;
    void (*run)(golden_case *c, const json_value *rows);
} evaluation_file;

static const evaluation_file files[] = {{"extraction.json", extraction_run}};

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
