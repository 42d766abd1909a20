/* lone_fuser.c - a fuser put together by hand around models that are nothing but sizes. */
#include "support/lone_fuser.h"

#include <stdlib.h>

static char no_folder[] = "";

static c2c_status open_projectors(lone_fuser *f, const char *folder, c2c_error *error) {
    c2c_fuser *fuser = &f->fuser;
    for (int i = 0; i < fuser->projector_count; i++) {
        c2c_status status = projector_open(&fuser->projectors[i], f->backend, folder, i, error);
        if (status)
            return status;
        fuser->map.links[i] = (layer_link){.sharer_layer = i, .projector = i};
        status = backend_reserve(f->backend, (size_t)fuser->projectors[i].longest_row, error);
        if (status)
            return status;
    }
    const projector_spec *spec = &fuser->projectors[0].spec;
    f->receiver.config.kv_heads = spec->receiver_heads;
    f->receiver.config.head_dim = spec->receiver_dim;
    f->sharer.config.kv_heads = spec->sharer_heads;
    f->sharer.config.head_dim = spec->sharer_dim;
    return C2C_STATUS_OK;
}

c2c_status lone_fuser_open(lone_fuser *f, backend *b, const char *folder, int layers,
                           c2c_error *error) {
    *f = (lone_fuser){.backend = b};
    f->receiver.config.layers = f->sharer.config.layers = layers;
    c2c_fuser *fuser = &f->fuser;
    fuser->backend = b;
    fuser->folder = no_folder;
    fuser->receiver = &f->receiver;
    fuser->sharer = &f->sharer;
    fuser->projector_count = fuser->map.layers = fuser->map.projectors = layers;
    fuser->projectors = calloc((size_t)layers, sizeof *fuser->projectors);
    fuser->map.links = calloc((size_t)layers, sizeof *fuser->map.links);
    C2C_ASSERT(fuser->projectors && fuser->map.links);
    c2c_status status = open_projectors(f, folder, error);
    if (!status)
        status = fuser_stacks_build(fuser, error);
    if (!status)
        status = fuse_scratch_init(&f->scratch, fuser, true, false, error);
    if (status)
        lone_fuser_close(f);
    return status;
}

void lone_fuser_close(lone_fuser *f) {
    backend_sync(f->backend);
    fuse_scratch_deinit(&f->scratch);
    fuser_stacks_free(&f->fuser);
    for (int i = 0; i < f->fuser.projector_count; i++)
        projector_close(&f->fuser.projectors[i], f->backend);
    free(f->fuser.projectors);
    layer_map_deinit(&f->fuser.map);
    *f = (lone_fuser){0};
}

int64_t lone_fuser_receiver_features(const lone_fuser *f) {
    return (int64_t)f->receiver.config.kv_heads * f->receiver.config.head_dim;
}

int64_t lone_fuser_sharer_features(const lone_fuser *f) {
    return (int64_t)f->sharer.config.kv_heads * f->sharer.config.head_dim;
}

/* A cache of exactly these rows. */
static kv_cache make_cache(lone_fuser *f, const model_config *config, int64_t rows,
                           const float *host) {
    kv_cache cache;
    c2c_error error = {0};
    C2C_ASSERT(kv_cache_init(&cache, f->backend, config, DTYPE_F32, rows, &error) == C2C_STATUS_OK);
    backend_upload(f->backend, cache.memory, host,
                   (size_t)(2 * cache.layers * rows * cache.features) * sizeof *host);
    return cache;
}

static void accumulate_blocks(lone_fuser *f, const fuse_rows *rows) {
    fuser_survey(&f->fuser, &f->scratch, rows);
    for (int64_t done = 0; done < rows->count; done += FUSE_BLOCK_ROWS) {
        fuse_rows block = *rows;
        block.count = min_i64(FUSE_BLOCK_ROWS, rows->count - done);
        block.out_row = block.receiver_row = block.sharer_row = block.first = done;
        fuser_accumulate(&f->fuser, &f->scratch, &block);
    }
}

void lone_fuser_run(lone_fuser *f, int64_t rows, const float *sharer, const float *receiver,
                    float *out, bool accumulate) {
    kv_cache from = make_cache(f, &f->sharer.config, rows, sharer);
    kv_cache into = make_cache(f, &f->receiver.config, rows, receiver);
    kv_cache clean = make_cache(f, &f->receiver.config, rows, receiver);
    const fuse_rows all = {.out = &into,
                           .receiver = accumulate ? &clean : &into,
                           .sharer = &from,
                           .count = rows,
                           .section = rows};
    if (accumulate)
        accumulate_blocks(f, &all);
    else
        fuser_apply(&f->fuser, &f->scratch, &all);
    backend_download(f->backend, out, into.memory,
                     (size_t)(2 * into.layers * rows * into.features) * sizeof *out);
    kv_cache_deinit(&from);
    kv_cache_deinit(&into);
    kv_cache_deinit(&clean);
}
