/* queue.c - the test backend, a device in disguise: ops wait until a download or sync, and memory
 * cannot be touched by the host outside ops. It proves that models, fusers and sessions keep the
 * rules of backend.h. A CPU backend of its own computes. Not for speed. */
#define _GNU_SOURCE
#include "backend/backend.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whole pages, unreadable while nothing runs. */
typedef struct region {
    struct region *next;
    char *memory;
    size_t bytes;
    bool imported; /* ops may read it, not write */
    bool released; /* never opened again; unmapped once no queued op can name it */
} region;

/* A queued op with its own copy of the arguments and tables, or an upload with its bytes. */
typedef struct queued {
    struct queued *next;
    bool is_upload;
    op_kind kind;
    void *memory; /* of an upload */
    size_t bytes;
    _Alignas(16) char data[];
} queued;

typedef struct queue_backend {
    backend base;
    backend *cpu;
    pthread_mutex_t lock;
    region *regions;
    queued *first, **last;
    size_t page;
} queue_backend;

static queue_backend *queue_of(backend *b) {
    return (queue_backend *)b;
}

/* ---- Memory ------------------------------------------------------------------------------- */

static c2c_status region_new(queue_backend *q, region **out, size_t bytes, c2c_error *error) {
    size_t padded;
    region *r = calloc(1, sizeof *r);
    if (!r || !size_add(bytes ? bytes : 1, q->page - 1, &padded)) {
        free(r);
        return error_memory(error, bytes, "tensors");
    }
    r->bytes = padded / q->page * q->page;
    r->memory = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->memory == MAP_FAILED) {
        free(r);
        return error_memory(error, bytes, "tensors");
    }
    *out = r;
    return C2C_STATUS_OK;
}

/* Hides the region's pages and lists it. */
static void region_add(queue_backend *q, region *r) {
    C2C_ASSERT(mprotect(r->memory, r->bytes, PROT_NONE) == 0);
    pthread_mutex_lock(&q->lock);
    r->next = q->regions;
    q->regions = r;
    pthread_mutex_unlock(&q->lock);
}

static c2c_status queue_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    *memory = NULL;
    region *r;
    c2c_status status = region_new(queue_of(b), &r, bytes, error);
    if (status)
        return status;
    region_add(queue_of(b), r);
    *memory = r->memory;
    return C2C_STATUS_OK;
}

static c2c_status queue_import(backend *b, const void **memory, const void *host, size_t bytes,
                               c2c_error *error) {
    *memory = NULL;
    region *r;
    c2c_status status = region_new(queue_of(b), &r, bytes, error);
    if (status)
        return status;
    if (bytes)
        memcpy(r->memory, host, bytes);
    r->imported = true;
    region_add(queue_of(b), r);
    *memory = r->memory;
    return C2C_STATUS_OK;
}

/* The pages stay hidden, and their addresses taken, until the queue has run: an op that still names
 * them faults instead of finding someone else's memory. */
static void region_release(backend *b, const void *memory) {
    queue_backend *q = queue_of(b);
    pthread_mutex_lock(&q->lock);
    region *r = q->regions;
    while (r && (r->memory != memory || r->released))
        r = r->next;
    C2C_ASSERT(r);
    r->released = true;
    pthread_mutex_unlock(&q->lock);
}

static void queue_release(backend *b, void *memory) {
    region_release(b, memory);
}

static void regions_show(queue_backend *q) {
    for (region *r = q->regions; r; r = r->next)
        if (!r->released)
            C2C_ASSERT(mprotect(r->memory, r->bytes,
                                r->imported ? PROT_READ : PROT_READ | PROT_WRITE) == 0);
}

/* Also unmaps what was released. */
static void regions_hide(queue_backend *q) {
    for (region **link = &q->regions; *link;) {
        region *r = *link;
        if (r->released) {
            munmap(r->memory, r->bytes);
            *link = r->next;
            free(r);
        } else {
            C2C_ASSERT(mprotect(r->memory, r->bytes, PROT_NONE) == 0);
            link = &r->next;
        }
    }
}

/* ---- Queue -------------------------------------------------------------------------------- */

/* This backend exists for tests: without memory it stops, it has no status to give. */
static queued *queue_push(queue_backend *q, size_t bytes) {
    queued *entry = calloc(1, sizeof *entry + bytes);
    C2C_ASSERT(entry);
    entry->bytes = bytes;
    *q->last = entry;
    q->last = &entry->next;
    return entry;
}

static size_t padded_size(size_t bytes) {
    return (bytes + 15) & ~(size_t)15;
}

static void queue_run(backend *b, op_kind kind, const void *args) {
    queue_backend *q = queue_of(b);
    const op_info *info = &op_infos[kind];
    int32_t groups = 0;
    if (info->tables)
        memcpy(&groups, (const char *)args + info->groups_offset, sizeof groups);
    C2C_ASSERT(groups >= 0);
    size_t table_bytes = (size_t)groups * sizeof(void *), args_bytes = padded_size(info->args_size);
    pthread_mutex_lock(&q->lock);
    queued *entry = queue_push(q, args_bytes + (size_t)info->tables * table_bytes);
    entry->kind = kind;
    memcpy(entry->data, args, info->args_size);
    for (int t = 0; t < info->tables; t++) {
        char *field = entry->data + (size_t)t * sizeof(void *);
        char *copy = entry->data + args_bytes + (size_t)t * table_bytes;
        const void *table;
        memcpy(&table, field, sizeof table);
        if (!table)
            continue;
        memcpy(copy, table, table_bytes);
        memcpy(field, &copy, sizeof copy);
    }
    pthread_mutex_unlock(&q->lock);
}

static void queue_upload(backend *b, void *memory, const void *host, size_t bytes) {
    queue_backend *q = queue_of(b);
    pthread_mutex_lock(&q->lock);
    queued *entry = queue_push(q, bytes);
    entry->is_upload = true;
    entry->memory = memory;
    memcpy(entry->data, host, bytes);
    pthread_mutex_unlock(&q->lock);
}

/* Runs all that waits, then copies (bytes may be 0) while the memory is open. */
static void queue_flush(queue_backend *q, void *host, const void *memory, size_t bytes) {
    pthread_mutex_lock(&q->lock);
    regions_show(q);
    while (q->first) {
        queued *entry = q->first;
        if (entry->is_upload)
            memcpy(entry->memory, entry->data, entry->bytes);
        else
            backend_run(q->cpu, entry->kind, entry->data);
        q->first = entry->next;
        free(entry);
    }
    q->last = &q->first;
    if (bytes)
        memcpy(host, memory, bytes);
    regions_hide(q);
    pthread_mutex_unlock(&q->lock);
}

static void queue_download(backend *b, void *host, const void *memory, size_t bytes) {
    queue_flush(queue_of(b), host, memory, bytes);
}

static void queue_sync(backend *b) {
    queue_flush(queue_of(b), NULL, NULL, 0);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static c2c_status queue_reserve(backend *b, size_t features, c2c_error *error) {
    return backend_reserve(queue_of(b)->cpu, features, error);
}

static bool queue_wants_panels(backend *b, linear_math math, int64_t out, int64_t in,
                               int64_t bytes) {
    return backend_wants_panels(queue_of(b)->cpu, math, out, in, bytes);
}

static void queue_close(backend *b) {
    queue_backend *q = queue_of(b);
    queue_sync(b);
    while (q->regions) {
        region *r = q->regions;
        q->regions = r->next;
        munmap(r->memory, r->bytes);
        free(r);
    }
    backend_close(q->cpu);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static const backend_class queue_class = {
    .name = "queue",
    .close = queue_close,
    .alloc = queue_alloc,
    .release = queue_release,
    .import = queue_import,
    .release_import = region_release,
    .reserve = queue_reserve,
    .wants_panels = queue_wants_panels,
    .run = queue_run,
    .upload = queue_upload,
    .download = queue_download,
    .sync = queue_sync,
};

c2c_status backend_queue_open(backend **b, int threads, c2c_error *error) {
    *b = NULL;
    queue_backend *q = calloc(1, sizeof *q);
    if (!q)
        return error_memory(error, sizeof *q, "the queue backend");
    c2c_status status = backend_cpu_open(&q->cpu, threads, error);
    if (status) {
        free(q);
        return status;
    }
    q->base.class = &queue_class;
    q->page = (size_t)sysconf(_SC_PAGESIZE);
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    *b = &q->base;
    return C2C_STATUS_OK;
}
