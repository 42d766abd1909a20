/* tape.c - the backend that records. Ops run at once, recorded or not; what they read and write,
 * and what their backward ops need, the rules say.
 *
 * Three things are known at any moment of recording: what of the watched memory depends on learned
 * memory (needed), which copies still are what the memory holds (copies), and, inside a segment
 * that will be run again, what it has written or taken in itself (known). */
#include "graph/tape.h"

#include <stdlib.h>

static tape *tape_of(backend *b) {
    return (tape *)b;
}

void tape_fail(tape *t, const char *what) {
    if (!t->failed)
        error_set(&t->error, C2C_STATUS_OUT_OF_MEMORY,
                  "out of memory for %s of a training step; train with smaller batches, shorter "
                  "samples or \"recompute\"",
                  what);
    t->failed = true;
}

static void check_list(tape *t, bool grown) {
    if (!grown)
        tape_fail(t, "the tape");
}

/* ---- Watched memory ----------------------------------------------------------------------- */

c2c_status tape_watch(tape *t, tape_memory kind, const void *memory, size_t bytes, void *shadow,
                      c2c_error *error) {
    if (!list_grow((void **)&t->regions, &t->region_capacity, t->region_count + 1,
                   sizeof *t->regions))
        return error_memory(error, t->region_count * sizeof *t->regions, "the tape");
    uintptr_t begin = (uintptr_t)memory;
    size_t at = t->region_count++;
    for (; at > 0 && t->regions[at - 1].span.begin > begin; at--)
        t->regions[at] = t->regions[at - 1];
    t->regions[at] =
        (region){.span = {begin, begin + bytes}, .shadow = shadow, .kind = kind, .used = false};
    C2C_ASSERT(at == 0 || t->regions[at - 1].span.end <= begin);
    return C2C_STATUS_OK;
}

void tape_unwatch(tape *t) {
    C2C_ASSERT(t->record_count == 0);
    t->region_count = 0;
}

region *tape_region(const tape *t, const void *memory) {
    uintptr_t at = (uintptr_t)memory;
    size_t low = 0, high = t->region_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->regions[middle].span.end > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low < t->region_count && t->regions[low].span.begin <= at ? &t->regions[low] : NULL;
}

void tape_clear_gradients(tape *t) {
    bool listed = true;
    for (size_t i = 0; i < t->region_count; i++) {
        const region *r = &t->regions[i];
        uintptr_t begin = (uintptr_t)r->shadow;
        if (r->kind == TAPE_LEARNED)
            listed &= span_set_add(&t->empty, (span){begin, begin + (r->span.end - r->span.begin)});
    }
    if (!listed)
        tape_fail(t, "the tape");
}

float *tape_shadow(const tape *t, const void *memory) {
    const region *r = tape_region(t, memory);
    return r ? (float *)(void *)(r->shadow + ((uintptr_t)memory - r->span.begin)) : NULL;
}

bool tape_needs(const tape *t, const void *memory) {
    uintptr_t at = (uintptr_t)memory;
    return span_set_meets(&t->needed, (span){at, at + 1});
}

/* What an operand takes up of a watched piece: the piece itself where a table says which rows. */
static span span_within(const operand *o, int32_t group, const region *r) {
    return o->roles & OPERAND_WHOLE ? r->span : operand_span(o, group);
}

static bool depends(const tape *t, const operand *o, int32_t group) {
    const void *pointer = operand_pointer(o, group);
    const region *r = pointer ? tape_region(t, pointer) : NULL;
    if (!r)
        return false;
    return r->kind == TAPE_LEARNED || span_set_meets(&t->needed, span_within(o, group, r));
}

static bool operand_depends(const tape *t, const operand *o) {
    for (int32_t p = 0; p < o->groups; p++)
        if (depends(t, o, p))
            return true;
    return false;
}

static bool op_depends(const tape *t, const operand_list *list) {
    for (int i = 1; i < list->count; i++)
        if (list->items[i].roles & OPERAND_READ && operand_depends(t, &list->items[i]))
            return true;
    /* A sum that depends on something goes on doing so. */
    return list->items[0].roles & OPERAND_ADDED && operand_depends(t, &list->items[0]);
}

/* The op has been run: its copies are old, and its result depends on learned memory, or no more. */
static void note_written(tape *t, const operand *o, bool dependent) {
    for (int32_t p = 0; p < o->groups; p++) {
        const void *pointer = operand_pointer(o, p);
        region *r = pointer ? tape_region(t, pointer) : NULL;
        C2C_ASSERT(r || !dependent);
        if (!r)
            continue;
        span s = span_within(o, p, r);
        bool partial = o->roles & (OPERAND_WHOLE | OPERAND_ADDED);
        if (r->kind == TAPE_REUSED)
            copy_list_forget(&t->copies, s);
        if (dependent) {
            r->used = true;
            check_list(t, span_set_add(&t->needed, s));
        } else if (!partial) {
            check_list(t, span_set_remove(&t->needed, s));
        }
        if (t->in_segment && r->kind == TAPE_REUSED)
            check_list(t, span_set_add(&t->known, s));
    }
}

/* ---- Copies ------------------------------------------------------------------------------- */

bool reserve_tables(tape *t, int32_t groups) {
    if ((size_t)groups > t->table_room) {
        const void **grown = realloc(t->tables, (size_t)groups * 2 * sizeof *grown);
        if (!grown)
            return false;
        t->tables = grown;
        t->table_room = (size_t)groups;
    }
    return true;
}

void copy_groups(tape *t, const operand *o, const void **to, const void **from, int32_t groups) {
    C2C_ASSERT(o->size == sizeof(float));
    if (groups > 0)
        op_copy_rows(t->inner, &(copy_rows_args){.y = (void *const *)to,
                                                 .x = from,
                                                 .groups = groups,
                                                 .rows = o->rows,
                                                 .features = o->features,
                                                 .y_stride = o->stride,
                                                 .x_stride = o->stride});
}

/* Copies what of the operand lies in memory that will be written again and has no copy yet;
 * copies[p] (where it is not NULL) becomes where group p can be read. */
static bool copy_operand(tape *t, const operand *o, const void **copies) {
    int32_t fresh = 0;
    if (!reserve_tables(t, o->groups))
        return false;
    const void **to = t->tables, **from = t->tables + t->table_room;
    for (int32_t p = 0; p < o->groups; p++) {
        const void *pointer = operand_pointer(o, p);
        const region *r = pointer ? tape_region(t, pointer) : NULL;
        copies[p] = pointer;
        if (!r || r->kind != TAPE_REUSED)
            continue;
        span s = operand_span(o, p);
        void *memory = copy_list_find(&t->copies, s);
        if (!memory) {
            memory = store_take(&t->store, s.end - s.begin);
            if (!memory || !copy_list_add(&t->copies, (copy){s, memory}))
                return false;
            to[fresh] = memory;
            from[fresh++] = pointer;
        }
        copies[p] = memory;
    }
    copy_groups(t, o, to, from, fresh);
    return true;
}

void keep_operands(tape *t, record *r, bool after) {
    bool learns = false;
    for (int i = 1; i < r->list.count; i++)
        learns |= r->list.items[i].roles & OPERAND_LEARNS && r->list.items[i].gradients;
    for (int i = 0; i < r->list.count && !t->failed; i++) {
        operand *o = &r->list.items[i];
        bool kept = after ? o->roles & OPERAND_RESULT
                          : o->roles & OPERAND_KEPT || (o->roles & OPERAND_KEPT_TO_LEARN && learns);
        if (kept && o->groups > 0 && !copy_operand(t, o, o->copies))
            tape_fail(t, "activations");
    }
}

/* ---- Recording ---------------------------------------------------------------------------- */

void *tape_host_alloc(tape *t, size_t bytes) {
    void *memory = arena_alloc(t->host, bytes);
    if (!memory)
        tape_fail(t, "the tape");
    return memory;
}

/* The op's arguments and tables, to be read when the caller's are gone. */
static const void *copy_arguments(tape *t, op_kind kind, const void *args) {
    const op_info *info = &op_infos[kind];
    int32_t groups = 0;
    if (info->tables)
        memcpy(&groups, (const char *)args + info->groups_offset, sizeof groups);
    char *copied = tape_host_alloc(t, info->args_size);
    if (!copied)
        return NULL;
    memcpy(copied, args, info->args_size);
    for (int i = 0; i < info->tables; i++) {
        const void **table;
        memcpy(&table, copied + (size_t)i * sizeof table, sizeof table);
        if (!table)
            continue;
        void *own = tape_host_alloc(t, (size_t)groups * sizeof *table);
        if (!own)
            return NULL;
        memcpy(own, table, (size_t)groups * sizeof *table);
        memcpy(copied + (size_t)i * sizeof table, &own, sizeof own);
    }
    return copied;
}

/* Where the gradients of an operand are, as far as they are needed now. */
static bool find_gradients(tape *t, operand *o, bool written) {
    if (!written && !operand_depends(t, o))
        return true;
    o->gradients = tape_host_alloc(t, (size_t)o->groups * sizeof *o->gradients);
    for (int32_t p = 0; p < o->groups && o->gradients; p++)
        if (written || depends(t, o, p))
            o->gradients[p] = tape_shadow(t, operand_pointer(o, p));
    return o->gradients != NULL;
}

/* Whether what the op writes was another value before, whose gradient is another one. What it adds
 * to is the same value still, unless no gradient was needed of it. */
static bool shadow_dies(const tape *t, const operand *y) {
    const region *r = tape_region(t, operand_pointer(y, 0));
    return r && r->kind == TAPE_REUSED && !(y->roles & OPERAND_ADDED && operand_depends(t, y));
}

static record *record_new(tape *t, op_kind kind, const void *args, bool backward) {
    record *r = tape_host_alloc(t, sizeof *r);
    if (!r || !list_grow((void **)&t->records, &t->record_capacity, t->record_count + 1,
                         sizeof *t->records)) {
        tape_fail(t, "the tape");
        return NULL;
    }
    *r = (record){.kind = kind,
                  .backward = backward,
                  .segment = t->in_segment ? (int)t->segment_count - 1 : -1,
                  .wanted = t->wanted,
                  .args = copy_arguments(t, kind, args)};
    if (!r->args)
        return NULL;
    tape_rules[kind].operands(r->args, &r->list);
    r->dies = backward && shadow_dies(t, &r->list.items[0]);
    for (int i = 0; i < r->list.count && backward; i++) {
        operand *o = &r->list.items[i];
        if (o->groups == 0)
            continue;
        o->copies = tape_host_alloc(t, (size_t)o->groups * sizeof *o->copies);
        if (!o->copies)
            return NULL;
        for (int32_t p = 0; p < o->groups; p++)
            o->copies[p] = operand_pointer(o, p);
        if ((i == 0 || o->roles & OPERAND_READ) && !find_gradients(t, o, i == 0))
            return NULL;
    }
    t->records[t->record_count++] = r;
    return r;
}

/* Copies what the segment finds in reused memory the first time it reads it. */
static void take_inputs(tape *t, const operand_list *list) {
    for (int i = 0; i < list->count && !t->failed; i++) {
        const operand *o = &list->items[i];
        bool read = i > 0 || o->roles & OPERAND_ADDED;
        for (int32_t p = 0; read && p < o->groups && !t->failed; p++) {
            const void *pointer = operand_pointer(o, p);
            const region *r = pointer ? tape_region(t, pointer) : NULL;
            if (!r || r->kind != TAPE_REUSED)
                continue;
            operand one = *o;
            one.pointers = NULL;
            one.single = pointer;
            one.groups = 1;
            C2C_ASSERT(!(o->roles & OPERAND_WHOLE));
            span s = operand_span(&one, 0);
            const void *memory;
            if (span_set_covers(&t->known, s))
                continue;
            if (!copy_operand(t, &one, &memory) ||
                !copy_list_add(&t->inputs, (copy){s, (void *)memory}) ||
                !span_set_add(&t->known, s))
                tape_fail(t, "activations");
        }
    }
}

/* Rows with gaps, which other ops fill: what depends on learned memory is told by what the rows
 * take up, gaps included, so all of its writers must be there for its shadow to die. */
static bool is_patch(const tape *t, const operand *o) {
    return o->groups > 0 && o->rows > 1 && o->stride > o->features &&
           tape_region(t, operand_pointer(o, 0));
}

static void tape_run(backend *b, op_kind kind, const void *args) {
    tape *t = tape_of(b);
    record *r = NULL;
    operand_list list = {0};
    bool recorded = t->recording && !t->failed;
    if (recorded && tape_expand(t, kind, args))
        return;
    bool looked_at = recorded && tape_rules[kind].operands;
    bool dependent = false;
    if (looked_at) {
        tape_rules[kind].operands(args, &list);
        dependent = op_depends(t, &list) || is_patch(t, &list.items[0]);
        if (t->in_segment)
            take_inputs(t, &list);
        if (dependent || t->in_segment)
            r = record_new(t, kind, args, dependent);
    }
    bool keep = r && dependent && !t->in_segment;
    if (keep)
        keep_operands(t, r, false);
    backend_run(t->inner, kind, args);
    if (!looked_at)
        return;
    note_written(t, &list.items[0], dependent);
    if (keep)
        keep_operands(t, r, true);
}

/* ---- Steps -------------------------------------------------------------------------------- */

void tape_record(tape *t) {
    t->recording = true;
}

void tape_recompute_begin(tape *t) {
    C2C_ASSERT(!t->in_segment);
    if (!t->recording || t->failed)
        return;
    if (!list_grow((void **)&t->segments, &t->segment_capacity, t->segment_count + 1,
                   sizeof *t->segments)) {
        tape_fail(t, "the tape");
        return;
    }
    t->segments[t->segment_count++] =
        (segment){.first = t->record_count, .input_first = t->inputs.count};
    t->known.count = 0;
    t->in_segment = true;
}

void tape_recompute_end(tape *t) {
    if (!t->in_segment)
        return;
    segment *s = &t->segments[t->segment_count - 1];
    s->end = t->record_count;
    s->input_end = t->inputs.count;
    t->in_segment = false;
}

void tape_set_wanted(tape *t, const int32_t *wanted) {
    t->wanted = wanted;
}

void tape_reset(tape *t) {
    for (size_t i = 0; i < t->region_count; i++) {
        region *r = &t->regions[i];
        if (t->failed ? r->kind != TAPE_LEARNED : r->used && r->kind == TAPE_ONCE)
            op_zero(t->inner,
                    &(zero_args){.y = r->shadow, .bytes = (int64_t)(r->span.end - r->span.begin)});
        r->used = false;
    }
    t->recording = t->in_segment = t->failed = false;
    t->wanted = NULL;
    t->needed.count = t->known.count = t->empty.count = 0;
    t->copies.count = t->inputs.count = 0;
    t->record_count = t->segment_count = 0;
    arena_reset(t->host);
    store_reset(&t->store);
}

void tape_set_limit(tape *t, size_t bytes) {
    t->store.limit = bytes;
}

size_t tape_bytes(const tape *t) {
    return store_bytes(&t->store);
}

size_t tape_length(const tape *t) {
    return t->record_count;
}

/* ---- The backend -------------------------------------------------------------------------- */

static c2c_status inner_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    return backend_alloc(tape_of(b)->inner, memory, bytes, error);
}

static void inner_release(backend *b, void *memory) {
    backend_release(tape_of(b)->inner, memory);
}

static c2c_status inner_import(backend *b, const void **memory, const void *host, size_t bytes,
                               c2c_error *error) {
    return backend_import(tape_of(b)->inner, memory, host, bytes, error);
}

static void inner_release_import(backend *b, const void *memory) {
    backend_release_import(tape_of(b)->inner, memory);
}

static c2c_status inner_reserve(backend *b, size_t features, c2c_error *error) {
    return backend_reserve(tape_of(b)->inner, features, error);
}

static bool inner_wants_panels(backend *b, linear_math math, int64_t out, int64_t in,
                               int64_t bytes) {
    return backend_wants_panels(tape_of(b)->inner, math, out, in, bytes);
}

static void inner_upload(backend *b, void *memory, const void *host, size_t bytes) {
    backend_upload(tape_of(b)->inner, memory, host, bytes);
}

static void inner_download(backend *b, void *host, const void *memory, size_t bytes) {
    backend_download(tape_of(b)->inner, host, memory, bytes);
}

static void inner_sync(backend *b) {
    backend_sync(tape_of(b)->inner);
}

static void tape_class_close(backend *b) {
    tape_close(tape_of(b));
}

static const backend_class tape_class = {
    .name = "tape",
    .close = tape_class_close,
    .alloc = inner_alloc,
    .release = inner_release,
    .import = inner_import,
    .release_import = inner_release_import,
    .reserve = inner_reserve,
    .wants_panels = inner_wants_panels,
    .run = tape_run,
    .upload = inner_upload,
    .download = inner_download,
    .sync = inner_sync,
};

c2c_status tape_open(tape **out, backend *inner, c2c_error *error) {
    *out = NULL;
    tape *t = calloc(1, sizeof *t);
    if (!t)
        return error_memory(error, sizeof *t, "a tape");
    t->base.class = &tape_class;
    t->inner = inner;
    t->store.backend = inner;
    t->store.limit = SIZE_MAX;
    t->host = arena_new(1 << 16);
    if (!t->host) {
        free(t);
        return error_memory(error, 1 << 16, "a tape");
    }
    *out = t;
    return C2C_STATUS_OK;
}

backend *tape_backend(tape *t) {
    return &t->base;
}

void tape_close(tape *t) {
    if (!t)
        return;
    backend_sync(t->inner);
    store_deinit(&t->store);
    arena_free(t->host);
    free(t->regions);
    free(t->needed.items);
    free(t->empty.items);
    free(t->known.items);
    free(t->copies.items);
    free(t->inputs.items);
    free(t->records);
    free(t->segments);
    free(t->tables);
    free(t);
}
