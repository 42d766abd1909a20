/* normal_form.c - Unicode's normal forms (UAX 15), done here rather than by utf8proc's own function
 * because each character must know where it came from, and the same place
 * that Hugging Face tokenizers tells.
 *
 * Every character carries a count along: 0 replaces a character of the source, 1 is new beside the
 * last one, -n replaces one and swallows the next n. Decomposing makes counts of 0, 1, 1, ...;
 * composing two characters adds their counts and takes one off; sorting moves them. */
#include "tokenizer/internal.h"

#include <stdlib.h>
#include <utf8proc.h>

typedef struct mark {
    uint32_t character;
    int32_t count;
    uint8_t class; /* canonical combining class, 0: a starter */
} mark;

typedef struct mark_list {
    mark *items;
    size_t count, capacity;
    bool failed;
} mark_list;

typedef struct composer {
    piece in;
    piece_buffer *out;
    normal_form form;
    size_t consumed; /* bytes of `in` that the characters written so far stand for */
    origin last;     /* where the last of those came from */
    mark_list run;   /* a starter and the marks behind it, decomposed */
    mark_list sorted;
    mark_list blocked; /* marks that could not join the starter */
    mark starter;
    bool has_starter;
    int last_class; /* of `blocked`, -1: empty */
} composer;

/* Out of memory is remembered and asked for once, at the end. */
static void list_push(mark_list *list, mark m) {
    if (list->count == list->capacity && !list->failed) {
        size_t capacity = list->capacity ? list->capacity * 2 : 32, bytes;
        mark *items = size_mul(capacity, sizeof m, &bytes) ? realloc(list->items, bytes) : NULL;
        list->failed = !items;
        if (items) {
            list->items = items;
            list->capacity = capacity;
        }
    }
    if (!list->failed)
        list->items[list->count++] = m;
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* One more character of the source is accounted for. */
static void consume(composer *c) {
    if (c->consumed >= c->in.length)
        return;
    size_t size;
    utf8_read(c->in.bytes + c->consumed, &size);
    c->last = piece_origin(c->in, c->consumed, c->consumed + size);
    c->consumed += size;
}

static void write_mark(composer *c, mark m) {
    if (m.count <= 0)
        consume(c);
    char bytes[4];
    piece_buffer_append(c->out, bytes, utf8_write(m.character, bytes), c->last);
    for (int32_t i = m.count; i < 0; i++)
        consume(c); /* what comes next and is new has the origin of the last one swallowed */
}

/* ---- Composing ---------------------------------------------------------------------------- */

/* The one character that two become, if there is one. */
static bool compose_pair(uint32_t first, uint32_t second, uint32_t *composed) {
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
        return false;
    *composed = (uint32_t)pair[0];
    return true;
}

/* The starter and the marks that could not join it. */
static void write_starter(composer *c) {
    if (c->has_starter)
        write_mark(c, c->starter);
    for (size_t i = 0; i < c->blocked.count; i++)
        write_mark(c, c->blocked.items[i]);
    c->blocked.count = 0;
    c->last_class = -1;
}

/* The composition algorithm of UAX 15: a mark joins the starter unless one of its own class, or of
 * a higher one, stands between them. */
static void compose_next(composer *c, mark m) {
    if (!c->has_starter) {
        if (m.class != 0) {
            write_mark(c, m);
            return;
        }
        c->starter = m;
        c->has_starter = true;
        return;
    }
    uint32_t composed;
    if (c->last_class < (int)m.class &&
        compose_pair(c->starter.character, m.character, &composed)) {
        c->starter.character = composed;
        c->starter.count += m.count - 1;
    } else if (m.class == 0) {
        write_starter(c);
        c->starter = m;
    } else {
        list_push(&c->blocked, m);
        c->last_class = m.class;
    }
}

/* Marks in order of their classes, otherwise as they came: counted, so that a long row of marks
 * costs no more than its length. */
static void sort_run(composer *c) {
    size_t starts[257] = {0};
    mark_list *run = &c->run, *sorted = &c->sorted;
    for (size_t i = 0; i < run->count; i++)
        starts[run->items[i].class + 1]++;
    for (size_t i = 1; i < 257; i++)
        starts[i] += starts[i - 1];
    sorted->count = 0;
    for (size_t i = 0; i < run->count; i++)
        list_push(sorted, run->items[i]);
    for (size_t i = 0; i < run->count && !sorted->failed; i++)
        sorted->items[starts[run->items[i].class]++] = run->items[i];
    mark_list unsorted = *run;
    *run = *sorted;
    *sorted = unsorted;
}

static void finish_run(composer *c) {
    bool in_order = true;
    for (size_t i = 1; i < c->run.count; i++)
        in_order &= c->run.items[i - 1].class <= c->run.items[i].class;
    if (!in_order)
        sort_run(c);
    for (size_t i = 0; i < c->run.count; i++)
        if (c->form & NORMAL_FORM_C)
            compose_next(c, c->run.items[i]);
        else
            write_mark(c, c->run.items[i]);
    c->run.count = 0;
}

/* A starter ends the run before it: marks never move past one. */
static void decompose(composer *c, uint32_t character) {
    utf8proc_int32_t parts[32]; /* the longest decomposition, of U+FDFA, has 18 */
    int boundary = 0;
    int options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE;
    if (c->form & NORMAL_FORM_KD)
        options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)character, parts, 32,
                                                 (utf8proc_option_t)options, &boundary);
    C2C_ASSERT(n >= 1 && n <= 32);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        int class = utf8proc_get_property(parts[i])->combining_class;
        if (class == 0)
            finish_run(c);
        list_push(&c->run, (mark){(uint32_t)parts[i], i > 0, (uint8_t) class});
    }
}

/* ---- The quick way out -------------------------------------------------------------------- */

/* True only for characters that are always composed: they neither change nor join the one before.
 * Most of what is written is made of these; the others cost the slow path, not correctness. */
static bool always_composed(uint32_t c) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x0000, 0x02ff},   /* Latin */
        {0x0400, 0x0482},   /* Cyrillic */
        {0x2010, 0x20cf},   /* punctuation, superscripts, currencies */
        {0x2190, 0x2328},   /* arrows, operators */
        {0x232b, 0x2adb},   /* frames, blocks, shapes, dingbats */
        {0x3001, 0x3029},   /* CJK punctuation */
        {0x3041, 0x3096},   /* Hiragana */
        {0x309b, 0x30ff},   /* Katakana */
        {0x3400, 0x9fff},   /* Han */
        {0xac00, 0xd7a3},   /* Hangul */
        {0xff00, 0xffef},   /* full-width forms */
        {0x1f000, 0x1faff}, /* pictures */
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c <= ranges[i].last)
            return c >= ranges[i].first;
    return false;
}

/* Latin-1 letters and signs decompose from these on. */
#define FIRST_CANONICAL  0xc0
#define FIRST_COMPATIBLE 0xa0

static bool is_normal(normal_form form, uint32_t c) {
    if (form == NORMAL_FORM_C)
        return always_composed(c);
    return c < (form & NORMAL_FORM_KD ? FIRST_COMPATIBLE : FIRST_CANONICAL);
}

/* The end of the characters from `start` that are normal whatever stands beside them; *last is
 * where the last of them starts. */
static size_t skip_normal(normal_form form, piece in, size_t start, size_t *last) {
    size_t i = start, size;
    for (*last = start; i < in.length; i += size) {
        if (!is_normal(form, utf8_read(in.bytes + i, &size)))
            break;
        *last = i;
    }
    return i;
}

/* Writes all that waits; nothing behind it can join it. */
static void finish(composer *c) {
    finish_run(c);
    write_starter(c);
    c->has_starter = false;
}

/* Copies [start, end), normal characters, past the composer. */
static void copy_normal(composer *c, size_t start, size_t end) {
    if (end == start)
        return;
    finish(c);
    piece_buffer_copy(c->out, piece_slice(c->in, start, end));
    c->consumed = end;
    c->last = piece_origin(c->in, character_before(c->in.bytes, end), end);
}

bool normal_form_write(normal_form form, piece in, piece_buffer *out) {
    size_t last, i = skip_normal(form, in, 0, &last), size;
    if (i == in.length)
        return false;
    composer c = {.in = in, .out = out, .form = form, .last_class = -1};
    uint32_t start = piece_origin(in, 0, 1).start;
    c.last = (origin){start, start};
    /* The last normal character may be what a mark behind it joins: it goes through the composer.
     */
    copy_normal(&c, 0, last);
    for (i = last; i < in.length; i += size) {
        uint32_t character = utf8_read(in.bytes + i, &size);
        decompose(&c, character);
        if (is_normal(form, character))
            continue;
        size_t next = skip_normal(form, in, i + size, &last);
        if (next > i + size) {
            copy_normal(&c, i + size, last);
            size = last - i;
        }
    }
    finish(&c);
    if (c.run.failed || c.sorted.failed || c.blocked.failed)
        out->bytes.failed = true;
    free(c.run.items);
    free(c.sorted.items);
    free(c.blocked.items);
    return true;
}
