/* train_world.h - a small run of the verb train on the demo pair, for tests: a folder with rows and
 * a recipe of 8 steps of 2 x 3 rows, in which outputs are compared by their names. */
#ifndef C2C_TEST_TRAIN_WORLD_H
#define C2C_TEST_TRAIN_WORLD_H

#include "app/program.h"

#define TRAIN_WORLD_ROWS 40

/* test_folder_remove. */
char *train_world_make(void);

typedef struct train_paths {
    char *recipe, *output;
} train_paths;

train_paths train_paths_in(const char *world, const char *output);
void train_paths_free(train_paths *p);

/* Trains into the world's folder `output`, with more options; it must go well. */
void train_world_run_with(const char *world, const char *output, const char *const *options);
#define train_world_run(world, output, ...)                                                        \
    train_world_run_with(world, output, (const char *const[]){__VA_ARGS__, NULL})

/* Both outputs hold the same final fuser, to the bit. */
void train_world_assert_same(const char *world, const char *a, const char *b);

#endif
