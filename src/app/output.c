/* output.c - what reaches standard output and standard error, and JSON as it is printed. */
#include "app/app.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

void app_message(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("c2c: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void app_warning(void *user, const char *message) {
    (void)user;
    app_message("warning: %s", message);
}

int app_failed(const c2c_error *error) {
    app_message("%s", error->message);
    return APP_FAILED;
}

c2c_status output_write(const char *text, size_t length, c2c_error *error) {
    if (fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0 && !ferror(stdout))
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_IO, "cannot write to standard output: %s",
                     strerror(errno ? errno : EIO));
}

c2c_status output_buffer(const buffer *text, c2c_error *error) {
    if (text->failed)
        return error_memory(error, text->length, "the output");
    return output_write(text->data ? text->data : "", text->length, error);
}

int output_columns(int stream, int fallback) {
    struct winsize size;
    if (!isatty(stream))
        return fallback;
    return ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

c2c_status text_check_utf8(const char *text, const char *what, c2c_error *error) {
    size_t length = strlen(text), valid = utf8_valid_prefix(text, length);
    if (valid == length)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "%s: expected valid UTF-8, found byte 0x%02x at byte position %zu (from 0)",
                     what, (unsigned char)text[valid], valid);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_out_key(json_out *o, const char *key) {
    if (o->comma)
        buffer_append_text(&o->text, ", ");
    o->comma = true;
    if (key) {
        json_write_string(&o->text, key, strlen(key));
        buffer_append_text(&o->text, ": ");
    }
}

void json_out_open(json_out *o, const char *key, char bracket) {
    json_out_key(o, key);
    buffer_append_char(&o->text, bracket);
    o->comma = false;
}

void json_out_close(json_out *o, char bracket) {
    buffer_append_char(&o->text, bracket);
    o->comma = true;
}

void json_out_text(json_out *o, const char *key, const char *text, size_t length) {
    json_out_key(o, key);
    json_write_string(&o->text, text ? text : "", length);
}

void json_out_integer(json_out *o, const char *key, int64_t value) {
    json_out_key(o, key);
    buffer_printf(&o->text, "%lld", (long long)value);
}

void json_out_real(json_out *o, const char *key, double value) {
    if (!isfinite(value)) {
        json_out_null(o, key);
        return;
    }
    json_out_key(o, key);
    buffer_printf(&o->text, "%.9g", value);
}

void json_out_bool(json_out *o, const char *key, bool value) {
    json_out_key(o, key);
    buffer_append_text(&o->text, value ? "true" : "false");
}

void json_out_null(json_out *o, const char *key) {
    json_out_key(o, key);
    buffer_append_text(&o->text, "null");
}
