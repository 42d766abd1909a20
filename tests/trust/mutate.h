/* mutate.h - good files made bad, the same way for the same seed. */
#ifndef C2C_TEST_MUTATE_H
#define C2C_TEST_MUTATE_H

#include "base/base.h"

/* What a file is decides what can be done to it beside its bytes. */
typedef enum mutate_kind {
    MUTATE_JSON = 0,
    MUTATE_TEMPLATE,
    MUTATE_SAFETENSORS, /* a JSON header of a length that stands before it, and numbers */
    MUTATE_ARCHIVE      /* a zip of a pickle and numbers */
} mutate_kind;

/* Zero-initialise with a seed. `what` tells what was done, for people. */
typedef struct mutation {
    uint64_t seed, draws;
    char what[256];
} mutation;

/* A number in 0 .. count - 1; the next one of this seed. */
size_t mutation_draw(mutation *m, size_t count);

/* Changes one thing in a file's bytes, sometimes two or three. */
void mutate_file(mutation *m, mutate_kind kind, buffer *bytes);

/* One value or member of a valid JSON text is changed, taken out, doubled or swapped with another
 * (mutate_json.c). */
void mutate_json(mutation *m, buffer *text);

/* Replaces [start, end) by other bytes, which do not lie in `b`. */
void mutate_replace(buffer *b, size_t start, size_t end, const char *bytes, size_t length);
void mutation_note(mutation *m, const char *format, ...) C2C_PRINTF(2, 3);

#endif
