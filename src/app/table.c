/* table.c - cells of text in aligned columns, for people. */
#include "app/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

void text_append_printable(buffer *out, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        buffer_append_char(out, c < 0x20 || c == 0x7f ? ' ' : text[i]);
    }
}

/* The bytes and columns of the character at the start of `text`. */
static size_t character_measure(const char *text, size_t length, int *columns) {
    utf8proc_int32_t point;
    utf8proc_ssize_t bytes =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &point);
    if (bytes <= 0) {
        *columns = 1;
        return 1;
    }
    *columns = utf8proc_charwidth(point);
    return (size_t)bytes;
}

int text_columns(const char *text, size_t length) {
    int64_t sum = 0;
    for (size_t i = 0; i < length;) {
        int columns;
        i += character_measure(text + i, length - i, &columns);
        sum += columns;
    }
    return (int)min_i64(sum, INT32_MAX / 2);
}

void table_init(table *t, const char *const *titles, const char *align) {
    *t = (table){.titles = titles, .align = align, .columns = strlen(align)};
}

void table_add(table *t, const char *format, ...) {
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 64;
        char **cells = realloc(t->cells, capacity * sizeof *cells);
        if (!cells) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *cell = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!cell) {
        t->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(cell, (size_t)length + 1, format, arguments);
    va_end(arguments);
    t->cells[t->count++] = cell;
}

static void append_spaces(buffer *out, int count) {
    for (; count > 0; count--)
        buffer_append_char(out, ' ');
}

/* The bytes of `text` that fit into `room` columns: up to its line end, else broken at the last
 * space, else inside the word. At least one character, so that every call moves on. */
static size_t line_fit(const char *text, int room) {
    size_t length = strcspn(text, "\n"), space = 0;
    int used = 0;
    for (size_t i = 0; i < length;) {
        int columns;
        size_t bytes = character_measure(text + i, length - i, &columns);
        if (used + columns > room && i > 0)
            return space ? space : i;
        if (text[i] == ' ')
            space = i;
        used += columns;
        i += bytes;
    }
    return length;
}

/* Padding at the end of a line is of no use. */
static void trim_spaces(buffer *out) {
    while (out->length && out->data[out->length - 1] == ' ')
        out->data[--out->length] = 0;
}

/* Writes a cell that starts at column `at`; what does not fit continues below, at that column. */
static void write_wrapped(buffer *out, const char *text, int at, int width) {
    int room = width - at < 20 ? 20 : width - at;
    for (;;) {
        size_t fit = line_fit(text, room);
        text_append_printable(out, text, fit);
        text += fit;
        if (*text == '\n' || *text == ' ')
            text++;
        if (!*text)
            break;
        trim_spaces(out);
        buffer_append_char(out, '\n');
        append_spaces(out, at);
    }
    trim_spaces(out);
    buffer_append_char(out, '\n');
}

static void write_row(const table *t, const int *widths, const char *const *cells, int indent,
                      int width, buffer *out) {
    int at = indent;
    append_spaces(out, indent);
    for (size_t i = 0; i < t->columns; i++) {
        size_t length = strlen(cells[i]);
        int pad = widths[i] - text_columns(cells[i], length);
        if (t->align[i] == 'r')
            append_spaces(out, pad);
        if (i + 1 == t->columns) {
            write_wrapped(out, cells[i], t->align[i] == 'r' ? at + pad : at, width);
            break;
        }
        text_append_printable(out, cells[i], length);
        if (t->align[i] == 'l')
            append_spaces(out, pad);
        append_spaces(out, 2);
        at += widths[i] + 2;
    }
}

#define TABLE_MAX_COLUMNS 16

void table_write(const table *t, int indent, int width, buffer *out) {
    C2C_ASSERT(t->columns >= 1 && t->columns <= TABLE_MAX_COLUMNS);
    if (t->failed) {
        out->failed = true;
        return;
    }
    C2C_ASSERT(t->count % t->columns == 0);
    int widths[TABLE_MAX_COLUMNS];
    for (size_t i = 0; i < t->columns; i++)
        widths[i] = t->titles ? text_columns(t->titles[i], strlen(t->titles[i])) : 0;
    for (size_t i = 0; i < t->count; i++) {
        /* The last column is as wide as it likes, unless it stands at the right. */
        size_t column = i % t->columns;
        int columns = text_columns(t->cells[i], strlen(t->cells[i]));
        if (columns > widths[column] && (column + 1 < t->columns || t->align[column] == 'r'))
            widths[column] = columns;
    }
    if (t->titles)
        write_row(t, widths, t->titles, indent, width, out);
    for (size_t i = 0; i < t->count; i += t->columns)
        write_row(t, widths, (const char *const *)t->cells + i, indent, width, out);
}

void table_deinit(table *t) {
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (table){0};
}
