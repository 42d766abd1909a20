/* recipe_set.h - for this room only: a recipe's document with some values set anew. */
#ifndef C2C_TRAIN_RECIPE_SET_H
#define C2C_TRAIN_RECIPE_SET_H

#include "formats/formats.h"

/* Replaces *document by one in which `set` ("training.learning_rate=3e-4") holds. On failure the
 * document stays as it is. */
c2c_status recipe_set(json_document **document, const char *set, c2c_error *error);

#endif
