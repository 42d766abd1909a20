/* eval_show.c - what systems answered, for a terminal and as JSON: the same figures as in the
 * report.
 */
#include "app/eval.h"

#include <math.h>
#include <unistd.h>

static void add_share(table *t, const eval_interval *share) {
    if (isnan(share->value))
        table_add(t, "-");
    else
        table_add(t, "%.2f%% (%.1f-%.1f)", share->value * 100, share->low * 100, share->high * 100);
}

/* More categories than this would not fit; report.html has them all. */
#define MAX_COLUMNS 4

/* The groups that the table has columns for: none where there are too many. */
static c2c_status groups_to_show(eval_groups *groups, const eval_result *result, c2c_error *error) {
    c2c_status status = eval_groups_make(groups, result, EVAL_BY_CATEGORY, error);
    if (!status && groups->count > MAX_COLUMNS)
        groups->count = 0;
    return status;
}

/* Of questions that were all asked beside others nothing is known. */
static void add_time(table *t, double ms) {
    if (isnan(ms))
        table_add(t, "-");
    else
        table_add(t, "%.2f ms", ms);
}

static c2c_status add_row(table *t, const eval_result *result, c2c_error *error) {
    eval_summary s;
    eval_groups groups;
    eval_summarize(&s, result);
    c2c_status status = groups_to_show(&groups, result, error);
    table_add(t, "%s", result->name);
    add_share(t, &s.accuracy);
    for (size_t i = 0; i < groups.count; i++)
        if (groups.items[i].scored)
            table_add(t, "%.2f%%", eval_group_share(&groups.items[i]) * 100);
        else
            table_add(t, "-");
    add_time(t, s.median_ttft_ms);
    add_time(t, s.median_total_ms);
    table_add(t, "%.1f", s.read_tokens);
    table_add(t, "%.1f", s.written_tokens);
    eval_groups_deinit(&groups);
    return status;
}

c2c_status eval_show_table(buffer *out, const eval_result *results, size_t count,
                           c2c_error *error) {
    static const char *const last[] = {"first token", "whole answer", "tokens read", "written"};
    const char *titles[6 + MAX_COLUMNS] = {"system", "right (95%)"};
    size_t columns = 2;
    eval_groups groups;
    c2c_status status = groups_to_show(&groups, &results[0], error);
    if (status)
        return status;
    for (size_t i = 0; i < groups.count; i++)
        titles[columns++] = groups.items[i].name;
    for (size_t i = 0; i < 4; i++)
        titles[columns++] = last[i];
    table t;
    table_init(&t, titles, "lrrrrrrrrr");
    t.columns = columns; /* as many as there are titles */
    for (size_t i = 0; !status && i < count; i++)
        status = add_row(&t, &results[i], error);
    buffer_printf(out, "%zu questions of %s\n\n", results[0].set->count,
                  results[0].set->benchmark->name);
    if (!status)
        table_write(&t, 0, output_columns(STDOUT_FILENO, 110), out);
    table_deinit(&t);
    eval_groups_deinit(&groups);
    return status;
}

c2c_status eval_show_pairings(buffer *out, const eval_result *results, size_t count,
                              c2c_error *error) {
    buffer against = {0}, other = {0};
    c2c_status status = C2C_STATUS_OK;
    if (count < 2)
        return status;
    buffer_printf(&against, "against %s", results[0].name);
    buffer_printf(&other, "only %s", results[0].name);
    if (against.failed || other.failed) {
        status = error_memory(error, against.length, "a table");
        goto done;
    }
    const char *const titles[] = {against.data, "points (95%)", "only it right", other.data,
                                  "both",       "neither",      "McNemar p"};
    table t;
    table_init(&t, titles, "lrrrrrr");
    for (size_t i = 1; !status && i < count; i++) {
        eval_pairing p;
        status = eval_compare(&p, &results[0], &results[i], error);
        table_add(&t, "%s", results[i].name);
        table_add(&t, "%+.2f (%+.2f to %+.2f)", p.difference.value * 100, p.difference.low * 100,
                  p.difference.high * 100);
        table_add(&t, "%lld", (long long)p.only_b);
        table_add(&t, "%lld", (long long)p.only_a);
        table_add(&t, "%lld", (long long)p.both);
        table_add(&t, "%lld", (long long)p.neither);
        table_add(&t, "%.2g", p.p);
    }
    buffer_append_char(out, '\n');
    if (!status)
        table_write(&t, 0, output_columns(STDOUT_FILENO, 110), out);
    table_deinit(&t);
done:
    buffer_free(&against);
    buffer_free(&other);
    return status;
}

void eval_show_notes(buffer *out, const eval_set *set, const eval_result *results, size_t count) {
    if (set->skipped)
        buffer_printf(out, "%lld rows were not asked; the first, because %s.\n",
                      (long long)set->skipped, set->first_skipped);
    if (set->malformed)
        buffer_printf(out,
                      "%lld malformed rows were not asked, and %lld files given up; the first: "
                      "%s\n",
                      (long long)(set->malformed - set->bad_files), (long long)set->bad_files,
                      set->first_malformed);
    for (size_t i = 0; i < count; i++) {
        int64_t failed = 0, unscored = 0;
        const char *why = "";
        for (size_t k = 0; k < results[i].records->count; k++) {
            const eval_record *r = &results[i].records->items[k];
            why = r->failed && !failed ? r->text : why;
            failed += r->failed;
            unscored += !r->failed && !r->scored;
        }
        if (failed)
            buffer_printf(out, "%s could not answer %lld questions, which count neither way: %s\n",
                          results[i].name, (long long)failed, why);
        if (unscored)
            buffer_printf(out,
                          "%s: of %lld questions only predictions were written: their metric "
                          "needs Chinese words, which nothing here cuts.\n",
                          results[i].name, (long long)unscored);
    }
}

static c2c_status write_groups(json_out *out, const eval_result *result, c2c_error *error) {
    eval_groups groups;
    c2c_status status = eval_groups_make(&groups, result, EVAL_BY_CATEGORY, error);
    json_out_open(out, "categories", '{');
    for (size_t i = 0; i < groups.count; i++)
        json_out_real(out, groups.items[i].name, eval_group_share(&groups.items[i]));
    json_out_close(out, '}');
    eval_groups_deinit(&groups);
    return status;
}

static c2c_status write_pairing(json_out *out, const eval_result *first, const eval_result *result,
                                c2c_error *error) {
    eval_pairing p;
    c2c_status status = eval_compare(&p, first, result, error);
    json_out_open(out, "against", '{');
    json_out_text(out, "system", first->name, strlen(first->name));
    json_out_real(out, "difference", p.difference.value);
    json_out_real(out, "low", p.difference.low);
    json_out_real(out, "high", p.difference.high);
    json_out_integer(out, "only_it_right", p.only_b);
    json_out_integer(out, "only_other_right", p.only_a);
    json_out_real(out, "mcnemar_p", p.p);
    json_out_close(out, '}');
    return status;
}

c2c_status eval_show_json(json_out *out, const eval_result *results, size_t count,
                          c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    json_out_open(out, NULL, '[');
    for (size_t i = 0; !status && i < count; i++) {
        eval_summary s;
        eval_summarize(&s, &results[i]);
        json_out_open(out, NULL, '{');
        json_out_text(out, "system", results[i].name, strlen(results[i].name));
        json_out_real(out, "accuracy", s.accuracy.value);
        json_out_real(out, "low", s.accuracy.low);
        json_out_real(out, "high", s.accuracy.high);
        json_out_integer(out, "questions", s.scored);
        json_out_integer(out, "failed", s.failed);
        json_out_integer(out, "timed", s.timed);
        json_out_real(out, "median_ttft_ms", s.median_ttft_ms);
        json_out_real(out, "median_total_ms", s.median_total_ms);
        json_out_real(out, "read_tokens", s.read_tokens);
        json_out_real(out, "written_tokens", s.written_tokens);
        status = write_groups(out, &results[i], error);
        if (!status && i)
            status = write_pairing(out, &results[0], &results[i], error);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
    return status;
}
