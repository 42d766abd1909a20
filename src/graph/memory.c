/* memory.c - sets of spans of memory, copies, and the backend memory that copies lie in. Knows no
 * ops. Lists grow by doubling and keep their room, so that steps of one size ask for none. */
#include "graph/tape.h"

#include <stdlib.h>

bool list_grow(void **items, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity)
        return true;
    size_t room = *capacity ? *capacity * 2 : 64, bytes;
    while (room < count)
        room *= 2;
    void *grown = size_mul(room, size, &bytes) ? realloc(*items, bytes) : NULL;
    if (!grown)
        return false;
    *items = grown;
    *capacity = room;
    return true;
}

/* ---- Sets of spans ------------------------------------------------------------------------ */

/* The first span that ends behind `at`. */
static size_t find_span(const span_set *set, uintptr_t at) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle].end > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool span_set_meets(const span_set *set, span s) {
    size_t i = find_span(set, s.begin);
    return i < set->count && set->items[i].begin < s.end;
}

bool span_set_covers(const span_set *set, span s) {
    size_t i = find_span(set, s.begin);
    return i < set->count && set->items[i].begin <= s.begin && set->items[i].end >= s.end;
}

/* Puts `count` (0 to 2) spans in the place of those from first to end - 1. */
static bool replace_spans(span_set *set, size_t first, size_t end, const span *with, size_t count) {
    size_t after = set->count - (end - first) + count;
    if (!list_grow((void **)&set->items, &set->capacity, after, sizeof *set->items))
        return false;
    if (set->count > end)
        memmove(set->items + first + count, set->items + end,
                (set->count - end) * sizeof *set->items);
    for (size_t i = 0; i < count; i++)
        set->items[first + i] = with[i];
    set->count = after;
    return true;
}

bool span_set_add(span_set *set, span s) {
    /* Neighbours grow together, so that the buffers of many groups are one span. */
    size_t first = find_span(set, s.begin ? s.begin - 1 : 0), end = first;
    for (; end < set->count && set->items[end].begin <= s.end; end++) {
        s.begin = set->items[end].begin < s.begin ? set->items[end].begin : s.begin;
        s.end = set->items[end].end > s.end ? set->items[end].end : s.end;
    }
    return replace_spans(set, first, end, &s, 1);
}

bool span_set_remove(span_set *set, span s) {
    size_t first = find_span(set, s.begin), end = first, left = 0;
    span rest[2];
    for (; end < set->count && set->items[end].begin < s.end; end++) {
        if (set->items[end].begin < s.begin)
            rest[left++] = (span){set->items[end].begin, s.begin};
        if (set->items[end].end > s.end)
            rest[left++] = (span){s.end, set->items[end].end};
    }
    return replace_spans(set, first, end, rest, left);
}

bool span_set_take(span_set *set, span s, span *part, bool *whole) {
    size_t i = find_span(set, s.begin);
    if (i >= set->count || set->items[i].begin >= s.end)
        return false;
    part->begin = set->items[i].begin > s.begin ? set->items[i].begin : s.begin;
    part->end = set->items[i].end < s.end ? set->items[i].end : s.end;
    *whole = span_set_remove(set, *part);
    return true;
}

/* ---- Copies ------------------------------------------------------------------------------- */

bool copy_list_add(copy_list *list, copy c) {
    if (!list_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items))
        return false;
    list->items[list->count++] = c;
    return true;
}

void *copy_list_find(const copy_list *list, span of) {
    for (size_t i = list->count; i-- > 0;)
        if (list->items[i].of.begin == of.begin && list->items[i].of.end >= of.end)
            return list->items[i].memory;
    return NULL;
}

void copy_list_forget(copy_list *list, span written) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].of.end <= written.begin || list->items[i].of.begin >= written.end)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

/* ---- Where copies lie --------------------------------------------------------------------- */

#define STORE_FIRST_BLOCK ((size_t)4 << 20)

/* So many blocks become one when the store is reset. A few stay as they are: a new one would have
 * to be touched for the first time, which takes the system longer than a step should. */
#define STORE_MERGE_BLOCKS (STORE_MAX_BLOCKS / 2)

size_t store_bytes(const store *s) {
    size_t bytes = 0;
    for (int i = 0; i < s->count; i++)
        bytes += s->blocks[i].most_used;
    return bytes;
}

static size_t blocks_bytes(const store *s) {
    size_t bytes = 0;
    for (int i = 0; i < s->count; i++)
        bytes += s->blocks[i].bytes;
    return bytes;
}

/* Blocks double in size, so that the room is never used up by their number. */
static bool add_block(store *s, size_t bytes) {
    size_t wanted = s->count ? s->blocks[s->count - 1].bytes : STORE_FIRST_BLOCK / 2;
    size_t held = blocks_bytes(s), left = s->limit > held ? s->limit - held : 0;
    void *memory;
    wanted = wanted < ((size_t)256 << 20) ? wanted * 2 : wanted;
    wanted = wanted > left ? left : wanted;
    wanted = wanted < bytes ? bytes : wanted;
    if (s->count == STORE_MAX_BLOCKS || wanted > left ||
        backend_alloc_whole(s->backend, &memory, wanted, NULL))
        return false;
    s->blocks[s->count++] = (store_block){.memory = memory, .bytes = wanted};
    return true;
}

void *store_take(store *s, size_t bytes) {
    bytes = (bytes + 63) & ~(size_t)63;
    for (;; s->current++) {
        if (s->current == s->count && !add_block(s, bytes))
            return NULL;
        store_block *block = &s->blocks[s->current];
        if (block->bytes - block->used < bytes)
            continue;
        block->used += bytes;
        block->most_used = block->used > block->most_used ? block->used : block->most_used;
        return block->memory + block->used - bytes;
    }
}

store_mark store_position(const store *s) {
    return (store_mark){s->current, s->current < s->count ? s->blocks[s->current].used : 0};
}

void store_return(store *s, store_mark to) {
    for (int i = to.current; i < s->count && i <= s->current; i++)
        s->blocks[i].used = i == to.current ? to.used : 0;
    s->current = to.current;
}

void store_reset(store *s) {
    size_t bytes = blocks_bytes(s);
    void *memory;
    store_return(s, (store_mark){0});
    if (s->count < STORE_MERGE_BLOCKS)
        return;
    backend_sync(s->backend); /* queued ops may name the blocks */
    store_deinit(s);
    if (!backend_alloc(s->backend, &memory, bytes, NULL))
        s->blocks[s->count++] = (store_block){.memory = memory, .bytes = bytes};
}

void store_deinit(store *s) {
    for (int i = 0; i < s->count; i++)
        backend_release(s->backend, s->blocks[i].memory);
    s->count = s->current = 0;
}
