/* network_fuse.c - the fusions of a planned batch while the fusers learn: the projectors' own
 * forward functions on rows of many samples, with gates that are drawn. Where inference writes over
 * the rows that it reads, every result here has rows of its own: the clean ones, one set for each
 * sharer of a sequence but the last, and those that later sections see. */
#include "train/network_parts.h"

/* One fuser over the rows of one run. */
typedef struct fusion {
    training_network *n;
    const learner *learner;
    size_t sharer;
    const run_plan *run;
    size_t round;
    const training_step *step;
    int64_t read_row, write_row, sharer_row; /* of the run's first row */
    bool accumulate; /* add what the fuser changes to the rows that are written */
    float *noise;
} fusion;

static const section_rows *section_at(const fusion *f, size_t i) {
    return &f->n->plan.sections[f->n->plan.order[f->run->first + i]][f->round];
}

/* ---- What gates are drawn with ------------------------------------------------------------- */

static fuse_strides noise_strides(const projector_spec *spec) {
    int64_t heads = spec->receiver_heads, dim = spec->receiver_dim;
    if (spec->learning.draw_by_element)
        return (fuse_strides){.row = heads * dim, .head = dim, .element = 1};
    return (fuse_strides){.row = heads, .head = 1};
}

/* The caller's numbers, in the order in which the device would have drawn them. */
static void draw_on_host(const fusion *f, const projector_stack *stack, int32_t draws,
                         int64_t features) {
    const training_step *step = f->step;
    float *u = f->n->memory.host_noise;
    int32_t networks = stack->groups / draws;
    int64_t dim = stack->spec.learning.draw_by_element ? stack->spec.receiver_dim : 1;
    for (int32_t p = 0; p < draws; p++)
        for (size_t i = 0; i < f->run->count; i++) {
            const section_rows *section = section_at(f, i);
            for (int64_t position = section->start; position < section->end; position++)
                for (int64_t j = 0; j < features; j++)
                    *u++ = step->draw(step->draw_user, (int)f->sharer, stack->layers[p * networks],
                                      stack->branches[p * networks],
                                      (int64_t)f->n->plan.order[f->run->first + i], position,
                                      j / dim, j % dim);
        }
    backend_upload(f->n->inner, f->noise, f->n->memory.host_noise,
                   (size_t)(u - f->n->memory.host_noise) * sizeof *u);
}

static random_rows random_of(const fusion *f, const projector_stack *stack, int64_t done,
                             uint32_t site) {
    int32_t base = f->learner->stack_groups[stack - f->learner->fuser.stacks];
    const int32_t *integers = f->n->memory.integers;
    return (random_rows){.seed = f->step->seed,
                         .step = f->step->step,
                         .site = site,
                         .group = (uint32_t)base,
                         .samples = integers + f->run->samples + done,
                         .positions = integers + f->run->positions + done};
}

/* Sites of one fuser lie beside each other: that of its gates, and one for each slot. */
static uint32_t site_of(const fusion *f, uint32_t which) {
    return RANDOM_SITE_TRAINING + (uint32_t)f->sharer * (PROJECTOR_MAX_SLOTS + 1) + which;
}

/* Numbers for all rows of the run: [P or P / 2][rows][features]. Returns how many a network's rows
 * take; 0: its gates are not drawn. */
static int64_t draw(const fusion *f, const projector_stack *stack, float **tables) {
    const projector_spec *spec = &stack->spec;
    bool by_element = spec->learning.draw_by_element;
    int32_t draws = by_element ? stack->groups / 2 : stack->groups;
    int64_t numbers = f->step->learn ? stack_noise(stack) : 0;
    if (numbers == 0)
        return 0;
    int64_t features = numbers / draws;
    for (int32_t p = 0; p < draws; p++)
        tables[p] = f->noise + p * f->run->rows * features;
    if (f->step->draw)
        draw_on_host(f, stack, draws, features);
    else
        op_uniforms(f->n->inner, &(uniforms_args){.u = tables,
                                                  .groups = draws,
                                                  .random = random_of(f, stack, 0, site_of(f, 0)),
                                                  .rows = f->run->rows,
                                                  .features = features,
                                                  .u_stride = features});
    return features;
}

/* ---- One call ----------------------------------------------------------------------------- */

/* Tables of one call of a stack, in the network's room. */
typedef struct call_tables {
    const float **sharer, **receiver, **uniforms;
    float **out, **results;
    const void **rest;
} call_tables;

static call_tables tables_of(const training_network *n, int32_t groups) {
    const void **t = n->tables;
    return (call_tables){.sharer = (const float **)t,
                         .receiver = (const float **)(t + groups),
                         .uniforms = (const float **)(t + (int64_t)2 * groups),
                         .out = (float **)(t + (int64_t)3 * groups),
                         .results = (float **)(t + (int64_t)4 * groups),
                         .rest = t + (int64_t)5 * groups};
}

static float *cache_row(const kv_cache *cache, int layer, branch which, int64_t row) {
    return which == BRANCH_KEY ? kv_cache_keys(cache, layer, row)
                               : kv_cache_values(cache, layer, row);
}

static void fill_tables(const fusion *f, const projector_stack *stack, const call_tables *t,
                        int64_t done, int64_t rows) {
    const step_memory *m = &f->n->memory;
    for (int32_t p = 0; p < stack->groups; p++) {
        branch which = stack->branches[p];
        t->sharer[p] = cache_row(&m->sharer_caches[f->sharer], stack->sharer_layers[p], which,
                                 f->sharer_row + done);
        t->receiver[p] = cache_row(&m->cache, stack->layers[p], which, f->read_row + done);
        t->out[p] = cache_row(&m->cache, stack->layers[p], which, f->write_row + done);
        t->results[p] = m->fuse + m->fuse_floats + p * rows * m->cache.features;
    }
}

/* out += result - receiver */
static void add_difference(const fusion *f, const projector_stack *stack, const call_tables *t,
                           int64_t rows) {
    int64_t features = f->n->memory.cache.features;
    op_add_difference(f->n->receiver.backend,
                      &(add_difference_args){.y = t->out,
                                             .a = (const float *const *)t->results,
                                             .b = t->receiver,
                                             .groups = stack->groups,
                                             .rows = rows,
                                             .features = features,
                                             .y_stride = features,
                                             .a_stride = features,
                                             .b_stride = features});
}

/* Some networks of a stack, as a stack. */
typedef struct stack_part {
    projector_stack stack;
    const projector_stack *whole;
    int32_t first; /* network */
} stack_part;

/* Parts of a kind that shares weights among networks are the whole. */
static stack_part part_of(const projector_stack *whole, int32_t first, int32_t count) {
    stack_part part = {.stack = *whole, .whole = whole, .first = first};
    C2C_ASSERT(first == 0 || !whole->spec.kind->whole_layer);
    part.stack.groups = count;
    part.stack.layers += first;
    part.stack.sharer_layers += first;
    part.stack.branches += first;
    for (int i = 0; i < whole->slot_count; i++)
        part.stack.tables[i] += first;
    return part;
}

/* Rows done .. done + rows - 1 of the run. `drawn` uniforms of each row and network, or 0. */
static void run_part(const fusion *f, const stack_part *part, int64_t done, int64_t rows,
                     int64_t drawn) {
    training_network *n = f->n;
    const projector_stack *stack = &part->stack;
    const projector_spec *spec = &stack->spec;
    const void **gates = f->learner->gates[part->whole - f->learner->fuser.stacks];
    call_tables t = tables_of(n, stack->groups);
    fill_tables(f, stack, &t, done, rows);
    int32_t networks = spec->learning.draw_by_element ? 2 : 1; /* that share a draw */
    for (int32_t p = 0; drawn > 0 && p < stack->groups; p++)
        t.uniforms[p] =
            f->noise + ((int64_t)((part->first + p) / networks) * f->run->rows + done) * drawn;
    projector_training training = {
        .gates = gates ? gates + part->first : NULL,
        .uniforms = drawn > 0 ? t.uniforms : NULL,
        .uniform_strides = noise_strides(spec),
        .gate_temperature = projector_temperature(spec, f->step->step),
        .dropout = f->step->learn && !f->step->no_dropout,
        .random = random_of(f, part->whole, done, site_of(f, 1)),
    };
    training.random.group += (uint32_t)part->first;
    projector_call call = {.backend = n->receiver.backend,
                           .math = n->receiver.math,
                           .rows = rows,
                           .section = rows,
                           .summary = n->memory.summary,
                           .sharer = t.sharer,
                           .receiver = t.receiver,
                           .out = f->accumulate ? t.results : t.out,
                           .scratch = n->memory.fuse,
                           .tables = t.rest,
                           .training = &training};
    if (n->options.recompute)
        tape_recompute_begin(n->tape);
    if (spec->kind->survey)
        spec->kind->survey(stack, &call);
    spec->kind->forward(stack, &call);
    tape_recompute_end(n->tape);
    if (f->accumulate)
        add_difference(f, stack, &t, rows);
}

static void run_block(const fusion *f, const projector_stack *stack, int64_t done, int64_t rows,
                      int64_t drawn) {
    int32_t most = stack_call_networks(stack, rows);
    for (int32_t first = 0, count; first < stack->groups; first += count) {
        count = (int32_t)min_i64(most, stack->groups - first);
        const stack_part part = part_of(stack, first, count);
        run_part(f, &part, done, rows, drawn);
    }
}

/* ---- One fuser ---------------------------------------------------------------------------- */

static void run_stack(fusion *f, const projector_stack *stack) {
    int64_t drawn = draw(f, stack, (float **)tables_of(f->n, stack->groups).uniforms), done = 0;
    if (stack->spec.by_section) {
        for (size_t i = 0; i < f->run->count; done += section_at(f, i++)->count)
            if (section_at(f, i)->count > 0)
                run_block(f, stack, done, section_at(f, i)->count, drawn);
    } else {
        for (int64_t rows; done < f->run->rows; done += rows) {
            rows = stack_block_rows(stack, f->run->rows - done, 0);
            run_block(f, stack, done, rows, drawn);
        }
    }
    f->noise += f->step->learn ? f->run->rows * stack_noise(stack) : 0;
}

/* Layers of the receiver that the fuser does not write: those of `all`, or that are not mapped. */
static void copy_layers(const fusion *f, bool all) {
    const kv_cache *cache = &f->n->memory.cache;
    const layer_map *map = &f->learner->fuser.map;
    for (int layer = 0; layer < cache->layers; layer++) {
        if (!all && layer < map->layers && map->links[layer].sharer_layer >= 0)
            continue;
        void *const to[] = {cache_row(cache, layer, BRANCH_KEY, f->write_row),
                            cache_row(cache, layer, BRANCH_VALUE, f->write_row)};
        const void *const from[] = {cache_row(cache, layer, BRANCH_KEY, f->read_row),
                                    cache_row(cache, layer, BRANCH_VALUE, f->read_row)};
        op_copy_rows(cache->backend, &(copy_rows_args){.y = to,
                                                       .x = from,
                                                       .groups = 2,
                                                       .rows = f->run->rows,
                                                       .features = cache->features,
                                                       .y_stride = cache->features,
                                                       .x_stride = cache->features});
    }
}

/* All fusers that the run's mask selects: one after the other, each reading what the one before it
 * wrote, or all from the clean rows. */
static void fuse_run(training_network *n, size_t round, const run_plan *run,
                     const training_step *step, int64_t *noise_used) {
    const section_rows *first = &n->plan.sections[n->plan.order[run->first]][round];
    bool parallel =
        (run->mask & (run->mask - 1)) != 0 && n->options.fusion_mode == C2C_FUSION_PARALLEL;
    int32_t left = run->mask;
    int64_t from = first->clean_row, clean = from - (n->plan.stage_row - n->plan.stage_rows);
    bool copied = false;
    for (size_t s = 0; s < n->pair_count; s++) {
        if (!(run->mask >> s & 1))
            continue;
        left &= ~(INT32_C(1) << s);
        fusion f = {.n = n,
                    .learner = &n->learners[s],
                    .sharer = s,
                    .run = run,
                    .round = round,
                    .step = step,
                    .read_row = from,
                    .write_row = first->row,
                    .sharer_row = first->sharer_row[s],
                    .accumulate = parallel,
                    .noise = n->memory.noise + *noise_used};
        if (!parallel && left)
            f.write_row = n->plan.stage_row + (int64_t)s * n->plan.stage_rows + clean;
        if (!parallel || !copied)
            copy_layers(&f, parallel);
        copied = true;
        for (int k = 0; k < n->learners[s].fuser.stack_count; k++)
            run_stack(&f, &n->learners[s].fuser.stacks[k]);
        *noise_used = f.noise - n->memory.noise;
        from = parallel ? from : f.write_row;
    }
}

void network_fuse(training_network *n, size_t round, const training_step *step,
                  int64_t *noise_used) {
    const round_plan *r = &n->plan.rounds[round];
    for (size_t i = 0; i < r->run_count; i++)
        fuse_run(n, round, &n->plan.runs[r->run_first + i], step, noise_used);
}
