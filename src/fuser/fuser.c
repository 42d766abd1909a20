/* fuser.c - opens a fuser folder and checks that it fits its two models. */
#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>

static c2c_status open_map(c2c_fuser *fuser, c2c_error *error) {
    json_document *document = NULL;
    char *path = path_join(fuser->folder, "projector_config.json");
    if (!path)
        return error_memory(error, strlen(fuser->folder) + 64, "a file name");
    c2c_status status = json_open(&document, path, error);
    if (!status)
        status = layer_map_parse(&fuser->map, document, error);
    json_close(document);
    free(path);
    return status;
}

/* A projector that no pair mentions means that map and files are not of one fuser. */
static c2c_status refuse_extra(const c2c_fuser *fuser, c2c_error *error) {
    char name[64];
    snprintf(name, sizeof name, "projector_%d.json", fuser->map.projectors);
    char *path = path_join(fuser->folder, name);
    if (!path)
        return error_memory(error, strlen(fuser->folder) + 64, "a file name");
    c2c_status status = C2C_STATUS_OK;
    if (file_exists(path))
        status = error_set(error, C2C_STATUS_MISMATCH,
                           "%s: projector_config.json expects %d projectors, but this one is "
                           "there too; map and projectors must be of one fuser",
                           path, fuser->map.projectors);
    free(path);
    return status;
}

static c2c_status open_projectors(c2c_fuser *fuser, c2c_error *error) {
    fuser->projector_count = fuser->map.projectors;
    fuser->projectors = calloc((size_t)fuser->projector_count + 1, sizeof *fuser->projectors);
    if (!fuser->projectors)
        return error_memory(error, (size_t)fuser->projector_count * sizeof *fuser->projectors,
                            "projectors");
    for (int t = 0; t < fuser->map.layers; t++) {
        const layer_link *link = &fuser->map.links[t];
        if (link->sharer_layer < 0 || fuser->projectors[link->projector].tensors)
            continue;
        projector *p = &fuser->projectors[link->projector];
        c2c_status status =
            projector_open(p, fuser->backend, fuser->folder, link->projector, error);
        if (status == C2C_STATUS_NOT_FOUND)
            error_prefix(error, "%s/projector_config.json maps receiver layer %d to projector %d",
                         fuser->folder, t, link->projector);
        if (status)
            return status;
        fuser->parameters += p->parameters;
        fuser->weight_bytes += p->weight_bytes;
    }
    return refuse_extra(fuser, error);
}

c2c_status fuser_open_files(c2c_fuser **out, backend *b, const char *folder, c2c_error *error) {
    *out = NULL;
    c2c_fuser *fuser = calloc(1, sizeof *fuser);
    if (!fuser)
        return error_memory(error, sizeof *fuser, "a fuser");
    fuser->backend = b;
    c2c_status status;
    if ((status = fuser_folder_find(&fuser->folder, folder, error)) ||
        (status = open_map(fuser, error)) || (status = open_projectors(fuser, error))) {
        c2c_fuser_close(fuser);
        return status;
    }
    *out = fuser;
    return C2C_STATUS_OK;
}

/* ---- Fitting the models ------------------------------------------------------------------- */

/* What one model must be for one projector. */
typedef struct fit {
    const char *side, *heads_key, *dim_key;
    int heads, dim;
    const c2c_model *model;
} fit;

static c2c_status check_fit(const fit *f, const char *path, c2c_error *error) {
    const model_config *c = &f->model->config;
    if (f->heads == c->kv_heads && f->dim == c->head_dim)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_MISMATCH,
                     "%s: made for a %s with %d kv heads of dimension %d (%s, %s), but %s has %d "
                     "of dimension %d; use the models that the fuser was trained for",
                     path, f->side, f->heads, f->dim, f->heads_key, f->dim_key, f->model->folder,
                     c->kv_heads, c->head_dim);
}

static c2c_status check_layer(const c2c_fuser *fuser, const char *side, int layer,
                              const c2c_model *model, c2c_error *error) {
    if (layer < model->config.layers)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_MISMATCH,
                     "%s/projector_config.json: %s layer %d is mapped, but %s has layers 0 to %d; "
                     "use the models that the fuser was trained for",
                     fuser->folder, side, layer, model->folder, model->config.layers - 1);
}

static c2c_status check_models(c2c_fuser *fuser, c2c_error *error) {
    const c2c_model *receiver = fuser->receiver, *sharer = fuser->sharer;
    if (receiver->backend != sharer->backend)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s and %s: expected models of one engine, found two", receiver->folder,
                         sharer->folder);
    for (int t = 0; t < fuser->map.layers; t++) {
        const layer_link *link = &fuser->map.links[t];
        if (link->sharer_layer < 0)
            continue;
        const projector *p = &fuser->projectors[link->projector];
        const projector_spec *spec = &p->spec;
        const fit fits[] = {
            {"receiver", "target_num_heads", "target_dim", spec->receiver_heads, spec->receiver_dim,
             receiver},
            {"sharer", "source_num_heads", "source_dim", spec->sharer_heads, spec->sharer_dim,
             sharer},
        };
        const char *path = tensor_file_path(p->tensors);
        c2c_status status;
        if ((status = check_layer(fuser, "receiver", t, receiver, error)) ||
            (status = check_layer(fuser, "sharer", link->sharer_layer, sharer, error)) ||
            (status = check_fit(&fits[0], path, error)) ||
            (status = check_fit(&fits[1], path, error)))
            return status;
        if (link->sharer_layer >= fuser->sharer_layers)
            fuser->sharer_layers = link->sharer_layer + 1;
        fuser->by_section = fuser->by_section || spec->by_section;
        if (spec->longest_section &&
            (!fuser->longest_section || spec->longest_section < fuser->longest_section))
            fuser->longest_section = spec->longest_section;
    }
    return C2C_STATUS_OK;
}

/* Tells the backend the longest rows that the projectors' products see. */
static c2c_status reserve_rows(const c2c_fuser *fuser, c2c_error *error) {
    int64_t longest = 0;
    for (int i = 0; i < fuser->projector_count; i++)
        longest = max_i64(longest, fuser->projectors[i].longest_row);
    return longest ? backend_reserve(fuser->backend, (size_t)longest, error) : C2C_STATUS_OK;
}

c2c_status fuser_attach(c2c_fuser *fuser, const c2c_model *receiver, const c2c_model *sharer,
                        c2c_error *error) {
    fuser->receiver = receiver;
    fuser->sharer = sharer;
    c2c_status status = check_models(fuser, error);
    if (!status)
        status = fuser_stacks_build(fuser, error);
    return status ? status : reserve_rows(fuser, error);
}

c2c_status c2c_fuser_open(c2c_fuser **out, const c2c_model *receiver, const c2c_model *sharer,
                          const char *folder, c2c_error *error) {
    if (out)
        *out = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"fuser", out}, {"receiver", receiver},
                                        {"sharer", sharer}, {"folder", folder});
    if (status)
        return status;
    c2c_fuser *fuser;
    status = fuser_open_files(&fuser, receiver->backend, folder, error);
    if (status)
        return status;
    for (int i = 0; i < fuser->projector_count && !status; i++)
        if (fuser->projectors[i].tensors)
            status = projector_panels_make(&fuser->projectors[i], fuser->backend, receiver->math,
                                           fuser->weight_bytes, error);
    if (!status)
        status = fuser_attach(fuser, receiver, sharer, error);
    if (status) {
        c2c_fuser_close(fuser);
        return status;
    }
    fuser_check_names(fuser);
    *out = fuser;
    return C2C_STATUS_OK;
}

void c2c_fuser_close(c2c_fuser *fuser) {
    if (!fuser)
        return;
    fuser_stacks_free(fuser);
    for (int i = 0; fuser->projectors && i < fuser->projector_count; i++)
        projector_close(&fuser->projectors[i], fuser->backend);
    free(fuser->projectors);
    layer_map_deinit(&fuser->map);
    free(fuser->folder);
    free(fuser);
}

void c2c_fuser_layer_map(const c2c_fuser *fuser, int *sharer_layers) {
    for (int t = 0; t < fuser->receiver->config.layers; t++)
        sharer_layers[t] = t < fuser->map.layers ? fuser->map.links[t].sharer_layer : -1;
}
