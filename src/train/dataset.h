/* dataset.h - for the files that hold data types: what a type is, and what makes writing one short.
 * A new type is one file with a dataset_kind and one line in the table of dataset.c. */
#ifndef C2C_TRAIN_DATASET_H
#define C2C_TRAIN_DATASET_H

#include "train/data.h"

/* What max_word_count counts; tokens, whatever its name says. */
typedef enum word_count {
    WORDS_NONE = 0, /* the type does not have it */
    WORDS_CHAT,     /* of the rendered chat */
    WORDS_CONTENTS  /* of the texts: the first at most half of it, both together all of it */
} word_count;

/* The kwargs of a recipe. */
typedef struct dataset_options {
    const char *split;
    const char *data_path;  /* NULL: where data sets are looked for */
    int64_t num_samples;    /* 0: all */
    int64_t max_word_count; /* -1: any */
    int64_t min_turns;
    const char *task; /* LongBench: one task; NULL: all */
    bool longbench_e, hold_out;
    int64_t max_length; /* LongBench: tokens of a prompt, which is cut in its middle */
} dataset_options;

/* A row on its way to a chat. */
typedef struct dataset_row {
    const json_value *row;
    const dataset_options *options; /* NULL for a row by itself, as all below */
    const char *task;               /* of the file that it is from */
    const c2c_model *receiver;
    c2c_error *error;
} dataset_row;

struct dataset_kind {
    const char *name;         /* "type" in recipes */
    const char *hub, *config; /* where such rows are published; or NULL */
    const char *split;        /* that is read where a recipe does not say */
    const char *const *keys;  /* kwargs beside split, num_samples and data_path; ends with NULL */
    bool by_task;             /* the tasks of LongBench, each a file of its own */
    const char *data_path;    /* where a recipe has none; or NULL */
    word_count words;
    bool filter_first; /* num_samples counts rows that the filters left */
    /* Adds the row's messages; C2C_STATUS_BAD_FILE says which field is not as it should be. */
    c2c_status (*chat)(const dataset_row *row, row_chat *chat);
    /* Whether the row is in this share of the data; NULL: all are. */
    bool (*keep)(const dataset_row *row);
};

/* Reads and checks the kwargs that the type has; `recipe` stands in messages. */
c2c_status dataset_options_read(dataset_options *options, const dataset_kind *kind,
                                const json_value *kwargs, const char *recipe, c2c_error *error);

extern const dataset_kind mmlu_dataset, openbook_dataset;          /* dataset_choices.c */
extern const dataset_kind mmlu_cot_dataset, llm_generated_dataset; /* dataset_answers.c */
extern const dataset_kind openhermes_dataset, messages_dataset;    /* dataset_chats.c */
extern const dataset_kind longbench_dataset;                       /* dataset_longbench.c */

/* ---- For their functions (dataset_text.c) ------------------------------------------------- */

/* A field that is text, or a number as Python writes it; missing, or of another type: an error. */
c2c_status row_get_text(const dataset_row *row, const json_value *object, const char *key,
                        buffer *text);
/* Appends a value as Python's str() has it; false where it is no text or number. */
bool row_value_text(const json_value *value, buffer *text);
/* "expected KEY, WHAT, found ..."; a C2C_STATUS_BAD_FILE. */
c2c_status row_wrong_field(const dataset_row *row, const char *key, const char *what,
                           const json_value *found);

/* Cuts white space off both ends, as Python's str.strip does. */
void text_strip(const char **text, size_t *length);
/* Adds a copy of the text; `strip` cuts its white space off. A text with a NUL is refused. */
c2c_status row_chat_add(row_chat *chat, const dataset_row *row, const char *role, const char *text,
                        size_t length, bool strip);

#endif
