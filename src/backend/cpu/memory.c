/* memory.c - backend memory on the CPU: zeroed, aligned, and free until it is touched. */
#define _GNU_SOURCE
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>

/* From here on pages are taken from the system one by one as they are touched: caches are sized
 * for the whole context, of which most is never used. */
#define MAP_FROM ((size_t)1 << 20)

/* Lies in the 64 bytes before the memory that is given out. */
typedef struct memory_header {
    size_t bytes; /* with the header */
} memory_header;

#define HEADER_BYTES 64
_Static_assert(sizeof(memory_header) <= HEADER_BYTES, "the header keeps the alignment");

void *cpu_memory_new(size_t bytes) {
    size_t total;
    if (!size_add(bytes, HEADER_BYTES, &total) || total > PTRDIFF_MAX)
        return NULL;
    void *base;
    if (total >= MAP_FROM) {
        base = mmap(NULL, total, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            return NULL;
    } else {
        if (posix_memalign(&base, HEADER_BYTES, total))
            return NULL;
        memset(base, 0, total);
    }
    ((memory_header *)base)->bytes = total;
    return (char *)base + HEADER_BYTES;
}

/* Large pages cost less to get, and their addresses less to find. A system without them says no,
 * and nothing is lost. */
void cpu_memory_fill(void *memory) {
    void *base = (char *)memory - HEADER_BYTES;
    size_t total = ((memory_header *)base)->bytes;
    if (total >= MAP_FROM)
        (void)madvise(base, total, MADV_HUGEPAGE);
}

void cpu_memory_free(void *memory) {
    if (!memory)
        return;
    void *base = (char *)memory - HEADER_BYTES;
    size_t total = ((memory_header *)base)->bytes;
    if (total >= MAP_FROM)
        munmap(base, total);
    else
        free(base);
}
