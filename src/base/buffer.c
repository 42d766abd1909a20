/* buffer.c - growing bytes, for texts and messages. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

/* Room for `extra` more bytes and the final NUL. */
static bool reserve(buffer *b, size_t extra) {
    size_t need;
    if (b->failed || !size_add(b->length, extra, &need) || !size_add(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->capacity)
        return true;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *data = realloc(b->data, capacity);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

void buffer_append(buffer *b, const void *bytes, size_t length) {
    if (!reserve(b, length))
        return;
    if (length)
        memcpy(b->data + b->length, bytes, length);
    b->length += length;
    b->data[b->length] = 0;
}

void buffer_append_text(buffer *b, const char *text) {
    buffer_append(b, text, strlen(text));
}

void buffer_append_char(buffer *b, char c) {
    buffer_append(b, &c, 1);
}

void buffer_printf(buffer *b, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->length, (size_t)n + 1, format, again);
        b->length += (size_t)n;
    } else {
        b->failed = true;
    }
    va_end(again);
}

void buffer_clear(buffer *b) {
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

void buffer_free(buffer *b) {
    free(b->data);
    *b = (buffer){0};
}

char *buffer_take(buffer *b, size_t *length) {
    buffer_append(b, "", 0);
    char *data = b->failed ? NULL : b->data;
    if (!data)
        free(b->data);
    if (length)
        *length = data ? b->length : 0;
    *b = (buffer){0};
    return data;
}

char *string_copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *path_join(const char *folder, const char *name) {
    buffer path = {0};
    buffer_append_text(&path, folder);
    if (path.length && path.data && path.data[path.length - 1] != '/')
        buffer_append_char(&path, '/');
    buffer_append_text(&path, name);
    return buffer_take(&path, NULL);
}
