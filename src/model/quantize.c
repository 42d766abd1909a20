/* quantize.c - a model's matrices as 8-bit integers, made when it is opened: one scale for each row
 * of a matrix (an output). Norms, biases and the embedding stay as they are in the file; a head
 * that is the embedding gets integers of its own. The pages of a matrix that was read are given
 * back layer by layer, so that memory never holds both forms of the whole model. */
#include "model/model.h"

#include <stdlib.h>

#define ALIGNED(bytes) (((bytes) + 63) / 64 * 64)

static size_t place_bytes(const model_matrix *p) {
    /* Both factors were checked with the file's tensors, which are larger. */
    return ALIGNED((size_t)(p->rows * p->columns)) + ALIGNED((size_t)p->rows * sizeof(float));
}

static void quantize_matrix(c2c_model *model, const model_matrix *p, char *memory) {
    int8_t *integers = (int8_t *)memory;
    float *scale = (float *)(void *)(memory + ALIGNED((size_t)(p->rows * p->columns)));
    op_quantize(model->backend, &(quantize_args){.y = integers,
                                                 .scale = scale,
                                                 .x = p->w->data,
                                                 .rows = p->rows,
                                                 .features = p->columns,
                                                 .x_stride = p->columns,
                                                 .x_type = p->w->type});
    model->weight_bytes += p->rows * p->columns + p->rows * (int64_t)sizeof(float);
    *p->w = (weight){.data = integers, .type = DTYPE_I8, .scale = scale, .source = p->w->source};
}

/* Matrices whose bytes lie in one piece of new memory, *block. `release`: nobody else uses them. */
static c2c_status quantize_places(c2c_model *model, const model_matrix *places, int count,
                                  void **block, bool release, c2c_error *error) {
    size_t total = 0;
    const void *old[MODEL_LAYER_MATRICES];
    for (int i = 0; i < count; i++)
        total += place_bytes(&places[i]);
    c2c_status status = backend_alloc_whole(model->backend, block, total, error);
    if (status)
        return status;
    char *at = *block;
    for (int i = 0; i < count; i++) {
        old[i] = places[i].w->data;
        quantize_matrix(model, &places[i], at);
        at += place_bytes(&places[i]);
    }
    backend_sync(model->backend); /* the originals were read */
    for (int i = 0; i < count; i++) {
        const tensor *source = places[i].w->source;
        if (release) {
            backend_release_import(model->backend, old[i]);
            model->weight_bytes -= (int64_t)tensor_bytes(source);
        }
        system_pages_unneeded(source->data, tensor_bytes(source));
    }
    return C2C_STATUS_OK;
}

void model_layer_matrices(c2c_model *model, int layer,
                          model_matrix matrices[MODEL_LAYER_MATRICES]) {
    const model_config *c = &model->config;
    layer_weights *w = &model->layers[layer];
    int64_t queries = (int64_t)c->heads * c->head_dim, keys = (int64_t)c->kv_heads * c->head_dim;
    const model_matrix all[MODEL_LAYER_MATRICES] = {{&w->q, queries, c->embedding},
                                                    {&w->k, keys, c->embedding},
                                                    {&w->v, keys, c->embedding},
                                                    {&w->o, c->embedding, queries},
                                                    {&w->gate, c->feed_forward, c->embedding},
                                                    {&w->up, c->feed_forward, c->embedding},
                                                    {&w->down, c->embedding, c->feed_forward}};
    memcpy(matrices, all, sizeof all);
}

model_matrix model_head_matrix(c2c_model *model) {
    return (model_matrix){&model->head, model->config.vocabulary, model->config.embedding};
}

static c2c_status quantize_layer(c2c_model *model, int i, c2c_error *error) {
    model_matrix places[MODEL_LAYER_MATRICES];
    model_layer_matrices(model, i, places);
    return quantize_places(model, places, MODEL_LAYER_MATRICES, &model->int8_memory[i], true,
                           error);
}

c2c_status model_weights_quantize(c2c_model *model, c2c_error *error) {
    const model_config *c = &model->config;
    size_t blocks = (size_t)c->layers + 1;
    model->int8_memory = calloc(blocks, sizeof *model->int8_memory);
    if (!model->int8_memory)
        return error_memory(error, blocks * sizeof *model->int8_memory, "a model");
    c2c_status status = C2C_STATUS_OK;
    for (int i = 0; i < c->layers && !status; i++)
        status = quantize_layer(model, i, error);
    model_matrix head = model_head_matrix(model);
    if (!status)
        status = quantize_places(model, &head, 1, &model->int8_memory[c->layers], !c->tied, error);
    return status;
}

void model_int8_release(c2c_model *model) {
    for (int i = 0; model->int8_memory && i <= model->config.layers; i++)
        backend_release(model->backend, model->int8_memory[i]);
    free(model->int8_memory);
    model->int8_memory = NULL;
}
