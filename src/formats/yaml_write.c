/* yaml_write.c - what items of YAML stand for, as JSON text: plain scalars as PyYAML's safe_load
 * resolves them, aliases written out within bounds, merge keys merged. */
#include "formats/yaml.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct yaml_writer {
    buffer *out;
    const char *name;
    size_t values; /* written so far */
    c2c_error *error;
} yaml_writer;

static c2c_status fail(const yaml_writer *w, const yaml_item *item, const char *what) {
    return yaml_fail(item, w->name, what, w->error);
}

static const yaml_item *follow(const yaml_item *item) {
    while (item->kind == ITEM_ALIAS) /* to an earlier item each time */
        item = item->target;
    return item;
}

/* ---- Plain scalars ------------------------------------------------------------------------ */

typedef enum scalar_type {
    SCALAR_STRING = 0,
    SCALAR_NULL,
    SCALAR_TRUE,
    SCALAR_FALSE,
    SCALAR_INTEGER,
    SCALAR_REAL,
    SCALAR_NOT_FINITE
} scalar_type;

static const struct {
    const char *text;
    scalar_type type;
} words[] = {
    {"", SCALAR_NULL},
    {"~", SCALAR_NULL},
    {"null", SCALAR_NULL},
    {"Null", SCALAR_NULL},
    {"NULL", SCALAR_NULL},
    {"yes", SCALAR_TRUE},
    {"Yes", SCALAR_TRUE},
    {"YES", SCALAR_TRUE},
    {"true", SCALAR_TRUE},
    {"True", SCALAR_TRUE},
    {"TRUE", SCALAR_TRUE},
    {"on", SCALAR_TRUE},
    {"On", SCALAR_TRUE},
    {"ON", SCALAR_TRUE},
    {"no", SCALAR_FALSE},
    {"No", SCALAR_FALSE},
    {"NO", SCALAR_FALSE},
    {"false", SCALAR_FALSE},
    {"False", SCALAR_FALSE},
    {"FALSE", SCALAR_FALSE},
    {"off", SCALAR_FALSE},
    {"Off", SCALAR_FALSE},
    {"OFF", SCALAR_FALSE},
    {".inf", SCALAR_NOT_FINITE},
    {".Inf", SCALAR_NOT_FINITE},
    {".INF", SCALAR_NOT_FINITE},
    {"-.inf", SCALAR_NOT_FINITE},
    {"-.Inf", SCALAR_NOT_FINITE},
    {"-.INF", SCALAR_NOT_FINITE},
    {"+.inf", SCALAR_NOT_FINITE},
    {"+.Inf", SCALAR_NOT_FINITE},
    {"+.INF", SCALAR_NOT_FINITE},
    {".nan", SCALAR_NOT_FINITE},
    {".NaN", SCALAR_NOT_FINITE},
    {".NAN", SCALAR_NOT_FINITE},
};

static int digit_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 16;
}

/* Digits of a base other than ten, with underscores between them, to the end of the text. */
static bool read_digits(const char *text, int base, int64_t *value) {
    bool any = false;
    *value = 0;
    for (; *text; text++) {
        if (*text == '_')
            continue;
        int digit = digit_of(*text);
        if (digit >= base || __builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, digit, value))
            return false;
        any = true;
    }
    return any;
}

/* 190:20:30, as YAML 1.1 has it: base sixty. */
static bool read_sixty(const char *text, int64_t *value) {
    int64_t sum = 0;
    if (*text < '1' || *text > '9' || !strchr(text, ':'))
        return false;
    for (bool first = true;; first = false) {
        int64_t part = 0;
        int digits = 0;
        for (; (*text >= '0' && *text <= '9') || (first && *text == '_'); text++) {
            if (*text == '_')
                continue;
            if (++digits > 17 || (!first && digits > 2))
                return false;
            part = part * 10 + (*text - '0');
        }
        if (!digits || (!first && part > 59) || __builtin_mul_overflow(sum, 60, &sum) ||
            __builtin_add_overflow(sum, part, &sum))
            return false;
        *value = sum;
        if (*text != ':')
            return *text == 0;
        text++;
    }
}

static bool read_other_base(const char *text, int64_t *value) {
    if (text[0] != '0' || !text[1])
        return read_sixty(text, value);
    if (text[1] == 'x')
        return read_digits(text + 2, 16, value);
    if (text[1] == 'b')
        return read_digits(text + 2, 2, value);
    return read_digits(text + 1, 8, value);
}

/* Copies digits without underscores and returns what is behind them. */
static const char *copy_digits(buffer *out, const char *text) {
    for (; (*text >= '0' && *text <= '9') || *text == '_'; text++)
        if (*text != '_')
            buffer_append_char(out, *text);
    return text;
}

/* A decimal number in JSON's way of writing it, after the sign. */
static scalar_type write_decimal(buffer *out, const char *text) {
    scalar_type type = SCALAR_INTEGER;
    bool whole = *text >= '0' && *text <= '9';
    if (!whole && !(*text == '.' && text[1] >= '0' && text[1] <= '9'))
        return SCALAR_STRING;
    const char *point = text + strspn(text, "0123456789_");
    if (*point != '.' && *point != 'e' && *point != 'E' && text[0] == '0' && text[1])
        return SCALAR_STRING; /* 08: neither octal nor decimal */
    while (*text == '0' && ((text[1] >= '0' && text[1] <= '9') || text[1] == '_'))
        text++; /* JSON has no zeros in front */
    size_t start = out->length;
    text = copy_digits(out, text);
    if (out->length == start)
        buffer_append_char(out, '0');
    if (*text == '.') {
        type = SCALAR_REAL;
        buffer_append_char(out, '.');
        start = out->length;
        text = copy_digits(out, text + 1);
        if (out->length == start)
            buffer_append_char(out, '0');
    }
    if (*text == 'e' || *text == 'E') {
        type = SCALAR_REAL;
        buffer_append_char(out, 'e');
        text++;
        if (*text == '-' || *text == '+')
            buffer_append_char(out, *text++);
        if (*text < '0' || *text > '9')
            return SCALAR_STRING;
        for (; *text >= '0' && *text <= '9'; text++)
            buffer_append_char(out, *text);
    }
    return *text ? SCALAR_STRING : type;
}

/* What an untagged plain scalar is; of a number, how JSON writes it. */
static scalar_type resolve(const yaml_item *item, buffer *number) {
    const char *text = item->text;
    if (strlen(text) != item->length)
        return SCALAR_STRING;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].text) == 0)
            return words[i].type;
    int64_t value;
    bool negative = *text == '-';
    text += *text == '-' || *text == '+';
    buffer_clear(number);
    if (read_other_base(text, &value)) {
        buffer_printf(number, "%" PRId64, negative ? -value : value);
        return SCALAR_INTEGER;
    }
    if (negative)
        buffer_append_char(number, '-');
    return write_decimal(number, text);
}

/* Only the reader of documents knows what a double can hold; here the place is known as well. */
static bool number_is_good(const buffer *number) {
    json_document *d;
    bool good = !json_parse(&d, number->data, number->length, "number", NULL);
    json_close(d);
    return good;
}

/* ---- Values ------------------------------------------------------------------------------- */

#define TAG "tag:yaml.org,2002:"

/* Whether the tag lets `type` stand: a string always can be one, the rest must be what they say. */
static bool tag_fits(const char *tag, scalar_type type) {
    if (strcmp(tag, TAG "null") == 0)
        return type == SCALAR_NULL;
    if (strcmp(tag, TAG "bool") == 0)
        return type == SCALAR_TRUE || type == SCALAR_FALSE;
    if (strcmp(tag, TAG "int") == 0)
        return type == SCALAR_INTEGER;
    return strcmp(tag, TAG "float") == 0 && (type == SCALAR_REAL || type == SCALAR_INTEGER);
}

static c2c_status write_scalar(yaml_writer *w, const yaml_item *item) {
    buffer number = {0};
    scalar_type type = SCALAR_STRING;
    bool text =
        item->tag ? strcmp(item->tag, TAG "str") == 0 || strcmp(item->tag, "!") == 0 : !item->plain;
    if (!text)
        type = resolve(item, &number);
    c2c_status status = C2C_STATUS_OK;
    if (!text && item->tag && !tag_fits(item->tag, type))
        status = fail(w, item, "a tag that this value does not have, or one that is not read");
    else if (type == SCALAR_NOT_FINITE)
        status = fail(w, item, "expected a finite number");
    else if ((type == SCALAR_INTEGER || type == SCALAR_REAL) && !number_is_good(&number))
        status = fail(w, item, "number too large for a double");
    if (status) {
        buffer_free(&number);
        return status;
    }
    switch (type) {
    case SCALAR_NULL: buffer_append_text(w->out, "null"); break;
    case SCALAR_TRUE: buffer_append_text(w->out, "true"); break;
    case SCALAR_FALSE: buffer_append_text(w->out, "false"); break;
    case SCALAR_INTEGER:
    case SCALAR_REAL:
        buffer_append_text(w->out, number.data);
        /* !!float 1 is a real number */
        if (type == SCALAR_INTEGER && item->tag && strcmp(item->tag, TAG "float") == 0)
            buffer_append_text(w->out, ".0");
        break;
    default: json_write_string(w->out, item->text, item->length);
    }
    buffer_free(&number);
    return C2C_STATUS_OK;
}

static c2c_status write_item(yaml_writer *w, const yaml_item *item, int depth);

static bool is_merge(const yaml_item *key) {
    return key->kind == ITEM_SCALAR && key->plain && !key->tag && strcmp(key->text, "<<") == 0;
}

static c2c_status write_pair(yaml_writer *w, const yaml_item *key, int depth, bool *first) {
    const yaml_item *name = follow(key);
    if (name->kind != ITEM_SCALAR)
        return fail(w, key, "expected a text as a key");
    if (!*first)
        buffer_append_text(w->out, ", ");
    *first = false;
    json_write_string(w->out, name->text, name->length);
    buffer_append_text(w->out, ": ");
    return write_item(w, key->next, depth + 1);
}

static c2c_status write_pairs(yaml_writer *w, const yaml_item *mapping, int depth, bool *first);

/* What `<<` brings in: the first of several mappings has precedence, so it is written last. */
static c2c_status write_merged(yaml_writer *w, const yaml_item *value, int depth, bool *first) {
    const yaml_item *from = follow(value);
    if (depth >= JSON_MAX_DEPTH)
        return fail(w, value, "nested too deep");
    if (++w->values > YAML_MAX_VALUES) /* merging what is empty costs time as well */
        return fail(w, value, "aliases stand for too many values");
    if (from->kind == ITEM_MAPPING)
        return write_pairs(w, from, depth + 1, first);
    if (from->kind != ITEM_SEQUENCE)
        return fail(w, value, "expected a mapping, or a list of them, behind <<");
    c2c_status status = C2C_STATUS_OK;
    size_t count = 0;
    for (const yaml_item *i = from->first; i; i = i->next)
        count++;
    if (count > 64) /* each is found by a walk from the start */
        return fail(w, value, "more than 64 mappings behind one <<");
    for (; count > 0 && !status; count--) {
        const yaml_item *i = from->first;
        for (size_t skip = 1; skip < count; skip++)
            i = i->next;
        if (follow(i)->kind != ITEM_MAPPING)
            return fail(w, i, "expected a mapping in a list behind <<");
        status = write_merged(w, i, depth + 1, first);
    }
    return status;
}

/* Own pairs come behind merged ones: of equal keys the last one counts. */
static c2c_status write_pairs(yaml_writer *w, const yaml_item *mapping, int depth, bool *first) {
    c2c_status status = C2C_STATUS_OK;
    for (const yaml_item *key = mapping->first; key && !status; key = key->next->next)
        if (is_merge(key))
            status = write_merged(w, key->next, depth, first);
    for (const yaml_item *key = mapping->first; key && !status; key = key->next->next)
        if (!is_merge(key))
            status = write_pair(w, key, depth, first);
    return status;
}

/* Recursion is bounded by `depth`, work by the count of values, bytes by what a text may hold. */
static c2c_status write_item(yaml_writer *w, const yaml_item *item, int depth) {
    const yaml_item *value = follow(item);
    const char *tag = value->kind == ITEM_SEQUENCE ? TAG "seq" : TAG "map";
    bool first = true;
    if (++w->values > YAML_MAX_VALUES || w->out->length > 16 * (size_t)YAML_MAX_BYTES)
        return fail(w, item, "aliases stand for too many values");
    if (value->kind == ITEM_SCALAR)
        return write_scalar(w, value);
    if (depth >= JSON_MAX_DEPTH)
        return fail(w, item, "nested too deep");
    if (value->tag && strcmp(value->tag, tag) != 0)
        return fail(w, value, "a tag that is not read");
    c2c_status status = C2C_STATUS_OK;
    if (value->kind == ITEM_MAPPING) {
        buffer_append_char(w->out, '{');
        status = write_pairs(w, value, depth, &first);
        buffer_append_char(w->out, '}');
        return status;
    }
    buffer_append_char(w->out, '[');
    for (const yaml_item *i = value->first; i && !status; i = i->next) {
        if (!first)
            buffer_append_text(w->out, ", ");
        first = false;
        status = write_item(w, i, depth + 1);
    }
    buffer_append_char(w->out, ']');
    return status;
}

c2c_status yaml_write(buffer *out, const yaml_item *root, const char *name, c2c_error *error) {
    yaml_writer w = {.out = out, .name = name, .error = error};
    return write_item(&w, root, 0);
}
