/* json_write.c - text as a JSON string; objects and arrays are written by those who have them. */
#include "formats/formats.h"

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
