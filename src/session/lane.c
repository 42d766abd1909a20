/* lane.c - one model's rows in a session: which row holds which position, and passes over tokens
 * that come next. */
#include "session/session.h"

#include <stdlib.h>

c2c_status lane_init(session_lane *lane, const c2c_model *model, int64_t positions, int64_t spare,
                     int64_t chunk, prefill_watch *watch, c2c_error *error) {
    *lane = (session_lane){.model = model, .chunk = chunk, .watch = watch};
    c2c_status status;
    size_t host_bytes = (size_t)chunk * 3 * sizeof *lane->host;
    lane->host = malloc(host_bytes);
    if (!lane->host)
        return error_memory(error, host_bytes, "a session");
    size_t id_bytes = (size_t)positions * sizeof *lane->ids;
    lane->ids = malloc(id_bytes);
    if (!lane->ids)
        return error_memory(error, id_bytes, "a session");
    /* At worst every second position is padding, and the last section is set aside. */
    int64_t ranges = positions / 2 + 3;
    if ((status = kv_cache_init(&lane->cache, model->backend, &model->config, positions + spare,
                                error)) ||
        (status = decoder_scratch_init(&lane->scratch, model, chunk, error)))
        return status;
    lane->range_capacity = ranges;
    lane->ranges = malloc((size_t)ranges * sizeof *lane->ranges);
    if (!lane->ranges)
        return error_memory(error, (size_t)ranges * sizeof *lane->ranges, "a session");
    return decoder_batch_init(&lane->batch, model->backend, chunk, 1, ranges, error);
}

void lane_deinit(session_lane *lane) {
    kv_cache_deinit(&lane->cache);
    decoder_scratch_deinit(&lane->scratch);
    decoder_batch_deinit(&lane->batch);
    free(lane->ranges);
    free(lane->ids);
    free(lane->host);
    *lane = (session_lane){0};
}

void lane_reset(session_lane *lane) {
    lane->used = lane->position = lane->range_count = 0;
}

/* The range that a token at lane->position extends: the last one, or a new one after padding. */
static cache_range *open_range(session_lane *lane) {
    if (lane->range_count > 0) {
        cache_range *last = &lane->ranges[lane->range_count - 1];
        if (last->position + last->count == lane->position)
            return last;
    }
    C2C_ASSERT(lane->range_count < lane->range_capacity);
    cache_range *range = &lane->ranges[lane->range_count++];
    *range = (cache_range){.row = (int32_t)lane->used, .position = (int32_t)lane->position};
    return range;
}

static void upload_ranges(const session_lane *lane) {
    const int32_t range_start[2] = {0, (int32_t)lane->range_count};
    const decoder_batch *batch = &lane->batch;
    backend_upload(batch->backend, batch->range_start, range_start, sizeof range_start);
    backend_upload(batch->backend, batch->ranges, lane->ranges,
                   (size_t)lane->range_count * sizeof *lane->ranges);
}

static void upload_batch(session_lane *lane, int64_t rows) {
    decoder_batch *batch = &lane->batch;
    backend *b = batch->backend;
    const int32_t q_start[2] = {0, (int32_t)rows};
    size_t bytes = (size_t)rows * sizeof(int32_t);
    batch->rows = rows;
    batch->sequences = 1;
    backend_upload(b, batch->ids, lane->host, bytes);
    backend_upload(b, batch->positions, lane->host + lane->chunk, bytes);
    backend_upload(b, batch->index, lane->host + 2 * lane->chunk, bytes);
    backend_upload(b, batch->q_start, q_start, sizeof q_start);
    upload_ranges(lane);
}

/* Gives the next position to `id`. Returns its row, or -1 for padding. */
static int32_t take_position(session_lane *lane, int32_t id) {
    int32_t row = -1;
    if (id != C2C_PADDING) {
        cache_range *range = open_range(lane);
        row = range->row + range->count++;
        lane->used++;
    }
    lane->ids[lane->position++] = id;
    return row;
}

int64_t lane_push(session_lane *lane, const int32_t *ids, int64_t count) {
    int64_t rows = 0;
    C2C_ASSERT(count <= lane->chunk);
    for (int64_t i = 0; i < count; i++) {
        int64_t position = lane->position;
        int32_t row = take_position(lane, ids[i]);
        if (row < 0)
            continue;
        lane->host[rows] = ids[i];
        lane->host[lane->chunk + rows] = (int32_t)position;
        lane->host[2 * lane->chunk + rows] = row;
        rows++;
    }
    if (rows > 0)
        upload_batch(lane, rows);
    return rows;
}

void lane_place_to(session_lane *lane, const int32_t *prompt, int64_t end) {
    while (lane->position < end)
        take_position(lane, prompt[lane->position]);
}

void lane_forward(session_lane *lane, int layers, decoder_goal goal) {
    prefill_watch *watch = lane->watch;
    if (watch->cancelled)
        return;
    lane->tokens_run += lane->batch.rows;
    decoder_forward(lane->model, &lane->scratch, &lane->cache, &lane->batch, layers, goal);
    if (!watch->active)
        return;
    /* Nobody is told of work that is only queued. */
    backend_sync(lane->batch.backend);
    watch->done += lane->batch.rows;
    watch->cancelled = !watch->callback(watch->user, watch->done, watch->total);
}

void lane_run(session_lane *lane, const int32_t *ids, int64_t count, int layers) {
    for (int64_t done = 0; done < count; done += lane->chunk)
        if (lane_push(lane, ids + done, min_i64(lane->chunk, count - done)) > 0 && layers > 0)
            lane_forward(lane, layers, DECODER_CACHE);
}

void lane_run_to(session_lane *lane, const int32_t *prompt, int64_t end, int layers) {
    if (lane->position < end)
        lane_run(lane, prompt + lane->position, end - lane->position, layers);
}

/* ---- What is there already ---------------------------------------------------------------- */

int64_t lane_common(const session_lane *lane, const int32_t *ids, int64_t count) {
    int64_t most = min_i64(lane->position, count), same = 0;
    while (same < most && lane->ids[same] == ids[same])
        same++;
    return same;
}

int64_t lane_row(const session_lane *lane, int64_t position) {
    for (int64_t i = 0; i < lane->range_count; i++) {
        const cache_range *range = &lane->ranges[i];
        if (position < range->position + range->count)
            return range->row + max_i64(0, position - range->position);
    }
    return lane->used;
}

void lane_rewind(session_lane *lane, int64_t position) {
    C2C_ASSERT(position <= lane->position);
    for (; lane->range_count > 0; lane->range_count--) {
        cache_range *last = &lane->ranges[lane->range_count - 1];
        int64_t keep = max_i64(0, min_i64(last->count, position - last->position));
        lane->used -= last->count - keep;
        last->count = (int32_t)keep;
        if (keep > 0)
            break;
    }
    lane->position = position;
}

void lane_set_aside(session_lane *lane, int64_t start, int64_t offset) {
    int64_t row = lane_row(lane, start), position = lane->position, used = lane->used;
    C2C_ASSERT(start <= position);
    lane_rewind(lane, start);
    C2C_ASSERT(lane->range_count < lane->range_capacity);
    lane->ranges[lane->range_count++] = (cache_range){.row = (int32_t)(row + offset),
                                                      .position = (int32_t)start,
                                                      .count = (int32_t)(position - start)};
    lane->position = position;
    lane->used = used;
}

void lane_put_back(session_lane *lane, int64_t offset) {
    const cache_range aside = lane->ranges[--lane->range_count];
    int64_t position = lane->position, used = lane->used;
    /* It may continue the range before it, as if it had never been elsewhere. */
    lane->position = aside.position;
    lane->used = aside.row - offset;
    open_range(lane)->count += aside.count;
    lane->position = position;
    lane->used = used;
}

/* ---- Steps -------------------------------------------------------------------------------- */

void lane_begin_steps(session_lane *lane) {
    open_range(lane);
    lane->host[0] = 0; /* no token yet */
    lane->host[lane->chunk] = (int32_t)lane->position - 1;
    lane->host[2 * lane->chunk] = (int32_t)lane->used - 1;
    upload_batch(lane, 1);
}

void lane_step_advance(session_lane *lane, const int32_t *next, int32_t id) {
    const decoder_batch *batch = &lane->batch;
    op_step_advance(batch->backend, &(step_advance_args){.ids = batch->ids,
                                                         .positions = batch->positions,
                                                         .index = batch->index,
                                                         .ranges = batch->ranges,
                                                         .range_start = batch->range_start,
                                                         .next = next,
                                                         .sequences = 1});
    take_position(lane, id);
}
