/* decoder.c - the "decoder" of tokenizer.json, and text from ids: at once, or token by token. Both
 * are one way: bytes gather in a buffer, and whole characters leave it. */
#include "tokenizer/internal.h"

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status load_byte_level(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    (void)value, (void)where, (void)l;
    ((decoder *)list)->kind = DECODER_BYTE_LEVEL;
    return C2C_STATUS_OK;
}

static const component_kind kinds[] = {
    {"ByteLevel", load_byte_level},
    {NULL, NULL},
};

c2c_status decoder_load(decoder *d, const json_value *value, const loader *l) {
    return component_load(kinds, d, value, "decoder", l);
}

/* ---- Text from ids ------------------------------------------------------------------------ */

void text_stream_init(text_stream *s, const tokenizer *t, bool skip_special) {
    *s = (text_stream){.tokenizer = t, .skip_special = skip_special};
}

void text_stream_deinit(text_stream *s) {
    buffer_free(&s->pending);
}

/* The bytes of one token, behind those that wait. */
static void add_token(text_stream *s, int32_t id) {
    const vocabulary_token *token = vocabulary_token_of(&s->tokenizer->vocabulary, id);
    if (!token || (s->skip_special && token->special))
        return;
    switch (s->tokenizer->decoder.kind) {
    case DECODER_BYTE_LEVEL: byte_level_decode(token->text, token->length, &s->pending); break;
    case DECODER_NONE:
        if (s->started)
            buffer_append_char(&s->pending, ' ');
        buffer_append(&s->pending, token->text, token->length);
        break;
    }
    s->started = true;
}

static c2c_status check(const text_stream *s, const buffer *out, c2c_error *error) {
    if (s->pending.failed || out->failed)
        return error_memory(error, s->pending.length, "decoded text");
    return C2C_STATUS_OK;
}

c2c_status text_stream_push(text_stream *s, int32_t id, buffer *out, c2c_error *error) {
    add_token(s, id);
    utf8_flush(&s->pending, out, false);
    return check(s, out, error);
}

c2c_status text_stream_finish(text_stream *s, buffer *out, c2c_error *error) {
    utf8_flush(&s->pending, out, true);
    return check(s, out, error);
}

c2c_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t count, bool skip_special,
                            buffer *out, c2c_error *error) {
    text_stream s;
    text_stream_init(&s, t, skip_special);
    for (size_t i = 0; i < count; i++)
        add_token(&s, ids[i]);
    c2c_status status = text_stream_finish(&s, out, error);
    text_stream_deinit(&s);
    return status;
}
