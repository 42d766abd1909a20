/* folder.c - folders listed, removed, and filled aside so that they appear whole. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_TRIES 100
#define MAX_DEPTH  16

static c2c_status folder_error(c2c_error *error, const char *path, const char *what) {
    int code = errno;
    c2c_status status = code == ENOENT || code == ENOTDIR ? C2C_STATUS_NOT_FOUND : C2C_STATUS_IO;
    return error_set(error, status, "%s: cannot %s: %s", path, what, strerror(code));
}

/* ---- Listing ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names, so that visitors may change the folder. */
typedef struct name_list {
    char **names;
    size_t count, capacity;
} name_list;

static c2c_status add_name(name_list *list, const char *name, c2c_error *error) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (!names)
            return error_memory(error, capacity * sizeof *names, "a folder's names");
        list->names = names;
        list->capacity = capacity;
    }
    buffer copy = {0};
    buffer_append_text(&copy, name);
    char *taken = buffer_take(&copy, NULL);
    if (!taken)
        return error_memory(error, strlen(name) + 1, "a folder's names");
    list->names[list->count++] = taken;
    return C2C_STATUS_OK;
}

static c2c_status read_names(name_list *list, const char *path, c2c_error *error) {
    DIR *dir = opendir(path);
    if (!dir)
        return folder_error(error, path, "open");
    c2c_status status = C2C_STATUS_OK;
    while (!status) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno)
            status = folder_error(error, path, "read");
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = add_name(list, entry->d_name, error);
    }
    closedir(dir);
    return status;
}

c2c_status folder_each(const char *path, folder_visitor visit, void *user, c2c_error *error) {
    name_list list = {0};
    c2c_status status = read_names(&list, path, error);
    if (!status && list.count > 1)
        qsort(list.names, list.count, sizeof *list.names, compare_names);
    for (size_t i = 0; i < list.count && !status; i++)
        status = visit(user, list.names[i], error);
    for (size_t i = 0; i < list.count; i++)
        free(list.names[i]);
    free(list.names);
    return status;
}

/* ---- Removing ----------------------------------------------------------------------------- */

typedef struct removal {
    const char *path;
    int depth;
} removal;

static c2c_status remove_all(const removal *r, c2c_error *error);

static c2c_status remove_entry(void *user, const char *name, c2c_error *error) {
    const removal *r = user;
    char *path = path_join(r->path, name);
    if (!path)
        return error_memory(error, strlen(r->path) + strlen(name) + 2, "a file name");
    struct stat info;
    c2c_status status = C2C_STATUS_OK;
    if (lstat(path, &info) != 0)
        status = folder_error(error, path, "remove");
    else if (S_ISDIR(info.st_mode))
        status = remove_all(&(removal){path, r->depth + 1}, error);
    else if (unlink(path) != 0)
        status = folder_error(error, path, "remove");
    free(path);
    return status;
}

static c2c_status remove_all(const removal *r, c2c_error *error) {
    if (r->depth > MAX_DEPTH)
        return error_set(error, C2C_STATUS_IO, "%s: cannot remove: folders nested too deeply",
                         r->path);
    c2c_status status = folder_each(r->path, remove_entry, (void *)r, error);
    if (!status && rmdir(r->path) != 0)
        status = folder_error(error, r->path, "remove");
    return status;
}

c2c_status folder_remove(const char *path, c2c_error *error) {
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode))
        return unlink(path) == 0 ? C2C_STATUS_OK : folder_error(error, path, "remove");
    return remove_all(&(removal){path, 0}, error);
}

/* ---- Syncing ------------------------------------------------------------------------------ */

/* File systems that cannot sync a folder say so, and there is nothing to do about it. */
void folder_sync_around(const char *path) {
    const char *slash = strrchr(path, '/');
    buffer folder = {0};
    buffer_append(&folder, path, slash ? (size_t)(slash - path) + 1 : 0);
    int fd = open(folder.length ? folder.data : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    buffer_free(&folder);
}

/* ---- Filled aside ------------------------------------------------------------------------- */

/* PATH.WORD-PID-N, without slashes at the end of PATH. */
static char *name_beside(const char *path, const char *word, int n) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    buffer name = {0};
    buffer_append(&name, path, length);
    buffer_printf(&name, ".%s-%ld-%d", word, (long)getpid(), n);
    return buffer_take(&name, NULL);
}

c2c_status folder_begin(char **aside, const char *path, c2c_error *error) {
    *aside = NULL;
    for (int n = 0; n < NAME_TRIES; n++) {
        char *name = name_beside(path, "partial", n);
        if (!name)
            return error_memory(error, strlen(path) + 32, "a folder name");
        if (mkdir(name, 0777) == 0) {
            *aside = name;
            return C2C_STATUS_OK;
        }
        free(name);
        if (errno != EEXIST)
            break;
    }
    return folder_error(error, path, "write");
}

/* Moves a folder out of the way; *moved is NULL where there was none. */
static c2c_status move_away(char **moved, const char *path, c2c_error *error) {
    *moved = NULL;
    if (!folder_exists(path))
        return C2C_STATUS_OK;
    for (int n = 0; n < NAME_TRIES; n++) {
        char *name = name_beside(path, "old", n);
        struct stat info;
        if (!name)
            return error_memory(error, strlen(path) + 32, "a folder name");
        bool taken = lstat(name, &info) == 0;
        if (!taken && rename(path, name) == 0) {
            *moved = name;
            return C2C_STATUS_OK;
        }
        free(name);
        if (!taken)
            break;
    }
    return folder_error(error, path, "replace");
}

c2c_status folder_end(const char *aside, const char *path, c2c_status status, c2c_error *error) {
    char *moved = NULL;
    if (!status)
        status = move_away(&moved, path, error);
    if (!status && rename(aside, path) != 0) {
        status = folder_error(error, path, "write");
        /* What was there comes back. If even that fails, it still stands under its other name. */
        if (moved && rename(moved, path) != 0)
            error_prefix(error, "the old folder is now %s", moved);
    } else if (!status && moved) {
        status = folder_remove(moved, error);
    }
    if (status)
        folder_remove(aside, NULL);
    else
        folder_sync_around(path);
    free(moved);
    return status;
}
