/* fuzz_config.c - config.json, generation_config.json, projector_config.json and projector_0.json:
 * the bytes are four documents with a NUL between them. */
#include "fuser/fuser.h"

/* The document before the next NUL; NULL when it is not JSON. */
static json_document *next_document(const char **data, size_t *size, const char *name) {
    const char *end = memchr(*data, 0, *size);
    size_t length = end ? (size_t)(end - *data) : *size;
    json_document *document = NULL;
    c2c_error error;
    if (json_parse(&document, *data, length, name, &error))
        document = NULL;
    length += end != NULL;
    *data += length;
    *size -= length;
    return document;
}

/* What a projector of these options asks for can be listed and counted. */
static void try_projector(const json_document *document) {
    projector_spec spec;
    c2c_error error;
    if (projector_spec_parse(&spec, document, &error))
        return;
    projector_slots slots = {0};
    buffer text = {0};
    spec.kind->slots(&spec, &slots);
    spec.kind->describe(&spec, &text);
    C2C_ASSERT(slots.count > 0 && text.length > 0 && spec.kind->scratch(&spec) > 0);
    C2C_ASSERT(!spec.kind->summary || spec.kind->summary(&spec) >= 0);
    C2C_ASSERT(projector_specs_equal(&spec, &spec));
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    json_document *config = next_document(&text, &size, "config.json");
    json_document *generation = next_document(&text, &size, "generation_config.json");
    json_document *projectors = next_document(&text, &size, "projector_config.json");
    json_document *projector = next_document(&text, &size, "projector_0.json");
    c2c_error error;
    model_config parsed;
    if (config && model_config_parse(&parsed, config, generation, &error) == C2C_STATUS_OK)
        C2C_ASSERT(model_cache_row_bytes(&parsed, DTYPE_F32) > 0 &&
                   parsed.eos_count <= MODEL_MAX_EOS);
    layer_map map;
    if (projectors && layer_map_parse(&map, projectors, &error) == C2C_STATUS_OK) {
        C2C_ASSERT(map.layers > 0);
        layer_map_deinit(&map);
    }
    if (projector)
        try_projector(projector);
    json_close(projector);
    json_close(config);
    json_close(generation);
    json_close(projectors);
    return 0;
}
