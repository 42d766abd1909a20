/* json_keys.c - keys that nobody reads, and what their writer may have meant: most of them are
 * slips of the keyboard. Who is told, and how, the reader of the document knows. */
#include "formats/formats.h"

#define MAX_KEY 64 /* longer ones are near to nothing */

bool json_key_is_known(const json_member *member, const char *const *known) {
    for (size_t i = 0; known[i]; i++)
        if (strlen(known[i]) == member->key_length &&
            memcmp(known[i], member->key, member->key_length) == 0)
            return true;
    return false;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Letters to insert, delete or exchange until `a` is `b`; row by row of Levenshtein's table. */
static size_t edit_distance(const char *a, size_t a_length, const char *b) {
    size_t row[MAX_KEY + 1], b_length = strlen(b);
    if (a_length > MAX_KEY || b_length > MAX_KEY)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_length];
}

const char *json_key_nearest(const json_member *member, const char *const *known) {
    const char *nearest = NULL;
    size_t best = member->key_length / 3 + 1;
    for (size_t i = 0; known[i]; i++) {
        size_t distance = edit_distance(member->key, member->key_length, known[i]);
        if (distance <= best) {
            nearest = known[i];
            best = distance ? distance - 1 : 0; /* of equals the first */
        }
    }
    return nearest;
}
