/* fuse.c - fuses rows of a section: all projectors of a fuser over blocks of cache rows. Projectors
 * that need the mean of a whole section first walk over it once more (the survey), so that scratch
 * does not grow with the section. */
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

c2c_status fuse_scratch_init(fuse_scratch *scratch, const c2c_fuser *fuser, bool accumulate,
                             c2c_error *error) {
    *scratch = (fuse_scratch){.backend = fuser->backend};
    size_t floats, groups, summaries;
    if (!count_floats(fuser, &floats, &groups, &summaries))
        return error_memory(error, SIZE_MAX, "a fuser's scratch");
    size_t table_bytes = (PROJECTOR_TABLES + 4) * groups * sizeof *scratch->tables;
    const model_config *receiver = &fuser->receiver->config;
    size_t features = (size_t)receiver->kv_heads * (size_t)receiver->head_dim;
    void *memory;
    c2c_status status = C2C_STATUS_OK;
    scratch->tables = malloc(table_bytes);
    if (!scratch->tables) {
        status = error_memory(error, table_bytes, "a fuser's tables");
        goto failed;
    }
    if ((status = backend_alloc(fuser->backend, &memory, floats * sizeof(float), error)))
        goto failed;
    scratch->memory = memory;
    if ((status = backend_alloc(fuser->backend, &memory, FUSE_BLOCK_ROWS * features * sizeof(float),
                                error)))
        goto failed;
    scratch->zeros = memory;
    if (summaries > 0) {
        if ((status = backend_alloc(fuser->backend, &memory, summaries * sizeof(float), error)))
            goto failed;
        scratch->summaries = memory;
    }
    if (!accumulate)
        return status;
    status = backend_alloc(fuser->backend, &memory,
                           groups * FUSE_BLOCK_ROWS * features * sizeof(float), error);
    if (status)
        goto failed;
    scratch->results = memory;
    return status;
failed:
    fuse_scratch_deinit(scratch);
    return status;
}

void fuse_scratch_deinit(fuse_scratch *scratch) {
    if (scratch->backend) {
        backend_release(scratch->backend, scratch->memory);
        backend_release(scratch->backend, scratch->summaries);
        backend_release(scratch->backend, scratch->results);
        backend_release(scratch->backend, scratch->zeros);
    }
    free(scratch->tables);
    *scratch = (fuse_scratch){0};
}

/* ---- One grouped call --------------------------------------------------------------------- */

static float *branch_rows(const kv_cache *cache, int layer, branch which, int64_t row) {
    float *base = which == BRANCH_KEY ? kv_cache_keys(cache, layer) : kv_cache_values(cache, layer);
    return base + row * cache->features;
}

/* Tables of one call, in scratch->tables. */
typedef struct fuse_tables {
    const float **sharer, **receiver;
    float **out, **results;
    const void **rest; /* for the projector */
} fuse_tables;

static fuse_tables fill_tables(const projector_stack *stack, const fuse_scratch *scratch,
                               const fuse_rows *rows, int64_t done) {
    int32_t groups = stack->groups;
    fuse_tables t = {
        .sharer = (const float **)scratch->tables,
        .receiver = (const float **)(scratch->tables + groups),
        .out = (float **)(scratch->tables + (int64_t)2 * groups),
        .results = (float **)(scratch->tables + (int64_t)3 * groups),
        .rest = scratch->tables + (int64_t)4 * groups,
    };
    for (int32_t p = 0; p < groups; p++) {
        branch which = stack->branches[p];
        int layer = stack->layers[p];
        t.sharer[p] =
            branch_rows(rows->sharer, stack->sharer_layers[p], which, rows->sharer_row + done);
        t.receiver[p] = branch_rows(rows->receiver, layer, which, rows->receiver_row + done);
        t.out[p] = branch_rows(rows->out, layer, which, rows->out_row + done);
        t.results[p] =
            scratch->results ? scratch->results + p * FUSE_BLOCK_ROWS * rows->out->features : NULL;
    }
    return t;
}

/* out += result - receiver */
static void add_difference(const projector_stack *stack, const fuse_tables *t, backend *b,
                           int64_t count, int64_t features) {
    op_add_difference(b, &(add_difference_args){.y = t->out,
                                                .a = (const float *const *)t->results,
                                                .b = t->receiver,
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
    op_copy_rows(call->backend, &(copy_rows_args){.y = call->out,
                                                  .x = (const float *const *)from,
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
        .sharer = t->sharer,
        .receiver = t->receiver,
        .out = t->out,
        .scratch = scratch->memory,
        .tables = t->rest,
    };
}

static void run_block(const c2c_fuser *fuser, const projector_stack *stack, fuse_scratch *scratch,
                      float *summary, const fuse_rows *rows, int64_t done, bool accumulate) {
    fuse_tables t = fill_tables(stack, scratch, rows, done);
    projector_call call = block_call(fuser, scratch, rows, &t, done);
    call.summary = summary;
    if (accumulate)
        call.out = t.results;
    if (stack->closed && !stack->spec.use_receiver)
        write_zeros(stack, &call, scratch->zeros, rows->out->features);
    else
        stack->spec.kind->forward(stack, &call);
    if (accumulate)
        add_difference(stack, &t, fuser->backend, call.rows, rows->out->features);
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
