/* rows.c - files of rows, one row at a time: a JSON array, or JSON lines. This file finds where a
 * row ends; whether it is good JSON is json.c's judgement. CSV is rows_csv.c.
 *
 * One row is in memory at a time, beside the mapped file, so a file may be larger than memory. */
#include "formats/rows.h"

#include <stdio.h>
#include <stdlib.h>

c2c_status row_fail(const row_reader *r, c2c_error *error, const char *format, ...) {
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: line %lld: %s", r->path,
                     (long long)r->row_line, what);
}

void row_step(row_reader *r) {
    if (*r->at++ == '\n') {
        r->place.line++;
        r->place.line_start = r->at;
    }
}

static void skip_space(row_reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'))
        row_step(r);
}

/* ---- One row ------------------------------------------------------------------------------ */

/* Parses the text up to `end`, which need not be where reading goes on. */
static c2c_status parse_row(row_reader *r, const text_place *place, const char *start,
                            const char *end, c2c_error *error) {
    c2c_status status =
        json_parse_part(&r->row, start, (size_t)(end - start), place, r->path, error);
    if (status || json_root(r->row)->type == JSON_OBJECT)
        return status;
    status =
        row_fail(r, error, "expected an object, found %s", json_type_name(json_root(r->row)->type));
    json_close(r->row);
    r->row = NULL;
    return status;
}

static c2c_status next_line(row_reader *r, c2c_error *error) {
    skip_space(r);
    if (r->at == r->end) {
        r->ended = true;
        return C2C_STATUS_OK;
    }
    const char *start = r->at, *end = memchr(start, '\n', (size_t)(r->end - start));
    text_place place = r->place;
    r->row_line = (int64_t)place.line;
    r->at = end ? end : r->end;
    if (end)
        row_step(r);
    return parse_row(r, &place, start, end ? end : r->end, error);
}

/* Where the value at `at` ends: behind its last bracket, or before what separates it from others.
 * A bracket in a string is none. */
static void skip_value(row_reader *r) {
    size_t depth = 0;
    bool string = false;
    while (r->at < r->end) {
        char c = *r->at;
        if (string) {
            if (c == '\\' && r->end - r->at > 1)
                row_step(r);
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == ']' || c == '}')) {
            return;
        } else if (c == '}' || c == ']') {
            if (--depth == 0) {
                row_step(r);
                return;
            }
        }
        row_step(r);
    }
}

/* After this nothing more is read: where the next row would start is not known. What stands here
 * in its place is the last row, a bad one. */
static c2c_status fail_array(row_reader *r, const char *what, c2c_error *error) {
    r->ended = r->torn = true;
    r->row_line = (int64_t)r->place.line;
    return text_fail_at(&r->place, r->at, r->path, what, error);
}

/* The bracket or comma before an element; *last when it was the bracket at the end. */
static c2c_status separate(row_reader *r, bool *last, c2c_error *error) {
    *last = false;
    skip_space(r);
    if (!r->array_begun) {
        row_step(r); /* its '[' was seen when the file was opened */
        skip_space(r);
        r->array_begun = true;
        if (r->at < r->end && *r->at == ']')
            *last = true;
    } else if (r->at < r->end && *r->at == ']') {
        *last = true;
    } else if (r->at < r->end && *r->at == ',') {
        row_step(r);
        skip_space(r);
    } else if (r->at < r->end) {
        return fail_array(r, "expected , or ] behind a row", error);
    }
    if (r->at == r->end)
        return fail_array(r, "the array of rows does not end; is the file truncated?", error);
    if (!*last)
        return C2C_STATUS_OK;
    row_step(r);
    skip_space(r);
    if (r->at < r->end)
        return fail_array(r, "expected the end of the file behind the array of rows", error);
    r->ended = true;
    return C2C_STATUS_OK;
}

static c2c_status next_element(row_reader *r, c2c_error *error) {
    bool last;
    c2c_status status = separate(r, &last, error);
    if (status || last)
        return status;
    text_place place = r->place;
    const char *start = r->at;
    r->row_line = (int64_t)place.line;
    skip_value(r);
    if (r->at == start)
        return fail_array(r, "expected a row", error);
    return parse_row(r, &place, start, r->at, error);
}

/* ---- A file ------------------------------------------------------------------------------- */

static bool ends_with(const char *path, const char *end) {
    size_t length = strlen(path), part = strlen(end);
    return length >= part && strcmp(path + length - part, end) == 0;
}

static c2c_status begin(row_reader *r, const rows_options *options, c2c_error *error) {
    static const rows_options defaults = {.format = ROWS_BY_NAME};
    if (!options)
        options = &defaults;
    if (r->end - r->at >= 3 && memcmp(r->at, "\xef\xbb\xbf", 3) == 0)
        r->at += 3; /* the mark that spreadsheets put before UTF-8 */
    r->place = (text_place){.line_start = r->at, .line = 1};
    r->csv =
        options->format == ROWS_CSV || (options->format == ROWS_BY_NAME &&
                                        (ends_with(r->path, ".csv") || ends_with(r->path, ".tsv")));
    if (r->csv)
        return csv_begin(r, options, error);
    skip_space(r);
    r->array = r->at < r->end && *r->at == '[';
    return C2C_STATUS_OK;
}

c2c_status rows_open_bytes(row_reader **reader, const void *data, size_t size, const char *name,
                           const rows_options *options, c2c_error *error) {
    *reader = NULL;
    row_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->path = string_copy(name))) {
        free(r);
        return error_memory(error, sizeof *r, name);
    }
    r->start = r->at = size ? data : "";
    r->end = r->at + size;
    c2c_status status = begin(r, options, error);
    if (status)
        rows_close(r);
    else
        *reader = r;
    return status;
}

c2c_status rows_open(row_reader **reader, const char *path, const rows_options *options,
                     c2c_error *error) {
    file_map map;
    *reader = NULL;
    c2c_status status = file_map_open(&map, path, error);
    if (status)
        return status;
    status = rows_open_bytes(reader, map.data, map.size, path, options, error);
    if (status)
        file_map_close(&map);
    else
        (*reader)->map = map;
    return status;
}

c2c_status rows_next(row_reader *r, const json_value **row, c2c_error *error) {
    *row = NULL;
    json_close(r->row);
    r->row = NULL;
    if (r->ended)
        return C2C_STATUS_OK;
    c2c_status status = r->csv     ? csv_next(r, error)
                        : r->array ? next_element(r, error)
                                   : next_line(r, error);
    if (!status && r->row)
        *row = json_root(r->row);
    return status;
}

int64_t rows_line(const row_reader *r) {
    return r->row_line;
}

const char *rows_path(const row_reader *r) {
    return r->path;
}

bool rows_torn(const row_reader *r) {
    return r->torn;
}

double rows_share(const row_reader *r) {
    return r->ended || r->end == r->start
               ? 1
               : (double)(r->at - r->start) / (double)(r->end - r->start);
}

void rows_close(row_reader *r) {
    if (!r)
        return;
    json_close(r->row);
    for (size_t i = 0; i < r->column_count; i++)
        free(r->columns[i]);
    free(r->columns);
    free(r->fields);
    buffer_free(&r->text);
    buffer_free(&r->json);
    free(r->path);
    file_map_close(&r->map);
    free(r);
}
