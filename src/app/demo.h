/* demo.h - inside the app: the shipped pair and its evaluation questions. */
#ifndef C2C_APP_DEMO_H
#define C2C_APP_DEMO_H

#include "app/app.h"

typedef enum demo_kind { DEMO_KNOWN = 0, DEMO_TOLD, DEMO_KINDS } demo_kind;

/* One line of eval.jsonl; texts live as long as the rows. */
typedef struct demo_row {
    json_document *document;
    chat messages;
    const char *question, *answer;
    demo_kind kind;
    const char *recorded[WAY_COUNT]; /* what the Python original answered; or NULL */
} demo_row;

typedef struct demo_rows {
    demo_row *items;
    size_t count, capacity;
} demo_rows;

/* The folder of the pair: `given`, or the first place that has one; *folder is to be freed. */
c2c_status demo_find(char **folder, const char *given, c2c_error *error);
/* Reads at most `limit` rows of `folder`/eval.jsonl; 0: all. */
c2c_status demo_rows_open(demo_rows *rows, const char *folder, int64_t limit, c2c_error *error);
void demo_rows_close(demo_rows *rows);

/* What demo --train is told. */
typedef struct demo_training {
    const char *recipe; /* NULL: recipes/demo_quick.json */
    const char *output; /* gets final/, the fuser */
    const char *isa;    /* see compute.h */
    int64_t threads;
    bool aside; /* shows its lines on standard error */
} demo_training;

/* Trains a fuser for the pair in `folder`, or goes on with that, or does nothing where it is there
 * (demo_train.c). */
c2c_status demo_train(const char *folder, const demo_training *t, c2c_error *error);

/* Answers one row; *reply as in pair_answer. */
c2c_status demo_answer(pair *p, way w, const demo_row *row, answer *a, char **reply,
                       c2c_error *error);
bool demo_is_right(const demo_row *row, const answer *a);

/* Answers `count` questions, of each kind alternately, and prints them for reading
 * (demo_show.c). */
c2c_status demo_show(pair *p, const demo_rows *rows, int64_t count, c2c_error *error);
/* Answers all rows four ways and prints what came out (demo_score.c); `trained`: the fuser was
 * trained here, so that the answers of the shipped one are nothing to compare with. */
c2c_status demo_score(pair *p, const demo_rows *rows, bool json, bool trained, c2c_error *error);

#endif
