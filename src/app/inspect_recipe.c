/* inspect_recipe.c - a recipe together with two models: the untrained fuser that would be made from
 * them. Of the models only config.json is read. */
#include "app/inspect.h"

static void report_sizes(report *r, const projector_spec *spec, int projectors,
                         int64_t parameters) {
    char f32[NUMBER_TEXT], bf16[NUMBER_TEXT];
    buffer text = {0};
    spec->kind->describe(spec, &text);
    report_line(r, "projectors", "%d of %s: %s", projectors, spec->kind->name,
                text.data ? text.data : "");
    report_line(r, "cache rows", "sharer %d heads of %d, receiver %d heads of %d",
                spec->sharer_heads, spec->sharer_dim, spec->receiver_heads, spec->receiver_dim);
    json_out_text(&r->json, "class", spec->kind->name, strlen(spec->kind->name));
    json_out_text(&r->json, "description", text.data, text.length);
    json_out_integer(&r->json, "projector_count", projectors);
    report_integer(r, "projector_parameters", "  each", parameters);
    report_integer(r, "parameters", "parameters", parameters * projectors);
    report_line(r, "weights", "%s in f32, %s in bf16", bytes_text(4 * parameters * projectors, f32),
                bytes_text(2 * parameters * projectors, bf16));
    if (spec->use_gates && !(spec->start.gate > 0))
        report_line(r, "gates", "closed until training opens them");
    r->text.failed = r->text.failed || text.failed;
    buffer_free(&text);
}

static void report_links(report *r, const layer_map *map) {
    static const char *const titles[] = {"receiver layer", "sharer layer", "projector"};
    table t;
    table_init(&t, titles, "rrr");
    json_out_open(&r->json, "layers", '[');
    for (int i = 0; i < map->layers; i++) {
        table_add(&t, "%d", i);
        table_add(&t, "%d", map->links[i].sharer_layer);
        table_add(&t, "%d", map->links[i].projector);
        json_out_open(&r->json, NULL, '{');
        json_out_integer(&r->json, "receiver_layer", i);
        json_out_integer(&r->json, "sharer_layer", map->links[i].sharer_layer);
        json_out_integer(&r->json, "projector", map->links[i].projector);
        json_out_close(&r->json, '}');
    }
    json_out_close(&r->json, ']');
    report_table(r, &t);
    table_deinit(&t);
}

/* Everything that can be wrong is found before the first line is reported. */
static c2c_status report_fuser(report *r, const json_document *document, const char *receiver,
                               const char *sharer, c2c_error *error) {
    model_config models[2];
    fuser_recipe recipe;
    projector_spec spec;
    layer_map map = {0};
    json_document *description = NULL;
    int64_t parameters = 0;
    c2c_status status;
    if ((status = model_config_open(&models[0], receiver, error)) ||
        (status = model_config_open(&models[1], sharer, error)) ||
        (status = fuser_recipe_parse(&recipe, document, error)) ||
        (status = fuser_recipe_describe(&description, &recipe, &models[0], &models[1], DTYPE_F32,
                                        error)) ||
        (status = projector_spec_parse(&spec, description, error)) ||
        (status = fuser_recipe_map(&map, &recipe, models[0].layers, models[1].layers, error)))
        goto done;
    if (!projector_parameters(&spec, &parameters) ||
        parameters > INT64_MAX / 4 / MODEL_MAX_LAYERS) {
        status = error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                           "%s: a projector of these sizes has more parameters than can be counted",
                           recipe.where);
        goto done;
    }
    report_text(r, "kind", "kind", "recipe, and the untrained fuser that it makes");
    report_text(r, "path", "path", recipe.where);
    report_text(r, "receiver", "receiver", receiver);
    report_text(r, "sharer", "sharer", sharer);
    report_text(r, "mapping", "mapping", recipe.mapping);
    report_sizes(r, &spec, map.projectors, parameters);
    report_links(r, &map);
done:
    layer_map_deinit(&map);
    json_close(description);
    return status;
}

c2c_status inspect_recipe(report *r, const char *path, const char *receiver, const char *sharer,
                          c2c_error *error) {
    json_document *document = NULL;
    c2c_status status = document_open(&document, path, error);
    if (!status)
        status = report_fuser(r, document, receiver, sharer, error);
    json_close(document);
    return status;
}
