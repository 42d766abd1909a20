/* component.c - the shape that normalizers, pre-tokenizers, post-processors and decoders share
 * in tokenizer.json: null, or an object whose "type" names what it is. Adding a component means
 * adding a row to the table of its list; a type without a row is refused by its name.
 *
 * Sequences nest, but the list they fill is flat and holds at most COMPONENT_LIMIT steps, and
 * JSON itself has a limit of depth: no file can make loading or running recurse without end. */
#include "tokenizer/internal.h"

#include <stdio.h>

#define TEXT_MEMBER_LIMIT 256

const char *loader_where(char text[WHERE_TEXT], const loader *l, const char *where) {
    snprintf(text, WHERE_TEXT, "%s: %s", l->name, where);
    return text;
}

const char *text_excerpt(char excerpt[EXCERPT_TEXT], const char *text, size_t length) {
    size_t shown = length > 40 ? 40 : length;
    shown = utf8_valid_prefix(text, shown);
    for (size_t i = 0; i < shown; i++)
        excerpt[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(excerpt + shown, shown < length ? "..." : "", shown < length ? 4 : 1);
    return excerpt;
}

static c2c_status refuse_type(const component_kind *kinds, const json_value *type,
                              const char *where, const loader *l) {
    char excerpt[EXCERPT_TEXT];
    buffer known = {0};
    for (const component_kind *kind = kinds; kind->type; kind++)
        buffer_printf(&known, "%s%s", kind == kinds ? "" : ", ", kind->type);
    c2c_status status =
        error_set(l->error, C2C_STATUS_UNSUPPORTED,
                  "%s: %s.type: \"%s\" is not supported; supported: %s", l->name, where,
                  text_excerpt(excerpt, type->string, type->count), known.data ? known.data : "");
    buffer_free(&known);
    return status;
}

c2c_status component_load(const component_kind *kinds, void *list, const json_value *value,
                          const char *where, const loader *l) {
    if (!value || value->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (value->type != JSON_OBJECT)
        return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: %s: expected an object, found %s",
                         l->name, where, json_type_name(value->type));
    const json_value *type = json_get(value, "type");
    if (!type || type->type != JSON_STRING)
        return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: %s.type: expected a string, found %s",
                         l->name, where, type ? json_type_name(type->type) : "nothing");
    for (const component_kind *kind = kinds; kind->type; kind++)
        if (strcmp(kind->type, type->string) == 0)
            return kind->load(list, value, where, l);
    return refuse_type(kinds, type, where, l);
}

c2c_status component_load_sequence(const component_kind *kinds, void *list, const json_value *value,
                                   const char *key, const char *where, const loader *l) {
    const json_value *items = json_get(value, key);
    if (!items || items->type != JSON_ARRAY)
        return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: %s.%s: expected an array, found %s",
                         l->name, where, key, items ? json_type_name(items->type) : "nothing");
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < items->count && status == C2C_STATUS_OK; i++) {
        char place[WHERE_TEXT];
        snprintf(place, sizeof place, "%s.%s[%u]", where, key, i);
        status = component_load(kinds, list, &items->items[i], place, l);
    }
    return status;
}

/* ---- Members that several components have ------------------------------------------------- */

c2c_status component_text(const json_value *value, const char *key, const char **text,
                          size_t *length, const char *where, const loader *l) {
    char place[WHERE_TEXT];
    const char *found;
    c2c_status status =
        json_get_string(value, key, NULL, &found, loader_where(place, l, where), l->error);
    if (status != C2C_STATUS_OK)
        return status;
    *length = json_get(value, key)->count;
    if (*length > TEXT_MEMBER_LIMIT)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s.%s: expected at most %d bytes, found %zu", l->name, where, key,
                         TEXT_MEMBER_LIMIT, *length);
    *text = arena_copy(l->arena, found, *length);
    return *text ? C2C_STATUS_OK : error_memory(l->error, *length, key);
}

c2c_status component_character(const json_value *value, const char *key, const char **text,
                               size_t *length, const char *where, const loader *l) {
    size_t size = 0;
    c2c_status status = component_text(value, key, text, length, where, l);
    if (status != C2C_STATUS_OK)
        return status;
    if (*length > 0)
        utf8_read(*text, &size);
    if (*length == 0 || *length != size)
        return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: %s.%s: expected one character",
                         l->name, where, key);
    return C2C_STATUS_OK;
}

c2c_status component_pattern(const json_value *value, pattern **p, const char *where,
                             const loader *l) {
    const json_value *expression = json_get(json_get(value, "pattern"), "Regex");
    const json_value *literal = json_get(json_get(value, "pattern"), "String");
    const json_value *text = expression ? expression : literal;
    if (!text || text->type != JSON_STRING || (expression && literal))
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: %s.pattern: expected {\"Regex\": a string} or {\"String\": a string}",
                         l->name, where);
    return pattern_compile(p, text->string, text->count, literal != NULL, where, l);
}
