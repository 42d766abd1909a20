/* convert.c - a fuser folder written as another one: the same files at the same places, the tensors
 * in another format or type. Projectors are not looked into, so that those of any kind can be
 * converted; whether they fit their models is for fuser.c to say. */
#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct conversion {
    const char *from, *to; /* the folders of the projectors */
    tensor_format format;
    dtype type;
    tensor_conversion *done;
} conversion;

/* The description says which type the tensors have. */
static c2c_status convert_json(const conversion *c, int index, c2c_error *error) {
    json_document *document = NULL;
    buffer text = {0};
    char *from = projector_path(c->from, index, ".json"),
         *to = projector_path(c->to, index, ".json");
    c2c_status status;
    if (!from || !to)
        status = error_memory(error, strlen(c->from) + strlen(c->to) + 64, "a file name");
    else
        status = json_open(&document, from, error);
    if (!status) {
        projector_json_write(&text, json_root(document), c->type);
        status = text.failed ? error_memory(error, text.length, to)
                             : file_write(to, text.data, text.length, error);
    }
    json_close(document);
    buffer_free(&text);
    free(from);
    free(to);
    return status;
}

/* projector_<index>.safetensors, else .pt, as in a fuser that is opened. */
static c2c_status convert_tensors(const conversion *c, int index, c2c_error *error) {
    char *safetensors = projector_path(c->from, index, ".safetensors");
    char *pt = projector_path(c->from, index, ".pt");
    char *to = projector_path(c->to, index, c->format == TENSOR_FORMAT_PT ? ".pt" : ".safetensors");
    c2c_status status;
    if (!safetensors || !pt || !to)
        status = error_memory(error, strlen(c->from) + strlen(c->to) + 64, "a file name");
    else if (!file_exists(safetensors) && !file_exists(pt))
        status =
            error_set(error, C2C_STATUS_NOT_FOUND, "%s: no such file, nor %s", safetensors, pt);
    else
        status = tensor_file_convert(file_exists(safetensors) ? safetensors : pt, to, c->format,
                                     c->type, c->done, error);
    free(safetensors);
    free(pt);
    free(to);
    return status;
}

static c2c_status convert_projector(const conversion *c, int index, c2c_error *error) {
    char name[64];
    snprintf(name, sizeof name, "projector_%d.json", index);
    /* Written by a newer version, it may hold what only its own writer understands: what need not
     * change stays as it is, byte for byte. */
    c2c_status status = c->type == DTYPE_COUNT ? file_copy(c->from, c->to, name, false, error)
                                               : convert_json(c, index, error);
    return status ? status : convert_tensors(c, index, error);
}

/* Those that the map applies; further pairs in its lists are never used, and may be missing. */
static c2c_status convert_projectors(const conversion *c, c2c_error *error) {
    layer_map map = {0};
    json_document *document = NULL;
    bool *used = NULL;
    char *path = path_join(c->from, "projector_config.json");
    c2c_status status = path ? json_open(&document, path, error)
                             : error_memory(error, strlen(c->from) + 64, "a file name");
    if (!status)
        status = layer_map_parse(&map, document, error);
    if (!status && !(used = calloc((size_t)map.projectors + 1, sizeof *used)))
        status = error_memory(error, (size_t)map.projectors, "a layer map");
    for (int t = 0; !status && t < map.layers; t++)
        if (map.links[t].sharer_layer >= 0)
            used[map.links[t].projector] = true;
    for (int i = 0; !status && i < map.projectors; i++) {
        char *json = projector_path(c->from, i, ".json");
        if (!json)
            status = error_memory(error, strlen(c->from) + 64, "a file name");
        else if (used[i] || file_exists(json))
            status = convert_projector(c, i, error);
        free(json);
    }
    if (!status)
        status = file_copy(c->from, c->to, "projector_config.json", false, error);
    free(used);
    layer_map_deinit(&map);
    json_close(document);
    free(path);
    return status;
}

/* Fills `aside` as `from` is laid out: everything in it, or the projectors in its final/. */
static c2c_status fill(const char *aside, const char *from, const char *found, conversion *c,
                       c2c_error *error) {
    char *here = path_join(from, ""), *final = path_join(aside, "final");
    c2c_status status = C2C_STATUS_OK;
    if (!here || !final) {
        status = error_memory(error, strlen(from) + strlen(aside), "a file name");
    } else {
        bool flat = strcmp(here, found) == 0;
        if (!flat && mkdir(final, 0777) != 0)
            status = error_set(error, C2C_STATUS_IO, "%s: cannot make a folder", final);
        c->from = found;
        c->to = flat ? aside : final;
        if (!status)
            status = file_copy(from, aside, "config.json", true, error);
        if (!status)
            status = convert_projectors(c, error);
    }
    free(here);
    free(final);
    return status;
}

c2c_status fuser_convert(const char *from, const char *to, tensor_format format, dtype type,
                         bool replace, tensor_conversion *done, c2c_error *error) {
    char *found = NULL, *aside = NULL;
    conversion c = {.format = format, .type = type, .done = done};
    c2c_status status = fuser_folder_check_free(to, replace, error);
    if (!status)
        status = fuser_folder_find(&found, from, error);
    if (!status)
        status = folder_begin(&aside, to, error);
    if (!status)
        status = folder_end(aside, to, fill(aside, from, found, &c, error), error);
    free(found);
    free(aside);
    return status;
}
