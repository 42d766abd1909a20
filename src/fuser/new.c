/* new.c - fusers that are made, not opened: untrained ones from a recipe, in memory. */
#include "fuser/fuser.h"

#include <inttypes.h>
#include <stdlib.h>

c2c_status weight_type_read(dtype *type, c2c_weight_type named, dtype as_is, c2c_error *error) {
    switch (named) {
    case C2C_WEIGHT_AS_IS: *type = as_is; return C2C_STATUS_OK;
    case C2C_WEIGHT_F32: *type = DTYPE_F32; return C2C_STATUS_OK;
    case C2C_WEIGHT_F16: *type = DTYPE_F16; return C2C_STATUS_OK;
    case C2C_WEIGHT_BF16: *type = DTYPE_BF16; return C2C_STATUS_OK;
    }
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "expected one of c2c_weight_type, found %d", (int)named);
}

/* The recipe as a document of its own, whichever way it was given. */
static c2c_status open_recipe(json_document **document, const c2c_recipe *recipe,
                              c2c_error *error) {
    *document = NULL;
    if (!recipe->path == !recipe->text)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "a recipe: expected either a path or a text, found %s",
                         recipe->path ? "both" : "neither");
    if (recipe->path)
        return document_open(document, recipe->path, error);
    return json_parse(document, recipe->text, strlen(recipe->text), "recipe", error);
}

/* Weights are filled in as they are made: without this check, one too large would take the machine
 * down with it. */
static c2c_status check_memory(const c2c_fuser *fuser, const projector_spec *spec, dtype type,
                               c2c_error *error) {
    int64_t parameters, available = system_memory_available();
    size_t elements, bytes;
    if (!projector_parameters(spec, &parameters) ||
        !size_mul((size_t)parameters, (size_t)fuser->projector_count, &elements) ||
        !size_mul(elements, dtype_size(type), &bytes))
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                         "%s: a projector of these sizes does not fit in memory; choose a smaller "
                         "hidden_dim",
                         fuser->folder);
    if (available >= 0 && bytes > (size_t)available)
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                         "%s: %d projectors of %" PRId64
                         " parameters in %s need %zu MiB, but %" PRId64
                         " MiB are available; choose a smaller hidden_dim, or bf16",
                         fuser->folder, fuser->projector_count, parameters, dtype_name(type),
                         bytes >> 20, available >> 20);
    return C2C_STATUS_OK;
}

/* Projectors differ in their random numbers alone. */
static c2c_status make_projectors(c2c_fuser *fuser, const fuser_recipe *recipe, uint64_t seed,
                                  dtype type, c2c_error *error) {
    size_t room = (size_t)fuser->map.projectors;
    fuser->projectors = calloc(room, sizeof *fuser->projectors);
    if (!fuser->projectors)
        return error_memory(error, room * sizeof *fuser->projectors, "projectors");
    fuser->projector_count = fuser->map.projectors;
    for (int i = 0; i < fuser->projector_count; i++) {
        projector *p = &fuser->projectors[i];
        c2c_status status = fuser_recipe_describe(&p->description, recipe, &fuser->receiver->config,
                                                  &fuser->sharer->config, type, error);
        if (!status)
            status = projector_spec_parse(&p->spec, p->description, error);
        if (!status && i == 0)
            status = check_memory(fuser, &p->spec, type, error);
        if (!status)
            status = projector_start_tensors(&p->tensors, &p->spec, i, seed, type, error);
        if (!status)
            status = projector_bind(p, fuser->backend, error);
        if (status)
            return status;
        fuser->parameters += p->parameters;
        fuser->weight_bytes += p->weight_bytes;
    }
    return C2C_STATUS_OK;
}

c2c_status c2c_fuser_new(c2c_fuser **out, const c2c_model *receiver, const c2c_model *sharer,
                         const c2c_recipe *recipe, c2c_error *error) {
    if (out)
        *out = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"fuser", out}, {"receiver", receiver},
                                        {"sharer", sharer}, {"recipe", recipe});
    if (status)
        return status;
    json_document *document = NULL;
    fuser_recipe parsed;
    dtype type = DTYPE_F32;
    c2c_fuser *fuser = calloc(1, sizeof *fuser);
    if (!fuser)
        return error_memory(error, sizeof *fuser, "a fuser");
    fuser->backend = receiver->backend;
    fuser->receiver = receiver;
    fuser->sharer = sharer;
    status = weight_type_read(&type, recipe->type, DTYPE_F32, error);
    if (!status)
        status = open_recipe(&document, recipe, error);
    if (!status)
        status = fuser_recipe_parse(&parsed, document, error);
    if (!status && !(fuser->folder = path_join("", json_name(document))))
        status = error_memory(error, strlen(json_name(document)), "a name");
    if (!status)
        status = fuser_recipe_map(&fuser->map, &parsed, receiver->config.layers,
                                  sharer->config.layers, error);
    if (!status)
        status = make_projectors(fuser, &parsed, recipe->seed, type, error);
    if (!status)
        status = fuser_attach(fuser, receiver, sharer, error);
    if (status)
        c2c_fuser_close(fuser);
    else
        *out = fuser;
    json_close(document);
    return status;
}
