/* template_date.c - strftime_now(format): the moment that the caller gave, as Python's
 * datetime.strftime writes it in the C locale. Which moment that is, is the caller's business: the
 * library asks no clock, so that a rendering depends on its arguments alone.
 *
 * Python leaves most of a format to the C library; here its directives are spelled out, so that
 * neither the locale nor the C library of the day changes a prompt. They are glibc's, with its
 * flags
 * (- _ 0 ^ #); a width before the letter is refused, as all else that is unknown. */
#include "tokenizer/template.h"

#include <stdio.h>

/* A moment taken apart, in its own time zone. */
typedef struct parts {
    int64_t seconds; /* since 1970 */
    date date;
    int hour, minute, second;
    int week_day; /* 0: Sunday */
    int year_day; /* 0: 1 January */
} parts;

static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};

#define DAY_SECONDS 86400

/* False where the moment is in no year that has four digits or fewer. */
static bool take_apart(const c2c_moment *m, parts *p) {
    const date first = {1, 1, 1}, last = {9999, 12, 31};
    if (m->utc_offset <= -DAY_SECONDS || m->utc_offset >= DAY_SECONDS ||
        m->unix_seconds / DAY_SECONDS < -DATE_MAX_DAYS ||
        m->unix_seconds / DAY_SECONDS > DATE_MAX_DAYS)
        return false;
    int64_t local = m->unix_seconds + m->utc_offset, days = local / DAY_SECONDS;
    days -= local % DAY_SECONDS < 0; /* down, not towards 1970 */
    if (days < date_to_days(&first) || days > date_to_days(&last))
        return false;
    int second = (int)(local - days * DAY_SECONDS);
    p->seconds = m->unix_seconds;
    p->date = date_from_days(days);
    p->hour = second / 3600;
    p->minute = second / 60 % 60;
    p->second = second % 60;
    p->week_day = (int)(((days + 4) % 7 + 7) % 7); /* 1 January 1970 was a Thursday */
    const date new_year = {p->date.year, 1, 1};
    p->year_day = (int)(days - date_to_days(&new_year));
    return true;
}

/* The week of ISO 8601 and the year that it belongs to: that of its Thursday. */
static void iso_week(const parts *p, int *year, int *week) {
    int since_monday = (p->week_day + 6) % 7;
    date thursday = date_from_days(date_to_days(&p->date) - since_monday + 3);
    const date new_year = {thursday.year, 1, 1};
    *year = thursday.year;
    *week = (int)(date_to_days(&thursday) - date_to_days(&new_year)) / 7 + 1;
}

/* ---- One directive ------------------------------------------------------------------------ */

typedef struct directive {
    char letter;
    char pad;   /* '-', '_' or '0'; 0: the letter's own */
    bool upper; /* ^ */
    bool other; /* #: another case */
} directive;

static bool write_number(text_builder *out, const directive *d, int64_t n, int digits, char pad) {
    if (d->pad)
        pad = d->pad;
    if (pad == '-')
        digits = 1;
    return builder_printf(out, pad == '_' ? "%*lld" : "%0*lld", digits, (long long)n);
}

/* A name, all of it (size 0) or its first letters. */
static bool write_name(text_builder *out, const directive *d, const char *name, size_t size) {
    char word[16];
    size = size ? size : strlen(name);
    memcpy(word, name, size);
    for (size_t i = 0; (d->upper || d->other) && i < size; i++)
        if (word[i] >= 'a' && word[i] <= 'z')
            word[i] = (char)(word[i] - 'a' + 'A');
    return builder_bytes(out, word, size, -1);
}

/* Other cases of PM are lower ones; %P is lower from the start. */
static bool write_half(text_builder *out, const directive *d, int hour) {
    bool lower = d->letter == 'P' || d->other;
    return builder_literal(out, hour < 12 ? lower ? "am" : "AM" : lower ? "pm" : "PM");
}

static bool write_format(text_builder *out, const parts *p, const char *format, size_t length,
                         bool upper);

/* Directives that stand for others; NULL: none. Upper case reaches into them. */
static const char *spelled_out(char letter) {
    switch (letter) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'x':
    case 'D': return "%m/%d/%y";
    case 'X':
    case 'T': return "%H:%M:%S";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    default: return NULL;
    }
}

static bool write_directive(text_builder *out, const parts *p, const directive *d) {
    int year, week, twelve = p->hour % 12 ? p->hour % 12 : 12;
    const char *more = spelled_out(d->letter);
    if (more)
        return write_format(out, p, more, strlen(more), d->upper);
    iso_week(p, &year, &week);
    switch (d->letter) {
    case 'a': return write_name(out, d, day_names[p->week_day], 3);
    case 'A': return write_name(out, d, day_names[p->week_day], 0);
    case 'b':
    case 'h': return write_name(out, d, month_names[p->date.month - 1], 3);
    case 'B': return write_name(out, d, month_names[p->date.month - 1], 0);
    case 'p':
    case 'P': return write_half(out, d, p->hour);
    case 'Y': return write_number(out, d, p->date.year, 1, '0');
    case 'C': return write_number(out, d, p->date.year / 100, 1, '0');
    case 'y': return write_number(out, d, p->date.year % 100, 2, '0');
    case 'G': return write_number(out, d, year, 1, '0');
    case 'g': return write_number(out, d, year % 100, 2, '0');
    case 'V': return write_number(out, d, week, 2, '0');
    case 'U': return write_number(out, d, (p->year_day + 7 - p->week_day) / 7, 2, '0');
    case 'W': return write_number(out, d, (p->year_day + 7 - (p->week_day + 6) % 7) / 7, 2, '0');
    case 'm': return write_number(out, d, p->date.month, 2, '0');
    case 'd': return write_number(out, d, p->date.day, 2, '0');
    case 'e': return write_number(out, d, p->date.day, 2, '_');
    case 'j': return write_number(out, d, p->year_day + 1, 3, '0');
    case 'u': return write_number(out, d, p->week_day ? p->week_day : 7, 1, '0');
    case 'w': return write_number(out, d, p->week_day, 1, '0');
    case 'H': return write_number(out, d, p->hour, 2, '0');
    case 'k': return write_number(out, d, p->hour, 2, '_');
    case 'I': return write_number(out, d, twelve, 2, '0');
    case 'l': return write_number(out, d, twelve, 2, '_');
    case 'M': return write_number(out, d, p->minute, 2, '0');
    case 'S': return write_number(out, d, p->second, 2, '0');
    case 's': return write_number(out, d, p->seconds, 1, '0');
    case 'f': return builder_literal(out, "000000"); /* whole seconds are all that is known */
    case 'z':
    case 'Z': return true; /* datetime.now() knows no time zone */
    case 'n': return builder_literal(out, "\n");
    case 't': return builder_literal(out, "\t");
    default: return builder_literal(out, "%");
    }
}

/* ---- Formats ------------------------------------------------------------------------------ */

/* Letters that E and O may stand before; in the C locale these change nothing. */
#define LETTERS   "aAbBcCdDeFfgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%"
#define E_LETTERS "cCxXyY"
#define O_LETTERS "deHImMSuUVwWy"

/* Reads what stands behind a '%'; *at becomes where its letter is. False where it is none that is
 * known. */
static bool read_directive(const char *format, size_t length, directive *d, size_t *at) {
    const char *letters = LETTERS;
    size_t i = 0;
    for (; i < length && strchr("-_0^#", format[i]); i++) {
        if (format[i] == '^')
            d->upper = true;
        else if (format[i] == '#')
            d->other = true;
        else
            d->pad = format[i];
    }
    if (i < length && (format[i] == 'E' || format[i] == 'O'))
        letters = format[i++] == 'E' ? E_LETTERS : O_LETTERS;
    *at = i;
    if (i >= length || !strchr(letters, format[i]))
        return false;
    d->letter = format[i];
    /* Python writes these itself, where no flag stands before them. */
    return i == 0 || !strchr("fzZ", d->letter);
}

/* Names what was not understood, up to the character where that became clear. */
static bool refuse_directive(render *r, const char *percent, size_t at, size_t left) {
    uint32_t character;
    size_t size = 1 + at;
    if (size < left)
        size += utf8_decode(percent + size, left - size, &character);
    return render_refuse(r, "strftime_now(): the directive '%.*s'", (int)size, percent);
}

static bool write_format(text_builder *out, const parts *p, const char *format, size_t length,
                         bool upper) {
    for (size_t i = 0; i < length;) {
        const char *percent = memchr(format + i, '%', length - i);
        size_t end = percent ? (size_t)(percent - format) : length;
        if (!builder_bytes(out, format + i, end - i, -1) || !render_spend(out->render, 1))
            return false;
        if (!percent)
            break;
        directive d = {.upper = upper};
        size_t at;
        if (!read_directive(percent + 1, length - end - 1, &d, &at))
            return refuse_directive(out->render, percent, at, length - end);
        if (!write_directive(out, p, &d))
            return false;
        i = end + 2 + at;
    }
    return true;
}

bool global_strftime_now(render *r, const value *self, const arguments *a, value *out) {
    value format;
    parts p;
    text_builder written = {.render = r};
    (void)self;
    if (!arguments_bind(r, "strftime_now()", a, "format", 1, &format))
        return false;
    if (format.type == VALUE_UNDEFINED)
        return render_undefined(r, &format);
    if (format.type != VALUE_TEXT)
        return render_fail(r, "strftime_now(): expected a string, found %s",
                           value_type_name(&format));
    if (memchr(format.text->bytes, 0, format.text->length))
        return render_fail(r, "strftime_now(): embedded null character");
    if (!take_apart(r->now, &p))
        return render_fail(r, "strftime_now(): expected a moment in the years 1 to 9999");
    if (!write_format(&written, &p, format.text->bytes, format.text->length, false))
        return false;
    const text *t = builder_finish(&written);
    if (t)
        *out = value_from_text(t);
    return t != NULL;
}
