/* template_text.c - texts of the interpreter: slices, search, building, and for every byte which
 * chat message wrote it. Texts are valid UTF-8 and count in characters outside, in bytes inside;
 * letter cases and character classes are template_case.c's.
 *
 * Runs are the reason that texts are not plain strings. Aligning two tokenizers needs to know
 * which bytes of a rendered chat are message contents, after any trimming, splitting and joining
 * that a template does. So each text carries the runs of its bytes, every operation here hands
 * them on, and the output's runs are the answer; searching the output for the contents would
 * guess.
 *
 * A text is never changed. Slices are views, so taking a text apart costs no bytes; putting one
 * together piece by piece would cost the square of its length, but for the tail (join_bytes). */
#include "tokenizer/template.h"

#include <stdio.h>

/* ---- UTF-8 -------------------------------------------------------------------------------- */

size_t utf8_decode(const char *bytes, size_t length, uint32_t *character) {
    const unsigned char *s = (const unsigned char *)bytes;
    /* The text is valid, so the first byte says all; the check against `length` is for views
     * that end early. */
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (size > length)
        size = length;
    uint32_t c = size == 1 ? s[0] : s[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        c = c << 6 | (s[i] & 0x3f);
    *character = c;
    return size;
}

size_t utf8_encode(uint32_t c, char bytes[4]) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (size == 1) {
        bytes[0] = (char)c;
        return 1;
    }
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)((0xf00 >> size) | c);
    return size;
}

size_t utf8_before(const char *bytes, size_t end) {
    while (end > 0 && (bytes[--end] & 0xc0) == 0x80)
        ;
    return end;
}

/* Bytes that do not go on with a character. */
static size_t count_characters(const char *bytes, size_t length) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += (bytes[i] & 0xc0) != 0x80;
    return count;
}

bool character_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t space_leading(const char *bytes, size_t length) {
    size_t at = 0;
    while (at < length) {
        uint32_t c;
        size_t size = utf8_decode(bytes + at, length - at, &c);
        if (!character_is_space(c))
            break;
        at += size;
    }
    return at;
}

size_t space_trimmed_end(const char *bytes, size_t length) {
    while (length > 0) {
        size_t start = utf8_before(bytes, length);
        uint32_t c;
        utf8_decode(bytes + start, length - start, &c);
        if (!character_is_space(c))
            break;
        length = start;
    }
    return length;
}

/* ---- Texts -------------------------------------------------------------------------------- */

void text_init(text *t, const char *bytes, size_t length) {
    *t = (text){.bytes = bytes, .length = length, .characters = count_characters(bytes, length)};
}

/* Counting the characters is work: a template that slices a long text in a loop pays for it. */
text *text_view(render *r, const char *bytes, size_t length) {
    text *t = render_alloc(r, sizeof *t);
    if (!t || !render_spend_bytes(r, length))
        return NULL;
    text_init(t, bytes, length);
    return t;
}

const text *text_copy(render *r, const char *bytes, size_t length) {
    char *copy = render_alloc(r, length + 1);
    if (!copy)
        return NULL;
    if (length)
        memcpy(copy, bytes, length);
    return text_view(r, copy, length);
}

bool text_equal(const text *a, const text *b) {
    return a->length == b->length && (!a->length || memcmp(a->bytes, b->bytes, a->length) == 0);
}

bool text_is(const text *t, const char *literal) {
    return t->length == strlen(literal) && memcmp(t->bytes, literal, t->length) == 0;
}

/* The first run that ends behind `offset`. */
static size_t first_run(const text *t, size_t offset) {
    size_t low = 0, high = t->run_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->runs[middle].end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int text_message_at(const text *t, size_t offset) {
    size_t i = first_run(t, offset);
    return i < t->run_count && t->runs[i].start <= offset ? t->runs[i].message : -1;
}

/* Writes the runs of bytes from..to-1, moved to start at `base`, and returns how many they are;
 * with `out` NULL only counts them. */
static size_t copy_runs(const text *t, size_t from, size_t to, size_t base, text_run *out) {
    size_t count = 0;
    if (from == to)
        return 0;
    for (size_t i = first_run(t, from); i < t->run_count && t->runs[i].start < to; i++, count++) {
        text_run run = t->runs[i];
        if (out)
            out[count] = (text_run){.start = (run.start > from ? run.start : from) - from + base,
                                    .end = (run.end < to ? run.end : to) - from + base,
                                    .message = run.message};
    }
    return count;
}

const text *text_slice(render *r, const text *t, size_t from, size_t to) {
    text *slice = text_view(r, t->bytes + from, to - from);
    if (!slice)
        return NULL;
    slice->markup = t->markup;
    size_t runs = copy_runs(t, from, to, 0, NULL);
    if (runs) {
        text_run *copies = render_array(r, runs, sizeof *copies);
        if (!copies)
            return NULL;
        slice->run_count = copy_runs(t, from, to, 0, copies);
        slice->runs = copies;
    }
    return slice;
}

/* Where every character is a byte, as in most texts, this is no walk. */
size_t text_offset(const text *t, size_t character) {
    if (t->characters == t->length || character >= t->characters)
        return character < t->characters ? character : t->length;
    size_t at = 0;
    for (; character > 0; character--)
        do
            at++;
        while (at < t->length && (t->bytes[at] & 0xc0) == 0x80);
    return at;
}

size_t text_index(const text *t, size_t offset) {
    return t->characters == t->length ? offset : count_characters(t->bytes, offset);
}

/* Needles up to this size are compared byte by byte, longer ones by rolling hash: text of one
 * repeated letter must not cost length times length. */
#define SHORT_NEEDLE 16
#define HASH_PRIME   4294967291u
#define HASH_BASE    257u

static uint64_t hash_step(uint64_t hash, char in) {
    return (hash * HASH_BASE + (unsigned char)in + 1) % HASH_PRIME;
}

/* Byte i of the walk: from the front, or from the back. */
static char walk(const char *bytes, size_t length, size_t i, bool backwards) {
    return bytes[backwards ? length - 1 - i : i];
}

static size_t find_hashed(const char *s, size_t length, const text *needle, bool backwards) {
    size_t n = needle->length;
    uint64_t wanted = 0, hash = 0, power = 1;
    for (size_t i = 0; i < n; i++) {
        wanted = hash_step(wanted, walk(needle->bytes, n, i, backwards));
        hash = hash_step(hash, walk(s, length, i, backwards));
        power = i ? power * HASH_BASE % HASH_PRIME : 1;
    }
    for (size_t i = 0;; i++) {
        size_t place = backwards ? length - n - i : i;
        if (hash == wanted && memcmp(s + place, needle->bytes, n) == 0)
            return place;
        if (i + n >= length)
            return SIZE_MAX;
        /* Remainders instead of shifts, and +1 for each byte, so that zeros and wraps do not
         * collide at will; a match of hashes is compared byte by byte, so a collision costs time
         * only. */
        uint64_t gone = (unsigned char)walk(s, length, i, backwards) + 1u;
        hash = (hash + HASH_PRIME - gone * power % HASH_PRIME) % HASH_PRIME;
        hash = hash_step(hash, walk(s, length, i + n, backwards));
    }
}

static size_t find_short(const char *s, size_t length, const text *needle, bool backwards) {
    size_t n = needle->length, last = length - n;
    for (size_t i = 0; i <= last; i++) {
        size_t place = backwards ? last - i : i;
        if (!backwards) {
            /* memchr leaps to candidates; backwards there is no such call in C. */
            const char *hit = memchr(s + i, needle->bytes[0], last - i + 1);
            if (!hit)
                return SIZE_MAX;
            i = place = (size_t)(hit - s);
        }
        if (memcmp(s + place, needle->bytes, n) == 0)
            return place;
    }
    return SIZE_MAX;
}

size_t text_find(const text *t, const text *needle, size_t from, size_t to, bool from_end) {
    size_t n = needle->length;
    if (to > t->length || from > to || to - from < n)
        return SIZE_MAX;
    if (n == 0)
        return from_end ? to : from;
    size_t place = (n <= SHORT_NEEDLE ? find_short : find_hashed)(t->bytes + from, to - from,
                                                                  needle, from_end);
    return place == SIZE_MAX ? SIZE_MAX : from + place;
}

bool text_stands_at(const text *t, const text *affix, size_t offset) {
    return !affix->length || memcmp(t->bytes + offset, affix->bytes, affix->length) == 0;
}

/* ---- Concatenation ------------------------------------------------------------------------ */

/* From this size on, a concatenation leaves room behind it for the next one. */
#define TAIL_FROM 1024

/* The bytes of both: behind `a` where there is room, else in new memory. The room is behind the
 * last text that used it: `end` tells whether `a` is that text, so two that grow from one `a` do
 * not write into each other. */
static const char *join_bytes(render *r, const text *a, const text *b, text_tail **tail) {
    size_t length = a->length + b->length;
    *tail = a->tail;
    if (*tail && (*tail)->end == a->bytes + a->length && (*tail)->room >= b->length) {
        memcpy((char *)a->bytes + a->length, b->bytes, b->length);
        (*tail)->room -= b->length;
        (*tail)->end += b->length;
        return a->bytes;
    }
    size_t room = length >= TAIL_FROM ? length : 0;
    char *bytes = render_alloc(r, length + room);
    if (!bytes)
        return NULL;
    memcpy(bytes, a->bytes, a->length);
    memcpy(bytes + a->length, b->bytes, b->length);
    *tail = NULL;
    if (room) {
        if (!(*tail = render_alloc(r, sizeof **tail)))
            return NULL;
        **tail = (text_tail){.end = bytes + length, .room = room};
    }
    return bytes;
}

const text *text_marked(render *r, const text *t, bool markup) {
    if (t->markup == markup)
        return t;
    text *copy = render_alloc(r, sizeof *copy);
    if (copy) {
        *copy = *t;
        copy->markup = markup;
    }
    return copy;
}

const text *text_concat(render *r, const text *a, const text *b) {
    if (!b->length || !a->length)
        return text_marked(r, b->length ? b : a, false);
    text *t = render_alloc(r, sizeof *t);
    if (!t || !render_spend_bytes(r, b->length))
        return NULL;
    t->bytes = join_bytes(r, a, b, &t->tail);
    if (!t->bytes)
        return NULL;
    t->length = a->length + b->length;
    t->characters = a->characters + b->characters;
    size_t runs = a->run_count + b->run_count;
    if (runs) {
        text_run *copies = render_array(r, runs, sizeof *copies);
        if (!copies)
            return NULL;
        size_t count = copy_runs(a, 0, a->length, 0, copies);
        t->run_count = count + copy_runs(b, 0, b->length, a->length, copies + count);
        t->runs = copies;
    }
    return t;
}

/* ---- Builder ------------------------------------------------------------------------------ */

bool builder_reserve(text_builder *b, size_t extra) {
    size_t need;
    if (!size_add(b->length, extra, &need) || (b->limit && need > b->limit))
        return render_fail(b->render, "the rendered text is longer than %zu bytes", b->limit);
    if (need <= b->capacity)
        return true;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    /* The arena gives nothing back, so doubling costs twice the final size: part of the memory
     * limit. */
    char *data = render_alloc(b->render, capacity);
    if (!data)
        return false;
    if (b->length)
        memcpy(data, b->data, b->length);
    b->data = data;
    b->capacity = capacity;
    return true;
}

/* Runs grow like bytes: doubled, old ones left to the arena. */
static bool reserve_runs(text_builder *b, size_t extra) {
    if (b->run_count + extra <= b->run_capacity)
        return true;
    size_t capacity = b->run_capacity * 2 + extra;
    text_run *runs = render_array(b->render, capacity, sizeof *runs);
    if (!runs)
        return false;
    if (b->run_count)
        memcpy(runs, b->runs, b->run_count * sizeof *runs);
    b->runs = runs;
    b->run_capacity = capacity;
    return true;
}

/* Joins run `i` with the one before it when both are one piece of one message. */
static void merge_run(text_builder *b, size_t i) {
    if (i == 0 || i >= b->run_count)
        return;
    text_run *before = &b->runs[i - 1], *run = &b->runs[i];
    if (before->message != run->message || before->end != run->start)
        return;
    before->end = run->end;
    memmove(run, run + 1, (b->run_count - i - 1) * sizeof *run);
    b->run_count--;
}

bool builder_bytes(text_builder *b, const char *bytes, size_t length, int message) {
    if (!length)
        return true;
    if (!builder_reserve(b, length) || !render_spend_bytes(b->render, length))
        return false;
    if (message >= 0) {
        if (!reserve_runs(b, 1))
            return false;
        b->runs[b->run_count++] =
            (text_run){.start = b->length, .end = b->length + length, .message = message};
        merge_run(b, b->run_count - 1);
    }
    memcpy(b->data + b->length, bytes, length);
    b->length += length;
    b->characters += count_characters(bytes, length);
    return true;
}

bool builder_literal(text_builder *b, const char *literal) {
    return builder_bytes(b, literal, strlen(literal), -1);
}

bool builder_printf(text_builder *b, const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    C2C_ASSERT(length >= 0 && (size_t)length < sizeof line);
    return builder_bytes(b, line, (size_t)length, -1);
}

/* The one way by which texts keep their messages through joins, splits and macros. */
bool builder_slice(text_builder *b, const text *t, size_t from, size_t to) {
    size_t runs = copy_runs(t, from, to, 0, NULL), base = b->length;
    if (!builder_bytes(b, t->bytes + from, to - from, -1) || !reserve_runs(b, runs))
        return false;
    if (runs) {
        size_t first = b->run_count;
        b->run_count += copy_runs(t, from, to, base, b->runs + first);
        merge_run(b, first);
    }
    return true;
}

bool builder_text(text_builder *b, const text *t) {
    return builder_slice(b, t, 0, t->length);
}

bool builder_repeat(text_builder *b, const text *t, int64_t times) {
    size_t total;
    if (times <= 0 || !t->length)
        return true;
    /* Asked for at once, so that a huge product is refused before anything is written. */
    if (!size_mul(t->length, (size_t)times, &total))
        total = SIZE_MAX;
    if (!builder_reserve(b, total))
        return false;
    for (; times > 0; times--)
        if (!builder_text(b, t))
            return false;
    return true;
}

const text *builder_finish(text_builder *b) {
    text *t = render_alloc(b->render, sizeof *t);
    if (t)
        *t = (text){.bytes = b->data ? b->data : "",
                    .length = b->length,
                    .characters = b->characters,
                    .runs = b->runs,
                    .run_count = b->run_count};
    return t;
}
