/* eval_world.h - recipes of the verb eval for tests, on the demo pair and its questions. */
#ifndef C2C_TEST_EVAL_WORLD_H
#define C2C_TEST_EVAL_WORLD_H

#include "app/program.h"

#define DEMO_ROWS "share/demo/eval.jsonl"

/* The lines below "model:" for the fused demo pair. */
#define EVAL_WORLD_C2C                                                                             \
    "  model_name: Rosetta\n"                                                                      \
    "  rosetta_config: {base_model: " DEMO_RECEIVER ", teacher_model: " DEMO_SHARER                \
    ", checkpoints_dir: " DEMO_FUSER "}\n"                                                         \
    "  generation_config: {do_sample: false, max_new_tokens: 32}"

/* Writes folder/name, a recipe with these lines below "model:" and these keys of "eval", whose
 * files go to the folder. */
void eval_world_recipe(const char *folder, const char *name, const char *model, const char *eval);

#endif
