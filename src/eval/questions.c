/* questions.c - the questions of a run: which files, which of their rows, and to what subject a row
 * belongs. */
#include "eval/run.h"

#include <stdlib.h>

#define MAX_FOLDERS 4 /* below the one that is named */

/* Rows of one subject that were seen and kept so far. */
typedef struct subject_count {
    const char *name;
    int64_t rows, kept;
    struct subject_count *next;
} subject_count;

typedef struct loader {
    eval_set *set;
    const eval_choice *choice;
    subject_count *subjects;
    char **files;
    size_t file_count, file_capacity;
    int depth;
    const char *folder;
} loader;

/* ---- Files ------------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_rows_file(const char *name) {
    return ends_with(name, ".jsonl") || ends_with(name, ".json") || ends_with(name, ".csv") ||
           ends_with(name, ".tsv");
}

static c2c_status visit(void *user, const char *name, c2c_error *error) {
    loader *l = user;
    char *path = path_join(l->folder, name);
    c2c_status status = C2C_STATUS_OK;
    if (!path)
        return error_memory(error, strlen(name), "a path");
    if (folder_exists(path) && l->depth < MAX_FOLDERS && name[0] != '.') {
        const char *folder = l->folder;
        l->folder = path;
        l->depth++;
        status = folder_each(path, visit, l, error);
        l->depth--;
        l->folder = folder;
    } else if (file_exists(path) && is_rows_file(name)) {
        if (l->file_count == l->file_capacity) {
            size_t capacity = l->file_capacity ? l->file_capacity * 2 : 64, bytes;
            char **files = NULL;
            if (size_mul(capacity, sizeof *files, &bytes))
                files = realloc(l->files, bytes);
            if (!files) {
                free(path);
                return error_memory(error, capacity * sizeof *files, "names of files");
            }
            l->files = files;
            l->file_capacity = capacity;
        }
        l->files[l->file_count++] = path;
        return C2C_STATUS_OK;
    }
    free(path);
    return status;
}

/* A split's name as a word of a path, behind the folder that was named. */
static bool names_split(const char *path, size_t skip, const char *split) {
    size_t n = strlen(split);
    for (const char *at = strstr(path + skip, split); at; at = strstr(at + 1, split)) {
        char before = at > path ? at[-1] : '/', after = at[n];
        if (strchr("/_-.", before) && (after == '\0' || strchr("/_-.0123456789", after)))
            return true;
    }
    return false;
}

/* Where some files name the split, only those count; "validation" stands for "val". */
static void keep_split(loader *l, size_t skip, const char *split) {
    size_t kept = 0;
    for (size_t i = 0; i < l->file_count; i++)
        kept += names_split(l->files[i], skip, split);
    if (kept == 0)
        return;
    kept = 0;
    for (size_t i = 0; i < l->file_count; i++) {
        if (names_split(l->files[i], skip, split))
            l->files[kept++] = l->files[i];
        else
            free(l->files[i]);
    }
    l->file_count = kept;
}

/* ---- Subjects ---------------------------------------------------------------------------------
 */

/* "mmlu_abstract_algebra_test.csv" -> "abstract_algebra": the file's name without its ending, a
 * split at its end and the benchmark's at its start. */
static const char *file_subject(eval_set *set, const char *path) {
    static const char *const ends[] = {"_test", "_val", "_dev", "_validation", "_train"};
    static const char *const starts[] = {"mmlu_", "mmlu_redux_"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : strlen(name);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (length > strlen(starts[i]) && strncmp(name, starts[i], strlen(starts[i])) == 0) {
            name += strlen(starts[i]);
            length -= strlen(starts[i]);
        }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (length > n && memcmp(name + length - n, ends[i], n) == 0) {
            length -= n;
            break;
        }
    }
    return arena_copy(set->names, name, length);
}

static subject_count *find_subject(loader *l, const char *name, c2c_error *error) {
    subject_count **end = &l->subjects;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->name, name) == 0)
            return *end;
    subject_count *s = arena_alloc(l->set->names, sizeof *s);
    const char *copy = s ? arena_copy(l->set->names, name, strlen(name)) : NULL;
    if (!copy) {
        error_memory(error, sizeof *s, "a subject");
        return NULL;
    }
    *s = (subject_count){.name = copy};
    return *end = s;
}

static bool is_wanted(const eval_choice *c, const subject_count *s, int64_t row) {
    bool named = c->subject_count == 0;
    for (size_t i = 0; i < c->subject_count; i++)
        named = named || strcmp(c->subjects[i], s->name) == 0;
    if (!named || (c->interval > 1 && row % c->interval != 0))
        return false;
    if (c->ranged)
        return row >= c->from && row < c->to;
    return c->limit <= 0 || s->kept < c->limit;
}

/* ---- Rows -------------------------------------------------------------------------------------
 */

static c2c_status set_add(eval_set *set, const eval_question *question, c2c_error *error) {
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 256, bytes;
        eval_question *items = NULL;
        if (size_mul(capacity, sizeof *items, &bytes))
            items = realloc(set->items, bytes);
        if (!items)
            return error_memory(error, capacity * sizeof *items, "questions");
        set->items = items;
        set->capacity = capacity;
    }
    set->items[set->count++] = *question;
    return C2C_STATUS_OK;
}

static void count_malformed(eval_set *set, const char *message) {
    if (set->malformed++ == 0) {
        size_t n = strlen(message);
        n = n < sizeof set->first_malformed - 1 ? n : sizeof set->first_malformed - 1;
        memcpy(set->first_malformed, message, n);
    }
}

/* A row that is skipped keeps its number and its place in the limit, as in the original. */
static c2c_status load_row(loader *l, const json_value *row, const char *where, const char *of_file,
                           c2c_error *error) {
    eval_question q = {0};
    c2c_error why = {0};
    c2c_status status = bench_item_read(&q.item, l->set->benchmark, row, where, &why);
    if (status == C2C_STATUS_BAD_FILE) {
        count_malformed(l->set, why.message);
        return C2C_STATUS_OK;
    }
    if (status)
        return error_set(error, status, "%s", why.message);
    const char *name = l->set->benchmark->subject ? l->set->benchmark->subject
                       : q.item.subject           ? q.item.subject
                                                  : of_file;
    subject_count *s = find_subject(l, name, error);
    if (!s) {
        bench_item_deinit(&q.item);
        return C2C_STATUS_OUT_OF_MEMORY;
    }
    q.subject = s->name;
    q.id = s->rows++;
    bool wanted = is_wanted(l->choice, s, q.id);
    s->kept += wanted;
    if (wanted && !q.item.truth && !l->set->skipped++)
        l->set->first_skipped = q.item.skipped;
    if (wanted && q.item.truth)
        status = set_add(l->set, &q, error);
    if (status || !wanted || !q.item.truth)
        bench_item_deinit(&q.item);
    return status;
}

static c2c_status load_file(loader *l, const char *path, c2c_error *error) {
    row_reader *reader;
    buffer where = {0};
    const char *subject = file_subject(l->set, path);
    int64_t before = l->set->malformed, rows = 0;
    if (!subject)
        return error_memory(error, strlen(path), "a subject");
    c2c_status status = rows_open(&reader, path, NULL, error);
    while (!status) {
        const json_value *row;
        c2c_error why = {0};
        status = rows_next(reader, &row, &why);
        if (status == C2C_STATUS_BAD_FILE && !rows_torn(reader)) {
            count_malformed(l->set, why.message);
            rows++;
            status = C2C_STATUS_OK;
            continue;
        }
        if (status)
            error_set(error, status, "%s", why.message);
        if (status || !row)
            break;
        rows++;
        buffer_clear(&where);
        buffer_printf(&where, "%s: line %lld", path, (long long)rows_line(reader));
        status = load_row(l, row, where.data ? where.data : path, subject, error);
    }
    l->set->rows += rows;
    l->set->files++;
    if (!status && rows && l->set->malformed - before == rows)
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: expected rows of %s, found none; the first says: %s", path,
                           l->set->benchmark->name, l->set->first_malformed);
    buffer_free(&where);
    rows_close(reader);
    return status;
}

static c2c_status nothing_to_ask(const eval_set *set, const char *path, c2c_error *error) {
    return error_set(error, C2C_STATUS_BAD_FILE,
                     "%s: no question to ask: of %lld rows %lld were skipped%s%s%s, %lld are "
                     "malformed, %lld files were given up, and the others are not among the "
                     "subjects or rows that were asked for%s%s",
                     path, (long long)set->rows, (long long)set->skipped,
                     set->skipped ? " (the first, because " : "",
                     set->skipped ? set->first_skipped : "", set->skipped ? ")" : "",
                     (long long)(set->malformed - set->bad_files), (long long)set->bad_files,
                     set->malformed ? "; the first says: " : "", set->first_malformed);
}

c2c_status eval_set_open(eval_set *set, const benchmark *b, const char *path,
                         const eval_choice *choice, c2c_error *error) {
    *set = (eval_set){.benchmark = b, .names = arena_new(4096)};
    loader l = {.set = set, .choice = choice, .folder = path};
    if (!set->names)
        return error_memory(error, 4096, "questions");
    c2c_status status = C2C_STATUS_OK;
    bool folder = folder_exists(path);
    if (folder) {
        status = folder_each(path, visit, &l, error);
        keep_split(&l, strlen(path), b->split);
        if (!status && l.file_count == 0)
            status = error_set(error, C2C_STATUS_NOT_FOUND,
                               "%s: expected .json, .jsonl or .csv files, found none; Parquet is "
                               "not read: save the data set as JSON lines",
                               path);
    }
    for (size_t i = 0; !status && i < l.file_count; i++) {
        c2c_error why = {0};
        status = load_file(&l, l.files[i], &why);
        if (status == C2C_STATUS_BAD_FILE && l.file_count > 1) {
            set->bad_files++;
            count_malformed(set, why.message);
            status = C2C_STATUS_OK;
        } else if (status) {
            error_set(error, status, "%s", why.message);
        }
    }
    if (!status && !folder)
        status = load_file(&l, path, error);
    if (!status && set->count == 0)
        status = nothing_to_ask(set, path, error);
    for (size_t i = 0; i < l.file_count; i++)
        free(l.files[i]);
    free(l.files);
    if (status)
        eval_set_close(set);
    return status;
}

void eval_set_close(eval_set *set) {
    for (size_t i = 0; i < set->count; i++)
        bench_item_deinit(&set->items[i].item);
    free(set->items);
    arena_free(set->names);
    *set = (eval_set){0};
}
