/* options.c - a strict reader of long options from a table, and the help text of that table.
 * What the values mean, and which options exclude each other, the verbs decide. */
#include "app/app.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The option that `argument` names, up to a '=' or its end; NULL when there is none. */
static const option *option_find(const option_set *set, const char *argument) {
    size_t length = strcspn(argument, "=");
    for (size_t i = 0; i < set->count; i++) {
        const char *name = set->options[i].name;
        if (strlen(name) == length && strncmp(name, argument, length) == 0)
            return &set->options[i];
    }
    return NULL;
}

static c2c_status wrong(c2c_error *error, const option *o, const char *what, const char *found) {
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s: expected %s, found \"%s\"", o->name,
                     what, found);
}

static c2c_status read_integer(const option *o, const char *text, c2c_error *error) {
    char range[96];
    snprintf(range, sizeof range, "a whole number from %lld to %lld", (long long)o->low,
             (long long)o->high);
    /* strtoll alone would take "", " 5", "+5" and "5x". */
    const char *digits = text + (*text == '-');
    if (*digits < '0' || *digits > '9')
        return wrong(error, o, range, text);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || errno == ERANGE || value < o->low || value > o->high)
        return wrong(error, o, range, text);
    *(int64_t *)o->target = value;
    return C2C_STATUS_OK;
}

static c2c_status read_real(const option *o, const char *text, c2c_error *error) {
    char range[96];
    snprintf(range, sizeof range, "a number from %g to %g", o->least, o->most);
    /* strtod alone would take "", " 1", "inf", "nan" and "0x1p3". */
    char *end;
    size_t plain = strspn(text, "0123456789.eE+-");
    double value = text[plain] || *text == '+' ? NAN : strtod(text, &end);
    if (isnan(value) || end == text || *end || !(value >= o->least && value <= o->most))
        return wrong(error, o, range, text);
    *(double *)o->target = value;
    return C2C_STATUS_OK;
}

static c2c_status read_choice(const option *o, const char *text, c2c_error *error) {
    buffer names = {0};
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->target = i;
            buffer_free(&names);
            return C2C_STATUS_OK;
        }
        buffer_printf(&names, "%s%s", i ? ", " : "one of ", o->choices[i]);
    }
    c2c_status status = wrong(error, o, names.data ? names.data : "another word", text);
    buffer_free(&names);
    return status;
}

static c2c_status read_value(const option *o, const char *text, c2c_error *error) {
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->target = true; break;
    case OPTION_INTEGER: return read_integer(o, text, error);
    case OPTION_REAL: return read_real(o, text, error);
    case OPTION_CHOICE: return read_choice(o, text, error);
    case OPTION_TEXT: *(const char **)o->target = text; break;
    case OPTION_PATH:
        if (!*text)
            return wrong(error, o, "a path", text);
        *(const char **)o->target = text;
        break;
    case OPTION_PATHS: {
        option_list *list = o->target;
        if (!*text)
            return wrong(error, o, "a path", text);
        if (list->count == OPTION_LIST_MAX)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "%s: expected at most %d of them, found more", o->name,
                             OPTION_LIST_MAX);
        list->items[list->count++] = text;
        break;
    }
    }
    return C2C_STATUS_OK;
}

/* Reads the option at argv[*at] and its value; leaves *at on the last argument that was used. */
static c2c_status read_option(const option_set *set, int argc, char *const *argv, int *at,
                              bool *seen, c2c_error *error) {
    const char *argument = argv[*at];
    const option *o = option_find(set, argument);
    if (!o)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "unknown option %s", argument);
    if (*seen && o->kind != OPTION_PATHS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s is given twice", o->name);
    *seen = true;
    const char *equals = strchr(argument, '=');
    if (o->kind == OPTION_FLAG) {
        if (equals)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s takes no value, found \"%s\"",
                             o->name, equals + 1);
        return read_value(o, NULL, error);
    }
    if (equals)
        return read_value(o, equals + 1, error);
    /* A path that begins with two dashes is far more likely a forgotten value; --name=--path says
     * otherwise. A text may begin as it likes. */
    if (*at + 1 >= argc || (o->kind != OPTION_TEXT && strncmp(argv[*at + 1], "--", 2) == 0))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s needs a value: %s %s", o->name,
                         o->name, o->value);
    return read_value(o, argv[++*at], error);
}

static c2c_status read_operand(const option_set *set, const char *argument, int *given,
                               c2c_error *error) {
    int expected = (set->operand != NULL) + (set->second != NULL);
    if (!expected)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "unexpected argument \"%s\"",
                         argument);
    if (*given == expected)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "expected one %s, found a second one: \"%s\"",
                         set->second ? set->second : set->operand, argument);
    *((*given)++ ? set->second_target : set->operand_target) = argument;
    return C2C_STATUS_OK;
}

static c2c_status check_required(const option_set *set, const bool *seen, int operands,
                                 c2c_error *error) {
    for (size_t i = 0; i < set->count; i++)
        if (set->options[i].required && !seen[i])
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s %s is missing",
                             set->options[i].name, set->options[i].value);
    if (set->operand && operands < 1 && !set->operand_optional)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s is missing", set->operand);
    if (set->second && operands < 2)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "%s is missing", set->second);
    return C2C_STATUS_OK;
}

options_outcome options_parse(const option_set *set, int argc, char *const *argv,
                              c2c_error *error) {
    C2C_ASSERT(set->count <= OPTIONS_MAX);
    bool seen[OPTIONS_MAX + 1] = {false}; /* the last one is for unknown options */
    int operands = 0;
    bool names_end = false;
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i];
        c2c_status status;
        if (!names_end && strcmp(argument, "--") == 0) {
            names_end = true;
            continue;
        }
        if (!names_end && (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0))
            return OPTIONS_HELP;
        if (!names_end && argument[0] == '-' && argument[1]) {
            const option *o = option_find(set, argument);
            status =
                read_option(set, argc, argv, &i, &seen[o ? o - set->options : OPTIONS_MAX], error);
        } else {
            status = read_operand(set, argument, &operands, error);
        }
        if (status)
            return OPTIONS_WRONG;
    }
    return check_required(set, seen, operands, error) ? OPTIONS_WRONG : OPTIONS_READY;
}

/* The default in brackets, or nothing where there is none. */
static void append_default(const option *o, buffer *out) {
    if (o->required || (o->shown && !*o->shown))
        return;
    if (o->shown)
        buffer_printf(out, " (default: %s)", o->shown);
    else if (o->kind == OPTION_INTEGER)
        buffer_printf(out, " (default: %lld)", (long long)*(const int64_t *)o->target);
    else if (o->kind == OPTION_REAL)
        buffer_printf(out, " (default: %g)", *(const double *)o->target);
    else if (o->kind == OPTION_CHOICE)
        buffer_printf(out, " (default: %s)", o->choices[*(const int *)o->target]);
    else if ((o->kind == OPTION_TEXT || o->kind == OPTION_PATH) && *(const char **)o->target)
        buffer_printf(out, " (default: \"%s\")", *(const char **)o->target);
}

void options_help(const option_set *set, buffer *out) {
    table t;
    table_init(&t, NULL, "ll");
    for (size_t i = 0; i < set->count; i++) {
        const option *o = &set->options[i];
        buffer help = {0};
        buffer_append_text(&help, o->help);
        append_default(o, &help);
        table_add(&t, "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        table_add(&t, "%s", help.data ? help.data : "");
        out->failed = out->failed || help.failed;
        buffer_free(&help);
    }
    table_add(&t, "--help");
    table_add(&t, "this text");
    table_write(&t, 2, 100, out);
    table_deinit(&t);
}
