/* template_lexer.c - a template's text to lexemes, with everything that Jinja decides there: which
 * white space around tags is dropped (-, +, trim_blocks, lstrip_blocks), comments, raw blocks,
 * escapes in strings. What the lexemes mean is the parser's business. */
#include "tokenizer/template.h"

#include <stdio.h>

#include <errno.h>
#include <stdlib.h>

#define MAX_BRACKETS 256

typedef struct lexer {
    lexeme_list *list;
    arena *memory;
    const char *name;
    c2c_error *error;
    c2c_status status;
    const char *source; /* line ends are \n, NUL-terminated */
    size_t length, at;
    size_t counted; /* bytes whose line ends are in `line` */
    int line;
    bool line_starting; /* the last thing lexed ended with a line end */
    char brackets[MAX_BRACKETS];
    size_t bracket_count;
} lexer;

/* ---- Helpers ------------------------------------------------------------------------------ */

/* The line of byte `at`; called with growing places only. */
static int line_at(lexer *x, size_t at) {
    for (; x->counted < at; x->counted++)
        x->line += x->source[x->counted] == '\n';
    return x->line;
}

static bool fail(lexer *x, const char *format, ...) C2C_PRINTF(2, 3);
static bool fail(lexer *x, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int line = line_at(x, x->at);
    x->status = error_set(x->error, C2C_STATUS_BAD_FILE, "%s: line %d: %s", x->name, line, text);
    return false;
}

static bool memory_fail(lexer *x, size_t bytes) {
    x->status = error_memory(x->error, bytes, "a chat template");
    return false;
}

static lexeme *push(lexer *x, lexeme_type type, size_t start, size_t end) {
    lexeme_list *list = x->list;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        lexeme *items = realloc(list->items, capacity * sizeof *items);
        if (!items) {
            memory_fail(x, capacity * sizeof *items);
            return NULL;
        }
        list->items = items;
        list->capacity = capacity;
    }
    char *copy = arena_copy(x->memory, x->source + start, end - start);
    if (!copy) {
        memory_fail(x, end - start);
        return NULL;
    }
    lexeme *l = &list->items[list->count++];
    *l = (lexeme){.type = type, .line = line_at(x, start), .text = copy, .length = end - start};
    return l;
}

static bool starts(const lexer *x, size_t at, const char *text) {
    size_t length = strlen(text);
    return x->length - at >= length && memcmp(x->source + at, text, length) == 0;
}

static size_t skip_space(const lexer *x, size_t at) {
    return at + space_leading(x->source + at, x->length - at);
}

static bool is_sign(char c) {
    return c == '-' || c == '+';
}

/* Where a tag that closes with `close` ends if one closes at `at`, else 0: "-%}" takes the white
 * space behind it, "%}" one line end if `trims`, "+%}" nothing (only where `plus` allows it). */
static size_t close_end(const lexer *x, size_t at, const char *close, bool trims, bool plus) {
    if (plus && x->source[at] == '+' && starts(x, at + 1, close))
        return at + 3;
    if (x->source[at] == '-' && starts(x, at + 1, close))
        return skip_space(x, at + 3);
    if (!starts(x, at, close))
        return 0;
    return at + 2 + (trims && x->source[at + 2] == '\n');
}

/* ---- Template text ------------------------------------------------------------------------ */

/* Emits the text before a tag that opens at `end` with `sign` ('-', '+' or anything else). */
static bool push_data(lexer *x, size_t start, size_t end, char sign, bool is_variable) {
    size_t stop = end;
    if (sign == '-') {
        stop = start + space_trimmed_end(x->source + start, end - start);
    } else if (sign != '+' && !is_variable) {
        size_t line = end;
        while (line > start && x->source[line - 1] != '\n')
            line--;
        /* lstrip_blocks: a tag that stands first in its line takes the indentation with it. */
        if ((line > start || x->line_starting) &&
            space_leading(x->source + line, end - line) == end - line)
            stop = line;
    }
    return stop == start || push(x, LEXEME_DATA, start, stop);
}

/* Where "{% raw %}" at `at` ends, or 0 if there is none. */
static size_t raw_begin(const lexer *x, size_t at) {
    size_t i = at + 2;
    i = skip_space(x, i + is_sign(x->source[i]));
    if (!starts(x, i, "raw"))
        return 0;
    return close_end(x, skip_space(x, i + 3), "%}", false, false);
}

static bool lex_raw(lexer *x) {
    size_t start = x->at;
    for (size_t i = start; i < x->length; i++) {
        if (!starts(x, i, "{%"))
            continue;
        size_t word = skip_space(x, i + 2 + is_sign(x->source[i + 2]));
        if (!starts(x, word, "endraw"))
            continue;
        size_t end = close_end(x, skip_space(x, word + 6), "%}", true, true);
        if (!end)
            continue;
        bool good = push_data(x, start, i, x->source[i + 2], false);
        x->at = end;
        x->line_starting = x->source[end - 1] == '\n';
        return good;
    }
    return fail(x, "missing end of raw block: {%% endraw %%} not found");
}

static bool lex_comment(lexer *x) {
    if (x->at == x->length)
        return true; /* opened by the very last bytes: Jinja has nothing to say about it */
    for (size_t i = x->at; i < x->length; i++) {
        size_t end = close_end(x, i, "#}", true, true);
        if (end) {
            x->at = end;
            x->line_starting = x->source[end - 1] == '\n';
            return true;
        }
    }
    return fail(x, "missing end of comment: #} not found");
}

/* ---- Inside tags -------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Digits of `base` with single underscores between them (one may stand first if `led`). */
static size_t digits_end(const lexer *x, size_t at, int base, bool led) {
    for (size_t i = at;; at = i) {
        i = at + (led && x->source[at] == '_');
        char c = x->source[i];
        int digit = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : 99;
        if (digit >= base)
            return at;
        i++;
        led = true;
    }
}

/* Where a number with a fraction or an exponent ends, or 0. */
static size_t real_end(const lexer *x, size_t at) {
    if (at > 0 && x->source[at - 1] == '.')
        return 0;
    size_t whole = digits_end(x, at, 10, false), end = whole;
    if (x->source[end] == '.' && is_digit(x->source[end + 1]))
        end = digits_end(x, end + 1, 10, false);
    size_t power = end;
    if ((x->source[power] | 32) == 'e') {
        power += 1 + is_sign(x->source[power + 1]);
        if (is_digit(x->source[power]))
            return digits_end(x, power, 10, false);
    }
    return end > whole ? end : 0;
}

static size_t integer_end(const lexer *x, size_t at, int *base) {
    const char *s = x->source + at;
    char kind = s[0] == '0' ? (char)(s[1] | 32) : 0;
    *base = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 10;
    if (*base != 10) {
        size_t end = digits_end(x, at + 2, *base, true);
        if (end > at + 2)
            return end;
        *base = 10;
    }
    if (s[0] != '0')
        return digits_end(x, at, 10, false);
    size_t end = at + 1;
    while (x->source[end + (x->source[end] == '_')] == '0')
        end += 1 + (x->source[end] == '_');
    return end;
}

static bool lex_number(lexer *x) {
    size_t end = real_end(x, x->at);
    int base = 10;
    lexeme_type type = end ? LEXEME_REAL : LEXEME_INTEGER;
    if (!end)
        end = integer_end(x, x->at, &base);
    lexeme *l = push(x, type, x->at, end);
    if (!l)
        return false;
    char digits[400];
    size_t count = 0;
    for (size_t i = base == 10 ? 0 : 2; i < l->length && count < sizeof digits - 1; i++)
        if (l->text[i] != '_')
            digits[count++] = l->text[i];
    digits[count] = 0;
    errno = 0;
    if (type == LEXEME_REAL)
        l->real = strtod(digits, NULL);
    else
        l->integer = strtoll(digits, NULL, base);
    if (count == sizeof digits - 1 || (type == LEXEME_INTEGER && errno))
        return fail(x, "the number %.40s... does not fit in 64 bits", l->text);
    x->at = end;
    return true;
}

static bool lex_name(lexer *x) {
    size_t end = x->at;
    while (end < x->length) {
        uint32_t c;
        size_t bytes = utf8_decode(x->source + end, x->length - end, &c);
        if (c != '_' && !character_has_class(c, CLASS_ALNUM))
            break;
        end += bytes;
    }
    bool good = push(x, LEXEME_NAME, x->at, end) != NULL;
    x->at = end;
    return good;
}

/* A number of at most `limit` digits at *at, which moves behind it; false when fewer than `least`.
 */
static bool escape_number(const char *s, size_t length, size_t *at, int base, size_t least,
                          size_t limit, uint32_t *number) {
    size_t count = 0;
    for (*number = 0; count < limit && *at < length; count++, ++*at) {
        char c = s[*at];
        int digit = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : 99;
        if (digit >= base)
            break;
        *number = *number * (uint32_t)base + (uint32_t)digit;
    }
    return count >= least;
}

/* Appends what the escape behind the backslash at s[*at - 1] stands for. */
static bool unescape(lexer *x, const char *s, size_t length, size_t *at, buffer *out) {
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = s[*at];
    for (const char *p = plain; *p; p += 2)
        if (*p == c) {
            buffer_append_char(out, p[1]);
            ++*at;
            return true;
        }
    uint32_t number = 0;
    bool good = true;
    if (c == '\n') {
        ++*at;
        return true;
    } else if (c >= '0' && c <= '7') {
        good = escape_number(s, length, at, 8, 1, 3, &number);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        ++*at;
        good = escape_number(s, length, at, 16, digits, digits, &number);
    } else if (c == 'N') {
        return fail(x, "the escape \\N{...} in a string is not supported");
    } else {
        /* Python keeps an unknown escape; it sees other than ASCII as an escape of its own. */
        buffer_append_char(out, '\\');
        if ((unsigned char)c >= 0x80) {
            *at += utf8_decode(s + *at, length - *at, &number);
            buffer_printf(out,
                          number < 0x100     ? "x%02x"
                          : number < 0x10000 ? "u%04x"
                                             : "U%08x",
                          number);
        }
        return true;
    }
    if (!good || number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
        return fail(x, "a string holds a bad escape \\%c", c);
    char bytes[4];
    buffer_append(out, bytes, utf8_encode(number, bytes));
    return true;
}

static bool lex_string(lexer *x) {
    char quote = x->source[x->at];
    size_t end = x->at + 1;
    while (end < x->length && x->source[end] != quote)
        end += 1 + (x->source[end] == '\\');
    if (end >= x->length)
        return fail(x, "a string that starts with %c has no end", quote);
    lexeme *l = push(x, LEXEME_STRING, x->at + 1, end);
    if (!l)
        return false;
    buffer out = {0};
    bool good = true;
    for (size_t i = 0; good && i < l->length;) {
        if (l->text[i] == '\\' && i + 1 < l->length) {
            i++;
            good = unescape(x, l->text, l->length, &i, &out);
        } else {
            buffer_append_char(&out, l->text[i++]);
        }
    }
    if (good) {
        l->length = out.length;
        l->text = out.failed ? NULL : arena_copy(x->memory, out.data, out.length);
        good = l->text || memory_fail(x, out.length);
    }
    buffer_free(&out);
    x->at = end + 1;
    return good;
}

/* Opening brackets are remembered: a tag cannot end inside them, so "{{ {'a': {}}}}" works. */
static bool balance(lexer *x, char c) {
    const char *open = strchr("{[(", c), *close = strchr("}])", c);
    if (open) {
        if (x->bracket_count == MAX_BRACKETS)
            return fail(x, "more than %d brackets inside each other", MAX_BRACKETS);
        x->brackets[x->bracket_count++] = "}])"[open - "{[("];
    } else if (close) {
        if (x->bracket_count == 0)
            return fail(x, "unexpected '%c'", c);
        char expected = x->brackets[--x->bracket_count];
        if (expected != c)
            return fail(x, "unexpected '%c', expected '%c'", c, expected);
    }
    return true;
}

static bool lex_operator(lexer *x) {
    static const char *const longer[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t length = 0;
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
        if (starts(x, x->at, longer[i]))
            length = 2;
    char c = x->source[x->at];
    if (!length && c && strchr("+-/*%~[](){}><=.:|,;", c))
        length = 1;
    if (!length) {
        uint32_t character;
        size_t bytes = utf8_decode(x->source + x->at, x->length - x->at, &character);
        return fail(x, "unexpected character '%.*s'", (int)bytes, x->source + x->at);
    }
    if (!balance(x, c) || !push(x, LEXEME_OPERATOR, x->at, x->at + length))
        return false;
    x->at += length;
    return true;
}

static bool lex_tag(lexer *x, bool is_variable) {
    const char *close = is_variable ? "}}" : "%}";
    x->bracket_count = 0;
    while (x->at < x->length) {
        size_t space = skip_space(x, x->at), end = 0;
        if (space > x->at) {
            x->at = space;
            continue;
        }
        if (x->bracket_count == 0)
            end = close_end(x, x->at, close, !is_variable, !is_variable);
        if (end) {
            lexeme_type type = is_variable ? LEXEME_VARIABLE_END : LEXEME_BLOCK_END;
            bool good = push(x, type, x->at, x->at) != NULL;
            x->at = end;
            x->line_starting = x->source[end - 1] == '\n';
            return good;
        }
        uint32_t c;
        utf8_decode(x->source + x->at, x->length - x->at, &c);
        bool good = is_digit((char)(c < 128 ? c : 0))                 ? lex_number(x)
                    : c == '_' || character_has_class(c, CLASS_ALNUM) ? lex_name(x)
                    : c == '\'' || c == '"'                           ? lex_string(x)
                                                                      : lex_operator(x);
        if (!good)
            return false;
    }
    return true; /* the parser says what is missing */
}

/* ---- The whole ---------------------------------------------------------------------------- */

/* The next tag at or behind `at`, or the end. */
static size_t find_tag(const lexer *x, size_t at) {
    for (; at < x->length; at++)
        if (x->source[at] == '{' && x->source[at + 1] && strchr("{%#", x->source[at + 1]))
            return at;
    return x->length;
}

static bool lex_root(lexer *x) {
    while (x->at < x->length) {
        size_t start = x->at, tag = find_tag(x, start);
        if (tag == x->length) {
            x->at = tag;
            return push(x, LEXEME_DATA, start, tag) != NULL;
        }
        char kind = x->source[tag + 1], sign = x->source[tag + 2];
        size_t raw = kind == '%' ? raw_begin(x, tag) : 0;
        if (!push_data(x, start, tag, sign, kind == '{'))
            return false;
        x->at = raw ? raw : tag + 2 + is_sign(sign);
        if (raw) {
            x->line_starting = x->source[raw - 1] == '\n';
            if (!lex_raw(x))
                return false;
        } else if (kind == '#') {
            if (!lex_comment(x))
                return false;
        } else {
            bool is_variable = kind == '{';
            lexeme_type type = is_variable ? LEXEME_VARIABLE_BEGIN : LEXEME_BLOCK_BEGIN;
            if (!push(x, type, tag, tag) || !lex_tag(x, is_variable))
                return false;
        }
    }
    return true;
}

/* Jinja sees \r\n and \r as \n, and drops one line end at the end of the file. */
static char *normalized(const char *source, size_t length, size_t *out_length) {
    char *copy = malloc(length + 4); /* NULs behind the end, so that looking ahead is safe */
    if (!copy)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (source[i] == '\r' && i + 1 < length && source[i + 1] == '\n')
            i++;
        copy[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n && copy[n - 1] == '\n')
        n--;
    memset(copy + n, 0, length + 4 - n);
    *out_length = n;
    return copy;
}

c2c_status template_lex(lexeme_list *list, arena *memory, const char *source, size_t length,
                        const char *name, c2c_error *error) {
    lexer x = {.list = list, .memory = memory, .name = name, .error = error, .line = 1};
    char *copy = normalized(source, length, &x.length);
    if (!copy)
        return error_memory(error, length, "a chat template");
    x.source = copy;
    x.line_starting = true;
    if (lex_root(&x))
        push(&x, LEXEME_EOF, x.length, x.length);
    free(copy);
    return x.status;
}
