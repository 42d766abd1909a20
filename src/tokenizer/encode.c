/* encode.c - text to tokens: one pass through the stages, then offsets from bytes to characters.
 *
 * Inside, everything counts bytes of the original text; only at the end, in one walk, do offsets
 * become what Python's strings count. Scratch lives for one call: a tokenizer is immutable, so
 * any number of threads may encode with it without a lock. */
#include "tokenizer/internal.h"

#include <stdlib.h>

void token_list_free(token_list *list) {
    free(list->items);
    *list = (token_list){0};
}

/* Doubling, so that a token costs no allocation of its own. */
c2c_status token_list_reserve(token_list *list, size_t more, c2c_error *error) {
    size_t need, capacity = list->capacity ? list->capacity : 64, bytes;
    if (!size_add(list->count, more, &need))
        return error_memory(error, SIZE_MAX, "tokens");
    if (need <= list->capacity)
        return C2C_STATUS_OK;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    token *items = size_mul(capacity, sizeof *items, &bytes) ? realloc(list->items, bytes) : NULL;
    if (!items)
        return error_memory(error, capacity, "tokens");
    list->items = items;
    list->capacity = capacity;
    return C2C_STATUS_OK;
}

/* Byte-level tokens may begin and end between the bytes of a character. */
static bool inside_character(const encoder *e, uint32_t at) {
    return at < e->length && ((unsigned char)e->text[at] & 0xc0) == 0x80;
}

c2c_status encoder_emit(encoder *e, int32_t id, origin from) {
    c2c_status status = token_list_reserve(e->out, 1, e->error);
    if (status != C2C_STATUS_OK)
        return status;
    /* A token that holds a part of a character stands for the character. */
    while (from.start > 0 && inside_character(e, from.start))
        from.start--;
    while (inside_character(e, from.end))
        from.end++;
    e->out->items[e->out->count++] = (token){id, (int32_t)from.start, (int32_t)from.end};
    return C2C_STATUS_OK;
}

/* An added token found as `text`: its own, or with white space beside it, or normalized. */
static c2c_status emit_added(encoder *e, const added_token *token, piece text) {
    const vocabulary_token *known = vocabulary_token_of(&e->tokenizer->vocabulary, token->id);
    if (text.length != known->length || memcmp(text.bytes, known->text, text.length) != 0) {
        if (e->stripped_count == e->stripped_capacity) {
            size_t capacity = e->stripped_capacity ? e->stripped_capacity * 2 : 16;
            stripped_token *items = realloc(e->stripped, capacity * sizeof *items);
            if (!items)
                return error_memory(e->error, capacity * sizeof *items, "added tokens");
            e->stripped = items;
            e->stripped_capacity = capacity;
        }
        e->stripped[e->stripped_count++] =
            (stripped_token){e->out->count - e->first, leading_spaces(text.bytes, text.length),
                             trailing_spaces(text.bytes, text.length)};
    }
    return encoder_emit(e, token->id, piece_origin(text, 0, text.length));
}

/* ---- Stages ------------------------------------------------------------------------------- */

/* A part of the original text without raw added tokens: normalized, then searched for the others.
 */
static c2c_status encode_part(encoder *e, piece part) {
    const tokenizer *t = e->tokenizer;
    piece normal;
    c2c_status status =
        normalizer_run(&t->normalizer, part, e->normal, e->pattern, &normal, e->error);
    added_scan scan = {.added = &t->added,
                       .tree = &t->added.normalized,
                       .text = normal.bytes,
                       .length = normal.length};
    const added_token *token;
    size_t start, end;
    while (status == C2C_STATUS_OK && added_next(&scan, &token, &start, &end)) {
        if (start == end)
            continue;
        if (token)
            status = emit_added(e, token, piece_slice(normal, start, end));
        else
            status = pre_tokenizer_run(&t->pre_tokenizer, e, piece_slice(normal, start, end));
    }
    return status;
}

/* Raw added tokens are found before anything touches the text: a chat's markers stay what they are
 * whatever the normalizer does. Empty parts are nobody's business. */
static c2c_status encode_text(encoder *e) {
    const tokenizer *t = e->tokenizer;
    piece whole = {e->text, e->length, NULL, 0};
    added_scan scan = {.added = &t->added,
                       .tree = &t->added.raw,
                       .text = e->text,
                       .length = e->length};
    const added_token *token;
    size_t start, end;
    c2c_status status = C2C_STATUS_OK;
    while (status == C2C_STATUS_OK && added_next(&scan, &token, &start, &end)) {
        if (start == end)
            continue;
        if (token)
            status = emit_added(e, token, piece_slice(whole, start, end));
        else
            status = encode_part(e, piece_slice(whole, start, end));
    }
    return status;
}

/* ---- Offsets ------------------------------------------------------------------------------ */

/* Counts characters up to a byte; offsets mostly grow, so it walks on from where it was. */
typedef struct counter {
    const char *text;
    size_t byte;
    int32_t characters;
} counter;

/* Backwards, too: normalizing may have moved marks past each other. */
static int32_t count_to(counter *c, size_t byte) {
    for (; c->byte < byte; c->byte++)
        c->characters += ((unsigned char)c->text[c->byte] & 0xc0) != 0x80;
    for (; c->byte > byte; c->byte--)
        c->characters -= ((unsigned char)c->text[c->byte - 1] & 0xc0) != 0x80;
    return c->characters;
}

/* Offsets become what Python's strings count. */
static void count_characters(encoder *e, size_t first) {
    counter c = {.text = e->text};
    for (size_t i = first; i < e->out->count; i++) {
        token *t = &e->out->items[i];
        if (t->end == 0) /* around the text; counting back would take a walk */
            continue;
        t->start = count_to(&c, (size_t)t->start);
        t->end = count_to(&c, (size_t)t->end);
    }
}

/* ---- One call ----------------------------------------------------------------------------- */

/* Scratch belongs to the call: a tokenizer is never written to, so threads may share it. */
static c2c_status encoder_init(encoder *e, c2c_error *error) {
    size_t steps = e->tokenizer->pre_tokenizer.count;
    e->pattern = pattern_work_new();
    e->steps = calloc(3 * steps + 1, sizeof *e->steps);
    if (!e->pattern || !e->steps)
        return error_memory(error, 3 * steps * sizeof *e->steps, "encoding a text");
    e->replaced = e->steps + steps;
    e->mapped = e->replaced + steps;
    return C2C_STATUS_OK;
}

static void encoder_deinit(encoder *e) {
    pattern_work_free(e->pattern);
    for (size_t i = 0; e->steps && i < 3 * e->tokenizer->pre_tokenizer.count; i++)
        piece_buffer_free(&e->steps[i]);
    free(e->steps);
    free(e->stripped);
    piece_buffer_free(&e->normal[0]);
    piece_buffer_free(&e->normal[1]);
    bpe_work_free(&e->bpe);
}

c2c_status tokenizer_encode(const tokenizer *t, const char *text, size_t length, bool add_special,
                            token_list *out, c2c_error *error) {
    size_t first = out->count;
    encoder e = {.tokenizer = t,
                 .text = text ? text : "",
                 .length = length,
                 .out = out,
                 .first = first,
                 .error = error};
    if (length >= TEXT_LIMIT)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "text: expected less than 2 GiB, found %zu bytes", length);
    size_t valid = utf8_valid_prefix(text, length);
    if (valid < length)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "text: not valid UTF-8 at byte %zu of %zu", valid, length);
    c2c_status status = encoder_init(&e, error);
    if (status == C2C_STATUS_OK)
        status = encode_text(&e);
    if (status == C2C_STATUS_OK)
        status = post_processor_run(&t->post_processor, &e, add_special);
    if (status == C2C_STATUS_OK)
        count_characters(&e, first);
    else
        out->count = first;
    encoder_deinit(&e);
    return status;
}
