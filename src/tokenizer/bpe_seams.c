/* bpe_seams.c - where a word may be cut before it is merged: between two characters that stand side
 * by side in no token. Every symbol of a merging is a token, and one that spanned the cut would
 * hold both characters, so each side merges as it would in the whole word. Parts are short and come
 * again and again: in Chinese they are words of one or two characters, in models that get whole
 * texts as one word ("sentencepiece") the words between marks.
 *
 * What has no token of its own must not be touched: unknown characters join, or wait for what
 * follows. So both characters beside a cut are tokens, or all unknown ones become bytes, and no
 * merge takes bytes. Where unknown characters give nothing, the offsets of a word's tokens behind
 * one are, as in Hugging Face, those without it: there such a word is not cut any more. */
#include "tokenizer/internal.h"

#include <stdlib.h>

/* Pairs are bits by their hash: a bit that two pairs share costs a cut and no more. */
#define PAIR_BITS   19
#define SMALL_TABLE 65536 /* characters of at most three bytes; pairs of bytes */

static bool bit_get(const uint64_t *bits, size_t i) {
    return bits[i >> 6] >> (i & 63) & 1;
}

static void bit_set(uint64_t *bits, size_t i) {
    bits[i >> 6] |= (uint64_t)1 << (i & 63);
}

static size_t pair_place(uint32_t left, uint32_t right) {
    return (size_t)((((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u) >> (64 - PAIR_BITS));
}

/* ---- Loading ------------------------------------------------------------------------------ */

/* The pairs of a token's text, and the text itself where it is one character. */
static void add_text(bpe_seams *s, const vocabulary_token *t, int32_t id) {
    size_t size = 0;
    uint32_t left = 0;
    for (size_t i = 0; i < t->length; i += size) {
        uint32_t right = utf8_read(t->text + i, &size);
        if (i > 0)
            bit_set(s->pairs, pair_place(left, right));
        left = right;
    }
    if (size == t->length && left < SMALL_TABLE)
        s->characters[left] = id;
}

/* A whole character that is at `text`, in bytes that may be cut anywhere. */
static bool whole_character(const char *text, size_t length, uint32_t *character, size_t *size) {
    unsigned char first = (unsigned char)*text;
    *size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (*size > length || utf8_valid_prefix(text, *size) < *size)
        return false;
    *character = utf8_read(text, size);
    return true;
}

/* The same for a token that stands for bytes; it may begin and end inside a character. */
static void add_bytes(bpe_seams *s, const char *bytes, size_t length) {
    for (size_t i = 1; i < length; i++) {
        unsigned char last = (unsigned char)bytes[i - 1], first = (unsigned char)bytes[i];
        if ((first & 0xc0) == 0x80 || (first < 0x80 && last < 0x80))
            continue; /* inside a character; or never cut, see bpe_seam_bytes */
        size_t start = character_before(bytes, i), size, size_right;
        uint32_t left, right;
        if (whole_character(bytes + start, i - start, &left, &size) && size == i - start &&
            whole_character(bytes + i, length - i, &right, &size_right))
            bit_set(s->pairs, pair_place(left, right));
        else
            bit_set(s->halves, (size_t)last << 8 | first);
    }
}

/* Latin words, which most tokens are, have no pair that counts: ASCII, and the characters that
 * stand for a space (U+0120) and a newline (U+010A). */
static bool is_plain(const vocabulary_token *t) {
    for (size_t i = 0; i < t->length; i++) {
        unsigned char c = (unsigned char)t->text[i];
        if (c >= 0x80 && c != 0xc4 && c != 0xa0 && c != 0x8a)
            return false;
    }
    return true;
}

static c2c_status load_bytes(bpe_seams *s, const vocabulary *v, const loader *l) {
    char *bytes = malloc(v->longest + 1);
    if (!bytes)
        return error_memory(l->error, v->longest, "a token");
    for (size_t id = 0; id < v->count; id++) {
        const vocabulary_token *t = &v->tokens[id];
        size_t count = 0;
        if (!t->in_model || is_plain(t))
            continue;
        for (size_t i = 0, size; i < t->length; i += size) {
            int byte = byte_level_byte(utf8_read(t->text + i, &size));
            if (byte < 0) { /* no bytes become this token */
                count = 0;
                break;
            }
            bytes[count++] = (char)byte;
        }
        add_bytes(s, bytes, count);
    }
    free(bytes);
    return C2C_STATUS_OK;
}

/* Whether all unknown characters become bytes, and these stay alone. */
static bool bytes_stay_alone(const bpe *b) {
    bool alone = b->byte_fallback;
    for (int i = 0; alone && i < 256; i++)
        alone = b->fallback[i] >= 0;
    for (size_t i = 0; alone && i <= b->mask; i++) {
        if (b->merges[i].pair == UINT64_MAX)
            continue;
        const vocabulary_token *sides[] = {&b->vocabulary->tokens[b->merges[i].pair >> 32],
                                           &b->vocabulary->tokens[b->merges[i].pair & UINT32_MAX]};
        for (int j = 0; alone && j < 2; j++)
            alone = sides[j]->length != 6 || memcmp(sides[j]->text, "<0x", 3) != 0;
    }
    return alone;
}

c2c_status bpe_seams_load(bpe_seams *s, const bpe *b, bool byte_level, const loader *l) {
    const vocabulary *v = b->vocabulary;
    s->pairs = arena_alloc(l->arena, ((size_t)1 << PAIR_BITS) / 8);
    s->halves = arena_alloc(l->arena, SMALL_TABLE / 8);
    if (!s->pairs || !s->halves)
        return error_memory(l->error, ((size_t)1 << PAIR_BITS) / 8, "pairs of characters");
    if (byte_level)
        return load_bytes(s, v, l);
    s->characters = arena_alloc(l->arena, SMALL_TABLE * sizeof *s->characters);
    if (!s->characters)
        return error_memory(l->error, SMALL_TABLE * sizeof *s->characters, "characters");
    memset(s->characters, 0xff, SMALL_TABLE * sizeof *s->characters); /* -1 */
    for (size_t id = 0; id < v->count; id++)
        if (v->tokens[id].in_model)
            add_text(s, &v->tokens[id], (int32_t)id);
    s->unknown_alone = bytes_stay_alone(b);
    return C2C_STATUS_OK;
}

/* ---- Cutting ------------------------------------------------------------------------------ */

int32_t bpe_character(const bpe *b, const char *text, size_t size, uint32_t character) {
    return character < SMALL_TABLE ? b->seams.characters[character]
                                   : vocabulary_find_model(b->vocabulary, text, size);
}

size_t bpe_seam(const bpe *b, piece word, size_t start, int32_t *alone) {
    const bpe_seams *s = &b->seams;
    size_t size, i;
    uint32_t left = utf8_read(word.bytes + start, &size);
    int32_t id = bpe_character(b, word.bytes + start, size, left);
    bool known = id >= 0 || s->unknown_alone;
    *alone = id;
    for (i = start + size; i < word.length; i += size) {
        if (!known && b->unknown < 0)
            return word.length;
        uint32_t right = utf8_read(word.bytes + i, &size);
        bool both = known;
        known = s->unknown_alone || bpe_character(b, word.bytes + i, size, right) >= 0;
        if (both && known && !bit_get(s->pairs, pair_place(left, right)))
            return i;
        *alone = -1;
        left = right;
    }
    return i;
}

/* Every byte is known. Two ASCII characters are mostly in some token; looking would not pay. */
size_t bpe_seam_bytes(const bpe *b, piece word, size_t start) {
    const bpe_seams *s = &b->seams;
    size_t size, i;
    uint32_t left = utf8_read(word.bytes + start, &size);
    for (i = start + size; i < word.length; i += size) {
        uint32_t right = utf8_read(word.bytes + i, &size);
        size_t half = (size_t)(unsigned char)word.bytes[i - 1] << 8 | (unsigned char)word.bytes[i];
        if ((left | right) >= 0x80 && !bit_get(s->halves, half) &&
            !bit_get(s->pairs, pair_place(left, right)))
            return i;
        left = right;
    }
    return i;
}
