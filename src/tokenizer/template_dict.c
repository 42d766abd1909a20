/* template_dict.c - dicts: entries in order of insertion, found by a hash table once they are
 * more than a few, so that a message with a hundred thousand keys costs no more than its size.
 * Keys compare as in Python: 1, 1.0 and true are one key, which keeps the place and the form of
 * its first writing.
 *
 * The hash is no secret, so keys can be made to collide. Every probe costs a step of work, so
 * that ends with the rendering's limit and not with its patience. */
#include "tokenizer/template.h"

#define LINEAR_UP_TO    8
#define KEY_MAX_NESTING 32 /* of tuples; deeper ones are no keys */

/* Tuples of tuples are hashed by walking them, so their nesting is bounded where it is decided
 * that they are keys. */
static bool hashable(const value *v, int nesting) {
    if (v->type == VALUE_TUPLE) {
        for (size_t i = 0; i < v->sequence->count; i++)
            if (nesting == 0 || !hashable(&v->sequence->items[i], nesting - 1))
                return false;
        return true;
    }
    return v->type != VALUE_LIST && v->type != VALUE_DICT && v->type != VALUE_VIEW;
}

bool value_hashable(const value *v) {
    return hashable(v, KEY_MAX_NESTING);
}

static uint64_t hash_bytes(const void *bytes, size_t length, uint64_t hash) {
    const unsigned char *s = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ s[i]) * 0x100000001b3u;
    return hash ^ (hash >> 29);
}

/* Equal values have equal hashes; identity-compared values have their address. */
static uint64_t hash_value(const value *v) {
    uint64_t seed = 0xcbf29ce484222325u;
    if (value_is_number(v)) {
        /* Large integers may share a hash with their neighbours; comparing is exact. */
        double d = value_real(v) + 0.0; /* -0.0 equals 0.0 */
        return hash_bytes(&d, sizeof d, seed);
    }
    if (v->type == VALUE_TEXT)
        return hash_bytes(v->text->bytes, v->text->length, seed);
    if (v->type == VALUE_TUPLE || v->type == VALUE_RANGE) {
        for (size_t i = 0; i < v->sequence->count; i++) {
            uint64_t item = hash_value(&v->sequence->items[i]);
            seed = hash_bytes(&item, sizeof item, seed);
        }
        return seed;
    }
    return hash_bytes(&v->type, sizeof v->type, seed);
}

dict *dict_new(render *r, size_t capacity) {
    dict *d = render_alloc(r, sizeof *d);
    if (!d)
        return NULL;
    d->capacity = capacity;
    d->entries = render_array(r, capacity, sizeof *d->entries);
    return d->entries ? d : NULL;
}

/* Finds the entry's number; d->count when the key is missing. */
static bool locate(render *r, const dict *d, const value *key, uint64_t hash, size_t *place) {
    bool equal = false;
    *place = d->count;
    size_t step = d->index_size ? hash & (d->index_size - 1) : 0;
    for (size_t i = 0; i < (d->index_size ? d->index_size : d->count); i++) {
        size_t entry = i;
        if (d->index_size) {
            uint32_t slot = d->index[step];
            if (!slot)
                return true;
            entry = slot - 1;
            step = (step + 1) & (d->index_size - 1);
        }
        if (!render_spend(r, 1))
            return false;
        if (d->entries[entry].hash != hash)
            continue;
        if (!value_equal(r, &d->entries[entry].key, key, &equal))
            return false;
        if (equal) {
            *place = entry;
            return true;
        }
    }
    return true;
}

static void index_add(dict *d, size_t entry) {
    size_t step = d->entries[entry].hash & (d->index_size - 1);
    while (d->index[step])
        step = (step + 1) & (d->index_size - 1);
    d->index[step] = (uint32_t)entry + 1;
}

/* Room for one more entry; the table stays at most half full. */
static bool grow(render *r, dict *d) {
    if (d->count == d->capacity) {
        size_t capacity = d->capacity ? d->capacity * 2 : 4;
        dict_entry *entries = render_array(r, capacity, sizeof *entries);
        if (!entries)
            return false;
        if (d->count)
            memcpy(entries, d->entries, d->count * sizeof *entries);
        d->entries = entries;
        d->capacity = capacity;
    }
    if (d->count < LINEAR_UP_TO || d->index_size > 2 * d->count)
        return true;
    size_t size = 4 * LINEAR_UP_TO;
    while (size < 4 * d->count)
        size *= 2;
    d->index = render_array(r, size, sizeof *d->index);
    if (!d->index)
        return false;
    d->index_size = size;
    for (size_t i = 0; i < d->count; i++)
        index_add(d, i);
    return true;
}

static bool check_key(render *r, const value *key) {
    if (key->type == VALUE_TEXT && !render_spend_walk(r, key->text->length))
        return false; /* it is hashed byte by byte */
    return value_hashable(key) || render_fail(r, "unhashable type: '%s'", value_type_name(key));
}

bool dict_set(render *r, dict *d, const value *key, const value *v) {
    size_t place;
    if (!check_key(r, key))
        return false;
    uint64_t hash = hash_value(key);
    if (!locate(r, d, key, hash, &place))
        return false;
    if (place == d->count) {
        if (!grow(r, d))
            return false;
        d->entries[d->count++] = (dict_entry){.key = *key, .hash = hash};
        if (d->index_size)
            index_add(d, place);
    }
    d->entries[place].value = *v;
    return true;
}

bool dict_find(render *r, const dict *d, const value *key, const value **found) {
    size_t place;
    *found = NULL;
    if (!check_key(r, key) || !locate(r, d, key, hash_value(key), &place))
        return false;
    if (place < d->count)
        *found = &d->entries[place].value;
    return true;
}

bool dict_find_name(render *r, const dict *d, const char *name, const value **found) {
    text t;
    text_init(&t, name, strlen(name));
    value key = value_from_text(&t);
    return dict_find(r, d, &key, found);
}

bool dict_set_name(render *r, dict *d, const char *name, const value *v) {
    const text *t = text_view(r, name, strlen(name));
    if (!t)
        return false;
    value key = value_from_text(t);
    return dict_set(r, d, &key, v);
}
