/* pre_tokenizer.c - the "pre_tokenizer" of tokenizer.json: steps that cut text into the words that
 * the model sees. Each step cuts its piece and hands the parts to the next one, the last to the
 * model. A step is one row of `kinds`, one loader and one function. */
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

typedef struct pre_tokenizer_step step;

struct pre_tokenizer_step {
    c2c_status (*run)(const step *s, encoder *e, size_t index, piece in);
    pattern *pattern; /* owned; NULL: nothing is cut */
    split_behavior behavior;
    bool invert;           /* what does not match is the delimiter */
    bool add_prefix_space; /* before a piece that does not start with one */
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

static c2c_status cutter_flush(cutter *c) {
    bool drop = !c->waiting || (c->delimiter && c->step->behavior == SPLIT_REMOVED);
    c->waiting = false;
    if (drop)
        return C2C_STATUS_OK;
    return run_from(c->encoder, c->index + 1, piece_slice(c->in, c->start, c->end));
}

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

static c2c_status cut(const step *s, encoder *e, size_t index, piece in) {
    if (!s->pattern)
        return run_from(e, index + 1, in);
    cutter c = {.step = s, .encoder = e, .index = index, .in = in};
    pattern_scan scan = {.pattern = s->pattern, .text = in.bytes, .length = in.length};
    size_t previous = 0, start, end;
    bool found;
    c2c_status status = pattern_next(&scan, e->pattern, &found, &start, &end, e->error);
    while (status == C2C_STATUS_OK && found) {
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

/* ---- ByteLevel ---------------------------------------------------------------------------- */

/* Bytes become characters of the byte-level alphabet only in the model, which knows them by byte;
 * here the piece is at most given its space. */
static c2c_status run_byte_level(const step *s, encoder *e, size_t index, piece in) {
    if (!s->add_prefix_space || in.bytes[0] == ' ')
        return cut(s, e, index, in);
    piece_buffer *work = &e->steps[index];
    piece_buffer_clear(work);
    size_t size = 1;
    utf8_read(in.bytes, &size);
    /* The space comes from where the first character came from. */
    piece_buffer_append(work, " ", 1, piece_origin(in, 0, size));
    for (size_t i = 0; i < in.length; i += size) {
        utf8_read(in.bytes + i, &size);
        piece_buffer_append(work, in.bytes + i, size, piece_origin(in, i, i + size));
    }
    if (work->bytes.failed)
        return error_memory(e->error, in.length, "a text with a space before it");
    return cut(s, e, index, piece_buffer_view(work));
}

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status add_step(pre_tokenizer *p, step s, const char *where, const loader *l) {
    c2c_status status = C2C_STATUS_OK;
    if (!p->steps)
        p->steps = arena_alloc(l->arena, COMPONENT_LIMIT * sizeof *p->steps);
    if (!p->steps)
        status = error_memory(l->error, COMPONENT_LIMIT * sizeof *p->steps, "pre-tokenizers");
    else if (p->count == COMPONENT_LIMIT)
        status = error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d pre-tokenizers",
                           l->name, where, COMPONENT_LIMIT);
    else if (p->byte_level)
        status =
            error_set(l->error, C2C_STATUS_UNSUPPORTED,
                      "%s: %s: a pre-tokenizer after ByteLevel is not supported", l->name, where);
    else
        p->steps[p->count++] = s;
    if (status != C2C_STATUS_OK)
        pattern_free(s.pattern);
    return status;
}

static c2c_status load_byte_level(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    static const bool yes = true;
    pre_tokenizer *p = list;
    step s = {.run = run_byte_level};
    bool use_regex = false;
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    c2c_status status =
        json_get_bool(value, "add_prefix_space", NULL, &s.add_prefix_space, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "use_regex", &yes, &use_regex, place, l->error);
    if (status == C2C_STATUS_OK && use_regex)
        status = pattern_compile(&s.pattern, gpt2_words, sizeof gpt2_words - 1, false, where, l);
    if (status == C2C_STATUS_OK)
        status = add_step(p, s, where, l);
    if (status == C2C_STATUS_OK)
        p->byte_level = true;
    return status;
}

static c2c_status read_behavior(split_behavior *behavior, const json_value *value,
                                const char *where, const loader *l) {
    char place[WHERE_TEXT], excerpt[EXCERPT_TEXT];
    const char *name;
    c2c_status status =
        json_get_string(value, "behavior", NULL, &name, loader_where(place, l, where), l->error);
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

static c2c_status load_split(void *list, const json_value *value, const char *where,
                             const loader *l) {
    char place[WHERE_TEXT];
    step s = {.run = cut};
    const json_value *expression = json_get(json_get(value, "pattern"), "Regex");
    const json_value *literal = json_get(json_get(value, "pattern"), "String");
    const json_value *text = expression ? expression : literal;
    if (!text || text->type != JSON_STRING || (expression && literal))
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: %s.pattern: expected {\"Regex\": a string} or {\"String\": a string}",
                         l->name, where);
    c2c_status status = read_behavior(&s.behavior, value, where, l);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "invert", NULL, &s.invert, loader_where(place, l, where),
                               l->error);
    if (status == C2C_STATUS_OK)
        status = pattern_compile(&s.pattern, text->string, text->count, literal != NULL, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"ByteLevel", load_byte_level},
    {"Sequence", load_sequence},
    {"Split", load_split},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "pretokenizers", where, l);
}

c2c_status pre_tokenizer_load(pre_tokenizer *p, const json_value *value, const loader *l) {
    return component_load(kinds, p, value, "pre_tokenizer", l);
}

void pre_tokenizer_deinit(pre_tokenizer *p) {
    for (size_t i = 0; i < p->count; i++)
        pattern_free(p->steps[i].pattern);
}
