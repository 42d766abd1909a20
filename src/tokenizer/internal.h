/* internal.h - what the files of the tokenizer share: the parts of a tokenizer.json, each loaded
 * from its own member, and the pieces of text that pass through them.
 *
 *     text -> added tokens (raw) -> normalizer -> added tokens (normalized) -> pre-tokenizer
 *          -> bpe -> post-processor -> tokens;   ids -> decoder -> text
 *
 * Chat templates do not belong here. */
#ifndef C2C_TOKENIZER_INTERNAL_H
#define C2C_TOKENIZER_INTERNAL_H

#include "tokenizer/tokenizer.h"

/* Components one inside the other, or one after the other, in any of the lists. */
#define COMPONENT_LIMIT 64
/* A table has a row per id, so ids may not be much larger than the vocabulary is. */
#define TOKEN_ID_FREE   65536 /* plus */
#define TOKEN_ID_SPARSE 8     /* times the tokens */
/* Offsets are int32_t. */
#define TEXT_LIMIT ((size_t)INT32_MAX)

/* ---- Loading (component.c) ---------------------------------------------------------------- */

/* Passed to every loader. `arena` lives as long as the tokenizer; `name` is the file's. */
typedef struct loader {
    const char *name;
    arena *arena;
    c2c_error *error;
} loader;

/* One known value of a "type" member. `run` differs from list to list. */
typedef struct component_kind {
    const char *type;
    c2c_status (*load)(void *list, const json_value *value, const char *where, const loader *l);
} component_kind;

/* Finds the loader that `value`'s "type" names in `kinds` (the last one has type NULL) and calls
 * it; an unknown type is refused with the list of the known ones. null loads nothing. */
c2c_status component_load(const component_kind *kinds, void *list, const json_value *value,
                          const char *where, const loader *l);

/* Loads each element of the array `key` of a Sequence. */
c2c_status component_load_sequence(const component_kind *kinds, void *list, const json_value *value,
                                   const char *key, const char *where, const loader *l);

struct pattern;

/* What a component may put into a text, in all: a file could ask for any amount. Unicode's normal
 * forms make at most eleven times as much of a text. */
#define GROWTH_FREE  65536 /* bytes, plus */
#define GROWTH_TIMES 64    /* times the text */

/* A text member of a component, copied into the arena; it may hold zero bytes. At most 256 bytes:
 * it may stand for every character. */
c2c_status component_text(const json_value *value, const char *key, const char **text,
                          size_t *length, const char *where, const loader *l);
/* A character, given as a string of one. */
c2c_status component_character(const json_value *value, const char *key, const char **text,
                               size_t *length, const char *where, const loader *l);
/* The member "pattern": {"String": literal} or {"Regex": expression}. The caller frees it. */
c2c_status component_pattern(const json_value *value, struct pattern **p, const char *where,
                             const loader *l);

/* "FILE: WHERE", for the typed getters of JSON. */
#define WHERE_TEXT 512
const char *loader_where(char text[WHERE_TEXT], const loader *l, const char *where);

/* At most 40 bytes of a text from a file, printable, for messages. */
#define EXCERPT_TEXT 64
const char *text_excerpt(char excerpt[EXCERPT_TEXT], const char *text, size_t length);

/* ---- Characters (unicode.c) --------------------------------------------------------------- */

/* The character that starts valid UTF-8 at `text`; *size becomes its bytes (1 to 4). */
static inline uint32_t utf8_read(const char *text, size_t *size) {
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) {
        *size = 1;
        return b[0];
    }
    if (b[0] < 0xe0) {
        *size = 2;
        return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    }
    if (b[0] < 0xf0) {
        *size = 3;
        return (b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    }
    *size = 4;
    return (b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
}
/* Where the last character of [0, end), end > 0, starts. */
size_t character_before(const char *text, size_t end);
/* Writes a character; the number of bytes. */
size_t utf8_write(uint32_t character, char bytes[4]);
bool unicode_is_space(uint32_t character); /* White_Space */
bool unicode_is_word(uint32_t character);  /* what Rust's regex crate calls \w */
/* Moves whole characters from `pending` to `out`, each maximal broken part as U+FFFD. A character
 * that the end cuts off stays, unless `final`. */
void utf8_flush(buffer *pending, buffer *out, bool final);

/* ---- Pieces (piece.c) --------------------------------------------------------------------- */

/* Bytes [start, end) of the original text that a character came from. */
typedef struct origin {
    uint32_t start, end;
} origin;

/* A part of the text, normalized or not; a view. */
typedef struct piece {
    const char *bytes;
    size_t length;
    const origin *origins; /* [length]; NULL: byte i is byte base + i of the original */
    uint32_t base;
} piece;

static inline piece piece_slice(piece p, size_t start, size_t end) {
    p.bytes += start;
    p.length = end - start;
    if (p.origins)
        p.origins += start;
    p.base += (uint32_t)start;
    return p;
}

/* Where the bytes [start, end), not empty, came from. */
static inline origin piece_origin(piece p, size_t start, size_t end) {
    if (p.origins)
        return (origin){p.origins[start].start, p.origins[end - 1].end};
    return (origin){p.base + (uint32_t)start, p.base + (uint32_t)end};
}

/* A piece being written. Zero-initialise; check `bytes.failed` once at the end. */
typedef struct piece_buffer {
    buffer bytes;
    origin *origins;
    size_t capacity;
} piece_buffer;

void piece_buffer_append(piece_buffer *b, const char *bytes, size_t length, origin from);
void piece_buffer_copy(piece_buffer *b, piece p);
/* `text` and then all of p, not empty; the text stands for p's first character. */
void piece_buffer_prepend(piece_buffer *b, const char *text, size_t length, piece p);
void piece_buffer_clear(piece_buffer *b);
void piece_buffer_free(piece_buffer *b);
piece piece_buffer_view(const piece_buffer *b);

/* ---- Vocabulary (vocabulary.c) ------------------------------------------------------------ */

typedef struct vocabulary_token {
    const char *text; /* NULL: no token has this id */
    uint32_t length;
    bool in_model; /* the model knows it; else only an added token */
    bool special;
} vocabulary_token;

typedef struct vocabulary_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
} vocabulary_slot;

typedef struct vocabulary {
    vocabulary_token *tokens; /* [count], by id */
    size_t count, capacity;   /* count: largest id + 1 */
    size_t model_size;        /* tokens of the model */
    size_t longest;           /* bytes of the longest text */
    vocabulary_slot *slots;   /* open addressing by text */
    size_t mask;
    uint64_t seed;
} vocabulary;

/* `vocab`: an object of text: id. Leaves room for `added` more tokens. */
c2c_status vocabulary_load(vocabulary *v, const json_value *vocab, size_t added, const loader *l);
/* The id must be free and below the capacity. `text` must live as long as the vocabulary. */
void vocabulary_add(vocabulary *v, const char *text, uint32_t length, int32_t id, bool in_model);
int32_t vocabulary_find(const vocabulary *v, const char *text, size_t length);
/* The same among the model's tokens only. */
int32_t vocabulary_find_model(const vocabulary *v, const char *text, size_t length);
/* Many at once, as vocabulary_find_model: what memory they wait for comes side by side. */
#define VOCABULARY_BATCH 32
void vocabulary_find_batch(const vocabulary *v, const char *const *texts, const uint32_t *lengths,
                           int32_t *ids, size_t count);
/* NULL when no token has this id. */
const vocabulary_token *vocabulary_token_of(const vocabulary *v, int64_t id);

/* ---- Patterns (pattern.c, onig.c) --------------------------------------------------------- */

typedef struct pattern pattern;

/* A regular expression in Oniguruma's syntax, or a literal text. */
c2c_status pattern_compile(pattern **p, const char *text, size_t length, bool literal,
                           const char *where, const loader *l);
void pattern_free(pattern *p);

/* The same expression in PCRE2's syntax, with Oniguruma's meaning; refuses what would differ. */
c2c_status onig_translate(const char *text, size_t length, buffer *out, const char *where,
                          const loader *l);

/* Matches of one subject, from left to right. */
typedef struct pattern_scan {
    const pattern *pattern;
    const char *text;
    size_t length;
    size_t at;       /* where the next search starts */
    bool matched;    /* there was a match, */
    size_t last_end; /* which ended here */
} pattern_scan;

/* Room for a search; NULL when out of memory. One thread at a time. */
typedef struct pattern_work pattern_work;
pattern_work *pattern_work_new(void);
void pattern_work_free(pattern_work *w);

/* *found is false after the last match. */
c2c_status pattern_next(pattern_scan *s, pattern_work *w, bool *found, size_t *start, size_t *end,
                        c2c_error *error);

/* ---- Normalizer (normalizer.c, normal_form.c) --------------------------------------------- */

typedef struct normalizer {
    struct normalizer_step *steps;
    size_t count;
} normalizer;

c2c_status normalizer_load(normalizer *n, const json_value *value, const loader *l);
void normalizer_deinit(normalizer *n);
/* *out views `in`, or one of the two buffers. */
c2c_status normalizer_run(const normalizer *n, piece in, piece_buffer work[2],
                          pattern_work *pattern, piece *out, c2c_error *error);

/* Unicode's normal forms: decomposed or composed, K: compatible characters replaced. */
typedef enum normal_form {
    NORMAL_FORM_D = 0,
    NORMAL_FORM_C = 1,
    NORMAL_FORM_KD = 2,
    NORMAL_FORM_KC = NORMAL_FORM_KD | NORMAL_FORM_C
} normal_form;

/* False, and nothing written, when `in` is known to be in this form. */
bool normal_form_write(normal_form form, piece in, piece_buffer *out);

/* ---- Added tokens (added_tokens.c) -------------------------------------------------------- */

typedef struct added_token {
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} added_token;

/* All texts of one kind in a tree of bytes. */
typedef struct added_tree {
    struct added_edge *edges; /* open addressing by (node, byte); NULL: no tokens */
    size_t mask;
    int32_t *accepts;    /* by node: an index of tokens, or -1 */
    uint32_t first[256]; /* children of the root, 0: none */
} added_tree;

typedef struct added_tokens {
    added_token *tokens;
    size_t count;
    added_tree raw, normalized; /* found before and after normalizing */
} added_tokens;

/* Adds the tokens to the vocabulary, too. `value` may be NULL. */
c2c_status added_tokens_load(added_tokens *a, vocabulary *v, const normalizer *n,
                             const json_value *value, const loader *l);

/* One after the other: the text between added tokens (token NULL), and added tokens. */
typedef struct added_scan {
    const added_tokens *added;
    const added_tree *tree;
    const char *text;
    size_t length;
    size_t at;      /* where the next search starts */
    size_t emitted; /* the text up to here was given out */
    const added_token *waiting;
    size_t waiting_start, waiting_end;
} added_scan;

/* False at the end. Ranges may be empty. */
bool added_next(added_scan *s, const added_token **token, size_t *start, size_t *end);

/* ---- Pre-tokenizer (pre_tokenizer.c, byte_level.c) ---------------------------------------- */

typedef struct pre_tokenizer {
    struct pre_tokenizer_step *steps;
    size_t count;
    bool byte_level; /* the last step: its pieces stay bytes, the model maps them */
} pre_tokenizer;

struct encoder;

/* all_bytes: the model knows every character of the byte-level alphabet. */
c2c_status pre_tokenizer_load(pre_tokenizer *p, const json_value *value, bool all_bytes,
                              const loader *l);
void pre_tokenizer_deinit(pre_tokenizer *p);
/* Cuts `in` and hands each part to bpe_encode, in order. */
c2c_status pre_tokenizer_run(const pre_tokenizer *p, struct encoder *e, piece in);

/* What the Metaspace pre-tokenizer and the decoder of this name have in common. */
c2c_status metaspace_read(const json_value *value, const char **mark, size_t *length, bool *never,
                          const char *where, const loader *l);

/* The byte-level alphabet: each byte as one visible character (GPT-2). */
uint32_t byte_level_character(uint8_t byte);
int byte_level_byte(uint32_t character); /* -1: not of the alphabet */
/* Appends the bytes that `text` stands for, or `text` itself if any character is not in it. */
void byte_level_decode(const char *text, size_t length, buffer *out);

/* ---- Byte pair encoding (bpe.c, bpe_word.c, bpe_seams.c, word_cache.c) --------------------- */

typedef struct bpe_merge {
    uint64_t pair; /* left id, right id; UINT64_MAX: a free row */
    uint32_t rank;
    int32_t merged;
} bpe_merge;

/* Where words may be cut: see bpe_seams.c. */
typedef struct bpe_seams {
    uint64_t *pairs;     /* bits by hash: two characters that are side by side in a token */
    uint64_t *halves;    /* bits by two bytes: the same, where the token has not all of both */
    int32_t *characters; /* [65536] the token of a character, or -1; NULL: words are bytes */
    bool unknown_alone;  /* characters without a token become byte tokens that never merge */
} bpe_seams;

typedef struct bpe {
    const vocabulary *vocabulary;
    bpe_merge *merges; /* open addressing by pair */
    uint64_t *filter;  /* 8 bits per row: a pair whose bit is clear is in no row */
    size_t mask;
    const bpe_merge *byte_pairs; /* [256 * 256] of bytes; rank UINT32_MAX: never. NULL: not used */
    bpe_seams seams;
    int32_t bytes[256];    /* the token of each byte-level character, or -1 */
    int32_t fallback[256]; /* "<0x00>" ... "<0xFF>", or -1 */
    int32_t unknown;       /* -1: none; unknown characters then give nothing */
    bool byte_fallback, fuse_unknown, ignore_merges;
} bpe;

c2c_status bpe_load(bpe *b, const vocabulary *v, const json_value *model, const loader *l);

bool bpe_has_all_bytes(const bpe *b);
/* Prepares for words of characters, or for byte-level words, whose bytes the model has all. */
c2c_status bpe_prepare(bpe *b, bool byte_level, const loader *l);
/* NULL: these two are never merged. */
const bpe_merge *bpe_find_merge(const bpe *b, int32_t left, int32_t right);

c2c_status bpe_seams_load(bpe_seams *s, const bpe *b, bool byte_level, const loader *l);
/* Where the part of `word` ends that starts at `start`: at the next seam, or with the word. *alone
 * becomes the token of a part of one character, or -1. */
size_t bpe_seam(const bpe *b, piece word, size_t start, int32_t *alone);
size_t bpe_seam_bytes(const bpe *b, piece word, size_t start); /* of a byte-level word */
/* The token of a character, whose `size` bytes are at `text`; -1 when it has none. */
int32_t bpe_character(const bpe *b, const char *text, size_t size, uint32_t character);

/* A token of a word and how many bytes of the word it stands for. */
typedef struct bpe_unit {
    int32_t id;
    uint32_t length;
} bpe_unit;

/* What word_cache_find leaves for word_cache_add. */
typedef struct word_key {
    uint32_t hash, tag;
} word_key;

typedef struct word_cache word_cache;

word_cache *word_cache_new(size_t text_length); /* NULL when out of memory */
void word_cache_free(word_cache *c);
/* NULL: not there. A part of a word and a word of the same bytes are two things, as a model may
 * have another rule for whole words. length > 0. What it returns is valid until the next add. */
const bpe_unit *word_cache_find(const word_cache *c, word_key *key, const char *word, size_t length,
                                bool part, size_t *count);
void word_cache_add(word_cache *c, const word_key *key, const char *word, const bpe_unit *units,
                    size_t count);

/* Scratch of one encoding. Zero-initialise. */
typedef struct bpe_work {
    bpe_unit *units;
    size_t unit_capacity;
    struct bpe_symbol *symbols; /* of long words */
    uint64_t *heap;
    size_t capacity;   /* symbols */
    word_cache *cache; /* NULL until a long text wants it */
    bool cache_failed; /* there was no memory for it */
    buffer text;
} bpe_work;

void bpe_work_free(bpe_work *w);

/* Appends the tokens of one word. byte_level: `word` holds bytes still to be mapped, and the model
 * has them all. */
c2c_status bpe_encode(const bpe *b, struct encoder *e, piece word, bool byte_level);

/* ---- Post-processor (post_processor.c) ---------------------------------------------------- */

typedef struct post_processor {
    const vocabulary *vocabulary;
    struct post_step *steps;
    size_t count;
} post_processor;

c2c_status post_processor_load(post_processor *p, const vocabulary *v, const json_value *value,
                               const loader *l);
/* How many characters at an end of a token's text are spaces, or the byte-level space. */
size_t leading_spaces(const char *text, size_t length);
size_t trailing_spaces(const char *text, size_t length);

/* On the encoder's tokens, whose offsets still count bytes. */
c2c_status post_processor_run(const post_processor *p, struct encoder *e, bool add_special);

/* ---- Decoder (decoder.c) ------------------------------------------------------------------ */

typedef struct decoder {
    struct decoder_step *steps;
    size_t count;
} decoder;

c2c_status decoder_load(decoder *d, const json_value *value, const loader *l);
void decoder_deinit(decoder *d);

/* ---- Encoding (encode.c) ------------------------------------------------------------------ */

/* The spaces of an added token that was not found as its own text, for who trims offsets. */
typedef struct stripped_token {
    size_t token; /* counted from the encoder's first */
    size_t leading, trailing;
} stripped_token;

/* One call of tokenizer_encode: the text, and scratch that all stages use. */
typedef struct encoder {
    const tokenizer *tokenizer;
    const char *text;
    size_t length;
    token_list *out;
    size_t first; /* where the text's own tokens start in `out` */
    piece_buffer normal[2];
    piece_buffer *steps, *replaced, *mapped; /* one per step of the pre-tokenizer */
    pattern_work *pattern;
    bpe_work bpe;
    stripped_token *stripped; /* in order */
    size_t stripped_count, stripped_capacity;
    c2c_error *error;
} encoder;

/* Appends a token that came from these bytes of the text. */
c2c_status encoder_emit(encoder *e, int32_t id, origin from);

struct tokenizer {
    arena *arena;
    vocabulary vocabulary;
    normalizer normalizer;
    added_tokens added;
    pre_tokenizer pre_tokenizer;
    bpe bpe;
    post_processor post_processor;
    decoder decoder;
};

c2c_status token_list_reserve(token_list *list, size_t more, c2c_error *error);

#endif
