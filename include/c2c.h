/* c2c.h - Cache-to-Cache in C: two language models talk through their KV caches.
 *
 * A *receiver* answers; a *sharer* only reads the prompt. A *fuser* (learned projectors, one per
 * mapped receiver layer) turns the sharer's cache into the receiver's (arXiv 2510.03215).
 *
 *     engine  -> owns the compute backend and its threads
 *     model   -> one Hugging Face folder: weights, tokenizer, chat template. Immutable.
 *     fuser   -> projectors and layer map of one (receiver, sharer) pair. Immutable.
 *     session -> one conversation: the cache rows of the receiver and of each sharer.
 *
 * From one end to the other: c2c_engine_open, c2c_model_open for both, c2c_fuser_open (or _new),
 * c2c_session_open; then for every question c2c_model_render, c2c_model_encode,
 * c2c_session_prefill, c2c_session_generate. For the next turn of a chat, c2c_session_extend takes
 * the place of the prefill. examples/ has whole programs.
 *
 * Lifetimes: close in the reverse order of opening (sessions, fusers, models, engine). What is
 * passed to a function is read during the call only, but for engines, models and fusers, which stay
 * in use by what was opened with them. What a function gives in a `**` belongs to the caller, who
 * frees it with what the comment names. Closing or freeing NULL does nothing.
 *
 * Threads: models and fusers never change, and may be used by any number of sessions and threads at
 * once. Models may be opened on several threads at once, too. A session serves one thread at a
 * time. Callbacks are called on the thread that called the function, before it returns.
 *
 * Errors: every function that can fail returns a c2c_status and fills the caller's c2c_error, which
 * may be NULL; on success it is left alone. A failed open leaves its output NULL and nothing
 * behind. Other pointers may be NULL only where it is said; elsewhere NULL gives
 * C2C_STATUS_INVALID_ARGUMENT, as does a value that an enum does not have. Functions without a
 * status trust their caller. Options may be NULL, which means the defaults: unless it is said
 * otherwise, those of a structure that is all zero.
 *
 * The library never prints, never exits, and never reads the environment; the one exception is a
 * broken invariant of its own, which ends the program with its place in the source. It reads a
 * clock only to measure and date what training does.
 * All texts are UTF-8; lengths and sizes are in bytes unless they are said to be tokens or rows.
 */
#ifndef C2C_H
#define C2C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define C2C_API __attribute__((visibility("default")))
#else
#define C2C_API
#endif

/* What this header belongs to; c2c_version() is that of the library in use. Before 1.0.0 a change
 * of the second number may change the functions and structures below. */
#define C2C_VERSION "0.1.0"

/* ---- Status ------------------------------------------------------------------------------- */

typedef enum c2c_status {
    C2C_STATUS_OK = 0,
    C2C_STATUS_INVALID_ARGUMENT, /* the caller's argument cannot be used */
    C2C_STATUS_NOT_FOUND,        /* no such file or folder */
    C2C_STATUS_IO,               /* the system refused to open, read, map or write */
    C2C_STATUS_BAD_FILE,         /* a file's content breaks its format, or lies */
    C2C_STATUS_MISMATCH,         /* files are good but do not fit each other */
    C2C_STATUS_UNSUPPORTED,      /* known, but not something this build can run */
    C2C_STATUS_OUT_OF_MEMORY,    /* memory, or what is asked for would not fit */
    C2C_STATUS_CONTEXT_FULL,     /* more tokens than the session has rows for */
    C2C_STATUS_CANCELLED         /* the caller's own callback asked to stop */
} c2c_status;

typedef struct c2c_error {
    c2c_status code;
    char message[1024]; /* one line: file, key or tensor, expected, found, what to do */
} c2c_error;

/* The name of a status, such as "bad file"; never NULL. */
C2C_API const char *c2c_status_name(c2c_status status);

/* The library's version, such as "0.1.0"; never NULL. */
C2C_API const char *c2c_version(void);

/* Frees a text or a list of ids that this library gave. */
C2C_API void c2c_free(void *memory);

/* ---- Engine ------------------------------------------------------------------------------- */

typedef struct c2c_engine c2c_engine;

/* Called with a warning: one line of UTF-8, without line end, valid during the call. It is called
 * on the thread whose call found something to say, so on several threads at once when they open
 * things at once. */
typedef void (*c2c_log_callback)(void *user, const char *message);

typedef struct c2c_engine_options {
    int threads;          /* 0: one per available processor. Results do not depend on it. */
    c2c_log_callback log; /* NULL: warnings are dropped */
    void *log_user;
    const char *isa; /* the CPU's kernels by name, as `c2c inspect --cpu` lists them; NULL: the
                        fastest that the processor can run. Kernels differ in the order of sums. */
} c2c_engine_options;

/* One engine serves everything in a program; models that work together need the same one. */
C2C_API c2c_status c2c_engine_open(c2c_engine **engine, const c2c_engine_options *options,
                                   c2c_error *error);
C2C_API void c2c_engine_close(c2c_engine *engine);

/* ---- Models ------------------------------------------------------------------------------- */

typedef struct c2c_model c2c_model;

typedef enum c2c_compute {
    C2C_COMPUTE_AUTO = 0, /* bf16 when the weights are bf16, else f32 */
    C2C_COMPUTE_F32,      /* f32 products: exact, for comparing numbers */
    C2C_COMPUTE_BF16      /* inputs of matrix products rounded to bf16, sums in f32 */
} c2c_compute;

typedef enum c2c_model_weights {
    C2C_MODEL_WEIGHTS_STORED = 0, /* as they are in the files, mapped: 8-bit integers, too */
    C2C_MODEL_WEIGHTS_INT8        /* matrices as 8-bit integers, made when the model is opened */
} c2c_model_weights;

typedef struct c2c_model_options {
    c2c_compute compute;
    c2c_model_weights weights;
    const char *chat_template; /* path of a Jinja template used instead of the folder's; or NULL */
} c2c_model_options;

/* Opens a Hugging Face model folder: config.json, model*.safetensors, tokenizer.json, a chat
 * template. Weights are mapped, not copied, so the files must not be changed while it is open. */
C2C_API c2c_status c2c_model_open(c2c_model **model, c2c_engine *engine, const char *folder,
                                  const c2c_model_options *options, c2c_error *error);
C2C_API void c2c_model_close(c2c_model *model);

typedef struct c2c_model_info {
    const char *family;      /* "qwen3"; valid while the model is open, as every text here */
    const char *folder;      /* as given to c2c_model_open */
    c2c_compute compute;     /* what AUTO became */
    int layers;              /* decoder layers, L */
    int embedding_size;      /* E */
    int feed_forward_size;   /* F */
    int query_heads;         /* H */
    int kv_heads;            /* G */
    int head_dim;            /* D */
    int vocabulary_size;     /* V: rows of the embedding matrix */
    int64_t context_length;  /* tokens that the model was made for */
    int64_t parameters;      /* tied weights counted once */
    int64_t weight_bytes;    /* bytes of all mapped weights */
    int64_t cache_row_bytes; /* bytes of keys and values of one token, all layers, as sessions keep
                                them by themselves */
} c2c_model_info;

/* Fills *info. */
C2C_API void c2c_model_describe(const c2c_model *model, c2c_model_info *info);

/* ---- Text --------------------------------------------------------------------------------- */

typedef struct c2c_message {
    const char *role;    /* "system", "user" or "assistant" */
    const char *content; /* UTF-8, NUL-terminated */
} c2c_message;

typedef enum c2c_thinking {
    C2C_THINKING_UNSET = 0, /* enable_thinking is not defined in the template */
    C2C_THINKING_OFF,       /* enable_thinking = false */
    C2C_THINKING_ON         /* enable_thinking = true */
} c2c_thinking;

/* A moment as a clock on the wall shows it. The library has no clock of its own. */
typedef struct c2c_moment {
    int64_t unix_seconds; /* since 1970 in Greenwich */
    int32_t utc_offset;   /* seconds that the wall is ahead of Greenwich */
} c2c_moment;

typedef struct c2c_chat_options {
    bool add_generation_prompt; /* end with the opening of the assistant's turn */
    c2c_thinking thinking;
    /* What strftime_now tells a template that writes the date into its prompt; NULL: the template
     * finds it undefined. All turns of a conversation need the same one: a prompt with another
     * date has to be read again from there on. */
    const c2c_moment *now;
} c2c_chat_options;

/* Renders a chat with the model's template: *length bytes at *text, and a NUL behind them; free it
 * with c2c_free. Without options it ends with the opening of the assistant's turn. A template that
 * raises an error gives C2C_STATUS_INVALID_ARGUMENT and its own message. */
C2C_API c2c_status c2c_model_render(const c2c_model *model, const c2c_message *messages,
                                    size_t message_count, const c2c_chat_options *options,
                                    char **text, size_t *length, c2c_error *error);

/* `length` bytes of text to token ids. Special tokens written in the text become their ids; none
 * are added unless add_special is true (then as tokenizer.json's post-processor says). `text` may
 * be NULL when it is empty. Free *ids with c2c_free. */
C2C_API c2c_status c2c_model_encode(const c2c_model *model, const char *text, size_t length,
                                    bool add_special, int32_t **ids, size_t *count,
                                    c2c_error *error);

/* Token ids to text; bytes that are not UTF-8 become U+FFFD, ids that the vocabulary lacks give
 * nothing. With skip_special, special tokens give none, either. `ids` may be NULL when there are
 * none. *text has a NUL behind its *length bytes; free it with c2c_free. */
C2C_API c2c_status c2c_model_decode(const c2c_model *model, const int32_t *ids, size_t count,
                                    bool skip_special, char **text, size_t *length,
                                    c2c_error *error);

/* ---- Fusers ------------------------------------------------------------------------------- */

typedef struct c2c_fuser c2c_fuser;

/* Opens a fuser folder: projector_<i>.{json,safetensors|pt} and projector_config.json, in `folder`
 * itself or in its final/. Every shape is checked against the two models, which must stay open.
 * Where the recipe beside the files (config.json) names other models, that is a warning. */
C2C_API c2c_status c2c_fuser_open(c2c_fuser **fuser, const c2c_model *receiver,
                                  const c2c_model *sharer, const char *folder, c2c_error *error);
C2C_API void c2c_fuser_close(c2c_fuser *fuser);

/* What weights are stored as. */
typedef enum c2c_weight_type {
    C2C_WEIGHT_AS_IS = 0, /* as they are; a new fuser's are f32 */
    C2C_WEIGHT_F32,
    C2C_WEIGHT_F16,
    C2C_WEIGHT_BF16
} c2c_weight_type;

/* What a fuser is made from: a training recipe, of which only "model" is read, its
 * "projector" {"type", "params"} and its "mapping" (last_aligned or k_nearest); docs/FORMATS.md.
 * Either a file (JSON or YAML) or the text itself (JSON, NUL-terminated); the other one is NULL. */
typedef struct c2c_recipe {
    const char *path;
    const char *text;
    uint64_t seed;        /* the same seed gives the same fuser, on every machine */
    c2c_weight_type type; /* AS_IS: f32 */
} c2c_recipe;

/* Makes an untrained fuser in memory, a projector for every layer of the receiver, started as
 * PyTorch starts the same layers. The models must stay open. Where projectors have gates, these are
 * closed until training opens them: the receiver answers as if alone. */
C2C_API c2c_status c2c_fuser_new(c2c_fuser **fuser, const c2c_model *receiver,
                                 const c2c_model *sharer, const c2c_recipe *recipe,
                                 c2c_error *error);

typedef enum c2c_format {
    C2C_FORMAT_SAFETENSORS = 0,
    C2C_FORMAT_PT /* as torch.save writes a state dict */
} c2c_format;

typedef struct c2c_save_options {
    c2c_format format;
    c2c_weight_type type; /* rounded to nearest, even on ties */
    bool replace;         /* an older fuser folder of this name, if it holds nothing else */
} c2c_save_options;

/* Writes a fuser folder that c2c_fuser_open and the original read. It appears whole, or not at all.
 * The defaults are safetensors, weights as they are, and nothing replaced. */
C2C_API c2c_status c2c_fuser_save(const c2c_fuser *fuser, const char *folder,
                                  const c2c_save_options *options, c2c_error *error);

/* The sharer layer that each receiver layer reads, or -1 where the layer is not mapped.
 * sharer_layers has room for the receiver's number of layers. */
C2C_API void c2c_fuser_layer_map(const c2c_fuser *fuser, int *sharer_layers);

/* The two published ways to map M = receiver_layers onto N = sharer_layers (both >= 1): see
 * docs/MATH.md. sharer_of[t] for t in 0..M-1 receives a layer of the sharer. */
C2C_API void c2c_layer_map_last_aligned(int receiver_layers, int sharer_layers, int *sharer_of);
C2C_API void c2c_layer_map_k_nearest(int receiver_layers, int sharer_layers, int *sharer_of);

/* ---- Sessions ----------------------------------------------------------------------------- */

typedef struct c2c_session c2c_session;

/* A sharer and the fuser that was made for (receiver, sharer). */
typedef struct c2c_pair {
    const c2c_model *sharer;
    const c2c_fuser *fuser;
} c2c_pair;

/* How several sharers that are selected for one section act together. */
typedef enum c2c_fusion_mode {
    C2C_FUSION_SEQUENTIAL = 0, /* each fuser reads what the one before it left */
    C2C_FUSION_PARALLEL        /* each reads the clean rows; the differences are added */
} c2c_fusion_mode;

/* What keys and values are kept as. Only what is kept is rounded: they are used in f32. */
typedef enum c2c_cache_type {
    C2C_CACHE_AUTO = 0, /* bf16 for models that compute in bf16, else f32 */
    C2C_CACHE_F32,
    C2C_CACHE_BF16
} c2c_cache_type;

typedef struct c2c_session_options {
    int64_t context; /* rows of the receiver's cache; 0: as many as the model and memory allow */
    int chunk;       /* tokens of one forward pass over a prompt; 0: 256 */
    c2c_fusion_mode fusion_mode;
    bool include_response; /* the last section and the answer are fused too, token by token: the
                              sharers and a clean copy of the receiver run over them */
    bool keep_clean;       /* for c2c_session_extend: keeps the receiver's rows as they were before
                              fusion, which takes the memory of its cache again */
    c2c_cache_type cache;  /* of all models */
} c2c_session_options;

#define C2C_MAX_SHARERS 31

/* A session of a receiver and its sharers, numbered from 1 in the order of `pairs`: at most
 * C2C_MAX_SHARERS. With pair_count 0 (`pairs` may then be NULL) the receiver answers alone. The
 * memory of all caches is taken here. */
C2C_API c2c_status c2c_session_open(c2c_session **session, const c2c_model *receiver,
                                    const c2c_pair *pairs, size_t pair_count,
                                    const c2c_session_options *options, c2c_error *error);
C2C_API void c2c_session_close(c2c_session *session);

/* Forgets the conversation; keeps memory, sampling and the progress callback. */
C2C_API void c2c_session_reset(c2c_session *session);

/* Frees the memory of the sharers' caches and of the fusers' work, which an answer does not need:
 * after a prefill, generation goes on. A later prefill makes that memory again, or fails with
 * C2C_STATUS_OUT_OF_MEMORY. Refused with include_response, whose every token the sharers read. */
C2C_API c2c_status c2c_session_release_sharers(c2c_session *session, c2c_error *error);

/* ---- Prompts and answers ------------------------------------------------------------------ */

/* Consecutive prompt tokens with one sharer mask: <= 0 no fusion; bit s-1 selects sharer s. */
typedef struct c2c_section {
    int64_t length; /* tokens */
    int32_t mask;
} c2c_section;

/* Stands in a row of ids where the other model has a token and this one has none. A position that
 * holds padding is counted, but neither run nor seen. */
#define C2C_PADDING (-1)

/* A prompt as plain data. Where the models' tokenizers differ, c2c_align_chat (below) makes one. */
typedef struct c2c_plan {
    const int32_t *ids;               /* [token_count] the receiver's ids, or C2C_PADDING */
    const int32_t *const *sharer_ids; /* [pairs][token_count]; NULL: the receiver's ids */
    int64_t token_count;
    const c2c_section *sections; /* they sum to token_count; NULL: all but the last token fused with
                                    every sharer */
    size_t section_count;
} c2c_plan;

/* Runs a prompt on an empty session: each section through the receiver and the sharers, then the
 * fuser on its rows. The last section is never fused; its last token's logits start the answer. A
 * fused section must hold no padding, the last section at least one token of the receiver. A prompt
 * that is longer than the session's context gives C2C_STATUS_CONTEXT_FULL. */
C2C_API c2c_status c2c_session_prefill(c2c_session *session, const c2c_plan *plan,
                                       c2c_error *error);

/* Called during a prefill (and c2c_session_extend) after every chunk of every model: `done` of
 * `total` tokens have been run, and each model counts its own (a token that the receiver and one
 * sharer read counts twice). Return false to stop: the prefill then fails with C2C_STATUS_CANCELLED
 * and the session is as after c2c_session_reset. It must not use the session. */
typedef bool (*c2c_progress_callback)(void *user, int64_t done, int64_t total);

/* Sets who watches the session's next prefills; NULL: nobody. */
C2C_API void c2c_session_set_progress(c2c_session *session, c2c_progress_callback callback,
                                      void *user);

/* What c2c_session_extend had to do. */
typedef struct c2c_extension {
    int64_t kept;         /* prompt positions whose rows of the receiver were there already */
    int64_t receiver_ran; /* tokens that the receiver ran; with include_response its clean copy's */
    int64_t sharers_ran;  /* tokens that the sharers ran, all sharers together */
} c2c_extension;

/* The next turn: runs a prompt on a session that may hold a conversation, and leaves what
 * c2c_session_prefill would leave on an empty one, bit for bit. Rows of an earlier prompt and its
 * answer that the new prompt begins with are kept where they would come out the same. In a chat
 * that is fused whole this needs keep_clean: then only the last answer and what follows it are run.
 * `extension` may be NULL. When this fails, the conversation is as it was, or, when it is
 * cancelled, forgotten. */
C2C_API c2c_status c2c_session_extend(c2c_session *session, const c2c_plan *plan,
                                      c2c_extension *extension, c2c_error *error);

/* How answers are chosen. All zero: greedy, the most likely token. */
typedef struct c2c_sampling {
    float temperature;        /* 0: greedy */
    int64_t top_k;            /* only the top_k most likely tokens; 0: all */
    float top_p;              /* only while their cumulative probability is at most top_p; 0: all */
    float min_p;              /* only those at least min_p times as likely as the most likely one */
    float repetition_penalty; /* as in Hugging Face, over prompt and answer; 0: none, as 1 */
    float presence_penalty;   /* taken from the logit of every token that occurred */
    float frequency_penalty;  /* ... times how often it occurred */
    uint64_t seed;            /* the same seed gives the same answer, on any number of threads */
} c2c_sampling;

/* Sets how the session's next answers are chosen; NULL: greedy. */
C2C_API c2c_status c2c_session_set_sampling(c2c_session *session, const c2c_sampling *sampling,
                                            c2c_error *error);

typedef enum c2c_finish {
    C2C_FINISH_LENGTH = 0, /* max_new_tokens were written, or the context is full */
    C2C_FINISH_STOP,       /* an end-of-sequence token was written */
    C2C_FINISH_CALLBACK    /* the callback asked to stop */
} c2c_finish;

/* Called once per new token. `text` holds the whole characters that this token completed, valid
 * during the call (NUL-terminated; length may be 0; special tokens give none). Return false to stop
 * after this token. It must not use the session. */
typedef bool (*c2c_token_callback)(void *user, int32_t id, const char *text, size_t length);

typedef struct c2c_generation {
    int64_t new_tokens; /* ids written, an end-of-sequence id included */
    c2c_finish finish;
} c2c_generation;

/* Writes an answer after a prefill, at most max_new_tokens. An answer is not continued: the next
 * one needs c2c_session_extend, or a reset and a prefill. `callback` and `result` may be NULL. */
C2C_API c2c_status c2c_session_generate(c2c_session *session, int64_t max_new_tokens,
                                        c2c_token_callback callback, void *user,
                                        c2c_generation *result, c2c_error *error);

/* ---- Several answers at once -------------------------------------------------------------- */

/* Sessions of the same models whose answers are written together: a step reads every weight once
 * for all of them. Each has a cache of its own; all use the same memory for what is computed, so
 * one thread at a time uses a batch. An answer is, bit for bit, that of a session alone. */
typedef struct c2c_batch c2c_batch;

#define C2C_MAX_BATCH 1024

/* `count` sessions as c2c_session_open makes them, each with options->context rows. */
C2C_API c2c_status c2c_batch_open(c2c_batch **batch, const c2c_model *receiver,
                                  const c2c_pair *pairs, size_t pair_count, size_t count,
                                  const c2c_session_options *options, c2c_error *error);
/* Closes its sessions, too. */
C2C_API void c2c_batch_close(c2c_batch *batch);

/* Session i, from 0; NULL: there is none. It takes every call, and is closed with its batch alone:
 * c2c_session_close does nothing. The sharers' memory is released for all of them. */
C2C_API c2c_session *c2c_batch_session(c2c_batch *batch, size_t i);

/* Begins an answer after a prefill, which c2c_batch_step writes. Arguments as in
 * c2c_session_generate; the callback must use no session of the batch. A prefill, extension, reset
 * or another answer of this session gives it up. */
C2C_API c2c_status c2c_session_begin(c2c_session *session, int64_t max_new_tokens,
                                     c2c_token_callback callback, void *user, c2c_error *error);

/* Writes one token of every answer that was begun and has not ended. *writing (may be NULL): how
 * many go on. Sessions may be prefilled and begin between steps. When an answer fails it has ended,
 * and the next step goes on with the others. */
C2C_API c2c_status c2c_batch_step(c2c_batch *batch, size_t *writing, c2c_error *error);

/* Whether the session's answer goes on; *result (may be NULL): what was written of it so far, or
 * how it ended. */
C2C_API bool c2c_session_is_writing(const c2c_session *session, c2c_generation *result);

/* ---- Two tokenizers ----------------------------------------------------------------------- */

/* Which of the sharer's tokens stands for a receiver's token that it would cut into several. */
typedef enum c2c_align_strategy {
    C2C_ALIGN_FIRST = 0, /* the first */
    C2C_ALIGN_LONGEST    /* the one whose text has the most characters */
} c2c_align_strategy;

typedef struct c2c_align_options {
    c2c_align_strategy strategy;
    bool add_generation_prompt; /* end with the opening of the assistant's turn */
    bool open_end; /* the last message is the assistant's: it ends with the text, not its turn */
    const c2c_moment *now; /* as in c2c_chat_options */
} c2c_align_options;

/* A chat for models with different tokenizers: rows of ids of one length, C2C_PADDING where a
 * model has no token. Message contents are sections of their own, fused with every sharer. */
typedef struct c2c_alignment {
    int64_t token_count;
    int32_t *ids;         /* [token_count] the receiver's */
    int32_t **sharer_ids; /* [sharer_count][token_count] */
    size_t sharer_count;
    c2c_section *sections;
    size_t section_count;
} c2c_alignment;

/* Renders `messages` with every model's own template (enable_thinking = false) and aligns them:
 * the parts between message contents keep each model's ids, the contents keep the receiver's, of
 * which each is mapped to one id of each sharer (docs/MATH.md). Its rows and sections are what a
 * c2c_plan needs; free it with c2c_alignment_free. Without options: the first strategy, ending with
 * the opening of the assistant's turn. */
C2C_API c2c_status c2c_align_chat(c2c_alignment **alignment, const c2c_model *receiver,
                                  const c2c_model *const *sharers, size_t sharer_count,
                                  const c2c_message *messages, size_t message_count,
                                  const c2c_align_options *options, c2c_error *error);
C2C_API void c2c_alignment_free(c2c_alignment *alignment);

/* ---- Training ----------------------------------------------------------------------------- */

typedef enum c2c_train_event_kind {
    C2C_TRAIN_EVENT_READING = 0, /* data is being read: share */
    C2C_TRAIN_EVENT_NOTE,        /* text: one line that the user should see */
    C2C_TRAIN_EVENT_HELP,        /* text: lines on how to get data that is missing */
    C2C_TRAIN_EVENT_LOADED,      /* text: one line on how much is trained, and on what */
    C2C_TRAIN_EVENT_BEGIN,       /* `step` steps are done already; text: the folder written to */
    C2C_TRAIN_EVENT_BATCH,       /* a part of a step or of an evaluation is done */
    C2C_TRAIN_EVENT_STEP,        /* a step of the optimizer */
    C2C_TRAIN_EVENT_EVAL,        /* loss: of the rows that are not trained on */
    C2C_TRAIN_EVENT_SAVED        /* text: the folder that now holds what was learnt so far */
} c2c_train_event_kind;

/* What happened. Texts are valid during the call; what a kind does not name is 0. */
typedef struct c2c_train_event {
    c2c_train_event_kind kind;
    int64_t step, steps;       /* steps done, and of the whole run */
    double share;              /* 0 .. 1 */
    double epoch;              /* epochs done */
    double loss;               /* mean cross-entropy of the supervised tokens, in nats */
    double learning_rate;      /* that the step was taken with, as all below */
    double gradient_norm;      /* before clipping */
    double temperature;        /* of the gates; 1 where there are none */
    double tokens_per_second;  /* tokens of the receiver */
    int64_t tokens;            /* of the step */
    int64_t gates_open, gates; /* after the step */
    const char *text;
} c2c_train_event;

/* Called on the thread that trains. Return false to stop: what was learnt so far is then saved as a
 * checkpoint, and training fails with C2C_STATUS_CANCELLED. */
typedef bool (*c2c_train_callback)(void *user, const c2c_train_event *event);

/* Everything that training is told. Texts are read during the call only. */
typedef struct c2c_train_options {
    const char *recipe; /* path of a training recipe, JSON or YAML; docs/FORMATS.md */
    const char *const
        *settings; /* [setting_count] "training.learning_rate=3e-4": over the recipe */
    size_t setting_count;
    const char *const *data_folders; /* [data_folder_count] where files of rows are looked for */
    size_t data_folder_count;
    const char *const *caches; /* [cache_count] folders of Hugging Face's tools, with datasets */
    size_t cache_count;
    const char *folder;          /* written to; NULL: output.output_dir of the recipe */
    bool resume;                 /* go on with the run in the folder, if there is one */
    c2c_train_callback callback; /* or NULL */
    void *user;
} c2c_train_options;

/* Trains fusers, one for each sharer, between models that stay as they are, and writes the folder:
 * final/ and checkpoint-<step>/ (fusers that c2c_fuser_open reads; with several sharers in
 * sharer_<i>/ inside), config.json (the recipe), metrics.jsonl, tensorboard/ and report.html. The
 * models are those that the recipe names, but that is not checked. The same recipe and data give
 * the same bits, on any number of threads, whether the run was stopped in between or not.
 * C2C_STATUS_CANCELLED: the callback stopped it, and the newest checkpoint holds everything.
 * C2C_STATUS_INVALID_ARGUMENT: among others, the folder holds a run and `resume` is false. */
C2C_API c2c_status c2c_train(const c2c_model *receiver, const c2c_model *const *sharers,
                             size_t sharer_count, const c2c_train_options *options,
                             c2c_error *error);

/* What c2c_train would do. */
typedef struct c2c_train_summary {
    int64_t parameters, trainable;           /* of all models and fusers; of the fusers */
    int64_t train_rows, eval_rows, left_out; /* left out: rows of the data that are not used */
    int64_t longest_row;                     /* tokens */
    int64_t rows_per_step, steps_per_epoch, steps;
    int64_t memory_bytes;     /* that the largest batch will need, with everything else */
    int64_t memory_available; /* for that, now; < 0: unknown */
    int64_t batch_that_fits;  /* rows; the recipe's own number where that fits; 0: none */
    double seconds_per_step, tokens_per_second; /* measured; 0 where the batch does not fit */
} c2c_train_summary;

/* Loads everything, takes a few steps without writing anything, and says what was found. */
C2C_API c2c_status c2c_train_check(const c2c_model *receiver, const c2c_model *const *sharers,
                                   size_t sharer_count, const c2c_train_options *options,
                                   c2c_train_summary *summary, c2c_error *error);

#ifdef __cplusplus
}
#endif

#endif
