/* rows.h - for rows.c and rows_csv.c only: the state of a reader of rows. */
#ifndef C2C_FORMATS_ROWS_H
#define C2C_FORMATS_ROWS_H

#include "formats/json_part.h"

typedef struct csv_field {
    size_t start, length; /* in the text of the record */
} csv_field;

struct row_reader {
    file_map map; /* of an opened file; empty when the bytes are a caller's */
    char *path;
    const char *start, *at, *end; /* what is not read yet: at .. end - 1 */
    text_place place;             /* of `at` */
    int64_t row_line;             /* where the last row began */
    json_document *row;           /* the last row */
    bool csv, array;              /* else JSON lines */
    bool array_begun; /* its bracket was read, and what follows is not the first element */
    bool ended, torn;

    /* CSV only. */
    char separator;
    char **columns;
    size_t column_count;
    buffer text;       /* of one record, its fields without quotes, next to each other */
    csv_field *fields; /* of one record */
    size_t field_count;
    buffer json; /* the record as an object */
};

/* "PATH: line L: WHAT" for the row that is being read. */
c2c_status row_fail(const row_reader *r, c2c_error *error, const char *format, ...)
    C2C_PRINTF(3, 4);

/* Walks over `*r->at`, a new line included. */
void row_step(row_reader *r);

/* Reads the names of the columns, or takes those of the options. */
c2c_status csv_begin(row_reader *r, const rows_options *options, c2c_error *error);
/* Parses the next record into r->row; none is left when r->ended. */
c2c_status csv_next(row_reader *r, c2c_error *error);

#endif
