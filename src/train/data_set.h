/* data_set.h - the inside of a data_set, for its maker (data_load.c) and its reader (data.c). */
#ifndef C2C_TRAIN_DATA_SET_H
#define C2C_TRAIN_DATA_SET_H

#include "train/data.h"

/* Places in the set's arrays. */
typedef struct data_sample {
    int64_t ids, sections; /* the first of each */
    int64_t line, row;     /* row: counted from 1 */
    int32_t tokens, first_label;
    uint32_t section_count, file;
} data_sample;

struct data_set {
    size_t rows_of_ids; /* of each sample: 1, or one for each model */
    data_sample *samples;
    int64_t count, room;
    int32_t *ids;
    int64_t ids_used, ids_room;
    c2c_section *sections;
    int64_t sections_used, sections_room;
    char **files;
    uint32_t file_count;
    int64_t tokens, longest;
    int64_t fates[ROW_FATES];
    char *reasons[ROW_FATES];
    buffer missing; /* names of tasks that have no file, commas between them */
    int missing_count;
};

/* `items` with room for `extra` more of `size` bytes, which doubles; NULL when out of memory. */
void *data_grow(void *items, int64_t used, int64_t extra, int64_t *room, size_t size,
                c2c_error *error);

/* Appends "FILE: line 17", or "FILE: row 17, line 1" where a line, such as a whole array, holds
 * several rows. */
void data_place_write(buffer *out, const char *file, int64_t line, int64_t row);

#endif
