/* main.c - the verb table, and the verbs that speak about the program itself: help, version. */
#include "app/app.h"

#include <signal.h>
#include <stdio.h>

static int help_run(const verb *v, int argc, char *const *argv);
static int version_run(const verb *v, int argc, char *const *argv);

static const verb help_verb = {.name = "help",
                               .usage = "[VERB]",
                               .summary = "what the verbs do",
                               .run = help_run};
static const verb version_verb = {.name = "version",
                                  .usage = "",
                                  .summary = "print the version",
                                  .run = version_run};

static const verb *const verbs[] = {&run_verb,  &chat_verb,    &demo_verb,    &train_verb,
                                    &eval_verb, &inspect_verb, &convert_verb, &bench_verb,
                                    &help_verb, &version_verb, NULL};

static const verb *verb_find(const char *name) {
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void append_overview(buffer *out) {
    buffer_append_text(out, "c2c: two language models answer together through their KV caches.\n\n"
                            "usage: c2c VERB [options]\n\n");
    for (size_t i = 0; verbs[i]; i++)
        buffer_printf(out, "  %-8s  %s\n", verbs[i]->name, verbs[i]->summary);
    buffer_append_text(out, "\n\"c2c VERB --help\" lists the options of a verb.\n");
}

static int help_run(const verb *v, int argc, char *const *argv) {
    const char *name = NULL;
    if (argc > 1)
        return verb_wrong_usage(v, "expected one VERB, found %d", argc);
    if (argc == 1 && strcmp(argv[0], "--help") != 0 && strcmp(argv[0], "-h") != 0)
        name = argv[0];
    if (name) {
        const verb *about = verb_find(name);
        if (!about)
            return verb_wrong_usage(v, "unknown verb \"%s\"", name);
        char *const help[] = {"--help"};
        if (about != &help_verb)
            return about->run(about, 1, help);
    }
    buffer text = {0};
    append_overview(&text);
    return verb_print(&text);
}

static int version_run(const verb *v, int argc, char *const *argv) {
    int status;
    const option_set none = {0};
    if (!verb_options(v, &none, argc, argv, &status))
        return status;
    buffer text = {0};
    buffer_printf(&text, "c2c %s\n", c2c_version());
    return verb_print(&text);
}

/* "--help" and "--version" are understood in place of a verb, as everywhere. */
static const char *verb_name(const char *argument) {
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
        return "help";
    return strcmp(argument, "--version") == 0 ? "version" : argument;
}

int main(int argc, char **argv) {
    /* A reader that leaves is an error of the write, with a message, not a silent death. */
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 2) {
        const verb *v = verb_find(verb_name(argv[1]));
        if (v)
            return v->run(v, argc - 2, argv + 2);
        c2c_error error;
        error_set(&error, C2C_STATUS_INVALID_ARGUMENT, "unknown verb \"%s\"", argv[1]);
        app_message("%s", error.message);
    } else {
        app_message("a verb is missing");
    }
    buffer text = {0};
    append_overview(&text);
    fputs(text.data ? text.data : "", stderr);
    buffer_free(&text);
    return APP_USAGE;
}
