/* counted.c - stands between the program and its allocator and adds up.
 *
 * A sanitizer has replaced malloc already and offers hooks. Without one this file defines malloc
 * itself, which every library in the process then calls, and hands on to the C library's own. */
#define _GNU_SOURCE
#include "trust/counted.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#endif

static size_t now, peak;

static void add(size_t bytes) {
    now += bytes;
    if (now > peak)
        peak = now;
}

size_t counted_now(void) {
    return now;
}

size_t counted_peak(void) {
    size_t highest = peak;
    peak = now;
    return highest;
}

#ifdef HAS_SANITIZER

/* As sanitizer/allocator_interface.h has them, which not every compiler brings along. */
extern int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                                     void (*)(const volatile void *));
extern size_t __sanitizer_get_current_allocated_bytes(void);
extern size_t __sanitizer_get_allocated_size(const volatile void *memory);

static void on_malloc(const volatile void *memory, size_t bytes) {
    (void)memory;
    add(bytes);
}

static void on_free(const volatile void *memory) {
    if (memory)
        now -= __sanitizer_get_allocated_size(memory);
}

/* What is freed later but was got before would make the sum negative: it starts with that. */
void counted_start(void) {
    now = __sanitizer_get_current_allocated_bytes();
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

bool counted_by_sanitizer(void) {
    return true;
}

#else

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Seen by the libraries, which hide nothing that this program is built of otherwise. */
#define REPLACES __attribute__((visibility("default")))

/* The C library's own, under the names that it keeps for programs like this one. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *memory);

void counted_start(void) {
}

bool counted_by_sanitizer(void) {
    return false;
}

static void *got(void *memory) {
    if (memory)
        add(malloc_usable_size(memory));
    return memory;
}

REPLACES void *malloc(size_t bytes) {
    return got(__libc_malloc(bytes));
}

REPLACES void *calloc(size_t count, size_t bytes) {
    return got(__libc_calloc(count, bytes));
}

/* For a moment both blocks may be there; the old one counts until the new one does. */
REPLACES void *realloc(void *memory, size_t bytes) {
    size_t before = memory ? malloc_usable_size(memory) : 0;
    void *moved = __libc_realloc(memory, bytes);
    if (!moved && bytes)
        return NULL;
    got(moved);
    now -= before;
    return moved;
}

REPLACES void *memalign(size_t alignment, size_t bytes) {
    return got(__libc_memalign(alignment, bytes));
}

REPLACES void *aligned_alloc(size_t alignment, size_t bytes) {
    return memalign(alignment, bytes);
}

REPLACES int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    *memory = memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

REPLACES void free(void *memory) {
    if (memory)
        now -= malloc_usable_size(memory);
    __libc_free(memory);
}

/* Whole pages, as they are given back. Code that a library compiles while running is kept by it
 * for the next time, so it is no leak. */
static size_t pages(size_t bytes) {
    return (bytes + 4095) / 4096 * 4096;
}

REPLACES void *mmap(void *address, size_t bytes, int protection, int flags, int file,
                    off_t offset) {
    void *memory = (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, (long)offset);
    if (memory != MAP_FAILED && !(protection & PROT_EXEC))
        add(pages(bytes));
    return memory;
}

REPLACES int munmap(void *memory, size_t bytes) {
    int code = (int)syscall(SYS_munmap, memory, bytes);
    if (code == 0)
        now -= pages(bytes);
    return code;
}

#endif
