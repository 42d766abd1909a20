/* dataset_text.c - fields of rows as the texts of messages, as Python would make them. */
#include "train/dataset.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- Fields ------------------------------------------------------------------------------- */

c2c_status row_wrong_field(const dataset_row *row, const char *key, const char *what,
                           const json_value *found) {
    return error_set(row->error, C2C_STATUS_BAD_FILE, "expected \"%s\", %s, found %s", key, what,
                     found ? json_type_name(found->type) : "no such field");
}

bool row_value_text(const json_value *value, buffer *text) {
    switch (value->type) {
    case JSON_STRING: buffer_append(text, value->string, value->count); return true;
    case JSON_INTEGER: buffer_printf(text, "%" PRId64, value->integer); return true;
    case JSON_REAL: json_write_value(text, value, 0); return true; /* the shortest digits, too */
    default: return false;
    }
}

c2c_status row_get_text(const dataset_row *row, const json_value *object, const char *key,
                        buffer *text) {
    const json_value *value = json_get(object, key);
    if (!value || !row_value_text(value, text))
        return row_wrong_field(row, key, "a text", value);
    return text->failed ? error_memory(row->error, text->length, "a row") : C2C_STATUS_OK;
}

/* ---- White space -------------------------------------------------------------------------- */

/* As Python's str.isspace: Unicode's white space and the four separators of ASCII. */
static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* The character of valid UTF-8 at `text`, and its bytes. White space has at most three. */
static uint32_t character_at(const unsigned char *text, size_t length) {
    if (length == 1)
        return text[0];
    if (length == 2)
        return (uint32_t)(text[0] & 0x1f) << 6 | (text[1] & 0x3f);
    if (length == 3)
        return (uint32_t)(text[0] & 0x0f) << 12 | (uint32_t)(text[1] & 0x3f) << 6 |
               (text[2] & 0x3f);
    return 0;
}

static size_t first_length(const unsigned char *text, size_t left) {
    size_t length = 1;
    while (length < left && (text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

static size_t last_length(const unsigned char *text, size_t left) {
    size_t length = 1;
    while (length < left && (text[left - length] & 0xc0) == 0x80)
        length++;
    return length;
}

void text_strip(const char **text, size_t *length) {
    const unsigned char *at = (const unsigned char *)*text;
    size_t left = *length, step;
    while (left && is_space(character_at(at, step = first_length(at, left)))) {
        at += step;
        left -= step;
    }
    while (left && is_space(character_at(at + left - last_length(at, left), last_length(at, left))))
        left -= last_length(at, left);
    *text = (const char *)at;
    *length = left;
}

/* ---- Messages ----------------------------------------------------------------------------- */

c2c_status row_chat_add(row_chat *chat, const dataset_row *row, const char *role, const char *text,
                        size_t length, bool strip) {
    if (strip)
        text_strip(&text, &length);
    if (length && memchr(text, 0, length))
        return error_set(row->error, C2C_STATUS_BAD_FILE, "expected text without NUL, found one");
    if (chat->count == ROW_MAX_MESSAGES)
        return error_set(row->error, C2C_STATUS_BAD_FILE, "more than %d messages",
                         ROW_MAX_MESSAGES);
    if (chat->count == chat->capacity) {
        size_t capacity = chat->capacity ? 2 * chat->capacity : 8;
        c2c_message *messages = realloc(chat->messages, capacity * sizeof *messages);
        if (!messages)
            return error_memory(row->error, capacity * sizeof *messages, "a chat");
        chat->messages = messages;
        chat->capacity = capacity;
    }
    const char *copy = arena_copy(chat->memory, length ? text : "", length);
    if (!copy)
        return error_memory(row->error, length, "a chat");
    chat->messages[chat->count++] = (c2c_message){.role = role, .content = copy};
    return C2C_STATUS_OK;
}

void row_chat_deinit(row_chat *chat) {
    arena_free(chat->memory);
    free(chat->messages);
    *chat = (row_chat){0};
}
