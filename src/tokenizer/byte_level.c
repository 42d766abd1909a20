/* byte_level.c - the alphabet of byte-level models (GPT-2): each byte is written as one visible
 * character. Printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on. */
#include "tokenizer/internal.h"

/* The bytes that do not stand for themselves: 00-20, 7f-a0, ad. */
#define LOW_END     0x21u
#define MIDDLE      0x7fu
#define MIDDLE_END  0xa1u
#define SOFT_HYPHEN 0xadu
#define SHIFTED     0x100u
#define SHIFTED_END (SHIFTED + LOW_END + (MIDDLE_END - MIDDLE) + 1)

uint32_t byte_level_character(uint8_t byte) {
    if (byte < LOW_END)
        return SHIFTED + byte;
    if (byte >= MIDDLE && byte < MIDDLE_END)
        return SHIFTED + LOW_END + (byte - MIDDLE);
    return byte == SOFT_HYPHEN ? SHIFTED_END - 1 : byte;
}

int byte_level_byte(uint32_t character) {
    if (character >= SHIFTED_END)
        return -1;
    if (character == SHIFTED_END - 1)
        return SOFT_HYPHEN;
    if (character >= SHIFTED + LOW_END)
        return (int)(character - SHIFTED - LOW_END + MIDDLE);
    if (character >= SHIFTED)
        return (int)(character - SHIFTED);
    return byte_level_character((uint8_t)character) == character ? (int)character : -1;
}

void byte_level_decode(const char *text, size_t length, buffer *out) {
    size_t start = out->length, size;
    for (size_t i = 0; i < length; i += size) {
        int byte = byte_level_byte(utf8_read(text + i, &size));
        if (byte < 0) { /* an added token with other characters stands for itself */
            out->length = start;
            buffer_append(out, text, length);
            return;
        }
        buffer_append_char(out, (char)byte);
    }
}
