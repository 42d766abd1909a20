/* long_score.c - the public metrics of LongBench, as its scripts and the packages that they call
 * compute them: F1 over words, ROUGE-L of the `rouge` package, classification, retrieval, counting,
 * and the similarity of code as Python's difflib measures it. */
#include "eval/characters.h"

#include <math.h>
#include <stdlib.h>

/* A text cut into words: pieces of its characters. Zero-initialise. */
typedef struct word {
    const uint32_t *at;
    size_t length;
} word;

typedef struct word_list {
    word *items;
    size_t count, capacity;
} word_list;

static c2c_status words_add(word_list *w, const uint32_t *at, size_t length, c2c_error *error) {
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 64, bytes;
        word *items = size_mul(capacity, sizeof *items, &bytes) ? realloc(w->items, bytes) : NULL;
        if (!items)
            return error_memory(error, capacity * sizeof *items, "a text's words");
        w->items = items;
        w->capacity = capacity;
    }
    w->items[w->count++] = (word){at, length};
    return C2C_STATUS_OK;
}

static bool word_same(word a, word b) {
    return a.length == b.length && memcmp(a.at, b.at, a.length * sizeof *a.at) == 0;
}

static int word_compare(const void *x, const void *y) {
    const word *a = x, *b = y;
    size_t n = a->length < b->length ? a->length : b->length;
    for (size_t i = 0; i < n; i++)
        if (a->at[i] != b->at[i])
            return a->at[i] < b->at[i] ? -1 : 1;
    return (a->length > b->length) - (a->length < b->length);
}

/* What Python's split() gives. */
static c2c_status words_split(word_list *w, const uint32_t *at, size_t count, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < count;) {
        size_t start = i;
        while (i < count && !python_is_space(at[i]))
            i++;
        if (i > start)
            status = words_add(w, at + start, i - start, error);
        else
            i++;
    }
    return status;
}

/* Sorts and drops repeated ones. */
static void words_unique(word_list *w) {
    size_t kept = 0;
    if (w->count)
        qsort(w->items, w->count, sizeof *w->items, word_compare);
    for (size_t i = 0; i < w->count; i++)
        if (kept == 0 || !word_same(w->items[kept - 1], w->items[i]))
            w->items[kept++] = w->items[i];
    w->count = kept;
}

/* ---- F1 ----------------------------------------------------------------------------------------
 */

static bool is_punctuation(uint32_t c) {
    return c < 0x80 && c > 0x20 && c != 0x7f && !(c >= '0' && c <= '9') &&
           !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z');
}

static bool is_article(const uint32_t *at, size_t length) {
    return (length == 1 && at[0] == 'a') || (length == 2 && at[0] == 'a' && at[1] == 'n') ||
           (length == 3 && at[0] == 't' && at[1] == 'h' && at[2] == 'e');
}

/* Lower case, without punctuation, articles as blanks. */
static void normalize(characters *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++)
        if (!is_punctuation(c->at[i]))
            c->at[n++] = python_lower(c->at[i]);
    c->count = n;
    for (size_t i = 0; i < n;) {
        size_t start = i;
        while (i < n && python_is_word(c->at[i]))
            i++;
        bool article = is_article(c->at + start, i - start);
        for (size_t k = start; article && k < i; k++)
            c->at[k] = ' ';
        i += i == start;
    }
}

/* Words that both have, each as often as in the one that has it less often; both lists are sorted.
 */
static size_t words_common(const word_list *a, const word_list *b) {
    size_t i = 0, k = 0, common = 0;
    while (i < a->count && k < b->count) {
        int order = word_compare(&a->items[i], &b->items[k]);
        common += order == 0;
        i += order <= 0;
        k += order >= 0;
    }
    return common;
}

static c2c_status score_f1(double *score, characters *said, characters *truth, c2c_error *error) {
    word_list a = {0}, b = {0};
    normalize(said);
    normalize(truth);
    c2c_status status = words_split(&a, said->at, said->count, error);
    if (!status)
        status = words_split(&b, truth->at, truth->count, error);
    if (!status && a.count && b.count) {
        qsort(a.items, a.count, sizeof *a.items, word_compare);
        qsort(b.items, b.count, sizeof *b.items, word_compare);
        double common = (double)words_common(&a, &b);
        double precision = common / (double)a.count, recall = common / (double)b.count;
        if (common > 0)
            *score = 2 * precision * recall / (precision + recall);
    }
    free(a.items);
    free(b.items);
    return status;
}

/* ---- ROUGE-L ------------------------------------------------------------------------------------
 */

/* Sentences end at full stops. Each is words [starts[i], starts[i + 1]) of one list; a sentence of
 * white space is one empty word, as the package has it. */
typedef struct sentences {
    word_list words;
    size_t *starts, count;
} sentences;

static c2c_status sentences_split(sentences *s, const characters *c, c2c_error *error) {
    size_t stops = 1;
    for (size_t i = 0; i < c->count; i++)
        stops += c->at[i] == '.';
    s->starts = calloc(stops + 1, sizeof *s->starts);
    if (!s->starts)
        return error_memory(error, (stops + 1) * sizeof *s->starts, "sentences");
    c2c_status status = C2C_STATUS_OK;
    for (size_t start = 0; !status && start < c->count;) {
        size_t end = start, before = s->words.count;
        while (end < c->count && c->at[end] != '.')
            end++;
        if (end > start) {
            status = words_split(&s->words, c->at + start, end - start, error);
            if (!status && s->words.count == before)
                status = words_add(&s->words, c->at + start, 0, error);
            s->starts[++s->count] = s->words.count;
        }
        start = end + 1;
    }
    return status;
}

/* A table of more cells would take more memory than an evaluation is worth. */
#define MAX_CELLS ((size_t)1 << 26)

/* Adds the words of a longest common subsequence of x and y, the one that the package walks. */
static c2c_status common_sequence(word_list *into, const word *x, size_t n, const word *y, size_t m,
                                  c2c_error *error) {
    size_t row = m + 1, cells;
    if (!size_mul(n + 1, row, &cells) || cells > MAX_CELLS)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "ROUGE-L: sentences of %zu and %zu words are too long to compare", n, m);
    uint32_t *table = calloc(cells, sizeof *table);
    if (!table)
        return error_memory(error, cells * sizeof *table, "comparing sentences");
    for (size_t i = 1; i <= n; i++)
        for (size_t k = 1; k <= m; k++) {
            uint32_t up = table[(i - 1) * row + k], left = table[i * row + k - 1];
            table[i * row + k] = word_same(x[i - 1], y[k - 1]) ? table[(i - 1) * row + k - 1] + 1
                                 : up > left                   ? up
                                                               : left;
        }
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = n, k = m; !status && i > 0 && k > 0;) {
        if (word_same(x[i - 1], y[k - 1])) {
            status = words_add(into, x[i - 1].at, x[i - 1].length, error);
            i--;
            k--;
        } else if (table[(i - 1) * row + k] > table[i * row + k - 1]) {
            i--;
        } else {
            k--;
        }
    }
    free(table);
    return status;
}

static c2c_status score_rouge(double *score, const characters *said, const characters *truth,
                              c2c_error *error) {
    sentences a = {0}, b = {0};
    word_list common = {0};
    c2c_status status = sentences_split(&a, said, error);
    if (!status)
        status = sentences_split(&b, truth, error);
    for (size_t i = 0; !status && i < b.count; i++)
        for (size_t k = 0; !status && k < a.count; k++)
            status =
                common_sequence(&common, b.words.items + b.starts[i], b.starts[i + 1] - b.starts[i],
                                a.words.items + a.starts[k], a.starts[k + 1] - a.starts[k], error);
    if (!status && a.count && b.count) {
        words_unique(&common);
        words_unique(&a.words);
        words_unique(&b.words);
        double shared = (double)common.count;
        double recall = shared / (double)b.words.count, precision = shared / (double)a.words.count;
        *score = 2.0 * ((precision * recall) / (precision + recall + 1e-8));
    }
    free(common.items);
    free(a.words.items);
    free(a.starts);
    free(b.words.items);
    free(b.starts);
    return status;
}

/* ---- Code
 * ---------------------------------------------------------------------------------------- */

#define MAX_CODE 2048 /* characters of a line; comparing takes up to the cube of it */

/* Two lines as difflib's SequenceMatcher sees them. */
typedef struct matcher {
    const uint32_t *a, *b;
    bool *common;      /* of b: a character that fills more than a hundredth of a long line starts
                          no match */
    uint32_t *runs[2]; /* how long the match is that ends here, for this and the last row */
} matcher;

typedef struct span {
    size_t a_from, a_to, b_from, b_to;
} span;

/* The longest match in a span, the first of equal ones: *a, *b and its length. */
static size_t longest_match(const matcher *m, span s, size_t *a, size_t *b) {
    size_t best = 0;
    *a = s.a_from;
    *b = s.b_from;
    uint32_t *last = m->runs[0], *now = m->runs[1];
    memset(last, 0, (s.b_to + 1) * sizeof *last);
    for (size_t i = s.a_from; i < s.a_to; i++) {
        memset(now, 0, (s.b_to + 1) * sizeof *now);
        for (size_t k = s.b_from; k < s.b_to; k++) {
            if (m->a[i] != m->b[k] || m->common[k])
                continue;
            now[k + 1] = (k > s.b_from ? last[k] : 0) + 1;
            if (now[k + 1] > best) {
                best = now[k + 1];
                *a = i + 1 - best;
                *b = k + 1 - best;
            }
        }
        uint32_t *swap = last;
        last = now;
        now = swap;
    }
    /* Common characters may go on a match, at either end. */
    while (*a > s.a_from && *b > s.b_from && m->a[*a - 1] == m->b[*b - 1])
        --*a, --*b, best++;
    while (*a + best < s.a_to && *b + best < s.b_to && m->a[*a + best] == m->b[*b + best])
        best++;
    return best;
}

/* Characters in all matches: the longest one, then those before and behind it. `room` holds a span
 * for every character. */
static size_t matched(const matcher *m, size_t n_a, size_t n_b, span *room) {
    size_t total = 0, waiting = 0;
    room[waiting++] = (span){0, n_a, 0, n_b};
    while (waiting) {
        span s = room[--waiting];
        size_t a, b, length = longest_match(m, s, &a, &b);
        if (length == 0)
            continue;
        total += length;
        if (a > s.a_from && b > s.b_from)
            room[waiting++] = (span){s.a_from, a, s.b_from, b};
        if (a + length < s.a_to && b + length < s.b_to)
            room[waiting++] = (span){a + length, s.a_to, b + length, s.b_to};
    }
    return total;
}

static void mark_common(const uint32_t *b, size_t n, bool *common) {
    size_t limit = n / 100 + 1;
    for (size_t i = 0; n >= 200 && i < n; i++) {
        size_t times = 0;
        for (size_t k = 0; k < n; k++)
            times += b[k] == b[i];
        common[i] = times > limit;
    }
}

/* The first line of the answer that is neither a comment nor a fence. */
static word code_line(const characters *said) {
    size_t i = 0;
    while (i < said->count && said->at[i] == '\n')
        i++;
    while (i <= said->count) {
        size_t end = i;
        bool code = true;
        while (end < said->count && said->at[end] != '\n') {
            uint32_t c = said->at[end++];
            code = code && c != '`' && c != '#' &&
                   !(c == '/' && end < said->count && said->at[end] == '/');
        }
        if (code)
            return (word){said->at + i, end - i};
        i = end + 1;
    }
    return (word){said->at, 0};
}

static c2c_status score_code(double *score, const characters *said, const characters *truth,
                             c2c_error *error) {
    word line = code_line(said);
    size_t n = line.length < MAX_CODE ? line.length : MAX_CODE;
    size_t t = truth->count < MAX_CODE ? truth->count : MAX_CODE;
    span *room = calloc(n + t + 2, sizeof *room);
    uint32_t *runs = calloc(2 * (t + 1), sizeof *runs);
    bool *common = calloc(t + 1, sizeof *common);
    c2c_status status = C2C_STATUS_OK;
    if (room && runs && common) {
        const matcher m = {line.at, truth->at, common, {runs, runs + t + 1}};
        mark_common(truth->at, t, common);
        double ratio = n + t ? 2.0 * (double)matched(&m, n, t, room) / (double)(n + t) : 1;
        *score = rint(100 * ratio) / 100; /* whole per cents, as fuzzywuzzy gives them */
    } else {
        status = error_memory(error, (n + t) * sizeof *room, "comparing code");
    }
    free(common);
    free(runs);
    free(room);
    return status;
}

/* ---- Numbers and classes
 * ------------------------------------------------------------------------- */

/* The share of the answer's numbers that are the wanted one, digit by digit. */
static double score_numbers(const char *said, const char *wanted, size_t wanted_length) {
    double all = 0, right = 0;
    for (const char *at = said; *at;) {
        size_t length = strspn(at, "0123456789");
        if (length == 0) {
            at++;
            continue;
        }
        all++;
        right += length == wanted_length && memcmp(at, wanted, length) == 0;
        at += length;
    }
    return all > 0 ? right / all : 0;
}

/* The number behind "Paragraph " in the truth. */
static double score_retrieval(const char *said, const char *truth, const char *before) {
    for (const char *at = strstr(truth, before); at; at = strstr(at + 1, before)) {
        const char *number = at + strlen(before);
        size_t length = strspn(number, "0123456789");
        if (length)
            return score_numbers(said, number, length);
    }
    return 0;
}

/* Of the classes that the answer names, those that are only a part of the truth do not count, but
 * for a slip of the public script: it takes them out of the list that it is walking, and so passes
 * over the one behind. */
static c2c_status score_classes(double *score, const char *said, const char *truth,
                                const long_texts *classes, c2c_error *error) {
    const char **named = calloc(classes->count + 1, sizeof *named);
    size_t count = 0;
    if (!named)
        return error_memory(error, classes->count * sizeof *named, "classes");
    for (size_t i = 0; i < classes->count; i++)
        if (strstr(said, classes->items[i]))
            named[count++] = classes->items[i];
    for (size_t i = 0; i < count; i++) {
        if (!strstr(truth, named[i]) || strcmp(truth, named[i]) == 0)
            continue;
        count--;
        memmove(named + i, named + i + 1, (count - i) * sizeof *named);
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(named[i], truth) == 0)
            *score = 1.0 / (double)count;
    free(named);
    return C2C_STATUS_OK;
}

/* ---- One answer
 * ----------------------------------------------------------------------------------- */

/* Of some tasks only the first line of the answer counts. */
static bool is_one_line(const long_task *task) {
    static const char *const names[] = {"trec", "triviaqa", "samsum", "lsht"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(task->name, names[i]) == 0)
            return true;
    return false;
}

static c2c_status score_against(double *score, const long_task *task, const char *said,
                                const char *truth, const long_texts *classes, c2c_error *error) {
    characters a = {0}, b = {0};
    *score = 0;
    c2c_status status = characters_read(&a, said, strlen(said), error);
    if (!status)
        status = characters_read(&b, truth, strlen(truth), error);
    if (!status) {
        switch (task->metric) {
        case LONG_F1: status = score_f1(score, &a, &b, error); break;
        case LONG_ROUGE: status = score_rouge(score, &a, &b, error); break;
        case LONG_CODE: status = score_code(score, &a, &b, error); break;
        case LONG_CLASSES: status = score_classes(score, said, truth, classes, error); break;
        case LONG_COUNT: *score = score_numbers(said, truth, strlen(truth)); break;
        case LONG_RETRIEVAL: *score = score_retrieval(said, truth, "Paragraph "); break;
        case LONG_RETRIEVAL_ZH:
            *score = score_retrieval(said, truth, "\xe6\xae\xb5\xe8\x90\xbd");
            break;
        case LONG_NONE: break;
        }
    }
    characters_free(&a);
    characters_free(&b);
    return status;
}

c2c_status long_score(double *score, const long_task *task, const char *prediction,
                      const long_texts *answers, const long_texts *classes, c2c_error *error) {
    char *said = string_copy(prediction), *text = said;
    if (!said)
        return error_memory(error, strlen(prediction), "an answer");
    if (is_one_line(task)) {
        while (*text == '\n')
            text++;
        text[strcspn(text, "\n")] = '\0';
    }
    *score = 0;
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < answers->count; i++) {
        double one;
        status = score_against(&one, task, text, answers->items[i], classes, error);
        if (!status && one > *score)
            *score = one;
    }
    free(said);
    return status;
}
