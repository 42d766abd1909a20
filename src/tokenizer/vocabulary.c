/* vocabulary.c - texts of tokens by id, and ids by text. One table by id, one open-addressing table
 * of ids by the hash of the text, one block with all texts: loading allocates three times. */
#include "tokenizer/internal.h"

#define FREE (-1)

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

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

const vocabulary_token *vocabulary_token_of(const vocabulary *v, int32_t id) {
    if (id < 0 || (size_t)id >= v->count || !v->tokens[id].text)
        return NULL;
    return &v->tokens[id];
}

void vocabulary_add(vocabulary *v, const char *text, uint32_t length, int32_t id, bool in_model) {
    C2C_ASSERT(id >= 0 && (size_t)id < v->capacity && !v->tokens[id].text);
    if (length > v->longest)
        v->longest = length;
    v->tokens[id] = (vocabulary_token){.text = text, .length = length, .in_model = in_model};
    if ((size_t)id >= v->count)
        v->count = (size_t)id + 1;
    uint32_t hash = hash_text(v, text, length);
    *find_slot(v, hash, text, length) = (vocabulary_slot){hash, id};
}

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status bad_id(const json_member *m, const char *what, const loader *l) {
    char excerpt[EXCERPT_TEXT];
    return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: model.vocab: \"%s\": %s", l->name,
                     text_excerpt(excerpt, m->key, m->key_length), what);
}

/* Checks every id; the largest, and the bytes of all texts with a NUL each. */
static c2c_status measure(const json_value *vocab, size_t *ids, size_t *bytes, const loader *l) {
    *ids = *bytes = 0;
    for (uint32_t i = 0; i < vocab->count; i++) {
        const json_member *m = &vocab->members[i];
        if (m->value.type != JSON_INTEGER || m->value.integer < 0 ||
            m->value.integer >= TOKEN_ID_LIMIT)
            return bad_id(m, "expected an id from 0 to 4194303", l);
        if ((size_t)m->value.integer >= *ids)
            *ids = (size_t)m->value.integer + 1;
        *bytes += (size_t)m->key_length + 1;
    }
    return C2C_STATUS_OK;
}

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
    for (size_t i = 0; i < slots; i++)
        v->slots[i].id = FREE;
    /* Where memory lies differs from run to run: a file cannot be made to collide. */
    v->seed = mix((uintptr_t)v->tokens);
    return C2C_STATUS_OK;
}

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
    for (uint32_t i = 0; i < vocab->count; i++) {
        const json_member *m = &vocab->members[i];
        int32_t id = (int32_t)m->value.integer;
        int32_t old = vocabulary_find(v, m->key, m->key_length);
        if (old == id)
            continue;
        if (v->tokens[id].text)
            return bad_id(m, "another token has the same id", l);
        if (old >= 0)
            return bad_id(m, "stands twice, with two ids", l);
        memcpy(texts, m->key, (size_t)m->key_length + 1);
        vocabulary_add(v, texts, m->key_length, id, true);
        texts += (size_t)m->key_length + 1;
        v->model_size++;
    }
    return C2C_STATUS_OK;
}
