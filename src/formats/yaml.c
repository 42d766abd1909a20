/* yaml.c - YAML text to items, and from their JSON text to a document. libyaml reads the syntax and
 * hands out events; this file bounds them, and says what an alias stands for. */
#include "formats/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* Every alias looks through them all. */
#define MAX_ANCHORS 1024

typedef struct yaml_builder {
    arena *memory;
    const char *name;
    yaml_item *root;
    yaml_item *stack[JSON_MAX_DEPTH]; /* containers whose end was not read yet */
    int depth;
    yaml_item **anchored; /* items with an anchor, in the order of the text */
    size_t anchored_count, anchored_room;
    size_t items;
    int documents;
    c2c_error *error;
} yaml_builder;

c2c_status yaml_fail(const yaml_item *item, const char *name, const char *what, c2c_error *error) {
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: line %zu, column %zu: %s", name,
                     item->line + 1, item->column + 1, what);
}

/* ---- Items -------------------------------------------------------------------------------- */

static char *copy_text(yaml_builder *b, const yaml_char_t *text, size_t length) {
    return arena_copy(b->memory, (const char *)text, length);
}

static c2c_status remember_anchor(yaml_builder *b, yaml_item *item) {
    if (b->anchored_count == MAX_ANCHORS)
        return yaml_fail(item, b->name, "more than 1024 anchors", b->error);
    if (b->anchored_count == b->anchored_room) {
        size_t room = b->anchored_room ? 2 * b->anchored_room : 16;
        yaml_item **items = realloc(b->anchored, room * sizeof *items);
        if (!items)
            return error_memory(b->error, room * sizeof *items, b->name);
        b->anchored = items;
        b->anchored_room = room;
    }
    b->anchored[b->anchored_count++] = item;
    return C2C_STATUS_OK;
}

/* A new item at the event's place, the last child of the innermost container. */
static c2c_status add_item(yaml_builder *b, yaml_item **added, yaml_kind kind,
                           const yaml_event_t *event, const yaml_char_t *tag,
                           const yaml_char_t *anchor) {
    yaml_item *item = arena_alloc(b->memory, sizeof *item);
    if (!item)
        return error_memory(b->error, sizeof *item, b->name);
    item->kind = kind;
    item->line = event->start_mark.line;
    item->column = event->start_mark.column;
    if (++b->items > YAML_MAX_VALUES)
        return yaml_fail(item, b->name, "too many values for YAML; write data as JSON", b->error);
    if ((tag && !(item->tag = copy_text(b, tag, strlen((const char *)tag)))) ||
        (anchor && !(item->anchor = copy_text(b, anchor, strlen((const char *)anchor)))))
        return error_memory(b->error, 0, b->name);
    if (b->depth) {
        yaml_item *parent = b->stack[b->depth - 1];
        if (parent->last)
            parent->last->next = item;
        else
            parent->first = item;
        parent->last = item;
    } else {
        b->root = item;
    }
    *added = item;
    /* An alias has a name to find, not one to be found by. */
    return anchor && kind != ITEM_ALIAS ? remember_anchor(b, item) : C2C_STATUS_OK;
}

static c2c_status add_scalar(yaml_builder *b, const yaml_event_t *event) {
    yaml_item *item;
    c2c_status status =
        add_item(b, &item, ITEM_SCALAR, event, event->data.scalar.tag, event->data.scalar.anchor);
    if (status)
        return status;
    item->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    item->length = event->data.scalar.length;
    item->text = copy_text(b, event->data.scalar.value, item->length);
    return item->text ? C2C_STATUS_OK : error_memory(b->error, item->length, b->name);
}

static c2c_status open_container(yaml_builder *b, yaml_kind kind, const yaml_event_t *event) {
    bool mapping = kind == ITEM_MAPPING;
    yaml_item *item;
    c2c_status status =
        add_item(b, &item, kind, event,
                 mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag,
                 mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor);
    if (status)
        return status;
    if (b->depth == JSON_MAX_DEPTH)
        return yaml_fail(item, b->name, "nested too deep", b->error);
    item->open = true;
    b->stack[b->depth++] = item;
    return C2C_STATUS_OK;
}

/* The last anchor of that name before the alias is the one that is meant. */
static c2c_status add_alias(yaml_builder *b, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    yaml_item *item;
    c2c_status status = add_item(b, &item, ITEM_ALIAS, event, NULL, event->data.alias.anchor);
    for (size_t i = b->anchored_count; !status && !item->target && i-- > 0;)
        if (strcmp(b->anchored[i]->anchor, name) == 0)
            item->target = b->anchored[i];
    if (status)
        return status;
    if (!item->target)
        return yaml_fail(item, b->name, "an alias of an anchor that is not there", b->error);
    if (item->target->open)
        return yaml_fail(item, b->name, "an alias inside what it stands for", b->error);
    return C2C_STATUS_OK;
}

/* ---- Events ------------------------------------------------------------------------------- */

static c2c_status take_event(yaml_builder *b, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_SCALAR_EVENT: return add_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT: return open_container(b, ITEM_SEQUENCE, event);
    case YAML_MAPPING_START_EVENT: return open_container(b, ITEM_MAPPING, event);
    case YAML_ALIAS_EVENT: return add_alias(b, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: b->stack[--b->depth]->open = false; return C2C_STATUS_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++)
            return error_set(b->error, C2C_STATUS_BAD_FILE,
                             "%s: line %zu: expected one document, found a second one", b->name,
                             event->start_mark.line + 1);
        return C2C_STATUS_OK;
    default: return C2C_STATUS_OK;
    }
}

static c2c_status syntax_error(const yaml_builder *b, const yaml_parser_t *parser) {
    if (parser->error == YAML_MEMORY_ERROR)
        return error_memory(b->error, 0, b->name);
    return error_set(b->error, C2C_STATUS_BAD_FILE,
                     "%s: line %zu, column %zu: invalid YAML: %s%s%s", b->name,
                     parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                     parser->problem ? parser->problem : "not readable", parser->context ? " " : "",
                     parser->context ? parser->context : "");
}

static c2c_status read_items(yaml_builder *b, const char *text, size_t length) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return error_memory(b->error, sizeof parser, b->name);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    c2c_status status = C2C_STATUS_OK;
    bool ended = false;
    while (!status && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = syntax_error(b, &parser);
            break;
        }
        status = take_event(b, &event);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

/* ---- The whole ---------------------------------------------------------------------------- */

static c2c_status check_text(const char *text, size_t length, const char *name, c2c_error *error) {
    if (length > YAML_MAX_BYTES)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: expected YAML of at most %d bytes, found %zu; write data as JSON",
                         name, YAML_MAX_BYTES, length);
    size_t valid = utf8_valid_prefix(text, length), line = 1;
    for (size_t i = 0; i < valid; i++)
        line += text[i] == '\n';
    if (valid < length)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: line %zu: not valid UTF-8", name, line);
    return C2C_STATUS_OK;
}

c2c_status yaml_parse(json_document **document, const char *text, size_t length, const char *name,
                      c2c_error *error) {
    *document = NULL;
    yaml_builder b = {.name = name, .error = error};
    buffer json = {0};
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* the mark some editors write */
        text += 3;
        length -= 3;
    }
    if (!length)
        text = "";
    c2c_status status = check_text(text, length, name, error);
    if (status)
        return status;
    if (!(b.memory = arena_new(4096))) {
        status = error_memory(error, 4096, name);
        goto done;
    }
    if ((status = read_items(&b, text, length)))
        goto done;
    if (b.root)
        status = yaml_write(&json, b.root, name, error);
    else
        buffer_append_text(&json, "null"); /* comments alone, or nothing */
    if (!status && json.failed)
        status = error_memory(error, json.length, name);
    if (!status)
        status = json_parse(document, json.data, json.length, name, error);
done:
    buffer_free(&json);
    free(b.anchored);
    arena_free(b.memory);
    return status;
}
