/* config.c - the family table, and config.json and generation_config.json as a checked
 * model_config. A key that would change the numbers and is not computed here is refused. */
#include "model/model.h"

#include <stdlib.h>

static const model_family families[] = {
    {.model_type = "qwen2", .qkv_bias = true},
    {.model_type = "qwen3", .qk_norm = true, .attention_bias_key = true, .default_head_dim = 128},
};

/* Bounds that keep every later product of sizes inside int64_t. */
#define MAX_LAYERS   1024
#define MAX_FEATURES (1 << 20)
#define MAX_HEADS    4096
#define MAX_CONTEXT  (1 << 28)

static c2c_status find_family(const model_family **family, const json_value *root, const char *name,
                              c2c_error *error) {
    const char *type;
    c2c_status status = json_get_string(root, "model_type", NULL, &type, name, error);
    if (status)
        return status;
    buffer known = {0};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i].model_type, type) == 0) {
            *family = &families[i];
            buffer_free(&known);
            return C2C_STATUS_OK;
        }
        buffer_printf(&known, "%s%s", i ? ", " : "", families[i].model_type);
    }
    status = error_set(error, C2C_STATUS_UNSUPPORTED,
                       "%s: model_type \"%s\" is not supported; supported: %s", name, type,
                       known.data ? known.data : "");
    buffer_free(&known);
    return status;
}

static c2c_status get_size(const json_value *root, const char *key, const int64_t *fallback,
                           int64_t high, int64_t *value, const char *name, c2c_error *error) {
    return json_get_integer(root, key, fallback, 1, high, value, name, error);
}

static c2c_status parse_sizes(model_config *config, const json_value *root, const char *name,
                              c2c_error *error) {
    int64_t layers, heads, kv_heads, head_dim;
    c2c_status status;
    if ((status = get_size(root, "num_hidden_layers", NULL, MAX_LAYERS, &layers, name, error)) ||
        (status =
             get_size(root, "hidden_size", NULL, MAX_FEATURES, &config->embedding, name, error)) ||
        (status = get_size(root, "intermediate_size", NULL, MAX_FEATURES, &config->feed_forward,
                           name, error)) ||
        (status = get_size(root, "num_attention_heads", NULL, MAX_HEADS, &heads, name, error)) ||
        (status =
             get_size(root, "num_key_value_heads", &heads, MAX_HEADS, &kv_heads, name, error)) ||
        (status = get_size(root, "vocab_size", NULL, 1 << 24, &config->vocabulary, name, error)) ||
        (status = get_size(root, "max_position_embeddings", NULL, MAX_CONTEXT, &config->context,
                           name, error)))
        return status;
    int64_t usual = config->family->default_head_dim;
    if (usual == 0)
        usual = config->embedding / heads;
    if ((status = get_size(root, "head_dim", &usual, 4096, &head_dim, name, error)))
        return status;
    if (heads % kv_heads != 0)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: num_attention_heads (%lld) must be a multiple of "
                         "num_key_value_heads (%lld)",
                         name, (long long)heads, (long long)kv_heads);
    if (head_dim % 2 != 0)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: head_dim: expected an even number, found %lld", name,
                         (long long)head_dim);
    if (heads * head_dim > MAX_FEATURES)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: num_attention_heads x head_dim: expected at most %d, found %lld",
                         name, MAX_FEATURES, (long long)(heads * head_dim));
    config->layers = (int)layers;
    config->heads = (int)heads;
    config->kv_heads = (int)kv_heads;
    config->head_dim = (int)head_dim;
    return C2C_STATUS_OK;
}

/* transformers 4 writes rope_theta and rope_scaling, version 5 rope_parameters. */
static c2c_status parse_rope(model_config *config, const json_value *root, const char *name,
                             c2c_error *error) {
    static const double usual_theta = 10000.0;
    static const char *const usual_type = "default";
    const json_value *scaling = json_get(root, "rope_scaling");
    const json_value *parameters = json_get(root, "rope_parameters");
    if (parameters && parameters->type == JSON_OBJECT)
        scaling = parameters;
    const json_value *theta_owner = json_get(parameters, "rope_theta") ? parameters : root;
    c2c_status status =
        json_get_real(theta_owner, "rope_theta", &usual_theta, &config->rope_theta, name, error);
    if (status)
        return status;
    if (!(config->rope_theta > 0 && config->rope_theta < 1e30))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: rope_theta: expected a positive number, found %g", name,
                         config->rope_theta);
    if (!scaling || scaling->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (scaling->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: rope_scaling: expected an object or null, found %s", name,
                         json_type_name(scaling->type));
    /* Older files say "type". */
    const char *key =
        json_get(scaling, "rope_type") || !json_get(scaling, "type") ? "rope_type" : "type";
    const char *type;
    if ((status = json_get_string(scaling, key, &usual_type, &type, name, error)))
        return status;
    if (strcmp(type, "default") != 0)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: RoPE scaling of type \"%s\" is not supported; supported: default",
                         name, type);
    return C2C_STATUS_OK;
}

/* Keys whose usual value means "nothing special". */
static c2c_status refuse_variants(const json_value *root, const char *name, c2c_error *error) {
    static const bool no = false;
    static const char *const silu = "silu";
    const char *activation;
    bool sliding;
    c2c_status status;
    if ((status = json_get_string(root, "hidden_act", &silu, &activation, name, error)) ||
        (status = json_get_bool(root, "use_sliding_window", &no, &sliding, name, error)))
        return status;
    if (strcmp(activation, silu) != 0)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: hidden_act \"%s\" is not supported; supported: silu", name,
                         activation);
    if (sliding)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: use_sliding_window: true is not supported; supported: false", name);
    const json_value *types = json_get(root, "layer_types");
    for (uint32_t i = 0; types && types->type == JSON_ARRAY && i < types->count; i++) {
        const json_value *type = &types->items[i];
        if (type->type != JSON_STRING || strcmp(type->string, "full_attention") != 0)
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "%s: layer_types[%u]: %s is not supported; supported: full_attention",
                             name, i,
                             type->type == JSON_STRING ? type->string : json_type_name(type->type));
    }
    if (json_get(root, "quantization_config"))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: quantization_config is not supported; use the f32, f16 or bf16 model",
                         name);
    return C2C_STATUS_OK;
}

static c2c_status add_eos(model_config *config, const json_value *id, const char *name,
                          c2c_error *error) {
    if (id->type != JSON_INTEGER || id->integer < 0 || id->integer > INT32_MAX)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: eos_token_id: expected a token id or a list of them, found %s", name,
                         id->type == JSON_INTEGER ? "a number out of range"
                                                  : json_type_name(id->type));
    if (config->eos_count == MODEL_MAX_EOS)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: eos_token_id: more than %d ids are not supported", name,
                         MODEL_MAX_EOS);
    config->eos_ids[config->eos_count++] = (int32_t)id->integer;
    return C2C_STATUS_OK;
}

/* Takes eos_token_id of a document if it has one. */
static c2c_status parse_eos(model_config *config, const json_document *document, c2c_error *error) {
    const json_value *eos = document ? json_get(json_root(document), "eos_token_id") : NULL;
    if (!eos || eos->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (eos->type != JSON_ARRAY)
        return add_eos(config, eos, json_name(document), error);
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < eos->count && !status; i++)
        status = add_eos(config, &eos->items[i], json_name(document), error);
    return status;
}

c2c_status model_config_parse(model_config *config, const json_document *document,
                              const json_document *generation, c2c_error *error) {
    static const bool no = false;
    static const double usual_epsilon = 1e-6;
    const json_value *root = json_root(document);
    const char *name = json_name(document);
    double epsilon;
    bool attention_bias = false;
    c2c_status status;
    *config = (model_config){0};
    if (root->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected an object, found %s", name,
                         json_type_name(root->type));
    if ((status = find_family(&config->family, root, name, error)) ||
        (status = parse_sizes(config, root, name, error)) ||
        (status = parse_rope(config, root, name, error)) ||
        (status = refuse_variants(root, name, error)) ||
        (status = json_get_real(root, "rms_norm_eps", &usual_epsilon, &epsilon, name, error)) ||
        (status = json_get_bool(root, "tie_word_embeddings", &no, &config->tied, name, error)))
        return status;
    if (!(epsilon >= 0 && epsilon < 1))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: rms_norm_eps: expected a number in [0, 1), found %g", name, epsilon);
    config->norm_epsilon = (float)epsilon;
    if (config->family->attention_bias_key &&
        (status = json_get_bool(root, "attention_bias", &no, &attention_bias, name, error)))
        return status;
    config->qkv_bias = config->family->qkv_bias || attention_bias;
    config->output_bias = attention_bias;
    if ((status = parse_eos(config, generation, error)))
        return status;
    return config->eos_count ? C2C_STATUS_OK : parse_eos(config, document, error);
}

c2c_status model_config_open(model_config *config, const char *folder, c2c_error *error) {
    *config = (model_config){0};
    json_document *document = NULL, *generation = NULL;
    char *path = path_join(folder, "config.json");
    char *generation_path = path_join(folder, "generation_config.json");
    c2c_status status;
    if (!path || !generation_path) {
        status = error_memory(error, strlen(folder) + 32, "a file name");
        goto done;
    }
    if (!folder_exists(folder)) {
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "%s: no such folder; expected a Hugging Face model folder with "
                           "config.json, model.safetensors and tokenizer.json",
                           folder);
        goto done;
    }
    if ((status = json_open(&document, path, error)))
        goto done;
    if (file_exists(generation_path) && (status = json_open(&generation, generation_path, error)))
        goto done;
    status = model_config_parse(config, document, generation, error);
done:
    json_close(document);
    json_close(generation);
    free(path);
    free(generation_path);
    return status;
}

bool model_config_is_eos(const model_config *config, int32_t id) {
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos_ids[i] == id)
            return true;
    return false;
}

int64_t model_cache_row_bytes(const model_config *config) {
    return (int64_t)config->layers * 2 * config->kv_heads * config->head_dim *
           (int64_t)sizeof(float);
}
