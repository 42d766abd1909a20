/* fuzz_tokenizer.c - bytes as a tokenizer.json and, behind a zero byte, a text: open, encode,
 * decode at once and streamed, and compare both. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Enough to reach everything; a hostile pattern may take a second on a long text. */
#define TEXT_BYTES 256

/* Whole characters only, and the same as at once. A step of the decoder may refuse to go on. */
static void decode(const tokenizer *t, const int32_t *ids, size_t count, bool skip) {
    buffer whole = {0}, streamed = {0};
    c2c_error error;
    text_stream s;
    text_stream_init(&s, t, skip);
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i <= count && status == C2C_STATUS_OK; i++) {
        size_t before = streamed.length;
        status = i < count ? text_stream_push(&s, ids[i], &streamed, &error)
                           : text_stream_finish(&s, &streamed, &error);
        size_t added = streamed.length - before;
        C2C_ASSERT(added == 0 || utf8_valid_prefix(streamed.data + before, added) == added);
    }
    C2C_ASSERT(tokenizer_decode(t, ids, count, skip, &whole, &error) == status);
    C2C_ASSERT(status != C2C_STATUS_OK || whole.length == streamed.length);
    if (status == C2C_STATUS_OK && whole.length > 0)
        C2C_ASSERT(memcmp(whole.data, streamed.data, whole.length) == 0);
    text_stream_deinit(&s);
    buffer_free(&whole);
    buffer_free(&streamed);
}

static void encode(const tokenizer *t, const char *text, size_t length, bool add_special) {
    c2c_error error;
    token_list tokens = {0};
    if (tokenizer_encode(t, text, length, add_special, &tokens, &error) == C2C_STATUS_OK) {
        int32_t *ids = malloc((tokens.count + 1) * sizeof *ids);
        C2C_ASSERT(ids);
        for (size_t i = 0; i < tokens.count; i++) {
            const token *k = &tokens.items[i];
            C2C_ASSERT(k->id >= 0 && (size_t)k->id < tokenizer_vocabulary_size(t));
            C2C_ASSERT(k->start >= 0 && k->start <= k->end && (size_t)k->end <= length);
            ids[i] = k->id;
        }
        decode(t, ids, tokens.count, add_special);
        free(ids);
    }
    token_list_free(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    c2c_error error;
    json_document *document = NULL;
    tokenizer *t = NULL;
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t file = zero ? (size_t)(zero - data) : size;
    const uint8_t *text = zero ? zero + 1 : data;
    size_t length = zero ? size - file - 1 : size;
    length = length > TEXT_BYTES ? TEXT_BYTES : length;
    int32_t ids[TEXT_BYTES];
    if (json_parse(&document, (const char *)data, file, "fuzz", &error) != C2C_STATUS_OK)
        return 0;
    if (tokenizer_load(&t, json_root(document), "fuzz", &error) == C2C_STATUS_OK) {
        encode(t, (const char *)text, length, false);
        encode(t, (const char *)text, length, true);
        for (size_t i = 0; i < length; i++)
            ids[i] = text[i] - 2;
        decode(t, ids, length, false);
    }
    tokenizer_close(t);
    json_close(document);
    return 0;
}
