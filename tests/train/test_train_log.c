/* test_train_log.c - metrics.jsonl, event files read byte by byte, and the page of plots. */
#include "support/test.h"
#include "train/train.h"

#include <unistd.h>

static void checksums_are_known_ones(void **state) {
    (void)state;
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    /* RFC 3720, B.4; and the usual check of nine digits. */
    assert_int_equal(crc32c_update(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_update(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(crc32c_update(0, ones, 32), 0x62a8ab43);
    assert_int_equal(crc32c_update(0, "", 0), 0);
    /* Long inputs take another way to the same number, in one call or in parts. */
    static uint8_t many[10003];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (uint8_t)(i * 31 + i / 7);
    uint32_t whole = crc32c_update(0, many, sizeof many), parts = 0;
    for (size_t i = 0; i < sizeof many; i += 100)
        parts = crc32c_update(parts, many + i, sizeof many - i < 100 ? sizeof many - i : 100);
    assert_int_equal(whole, parts);
}

/* ---- Metrics ------------------------------------------------------------------------------ */

static metric make_step(int64_t step) {
    return (metric){.kind = METRIC_STEP,
                    .step = step,
                    .time = 1700000000.25 + (double)step,
                    .epoch = (double)step / 16,
                    .loss = (float)(3 / sqrt((double)step + 1)),
                    .rate = 1e-3F / ((float)step + 1),
                    .gradient_norm = 0.5,
                    .temperature = 0.25,
                    .tokens_per_second = 1234.5,
                    .tokens = 100 + step % 1000,
                    .gates_open = step % 8,
                    .gates = 8};
}

static metric make_eval(int64_t step) {
    return (metric){.kind = METRIC_EVAL, .step = step, .time = 1700000001, .epoch = 1, .loss = 0.5};
}

static void metrics_come_back(void **state) {
    (void)state;
    metric kinds[] = {make_step(7), make_eval(8), make_step(9)};
    kinds[2].loss = NAN; /* null in the file */
    for (size_t i = 0; i < 3; i++) {
        buffer line = {0};
        metric back;
        metric_write_line(&line, &kinds[i]);
        assert_int_equal(line.data[line.length - 1], '\n');
        assert_true(metric_read_line(&back, line.data, line.length - 1));
        assert_int_equal(back.kind, kinds[i].kind);
        assert_int_equal(back.step, kinds[i].step);
        assert_true((float)back.loss == (float)kinds[i].loss ||
                    (isnan(back.loss) && isnan(kinds[i].loss)));
        assert_true((float)back.rate == (float)kinds[i].rate);
        assert_int_equal(back.tokens, kinds[i].tokens);
        assert_int_equal(back.gates_open, kinds[i].gates_open);
        /* Half a line, as a killed process leaves it, is none. */
        assert_false(metric_read_line(&back, line.data, line.length / 2));
        buffer_free(&line);
    }
    metric m;
    assert_false(metric_read_line(&m, "[]", 2));
    assert_false(metric_read_line(&m, "{}", 2));
    assert_false(metric_read_line(&m, "{\"step\": -1}", 12));
}

/* ---- Event files, read as the format says -------------------------------------------------- */

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static uint64_t read_little(reader *r, int bytes) {
    uint64_t value = 0;
    assert_true(r->end - r->at >= bytes);
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)*r->at++ << 8 * i;
    return value;
}

static uint64_t read_varint(reader *r) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(r->at < r->end && shift < 64);
        value |= (uint64_t)(*r->at & 0x7f) << shift;
        if (!(*r->at++ & 0x80))
            return value;
    }
}

static reader read_bytes(reader *r) {
    uint64_t length = read_varint(r);
    assert_true((uint64_t)(r->end - r->at) >= length);
    reader inside = {r->at, r->at + length};
    r->at += length;
    return inside;
}

/* The checksum as TFRecord stores it, made with nothing of ours. */
static uint32_t masked_crc32c(const uint8_t *bytes, size_t length) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    crc ^= 0xffffffff;
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static reader read_record(reader *r) {
    const uint8_t *head = r->at;
    uint64_t length = read_little(r, 8);
    assert_int_equal(read_little(r, 4), masked_crc32c(head, 8));
    assert_true((uint64_t)(r->end - r->at) >= length + 4);
    reader record = {r->at, r->at + length};
    r->at += length;
    assert_int_equal(read_little(r, 4), masked_crc32c(record.at, length));
    return record;
}

typedef struct scalar_event {
    double time;
    int64_t step;
    char version[32];
    char tags[8][32];
    float values[8];
    int count;
} scalar_event;

static void read_value(scalar_event *e, reader r) {
    assert_in_range(e->count, 0, 7);
    while (r.at < r.end) {
        uint64_t key = read_varint(&r);
        if (key == (1 << 3 | 2)) {
            reader tag = read_bytes(&r);
            assert_true(tag.end - tag.at < 32);
            memcpy(e->tags[e->count], tag.at, (size_t)(tag.end - tag.at));
        } else {
            assert_int_equal(key, 2 << 3 | 5);
            uint32_t bits = (uint32_t)read_little(&r, 4);
            memcpy(&e->values[e->count], &bits, 4);
        }
    }
    e->count++;
}

static scalar_event read_event(reader *file) {
    scalar_event e = {0};
    reader r = read_record(file);
    while (r.at < r.end) {
        uint64_t key = read_varint(&r);
        if (key == (1 << 3 | 1)) {
            uint64_t bits = read_little(&r, 8);
            memcpy(&e.time, &bits, 8);
        } else if (key == (2 << 3 | 0)) {
            e.step = (int64_t)read_varint(&r);
        } else if (key == (3 << 3 | 2)) {
            reader text = read_bytes(&r);
            assert_true(text.end - text.at < 32);
            memcpy(e.version, text.at, (size_t)(text.end - text.at));
        } else {
            assert_int_equal(key, 5 << 3 | 2);
            for (reader summary = read_bytes(&r); summary.at < summary.end;) {
                assert_int_equal(read_varint(&summary), 1 << 3 | 2);
                read_value(&e, read_bytes(&summary));
            }
        }
    }
    return e;
}

static void check_event(const scalar_event *e, const metric *m) {
    static const char *const tags[] = {"train/loss",       "train/lr",
                                       "train/grad_norm",  "train/temperature",
                                       "train/gates_open", "train/tokens_per_s",
                                       "train/epoch"};
    const double values[] = {m->loss,
                             m->rate,
                             m->gradient_norm,
                             m->temperature,
                             (double)m->gates_open,
                             m->tokens_per_second,
                             m->epoch};
    assert_int_equal(e->step, m->step);
    assert_true(e->time == m->time);
    if (m->kind == METRIC_EVAL) {
        assert_int_equal(e->count, 1);
        assert_string_equal(e->tags[0], "eval/loss");
        assert_true(e->values[0] == (float)m->loss);
        return;
    }
    assert_int_equal(e->count, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(e->tags[i], tags[i]);
        assert_true(e->values[i] == (float)values[i]);
    }
}

static void events_are_what_tensorboard_reads(void **state) {
    (void)state;
    metric metrics[] = {make_step(1), make_step(200), make_eval(70000), make_step(INT64_MAX)};
    buffer file = {0};
    event_write_head(&file, 1700000000.5);
    for (size_t i = 0; i < 4; i++)
        event_write_metric(&file, &metrics[i]);
    reader r = {(uint8_t *)file.data, (uint8_t *)file.data + file.length};
    scalar_event head = read_event(&r);
    assert_string_equal(head.version, "brain.Event:2");
    assert_true(head.time == 1700000000.5);
    for (size_t i = 0; i < 4; i++) {
        scalar_event e = read_event(&r);
        check_event(&e, &metrics[i]);
    }
    assert_true(r.at == r.end);
    buffer_free(&file);
}

/* ---- The folder --------------------------------------------------------------------------- */

static buffer read_file(const char *folder, const char *name) {
    file_map map;
    buffer bytes = {0};
    char *path = path_join(folder, name);
    assert_ok(file_map_open(&map, path, &test_error));
    buffer_append(&bytes, map.data, map.size);
    file_map_close(&map);
    free(path);
    return bytes;
}

static void expect_steps(const char *folder, const int64_t *steps, size_t count) {
    metric_list list;
    char *path = path_join(folder, "metrics.jsonl");
    assert_ok(metric_list_open(&list, path, &test_error));
    assert_int_equal(list.count, count);
    buffer events = read_file(folder, "tensorboard/events.out.tfevents.0.c2c");
    reader r = {(uint8_t *)events.data, (uint8_t *)events.data + events.length};
    read_event(&r);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list.items[i].step, steps[i]);
        assert_int_equal(read_event(&r).step, steps[i]);
    }
    assert_true(r.at == r.end);
    buffer_free(&events);
    metric_list_free(&list);
    free(path);
}

/* A run that goes on behind step 2 forgets what came later, and half a line at the end. */
static void logs_go_on_behind_a_checkpoint(void **state) {
    (void)state;
    train_log log;
    char *folder = test_folder_make();
    assert_ok(train_log_open(&log, folder, 0, 1, &test_error));
    for (int64_t step = 1; step <= 4; step++) {
        metric m = make_step(step), eval = make_eval(step);
        assert_ok(train_log_add(&log, &m, &test_error));
        if (step == 2)
            assert_ok(train_log_add(&log, &eval, &test_error));
    }
    assert_int_equal(write(log.metrics, "{\"step\": 5, \"lo", 15), 15);
    train_log_close(&log);
    assert_ok(train_log_open(&log, folder, 2, 1, &test_error));
    expect_steps(folder, (int64_t[]){1, 2, 2}, 3);
    metric m = make_step(3);
    assert_ok(train_log_add(&log, &m, &test_error));
    expect_steps(folder, (int64_t[]){1, 2, 2, 3}, 4);
    assert_ok(train_log_flush(&log, "a <pair> & more", 10, &test_error));
    buffer page = read_file(folder, "report.html");
    assert_non_null(strstr(page.data, "a &lt;pair&gt; &amp; more"));
    buffer_free(&page);
    train_log_close(&log);
    /* A new run starts with nothing. */
    assert_ok(train_log_open(&log, folder, 0, 1, &test_error));
    expect_steps(folder, NULL, 0);
    train_log_close(&log);
    test_folder_remove(folder);
}

/* ---- The page ----------------------------------------------------------------------------- */

static int count_of(const char *text, const char *part) {
    int count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void pages_need_nothing_else(void **state) {
    (void)state;
    enum { STEPS = 5000 };
    static metric items[STEPS + 2];
    size_t counts[] = {0, 1, 2, STEPS + 2};
    for (int64_t i = 0; i < STEPS; i++)
        items[i] = make_step(i + 1);
    items[17].loss = NAN;
    items[STEPS] = make_eval(STEPS / 2);
    items[STEPS + 1] = make_eval(STEPS);
    for (size_t i = 0; i < 4; i++) {
        buffer page = {0};
        metric_list list = {.items = items, .count = counts[i]};
        train_report_write(&page, &list, "demo", STEPS);
        assert_false(page.failed);
        assert_null(strstr(page.data, "http"));
        assert_null(strstr(page.data, "<script"));
        assert_null(strstr(page.data, "nan"));
        assert_null(strstr(page.data, "inf"));
        assert_int_equal(count_of(page.data, "<svg"), counts[i] ? 5 : 4);
        assert_int_equal(count_of(page.data, "<svg"), count_of(page.data, "</svg>"));
        /* A long run is not a long page. */
        assert_in_range(page.length, 1000, 100000);
        buffer_free(&page);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_known_ones),
        cmocka_unit_test(metrics_come_back),
        cmocka_unit_test(events_are_what_tensorboard_reads),
        cmocka_unit_test(logs_go_on_behind_a_checkpoint),
        cmocka_unit_test(pages_need_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
