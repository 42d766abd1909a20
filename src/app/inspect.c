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

static int inspect_run(const verb *v, int argc, char *const *argv) {
    const char *name = NULL, *models = NULL;
    char *path = NULL;
    bool json = false;
    const option options[] = {
        models_option(&models),
        {.name = "--json", .kind = OPTION_FLAG, .target = &json, .help = "print one JSON object"}};
    const option_set set = {.options = options,
                            .count = sizeof options / sizeof *options,
                            .operand = "PATH",
                            .operand_target = &name};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    report r = {0};
    c2c_error error = {0};
    json_out_open(&r.json, NULL, '{');
    c2c_status status = name_resolve(&path, name, models, &error);
    if (!status)
        status = inspect_path(&r, path, &error);
    if (!status) {
        json_out_close(&r.json, '}');
        buffer_append_char(&r.json.text, '\n');
        status = output_buffer(json ? &r.json.text : &r.text, &error);
    }
    report_deinit(&r);
    free(path);
    return status ? app_failed(&error) : APP_OK;
}

const verb inspect_verb = {
    .name = "inspect",
    .usage = "PATH [--models DIR] [--json]",
    .summary = "say what a model folder, a fuser folder or a file is",
    .notes = "PATH is a model folder, a fuser folder, a .safetensors or .pt file, or one of the\n"
             "JSON files that stand in such folders; or a name, such as Qwen/Qwen3-0.6B. Model\n"
             "folders are checked as run would.",
    .run = inspect_run};
