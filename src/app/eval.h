/* eval.h - inside the app: evaluation recipes and the systems that they describe. */
#ifndef C2C_APP_EVAL_H
#define C2C_APP_EVAL_H

#include "app/plan_spec.h"
#include "eval/run.h"

/* ---- Recipes (eval_recipe.c) --------------------------------------------------------------- */

#define EVAL_MAX_SUBJECTS 256

/* What a recipe asks of whom. Texts belong to the document. */
typedef struct eval_recipe {
    json_document *document;
    const char *path;
    const char *model_name;          /* as written: a path, "Rosetta", "two_stage", ... */
    const char *name;                /* of the system, in reports */
    const char *writer, *background; /* two stages: who writes first, and what it is asked */
    int64_t background_tokens;
    const char *receiver;
    const char *sharers[C2C_MAX_SHARERS], *fusers[C2C_MAX_SHARERS];
    size_t sharer_count;
    bool aligned, include_response;
    c2c_align_options align;
    c2c_fusion_mode fusion_mode;
    c2c_sampling sampling;
    int64_t max_new_tokens; /* 0: the benchmark's own */
    int64_t max_length;     /* LongBench: longer prompts lose their middle */
    const benchmark *benchmark;
    const char *data; /* eval.data_path; or NULL */
    bool logits, cot, use_template;
    const char *response_text;
    plan_spec plan;
    eval_choice choice;
    const char *subjects[EVAL_MAX_SUBJECTS];
    const char *output;
    arena *texts;
} eval_recipe;

/* Reads and checks a recipe, YAML or JSON. What it asks for and this program has not is refused by
 * name; a key that nothing here knows is a warning. */
c2c_status eval_recipe_open(eval_recipe *recipe, const char *path, c2c_error *error);
void eval_recipe_close(eval_recipe *recipe);

/* ---- Systems (eval_system.c) ----------------------------------------------------------------- */

typedef struct eval_options { /* of the command line */
    const char *models;
    c2c_compute compute;
    int64_t threads, context;
    uint64_t seed;
} eval_options;

/* Models and sessions of one recipe. */
typedef struct eval_system {
    const eval_recipe *recipe;
    const eval_options *options;
    pair writer, answerer;
    bool has_writer;
} eval_system;

c2c_status eval_system_open(eval_system *system, const eval_recipe *recipe,
                            const eval_options *options, c2c_error *error);
void eval_system_close(eval_system *system);
/* An eval_asker; `user` is the system. */
c2c_status eval_system_ask(void *user, const eval_set *set, const eval_question *question,
                           eval_answer *answer, c2c_error *error);

/* Where a benchmark's files are: the path itself, or the data set's folder in the Hugging Face
 * cache; *path is to be freed. */
c2c_status eval_data_find(char **path, const eval_recipe *recipe, const char *given,
                          c2c_error *error);

#endif
