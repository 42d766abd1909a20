/* config.c - the family table, and config.json and generation_config.json as a checked
 * model_config. A key that would change the numbers and is not computed here is refused. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

static const model_family families[] = {
    {.model_type = "qwen2",
     .activation_key = "hidden_act",
     .qkv_bias = true,
     .sliding = SLIDING_FLAG},
    {.model_type = "qwen3",
     .activation_key = "hidden_act",
     .qk_norm = true,
     .attention_bias_key = true,
     .sliding = SLIDING_FLAG,
     .default_head_dim = 128},
    {.model_type = "llama",
     .activation_key = "hidden_act",
     .attention_bias_key = true,
     .mlp_bias_key = true},
    {.model_type = "mistral", .activation_key = "hidden_act", .sliding = SLIDING_ALL},
    {.model_type = "gemma3_text",
     .activation_key = "hidden_activation",
     .qk_norm = true,
     .attention_bias_key = true,
     .tied = true,
     .gemma = true,
     .sliding = SLIDING_PATTERN,
     .default_head_dim = 256},
};

/* Bounds that keep every later product of sizes inside int64_t. */
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
    if ((status =
             get_size(root, "num_hidden_layers", NULL, MODEL_MAX_LAYERS, &layers, name, error)) ||
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

static c2c_status parse_activation(model_config *config, const json_value *root, const char *name,
                                   c2c_error *error) {
    const model_family *family = config->family;
    const char *usual = family->gemma ? "gelu_pytorch_tanh" : "silu", *text;
    c2c_status status = json_get_string(root, family->activation_key, &usual, &text, name, error);
    if (status)
        return status;
    if (strcmp(text, "silu") == 0)
        config->activation = ACTIVATION_SILU;
    else if (strcmp(text, "gelu_pytorch_tanh") == 0)
        config->activation = ACTIVATION_GELU_TANH;
    else
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s \"%s\" is not supported; supported: silu, gelu_pytorch_tanh", name,
                         family->activation_key, text);
    return C2C_STATUS_OK;
}

/* Keys of things that are not computed here, which must be absent, null or false. */
static c2c_status refuse_variants(const json_value *root, const char *name, c2c_error *error) {
    static const char *const keys[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_value *value = json_get(root, keys[i]);
        if (value && value->type != JSON_NULL)
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "%s: %s is not supported; use a model without it", name, keys[i]);
    }
    return C2C_STATUS_OK;
}

/* Integers that this program stored are the only ones it reads. */
static c2c_status parse_quantization(model_config *config, const json_value *root, const char *name,
                                     c2c_error *error) {
    const json_value *value = json_get(root, "quantization_config");
    if (!value || value->type == JSON_NULL)
        return C2C_STATUS_OK;
    const json_value *method = value->type == JSON_OBJECT ? json_get(value, "quant_method") : NULL;
    config->int8 =
        method && method->type == JSON_STRING && strcmp(method->string, MODEL_INT8_METHOD) == 0;
    if (config->int8)
        return C2C_STATUS_OK;
    return error_set(
        error, C2C_STATUS_UNSUPPORTED,
        "%s: quantization_config: expected quant_method \"" MODEL_INT8_METHOD
        "\", which c2c convert --weights int8 writes, found %s; use a model without it",
        name,
        !method                       ? "none"
        : method->type == JSON_STRING ? method->string
                                      : json_type_name(method->type));
}

/* ---- Sliding windows ---------------------------------------------------------------------- */

/* "layer_types" of transformers 5, one name per layer. */
static c2c_status parse_layer_types(model_config *config, const json_value *types, const char *name,
                                    c2c_error *error) {
    if (types->type != JSON_ARRAY || types->count != (uint32_t)config->layers)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: layer_types: expected a list of %d names (num_hidden_layers), found "
                         "%s of %u",
                         name, config->layers, json_type_name(types->type), types->count);
    for (uint32_t i = 0; i < types->count; i++) {
        const json_value *type = &types->items[i];
        const char *text = type->type == JSON_STRING ? type->string : json_type_name(type->type);
        config->sliding[i] = strcmp(text, "sliding_attention") == 0;
        if (!config->sliding[i] && strcmp(text, "full_attention") != 0)
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "%s: layer_types[%u]: %s is not supported; supported: full_attention, "
                             "sliding_attention",
                             name, i, text);
    }
    return C2C_STATUS_OK;
}

/* Which layers slide where the config does not say it layer by layer. */
static c2c_status parse_sliding_rule(model_config *config, const json_value *root, const char *name,
                                     c2c_error *error) {
    static const bool no = false;
    static const int64_t usual_pattern = 6, usual_first = 28;
    int64_t pattern = 1, first = 0;
    bool flag = true;
    c2c_status status = C2C_STATUS_OK;
    switch (config->family->sliding) {
    case SLIDING_NEVER: flag = false; break;
    case SLIDING_ALL: pattern = INT64_MAX; break;
    case SLIDING_FLAG:
        pattern = INT64_MAX;
        status = json_get_bool(root, "use_sliding_window", &no, &flag, name, error);
        if (!status && flag)
            status = json_get_integer(root, "max_window_layers", &usual_first, 0, INT32_MAX, &first,
                                      name, error);
        break;
    case SLIDING_PATTERN:
        status = json_get_integer(root, "sliding_window_pattern", &usual_pattern, 1, INT32_MAX,
                                  &pattern, name, error);
        break;
    }
    for (int i = 0; i < config->layers; i++)
        config->sliding[i] = flag && i >= first && (i + 1) % pattern != 0;
    return status;
}

static c2c_status parse_sliding(model_config *config, const json_value *root, const char *name,
                                c2c_error *error) {
    static const int64_t none = 0;
    const json_value *types = json_get(root, "layer_types");
    c2c_status status = types && types->type != JSON_NULL
                            ? parse_layer_types(config, types, name, error)
                            : parse_sliding_rule(config, root, name, error);
    if (status || (status = json_get_integer(root, "sliding_window", &none, 0, MAX_CONTEXT,
                                             &config->window, name, error)))
        return status;
    for (int i = 0; i < config->layers; i++) {
        if (!config->sliding[i] || config->window)
            continue;
        if (config->family->sliding != SLIDING_ALL)
            return error_set(error, C2C_STATUS_BAD_FILE,
                             "%s: layer %d has sliding attention, but sliding_window is missing",
                             name, i);
        config->sliding[i] = false; /* null means no window */
    }
    return C2C_STATUS_OK;
}

/* ---- Scales and biases -------------------------------------------------------------------- */

static c2c_status parse_scales(model_config *config, const json_value *root, const char *name,
                               c2c_error *error) {
    static const double usual_epsilon = 1e-6, usual_scalar = 256;
    double epsilon, scalar = config->head_dim;
    c2c_status status = json_get_real(root, "rms_norm_eps", &usual_epsilon, &epsilon, name, error);
    if (!status && config->family->gemma)
        status = json_get_real(root, "query_pre_attn_scalar", &usual_scalar, &scalar, name, error);
    if (status)
        return status;
    if (!(epsilon >= 0 && epsilon < 1) || !(scalar > 0 && scalar < 1e9))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected rms_norm_eps in [0, 1) and query_pre_attn_scalar above 0, "
                         "found %g and %g",
                         name, epsilon, scalar);
    config->norm_epsilon = (float)epsilon;
    config->query_scale = (float)(1 / sqrt(scalar));
    config->embedding_scale = config->family->gemma ? (float)sqrt((double)config->embedding) : 1;
    return C2C_STATUS_OK;
}

static c2c_status parse_biases(model_config *config, const json_value *root, const char *name,
                               c2c_error *error) {
    static const bool no = false;
    const model_family *family = config->family;
    bool attention = false;
    c2c_status status = C2C_STATUS_OK;
    if (family->attention_bias_key)
        status = json_get_bool(root, "attention_bias", &no, &attention, name, error);
    if (!status && family->mlp_bias_key)
        status = json_get_bool(root, "mlp_bias", &no, &config->mlp_bias, name, error);
    config->qkv_bias = family->qkv_bias || attention;
    config->output_bias = attention;
    return status;
}

/* ---- End-of-sequence ids ------------------------------------------------------------------ */

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
    const json_value *root = json_root(document);
    const char *name = json_name(document);
    c2c_status status;
    *config = (model_config){0};
    if (root->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected an object, found %s", name,
                         json_type_name(root->type));
    if ((status = find_family(&config->family, root, name, error)) ||
        (status = parse_sizes(config, root, name, error)) ||
        (status = parse_activation(config, root, name, error)) ||
        (status = refuse_variants(root, name, error)) ||
        (status = parse_quantization(config, root, name, error)) ||
        (status = parse_sliding(config, root, name, error)) ||
        (status = rope_config_parse(&config->rope, &config->local_rope, root, config->family,
                                    config->context, name, error)) ||
        (status = parse_scales(config, root, name, error)) ||
        (status = parse_biases(config, root, name, error)) ||
        (status = json_get_bool(root, "tie_word_embeddings", &config->family->tied, &config->tied,
                                name, error)))
        return status;
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

int64_t model_cache_row_bytes(const model_config *config, dtype type) {
    return (int64_t)config->layers * 2 * config->kv_heads * config->head_dim *
           (int64_t)dtype_size(type);
}
