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
    const char *path;                /* and, of several systems, which one */
    size_t system_count;             /* in the file */
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
    int warnings; /* that were printed */
    arena *texts;
} eval_recipe;

/* Reads and checks a recipe, YAML or JSON; of one with several systems, system `index`, which there
 * must be. What it asks for and this program has not is refused by name; a key that nothing here
 * knows is a warning. */
c2c_status eval_recipe_open(eval_recipe *recipe, const char *path, size_t index, c2c_error *error);
void eval_recipe_close(eval_recipe *recipe);

/* ---- Systems (eval_system.c) ----------------------------------------------------------------- */

/* Questions at once: measured (SPEED.md). */
#define EVAL_BATCH 8

typedef struct eval_options { /* of the command line */
    const char *models;
    c2c_compute compute;
    const char *isa; /* see compute.h */
    c2c_model_weights weights;
    c2c_cache_type cache;
    int64_t threads, context;
    int64_t limit; /* questions of each subject; 0: the recipe's */
    int64_t batch; /* questions at once */
    int64_t timed; /* questions that are asked alone, for their times; < 0: a share of all */
    uint64_t seed;
    bool resume;
    const volatile sig_atomic_t *stop; /* ends the run once it is not 0; may be NULL */
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

/* ---- What a question says (eval_wording.c) -----------------------------------------------------
 */

/* The question as the benchmark words it: the prompt, and the chat that asks it. */
c2c_status eval_word_question(buffer *prompt, chat *messages, const eval_system *s,
                              const eval_set *set, const eval_question *q, c2c_error *error);
/* Appends the background prompt with the question, without its options, in place of {question}. */
c2c_status eval_word_background(buffer *out, const char *prompt, const char *question,
                                c2c_error *error);

/* ---- Questions together (eval_slots.c) ---------------------------------------------------------
 */

/* Asks the system all questions of the queue, as many at once as it has sessions. Those that are
 * timed are asked alone, of empty sessions; the others reuse what earlier ones left. */
c2c_status eval_system_ask(eval_system *system, eval_queue *queue, c2c_error *error);

/* ---- Asking (eval_ask.c) -----------------------------------------------------------------------
 */

/* One system and what it answered. Zero-initialise; evaluated_deinit. */
typedef struct evaluated {
    eval_recipe recipe;
    eval_records records;
    char *folder; /* of its files; NULL: none are written */
} evaluated;

/* Opens the system, asks it all questions of the set, which came from `data`, and closes it. */
c2c_status evaluated_ask(evaluated *e, const eval_set *set, const char *data,
                         const eval_options *options, c2c_error *error);
eval_result evaluated_result(const evaluated *e, const eval_set *set);
void evaluated_deinit(evaluated *e);

/* ---- What is printed (eval_show.c) -------------------------------------------------------------
 */

/* Appends the table of systems; each system against the first one; what was not asked or graded;
 * the same figures as an array. */
c2c_status eval_show_table(buffer *out, const eval_result *results, size_t count, c2c_error *error);
c2c_status eval_show_pairings(buffer *out, const eval_result *results, size_t count,
                              c2c_error *error);
void eval_show_notes(buffer *out, const eval_set *set, const eval_result *results, size_t count);
c2c_status eval_show_json(json_out *out, const eval_result *results, size_t count,
                          c2c_error *error);

/* ---- Data (eval_system.c) ----------------------------------------------------------------------
 */

/* The questions that the recipe's choice, or --limit in its place, leaves. */
c2c_status eval_questions_open(eval_set *set, const eval_recipe *recipe, const char *data,
                               const eval_options *options, c2c_error *error);
/* Where a benchmark's files are: the path itself, or the data set's folder in the Hugging Face
 * cache; *path is to be freed. */
c2c_status eval_data_find(char **path, const eval_recipe *recipe, const char *given,
                          c2c_error *error);

#endif
