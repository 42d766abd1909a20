/* added_tokens.c - the "added_tokens" of tokenizer.json, found in the text before it is cut: the
 * leftmost one first, and of those that start there the longest. The texts stand in a tree of
 * bytes, one tree for those looked for before normalizing and one for those after.
 *
 * Searching starts at every byte anew, so its cost is the length of the text times that of the
 * longest token in the worst case; the limit on a token's length is what bounds it. In all real
 * texts the first byte already says no (added_tree.first). */
#include "tokenizer/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Looking for tokens costs at most this much per byte of text. */
#define CONTENT_LIMIT 1024

typedef struct added_edge {
    uint64_t key;   /* node * 256 + byte */
    uint32_t child; /* 0: a free row */
} added_edge;

/* ---- The tree ----------------------------------------------------------------------------- */

static added_edge *find_edge(const added_tree *tree, uint32_t node, unsigned char byte) {
    uint64_t key = (uint64_t)node << 8 | byte;
    /* Keys are dense numbers of our own making, so one multiplication spreads them. */
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & tree->mask;
    while (tree->edges[i].child && tree->edges[i].key != key)
        i = (i + 1) & tree->mask;
    return &tree->edges[i];
}

/* Room for texts of `bytes` bytes together. */
static c2c_status tree_init(added_tree *tree, size_t bytes, const loader *l) {
    size_t rows = 16;
    while (rows / 2 < bytes)
        rows *= 2;
    tree->edges = arena_alloc(l->arena, rows * sizeof *tree->edges);
    tree->accepts = arena_alloc(l->arena, (bytes + 1) * sizeof *tree->accepts);
    if (!tree->edges || !tree->accepts)
        return error_memory(l->error, rows * sizeof *tree->edges, "added tokens");
    for (size_t i = 0; i <= bytes; i++)
        tree->accepts[i] = -1;
    tree->mask = rows - 1;
    return C2C_STATUS_OK;
}

/* Of equal texts the first one counts. */
static void tree_add(added_tree *tree, uint32_t *nodes, const char *text, size_t length,
                     int32_t index) {
    uint32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        added_edge *edge = find_edge(tree, node, (unsigned char)text[i]);
        if (!edge->child)
            *edge = (added_edge){(uint64_t)node << 8 | (unsigned char)text[i], ++*nodes};
        if (i == 0)
            tree->first[(unsigned char)text[0]] = edge->child;
        node = edge->child;
    }
    if (tree->accepts[node] < 0)
        tree->accepts[node] = index;
}

/* The longest text of the tree that starts at `start`; -1 when there is none. */
static int32_t tree_match(const added_tree *tree, const char *text, size_t length, size_t start,
                          size_t *end) {
    uint32_t node = tree->first[(unsigned char)text[start]];
    int32_t index = -1;
    for (size_t i = start + 1; node; i++) {
        if (tree->accepts[node] >= 0) {
            index = tree->accepts[node];
            *end = i;
        }
        node = i < length ? find_edge(tree, node, (unsigned char)text[i])->child : 0;
    }
    return index;
}

/* ---- Finding ------------------------------------------------------------------------------ */

/* Characters beside a token: it stands alone when neither is part of a word. */
static bool word_before(const char *text, size_t at) {
    size_t size;
    return at > 0 && unicode_is_word(utf8_read(text + character_before(text, at), &size));
}

static bool word_after(const char *text, size_t length, size_t at) {
    size_t size;
    return at < length && unicode_is_word(utf8_read(text + at, &size));
}

static size_t skip_spaces_back(const char *text, size_t at, size_t stop) {
    while (at > stop) {
        size_t size, before = character_before(text, at);
        if (!unicode_is_space(utf8_read(text + before, &size)))
            break;
        at = before;
    }
    return at > stop ? at : stop;
}

static size_t skip_spaces(const char *text, size_t length, size_t at) {
    size_t size;
    while (at < length && unicode_is_space(utf8_read(text + at, &size)))
        at += size;
    return at;
}

/* The next token in the text, with the white space it takes; NULL when there is none. */
static const added_token *find_next(added_scan *s, size_t *start, size_t *end) {
    while (s->at < s->length) {
        size_t from = s->at, to = 0;
        int32_t index = tree_match(s->tree, s->text, s->length, from, &to);
        if (index < 0) {
            s->at++;
            continue;
        }
        /* Behind the match, also when it does not count: a token that is no whole word hides
         * others inside it, as in Hugging Face. */
        s->at = to;
        const added_token *token = &s->added->tokens[index];
        if (token->single_word &&
            (word_before(s->text, from) || word_after(s->text, s->length, to)))
            continue;
        *start = token->lstrip ? skip_spaces_back(s->text, from, s->emitted) : from;
        *end = token->rstrip ? skip_spaces(s->text, s->length, to) : to;
        if (*start > *end) /* the one before took it all: nothing is left of this one */
            *start = *end;
        return token;
    }
    return NULL;
}

bool added_next(added_scan *s, const added_token **token, size_t *start, size_t *end) {
    if (s->waiting) { /* the text before it was given out by the last call */
        *token = s->waiting;
        *start = s->waiting_start;
        *end = s->emitted = s->waiting_end;
        s->waiting = NULL;
        return true;
    }
    if (s->emitted == s->length && s->at >= s->length)
        return false;
    size_t token_start = 0, token_end = 0;
    const added_token *found = s->tree->edges ? find_next(s, &token_start, &token_end) : NULL;
    *token = NULL;
    *start = s->emitted;
    if (!found) {
        *end = s->emitted = s->at = s->length;
        return true;
    }
    s->waiting = found;
    s->waiting_start = token_start;
    s->waiting_end = token_end;
    *end = token_start > s->emitted ? token_start : s->emitted;
    return true;
}

/* ---- Loading ------------------------------------------------------------------------------ */

/* Absent flags are off, though Hugging Face wants all of them. */
static c2c_status read_flags(added_token *token, const json_value *value, const char *where,
                             const loader *l) {
    static const bool no = false;
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"special", &token->special},
                 {"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized}};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && status == C2C_STATUS_OK; i++)
        status = json_get_bool(value, flags[i].key, &no, flags[i].flag, place, l->error);
    return status;
}

/* As Hugging Face numbers them: the model's id for a text that it knows, else the id behind the
 * largest of the added tokens, or behind the model's. The "id" of the file is not asked. */
static c2c_status give_id(vocabulary *v, const json_value *content, int32_t *largest, int32_t *id,
                          const char *where, const loader *l) {
    *id = vocabulary_find(v, content->string, content->count);
    if (*id < 0) {
        *id = *largest >= (int32_t)v->model_size || (*largest >= 0 && v->model_size == 0)
                  ? *largest + 1
                  : (int32_t)v->model_size;
        if (vocabulary_token_of(v, *id)) {
            char excerpt[EXCERPT_TEXT];
            return error_set(l->error, C2C_STATUS_BAD_FILE,
                             "%s: %s: \"%s\" would get id %d, which model.vocab gives to another "
                             "token",
                             l->name, where, text_excerpt(excerpt, content->string, content->count),
                             *id);
        }
        const char *text = arena_copy(l->arena, content->string, content->count);
        if (!text)
            return error_memory(l->error, content->count, "added tokens");
        vocabulary_add(v, text, content->count, *id, false);
    }
    if (*id > *largest)
        *largest = *id;
    return C2C_STATUS_OK;
}

/* A token may be listed that the model knows; then it only gets its flags. */
static c2c_status read_token(added_tokens *a, vocabulary *v, const json_value *value,
                             int32_t *largest, const char *where, const loader *l) {
    char place[WHERE_TEXT];
    const char *text;
    c2c_status status =
        json_get_string(value, "content", NULL, &text, loader_where(place, l, where), l->error);
    if (status != C2C_STATUS_OK)
        return status;
    const json_value *content = json_get(value, "content");
    if (content->count > CONTENT_LIMIT)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s.content: expected at most %d bytes, found %u", l->name, where,
                         CONTENT_LIMIT, content->count);
    if (content->count == 0)
        return C2C_STATUS_OK; /* as Hugging Face: such a token does not exist */
    added_token token = {0};
    status = read_flags(&token, value, where, l);
    if (status == C2C_STATUS_OK)
        status = give_id(v, content, largest, &token.id, where, l);
    if (status != C2C_STATUS_OK)
        return status;
    v->tokens[token.id].special |= token.special;
    a->tokens[a->count++] = token;
    return C2C_STATUS_OK;
}

/* The text that is looked for: the token's own, or its normal form. */
static c2c_status pattern_of(const added_tokens *a, const vocabulary *v, const normalizer *n,
                             size_t index, piece_buffer work[2], pattern_work *search, piece *out,
                             const loader *l) {
    const vocabulary_token *text = vocabulary_token_of(v, a->tokens[index].id);
    piece whole = {text->text, text->length, NULL, 0};
    *out = whole;
    if (!a->tokens[index].normalized)
        return C2C_STATUS_OK;
    c2c_status status = normalizer_run(n, whole, work, search, out, l->error);
    if (status != C2C_STATUS_OK)
        return status;
    if (out->length == 0)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: added_tokens: \"%s\" is empty after normalization", l->name,
                         text->text);
    return C2C_STATUS_OK;
}

/* One of the two trees, from the tokens of its kind. */
static c2c_status fill_tree(added_tokens *a, const vocabulary *v, const normalizer *n,
                            bool normalized, pattern_work *search, const loader *l) {
    added_tree *tree = normalized ? &a->normalized : &a->raw;
    piece_buffer work[2] = {0};
    piece text;
    size_t bytes = 0;
    uint32_t nodes = 0;
    c2c_status status = C2C_STATUS_OK;
    /* Three times over all tokens: how much room they take, the special ones, the others. */
    for (size_t i = 0; i < 3 * a->count && status == C2C_STATUS_OK; i++) {
        size_t index = i % a->count, round = i / a->count;
        const added_token *token = &a->tokens[index];
        if (i == a->count && bytes > 0)
            status = tree_init(tree, bytes, l);
        if (status != C2C_STATUS_OK || token->normalized != normalized ||
            (round > 0 && token->special != (round == 1)))
            continue;
        status = pattern_of(a, v, n, index, work, search, &text, l);
        if (status == C2C_STATUS_OK && round == 0)
            bytes += text.length;
        else if (status == C2C_STATUS_OK)
            tree_add(tree, &nodes, text.bytes, text.length, (int32_t)index);
    }
    piece_buffer_free(&work[0]);
    piece_buffer_free(&work[1]);
    return status;
}

c2c_status added_tokens_load(added_tokens *a, vocabulary *v, const normalizer *n,
                             const json_value *value, const loader *l) {
    if (!value || value->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (value->type != JSON_ARRAY)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: added_tokens: expected an array, found %s", l->name,
                         json_type_name(value->type));
    a->tokens = arena_alloc(l->arena, value->count * sizeof *a->tokens);
    if (!a->tokens)
        return error_memory(l->error, value->count * sizeof *a->tokens, "added tokens");
    int32_t largest = -1;
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < value->count && status == C2C_STATUS_OK; i++) {
        char where[64];
        snprintf(where, sizeof where, "added_tokens[%u]", i);
        const json_value *item = &value->items[i];
        if (item->type != JSON_OBJECT)
            return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: %s: expected an object, found %s",
                             l->name, where, json_type_name(item->type));
        status = read_token(a, v, item, &largest, where, l);
    }
    if (status != C2C_STATUS_OK)
        return status;
    pattern_work *search = pattern_work_new();
    if (!search)
        return error_memory(l->error, 0, "added tokens");
    status = fill_tree(a, v, n, false, search, l);
    if (status == C2C_STATUS_OK)
        status = fill_tree(a, v, n, true, search, l);
    pattern_work_free(search);
    return status;
}
