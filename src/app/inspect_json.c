/* inspect_json.c - the JSON files of model and fuser folders, told apart by what they hold. */
#include "app/inspect.h"

#include <stdio.h>

/* One kind of file. `fits` looks at the root; `tell` reports what `fits` accepted. */
typedef struct json_kind {
    const char *name;
    bool (*fits)(const json_value *root);
    c2c_status (*tell)(report *r, const json_document *document, c2c_error *error);
} json_kind;

static bool has(const json_value *object, const char *key, json_type type) {
    const json_value *value = json_get(object, key);
    return value && value->type == type;
}

static void report_string(report *r, const json_value *object, const char *key, const char *name,
                          const char *label) {
    if (has(object, key, JSON_STRING))
        report_text(r, name, label, json_get(object, key)->string);
}

/* ---- tokenizer.json ----------------------------------------------------------------------- */

static bool is_tokenizer(const json_value *root) {
    return has(json_get(root, "model"), "vocab", JSON_OBJECT) ||
           has(json_get(root, "model"), "vocab", JSON_ARRAY);
}

/* "Sequence(Split, ByteLevel)": the types of a component and of what it is made of. */
static void append_component(buffer *out, const json_value *component) {
    static const char *const lists[] = {"normalizers", "pretokenizers", "decoders", "processors"};
    if (!component || component->type != JSON_OBJECT) {
        buffer_append_text(out, "none");
        return;
    }
    buffer_append_text(out, has(component, "type", JSON_STRING)
                                ? json_get(component, "type")->string
                                : "without a type");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_value *list = json_get(component, lists[i]);
        if (!list || list->type != JSON_ARRAY)
            continue;
        for (uint32_t k = 0; k < list->count; k++) {
            const json_value *part = &list->items[k];
            buffer_printf(out, "%s%s", k ? ", " : "(",
                          has(part, "type", JSON_STRING) ? json_get(part, "type")->string : "?");
        }
        if (list->count)
            buffer_append_char(out, ')');
    }
}

static c2c_status tell_tokenizer(report *r, const json_document *document, c2c_error *error) {
    (void)error;
    static const char *const parts[][2] = {{"normalizer", "normalizer"},
                                           {"pre_tokenizer", "pre-tokenizer"},
                                           {"post_processor", "post-processor"},
                                           {"decoder", "decoder"}};
    const json_value *root = json_root(document), *model = json_get(root, "model");
    const json_value *merges = json_get(model, "merges"), *added = json_get(root, "added_tokens");
    report_string(r, model, "type", "model", "model");
    report_integer(r, "vocabulary_size", "vocabulary", json_get(model, "vocab")->count);
    report_integer(r, "merges", "merges", merges && merges->type == JSON_ARRAY ? merges->count : 0);
    report_integer(r, "added_tokens", "added tokens",
                   added && added->type == JSON_ARRAY ? added->count : 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buffer text = {0};
        append_component(&text, json_get(root, parts[i][0]));
        report_text(r, parts[i][0], parts[i][1], text.data ? text.data : "");
        buffer_free(&text);
    }
    return C2C_STATUS_OK;
}

/* ---- Files of a model folder -------------------------------------------------------------- */

static bool is_model_config(const json_value *root) {
    return json_get(root, "model_type") != NULL;
}

static c2c_status tell_model_config(report *r, const json_document *document, c2c_error *error) {
    model_config config;
    c2c_status status = model_config_parse(&config, document, NULL, error);
    if (!status)
        report_model_config(r, &config);
    return status;
}

static bool is_weight_index(const json_value *root) {
    return has(root, "weight_map", JSON_OBJECT);
}

static c2c_status tell_weight_index(report *r, const json_document *document, c2c_error *error) {
    (void)error;
    const json_value *map = json_get(json_root(document), "weight_map");
    report_integer(r, "tensor_count", "tensors", map->count);
    const json_value *total = json_get(json_get(json_root(document), "metadata"), "total_size");
    if (total && total->type == JSON_INTEGER)
        report_bytes(r, "total_bytes", "bytes", total->integer);
    return C2C_STATUS_OK;
}

static bool is_tokenizer_config(const json_value *root) {
    return has(root, "tokenizer_class", JSON_STRING) || json_get(root, "added_tokens_decoder") ||
           json_get(root, "chat_template");
}

static c2c_status tell_tokenizer_config(report *r, const json_document *document,
                                        c2c_error *error) {
    (void)error;
    const json_value *root = json_root(document);
    bool template = json_get(root, "chat_template") != NULL;
    report_string(r, root, "tokenizer_class", "tokenizer_class", "class");
    report_text(r, NULL, "chat template", template ? "in this file" : "not in this file");
    json_out_bool(&r->json, "chat_template", template);
    return C2C_STATUS_OK;
}

static bool is_special_tokens(const json_value *root) {
    return json_get(root, "eos_token") || json_get(root, "bos_token") ||
           json_get(root, "pad_token");
}

/* Each is a text, or an object whose content is the text. */
static c2c_status tell_special_tokens(report *r, const json_document *document, c2c_error *error) {
    (void)error;
    const json_value *root = json_root(document);
    json_out_open(&r->json, "tokens", '{');
    for (uint32_t i = 0; i < root->count; i++) {
        const json_member *m = &root->members[i];
        const json_value *text =
            m->value.type == JSON_OBJECT ? json_get(&m->value, "content") : &m->value;
        if (text && text->type == JSON_STRING)
            report_text(r, m->key, m->key, text->string);
    }
    json_out_close(&r->json, '}');
    return C2C_STATUS_OK;
}

static bool is_generation_config(const json_value *root) {
    return json_get(root, "eos_token_id") != NULL;
}

static c2c_status tell_generation_config(report *r, const json_document *document,
                                         c2c_error *error) {
    (void)error;
    const json_value *eos = json_get(json_root(document), "eos_token_id");
    report_integer(r, "eos_count", "eos ids", eos->type == JSON_ARRAY ? eos->count : 1);
    return C2C_STATUS_OK;
}

/* ---- Files of a fuser folder -------------------------------------------------------------- */

static bool is_projector(const json_value *root) {
    return has(root, "class", JSON_STRING) && has(root, "init_args", JSON_OBJECT);
}

static c2c_status tell_projector(report *r, const json_document *document, c2c_error *error) {
    (void)error;
    const json_value *args = json_get(json_root(document), "init_args");
    report_string(r, json_root(document), "class", "class", "class");
    json_out_open(&r->json, "init_args", '{');
    for (uint32_t i = 0; i < args->count; i++) {
        const json_member *m = &args->members[i];
        if (m->value.type == JSON_INTEGER)
            report_integer(r, m->key, m->key, m->value.integer);
        else if (m->value.type == JSON_STRING)
            report_text(r, m->key, m->key, m->value.string);
    }
    json_out_close(&r->json, '}');
    return C2C_STATUS_OK;
}

static bool is_layer_map(const json_value *root) {
    return root->type == JSON_OBJECT && root->count &&
           root->members[0].key[strspn(root->members[0].key, "0123456789")] == 0 &&
           root->members[0].value.type == JSON_OBJECT;
}

static c2c_status tell_layer_map(report *r, const json_document *document, c2c_error *error) {
    layer_map map;
    c2c_status status = layer_map_parse(&map, document, error);
    if (status)
        return status;
    static const char *const titles[] = {"receiver layer", "sharer layer", "projector"};
    table t;
    table_init(&t, titles, "rrr");
    report_integer(r, "projector_count", "projectors", map.projectors);
    json_out_open(&r->json, "layers", '[');
    for (int i = 0; i < map.layers; i++) {
        if (map.links[i].sharer_layer < 0)
            continue;
        table_add(&t, "%d", i);
        table_add(&t, "%d", map.links[i].sharer_layer);
        table_add(&t, "%d", map.links[i].projector);
        json_out_open(&r->json, NULL, '{');
        json_out_integer(&r->json, "receiver_layer", i);
        json_out_integer(&r->json, "sharer_layer", map.links[i].sharer_layer);
        json_out_integer(&r->json, "projector", map.links[i].projector);
        json_out_close(&r->json, '}');
    }
    json_out_close(&r->json, ']');
    report_table(r, &t);
    table_deinit(&t);
    layer_map_deinit(&map);
    return status;
}

static bool is_recipe(const json_value *root) {
    const json_value *model = json_get(root, "model");
    return has(model, "base_model", JSON_STRING) || has(model, "baseline_model", JSON_STRING) ||
           has(model, "model_name", JSON_STRING);
}

static c2c_status tell_recipe(report *r, const json_document *document, c2c_error *error) {
    (void)error;
    const json_value *root = json_root(document), *model = json_get(root, "model");
    report_string(r, model, "base_model", "receiver", "receiver");
    report_string(r, model, "teacher_model", "sharer", "sharer");
    report_string(r, model, "baseline_model", "model", "model");
    report_string(r, model, "model_name", "model", "model");
    report_string(r, json_get(model, "projector"), "type", "projector", "projector");
    report_string(r, model, "mapping", "mapping", "mapping");
    report_text(r, "use", "use",
                json_get(root, "eval")       ? "evaluation"
                : json_get(root, "training") ? "training"
                                             : "neither training nor evaluation");
    return C2C_STATUS_OK;
}

/* ---- Messages ----------------------------------------------------------------------------- */

static bool is_messages(const json_value *root) {
    return root->type == JSON_ARRAY && root->count && json_get(&root->items[0], "role");
}

static c2c_status tell_messages(report *r, const json_document *document, c2c_error *error) {
    chat messages = {0};
    c2c_status status = chat_add_json(&messages, json_root(document), json_name(document), error);
    if (!status)
        report_integer(r, "message_count", "messages", (int64_t)messages.count);
    chat_deinit(&messages);
    return status;
}

/* The first kind that fits is the one. */
static const json_kind kinds[] = {
    {"tokenizer", is_tokenizer, tell_tokenizer},
    {"projector", is_projector, tell_projector},
    {"recipe", is_recipe, tell_recipe},
    {"model configuration", is_model_config, tell_model_config},
    {"weight index", is_weight_index, tell_weight_index},
    {"tokenizer configuration", is_tokenizer_config, tell_tokenizer_config},
    {"special tokens", is_special_tokens, tell_special_tokens},
    {"generation configuration", is_generation_config, tell_generation_config},
    {"layer map", is_layer_map, tell_layer_map},
    {"messages", is_messages, tell_messages},
};

c2c_status inspect_json(report *r, const char *path, c2c_error *error) {
    json_document *document = NULL;
    c2c_status status = document_open(&document, path, error);
    if (status)
        return status;
    const json_value *root = json_root(document);
    const json_kind *kind = NULL;
    for (size_t i = 0; !kind && i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].fits(root))
            kind = &kinds[i];
    if (kind) {
        report_text(r, "kind", "kind", kind->name);
        report_text(r, "path", "path", path);
        status = kind->tell(r, document, error);
    } else {
        status = error_set(error, C2C_STATUS_UNSUPPORTED,
                           "%s: expected a file of a model or fuser folder, a recipe or messages, "
                           "found %s of %u elements that is none of these",
                           path, json_type_name(root->type), root->count);
    }
    json_close(document);
    return status;
}
