/* recipe_notes.c - what a recipe's reader has to say to its writer: keys that nobody reads, each
 * with the nearest one that is read. Most of them are slips of the keyboard that would cost a run.
 */
#include "train/recipe.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_NOTES 256 /* a file of nonsense has no more to say than that */

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

c2c_status recipe_note_unknown(train_recipe *recipe, const json_value *object, const char *place,
                               const char *const *known, c2c_error *error) {
    if (!object || object->type != JSON_OBJECT)
        return C2C_STATUS_OK;
    c2c_status status = C2C_STATUS_OK;
    /* What would not be noted is not looked for either: a hostile file has millions of keys. */
    for (uint32_t m = 0; m < object->count && !status && recipe->note_count < MAX_NOTES; m++) {
        const json_member *member = &object->members[m];
        if (json_key_is_known(member, known))
            continue;
        const char *meant = json_key_nearest(member, known);
        status =
            recipe_note(recipe, error, "%s%sunknown key \"%.100s\", which is not used%s%s%s", place,
                        *place ? ": " : "", member->key, meant ? "; did you mean \"" : "",
                        meant ? meant : "", meant ? "\"?" : "");
    }
    return status;
}
