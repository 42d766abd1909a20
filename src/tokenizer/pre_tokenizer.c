/* pre_tokenizer.c - the "pre_tokenizer" of tokenizer.json: steps that cut text into the words
 * that the model sees. Each step cuts its piece and hands the parts to the next one, the last to
 * the model. A step is one row of `kinds`, one loader and one function.
 *
 * Parts are handed on as soon as they are known, depth first, so no list of parts is ever made:
 * a text of a megabyte goes through in pieces of a few bytes. The order of tokens is the same,
 * since every step sees its parts from left to right.
 *
 * The last step of byte-level models maps bytes to visible characters in Hugging Face. Here,
 * where the model knows all of them, that step is left to the model, which has its merges by
 * bytes: the same tokens. */
#include "tokenizer/internal.h"

typedef enum split_behavior {
    SPLIT_ISOLATED = 0,
    SPLIT_REMOVED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
} split_behavior;

static const char *const behavior_names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                             "MergedWithNext", "Contiguous"};

/* What ByteLevel cuts by, unless it is told not to: GPT-2's expression. */
static const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                                 "|\\s+(?!\\S)|\\s+";

/* Rust's \w, which has the joiners too, unlike Oniguruma's. */
#define RUST_WORDS "\\w\\x{200c}\\x{200d}"
static const char whitespace_words[] = "[" RUST_WORDS "]+|[^" RUST_WORDS "\\s]+";
static const char punctuation[] = "[!-/:-@\\[-`{-~\\p{P}]";

/* When Metaspace puts its mark before a piece. */
typedef enum prepend_scheme {
    PREPEND_NEVER = 0,
    PREPEND_FIRST, /* only at the start of the text */
    PREPEND_ALWAYS
} prepend_scheme;

static const char *const scheme_names[] = {"never", "first", "always"};

typedef struct pre_tokenizer_step step;

struct pre_tokenizer_step {
    c2c_status (*run)(const step *s, encoder *e, size_t index, piece in);
    pattern *pattern; /* owned; NULL: nothing is cut */
    split_behavior behavior;
    bool invert;            /* what does not match is the delimiter */
    bool map_bytes;         /* hand on characters of the byte-level alphabet */
    prepend_scheme prepend; /* before a piece that does not start with `mark` */
    const char *mark;       /* a space; Metaspace's sign for it */
    size_t mark_length;
};

/* The rest of the steps, from `index` on. Their number bounds how deep this calls itself. */
static c2c_status run_from(encoder *e, size_t index, piece in) {
    const pre_tokenizer *p = &e->tokenizer->pre_tokenizer;
    if (in.length == 0)
        return C2C_STATUS_OK;
    if (index == p->count)
        return bpe_encode(&e->tokenizer->bpe, e, in, p->byte_level);
    return p->steps[index].run(&p->steps[index], e, index, in);
}

c2c_status pre_tokenizer_run(const pre_tokenizer *p, encoder *e, piece in) {
    C2C_ASSERT(p == &e->tokenizer->pre_tokenizer);
    return run_from(e, 0, in);
}

/* A finished part goes to the next step. */
static c2c_status hand_on(const step *s, encoder *e, size_t index, piece part) {
    if (!s->map_bytes)
        return run_from(e, index + 1, part);
    piece_buffer *work = &e->mapped[index];
    piece_buffer_clear(work);
    /* Each byte of a character becomes a character of its own, and all of them stand for the
     * whole one. */
    for (size_t i = 0, size; i < part.length; i += size) {
        utf8_read(part.bytes + i, &size);
        origin from = piece_origin(part, i, i + size);
        for (size_t j = 0; j < size; j++) {
            char bytes[4];
            uint32_t character = byte_level_character((uint8_t)part.bytes[i + j]);
            piece_buffer_append(work, bytes, utf8_write(character, bytes), from);
        }
    }
    if (work->bytes.failed)
        return error_memory(e->error, 2 * part.length, "a byte-level text");
    return run_from(e, index + 1, piece_buffer_view(work));
}

/* ---- Cutting ------------------------------------------------------------------------------ */

/* Parts arrive in order, delimiter or not; one part waits until its neighbour is known. */
typedef struct cutter {
    const step *step;
    encoder *encoder;
    size_t index;
    piece in;
    size_t start, end; /* of the part that waits */
    bool waiting, delimiter;
} cutter;

/* The part that waits is complete: hands it on, or drops it. */
static c2c_status cutter_flush(cutter *c) {
    bool drop = !c->waiting || (c->delimiter && c->step->behavior == SPLIT_REMOVED);
    c->waiting = false;
    if (drop)
        return C2C_STATUS_OK;
    return hand_on(c->step, c->encoder, c->index, piece_slice(c->in, c->start, c->end));
}

/* One rule per behavior: does this part belong to the one that waits? What a part was, delimiter
 * or not, is that of the last piece joined to it; so "previous" and "next" join once, and of a row
 * of delimiters only the one beside the text moves. */
static c2c_status cutter_add(cutter *c, size_t start, size_t end, bool delimiter) {
    bool join = false;
    switch (c->step->behavior) {
    case SPLIT_CONTIGUOUS: join = delimiter == c->delimiter; break;
    case SPLIT_MERGED_WITH_PREVIOUS: /* one delimiter, not a second one behind it */
        join = delimiter && !c->delimiter;
        break;
    case SPLIT_MERGED_WITH_NEXT: /* likewise the last one only */
        join = c->delimiter && !delimiter;
        break;
    case SPLIT_ISOLATED:
    case SPLIT_REMOVED: break;
    }
    c2c_status status = C2C_STATUS_OK;
    if (!c->waiting || !join) {
        status = cutter_flush(c);
        c->start = start;
    }
    c->end = end;
    c->waiting = true;
    c->delimiter = delimiter;
    return status;
}

/* Cuts a piece into matches and what lies between them, in order and without gaps. */
static c2c_status cut(const step *s, encoder *e, size_t index, piece in) {
    if (!s->pattern)
        return hand_on(s, e, index, in);
    cutter c = {.step = s, .encoder = e, .index = index, .in = in};
    pattern_scan scan = {.pattern = s->pattern, .text = in.bytes, .length = in.length};
    size_t previous = 0, start, end;
    bool found;
    c2c_status status = pattern_next(&scan, e->pattern, &found, &start, &end, e->error);
    while (status == C2C_STATUS_OK && found) {
        /* Empty text between two matches is no part; an empty match is one, and is dropped when
         * it is handed on. */
        if (start > previous)
            status = cutter_add(&c, previous, start, s->invert);
        if (status == C2C_STATUS_OK)
            status = cutter_add(&c, start, end, !s->invert);
        previous = end;
        if (status == C2C_STATUS_OK)
            status = pattern_next(&scan, e->pattern, &found, &start, &end, e->error);
    }
    if (status == C2C_STATUS_OK && previous < in.length)
        status = cutter_add(&c, previous, in.length, s->invert);
    return status == C2C_STATUS_OK ? cutter_flush(&c) : status;
}

/* ---- A mark before the piece -------------------------------------------------------------- */

/* Puts the mark before a piece that lacks it, then cuts. */
static c2c_status run_marked(const step *s, encoder *e, size_t index, piece in) {
    bool marked = in.length >= s->mark_length && memcmp(in.bytes, s->mark, s->mark_length) == 0;
    /* "First" means the start of the text, not of a piece: behind an added token there is no
     * mark. */
    bool wanted = s->prepend == PREPEND_ALWAYS ||
                  (s->prepend == PREPEND_FIRST && piece_origin(in, 0, 1).start == 0);
    if (marked || !wanted)
        return cut(s, e, index, in);
    piece_buffer *work = &e->steps[index];
    piece_buffer_clear(work);
    piece_buffer_prepend(work, s->mark, s->mark_length, in);
    if (work->bytes.failed)
        return error_memory(e->error, in.length, "a text with a mark before it");
    return cut(s, e, index, piece_buffer_view(work));
}

/* Spaces become the mark first; each mark stands for the space that it replaces. */
static c2c_status run_metaspace(const step *s, encoder *e, size_t index, piece in) {
    piece_buffer *work = &e->replaced[index];
    if (!memchr(in.bytes, ' ', in.length))
        return run_marked(s, e, index, in);
    piece_buffer_clear(work);
    for (size_t i = 0, end; i < in.length; i = end) {
        const char *space = memchr(in.bytes + i, ' ', in.length - i);
        end = space ? (size_t)(space - in.bytes) : in.length;
        piece_buffer_copy(work, piece_slice(in, i, end));
        if (space)
            piece_buffer_append(work, s->mark, s->mark_length, piece_origin(in, end, end + 1));
        end += space != NULL;
    }
    if (work->bytes.failed)
        return error_memory(e->error, in.length, "a text with marks for its spaces");
    return run_marked(s, e, index, piece_buffer_view(work));
}

/* ---- Loading ------------------------------------------------------------------------------ */

/* Takes the step over, its pattern too, even when there is no room. */
static c2c_status add_step(pre_tokenizer *p, step s, const char *where, const loader *l) {
    c2c_status status = C2C_STATUS_OK;
    if (!p->steps)
        p->steps = arena_alloc(l->arena, COMPONENT_LIMIT * sizeof *p->steps);
    if (!p->steps)
        status = error_memory(l->error, COMPONENT_LIMIT * sizeof *p->steps, "pre-tokenizers");
    else if (p->count == COMPONENT_LIMIT)
        status = error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d pre-tokenizers",
                           l->name, where, COMPONENT_LIMIT);
    else
        p->steps[p->count++] = s;
    if (status != C2C_STATUS_OK)
        pattern_free(s.pattern);
    return status;
}

/* trim_offsets of this component is read by the post-processor of the same name only. */
static c2c_status load_byte_level(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    static const bool yes = true;
    step s = {.run = run_marked, .map_bytes = true, .mark = " ", .mark_length = 1};
    bool use_regex = false, add_prefix_space = false;
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    c2c_status status =
        json_get_bool(value, "add_prefix_space", NULL, &add_prefix_space, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "use_regex", &yes, &use_regex, place, l->error);
    if (status == C2C_STATUS_OK && use_regex)
        status = pattern_compile(&s.pattern, gpt2_words, sizeof gpt2_words - 1, false, where, l);
    s.prepend = add_prefix_space ? PREPEND_ALWAYS : PREPEND_NEVER;
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

/* A step that cuts by an expression of ours. */
static c2c_status load_cut(void *list, const char *expression, step s, const char *where,
                           const loader *l) {
    s.run = cut;
    c2c_status status =
        pattern_compile(&s.pattern, expression, strlen(expression), false, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

/* What Unicode calls numbers (fractions and Roman numerals too), as Rust's is_numeric does. */
static c2c_status load_digits(void *list, const json_value *value, const char *where,
                              const loader *l) {
    bool individual = false;
    char place[WHERE_TEXT];
    c2c_status status = json_get_bool(value, "individual_digits", NULL, &individual,
                                      loader_where(place, l, where), l->error);
    step s = {.behavior = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS};
    return status == C2C_STATUS_OK ? load_cut(list, "\\p{N}", s, where, l) : status;
}

/* Words and rows of signs; the white space between them is gone. */
static c2c_status load_whitespace(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    (void)value;
    step s = {.behavior = SPLIT_REMOVED, .invert = true};
    return load_cut(list, whitespace_words, s, where, l);
}

static c2c_status load_whitespace_split(void *list, const json_value *value, const char *where,
                                        const loader *l) {
    (void)value;
    return load_cut(list, "\\s", (step){.behavior = SPLIT_REMOVED}, where, l);
}

static c2c_status read_behavior(split_behavior *behavior, const json_value *value,
                                const char *const *fallback, const char *where, const loader *l) {
    char place[WHERE_TEXT], excerpt[EXCERPT_TEXT];
    const char *name;
    c2c_status status = json_get_string(value, "behavior", fallback, &name,
                                        loader_where(place, l, where), l->error);
    if (status != C2C_STATUS_OK)
        return status;
    for (size_t i = 0; i < sizeof behavior_names / sizeof *behavior_names; i++)
        if (strcmp(behavior_names[i], name) == 0) {
            *behavior = (split_behavior)i;
            return C2C_STATUS_OK;
        }
    return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                     "%s: %s.behavior: \"%s\" is not supported; supported: Isolated, Removed, "
                     "MergedWithPrevious, MergedWithNext, Contiguous",
                     l->name, where, text_excerpt(excerpt, name, strlen(name)));
}

static c2c_status load_punctuation(void *list, const json_value *value, const char *where,
                                   const loader *l) {
    step s = {.run = cut};
    c2c_status status =
        read_behavior(&s.behavior, value, &behavior_names[SPLIT_ISOLATED], where, l);
    return status == C2C_STATUS_OK ? load_cut(list, punctuation, s, where, l) : status;
}

static c2c_status load_split(void *list, const json_value *value, const char *where,
                             const loader *l) {
    char place[WHERE_TEXT];
    step s = {.run = cut};
    c2c_status status = read_behavior(&s.behavior, value, NULL, where, l);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "invert", NULL, &s.invert, loader_where(place, l, where),
                               l->error);
    if (status == C2C_STATUS_OK)
        status = component_pattern(value, &s.pattern, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

/* Older files say add_prefix_space, false meaning never; others leave both out, meaning always. */
static c2c_status read_scheme(prepend_scheme *scheme, const json_value *value, const char *where,
                              const loader *l) {
    static const bool yes = true;
    char place[WHERE_TEXT], excerpt[EXCERPT_TEXT];
    bool add_prefix_space;
    const char *name, *always = scheme_names[PREPEND_ALWAYS];
    loader_where(place, l, where);
    c2c_status status =
        json_get_bool(value, "add_prefix_space", &yes, &add_prefix_space, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_string(value, "prepend_scheme",
                                 add_prefix_space ? &always : &scheme_names[PREPEND_NEVER], &name,
                                 place, l->error);
    if (status != C2C_STATUS_OK)
        return status;
    for (size_t i = 0; i < sizeof scheme_names / sizeof *scheme_names; i++)
        if (strcmp(scheme_names[i], name) == 0 && (add_prefix_space || i == PREPEND_NEVER)) {
            *scheme = (prepend_scheme)i;
            return C2C_STATUS_OK;
        }
    return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                     "%s: %s.prepend_scheme: \"%s\" is not supported%s; supported: never, first, "
                     "always",
                     l->name, where, text_excerpt(excerpt, name, strlen(name)),
                     add_prefix_space ? "" : " where add_prefix_space is false");
}

c2c_status metaspace_read(const json_value *value, const char **mark, size_t *length, bool *never,
                          const char *where, const loader *l) {
    prepend_scheme scheme = PREPEND_NEVER;
    c2c_status status = component_character(value, "replacement", mark, length, where, l);
    if (status == C2C_STATUS_OK)
        status = read_scheme(&scheme, value, where, l);
    *never = scheme == PREPEND_NEVER;
    return status;
}

static c2c_status load_metaspace(void *list, const json_value *value, const char *where,
                                 const loader *l) {
    static const bool yes = true;
    char place[WHERE_TEXT];
    step s = {.run = run_metaspace, .behavior = SPLIT_MERGED_WITH_NEXT};
    bool split = true;
    c2c_status status =
        component_character(value, "replacement", &s.mark, &s.mark_length, where, l);
    if (status == C2C_STATUS_OK)
        status = read_scheme(&s.prepend, value, where, l);
    if (status == C2C_STATUS_OK)
        status =
            json_get_bool(value, "split", &yes, &split, loader_where(place, l, where), l->error);
    if (status == C2C_STATUS_OK && split)
        status = pattern_compile(&s.pattern, s.mark, s.mark_length, true, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"ByteLevel", load_byte_level},
    {"Digits", load_digits},
    {"Metaspace", load_metaspace},
    {"Punctuation", load_punctuation},
    {"Sequence", load_sequence},
    {"Split", load_split},
    {"Whitespace", load_whitespace},
    {"WhitespaceSplit", load_whitespace_split},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "pretokenizers", where, l);
}

c2c_status pre_tokenizer_load(pre_tokenizer *p, const json_value *value, bool all_bytes,
                              const loader *l) {
    c2c_status status = component_load(kinds, p, value, "pre_tokenizer", l);
    /* Bytes that go straight to the model need not become characters: it knows them by byte. */
    if (status == C2C_STATUS_OK && all_bytes && p->count > 0 && p->steps[p->count - 1].map_bytes) {
        p->steps[p->count - 1].map_bytes = false;
        p->byte_level = true;
    }
    return status;
}

void pre_tokenizer_deinit(pre_tokenizer *p) {
    for (size_t i = 0; i < p->count; i++)
        pattern_free(p->steps[i].pattern);
}
