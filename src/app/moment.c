/* moment.c - the clock on the wall. The library has none; here is where it is asked. */
#include "app/moment.h"

#include <time.h>

#define DAY_SECONDS 86400

/* As transformers: the local time. Without one (no such year), Greenwich's. */
static c2c_moment moment_now(void) {
    time_t now = time(NULL);
    struct tm local;
    c2c_moment m = {.unix_seconds = now};
    tzset();
    if (!localtime_r(&now, &local))
        return m;
    const date today = {local.tm_year + 1900, local.tm_mon + 1, local.tm_mday};
    int64_t wall = date_to_days(&today) * DAY_SECONDS + local.tm_hour * 3600 + local.tm_min * 60 +
                   local.tm_sec;
    if (wall - m.unix_seconds > -DAY_SECONDS && wall - m.unix_seconds < DAY_SECONDS)
        m.utc_offset = (int32_t)(wall - m.unix_seconds);
    return m;
}

/* Digits only, as many as asked for; -1 where there are others. */
static int read_digits(const char *text, int count) {
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        n = n * 10 + text[i] - '0';
    }
    return n;
}

c2c_status moment_read(moment_choice *choice, const char *text, c2c_error *error) {
    *choice = (moment_choice){.none = text && strcmp(text, "none") == 0};
    if (choice->none)
        return C2C_STATUS_OK;
    if (!text || strcmp(text, "now") == 0) {
        choice->moment = moment_now();
        return C2C_STATUS_OK;
    }
    date d = {0};
    if (strlen(text) == 10 && text[4] == '-' && text[7] == '-')
        d = (date){read_digits(text, 4), read_digits(text + 5, 2), read_digits(text + 8, 2)};
    if (!date_exists(&d))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "expected now, none or a date YYYY-MM-DD, found \"%s\"", text);
    choice->moment.unix_seconds = date_to_days(&d) * DAY_SECONDS;
    return C2C_STATUS_OK;
}
