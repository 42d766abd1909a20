/* report.c - the verdicts: one line per case, the counts, and the list of what is not built yet.
 * What is compared, the cases decide. */
#include "golden.h"

#include <ctype.h>
#include <fnmatch.h>

/* ---- not_built_yet.txt -------------------------------------------------------------------- */

static char *text_copy(const char *text, size_t length) {
    char *copy = memory_get(length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

/* The part of `text` before `length` without white space at both ends. */
static char *text_trimmed(const char *text, size_t length) {
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    while (length > 0 && isspace((unsigned char)*text))
        text++, length--;
    return text_copy(text, length);
}

/* "CASES: KIND # reason" or "CASES # reason"; false when the reason or the glob is missing. */
static bool rule_parse(skip_rule *rule, const char *line) {
    const char *hash = strchr(line, '#');
    if (!hash || hash[1 + strspn(hash + 1, " \t\r\n")] == '\0')
        return false;
    size_t length = (size_t)(hash - line);
    const char *colon = memchr(line, ':', length);
    size_t cases = colon ? (size_t)(colon - line) : length;
    rule->cases = text_trimmed(line, cases);
    rule->kind = colon ? text_trimmed(colon + 1, length - cases - 1) : text_copy("", 0);
    rule->line = text_trimmed(line, length);
    return rule->cases[0] != '\0' && (!colon || rule->kind[0] != '\0');
}

bool skip_rules_read(golden_run *run, const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "run_golden: %s: cannot open the list of what is not built yet\n", path);
        return false;
    }
    char line[1024];
    bool ok = true;
    for (int number = 1; ok && fgets(line, sizeof line, file); number++) {
        size_t blank = strspn(line, " \t\r\n");
        if (line[blank] == '#' || line[blank] == '\0')
            continue;
        skip_rule *rules = realloc(run->rules, (run->rule_count + 1) * sizeof *rules);
        ok = rules != NULL;
        if (!ok)
            break;
        run->rules = rules;
        rules[run->rule_count] = (skip_rule){0};
        ok = rule_parse(&rules[run->rule_count++], line + blank);
        if (!ok)
            fprintf(stderr, "run_golden: %s:%d: expected \"CASES: KIND # reason\"\n", path, number);
    }
    fclose(file);
    return ok;
}

void skip_rules_free(golden_run *run) {
    for (size_t i = 0; i < run->rule_count; i++) {
        free(run->rules[i].cases);
        free(run->rules[i].kind);
        free(run->rules[i].line);
    }
    free(run->rules);
    run->rules = NULL;
    run->rule_count = 0;
}

static const skip_rule *rule_find(const golden_case *c, const char *kind, const char *message) {
    for (size_t i = 0; i < c->run->rule_count; i++) {
        const skip_rule *rule = &c->run->rules[i];
        if (fnmatch(rule->cases, c->name, 0) != 0)
            continue;
        if (rule->kind[0] == '\0' || strcmp(rule->kind, kind) == 0 || strstr(message, rule->kind))
            return rule;
    }
    return NULL;
}

/* ---- Cases -------------------------------------------------------------------------------- */

void case_begin(golden_case *c, golden_run *run, const char *name, ...) {
    *c = (golden_case){.run = run, .worst = -1};
    va_list list;
    va_start(list, name);
    vsnprintf(c->name, sizeof c->name, name, list);
    va_end(list);
}

void case_fail(golden_case *c, const char *format, ...) {
    /* The first failure says most; later ones often follow from it and are only counted. */
    if (c->failures++ > 0)
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(c->why, sizeof c->why, format, list);
    va_end(list);
}

void case_unsupported(golden_case *c, const char *kind, const char *message) {
    const skip_rule *rule = rule_find(c, kind, message);
    const char *colon = message[0] ? ": " : "";
    if (!rule) {
        case_fail(c, "%s%s%s (not on the list of what is not built yet)", kind, colon, message);
    } else if (c->failures == 0) {
        c->skipped = true;
        bool named = message[0] == '\0' || strcmp(rule->kind, kind) == 0;
        snprintf(c->why, sizeof c->why, "%s (not_built_yet: %s)", named ? kind : message,
                 rule->line);
    }
}

void case_status(golden_case *c, c2c_status status, const char *kind, const c2c_error *error) {
    if (status == C2C_STATUS_UNSUPPORTED)
        case_unsupported(c, kind, error->message);
    else
        case_fail(c, "%s", error->message);
}

void case_absent(golden_case *c, const char *format, ...) {
    c->skipped = true;
    va_list list;
    va_start(list, format);
    vsnprintf(c->why, sizeof c->why, format, list);
    va_end(list);
}

void case_end(golden_case *c) {
    if (c->failures > 0) {
        c->run->failed++;
        printf("FAIL %s: %s", c->name, c->why);
        if (c->failures > 1)
            printf(" (and %d more)", c->failures - 1);
        putchar('\n');
    } else if (c->skipped) {
        c->run->skipped++;
        printf("SKIP %s: %s\n", c->name, c->why);
    } else {
        c->run->passed++;
        if (c->worst >= 0)
            printf("PASS %s (worst %.1e)\n", c->name, c->worst);
        else
            printf("PASS %s\n", c->name);
    }
    fflush(stdout);
}
