/* vocabulary.c - texts of tokens by id, and ids by text. One table by id, one open-addressing
 * table of ids by the hash of the text, one block with all texts: loading allocates three times.
 *
 * The id of a token decides where its row is, so a file could ask for a huge table with one
 * token; ids are bounded by the number of tokens (TOKEN_ID_SPARSE). Slots hold 32 bits of the
 * hash: a text is compared only when they agree, which saves a miss of the cache for most of
 * those that are not there. */
#include "tokenizer/internal.h"

#include <stdio.h>

#define FREE (-1)

/* Spreads every bit over the lower ones, which choose the slot. */
static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Eight bytes at a time; most tokens have fewer. */
static uint32_t hash_text(const vocabulary *v, const char *text, size_t length) {
    uint64_t h = v->seed ^ length, word;
    for (; length >= 8; length -= 8, text += 8) {
        memcpy(&word, text, 8);
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, text, length);
    h = mix(mix(h ^ word));
    return (uint32_t)(h >> 16);
}

/* The slot of this text, or the free one where it belongs; there always is a free slot. */
static vocabulary_slot *find_slot(const vocabulary *v, uint32_t hash, const char *text,
                                  size_t length) {
    for (size_t i = hash & v->mask;; i = (i + 1) & v->mask) {
        vocabulary_slot *slot = &v->slots[i];
        if (slot->id == FREE)
            return slot;
        if (slot->hash != hash)
            continue;
        const vocabulary_token *token = &v->tokens[slot->id];
        if (token->length == length && memcmp(token->text, text, length) == 0)
            return slot;
    }
}

int32_t vocabulary_find(const vocabulary *v, const char *text, size_t length) {
    if (length > v->longest)
        return -1;
    return find_slot(v, hash_text(v, text, length), text, length)->id;
}

int32_t vocabulary_find_model(const vocabulary *v, const char *text, size_t length) {
    int32_t id = vocabulary_find(v, text, length);
    return id >= 0 && v->tokens[id].in_model ? id : -1;
}

const vocabulary_token *vocabulary_token_of(const vocabulary *v, int64_t id) {
    if (id < 0 || (uint64_t)id >= v->count || !v->tokens[id].text)
        return NULL;
    return &v->tokens[id];
}

/* The first pass asks for the slots, the second for the tokens, the third reads the texts. */
void vocabulary_find_batch(const vocabulary *v, const char *const *texts, const uint32_t *lengths,
                           int32_t *ids, size_t count) {
    uint32_t hashes[VOCABULARY_BATCH];
    C2C_ASSERT(count <= VOCABULARY_BATCH);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = hash_text(v, texts[i], lengths[i]);
        __builtin_prefetch(&v->slots[hashes[i] & v->mask]);
    }
    for (size_t i = 0; i < count; i++) {
        const vocabulary_slot *slot = &v->slots[hashes[i] & v->mask];
        if (slot->id != FREE)
            __builtin_prefetch(&v->tokens[slot->id]);
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] = find_slot(v, hashes[i], texts[i], lengths[i])->id;
        if (ids[i] >= 0 && !v->tokens[ids[i]].in_model)
            ids[i] = -1;
    }
}

static void set_token(vocabulary *v, const char *text, uint32_t length, int32_t id, bool in_model) {
    if (length > v->longest)
        v->longest = length;
    v->tokens[id] = (vocabulary_token){.text = text, .length = length, .in_model = in_model};
    if ((size_t)id >= v->count)
        v->count = (size_t)id + 1;
}

void vocabulary_add(vocabulary *v, const char *text, uint32_t length, int32_t id, bool in_model) {
    C2C_ASSERT(id >= 0 && (size_t)id < v->capacity && !v->tokens[id].text);
    set_token(v, text, length, id, in_model);
    uint32_t hash = hash_text(v, text, length);
    *find_slot(v, hash, text, length) = (vocabulary_slot){hash, id};
}

/* ---- Loading ------------------------------------------------------------------------------ */

/* Tokens are named in messages: a vocabulary has no line numbers. */
static c2c_status bad_id(const json_member *m, const char *what, const loader *l) {
    char excerpt[EXCERPT_TEXT];
    return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: model.vocab: \"%s\": %s", l->name,
                     text_excerpt(excerpt, m->key, m->key_length), what);
}

/* Checks every id; the largest, and the bytes of all texts with a NUL each. */
static c2c_status measure(const json_value *vocab, size_t *ids, size_t *bytes, const loader *l) {
    int64_t limit = TOKEN_ID_FREE + TOKEN_ID_SPARSE * (int64_t)vocab->count;
    *ids = *bytes = 0;
    if (limit > INT32_MAX)
        limit = INT32_MAX;
    for (uint32_t i = 0; i < vocab->count; i++) {
        const json_member *m = &vocab->members[i];
        if (m->value.type != JSON_INTEGER || m->value.integer < 0 || m->value.integer >= limit) {
            char what[80];
            snprintf(what, sizeof what, "expected an id from 0 to %lld", (long long)limit - 1);
            return bad_id(m, what, l);
        }
        if ((size_t)m->value.integer >= *ids)
            *ids = (size_t)m->value.integer + 1;
        *bytes += (size_t)m->key_length + 1;
    }
    return C2C_STATUS_OK;
}

/* Tables at most five eighths full, with room for what is added later. */
static c2c_status allocate(vocabulary *v, size_t ids, size_t entries, const loader *l) {
    size_t slots = 16;
    while (slots * 5 / 8 < entries)
        slots *= 2;
    v->tokens = arena_alloc(l->arena, ids * sizeof *v->tokens);
    v->slots = arena_alloc(l->arena, slots * sizeof *v->slots);
    if (!v->tokens || !v->slots)
        return error_memory(l->error, slots * sizeof *v->slots, "the vocabulary");
    v->capacity = ids;
    v->mask = slots - 1;
    memset(v->slots, 0xff, slots * sizeof *v->slots); /* every id FREE */
    /* Where memory lies differs from run to run: a file cannot be made to collide. */
    v->seed = mix((uintptr_t)v->tokens);
    return C2C_STATUS_OK;
}

/* Adds one member of the file; `text` is its place in the block of texts. */
static c2c_status add_member(vocabulary *v, const json_member *m, uint32_t hash, char *text,
                             const loader *l) {
    int32_t id = (int32_t)m->value.integer;
    vocabulary_slot *slot = find_slot(v, hash, m->key, m->key_length);
    /* JSON does not forbid to say the same thing twice. */
    if (slot->id == id) /* twice the same */
        return C2C_STATUS_OK;
    if (v->tokens[id].text)
        return bad_id(m, "another token has the same id", l);
    if (slot->id != FREE)
        return bad_id(m, "stands twice, with two ids", l);
    memcpy(text, m->key, (size_t)m->key_length + 1);
    set_token(v, text, m->key_length, id, true);
    *slot = (vocabulary_slot){hash, id};
    v->model_size++;
    return C2C_STATUS_OK;
}

/* Members mostly come in the order of their ids, texts are copied side by side in this order: what
 * belongs together lies together. */
c2c_status vocabulary_load(vocabulary *v, const json_value *vocab, size_t added, const loader *l) {
    if (!vocab || vocab->type != JSON_OBJECT)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: model.vocab: expected an object, found %s", l->name,
                         vocab ? json_type_name(vocab->type) : "nothing");
    size_t ids, bytes;
    c2c_status status = measure(vocab, &ids, &bytes, l);
    if (status == C2C_STATUS_OK) /* an added token's id follows the largest, or the count */
        status = allocate(v, ids + added, vocab->count + added, l);
    if (status != C2C_STATUS_OK)
        return status;
    char *texts = arena_alloc(l->arena, bytes);
    if (!texts)
        return error_memory(l->error, bytes, "the vocabulary");
    uint32_t hashes[VOCABULARY_BATCH]; /* of the next members, whose slots are on their way */
    for (uint32_t i = 0; i < vocab->count && status == C2C_STATUS_OK; i++) {
        const json_member *m = &vocab->members[i];
        for (uint32_t j = i; i % VOCABULARY_BATCH == 0 && j < vocab->count; j++) {
            if (j - i == VOCABULARY_BATCH)
                break;
            hashes[j - i] = hash_text(v, vocab->members[j].key, vocab->members[j].key_length);
            __builtin_prefetch(&v->slots[hashes[j - i] & v->mask], 1);
        }
        status = add_member(v, m, hashes[i % VOCABULARY_BATCH], texts, l);
        texts += (size_t)m->key_length + 1;
    }
    return status;
}
