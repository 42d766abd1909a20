/* characters.c - UTF-8 to characters, and what Python takes them for. */
#include "eval/characters.h"

#include <stdlib.h>
#include <utf8proc.h>

c2c_status characters_read(characters *c, const char *text, size_t length, c2c_error *error) {
    size_t bytes;
    *c = (characters){0};
    if (size_mul(length ? length : 1, sizeof *c->at, &bytes))
        c->at = malloc(bytes);
    if (!c->at)
        return error_memory(error, length * sizeof *c->at, "a text's characters");
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t one;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                                 (utf8proc_ssize_t)(length - i), &one);
        c->at[c->count++] = size > 0 ? (uint32_t)one : 0xfffd;
        i += size > 0 ? (size_t)size : 1;
    }
    return C2C_STATUS_OK;
}

void characters_free(characters *c) {
    free(c->at);
    *c = (characters){0};
}

bool python_is_space(uint32_t c) {
    return (c >= 0x9 && c <= 0xd) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

bool python_is_word(uint32_t c) {
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return c == '_';
    }
}

uint32_t python_lower(uint32_t c) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}
