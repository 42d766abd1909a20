/* plan_spec.c - section plans written as words: a share of the prompt, or explicit sections. */
#include "app/plan_spec.h"

#include <errno.h>
#include <stdlib.h>

static c2c_status wrong(c2c_error *error, const char *expected, const char *found) {
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "expected %s, found \"%s\"", expected,
                     found);
}

static c2c_status read_share(plan_spec *spec, const char *text, const char *whole,
                             c2c_error *error) {
    static const char expected[] = "a share from 0 to 1 after the colon, such as front:0.5";
    /* strtod alone would take "", "nan", "0x1" and white space. */
    size_t digits = strspn(text, "0123456789.");
    char *end;
    if (!digits || text[digits])
        return wrong(error, expected, whole);
    spec->share = strtod(text, &end);
    if (*end || end == text || !(spec->share >= 0 && spec->share <= 1))
        return wrong(error, expected, whole);
    return C2C_STATUS_OK;
}

/* Reads a whole number from `low` to `high` at *text and moves behind it. */
static bool read_number(const char **text, int64_t low, int64_t high, int64_t *value) {
    const char *digits = *text + (**text == '-');
    if (*digits < '0' || *digits > '9')
        return false;
    char *end;
    errno = 0;
    long long number = strtoll(*text, &end, 10);
    if (errno == ERANGE || number < low || number > high)
        return false;
    *value = number;
    *text = end;
    return true;
}

static c2c_status read_sections(plan_spec *spec, const char *text, c2c_error *error) {
    size_t room = 1, bytes;
    for (const char *c = text; *c; c++)
        room += *c == ',';
    if (size_mul(room, sizeof *spec->sections, &bytes))
        spec->sections = calloc(room, sizeof *spec->sections);
    if (!spec->sections)
        return error_memory(error, room, "a plan");
    for (const char *at = text;; at++) {
        int64_t length, mask;
        bool read = read_number(&at, 0, INT32_MAX, &length) && *at == ':';
        if (read) {
            at++;
            read = read_number(&at, -1, INT32_MAX, &mask) && (!*at || *at == ',');
        }
        if (!read)
            return wrong(error,
                         "all, none, front:SHARE, back:SHARE or LENGTH:MASK,LENGTH:MASK,... with "
                         "masks from -1 on",
                         text);
        spec->sections[spec->count++] = (c2c_section){.length = length, .mask = (int32_t)mask};
        if (!*at)
            return C2C_STATUS_OK;
    }
}

c2c_status plan_spec_parse(plan_spec *spec, const char *text, c2c_error *error) {
    *spec = (plan_spec){0};
    c2c_status status = C2C_STATUS_OK;
    if (strcmp(text, "all") == 0) {
        spec->shape = PLAN_ALL;
    } else if (strcmp(text, "none") == 0) {
        spec->shape = PLAN_NONE;
    } else if (strncmp(text, "front:", 6) == 0) {
        spec->shape = PLAN_FRONT;
        status = read_share(spec, text + 6, text, error);
    } else if (strncmp(text, "back:", 5) == 0) {
        spec->shape = PLAN_BACK;
        status = read_share(spec, text + 5, text, error);
    } else {
        spec->shape = PLAN_SECTIONS;
        status = read_sections(spec, text, error);
    }
    if (status)
        plan_spec_deinit(spec);
    return status;
}

void plan_spec_deinit(plan_spec *spec) {
    free(spec->sections);
    *spec = (plan_spec){0};
}

c2c_status plan_spec_sections(const plan_spec *spec, int64_t tokens, size_t sharers,
                              c2c_section room[PLAN_SPEC_ROOM], const c2c_section **sections,
                              size_t *count, c2c_error *error) {
    *sections = room;
    *count = PLAN_SPEC_ROOM;
    const int32_t all = (int32_t)((UINT32_C(1) << sharers) - 1);
    const int64_t before_last = tokens - 1;
    /* kv_cache_proportion of the original: int(p * n), toward zero. */
    int64_t fused = before_last;
    if (spec->shape == PLAN_NONE)
        fused = 0;
    else if (spec->shape == PLAN_FRONT || spec->shape == PLAN_BACK)
        fused = (int64_t)(spec->share * (double)before_last);
    if (spec->shape != PLAN_SECTIONS) {
        bool back = spec->shape == PLAN_BACK;
        room[back ? 1 : 0] = (c2c_section){.length = fused, .mask = all};
        room[back ? 0 : 1] = (c2c_section){.length = before_last - fused, .mask = -1};
        room[2] = (c2c_section){.length = 1, .mask = -1};
        return C2C_STATUS_OK;
    }
    int64_t sum = 0; /* 2^31 sections of 2^31 tokens do not overflow it */
    for (size_t i = 0; i < spec->count; i++)
        sum += spec->sections[i].length;
    if (sum != tokens)
        return error_set(
            error, C2C_STATUS_INVALID_ARGUMENT,
            "--plan: expected lengths that sum to the prompt's %lld tokens, found %lld",
            (long long)tokens, (long long)sum);
    for (size_t i = 0; i < spec->count; i++)
        if (spec->sections[i].mask > all)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "--plan: section %zu: expected a mask from -1 to %d for %zu sharer%s, "
                             "found %d",
                             i, (int)all, sharers, sharers == 1 ? "" : "s",
                             (int)spec->sections[i].mask);
    *sections = spec->sections;
    *count = spec->count;
    return C2C_STATUS_OK;
}
