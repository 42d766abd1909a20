/* weights.c - finds a decoder's tensors by their Hugging Face names, checks their shapes, and
 * hands them to the backend in the dtype of the file. Only Gemma's norms are not used as they lie:
 * they multiply by 1 + weight, so that f32 sum is made once. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct binder {
    c2c_model *model;
    c2c_error *error;
    c2c_status status;   /* the first failure; later calls do nothing */
    int64_t norm_floats; /* of model->norm_memory that are in use */
} binder;

/* A required tensor of shape [rows, columns], or [rows] when columns is 0; NULL after a failure. */
static const named_tensor *find(binder *b, int64_t rows, int64_t columns, const char *name) {
    if (b->status)
        return NULL;
    const named_tensor *found = tensor_file_find(b->model->files, name);
    if (!found) {
        b->status =
            error_set(b->error, C2C_STATUS_BAD_FILE,
                      "%s: tensor %s is missing; a %s model needs it",
                      tensor_file_path(b->model->files), name, b->model->config.family->model_type);
        return NULL;
    }
    tensor wanted = {.rank = columns ? 2 : 1, .shape = {rows, columns}};
    const tensor *view = &found->view;
    if (view->rank == wanted.rank && view->shape[0] == rows &&
        (!columns || view->shape[1] == columns))
        return found;
    char expected[TENSOR_SHAPE_TEXT], got[TENSOR_SHAPE_TEXT];
    b->status =
        error_set(b->error, C2C_STATUS_BAD_FILE,
                  "%s: tensor %s: expected shape %s (from config.json), found %s", found->path,
                  name, tensor_shape_text(&wanted, expected), tensor_shape_text(view, got));
    return NULL;
}

static void refuse_type(binder *b, const named_tensor *found, const char *expected) {
    b->status = error_set(b->error, C2C_STATUS_BAD_FILE, "%s: tensor %s: expected %s, found %s",
                          found->path, found->name, expected, dtype_name(found->view.type));
}

/* Its bytes in backend memory. */
static const void *import(binder *b, const named_tensor *found) {
    const void *data = NULL;
    const tensor *view = &found->view;
    b->status = backend_import(b->model->backend, &data, view->data, tensor_bytes(view), b->error);
    b->model->weight_bytes += (int64_t)tensor_bytes(view);
    return data;
}

/* A tensor that is kept in a weight's dtype. */
static void bind(binder *b, weight *w, int64_t rows, int64_t columns, const char *format, ...)
    C2C_PRINTF(5, 6);

static void bind(binder *b, weight *w, int64_t rows, int64_t columns, const char *format, ...) {
    char name[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const named_tensor *found = find(b, rows, columns, name);
    if (!found)
        return;
    if (!dtype_is_weight(found->view.type)) {
        refuse_type(b, found, "f32, f16 or bf16");
        return;
    }
    *w = (weight){.data = import(b, found), .type = found->view.type, .source = &found->view};
    b->model->parameters += tensor_elements(&found->view);
}

/* One of the matrices that a folder may hold as 8-bit integers, with a scale for each row. */
static void bind_matrix(binder *b, weight *w, int64_t rows, int64_t columns, const char *prefix,
                        const char *name) {
    if (!b->model->config.int8) {
        bind(b, w, rows, columns, "%s%s", prefix, name);
        return;
    }
    char full[160], scale_name[176];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    snprintf(scale_name, sizeof scale_name, "%s" MODEL_INT8_SCALE, full);
    const named_tensor *found = find(b, rows, columns, full);
    const named_tensor *scale = find(b, rows, 0, scale_name);
    if (b->status)
        return;
    if (found->view.type != DTYPE_I8)
        refuse_type(b, found, "i8 (config.json says " MODEL_INT8_METHOD ")");
    else if (scale->view.type != DTYPE_F32)
        refuse_type(b, scale, "f32");
    if (b->status)
        return;
    *w = (weight){.data = import(b, found), .type = DTYPE_I8, .source = &found->view};
    if (!b->status)
        w->scale = import(b, scale);
    b->model->parameters += tensor_elements(&found->view);
}

/* A norm's weight of `features` elements; Gemma's plus 1, in norm_memory. */
static void bind_norm(binder *b, weight *w, int64_t features, const char *prefix,
                      const char *name) {
    weight file = {0};
    bind(b, &file, features, 0, "%s%s", prefix, name);
    if (b->status || !b->model->config.family->gemma) {
        *w = file;
        return;
    }
    float *sums = malloc((size_t)features * sizeof *sums);
    if (!sums) {
        b->status = error_memory(b->error, (size_t)features * sizeof *sums, "a norm");
        goto done;
    }
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const tensor *view = &tensor_file_find(b->model->files, full)->view;
    for (int64_t i = 0; i < features; i++)
        sums[i] = 1 + tensor_get_f32(view, i);
    float *memory = b->model->norm_memory + b->norm_floats;
    backend_upload(b->model->backend, memory, sums, (size_t)features * sizeof *sums);
    *w = (weight){.data = memory, .type = DTYPE_F32};
    b->norm_floats += features;
done:
    free(sums);
    backend_release_import(b->model->backend, file.data);
}

static c2c_status alloc_norms(c2c_model *model, c2c_error *error) {
    const model_config *c = &model->config;
    int64_t floats = c->layers * (4 * c->embedding + 2 * c->head_dim) + c->embedding;
    void *memory;
    c2c_status status =
        backend_alloc(model->backend, &memory, (size_t)floats * sizeof(float), error);
    if (!status)
        model->norm_memory = memory;
    return status;
}

static void bind_attention(binder *b, layer_weights *layer, const char *prefix) {
    const model_config *c = &b->model->config;
    int64_t queries = (int64_t)c->heads * c->head_dim;
    int64_t keys = (int64_t)c->kv_heads * c->head_dim;
    bind_matrix(b, &layer->q, queries, c->embedding, prefix, "self_attn.q_proj.weight");
    bind_matrix(b, &layer->k, keys, c->embedding, prefix, "self_attn.k_proj.weight");
    bind_matrix(b, &layer->v, keys, c->embedding, prefix, "self_attn.v_proj.weight");
    bind_matrix(b, &layer->o, c->embedding, queries, prefix, "self_attn.o_proj.weight");
    if (c->qkv_bias) {
        bind(b, &layer->q_bias, queries, 0, "%sself_attn.q_proj.bias", prefix);
        bind(b, &layer->k_bias, keys, 0, "%sself_attn.k_proj.bias", prefix);
        bind(b, &layer->v_bias, keys, 0, "%sself_attn.v_proj.bias", prefix);
    }
    if (c->output_bias)
        bind(b, &layer->o_bias, c->embedding, 0, "%sself_attn.o_proj.bias", prefix);
    if (c->family->qk_norm) {
        bind_norm(b, &layer->q_norm, c->head_dim, prefix, "self_attn.q_norm.weight");
        bind_norm(b, &layer->k_norm, c->head_dim, prefix, "self_attn.k_norm.weight");
    }
}

static void bind_mlp(binder *b, layer_weights *layer, const char *prefix) {
    const model_config *c = &b->model->config;
    bind_matrix(b, &layer->gate, c->feed_forward, c->embedding, prefix, "mlp.gate_proj.weight");
    bind_matrix(b, &layer->up, c->feed_forward, c->embedding, prefix, "mlp.up_proj.weight");
    bind_matrix(b, &layer->down, c->embedding, c->feed_forward, prefix, "mlp.down_proj.weight");
    if (c->mlp_bias) {
        bind(b, &layer->gate_bias, c->feed_forward, 0, "%smlp.gate_proj.bias", prefix);
        bind(b, &layer->up_bias, c->feed_forward, 0, "%smlp.up_proj.bias", prefix);
        bind(b, &layer->down_bias, c->embedding, 0, "%smlp.down_proj.bias", prefix);
    }
}

/* Gemma's names: post_attention_layernorm stands behind attention there, elsewhere before the MLP.
 */
static void bind_layer_norms(binder *b, layer_weights *layer, const char *prefix) {
    int64_t features = b->model->config.embedding;
    bool gemma = b->model->config.family->gemma;
    bind_norm(b, &layer->input_norm, features, prefix, "input_layernorm.weight");
    bind_norm(b, gemma ? &layer->attention_out_norm : &layer->mlp_norm, features, prefix,
              "post_attention_layernorm.weight");
    if (gemma) {
        bind_norm(b, &layer->mlp_norm, features, prefix, "pre_feedforward_layernorm.weight");
        bind_norm(b, &layer->mlp_out_norm, features, prefix, "post_feedforward_layernorm.weight");
    }
}

c2c_status model_weights_bind(c2c_model *model, c2c_error *error) {
    const model_config *c = &model->config;
    binder b = {.model = model, .error = error};
    model->layers = calloc((size_t)c->layers, sizeof *model->layers);
    if (!model->layers)
        return error_memory(error, (size_t)c->layers * sizeof *model->layers, "the layer table");
    /* First of all, as it shows whether the sizes of config.json are those of the file. */
    bind(&b, &model->embedding, c->vocabulary, c->embedding, "model.embed_tokens.weight");
    if (!b.status && c->family->gemma)
        b.status = alloc_norms(model, error);
    bind_norm(&b, &model->final_norm, c->embedding, "", "model.norm.weight");
    if (c->tied && !c->int8)
        model->head = model->embedding;
    else
        bind_matrix(&b, &model->head, c->vocabulary, c->embedding, "", "lm_head.weight");
    if (c->tied && c->int8 && !b.status) /* the embedding's numbers once more */
        model->parameters -= c->vocabulary * c->embedding;
    for (int i = 0; i < c->layers; i++) {
        layer_weights *layer = &model->layers[i];
        char prefix[48];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        bind_layer_norms(&b, layer, prefix);
        bind_attention(&b, layer, prefix);
        bind_mlp(&b, layer, prefix);
    }
    return b.status;
}

/* Gemma's norms lie in norm_memory. */
static void release_norm(const c2c_model *model, weight w) {
    if (!model->norm_memory)
        backend_release_import(model->backend, w.data);
}

/* Integers that were made lie in int8_memory; what they were made of was released then. */
static void release_matrix(const c2c_model *model, weight w) {
    if (w.type == DTYPE_I8 && model->int8_memory)
        return;
    backend_release(model->backend, (void *)w.panels);
    backend_release_import(model->backend, w.data);
    backend_release_import(model->backend, w.scale);
}

void model_weights_release(c2c_model *model) {
    if (!model->config.tied || model->config.int8)
        release_matrix(model, model->head);
    else
        backend_release(model->backend, (void *)model->head.panels);
    backend_release_import(model->backend, model->embedding.data);
    release_norm(model, model->final_norm);
    for (int i = 0; model->layers && i < model->config.layers; i++) {
        const layer_weights *l = &model->layers[i];
        const weight norms[] = {l->input_norm,   l->mlp_norm, l->attention_out_norm,
                                l->mlp_out_norm, l->q_norm,   l->k_norm};
        const weight rest[] = {l->q,      l->k,         l->v,       l->o,        l->q_bias,
                               l->k_bias, l->v_bias,    l->o_bias,  l->gate,     l->up,
                               l->down,   l->gate_bias, l->up_bias, l->down_bias};
        for (size_t j = 0; j < sizeof norms / sizeof *norms; j++)
            release_norm(model, norms[j]);
        for (size_t j = 0; j < sizeof rest / sizeof *rest; j++)
            release_matrix(model, rest[j]);
    }
    model_int8_release(model);
    backend_release(model->backend, model->norm_memory);
    model->norm_memory = NULL;
    free(model->layers);
    model->layers = NULL;
}
