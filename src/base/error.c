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
    }
    return "unknown status";
}

const char *c2c_version(void) {
    return C2C_VERSION;
}

void c2c_free(void *memory) {
    free(memory);
}

/* A message is one line of valid text whatever bytes a hostile file put into it. */
static void make_printable(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

c2c_status error_set(c2c_error *error, c2c_status code, const char *format, ...) {
    if (!error)
        return code;
    error->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    make_printable(error->message);
    return code;
}

c2c_status error_memory(c2c_error *error, size_t bytes, const char *what) {
    return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                     "out of memory: could not get %zu bytes for %s", bytes, what);
}

void error_prefix(c2c_error *error, const char *format, ...) {
    if (!error)
        return;
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof error->message)
        snprintf(error->message + n, sizeof error->message - (size_t)n, ": %s", old);
    make_printable(error->message);
}

_Noreturn void assert_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "c2c: broken invariant: %s (%s:%d)\n", condition, file, line);
    abort();
}
