/* rows_csv.c - records of a CSV file (RFC 4180) as objects of texts. A record is read into one
 * buffer and a table of fields no longer than the columns, whatever the file says. */
#include "formats/rows.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Records ------------------------------------------------------------------------------ */

/* One field, up to the separator or the end of the line, which stays unread. A quote inside an
 * unquoted field is a character like any other, as every reader in use has it. */
static c2c_status read_field(row_reader *r, char separator, c2c_error *error) {
    if (r->at == r->end || *r->at != '"') {
        const char *start = r->at;
        while (r->at < r->end && *r->at != separator && *r->at != '\n' && *r->at != '\r')
            r->at++;
        buffer_append(&r->text, start, (size_t)(r->at - start));
        return C2C_STATUS_OK;
    }
    row_step(r);
    for (;;) {
        const char *start = r->at;
        while (r->at < r->end && *r->at != '"')
            row_step(r);
        buffer_append(&r->text, start, (size_t)(r->at - start));
        if (r->at == r->end) {
            r->ended = r->torn = true;
            return row_fail(r, error, "a quoted field does not end");
        }
        row_step(r);
        if (r->at == r->end || *r->at != '"')
            break;
        buffer_append_char(&r->text, '"'); /* two quotes are one */
        row_step(r);
    }
    if (r->at < r->end && *r->at != separator && *r->at != '\n' && *r->at != '\r') {
        r->ended = r->torn = true;
        return row_fail(r, error,
                        "expected a separator or the end of the line behind a quoted field; a "
                        "quote inside one is written twice");
    }
    return C2C_STATUS_OK;
}

static void end_line(row_reader *r) {
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    if (r->at < r->end && *r->at == '\n')
        row_step(r);
}

/* The next record; r->ended when there is none. One of more than `room` fields is read to its end,
 * and refused. */
static c2c_status read_record(row_reader *r, char separator, size_t room, c2c_error *error) {
    while (r->at < r->end && (*r->at == '\n' || *r->at == '\r'))
        row_step(r);
    r->row_line = (int64_t)r->place.line;
    r->field_count = 0;
    buffer_clear(&r->text);
    if (r->at == r->end) {
        r->ended = true;
        return C2C_STATUS_OK;
    }
    size_t found = 0;
    for (;;) {
        size_t start = r->text.length;
        c2c_status status = read_field(r, separator, error);
        if (status)
            return status;
        if (found++ < room)
            r->fields[r->field_count++] = (csv_field){start, r->text.length - start};
        if (r->at == r->end || *r->at != separator)
            break;
        r->at++;
    }
    end_line(r);
    if (r->text.failed)
        return error_memory(error, r->text.length, r->path);
    if (found > room)
        return row_fail(r, error, "expected %zu fields, found %zu", room, found);
    size_t valid = utf8_valid_prefix(r->text.data, r->text.length);
    if (valid < r->text.length)
        return row_fail(r, error, "not valid UTF-8; convert the file to UTF-8");
    return C2C_STATUS_OK;
}

/* ---- Columns ------------------------------------------------------------------------------ */

/* The separator that cuts the first record into the most fields; of equals the comma. */
static char guess_separator(row_reader *r) {
    static const char separators[] = {',', ';', '\t'};
    char best = ',';
    size_t most = 0;
    const char *at = r->at;
    text_place place = r->place;
    for (size_t i = 0; i < sizeof separators; i++) {
        if (!read_record(r, separators[i], ROWS_MAX_COLUMNS, NULL) && r->field_count > most) {
            most = r->field_count;
            best = separators[i];
        }
        r->at = at;
        r->place = place;
        r->ended = false;
    }
    return best;
}

static c2c_status add_column(row_reader *r, const char *name, size_t length, c2c_error *error) {
    char *copy = malloc(length + 1);
    if (!copy)
        return error_memory(error, length + 1, r->path);
    memcpy(copy, name, length);
    copy[length] = 0;
    r->columns[r->column_count++] = copy;
    if (strlen(copy) != length)
        return row_fail(r, error, "expected names of columns, found a NUL in one");
    /* Separators at the ends of lines make columns without a name, which nobody asks for. */
    for (size_t i = 0; *copy && i + 1 < r->column_count; i++)
        if (strcmp(r->columns[i], copy) == 0)
            return row_fail(r, error, "two columns are called \"%.100s\"", copy);
    return C2C_STATUS_OK;
}

c2c_status csv_begin(row_reader *r, const rows_options *options, c2c_error *error) {
    r->row_line = 1;
    if (options->column_count > ROWS_MAX_COLUMNS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%zu columns: at most %d",
                         options->column_count, ROWS_MAX_COLUMNS);
    r->columns = calloc(ROWS_MAX_COLUMNS, sizeof *r->columns);
    r->fields = calloc(ROWS_MAX_COLUMNS, sizeof *r->fields);
    if (!r->columns || !r->fields)
        return error_memory(error, ROWS_MAX_COLUMNS * sizeof *r->fields, r->path);
    r->separator = options->separator ? options->separator : guess_separator(r);
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < options->column_count && !status; i++)
        status = add_column(r, options->columns[i], strlen(options->columns[i]), error);
    if (status || options->column_count)
        return status;
    status = read_record(r, r->separator, ROWS_MAX_COLUMNS, error);
    if (!status && r->ended)
        status = row_fail(r, error, "expected the names of the columns, found an empty file");
    for (size_t i = 0; i < r->field_count && !status; i++)
        status = add_column(r, r->text.data + r->fields[i].start, r->fields[i].length, error);
    return status;
}

c2c_status csv_next(row_reader *r, c2c_error *error) {
    c2c_status status = read_record(r, r->separator, r->column_count, error);
    if (status || r->ended)
        return status;
    if (r->field_count < r->column_count)
        return row_fail(r, error, "expected %zu fields, found %zu", r->column_count,
                        r->field_count);
    buffer_clear(&r->json);
    for (size_t i = 0; i < r->column_count; i++) {
        buffer_append_text(&r->json, i ? ", " : "{");
        json_write_string(&r->json, r->columns[i], strlen(r->columns[i]));
        buffer_append_text(&r->json, ": ");
        json_write_string(&r->json, r->text.data + r->fields[i].start, r->fields[i].length);
    }
    buffer_append_text(&r->json, "}");
    if (r->json.failed)
        return error_memory(error, r->json.length, r->path);
    return json_parse(&r->row, r->json.data, r->json.length, r->path, error);
}
