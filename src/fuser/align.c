/* align.c - one chat as rows of ids for models with different tokenizers, position by position.
 *
 * Each model renders the chat with its own template, which also tells where the message contents
 * stand (chat_template_render_spans). Contents that every model shows, in the same order, are the
 * common ones; everything between them is template. A template part keeps each model's own ids, the
 * shorter rows padded at the part's end; a content keeps the receiver's ids, and each of them is
 * mapped to one id of each sharer. */
#include "fuser/fuser.h"

#include <stdlib.h>

/* One model's rendering. `spans` holds the contents, after matching the common ones alone. */
typedef struct rendering {
    const c2c_model *model;
    buffer text;
    content_spans spans;
    token_list part; /* ids of the part at hand */
} rendering;

typedef struct aligner {
    rendering *renderings; /* [models] the receiver first */
    size_t models;
    c2c_align_strategy strategy;
    c2c_alignment *result;
    int64_t capacity;
    size_t section_capacity;
    buffer text; /* of one token */
    token_list tokens;
    c2c_error *error;
} aligner;

/* ---- Rendering and matching --------------------------------------------------------------- */

/* With an open end, the chat before the last message opens the assistant's turn, and the last
 * content follows as it is. */
static c2c_status render_open_end(rendering *r, const json_value *messages, const c2c_moment *now,
                                  c2c_error *error) {
    const json_value *last = &messages->items[messages->count - 1];
    const json_value *content = json_get(last, "content");
    const c2c_chat_options options = {.add_generation_prompt = true,
                                      .thinking = C2C_THINKING_OFF,
                                      .now = now};
    json_value before = *messages;
    before.count--;
    c2c_status status = chat_template_render_spans(r->model->chat_template, &before, &options,
                                                   &r->text, &r->spans, error);
    if (status || content->count == 0)
        return status;
    r->spans.items[r->spans.count++] =
        (content_span){r->text.length, r->text.length + content->count, (int)messages->count - 1};
    buffer_append(&r->text, content->string, content->count);
    return r->text.failed ? error_memory(error, r->text.length, "a chat") : C2C_STATUS_OK;
}

static c2c_status render(rendering *r, const json_value *messages, const c2c_align_options *options,
                         c2c_error *error) {
    const c2c_chat_options chat = {.add_generation_prompt = options->add_generation_prompt,
                                   .thinking = C2C_THINKING_OFF,
                                   .now = options->now};
    c2c_status status = options->open_end
                            ? render_open_end(r, messages, options->now, error)
                            : chat_template_render_spans(r->model->chat_template, messages, &chat,
                                                         &r->text, &r->spans, error);
    buffer_append(&r->text, "", 0);
    return status;
}

/* Leaves the contents that all models show: for each of the receiver's, the next of the same
 * message in every other rendering. The rest becomes template. */
static c2c_status match_contents(const aligner *a) {
    size_t *next = calloc(a->models, sizeof *next), common = 0;
    if (!next)
        return error_memory(a->error, a->models * sizeof *next, "an alignment");
    content_spans *first = &a->renderings[0].spans;
    for (size_t i = 0; i < first->count; i++) {
        bool everywhere = true;
        for (size_t m = 1; m < a->models; m++) {
            const content_spans *spans = &a->renderings[m].spans;
            size_t at = next[m];
            while (at < spans->count && spans->items[at].message != first->items[i].message)
                at++;
            everywhere = everywhere && at < spans->count;
            next[m] = everywhere ? at : next[m];
        }
        if (!everywhere)
            continue;
        for (size_t m = 1; m < a->models; m++)
            a->renderings[m].spans.items[common] = a->renderings[m].spans.items[next[m]++];
        first->items[common++] = first->items[i];
    }
    for (size_t m = 0; m < a->models; m++)
        a->renderings[m].spans.count = common;
    free(next);
    return C2C_STATUS_OK;
}

/* ---- Growing rows ------------------------------------------------------------------------- */

/* Room for `count` more positions, which are padding at first. */
static c2c_status add_positions(aligner *a, int64_t count) {
    c2c_alignment *out = a->result;
    if (out->token_count + count > a->capacity) {
        int64_t capacity = 2 * (out->token_count + count);
        size_t bytes = (size_t)capacity * sizeof(int32_t);
        for (size_t m = 0; m < a->models; m++) {
            int32_t **row = m ? &out->sharer_ids[m - 1] : &out->ids;
            int32_t *grown = realloc(*row, bytes);
            if (!grown)
                return error_memory(a->error, bytes, "an alignment");
            *row = grown;
        }
        a->capacity = capacity;
    }
    for (size_t m = 0; m < a->models; m++) {
        int32_t *row = m ? out->sharer_ids[m - 1] : out->ids;
        for (int64_t i = 0; i < count; i++)
            row[out->token_count + i] = C2C_PADDING;
    }
    out->token_count += count;
    return C2C_STATUS_OK;
}

/* Neighbours of one mask are one section. */
static c2c_status add_section(aligner *a, int64_t length, int32_t mask) {
    c2c_alignment *out = a->result;
    c2c_section *last = out->section_count ? &out->sections[out->section_count - 1] : NULL;
    if (length == 0)
        return C2C_STATUS_OK;
    if (last && last->mask == mask) {
        last->length += length;
        return C2C_STATUS_OK;
    }
    if (out->section_count == a->section_capacity) {
        size_t capacity = 2 * a->section_capacity + 8, bytes = capacity * sizeof *out->sections;
        c2c_section *grown = realloc(out->sections, bytes);
        if (!grown)
            return error_memory(a->error, bytes, "an alignment");
        out->sections = grown;
        a->section_capacity = capacity;
    }
    out->sections[out->section_count++] = (c2c_section){.length = length, .mask = mask};
    return C2C_STATUS_OK;
}

/* ---- Template parts ----------------------------------------------------------------------- */

/* The ids of bytes start .. end-1, encoded on their own, into r->part. */
static c2c_status encode_part(rendering *r, size_t start, size_t end, c2c_error *error) {
    r->part.count = 0;
    return tokenizer_encode(r->model->tokenizer, r->text.data + start, end - start, false, &r->part,
                            error);
}

/* What stands before content `i` (or at the end) in every rendering. */
static c2c_status add_template(aligner *a, size_t i) {
    int64_t longest = 0, first = a->result->token_count;
    for (size_t m = 0; m < a->models; m++) {
        rendering *r = &a->renderings[m];
        size_t start = i ? r->spans.items[i - 1].end : 0;
        size_t end = i < r->spans.count ? r->spans.items[i].start : r->text.length;
        c2c_status status = encode_part(r, start, end, a->error);
        if (status)
            return status;
        longest = max_i64(longest, (int64_t)r->part.count);
    }
    c2c_status status = add_positions(a, longest);
    for (size_t m = 0; m < a->models && !status; m++) {
        int32_t *row = m ? a->result->sharer_ids[m - 1] : a->result->ids;
        for (size_t t = 0; t < a->renderings[m].part.count; t++)
            row[first + (int64_t)t] = a->renderings[m].part.items[t].id;
    }
    return status ? status : add_section(a, longest, -1);
}

/* ---- Contents ----------------------------------------------------------------------------- */

static const char *const roles[] = {"pad_token", "eos_token", "bos_token", "unk_token"};
enum { ROLES = sizeof roles / sizeof *roles };

/* The id of a role's token, or -1. A missing pad token falls back to eos. */
static int32_t role_id(const c2c_model *model, int role) {
    const char *text = chat_template_token(model->chat_template, roles[role]);
    if (!text && role == 0)
        text = chat_template_token(model->chat_template, roles[1]);
    return text ? tokenizer_find(model->tokenizer, text, strlen(text)) : -1;
}

static int32_t unknown_id(const c2c_model *model) {
    int32_t id = role_id(model, ROLES - 1);
    return id < 0 ? 0 : id;
}

/* By role, the later one when an id has several; then by text. */
static int32_t map_special(const aligner *a, int32_t id, const c2c_model *sharer) {
    for (int role = ROLES - 1; role >= 0; role--) {
        if (role_id(a->renderings[0].model, role) != id)
            continue;
        int32_t mapped = role_id(sharer, role);
        if (mapped >= 0)
            return mapped;
        break;
    }
    int32_t same = tokenizer_find(sharer->tokenizer, a->text.data, a->text.length);
    return same < 0 ? unknown_id(sharer) : same;
}

static size_t count_characters(const char *text, size_t length) {
    size_t characters = 0;
    for (size_t i = 0; i < length; i++)
        characters += ((unsigned char)text[i] & 0xc0) != 0x80;
    return characters;
}

/* Of several tokens the one whose decoded text is longest, the first of equals. */
static c2c_status choose_longest(aligner *a, const c2c_model *sharer, int32_t *id) {
    size_t longest = 0;
    *id = a->tokens.items[0].id;
    for (size_t i = 0; i < a->tokens.count; i++) {
        buffer_clear(&a->text);
        c2c_status status = tokenizer_decode(sharer->tokenizer, &a->tokens.items[i].id, 1, false,
                                             &a->text, a->error);
        if (status)
            return status;
        size_t characters = count_characters(a->text.data, a->text.length);
        if (characters > longest) {
            longest = characters;
            *id = a->tokens.items[i].id;
        }
    }
    return C2C_STATUS_OK;
}

/* The sharer's one id for one id of the receiver. */
static c2c_status map_token(aligner *a, int32_t id, const c2c_model *sharer, int32_t *mapped) {
    const c2c_model *receiver = a->renderings[0].model;
    buffer_clear(&a->text);
    c2c_status status = tokenizer_decode(receiver->tokenizer, &id, 1, false, &a->text, a->error);
    buffer_append(&a->text, "", 0);
    if (status)
        return status;
    if (a->text.failed)
        return error_memory(a->error, a->text.length, "a token");
    if (chat_template_is_token(receiver->chat_template, a->text.data, a->text.length)) {
        *mapped = map_special(a, id, sharer);
        return C2C_STATUS_OK;
    }
    a->tokens.count = 0;
    status = tokenizer_encode(sharer->tokenizer, a->text.data, a->text.length, false, &a->tokens,
                              a->error);
    if (status)
        return status;
    if (a->tokens.count == 0)
        *mapped = unknown_id(sharer);
    else if (a->tokens.count == 1 || a->strategy == C2C_ALIGN_FIRST)
        *mapped = a->tokens.items[0].id;
    else
        status = choose_longest(a, sharer, mapped);
    return status;
}

static c2c_status add_content(aligner *a, size_t i) {
    rendering *receiver = &a->renderings[0];
    const content_span *span = &receiver->spans.items[i];
    c2c_status status = encode_part(receiver, span->start, span->end, a->error);
    int64_t first = a->result->token_count, count = (int64_t)receiver->part.count;
    if (status || (status = add_positions(a, count)))
        return status;
    for (int64_t t = 0; t < count; t++) {
        int32_t id = receiver->part.items[t].id;
        a->result->ids[first + t] = id;
        for (size_t m = 1; m < a->models && !status; m++)
            status =
                map_token(a, id, a->renderings[m].model, &a->result->sharer_ids[m - 1][first + t]);
    }
    int32_t all = (int32_t)((UINT32_C(1) << (a->models - 1)) - 1);
    return status ? status : add_section(a, count, all);
}

/* ---- The whole ---------------------------------------------------------------------------- */

static c2c_status check_open_end(const json_value *messages, c2c_error *error) {
    const json_value *last = messages->count ? &messages->items[messages->count - 1] : NULL;
    const json_value *role = json_get(last, "role");
    if (role && strcmp(role->string, "assistant") == 0)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "an open end needs an assistant message at the end of the chat");
}

static c2c_status align(aligner *a, const json_value *messages, const c2c_align_options *options) {
    c2c_status status = C2C_STATUS_OK;
    if (options->open_end)
        status = check_open_end(messages, a->error);
    for (size_t m = 0; m < a->models && !status; m++)
        status = render(&a->renderings[m], messages, options, a->error);
    if (status || (status = match_contents(a)))
        return status;
    size_t contents = a->renderings[0].spans.count;
    for (size_t i = 0; i <= contents && !status; i++) {
        status = add_template(a, i);
        if (!status && i < contents)
            status = add_content(a, i);
    }
    return status;
}

static c2c_status aligner_init(aligner *a, const c2c_model *receiver,
                               const c2c_model *const *sharers, size_t sharer_count) {
    size_t bytes = (sharer_count + 1) * sizeof *a->renderings;
    a->models = sharer_count + 1;
    a->renderings = calloc(a->models, sizeof *a->renderings);
    a->result = calloc(1, sizeof *a->result);
    if (!a->renderings || !a->result)
        return error_memory(a->error, bytes, "an alignment");
    a->result->sharer_ids = calloc(a->models, sizeof *a->result->sharer_ids);
    if (!a->result->sharer_ids)
        return error_memory(a->error, bytes, "an alignment");
    a->result->sharer_count = sharer_count;
    for (size_t m = 0; m < a->models; m++)
        a->renderings[m].model = m ? sharers[m - 1] : receiver;
    return C2C_STATUS_OK;
}

static void aligner_deinit(aligner *a) {
    for (size_t m = 0; a->renderings && m < a->models; m++) {
        buffer_free(&a->renderings[m].text);
        free(a->renderings[m].spans.items);
        token_list_free(&a->renderings[m].part);
    }
    free(a->renderings);
    buffer_free(&a->text);
    token_list_free(&a->tokens);
    c2c_alignment_free(a->result);
}

c2c_status c2c_align_chat(c2c_alignment **alignment, const c2c_model *receiver,
                          const c2c_model *const *sharers, size_t sharer_count,
                          const c2c_message *messages, size_t message_count,
                          const c2c_align_options *options, c2c_error *error) {
    static const c2c_align_options defaults = {.add_generation_prompt = true};
    if (!options)
        options = &defaults;
    if (alignment)
        *alignment = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"alignment", alignment}, {"receiver", receiver},
                                        {"sharers", sharer_count ? (const void *)sharers : ""});
    if (!status)
        status = error_choice(error, "strategy", (int)options->strategy, C2C_ALIGN_LONGEST);
    if (status)
        return status;
    if (sharer_count > C2C_MAX_SHARERS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%zu sharers: a mask has room for at most %d", sharer_count,
                         C2C_MAX_SHARERS);
    for (size_t s = 0; s < sharer_count; s++)
        if (!sharers[s])
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "sharer %zu: must not be NULL",
                             s + 1);
    aligner a = {.strategy = options->strategy, .error = error};
    buffer json = {0};
    json_document *document = NULL;
    status = model_messages_write(&json, messages, message_count, error);
    if (status || (status = json_parse(&document, json.data, json.length, "messages", error)) ||
        (status = aligner_init(&a, receiver, sharers, sharer_count)) ||
        (status = align(&a, json_root(document), options)))
        goto done;
    *alignment = a.result;
    a.result = NULL;
done:
    aligner_deinit(&a);
    json_close(document);
    buffer_free(&json);
    return status;
}

void c2c_alignment_free(c2c_alignment *alignment) {
    if (!alignment)
        return;
    for (size_t s = 0; alignment->sharer_ids && s < alignment->sharer_count; s++)
        free(alignment->sharer_ids[s]);
    free(alignment->sharer_ids);
    free(alignment->ids);
    free(alignment->sections);
    free(alignment);
}
