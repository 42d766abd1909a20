/* word_cache.c - the tokens of words that were seen before, for one text: most words of a long text
 * come again. Slots by hash lead into a log of entries; when the slots or the log are full, all is
 * forgotten and filled anew, so a cache never grows. It belongs to one call, so it needs no lock.
 */
#include "tokenizer/internal.h"

#include <stdlib.h>

#define SLOTS_LEAST 1024
#define SLOTS_MOST  65536
#define SLOT_LOG    24 /* bytes of the log for a slot: half as many words, of twice the bytes */
#define PROBES      8  /* a text may make its words collide: then they are merged, not looked up */

typedef struct slot {
    uint32_t hash;
    uint32_t at; /* of its entry, plus 1; 0: free */
} slot;

struct word_cache {
    slot *slots;
    char *log;
    size_t mask, used;
    size_t length, capacity; /* of the log */
};

/* An entry is followed by its units and then by the word. */
typedef struct entry {
    uint32_t length; /* times 2, plus 1 for a part of a word */
    uint32_t count;
} entry;

word_cache *word_cache_new(size_t text_length) {
    size_t slots = SLOTS_LEAST;
    while (slots < SLOTS_MOST && slots < text_length / 16)
        slots *= 2;
    word_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->mask = slots - 1;
    c->capacity = slots * SLOT_LOG;
    c->slots = calloc(slots, sizeof *c->slots);
    c->log = malloc(c->capacity);
    if (!c->slots || !c->log) {
        word_cache_free(c);
        return NULL;
    }
    return c;
}

void word_cache_free(word_cache *c) {
    if (!c)
        return;
    free(c->slots);
    free(c->log);
    free(c);
}

/* ---- Words as numbers --------------------------------------------------------------------- */

static uint64_t read_8(const char *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t read_4(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Bytes at the ends are read twice rather than one by one. */
static uint64_t read_short(const char *p, size_t length) {
    if (length >= 4)
        return read_4(p) << 32 | read_4(p + length - 4);
    return (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[length / 2] << 8 |
           (uint8_t)p[length - 1];
}

static uint64_t mix(uint64_t h) {
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint32_t word_hash(const char *word, size_t length, uint32_t key) {
    uint64_t h = key;
    if (length < 8) {
        h = mix(h << 56 ^ read_short(word, length));
    } else {
        for (size_t i = 0; i + 8 < length; i += 8)
            h = mix(h ^ read_8(word + i));
        h = mix(h ^ read_8(word + length - 8));
    }
    return (uint32_t)(mix(h) >> 16);
}

static bool same_word(const char *a, const char *b, size_t length) {
    if (length < 8)
        return read_short(a, length) == read_short(b, length);
    for (size_t i = 0; i + 8 < length; i += 8)
        if (read_8(a + i) != read_8(b + i))
            return false;
    return read_8(a + length - 8) == read_8(b + length - 8);
}

/* ---- Looking up and adding ---------------------------------------------------------------- */

const bpe_unit *word_cache_find(const word_cache *c, word_key *key, const char *word, size_t length,
                                bool part, size_t *count) {
    uint32_t tag = (uint32_t)length << 1 | part;
    key->hash = word_hash(word, length, tag);
    key->tag = tag;
    for (size_t i = key->hash & c->mask, n = 0; n < PROBES; n++, i = (i + 1) & c->mask) {
        const slot *s = &c->slots[i];
        if (!s->at)
            return NULL;
        if (s->hash != key->hash)
            continue;
        entry e;
        const char *at = c->log + s->at - 1;
        memcpy(&e, at, sizeof e);
        const bpe_unit *units = (const bpe_unit *)(at + sizeof e);
        if (e.length == tag && same_word((const char *)(units + e.count), word, length)) {
            *count = e.count;
            return units;
        }
    }
    return NULL;
}

void word_cache_add(word_cache *c, const word_key *key, const char *word, const bpe_unit *units,
                    size_t count) {
    size_t length = key->tag >> 1;
    /* Entries start at multiples of 8, as their units want it. */
    size_t bytes = (sizeof(entry) + count * sizeof *units + length + 7) & ~(size_t)7;
    if (bytes > c->capacity)
        return;
    if (c->used > c->mask / 2 || c->length + bytes > c->capacity) {
        memset(c->slots, 0, (c->mask + 1) * sizeof *c->slots);
        c->used = c->length = 0;
    }
    size_t i = key->hash & c->mask;
    for (int n = 0; c->slots[i].at; n++, i = (i + 1) & c->mask)
        if (n == PROBES)
            return;
    const entry e = {key->tag, (uint32_t)count};
    char *at = c->log + c->length;
    memcpy(at, &e, sizeof e);
    memcpy(at + sizeof e, units, count * sizeof *units);
    memcpy(at + sizeof e + count * sizeof *units, word, length);
    c->slots[i] = (slot){key->hash, (uint32_t)c->length + 1};
    c->length += bytes;
    c->used++;
}
