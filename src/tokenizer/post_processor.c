/* post_processor.c - the "post_processor" of tokenizer.json: tokens that are put around a text,
 * and offsets that are trimmed to what is no space. It sees one text: pairs of texts, of which
 * the file speaks too, are not encoded here. It works on the encoder's tokens in place, while
 * offsets still count bytes of the text. */
#include "tokenizer/internal.h"

#define SPECIAL_LIMIT 64

struct post_step {
    c2c_status (*run)(const struct post_step *s, encoder *e, bool add_special);
    bool add_prefix_space;
    int32_t *before, *after; /* ids around the text; NULL: it adds none */
    size_t before_count, after_count;
};

static c2c_status add_step(post_processor *p, struct post_step step, const char *where,
                           const loader *l) {
    if (!p->steps)
        p->steps = arena_alloc(l->arena, COMPONENT_LIMIT * sizeof *p->steps);
    if (!p->steps)
        return error_memory(l->error, COMPONENT_LIMIT * sizeof *p->steps, "post-processors");
    if (p->count == COMPONENT_LIMIT)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: %s: more than %d post-processors",
                         l->name, where, COMPONENT_LIMIT);
    /* Hugging Face gives the tokens of the first one once more, or fails: nobody can mean that. */
    for (size_t i = 0; step.before && i < p->count; i++)
        if (p->steps[i].before)
            return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                             "%s: %s: a second post-processor that adds tokens is not supported",
                             l->name, where);
    p->steps[p->count++] = step;
    return C2C_STATUS_OK;
}

c2c_status post_processor_run(const post_processor *p, encoder *e, bool add_special) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < p->count && status == C2C_STATUS_OK; i++)
        status = p->steps[i].run(&p->steps[i], e, add_special);
    return status;
}

/* ---- ByteLevel: trimmed offsets ----------------------------------------------------------- */

/* A space as it is written in the text, or in the byte-level alphabet. */
static bool is_space(uint32_t character) {
    return unicode_is_space(character) || character == byte_level_character(' ');
}

/* Counted in characters: one byte-level space is one space of the text. */
size_t leading_spaces(const char *text, size_t length) {
    size_t count = 0, size;
    for (size_t i = 0; i < length && is_space(utf8_read(text + i, &size)); i += size)
        count++;
    return count;
}

size_t trailing_spaces(const char *text, size_t length) {
    size_t count = 0, size;
    for (size_t i = length; i > 0; count++) {
        i = character_before(text, i);
        if (!is_space(utf8_read(text + i, &size)))
            break;
    }
    return count;
}

/* Moves the ends of one token inwards by that many characters. */
static void trim(const struct post_step *s, const encoder *e, token *t, bool first, size_t leading,
                 size_t trailing) {
    size_t size;
    /* The first space may be one that the pre-tokenizer put there. */
    if ((first || t->start == 0) && s->add_prefix_space && leading == 1)
        leading = 0;
    for (; leading > 0 && t->start < t->end; leading--) {
        utf8_read(e->text + t->start, &size);
        t->start += (int32_t)size;
    }
    for (; trailing > 0 && t->end > t->start; trailing--)
        t->end = (int32_t)character_before(e->text, (size_t)t->end);
}

/* As many as the token's text has spaces; for an added token, the text that it was found as. */
static c2c_status run_trim(const struct post_step *s, encoder *e, bool add_special) {
    (void)add_special;
    /* Added tokens that took white space with them were noted in the order of tokens, so one
     * walk finds them. */
    size_t next = 0;
    for (size_t i = e->first; i < e->out->count; i++) {
        token *t = &e->out->items[i];
        const vocabulary_token *known = vocabulary_token_of(&e->tokenizer->vocabulary, t->id);
        size_t leading = leading_spaces(known->text, known->length);
        size_t trailing = trailing_spaces(known->text, known->length);
        /* An added token may have been found with the white space beside it: then that was its
         * text. */
        if (next < e->stripped_count && e->stripped[next].token == i - e->first) {
            leading = e->stripped[next].leading;
            trailing = e->stripped[next++].trailing;
        }
        trim(s, e, t, i == e->first, leading, trailing);
    }
    return C2C_STATUS_OK;
}

static c2c_status load_byte_level(void *list, const json_value *value, const char *where,
                                  const loader *l) {
    struct post_step step = {.run = run_trim};
    bool trim_offsets = false;
    char place[WHERE_TEXT];
    loader_where(place, l, where);
    c2c_status status =
        json_get_bool(value, "add_prefix_space", NULL, &step.add_prefix_space, place, l->error);
    if (status == C2C_STATUS_OK)
        status = json_get_bool(value, "trim_offsets", NULL, &trim_offsets, place, l->error);
    if (status != C2C_STATUS_OK || !trim_offsets)
        return status;
    return add_step(list, step, where, l);
}

/* ---- TemplateProcessing ------------------------------------------------------------------- */

/* Special tokens stand for no text: offsets (0, 0). */
static c2c_status run_template(const struct post_step *s, encoder *e, bool add_special) {
    if (!add_special)
        return C2C_STATUS_OK;
    size_t added = s->before_count + s->after_count, count = e->out->count - e->first;
    c2c_status status = token_list_reserve(e->out, added, e->error);
    if (status != C2C_STATUS_OK || added == 0)
        return status;
    token *tokens = e->out->items + e->first;
    memmove(tokens + s->before_count, tokens, count * sizeof *tokens);
    for (size_t i = 0; i < s->before_count; i++)
        tokens[i] = (token){s->before[i], 0, 0};
    for (size_t i = 0; i < s->after_count; i++)
        tokens[s->before_count + count + i] = (token){s->after[i], 0, 0};
    e->out->count += added;
    e->first += s->before_count; /* later steps see the text's own first token */
    return C2C_STATUS_OK;
}

/* The ids of one special token of the template, appended to `ids` (SPECIAL_LIMIT of them). */
static c2c_status read_special(const vocabulary *v, const json_value *template,
                               const json_value *name, int32_t *ids, size_t *count,
                               const char *where, const loader *l) {
    const char *text = name && name->type == JSON_STRING ? name->string : "";
    const json_value *list = json_get(json_get(json_get(template, "special_tokens"), text), "ids");
    char excerpt[EXCERPT_TEXT];
    text_excerpt(excerpt, text, strlen(text));
    if (!list || list->type != JSON_ARRAY)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: %s.special_tokens: expected the ids of \"%s\", found none", l->name,
                         where, excerpt);
    for (uint32_t i = 0; i < list->count; i++) {
        const json_value *id = &list->items[i];
        if (id->type != JSON_INTEGER || !vocabulary_token_of(v, id->integer))
            return error_set(l->error, C2C_STATUS_BAD_FILE,
                             "%s: %s.special_tokens: \"%s\": expected ids of tokens", l->name,
                             where, excerpt);
        if (*count == SPECIAL_LIMIT)
            return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                             "%s: %s: more than %d special tokens on one side of the text", l->name,
                             where, SPECIAL_LIMIT);
        ids[(*count)++] = (int32_t)id->integer;
    }
    return C2C_STATUS_OK;
}

/* Only "single" matters: pairs of texts are not encoded here. */
static c2c_status load_template(void *list, const json_value *value, const char *where,
                                const loader *l) {
    post_processor *p = list;
    struct post_step step = {.run = run_template};
    int32_t *ids = arena_alloc(l->arena, 2 * SPECIAL_LIMIT * sizeof *ids);
    if (!ids)
        return error_memory(l->error, 2 * SPECIAL_LIMIT * sizeof *ids, "special tokens");
    step.before = ids;
    step.after = ids + SPECIAL_LIMIT;
    const json_value *single = json_get(value, "single");
    bool seen = false, good = single && single->type == JSON_ARRAY;
    for (uint32_t i = 0; good && i < single->count; i++) {
        const json_value *special = json_get(&single->items[i], "SpecialToken");
        const json_value *id = json_get(json_get(&single->items[i], "Sequence"), "id");
        if (special) {
            c2c_status status =
                read_special(p->vocabulary, value, json_get(special, "id"),
                             seen ? step.after : step.before,
                             seen ? &step.after_count : &step.before_count, where, l);
            if (status != C2C_STATUS_OK)
                return status;
        } else {
            good = !seen && id && id->type == JSON_STRING && strcmp(id->string, "A") == 0;
            seen = true;
        }
    }
    if (!good || !seen)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s.single: expected special tokens and the sequence A, once", l->name,
                         where);
    return add_step(p, step, where, l);
}

/* ---- RobertaProcessing -------------------------------------------------------------------- */

/* The id of ["text", id]. */
static c2c_status read_pair(const post_processor *p, const json_value *value, const char *key,
                            int32_t *id, const char *where, const loader *l) {
    const json_value *pair = json_get(value, key);
    if (!pair || pair->type != JSON_ARRAY || pair->count != 2 ||
        pair->items[1].type != JSON_INTEGER ||
        !vocabulary_token_of(p->vocabulary, pair->items[1].integer))
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: %s.%s: expected [a token's text, its id]", l->name, where, key);
    *id = (int32_t)pair->items[1].integer;
    return C2C_STATUS_OK;
}

/* Trimmed offsets, and one token on each side. */
static c2c_status load_roberta(void *list, const json_value *value, const char *where,
                               const loader *l) {
    post_processor *p = list;
    struct post_step step = {.run = run_template, .before_count = 1, .after_count = 1};
    int32_t *ids = arena_alloc(l->arena, 2 * sizeof *ids);
    if (!ids)
        return error_memory(l->error, 2 * sizeof *ids, "special tokens");
    step.before = ids;
    step.after = ids + 1;
    c2c_status status = load_byte_level(list, value, where, l);
    if (status == C2C_STATUS_OK)
        status = read_pair(p, value, "cls", &ids[0], where, l);
    if (status == C2C_STATUS_OK)
        status = read_pair(p, value, "sep", &ids[1], where, l);
    return status == C2C_STATUS_OK ? add_step(p, step, where, l) : status;
}

/* ---- Loading ------------------------------------------------------------------------------ */

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l);

static const component_kind kinds[] = {
    {"ByteLevel", load_byte_level},
    {"RobertaProcessing", load_roberta},
    {"Sequence", load_sequence},
    {"TemplateProcessing", load_template},
    {NULL, NULL},
};

static c2c_status load_sequence(void *list, const json_value *value, const char *where,
                                const loader *l) {
    return component_load_sequence(kinds, list, value, "processors", where, l);
}

c2c_status post_processor_load(post_processor *p, const vocabulary *v, const json_value *value,
                               const loader *l) {
    p->vocabulary = v;
    return component_load(kinds, p, value, "post_processor", l);
}
