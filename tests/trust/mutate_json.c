/* mutate_json.c - changes in a JSON text that leave it JSON: so that what reads the values is
 * tried, and not the parser alone. */
#include "trust/mutate.h"

#include <stdlib.h>

/* An item of an array, or a member of an object from its key on. */
typedef struct span {
    size_t start, value, end;
    int depth;
} span;

typedef struct span_list {
    span *items;
    size_t count, capacity;
} span_list;

static size_t add_span(span_list *list, span s) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 256;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        C2C_ASSERT(list->items);
    }
    list->items[list->count] = s;
    return list->count++;
}

static size_t skip_space(const char *text, size_t at) {
    return at + strspn(text + at, " \n\r\t");
}

static size_t skip_string(const char *text, size_t at) {
    for (at++; text[at] && text[at] != '"'; at++)
        if (text[at] == '\\' && text[at + 1])
            at++;
    return text[at] ? at + 1 : at;
}

/* Collects all spans behind `at` and returns where the value ends. The text is ours and good, or
 * was changed by one call before; so this only has to end, and its depth is that of the text. */
static size_t scan_value(span_list *list, const char *text, size_t at, int depth) {
    at = skip_space(text, at);
    if (text[at] == '"')
        return skip_string(text, at);
    if (text[at] != '{' && text[at] != '[')
        return at + strcspn(text + at, ",]} \n\r\t");
    bool object = text[at] == '{';
    for (at = skip_space(text, at + 1); text[at] && text[at] != '}' && text[at] != ']';) {
        size_t start = at, value = at;
        if (object)
            value = skip_space(text, skip_space(text, skip_string(text, at)) + 1);
        size_t index = add_span(list, (span){start, value, 0, depth});
        at = scan_value(list, text, value, depth + 1);
        list->items[index].end = at;
        at = skip_space(text, at);
        if (text[at] == ',')
            at = skip_space(text, at + 1);
    }
    return text[at] ? at + 1 : at;
}

/* Half of the time one near the root: a vocabulary has many members and little to say. */
static span draw_span(mutation *m, const span_list *list) {
    int deepest = mutation_draw(m, 2) ? 2 : 1000;
    for (;;) {
        span s = list->items[mutation_draw(m, list->count)];
        if (s.depth <= deepest || mutation_draw(m, 200) == 0)
            return s;
    }
}

static void odd_value(mutation *m, buffer *text, span s) {
    static const char *const values[] = {
        "0",
        "-1",
        "1",
        "2",
        "3",
        "7",
        "255",
        "256",
        "4096",
        "65536",
        "1048576",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "1e308",
        "-1e308",
        "1e-320",
        "1e999",
        "0.5",
        "NaN",
        "null",
        "true",
        "false",
        "\"\"",
        "\"x\"",
        "\"../../etc/passwd\"",
        "\"\\u0000\"",
        "\"(a*)*b\"",
        "[]",
        "{}",
        "[[]]",
        "{\"\":{}}",
        "[0,-1]",
        "[4294967296,4294967296]",
        "[-1,3]",
        "[9223372036854775807,9223372036854775807,16]",
        "\"qwen2\"",
        "\"gemma3_text\"",
        "\"llama\"",
        "\"F64\"",
        "\"BF16\"",
        "\"U8\"",
        "\"BPE\"",
        "{\"type\":\"Sequence\"}",
        "\"AllInOneProjector\"",
    };
    const char *value = values[mutation_draw(m, sizeof values / sizeof *values)];
    mutation_note(m, "; \"%.40s\" becomes %s", text->data + s.start, value);
    mutate_replace(text, s.value, s.end, value, strlen(value));
}

/* Of members the value, of equal ones the whole. */
static void swap_values(mutation *m, buffer *text, span a, span b) {
    if (a.value > b.value) {
        span t = a;
        a = b;
        b = t;
    }
    mutation_note(m, "; \"%.40s\" and \"%.40s\" swap values", text->data + a.start,
                  text->data + b.start);
    if (b.value < a.end) { /* inside: it takes its parent's place */
        size_t length = b.end - b.value;
        char *inner = malloc(length + 1);
        C2C_ASSERT(inner);
        memcpy(inner, text->data + b.value, length);
        mutate_replace(text, a.value, a.end, inner, length);
        free(inner);
        return;
    }
    buffer result = {0};
    buffer_append(&result, text->data, a.value);
    buffer_append(&result, text->data + b.value, b.end - b.value);
    buffer_append(&result, text->data + a.end, b.value - a.end);
    buffer_append(&result, text->data + a.value, a.end - a.value);
    buffer_append(&result, text->data + b.end, text->length - b.end);
    C2C_ASSERT(!result.failed);
    buffer_free(text);
    *text = result;
}

static void take_out(mutation *m, buffer *text, span s) {
    mutation_note(m, "; \"%.40s\" taken out", text->data + s.start);
    size_t start = s.start, end = skip_space(text->data, s.end);
    if (text->data[end] == ',') {
        end++;
    } else {
        while (start > 0 && text->data[start] != ',' && text->data[start] != '{' &&
               text->data[start] != '[')
            start--;
        start += text->data[start] != ',';
        end = s.end;
    }
    mutate_replace(text, start, end, "", 0);
}

/* The member again, up to a thousand times; of equal keys the last one counts. */
static void repeat(mutation *m, buffer *text, span s) {
    size_t times = mutation_draw(m, 4) ? 1 : 1000;
    mutation_note(m, "; \"%.40s\" %zu times more", text->data + s.start, times);
    buffer more = {0};
    for (size_t i = 0; i < times && more.length < (1 << 20); i++) {
        buffer_append(&more, text->data + s.start, s.end - s.start);
        buffer_append_char(&more, ',');
    }
    mutate_replace(text, s.start, s.start, more.data, more.length);
    buffer_free(&more);
}

/* Gives a member another's key. */
static void rename_key(mutation *m, buffer *text, span s, span other) {
    if (text->data[s.start] != '"' || s.value == s.start || other.value == other.start) {
        odd_value(m, text, s);
        return;
    }
    size_t length = skip_string(text->data, other.start) - other.start;
    buffer key = {0};
    buffer_append(&key, text->data + other.start, length);
    mutation_note(m, "; \"%.40s\" is called %.40s", text->data + s.start, key.data);
    mutate_replace(text, s.start, skip_string(text->data, s.start), key.data, key.length);
    buffer_free(&key);
}

static void nest(mutation *m, buffer *text, span s) {
    size_t depth = (size_t)1 << mutation_draw(m, 18);
    mutation_note(m, "; \"%.40s\" inside %zu brackets", text->data + s.start, depth);
    buffer deep = {0};
    for (size_t i = 0; i < depth; i++)
        buffer_append_char(&deep, '[');
    buffer_append(&deep, text->data + s.value, s.end - s.value);
    for (size_t i = 0; i < depth; i++)
        buffer_append_char(&deep, ']');
    mutate_replace(text, s.value, s.end, deep.data, deep.length);
    buffer_free(&deep);
}

void mutate_json(mutation *m, buffer *text) {
    span_list list = {0};
    scan_value(&list, text->data, 0, 0);
    if (list.count == 0)
        goto done;
    span s = draw_span(m, &list), other = draw_span(m, &list);
    switch (mutation_draw(m, 10)) {
    case 0:
    case 1: swap_values(m, text, s, other); break;
    case 2:
    case 3: take_out(m, text, s); break;
    case 4: repeat(m, text, s); break;
    case 5: rename_key(m, text, s, other); break;
    case 6: nest(m, text, s); break;
    default: odd_value(m, text, s); break;
    }
done:
    free(list.items);
}
