/* date.c - days since 1 January 1970 and dates of the Gregorian calendar, each from the other. Time
 * zones and formats are others' business. */
#include "base/base.h"

/* The calendar repeats every 400 years. Years are counted from 1 March, so that the day that only
 * some of them have is the last one. */
#define ERA_DAYS  146097
#define ERA_START 719468 /* days from 1 March of the year 0 to 1 January 1970 */

int64_t date_to_days(const date *d) {
    int64_t year = (int64_t)d->year - (d->month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t month = (d->month + 9) % 12; /* from March */
    /* Lengths of months from March repeat every five of them, which have 153 days. */
    int64_t of_year = (153 * month + 2) / 5 + d->day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - ERA_START;
}

date date_from_days(int64_t days) {
    C2C_ASSERT(days >= -DATE_MAX_DAYS && days <= DATE_MAX_DAYS);
    days += ERA_START;
    int64_t era = (days >= 0 ? days : days - ERA_DAYS + 1) / ERA_DAYS,
            of_era = days - era * ERA_DAYS;
    /* The days that leap years have before this one (every 4 years, not every 100, every 400). */
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    date d = {.day = (int)(of_year - (153 * month + 2) / 5 + 1),
              .month = (int)(month < 10 ? month + 3 : month - 9)};
    d.year = (int)(year + era * 400 + (d.month <= 2));
    return d;
}

bool date_exists(const date *d) {
    if (d->year < 1 || d->year > 9999 || d->month < 1 || d->month > 12 || d->day < 1 || d->day > 31)
        return false;
    date same = date_from_days(date_to_days(d)); /* 31 April comes back as 1 May */
    return same.month == d->month && same.day == d->day;
}
