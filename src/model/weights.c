/* weights.c - finds a decoder's tensors by their Hugging Face names, checks their shapes, and
 * hands them to the backend in the dtype of the file. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct binder {
    c2c_model *model;
    c2c_error *error;
    c2c_status status; /* the first failure; later calls do nothing */
} binder;

/* A required tensor of shape [rows, columns], or [rows] when columns is 0. */
static void bind(binder *b, weight *w, int64_t rows, int64_t columns, const char *format, ...)
    C2C_PRINTF(5, 6);

static void bind(binder *b, weight *w, int64_t rows, int64_t columns, const char *format, ...) {
    if (b->status)
        return;
    char name[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const named_tensor *found = tensor_file_find(b->model->files, name);
    if (!found) {
        b->status =
            error_set(b->error, C2C_STATUS_BAD_FILE,
                      "%s: tensor %s is missing; a %s model needs it",
                      tensor_file_path(b->model->files), name, b->model->config.family->model_type);
        return;
    }
    tensor wanted = {.rank = columns ? 2 : 1, .shape = {rows, columns}};
    const tensor *view = &found->view;
    if (view->rank != wanted.rank || view->shape[0] != rows ||
        (columns && view->shape[1] != columns)) {
        char expected[TENSOR_SHAPE_TEXT], got[TENSOR_SHAPE_TEXT];
        b->status =
            error_set(b->error, C2C_STATUS_BAD_FILE,
                      "%s: tensor %s: expected shape %s (from config.json), found %s", found->path,
                      name, tensor_shape_text(&wanted, expected), tensor_shape_text(view, got));
        return;
    }
    if (!dtype_is_weight(view->type)) {
        b->status = error_set(b->error, C2C_STATUS_BAD_FILE,
                              "%s: tensor %s: expected f32, f16 or bf16, found %s", found->path,
                              name, dtype_name(view->type));
        return;
    }
    b->status =
        backend_import(b->model->backend, &w->data, view->data, tensor_bytes(view), b->error);
    w->type = view->type;
    b->model->parameters += tensor_elements(view);
    b->model->weight_bytes += (int64_t)tensor_bytes(view);
}

static void bind_attention(binder *b, layer_weights *layer, const char *prefix) {
    const model_config *c = &b->model->config;
    int64_t queries = (int64_t)c->heads * c->head_dim;
    int64_t keys = (int64_t)c->kv_heads * c->head_dim;
    bind(b, &layer->q, queries, c->embedding, "%sself_attn.q_proj.weight", prefix);
    bind(b, &layer->k, keys, c->embedding, "%sself_attn.k_proj.weight", prefix);
    bind(b, &layer->v, keys, c->embedding, "%sself_attn.v_proj.weight", prefix);
    bind(b, &layer->o, c->embedding, queries, "%sself_attn.o_proj.weight", prefix);
    if (c->qkv_bias) {
        bind(b, &layer->q_bias, queries, 0, "%sself_attn.q_proj.bias", prefix);
        bind(b, &layer->k_bias, keys, 0, "%sself_attn.k_proj.bias", prefix);
        bind(b, &layer->v_bias, keys, 0, "%sself_attn.v_proj.bias", prefix);
    }
    if (c->output_bias)
        bind(b, &layer->o_bias, c->embedding, 0, "%sself_attn.o_proj.bias", prefix);
    if (c->family->qk_norm) {
        bind(b, &layer->q_norm, c->head_dim, 0, "%sself_attn.q_norm.weight", prefix);
        bind(b, &layer->k_norm, c->head_dim, 0, "%sself_attn.k_norm.weight", prefix);
    }
}

c2c_status model_weights_bind(c2c_model *model, c2c_error *error) {
    const model_config *c = &model->config;
    binder b = {.model = model, .error = error};
    model->layers = calloc((size_t)c->layers, sizeof *model->layers);
    if (!model->layers)
        return error_memory(error, (size_t)c->layers * sizeof *model->layers, "the layer table");
    bind(&b, &model->embedding, c->vocabulary, c->embedding, "model.embed_tokens.weight");
    bind(&b, &model->final_norm, c->embedding, 0, "model.norm.weight");
    if (c->tied)
        model->head = model->embedding;
    else
        bind(&b, &model->head, c->vocabulary, c->embedding, "lm_head.weight");
    for (int i = 0; i < c->layers; i++) {
        layer_weights *layer = &model->layers[i];
        char prefix[48];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        bind(&b, &layer->input_norm, c->embedding, 0, "%sinput_layernorm.weight", prefix);
        bind_attention(&b, layer, prefix);
        bind(&b, &layer->post_norm, c->embedding, 0, "%spost_attention_layernorm.weight", prefix);
        bind(&b, &layer->gate, c->feed_forward, c->embedding, "%smlp.gate_proj.weight", prefix);
        bind(&b, &layer->up, c->feed_forward, c->embedding, "%smlp.up_proj.weight", prefix);
        bind(&b, &layer->down, c->embedding, c->feed_forward, "%smlp.down_proj.weight", prefix);
    }
    return b.status;
}

void model_weights_release(c2c_model *model) {
    if (!model->config.tied)
        backend_release_import(model->backend, model->head.data);
    backend_release_import(model->backend, model->embedding.data);
    backend_release_import(model->backend, model->final_norm.data);
    for (int i = 0; model->layers && i < model->config.layers; i++) {
        const layer_weights *l = &model->layers[i];
        const weight all[] = {l->input_norm, l->post_norm, l->q,      l->k,      l->v,
                              l->o,          l->q_bias,    l->k_bias, l->v_bias, l->o_bias,
                              l->q_norm,     l->k_norm,    l->gate,   l->up,     l->down};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            backend_release_import(model->backend, all[j].data);
    }
    free(model->layers);
    model->layers = NULL;
}
