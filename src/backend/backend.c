/* backend.c - the door of the room: the table of ops, calls handed to a backend's class, and the
 * public engine, which owns one backend. Computes nothing itself. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>

/* Ops without tables have no `groups`; their offset is never looked at. */
#define GROUPS_OFFSET_embed                 0
#define GROUPS_OFFSET_rmsnorm               offsetof(rmsnorm_args, groups)
#define GROUPS_OFFSET_layernorm             offsetof(layernorm_args, groups)
#define GROUPS_OFFSET_linear                offsetof(linear_args, groups)
#define GROUPS_OFFSET_activate              offsetof(activate_args, groups)
#define GROUPS_OFFSET_add                   offsetof(add_args, groups)
#define GROUPS_OFFSET_add_difference        offsetof(add_difference_args, groups)
#define GROUPS_OFFSET_sum_rows              offsetof(sum_rows_args, groups)
#define GROUPS_OFFSET_rope_table            0
#define GROUPS_OFFSET_rope                  0
#define GROUPS_OFFSET_rope_store            0
#define GROUPS_OFFSET_scatter_rows          0
#define GROUPS_OFFSET_gather_rows           0
#define GROUPS_OFFSET_copy_rows             offsetof(copy_rows_args, groups)
#define GROUPS_OFFSET_attention             0
#define GROUPS_OFFSET_fuse_mix              offsetof(fuse_mix_args, groups)
#define GROUPS_OFFSET_argmax                0
#define GROUPS_OFFSET_sample                0
#define GROUPS_OFFSET_count_ids             0
#define GROUPS_OFFSET_zero                  0
#define GROUPS_OFFSET_step_advance          0
#define GROUPS_OFFSET_quantize              0
#define GROUPS_OFFSET_pack_panels           0
#define GROUPS_OFFSET_linear_backward_x     offsetof(linear_backward_x_args, groups)
#define GROUPS_OFFSET_linear_backward_w     offsetof(linear_backward_w_args, groups)
#define GROUPS_OFFSET_rmsnorm_backward      offsetof(rmsnorm_backward_args, groups)
#define GROUPS_OFFSET_layernorm_backward    offsetof(layernorm_backward_args, groups)
#define GROUPS_OFFSET_activate_backward     offsetof(activate_backward_args, groups)
#define GROUPS_OFFSET_accumulate            offsetof(accumulate_args, groups)
#define GROUPS_OFFSET_sum_rows_backward     offsetof(sum_rows_backward_args, groups)
#define GROUPS_OFFSET_gather_rows_backward  0
#define GROUPS_OFFSET_scatter_rows_backward 0
#define GROUPS_OFFSET_rope_backward         0
#define GROUPS_OFFSET_attention_backward    0
#define GROUPS_OFFSET_fuse_mix_backward     offsetof(fuse_mix_backward_args, groups)
#define GROUPS_OFFSET_uniforms              offsetof(uniforms_args, groups)
#define GROUPS_OFFSET_dropout               offsetof(dropout_args, groups)
#define GROUPS_OFFSET_cross_entropy         0
#define GROUPS_OFFSET_squared_norm          0
#define GROUPS_OFFSET_scale                 0
#define GROUPS_OFFSET_adamw                 0

const op_info op_infos[OP_COUNT] = {
#define X(op, count)                                                                               \
    [OP_##op] = {.name = #op,                                                                      \
                 .args_size = sizeof(op##_args),                                                   \
                 .tables = count,                                                                  \
                 .groups_offset = GROUPS_OFFSET_##op},
    OP_LIST(X)
#undef X
};

void backend_close(backend *b) {
    if (b)
        b->class->close(b);
}

c2c_status backend_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    return b->class->alloc(b, memory, bytes, error);
}

c2c_status backend_alloc_whole(backend *b, void **memory, size_t bytes, c2c_error *error) {
    c2c_status status = backend_alloc(b, memory, bytes, error);
    if (!status && b->class->fill)
        b->class->fill(b, *memory);
    return status;
}

void backend_release(backend *b, void *memory) {
    if (memory)
        b->class->release(b, memory);
}

c2c_status backend_import(backend *b, const void **memory, const void *host, size_t bytes,
                          c2c_error *error) {
    return b->class->import(b, memory, host, bytes, error);
}

void backend_release_import(backend *b, const void *memory) {
    if (memory)
        b->class->release_import(b, memory);
}

c2c_status backend_reserve(backend *b, size_t features, c2c_error *error) {
    return b->class->reserve(b, features, error);
}

bool backend_wants_panels(backend *b, linear_math math, int64_t out, int64_t in, int64_t bytes) {
    return b->class->wants_panels && b->class->wants_panels(b, math, out, in, bytes);
}

c2c_status backend_make_panels(backend *b, const uint16_t **panels, const void *matrix,
                               int64_t rows, int64_t features, int64_t stride, c2c_error *error) {
    void *memory;
    *panels = NULL;
    size_t bytes = (size_t)panel_elements(rows, features) * sizeof(uint16_t);
    c2c_status status = backend_alloc_whole(b, &memory, bytes, error);
    if (status)
        return status;
    *panels = memory;
    op_pack_panels(b, &(pack_panels_args){.y = memory,
                                          .x = matrix,
                                          .rows = rows,
                                          .features = features,
                                          .x_stride = stride});
    backend_sync(b); /* so that both may be released at any time */
    return C2C_STATUS_OK;
}

void backend_run(backend *b, op_kind kind, const void *args) {
    b->class->run(b, kind, args);
}

void backend_upload(backend *b, void *memory, const void *host, size_t bytes) {
    if (bytes)
        b->class->upload(b, memory, host, bytes);
}

void backend_download(backend *b, void *host, const void *memory, size_t bytes) {
    if (bytes)
        b->class->download(b, host, memory, bytes);
}

void backend_sync(backend *b) {
    b->class->sync(b);
}

/* ---- Engine ------------------------------------------------------------------------------- */

/* More threads than any one machine has processors is a slip, not a wish. */
#define ENGINE_MAX_THREADS 1024

c2c_status engine_adopt(c2c_engine **engine, backend *b, c2c_error *error) {
    *engine = malloc(sizeof **engine);
    if (!*engine) {
        backend_close(b);
        return error_memory(error, sizeof **engine, "the engine");
    }
    **engine = (c2c_engine){.backend = b};
    return C2C_STATUS_OK;
}

c2c_status c2c_engine_open(c2c_engine **engine, const c2c_engine_options *options,
                           c2c_error *error) {
    c2c_status status = ARGUMENTS_CHECK(error, {"engine", engine});
    if (status)
        return status;
    *engine = NULL;
    int threads = options ? options->threads : 0;
    if (threads < 0 || threads > ENGINE_MAX_THREADS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "threads: expected 0 (one per processor) to %d, found %d",
                         ENGINE_MAX_THREADS, threads);
    if (threads == 0)
        threads = system_processors();
    backend *b;
    if ((status = backend_cpu_open_named(&b, threads, options ? options->isa : NULL, error)) ||
        (status = engine_adopt(engine, b, error)))
        return status;
    (*engine)->log = options ? options->log : NULL;
    (*engine)->log_user = options ? options->log_user : NULL;
    return C2C_STATUS_OK;
}

void engine_warn(const c2c_engine *engine, const char *format, ...) {
    if (!engine || !engine->log)
        return;
    c2c_error line; /* for its cleaning of what files put into messages */
    char text[sizeof line.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&line, C2C_STATUS_OK, "%s", text);
    engine->log(engine->log_user, line.message);
}

void c2c_engine_close(c2c_engine *engine) {
    if (!engine)
        return;
    backend_close(engine->backend);
    free(engine);
}
