/* inspect.c - the verb inspect: decides what a path is and prints the report on it. */
#include "app/inspect.h"
#include "app/names.h"

#include <stdlib.h>

/* True when `folder`/`name` is a file. */
static bool folder_has(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    bool has = path && file_exists(path);
    free(path);
    return has;
}

static c2c_status inspect_path(report *r, const char *path, c2c_error *error) {
    if (!folder_exists(path))
        return inspect_file(r, path, error);
    /* A fuser folder may hold a config.json too: its recipe. */
    if (folder_has(path, "projector_config.json") ||
        folder_has(path, "final/projector_config.json"))
        return inspect_fuser(r, path, error);
    if (folder_has(path, "config.json"))
        return inspect_model(r, path, error);
    return error_set(error, C2C_STATUS_NOT_FOUND,
                     "%s: expected a model folder (with config.json) or a fuser folder (with "
                     "projector_config.json, in it or in its final/), found neither file",
                     path);
}

typedef struct inspect_settings {
    const char *name, *models;
    const char *receiver, *sharer; /* models for a recipe; or NULL */
    bool cpu, json;
} inspect_settings;

/* Finds what the names stand for, then reports on it. */
static c2c_status inspect(report *r, const inspect_settings *s, c2c_error *error) {
    char *path = NULL, *receiver = NULL, *sharer = NULL;
    if (s->cpu) {
        inspect_cpu(r);
        return C2C_STATUS_OK;
    }
    c2c_status status = name_resolve(&path, s->name, s->models, error);
    if (!status && s->receiver)
        status = name_resolve(&receiver, s->receiver, s->models, error);
    if (!status && s->sharer)
        status = name_resolve(&sharer, s->sharer, s->models, error);
    if (!status && receiver)
        status = inspect_recipe(r, path, receiver, sharer, error);
    else if (!status)
        status = inspect_path(r, path, error);
    free(path);
    free(receiver);
    free(sharer);
    return status;
}

static int inspect_and_report(const inspect_settings *s) {
    report r = {0};
    c2c_error error = {0};
    json_out_open(&r.json, NULL, '{');
    c2c_status status = inspect(&r, s, &error);
    if (!status) {
        json_out_close(&r.json, '}');
        buffer_append_char(&r.json.text, '\n');
        status = output_buffer(s->json ? &r.json.text : &r.text, &error);
    }
    report_deinit(&r);
    return status ? app_failed(&error) : APP_OK;
}

static int inspect_run(const verb *v, int argc, char *const *argv) {
    inspect_settings s = {0};
    const option options[] = {
        {.name = "--receiver",
         .value = "DIR",
         .kind = OPTION_PATH,
         .target = &s.receiver,
         .shown = "",
         .help = "with --sharer: show the fuser that a recipe makes for these two models"},
        {.name = "--sharer",
         .value = "DIR",
         .kind = OPTION_PATH,
         .target = &s.sharer,
         .shown = "",
         .help = "the other one"},
        models_option(&s.models),
        {.name = "--cpu",
         .kind = OPTION_FLAG,
         .target = &s.cpu,
         .help = "show the processor and the kernels that can run on it, in place of PATH"},
        {.name = "--json",
         .kind = OPTION_FLAG,
         .target = &s.json,
         .help = "print one JSON object"}};
    const option_set set = {.options = options,
                            .count = sizeof options / sizeof *options,
                            .operand = "PATH",
                            .operand_target = &s.name,
                            .operand_optional = true};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    if (s.cpu ? s.name != NULL : s.name == NULL)
        return verb_wrong_usage(v, s.cpu ? "--cpu takes no PATH" : "PATH is missing");
    if (!s.receiver != !s.sharer)
        return verb_wrong_usage(v, "--receiver and --sharer go together");
    return inspect_and_report(&s);
}

const verb inspect_verb = {
    .name = "inspect",
    .usage = "(PATH [--receiver DIR --sharer DIR] [--models DIR] | --cpu) [--json]",
    .summary = "say what a model folder, a fuser folder or a file is",
    .notes = "PATH is a model folder, a fuser folder, a .safetensors or .pt file, or one of the\n"
             "JSON files that stand in such folders; a recipe (JSON or YAML); or a name, such as\n"
             "Qwen/Qwen3-0.6B. Model folders are checked as run would. With --receiver and\n"
             "--sharer PATH is a recipe: the untrained fuser that it makes for these models is\n"
             "shown, and nothing written.",
    .run = inspect_run};
