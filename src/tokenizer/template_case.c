/* template_case.c - letters: upper, lower, title case and Python's is...() classes, by Unicode's
 * properties. Lower case does not know that a sigma ends a word. */
#include "tokenizer/template.h"

#include <utf8proc.h>

static bool is_lower(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LL || c == 0xaa || c == 0xba;
}

static bool is_upper(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU;
}

static bool is_cased(uint32_t c) {
    return is_lower(c) || is_upper(c) ||
           utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LT;
}

bool character_is_printable(uint32_t c) {
    if (c < 127)
        return c >= 32;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

static bool is_letter(uint32_t c) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* Superscripts and circled digits have no decimal place but count as digits. */
static bool is_digit(uint32_t c) {
    return is_decimal(c) || c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
           (c >= 0x2460 && c <= 0x2468) || (c >= 0x2776 && c <= 0x277e);
}

bool character_has_class(uint32_t c, text_class is) {
    switch (is) {
    case CLASS_ALPHA: return is_letter(c);
    case CLASS_DIGIT: return is_digit(c);
    case CLASS_DECIMAL: return is_decimal(c);
    case CLASS_ALNUM: {
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
        return is_letter(c) ||
               (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
    }
    case CLASS_SPACE: return character_is_space(c);
    case CLASS_UPPER: return is_upper(c);
    case CLASS_LOWER: return is_lower(c);
    case CLASS_ASCII: return c < 128;
    }
    return false;
}

/* isupper and islower ask only the letters that have a case, and want at least one. */
bool text_has_class(const text *t, text_class is) {
    bool by_case = is == CLASS_UPPER || is == CLASS_LOWER, any = false;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        at += utf8_decode(t->bytes + at, t->length - at, &c);
        bool asked = !by_case || is_cased(c);
        if (asked && !character_has_class(c, is))
            return false;
        any |= asked;
    }
    return any || is == CLASS_ASCII;
}

/* Letters whose upper case is more than one character: the letter, upper case, title case. */
static const char *const long_cases[][3] = {
    {"ß", "SS", "Ss"}, {"ŉ", "ʼN", "ʼN"}, {"ǰ", "J̌", "J̌"},     {"ﬀ", "FF", "Ff"},
    {"ﬁ", "FI", "Fi"}, {"ﬂ", "FL", "Fl"}, {"ﬃ", "FFI", "Ffi"}, {"ﬄ", "FFL", "Ffl"},
    {"ﬅ", "ST", "St"}, {"ﬆ", "ST", "St"}, {"և", "ԵՒ", "Եւ"},
};

static const char *long_case(const char *bytes, size_t size, text_case to) {
    for (size_t i = 0; size > 1 && i < sizeof long_cases / sizeof *long_cases; i++)
        if (strlen(long_cases[i][0]) == size && memcmp(long_cases[i][0], bytes, size) == 0)
            return long_cases[i][to == CASE_UPPER ? 1 : 2];
    return NULL;
}

/* What becomes of `c` when the one before it was a letter with a case, or it stands first. */
static text_case case_of(text_case to, uint32_t c, bool after_cased, bool first) {
    switch (to) {
    case CASE_TITLE: return after_cased ? CASE_LOWER : CASE_TITLE;
    case CASE_CAPITAL: return first ? CASE_TITLE : CASE_LOWER;
    case CASE_SWAP: return is_upper(c) ? CASE_LOWER : CASE_UPPER;
    default: return to;
    }
}

const text *text_cased(render *r, const text *t, text_case to) {
    text_builder out = {.render = r};
    bool after_cased = false;
    if (!builder_reserve(&out, t->length))
        return NULL;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        text_case one = case_of(to, c, after_cased, at == 0);
        const char *longer = one != CASE_LOWER ? long_case(t->bytes + at, size, one) : NULL;
        int message = text_message_at(t, at);
        char bytes[4];
        utf8proc_int32_t changed = one == CASE_UPPER   ? utf8proc_toupper((utf8proc_int32_t)c)
                                   : one == CASE_LOWER ? utf8proc_tolower((utf8proc_int32_t)c)
                                                       : utf8proc_totitle((utf8proc_int32_t)c);
        size_t length = longer ? strlen(longer) : utf8_encode((uint32_t)changed, bytes);
        if (!builder_bytes(&out, longer ? longer : bytes, length, message))
            return NULL;
        after_cased = is_cased(c);
        at += size;
    }
    return builder_finish(&out);
}

const text *text_escaped(render *r, const text *t) {
    static const char special[] = "&<>\"'";
    static const char *const escapes[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    text_builder out = {.render = r};
    size_t kept = 0;
    if (t->markup)
        return t;
    for (size_t at = 0; at < t->length; at++) {
        const char *hit = t->bytes[at] ? strchr(special, t->bytes[at]) : NULL;
        if (!hit)
            continue;
        if (!builder_slice(&out, t, kept, at) || !builder_literal(&out, escapes[hit - special]))
            return NULL;
        kept = at + 1;
    }
    if (!builder_slice(&out, t, kept, t->length))
        return NULL;
    text *escaped = (text *)builder_finish(&out);
    if (escaped)
        escaped->markup = true;
    return escaped;
}
