/* train_log.c - what a run leaves for people, in its folder: metrics.jsonl, tensorboard/ and
 * report.html. A run that goes on behind a checkpoint writes the first two anew without what came
 * behind it, and then only appends. */
#include "train/train.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define METRICS_NAME "metrics.jsonl"
#define EVENTS_NAME  "tensorboard/events.out.tfevents.0.c2c"
#define REPORT_NAME  "report.html"

static c2c_status log_error(c2c_error *error, const char *folder, const char *name) {
    return error_set(error, C2C_STATUS_IO, "%s/%s: cannot write: %s", folder, name,
                     strerror(errno));
}

/* Writes a whole file of the run. */
static c2c_status write_whole(const char *folder, const char *name, buffer *text,
                              c2c_error *error) {
    char *path = path_join(folder, name);
    c2c_status status = !path || text->failed
                            ? error_memory(error, text->length, name)
                            : file_write(path, text->data ? text->data : "", text->length, error);
    free(path);
    return status;
}

static c2c_status open_end(int *file, const char *folder, const char *name, c2c_error *error) {
    char *path = path_join(folder, name);
    if (!path)
        return error_memory(error, strlen(folder), name);
    *file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    free(path);
    return *file >= 0 ? C2C_STATUS_OK : log_error(error, folder, name);
}

static c2c_status make_folders(const char *folder, c2c_error *error) {
    char *events = path_join(folder, "tensorboard");
    if (!events)
        return error_memory(error, strlen(folder), "a folder name");
    c2c_status status = C2C_STATUS_OK;
    if (mkdir(events, 0777) != 0 && errno != EEXIST)
        status = log_error(error, folder, "tensorboard");
    free(events);
    return status;
}

static c2c_status read_metrics(metric_list *list, const char *folder, c2c_error *error) {
    char *path = path_join(folder, METRICS_NAME);
    c2c_status status = path ? metric_list_open(list, path, error)
                             : error_memory(error, strlen(folder), METRICS_NAME);
    free(path);
    return status;
}

/* Both files, from what is kept. */
static c2c_status write_kept(const char *folder, const metric_list *list, int64_t step, double time,
                             c2c_error *error) {
    buffer metrics = {0}, events = {0};
    event_write_head(&events,
                     list->count && list->items[0].step <= step ? list->items[0].time : time);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].step <= step) {
            metric_write_line(&metrics, &list->items[i]);
            event_write_metric(&events, &list->items[i]);
        }
    c2c_status status = write_whole(folder, METRICS_NAME, &metrics, error);
    if (!status)
        status = write_whole(folder, EVENTS_NAME, &events, error);
    buffer_free(&metrics);
    buffer_free(&events);
    return status;
}

c2c_status train_log_open(train_log *log, const char *folder, int64_t step, double time,
                          c2c_error *error) {
    metric_list list = {0};
    *log = (train_log){.metrics = -1, .events = -1, .folder = string_copy(folder)};
    c2c_status status = log->folder ? make_folders(folder, error)
                                    : error_memory(error, strlen(folder), "a folder name");
    if (!status && step > 0)
        status = read_metrics(&list, folder, error);
    if (!status)
        status = write_kept(folder, &list, step, time, error);
    if (!status)
        status = open_end(&log->metrics, folder, METRICS_NAME, error);
    if (!status)
        status = open_end(&log->events, folder, EVENTS_NAME, error);
    metric_list_free(&list);
    if (status)
        train_log_close(log);
    return status;
}

static c2c_status append(int file, const buffer *line, const char *folder, const char *name,
                         c2c_error *error) {
    size_t done = 0;
    if (line->failed)
        return error_memory(error, line->length, name);
    while (done < line->length) {
        ssize_t n = write(file, line->data + done, line->length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return log_error(error, folder, name);
        done += (size_t)n;
    }
    return C2C_STATUS_OK;
}

c2c_status train_log_add(train_log *log, const metric *m, c2c_error *error) {
    buffer_clear(&log->line);
    metric_write_line(&log->line, m);
    c2c_status status = append(log->metrics, &log->line, log->folder, METRICS_NAME, error);
    buffer_clear(&log->line);
    event_write_metric(&log->line, m);
    return status ? status : append(log->events, &log->line, log->folder, EVENTS_NAME, error);
}

c2c_status train_log_flush(train_log *log, const char *title, int64_t steps, c2c_error *error) {
    metric_list list = {0};
    buffer page = {0};
    if (fsync(log->metrics) != 0 || fsync(log->events) != 0)
        return log_error(error, log->folder, METRICS_NAME);
    c2c_status status = read_metrics(&list, log->folder, error);
    if (!status) {
        train_report_write(&page, &list, title, steps);
        status = write_whole(log->folder, REPORT_NAME, &page, error);
    }
    metric_list_free(&list);
    buffer_free(&page);
    return status;
}

void train_log_close(train_log *log) {
    if (log->metrics >= 0)
        close(log->metrics);
    if (log->events >= 0)
        close(log->events);
    buffer_free(&log->line);
    free(log->folder);
    *log = (train_log){.metrics = -1, .events = -1};
}
