/* data_encode.c - one chat as rows of ids: what comes before the answer is fused, the answer is
 * learnt. With one tokenizer the instruction and the whole chat are rendered and encoded separately
 * and the instruction's length cuts the chat; with two, alignment says where the contents stand. */
#include "train/data.h"

#include <stdlib.h>

/* A chat while it is encoded. */
typedef struct encoder {
    encoded_chat *out;
    const data_models *models;
    const json_value *messages;
    c2c_error *why, *error;
} encoder;

/* ---- Room --------------------------------------------------------------------------------- */

static c2c_status grow_ids(encoded_chat *e, int64_t count, c2c_error *error) {
    if (count <= e->room)
        return C2C_STATUS_OK;
    size_t bytes = (size_t)count * sizeof *e->ids;
    int32_t *ids = realloc(e->ids, bytes);
    if (!ids)
        return error_memory(error, bytes, "a sample");
    e->ids = ids;
    e->room = count;
    return C2C_STATUS_OK;
}

static c2c_status add_section(encoded_chat *e, int64_t length, int32_t mask, c2c_error *error) {
    c2c_section *last = e->section_count ? &e->sections[e->section_count - 1] : NULL;
    if (length <= 0)
        return C2C_STATUS_OK;
    if (last && last->mask == mask) {
        last->length += length;
        return C2C_STATUS_OK;
    }
    if (e->section_count == e->section_room) {
        size_t room = 2 * e->section_room + 8, bytes = room * sizeof *e->sections;
        c2c_section *sections = realloc(e->sections, bytes);
        if (!sections)
            return error_memory(error, bytes, "a sample");
        e->sections = sections;
        e->section_room = room;
    }
    e->sections[e->section_count++] = (c2c_section){length, mask};
    return C2C_STATUS_OK;
}

static int32_t all_sharers(const data_models *models) {
    return (int32_t)((UINT32_C(1) << models->sharer_count) - 1);
}

/* ---- One tokenizer ------------------------------------------------------------------------ */

/* Encodes a text into tokens_of_text, unless these are its tokens already. */
static c2c_status encode_text(encoded_chat *e, const tokenizer *t, c2c_error *error) {
    const buffer last = e->text;
    buffer_append(&e->rendered, "", 0);
    if (e->rendered.failed)
        return error_memory(error, e->rendered.length, "a chat");
    if (e->encoded && last.length == e->rendered.length &&
        memcmp(last.data, e->rendered.data, last.length) == 0)
        return C2C_STATUS_OK;
    e->text = e->rendered;
    e->rendered = last;
    e->tokens_of_text.count = 0;
    c2c_status status =
        tokenizer_encode(t, e->text.data, e->text.length, false, &e->tokens_of_text, error);
    e->encoded = !status;
    return status;
}

c2c_status chat_encode_text(encoded_chat *encoded, const c2c_model *receiver,
                            const json_value *messages, const c2c_chat_options *options,
                            row_fate *fate, c2c_error *why, c2c_error *error) {
    buffer_clear(&encoded->rendered);
    c2c_status status =
        chat_template_render(receiver->chat_template, messages, options, &encoded->rendered, why);
    if (status == C2C_STATUS_OUT_OF_MEMORY)
        return error_memory(error, 0, "a chat");
    if (status) {
        *fate = ROW_TEMPLATE;
        return C2C_STATUS_OK;
    }
    return encode_text(encoded, receiver->tokenizer, error);
}

static c2c_status encode_messages(const encoder *e, uint32_t count, bool prompt, row_fate *fate) {
    const c2c_chat_options options = {.add_generation_prompt = prompt,
                                      .thinking = C2C_THINKING_OFF};
    json_value messages = *e->messages;
    messages.count = count;
    return chat_encode_text(e->out, e->models->receiver, &messages, &options, fate, e->why,
                            e->error);
}

/* The instruction counts with its generation prompt, whether or not the chat repeats it. The chat
 * goes first: a filter has mostly encoded it already. */
static c2c_status encode_plain(const encoder *e, row_fate *fate) {
    encoded_chat *out = e->out;
    c2c_status status = encode_messages(e, e->messages->count, false, fate);
    int64_t tokens = min_i64((int64_t)out->tokens_of_text.count, e->models->max_length);
    if (status || *fate || (status = grow_ids(out, tokens, e->error)))
        return status;
    for (int64_t i = 0; i < tokens; i++)
        out->ids[i] = out->tokens_of_text.items[i].id;
    status = encode_messages(e, e->messages->count - 1, true, fate);
    int64_t instruction = (int64_t)out->tokens_of_text.count;
    if (status || *fate)
        return status;
    if (instruction > e->models->max_length)
        *fate = ROW_LONG_INSTRUCTION;
    else if (instruction >= tokens)
        *fate = ROW_NO_ANSWER;
    else if (instruction < 2)
        *fate = ROW_NOTHING_FUSED;
    if (*fate)
        return C2C_STATUS_OK;
    out->tokens = tokens;
    out->first_label = instruction;
    status = add_section(out, instruction - 1, all_sharers(e->models), e->error);
    return status ? status : add_section(out, tokens - instruction + 1, -1, e->error);
}

/* ---- Two tokenizers ----------------------------------------------------------------------- */

/* Whether each model shows something of the last message: only then is the last content of the
 * alignment the answer. */
static bool shows_answer(const encoder *e, const c2c_model *model) {
    const c2c_chat_options options = {.thinking = C2C_THINKING_OFF};
    content_spans spans = {0};
    buffer_clear(&e->out->rendered);
    bool shown = !chat_template_render_spans(model->chat_template, e->messages, &options,
                                             &e->out->rendered, &spans, NULL) &&
                 spans.count && spans.items[spans.count - 1].message == (int)e->messages->count - 1;
    free(spans.items);
    return shown;
}

/* Where the answer begins: the last content, and so the last section that could be fused. */
static int64_t answer_start(const c2c_alignment *a) {
    int64_t end = a->token_count;
    for (size_t i = a->section_count; i-- > 0;) {
        end -= a->sections[i].length;
        if (a->sections[i].mask > 0)
            return end;
    }
    return a->token_count;
}

/* Rows of all models, sections up to the answer as they are, and nothing fused from there on. */
static c2c_status take_alignment(const encoder *e, const c2c_alignment *a, row_fate *fate) {
    encoded_chat *out = e->out;
    int64_t start = answer_start(a), tokens = min_i64(a->token_count, e->models->max_length);
    bool fused = false;
    if (start > e->models->max_length)
        *fate = ROW_LONG_INSTRUCTION;
    else if (start >= tokens)
        *fate = ROW_NO_ANSWER;
    if (*fate)
        return C2C_STATUS_OK;
    size_t models = e->models->sharer_count + 1;
    c2c_status status = grow_ids(out, (int64_t)models * tokens, e->error);
    if (status)
        return status;
    for (size_t m = 0; m < models; m++)
        memcpy(out->ids + (int64_t)m * tokens, m ? a->sharer_ids[m - 1] : a->ids,
               (size_t)tokens * sizeof *out->ids);
    int64_t at = 0;
    for (size_t i = 0; i < a->section_count && at < start && !status; i++) {
        fused = fused || a->sections[i].mask > 0;
        status = add_section(out, a->sections[i].length, a->sections[i].mask, e->error);
        at += a->sections[i].length;
    }
    if (!status)
        status = add_section(out, tokens - start, -1, e->error);
    out->tokens = tokens;
    out->first_label = start;
    if (!fused)
        *fate = ROW_NOTHING_FUSED;
    return status;
}

static c2c_status encode_aligned(const encoder *e, const c2c_message *messages, size_t count,
                                 row_fate *fate) {
    const data_models *models = e->models;
    const c2c_align_options options = {.strategy = models->strategy};
    c2c_alignment *alignment = NULL;
    c2c_status status = c2c_align_chat(&alignment, models->receiver, models->sharers,
                                       models->sharer_count, messages, count, &options, e->why);
    if (status == C2C_STATUS_OUT_OF_MEMORY)
        return error_memory(e->error, 0, "an alignment");
    if (status) {
        *fate = ROW_TEMPLATE;
        return C2C_STATUS_OK;
    }
    for (size_t m = 0; m <= models->sharer_count && !*fate; m++)
        if (!shows_answer(e, m ? models->sharers[m - 1] : models->receiver))
            *fate = ROW_NO_ANSWER;
    if (!*fate)
        status = take_alignment(e, alignment, fate);
    c2c_alignment_free(alignment);
    return status;
}

/* ---- The whole ---------------------------------------------------------------------------- */

c2c_status chat_encode(encoded_chat *encoded, const data_models *models,
                       const c2c_message *messages, size_t count, row_fate *fate, c2c_error *why,
                       c2c_error *error) {
    buffer json = {0};
    json_document *document = NULL;
    c2c_error unwanted = {0};
    encoder e = {.out = encoded, .models = models, .why = why ? why : &unwanted, .error = error};
    *fate = ROW_KEPT;
    *e.why = (c2c_error){0};
    encoded->tokens = encoded->first_label = 0;
    encoded->section_count = 0;
    if (count < 2 || strcmp(messages[count - 1].role, "assistant") != 0) {
        *fate = ROW_NO_ANSWER;
        return C2C_STATUS_OK;
    }
    c2c_status status = model_messages_write(&json, messages, count, error);
    if (!status)
        status = json_parse(&document, json.data, json.length, "messages", error);
    if (status)
        goto done;
    e.messages = json_root(document);
    status = models->align ? encode_aligned(&e, messages, count, fate) : encode_plain(&e, fate);
    if (*fate && !e.why->message[0])
        error_set(e.why, C2C_STATUS_BAD_FILE, "%s", row_fate_text(*fate));
done:
    json_close(document);
    buffer_free(&json);
    return status;
}

void encoded_chat_free(encoded_chat *encoded) {
    free(encoded->ids);
    free(encoded->sections);
    token_list_free(&encoded->tokens_of_text);
    buffer_free(&encoded->text);
    buffer_free(&encoded->rendered);
    *encoded = (encoded_chat){0};
}

const char *row_fate_text(row_fate fate) {
    switch (fate) {
    case ROW_KEPT: return "kept";
    case ROW_TOO_LONG: return "longer than max_word_count";
    case ROW_FEW_TURNS: return "fewer messages than min_conversation_turns";
    case ROW_HELD_OUT: return "kept for evaluation";
    case ROW_BAD: return "not a row of this type";
    case ROW_TEMPLATE: return "refused by the chat template";
    case ROW_NO_ANSWER: return "no assistant's answer at the end, or none within max_length";
    case ROW_LONG_INSTRUCTION: return "the text before the answer is longer than max_length";
    case ROW_NOTHING_FUSED: return "nothing before the answer that could be fused";
    case ROW_FATES: break;
    }
    return "";
}
