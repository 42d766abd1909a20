/* json_part.h - for the readers of this room only: JSON that is a part of a larger text, with
 * messages that tell the place in the whole. */
#ifndef C2C_FORMATS_JSON_PART_H
#define C2C_FORMATS_JSON_PART_H

#include "formats/formats.h"

/* Where the line starts that a part begins in, and its number; a part may begin inside its line. */
typedef struct text_place {
    const char *line_start;
    size_t line;
} text_place;

/* "NAME: line L, column C: WHAT" for the character at `at`, which is not before the place; columns
 * count characters. Returns C2C_STATUS_BAD_FILE. */
c2c_status text_fail_at(const text_place *place, const char *at, const char *name, const char *what,
                        c2c_error *error);

/* As json_parse. */
c2c_status json_parse_part(json_document **document, const char *text, size_t length,
                           const text_place *place, const char *name, c2c_error *error);

#endif
