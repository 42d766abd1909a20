/* yaml.h - for this room only: a YAML text as items that refer to each other. yaml.c reads the text
 * with libyaml and makes the items; yaml_write.c turns them into JSON text, the form in which the
 * one reader of documents takes them. */
#ifndef C2C_FORMATS_YAML_H
#define C2C_FORMATS_YAML_H

#include "formats/formats.h"

typedef enum yaml_kind { ITEM_SCALAR = 0, ITEM_SEQUENCE, ITEM_MAPPING, ITEM_ALIAS } yaml_kind;

typedef struct yaml_item yaml_item;
struct yaml_item {
    yaml_kind kind;
    bool plain;         /* a scalar without quotes: what it is depends on its text */
    bool open;          /* its end was not read yet: no alias may name it */
    const char *tag;    /* NULL: none */
    const char *anchor; /* NULL: none */
    const char *text;   /* of a scalar: valid UTF-8, NUL-terminated */
    size_t length;
    yaml_item *first, *last, *next; /* children; of a mapping key, value, key, value, ... */
    yaml_item *target;              /* of an alias: never one that is open, so no circles */
    size_t line, column;            /* from 0 */
};

/* Appends the JSON text of what `root` stands for; `name` stands in messages. */
c2c_status yaml_write(buffer *out, const yaml_item *root, const char *name, c2c_error *error);

/* "NAME: line L, column C: WHAT" */
c2c_status yaml_fail(const yaml_item *item, const char *name, const char *what, c2c_error *error);

#endif
