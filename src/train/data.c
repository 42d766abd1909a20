/* data.c - what a set of samples tells about itself, and batches of it as the network takes them.
 * Nothing is padded: a batch is its samples one after the other. */
#include "train/data_set.h"

#include <inttypes.h>
#include <stdlib.h>

void *data_grow(void *items, int64_t used, int64_t extra, int64_t *room, size_t size,
                c2c_error *error) {
    if (used + extra <= *room)
        return items;
    int64_t wanted = max_i64(2 * *room, used + extra);
    size_t bytes;
    void *grown = size_mul((size_t)wanted, size, &bytes) ? realloc(items, bytes) : NULL;
    if (grown)
        *room = wanted;
    else
        error_memory(error, bytes, "training samples");
    return grown;
}

void data_set_close(data_set *set) {
    if (!set)
        return;
    for (uint32_t i = 0; i < set->file_count; i++)
        free(set->files[i]);
    for (int i = 0; i < ROW_FATES; i++)
        free(set->reasons[i]);
    free(set->files);
    buffer_free(&set->missing);
    free(set->samples);
    free(set->ids);
    free(set->sections);
    free(set);
}

/* ---- Asking ------------------------------------------------------------------------------- */

int64_t data_set_count(const data_set *set) {
    return set->count;
}

int64_t data_set_tokens(const data_set *set) {
    return set->tokens;
}

int64_t data_set_longest(const data_set *set) {
    return set->longest;
}

size_t data_set_bytes(const data_set *set) {
    return (size_t)set->room * sizeof *set->samples + (size_t)set->ids_room * sizeof *set->ids +
           (size_t)set->sections_room * sizeof *set->sections;
}

int64_t data_set_rows(const data_set *set, row_fate fate) {
    return set->fates[fate];
}

const char *data_set_reason(const data_set *set, row_fate fate) {
    return set->reasons[fate] ? set->reasons[fate] : "";
}

void data_set_describe(const data_set *set, buffer *text) {
    int64_t rows = 0;
    for (int fate = 0; fate < ROW_FATES; fate++)
        rows += set->fates[fate];
    buffer_printf(text, "%" PRId64 " row%s", rows, rows == 1 ? "" : "s");
    const char *between = ": ";
    for (int fate = 0; fate < ROW_FATES; fate++) {
        if (!set->fates[fate])
            continue;
        buffer_printf(text, "%s%" PRId64 " %s", between, set->fates[fate],
                      row_fate_text((row_fate)fate));
        between = ", ";
    }
}

void data_place_write(buffer *out, const char *file, int64_t line, int64_t row) {
    buffer_printf(out, "%s: ", file);
    if (row > line) /* several rows in one line */
        buffer_printf(out, "row %" PRId64 ", ", row);
    buffer_printf(out, "line %" PRId64, line);
}

void data_set_name(const data_set *set, int64_t i, buffer *name) {
    const data_sample *sample = &set->samples[i];
    data_place_write(name, set->files[sample->file], sample->line, sample->row);
}

int data_set_missing(const data_set *set, const char **names) {
    *names = set->missing.data ? set->missing.data : "";
    return set->missing_count;
}

/* FNV-1a over 32-bit words. */
static uint64_t checksum_add(uint64_t sum, const void *words, size_t bytes) {
    const unsigned char *at = words;
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

uint64_t data_set_checksum(const data_set *set) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    sum = checksum_add(sum, set->ids, (size_t)set->ids_used * sizeof *set->ids);
    for (int64_t i = 0; i < set->count; i++) {
        const int32_t sizes[] = {set->samples[i].tokens, set->samples[i].first_label};
        sum = checksum_add(sum, sizes, sizeof sizes);
    }
    return sum;
}

/* ---- Batches ------------------------------------------------------------------------------ */

static c2c_status batch_grow(data_batch *batch, size_t samples, int64_t tokens, size_t sharers,
                             c2c_error *error) {
    if (samples > batch->room) {
        size_t rows = samples * (sharers ? sharers : 1);
        training_sample *s = realloc(batch->samples, samples * sizeof *s);
        if (s)
            batch->samples = s;
        const int32_t **r = realloc(batch->sharer_rows, rows * sizeof *r);
        if (r)
            batch->sharer_rows = r;
        if (!s || !r)
            return error_memory(error, samples * sizeof *s, "a batch");
        batch->room = samples;
    }
    int32_t *labels =
        data_grow(batch->labels, 0, tokens, &batch->label_room, sizeof *labels, error);
    if (labels)
        batch->labels = labels;
    return labels || !tokens ? C2C_STATUS_OK : C2C_STATUS_OUT_OF_MEMORY;
}

c2c_status data_batch_fill(data_batch *batch, const data_set *set, const uint32_t *rows,
                           size_t count, c2c_error *error) {
    size_t sharers = set->rows_of_ids - 1;
    int64_t tokens = 0;
    for (size_t i = 0; i < count; i++) {
        C2C_ASSERT(rows[i] < set->count);
        tokens += set->samples[rows[i]].tokens;
    }
    c2c_status status = batch_grow(batch, count, tokens, sharers, error);
    if (status)
        return status;
    int32_t *labels = batch->labels;
    for (size_t i = 0; i < count; i++) {
        const data_sample *from = &set->samples[rows[i]];
        const int32_t *ids = set->ids + from->ids;
        const int32_t **sharer_rows = batch->sharer_rows + i * sharers;
        for (int32_t t = 0; t < from->tokens; t++)
            labels[t] = t >= from->first_label && ids[t] != C2C_PADDING ? ids[t] : LABEL_NONE;
        for (size_t s = 0; s < sharers; s++)
            sharer_rows[s] = ids + (int64_t)(s + 1) * from->tokens;
        batch->samples[i] = (training_sample){.ids = ids,
                                              .sharer_ids = sharers ? sharer_rows : NULL,
                                              .labels = labels,
                                              .tokens = from->tokens,
                                              .sections = set->sections + from->sections,
                                              .section_count = from->section_count};
        labels += from->tokens;
    }
    batch->count = count;
    return C2C_STATUS_OK;
}

void data_batch_deinit(data_batch *batch) {
    free(batch->samples);
    free(batch->sharer_rows);
    free(batch->labels);
    *batch = (data_batch){0};
}
