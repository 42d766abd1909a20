/* math_tokens.c - cuts a mathematical text into tokens. What only changes how it looks (\left, thin
 * spaces, dollar signs, emphasis) is left out here, and characters beyond ASCII become the commands
 * that mean the same. */
#include "eval/math.h"

#include <math.h>
#include <stdlib.h>

/* Commands that say nothing about the value. */
static const char *const silent[] = {"left",       "right", "big",          "Big",       "bigg",
                                     "Bigg",       "bigl",  "bigr",         "Bigl",      "Bigr",
                                     "biggl",      "biggr", "displaystyle", "textstyle", "limits",
                                     "quad",       "qquad", "degree",       "circ",      "ldots",
                                     "dots",       "cdots", "boldsymbol",   "mathbf",    "bf",
                                     "bm",         "rm",    "middle",       "hspace",    "phantom",
                                     "ensuremath", NULL};

/* Commands whose argument is words. */
static const char *const texts[] = {"text",         "textbf", "textit", "textrm",
                                    "textnormal",   "mathrm", "mbox",   "mathit",
                                    "operatorname", "mathsf", "mathtt", NULL};

/* Plain words that are read as commands of that name. */
static const char *const words[] = {"sqrt",     "pi",   "sin",    "cos",    "tan",    "cot",
                                    "sec",      "csc",  "arcsin", "arccos", "arctan", "sinh",
                                    "cosh",     "tanh", "ln",     "log",    "exp",    "abs",
                                    "infinity", "inf",  "infty",  "oo",     "cbrt",   "theta",
                                    "alpha",    "beta", "gamma",  "lambda", NULL};

/* Characters and what they stand for. */
static const char *const characters[][2] = {{"\xe2\x88\x92", "-"},
                                            {"\xe2\x80\x93", "-"},
                                            {"\xe2\x80\x94", "-"},
                                            {"\xc3\x97", "*"},
                                            {"\xc2\xb7", "*"},
                                            {"\xe2\x8b\x85", "*"},
                                            {"\xc3\xb7", "/"},
                                            {"\xe2\x81\x84", "/"},
                                            {"\xcf\x80", "\\pi "},
                                            {"\xe2\x88\x9a", "\\sqrt "},
                                            {"\xe2\x88\x9e", "\\infty "},
                                            {"\xe2\x89\xa4", "\\le "},
                                            {"\xe2\x89\xa5", "\\ge "},
                                            {"\xe2\x89\xa0", "\\ne "},
                                            {"\xe2\x88\xaa", "\\cup "},
                                            {"\xe2\x88\x88", "\\in "},
                                            {"\xc2\xb1", "\\pm "},
                                            {"\xc2\xb0", " "},
                                            {"\xc2\xb2", "^2 "},
                                            {"\xc2\xb3", "^3 "},
                                            {"\xef\xbc\x8c", ","},
                                            {"\xc2\xa0", " "},
                                            {"\xe2\x80\x89", " "},
                                            {"\xe2\x82\xac", " "},
                                            {"\xc2\xa3", " "},
                                            {"\xc2\xbd", "\\frac12 "},
                                            {"\xce\xb8", "\\theta "},
                                            {"\xe2\x88\x85", "\\emptyset "}};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_listed(const char *const *list, const char *name) {
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

/* ---- One source of ASCII --------------------------------------------------------------------- */

typedef struct source {
    char *out;
    size_t length;
} source;

static bool put(source *s, const char *text, size_t length) {
    if (s->length + length >= MATH_MAX_TEXT)
        return false;
    memcpy(s->out + s->length, text, length);
    s->length += length;
    return true;
}

/* The bytes at `text` that one entry of `characters` replaces; 0: none does. */
static size_t replaced(const char *text, size_t length, const char **by) {
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
        size_t size = strlen(characters[i][0]);
        if (size <= length && memcmp(text, characters[i][0], size) == 0) {
            *by = characters[i][1];
            return size;
        }
    }
    return 0;
}

/* Copies with known characters replaced and emphasis taken away; a byte that is not ASCII becomes
 * 0x7f, which no expression holds. */
static bool source_make(source *s, const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        const char *by;
        size_t size = replaced(text + i, length - i, &by);
        if (size) {
            if (!put(s, by, strlen(by)))
                return false;
            i += size;
            continue;
        }
        char c = (unsigned char)text[i] >= 0x80 || text[i] == '\0' ? 0x7f : text[i];
        bool bold = c == '*' && i + 1 < length && text[i + 1] == '*';
        if (bold && (i == 0 || i + 2 >= length || is_blank(text[i + 2]) || text[i + 2] == '.'))
            c = ' ';
        if (!put(s, &c, 1))
            return false;
        i += bold && c == ' ' ? 2 : 1;
    }
    return true;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

typedef struct cutter {
    math_tokens *tokens;
    size_t at, end;
    math_reading reading;
    bool spaced;
} cutter;

static char peek(const cutter *c, size_t ahead) {
    return c->at + ahead < c->end ? c->tokens->source[c->at + ahead] : '\0';
}

static math_token *add(cutter *c, math_token_kind kind, size_t start) {
    math_token *t = &c->tokens->items[c->tokens->count++];
    *t = (math_token){.kind = kind, .spaced = c->spaced, .start = start, .decimals = -1};
    c->spaced = false;
    return t;
}

static void set_name(math_token *t, const char *text, size_t length) {
    size_t n = length < MATH_NAME - 1 ? length : MATH_NAME - 1;
    memcpy(t->name, text, n);
    t->name[n] = '\0';
}

/* Three digits and no fourth at `ahead`. */
static bool three_digits(const cutter *c, size_t ahead) {
    return is_digit(peek(c, ahead)) && is_digit(peek(c, ahead + 1)) &&
           is_digit(peek(c, ahead + 2)) && !is_digit(peek(c, ahead + 3));
}

/* Bytes of a thousands' separator before three digits: ",", or LaTeX's "{,}" or ",\\!". */
static size_t separator(const cutter *c, size_t digits) {
    const char *at = c->tokens->source + c->at;
    size_t left = c->end - c->at, n = 0;
    if (!c->reading.thousands || digits == 0 || digits > 3)
        return 0;
    if (left > 3 && memcmp(at, "{,}", 3) == 0)
        n = 3;
    else if (left > 3 && memcmp(at, ",\\!", 3) == 0)
        n = 3;
    else if (peek(c, 0) == ',')
        return three_digits(c, 1) ? 1 : 0;
    while (n && is_blank(peek(c, n)))
        n++;
    return n && three_digits(c, n) ? n : 0;
}

/* "e" with a power of ten behind it, close to the digits. */
static size_t exponent(const cutter *c) {
    size_t sign = peek(c, 1) == '+' || peek(c, 1) == '-';
    size_t n = 1 + sign;
    if ((peek(c, 0) != 'e' && peek(c, 0) != 'E') || !is_digit(peek(c, n)))
        return 0;
    while (is_digit(peek(c, n)))
        n++;
    return is_letter(peek(c, n)) ? 0 : n;
}

static void cut_number(cutter *c) {
    char digits[330];
    size_t n = 0, group = 0, start = c->at, skip = 0;
    math_token *t = add(c, MATH_TOKEN_NUMBER, start);
    while (n < 300 && (is_digit(peek(c, 0)) || (skip = separator(c, group)) > 0)) {
        if (!is_digit(peek(c, 0))) {
            c->at += skip;
            /* Groups after the first have three digits, so the next separator may follow them. */
            group = 0;
            continue;
        }
        digits[n++] = peek(c, 0);
        group++;
        c->at++;
    }
    if (peek(c, 0) == '.' && (is_digit(peek(c, 1)) || (n && !is_letter(peek(c, 1))))) {
        t->decimals = 0;
        digits[n++] = '.';
        c->at++;
        for (; n < 320 && is_digit(peek(c, 0)); c->at++, t->decimals++)
            digits[n++] = peek(c, 0);
        if (t->decimals == 0)
            t->decimals = -1;
    }
    size_t power = exponent(c);
    digits[n] = '\0';
    t->number = strtod(digits, NULL);
    if (power) {
        char text[16] = {0};
        memcpy(text, c->tokens->source + c->at + 1, power - 1 < 15 ? power - 1 : 15);
        t->number *= pow(10, (double)strtol(text, NULL, 10));
        c->at += power;
    }
    t->end = c->at;
}

/* Letters without a backslash: a known word, a word of a sentence, or letters one by one. */
static void cut_letters(cutter *c) {
    size_t n = 0, start = c->at;
    while (is_letter(peek(c, n)))
        n++;
    char name[MATH_NAME] = {0};
    memcpy(name, c->tokens->source + start, n < MATH_NAME - 1 ? n : MATH_NAME - 1);
    if (n == 2 && strcmp(name, "or") == 0) {
        add(c, MATH_TOKEN_MARK, start)->mark = ',';
    } else if (n == 3 && strcmp(name, "and") == 0) {
        add(c, MATH_TOKEN_MARK, start)->mark = ',';
    } else if (n < MATH_NAME && is_listed(words, name)) {
        set_name(add(c, MATH_TOKEN_COMMAND, start), name, n);
    } else if (strcmp(name, "percent") == 0 || strcmp(name, "percentage") == 0) {
        add(c, MATH_TOKEN_MARK, start)->mark = '%';
    } else if (n == 1 || !c->reading.units) {
        set_name(add(c, MATH_TOKEN_LETTER, start), name, 1);
        n = 1;
    } else {
        set_name(add(c, MATH_TOKEN_WORD, start), name, n);
    }
    c->at = start + n;
    c->tokens->items[c->tokens->count - 1].end = c->at;
}

/* The length of "{...}" at c->at, braces paired; 0: it is none. */
static size_t group_length(const cutter *c) {
    int depth = 0;
    for (size_t i = 0; c->at + i < c->end; i++) {
        char x = peek(c, i);
        if (x == '\\') {
            i++;
            continue;
        }
        depth += (x == '{') - (x == '}');
        if (depth == 0)
            return x == '}' ? i + 1 : 0;
    }
    return 0;
}

static void cut_text(cutter *c, size_t start) {
    while (is_blank(peek(c, 0)))
        c->at++;
    size_t length = peek(c, 0) == '{' ? group_length(c) : 0, from = c->at + 1;
    if (length == 0)
        return;
    size_t to = c->at + length - 1;
    c->at += length;
    while (from < to && is_blank(c->tokens->source[from]))
        from++;
    while (to > from && is_blank(c->tokens->source[to - 1]))
        to--;
    const char *text = c->tokens->source + from;
    size_t n = to - from;
    math_token *t;
    if (n == 1 && is_letter(text[0])) {
        t = add(c, MATH_TOKEN_LETTER, start);
        set_name(t, text, 1);
    } else if ((n == 2 && memcmp(text, "or", 2) == 0) || (n == 3 && memcmp(text, "and", 3) == 0)) {
        t = add(c, MATH_TOKEN_MARK, start);
        t->mark = ',';
    } else if (n > 0) {
        t = add(c, MATH_TOKEN_TEXT, start);
        set_name(t, text, n);
    } else {
        return;
    }
    t->end = c->at;
}

static void cut_command(cutter *c) {
    size_t start = c->at, n = 0;
    char name[MATH_NAME] = {0}, x = peek(c, 1);
    c->at++;
    while (is_letter(peek(c, n)))
        n++;
    if (n == 0) {
        c->at += c->at < c->end;
        if (x == '%' || x == '{' || x == '}' || x == '|' || x == '\\') {
            math_token *t = add(c, MATH_TOKEN_COMMAND, start);
            set_name(t, &x, 1);
            t->end = c->at;
        } else {
            c->spaced = true; /* \, \; \! and the like, and \$ */
        }
        return;
    }
    memcpy(name, c->tokens->source + c->at, n < MATH_NAME - 1 ? n : MATH_NAME - 1);
    c->at += n;
    if (is_listed(texts, name)) {
        cut_text(c, start);
    } else if (!is_listed(silent, name)) {
        math_token *t = add(c, MATH_TOKEN_COMMAND, start);
        set_name(t, name, n);
        t->end = c->at;
    } else if ((strcmp(name, "left") == 0 || strcmp(name, "right") == 0) && peek(c, 0) == '.') {
        c->at++;
    }
}

/* "^\circ" leaves a lonely "^", or "^{}": degrees are only a unit. */
static void drop_degree(cutter *c) {
    static const char *const degrees[] = {"\\circ",     "{\\circ}", "\\degree",
                                          "{\\degree}", "o",        NULL};
    size_t skip = 1;
    while (is_blank(peek(c, skip)))
        skip++;
    for (size_t i = 0; degrees[i]; i++) {
        size_t length = strlen(degrees[i]), stop = c->at + skip + length;
        if (stop > c->end || memcmp(c->tokens->source + c->at + skip, degrees[i], length) != 0)
            continue;
        if (degrees[i][0] == 'o' && stop < c->end && is_letter(c->tokens->source[stop]))
            continue;
        c->at = stop;
        return;
    }
    math_token *t = add(c, MATH_TOKEN_MARK, c->at);
    t->mark = '^';
    t->end = ++c->at;
}

static void cut_mark(cutter *c) {
    char x = peek(c, 0);
    if (x == '*' && peek(c, 1) == '*') { /* Python's power */
        c->at++;
        x = '^';
    }
    if ((x == '<' || x == '>') && peek(c, 1) == '=') {
        c->at++;
        set_name(add(c, MATH_TOKEN_COMMAND, c->at - 1), x == '<' ? "le" : "ge", 2);
    } else {
        add(c, MATH_TOKEN_MARK, c->at)->mark = x;
    }
    c->at++;
    c->tokens->items[c->tokens->count - 1].end = c->at;
}

bool math_tokenize(math_tokens *tokens, const char *text, size_t length, math_reading reading) {
    source s = {.out = tokens->source};
    tokens->count = 0;
    if (!source_make(&s, text, length))
        return false;
    cutter c = {.tokens = tokens, .end = s.length, .reading = reading};
    while (c.at < c.end) {
        char x = peek(&c, 0);
        if (is_blank(x) || x == '$' || x == '~' || x == '"' || x == '`' || x == '\'') {
            c.spaced = c.spaced || is_blank(x) || x == '~';
            c.at++;
        } else if (is_digit(x) || (x == '.' && is_digit(peek(&c, 1)))) {
            cut_number(&c);
        } else if (is_letter(x)) {
            cut_letters(&c);
        } else if (x == '\\') {
            cut_command(&c);
        } else if (x == '^') {
            drop_degree(&c);
        } else {
            cut_mark(&c);
        }
    }
    /* A full stop ends the sentence, not the expression. */
    while (tokens->count && tokens->items[tokens->count - 1].kind == MATH_TOKEN_MARK &&
           strchr(".,;:", tokens->items[tokens->count - 1].mark))
        tokens->count--;
    tokens->items[tokens->count] = (math_token){.kind = MATH_TOKEN_END, .start = s.length};
    return true;
}
