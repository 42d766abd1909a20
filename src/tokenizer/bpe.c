/* bpe.c - the "BPE" model of tokenizer.json: a word starts as its characters and is merged pair by
 * pair, always the pair of the lowest rank, of equals the leftmost.
 *
 * Byte-level words arrive as bytes; the token of each byte's character is found once, at loading.
 * A heap holds the ranks of neighbours, so a word of n characters costs n log n. */
#include "tokenizer/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FREE_PAIR UINT64_MAX
#define NO_SYMBOL UINT32_MAX
#define NO_RANK   UINT32_MAX

/* ---- The table of merges ------------------------------------------------------------------ */

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t merge_row(const bpe *b, uint64_t pair) {
    uint64_t h = (pair ^ b->vocabulary->seed) * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32) & b->mask;
}

static bpe_merge *find_merge(const bpe *b, uint64_t pair) {
    size_t i = merge_row(b, pair);
    while (b->merges[i].pair != FREE_PAIR && b->merges[i].pair != pair)
        i = (i + 1) & b->mask;
    return &b->merges[i];
}

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status bad_merge(uint32_t index, const char *text, size_t length, const loader *l) {
    char excerpt[EXCERPT_TEXT];
    return error_set(l->error, C2C_STATUS_BAD_FILE,
                     "%s: model.merges[%u]: model.vocab lacks \"%s\"", l->name, index,
                     text_excerpt(excerpt, text, length));
}

/* Two texts, from "a b" or ["a", "b"]. */
static bool read_merge(const json_value *item, const char *texts[2], uint32_t lengths[2]) {
    if (item->type == JSON_STRING) {
        const char *space = memchr(item->string, ' ', item->count);
        if (!space)
            return false;
        texts[0] = item->string;
        lengths[0] = (uint32_t)(space - item->string);
        texts[1] = space + 1;
        lengths[1] = item->count - lengths[0] - 1;
        return !memchr(texts[1], ' ', lengths[1]);
    }
    if (item->type != JSON_ARRAY || item->count != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        if (item->items[i].type != JSON_STRING)
            return false;
        texts[i] = item->items[i].string;
        lengths[i] = item->items[i].count;
    }
    return true;
}

/* The token whose text is both texts together; most files list tokens in the order in which
 * merges make them, so the token behind the last one is tried first. */
static int32_t find_merged(const bpe *b, const char *const texts[2], const uint32_t lengths[2],
                           int32_t last, char *joined) {
    size_t length = (size_t)lengths[0] + lengths[1];
    const vocabulary_token *guess = vocabulary_token_of(b->vocabulary, (int64_t)last + 1);
    if (guess && guess->in_model && guess->length == length &&
        memcmp(guess->text, texts[0], lengths[0]) == 0 &&
        memcmp(guess->text + lengths[0], texts[1], lengths[1]) == 0)
        return last + 1;
    /* Both are in the vocabulary, so `joined` has room for both. */
    memcpy(joined, texts[0], lengths[0]);
    memcpy(joined + lengths[0], texts[1], lengths[1]);
    return vocabulary_find_model(b->vocabulary, joined, length);
}

/* Merges of one block: their parts are looked up together. */
#define BLOCK (VOCABULARY_BATCH / 2)

typedef struct merge_block {
    const char *texts[BLOCK][2];
    uint32_t lengths[BLOCK][2];
    int32_t ids[BLOCK][2];
    uint32_t items[BLOCK]; /* places in the file */
    size_t count;
} merge_block;

static c2c_status add_block(bpe *b, merge_block *block, uint32_t rank, int32_t *last, char *joined,
                            const loader *l) {
    int32_t merged[BLOCK];
    vocabulary_find_batch(b->vocabulary, block->texts[0], block->lengths[0], block->ids[0],
                          2 * block->count);
    for (size_t i = 0; i < block->count; i++) {
        for (int j = 0; j < 2; j++)
            if (block->ids[i][j] < 0)
                return bad_merge(block->items[i], block->texts[i][j], block->lengths[i][j], l);
        merged[i] = find_merged(b, block->texts[i], block->lengths[i], *last, joined);
        if (merged[i] < 0)
            return bad_merge(block->items[i], joined,
                             (size_t)block->lengths[i][0] + block->lengths[i][1], l);
        *last = merged[i];
        __builtin_prefetch(&b->merges[merge_row(b, pair_key(block->ids[i][0], block->ids[i][1]))],
                           1);
    }
    for (size_t i = 0; i < block->count; i++) {
        /* Of equal pairs the last one counts. */
        uint64_t pair = pair_key(block->ids[i][0], block->ids[i][1]);
        *find_merge(b, pair) = (bpe_merge){pair, rank + (uint32_t)i, merged[i]};
    }
    block->count = 0;
    return C2C_STATUS_OK;
}

static c2c_status add_merges(bpe *b, const json_value *merges, char *joined, const loader *l) {
    merge_block block = {.count = 0};
    uint32_t rank = 0;
    int32_t last = -1;
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < merges->count && status == C2C_STATUS_OK; i++) {
        const json_value *item = &merges->items[i];
        /* The first line of a merges.txt, which old converters left in. */
        if (item->type == JSON_STRING && strncmp(item->string, "#version", 8) == 0)
            continue;
        if (!read_merge(item, block.texts[block.count], block.lengths[block.count]))
            return error_set(l->error, C2C_STATUS_BAD_FILE,
                             "%s: model.merges[%u]: expected \"a b\" or [\"a\", \"b\"]", l->name,
                             i);
        block.items[block.count++] = i;
        if (block.count == BLOCK) {
            status = add_block(b, &block, rank, &last, joined, l);
            rank += BLOCK;
        }
    }
    return status == C2C_STATUS_OK ? add_block(b, &block, rank, &last, joined, l) : status;
}

static c2c_status load_merges(bpe *b, const json_value *merges, const loader *l) {
    if (!merges || merges->type != JSON_ARRAY)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: model.merges: expected an array, found %s", l->name,
                         merges ? json_type_name(merges->type) : "nothing");
    size_t rows = 16;
    while (rows * 5 / 8 < merges->count)
        rows *= 2;
    b->merges = arena_alloc(l->arena, rows * sizeof *b->merges);
    char *joined = malloc(2 * b->vocabulary->longest + 1);
    c2c_status status;
    if (b->merges && joined) {
        b->mask = rows - 1;
        memset(b->merges, 0xff, rows * sizeof *b->merges); /* every pair FREE_PAIR */
        status = add_merges(b, merges, joined, l);
    } else {
        status = error_memory(l->error, rows * sizeof *b->merges, "merges");
    }
    free(joined);
    return status;
}

static void find_bytes(bpe *b) {
    for (int i = 0; i < 256; i++) {
        char text[8];
        size_t length = utf8_write(byte_level_character((uint8_t)i), text);
        b->bytes[i] = vocabulary_find_model(b->vocabulary, text, length);
        snprintf(text, sizeof text, "<0x%02X>", i);
        b->fallback[i] = vocabulary_find_model(b->vocabulary, text, strlen(text));
    }
}

bool bpe_has_all_bytes(const bpe *b) {
    for (int i = 0; i < 256; i++)
        if (b->bytes[i] < 0)
            return false;
    return true;
}

/* What other models use and this one does not have. */
static c2c_status refuse_options(const json_value *model, const loader *l) {
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const json_value *value = json_get(model, texts[i]);
        if (value && value->type != JSON_NULL && (value->type != JSON_STRING || value->count > 0))
            return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                             "%s: model.%s is not supported; expected null or \"\"", l->name,
                             texts[i]);
    }
    const json_value *dropout = json_get(model, "dropout");
    if (dropout && dropout->type != JSON_NULL &&
        !(dropout->type == JSON_INTEGER && dropout->integer == 0) &&
        !(dropout->type == JSON_REAL && dropout->real == 0))
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: model.dropout is not supported; expected null or 0", l->name);
    return C2C_STATUS_OK;
}

static c2c_status load_options(bpe *b, const json_value *model, const loader *l) {
    static const bool no = false;
    char place[WHERE_TEXT];
    loader_where(place, l, "model");
    c2c_status status = refuse_options(model, l);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(model, "byte_fallback", &no, &b->byte_fallback, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(model, "fuse_unk", &no, &b->fuse_unknown, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(model, "ignore_merges", &no, &b->ignore_merges, place, l->error);
    if (status != C2C_STATUS_OK)
        return status;
    const json_value *unknown = json_get(model, "unk_token");
    b->unknown = -1;
    if (!unknown || unknown->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (unknown->type == JSON_STRING)
        b->unknown = vocabulary_find_model(b->vocabulary, unknown->string, unknown->count);
    if (b->unknown < 0)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: model.unk_token: expected null or a token of model.vocab", l->name);
    return C2C_STATUS_OK;
}

c2c_status bpe_load(bpe *b, const vocabulary *v, const json_value *model, const loader *l) {
    b->vocabulary = v;
    find_bytes(b);
    c2c_status status = load_options(b, model, l);
    return status == C2C_STATUS_OK ? load_merges(b, json_get(model, "merges"), l) : status;
}

/* ---- One word ----------------------------------------------------------------------------- */

typedef struct bpe_symbol {
    int32_t id;
    uint32_t length; /* bytes of the word; 0: merged into another */
    uint32_t previous, next;
    uint32_t rank;  /* of merging with the next one, NO_RANK: never */
    int32_t merged; /* the token that this would give */
} symbol;

static c2c_status work_reserve(bpe_work *w, size_t symbols, c2c_error *error) {
    if (symbols <= w->capacity)
        return C2C_STATUS_OK;
    size_t capacity = symbols < 128 ? 256 : symbols * 2;
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
    buffer_free(&w->text);
    *w = (bpe_work){0};
}

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

/* Looks up what merging symbol i with its next one would give, and notes it in the heap: rank
 * first, then position. */
static void consider(const bpe *b, bpe_work *w, size_t *heap_count, uint32_t i) {
    symbol *s = &w->symbols[i];
    s->rank = NO_RANK;
    if (s->next == NO_SYMBOL)
        return;
    const bpe_merge *m = find_merge(b, pair_key(s->id, w->symbols[s->next].id));
    if (m->pair == FREE_PAIR)
        return;
    s->rank = m->rank;
    s->merged = m->merged;
    heap_push(w->heap, heap_count, (uint64_t)m->rank << 32 | i);
}

static void merge_word(const bpe *b, bpe_work *w, uint32_t count) {
    symbol *symbols = w->symbols;
    size_t heap_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        symbols[i].previous = i > 0 ? i - 1 : NO_SYMBOL;
        symbols[i].next = i + 1 < count ? i + 1 : NO_SYMBOL;
    }
    for (uint32_t i = 0; i < count; i++)
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

c2c_status bpe_encode(const bpe *b, encoder *e, piece word, bool byte_level) {
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
    merge_word(b, &e->bpe, count);
    size_t start = 0;
    for (uint32_t i = 0; i < count && status == C2C_STATUS_OK; i++) {
        const symbol *s = &e->bpe.symbols[i];
        if (s->length == 0)
            continue;
        status = encoder_emit(e, s->id, piece_origin(word, start, start + s->length));
        start += s->length;
    }
    return status;
}
