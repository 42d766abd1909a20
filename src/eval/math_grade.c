/* math_grade.c - finds the answer in a model's text and says whether it is right: the last \boxed,
 * else what follows the last "Answer:", else the last number. Then the two are read in every way
 * that they can be read, and one agreement is enough. */
#include "eval/math.h"

#include <stdlib.h>

/* A piece of text. */
typedef struct piece {
    const char *at;
    size_t length;
} piece;

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static piece trim(piece p) {
    while (p.length && (is_blank(*p.at) || *p.at == '*'))
        p.at++, p.length--;
    while (p.length && (is_blank(p.at[p.length - 1]) || p.at[p.length - 1] == '*'))
        p.length--;
    return p;
}

/* ---- Where the answer stands --------------------------------------------------------------------
 */

#define MAX_BRACES 256 /* open at once; deeper ones are no answer */

/* The content of the last \boxed{...} whose braces are paired and that lies in no other box. */
static bool find_boxed(piece text, piece *found) {
    static const char word[] = "\\boxed";
    size_t starts[MAX_BRACES], depth = 0, boxes = 0, open = 0; /* start 0: braces of no box */
    bool any = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];
        if (c == '\\' && text.length - i >= sizeof word - 1 &&
            memcmp(text.at + i, word, sizeof word - 1) == 0) {
            open = i += sizeof word - 2;
            while (open + 1 < text.length && is_blank(text.at[open + 1]))
                open++;
            open++; /* where its brace should stand */
        } else if (c == '\\') {
            i++;
        } else if (c == '{') {
            if (depth < MAX_BRACES)
                starts[depth] = open && i == open ? i + 1 : 0;
            boxes += depth < MAX_BRACES && starts[depth];
            depth++;
        } else if (c == '}' && depth > 0 && --depth < MAX_BRACES && starts[depth]) {
            if (--boxes == 0) {
                *found = (piece){text.at + starts[depth], i - starts[depth]};
                any = true;
            }
        }
    }
    return any;
}

static bool is_word_here(piece text, size_t i, const char *word) {
    size_t n = strlen(word);
    for (size_t k = 0; k < n; k++) {
        if (i + k >= text.length)
            return false;
        char c = text.at[i + k];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != word[k])
            return false;
    }
    return true;
}

/* The rest of the line behind the last "answer" and its colon (or "is", without one); an empty rest
 * stands for the next line that is not. */
static bool find_answer(piece text, const char *sign, piece *found) {
    for (size_t i = text.length; i-- > 0;) {
        if (!is_word_here(text, i, "answer"))
            continue;
        size_t k = i + strlen("answer");
        while (k < text.length && (is_blank(text.at[k]) || text.at[k] == '*'))
            k++;
        if (!is_word_here(text, k, sign))
            continue;
        k += strlen(sign);
        k += k < text.length && text.at[k] == ':';
        while (k < text.length && (is_blank(text.at[k]) || text.at[k] == '*'))
            k++;
        size_t end = k;
        while (end < text.length && text.at[end] != '\n')
            end++;
        *found = trim((piece){text.at + k, end - k});
        if (found->length)
            return true;
    }
    return false;
}

/* The last thing between dollar signs, or \( \), or \[ \]. */
static bool find_formula(piece text, piece *found) {
    static const char *const marks[][2] = {{"$$", "$$"},
                                           {"$", "$"},
                                           {"\\(", "\\)"},
                                           {"\\[", "\\]"}};
    bool any = false;
    for (size_t i = 0; i < text.length; i++) {
        for (size_t m = 0; m < 4; m++) {
            size_t open = strlen(marks[m][0]), close = strlen(marks[m][1]), k;
            bool escaped = marks[m][0][0] == '$' && i > 0 && text.at[i - 1] == '\\';
            if (escaped || i + open > text.length || memcmp(text.at + i, marks[m][0], open) != 0)
                continue;
            for (k = i + open; k + close <= text.length; k++)
                if (memcmp(text.at + k, marks[m][1], close) == 0 && text.at[k - 1] != '\\')
                    break;
            if (k + close > text.length || k == i + open)
                continue;
            *found = (piece){text.at + i + open, k - i - open};
            any = true;
            i = k + close - 1;
            break;
        }
    }
    return any;
}

/* The last number, with its minus, its thousands and its fraction. */
static bool find_number(piece text, piece *found) {
    size_t end = text.length;
    while (end > 0 && !is_digit(text.at[end - 1]))
        end--;
    size_t start = end;
    while (start > 0 && (is_digit(text.at[start - 1]) ||
                         (strchr(".,/", text.at[start - 1]) && start > 1 && start < end &&
                          is_digit(text.at[start - 2]) && is_digit(text.at[start])) ||
                         (text.at[start - 1] == '.' && start < end && is_digit(text.at[start]))))
        start--;
    if (start > 0 && text.at[start - 1] == '-' && (start == 1 || !is_digit(text.at[start - 2])))
        start--;
    if (end < text.length && text.at[end] == '%')
        end++;
    *found = (piece){text.at + start, end - start};
    return end > start;
}

/* ---- Equality of two pieces
 * ---------------------------------------------------------------------- */

typedef struct grader {
    math_tokens tokens;
    math_tree truth, answer;
    char truth_text[MATH_MAX_TEXT], answer_text[MATH_MAX_TEXT];
} grader;

/* The text without what only changes its looks; *words: some of it stands in \text. Letters of such
 * texts are compared in any case. */
static bool plain_text(grader *g, char out[MATH_MAX_TEXT], piece p, bool *words) {
    size_t n = 0;
    if (!math_tokenize(&g->tokens, p.at, p.length, (math_reading){.units = true}))
        return false;
    for (size_t i = 0; i < g->tokens.count; i++) {
        const math_token *t = &g->tokens.items[i];
        *words = *words || t->kind == MATH_TOKEN_TEXT || t->kind == MATH_TOKEN_WORD;
        const char *from = g->tokens.source + t->start;
        size_t length = t->end - t->start;
        if (t->kind == MATH_TOKEN_TEXT) { /* \text{...}: only what is inside */
            const char *brace = memchr(from, '{', length);
            length -= brace ? (size_t)(brace - from) + 2 : 0;
            from = brace ? brace + 1 : from;
        }
        for (size_t k = 0; k < length && n < MATH_MAX_TEXT - 1; k++)
            if (!is_blank(from[k]))
                out[n++] = from[k];
    }
    out[n] = '\0';
    return n > 0;
}

/* "(C)" is C: options are named either way. */
static void unwrap_letter(char *text) {
    if (strlen(text) == 3 && text[0] == '(' && text[2] == ')') {
        text[0] = text[1];
        text[1] = '\0';
    }
}

static void lower(char *text) {
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static bool same_text(grader *g, piece truth, piece answer) {
    bool words = false;
    if (!plain_text(g, g->truth_text, truth, &words) ||
        !plain_text(g, g->answer_text, answer, &words))
        return false;
    if (words) {
        lower(g->truth_text);
        lower(g->answer_text);
        unwrap_letter(g->truth_text);
        unwrap_letter(g->answer_text);
    }
    return strcmp(g->truth_text, g->answer_text) == 0;
}

static bool read_piece(grader *g, math_tree *tree, piece p, math_reading reading) {
    return math_tokenize(&g->tokens, p.at, p.length, reading) &&
           math_parse(tree, &g->tokens, reading);
}

/* *read: the answer is an expression at all. */
static bool same_piece(grader *g, piece truth, piece answer, bool *read) {
    *read = false;
    if (same_text(g, truth, answer)) {
        *read = true;
        return true;
    }
    for (int i = 0; i < 4; i++) {
        const math_reading reading = {.thousands = i & 1, .units = i & 2};
        /* Letters of the truth are never taken for units. */
        const math_reading truth_reading = {.thousands = reading.thousands};
        if (!read_piece(g, &g->answer, answer, reading))
            continue;
        *read = true;
        if (read_piece(g, &g->truth, truth, truth_reading) &&
            math_same(g->truth.root, g->answer.root))
            return true;
    }
    return false;
}

/* The answer in a piece of prose: all of it, else its last formula, else its last number. */
static bool grade_piece(grader *g, piece truth, piece p, bool formula, math_verdict *verdict) {
    piece part;
    bool read = false;
    bool right = same_piece(g, truth, p, &read);
    verdict->start = p.at;
    verdict->length = p.length;
    if (!read && formula && find_formula(p, &part)) {
        right = same_piece(g, truth, part, &read);
        verdict->start = part.at;
        verdict->length = part.length;
    }
    if (!read && formula && find_number(p, &part)) {
        right = same_piece(g, truth, part, &read);
        verdict->start = part.at;
        verdict->length = part.length;
    }
    return right;
}

c2c_status math_grade(math_verdict *verdict, const char *response, size_t length, const char *truth,
                      size_t truth_length, c2c_error *error) {
    *verdict = (math_verdict){0};
    grader *g = malloc(sizeof *g);
    if (!g)
        return error_memory(error, sizeof *g, "grading an answer");
    piece text = {response, length}, wanted = trim((piece){truth, truth_length}), found;
    /* Long texts end with the answer. */
    if (text.length > MATH_MAX_RESPONSE) {
        text.at += text.length - MATH_MAX_RESPONSE;
        text.length = MATH_MAX_RESPONSE;
    }
    if (find_boxed(text, &found))
        verdict->right = grade_piece(g, wanted, trim(found), false, verdict);
    else if (find_answer(text, ":", &found))
        verdict->right = grade_piece(g, wanted, found, true, verdict);
    else if (find_answer(text, "is", &found) || find_formula(text, &found) ||
             find_number(text, &found))
        verdict->right = grade_piece(g, wanted, found, true, verdict);
    free(g);
    return C2C_STATUS_OK;
}
