/* utf8.c - which bytes are UTF-8; what to do about others is the caller's choice. */
#include "formats/formats.h"

/* The length of the character at `text`, 0 when it is not one. The ranges are those of table 3-7
 * of the Unicode standard: the second byte alone decides on overlong forms (e0, f0), surrogates
 * (ed) and what lies behind U+10FFFF (f4). */
static size_t character_length(const unsigned char *text, size_t left) {
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > left)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t utf8_valid_prefix(const char *text, size_t length) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;
    while (i < length) {
        /* Most text is ASCII: eight bytes at a time. */
        uint64_t word;
        if (length - i >= sizeof word) {
            memcpy(&word, bytes + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t step = character_length(bytes + i, length - i);
        if (step == 0)
            return i;
        i += step;
    }
    return i;
}
