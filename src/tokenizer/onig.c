/* onig.c - regular expressions as Oniguruma reads them (tokenizer.json is written for it), said in
 * PCRE2's syntax. Both agree on most; this file knows where they do not:
 *
 *   \s      PCRE2 counts U+180E as a space, Unicode no longer does
 *   \w \b   PCRE2 before 10.43 leaves out marks and connector punctuation
 *   \h \v   a hexadecimal digit and one control character, not kinds of white space
 *   \p{Han} the script; PCRE2 would take the script extensions
 *   {2}+    twice or more, not possessive; {2}? an optional two, not lazy; {,2} from none to two
 *   (?m)    a dot that matches newlines, which PCRE2 calls (?s)
 *
 * What is not known to mean the same is refused, never guessed. */
#include "tokenizer/internal.h"

#define GROUP_LIMIT 64

/* The characters of a class, without its brackets. */
#define SPACES      "\\t-\\r\\x{85}\\p{Z}"
#define WORDS       "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define HEXADECIMAL "0-9a-fA-F"
/* Outside of classes Oniguruma takes the properties of Latin-1 from another table, in which the
 * superscripts and fractions are of words. */
#define LONE_WORDS   WORDS "\\xb2\\xb3\\xb9\\xbc-\\xbe"
#define BEHIND_WORD  "(?<=[" LONE_WORDS "])"
#define BEHIND_OTHER "(?<![" LONE_WORDS "])"
#define BEFORE_WORD  "(?=[" LONE_WORDS "])"
#define BEFORE_OTHER "(?![" LONE_WORDS "])"

typedef struct translator {
    const char *text;
    size_t length, at;
    buffer *out;
    size_t atom; /* where in `out` the last thing begins that a quantifier would repeat */
    bool has_atom;
    bool branch_start; /* nothing yet in this alternative */
    size_t groups[GROUP_LIMIT];
    int depth;
    const char *where;
    const loader *l;
} translator;

/* Says where: expressions are long. */
static c2c_status refuse(const translator *t, const char *what) {
    return error_set(t->l->error, C2C_STATUS_UNSUPPORTED,
                     "%s: %s: regular expression, byte %zu: %s is not supported", t->l->name,
                     t->where, t->at, what);
}

/* The byte at some distance, -1 past the end. */
static int peek(const translator *t, size_t ahead) {
    return t->length - t->at > ahead ? (unsigned char)t->text[t->at + ahead] : -1;
}

static bool starts(const translator *t, const char *prefix) {
    size_t n = strlen(prefix);
    return t->length - t->at >= n && memcmp(t->text + t->at, prefix, n) == 0;
}

/* Bytes of a UTF-8 character by its first byte; the whole expression is valid UTF-8. */
static size_t character_size(int first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void copy(translator *t, size_t bytes) {
    buffer_append(t->out, t->text + t->at, bytes);
    t->at += bytes;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hexadecimal(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* ---- Escapes ------------------------------------------------------------------------------ */

/* Property names that are not scripts, besides the general categories of one or two letters. */
static const char *const binary_properties[] = {"Alphabetic",  "Lowercase", "Uppercase",
                                                "White_Space", "Emoji",     "Ideographic",
                                                "Any",         NULL};

/* \p{Name}, \p{^Name}, \P{Name} */
static c2c_status translate_property(translator *t) {
    const char *open = t->text + t->at + 2, *end = t->text + t->length;
    const char *close = peek(t, 2) == '{' ? memchr(open, '}', (size_t)(end - open)) : NULL;
    if (!close || close - open > 40)
        return refuse(t, "a property without a name in braces");
    bool negated = peek(t, 1) == 'P';
    const char *name = open + 1;
    if (name < close && *name == '^') {
        negated = !negated;
        name++;
    }
    size_t length = (size_t)(close - name);
    for (size_t i = 0; i < length; i++)
        if (!is_letter(name[i]) && name[i] != '_')
            return refuse(t, "such a property name");
    /* Names of one or two letters are general categories, on which both agree. */
    bool script = length > 2;
    for (size_t i = 0; binary_properties[i]; i++)
        if (strlen(binary_properties[i]) == length &&
            memcmp(binary_properties[i], name, length) == 0)
            script = false;
    buffer_printf(t->out, "\\%c{%s%.*s}", negated ? 'P' : 'p', script ? "sc:" : "", (int)length,
                  name);
    t->at = (size_t)(close + 1 - t->text);
    return C2C_STATUS_OK;
}

/* \x41, \x{1f600}, \u0041: a character by its number. */
static c2c_status translate_number(translator *t) {
    size_t start = t->at + 2, end;
    bool braces = peek(t, 2) == '{';
    size_t wanted = peek(t, 1) == 'u' ? 4 : braces ? 8 : 2;
    start += braces;
    for (end = start; end < t->length && end - start < wanted && is_hexadecimal(t->text[end]);)
        end++;
    if (end == start || (braces && (end == t->length || t->text[end] != '}')) ||
        (!braces && end - start != wanted) || (braces && wanted == 4))
        return refuse(t, "such a character number");
    if (!braces && wanted == 2 && t->text[start] >= '8')
        return refuse(t, "a byte that is not ASCII"); /* a part of a character in Oniguruma */
    buffer_printf(t->out, "\\x{%.*s}", (int)(end - start), t->text + start);
    t->at = end + braces;
    return C2C_STATUS_OK;
}

/* A class escape as the inside of a class; NULL when it has no such form. */
static const char *class_escape(int c) {
    switch (c) {
    case 's': return SPACES;
    case 'S': return "\\S\\x{180e}";
    case 'w': return WORDS;
    case 'h': return HEXADECIMAL;
    case 'd': return "\\d";
    case 'D': return "\\D";
    default: return NULL;
    }
}

/* What may stand outside of a class only. */
static const char *outer_escape(int c) {
    switch (c) {
    case 'w': return "[" LONE_WORDS "]";
    case 'W': return "[^" LONE_WORDS "]";
    case 'H': return "[^" HEXADECIMAL "]";
    case 'b': return "(?:" BEHIND_WORD BEFORE_OTHER "|" BEHIND_OTHER BEFORE_WORD ")";
    case 'B': return "(?:" BEHIND_WORD BEFORE_WORD "|" BEHIND_OTHER BEFORE_OTHER ")";
    case 'A': return "\\A";
    case 'z': return "\\z";
    case 'Z': return "\\Z";
    case 'R': return "\\R";
    default: return NULL;
    }
}

static const char *control_escape(int c) {
    switch (c) {
    case 't': return "\\t";
    case 'n': return "\\n";
    case 'r': return "\\r";
    case 'f': return "\\f";
    case 'v': return "\\x0b";
    case 'a': return "\\a";
    case 'e': return "\\e";
    default: return NULL;
    }
}

static c2c_status translate_escape(translator *t, bool in_class) {
    int c = peek(t, 1);
    if (c < 0)
        return refuse(t, "a backslash at the end");
    if (c == 'p' || c == 'P')
        return translate_property(t);
    if (c == 'x' || c == 'u')
        return translate_number(t);
    /* Inside of a class an escape must be what may stand there; outside it becomes a class or a
     * look around. */
    const char *said = in_class ? NULL : outer_escape(c);
    const char *inside = said ? NULL : class_escape(c);
    if (!said && !inside)
        said = in_class && c == 'b' ? "\\x08" : control_escape(c);
    if (!inside && !said) { /* the character itself */
        if (is_letter(c) || is_digit(c))
            return refuse(t, "this escape");
        copy(t, 1 + character_size(c));
        return C2C_STATUS_OK;
    }
    buffer_printf(t->out, inside && !in_class ? "[%s]" : "%s", inside ? inside : said);
    t->at += 2;
    return C2C_STATUS_OK;
}

/* ---- Classes ------------------------------------------------------------------------------ */

/* [:name:] inside a class, for the names on which both agree. */
static bool copy_posix_class(translator *t) {
    static const char *const names[] = {"[:digit:]", "[:^digit:]", "[:xdigit:]", NULL};
    for (size_t i = 0; names[i]; i++)
        if (starts(t, names[i])) {
            copy(t, strlen(names[i]));
            return true;
        }
    return false;
}

/* The inside of a class is copied but for its escapes, which have their own forms here. */
static c2c_status translate_class(translator *t) {
    copy(t, 1);
    if (peek(t, 0) == '^')
        copy(t, 1);
    if (peek(t, 0) == ']')
        return refuse(t, "an empty class");
    for (;;) {
        int c = peek(t, 0);
        if (c < 0)
            return refuse(t, "a class without its end");
        if (c == ']')
            break;
        c2c_status status = C2C_STATUS_OK;
        if (c == '\\')
            status = translate_escape(t, true);
        else if (starts(t, "&&"))
            status = refuse(t, "an intersection of classes");
        else if (c == '[' && !copy_posix_class(t))
            status = refuse(t, "a class inside a class");
        else if (c != '[')
            copy(t, character_size(c));
        if (status != C2C_STATUS_OK)
            return status;
    }
    copy(t, 1);
    return C2C_STATUS_OK;
}

/* ---- Groups and quantifiers --------------------------------------------------------------- */

/* (?i), (?i:, (?-m: ...; `t` stands at the parenthesis. */
static c2c_status translate_options(translator *t) {
    size_t end = t->at + 2;
    while (end < t->length && strchr("im-", t->text[end]) && t->text[end])
        end++;
    if (end == t->length || (t->text[end] != ':' && t->text[end] != ')') || end == t->at + 2)
        return refuse(t, "this kind of group");
    /* Alone, an option holds to the end of the group; Oniguruma makes the rest one group. */
    if (t->text[end] == ')' && !t->branch_start)
        return refuse(t, "an option in the middle of an alternative");
    for (size_t i = t->at; i <= end; i++)
        buffer_append_char(t->out, t->text[i] == 'm' ? 's' : t->text[i]);
    t->at = end + 1;
    return C2C_STATUS_OK;
}

/* Remembers where the group starts: a quantifier may follow its end. */
static c2c_status open_group(translator *t) {
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", NULL};
    size_t start = t->out->length, i = 0;
    if (t->depth == GROUP_LIMIT)
        return refuse(t, "a deeper group");
    if (starts(t, "(*"))
        return refuse(t, "a group that starts with a star");
    while (plain[i] && !starts(t, plain[i]))
        i++;
    if (plain[i] || !starts(t, "(?")) {
        copy(t, plain[i] ? strlen(plain[i]) : 1);
    } else {
        bool branch_start = t->branch_start;
        c2c_status status = translate_options(t);
        if (status != C2C_STATUS_OK)
            return status;
        if (t->text[t->at - 1] == ')') { /* an option alone opens nothing */
            t->branch_start = branch_start;
            t->has_atom = false;
            return C2C_STATUS_OK;
        }
    }
    t->groups[t->depth++] = start;
    t->branch_start = true;
    t->has_atom = false;
    return C2C_STATUS_OK;
}

static c2c_status close_group(translator *t) {
    if (t->depth == 0)
        return refuse(t, "a parenthesis that closes nothing");
    copy(t, 1);
    t->atom = t->groups[--t->depth];
    t->has_atom = true;
    t->branch_start = false;
    return C2C_STATUS_OK;
}

/* Puts the last atom with what follows it into a group of its own. */
static void wrap_atom(translator *t) {
    buffer *out = t->out;
    size_t length = out->length - t->atom;
    buffer_append(out, "(?:", 3);
    if (out->failed)
        return;
    memmove(out->data + t->atom + 3, out->data + t->atom, length);
    memcpy(out->data + t->atom, "(?:", 3);
    buffer_append_char(out, ')');
}

/* {2}, {2,}, {,2}, {2,3}: its length, 0 when it is something else (then it is literal). */
static size_t interval_length(const translator *t, bool *exact, bool *from_none) {
    size_t i = 1, low = 0, high = 0;
    bool comma = false;
    for (; is_digit(peek(t, i)); i++)
        low++;
    if (peek(t, i) == ',') {
        comma = true;
        for (i++; is_digit(peek(t, i)); i++)
            high++;
    }
    *exact = !comma;
    *from_none = low == 0;
    return peek(t, i) == '}' && low + high > 0 ? i + 1 : 0;
}

static c2c_status translate_interval(translator *t) {
    bool exact, from_none;
    size_t length = interval_length(t, &exact, &from_none);
    if (length == 0) {
        t->atom = t->out->length;
        t->has_atom = true;
        buffer_append_text(t->out, "\\{");
        t->at++;
        return C2C_STATUS_OK;
    }
    if (!t->has_atom)
        return refuse(t, "an interval with nothing to repeat");
    buffer_append_text(t->out, from_none ? "{0" : "{");
    t->at++;
    copy(t, length - 1);
    /* To PCRE2 a + behind an interval is possessive and a ? lazy; to Oniguruma they repeat the
     * interval, unless it is a range that ? makes lazy. */
    int next = peek(t, 0);
    if (next == '+' || (next == '?' && exact))
        wrap_atom(t); /* what follows is a quantifier of its own */
    else if (next == '?')
        copy(t, 1);
    t->has_atom = next == '+' || (next == '?' && exact);
    return C2C_STATUS_OK;
}

/* *, + and ? with ? (lazy) or + (possessive) mean the same to both. */
static c2c_status translate_quantifier(translator *t) {
    if (!t->has_atom)
        return refuse(t, "a quantifier with nothing to repeat");
    copy(t, 1);
    if (peek(t, 0) == '?' || peek(t, 0) == '+')
        copy(t, 1);
    t->has_atom = false;
    return C2C_STATUS_OK;
}

/* Everything else, letters and signs, stands for itself in both. */
static c2c_status translate_next(translator *t) {
    int c = peek(t, 0);
    if (c == '(')
        return open_group(t);
    if (c == ')')
        return close_group(t);
    if (c == '{')
        return translate_interval(t);
    if (c == '*' || c == '+' || c == '?')
        return translate_quantifier(t);
    if (c == '|') {
        copy(t, 1);
        t->branch_start = true;
        t->has_atom = false;
        return C2C_STATUS_OK;
    }
    t->atom = t->out->length;
    t->has_atom = true;
    t->branch_start = false;
    if (c == '[')
        return translate_class(t);
    if (c == '\\')
        return translate_escape(t, false);
    copy(t, character_size(c));
    return C2C_STATUS_OK;
}

c2c_status onig_translate(const char *text, size_t length, buffer *out, const char *where,
                          const loader *l) {
    translator t = {
        .text = text, .length = length, .out = out, .branch_start = true, .where = where, .l = l};
    c2c_status status = C2C_STATUS_OK;
    while (t.at < t.length && status == C2C_STATUS_OK)
        status = translate_next(&t);
    if (status == C2C_STATUS_OK && t.depth > 0)
        status = refuse(&t, "a group without its end");
    if (status == C2C_STATUS_OK && out->failed)
        status = error_memory(l->error, length, "a regular expression");
    return status;
}
