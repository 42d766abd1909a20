/* save.c - an opened or new fuser written as a folder: projectors, descriptions, layer map. */
#include "fuser/fuser.h"

#include <stdlib.h>

typedef struct save {
    const c2c_fuser *fuser;
    const char *folder;
    tensor_format format;
    dtype type;
    c2c_error *error;
} save;

/* {"0": {"1": {"<receiver layer>": [[sharer layer, projector]], ...}}} */
static void write_map(buffer *out, const layer_map *map) {
    bool first = true;
    buffer_append_text(out, "{\"0\": {\"1\": {");
    for (int t = 0; t < map->layers; t++) {
        const layer_link *link = &map->links[t];
        if (link->sharer_layer < 0)
            continue;
        buffer_printf(out, "%s\"%d\": [[%d, %d]]", first ? "" : ", ", t, link->sharer_layer,
                      link->projector);
        first = false;
    }
    buffer_append_text(out, "}}}");
}

/* Writes a text and frees it; `path` is NULL when there was no memory for it. */
static c2c_status write_text(const save *s, const char *path, buffer *text) {
    c2c_status status = text->failed || !path
                            ? error_memory(s->error, text->length, s->folder)
                            : file_write(path, text->data, text->length, s->error);
    buffer_free(text);
    return status;
}

static c2c_status save_tensors(const save *s, const tensor_file *file, const char *path) {
    size_t count = tensor_file_count(file);
    named_tensor *list = calloc(count + 1, sizeof *list);
    if (!list || !path) {
        free(list);
        return error_memory(s->error, count * sizeof *list, s->folder);
    }
    for (size_t i = 0; i < count; i++)
        list[i] = *tensor_file_at(file, i);
    c2c_status status = tensor_file_write(path, s->format, list, count, s->type, s->error);
    free(list);
    return status;
}

static c2c_status save_projector(const save *s, int index) {
    const projector *p = &s->fuser->projectors[index];
    const char *ending = s->format == TENSOR_FORMAT_PT ? ".pt" : ".safetensors";
    char *json = projector_path(s->folder, index, ".json");
    char *tensors = projector_path(s->folder, index, ending);
    buffer text = {0};
    projector_json_write(&text, json_root(p->description), s->type);
    c2c_status status = write_text(s, json, &text);
    if (!status)
        status = save_tensors(s, p->tensors, tensors);
    free(json);
    free(tensors);
    return status;
}

c2c_status fuser_write(const c2c_fuser *fuser, const char *folder, tensor_format format, dtype type,
                       c2c_error *error) {
    const save s = {
        .fuser = fuser, .folder = folder, .format = format, .type = type, .error = error};
    char *path = path_join(folder, "projector_config.json");
    buffer text = {0};
    write_map(&text, &fuser->map);
    c2c_status status = write_text(&s, path, &text);
    /* A projector that no layer uses was not opened. */
    for (int i = 0; !status && i < fuser->projector_count; i++)
        if (fuser->projectors[i].tensors)
            status = save_projector(&s, i);
    free(path);
    return status;
}

c2c_status c2c_fuser_save(const c2c_fuser *fuser, const char *folder,
                          const c2c_save_options *options, c2c_error *error) {
    static const c2c_save_options defaults = {0};
    if (!options)
        options = &defaults;
    c2c_status status = ARGUMENTS_CHECK(error, {"fuser", fuser}, {"folder", folder});
    if (!status)
        status = error_choice(error, "format", (int)options->format, C2C_FORMAT_PT);
    if (status)
        return status;
    char *aside = NULL;
    dtype type;
    tensor_format format =
        options->format == C2C_FORMAT_PT ? TENSOR_FORMAT_PT : TENSOR_FORMAT_SAFETENSORS;
    status = weight_type_read(&type, options->type, DTYPE_COUNT, error);
    if (!status)
        status = fuser_folder_check_free(folder, options->replace, error);
    if (!status)
        status = folder_begin(&aside, folder, error);
    if (!status)
        status = folder_end(aside, folder, fuser_write(fuser, aside, format, type, error), error);
    free(aside);
    return status;
}
