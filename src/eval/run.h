/* run.h - inside the program's reach: questions of a benchmark handed out to whoever asks them,
 * what came out kept as it comes, and the files that a run leaves. */
#ifndef C2C_EVAL_RUN_H
#define C2C_EVAL_RUN_H

#include "eval/eval.h"

/* ---- Questions (questions.c) ------------------------------------------------------------------
 */

typedef struct eval_choice { /* which rows are asked, as the original's recipes say it */
    int64_t interval;        /* every n-th row of a subject; 0 and 1: all */
    int64_t limit;           /* > 0: the first rows of each subject that remain */
    int64_t from, to;        /* only rows from .. to - 1 of a subject, when `ranged` */
    bool ranged;
    const char *const *subjects; /* NULL: all */
    size_t subject_count;
} eval_choice;

typedef struct eval_question {
    bench_item item;
    const char *subject; /* lives as long as the item or the set */
    int64_t id;          /* row of its subject, from 0 */
} eval_question;

typedef struct eval_set {
    const benchmark *benchmark;
    eval_question *items;
    size_t count, capacity;
    arena *names;
    int64_t rows, skipped, malformed; /* rows read; not asked, as they say themselves; unreadable */
    const char *first_skipped;        /* why, of the first: "it has no right answer" */
    char first_malformed[512];        /* the first message */
    int64_t files, bad_files;         /* read; of a folder's, given up */
} eval_set;

/* Reads the rows of a file, or of all files of a folder (JSON, JSON lines, CSV), in order of name.
 * Where some of a folder's names hold the benchmark's split, only those are read. Malformed rows
 * are counted; a file without a single good row is an error, or, in a folder, counted too. */
c2c_status eval_set_open(eval_set *set, const benchmark *b, const char *path,
                         const eval_choice *choice, c2c_error *error);
void eval_set_close(eval_set *set);

/* ---- Answers (records.c) ------------------------------------------------------------------------
 */

/* What a system answers. Zero-initialise; eval_answer_deinit. */
typedef struct eval_answer {
    buffer text;
    buffer background;                   /* text-to-text: what the other model wrote first */
    int64_t input_tokens, new_tokens;    /* of the answer */
    int64_t read_tokens, written_tokens; /* by all models together */
    int64_t kept_tokens;                 /* of the prompt: rows that an earlier question left */
    bool timed;                          /* it was asked alone */
    double ttft_ms, total_ms;            /* where it was */
} eval_answer;

void eval_answer_deinit(eval_answer *answer);

/* One line of the answers file. Texts belong to the record. */
typedef struct eval_record {
    char *subject, *text, *background, *prediction; /* prediction: NULL: none was found */
    int64_t id;
    bool right;
    double score; /* LongBench: the metric; else 0 or 1 */
    bool scored;  /* false: only the prediction is kept */
    bool failed;  /* no answer: `text` says why */
    int64_t input_tokens, new_tokens, read_tokens, written_tokens, kept_tokens;
    bool timed; /* asked alone, on empty sessions: only then its times are known */
    double ttft_ms, total_ms;
    bool known; /* the record is there */
} eval_record;

/* Grades an answer. */
c2c_status eval_record_make(eval_record *record, const eval_set *set, const eval_question *question,
                            const eval_answer *answer, c2c_error *error);
/* Appends its line; takes one apart. */
void eval_record_write(buffer *out, const eval_record *record);
c2c_status eval_record_read(eval_record *record, const json_value *row, const char *where,
                            c2c_error *error);
void eval_record_deinit(eval_record *record);

/* ---- Asking (run.c) ----------------------------------------------------------------------------
 */

typedef struct eval_records {
    eval_record *items; /* [count]: of the set's questions, in its order */
    size_t count;
    int64_t resumed; /* of those, answered by an earlier run */
} eval_records;

void eval_records_deinit(eval_records *records);

/* What is still to be asked. Several questions may be out at once, and their answers may come in
 * any order. */
typedef struct eval_queue eval_queue;

/* The next question, or NULL. Those that are timed come first: such a question (*alone) is to be
 * answered before another one is taken. */
const eval_question *eval_queue_take(eval_queue *queue, bool *alone);
/* Keeps its answer; or, where `failed` is not NULL, that it cannot be answered, and why. Fails with
 * C2C_STATUS_CANCELLED when whoever watches says stop. */
c2c_status eval_queue_put(eval_queue *queue, const eval_question *question,
                          const eval_answer *answer, const char *failed, c2c_error *error);
/* Says that the run was stopped, and how far it came. */
c2c_status eval_queue_stopped(const eval_queue *queue, c2c_error *error);
/* Whose questions they are. */
const eval_set *eval_queue_set(const eval_queue *queue);

/* Asks until the queue is empty. */
typedef c2c_status (*eval_asker)(void *user, eval_queue *queue, c2c_error *error);

/* Called after each answer; false: stop. */
typedef bool (*eval_watcher)(void *user, int64_t done, int64_t total, int64_t scored,
                             double points);

typedef struct eval_run {
    const eval_set *set;
    const char *path;  /* of the answers, written as they come, and put in the set's order at the
                          end; NULL: they are not */
    const char *about; /* one line of JSON that says what is asked of whom: a resumed run's must be
                          the same */
    bool resume;
    int64_t timed; /* questions that are timed, spread over the set */
    eval_asker ask;
    eval_watcher watch; /* may be NULL */
    void *user;
} eval_run;

/* Asks every question that the file does not hold yet. Answers in the file to questions that are
 * not in the set stay there. */
c2c_status eval_run_all(eval_records *records, const eval_run *run, c2c_error *error);

/* ---- Results ----------------------------------------------------------------------------------
 */

typedef struct eval_result {
    const char *name;   /* of the system, in reports */
    const char *model;  /* as the recipe names it */
    const char *method; /* "generate" or "logits" */
    const eval_set *set;
    const eval_records *records;
} eval_result;

double eval_accuracy(const eval_result *result, int64_t *scored);

/* ---- Groups (groups.c) ------------------------------------------------------------------------
 */

typedef enum eval_grouping {
    EVAL_BY_SUBJECT = 0,
    EVAL_BY_SUBCATEGORY, /* a benchmark's categories of subjects, ... */
    EVAL_BY_CATEGORY     /* ... and what these belong to; or the row's own category */
} eval_grouping;

/* Sums over the answers to one group's questions; failed ones are left out. */
typedef struct eval_group {
    const char *name; /* belongs to the set */
    int64_t scored, answered;
    double points, input, output, ratio; /* scores; tokens of prompts and answers, and the sum of
                                            their ratios */
    double median_ttft_ms;               /* of those that were timed */
} eval_group;

typedef struct eval_groups {
    eval_group *items; /* in order of appearance, the same for all systems that were asked a set */
    size_t count;
} eval_groups;

c2c_status eval_groups_make(eval_groups *groups, const eval_result *result, eval_grouping by,
                            c2c_error *error);
void eval_groups_deinit(eval_groups *groups);
double eval_group_share(const eval_group *group); /* of right answers; NaN: nothing was scored */

/* ---- Files (outputs.c) ------------------------------------------------------------------------
 */

/* The original's files, beside each other in `folder`: PREFIX_summary.json, PREFIX_length.json and
 * PREFIX_cot.csv; of LongBench pred/MODEL/TASK.jsonl in place of the last. */
c2c_status eval_write_files(const eval_result *result, const char *folder, const char *prefix,
                            c2c_error *error);
c2c_status eval_write_csv(const eval_result *result, const char *path, c2c_error *error);

/* ---- Uncertainty (statistics.c)
 * -------------------------------------------------------------------- */

typedef struct eval_interval {
    double value, low, high; /* 95% */
} eval_interval;

/* Wilson's interval of `right` in `count`. */
eval_interval eval_share(double right, int64_t count);
/* The mean of differences with a percentile bootstrap of 10,000 samples, drawn by the counter
 * generator: the same numbers give the same interval. */
eval_interval eval_bootstrap(const double *differences, size_t count, c2c_error *error);
/* McNemar's exact test: the chance of a split at least as uneven as `only_a` to `only_b`. */
double eval_mcnemar(int64_t only_a, int64_t only_b);

/* ---- The report (eval_report.c)
 * ---------------------------------------------------------------------- */

/* One self-contained page on one system or several, which were asked the same questions. */
c2c_status eval_report_write(const char *path, const eval_result *results, size_t count,
                             c2c_error *error);
/* The table of the same numbers as text rows for a terminal is the program's: these are they. */
typedef struct eval_summary {
    eval_interval accuracy;
    int64_t scored, failed;
    int64_t timed; /* questions that were asked alone, whose times these are */
    double median_ttft_ms, median_total_ms;
    double read_tokens, written_tokens; /* mean of a question */
} eval_summary;

/* Sorts the values; NaN where there are none. */
double eval_median(double *values, size_t count);
void eval_summarize(eval_summary *summary, const eval_result *result);
/* b against a, question by question. */
typedef struct eval_pairing {
    eval_interval difference; /* b - a */
    int64_t only_a, only_b, both, neither;
    double p;
} eval_pairing;

c2c_status eval_compare(eval_pairing *pairing, const eval_result *a, const eval_result *b,
                        c2c_error *error);

#endif
