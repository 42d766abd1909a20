/* unicode.c - characters of valid UTF-8, the two properties that added tokens ask for, and bytes
 * that become text as they arrive. What is encoded was checked to be UTF-8 once, at the door
 * (tokenizer_encode), so nothing behind it checks again; what is decoded may be any bytes, and
 * becomes U+FFFD where it is no text. */
#include "tokenizer/internal.h"

#include <utf8proc.h>

size_t character_before(const char *text, size_t end) {
    do
        end--;
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80);
    return end;
}

size_t utf8_write(uint32_t character, char bytes[4]) {
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)character, (utf8proc_uint8_t *)bytes);
}

bool unicode_is_space(uint32_t c) {
    return (c >= 0x9 && c <= 0xd) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Alphabetic, Mark, Decimal_Number, Connector_Punctuation, Join_Control (UTS 18, annex C).
 * Alphabetic is letters, letter numbers, marks, and the enclosed letters among the symbols. */
bool unicode_is_word(uint32_t c) {
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default:
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
               (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
               (c >= 0x1f170 && c <= 0x1f189);
    }
}

/* What the bytes at `text` begin: *size bytes of a character (true), or of something that is
 * none: the longest start of a character, at least one byte. *cut: only more bytes could tell.
 * The ranges are those of table 3-7 of the Unicode standard. */
static bool character_at(const unsigned char *text, size_t left, size_t *size, bool *cut) {
    unsigned char first = text[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    *cut = false;
    for (*size = 1; *size < length; ++*size) {
        if (*size == left) {
            *cut = true;
            return false;
        }
        if (text[*size] < low || text[*size] > high)
            return false;
        low = 0x80;
        high = 0xbf;
    }
    return length > 0;
}

void utf8_flush(buffer *pending, buffer *out, bool final) {
    size_t i = 0;
    while (i < pending->length) {
        size_t valid = utf8_valid_prefix(pending->data + i, pending->length - i);
        buffer_append(out, pending->data + i, valid);
        i += valid;
        if (i == pending->length)
            break;
        size_t size;
        bool cut;
        character_at((const unsigned char *)pending->data + i, pending->length - i, &size, &cut);
        if (cut && !final)
            break;
        buffer_append(out, "\xef\xbf\xbd", 3);
        i += size;
    }
    size_t kept = pending->length - i;
    if (kept > 0)
        memmove(pending->data, pending->data + i, kept);
    pending->length = kept;
    if (pending->data)
        pending->data[kept] = 0;
}
