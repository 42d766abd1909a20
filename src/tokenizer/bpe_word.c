/* bpe_word.c - byte pair encoding of one word: it starts as its characters and is merged pair by
 * pair, always the pair of the lowest rank, of equals the leftmost.
 *
 * Byte-level words arrive as bytes, whose tokens were found at loading. A heap holds the ranks of
 * neighbours, so a word of n characters costs n log n, however long it is. */
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

/* Words that come again are looked up, not merged again: most words of a long text do. Rows are
 * chosen by hash and overwritten. */
#define CACHE_ROWS   2048
#define CACHE_BYTES  24
#define CACHE_TOKENS 6

typedef struct bpe_cached {
    uint8_t length, count; /* length 0: a free row */
    uint8_t ends[CACHE_TOKENS];
    int32_t ids[CACHE_TOKENS];
    char bytes[CACHE_BYTES]; /* zeros behind the word */
} cached;

/* Below this a text does not pay for the cache's memory. */
#define CACHE_TEXT_BYTES 2048

/* Contents are not kept: every word starts anew. */
static c2c_status work_reserve(bpe_work *w, size_t symbols, c2c_error *error) {
    if (symbols <= w->capacity)
        return C2C_STATUS_OK;
    size_t capacity = symbols < 4096 ? symbols * 2 + 64 : symbols;
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
    free(w->symbols);
    free(w->heap);
    free(w->cache);
    buffer_free(&w->text);
    *w = (bpe_work){0};
}

/* ---- Splitting and merging ---------------------------------------------------------------- */

static void add_symbol(symbol *symbols, uint32_t *count, int32_t id, size_t length) {
    symbols[(*count)++] = (symbol){.id = id, .length = (uint32_t)length};
}

/* Characters that the vocabulary lacks become bytes ("<0x0A>") or the unknown token, or nothing.
 * As in Hugging Face, an unknown token waits for what follows, since it may grow; bytes pass it. */
static uint32_t split_word(const bpe *b, piece word, bool byte_level, symbol *symbols) {
    uint32_t count = 0;
    size_t waiting = 0; /* bytes of an unknown token not yet added */
    for (size_t i = 0, size = 1; i < word.length; i += size) {
        int32_t id;
        if (byte_level) {
            id = b->bytes[(uint8_t)word.bytes[i]];
        } else {
            utf8_read(word.bytes + i, &size);
            id = vocabulary_find_model(b->vocabulary, word.bytes + i, size);
        }
        bool fallback = id < 0 && b->byte_fallback;
        for (size_t j = 0; j < size && fallback; j++)
            fallback = b->fallback[(uint8_t)word.bytes[i + j]] >= 0;
        if (fallback) {
            for (size_t j = 0; j < size; j++)
                add_symbol(symbols, &count, b->fallback[(uint8_t)word.bytes[i + j]], 1);
            continue;
        }
        if (id < 0 && b->unknown < 0)
            continue;
        if (waiting > 0 && (id >= 0 || !b->fuse_unknown)) {
            add_symbol(symbols, &count, b->unknown, waiting);
            waiting = 0;
        }
        if (id >= 0)
            add_symbol(symbols, &count, id, size);
        else
            waiting += size;
    }
    if (waiting > 0)
        add_symbol(symbols, &count, b->unknown, waiting);
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

/* `bytes`: the word, where its symbols are its bytes; else NULL. */
static void merge_word(const bpe *b, bpe_work *w, uint32_t count, const char *bytes) {
    symbol *symbols = w->symbols;
    size_t heap_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        symbols[i].previous = i > 0 ? i - 1 : NO_SYMBOL;
        symbols[i].next = i + 1 < count ? i + 1 : NO_SYMBOL;
    }
    for (uint32_t i = 0; i < count; i++)
        if (bytes && i + 1 < count)
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
}

/* ---- The cache ---------------------------------------------------------------------------- */

/* Where this word belongs; *key becomes its bytes with zeros behind. */
static cached *cache_row(bpe_work *w, piece word, char key[CACHE_BYTES]) {
    uint64_t h = word.length, part;
    memset(key, 0, CACHE_BYTES);
    memcpy(key, word.bytes, word.length);
    for (size_t i = 0; i < CACHE_BYTES; i += sizeof part) {
        memcpy(&part, key + i, sizeof part);
        h = (h ^ part) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return &w->cache[h % CACHE_ROWS];
}

/* The row that holds this word or may hold it; NULL when it is not for the cache. */
static cached *cache_find(encoder *e, piece word, bool *hit) {
    char key[CACHE_BYTES];
    bpe_work *w = &e->bpe;
    *hit = false;
    if (word.length > CACHE_BYTES || e->length < CACHE_TEXT_BYTES)
        return NULL;
    if (!w->cache) /* without memory for it there is no cache */
        w->cache = calloc(CACHE_ROWS, sizeof *w->cache);
    if (!w->cache)
        return NULL;
    cached *row = cache_row(w, word, key);
    *hit = row->length == word.length && memcmp(row->bytes, key, CACHE_BYTES) == 0;
    if (!*hit) {
        memcpy(row->bytes, key, CACHE_BYTES);
        row->length = 0;
        row->count = 0;
    }
    return row;
}

/* Ids repeat, offsets do not: they come from this word's own place. */
static c2c_status emit_cached(encoder *e, piece word, const cached *row) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0, start = 0; i < row->count && status == C2C_STATUS_OK; i++) {
        status = encoder_emit(e, row->ids[i], piece_origin(word, start, row->ends[i]));
        start = row->ends[i];
    }
    return status;
}

/* One token of the word in a row that is being filled; a row that is too small stays free. */
static void cache_token(cached *row, int32_t id, size_t end) {
    if (row->count < CACHE_TOKENS) {
        row->ids[row->count] = id;
        row->ends[row->count] = (uint8_t)end;
    }
    row->count++;
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

/* Emits the tokens of a word that was merged; `row` may be NULL. */
static c2c_status emit_symbols(encoder *e, piece word, uint32_t count, cached *row) {
    c2c_status status = C2C_STATUS_OK;
    size_t start = 0;
    for (uint32_t i = 0; i < count && status == C2C_STATUS_OK; i++) {
        const symbol *s = &e->bpe.symbols[i];
        if (s->length == 0)
            continue;
        status = encoder_emit(e, s->id, piece_origin(word, start, start + s->length));
        start += s->length;
        if (row)
            cache_token(row, s->id, start);
    }
    if (row && row->count <= CACHE_TOKENS)
        row->length = (uint8_t)word.length;
    return status;
}

/* The cache first, then the whole word where the model wants that, then merging. */
static c2c_status encode_word(const bpe *b, encoder *e, piece word, bool byte_level) {
    bool hit;
    cached *row = cache_find(e, word, &hit);
    if (hit)
        return emit_cached(e, word, row);
    c2c_status status = C2C_STATUS_OK;
    if (b->ignore_merges) {
        int32_t id = find_whole(b, &e->bpe, word, byte_level, &status, e->error);
        if (status != C2C_STATUS_OK)
            return status;
        if (id >= 0)
            return encoder_emit(e, id, piece_origin(word, 0, word.length));
    }
    status = work_reserve(&e->bpe, word.length, e->error);
    if (status != C2C_STATUS_OK)
        return status;
    uint32_t count = split_word(b, word, byte_level, e->bpe.symbols);
    merge_word(b, &e->bpe, count, byte_level ? word.bytes : NULL);
    return emit_symbols(e, word, count, row);
}

/* The end of the part that starts at `start`: before the next mark that has another character
 * before it. */
static size_t part_end(piece word, size_t start) {
    for (size_t i = start + 1; i + 2 < word.length; i++) {
        const char *mark = memchr(word.bytes + i, 0xe2, word.length - i);
        if (!mark)
            break;
        i = (size_t)(mark - word.bytes);
        if (word.length - i >= 3 && memcmp(mark, "\xe2\x96\x81", 3) == 0 &&
            (i < 3 || memcmp(mark - 3, "\xe2\x96\x81", 3) != 0))
            return i;
    }
    return word.length;
}

c2c_status bpe_encode(const bpe *b, encoder *e, piece word, bool byte_level) {
    if (byte_level || !b->starts_at_mark)
        return encode_word(b, e, word, byte_level);
    c2c_status status = C2C_STATUS_OK;
    for (size_t start = 0, end; start < word.length && status == C2C_STATUS_OK; start = end) {
        end = part_end(word, start);
        status = encode_word(b, e, piece_slice(word, start, end), false);
    }
    return status;
}
