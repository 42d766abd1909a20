/* counted.h - how much memory this process has got and not given back, to the byte. */
#ifndef C2C_TEST_COUNTED_H
#define C2C_TEST_COUNTED_H

#include <stdbool.h>
#include <stddef.h>

/* Everything that goes through malloc and its kind, of our library and of those it uses; without
 * sanitizers also what is mapped (files, caches), but no code that is compiled while running. For
 * programs of one thread. */
void counted_start(void); /* counts from here on: before the first use */
size_t counted_now(void);
/* The largest value of counted_now() since this was last called. */
size_t counted_peak(void);
/* Whether a sanitizer counts, and everything takes longer. */
bool counted_by_sanitizer(void);

#endif
