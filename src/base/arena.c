/* arena.c - memory given out in pieces and freed at once; blocks double in size up to a limit, so
 * that one large piece does not make every later block large. A piece beyond the limit comes from
 * the system and goes back to it: malloc would keep such memory, where later pieces lie behind it.
 */
#define _GNU_SOURCE
#include "base/base.h"

#include <stdlib.h>
#include <sys/mman.h>

#define ALIGNMENT    16
#define LARGEST_STEP ((size_t)1 << 20)

typedef struct block {
    struct block *next;
    size_t size, used; /* bytes behind this header */
} block;

struct arena {
    block *first, *current;
    size_t next_size;
};

#define HEADER ((sizeof(block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static block *block_new(size_t size) {
    size_t total;
    if (!size_add(size, HEADER, &total))
        return NULL;
    block *b = size <= LARGEST_STEP
                   ? malloc(total)
                   : mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!b || b == MAP_FAILED)
        return NULL;
    *b = (block){.size = size};
    return b;
}

static void block_free(block *b) {
    if (b->size <= LARGEST_STEP)
        free(b);
    else
        munmap(b, b->size + HEADER);
}

arena *arena_new(size_t first_block) {
    arena *a = malloc(sizeof *a);
    if (!a)
        return NULL;
    size_t size = first_block < 256 ? 256 : first_block;
    a->first = a->current = block_new(size);
    a->next_size = size < LARGEST_STEP / 2 ? size * 2 : LARGEST_STEP;
    if (!a->first) {
        free(a);
        return NULL;
    }
    return a;
}

void arena_free(arena *a) {
    if (!a)
        return;
    for (block *b = a->first, *next; b; b = next) {
        next = b->next;
        block_free(b);
    }
    free(a);
}

/* Makes a->current a block with `size` free bytes: a later one kept by a reset, or a new one. */
static bool next_block(arena *a, size_t size) {
    while (a->current->next) {
        a->current = a->current->next;
        a->current->used = 0;
        if (a->current->size >= size)
            return true;
    }
    size_t wanted = size > a->next_size ? size : a->next_size;
    block *b = block_new(wanted);
    if (!b)
        return false;
    a->next_size = a->next_size < LARGEST_STEP / 2 ? a->next_size * 2 : LARGEST_STEP;
    a->current->next = b;
    a->current = b;
    return true;
}

void *arena_alloc(arena *a, size_t bytes) {
    size_t size;
    if (!size_add(bytes ? bytes : 1, ALIGNMENT - 1, &size))
        return NULL;
    size = size / ALIGNMENT * ALIGNMENT;
    if (a->current->size - a->current->used < size && !next_block(a, size))
        return NULL;
    char *piece = (char *)a->current + HEADER + a->current->used;
    a->current->used += size;
    return memset(piece, 0, size);
}

char *arena_copy(arena *a, const char *bytes, size_t length) {
    size_t size;
    char *copy = size_add(length, 1, &size) ? arena_alloc(a, size) : NULL;
    if (copy && length)
        memcpy(copy, bytes, length);
    return copy;
}

void arena_reset(arena *a) {
    a->current = a->first;
    a->first->used = 0;
}

size_t arena_used(const arena *a) {
    size_t used = 0;
    for (const block *b = a->first; b; b = b == a->current ? NULL : b->next)
        used += b->used;
    return used;
}
