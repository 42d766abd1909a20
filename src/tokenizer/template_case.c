/* template_case.c - letters: upper, lower, title case and Python's is...() classes, by Unicode's
 * properties. Lower case does not know that a sigma ends a word.
 *
 * utf8proc has categories and the simple, one to one mappings. What Python takes from Unicode's
 * other files is listed here: characters that have a case although they are no letters, digits
 * without a decimal place, letters that become several. The lists hold what can stand in a text
 * that people write; what is in none of them keeps its simple mapping. */
#include "tokenizer/template.h"

#include <utf8proc.h>

/* Unicode gives some characters a case that are no letters of that case by category: roman numbers,
 * letters in circles, raised and lowered letters. */
static bool is_lower(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LL || c == 0xaa ||
           c == 0xba || (c >= 0x2b0 && c <= 0x2b8) || (c >= 0x1d2c && c <= 0x1d6a) ||
           (c >= 0x2090 && c <= 0x209c) || c == 0x2071 || c == 0x207f ||
           (c >= 0x2170 && c <= 0x217f) || (c >= 0x24d0 && c <= 0x24e9);
}

static bool is_upper(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU ||
           (c >= 0x2160 && c <= 0x216f) || (c >= 0x24b6 && c <= 0x24cf);
}

static bool is_cased(uint32_t c) {
    return is_lower(c) || is_upper(c) ||
           utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LT;
}

bool character_is_printable(uint32_t c) {
    /* Most characters of a repr() are ASCII; asking Unicode for each would cost more than the
     * rest. */
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
    /* Of an empty text every class is false, but isascii(). */
    return any || is == CLASS_ASCII;
}

/* Letters that change into more than one character: the letter, upper, title and lower case. */
static const char *const long_cases[][4] = {
    {"ß", "SS", "Ss", "ß"},   {"ŉ", "ʼN", "ʼN", "ŉ"},   {"ǰ", "J̌", "J̌", "ǰ"},
    {"ﬀ", "FF", "Ff", "ﬀ"},   {"ﬁ", "FI", "Fi", "ﬁ"},   {"ﬂ", "FL", "Fl", "ﬂ"},
    {"ﬃ", "FFI", "Ffi", "ﬃ"}, {"ﬄ", "FFL", "Ffl", "ﬄ"}, {"ﬅ", "ST", "St", "ﬅ"},
    {"ﬆ", "ST", "St", "ﬆ"},   {"և", "ԵՒ", "Եւ", "և"},   {"İ", "İ", "İ", "i̇"},
};

static const char *long_case(const char *bytes, size_t size, text_case to) {
    for (size_t i = 0; size > 1 && i < sizeof long_cases / sizeof *long_cases; i++)
        if (strlen(long_cases[i][0]) == size && memcmp(long_cases[i][0], bytes, size) == 0)
            return long_cases[i][to == CASE_UPPER ? 1 : to == CASE_LOWER ? 3 : 2];
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

/* Writes the changed character, at most 8 bytes, and returns how long it is. */
static size_t change(const char *from, size_t size, uint32_t c, text_case to, char *bytes) {
    if (c < 128) {
        bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
        bytes[0] = (char)(lower && to != CASE_LOWER   ? c - 32
                          : upper && to == CASE_LOWER ? c + 32
                                                      : c);
        return 1;
    }
    const char *longer = long_case(from, size, to);
    if (longer) {
        size_t length = strlen(longer);
        memcpy(bytes, longer, length);
        return length;
    }
    utf8proc_int32_t changed = to == CASE_UPPER   ? utf8proc_toupper((utf8proc_int32_t)c)
                               : to == CASE_LOWER ? utf8proc_tolower((utf8proc_int32_t)c)
                                                  : utf8proc_totitle((utf8proc_int32_t)c);
    return utf8_encode((uint32_t)changed, bytes);
}

const text *text_cased(render *r, const text *t, text_case to) {
    text_builder out = {.render = r};
    bool after_cased = false;
    char chunk[256]; /* changed characters of one message, or of none */
    size_t used = 0;
    int owner = -1;
    if (!render_spend(r, t->length))
        return NULL;
    for (size_t at = 0; at < t->length;) {
        uint32_t c;
        size_t size = utf8_decode(t->bytes + at, t->length - at, &c);
        int message = t->run_count ? text_message_at(t, at) : -1;
        /* The changed text is gathered in chunks of one owner, so that a run is added for a
         * chunk and not for a character; 8 bytes are the longest change. */
        if (message != owner || used > sizeof chunk - 8) {
            if (!builder_bytes(&out, chunk, used, owner))
                return NULL;
            used = 0;
            owner = message;
        }
        used += change(t->bytes + at, size, c, case_of(to, c, after_cased, at == 0), chunk + used);
        after_cased = to == CASE_TITLE && is_cased(c);
        at += size;
    }
    return builder_bytes(&out, chunk, used, owner) ? builder_finish(&out) : NULL;
}

/* jinja2's (markupsafe's) five, as numbers where it takes numbers. What is markup was escaped by
 * whoever marked it. */
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
    const text *escaped = builder_finish(&out);
    return escaped ? text_marked(r, escaped, true) : NULL;
}
