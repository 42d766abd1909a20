/* writer.c - files written aside: under a name of their own in the same folder, synced, renamed.
 * Folders of files are folder.c's. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)
#define NAME_TRIES   100

struct file_writer {
    int fd;
    char *path, *aside;
    uint64_t size;
    size_t used; /* bytes of `buffer` that are not in the file yet */
    uint8_t buffer[BUFFER_BYTES];
};

static c2c_status write_error(c2c_error *error, const char *path, const char *what) {
    int code = errno;
    c2c_status status = code == ENOENT || code == ENOTDIR ? C2C_STATUS_NOT_FOUND : C2C_STATUS_IO;
    return error_set(error, status, "%s: cannot %s: %s", path, what, strerror(code));
}

/* Opens PATH.partial-PID-N, for the first N that is free. */
static c2c_status open_aside(file_writer *w, c2c_error *error) {
    for (int n = 0; n < NAME_TRIES; n++) {
        buffer name = {0};
        buffer_printf(&name, "%s.partial-%ld-%d", w->path, (long)getpid(), n);
        free(w->aside);
        w->aside = buffer_take(&name, NULL);
        if (!w->aside)
            return error_memory(error, strlen(w->path) + 32, "a file name");
        w->fd = open(w->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0 || errno != EEXIST)
            break;
    }
    return w->fd >= 0 ? C2C_STATUS_OK : write_error(error, w->path, "write");
}

c2c_status file_writer_open(file_writer **writer, const char *path, c2c_error *error) {
    *writer = NULL;
    struct stat info;
    /* Renaming would put a file where a device or a pipe was. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: expected a file or a free name, found a device or pipe", path);
    file_writer *w = malloc(sizeof *w);
    if (!w)
        return error_memory(error, sizeof *w, path);
    w->fd = -1;
    w->aside = NULL;
    w->size = w->used = 0;
    buffer copy = {0};
    buffer_append_text(&copy, path);
    w->path = buffer_take(&copy, NULL);
    c2c_status status =
        w->path ? open_aside(w, error) : error_memory(error, strlen(path) + 1, "a file name");
    if (status) {
        free(w->path);
        free(w->aside);
        free(w);
        return status;
    }
    *writer = w;
    return C2C_STATUS_OK;
}

static c2c_status write_all(file_writer *w, const uint8_t *bytes, size_t length, c2c_error *error) {
    while (length > 0) {
        ssize_t n = write(w->fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_error(error, w->path, "write");
        bytes += n;
        length -= (size_t)n;
    }
    return C2C_STATUS_OK;
}

static c2c_status flush(file_writer *w, c2c_error *error) {
    size_t used = w->used;
    w->used = 0;
    return write_all(w, w->buffer, used, error);
}

c2c_status file_writer_append(file_writer *w, const void *bytes, size_t length, c2c_error *error) {
    w->size += length;
    if (length > BUFFER_BYTES - w->used) {
        c2c_status status = flush(w, error);
        if (status)
            return status;
        if (length >= BUFFER_BYTES)
            return write_all(w, bytes, length, error);
    }
    if (length)
        memcpy(w->buffer + w->used, bytes, length);
    w->used += length;
    return C2C_STATUS_OK;
}

uint64_t file_writer_size(const file_writer *w) {
    return w->size;
}

static c2c_status commit(file_writer *w, c2c_error *error) {
    c2c_status status = flush(w, error);
    if (!status && fsync(w->fd) != 0)
        status = write_error(error, w->path, "write");
    int closed = close(w->fd);
    w->fd = -1;
    if (!status && closed != 0)
        status = write_error(error, w->path, "write");
    if (!status && rename(w->aside, w->path) != 0)
        status = write_error(error, w->path, "replace");
    if (!status)
        folder_sync_around(w->path);
    return status;
}

c2c_status file_writer_end(file_writer *w, c2c_status status, c2c_error *error) {
    if (!w)
        return status;
    if (!status)
        status = commit(w, error);
    if (w->fd >= 0)
        close(w->fd);
    if (status)
        unlink(w->aside);
    free(w->path);
    free(w->aside);
    free(w);
    return status;
}

c2c_status file_write(const char *path, const void *bytes, size_t length, c2c_error *error) {
    file_writer *w;
    c2c_status status = file_writer_open(&w, path, error);
    if (!status)
        status = file_writer_append(w, bytes, length, error);
    return file_writer_end(w, status, error);
}

c2c_status file_copy(const char *from, const char *to, const char *name, bool optional,
                     c2c_error *error) {
    file_map map = {0};
    char *source = path_join(from, name), *copy = path_join(to, name);
    c2c_status status = C2C_STATUS_OK;
    if (!source || !copy) {
        status = error_memory(error, strlen(from) + strlen(to) + strlen(name), "a file name");
    } else if (!optional || file_exists(source)) {
        status = file_map_open(&map, source, error);
        if (!status)
            status = file_write(copy, map.data, map.size, error);
    }
    file_map_close(&map);
    free(source);
    free(copy);
    return status;
}
