/* test.h - what every test includes: cmocka, and statuses checked with their messages. */
#ifndef C2C_TEST_H
#define C2C_TEST_H

#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

extern c2c_error test_error;

/* A call that must succeed; its message is printed when it does not. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        test_error = (c2c_error){0};                                                               \
        if ((call) != C2C_STATUS_OK)                                                               \
            fail_msg("%s: %s", #call, test_error.message);                                         \
    } while (0)

/* A call that must fail with `status` and a message that holds every given text. */
#define assert_fails(call, status, ...)                                                            \
    do {                                                                                           \
        test_error = (c2c_error){0};                                                               \
        c2c_status got_ = (call);                                                                  \
        if (got_ != (status))                                                                      \
            fail_msg("%s: expected \"%s\", got \"%s\" (%s)", #call, c2c_status_name(status),       \
                     c2c_status_name(got_), test_error.message);                                   \
        test_message_holds(__FILE__, __LINE__, (const char *[]){__VA_ARGS__, NULL});               \
    } while (0)

void test_message_holds(const char *file, int line, const char *const *texts);

/* A folder of test data beside the repository ("golden", "assets"), or NULL where it is missing:
 * then the test calls skip() after saying what it wanted. Set by the variable C2C_SHARED, else
 * ../shared. The text is valid until the next call. */
const char *test_shared(const char *folder);

/* A fresh folder under $TMPDIR, removed with its files by test_folder_remove. */
char *test_folder_make(void);
void test_folder_remove(char *folder);
void test_file_write(const char *folder, const char *name, const void *bytes, size_t length);

#endif
