/* decoder.c - the forward pass of a decoder-only transformer, as calls of ops on a batch of rows.
 * Knows neither prompts nor fusion: whoever calls says which cache rows a token sees. */
#include "model/model.h"

/* ---- Batches and scratch ------------------------------------------------------------------ */

static c2c_status alloc_i32(backend *b, int32_t **table, int64_t count, c2c_error *error) {
    void *memory;
    c2c_status status = backend_alloc(b, &memory, (size_t)count * sizeof **table, error);
    if (!status)
        *table = memory;
    return status;
}

c2c_status decoder_batch_init(decoder_batch *batch, backend *b, int64_t rows, int64_t sequences,
                              int64_t ranges, c2c_error *error) {
    *batch = (decoder_batch){.backend = b};
    void *memory;
    c2c_status status;
    if ((status = alloc_i32(b, &batch->ids, rows, error)) ||
        (status = alloc_i32(b, &batch->positions, rows, error)) ||
        (status = alloc_i32(b, &batch->index, rows, error)) ||
        (status = alloc_i32(b, &batch->q_start, sequences + 1, error)) ||
        (status = alloc_i32(b, &batch->range_start, sequences + 1, error)) ||
        (status = backend_alloc(b, &memory, (size_t)ranges * sizeof(cache_range), error))) {
        decoder_batch_deinit(batch);
        return status;
    }
    batch->ranges = memory;
    return C2C_STATUS_OK;
}

void decoder_batch_deinit(decoder_batch *batch) {
    if (!batch->backend)
        return;
    backend_release(batch->backend, batch->ids);
    backend_release(batch->backend, batch->positions);
    backend_release(batch->backend, batch->index);
    backend_release(batch->backend, batch->q_start);
    backend_release(batch->backend, batch->range_start);
    backend_release(batch->backend, batch->ranges);
    *batch = (decoder_batch){0};
}

c2c_status decoder_scratch_init(decoder_scratch *scratch, const c2c_model *model, int64_t rows,
                                c2c_error *error) {
    const model_config *c = &model->config;
    int64_t queries = (int64_t)c->heads * c->head_dim;
    int64_t keys = (int64_t)c->kv_heads * c->head_dim;
    *scratch = (decoder_scratch){.backend = model->backend};
    float **const parts[] = {&scratch->x,       &scratch->normed,    &scratch->q,    &scratch->k,
                             &scratch->v,       &scratch->attention, &scratch->gate, &scratch->up,
                             &scratch->rope[0], &scratch->rope[1]};
    const int64_t features[] = {c->embedding, c->embedding, queries,         keys,
                                keys,         queries,      c->feed_forward, c->feed_forward,
                                c->head_dim,  c->head_dim};
    size_t total = 0, part_bytes;
    void *memory;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0, at = 0; i < sizeof parts / sizeof *parts; i++, at += part_bytes) {
            if (!size_mul((size_t)features[i] * sizeof(float), (size_t)rows, &part_bytes))
                return error_memory(error, SIZE_MAX, "activations");
            part_bytes = (part_bytes + 63) / 64 * 64;
            if (pass == 1)
                *parts[i] = (float *)((char *)scratch->memory + at);
            else if (!size_add(total, part_bytes, &total))
                return error_memory(error, SIZE_MAX, "activations");
        }
        if (pass == 0) {
            c2c_status status = backend_alloc(model->backend, &memory, total, error);
            if (status)
                return status;
            scratch->memory = memory;
            scratch->bytes = total;
        }
    }
    return C2C_STATUS_OK;
}

void decoder_scratch_deinit(decoder_scratch *scratch) {
    if (scratch->backend)
        backend_release(scratch->backend, scratch->memory);
    *scratch = (decoder_scratch){0};
}

/* ---- One pass ----------------------------------------------------------------------------- */

/* y = x w^T + bias over contiguous rows. */
static void linear(const c2c_model *model, float *y, const float *x, weight w, weight bias,
                   int64_t rows, int64_t in, int64_t out) {
    op_linear(model->backend, &(linear_args){.y = &y,
                                             .x = &x,
                                             .w = &w.data,
                                             .b = bias.data ? &bias.data : NULL,
                                             .scale = w.scale ? &w.scale : NULL,
                                             .groups = 1,
                                             .w_type = w.type,
                                             .b_type = bias.type,
                                             .math = model->math,
                                             .rows = rows,
                                             .in = in,
                                             .out = out,
                                             .y_stride = out,
                                             .x_stride = in,
                                             .w_stride = in});
}

static void norm(const c2c_model *model, float *y, const float *x, weight w, int64_t rows,
                 int64_t features) {
    op_rmsnorm(model->backend, &(rmsnorm_args){.y = &y,
                                               .x = &x,
                                               .w = &w.data,
                                               .groups = 1,
                                               .w_type = w.type,
                                               .rows = rows,
                                               .features = features,
                                               .y_stride = features,
                                               .x_stride = features,
                                               .epsilon = model->config.norm_epsilon});
}

/* x += y */
static void add(const c2c_model *model, float *x, const float *y, int64_t rows, int64_t features) {
    const float *a = x;
    op_add(model->backend, &(add_args){.y = &x,
                                       .a = &a,
                                       .b = &y,
                                       .groups = 1,
                                       .rows = rows,
                                       .features = features,
                                       .y_stride = features,
                                       .a_stride = features,
                                       .b_stride = features});
}

/* x += norm(y), or x += y in families that have no norm there. */
static void add_residual(const c2c_model *model, float *x, float *y, weight out_norm,
                         int64_t rows) {
    int64_t features = model->config.embedding;
    if (out_norm.data)
        norm(model, y, y, out_norm, rows, features);
    add(model, x, y, rows, features);
}

/* Rotates `heads` heads of x in place by the positions of the pass. */
static void rotate(const c2c_model *model, const float *table, float *x, int64_t rows,
                   int64_t heads) {
    int64_t head_dim = model->config.head_dim;
    op_rope(model->backend, &(rope_args){.y = x,
                                         .x = x,
                                         .table = table,
                                         .rows = rows,
                                         .heads = heads,
                                         .head_dim = head_dim,
                                         .y_stride = heads * head_dim,
                                         .x_stride = heads * head_dim});
}

/* Rows of x become rows of a layer's keys or values. */
static void store(const c2c_model *model, const kv_cache *cache, void *pool, const float *x,
                  const decoder_batch *batch) {
    int64_t features = cache->features;
    op_scatter_rows(model->backend, &(scatter_rows_args){.y = pool,
                                                         .x = x,
                                                         .index = batch->index,
                                                         .rows = batch->rows,
                                                         .features = features,
                                                         .y_stride = features,
                                                         .x_stride = features,
                                                         .y_type = cache->type});
}

/* Keys (after key norm and RoPE) and values of the normalised rows go into the cache. */
static void write_cache(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                        const decoder_batch *batch, int i) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    int64_t n = batch->rows, keys = (int64_t)c->kv_heads * c->head_dim;
    linear(model, s->k, s->normed, w->k, w->k_bias, n, c->embedding, keys);
    linear(model, s->v, s->normed, w->v, w->v_bias, n, c->embedding, keys);
    if (w->k_norm.data)
        norm(model, s->k, s->k, w->k_norm, n * c->kv_heads, c->head_dim);
    rotate(model, s->rope[c->sliding[i]], s->k, n, c->kv_heads);
    store(model, cache, kv_cache_keys(cache, i, 0), s->k, batch);
    store(model, cache, kv_cache_values(cache, i, 0), s->v, batch);
}

/* x += o(attention(q)) */
static void attend(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                   const decoder_batch *batch, int i) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    int64_t n = batch->rows, queries = (int64_t)c->heads * c->head_dim;
    linear(model, s->q, s->normed, w->q, w->q_bias, n, c->embedding, queries);
    if (w->q_norm.data)
        norm(model, s->q, s->q, w->q_norm, n * c->heads, c->head_dim);
    rotate(model, s->rope[c->sliding[i]], s->q, n, c->heads);
    op_attention(model->backend, &(attention_args){.y = s->attention,
                                                   .q = s->q,
                                                   .k = kv_cache_keys(cache, i, 0),
                                                   .v = kv_cache_values(cache, i, 0),
                                                   .q_start = batch->q_start,
                                                   .range_start = batch->range_start,
                                                   .ranges = batch->ranges,
                                                   .positions = batch->positions,
                                                   .rows = n,
                                                   .sequences = batch->sequences,
                                                   .heads = c->heads,
                                                   .kv_heads = c->kv_heads,
                                                   .head_dim = c->head_dim,
                                                   .y_stride = queries,
                                                   .q_stride = queries,
                                                   .kv_stride = cache->features,
                                                   .window = c->sliding[i] ? c->window : 0,
                                                   .kv_type = cache->type,
                                                   .scale = c->query_scale});
    linear(model, s->normed, s->attention, w->o, w->o_bias, n, queries, c->embedding);
    add_residual(model, s->x, s->normed, w->attention_out_norm, n);
}

/* x += down(activation(gate(norm x)) * up(norm x)) */
static void feed_forward(const c2c_model *model, decoder_scratch *s, int64_t n, int i) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    norm(model, s->normed, s->x, w->mlp_norm, n, c->embedding);
    linear(model, s->gate, s->normed, w->gate, w->gate_bias, n, c->embedding, c->feed_forward);
    linear(model, s->up, s->normed, w->up, w->up_bias, n, c->embedding, c->feed_forward);
    op_activate(model->backend, &(activate_args){.y = &s->gate,
                                                 .x = (const float *const *)&s->gate,
                                                 .up = (const float *const *)&s->up,
                                                 .groups = 1,
                                                 .activation = c->activation,
                                                 .rows = n,
                                                 .features = c->feed_forward,
                                                 .y_stride = c->feed_forward,
                                                 .x_stride = c->feed_forward,
                                                 .up_stride = c->feed_forward});
    linear(model, s->normed, s->gate, w->down, w->down_bias, n, c->feed_forward, c->embedding);
    add_residual(model, s->x, s->normed, w->mlp_out_norm, n);
}

/* Cosines and sines of the batch's positions, for full and for sliding layers. */
static void make_rope_tables(const c2c_model *model, const decoder_scratch *s,
                             const decoder_batch *batch) {
    const model_config *c = &model->config;
    const rope_config *ropes[] = {&c->rope, &c->local_rope};
    for (int kind = 0; kind < 2; kind++)
        op_rope_table(model->backend,
                      &(rope_table_args){.table = s->rope[kind],
                                         .positions = batch->positions,
                                         .inverse_frequency =
                                             model->frequencies + kind * (c->head_dim / 2),
                                         .rows = batch->rows,
                                         .half = c->head_dim / 2,
                                         .scale = ropes[kind]->attention_factor});
}

void decoder_begin(const c2c_model *model, decoder_scratch *s, const decoder_batch *batch) {
    const model_config *c = &model->config;
    op_embed(model->backend, &(embed_args){.y = s->x,
                                           .table = model->embedding.data,
                                           .ids = batch->ids,
                                           .rows = batch->rows,
                                           .features = c->embedding,
                                           .table_type = model->embedding.type,
                                           .scale = c->embedding_scale});
    make_rope_tables(model, s, batch);
}

void decoder_layer(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                   const decoder_batch *batch, int i, bool write, bool stop) {
    norm(model, s->normed, s->x, model->layers[i].input_norm, batch->rows, model->config.embedding);
    if (write)
        write_cache(model, s, cache, batch, i);
    if (stop)
        return;
    attend(model, s, cache, batch, i);
    feed_forward(model, s, batch->rows, i);
}

void decoder_forward(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                     const decoder_batch *batch, int layers, decoder_goal goal) {
    decoder_begin(model, s, batch);
    for (int i = 0; i < layers; i++)
        decoder_layer(model, s, cache, batch, i, goal != DECODER_READ_ONLY,
                      goal == DECODER_CACHE && i == layers - 1);
}

void decoder_logits(const c2c_model *model, decoder_scratch *s, float *logits, int64_t first,
                    int64_t rows) {
    const model_config *c = &model->config;
    const weight none = {0};
    norm(model, s->normed, s->x + first * c->embedding, model->final_norm, rows, c->embedding);
    linear(model, logits, s->normed, model->head, none, rows, c->embedding, c->vocabulary);
}
