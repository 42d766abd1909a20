/* system.c - facts about the machine, and files as mapped bytes. */
#define _GNU_SOURCE
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The number behind `key` in a file of "key number" lines; -1 when it is not there, or is a word
 * ("max"). An empty key reads a file that holds the number alone. Without stdio, which would get
 * memory: this is asked in training steps. */
static int64_t number_in_file(const char *path, const char *key) {
    char text[4096], *end;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length > 0 ? length : 0] = 0;
    const char *line = text;
    while (line && strncmp(line, key, strlen(key)) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        return -1;
    const char *start = line + strlen(key);
    errno = 0;
    long long value = strtoll(start, &end, 10);
    return end != start && value >= 0 && errno == 0 ? value : -1;
}

/* A container may be given less processor time than the machine has processors: "quota period". */
static int processors_of_container(void) {
    char line[64] = "";
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file)
        return INT_MAX;
    long long quota = 0, period = 0;
    if (!fgets(line, sizeof line, file) || sscanf(line, "%lld %lld", &quota, &period) != 2)
        quota = 0; /* "max" */
    fclose(file);
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    long long whole = (quota - 1) / period + 1;
    return whole < INT_MAX ? (int)whole : INT_MAX;
}

void system_pages_unneeded(const void *bytes, size_t length) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)bytes;
    uintptr_t first = (begin + page - 1) / page * page, end = (begin + length) / page * page;
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED); /* advice: it may fail */
}

int system_processors(void) {
    cpu_set_t set;
    long n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    if (n <= 0) /* more processors than a cpu_set_t holds */
        n = sysconf(_SC_NPROCESSORS_ONLN);
    n = min_i64(n, processors_of_container());
    return n > 0 ? (int)n : 1;
}

/* What a limit on addresses (ulimit -v) leaves, INT64_MAX without one. Mapped files count there. */
static int64_t addresses_left(void) {
    struct rlimit limit;
    int64_t pages = number_in_file("/proc/self/statm", "");
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > INT64_MAX || pages < 0)
        return INT64_MAX;
    return max_i64((int64_t)limit.rlim_cur - pages * sysconf(_SC_PAGESIZE), 0);
}

int64_t system_memory_available(void) {
    int64_t available = number_in_file("/proc/meminfo", "MemAvailable:");
    if (available < 0 || available > INT64_MAX / 1024)
        return -1;
    available = min_i64(available * 1024, addresses_left());
    /* A container may allow less than the machine has. Cached files count as used there, but give
     * way to whoever needs the memory: mapped weights are such files. */
    int64_t limit = number_in_file("/sys/fs/cgroup/memory.max", "");
    int64_t used = number_in_file("/sys/fs/cgroup/memory.current", "");
    if (limit >= 0 && used >= 0) {
        const char *stat = "/sys/fs/cgroup/memory.stat";
        used -= max_i64(number_in_file(stat, "inactive_file "), 0);
        used -= max_i64(number_in_file(stat, "active_file "), 0);
        available = min_i64(available, max_i64(limit - max_i64(used, 0), 0));
    }
    return available;
}

double system_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double system_processor_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static c2c_status system_error(c2c_error *error, const char *path, const char *what) {
    int code = errno;
    c2c_status status = code == ENOENT || code == ENOTDIR ? C2C_STATUS_NOT_FOUND : C2C_STATUS_IO;
    return error_set(error, status, "%s: cannot %s: %s", path, what, strerror(code));
}

c2c_status file_map_open(file_map *map, const char *path, c2c_error *error) {
    *map = (file_map){0};
    c2c_status status = C2C_STATUS_OK;
    /* Not to wait for ever where someone put a pipe in place of a file. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return system_error(error, path, "open");
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = system_error(error, path, "read");
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = error_set(error, C2C_STATUS_IO, "%s: expected a file, found %s", path,
                           S_ISDIR(info.st_mode) ? "a folder" : "something else");
        goto done;
    }
    if (info.st_size == 0)
        goto done;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        status = system_error(error, path, "map");
        goto done;
    }
    *map = (file_map){.data = data, .size = (size_t)info.st_size};
done:
    close(fd);
    return status;
}

void file_map_close(file_map *map) {
    if (map->data)
        munmap((void *)map->data, map->size);
    *map = (file_map){0};
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool folder_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
