/* verb.c - what is the same for all verbs: usage, help, and the texts they print. */
#include "app/app.h"

#include <stdio.h>

int verb_print(buffer *text) {
    c2c_error error;
    c2c_status status = output_buffer(text, &error);
    buffer_free(text);
    return status ? app_failed(&error) : APP_OK;
}

static void append_usage(const verb *v, buffer *out) {
    buffer_printf(out, "usage: c2c %s%s%s\n", v->name, *v->usage ? " " : "", v->usage);
}

int verb_wrong_usage(const verb *v, const char *format, ...) {
    buffer text = {0};
    c2c_error what; /* for its cleaning of what the user typed */
    va_list arguments;
    va_start(arguments, format);
    char line[sizeof what.message];
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    error_set(&what, C2C_STATUS_INVALID_ARGUMENT, "%s", line);
    app_message("%s: %s", v->name, what.message);
    append_usage(v, &text);
    fprintf(stderr, "%sTry \"c2c %s --help\".\n", text.data ? text.data : "", v->name);
    buffer_free(&text);
    return APP_USAGE;
}

bool verb_options(const verb *v, const option_set *set, int argc, char *const *argv, int *status) {
    /* The help shows the defaults, which parsing overwrites: it is written first. */
    buffer help = {0};
    append_usage(v, &help);
    buffer_printf(&help, "\nc2c %s: %s.\n\n", v->name, v->summary);
    options_help(set, &help);
    if (v->notes)
        buffer_printf(&help, "\n%s\n", v->notes);
    c2c_error error = {0};
    switch (options_parse(set, argc, argv, &error)) {
    case OPTIONS_READY: buffer_free(&help); return true;
    case OPTIONS_HELP: *status = verb_print(&help); return false;
    case OPTIONS_WRONG: break;
    }
    buffer_free(&help);
    *status = verb_wrong_usage(v, "%s", error.message);
    return false;
}
