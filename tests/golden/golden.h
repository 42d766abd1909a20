/* golden.h - the golden runner: compares this library with recorded numbers. The folder's layout is
 * read from its files; nothing about a case is known beforehand, so that any folder of the same
 * layout can be run. A case ends as PASS, as FAIL, or as SKIP where not_built_yet.txt allows its
 * kind. */
#ifndef C2C_GOLDEN_H
#define C2C_GOLDEN_H

#include "session/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Runs and cases (report.c) ------------------------------------------------------------ */

/* One line of not_built_yet.txt: "CASES: KIND # reason". A case whose name matches the glob CASES
 * may be skipped when its kind is KIND, or when the library's message holds KIND. */
typedef struct skip_rule {
    char *cases, *kind; /* kind: "" allows any */
    char *line;         /* as written, for the report */
} skip_rule;

typedef struct golden_run {
    const char *folder;
    int threads; /* of the first run of a case; others are fixed */
    bool queue;  /* the first run uses the queue backend */
    skip_rule *rules;
    size_t rule_count;
    int passed, failed, skipped;
} golden_run;

/* Reads the list of what is not built yet; false after a message on stderr. */
bool skip_rules_read(golden_run *run, const char *path);
void skip_rules_free(golden_run *run);

typedef struct golden_case {
    golden_run *run;
    char name[512];
    int failures;
    char why[2048]; /* the first failure, or the reason of the skip */
    bool skipped;
    double worst; /* largest |a - b| / max(1, |b|) seen; < 0: no numbers were compared */
} golden_case;

void case_begin(golden_case *c, golden_run *run, const char *name, ...) C2C_PRINTF(3, 4);
void case_fail(golden_case *c, const char *format, ...) C2C_PRINTF(2, 3);
/* This build cannot run the case: a skip where the list allows it, else a failure. `kind` says
 * what is missing ("model_type gemma3"); `message` is the library's, or "". */
void case_unsupported(golden_case *c, const char *kind, const char *message);
/* A call of the library that failed: case_unsupported, or case_fail for any other status. */
void case_status(golden_case *c, c2c_status status, const char *kind, const c2c_error *error);
/* The one skip that needs no rule: a real tokenizer whose folder is not there. */
void case_absent(golden_case *c, const char *format, ...) C2C_PRINTF(2, 3);
/* Prints the case's line and counts it. */
void case_end(golden_case *c);

/* ---- Files (files.c) ---------------------------------------------------------------------- */

/* The names in a folder, sorted, without those that start with a dot. NULL: it cannot be read. */
char **names_list(const char *folder, size_t *count);
void names_free(char **names, size_t count);
bool text_ends(const char *text, const char *end);
/* count * size zeroed bytes; ends the program when there are none. */
void *memory_get(size_t count, size_t size);
/* "FOLDER/NAME", ends the program when out of memory. */
char *path_make(const char *folder, const char *name);
/* The string at PATH's member KEY (two levels with "a.b"); "" where it is missing. */
void json_text_read(const char *path, const char *key, char *text, size_t size);

/* ---- Comparing (compare.c) ---------------------------------------------------------------- */

/* A tensor of the file, f32 and of exactly this shape; NULL after case_fail. */
const tensor *expected_f32(golden_case *c, const tensor_file *file, const char *name, int rank,
                           const int64_t *shape);
/* A tensor of integers, [1, *count] (or [rows, 2] as one list), as new int32_t; NULL after
 * case_fail. */
int32_t *expected_ids(golden_case *c, const tensor_file *file, const char *name, int64_t *count);

/* Rows in the order of the tensor's elements; rows [.., N, features] that `padding` (of N, or NULL)
 * marks are left out. */
void compare_rows(golden_case *c, const char *name, const tensor *expected, const float *got,
                  const bool *padding);
/* A cache [1, G, N, D] with rows [N][G * D], which has no rows for positions that are padding. */
void compare_cache(golden_case *c, const char *name, const tensor *expected, const float *got,
                   const bool *padding);
/* Equal lists of ids. */
void compare_ids(golden_case *c, const char *name, const int32_t *expected, size_t expected_count,
                 const int32_t *got, size_t got_count);
/* Equal texts; `what` names row and field. */
void compare_text(golden_case *c, const char *what, const char *expected, size_t expected_length,
                  const char *got, size_t got_length);

/* ---- One run of a prompt (numbers.c) ------------------------------------------------------ */

/* What is asked. */
typedef struct prompt_job {
    c2c_plan plan;
    int64_t last_rows; /* tokens of the last section */
    int64_t rows;      /* tokens of the receiver that are not padding */
    const int32_t *decode_ids;
    int64_t decode_count;
    int64_t greedy_limit;
    c2c_fusion_mode fusion_mode;
    bool include_response;
} prompt_job;

/* The pairs of a session; pair_count may be 0. */
typedef struct prompt_models {
    const c2c_model *receiver;
    const c2c_pair *pairs;
    size_t pair_count;
} prompt_models;

/* What came out. */
typedef struct prompt_numbers {
    int layers;
    int64_t rows, features, vocabulary, last_rows, decode_count;
    float *logits;        /* [last_rows, V] */
    float *keys, *values; /* [layers][rows][features] */
    float *decode_logits; /* [decode_count, V] */
    int32_t *greedy;      /* [greedy_count] */
    int64_t greedy_count;
    c2c_finish finish;
} prompt_numbers;

/* Prefill, the receiver's cache, decoding of the given ids; then from the start again: greedy. */
c2c_status prompt_numbers_make(prompt_numbers *numbers, const prompt_models *models,
                               const prompt_job *job, int chunk, c2c_error *error);
void prompt_numbers_free(prompt_numbers *numbers);
/* The same bits, as `what` promises. */
void compare_numbers(golden_case *c, const char *what, const prompt_numbers *first,
                     const prompt_numbers *again);

/* ---- What a file asks (recorded.c) -------------------------------------------------------- */

/* A job with the memory behind it, and what must come out that is not a tensor of numbers. */
typedef struct recorded_job {
    prompt_job job;
    int32_t *ids, *sharer_ids, *decode_ids, *greedy;
    const int32_t **sharer_rows; /* of sharer_ids, for each sharer */
    int64_t greedy_count;
    c2c_section *sections;
    bool *padding; /* [tokens] of the receiver, or NULL: none */
} recorded_job;

/* False after case_fail. `sharers` is the number of sharers, 0 for a model alone; `aligned` files
 * have masks and no decode_ids. */
bool recorded_job_read(golden_case *c, const tensor_file *file, size_t sharers, bool aligned,
                       recorded_job *r);
void recorded_job_free(recorded_job *r);
/* All but the last token fused with every sharer: what a plan without sections means. */
bool recorded_job_is_usual(const recorded_job *r, size_t sharers);
/* case_fail for every tensor of the file that is not compared, and would pass whatever it holds. */
void recorded_names_check(golden_case *c, const tensor_file *file, int layers, size_t sharers,
                          bool aligned);

/* ---- Engine and models of a case (world.c) ------------------------------------------------ */

/* The folders of one case. */
#define MAX_SHARERS 8
typedef struct case_paths {
    char *receiver, *sharers[MAX_SHARERS], *fusers[MAX_SHARERS];
    size_t count; /* sharers and their fusers; 0: a model alone */
} case_paths;

void case_paths_free(case_paths *paths);

/* How a case is run. All ways must give the same bits. */
typedef struct way {
    const char *name;
    bool queue;
    int threads, chunk;
    const char *config; /* name of the file used as the receiver's config.json; NULL: its own */
} way;

typedef struct world {
    c2c_engine *engine;
    c2c_model *receiver, *sharers[MAX_SHARERS];
    c2c_fuser *fusers[MAX_SHARERS];
    c2c_pair pairs[MAX_SHARERS];
    size_t count;
    char *links; /* folder of links that stand in for the receiver's, or NULL */
} world;

/* Opens what the paths name. On C2C_STATUS_UNSUPPORTED `kind` says of what kind the missing thing
 * is. */
#define KIND_SIZE 256
c2c_status world_open(world *w, const way *how, const case_paths *paths, char kind[KIND_SIZE],
                      c2c_error *error);
void world_close(world *w);
/* "projector CLASS" of a fuser folder. */
void fuser_kind(const char *folder, char kind[KIND_SIZE]);

/* ---- Kinds of cases ----------------------------------------------------------------------- */

/* Numbers of the file `expected` (case_numbers.c). */
typedef struct numbers_case {
    case_paths paths;
    c2c_fusion_mode fusion_mode;
    bool include_response, aligned;
} numbers_case;
void numbers_case_run(golden_case *c, const numbers_case *numbers, const char *expected);

void models_run(golden_run *run, const char *folder);   /* case_folders.c */
void fusers_run(golden_run *run, const char *folder);   /* case_folders.c */
void aligned_run(golden_run *run, const char *folder);  /* case_folders.c */
void alignments_run(golden_run *run, const char *path); /* case_align.c */
void aligned_messages_run(golden_run *run, const char *folder, const char *name);
void tokenizers_run(golden_run *run, const char *folder);   /* case_text.c */
void demo_pair_run(golden_run *run, const char *folder);    /* case_other.c */
void projectors_run(golden_run *run, const char *folder);   /* case_projectors.c */
void train_cases_run(golden_run *run, const char *folder);  /* case_train.c */
void evaluation_run(golden_run *run, const char *folder);   /* case_evaluation.c */
void chat_rows_run(golden_case *c, const json_value *rows); /* case_chats.c, as the next two */
void token_rows_run(golden_case *c, const json_value *rows);
void collated_run(golden_case *c, const json_value *root);
/* Cases that no code here runs yet, one for each entry of the folder, or for the file itself. */
void not_built_run(golden_run *run, const char *path);

/* Encodings and chats of one tokenizer_expected.json or tokenizers/NAME.json. */
void text_cases_run(golden_run *run, const char *name, const char *expected_path,
                    const char *tokenizer_folder);

#endif
