/* groups.c - what a system's answers come to in each subject or category. */
#include "eval/run.h"

#include <math.h>
#include <stdlib.h>

/* What a question belongs to; NULL: to none. */
static const char *group_of(const eval_set *set, size_t i, eval_grouping by) {
    const eval_question *q = &set->items[i];
    const char *group = NULL, *fine = NULL;
    if (by == EVAL_BY_SUBJECT)
        return q->subject;
    if (by == EVAL_BY_CATEGORY && q->item.category)
        return q->item.category;
    if (set->benchmark->category)
        fine = set->benchmark->category(q->subject, &group);
    return by == EVAL_BY_CATEGORY ? group : fine;
}

static void group_add(eval_group *g, const eval_record *r) {
    g->scored += r->scored;
    g->points += r->scored ? r->score : 0;
    g->answered++;
    g->input += (double)r->input_tokens;
    g->output += (double)r->new_tokens;
    g->ratio += r->input_tokens ? (double)r->new_tokens / (double)r->input_tokens : 0;
}

/* Finds the group of every record, or makes it; which[i]: its place, or none. */
static void sort_in(eval_groups *groups, const eval_result *result, eval_grouping by,
                    size_t *which) {
    for (size_t i = 0, at = 0; i < result->records->count; i++) {
        const char *name = group_of(result->set, i, by);
        which[i] = SIZE_MAX;
        if (!name)
            continue;
        /* Rows of one subject mostly stand together. */
        if (at == groups->count || strcmp(groups->items[at].name, name) != 0)
            for (at = 0; at < groups->count && strcmp(groups->items[at].name, name) != 0;)
                at++;
        if (at == groups->count)
            groups->items[groups->count++] = (eval_group){.name = name};
        /* A group is there for every system alike, whether it could answer or not. */
        if (result->records->items[i].failed)
            continue;
        which[i] = at;
        group_add(&groups->items[at], &result->records->items[i]);
    }
}

c2c_status eval_groups_make(eval_groups *groups, const eval_result *result, eval_grouping by,
                            c2c_error *error) {
    const eval_records *records = result->records;
    size_t count = records->count + 1;
    *groups = (eval_groups){.items = calloc(count, sizeof *groups->items)};
    size_t *which = calloc(count, sizeof *which);
    double *times = calloc(count, sizeof *times);
    c2c_status status = C2C_STATUS_OK;
    if (groups->items && which && times)
        sort_in(groups, result, by, which);
    else
        status = error_memory(error, count * sizeof *groups->items, "groups of answers");
    for (size_t g = 0; g < groups->count; g++) {
        size_t n = 0;
        for (size_t i = 0; i < records->count; i++)
            if (which[i] == g && records->items[i].timed)
                times[n++] = records->items[i].ttft_ms;
        groups->items[g].median_ttft_ms = eval_median(times, n);
    }
    free(times);
    free(which);
    return status;
}

void eval_groups_deinit(eval_groups *groups) {
    free(groups->items);
    *groups = (eval_groups){0};
}

double eval_group_share(const eval_group *group) {
    return group->scored ? group->points / (double)group->scored : (double)NAN;
}
