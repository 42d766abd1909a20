/* mutate.c - bytes flipped, cut off, doubled, and numbers made huge, in files of all kinds. What
 * knows the grammar of JSON is mutate_json.c. */
#include "trust/mutate.h"

#include <stdio.h>
#include <stdlib.h>

size_t mutation_draw(mutation *m, size_t count) {
    uint32_t bits[4];
    random_block(&(random_key){.seed = m->seed, .step = m->draws++}, bits);
    return (size_t)(((uint64_t)bits[0] << 32 | bits[1]) % (count ? count : 1));
}

void mutation_note(mutation *m, const char *format, ...) {
    size_t length = strlen(m->what);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(m->what + length, sizeof m->what - length, format, arguments);
    va_end(arguments);
}

void mutate_replace(buffer *b, size_t start, size_t end, const char *bytes, size_t length) {
    buffer result = {0};
    buffer_append(&result, b->data, start);
    buffer_append(&result, bytes, length);
    buffer_append(&result, b->data + end, b->length - end);
    C2C_ASSERT(!result.failed);
    buffer_free(b);
    *b = result;
}

/* ---- Any bytes ---------------------------------------------------------------------------- */

/* Where a file's structure is dense: its start, its end, and anywhere. */
static size_t draw_place(mutation *m, size_t length) {
    size_t edge = length < 4096 ? length : 4096;
    switch (mutation_draw(m, 3)) {
    case 0: return mutation_draw(m, edge);
    case 1: return length - edge + mutation_draw(m, edge);
    default: return mutation_draw(m, length);
    }
}

static void flip_bytes(mutation *m, buffer *b) {
    size_t count = 1 + mutation_draw(m, 8);
    mutation_note(m, "; %zu bytes changed", count);
    for (size_t i = 0; i < count && b->length; i++) {
        size_t at = draw_place(m, b->length);
        size_t bit = mutation_draw(m, 9);
        b->data[at] = bit == 8 ? (char)mutation_draw(m, 256) : (char)(b->data[at] ^ (1 << bit));
        mutation_note(m, " %zu", at);
    }
}

static void cut_off(mutation *m, buffer *b) {
    size_t kept = draw_place(m, b->length);
    mutation_note(m, "; cut off at byte %zu of %zu", kept, b->length);
    mutate_replace(b, kept, b->length, "", 0);
}

/* A piece of up to 64 bytes is taken out, or comes again. */
static void move_piece(mutation *m, buffer *b) {
    char piece[64];
    size_t start = draw_place(m, b->length), length = 1 + mutation_draw(m, sizeof piece);
    if (length > b->length - start)
        length = b->length - start;
    memcpy(piece, b->data + start, length);
    if (mutation_draw(m, 2)) {
        mutation_note(m, "; bytes %zu to %zu taken out", start, start + length);
        mutate_replace(b, start, start + length, "", 0);
    } else {
        size_t to = draw_place(m, b->length);
        mutation_note(m, "; bytes %zu to %zu again at %zu", start, start + length, to);
        mutate_replace(b, to, to, piece, length);
    }
}

/* Sizes, counts and offsets are little-endian numbers of 2, 4 or 8 bytes. */
static void huge_number(mutation *m, buffer *b) {
    static const uint64_t numbers[] = {0,          1,
                                       0x7f,       0xff,
                                       0x7fff,     0xffff,
                                       0x7fffffff, 0x80000000,
                                       0xffffffff, 0x7fffffffffffffff,
                                       UINT64_MAX, 0x8000000000000000,
                                       100000000,  0x100000000};
    size_t width = (size_t)2 << mutation_draw(m, 3);
    uint64_t number = numbers[mutation_draw(m, sizeof numbers / sizeof *numbers)];
    if (b->length < width)
        return;
    size_t at = draw_place(m, b->length - width + 1);
    mutation_note(m, "; %zu bytes at %zu are 0x%llx", width, at, (unsigned long long)number);
    memcpy(b->data + at, &number, width);
}

static void mutate_bytes(mutation *m, buffer *b) {
    switch (mutation_draw(m, 4)) {
    case 0: flip_bytes(m, b); break;
    case 1: cut_off(m, b); break;
    case 2: move_piece(m, b); break;
    default: huge_number(m, b); break;
    }
}

/* ---- Templates ---------------------------------------------------------------------------- */

/* Pieces of the language, good and bad: loops and texts that grow, calls of itself, open ends. */
static void mutate_template(mutation *m, buffer *b) {
    static const char *const pieces[] = {
        "{% for x in range(99999) %}{% for y in range(99999) %}{{ x }}{% endfor %}{% endfor %}",
        "{% for x in messages %}",
        "{% endfor %}",
        "{% endif %}",
        "{%",
        "%}",
        "{{",
        "}}",
        "{#",
        "{{ 'x' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 10 ** 400 }}",
        "{{ 7 // 0 }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        ("{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}"
         "{% endfor %}{{ ns.s }}"),
        "{{ messages|map(attribute='role')|join(',')|upper|replace('', 'x') }}",
        "{{ messages[-1].content.split('').x.y.z }}",
        "{{ '%99999999d' % 3 }}",
        "{{ '\\ud800' }}",
        "{{ raise_exception('no') }}",
        "{{ (((((((((((((((1))))))))))))))) }}",
        "{{ x|nothing }}",
        "{{ messages|tojson(indent=1000000) }}",
        "{{ 'x'.center(1000000) }}",
        "\xff\xfe",
        "{% raw %}",
        "{{ strftime_now('%Y%') }}",
        "{{ '{:>99999999}'.format(1) }}",
        "{% break %}",
    };
    if (mutation_draw(m, 3) == 0) {
        mutate_bytes(m, b);
        return;
    }
    const char *piece = pieces[mutation_draw(m, sizeof pieces / sizeof *pieces)];
    size_t at = mutation_draw(m, b->length + 1);
    /* Often between two tags, where most pieces are good. */
    const char *tag = at < b->length ? strstr(b->data + at, "{%") : NULL;
    if (tag && mutation_draw(m, 3))
        at = (size_t)(tag - b->data);
    mutation_note(m, "; \"%.60s\" at %zu", piece, at);
    mutate_replace(b, at, at, piece, strlen(piece));
}

/* ---- Tensor files ------------------------------------------------------------------------- */

/* The header's JSON, its length before it usually right again, so that what is wrong inside shows.
 */
static void mutate_header(mutation *m, buffer *b) {
    uint64_t length;
    memcpy(&length, b->data, sizeof length);
    buffer header = {0};
    buffer_append(&header, b->data + 8, (size_t)length);
    mutate_json(m, &header);
    mutate_replace(b, 8, 8 + (size_t)length, header.data, header.length);
    length = header.length;
    if (mutation_draw(m, 6))
        memcpy(b->data, &length, sizeof length);
    else
        mutation_note(m, "; the header's length is the old one");
    buffer_free(&header);
}

/* Weights that no training gives: what is computed from them must still end, and give some id. */
static void odd_weights(mutation *m, buffer *b) {
    static const uint32_t numbers[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff,
                                       0x00000001, 0xffffffff, 0};
    uint32_t number = numbers[mutation_draw(m, sizeof numbers / sizeof *numbers)];
    size_t words = (size_t)1 << mutation_draw(m, 16);
    mutation_note(m, "; %zu words of weights are 0x%08x", words, number);
    for (size_t i = 0; i < words; i++) {
        size_t at = 16384 + 4 * mutation_draw(m, b->length / 4);
        if (at + 4 <= b->length)
            memcpy(b->data + at, &number, sizeof number);
    }
}

static void mutate_safetensors(mutation *m, buffer *b) {
    switch (mutation_draw(m, 8)) {
    case 0: mutate_bytes(m, b); break;
    case 1:
    case 2: odd_weights(m, b); break;
    default: mutate_header(m, b); break;
    }
}

/* ---- All ---------------------------------------------------------------------------------- */

void mutate_file(mutation *m, mutate_kind kind, buffer *bytes) {
    switch (kind) {
    case MUTATE_JSON:
        if (mutation_draw(m, 3))
            mutate_json(m, bytes);
        else
            mutate_bytes(m, bytes);
        break;
    case MUTATE_TEMPLATE: mutate_template(m, bytes); break;
    case MUTATE_SAFETENSORS: mutate_safetensors(m, bytes); break;
    case MUTATE_ARCHIVE:
        if (mutation_draw(m, 8))
            mutate_bytes(m, bytes);
        else
            odd_weights(m, bytes);
        break;
    }
    if (bytes->length && mutation_draw(m, 8) == 0)
        mutate_bytes(m, bytes);
}
