/* fuzz_train_recipe.c - any bytes as a training recipe, with its last line as an override. */
#include "train/recipe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    C2C_ASSERT(text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    char *line = strrchr(text, '\n');
    const char *set = line ? line + 1 : "";
    size_t length = line ? (size_t)(line - text) : size;
    train_recipe recipe;
    c2c_error error;
    if (!train_recipe_parse(&recipe, text, length, "fuzz", &set, *set != 0, &error)) {
        /* What was accepted is in its ranges. */
        C2C_ASSERT(recipe.sharer_count >= 1 && recipe.batch >= 1 && recipe.accumulation >= 1);
        C2C_ASSERT(recipe.learning_rate >= 0 && recipe.train_ratio <= 1);
        train_recipe_close(&recipe);
    }
    free(text);
    return 0;
}
