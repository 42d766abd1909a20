/* network_plan.c - a batch laid out in rows. Section i of all samples is a round: one pass of the
 * receiver, and then fusions. In every cache the rows of a round follow each other, samples with
 * one mask side by side, so that a fuser sees rows of many samples in one call. The rows that a
 * fused section had before fusion lie behind all others.
 *
 * All tables that passes read are one list of integers, to be uploaded at once. */
#include "train/network_parts.h"

#include <stdlib.h>

/* ---- Samples ------------------------------------------------------------------------------ */

static const int32_t *sharer_ids(const training_sample *sample, size_t s) {
    return sample->sharer_ids ? sample->sharer_ids[s] : sample->ids;
}

/* The id that follows the token at `position`, or a negative number: it is not graded. */
static int32_t label_after(const training_sample *sample, int64_t position) {
    int64_t next = position + 1;
    while (next < sample->tokens && sample->ids[next] == C2C_PADDING)
        next++;
    return next < sample->tokens ? sample->labels[next] : LABEL_NONE;
}

static int64_t graded_between(const training_sample *sample, int64_t start, int64_t end) {
    int64_t graded = 0;
    for (int64_t i = start; i < end; i++)
        graded += sample->ids[i] != C2C_PADDING && label_after(sample, i) >= 0;
    return graded;
}

int64_t training_sample_tokens(const training_sample *sample) {
    return graded_between(sample, 0, sample->tokens);
}

static int64_t tokens_between(const int32_t *ids, int64_t start, int64_t end) {
    int64_t tokens = 0;
    for (int64_t i = start; i < end; i++)
        tokens += ids[i] != C2C_PADDING;
    return tokens;
}

/* ---- Integers ----------------------------------------------------------------------------- */

static c2c_status plan_memory(c2c_error *error) {
    return error_memory(error, 0, "the layout of a batch");
}

/* Appends; false: out of memory. */
static bool push_integer(batch_plan *plan, int64_t value) {
    if (plan->integer_count == plan->integer_room) {
        int64_t room = plan->integer_room ? plan->integer_room * 2 : 4096;
        int32_t *grown = realloc(plan->integers, (size_t)room * sizeof *grown);
        if (!grown)
            return false;
        plan->integers = grown;
        plan->integer_room = room;
    }
    C2C_ASSERT(value >= INT32_MIN && value <= INT32_MAX);
    plan->integers[plan->integer_count++] = (int32_t)value;
    return true;
}

/* ---- Passes ------------------------------------------------------------------------------- */

/* A token of a pass. */
typedef struct pass_token {
    size_t sample;
    int64_t position, row;
    int32_t id;
} pass_token;

/* One pass on its way: its tokens and ranges, before they become tables. */
typedef struct pass_draft {
    pass_token *tokens;
    int64_t count, sequence;
    cache_range *ranges;
    bool *wanted;
    int64_t range_count;
    int64_t *q_start, *range_start;
} pass_draft;

/* The rows of one section of one model, of which `row` is the first, as ranges; the next token of
 * the same section may be of another range, where positions hold padding. */
static void add_ranges(pass_draft *d, const int32_t *ids, const section_rows *section, int64_t row,
                       bool wanted) {
    int64_t first = d->range_count;
    for (int64_t i = section->start; i < section->end; i++) {
        if (ids[i] == C2C_PADDING)
            continue;
        cache_range *last = d->range_count > first ? &d->ranges[d->range_count - 1] : NULL;
        if (last && last->position + last->count == i) {
            last->count++;
        } else {
            d->wanted[d->range_count] = wanted;
            d->ranges[d->range_count++] =
                (cache_range){.row = (int32_t)row, .count = 1, .position = (int32_t)i};
        }
        row++;
    }
}

static void add_tokens(pass_draft *d, size_t sample, const int32_t *ids,
                       const section_rows *section, int64_t row) {
    for (int64_t i = section->start; i < section->end; i++)
        if (ids[i] != C2C_PADDING) {
            d->tokens[d->count++] =
                (pass_token){.sample = sample, .position = i, .row = row, .id = ids[i]};
            row++;
        }
}

static bool draft_begin(pass_draft *d, arena *memory, int64_t tokens, int64_t ranges,
                        size_t sequences) {
    *d = (pass_draft){
        .tokens = arena_alloc(memory, (size_t)tokens * sizeof *d->tokens),
        .ranges = arena_alloc(memory, (size_t)ranges * sizeof *d->ranges),
        .wanted = arena_alloc(memory, (size_t)ranges * sizeof *d->wanted),
        .q_start = arena_alloc(memory, (sequences + 1) * sizeof *d->q_start),
        .range_start = arena_alloc(memory, (sequences + 1) * sizeof *d->range_start),
    };
    return d->tokens && d->ranges && d->wanted && d->q_start && d->range_start;
}

static void end_sequence(pass_draft *d) {
    d->sequence++;
    d->q_start[d->sequence] = d->count;
    d->range_start[d->sequence] = d->range_count;
}

static bool push_all(batch_plan *plan, const pass_draft *d, pass_plan *pass) {
    bool good = true;
    *pass = (pass_plan){.rows = d->count, .sequences = d->sequence};
    pass->ids = plan->integer_count;
    for (int64_t i = 0; i < d->count; i++)
        good = good && push_integer(plan, d->tokens[i].id);
    pass->positions = plan->integer_count;
    for (int64_t i = 0; i < d->count; i++)
        good = good && push_integer(plan, d->tokens[i].position);
    pass->index = plan->integer_count;
    for (int64_t i = 0; i < d->count; i++)
        good = good && push_integer(plan, d->tokens[i].row);
    pass->q_start = plan->integer_count;
    for (int64_t i = 0; i <= d->sequence; i++)
        good = good && push_integer(plan, d->q_start[i]);
    pass->range_start = plan->integer_count;
    for (int64_t i = 0; i <= d->sequence; i++)
        good = good && push_integer(plan, d->range_start[i]);
    pass->ranges = plan->integer_count;
    for (int64_t i = 0; i < d->range_count; i++)
        good = good && push_integer(plan, d->ranges[i].row) &&
               push_integer(plan, d->ranges[i].count) && push_integer(plan, d->ranges[i].position);
    pass->wanted = plan->integer_count;
    for (int64_t i = 0; i < d->range_count; i++)
        good = good && push_integer(plan, d->wanted[i]);
    return good;
}

static bool push_graded(batch_plan *plan, const pass_draft *d, pass_plan *pass) {
    bool good = true;
    pass->graded = plan->integer_count;
    pass->graded_first = plan->graded;
    for (int64_t i = 0; i < d->count && good; i++) {
        int32_t label = label_after(&plan->samples[d->tokens[i].sample], d->tokens[i].position);
        if (label < 0)
            continue;
        plan->labels[plan->graded++] = label;
        pass->graded_rows++;
        good = push_integer(plan, i);
    }
    return good;
}

/* Positions count padding, so ranges are at most every second one. */
static int64_t most_ranges(const batch_plan *plan) {
    int64_t ranges = 0;
    for (size_t s = 0; s < plan->sample_count; s++)
        ranges += plan->samples[s].tokens / 2 + (int64_t)plan->samples[s].section_count + 1;
    return ranges;
}

static int64_t most_tokens(const batch_plan *plan) {
    int64_t tokens = 0;
    for (size_t s = 0; s < plan->sample_count; s++)
        tokens += plan->samples[s].tokens;
    return tokens;
}

/* ---- Rows --------------------------------------------------------------------------------- */

static bool selected(int32_t mask, size_t s) {
    return mask >> s & 1;
}

static int32_t section_mask(const training_sample *sample, size_t i) {
    bool fused = i + 1 < sample->section_count && sample->sections[i].mask > 0;
    return fused ? sample->sections[i].mask : 0;
}

/* Sections up to the last one that is fused with sharer s. */
static size_t sections_needed(const training_sample *sample, size_t s) {
    size_t needed = 0;
    for (size_t i = 0; i < sample->section_count; i++)
        if (selected(section_mask(sample, i), s))
            needed = i + 1;
    return needed;
}

static bool find_sections(batch_plan *plan, const training_network *n) {
    for (size_t s = 0; s < plan->sample_count; s++) {
        const training_sample *sample = &plan->samples[s];
        section_rows *rows = arena_alloc(plan->memory, sample->section_count * sizeof *rows);
        int64_t start = 0;
        if (!rows)
            return false;
        plan->sections[s] = rows;
        for (size_t i = 0; i < sample->section_count; i++) {
            rows[i] = (section_rows){.start = start,
                                     .end = start + sample->sections[i].length,
                                     .mask = section_mask(sample, i)};
            start = rows[i].end;
            rows[i].count = tokens_between(sample->ids, rows[i].start, rows[i].end);
            for (size_t p = 0; p < n->pair_count; p++)
                rows[i].sharer_row[p] = i < sections_needed(sample, p) ? 0 : -1;
        }
        if (sample->section_count > plan->round_count)
            plan->round_count = sample->section_count;
    }
    return true;
}

/* The samples of a round, those with larger masks first. */
static void order_round(batch_plan *plan, size_t r, size_t first) {
    round_plan *round = &plan->rounds[r];
    *round = (round_plan){.order_first = first};
    for (size_t s = 0; s < plan->sample_count; s++) {
        if (r >= plan->samples[s].section_count)
            continue;
        size_t at = first + round->order_count++;
        for (;
             at > first && plan->sections[plan->order[at - 1]][r].mask < plan->sections[s][r].mask;
             at--)
            plan->order[at] = plan->order[at - 1];
        plan->order[at] = s;
    }
}

/* Gives the sections their rows, round by round. */
static void place_rows(batch_plan *plan, const training_network *n) {
    int64_t clean = 0;
    plan->receiver_rows = 0;
    for (size_t r = 0, first = 0; r < plan->round_count; first += plan->rounds[r++].order_count) {
        order_round(plan, r, first);
        for (size_t i = 0; i < plan->rounds[r].order_count; i++) {
            size_t s = plan->order[first + i];
            section_rows *section = &plan->sections[s][r];
            section->row = plan->receiver_rows;
            plan->receiver_rows += section->count;
            for (size_t p = 0; p < n->pair_count; p++) {
                const training_sample *sample = &plan->samples[s];
                if (section->sharer_row[p] < 0)
                    continue;
                section->sharer_row[p] = plan->sharer_rows[p];
                plan->sharer_rows[p] +=
                    tokens_between(sharer_ids(sample, p), section->start, section->end);
            }
            section->clean_row = clean;
            clean += section->mask ? section->count : 0;
        }
    }
    for (size_t s = 0; s < plan->sample_count; s++)
        for (size_t i = 0; i < plan->samples[s].section_count; i++) {
            section_rows *section = &plan->sections[s][i];
            section->clean_row =
                section->mask ? plan->receiver_rows + section->clean_row : section->row;
        }
    plan->stage_row = plan->receiver_rows + clean;
    plan->stage_rows = clean;
    plan->receiver_rows += clean;
    if (n->options.fusion_mode == C2C_FUSION_SEQUENTIAL && n->pair_count > 1)
        plan->receiver_rows += clean * (int64_t)(n->pair_count - 1);
}

/* ---- Rounds ------------------------------------------------------------------------------- */

/* Whether fusing a section writes all its rows without reading the receiver's. */
static bool replaced(const training_network *n, int32_t mask) {
    bool one = mask && (mask & (mask - 1)) == 0;
    for (size_t s = 0; one && s < n->pair_count; s++)
        if (selected(mask, s))
            return n->learners[s].fuser.replaces;
    return false;
}

/* The first section of a sample that is fused; rows from there on need gradients. */
static size_t first_fused(const batch_plan *plan, size_t s) {
    size_t i = 0;
    while (i < plan->samples[s].section_count && !plan->sections[s][i].mask)
        i++;
    return i;
}

static bool plan_receiver_pass(batch_plan *plan, const training_network *n, size_t r) {
    round_plan *round = &plan->rounds[r];
    pass_draft d;
    if (!draft_begin(&d, plan->memory, most_tokens(plan), most_ranges(plan), round->order_count))
        return false;
    for (size_t i = 0; i < round->order_count; i++) {
        size_t s = plan->order[round->order_first + i];
        const training_sample *sample = &plan->samples[s];
        const section_rows *sections = plan->sections[s], *own = &sections[r];
        size_t fused = first_fused(plan, s);
        if (own->count == 0 ||
            (replaced(n, own->mask) && graded_between(sample, own->start, own->end) == 0))
            continue;
        add_tokens(&d, s, sample->ids, own, own->clean_row);
        for (size_t j = 0; j < r; j++)
            add_ranges(&d, sample->ids, &sections[j], sections[j].row, j >= fused);
        add_ranges(&d, sample->ids, own, own->clean_row, r > fused);
        end_sequence(&d);
        round->recorded = round->recorded || r > fused;
    }
    plan->most_rows = max_i64(plan->most_rows, d.count);
    return push_all(plan, &d, &round->pass) && push_graded(plan, &d, &round->pass);
}

/* A sharer runs all that it has to in one pass. */
static bool plan_sharer_pass(batch_plan *plan, size_t p) {
    pass_draft d;
    if (!draft_begin(&d, plan->memory, most_tokens(plan), most_ranges(plan), plan->sample_count))
        return false;
    for (size_t s = 0; s < plan->sample_count; s++) {
        const int32_t *ids = sharer_ids(&plan->samples[s], p);
        int64_t before = d.count;
        for (size_t i = 0; i < sections_needed(&plan->samples[s], p); i++) {
            const section_rows *section = &plan->sections[s][i];
            add_tokens(&d, s, ids, section, section->sharer_row[p]);
            add_ranges(&d, ids, section, section->sharer_row[p], false);
        }
        if (d.count > before)
            end_sequence(&d);
    }
    return push_all(plan, &d, &plan->sharers[p]);
}

/* ---- Fusions ------------------------------------------------------------------------------ */

int64_t stack_noise(const projector_stack *stack) {
    const projector_spec *spec = &stack->spec;
    bool gates = spec->use_gates || spec->kind->whole_layer;
    if (!spec->learning.soft_gates || !gates)
        return 0;
    return spec->learning.draw_by_element
               ? (int64_t)stack->groups / 2 * spec->receiver_heads * spec->receiver_dim
               : (int64_t)stack->groups * spec->receiver_heads;
}

int64_t stack_block_rows(const projector_stack *stack, int64_t rows, int64_t section) {
    return stack->spec.by_section ? section : min_i64(rows, TRAINING_FUSE_ROWS);
}

/* Rows of networks that share a call; a kind whose key and value networks have weights in common
 * runs as a whole. */
static int64_t places_wanted(const projector_stack *stack) {
    const projector_kind *kind = stack->spec.kind;
    return kind->whole_layer ? INT64_MAX
                             : TRAINING_FUSE_FLOATS / max_i64(1, kind->scratch(&stack->spec));
}

int32_t stack_call_networks(const projector_stack *stack, int64_t rows) {
    return (int32_t)min_i64(stack->groups, max_i64(1, places_wanted(stack) / max_i64(1, rows)));
}

int64_t stack_call_places(const projector_stack *stack, int64_t rows) {
    return min_i64(stack->groups * rows, max_i64(places_wanted(stack), rows));
}

/* Consecutive samples of a round with one mask. */
static bool plan_runs(batch_plan *plan, const training_network *n, size_t r, size_t *used) {
    round_plan *round = &plan->rounds[r];
    bool good = true;
    round->run_first = *used;
    for (size_t i = 0; i < round->order_count;) {
        run_plan run = {.first = round->order_first + i};
        run.mask = plan->sections[plan->order[run.first]][r].mask;
        for (; i < round->order_count; i++, run.count++) {
            const section_rows *section = &plan->sections[plan->order[round->order_first + i]][r];
            if (section->mask != run.mask)
                break;
            run.rows += section->count;
            if (run.mask)
                plan->most_section = max_i64(plan->most_section, section->count);
        }
        if (run.mask == 0 || run.rows == 0)
            continue;
        run.samples = plan->integer_count;
        for (size_t k = 0; k < run.count; k++)
            for (int64_t m = 0; m < plan->sections[plan->order[run.first + k]][r].count; m++)
                good = good &&
                       push_integer(plan, plan->first_sample + (int64_t)plan->order[run.first + k]);
        run.positions = plan->integer_count;
        for (size_t k = 0; k < run.count; k++) {
            const section_rows *section = &plan->sections[plan->order[run.first + k]][r];
            for (int64_t m = 0; m < section->count; m++)
                good = good && push_integer(plan, section->start + m);
        }
        plan->most_fused = max_i64(plan->most_fused, run.rows);
        for (size_t s = 0; s < n->pair_count; s++)
            for (int k = 0; selected(run.mask, s) && k < n->learners[s].fuser.stack_count; k++)
                plan->noise += run.rows * stack_noise(&n->learners[s].fuser.stacks[k]);
        plan->runs[(*used)++] = run;
        round->run_count++;
    }
    return good;
}

/* ---- The whole ---------------------------------------------------------------------------- */

static bool plan_lists(batch_plan *plan, const training_network *n, size_t sections) {
    arena *m = plan->memory;
    plan->sections = arena_alloc(m, plan->sample_count * sizeof *plan->sections);
    plan->order = arena_alloc(m, sections * sizeof *plan->order);
    plan->runs = arena_alloc(m, sections * sizeof *plan->runs);
    plan->rounds = arena_alloc(m, sections * sizeof *plan->rounds);
    plan->sharers = arena_alloc(m, n->pair_count * sizeof *plan->sharers);
    plan->sharer_rows = arena_alloc(m, n->pair_count * sizeof *plan->sharer_rows);
    plan->labels = arena_alloc(m, (size_t)most_tokens(plan) * sizeof *plan->labels);
    return plan->sections && plan->order && plan->runs && plan->rounds && plan->sharers &&
           plan->sharer_rows && plan->labels;
}

c2c_status batch_plan_make(batch_plan *plan, const training_network *n,
                           const training_sample *samples, size_t count, uint32_t first_sample,
                           c2c_error *error) {
    size_t sections = 0, runs = 0;
    arena_reset(plan->memory);
    *plan = (batch_plan){.memory = plan->memory,
                         .samples = samples,
                         .sample_count = count,
                         .first_sample = first_sample,
                         .integers = plan->integers,
                         .integer_room = plan->integer_room};
    for (size_t s = 0; s < count; s++)
        sections += samples[s].section_count;
    if (!plan_lists(plan, n, sections) || !find_sections(plan, n))
        return plan_memory(error);
    place_rows(plan, n);
    for (size_t r = 0; r < plan->round_count; r++)
        if (!plan_receiver_pass(plan, n, r) || !plan_runs(plan, n, r, &runs))
            return plan_memory(error);
    for (size_t p = 0; p < n->pair_count; p++)
        if (!plan_sharer_pass(plan, p))
            return plan_memory(error);
    plan->labels_at = plan->integer_count;
    for (int64_t i = 0; i < plan->graded; i++)
        if (!push_integer(plan, plan->labels[i]))
            return plan_memory(error);
    return C2C_STATUS_OK;
}
