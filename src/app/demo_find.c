/* demo_find.c - where the shipped pair is, and the recipes for it. */
#include "app/demo.h"

#include <stdlib.h>
#include <unistd.h>

static bool holds_pair(const char *folder) {
    char *rows = path_join(folder, "eval.jsonl");
    bool holds = rows && file_exists(rows);
    free(rows);
    return holds;
}

/* The folder of the running program, to be freed; NULL where the system does not say. */
static char *program_folder(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0 || (size_t)length >= sizeof path - 1)
        return NULL;
    path[length] = 0;
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    return path_join(path, "");
}

/* `folder`/`below`/`name`, to be freed; NULL where there is no such file. */
static char *file_below(const char *folder, const char *below, const char *name) {
    char *inner = path_join(folder, below), *path = inner ? path_join(inner, name) : NULL;
    free(inner);
    if (path && file_exists(path))
        return path;
    free(path);
    return NULL;
}

c2c_status demo_find(char **folder, const char *given, c2c_error *error) {
    /* build/c2c, build/<variant>/c2c, PREFIX/bin/c2c. */
    static const char *const places[] = {"../share/demo", "../../share/demo", "../share/c2c/demo"};
    *folder = NULL;
    if (given) {
        if (!holds_pair(given))
            return error_set(error, C2C_STATUS_NOT_FOUND,
                             "--pair %s: expected a folder with receiver, sharer, fuser and "
                             "eval.jsonl, found no eval.jsonl in it",
                             given);
        *folder = path_join(given, "");
        return *folder ? C2C_STATUS_OK : error_memory(error, strlen(given), "a path");
    }
    buffer looked = {0};
    char *program = program_folder();
    for (size_t i = 0; program && !*folder && i < sizeof places / sizeof *places; i++) {
        char *candidate = path_join(program, places[i]);
        if (candidate && holds_pair(candidate)) {
            *folder = candidate;
            break;
        }
        buffer_printf(&looked, "%s%s", i ? ", " : "", candidate ? candidate : places[i]);
        free(candidate);
    }
    free(program);
    c2c_status status = C2C_STATUS_OK;
    if (!*folder)
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "the demo pair was not found; looked in %s; say where it is with "
                           "--pair DIR",
                           looked.data ? looked.data : "no folder");
    buffer_free(&looked);
    return status;
}

c2c_status demo_recipe_find(char **path, const char *folder, const char *name, c2c_error *error) {
    /* share/demo in the source tree; PREFIX/share/c2c/demo. */
    static const char *const beside[] = {"../../recipes", "../recipes"};
    static const char *const places[] = {"../recipes", "../../recipes", "../share/c2c/recipes"};
    char *program = program_folder();
    *path = NULL;
    for (size_t i = 0; !*path && i < sizeof beside / sizeof *beside; i++)
        *path = file_below(folder, beside[i], name);
    for (size_t i = 0; !*path && program && i < sizeof places / sizeof *places; i++)
        *path = file_below(program, places[i], name);
    free(program);
    if (*path)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_NOT_FOUND,
                     "%s: no recipes/%s beside the pair, and none that came with the program",
                     folder, name);
}
