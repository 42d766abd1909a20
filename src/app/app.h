/* app.h - the `c2c` program: verbs and their options, one way to answer, and what is printed.
 * Answers go to standard output, everything else to standard error. */
#ifndef C2C_APP_H
#define C2C_APP_H

#include "formats/formats.h"

#include <signal.h>

/* Exit statuses. */
enum { APP_OK = 0, APP_FAILED = 1, APP_USAGE = 2 };

/* ---- Options (options.c) ------------------------------------------------------------------ */

typedef enum option_kind {
    OPTION_FLAG = 0, /* target: bool */
    OPTION_TEXT,     /* target: const char *; any text, even one that looks like an option */
    OPTION_PATH,     /* target: const char * */
    OPTION_PATHS,    /* target: option_list; may be given several times */
    OPTION_INTEGER,  /* target: int64_t, within low .. high */
    OPTION_REAL,     /* target: double, within least .. most */
    OPTION_CHOICE    /* target: int, an index into choices */
} option_kind;

#define OPTION_LIST_MAX C2C_MAX_SHARERS

typedef struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
} option_list;

/* One row of a verb's table. The target holds the default before parsing. */
typedef struct option {
    const char *name;  /* "--ctx" or "-n" */
    const char *value; /* what its value is called in help, such as "N"; NULL for a flag */
    option_kind kind;
    void *target;
    int64_t low, high;          /* OPTION_INTEGER */
    double least, most;         /* OPTION_REAL */
    const char *const *choices; /* OPTION_CHOICE, ends with NULL */
    bool required;
    const char *shown; /* the default in words; NULL: the target's value, "": none is shown */
    const char *help;
} option;

#define OPTIONS_MAX 64

typedef struct option_set {
    const option *options;
    size_t count;        /* <= OPTIONS_MAX */
    const char *operand; /* "PATH", the one required argument without a name; or NULL */
    bool operand_optional;
    const char **operand_target;
    const char *second; /* the operand after it, if there is one */
    const char **second_target;
} option_set;

typedef enum options_outcome { OPTIONS_READY = 0, OPTIONS_HELP, OPTIONS_WRONG } options_outcome;

/* Reads argv[0 .. argc-1], "--name value" and "--name=value". Targets point into argv afterwards.
 * OPTIONS_WRONG fills *error; OPTIONS_HELP: --help was met. */
options_outcome options_parse(const option_set *set, int argc, char *const *argv, c2c_error *error);
/* Appends a table of all options with their defaults, --help among them. */
void options_help(const option_set *set, buffer *out);

/* ---- Verbs (verb.c; the table is in main.c) -------------------------------------------- */

typedef struct verb verb;

/* A verb is one file and one line in the table of main.c. */
struct verb {
    const char *name;
    const char *usage;   /* what follows "c2c NAME"; may be "" */
    const char *summary; /* one line */
    const char *notes;   /* what its --help says below the options; may be NULL */
    int (*run)(const verb *v, int argc, char *const *argv); /* after the name; an exit status */
};

extern const verb run_verb, chat_verb, demo_verb, train_verb, eval_verb, inspect_verb, convert_verb,
    bench_verb;

/* True: go on. False: *status is what the verb returns, after help or the usage error. */
bool verb_options(const verb *v, const option_set *set, int argc, char *const *argv, int *status);
/* Prints a text on standard output and frees it; returns the exit status. */
int verb_print(buffer *text);
/* One line saying what is wrong, then the verb's usage, on standard error; returns APP_USAGE. */
int verb_wrong_usage(const verb *v, const char *format, ...) C2C_PRINTF(2, 3);

/* ---- Output (output.c) -------------------------------------------------------------------- */

/* "c2c: MESSAGE" on standard error. */
void app_message(const char *format, ...) C2C_PRINTF(1, 2);
/* "c2c: warning: MESSAGE" there; a c2c_log_callback. */
void app_warning(void *user, const char *message);
/* Prints the error's message; returns APP_FAILED. */
int app_failed(const c2c_error *error);

/* Writes to standard output and flushes. A full disk or a reader that left is an error. */
c2c_status output_write(const char *text, size_t length, c2c_error *error);
/* The same for a whole buffer, which fails when the buffer has. */
c2c_status output_buffer(const buffer *text, c2c_error *error);
/* Columns of the terminal that `stream` is, or `fallback` where it is none. */
int output_columns(int stream, int fallback);
/* Checks a text from the command line; `what` ("-p") stands in the message. */
c2c_status text_check_utf8(const char *text, const char *what, c2c_error *error);

/* JSON as it is printed: commas are kept right here. `key` is NULL inside a list. */
typedef struct json_out {
    buffer text;
    bool comma;
} json_out;

void json_out_open(json_out *o, const char *key, char bracket); /* '{' or '[' */
void json_out_close(json_out *o, char bracket);                 /* '}' or ']' */
void json_out_text(json_out *o, const char *key, const char *text, size_t length);
void json_out_integer(json_out *o, const char *key, int64_t value);
void json_out_real(json_out *o, const char *key, double value); /* not finite: null */
void json_out_bool(json_out *o, const char *key, bool value);
void json_out_null(json_out *o, const char *key);

/* ---- Tables (table.c) --------------------------------------------------------------------- */

/* Cells of text in aligned columns, as wide as what is in them. */
typedef struct table {
    const char *const *titles; /* NULL: none */
    const char *align;         /* 'l' or 'r' for each column */
    size_t columns;
    char **cells; /* row by row */
    size_t count, capacity;
    bool failed;
} table;

void table_init(table *t, const char *const *titles, const char *align);
void table_add(table *t, const char *format, ...) C2C_PRINTF(2, 3); /* the next cell */
/* Appends the table. Its last column is broken at words to end before column `width`. */
void table_write(const table *t, int indent, int width, buffer *out);
void table_deinit(table *t);

/* Columns that `length` bytes of UTF-8 take on a terminal. */
int text_columns(const char *text, size_t length);
/* Appends a text whose control characters have become spaces: files name things at will. */
void text_append_printable(buffer *out, const char *text, size_t length);

/* ---- Progress (progress.c) ---------------------------------------------------------------- */

/* A bar on standard error, only when that is a terminal. */
typedef struct progress {
    bool shown;
    const char *label;
    int64_t total;
    double started, drawn;
} progress;

void progress_begin(progress *p, const char *label, int64_t total);
void progress_update(progress *p, int64_t done);
void progress_end(progress *p); /* takes the bar away */
/* Appends one line of at most `width` columns, without line end. */
void progress_line(buffer *out, const char *label, int64_t done, int64_t total, double seconds,
                   int width);

/* ---- Chats (chat.c) ----------------------------------------------------------------------- */

/* Messages that own their texts. Zero-initialise; chat_deinit. */
typedef struct chat {
    c2c_message *messages;
    size_t count, capacity;
    arena *texts;
} chat;

c2c_status chat_add(chat *c, const char *role, const char *content, c2c_error *error);
/* Adds each {role, content} of a list; `where` stands in messages. */
c2c_status chat_add_json(chat *c, const json_value *list, const char *where, c2c_error *error);
/* Adds the list that a file holds. With `system` not NULL, a system message of it comes first
 * unless the list begins with one. */
c2c_status chat_add_file(chat *c, const char *path, const char *system, c2c_error *error);
/* Takes the last message away. */
void chat_drop_last(chat *c);
/* Makes `system` the first message, in place of a system message that is there; NULL: none. */
c2c_status chat_set_system(chat *c, const char *system, c2c_error *error);
/* Adds the messages of another chat. */
c2c_status chat_add_chat(chat *c, const chat *from, c2c_error *error);
/* Appends the list of {role, content} that chat_add_file reads. */
void chat_write_json(const chat *c, json_out *out);
/* The content of the last user message; NULL when there is none. */
const char *chat_last_user(const chat *c);
/* Adds the messages of `from` with a turn in front: user `ask`, assistant `reply`. A system
 * message stays first, where templates look for it. */
c2c_status chat_add_after_turn(chat *c, const char *ask, const char *reply, const chat *from,
                               c2c_error *error);
void chat_deinit(chat *c);

/* ---- Answers (answer.c, pair.c) ----------------------------------------------------------- */

/* What was answered and how long it took. Zero-initialise; answer_deinit. */
typedef struct answer {
    buffer text;
    int32_t *ids; /* the end-of-sequence id included */
    size_t id_count, id_capacity;
    int64_t prompt_tokens;
    int64_t kept_tokens;   /* of the prompt, whose rows were there already */
    int64_t sharer_tokens; /* that the sharers read for it, all of them together */
    c2c_finish finish;
    double load_ms, ttft_ms, total_ms;
    double decode_tok_s; /* of the tokens after the first; 0 when there are none */
} answer;

void answer_deinit(answer *a);
const char *answer_finish_name(const answer *a); /* "stop", "length" or "interrupted" */
/* The object that --json prints; `key` as in json_out. */
void answer_write_json(const answer *a, json_out *out, const char *key);

typedef struct plan_spec plan_spec; /* plan_spec.h */

/* Called with each piece of text as it comes; a failure ends the answer. */
typedef c2c_status (*answer_stream)(void *user, const char *text, size_t length, c2c_error *error);

typedef struct question {
    const chat *messages;
    const char *raw; /* a text that is used without template; NULL: the messages */
    c2c_thinking thinking;
    const c2c_moment *now;        /* for templates that show the date; NULL: none */
    const plan_spec *plan;        /* of the fused answer; NULL: all but the last token is fused */
    const c2c_sampling *sampling; /* NULL: greedy */
    int64_t max_new_tokens;
    const char *background; /* text-to-text: what the sharer is asked first */
    int64_t background_tokens;
    answer_stream stream; /* may be NULL */
    void *user;
    const char *response; /* what the answer begins with: it ends the prompt, as its last section;
                             or NULL */
    int letters; /* > 0: no answer is written; its text is the likeliest of " A", " B", ... */
    bool turn;   /* goes on with what the session knows of an earlier question */
    bool whole;  /* refused where the context is too short for the longest answer */
    const volatile sig_atomic_t *stop; /* ends the answer once it is not 0; may be NULL */
} question;

/* The four ways to an answer. */
typedef enum way { WAY_RECEIVER = 0, WAY_SHARER, WAY_TEXT, WAY_C2C, WAY_COUNT } way;

extern const char *const way_keys[WAY_COUNT];  /* in JSON: "receiver", "sharer", "text", "c2c" */
extern const char *const way_names[WAY_COUNT]; /* "receiver alone", ... */

typedef struct pair_settings {
    const char *receiver;
    const char *const *sharers, *const *fusers; /* [sharer_count]; 0: the receiver alone */
    size_t sharer_count;
    const char *models;        /* folder in which names are looked up first; or NULL */
    const char *chat_template; /* for all models; or NULL */
    c2c_compute compute;
    int64_t threads, context; /* 0: the library's default */
    const char *isa;          /* or NULL */
    c2c_model_weights weights;
    c2c_cache_type cache;
    c2c_fusion_mode fusion_mode;
    bool include_response;
    bool keep_clean;                /* there will be turns */
    size_t batch;                   /* sessions of each way that answer together; 0: 1 */
    const c2c_align_options *align; /* NULL: the models must have one tokenizer */
} pair_settings;

/* Everything that answering needs, opened once. Zero-initialise; pair_close. Where a sharer writes
 * (WAY_SHARER, WAY_TEXT), it is the first one. */
typedef struct pair {
    c2c_engine *engine;
    c2c_model *receiver, *sharers[C2C_MAX_SHARERS];
    c2c_fuser *fusers[C2C_MAX_SHARERS];
    size_t sharer_count;
    c2c_session_options options;
    const c2c_align_options *align;
    size_t batch;                    /* sessions that are wanted */
    c2c_batch *sessions[WAY_COUNT];  /* opened when first needed; none for WAY_TEXT */
    size_t session_count[WAY_COUNT]; /* that there was memory for */
    double engine_ms, receiver_ms, session_ms[WAY_COUNT];
    double sharer_ms[C2C_MAX_SHARERS], fuser_ms[C2C_MAX_SHARERS];
} pair;

c2c_status pair_open(pair *p, const pair_settings *settings, c2c_error *error);
void pair_close(pair *p);
/* Models that are not aligned all get the receiver's ids, which must mean the same to them;
 * `remedy` ends the message where they do not. */
c2c_status pair_check_tokens(const c2c_model *receiver, const c2c_model *sharer, const char *remedy,
                             c2c_error *error);
/* Opens the sessions of a way but WAY_TEXT, unless they are open; as many as there is memory for.
 */
c2c_status pair_need(pair *p, way w, c2c_error *error);
/* Closes all sessions; those that are needed later are `batch` of each way. */
void pair_set_batch(pair *p, size_t batch);
/* Answers a question on an empty session: the one path that run, --compare and demo share. Of
 * WAY_TEXT, *reply (may be NULL, else to be freed) is what the sharer wrote. */
c2c_status pair_answer(pair *p, way w, const question *q, answer *a, char **reply,
                       c2c_error *error);

#endif
