/* metrics.c - metrics.jsonl: one JSON object a line for each step and each evaluation. It is the
 * memory of a run; the event file and the page of plots are made from it. */
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

/* No line that is written here is as long. */
#define LINE_MAX_BYTES 1024

/* ---- Writing ------------------------------------------------------------------------------ */

static void write_real(buffer *out, const char *key, double value, int digits) {
    if (isfinite(value))
        buffer_printf(out, ", \"%s\": %.*g", key, digits, value);
    else
        buffer_printf(out, ", \"%s\": null", key);
}

void metric_write_line(buffer *out, const metric *m) {
    buffer_printf(out, "{\"step\": %lld", (long long)m->step);
    write_real(out, "time", m->time, 14);
    write_real(out, "epoch", m->epoch, 9);
    /* Nine digits bring a float back to the bit. */
    write_real(out, m->kind == METRIC_EVAL ? "eval_loss" : "loss", m->loss, 9);
    if (m->kind == METRIC_STEP) {
        write_real(out, "lr", m->rate, 9);
        write_real(out, "grad_norm", m->gradient_norm, 9);
        write_real(out, "temperature", m->temperature, 9);
        buffer_printf(out, ", \"gates_open\": %lld, \"gates\": %lld, \"tokens\": %lld",
                      (long long)m->gates_open, (long long)m->gates, (long long)m->tokens);
        write_real(out, "tokens_per_s", m->tokens_per_second, 6);
    }
    buffer_append_text(out, "}\n");
}

/* ---- Reading ------------------------------------------------------------------------------ */

static bool read_real(const json_value *object, const char *key, double *value) {
    const double none = NAN;
    return !json_get_real(object, key, &none, value, "metrics", NULL);
}

static bool read_count(const json_value *object, const char *key, int64_t high, int64_t *value) {
    return !json_get_integer(object, key, NULL, 0, high, value, "metrics", NULL);
}

static bool read_step(metric *m, const json_value *object) {
    return read_real(object, "loss", &m->loss) && read_real(object, "lr", &m->rate) &&
           read_real(object, "grad_norm", &m->gradient_norm) &&
           read_real(object, "temperature", &m->temperature) &&
           read_real(object, "tokens_per_s", &m->tokens_per_second) &&
           read_count(object, "gates_open", INT32_MAX, &m->gates_open) &&
           read_count(object, "gates", INT32_MAX, &m->gates) &&
           read_count(object, "tokens", INT64_MAX, &m->tokens);
}

bool metric_read_line(metric *m, const char *line, size_t length) {
    json_document *document = NULL;
    *m = (metric){0};
    if (length > LINE_MAX_BYTES || json_parse(&document, line, length, "metrics", NULL))
        return false;
    const json_value *root = json_root(document);
    m->kind = json_get(root, "eval_loss") ? METRIC_EVAL : METRIC_STEP;
    bool good = root->type == JSON_OBJECT && read_count(root, "step", INT64_MAX, &m->step) &&
                read_real(root, "time", &m->time) && read_real(root, "epoch", &m->epoch);
    if (good)
        good = m->kind == METRIC_EVAL ? read_real(root, "eval_loss", &m->loss) : read_step(m, root);
    json_close(document);
    return good;
}

/* ---- All of a file ------------------------------------------------------------------------ */

static c2c_status list_add(metric_list *list, const metric *m, c2c_error *error) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        metric *items = realloc(list->items, capacity * sizeof *items);
        if (!items)
            return error_memory(error, capacity * sizeof *items, "the metrics of a run");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *m;
    return C2C_STATUS_OK;
}

c2c_status metric_list_open(metric_list *list, const char *path, c2c_error *error) {
    file_map map = {0};
    *list = (metric_list){0};
    if (!file_exists(path))
        return C2C_STATUS_OK;
    c2c_status status = file_map_open(&map, path, error);
    const char *at = (const char *)map.data, *end = at + map.size;
    while (!status && at < end) {
        metric m;
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end || !metric_read_line(&m, at, (size_t)(line_end - at)))
            break;
        status = list_add(list, &m, error);
        at = line_end + 1;
    }
    file_map_close(&map);
    if (status)
        metric_list_free(list);
    return status;
}

void metric_list_free(metric_list *list) {
    free(list->items);
    *list = (metric_list){0};
}
