/* json_write.c - text as a JSON string, and parsed values as JSON again. */
#include "formats/formats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The escapes that JSON has letters for. */
static const char *short_escape(unsigned char c) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

/* `text` is valid UTF-8: only quotes, backslashes and control characters need care. */
static void write_valid(buffer *out, const char *text, size_t length) {
    size_t plain = 0; /* start of the bytes that go out as they are */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buffer_append(out, text + plain, i - plain);
        plain = i + 1;
        const char *escape = short_escape(c);
        if (escape)
            buffer_append_text(out, escape);
        else
            buffer_printf(out, "\\u%04x", c);
    }
    buffer_append(out, text + plain, length - plain);
}

/* Valid stretches as they are, each other byte as one U+FFFD. */
void json_write_string(buffer *out, const char *text, size_t length) {
    buffer_append_char(out, '"');
    while (length > 0) {
        size_t valid = utf8_valid_prefix(text, length);
        write_valid(out, text, valid);
        text += valid;
        length -= valid;
        if (length > 0) {
            buffer_append_text(out, "\xef\xbf\xbd");
            text++;
            length--;
        }
    }
    buffer_append_char(out, '"');
}

/* ---- Values ------------------------------------------------------------------------------- */

/* The shortest digits that give the same number again, and that say that it is no integer. */
static void write_real(buffer *out, double value) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buffer_append_text(out, text);
    if (!strpbrk(text, ".e"))
        buffer_append_text(out, ".0");
}

static void new_line(buffer *out, int level) {
    buffer_printf(out, "\n%*s", 2 * level, "");
}

void json_write_value(buffer *out, const json_value *value, int level) {
    bool object = value->type == JSON_OBJECT;
    switch (value->type) {
    case JSON_NULL: buffer_append_text(out, "null"); return;
    case JSON_BOOL: buffer_append_text(out, value->boolean ? "true" : "false"); return;
    case JSON_INTEGER: buffer_printf(out, "%" PRId64, value->integer); return;
    case JSON_REAL: write_real(out, value->real); return;
    case JSON_STRING: json_write_string(out, value->string, value->count); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    buffer_append_char(out, object ? '{' : '[');
    for (uint32_t i = 0; i < value->count; i++) {
        if (i)
            buffer_append_char(out, ',');
        new_line(out, level + 1);
        if (object) {
            const json_member *member = &value->members[i];
            json_write_string(out, member->key, member->key_length);
            buffer_append_text(out, ": ");
            json_write_value(out, &member->value, level + 1); /* parsing bounds the depth */
        } else {
            json_write_value(out, &value->items[i], level + 1);
        }
    }
    if (value->count)
        new_line(out, level);
    buffer_append_char(out, object ? '}' : ']');
}
