/* cache.c - the KV row pool of one model. */
#include "model/model.h"

dtype model_cache_type(const c2c_model *model) {
    return model->math == LINEAR_BF16 ? DTYPE_BF16 : DTYPE_F32;
}

c2c_status kv_cache_init(kv_cache *cache, backend *b, const model_config *config, dtype type,
                         int64_t rows, c2c_error *error) {
    C2C_ASSERT(type == DTYPE_F32 || type == DTYPE_BF16);
    *cache = (kv_cache){
        .backend = b,
        .layers = config->layers,
        .type = type,
        .rows = rows,
        .features = (int64_t)config->kv_heads * config->head_dim,
    };
    size_t bytes;
    if (!size_mul((size_t)rows, (size_t)model_cache_row_bytes(config, type), &bytes))
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY, "a cache of %lld tokens is too large",
                         (long long)rows);
    void *memory;
    c2c_status status = backend_alloc(b, &memory, bytes, error);
    if (!status)
        cache->memory = memory;
    return status;
}

void kv_cache_deinit(kv_cache *cache) {
    if (cache->backend)
        backend_release(cache->backend, cache->memory);
    *cache = (kv_cache){0};
}

kv_cache kv_cache_view(const kv_cache *cache, int64_t first) {
    kv_cache view = *cache;
    /* Layers lie as far apart as before, so row 0 of each is row `first` of the pool's. */
    view.memory = kv_cache_keys(cache, 0, first);
    return view;
}

void kv_cache_copy(const kv_cache *to, int64_t to_row, const kv_cache *from, int64_t from_row,
                   int64_t rows) {
    C2C_ASSERT(to->layers == from->layers && to->features == from->features);
    for (int layer = 0; layer < to->layers; layer++) {
        void *const into[] = {kv_cache_keys(to, layer, to_row), kv_cache_values(to, layer, to_row)};
        const void *const out_of[] = {kv_cache_keys(from, layer, from_row),
                                      kv_cache_values(from, layer, from_row)};
        op_copy_rows(to->backend, &(copy_rows_args){.y = into,
                                                    .x = out_of,
                                                    .groups = 2,
                                                    .rows = rows,
                                                    .features = to->features,
                                                    .y_stride = to->features,
                                                    .x_stride = from->features,
                                                    .y_type = to->type,
                                                    .x_type = from->type});
    }
}
