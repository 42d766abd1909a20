/* tokenizer.h - text to ids and back (tokenizer.json), and chats to text (Jinja templates). */
#ifndef C2C_TOKENIZER_H
#define C2C_TOKENIZER_H

#include "formats/formats.h"

/* ---- Tokenizer ---------------------------------------------------------------------------- */

/* Immutable after opening; any number of threads may use it. */
typedef struct tokenizer tokenizer;

/* `folder`/tokenizer.json. Components that this build does not know are refused by name. */
c2c_status tokenizer_open(tokenizer **t, const char *folder, c2c_error *error);
/* The same from a document that may be closed afterwards; `name` stands in messages. */
c2c_status tokenizer_load(tokenizer **t, const json_value *root, const char *name,
                          c2c_error *error);
void tokenizer_close(tokenizer *t);

/* One token of an encoding; offsets count characters (code points) of the input text. */
typedef struct token {
    int32_t id;
    int32_t start, end;
} token;

typedef struct token_list {
    token *items;
    size_t count, capacity;
} token_list; /* zero-initialise; token_list_free */

void token_list_free(token_list *list);

/* Appends the tokens of `text` (valid UTF-8, else C2C_STATUS_INVALID_ARGUMENT with the byte's
 * place). add_special: as the post-processor says; special tokens written in the text are always
 * recognised. Tokens that the post-processor adds have offsets (0, 0). */
c2c_status tokenizer_encode(const tokenizer *t, const char *text, size_t length, bool add_special,
                            token_list *out, c2c_error *error);

/* Appends the text of ids; bytes that are not UTF-8 become U+FFFD as in Hugging Face. An id that
 * the vocabulary lacks gives nothing (as in Hugging Face: model heads may have more rows). */
c2c_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t count, bool skip_special,
                            buffer *out, c2c_error *error);

size_t tokenizer_vocabulary_size(const tokenizer *t); /* largest id + 1 */
/* The id of a token's exact text, added tokens included; -1 when there is none. */
int32_t tokenizer_find(const tokenizer *t, const char *text, size_t length);
bool tokenizer_is_special(const tokenizer *t, int32_t id);

/* What one step of the decoder keeps between tokens. */
typedef struct text_stage {
    buffer token; /* the text of a token that has not ended */
    buffer held;  /* text that waits for what follows */
    size_t count;
    bool started;
} text_stage;

/* Steps that a decoder may have; Llama 2 has four. */
#define TEXT_STREAM_STAGES 8

struct pattern_work;

/* Decoding token by token: the chunks joined equal tokenizer_decode of all ids. Text comes as soon
 * as nothing that may follow can change it: with sentencepiece-style models a row of byte tokens
 * comes when it ends. */
typedef struct text_stream {
    const tokenizer *tokenizer;
    bool skip_special;
    text_stage stages[TEXT_STREAM_STAGES];
    size_t taken, inserted;      /* bytes of tokens, and bytes put between them */
    struct pattern_work *search; /* NULL until it is needed */
} text_stream;

void text_stream_init(text_stream *s, const tokenizer *t, bool skip_special);
/* Appends the whole characters that `id` completed; special tokens and half characters give none.
 */
c2c_status text_stream_push(text_stream *s, int32_t id, buffer *out, c2c_error *error);
/* Appends what a cut-off character leaves (U+FFFD). */
c2c_status text_stream_finish(text_stream *s, buffer *out, c2c_error *error);
void text_stream_deinit(text_stream *s);

/* ---- Chat templates ----------------------------------------------------------------------- */

typedef struct chat_template chat_template;

/* `override` (a path) if not NULL; else chat_template.jinja, chat_template.json, or
 * tokenizer_config.json in `folder`, in this order. Without any, or without the key in it,
 * *t is a template whose rendering says where it was looked for. Special token texts (bos_token
 * ...) come from tokenizer_config.json. */
c2c_status chat_template_open(chat_template **t, const char *folder, const char *override,
                              c2c_error *error);
/* The same from a text; `tokenizer_config` may be NULL. For tests and fuzzing. */
c2c_status chat_template_parse(chat_template **t, const char *source, size_t length,
                               const char *name, const json_value *tokenizer_config,
                               c2c_error *error);
void chat_template_close(chat_template *t);

/* Renders `messages`, a JSON array of objects, as transformers' apply_chat_template does
 * (trim_blocks, lstrip_blocks, loop controls). Immutable template: threads may share it. */
c2c_status chat_template_render(const chat_template *t, const json_value *messages,
                                const c2c_chat_options *options, buffer *out, c2c_error *error);

/* Bytes start .. end-1 of a rendering are characters of the content of messages[message]. */
typedef struct content_span {
    size_t start, end;
    int message;
} content_span;

typedef struct content_spans {
    content_span *items;
    size_t count;
} content_spans; /* zero-initialise; free(items) */

/* The same, and where the message contents stand, in order and disjoint; a content that the
 * template cuts or splits gives the parts that are left. */
c2c_status chat_template_render_spans(const chat_template *t, const json_value *messages,
                                      const c2c_chat_options *options, buffer *out,
                                      content_spans *spans, c2c_error *error);

/* The text of "pad_token", "eos_token", ... as tokenizer_config.json has it; NULL when it has none.
 * Valid while the template is open. */
const char *chat_template_token(const chat_template *t, const char *name);
/* Whether a text is one of the special tokens that tokenizer_config.json names. */
bool chat_template_is_token(const chat_template *t, const char *text, size_t length);

#endif
