/* demo.h - inside the app: the shipped pair, evaluated by its recipe and shown. */
#ifndef C2C_APP_DEMO_H
#define C2C_APP_DEMO_H

#include "app/eval.h"

/* The folder of the pair: `given`, or the first place that has one; *folder is to be freed. */
c2c_status demo_find(char **folder, const char *given, c2c_error *error);
/* The recipe that came with the pair or with the program; *path is to be freed. */
c2c_status demo_recipe_find(char **path, const char *folder, const char *name, c2c_error *error);

/* ---- Training (demo_train.c) -------------------------------------------------------------- */

/* What demo --train is told. */
typedef struct demo_training {
    const char *recipe; /* NULL: recipes/demo_quick.json */
    const char *output; /* gets final/, the fuser */
    const char *isa;    /* see compute.h */
    int64_t threads;
    bool aside; /* shows its lines on standard error */
} demo_training;

/* Trains a fuser for the pair in `folder`, or goes on with that, or does nothing where it is there.
 */
c2c_status demo_train(const char *folder, const demo_training *t, c2c_error *error);

/* ---- Evaluation (demo_eval.c) ------------------------------------------------------------- */

/* The four ways to an answer, as recipes/demo_eval.yaml calls them. */
typedef enum demo_way { DEMO_RECEIVER = 0, DEMO_SHARER, DEMO_TEXT, DEMO_C2C, DEMO_WAYS } demo_way;

/* The questions, and what came of them. Zero-initialise; demo_results_deinit. */
typedef struct demo_results {
    evaluated ways[DEMO_WAYS];
    eval_set set;
    char *data; /* eval.jsonl */
    double seconds;
    int64_t recorded, as_recorded; /* answers that are recorded beside the rows, and those equal to
                                      them */
    int64_t way_recorded[DEMO_WAYS], way_as_recorded[DEMO_WAYS];
} demo_results;

/* Asks every system of the recipe; models are folders of `folder`, the fuser too unless `fuser`
 * names another. */
c2c_status demo_evaluate(demo_results *results, const char *folder, const char *fuser,
                         const eval_options *options, c2c_error *error);
void demo_results_deinit(demo_results *results);

/* ---- What is printed (demo_show.c) -------------------------------------------------------- */

/* Who they are. */
c2c_status demo_show_models(const char *folder, const eval_options *options, c2c_error *error);
/* `count` questions, of each kind alternately, with their answers. */
c2c_status demo_show_questions(const demo_results *results, int64_t count, c2c_error *error);
/* The table of the evaluation and what it says. `trained`: the fuser was trained here, so that the
 * answers of the shipped one are nothing to compare with. */
c2c_status demo_show_table(const demo_results *results, bool trained, c2c_error *error);
c2c_status demo_show_json(const demo_results *results, c2c_error *error);

#endif
