/* piece.c - text between the original and the model, each byte with the original bytes that it
 * came from. As long as nothing changed the text, positions alone tell this.
 *
 * Origins cost eight bytes for a byte of text, the price of exact offsets whatever normalizers
 * do. All bytes of a character have the same origin, so that cutting between characters never
 * splits one. */
#include "tokenizer/internal.h"

#include <stdlib.h>

/* Appends the bytes; their origins are the caller's to write. NULL when out of memory. */
static origin *append_bytes(piece_buffer *b, const char *bytes, size_t length) {
    size_t start = b->bytes.length;
    buffer_append(&b->bytes, bytes, length);
    if (b->bytes.failed)
        return NULL;
    if (b->bytes.length > b->capacity || !b->origins) {
        size_t capacity = b->bytes.length < 64 ? 128 : b->bytes.length * 2, size;
        origin *origins =
            size_mul(capacity, sizeof *origins, &size) ? realloc(b->origins, size) : NULL;
        if (!origins) {
            b->bytes.failed = true;
            return NULL;
        }
        b->origins = origins;
        b->capacity = capacity;
    }
    return b->origins + start;
}

void piece_buffer_append(piece_buffer *b, const char *bytes, size_t length, origin from) {
    origin *origins = append_bytes(b, bytes, length);
    for (size_t i = 0; origins && i < length; i++)
        origins[i] = from;
}

void piece_buffer_copy(piece_buffer *b, piece p) {
    origin *origins = append_bytes(b, p.bytes, p.length);
    if (!origins)
        return;
    if (p.origins) { /* every byte of a character has the same */
        memcpy(origins, p.origins, p.length * sizeof *origins);
        return;
    }
    for (size_t i = 0, size; i < p.length; i += size) {
        utf8_read(p.bytes + i, &size);
        origin from = piece_origin(p, i, i + size);
        for (size_t j = 0; j < size; j++)
            origins[i + j] = from;
    }
}

void piece_buffer_prepend(piece_buffer *b, const char *text, size_t length, piece p) {
    size_t size;
    utf8_read(p.bytes, &size);
    piece_buffer_append(b, text, length, piece_origin(p, 0, size));
    piece_buffer_copy(b, p);
}

void piece_buffer_clear(piece_buffer *b) {
    buffer_clear(&b->bytes);
}

void piece_buffer_free(piece_buffer *b) {
    buffer_free(&b->bytes);
    free(b->origins);
    *b = (piece_buffer){0};
}

piece piece_buffer_view(const piece_buffer *b) {
    return (piece){b->bytes.data, b->bytes.length, b->origins, 0};
}
