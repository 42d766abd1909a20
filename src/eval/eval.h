/* eval.h - benchmarks: what is asked, what counts as right, and what a run says about a system.
 * How a question is answered is not known here; the program brings its systems along. */
#ifndef C2C_EVAL_H
#define C2C_EVAL_H

#include "formats/formats.h"

/* ---- The letter of a multiple-choice answer (choice.c) -------------------------------------- */

/* What an answer text says: *letter is 'A' .. , or 0 where it names none. `options` is the number
 * of choices: up to four, letters A-D in any case count, as the original reads them; with more, the
 * question's own letters, upper-case only, and neither the article "A" nor the pronoun "I". */
c2c_status choice_extract(char *letter, const char *text, size_t length, int options,
                          c2c_error *error);

/* ---- Mathematical answers (math_grade.c and the other math_*.c) ------------------------------ */

/* Of a longer answer only the end is read. */
#define MATH_MAX_RESPONSE (1 << 20)

typedef struct math_verdict {
    bool right;
    const char *start; /* what was taken for the answer, in the response; NULL: nothing */
    size_t length;
} math_verdict;

/* Grades a response by value against the truth, LaTeX or plain text both: the last \boxed{...},
 * else the rest of the last "Answer:" line, else the last number. Numbers and expressions are
 * compared at a few points, with a relative tolerance of 1e-9. */
c2c_status math_grade(math_verdict *verdict, const char *response, size_t length, const char *truth,
                      size_t truth_length, c2c_error *error);

/* ---- LongBench (bench_longbench.c, long_score.c) ----------------------------------------------
 */

typedef enum long_metric {
    LONG_NONE = 0, /* only predictions are written */
    LONG_F1,       /* of words */
    LONG_ROUGE,    /* ROUGE-L */
    LONG_CLASSES,
    LONG_COUNT,
    LONG_RETRIEVAL,    /* "Paragraph 3" */
    LONG_RETRIEVAL_ZH, /* the same in Chinese */
    LONG_CODE          /* similarity of one line */
} long_metric;

typedef struct long_task {
    const char *name;
    long_metric metric;
    int max_new_tokens;
    bool plain; /* the prompt is used without the chat template */
} long_task;

typedef struct long_texts {
    const char *const *items;
    size_t count;
} long_texts;

const long_task *long_task_find(const char *name);   /* or NULL */
const char *long_task_prompt(const long_task *task); /* with {context} and {input} */
/* The public metric of the task, 0 to 1: the best against any of the answers. */
c2c_status long_score(double *score, const long_task *task, const char *prediction,
                      const long_texts *answers, const long_texts *classes, c2c_error *error);

/* ---- Benchmarks (bench.c, and one bench_NAME.c each) -------------------------------------------
 */

#define BENCH_MAX_CHOICES 10

typedef enum bench_kind {
    BENCH_CHOICE = 0, /* the answer is a letter */
    BENCH_MATH,       /* ... is graded by value */
    BENCH_LONG,       /* ... is scored by its task's metric */
    BENCH_EXACT       /* ... is one text */
} bench_kind;

/* One question. Its texts live as long as the item. */
typedef struct bench_item {
    arena *texts;
    const char *question; /* without its options */
    const char *choices[BENCH_MAX_CHOICES];
    int choice_count;
    const char *truth;           /* NULL: the row is not asked, `skipped` says why; LongBench: "" */
    const char *skipped;         /* "it has no right answer" */
    const char *subject;         /* of the row; NULL: that of its file */
    const char *category;        /* of the row; or NULL */
    const c2c_message *messages; /* a chat in place of the prompt; or NULL */
    size_t message_count;
    /* LongBench */
    const long_task *task;
    const char *context, *row_id;
    long_texts answers, classes;
    int64_t length;
} bench_item;

typedef struct benchmark benchmark;
struct benchmark {
    const char *name;
    const char *hub;     /* the data set's name on Hugging Face; or NULL */
    const char *split;   /* the split that is asked */
    const char *subject; /* where there is only one; NULL: the row's, or the file's name */
    bench_kind kind;
    int letters; /* BENCH_CHOICE: how many options there may be */
    /* A subject's category and the group that it belongs to; either NULL. May be NULL itself. */
    const char *(*category)(const char *subject, const char **group);
    /* Fills an item from a row; C2C_STATUS_BAD_FILE: the row has another form. */
    c2c_status (*read)(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error);
};

const benchmark *benchmark_find(const char *name); /* or NULL */
const benchmark *benchmark_at(size_t i);           /* NULL behind the last */

/* Reads a row; `where` ("FILE: line 3") stands in messages. bench_item_deinit afterwards. */
c2c_status bench_item_read(bench_item *item, const benchmark *b, const json_value *row,
                           const char *where, c2c_error *error);
void bench_item_deinit(bench_item *item);
/* Appends what is asked, as the original words it. */
c2c_status bench_prompt(buffer *out, const benchmark *b, const bench_item *item, bool cot,
                        bool use_template, c2c_error *error);

#endif
