/* recipe_notes.c - what a recipe's reader has to say to its writer: keys that nobody reads, each
 * with the nearest one that is read. Most of them are slips of the keyboard that would cost a run.
 */
#include "train/recipe.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_NOTES 256 /* a file of nonsense has no more to say than that */
#define MAX_KEY   64  /* longer ones are near to nothing */

c2c_status recipe_note(train_recipe *recipe, c2c_error *error, const char *format, ...) {
    if (recipe->note_count == MAX_NOTES)
        return C2C_STATUS_OK;
    /* A message's own text is what makes one valid line of anything. */
    c2c_error line;
    char what[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    error_set(&line, C2C_STATUS_OK, "%s: %s", recipe->where, what);
    size_t bytes = (recipe->note_count + 1) * sizeof *recipe->notes;
    char **notes = realloc(recipe->notes, bytes), *copy = string_copy(line.message);
    if (notes)
        recipe->notes = notes;
    if (!notes || !copy) {
        free(copy);
        return error_memory(error, bytes, "notes on a recipe");
    }
    recipe->notes[recipe->note_count++] = copy;
    return C2C_STATUS_OK;
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

/* The known key that the writer may have meant: no more than a third of the letters differ. */
static const char *nearest_key(const json_member *member, const char *const *known) {
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

c2c_status recipe_note_unknown(train_recipe *recipe, const json_value *object, const char *place,
                               const char *const *known, c2c_error *error) {
    if (!object || object->type != JSON_OBJECT)
        return C2C_STATUS_OK;
    c2c_status status = C2C_STATUS_OK;
    /* What would not be noted is not looked for either: a hostile file has millions of keys. */
    for (uint32_t m = 0; m < object->count && !status && recipe->note_count < MAX_NOTES; m++) {
        const json_member *member = &object->members[m];
        size_t i = 0;
        while (known[i] && (strlen(known[i]) != member->key_length ||
                            memcmp(known[i], member->key, member->key_length) != 0))
            i++;
        if (known[i])
            continue;
        const char *meant = nearest_key(member, known);
        status =
            recipe_note(recipe, error, "%s%sunknown key \"%.100s\", which is not used%s%s%s", place,
                        *place ? ": " : "", member->key, meant ? "; did you mean \"" : "",
                        meant ? meant : "", meant ? "\"?" : "");
    }
    return status;
}
