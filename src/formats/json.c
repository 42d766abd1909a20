/* json.c - JSON text to an immutable tree. yajl reads the text and calls back; this file checks
 * what yajl leaves unchecked, and owns the tree's shape and memory. Access by key is json_get.c.
 *
 * Children wait on one stack until their parent ends, then move as one block into the arena, so a
 * container's items lie side by side. All strings share one block no larger than the text, and
 * values are counted: a text of nothing but "0," would else take fifty times its size. */
#include "formats/json_part.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

struct json_document {
    arena *nodes;
    char *strings; /* every key and string, each with a NUL behind it */
    char *name;
    json_value root;
};

/* What is needed only while parsing. */
typedef struct builder {
    json_document *document;
    const char *text;
    size_t length;
    text_place place; /* of `text` in its file */
    size_t strings_used;
    json_member *stack; /* finished values whose container still grows; keys only in objects */
    size_t stack_used, stack_capacity;
    size_t values;                 /* read so far, open ones included */
    size_t frames[JSON_MAX_DEPTH]; /* where on the stack each open container starts */
    int depth;
    const char *key; /* read, its value not yet */
    uint32_t key_length;
    locale_t locale; /* "C": a host program's locale may want commas in numbers */
    yajl_handle parser;
    c2c_status status; /* why a callback stopped the parser */
    c2c_error *error;
} builder;

/* ---- Errors ------------------------------------------------------------------------------- */

c2c_status text_fail_at(const text_place *place, const char *at, const char *name, const char *what,
                        c2c_error *error) {
    size_t line = place->line, column = 1;
    for (const char *c = place->line_start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if ((*c & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: line %zu, column %zu: %s", name, line, column,
                     what);
}

static c2c_status fail_at(const builder *b, size_t offset, const char *what) {
    size_t inside = offset < b->length ? offset : b->length;
    return text_fail_at(&b->place, b->text + inside, b->document->name, what, b->error);
}

/* Both return what a callback returns to stop the parser. */
static int stop(builder *b, const char *what) {
    size_t offset = yajl_get_bytes_consumed(b->parser);
    b->status = fail_at(b, offset > 0 ? offset - 1 : 0, what);
    return 0;
}

static int stop_memory(builder *b, size_t bytes) {
    b->status = error_memory(b->error, bytes, b->document->name);
    return 0;
}

/* ---- The tree ----------------------------------------------------------------------------- */

/* The stack doubles: each value of a long array is moved once more at most, on average. */
static bool grow_stack(builder *b) {
    size_t capacity = b->stack_capacity ? b->stack_capacity * 2 : 1024, bytes;
    if (!size_mul(capacity, sizeof *b->stack, &bytes))
        return stop_memory(b, SIZE_MAX);
    json_member *stack = realloc(b->stack, bytes);
    if (!stack)
        return stop_memory(b, bytes);
    b->stack = stack;
    b->stack_capacity = capacity;
    return true;
}

/* A value ends here; inside an object the key that was read before is its name. */
static int push(builder *b, json_value value) {
    char what[80];
    if (b->values++ == JSON_MAX_VALUES) {
        snprintf(what, sizeof what, "more than %d values in one document", JSON_MAX_VALUES);
        return stop(b, what);
    }
    if (b->stack_used == b->stack_capacity && !grow_stack(b))
        return 0;
    b->stack[b->stack_used++] = (json_member){b->key, b->key_length, value};
    b->key = NULL;
    return 1;
}

/* The text as a string of the document. Its quotes in the text leave room for the NUL. */
static const char *keep_string(builder *b, const unsigned char *text, size_t length) {
    char *kept = b->document->strings + b->strings_used;
    C2C_ASSERT(length <= b->length && b->strings_used <= b->length - length);
    if (length)
        memcpy(kept, text, length);
    kept[length] = 0;
    b->strings_used += length + 1;
    return kept;
}

/* The container itself goes onto the stack with its key before its children do. */
static int open_container(builder *b, json_type type) {
    char what[80];
    if (b->depth == JSON_MAX_DEPTH) {
        snprintf(what, sizeof what, "nested deeper than %d levels", JSON_MAX_DEPTH);
        return stop(b, what);
    }
    if (!push(b, (json_value){.type = type}))
        return 0;
    b->frames[b->depth++] = b->stack_used;
    return 1;
}

/* The children leave the stack for the arena; what is below them is their container. */
static int close_container(builder *b) {
    size_t start = b->frames[--b->depth], count = b->stack_used - start;
    json_value *container = &b->stack[start - 1].value;
    bool object = container->type == JSON_OBJECT;
    size_t bytes = count * (object ? sizeof(json_member) : sizeof(json_value));
    void *children = arena_alloc(b->document->nodes, bytes);
    if (!children)
        return stop_memory(b, bytes);
    if (object && count)
        memcpy(children, b->stack + start, bytes);
    for (size_t i = 0; !object && i < count; i++)
        ((json_value *)children)[i] = b->stack[start + i].value;
    container->count = (uint32_t)count; /* fits: the text is shorter than 4 GiB */
    if (object)
        container->members = children;
    else
        container->items = children;
    b->stack_used = start;
    return 1;
}

/* ---- Callbacks of yajl -------------------------------------------------------------------- */

static int on_null(void *context) {
    return push(context, (json_value){.type = JSON_NULL});
}

static int on_boolean(void *context, int boolean) {
    return push(context, (json_value){.type = JSON_BOOL, .boolean = boolean != 0});
}

/* An integer without loss, or nothing. */
static bool read_integer(const char *text, size_t length, int64_t *value) {
    bool negative = text[0] == '-';
    int64_t sum = 0;
    for (size_t i = negative; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        int digit = negative ? -(text[i] - '0') : text[i] - '0';
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *value = sum;
    return true;
}

/* All numbers come as text: yajl's own conversion refuses integers beyond 64 bits. */
static int on_number(void *context, const char *text, size_t length) {
    builder *b = context;
    json_value value = {.type = JSON_INTEGER};
    if (read_integer(text, length, &value.integer))
        return push(b, value);
    if (!b->locale)
        b->locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!b->locale)
        return stop_memory(b, 0);
    /* strtod wants a NUL: the free end of the strings is at least as long as what is unread. */
    char *number = b->document->strings + b->strings_used;
    memcpy(number, text, length);
    number[length] = 0;
    locale_t old = uselocale(b->locale);
    value = (json_value){.type = JSON_REAL, .real = strtod(number, NULL)};
    uselocale(old);
    return isfinite(value.real) ? push(b, value) : stop(b, "number too large for a double");
}

static int on_string(void *context, const unsigned char *text, size_t length) {
    const char *kept = keep_string(context, text, length);
    return push(context,
                (json_value){.type = JSON_STRING, .count = (uint32_t)length, .string = kept});
}

static int on_key(void *context, const unsigned char *text, size_t length) {
    builder *b = context;
    b->key = keep_string(b, text, length);
    b->key_length = (uint32_t)length;
    return 1;
}

static int on_object(void *context) {
    return open_container(context, JSON_OBJECT);
}

static int on_array(void *context) {
    return open_container(context, JSON_ARRAY);
}

static int on_end(void *context) {
    return close_container(context);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

/* ---- Checks that yajl does not make ------------------------------------------------------- */

/* The number behind \u at `text`, -1 when it is not four hexadecimal digits. */
static int32_t unicode_escape(const char *text, size_t left) {
    if (left < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    int32_t number = 0;
    for (int i = 2; i < 6; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        number = number * 16 + digit;
    }
    return number;
}

/* Half a surrogate pair is not a character and has no UTF-8 form; yajl would let it become other
 * text. A backslash that is not in a string is found by yajl, as is a bad escape. */
static c2c_status check_surrogates(const builder *b) {
    const char *at = b->text, *end = b->text + b->length;
    while (at < end && (at = memchr(at, '\\', (size_t)(end - at)))) {
        int32_t first = unicode_escape(at, (size_t)(end - at));
        if (first < 0xd800 || first > 0xdfff) {
            at += end - at > 1 ? 2 : 1; /* the next character, too, may be a backslash */
            continue;
        }
        int32_t second = unicode_escape(at + 6, (size_t)(end - at - 6));
        if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
            return fail_at(b, (size_t)(at - b->text), "half of a surrogate pair in a \\u escape");
        at += 12;
    }
    return C2C_STATUS_OK;
}

/* Before parsing, so that messages tell the right place and callbacks see good text only. */
static c2c_status check_text(const builder *b) {
    if (b->length >= UINT32_MAX)
        return error_set(b->error, C2C_STATUS_UNSUPPORTED,
                         "%s: expected JSON text under 4 GiB, found %zu bytes", b->document->name,
                         b->length);
    size_t valid = utf8_valid_prefix(b->text, b->length);
    if (valid < b->length)
        return fail_at(b, valid, "not valid UTF-8");
    return check_surrogates(b);
}

/* ---- Parsing ------------------------------------------------------------------------------ */

/* yajl's "parse error: what.\n" as "invalid JSON: what". */
static c2c_status syntax_error(builder *b, size_t offset) {
    unsigned char *text = yajl_get_error(b->parser, 0, NULL, 0);
    char what[160] = "invalid JSON";
    if (text) {
        char *start = strstr((char *)text, ": ");
        start = start ? start + 2 : (char *)text;
        start[strcspn(start, "\n")] = 0;
        size_t length = strlen(start);
        if (length > 0 && start[length - 1] == '.')
            start[length - 1] = 0;
        bool ended = strcmp(start, "premature EOF") == 0;
        snprintf(what, sizeof what, "invalid JSON: %.120s",
                 ended ? "expected more, found the end; is the file truncated?" : start);
        yajl_free_error(b->parser, text);
    }
    return fail_at(b, offset, what);
}

/* Feeds the whole text at once. The end is told apart from the text, for its own place. */
static c2c_status run_parser(builder *b) {
    b->parser = yajl_alloc(&callbacks, NULL, b);
    if (!b->parser)
        return error_memory(b->error, 0, "the JSON parser");
    yajl_config(b->parser, yajl_dont_validate_strings, 1); /* done by check_text, and more */
    yajl_status result = yajl_parse(b->parser, (const unsigned char *)b->text, b->length);
    size_t offset = yajl_get_bytes_consumed(b->parser);
    if (result == yajl_status_ok) {
        result = yajl_complete_parse(b->parser);
        offset = b->length;
    } else if (offset > 0) {
        offset--; /* yajl has read the character it does not like */
    }
    if (result == yajl_status_client_canceled)
        return b->status;
    if (result != yajl_status_ok)
        return syntax_error(b, offset);
    C2C_ASSERT(b->stack_used == 1 && b->depth == 0);
    b->document->root = b->stack[0].value;
    return C2C_STATUS_OK;
}

c2c_status json_parse_part(json_document **document, const char *text, size_t length,
                           const text_place *place, const char *name, c2c_error *error) {
    *document = NULL;
    json_document *d = calloc(1, sizeof *d);
    builder b = {.document = d, .text = text, .length = length, .place = *place, .error = error};
    c2c_status status;
    if (!d || !(d->name = strdup(name)) || !(d->nodes = arena_new(4096))) {
        status = error_memory(error, sizeof *d, name);
        goto done;
    }
    status = check_text(&b);
    if (status != C2C_STATUS_OK)
        goto done;
    d->strings = malloc(length + 2);
    if (!d->strings) {
        status = error_memory(error, length, name);
        goto done;
    }
    status = run_parser(&b);
done:
    if (b.parser)
        yajl_free(b.parser);
    if (b.locale)
        freelocale(b.locale);
    free(b.stack);
    if (status == C2C_STATUS_OK)
        *document = d;
    else
        json_close(d);
    return status;
}

c2c_status json_parse(json_document **document, const char *text, size_t length, const char *name,
                      c2c_error *error) {
    if (!length)
        text = "";
    const text_place start = {.line_start = text, .line = 1};
    return json_parse_part(document, text, length, &start, name, error);
}

c2c_status json_open(json_document **document, const char *path, c2c_error *error) {
    *document = NULL;
    file_map map;
    c2c_status status = file_map_open(&map, path, error);
    if (status != C2C_STATUS_OK)
        return status;
    status = json_parse(document, (const char *)map.data, map.size, path, error);
    file_map_close(&map);
    return status;
}

void json_close(json_document *document) {
    if (!document)
        return;
    arena_free(document->nodes);
    free(document->strings);
    free(document->name);
    free(document);
}

const json_value *json_root(const json_document *document) {
    return &document->root;
}

const char *json_name(const json_document *document) {
    return document->name;
}
