/* decoder.c - the "decoder" of tokenizer.json: steps that make text of the texts of tokens. A
 * step is one row of `kinds`, a loader, and up to three functions; it sees the texts of tokens,
 * the end of each token, and the end of all, and hands on the same three. So it works token by
 * token, and decoding at once is the same way run in one go. What a step must wait for, it keeps
 * in a text_stage.
 *
 * Hugging Face decodes a list of texts, each step making a new list. That cannot be streamed;
 * that each step here gives the same, however the text comes in pieces, is what the tests
 * compare. Memory is bounded by what waits: a character, a row of byte tokens, the marks that a
 * Strip may yet take away. */
#include "tokenizer/internal.h"

typedef struct decoder_step step;

/* On its way through the steps. */
typedef struct flow {
    text_stream *stream;
    buffer *out;
    c2c_status status;
    c2c_error *error;
} flow;

struct decoder_step {
    void (*text)(const step *s, flow *f, size_t index, const char *text, size_t length);
    void (*end)(const step *s, flow *f, size_t index);
    void (*finish)(const step *s, flow *f, size_t index); /* NULL: nothing waits */
    pattern *pattern;                                     /* owned */
    const char *mark, *content;
    size_t mark_length, content_length;
    int64_t start, stop;
    bool never;
};

/* To the next step, or out. Nothing is passed on for no text: an end may still follow. */
static void pass_text(flow *f, size_t index, const char *text, size_t length) {
    const decoder *d = &f->stream->tokenizer->decoder;
    if (length == 0)
        return;
    if (index == d->count)
        buffer_append(f->out, text, length);
    else
        d->steps[index].text(&d->steps[index], f, index, text, length);
}

/* The end of a token matters to steps that look at tokens as wholes, and must come even where no
 * text did. */
static void pass_end(flow *f, size_t index) {
    const decoder *d = &f->stream->tokenizer->decoder;
    if (index < d->count)
        d->steps[index].end(&d->steps[index], f, index);
}

static text_stage *stage_of(const flow *f, size_t index) {
    return &f->stream->stages[index];
}

/* For steps that see a token as a whole: its text gathers in `token`. */
static void gather(const step *s, flow *f, size_t index, const char *text, size_t length) {
    (void)s;
    buffer_append(&stage_of(f, index)->token, text, length);
}

static void pass_end_on(const step *s, flow *f, size_t index) {
    (void)s;
    pass_end(f, index + 1);
}

/* ---- No decoder: spaces between tokens ---------------------------------------------------- */

/* A space before every token but the first, when its first text or its end comes. */
static void spaces_begin(flow *f, size_t index) {
    text_stage *stage = stage_of(f, index);
    if (stage->started)
        return;
    stage->started = true;
    if (stage->count++ > 0)
        pass_text(f, index + 1, " ", 1);
}

static void spaces_text(const step *s, flow *f, size_t index, const char *text, size_t length) {
    (void)s;
    spaces_begin(f, index);
    pass_text(f, index + 1, text, length);
}

static void spaces_end(const step *s, flow *f, size_t index) {
    (void)s;
    spaces_begin(f, index); /* a token without text has its space too */
    stage_of(f, index)->started = false;
    pass_end(f, index + 1);
}

/* ---- ByteLevel ---------------------------------------------------------------------------- */

/* Bytes wait in `held` until they are whole characters. */
static void pass_characters(flow *f, size_t index, bool final) {
    text_stage *stage = stage_of(f, index);
    buffer_clear(&stage->token);
    utf8_flush(&stage->held, &stage->token, final);
    pass_text(f, index + 1, stage->token.data, stage->token.length);
    buffer_clear(&stage->token);
}

static void byte_level_end(const step *s, flow *f, size_t index) {
    (void)s;
    text_stage *stage = stage_of(f, index);
    byte_level_decode(stage->token.data, stage->token.length, &stage->held);
    pass_characters(f, index, false);
}

static void byte_level_finish(const step *s, flow *f, size_t index) {
    (void)s;
    pass_characters(f, index, true);
    pass_end(f, index + 1); /* it all was one token */
}

/* ---- ByteFallback ------------------------------------------------------------------------- */

static int hexadecimal(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that a token such as <0x0A> is, -1 for others. */
static int fallback_byte(const buffer *token) {
    if (token->length != 6 || memcmp(token->data, "<0x", 3) != 0 || token->data[5] != '>')
        return -1;
    int high = hexadecimal(token->data[3]), low = hexadecimal(token->data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A row of bytes is text only as a whole; one bad byte makes all of them U+FFFD. */
static void fallback_finish(const step *s, flow *f, size_t index) {
    (void)s;
    text_stage *stage = stage_of(f, index);
    size_t count = stage->held.length;
    bool good = count > 0 && utf8_valid_prefix(stage->held.data, count) == count;
    if (good) {
        pass_text(f, index + 1, stage->held.data, count);
        pass_end(f, index + 1);
    }
    for (size_t i = 0; !good && i < count; i++) {
        pass_text(f, index + 1, "\xef\xbf\xbd", 3);
        pass_end(f, index + 1);
    }
    buffer_clear(&stage->held);
}

static void fallback_end(const step *s, flow *f, size_t index) {
    text_stage *stage = stage_of(f, index);
    int byte = fallback_byte(&stage->token);
    if (byte >= 0) {
        buffer_append_char(&stage->held, (char)byte);
    } else {
        fallback_finish(s, f, index);
        pass_text(f, index + 1, stage->token.data, stage->token.length);
        pass_end(f, index + 1);
    }
    buffer_clear(&stage->token);
}

/* ---- Fuse --------------------------------------------------------------------------------- */

/* All tokens become one, whose end is the end of all. */
static void fuse_text(const step *s, flow *f, size_t index, const char *text, size_t length) {
    (void)s;
    pass_text(f, index + 1, text, length);
}

static void fuse_end(const step *s, flow *f, size_t index) {
    (void)s, (void)f, (void)index;
}

/* ---- Replace ------------------------------------------------------------------------------ */

/* Matches may span what came in pieces: only a whole token is searched. */
static void replace_end(const step *s, flow *f, size_t index) {
    text_stage *stage = stage_of(f, index);
    buffer *token = &stage->token;
    pattern_scan scan = {.pattern = s->pattern,
                         .text = token->data ? token->data : "",
                         .length = token->length};
    size_t copied = 0, start, end;
    bool found = token->length > 0;
    if (found && !f->stream->search && !(f->stream->search = pattern_work_new()))
        f->status = error_memory(f->error, 0, "decoding");
    while (found && f->status == C2C_STATUS_OK) {
        f->status = pattern_next(&scan, f->stream->search, &found, &start, &end, f->error);
        if (f->status != C2C_STATUS_OK || !found)
            break;
        /* A Replace could put 256 bytes for every character, and the next one again: what is
         * inserted is counted for all steps together. */
        f->stream->inserted += s->content_length;
        if (f->stream->inserted > GROWTH_FREE + GROWTH_TIMES * f->stream->taken) {
            f->status = error_set(f->error, C2C_STATUS_UNSUPPORTED,
                                  "tokenizer.json: decoder: Replace put more than %zu bytes into "
                                  "tokens of %zu",
                                  f->stream->inserted - s->content_length, f->stream->taken);
            break;
        }
        pass_text(f, index + 1, token->data + copied, start - copied);
        pass_text(f, index + 1, s->content, s->content_length);
        copied = end;
    }
    if (token->length > copied)
        pass_text(f, index + 1, token->data + copied, token->length - copied);
    pass_end(f, index + 1);
    buffer_clear(token);
}

/* ---- Strip -------------------------------------------------------------------------------- */

/* Marks at the end wait in `held`, no more of them than may be taken away. */
static void strip_character(const step *s, flow *f, size_t index, const char *text, size_t size) {
    text_stage *stage = stage_of(f, index);
    bool mark = size == s->mark_length && memcmp(text, s->mark, size) == 0;
    if (!stage->started && mark && (int64_t)stage->count < s->start) {
        stage->count++;
        return;
    }
    stage->started = true;
    if (mark && s->stop > 0) {
        if (stage->held.length / size < (size_t)s->stop)
            buffer_append(&stage->held, text, size);
        else
            pass_text(f, index + 1, text, size);
        return;
    }
    pass_text(f, index + 1, stage->held.data, stage->held.length);
    buffer_clear(&stage->held);
    pass_text(f, index + 1, text, size);
}

/* Behind the start, and with nothing to take at the end, all is passed at once. */
static void strip_text(const step *s, flow *f, size_t index, const char *text, size_t length) {
    const text_stage *stage = stage_of(f, index);
    for (size_t i = 0, size; i < length; i += size) {
        if (stage->started && s->stop == 0) {
            pass_text(f, index + 1, text + i, length - i);
            return;
        }
        utf8_read(text + i, &size);
        strip_character(s, f, index, text + i, size);
    }
}

/* What waited was at the end: gone. */
static void strip_end(const step *s, flow *f, size_t index) {
    (void)s;
    text_stage *stage = stage_of(f, index);
    stage->started = false;
    stage->count = 0;
    buffer_clear(&stage->held);
    pass_end(f, index + 1);
}

/* ---- Metaspace ---------------------------------------------------------------------------- */

/* Marks become spaces; those of the first token were put there by the pre-tokenizer. */
static void metaspace_text(const step *s, flow *f, size_t index, const char *text, size_t length) {
    bool drop = stage_of(f, index)->count == 0 && !s->never;
    size_t start = 0;
    for (size_t i = 0, size; i < length; i += size) {
        utf8_read(text + i, &size);
        if (size != s->mark_length || memcmp(text + i, s->mark, size) != 0)
            continue;
        pass_text(f, index + 1, text + start, i - start);
        if (!drop)
            pass_text(f, index + 1, " ", 1);
        start = i + size;
    }
    pass_text(f, index + 1, text + start, length - start);
}

static void metaspace_end(const step *s, flow *f, size_t index) {
    (void)s;
    stage_of(f, index)->count++;
    pass_end(f, index + 1);
}

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status add_step(decoder *d, step s, const char *where, const loader *l) {
    c2c_status status = C2C_STATUS_OK;
    if (!d->steps)
        d->steps = arena_alloc(l->arena, TEXT_STREAM_STAGES * sizeof *d->steps);
    if (!d->steps)
        status = error_memory(l->error, TEXT_STREAM_STAGES * sizeof *d->steps, "decoders");
    else if (d->count == TEXT_STREAM_STAGES)
        status = error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d decoders",
                           l->name, where, TEXT_STREAM_STAGES);
    else
        d->steps[d->count++] = s;
    if (status != C2C_STATUS_OK)
        pattern_free(s.pattern);
    return status;
}

static c2c_status load_byte_level(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    (void)value;
    step s = {.text = gather, .end = byte_level_end, .finish = byte_level_finish};
    return add_step(list, s, where, l);
}

static c2c_status load_byte_fallback(void *list, const json_value *value, const char *where,
                                     const loader *l) {
    (void)value;
    step s = {.text = gather, .end = fallback_end, .finish = fallback_finish};
    return add_step(list, s, where, l);
}

static c2c_status load_fuse(void *list, const json_value *value, const char *where,
                            const loader *l) {
    (void)value;
    return add_step(list, (step){.text = fuse_text, .end = fuse_end, .finish = pass_end_on}, where,
                    l);
}

static c2c_status load_metaspace(void *list, const json_value *value, const char *where,
                                 const loader *l) {
    step s = {.text = metaspace_text, .end = metaspace_end};
    c2c_status status = metaspace_read(value, &s.mark, &s.mark_length, &s.never, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_replace(void *list, const json_value *value, const char *where,
                               const loader *l) {
    step s = {.text = gather, .end = replace_end};
    c2c_status status = component_text(value, "content", &s.content, &s.content_length, where, l);
    if (status == C2C_STATUS_OK)
        status = component_pattern(value, &s.pattern, where, l);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_strip(void *list, const json_value *value, const char *where,
                             const loader *l) {
    step s = {.text = strip_text, .end = strip_end};
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    c2c_status status = component_character(value, "content", &s.mark, &s.mark_length, where, l);
    if (status == C2C_STATUS_OK)
        status = json_get_integer(value, "start", NULL, 0, INT32_MAX, &s.start, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_integer(value, "stop", NULL, 0, INT32_MAX, &s.stop, place, l->error);
    return status == C2C_STATUS_OK ? add_step(list, s, where, l) : status;
}

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"ByteFallback", load_byte_fallback},
    {"ByteLevel", load_byte_level},
    {"Fuse", load_fuse},
    {"Metaspace", load_metaspace},
    {"Replace", load_replace},
    {"Sequence", load_sequence},
    {"Strip", load_strip},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "decoders", where, l);
}

c2c_status decoder_load(decoder *d, const json_value *value, const loader *l) {
    if (!value || value->type == JSON_NULL)
        return add_step(d, (step){.text = spaces_text, .end = spaces_end}, "decoder", l);
    return component_load(kinds, d, value, "decoder", l);
}

void decoder_deinit(decoder *d) {
    for (size_t i = 0; i < d->count; i++)
        pattern_free(d->steps[i].pattern);
}

/* ---- Text from ids ------------------------------------------------------------------------ */

void text_stream_init(text_stream *s, const tokenizer *t, bool skip_special) {
    *s = (text_stream){.tokenizer = t, .skip_special = skip_special};
}

void text_stream_deinit(text_stream *s) {
    pattern_work_free(s->search);
    for (size_t i = 0; i < TEXT_STREAM_STAGES; i++) {
        buffer_free(&s->stages[i].token);
        buffer_free(&s->stages[i].held);
    }
}

static void push(flow *f, int32_t id) {
    const text_stream *s = f->stream;
    const vocabulary_token *token = vocabulary_token_of(&s->tokenizer->vocabulary, id);
    if (!token || (s->skip_special && token->special))
        return;
    f->stream->taken += token->length;
    pass_text(f, 0, token->text, token->length);
    pass_end(f, 0);
}

/* First to last: what a step gives at its end, the later ones still work on. */
static void finish(flow *f) {
    const decoder *d = &f->stream->tokenizer->decoder;
    for (size_t i = 0; i < d->count; i++)
        if (d->steps[i].finish)
            d->steps[i].finish(&d->steps[i], f, i);
}

/* Buffers remember that they failed; this is where it is asked. */
static c2c_status flow_status(const flow *f) {
    bool failed = f->out->failed;
    for (size_t i = 0; i < TEXT_STREAM_STAGES; i++)
        failed |= f->stream->stages[i].token.failed || f->stream->stages[i].held.failed;
    if (f->status == C2C_STATUS_OK && failed)
        return error_memory(f->error, f->out->length, "decoded text");
    return f->status;
}

c2c_status text_stream_push(text_stream *s, int32_t id, buffer *out, c2c_error *error) {
    flow f = {.stream = s, .out = out, .error = error};
    push(&f, id);
    return flow_status(&f);
}

c2c_status text_stream_finish(text_stream *s, buffer *out, c2c_error *error) {
    flow f = {.stream = s, .out = out, .error = error};
    finish(&f);
    return flow_status(&f);
}

c2c_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t count, bool skip_special,
                            buffer *out, c2c_error *error) {
    text_stream s;
    text_stream_init(&s, t, skip_special);
    flow f = {.stream = &s, .out = out, .error = error};
    for (size_t i = 0; i < count && f.status == C2C_STATUS_OK; i++)
        push(&f, ids[i]);
    if (f.status == C2C_STATUS_OK)
        finish(&f);
    c2c_status status = flow_status(&f);
    text_stream_deinit(&s);
    return status;
}
