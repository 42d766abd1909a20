/* choice.c - which letter an answer text names. The rules and their order are the original's, down
 * to its character classes (Python's regular expressions over characters, not bytes), so that the
 * same texts get the same marks; only questions with more than four options have rules of ours. */
#include "eval/characters.h"

#include <utf8proc.h>

/* A text as characters, without white space at both ends. */
typedef struct answer_text {
    const uint32_t *at;
    size_t count;
    int letters; /* of which the answer is one: A, B, ... */
    bool any_case;
} answer_text;

static uint32_t lower(uint32_t c) {
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* As lower, with the four characters beyond ASCII that Python's re.IGNORECASE takes for letters. */
static uint32_t fold(uint32_t c) {
    return c == 0x17f ? 's' : c == 0x212a ? 'k' : c == 0x130 || c == 0x131 ? 'i' : lower(c);
}

static bool ends_before(const answer_text *t, size_t i) { /* no word goes on into character i */
    return i == 0 || !python_is_word(t->at[i - 1]);
}

static bool ends_after(const answer_text *t, size_t i) {
    return i + 1 >= t->count || !python_is_word(t->at[i + 1]);
}

static size_t skip_space(const answer_text *t, size_t i) {
    while (i < t->count && python_is_space(t->at[i]))
        i++;
    return i;
}

/* "A dog", "I think", "I'd": a letter that is a word of its own sentence. Where letters count in
 * any case, the original does not look that far, and neither do we. */
static bool is_article(const answer_text *t, size_t i) {
    uint32_t c = t->at[i];
    if (t->any_case || (c != 'A' && c != 'I') || i + 1 >= t->count)
        return false;
    uint32_t after = t->at[i + 1];
    if (after == '\'' || after == 0x2019)
        return true;
    size_t next = skip_space(t, i + 1);
    return next > i + 1 && next < t->count &&
           utf8proc_category((utf8proc_int32_t)t->at[next]) == UTF8PROC_CATEGORY_LL;
}

/* The answer that an upper-case character stands for; 0: it is none. */
static char upper_letter(const answer_text *t, size_t i) {
    uint32_t c = t->at[i];
    return c >= 'A' && c < 'A' + (uint32_t)t->letters && !is_article(t, i) ? (char)c : 0;
}

/* The same in any case, where that counts. */
static char any_letter(const answer_text *t, size_t i) {
    uint32_t c = t->at[i];
    if (t->any_case && c >= 'a' && c < 'a' + (uint32_t)t->letters)
        return (char)(c - 'a' + 'A');
    return upper_letter(t, i);
}

/* ---- Rule 1: a phrase that announces the answer --------------------------------------------- */

static const char *const phrases[] = {
    "answer:",         "your answer:", "the answer is", "correct answer is", "correct answer is:",
    "correct answer:", "jibu lako:",   "jibu:",         "jibu sahihi:",      "response:",
    "choice:",         "option:"};

/* Where the first occurrence of a phrase ends; SIZE_MAX: there is none. */
static size_t phrase_end(const answer_text *t, const char *phrase) {
    size_t length = strlen(phrase);
    for (size_t i = 0; i + length <= t->count; i++) {
        size_t k = 0;
        while (k < length && fold(t->at[i + k]) == (unsigned char)phrase[k])
            k++;
        if (k == length)
            return i + length;
    }
    return SIZE_MAX;
}

static char rule_phrase(const answer_text *t) {
    for (size_t p = 0; p < sizeof phrases / sizeof *phrases; p++) {
        size_t end = phrase_end(t, phrases[p]);
        if (end == SIZE_MAX)
            continue;
        size_t start = skip_space(t, end), stop = start;
        while (stop < t->count && t->at[stop] != '\n')
            stop++;
        /* With many letters half of all words begin with one, so those that stand alone go first.
         */
        for (size_t i = start; !t->any_case && i < stop; i++)
            if (upper_letter(t, i) && ends_before(t, i) && ends_after(t, i))
                return upper_letter(t, i);
        for (size_t i = start; i < stop; i++)
            if (upper_letter(t, i))
                return upper_letter(t, i);
    }
    return 0;
}

/* ---- Rules 2 to 4: letters that stand about -------------------------------------------------- */

static bool is_mark(uint32_t c) {
    return c != 0 && c < 0x80 && strchr(".,!?:)", (int)c);
}

/* "B", "B.", "B )" at the end of the text. */
static bool is_last_with_mark(const answer_text *t, size_t i) {
    size_t next = skip_space(t, i + 1);
    if (next < t->count && is_mark(t->at[next]))
        next = skip_space(t, next + 1);
    return ends_before(t, i) && next == t->count;
}

/* "B. ", "B ) " */
static bool is_marked(const answer_text *t, size_t i) {
    size_t next = skip_space(t, i + 1);
    return ends_before(t, i) && next + 1 < t->count && is_mark(t->at[next]) &&
           python_is_space(t->at[next + 1]);
}

static bool is_last_after_space(const answer_text *t, size_t i) {
    return (i == 0 || python_is_space(t->at[i - 1])) && skip_space(t, i + 1) == t->count;
}

static bool is_alone(const answer_text *t, size_t i) {
    return ends_before(t, i) && ends_after(t, i);
}

static bool is_anywhere(const answer_text *t, size_t i) {
    uint32_t c = t->at[i];
    return c >= 'A' && c <= 'Z';
}

typedef bool (*letter_place)(const answer_text *t, size_t i);

/* The last letter in such a place. */
static char last_letter(const answer_text *t, letter_place is_place) {
    for (size_t i = t->count; i-- > 0;)
        if (any_letter(t, i) && is_place(t, i))
            return any_letter(t, i);
    return 0;
}

static bool holds(const answer_text *t, const char *word, bool any_case) {
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= t->count; i++) {
        size_t k = 0;
        while (k < length &&
               (any_case ? lower(t->at[i + k]) : t->at[i + k]) == (unsigned char)word[k])
            k++;
        if (k == length)
            return true;
    }
    return false;
}

static bool holds_any(const answer_text *t, const char *const *words, bool any_case) {
    for (; *words; words++)
        if (holds(t, *words, any_case))
            return true;
    return false;
}

/* Looks like mathematics, where letters are variables, and speaks of no answer. */
static bool is_guarded(const answer_text *t) {
    static const char *const math[] = {"+",   "-",    "*",   "/",   "=",   "^",
                                       "mod", "sqrt", "sin", "cos", "tan", NULL};
    static const char *const answer[] = {"jibu",     "answer",  "choice", "option",
                                         "response", "correct", "sahihi", NULL};
    return holds_any(t, math, false) && !holds_any(t, answer, true);
}

static char find_letter(const answer_text *t) {
    static const letter_place places[] = {is_last_with_mark, is_marked, is_last_after_space};
    char letter = rule_phrase(t);
    bool guarded = !letter && is_guarded(t);
    for (size_t p = 0; !letter && !guarded && p < sizeof places / sizeof *places; p++)
        letter = last_letter(t, places[p]);
    if (letter)
        return letter;
    if ((letter = last_letter(t, is_alone)))
        return guarded ? 0 : letter;
    return last_letter(t, is_anywhere);
}

c2c_status choice_extract(char *letter, const char *text, size_t length, int options,
                          c2c_error *error) {
    characters all;
    c2c_status status = characters_read(&all, text, length, error);
    if (status)
        return status;
    size_t count = all.count, first = 0;
    while (count > 0 && python_is_space(all.at[count - 1]))
        count--;
    while (first < count && python_is_space(all.at[first]))
        first++;
    const answer_text t = {.at = all.at + first,
                           .count = count - first,
                           .letters = options <= 4   ? 4
                                      : options < 26 ? options
                                                     : 26,
                           .any_case = options <= 4};
    *letter = find_letter(&t);
    characters_free(&all);
    return C2C_STATUS_OK;
}
