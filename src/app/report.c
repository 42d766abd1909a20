/* report.c - labelled facts, kept as text for people and as JSON for programs at once. */
#include "app/inspect.h"

#include <stdio.h>

#define LABEL_COLUMNS 18

/* Reports are as wide as what they name: nothing is broken into lines. */
#define REPORT_COLUMNS 4096

static void append_label(report *r, const char *label) {
    buffer_printf(&r->text, "%-*s", LABEL_COLUMNS, label);
}

void report_text(report *r, const char *key, const char *label, const char *text) {
    if (key)
        json_out_text(&r->json, key, text, strlen(text));
    if (!label)
        return;
    append_label(r, label);
    text_append_printable(&r->text, text, strlen(text));
    buffer_append_char(&r->text, '\n');
}

void report_line(report *r, const char *label, const char *format, ...) {
    c2c_error line; /* as a line of bounded length without control characters */
    char text[sizeof line.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report_text(r, NULL, label, text);
}

void report_integer(report *r, const char *key, const char *label, int64_t value) {
    char text[NUMBER_TEXT];
    if (key)
        json_out_integer(&r->json, key, value);
    if (label)
        report_text(r, NULL, label, number_text(value, text));
}

void report_bytes(report *r, const char *key, const char *label, int64_t bytes) {
    char text[NUMBER_TEXT];
    if (key)
        json_out_integer(&r->json, key, bytes);
    if (label)
        report_text(r, NULL, label, bytes_text(bytes, text));
}

void report_table(report *r, table *t) {
    buffer_append_char(&r->text, '\n');
    table_write(t, 0, REPORT_COLUMNS, &r->text);
}

void report_deinit(report *r) {
    buffer_free(&r->json.text);
    buffer_free(&r->text);
}

const char *number_text(int64_t value, char text[NUMBER_TEXT]) {
    char digits[NUMBER_TEXT];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value), out = 0;
    for (int i = 0; i < n; i++) {
        text[out++] = digits[i];
        if (digits[i] != '-' && i + 1 < n && (n - i - 1) % 3 == 0)
            text[out++] = ',';
    }
    text[out] = 0;
    return text;
}

const char *bytes_text(int64_t bytes, char text[NUMBER_TEXT]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(text, NUMBER_TEXT, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

void dtype_tally_add(dtype_tally *tally, const tensor_file *file) {
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const tensor *view = &tensor_file_at(file, i)->view;
        tally->tensors[view->type]++;
        tally->bytes[view->type] += (int64_t)tensor_bytes(view);
    }
}

void report_dtypes(report *r, const dtype_tally *tally) {
    json_out_open(&r->json, "dtypes", '{');
    for (int type = 0; type < DTYPE_COUNT; type++) {
        if (!tally->tensors[type])
            continue;
        char bytes[NUMBER_TEXT];
        report_line(r, "tensors", "%lld of %s, %s", (long long)tally->tensors[type],
                    dtype_name((dtype)type), bytes_text(tally->bytes[type], bytes));
        json_out_open(&r->json, dtype_name((dtype)type), '{');
        json_out_integer(&r->json, "tensors", tally->tensors[type]);
        json_out_integer(&r->json, "bytes", tally->bytes[type]);
        json_out_close(&r->json, '}');
    }
    json_out_close(&r->json, '}');
}
