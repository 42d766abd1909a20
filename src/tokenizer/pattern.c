/* pattern.c - finding matches with PCRE2. Compiled patterns are immutable and shared by threads;
 * what a search changes lives in a pattern_work.
 *
 * Patterns come from files: their size, their nesting and the work of one search are bounded,
 * and reaching a bound is an error. The bounds hold for the machine code that PCRE2 makes, too.
 * Texts that are looked for as they are (a space, mostly) do without PCRE2: a call of it costs more
 * than such a search. */
#include "tokenizer/internal.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define PATTERN_BYTES 16384
#define MATCH_LIMIT   10000000u /* steps back of one search: about a second */
#define HEAP_KIB      65536u

struct pattern {
    char *literal; /* a text that is not empty: found without PCRE2 */
    size_t literal_length;
    pcre2_code *code;
    bool compiled; /* to machine code */
};

struct pattern_work {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

/* Options are for Oniguruma's meaning: Unicode classes, and newlines that are \n alone. */
static c2c_status compile(pattern *p, const char *text, size_t length, uint32_t options,
                          const char *where, const loader *l) {
    int code;
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return error_memory(l->error, 0, "a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 200);
    p->code = pcre2_compile((PCRE2_SPTR)text, length, options, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!p->code) {
        char reason[160] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: %s: regular expression: %s (at byte %zu of its form for PCRE2)",
                         l->name, where, reason, (size_t)offset);
    }
    /* Without a compiler for this machine, or memory for it, matching is only slower. */
    p->compiled = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    return C2C_STATUS_OK;
}

c2c_status pattern_compile(pattern **p, const char *text, size_t length, bool literal,
                           const char *where, const loader *l) {
    *p = NULL;
    if (length > PATTERN_BYTES)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s: expected a pattern of at most %d bytes, found %zu", l->name,
                         where, PATTERN_BYTES, length);
    buffer translated = {0};
    uint32_t options = PCRE2_UTF | PCRE2_LITERAL;
    c2c_status status = C2C_STATUS_OK;
    pattern *made = calloc(1, sizeof *made);
    if (!made) {
        status = error_memory(l->error, sizeof *made, "a regular expression");
        goto done;
    }
    if (literal && length > 0) {
        made->literal = malloc(length);
        made->literal_length = length;
        if (made->literal)
            memcpy(made->literal, text, length);
        else
            status = error_memory(l->error, length, "a pattern");
        goto done;
    }
    if (!literal) {
        /* Lines begin and end at every newline, as in Oniguruma. */
        options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE;
        status = onig_translate(text, length, &translated, where, l);
        if (status != C2C_STATUS_OK)
            goto done;
        text = translated.data ? translated.data : "";
        length = translated.length;
    }
    status = compile(made, text, length, options, where, l);
done:
    buffer_free(&translated);
    if (status == C2C_STATUS_OK)
        *p = made;
    else
        pattern_free(made);
    return status;
}

void pattern_free(pattern *p) {
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p->literal);
    free(p);
}

/* One pair of offsets is enough: only the whole match is asked for. */
pattern_work *pattern_work_new(void) {
    pattern_work *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->data = pcre2_match_data_create(1, NULL);
    w->context = pcre2_match_context_create(NULL);
    if (!w->data || !w->context) {
        pattern_work_free(w);
        return NULL;
    }
    pcre2_set_match_limit(w->context, MATCH_LIMIT);
    pcre2_set_heap_limit(w->context, HEAP_KIB);
    return w;
}

void pattern_work_free(pattern_work *w) {
    if (!w)
        return;
    pcre2_match_data_free(w->data);
    pcre2_match_context_free(w->context);
    free(w);
}

static int search(const pattern_scan *s, pattern_work *w) {
    /* The text is known to be UTF-8; checking it for every search would cost its length each
     * time. */
    PCRE2_SPTR text = (PCRE2_SPTR)s->text;
    const pattern *p = s->pattern;
    int result = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->compiled)
        result = pcre2_jit_match(p->code, text, s->length, s->at, 0, w->data, w->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
        result = pcre2_match(p->code, text, s->length, s->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             w->data, w->context);
    return result;
}

/* Both texts are UTF-8, so a match starts and ends between characters. */
static bool next_literal(pattern_scan *s, size_t *start) {
    const pattern *p = s->pattern;
    for (size_t at = s->at; s->length - at >= p->literal_length; at++) {
        const char *found = memchr(s->text + at, *p->literal, s->length - at);
        if (!found)
            return false;
        at = (size_t)(found - s->text);
        if (s->length - at >= p->literal_length &&
            memcmp(found, p->literal, p->literal_length) == 0) {
            *start = at;
            return true;
        }
    }
    return false;
}

/* As Rust's iterators: an empty match is one, except right behind the match before it. */
c2c_status pattern_next(pattern_scan *s, pattern_work *w, bool *found, size_t *start, size_t *end,
                        c2c_error *error) {
    *found = false;
    if (s->pattern->literal) {
        *found = next_literal(s, start);
        if (*found)
            s->at = *end = *start + s->pattern->literal_length;
        return C2C_STATUS_OK;
    }
    while (s->at <= s->length) {
        int result = search(s, w);
        if (result == PCRE2_ERROR_NOMATCH)
            return C2C_STATUS_OK;
        if (result < 0) {
            char reason[160] = "";
            pcre2_get_error_message(result, (PCRE2_UCHAR *)reason, sizeof reason);
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "tokenizer.json: a regular expression gave up on this text: %s",
                             reason);
        }
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(w->data);
        if (range[0] == range[1] && s->matched && s->last_end == range[1]) {
            /* Nothing, right behind the last match: not a match; go on by one character. */
            size_t size = 1;
            if (s->at < s->length)
                utf8_read(s->text + s->at, &size);
            s->at += size;
            continue;
        }
        *start = range[0];
        *end = range[1];
        *found = s->matched = true;
        s->at = s->last_end = range[1];
        return C2C_STATUS_OK;
    }
    return C2C_STATUS_OK;
}
