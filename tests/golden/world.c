/* world.c - opens the engine, the models and the fuser of one case in one of several ways, and says
 * of what kind a thing is that this build does not support. */
#include "golden.h"

#include <unistd.h>

/* ---- Kinds -------------------------------------------------------------------------------- */

static void model_kind(const char *folder, char kind[KIND_SIZE]) {
    char *path = path_make(folder, "config.json"), type[128];
    json_text_read(path, "model_type", type, sizeof type);
    snprintf(kind, KIND_SIZE, "model_type %s", type);
    free(path);
}

void fuser_kind(const char *folder, char kind[KIND_SIZE]) {
    char *final = path_make(folder, "final");
    char *path = path_make(folder_exists(final) ? final : folder, "projector_0.json"), class[128];
    json_text_read(path, "class", class, sizeof class);
    snprintf(kind, KIND_SIZE, "projector %s", class);
    free(path);
    free(final);
}

/* ---- A folder whose config.json is another file ------------------------------------------- */

static void links_remove(char *folder) {
    size_t count = 0;
    char **names = folder ? names_list(folder, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        unlink(path);
        free(path);
    }
    names_free(names, count);
    if (folder)
        rmdir(folder);
    free(folder);
}

/* A link's target is read from the link's own folder, so it must not be relative. */
static char *path_absolute(const char *path) {
    char here[4096];
    return path_make(path[0] == '/' || !getcwd(here, sizeof here) ? "" : here, path);
}

/* A new folder of links to the files of `folder`, with `config` in the place of config.json. */
static char *links_make(const char *folder, const char *config) {
    const char *root = getenv("TMPDIR");
    char *links = path_make(root ? root : "/tmp", "c2c-golden-XXXXXX");
    char *from = path_absolute(folder);
    size_t count = 0;
    char **names = from ? names_list(from, &count) : NULL;
    bool ok = names && mkdtemp(links);
    for (size_t i = 0; ok && i < count; i++) {
        if (strcmp(names[i], "config.json") == 0)
            continue;
        bool is_config = strcmp(names[i], config) == 0;
        char *target = path_make(from, names[i]);
        char *path = path_make(links, is_config ? "config.json" : names[i]);
        ok = symlink(target, path) == 0;
        free(target);
        free(path);
    }
    names_free(names, count);
    free(from);
    if (!ok) {
        links_remove(links);
        links = NULL;
    }
    return links;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static c2c_status engine_make(c2c_engine **engine, const way *how, c2c_error *error) {
    backend *b = NULL;
    c2c_status status = how->queue ? backend_queue_open(&b, how->threads, error)
                                   : backend_cpu_open(&b, how->threads, error);
    return status == C2C_STATUS_OK ? engine_adopt(engine, b, error) : status;
}

static c2c_status pair_open(world *w, const case_paths *paths, char kind[KIND_SIZE],
                            c2c_error *error) {
    const c2c_model_options f32 = {.compute = C2C_COMPUTE_F32};
    size_t i = w->count++;
    model_kind(paths->sharers[i], kind);
    c2c_status status = c2c_model_open(&w->sharers[i], w->engine, paths->sharers[i], &f32, error);
    if (status != C2C_STATUS_OK)
        return status;
    fuser_kind(paths->fusers[i], kind);
    status = c2c_fuser_open(&w->fusers[i], w->receiver, w->sharers[i], paths->fusers[i], error);
    w->pairs[i] = (c2c_pair){w->sharers[i], w->fusers[i]};
    return status;
}

c2c_status world_open(world *w, const way *how, const case_paths *paths, char kind[KIND_SIZE],
                      c2c_error *error) {
    *w = (world){0};
    kind[0] = '\0';
    const c2c_model_options f32 = {.compute = C2C_COMPUTE_F32};
    const char *receiver = paths->receiver;
    c2c_status status = engine_make(&w->engine, how, error);
    if (status != C2C_STATUS_OK)
        goto done;
    if (how->config) {
        w->links = links_make(receiver, how->config);
        if (!w->links) {
            status = error_set(error, C2C_STATUS_IO, "%s: cannot make a folder of links", receiver);
            goto done;
        }
        receiver = w->links;
    }
    model_kind(receiver, kind);
    status = c2c_model_open(&w->receiver, w->engine, receiver, &f32, error);
    while (status == C2C_STATUS_OK && w->count < paths->count)
        status = pair_open(w, paths, kind, error);
done:
    if (status != C2C_STATUS_OK)
        world_close(w);
    return status;
}

void world_close(world *w) {
    while (w->count > 0) {
        c2c_fuser_close(w->fusers[--w->count]);
        c2c_model_close(w->sharers[w->count]);
    }
    c2c_model_close(w->receiver);
    c2c_engine_close(w->engine);
    links_remove(w->links);
    *w = (world){0};
}

void case_paths_free(case_paths *paths) {
    free(paths->receiver);
    while (paths->count > 0) {
        free(paths->sharers[--paths->count]);
        free(paths->fusers[paths->count]);
    }
}
