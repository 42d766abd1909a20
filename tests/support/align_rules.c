/* align_rules.c - the rules of aligned chats, checked from the outside. */
#include "support/align_rules.h"

#include <stdio.h>
#include <stdlib.h>

static char broken[512];

static const char *fail(const char *format, ...) C2C_PRINTF(1, 2);

static const char *fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(broken, sizeof broken, format, arguments);
    va_end(arguments);
    return broken;
}

/* ---- Shape -------------------------------------------------------------------------------- */

static const char *check_sections(const c2c_alignment *a) {
    int64_t total = 0;
    for (size_t i = 0; i < a->section_count; i++) {
        const c2c_section *section = &a->sections[i];
        if (section->length <= 0)
            return fail("section %zu is empty", i);
        if (i && (section->mask > 0) == (section[-1].mask > 0))
            return fail("sections %zu and %zu have one mask", i - 1, i);
        total += section->length;
    }
    return total == a->token_count ? NULL
                                   : fail("sections hold %lld positions of %lld", (long long)total,
                                          (long long)a->token_count);
}

/* Padding only at the end of template parts. Template parts that touch (an empty content between
 * them) are one section, in which padding may stand in the middle. */
static const char *check_padding(const c2c_alignment *a, const int32_t *row, const char *who) {
    int64_t at = 0;
    for (size_t i = 0; i < a->section_count; at += a->sections[i++].length)
        for (int64_t t = at; t < at + a->sections[i].length; t++)
            if (row[t] == C2C_PADDING && a->sections[i].mask > 0)
                return fail("the %s has padding in the content at %lld", who, (long long)t);
    return NULL;
}

/* ---- Texts -------------------------------------------------------------------------------- */

/* The text of ids first .. last-1, padding left out. */
static bool decode(const c2c_model *model, const int32_t *row, int64_t first, int64_t last,
                   buffer *out) {
    int32_t *ids = malloc((size_t)(last - first + 1) * sizeof *ids);
    size_t count = 0;
    if (!ids)
        return false;
    for (int64_t t = first; t < last; t++)
        if (row[t] != C2C_PADDING)
            ids[count++] = row[t];
    c2c_status status = tokenizer_decode(model->tokenizer, ids, count, false, out, NULL);
    buffer_append(out, "", 0);
    free(ids);
    return status == C2C_STATUS_OK && !out->failed;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Whether `text` is `content`, or it without white space at one or both of its ends. */
static bool is_content(const char *text, size_t length, const char *content) {
    size_t start = 0, end = strlen(content);
    while (start < end && is_space(content[start])) {
        if (end - start >= length && memcmp(content + start, text, length) == 0)
            break;
        start++;
    }
    if (end - start < length || memcmp(content + start, text, length) != 0)
        return false;
    for (size_t i = start + length; i < end; i++)
        if (!is_space(content[i]))
            return false;
    return true;
}

/* Every content section of the receiver is a message's text, in order. */
static const char *check_contents(const c2c_alignment *a, const c2c_model *receiver,
                                  const c2c_message *messages, size_t count) {
    size_t message = 0;
    int64_t at = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < a->section_count && !wrong; at += a->sections[i++].length) {
        buffer text = {0};
        if (a->sections[i].mask <= 0)
            continue;
        if (!decode(receiver, a->ids, at, at + a->sections[i].length, &text))
            wrong = fail("content %zu cannot be decoded", i);
        while (!wrong && message < count &&
               !is_content(text.data, text.length, messages[message].content))
            message++;
        if (!wrong && message++ == count)
            wrong = fail("section %zu is no message's text: \"%.80s\"", i, text.data);
        buffer_free(&text);
    }
    return wrong;
}

/* The model's tokens between the contents are its own rendering there. Byte-level decoding gives
 * texts back to the byte; decoders that strip a leading space do not, and are not checked so. */
static const char *check_rendering(const c2c_alignment *a, const c2c_model *model,
                                   const int32_t *row, const char *who, bool contents_too,
                                   const char *rendered) {
    const char *left = rendered, *wrong = NULL;
    int64_t at = 0;
    for (size_t i = 0; i < a->section_count && !wrong; at += a->sections[i++].length) {
        buffer text = {0};
        if (!decode(model, row, at, at + a->sections[i].length, &text)) {
            wrong = fail("section %zu of the %s cannot be decoded", i, who);
        } else if (a->sections[i].mask <= 0 || contents_too) {
            /* Behind another model's content this part is the next place where its text stands. */
            const char *found = contents_too || i == 0 ? left : strstr(left, text.data);
            if (!found || strncmp(found, text.data, text.length) != 0)
                wrong = fail("section %zu of the %s is \"%.60s\", its rendering goes on with "
                             "\"%.60s\"",
                             i, who, text.data, left);
            else
                left = found + text.length;
        }
        buffer_free(&text);
    }
    if (!wrong && contents_too && *left)
        wrong = fail("the %s's rendering goes on with \"%.60s\"", who, left);
    return wrong;
}

/* The rendering with the last message's text behind an open turn, or with all turns closed. */
static char *render(const c2c_model *model, const c2c_message *messages, size_t count,
                    const c2c_align_options *options) {
    const c2c_chat_options chat = {.add_generation_prompt =
                                       options->add_generation_prompt || options->open_end,
                                   .thinking = C2C_THINKING_OFF};
    char *text;
    size_t length;
    buffer all = {0};
    if (c2c_model_render(model, messages, options->open_end ? count - 1 : count, &chat, &text,
                         &length, NULL))
        return NULL;
    buffer_append(&all, text, length);
    if (options->open_end)
        buffer_append_text(&all, messages[count - 1].content);
    c2c_free(text);
    return buffer_take(&all, NULL);
}

static const char *check_model(const c2c_alignment *a, const c2c_model *model, const int32_t *row,
                               const char *who, bool is_receiver, const c2c_message *messages,
                               size_t count, const c2c_align_options *options) {
    const char *wrong = check_padding(a, row, who);
    char *rendered = wrong ? NULL : render(model, messages, count, options);
    if (!wrong && !rendered)
        wrong = fail("the %s cannot render the chat", who);
    /* Byte-level vocabularies write a space as U+0120; only their decoders give every text back. */
    if (!wrong && tokenizer_find(model->tokenizer, "\xc4\xa0", 2) >= 0)
        wrong = check_rendering(a, model, row, who, is_receiver, rendered);
    free(rendered);
    return wrong;
}

const char *align_rules_broken(const c2c_alignment *a, const c2c_model *receiver,
                               const c2c_model *const *sharers, const c2c_message *messages,
                               size_t message_count, const c2c_align_options *options) {
    const char *wrong = check_sections(a);
    if (!wrong)
        wrong = check_contents(a, receiver, messages, message_count);
    if (!wrong)
        wrong =
            check_model(a, receiver, a->ids, "receiver", true, messages, message_count, options);
    for (size_t s = 0; s < a->sharer_count && !wrong; s++)
        wrong = check_model(a, sharers[s], a->sharer_ids[s], "sharer", false, messages,
                            message_count, options);
    return wrong;
}
