/* bpe_word.c - byte pair encoding of one word: it starts as its characters and is merged pair by
 * pair, always the pair of the lowest rank, of equals the leftmost.
 *
 * Byte-level words arrive as bytes, whose tokens were found at loading. In long words a heap holds
 * the ranks of neighbours, so a word of n characters costs n log n, however long it is. Words are
 * cut where nothing can merge (bpe_seams.c), and what was merged once is looked up
 * (word_cache.c). */
#include "tokenizer/internal.h"

#include <stdlib.h>

#define NO_SYMBOL UINT32_MAX
#define NO_RANK   UINT32_MAX

/* ---- Scratch ------------------------------------------------------------------------------ */

typedef struct bpe_symbol {
    int32_t id;
    uint32_t length; /* bytes of the word; 0: merged into another */
    uint32_t previous, next;
    uint32_t rank;  /* of merging with the next one, NO_RANK: never */
    int32_t merged; /* the token that this would give */
} symbol;

/* Words of more units are merged with a heap, shorter ones by looking at all of them each time. */
#define SHORT_WORD 48
/* Longer words hardly come again. */
#define CACHE_WORD_BYTES 256
/* Below this a text does not pay for the cache's memory. */
#define CACHE_TEXT_BYTES 2048

/* Contents are not kept: every word starts anew. */
static c2c_status reserve_units(bpe_work *w, size_t count, c2c_error *error) {
    if (count <= w->unit_capacity)
        return C2C_STATUS_OK;
    size_t capacity = count < 4096 ? count * 2 + 64 : count;
    free(w->units);
    w->units = malloc(capacity * sizeof *w->units);
    w->unit_capacity = w->units ? capacity : 0;
    return w->units ? C2C_STATUS_OK : error_memory(error, capacity * sizeof *w->units, "a word");
}

static c2c_status reserve_symbols(bpe_work *w, size_t count, c2c_error *error) {
    if (count <= w->capacity)
        return C2C_STATUS_OK;
    size_t capacity = count < 4096 ? count * 2 : count;
    free(w->symbols);
    free(w->heap);
    /* A symbol enters the heap once, and two with every merge. */
    w->symbols = malloc(capacity * sizeof *w->symbols);
    w->heap = malloc(capacity * 3 * sizeof *w->heap);
    w->capacity = w->symbols && w->heap ? capacity : 0;
    return w->capacity ? C2C_STATUS_OK
                       : error_memory(error, capacity * sizeof *w->symbols, "a word");
}

void bpe_work_free(bpe_work *w) {
    free(w->units);
    free(w->symbols);
    free(w->heap);
    word_cache_free(w->cache);
    buffer_free(&w->text);
    *w = (bpe_work){0};
}

/* ---- Splitting and merging ---------------------------------------------------------------- */

static void add_unit(bpe_unit *units, uint32_t *count, int32_t id, size_t length) {
    units[(*count)++] = (bpe_unit){id, (uint32_t)length};
}

/* Characters that the vocabulary lacks become bytes ("<0x0A>") or the unknown token, or nothing.
 * As in Hugging Face, an unknown token waits for what follows, since it may grow; bytes pass it. */
static uint32_t split_word(const bpe *b, piece word, bool byte_level, bpe_unit *units) {
    uint32_t count = 0;
    size_t waiting = 0; /* bytes of an unknown token not yet added */
    for (size_t i = 0, size = 1; i < word.length; i += size) {
        int32_t id;
        if (byte_level) {
            id = b->bytes[(uint8_t)word.bytes[i]];
        } else {
            uint32_t character = utf8_read(word.bytes + i, &size);
            id = bpe_character(b, word.bytes + i, size, character);
        }
        bool fallback = id < 0 && b->byte_fallback;
        for (size_t j = 0; j < size && fallback; j++)
            fallback = b->fallback[(uint8_t)word.bytes[i + j]] >= 0;
        if (fallback) {
            for (size_t j = 0; j < size; j++)
                add_unit(units, &count, b->fallback[(uint8_t)word.bytes[i + j]], 1);
            continue;
        }
        if (id < 0 && b->unknown < 0)
            continue;
        if (waiting > 0 && (id >= 0 || !b->fuse_unknown)) {
            add_unit(units, &count, b->unknown, waiting);
            waiting = 0;
        }
        if (id >= 0)
            add_unit(units, &count, id, size);
        else
            waiting += size;
    }
    if (waiting > 0)
        add_unit(units, &count, b->unknown, waiting);
    return count;
}

/* A binary heap with the smallest number on top; rank and position are one number. */
static void heap_push(uint64_t *heap, size_t *count, uint64_t value) {
    size_t i = (*count)++;
    for (; i > 0 && heap[(i - 1) / 2] > value; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *count) {
    uint64_t top = heap[0], last = heap[--*count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *count; i = child) {
        if (child + 1 < *count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* Notes what merging symbol i with its next one gives (NULL: nothing), in the heap too: by rank
 * first, then by position. */
static void note(bpe_work *w, size_t *heap_count, uint32_t i, const bpe_merge *m) {
    symbol *s = &w->symbols[i];
    s->rank = m ? m->rank : NO_RANK;
    if (s->rank == NO_RANK)
        return;
    s->merged = m->merged;
    heap_push(w->heap, heap_count, (uint64_t)m->rank << 32 | i);
}

/* After a merge both neighbours have new pairs; what they had noted before is stale. */
static void consider(const bpe *b, bpe_work *w, size_t *heap_count, uint32_t i) {
    const symbol *s = &w->symbols[i];
    note(w, heap_count, i,
         s->next == NO_SYMBOL ? NULL : bpe_find_merge(b, s->id, w->symbols[s->next].id));
}

/* Merging with the heap. `bytes`: the word, where its units are its bytes; else NULL. */
static c2c_status merge_long(const bpe *b, bpe_work *w, uint32_t *count, const char *bytes,
                             c2c_error *error) {
    c2c_status status = reserve_symbols(w, *count, error);
    if (status != C2C_STATUS_OK)
        return status;
    symbol *symbols = w->symbols;
    size_t heap_count = 0;
    for (uint32_t i = 0; i < *count; i++)
        symbols[i] = (symbol){.id = w->units[i].id,
                              .length = w->units[i].length,
                              .previous = i > 0 ? i - 1 : NO_SYMBOL,
                              .next = i + 1 < *count ? i + 1 : NO_SYMBOL};
    for (uint32_t i = 0; i < *count; i++)
        if (bytes && i + 1 < *count)
            note(w, &heap_count, i, &b->byte_pairs[(uint8_t)bytes[i] << 8 | (uint8_t)bytes[i + 1]]);
        else
            consider(b, w, &heap_count, i);
    while (heap_count > 0) {
        uint64_t top = heap_pop(w->heap, &heap_count);
        uint32_t i = (uint32_t)top;
        symbol *s = &symbols[i];
        /* Stale where the pair has changed since; ranks are unique to a pair. */
        if (s->length == 0 || s->rank != (uint32_t)(top >> 32))
            continue;
        symbol *right = &symbols[s->next];
        s->id = s->merged;
        s->length += right->length;
        s->next = right->next;
        right->length = 0;
        if (s->next != NO_SYMBOL)
            symbols[s->next].previous = i;
        if (s->previous != NO_SYMBOL)
            consider(b, w, &heap_count, s->previous);
        consider(b, w, &heap_count, i);
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (symbols[i].length > 0)
            w->units[left++] = (bpe_unit){symbols[i].id, symbols[i].length};
    *count = left;
    return C2C_STATUS_OK;
}

/* The rank of merging units i and i + 1 and the token that this gives. */
static uint32_t rank_of(const bpe *b, const bpe_unit *units, uint32_t i, int32_t *merged) {
    const bpe_merge *m = bpe_find_merge(b, units[i].id, units[i + 1].id);
    if (!m)
        return NO_RANK;
    *merged = m->merged;
    return m->rank;
}

/* The same for few units, side by side in memory: the lowest rank is looked for among all. */
static uint32_t merge_short(const bpe *b, bpe_unit *units, uint32_t count, const char *bytes) {
    uint32_t ranks[SHORT_WORD];
    int32_t merged[SHORT_WORD];
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (bytes) {
            const bpe_merge *m = &b->byte_pairs[(uint8_t)bytes[i] << 8 | (uint8_t)bytes[i + 1]];
            ranks[i] = m->rank;
            merged[i] = m->merged;
        } else {
            ranks[i] = rank_of(b, units, i, &merged[i]);
        }
    }
    while (count > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < count; i++)
            best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == NO_RANK)
            break;
        units[best].id = merged[best];
        units[best].length += units[best + 1].length;
        count--;
        for (uint32_t i = best + 1; i < count; i++) {
            units[i] = units[i + 1];
            ranks[i - 1] = ranks[i];
            merged[i - 1] = merged[i];
        }
        if (best > 0)
            ranks[best - 1] = rank_of(b, units, best - 1, &merged[best - 1]);
        if (best + 1 < count)
            ranks[best] = rank_of(b, units, best, &merged[best]);
    }
    return count;
}

/* ---- One word ----------------------------------------------------------------------------- */

/* The token that is the whole word, -1 when there is none. */
static int32_t find_whole(const bpe *b, bpe_work *w, piece word, bool byte_level,
                          c2c_status *status, c2c_error *error) {
    *status = C2C_STATUS_OK;
    if (!byte_level)
        return vocabulary_find_model(b->vocabulary, word.bytes, word.length);
    if (word.length > b->vocabulary->longest)
        return -1;
    buffer_clear(&w->text);
    for (size_t i = 0; i < word.length; i++) {
        char text[4];
        buffer_append(&w->text, text,
                      utf8_write(byte_level_character((uint8_t)word.bytes[i]), text));
    }
    if (w->text.failed) {
        *status = error_memory(error, 2 * word.length, "a word");
        return -1;
    }
    return vocabulary_find_model(b->vocabulary, w->text.data, w->text.length);
}

/* Ids repeat, offsets do not: they come from this word's own place. */
static c2c_status emit_units(encoder *e, piece word, const bpe_unit *units, size_t count) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0, start = 0; i < count && status == C2C_STATUS_OK; i++) {
        size_t end = start + units[i].length;
        status = encoder_emit(e, units[i].id, piece_origin(word, start, end));
        start = end;
    }
    return status;
}

/* The cache, for words that it may hold; NULL where there is none. */
static word_cache *cache_for(encoder *e, size_t length) {
    bpe_work *w = &e->bpe;
    if (length > CACHE_WORD_BYTES || e->length < CACHE_TEXT_BYTES)
        return NULL;
    if (!w->cache && !w->cache_failed) {
        w->cache = word_cache_new(e->length);
        w->cache_failed = !w->cache; /* then all words are merged */
    }
    return w->cache;
}

/* A whole word, or a part of one between seams: the cache first, then the whole word where the
 * model wants that, then merging. */
static c2c_status encode_part(const bpe *b, encoder *e, piece word, bool byte_level, bool part) {
    word_key key;
    size_t known;
    word_cache *cache = cache_for(e, word.length);
    const bpe_unit *units =
        cache ? word_cache_find(cache, &key, word.bytes, word.length, part, &known) : NULL;
    if (units)
        return emit_units(e, word, units, known);
    c2c_status status = reserve_units(&e->bpe, word.length, e->error);
    if (status != C2C_STATUS_OK)
        return status;
    uint32_t count = 0;
    if (b->ignore_merges && !part) {
        int32_t id = find_whole(b, &e->bpe, word, byte_level, &status, e->error);
        if (id >= 0)
            add_unit(e->bpe.units, &count, id, word.length);
    }
    if (status == C2C_STATUS_OK && count == 0) {
        const char *bytes = byte_level ? word.bytes : NULL;
        count = split_word(b, word, byte_level, e->bpe.units);
        if (count <= SHORT_WORD)
            count = merge_short(b, e->bpe.units, count, bytes);
        else
            status = merge_long(b, &e->bpe, &count, bytes, e->error);
    }
    if (status != C2C_STATUS_OK)
        return status;
    if (cache)
        word_cache_add(cache, &key, word.bytes, e->bpe.units, count);
    return emit_units(e, word, e->bpe.units, count);
}

/* ASCII words have no seams that are looked for: see bpe_seams.c. */
static bool is_ascii(piece word) {
    for (size_t i = 0; i < word.length; i++)
        if ((unsigned char)word.bytes[i] >= 0x80)
            return false;
    return true;
}

c2c_status bpe_encode(const bpe *b, encoder *e, piece word, bool byte_level) {
    if (byte_level && is_ascii(word))
        return encode_part(b, e, word, true, false);
    c2c_status status = C2C_STATUS_OK;
    for (size_t start = 0, end; start < word.length && status == C2C_STATUS_OK; start = end) {
        int32_t alone = -1;
        end = byte_level ? bpe_seam_bytes(b, word, start) : bpe_seam(b, word, start, &alone);
        if (alone >= 0) { /* nothing to merge */
            status = encoder_emit(e, alone, piece_origin(word, start, end));
            continue;
        }
        /* A token that is the whole word would have held the seam. */
        bool part = start > 0 || end < word.length;
        status = encode_part(b, e, piece_slice(word, start, end), byte_level, part);
    }
    return status;
}
