/* random_pair.c - models and a fuser of any size with random weights. */
#include "support/random_pair.h"

#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const random_model random_receiver = {"qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960};
const random_model random_sharer = {"qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768};

#define MOST_TENSORS 16 /* of a layer, and of the rest */

/* ---- Tensors ----------------------------------------------------------------------------------
 */

typedef struct tensor_list {
    named_tensor *items;
    size_t count;
    arena *names;
} tensor_list;

/* [rows, columns], or [rows] when columns is 0. */
static void add(tensor_list *list, int64_t rows, int64_t columns, const char *format, ...)
    C2C_PRINTF(4, 5);

static void add(tensor_list *list, int64_t rows, int64_t columns, const char *format, ...) {
    char name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    list->items[list->count++] = (named_tensor){.name = arena_copy(list->names, name, strlen(name)),
                                                .view = {.type = DTYPE_BF16,
                                                         .rank = columns ? 2 : 1,
                                                         .shape = {rows, columns}}};
}

static void add_layer(tensor_list *list, const random_model *m, int i) {
    int64_t queries = m->heads * m->head_dim, keys = m->kv_heads * m->head_dim;
    bool qwen2 = strcmp(m->family, "qwen2") == 0;
    static const char *const letters[] = {"q", "k", "v"};
    for (int j = 0; j < 3; j++) {
        int64_t rows = j ? keys : queries;
        add(list, rows, m->embedding, "model.layers.%d.self_attn.%s_proj.weight", i, letters[j]);
        if (qwen2)
            add(list, rows, 0, "model.layers.%d.self_attn.%s_proj.bias", i, letters[j]);
        else if (j < 2)
            add(list, m->head_dim, 0, "model.layers.%d.self_attn.%s_norm.weight", i, letters[j]);
    }
    add(list, m->embedding, queries, "model.layers.%d.self_attn.o_proj.weight", i);
    add(list, m->feed_forward, m->embedding, "model.layers.%d.mlp.gate_proj.weight", i);
    add(list, m->feed_forward, m->embedding, "model.layers.%d.mlp.up_proj.weight", i);
    add(list, m->embedding, m->feed_forward, "model.layers.%d.mlp.down_proj.weight", i);
    add(list, m->embedding, 0, "model.layers.%d.input_layernorm.weight", i);
    add(list, m->embedding, 0, "model.layers.%d.post_attention_layernorm.weight", i);
}

/* Norms are 1; the rest is uniform with a deviation of about 0.02, four numbers of 16 bits from
 * each step of splitmix64. */
static c2c_status make_tensor(void *user, size_t i, void *bytes, c2c_error *error) {
    (void)error;
    const tensor_list *list = user;
    uint16_t *to = bytes;
    int64_t elements = tensor_elements(&list->items[i].view);
    bool norm = strstr(list->items[i].name, "norm") != NULL;
    uint64_t state = (uint64_t)i << 40, bits = 0;
    for (int64_t j = 0; j < elements; j++, bits >>= 16) {
        if (j % 4 == 0) {
            bits = state += 0x9e3779b97f4a7c15u;
            bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
            bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
            bits ^= bits >> 31;
        }
        to[j] = bf16_from_f32(norm ? 1.0f : ((float)(bits & 0xffff) * 0x1p-16f - 0.5f) * 0.07f);
    }
    return C2C_STATUS_OK;
}

/* ---- Folders ----------------------------------------------------------------------------------
 */

static c2c_status write_config(const char *path, const random_model *m, c2c_error *error) {
    buffer text = {0};
    buffer_printf(
        &text,
        "{\"architectures\": [\"%s\"], \"model_type\": \"%s\", \"hidden_act\": \"silu\",\n"
        " \"hidden_size\": %lld, \"intermediate_size\": %lld,\n"
        " \"num_hidden_layers\": %lld, \"num_attention_heads\": %lld,\n"
        " \"num_key_value_heads\": %lld, \"head_dim\": %lld, \"vocab_size\": %lld,\n"
        " \"max_position_embeddings\": %lld, \"rope_theta\": 1000000.0,\n"
        " \"rms_norm_eps\": 1e-06, \"tie_word_embeddings\": true,\n"
        " \"use_sliding_window\": false, \"torch_dtype\": \"bfloat16\"}\n",
        strcmp(m->family, "qwen3") == 0 ? "Qwen3ForCausalLM" : "Qwen2ForCausalLM", m->family,
        (long long)m->embedding, (long long)m->feed_forward, (long long)m->layers,
        (long long)m->heads, (long long)m->kv_heads, (long long)m->head_dim,
        (long long)m->vocabulary, (long long)m->context);
    c2c_status status = text.failed ? error_memory(error, 0, path)
                                    : file_write(path, text.data, text.length, error);
    buffer_free(&text);
    return status;
}

static c2c_status copy_tokenizer(const char *from, const char *to, c2c_error *error) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja", "generation_config.json"};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && !status; i++) {
        char *source = path_join(from, names[i]), *copy = path_join(to, names[i]);
        file_map map = {0};
        if (!source || !copy)
            status = error_memory(error, strlen(from), "a path");
        else if (i == 0 || file_exists(source))
            status = file_map_open(&map, source, error);
        if (!status && map.data)
            status = file_write(copy, map.data, map.size, error);
        file_map_close(&map);
        free(source);
        free(copy);
    }
    return status;
}

static c2c_status make_folder(const char *path, c2c_error *error) {
    return mkdir(path, 0777) == 0
               ? C2C_STATUS_OK
               : error_set(error, C2C_STATUS_IO, "%s: cannot make this folder", path);
}

static c2c_status write_model(const char *folder, const random_model *m, const char *tokenizer,
                              c2c_error *error) {
    tensor_list list = {.names = arena_new(0)};
    list.items = calloc((size_t)(m->layers + 1) * MOST_TENSORS, sizeof *list.items);
    char *config = path_join(folder, "config.json"), *file = path_join(folder, "model.safetensors");
    c2c_status status;
    if (!list.items || !list.names || !config || !file) {
        status = error_memory(error, strlen(folder), "a model");
        goto done;
    }
    add(&list, m->vocabulary, m->embedding, "model.embed_tokens.weight");
    add(&list, m->embedding, 0, "model.norm.weight");
    for (int i = 0; i < m->layers; i++)
        add_layer(&list, m, i);
    const tensor_maker maker = {make_tensor, &list};
    if (!(status = make_folder(folder, error)) && !(status = write_config(config, m, error)) &&
        !(status = copy_tokenizer(tokenizer, folder, error)))
        status = tensor_file_write_made(file, list.items, list.count, &maker, error);
done:
    arena_free(list.names);
    free(list.items);
    free(config);
    free(file);
    return status;
}

/* ---- The fuser --------------------------------------------------------------------------------
 */

/* A new fuser's gates are closed, and nothing would be computed. Its tensors are in memory. */
static void open_gates(c2c_fuser *fuser) {
    for (int i = 0; i < fuser->projector_count; i++) {
        const tensor_file *tensors = fuser->projectors[i].tensors;
        for (size_t j = 0; j < tensor_file_count(tensors); j++) {
            const named_tensor *t = tensor_file_at(tensors, j);
            if (strstr(t->name, "gate_logit"))
                *(float *)(uintptr_t)t->view.data = 1;
        }
    }
}

static c2c_status write_fuser(const char *folder, const char *receiver, const char *sharer,
                              int64_t hidden, bool pure, c2c_error *error) {
    c2c_engine *engine = NULL;
    c2c_model *models[2] = {NULL};
    c2c_fuser *fuser = NULL;
    char recipe[256];
    /* Level 3 of the ablations is pure C2C. */
    snprintf(recipe, sizeof recipe,
             "{\"model\": {\"projector\": {\"type\": \"%s\", \"params\": {\"hidden_dim\": %lld, "
             "\"intermediate_dim\": %lld%s}}, \"mapping\": \"last_aligned\"}}",
             pure ? "AblationProjector" : "C2CProjector", (long long)hidden, (long long)hidden,
             pure ? ", \"ablation_level\": 3" : "");
    const c2c_recipe made = {.text = recipe, .seed = 1};
    const c2c_save_options bf16 = {.type = C2C_WEIGHT_BF16};
    c2c_status status = c2c_engine_open(&engine, NULL, error);
    if (!status && !(status = c2c_model_open(&models[0], engine, receiver, NULL, error)) &&
        !(status = c2c_model_open(&models[1], engine, sharer, NULL, error)) &&
        !(status = c2c_fuser_new(&fuser, models[0], models[1], &made, error))) {
        open_gates(fuser);
        status = c2c_fuser_save(fuser, folder, &bf16, error);
    }
    c2c_fuser_close(fuser);
    c2c_model_close(models[1]);
    c2c_model_close(models[0]);
    c2c_engine_close(engine);
    return status;
}

c2c_status random_pair_write(const char *out, const random_model *receiver,
                             const random_model *sharer, int64_t hidden, bool pure,
                             const char *tokenizer, c2c_error *error) {
    char *paths[] = {path_join(out, "receiver"), path_join(out, "sharer"), path_join(out, "fuser")};
    c2c_status status = paths[0] && paths[1] && paths[2]
                            ? make_folder(out, error)
                            : error_memory(error, strlen(out), "a path");
    if (!status && !(status = write_model(paths[0], receiver, tokenizer, error)) &&
        !(status = write_model(paths[1], sharer, tokenizer, error)))
        status = write_fuser(paths[2], paths[0], paths[1], hidden, pure, error);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        free(paths[i]);
    return status;
}
