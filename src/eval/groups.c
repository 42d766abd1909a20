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

c2c_status eval_groups_make(eval_groups *groups, const eval_result *result, eval_grouping by,
                            c2c_error *error) {
    size_t count = result->records->count, at = 0;
    *groups = (eval_groups){.items = calloc(count + 1, sizeof *groups->items)};
    if (!groups->items)
        return error_memory(error, count * sizeof *groups->items, "groups of answers");
    for (size_t i = 0; i < count; i++) {
        const char *name = group_of(result->set, i, by);
        if (!name)
            continue;
        /* Rows of one subject mostly stand together. */
        if (at == groups->count || strcmp(groups->items[at].name, name) != 0)
            for (at = 0; at < groups->count && strcmp(groups->items[at].name, name) != 0;)
                at++;
        if (at == groups->count)
            groups->items[groups->count++] = (eval_group){.name = name};
        /* A group is there for every system alike, whether it could answer or not. */
        if (!result->records->items[i].failed)
            group_add(&groups->items[at], &result->records->items[i]);
    }
    return C2C_STATUS_OK;
}

void eval_groups_deinit(eval_groups *groups) {
    free(groups->items);
    *groups = (eval_groups){0};
}

double eval_group_share(const eval_group *group) {
    return group->scored ? group->points / (double)group->scored : (double)NAN;
}
