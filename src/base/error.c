/* error.c - status names and error messages; nothing here decides what is an error. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

const char *c2c_status_name(c2c_status status) {
    switch (status) {
    case C2C_STATUS_OK: return "ok";
    case C2C_STATUS_INVALID_ARGUMENT: return "invalid argument";
    case C2C_STATUS_NOT_FOUND: return "not found";
    case C2C_STATUS_IO: return "input/output error";
    case C2C_STATUS_BAD_FILE: return "bad file";
    case C2C_STATUS_MISMATCH: return "mismatch";
    case C2C_STATUS_UNSUPPORTED: return "unsupported";
    case C2C_STATUS_OUT_OF_MEMORY: return "out of memory";
    case C2C_STATUS_CONTEXT_FULL: return "context full";
    case C2C_STATUS_CANCELLED: return "cancelled";
    }
    return "unknown status";
}

const char *c2c_version(void) {
    return C2C_VERSION;
}

void c2c_free(void *memory) {
    free(memory);
}

/* Bytes of the whole character at `c` that may stand in a message, or 0: control characters and
 * what is not UTF-8 may not. */
static size_t printable_length(const unsigned char *c) {
    if (c[0] < 0x80)
        return c[0] >= 0x20 && c[0] != 0x7f;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0xc2 || c[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80) /* the NUL at the end, too */
            return 0;
    /* C1 controls, forms that are too long, surrogates, and what lies beyond U+10FFFF. */
    bool bad = (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xe0 && c[1] < 0xa0) ||
               (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
               (c[0] == 0xf4 && c[1] > 0x8f);
    return bad ? 0 : n;
}

/* A message is one line of valid text whatever bytes a hostile file put into it, and says so where
 * it had to be cut. */
static void message_finish(c2c_error *error, bool cut) {
    unsigned char *c = (unsigned char *)error->message;
    if (cut) {
        size_t end = sizeof error->message - 1 - 3;
        while (end > 0 && (c[end] & 0xc0) == 0x80)
            end--; /* not in the middle of a character */
        memcpy(c + end, "...", 4);
    }
    for (size_t n; *c; c += n) {
        n = printable_length(c);
        if (n == 0) {
            *c = *c < 0x80 ? ' ' : '?';
            n = 1;
        }
    }
}

c2c_status error_set(c2c_error *error, c2c_status code, const char *format, ...) {
    if (!error)
        return code;
    /* The old message may be one of the arguments. */
    char text[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error->code = code;
    if (n < 0)
        text[0] = 0;
    memcpy(error->message, text, strlen(text) + 1);
    message_finish(error, n >= (int)sizeof text);
    return code;
}

c2c_status error_memory(c2c_error *error, size_t bytes, const char *what) {
    return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                     "out of memory: could not get %zu bytes for %s", bytes, what);
}

c2c_status error_arguments(c2c_error *error, const char *function, const argument *arguments,
                           size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!arguments[i].pointer)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s: `%s` must not be NULL",
                             function, arguments[i].name);
    return C2C_STATUS_OK;
}

c2c_status error_choice(c2c_error *error, const char *name, int choice, int last) {
    if (choice >= 0 && choice <= last)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s: expected 0 to %d, found %d", name,
                     last, choice);
}

void error_prefix(c2c_error *error, const char *format, ...) {
    if (!error)
        return;
    char text[sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    error_set(error, error->code, "%s: %s", text, error->message);
}

_Noreturn void assert_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "c2c: broken invariant: %s (%s:%d)\n", condition, file, line);
    abort();
}
