/* lane.c - one model's rows in a session: which row holds which position; and passes over tokens
 * that come next, of one lane or of several that share a pool. */
#include "session/session.h"

#include <stdlib.h>

/* ---- Memory ------------------------------------------------------------------------------- */

static c2c_status alloc_host(void **memory, int64_t count, size_t size, c2c_error *error) {
    *memory = calloc((size_t)count, size);
    return *memory ? C2C_STATUS_OK : error_memory(error, (size_t)count * size, "a session");
}

/* Ranges of a lane: at worst every second position is padding, and the last section is aside. */
static int64_t most_ranges(int64_t positions) {
    return positions / 2 + 3;
}

c2c_status lane_pool_init(lane_pool *pool, const c2c_model *model, dtype cache_type, int64_t lanes,
                          int64_t positions, int64_t rows, int64_t chunk, c2c_error *error) {
    *pool = (lane_pool){.model = model,
                        .chunk = max_i64(chunk, lanes), /* a step is one token of each */
                        .lanes = lanes,
                        .range_capacity = most_ranges(positions)};
    int64_t ranges = lanes * pool->range_capacity;
    void *parts[5];
    c2c_status status;
    if ((status = alloc_host(&parts[0], pool->chunk * 3, sizeof *pool->host, error)))
        return status;
    pool->host = parts[0];
    if ((status = alloc_host(&parts[1], (lanes + 1) * 2, sizeof *pool->starts, error)))
        return status;
    pool->starts = parts[1];
    if ((status = alloc_host(&parts[2], lanes, sizeof *pool->members, error)))
        return status;
    pool->members = parts[2];
    if ((status = alloc_host(&parts[3], lanes, sizeof *pool->member_rows, error)))
        return status;
    pool->member_rows = parts[3];
    if ((status = alloc_host(&parts[4], ranges, sizeof *pool->ranges, error)))
        return status;
    pool->ranges = parts[4];
    if ((status = kv_cache_init(&pool->cache, model->backend, &model->config, cache_type,
                                lanes * rows, error)) ||
        (status = decoder_scratch_init(&pool->scratch, model, pool->chunk, error)))
        return status;
    return decoder_batch_init(&pool->batch, model->backend, pool->chunk, lanes, ranges, error);
}

void lane_pool_deinit(lane_pool *pool) {
    kv_cache_deinit(&pool->cache);
    decoder_scratch_deinit(&pool->scratch);
    decoder_batch_deinit(&pool->batch);
    free(pool->members);
    free(pool->member_rows);
    free(pool->host);
    free(pool->starts);
    free(pool->ranges);
    *pool = (lane_pool){0};
}

c2c_status lane_init(session_lane *lane, lane_pool *pool, int64_t i, int64_t positions,
                     int64_t spare, prefill_watch *watch, c2c_error *error) {
    void *ids, *ranges;
    *lane = (session_lane){.model = pool->model,
                           .pool = pool,
                           .rows = positions + spare,
                           .first = i * (positions + spare),
                           .range_capacity = most_ranges(positions),
                           .watch = watch};
    lane->cache = kv_cache_view(&pool->cache, lane->first);
    c2c_status status = alloc_host(&ids, positions, sizeof *lane->ids, error);
    if (status)
        return status;
    lane->ids = ids;
    if ((status = alloc_host(&ranges, lane->range_capacity, sizeof *lane->ranges, error)))
        return status;
    lane->ranges = ranges;
    return C2C_STATUS_OK;
}

void lane_deinit(session_lane *lane) {
    free(lane->ranges);
    free(lane->ids);
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

void lane_place_to(session_lane *lane, const int32_t *prompt, int64_t end) {
    while (lane->position < end)
        take_position(lane, prompt[lane->position]);
}

/* ---- Passes ------------------------------------------------------------------------------- */

/* Where each member's queries and ranges begin, and the ranges in rows of the pool. */
static void upload_tables(lane_pool *pool, size_t count) {
    int32_t *q_start = pool->starts, *range_start = pool->starts + pool->lanes + 1;
    const decoder_batch *batch = &pool->batch;
    q_start[0] = range_start[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const session_lane *lane = pool->members[i];
        cache_range *ranges = pool->ranges + range_start[i];
        memcpy(ranges, lane->ranges, (size_t)lane->range_count * sizeof *ranges);
        for (int64_t k = 0; k < lane->range_count; k++)
            ranges[k].row += (int32_t)lane->first;
        q_start[i + 1] = q_start[i] + (int32_t)pool->member_rows[i];
        range_start[i + 1] = range_start[i] + (int32_t)lane->range_count;
    }
    size_t bytes = (count + 1) * sizeof *pool->starts;
    backend_upload(batch->backend, batch->q_start, q_start, bytes);
    backend_upload(batch->backend, batch->range_start, range_start, bytes);
    backend_upload(batch->backend, batch->ranges, pool->ranges,
                   (size_t)range_start[count] * sizeof *pool->ranges);
}

/* The batch of `rows` tokens, which are in pool->host, of the first `count` members. */
static void upload_batch(lane_pool *pool, int64_t rows, size_t count) {
    decoder_batch *batch = &pool->batch;
    backend *b = batch->backend;
    size_t bytes = (size_t)rows * sizeof(int32_t);
    batch->rows = rows;
    batch->sequences = (int64_t)count;
    backend_upload(b, batch->ids, pool->host, bytes);
    backend_upload(b, batch->positions, pool->host + pool->chunk, bytes);
    backend_upload(b, batch->index, pool->host + 2 * pool->chunk, bytes);
    upload_tables(pool, count);
    pool->stepping = false;
}

int64_t lane_push(session_lane *lane, const int32_t *ids, int64_t count) {
    lane_pool *pool = lane->pool;
    int64_t rows = 0;
    C2C_ASSERT(count <= pool->chunk);
    for (int64_t i = 0; i < count; i++) {
        int64_t position = lane->position;
        int32_t row = take_position(lane, ids[i]);
        if (row < 0)
            continue;
        pool->host[rows] = ids[i];
        pool->host[pool->chunk + rows] = (int32_t)position;
        pool->host[2 * pool->chunk + rows] = row + (int32_t)lane->first;
        rows++;
    }
    pool->members[0] = lane;
    pool->member_rows[0] = rows;
    if (rows > 0)
        upload_batch(pool, rows, 1);
    return rows;
}

/* Tells who watches what one pass has done. */
static void tell(session_lane *lane, int64_t rows) {
    prefill_watch *watch = lane->watch;
    if (!watch->active || watch->cancelled)
        return;
    /* Nobody is told of work that is only queued. */
    backend_sync(lane->pool->batch.backend);
    watch->done += rows;
    watch->cancelled = !watch->callback(watch->user, watch->done, watch->total);
}

void pool_forward(lane_pool *pool, int layers, decoder_goal goal) {
    size_t count = (size_t)pool->batch.sequences, cancelled = 0;
    for (size_t i = 0; i < count; i++)
        cancelled += pool->members[i]->watch->cancelled;
    if (cancelled == count)
        return;
    decoder_forward(pool->model, &pool->scratch, &pool->cache, &pool->batch, layers, goal);
    for (size_t i = 0; i < count; i++) {
        pool->members[i]->tokens_run += pool->member_rows[i];
        tell(pool->members[i], pool->member_rows[i]);
    }
}

void lane_run(session_lane *lane, const int32_t *ids, int64_t count, int layers) {
    int64_t chunk = lane->pool->chunk;
    for (int64_t done = 0; done < count; done += chunk)
        if (lane_push(lane, ids + done, min_i64(chunk, count - done)) > 0 && layers > 0)
            pool_forward(lane->pool, layers, DECODER_CACHE);
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

void lanes_begin_steps(session_lane *const *lanes, size_t count) {
    lane_pool *pool = lanes[0]->pool;
    for (size_t i = 0; i < count; i++) {
        session_lane *lane = lanes[i];
        open_range(lane);
        pool->host[i] = 0; /* no token yet */
        pool->host[pool->chunk + (int64_t)i] = (int32_t)lane->position - 1;
        pool->host[2 * pool->chunk + (int64_t)i] = (int32_t)(lane->first + lane->used) - 1;
        pool->members[i] = lane;
        pool->member_rows[i] = 1;
    }
    upload_batch(pool, (int64_t)count, count);
    pool->stepping = true;
}

bool lanes_stand(session_lane *const *lanes, size_t count) {
    const lane_pool *pool = lanes[0]->pool;
    return pool->stepping && pool->batch.sequences == (int64_t)count &&
           memcmp(pool->members, lanes, count * sizeof *pool->members) == 0;
}

void lanes_step_advance(session_lane *const *lanes, size_t count, const int32_t *next,
                        const int32_t *ids) {
    lane_pool *pool = lanes[0]->pool;
    const decoder_batch *batch = &pool->batch;
    if (!lanes_stand(lanes, count))
        lanes_begin_steps(lanes, count);
    op_step_advance(batch->backend, &(step_advance_args){.ids = batch->ids,
                                                         .positions = batch->positions,
                                                         .index = batch->index,
                                                         .ranges = batch->ranges,
                                                         .range_start = batch->range_start,
                                                         .next = next,
                                                         .sequences = (int64_t)count});
    for (size_t i = 0; i < count; i++)
        take_position(lanes[i], ids[i]);
}
