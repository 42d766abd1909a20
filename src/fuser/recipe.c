/* recipe.c - the part of a training recipe that a fuser is made from: "model" with "projector"
 * {"type", "params"} and "mapping". What trains it is not read here. */
#include "fuser/fuser.h"

#include <stdlib.h>

/* ---- Reading ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    layer_map_rule rule;
} mappings[] = {
    {"last_aligned", c2c_layer_map_last_aligned},
    {"k_nearest", c2c_layer_map_k_nearest},
};

static c2c_status find_rule(fuser_recipe *recipe, c2c_error *error) {
    for (size_t i = 0; i < sizeof mappings / sizeof *mappings; i++)
        if (strcmp(recipe->mapping, mappings[i].name) == 0) {
            recipe->rule = mappings[i].rule;
            return C2C_STATUS_OK;
        }
    return error_set(error, C2C_STATUS_UNSUPPORTED,
                     "%s: mapping: expected last_aligned or k_nearest, found \"%s\"", recipe->where,
                     recipe->mapping);
}

c2c_status fuser_recipe_parse(fuser_recipe *recipe, const json_document *document,
                              c2c_error *error) {
    static const char *const usual_mapping = "last_aligned";
    const json_value *root = json_root(document), *model = json_get(root, "model");
    *recipe = (fuser_recipe){.where = json_name(document)};
    if (!model)
        model = root;
    const json_value *projector = json_get(model, "projector");
    if (!projector || projector->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: model: expected \"projector\", an object with \"type\" and "
                         "\"params\", found %s",
                         recipe->where,
                         projector ? json_type_name(projector->type) : "no such key");
    recipe->params = json_get(projector, "params");
    if (recipe->params && recipe->params->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: projector: \"params\": expected an object, found %s", recipe->where,
                         json_type_name(recipe->params->type));
    c2c_status status =
        json_get_string(projector, "type", NULL, &recipe->type, recipe->where, error);
    if (!status)
        status = json_get_string(model, "mapping", &usual_mapping, &recipe->mapping, recipe->where,
                                 error);
    return status ? status : find_rule(recipe, error);
}

/* ---- Describing --------------------------------------------------------------------------- */

/* What the models decide is not the recipe's to say. */
static c2c_status refuse_sizes(const fuser_recipe *recipe, c2c_error *error) {
    static const char *const keys[] = {"source_dim", "target_dim", "source_num_heads",
                                       "target_num_heads", "dtype"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get(recipe->params, keys[i]))
            return error_set(
                error, C2C_STATUS_BAD_FILE,
                "%s: projector: params: \"%s\" is not a recipe's to say: it comes from "
                "the models; leave it out",
                recipe->where, keys[i]);
    return C2C_STATUS_OK;
}

/* The text that is stored beside the tensors is the one that is read here: one reader for old and
 * new fusers. */
c2c_status fuser_recipe_describe(json_document **description, const fuser_recipe *recipe,
                                 const model_config *receiver, const model_config *sharer,
                                 dtype type, c2c_error *error) {
    json_document *plain = NULL;
    buffer text = {0}, typed = {0}, name = {0};
    *description = NULL;
    c2c_status status = refuse_sizes(recipe, error);
    if (status)
        return status;
    buffer_append_text(&text, "{\"class\": ");
    json_write_string(&text, recipe->type, strlen(recipe->type));
    buffer_printf(&text,
                  ", \"init_args\": {\"source_dim\": %d, \"target_dim\": %d, \"source_num_heads\": "
                  "%d, \"target_num_heads\": %d, \"dtype\": null",
                  sharer->head_dim, receiver->head_dim, sharer->kv_heads, receiver->kv_heads);
    for (uint32_t i = 0; recipe->params && i < recipe->params->count; i++) {
        const json_member *member = &recipe->params->members[i];
        buffer_append_text(&text, ", ");
        json_write_string(&text, member->key, member->key_length);
        buffer_append_text(&text, ": ");
        json_write_value(&text, &member->value, 0);
    }
    buffer_append_text(&text, "}}");
    buffer_printf(&name, "%s: projector", recipe->where);
    if (text.failed || name.failed)
        status = error_memory(error, text.length, "a projector's description");
    if (!status)
        status = json_parse(&plain, text.data, text.length, name.data, error);
    if (!status) {
        projector_json_write(&typed, json_root(plain), type);
        status = typed.failed ? error_memory(error, typed.length, "a projector's description")
                              : json_parse(description, typed.data, typed.length, name.data, error);
    }
    json_close(plain);
    buffer_free(&text);
    buffer_free(&typed);
    buffer_free(&name);
    return status;
}

c2c_status fuser_recipe_map(layer_map *map, const fuser_recipe *recipe, int receiver_layers,
                            int sharer_layers, c2c_error *error) {
    *map = (layer_map){0};
    int *sharer_of = calloc((size_t)receiver_layers, sizeof *sharer_of);
    map->links = calloc((size_t)receiver_layers, sizeof *map->links);
    if (!sharer_of || !map->links) {
        free(sharer_of);
        layer_map_deinit(map);
        return error_memory(error, (size_t)receiver_layers * sizeof *map->links, "the layer map");
    }
    recipe->rule(receiver_layers, sharer_layers, sharer_of);
    for (int t = 0; t < receiver_layers; t++)
        map->links[t] = (layer_link){.sharer_layer = sharer_of[t], .projector = t};
    map->layers = map->projectors = receiver_layers;
    free(sharer_of);
    return C2C_STATUS_OK;
}
