/* demo_rows.c - where the shipped pair is, and its evaluation questions. */
#include "app/demo.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- The folder --------------------------------------------------------------------------- */

static bool holds_pair(const char *folder) {
    char *rows = path_join(folder, "eval.jsonl");
    bool holds = rows && file_exists(rows);
    free(rows);
    return holds;
}

/* The folder of the running program, to be freed; NULL where the system does not say. */
static char *program_folder(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0 || (size_t)length >= sizeof path - 1)
        return NULL;
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    return path_join(path, "");
}

c2c_status demo_find(char **folder, const char *given, c2c_error *error) {
    /* build/c2c, build/<variant>/c2c, PREFIX/bin/c2c. */
    static const char *const places[] = {"../share/demo", "../../share/demo", "../share/c2c/demo"};
    *folder = NULL;
    if (given) {
        if (!holds_pair(given))
            return error_set(error, C2C_STATUS_NOT_FOUND,
                             "--pair %s: expected a folder with receiver, sharer, fuser and "
                             "eval.jsonl, found no eval.jsonl in it",
                             given);
        *folder = path_join(given, "");
        return *folder ? C2C_STATUS_OK : error_memory(error, strlen(given), "a path");
    }
    buffer looked = {0};
    char *program = program_folder();
    for (size_t i = 0; program && !*folder && i < sizeof places / sizeof *places; i++) {
        char *candidate = path_join(program, places[i]);
        if (candidate && holds_pair(candidate)) {
            *folder = candidate;
            break;
        }
        buffer_printf(&looked, "%s%s", i ? ", " : "", candidate ? candidate : places[i]);
        free(candidate);
    }
    free(program);
    c2c_status status = C2C_STATUS_OK;
    if (!*folder)
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "the demo pair was not found; looked in %s; say where it is with "
                           "--pair DIR",
                           looked.data ? looked.data : "no folder");
    buffer_free(&looked);
    return status;
}

/* ---- The questions ------------------------------------------------------------------------ */

static c2c_status row_read_kind(demo_row *row, const json_value *root, const char *where,
                                c2c_error *error) {
    const char *kind;
    c2c_status status = json_get_string(root, "kind", NULL, &kind, where, error);
    if (status)
        return status;
    if (strcmp(kind, "known") != 0 && strcmp(kind, "told") != 0)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: kind: expected known or told, found \"%s\"", where, kind);
    row->kind = strcmp(kind, "told") == 0 ? DEMO_TOLD : DEMO_KNOWN;
    return C2C_STATUS_OK;
}

/* Parses one line; the row owns what was opened even when this fails. */
static c2c_status row_read(demo_row *row, const char *line, size_t length, const char *where,
                           c2c_error *error) {
    static const char *const recorded_keys[WAY_COUNT] = {"receiver", "sharer", "t2t", "c2c"};
    static const char *const none = NULL;
    c2c_status status = json_parse(&row->document, line, length, where, error);
    if (status)
        return status;
    const json_value *root = json_root(row->document);
    if ((status = json_get_string(root, "question", NULL, &row->question, where, error)) ||
        (status = json_get_string(root, "answer", NULL, &row->answer, where, error)) ||
        (status = row_read_kind(row, root, where, error)))
        return status;
    for (int w = 0; !status && w < WAY_COUNT; w++)
        status = json_get_string(root, recorded_keys[w], &none, &row->recorded[w], where, error);
    if (!status)
        status = chat_add_json(&row->messages, json_get(root, "messages"), where, error);
    return status;
}

static c2c_status rows_add(demo_rows *rows, const char *line, size_t length, const char *where,
                           c2c_error *error) {
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 256, bytes;
        demo_row *items = NULL;
        if (size_mul(capacity, sizeof *items, &bytes))
            items = realloc(rows->items, bytes);
        if (!items)
            return error_memory(error, capacity * sizeof *items, "the demo's questions");
        rows->items = items;
        rows->capacity = capacity;
    }
    demo_row *row = &rows->items[rows->count++];
    *row = (demo_row){0};
    return row_read(row, line, length, where, error);
}

c2c_status demo_rows_open(demo_rows *rows, const char *folder, int64_t limit, c2c_error *error) {
    *rows = (demo_rows){0};
    file_map map = {0};
    buffer where = {0};
    char *path = path_join(folder, "eval.jsonl");
    c2c_status status =
        path ? file_map_open(&map, path, error) : error_memory(error, strlen(folder), "a path");
    size_t at = 0;
    for (size_t number = 1; !status && at < map.size; number++) {
        if (limit > 0 && rows->count == (size_t)limit)
            break;
        const char *line = (const char *)map.data + at;
        const char *end = memchr(line, '\n', map.size - at);
        size_t length = end ? (size_t)(end - line) : map.size - at;
        buffer_clear(&where);
        buffer_printf(&where, "%s: line %zu", path, number);
        if (length)
            status = rows_add(rows, line, length, where.data ? where.data : path, error);
        at += length + 1;
    }
    if (!status && !rows->count)
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: expected one question per line, found none", path);
    if (status)
        demo_rows_close(rows);
    buffer_free(&where);
    file_map_close(&map);
    free(path);
    return status;
}

void demo_rows_close(demo_rows *rows) {
    for (size_t i = 0; i < rows->count; i++) {
        chat_deinit(&rows->items[i].messages);
        json_close(rows->items[i].document);
    }
    free(rows->items);
    *rows = (demo_rows){0};
}
