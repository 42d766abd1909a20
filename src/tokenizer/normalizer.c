/* normalizer.c - the "normalizer" of tokenizer.json: steps that rewrite text before it is cut.
 * A step is one row of `kinds` and one function that writes the new text with its origins. */
#include "tokenizer/internal.h"

/* Writes the changed text and returns true, or returns false where nothing changes. */
typedef bool (*step_run)(piece in, piece_buffer *out);

struct normalizer_step {
    step_run run;
};

static c2c_status add_step(normalizer *n, struct normalizer_step step, const char *where,
                           const loader *l) {
    if (!n->steps)
        n->steps = arena_alloc(l->arena, COMPONENT_LIMIT * sizeof *n->steps);
    if (!n->steps)
        return error_memory(l->error, COMPONENT_LIMIT * sizeof *n->steps, "normalizers");
    if (n->count == COMPONENT_LIMIT)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d normalizers",
                         l->name, where, COMPONENT_LIMIT);
    n->steps[n->count++] = step;
    return C2C_STATUS_OK;
}

static c2c_status load_nfc(void *list, const json_value *value, const char *where,
                           const loader *l) {
    (void)value;
    return add_step(list, (struct normalizer_step){normal_form_c}, where, l);
}

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"NFC", load_nfc},
    {"Sequence", load_sequence},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "normalizers", where, l);
}

c2c_status normalizer_load(normalizer *n, const json_value *value, const loader *l) {
    return component_load(kinds, n, value, "normalizer", l);
}

c2c_status normalizer_run(const normalizer *n, piece in, piece_buffer work[2], piece *out,
                          c2c_error *error) {
    int next = 0;
    *out = in;
    for (size_t i = 0; i < n->count; i++) {
        piece_buffer_clear(&work[next]);
        if (!n->steps[i].run(*out, &work[next]))
            continue;
        if (work[next].bytes.failed)
            return error_memory(error, in.length, "a normalized text");
        *out = piece_buffer_view(&work[next]);
        next = !next;
    }
    return C2C_STATUS_OK;
}
