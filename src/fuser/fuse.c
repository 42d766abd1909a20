/* fuse.c - fuses a section: all projectors of a fuser over blocks of cache rows. */
#include "fuser/fuser.h"

#include <stdlib.h>

/* Rows of one grouped call: enough to use a weight several times once it is in the processor's
 * cache, few enough to keep the scratch of large fusers small. */
#define BLOCK_ROWS 64

c2c_status fuse_scratch_init(fuse_scratch *scratch, const c2c_fuser *fuser, c2c_error *error) {
    *scratch = (fuse_scratch){.backend = fuser->backend};
    size_t floats = 1, groups = 1, needed;
    for (int i = 0; i < fuser->stack_count; i++) {
        const projector_stack *stack = &fuser->stacks[i];
        if (!size_mul((size_t)stack->groups * BLOCK_ROWS,
                      (size_t)stack->spec.kind->scratch(&stack->spec), &needed) ||
            needed > SIZE_MAX / sizeof(float))
            return error_memory(error, SIZE_MAX, "a fuser's scratch");
        floats = needed > floats ? needed : floats;
        groups = (size_t)stack->groups > groups ? (size_t)stack->groups : groups;
    }
    size_t table_bytes = (PROJECTOR_TABLES + 2) * groups * sizeof *scratch->tables;
    scratch->tables = malloc(table_bytes);
    if (!scratch->tables)
        return error_memory(error, table_bytes, "a fuser's tables");
    void *memory;
    c2c_status status = backend_alloc(fuser->backend, &memory, floats * sizeof(float), error);
    if (status)
        fuse_scratch_deinit(scratch);
    else
        scratch->memory = memory;
    return status;
}

void fuse_scratch_deinit(fuse_scratch *scratch) {
    if (scratch->backend)
        backend_release(scratch->backend, scratch->memory);
    free(scratch->tables);
    *scratch = (fuse_scratch){0};
}

static float *branch_rows(const kv_cache *cache, int layer, branch which, int64_t row) {
    float *base = which == BRANCH_KEY ? kv_cache_keys(cache, layer) : kv_cache_values(cache, layer);
    return base + row * cache->features;
}

static void apply_block(const c2c_fuser *fuser, const projector_stack *stack, fuse_scratch *scratch,
                        const kv_cache *receiver, int64_t receiver_row, const kv_cache *sharer,
                        int64_t sharer_row, int64_t rows) {
    int32_t groups = stack->groups;
    const float **from = (const float **)scratch->tables;
    float **into = (float **)(scratch->tables + groups);
    for (int32_t p = 0; p < groups; p++) {
        branch which = stack->branches[p];
        from[p] = branch_rows(sharer, stack->sharer_layers[p], which, sharer_row);
        into[p] = branch_rows(receiver, stack->layers[p], which, receiver_row);
    }
    const projector_call call = {
        .backend = fuser->backend,
        .math = fuser->receiver->math,
        .rows = rows,
        .sharer = from,
        .receiver = (const float *const *)into,
        .out = into,
        .scratch = scratch->memory,
        .tables = scratch->tables + (int64_t)2 * groups,
    };
    stack->spec.kind->forward(stack, &call);
}

void fuser_apply(const c2c_fuser *fuser, fuse_scratch *scratch, const kv_cache *receiver,
                 int64_t receiver_row, const kv_cache *sharer, int64_t sharer_row, int64_t rows) {
    for (int i = 0; i < fuser->stack_count; i++)
        for (int64_t done = 0; done < rows; done += BLOCK_ROWS)
            apply_block(fuser, &fuser->stacks[i], scratch, receiver, receiver_row + done, sharer,
                        sharer_row + done, min_i64(BLOCK_ROWS, rows - done));
}
