/* checkpoint_find.c - the checkpoints of a run's folder: the newest that is whole, and removing old
 * ones. What is in them is checkpoint.c's. */
#include "train/checkpoint.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX "checkpoint-"

/* The step in "checkpoint-<step>" with `rest` behind it; -1: it is no such name. */
static int64_t step_of(const char *name, const char **rest) {
    static const char prefix[] = PREFIX;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digit = name + sizeof prefix - 1;
    int64_t step = 0;
    int count = 0;
    /* Eighteen digits cannot overflow. */
    for (; *digit >= '0' && *digit <= '9' && count < 18; digit++, count++)
        step = step * 10 + (*digit - '0');
    *rest = digit;
    return count > 0 ? step : -1;
}

typedef struct step_list {
    int64_t *steps;
    size_t count, capacity;
} step_list;

static c2c_status add_step(void *user, const char *name, c2c_error *error) {
    step_list *list = user;
    const char *rest;
    int64_t step = step_of(name, &rest);
    if (step < 0 || *rest)
        return C2C_STATUS_OK;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 32;
        int64_t *steps = realloc(list->steps, capacity * sizeof *steps);
        if (!steps)
            return error_memory(error, capacity * sizeof *steps, "a list of checkpoints");
        list->steps = steps;
        list->capacity = capacity;
    }
    list->steps[list->count++] = step;
    return C2C_STATUS_OK;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Steps of all folders that are named as checkpoints are, the newest first. */
static c2c_status list_steps(step_list *list, const char *folder, c2c_error *error) {
    *list = (step_list){0};
    if (!folder_exists(folder))
        return C2C_STATUS_OK;
    c2c_status status = folder_each(folder, add_step, list, error);
    if (!status && list->count > 1)
        qsort(list->steps, list->count, sizeof *list->steps, newest_first);
    return status;
}

char *checkpoint_path(const char *folder, int64_t step) {
    char name[48];
    snprintf(name, sizeof name, PREFIX "%lld", (long long)step);
    return path_join(folder, name);
}

c2c_status checkpoint_find(char **path, const char *folder, c2c_log_callback note, void *user,
                           c2c_error *error) {
    step_list list;
    *path = NULL;
    c2c_status status = list_steps(&list, folder, error);
    for (size_t i = 0; !status && i < list.count && !*path; i++) {
        c2c_error wrong = {0};
        *path = checkpoint_path(folder, list.steps[i]);
        if (!*path)
            status = error_memory(error, strlen(folder), "a file name");
        else if (done_mark_check(*path, &wrong)) {
            error_prefix(&wrong, "a checkpoint is not used");
            if (note)
                note(user, wrong.message);
            free(*path);
            *path = NULL;
        }
    }
    free(list.steps);
    return status;
}

bool checkpoint_exists(const char *folder) {
    step_list list;
    bool exists = !list_steps(&list, folder, NULL) && list.count > 0;
    free(list.steps);
    return exists;
}

/* ---- Removing ----------------------------------------------------------------------------- */

static c2c_status remove_at(const char *folder, const char *name, c2c_error *error) {
    char *path = path_join(folder, name);
    c2c_status status =
        path ? folder_remove(path, error) : error_memory(error, strlen(folder), "a file name");
    free(path);
    return status;
}

/* Removes what folder_begin and folder_end of a process that was killed left behind. */
static c2c_status remove_leftover(void *user, const char *name, c2c_error *error) {
    const char *folder = user, *rest = name;
    if (strncmp(name, "final.", 6) == 0)
        rest = name + 5;
    else if (step_of(name, &rest) < 0)
        return C2C_STATUS_OK;
    bool left = strncmp(rest, ".partial-", 9) == 0 || strncmp(rest, ".old-", 5) == 0;
    return left ? remove_at(folder, name, error) : C2C_STATUS_OK;
}

c2c_status checkpoint_prune(const char *folder, int64_t keep, c2c_error *error) {
    step_list list;
    c2c_status status = list_steps(&list, folder, error);
    for (size_t i = keep > 0 ? (size_t)keep : list.count; !status && i < list.count; i++) {
        char name[48];
        snprintf(name, sizeof name, PREFIX "%lld", (long long)list.steps[i]);
        status = remove_at(folder, name, error);
    }
    if (!status && folder_exists(folder))
        status = folder_each(folder, remove_leftover, (void *)folder, error);
    free(list.steps);
    return status;
}
