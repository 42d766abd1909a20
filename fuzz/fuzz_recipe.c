/* fuzz_recipe.c - a recipe, and the untrained projector that it makes when that is a small one. */
#include "fuser/fuser.h"

#define SMALL 200000

static void try_recipe(const fuser_recipe *recipe) {
    const model_config receiver = {.layers = 5, .kv_heads = 2, .head_dim = 4};
    const model_config sharer = {.layers = 3, .kv_heads = 1, .head_dim = 8};
    json_document *description = NULL;
    projector_spec spec;
    layer_map map;
    int64_t parameters;
    tensor_file *tensors = NULL;
    c2c_error error;
    if (fuser_recipe_describe(&description, recipe, &receiver, &sharer, DTYPE_BF16, &error))
        return;
    if (!projector_spec_parse(&spec, description, &error) &&
        projector_parameters(&spec, &parameters) && parameters < SMALL &&
        !projector_start_tensors(&tensors, &spec, 0, 1, DTYPE_BF16, &error)) {
        int64_t made = 0;
        for (size_t i = 0; i < tensor_file_count(tensors); i++)
            made += tensor_elements(&tensor_file_at(tensors, i)->view);
        C2C_ASSERT(made == parameters);
    }
    C2C_ASSERT(!fuser_recipe_map(&map, recipe, receiver.layers, sharer.layers, &error));
    C2C_ASSERT(map.projectors == 5 && map.links[4].sharer_layer == 2);
    layer_map_deinit(&map);
    tensor_file_close(tensors);
    json_close(description);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *document = NULL;
    fuser_recipe recipe;
    c2c_error error;
    if (!json_parse(&document, (const char *)data, size, "recipe.json", &error) &&
        !fuser_recipe_parse(&recipe, document, &error))
        try_recipe(&recipe);
    json_close(document);
    return 0;
}
