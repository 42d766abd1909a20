/* fuse.c - fuses rows of a section: all projectors of a fuser over blocks of cache rows. Projectors
 * that need the mean of a whole section first walk over it once more (the survey), so that scratch
 * does not grow with the section. Projectors see f32 alone: rows of other caches are staged, that
 * is, copied to scratch as f32 before a call and rounded back behind it. */
#include "fuser/fuser.h"

#include <stdlib.h>

static int64_t summary_floats(const projector_stack *stack) {
    const projector_kind *kind = stack->spec.kind;
    return kind->summary ? stack->groups * kind->summary(&stack->spec) : 0;
}

/* Floats that one grouped call of the largest stack needs, and its number of networks; and the
 * floats of all summaries. */
static bool count_floats(const c2c_fuser *fuser, size_t *floats, size_t *groups,
                         size_t *summaries) {
    *floats = *groups = 1;
    *summaries = 0;
    for (int i = 0; i < fuser->stack_count; i++) {
        const projector_stack *stack = &fuser->stacks[i];
        size_t needed;
        if (!size_mul((size_t)stack->groups * FUSE_BLOCK_ROWS,
                      (size_t)stack->spec.kind->scratch(&stack->spec), &needed) ||
            needed > SIZE_MAX / sizeof(float))
            return false;
        *floats = needed > *floats ? needed : *floats;
        *groups = (size_t)stack->groups > *groups ? (size_t)stack->groups : *groups;
        *summaries += (size_t)summary_floats(stack);
    }
    return true;
}

static c2c_status alloc_floats(backend *b, float **floats, size_t count, c2c_error *error) {
    void *memory = NULL;
    c2c_status status = backend_alloc(b, &memory, count * sizeof(float), error);
    *floats = memory;
    return status;
}

static size_t row_features(const c2c_model *model) {
    return (size_t)model->config.kv_heads * (size_t)model->config.head_dim;
}

c2c_status fuse_scratch_init(fuse_scratch *scratch, const c2c_fuser *fuser, bool accumulate,
                             bool staged, c2c_error *error) {
    *scratch = (fuse_scratch){.backend = fuser->backend};
    backend *b = fuser->backend;
    size_t floats, groups, summaries;
    if (!count_floats(fuser, &floats, &groups, &summaries))
        return error_memory(error, SIZE_MAX, "a fuser's scratch");
    size_t table_bytes = (PROJECTOR_TABLES + 7) * groups * sizeof *scratch->tables;
    size_t block = FUSE_BLOCK_ROWS * row_features(fuser->receiver);
    size_t sharer_block = FUSE_BLOCK_ROWS * row_features(fuser->sharer);
    c2c_status status = C2C_STATUS_OK;
    scratch->tables = malloc(table_bytes);
    if (!scratch->tables)
        status = error_memory(error, table_bytes, "a fuser's tables");
    if (!status)
        status = alloc_floats(b, &scratch->memory, floats, error);
    if (!status)
        status = alloc_floats(b, &scratch->zeros, block, error);
    if (!status && summaries > 0)
        status = alloc_floats(b, &scratch->summaries, summaries, error);
    if (!status && accumulate)
        status = alloc_floats(b, &scratch->results, groups * block, error);
    if (!status && staged)
        status = alloc_floats(b, &scratch->staged, groups * (sharer_block + 2 * block), error);
    if (status)
        fuse_scratch_deinit(scratch);
    return status;
}

void fuse_scratch_deinit(fuse_scratch *scratch) {
    if (scratch->backend) {
        backend_release(scratch->backend, scratch->memory);
        backend_release(scratch->backend, scratch->summaries);
        backend_release(scratch->backend, scratch->results);
        backend_release(scratch->backend, scratch->staged);
        backend_release(scratch->backend, scratch->zeros);
    }
    free(scratch->tables);
    *scratch = (fuse_scratch){0};
}

/* ---- One grouped call --------------------------------------------------------------------- */

static void *branch_rows(const kv_cache *cache, int layer, branch which, int64_t row) {
    return which == BRANCH_KEY ? kv_cache_keys(cache, layer, row)
                               : kv_cache_values(cache, layer, row);
}

/* A block of one cache's rows for all networks of a call: where they are, and where they are as
 * f32, which is the same place or one in the scratch. */
typedef struct fuse_block {
    const kv_cache *cache;
    int32_t groups;
    int64_t count;
    void **cached;  /* [P] */
    float **floats; /* [P] */
} fuse_block;

/* Tables of one call, in scratch->tables. */
typedef struct fuse_tables {
    fuse_block sharer, receiver, out;
    float **results;
    const void **rest; /* for the projector */
} fuse_tables;

/* Takes two tables from *free_tables, and from *staged the place of rows that are not f32. */
static fuse_block take_block(const projector_stack *stack, const kv_cache *cache, int64_t row,
                             int64_t count, bool of_sharer, const void ***free_tables,
                             float **staged) {
    fuse_block block = {.cache = cache, .groups = stack->groups, .count = count};
    block.cached = (void **)*free_tables;
    block.floats = (float **)(*free_tables + stack->groups);
    *free_tables += (int64_t)2 * stack->groups;
    for (int32_t p = 0; p < stack->groups; p++) {
        int layer = of_sharer ? stack->sharer_layers[p] : stack->layers[p];
        block.cached[p] = branch_rows(cache, layer, stack->branches[p], row);
        block.floats[p] = block.cached[p];
        if (cache->type == DTYPE_F32)
            continue;
        block.floats[p] = *staged;
        *staged += FUSE_BLOCK_ROWS * cache->features;
    }
    return block;
}

static fuse_tables fill_tables(const projector_stack *stack, const fuse_scratch *scratch,
                               const fuse_rows *rows, int64_t done) {
    int64_t count = min_i64(FUSE_BLOCK_ROWS, rows->count - done);
    const void **tables = scratch->tables;
    float *staged = scratch->staged;
    fuse_tables t;
    t.sharer =
        take_block(stack, rows->sharer, rows->sharer_row + done, count, true, &tables, &staged);
    t.receiver = take_block(stack, rows->receiver, rows->receiver_row + done, count, false, &tables,
                            &staged);
    t.out = take_block(stack, rows->out, rows->out_row + done, count, false, &tables, &staged);
    t.results = (float **)tables;
    t.rest = tables + stack->groups;
    for (int32_t p = 0; p < stack->groups; p++)
        t.results[p] =
            scratch->results ? scratch->results + p * FUSE_BLOCK_ROWS * rows->out->features : NULL;
    return t;
}

/* Copies rows of a cache that is not f32 to where they are f32, or back. */
static void stage(const fuse_block *block, bool back) {
    const kv_cache *cache = block->cache;
    if (cache->type == DTYPE_F32)
        return;
    op_copy_rows(cache->backend,
                 &(copy_rows_args){.y = back ? block->cached : (void *const *)block->floats,
                                   .x = (const void *const *)(back ? (void **)block->floats
                                                                   : block->cached),
                                   .groups = block->groups,
                                   .rows = block->count,
                                   .features = cache->features,
                                   .y_stride = cache->features,
                                   .x_stride = cache->features,
                                   .y_type = back ? cache->type : DTYPE_F32,
                                   .x_type = back ? DTYPE_F32 : cache->type});
}

/* out += result - receiver */
static void add_difference(const projector_stack *stack, const fuse_tables *t, backend *b,
                           int64_t count, int64_t features) {
    op_add_difference(b, &(add_difference_args){.y = t->out.floats,
                                                .a = (const float *const *)t->results,
                                                .b = (const float *const *)t->receiver.floats,
                                                .groups = stack->groups,
                                                .rows = count,
                                                .features = features,
                                                .y_stride = features,
                                                .a_stride = features,
                                                .b_stride = features});
}

static void write_zeros(const projector_stack *stack, const projector_call *call,
                        const float *zeros, int64_t features) {
    const void **from = call->tables;
    for (int32_t p = 0; p < stack->groups; p++)
        from[p] = zeros;
    op_copy_rows(call->backend, &(copy_rows_args){.y = (void *const *)call->out,
                                                  .x = from,
                                                  .groups = stack->groups,
                                                  .rows = call->rows,
                                                  .features = features,
                                                  .y_stride = features,
                                                  .x_stride = features});
}

/* The block of rows that starts at `done`. */
static projector_call block_call(const c2c_fuser *fuser, const fuse_scratch *scratch,
                                 const fuse_rows *rows, const fuse_tables *t, int64_t done) {
    return (projector_call){
        .backend = fuser->backend,
        .math = fuser->receiver->math,
        .rows = min_i64(FUSE_BLOCK_ROWS, rows->count - done),
        .first = rows->first + done,
        .section = rows->section,
        .sharer = (const float *const *)t->sharer.floats,
        .receiver = (const float *const *)t->receiver.floats,
        .out = t->out.floats,
        .scratch = scratch->memory,
        .tables = t->rest,
    };
}

static void run_block(const c2c_fuser *fuser, const projector_stack *stack, fuse_scratch *scratch,
                      float *summary, const fuse_rows *rows, int64_t done, bool accumulate) {
    fuse_tables t = fill_tables(stack, scratch, rows, done);
    projector_call call = block_call(fuser, scratch, rows, &t, done);
    call.summary = summary;
    stage(&t.sharer, false);
    stage(&t.receiver, false);
    if (accumulate) {
        stage(&t.out, false);
        call.out = t.results;
    }
    if (stack->closed && !stack->spec.use_receiver)
        write_zeros(stack, &call, scratch->zeros, rows->out->features);
    else
        stack->spec.kind->forward(stack, &call);
    if (accumulate)
        add_difference(stack, &t, fuser->backend, call.rows, rows->out->features);
    stage(&t.out, true);
}

static void run_all(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows,
                    bool accumulate) {
    float *summary = scratch->summaries;
    for (int i = 0; i < fuser->stack_count; i++) {
        const projector_stack *stack = &fuser->stacks[i];
        for (int64_t done = 0; done < rows->count; done += FUSE_BLOCK_ROWS)
            run_block(fuser, stack, scratch, summary, rows, done, accumulate);
        summary += summary_floats(stack);
    }
}

void fuser_survey(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows) {
    C2C_ASSERT(rows->first == 0 && rows->count == rows->section);
    float *summary = scratch->summaries;
    for (int i = 0; i < fuser->stack_count; i++) {
        const projector_stack *stack = &fuser->stacks[i];
        int64_t floats = summary_floats(stack);
        for (int64_t done = 0; done < rows->count && floats > 0; done += FUSE_BLOCK_ROWS) {
            fuse_tables t = fill_tables(stack, scratch, rows, done);
            projector_call call = block_call(fuser, scratch, rows, &t, done);
            call.summary = summary;
            stage(&t.sharer, false);
            stage(&t.receiver, false);
            stack->spec.kind->survey(stack, &call);
        }
        summary += floats;
    }
}

void fuser_apply(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows) {
    fuser_survey(fuser, scratch, rows);
    run_all(fuser, scratch, rows, false);
}

void fuser_accumulate(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows) {
    C2C_ASSERT(scratch->results);
    run_all(fuser, scratch, rows, true);
}
