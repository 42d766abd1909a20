/* data.h - training data: files of rows, the data types that make chats of them, and chats as rows
 * of ids with labels and sections, tokenised once and kept as plain numbers. In which order they
 * are learnt from, others decide. */
#ifndef C2C_TRAIN_DATA_H
#define C2C_TRAIN_DATA_H

#include "train/network.h"
#include "train/recipe.h"

/* ---- Files (data_files.c) ----------------------------------------------------------------- */

/* Where files of rows may lie; the app knows the environment, the library gets its folders. */
typedef struct data_places {
    const char *const *folders; /* of --data and C2C_DATA, in their order */
    size_t folder_count;
    const char *const *caches; /* of Hugging Face's tools: folders that hold datasets--ORG--NAME */
    size_t cache_count;
} data_places;

/* What is looked for. */
typedef struct data_wanted {
    const char *hub;    /* "ORG/NAME" as published, or NULL */
    const char *config; /* of the published data set, or NULL */
    const char *split;
    const char *path;    /* data_path: a file or folder of the user's own, or NULL */
    bool file_of_config; /* the published files are called as the config, not as the split */
} data_wanted;

/* The path of a file of rows (.jsonl, .json or .csv), to be freed. With a path it is that file, or
 * the split's file in that folder. Else it is looked for in the folders, as ORG/NAME/SPLIT.jsonl,
 * NAME/SPLIT.jsonl, NAME/CONFIG/SPLIT.jsonl, NAME.jsonl and so on, and in the caches.
 * C2C_STATUS_NOT_FOUND: the message says what was expected and where it was looked for; `help` (may
 * be NULL) gets lines that say how to make such a file. */
c2c_status data_file_find(char **path, const data_wanted *wanted, const data_places *places,
                          buffer *help, c2c_error *error);

/* ---- Data types (dataset.c; dataset_*.c) --------------------------------------------------- */

#define ROW_MAX_MESSAGES 4096

/* One row as a chat; zero-initialise. Texts live until the next row or the end. */
typedef struct row_chat {
    arena *memory;
    c2c_message *messages;
    size_t count, capacity;
} row_chat;

/* What became of a row. */
typedef enum row_fate {
    ROW_KEPT = 0,
    /* Left out as the recipe asks. */
    ROW_TOO_LONG,  /* more tokens than max_word_count */
    ROW_FEW_TURNS, /* fewer messages than min_conversation_turns */
    ROW_HELD_OUT,  /* of the share that evaluation keeps */
    /* Dropped: it cannot be learnt from. */
    ROW_BAD,              /* not a row, or without the fields of its type */
    ROW_TEMPLATE,         /* the chat template refuses it */
    ROW_NO_ANSWER,        /* the last message is not an assistant's, or nothing of it is left */
    ROW_LONG_INSTRUCTION, /* what comes before the answer is longer than max_length */
    ROW_NOTHING_FUSED,    /* no token before the answer that could be fused */
    ROW_FATES
} row_fate;

const char *row_fate_text(row_fate fate); /* "longer than max_word_count", ... */

/* A data type: dataset.h, for the files that hold one. */
typedef struct dataset_kind dataset_kind;

/* NULL: there is none of that name; letters may differ in case. */
const dataset_kind *dataset_find(const char *type);
/* Appends the names of all types, with commas between them. */
void dataset_names(buffer *names);
/* Notes the kwargs that the type does not have; an unknown type is an error that lists the others.
 */
c2c_status dataset_check(train_recipe *recipe, c2c_error *error);

/* A row of a data type as messages, as the type's own file makes them. */
c2c_status dataset_row_chat(const dataset_kind *kind, row_chat *chat, const json_value *row,
                            c2c_error *error);
void row_chat_deinit(row_chat *chat);

/* ---- LongBench (longbench_tasks.c) -------------------------------------------------------- */

typedef struct longbench_task {
    const char *name;
    bool e;             /* LongBench-E has it, too */
    const char *prompt; /* with {context} and {input} */
} longbench_task;

const longbench_task *longbench_task_at(size_t i);           /* NULL behind the last one */
const longbench_task *longbench_task_find(const char *name); /* also NAME_e; NULL: none */
/* Appends the prompt with the row's texts in it. */
c2c_status longbench_prompt(buffer *prompt, const longbench_task *task, const json_value *row,
                            c2c_error *error);
/* Of a text of more than `most` tokens only the first and the last most / 2, as text again. */
c2c_status longbench_cut_middle(buffer *prompt, const tokenizer *t, int64_t most, c2c_error *error);

/* ---- Samples (data_encode.c) -------------------------------------------------------------- */

/* The models that read a chat; all tokenizers are the receiver's where align is false. */
typedef struct data_models {
    const c2c_model *receiver;
    const c2c_model *const *sharers;
    size_t sharer_count;
    bool align;
    c2c_align_strategy strategy;
    int64_t max_length;
} data_models;

/* A chat as ids; grows when it is reused. */
typedef struct encoded_chat {
    int32_t *ids; /* [1 + sharers][tokens] where align, else [tokens] */
    int64_t tokens, room;
    int64_t first_label; /* tokens from here on are supervised; padding never is */
    c2c_section *sections;
    size_t section_count, section_room;
    token_list tokens_of_text; /* of `text`, when `encoded` */
    buffer text, rendered;
    bool encoded;
} encoded_chat;

/* Renders messages and encodes the text, into tokens_of_text. A template that refuses them gives
 * ROW_TEMPLATE and `why`. */
c2c_status chat_encode_text(encoded_chat *encoded, const c2c_model *receiver,
                            const json_value *messages, const c2c_chat_options *options,
                            row_fate *fate, c2c_error *why, c2c_error *error);

/* *fate says whether there is a sample; only memory and broken invariants are failures. `why` (may
 * be NULL) gets the reason where there is none. */
c2c_status chat_encode(encoded_chat *encoded, const data_models *models,
                       const c2c_message *messages, size_t count, row_fate *fate, c2c_error *why,
                       c2c_error *error);
void encoded_chat_free(encoded_chat *encoded);

/* ---- A set of samples (data.c) ------------------------------------------------------------ */

typedef struct data_options {
    const char *type; /* as in train_recipe, all three */
    const json_value *kwargs;
    const char *where;
    data_models models;
    data_places places;
    int threads; /* that tokenise; 0: one for each processor */
    /* Told now and then how many rows were read, and which share of the files; false stops, which
     * is C2C_STATUS_CANCELLED. May be NULL. */
    bool (*progress)(void *user, int64_t rows, double share);
    void *progress_user;
} data_options;

typedef struct data_set data_set;

/* Reads all rows and keeps what can be learnt from; the models are needed no longer then. A file
 * that is missing is C2C_STATUS_NOT_FOUND, and `help` (may be NULL) gets lines on how to make one.
 * A set without a single sample is an error that says why rows were dropped. */
c2c_status data_set_open(data_set **set, const data_options *options, buffer *help,
                         c2c_error *error);
void data_set_close(data_set *set);

int64_t data_set_count(const data_set *set);
int64_t data_set_tokens(const data_set *set);              /* positions of all samples */
int64_t data_set_longest(const data_set *set);             /* positions of the longest sample */
size_t data_set_bytes(const data_set *set);                /* of memory */
int64_t data_set_rows(const data_set *set, row_fate fate); /* that met this fate */
/* "FILE: line 17: what was wrong" with the first row of that fate; "" where there is none. */
const char *data_set_reason(const data_set *set, row_fate fate);
/* Appends what became of the rows, as one line of words: "10454 rows: 10321 kept, ...". */
void data_set_describe(const data_set *set, buffer *text);
/* How many tasks of a data type of many files have none, and their names, with commas. */
int data_set_missing(const data_set *set, const char **names);
/* Appends "FILE: line 17", for messages about sample i; "FILE: row 17, line 1" where a line
 * holds several rows. */
void data_set_name(const data_set *set, int64_t i, buffer *name);
/* A checksum of all ids and labels: of equal sets it is equal. */
uint64_t data_set_checksum(const data_set *set);

/* Samples of a batch as the network takes them. Labels and tables lie in the batch, everything else
 * in the set. */
typedef struct data_batch {
    training_sample *samples;
    size_t count, room;
    int32_t *labels;
    int64_t label_room;
    const int32_t **sharer_rows; /* [count][sharers] */
} data_batch;

/* Fills a batch with samples rows[0 .. count-1]; memory grows only for a batch larger than all
 * before. */
c2c_status data_batch_fill(data_batch *batch, const data_set *set, const uint32_t *rows,
                           size_t count, c2c_error *error);
void data_batch_deinit(data_batch *batch);

#endif
