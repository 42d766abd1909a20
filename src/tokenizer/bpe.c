/* bpe.c - loading the "BPE" model of tokenizer.json: its options, the table of merges, and the
 * tokens of single bytes. Encoding a word is bpe_word.c, where words may be cut is bpe_seams.c.
 *
 * A vocabulary has some 150,000 merges, and a tokenizer shall open in a tenth of a second. So
 * merges are looked up in blocks whose memory was asked for before it is needed, the token that
 * a merge gives is guessed from the one before, and the tables are sized once. Merging asks the
 * table far more often than it gets an answer: most pairs are none, which one bit of a filter
 * tells. */
#include "tokenizer/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FREE_PAIR UINT64_MAX

/* ---- The table of merges ------------------------------------------------------------------ */

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static uint64_t pair_hash(const bpe *b, uint64_t pair) {
    uint64_t h = (pair ^ b->vocabulary->seed) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* The row of this pair, or the free one where it belongs; there always is a free row. */
static bpe_merge *find_row(const bpe *b, uint64_t pair, uint64_t hash) {
    size_t i = (size_t)hash & b->mask;
    while (b->merges[i].pair != FREE_PAIR && b->merges[i].pair != pair)
        i = (i + 1) & b->mask;
    return &b->merges[i];
}

/* The bit of a hash among 8 * rows: three more bits than the row has. */
static uint64_t *filter_word(const bpe *b, uint64_t hash, uint64_t *bit) {
    size_t i = (size_t)(hash >> 20) & (8 * b->mask + 7);
    *bit = (uint64_t)1 << (i & 63);
    return &b->filter[i >> 6];
}

/* Most pairs are never merged: the filter tells so from a sixteenth of the memory. */
const bpe_merge *bpe_find_merge(const bpe *b, int32_t left, int32_t right) {
    uint64_t pair = pair_key(left, right), hash = pair_hash(b, pair), bit;
    const uint64_t *word = filter_word(b, hash, &bit);
    if (!(*word & bit))
        return NULL;
    const bpe_merge *row = find_row(b, pair, hash);
    return row->pair == FREE_PAIR ? NULL : row;
}

static void set_merge(bpe *b, uint64_t pair, uint32_t rank, int32_t merged) {
    uint64_t hash = pair_hash(b, pair), bit;
    uint64_t *word = filter_word(b, hash, &bit);
    *find_row(b, pair, hash) = (bpe_merge){pair, rank, merged};
    *word |= bit;
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
        uint64_t hash = pair_hash(b, pair_key(block->ids[i][0], block->ids[i][1]));
        __builtin_prefetch(&b->merges[hash & b->mask], 1);
    }
    for (size_t i = 0; i < block->count; i++) {
        /* Of equal pairs the last one counts. */
        set_merge(b, pair_key(block->ids[i][0], block->ids[i][1]), rank + (uint32_t)i, merged[i]);
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
    /* At most five eighths full: probing stays short, and there always is a free row to end it. */
    while (rows * 5 / 8 < merges->count)
        rows *= 2;
    b->merges = arena_alloc(l->arena, rows * sizeof *b->merges);
    b->filter = arena_alloc(l->arena, rows); /* rows are at least 16 */
    char *joined = malloc(2 * b->vocabulary->longest + 1);
    c2c_status status;
    if (b->merges && b->filter && joined) {
        b->mask = rows - 1;
        memset(b->merges, 0xff, rows * sizeof *b->merges); /* every pair FREE_PAIR */
        status = add_merges(b, merges, joined, l);
    } else {
        status = error_memory(l->error, rows * sizeof *b->merges, "merges");
    }
    free(joined);
    return status;
}

/* Tokens of single bytes, in the two ways in which models write them: as a visible character
 * ("\u0120" is a space), or as "<0x20>". */
static void find_bytes(bpe *b) {
    for (int i = 0; i < 256; i++) {
        char text[8];
        size_t length = utf8_write(byte_level_character((uint8_t)i), text);
        b->bytes[i] = vocabulary_find_model(b->vocabulary, text, length);
        snprintf(text, sizeof text, "<0x%02X>", i);
        b->fallback[i] = vocabulary_find_model(b->vocabulary, text, strlen(text));
    }
}

/* Merges of two single bytes, which every word starts with, by their bytes. */
static c2c_status load_byte_pairs(bpe *b, const loader *l) {
    bpe_merge *pairs = arena_alloc(l->arena, 65536 * sizeof *pairs);
    if (!pairs)
        return error_memory(l->error, 65536 * sizeof *pairs, "merges");
    for (int i = 0; i < 65536; i++) {
        const bpe_merge *m = bpe_find_merge(b, b->bytes[i >> 8], b->bytes[i & 255]);
        pairs[i] = m ? *m : (bpe_merge){FREE_PAIR, UINT32_MAX, -1};
    }
    b->byte_pairs = pairs;
    return C2C_STATUS_OK;
}

c2c_status bpe_prepare(bpe *b, bool byte_level, const loader *l) {
    c2c_status status = byte_level ? load_byte_pairs(b, l) : C2C_STATUS_OK;
    return status == C2C_STATUS_OK ? bpe_seams_load(&b->seams, b, byte_level, l) : status;
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
    if (status == C2C_STATUS_OK)
        status = load_merges(b, json_get(model, "merges"), l);
    return status;
}
