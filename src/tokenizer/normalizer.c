/* normalizer.c - the "normalizer" of tokenizer.json: steps that rewrite text before it is cut. A
 * step is one row of `kinds`, a loader and a function; Unicode's normal forms are in
 * normal_form.c.
 *
 * Whoever removes or inserts a character decides which part of the original a token will point
 * to. All steps do as Hugging Face does: new characters stand for the character before them (at
 * the start, for the one behind them), removed characters for nothing.
 *
 * Two buffers are enough for any number of steps: each step reads the text where the last one
 * left it and writes into the other. A step that changes nothing leaves the view as it is, so
 * most texts are never copied. */
#include "tokenizer/internal.h"

#include <utf8proc.h>

typedef struct normalizer_step step;

/* What a step works with; it leaves *result alone where nothing changes. */
typedef struct rewriting {
    piece in;
    piece_buffer *out; /* empty */
    pattern_work *pattern;
    c2c_error *error;
} rewriting;

struct normalizer_step {
    c2c_status (*run)(const step *s, const rewriting *r, piece *result);
    normal_form form;
    pattern *pattern; /* owned */
    const char *text;
    size_t length;
    bool left, right;
};

/* ---- Steps -------------------------------------------------------------------------------- */

static c2c_status run_form(const step *s, const rewriting *r, piece *result) {
    if (normal_form_write(s->form, r->in, r->out))
        *result = piece_buffer_view(r->out);
    return C2C_STATUS_OK;
}

/* Rust's char::to_lowercase, character by character: only one letter becomes two. */
static c2c_status run_lowercase(const step *s, const rewriting *r, piece *result) {
    (void)s;
    for (size_t i = 0, size; i < r->in.length; i += size) {
        char bytes[4];
        uint32_t c = utf8_read(r->in.bytes + i, &size);
        origin from = piece_origin(r->in, i, i + size);
        /* The dotted capital I becomes an i with a dot above it, in two characters. */
        uint32_t lower = c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        piece_buffer_append(r->out, bytes, utf8_write(lower, bytes), from);
        if (c == 0x130)
            piece_buffer_append(r->out, "\xcc\x87", 2, from);
    }
    *result = piece_buffer_view(r->out);
    return C2C_STATUS_OK;
}

/* What is put in stands for the last character that it replaces, whatever its length. */
static c2c_status run_replace(const step *s, const rewriting *r, piece *result) {
    pattern_scan scan = {.pattern = s->pattern, .text = r->in.bytes, .length = r->in.length};
    size_t copied = 0, start, end;
    bool found, any = false;
    for (;;) {
        c2c_status status = pattern_next(&scan, r->pattern, &found, &start, &end, r->error);
        if (status != C2C_STATUS_OK || (!found && !any))
            return status;
        any = true;
        /* The rest behind the last match goes with the loop's last round. */
        piece_buffer_copy(r->out, piece_slice(r->in, copied, found ? start : r->in.length));
        if (!found)
            break;
        origin from = {0, 0};
        if (end == 0 && r->in.length > 0) /* before the first character: between it and nothing */
            from.start = from.end = piece_origin(r->in, 0, 1).start;
        else if (end > 0)
            from = piece_origin(r->in, character_before(r->in.bytes, end), end);
        piece_buffer_append(r->out, s->text, s->length, from);
        copied = end;
    }
    *result = piece_buffer_view(r->out);
    return C2C_STATUS_OK;
}

static c2c_status run_prepend(const step *s, const rewriting *r, piece *result) {
    piece_buffer_prepend(r->out, s->text, s->length, r->in);
    *result = piece_buffer_view(r->out);
    return C2C_STATUS_OK;
}

/* A view is enough: what remains is where it was. */
static c2c_status run_strip(const step *s, const rewriting *r, piece *result) {
    size_t start = 0, end = r->in.length, size;
    while (s->left && start < end && unicode_is_space(utf8_read(r->in.bytes + start, &size)))
        start += size;
    while (s->right && end > start) {
        size_t before = character_before(r->in.bytes, end);
        if (!unicode_is_space(utf8_read(r->in.bytes + before, &size)))
            break;
        end = before;
    }
    *result = piece_slice(r->in, start, end);
    return C2C_STATUS_OK;
}

/* ---- Loading ------------------------------------------------------------------------------ */

/* Takes the step over, its pattern too, even when there is no room. */
static c2c_status add_step(normalizer *n, step s, const char *where, const loader *l) {
    c2c_status status = C2C_STATUS_OK;
    if (!n->steps)
        n->steps = arena_alloc(l->arena, COMPONENT_LIMIT * sizeof *n->steps);
    if (!n->steps)
        status = error_memory(l->error, COMPONENT_LIMIT * sizeof *n->steps, "normalizers");
    else if (n->count == COMPONENT_LIMIT)
        status = error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d normalizers",
                           l->name, where, COMPONENT_LIMIT);
    else
        n->steps[n->count++] = s;
    if (status != C2C_STATUS_OK)
        pattern_free(s.pattern);
    return status;
}

static c2c_status load_form(void *list, normal_form form, const char *where, const loader *l) {
    return add_step(list, (step){.run = run_form, .form = form}, where, l);
}

static c2c_status load_nfc(void *list, const json_value *value, const char *where,
                           const loader *l) {
    (void)value;
    return load_form(list, NORMAL_FORM_C, where, l);
}

static c2c_status load_nfd(void *list, const json_value *value, const char *where,
                           const loader *l) {
    (void)value;
    return load_form(list, NORMAL_FORM_D, where, l);
}

static c2c_status load_nfkc(void *list, const json_value *value, const char *where,
                            const loader *l) {
    (void)value;
    return load_form(list, NORMAL_FORM_KC, where, l);
}

static c2c_status load_nfkd(void *list, const json_value *value, const char *where,
                            const loader *l) {
    (void)value;
    return load_form(list, NORMAL_FORM_KD, where, l);
}

static c2c_status load_lowercase(void *list, const json_value *value, const char *where,
                                 const loader *l) {
    (void)value;
    return add_step(list, (step){.run = run_lowercase}, where, l);
}

static c2c_status load_prepend(void *list, const json_value *value, const char *where,
                               const loader *l) {
    step s = {.run = run_prepend};
    c2c_status status = component_text(value, "prepend", &s.text, &s.length, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_replace(void *list, const json_value *value, const char *where,
                               const loader *l) {
    step s = {.run = run_replace};
    c2c_status status = component_text(value, "content", &s.text, &s.length, where, l);
    if (status == C2C_STATUS_OK)
        status = component_pattern(value, &s.pattern, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_strip(void *list, const json_value *value, const char *where,
                             const loader *l) {
    step s = {.run = run_strip};
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    c2c_status status = json_get_bool(value, "strip_left", NULL, &s.left, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "strip_right", NULL, &s.right, place, l->error);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"Lowercase", load_lowercase},
    {"NFC", load_nfc},
    {"NFD", load_nfd},
    {"NFKC", load_nfkc},
    {"NFKD", load_nfkd},
    {"Prepend", load_prepend},
    {"Replace", load_replace},
    {"Sequence", load_sequence},
    {"Strip", load_strip},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "normalizers", where, l);
}

c2c_status normalizer_load(normalizer *n, const json_value *value, const loader *l) {
    return component_load(kinds, n, value, "normalizer", l);
}

void normalizer_deinit(normalizer *n) {
    for (size_t i = 0; i < n->count; i++)
        pattern_free(n->steps[i].pattern);
}

/* ---- Running ------------------------------------------------------------------------------ */

c2c_status normalizer_run(const normalizer *n, piece in, piece_buffer work[2],
                          pattern_work *pattern, piece *out, c2c_error *error) {
    int next = 0; /* the buffer that does not hold the text */
    *out = in;
    /* No step sees an empty text: there is nothing before which it could put anything. */
    for (size_t i = 0; i < n->count && out->length > 0; i++) {
        rewriting r = {*out, &work[next], pattern, error};
        piece_buffer_clear(r.out);
        c2c_status status = n->steps[i].run(&n->steps[i], &r, out);
        if (status != C2C_STATUS_OK)
            return status;
        if (r.out->bytes.failed)
            return error_memory(error, in.length, "a normalized text");
        /* Steps multiply: ten that double the text make a thousand of it, so it is looked at
         * after each. */
        if (out->length > GROWTH_FREE + GROWTH_TIMES * in.length)
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "tokenizer.json: normalizer: a text of %zu bytes grew to %zu",
                             in.length, out->length);
        if (out->bytes && out->bytes == r.out->bytes.data)
            next = !next;
    }
    return C2C_STATUS_OK;
}
