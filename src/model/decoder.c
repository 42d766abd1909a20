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

/* Rows that are multiplied, next to each other, and what is done to them first. */
typedef struct product_rows {
    const float *x;
    int64_t rows, in;
    linear_prepare prepare;
    weight norm;     /* of LINEAR_PREPARE_NORM */
    const float *up; /* of LINEAR_PREPARE_ACTIVATE */
    float *prepared;
} product_rows;

/* y (= or +=) rows w^T + bias */
typedef struct product {
    float *y;
    weight w, bias;
    int64_t out;
    bool accumulate;
} product;

#define MOST_PRODUCTS 3

/* Whether two products may stand in one call: numbers of one type, and panels of both or none. */
static bool same_types(const product *a, const product *b) {
    return a->w.type == b->w.type && a->accumulate == b->accumulate &&
           !a->w.panels == !b->w.panels &&
           (!a->bias.data || !b->bias.data || a->bias.type == b->bias.type);
}

/* Products of the same rows, in one call where files keep all of their weights as one type. */
static void multiply(const c2c_model *model, const product_rows *rows, const product *products,
                     int count) {
    float *y[MOST_PRODUCTS], *prepared[MOST_PRODUCTS];
    const float *x[MOST_PRODUCTS], *up[MOST_PRODUCTS], *scale[MOST_PRODUCTS];
    const void *w[MOST_PRODUCTS], *bias[MOST_PRODUCTS], *norm[MOST_PRODUCTS];
    const uint16_t *panels[MOST_PRODUCTS];
    linear_args args = {.y = y,
                        .x = x,
                        .w = w,
                        .scale = products->w.scale ? scale : NULL,
                        .norm = norm,
                        .up = rows->up ? up : NULL,
                        .prepared = prepared,
                        .panels = products->w.panels ? panels : NULL,
                        .w_type = products->w.type,
                        .norm_type = rows->norm.type,
                        .math = model->math,
                        .prepare = rows->prepare,
                        .activation = model->config.activation,
                        .epsilon = model->config.norm_epsilon,
                        .rows = rows->rows,
                        .in = rows->in,
                        .x_stride = rows->in,
                        .w_stride = rows->in,
                        .accumulate = products->accumulate};
    int n = 0;
    if (count == 0)
        return;
    for (; n < count && same_types(products, &products[n]); n++) {
        const product *p = &products[n];
        y[n] = p->y, x[n] = rows->x, w[n] = p->w.data, scale[n] = p->w.scale;
        norm[n] = rows->norm.data, up[n] = rows->up, prepared[n] = rows->prepared;
        bias[n] = p->bias.data, panels[n] = p->w.panels;
        args.outs[n] = p->out;
        if (p->bias.data) {
            args.b = bias;
            args.b_type = p->bias.type;
        }
    }
    args.groups = n;
    op_linear(model->backend, &args);
    if (n < count)
        multiply(model, rows, products + n, count - n);
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

/* x += product of the rows; or x += norm(product) in families that have a norm there, with room for
 * the product in y. */
static void add_product(const c2c_model *model, float *x, float *y, const product_rows *rows,
                        product p, weight out_norm) {
    const float *a = x, *b = y;
    p.accumulate = !out_norm.data;
    p.y = p.accumulate ? x : y;
    multiply(model, rows, &p, 1);
    if (p.accumulate)
        return;
    norm(model, y, y, out_norm, rows->rows, p.out);
    op_add(model->backend, &(add_args){.y = &x,
                                       .a = &a,
                                       .b = &b,
                                       .groups = 1,
                                       .rows = rows->rows,
                                       .features = p.out,
                                       .y_stride = p.out,
                                       .a_stride = p.out,
                                       .b_stride = p.out});
}

/* Queries, keys and values of the pass's rows, as far as they are wanted. */
static void project(const c2c_model *model, decoder_scratch *s, int64_t n, int i, bool queries,
                    bool keys) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    int64_t query_features = (int64_t)c->heads * c->head_dim;
    int64_t key_features = (int64_t)c->kv_heads * c->head_dim;
    product products[MOST_PRODUCTS];
    int count = 0;
    if (queries)
        products[count++] = (product){s->q, w->q, w->q_bias, query_features, false};
    if (keys) {
        products[count++] = (product){s->k, w->k, w->k_bias, key_features, false};
        products[count++] = (product){s->v, w->v, w->v_bias, key_features, false};
    }
    multiply(model,
             &(product_rows){.x = s->x,
                             .rows = n,
                             .in = c->embedding,
                             .prepare = LINEAR_PREPARE_NORM,
                             .norm = w->input_norm,
                             .prepared = s->normed},
             products, count);
}

/* Norm and RoPE of queries and keys; keys and values go into the cache. */
static void place_heads(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                        const decoder_batch *batch, int i, bool queries, bool keys) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    op_rope_store(model->backend,
                  &(rope_store_args){.q = queries ? s->q : NULL,
                                     .k = keys ? s->k : NULL,
                                     .v = keys ? s->v : NULL,
                                     .keys = keys ? kv_cache_keys(cache, i, 0) : NULL,
                                     .values = keys ? kv_cache_values(cache, i, 0) : NULL,
                                     .index = batch->index,
                                     .table = s->rope[c->sliding[i]],
                                     .q_norm = w->q_norm.data,
                                     .k_norm = w->k_norm.data,
                                     .rows = batch->rows,
                                     .heads = c->heads,
                                     .kv_heads = c->kv_heads,
                                     .head_dim = c->head_dim,
                                     .kv_stride = cache->features,
                                     .q_norm_type = w->q_norm.type,
                                     .k_norm_type = w->k_norm.type,
                                     .kv_type = cache->type,
                                     .epsilon = c->norm_epsilon});
}

/* x += o(attention(q)) */
static void attend(const c2c_model *model, decoder_scratch *s, const kv_cache *cache,
                   const decoder_batch *batch, int i) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    int64_t n = batch->rows, queries = (int64_t)c->heads * c->head_dim;
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
                                                   .math = model->math,
                                                   .scale = c->query_scale});
    const product_rows attended = {.x = s->attention, .rows = n, .in = queries};
    const product output = {.w = w->o, .bias = w->o_bias, .out = c->embedding};
    add_product(model, s->x, s->normed, &attended, output, w->attention_out_norm);
}

/* x += down(activation(gate(norm x)) * up(norm x)) */
static void feed_forward(const c2c_model *model, decoder_scratch *s, int64_t n, int i) {
    const model_config *c = &model->config;
    const layer_weights *w = &model->layers[i];
    const product products[] = {{s->gate, w->gate, w->gate_bias, c->feed_forward, false},
                                {s->up, w->up, w->up_bias, c->feed_forward, false}};
    multiply(model,
             &(product_rows){.x = s->x,
                             .rows = n,
                             .in = c->embedding,
                             .prepare = LINEAR_PREPARE_NORM,
                             .norm = w->mlp_norm,
                             .prepared = s->normed},
             products, 2);
    const product_rows gated = {.x = s->gate,
                                .rows = n,
                                .in = c->feed_forward,
                                .prepare = LINEAR_PREPARE_ACTIVATE,
                                .up = s->up,
                                .prepared = s->gate};
    const product down = {.w = w->down, .bias = w->down_bias, .out = c->embedding};
    add_product(model, s->x, s->normed, &gated, down, w->mlp_out_norm);
}

/* Whether some layer attends within a window, or some without. */
static bool has_layers(const model_config *c, bool sliding) {
    for (int i = 0; i < c->layers; i++)
        if (c->sliding[i] == sliding)
            return true;
    return false;
}

/* Cosines and sines of the batch's positions, for full and for sliding layers. */
static void make_rope_tables(const c2c_model *model, const decoder_scratch *s,
                             const decoder_batch *batch) {
    const model_config *c = &model->config;
    const rope_config *ropes[] = {&c->rope, &c->local_rope};
    for (int kind = 0; kind < 2; kind++)
        if (has_layers(c, kind))
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
    project(model, s, batch->rows, i, !stop, write);
    place_heads(model, s, cache, batch, i, !stop, write);
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
    const product head = {.y = logits, .w = model->head, .out = c->vocabulary};
    multiply(model,
             &(product_rows){.x = s->x + first * c->embedding,
                             .rows = rows,
                             .in = c->embedding,
                             .prepare = LINEAR_PREPARE_NORM,
                             .norm = model->final_norm,
                             .prepared = s->normed},
             &head, 1);
}
