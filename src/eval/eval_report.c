/* eval_report.c - report.html: one page that needs no network, no script and no other file. Bars
 * with intervals, accuracy against latency, subjects, pairs, and the questions on which systems
 * disagree. */
#include "eval/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the questions where systems disagree so many are shown, and so much of a text. */
#define MAX_SHOWN 300
#define MAX_TEXT  1500

static void append_percent(buffer *out, double share) {
    if (isnan(share))
        buffer_append_text(out, "-");
    else
        buffer_printf(out, "%.1f%%", share * 100);
}

/* ---- Plots ------------------------------------------------------------------------------------
 */

#define PLOT_WIDTH  760
#define PLOT_LEFT   150
#define PLOT_RIGHT  70
#define PLOT_TOP    18
#define PLOT_HEIGHT 220
#define PLOT_INSIDE (PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT)
#define BAR_STEP    30
#define NAME_MOST   22 /* characters that find room beside a bar */

static double across(double share) {
    return PLOT_LEFT + share * PLOT_INSIDE;
}

/* 0% to 100% between two heights. */
static void append_share_grid(buffer *out, double top, double bottom) {
    static const char *const names[] = {"0%", "25%", "50%", "75%", "100%"};
    for (int i = 0; i <= 4; i++) {
        svg_line(out, "grid", across(i / 4.0), top, across(i / 4.0), bottom);
        svg_text(out, across(i / 4.0), bottom + 16, SVG_MIDDLE, names[i], SIZE_MAX);
    }
}

static void append_bars(buffer *out, const eval_result *results, const eval_summary *summaries,
                        size_t count) {
    double height = BAR_STEP * (double)count;
    svg_begin(out, PLOT_WIDTH, height + 22, "right answers of each system");
    append_share_grid(out, 0, height);
    for (size_t i = 0; i < count; i++) {
        const eval_interval *a = &summaries[i].accuracy;
        double y = BAR_STEP * ((double)i + 0.5);
        char text[16];
        svg_text(out, PLOT_LEFT - 8, y + 4, SVG_END, results[i].name, NAME_MOST);
        if (isnan(a->value))
            continue;
        snprintf(text, sizeof text, "%.1f%%", a->value * 100);
        buffer_printf(out, "<rect class=\"bar\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"18\"/>",
                      PLOT_LEFT, y - 9, a->value * PLOT_INSIDE);
        svg_line(out, "whisker", across(a->low), y, across(a->high), y);
        svg_text(out, across(a->high) + 6, y + 4, SVG_START, text, sizeof text);
    }
    svg_end(out);
}

/* Accuracy to the right, the median time of an answer upwards. */
static void append_latency(buffer *out, const eval_result *results, const eval_summary *summaries,
                           size_t count) {
    const double bottom = PLOT_TOP + PLOT_HEIGHT;
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, isnan(summaries[i].median_total_ms) ? 0 : summaries[i].median_total_ms);
    /* Room for the name above the uppermost point. */
    most = most > 0 ? most * 1.1 : 1;
    double step = svg_round_step(most, 5);
    svg_begin(out, PLOT_WIDTH, bottom + 22, "right answers against the time of an answer");
    append_share_grid(out, PLOT_TOP, bottom);
    for (int i = 0; i * step <= most; i++) {
        double y = bottom - PLOT_HEIGHT * i * step / most;
        char text[32];
        snprintf(text, sizeof text, "%.4g ms", i * step);
        svg_line(out, "grid", PLOT_LEFT, y, PLOT_WIDTH - PLOT_RIGHT, y);
        svg_text(out, PLOT_LEFT - 8, y + 4, SVG_END, text, sizeof text);
    }
    for (size_t i = 0; i < count; i++) {
        const eval_summary *s = &summaries[i];
        double x = across(s->accuracy.value), y = bottom - s->median_total_ms / most * PLOT_HEIGHT;
        if (isnan(s->accuracy.value) || isnan(s->median_total_ms))
            continue;
        svg_line(out, "whisker", across(s->accuracy.low), y, across(s->accuracy.high), y);
        buffer_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>", x, y);
        svg_text(out, x, y - 9, SVG_MIDDLE, results[i].name, NAME_MOST);
    }
    svg_end(out);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

/* Of questions that were all asked beside others nothing is known. */
static void append_time(buffer *out, double ms) {
    if (isnan(ms))
        buffer_append_text(out, "-");
    else
        buffer_printf(out, "%.2f ms", ms);
}

static void append_summary(buffer *out, const eval_result *results, const eval_summary *summaries,
                           size_t count) {
    buffer_append_text(
        out, "<div class=\"wide\"><table><tr><th>system<th>right<th>95%<th>questions<th>first token"
             "<th>whole answer<th>timed<th>tokens read<th>tokens written\n");
    for (size_t i = 0; i < count; i++) {
        const eval_summary *s = &summaries[i];
        buffer_append_text(out, "<tr><td>");
        page_text(out, results[i].name, 80);
        buffer_append_text(out, "<td>");
        append_percent(out, s->accuracy.value);
        buffer_append_text(out, "<td>");
        append_percent(out, s->accuracy.low);
        buffer_append_text(out, " - ");
        append_percent(out, s->accuracy.high);
        buffer_printf(out, "<td>%lld<td>", (long long)s->scored);
        append_time(out, s->median_ttft_ms);
        buffer_append_text(out, "<td>");
        append_time(out, s->median_total_ms);
        buffer_printf(out, "<td>%lld<td>%.1f<td>%.1f\n", (long long)s->timed, s->read_tokens,
                      s->written_tokens);
    }
    buffer_append_text(out,
                       "</table></div>\n<p class=\"note\">Times are medians of the questions that "
                       "were timed, that is, asked alone and of empty sessions; tokens are "
                       "means of all, those of all models together. Intervals of shares are "
                       "Wilson's.</p>\n");
}

static c2c_status append_pairs(buffer *out, const eval_result *results, size_t count,
                               c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    if (count < 2)
        return status;
    buffer_append_text(out, "<h2>Pairs, question by question</h2>\n<div class=\"wide\"><table>"
                            "<tr><th>system<th>against<th>points<th>95%<th>only it right"
                            "<th>only the other<th>both<th>neither<th>McNemar p\n");
    for (size_t a = 0; !status && a < count; a++)
        for (size_t b = a + 1; !status && b < count; b++) {
            eval_pairing p;
            status = eval_compare(&p, &results[a], &results[b], error);
            buffer_append_text(out, "<tr><td>");
            page_text(out, results[b].name, 80);
            buffer_append_text(out, "<td>");
            page_text(out, results[a].name, 80);
            buffer_printf(out,
                          "<td>%+.1f<td>%+.1f to %+.1f<td>%lld<td>%lld<td>%lld<td>%lld<td>%.2g\n",
                          p.difference.value * 100, p.difference.low * 100, p.difference.high * 100,
                          (long long)p.only_b, (long long)p.only_a, (long long)p.both,
                          (long long)p.neither, p.p);
        }
    buffer_append_text(out,
                       "</table></div>\n<p class=\"note\">Differences in percentage points, with a "
                       "bootstrap of 10,000 samples; McNemar's test is the exact one.</p>\n");
    return status;
}

/* What a cell of a grouping's table shows. */
typedef void (*group_cell)(buffer *out, const eval_group *group);

static void append_group_share(buffer *out, const eval_group *group) {
    append_percent(out, eval_group_share(group));
}

static void append_group_wait(buffer *out, const eval_group *group) {
    append_time(out, group->median_ttft_ms);
}

/* A row for each group, a column for each system. */
static void append_group_table(buffer *out, const eval_result *results, const eval_groups *groups,
                               size_t count, const char *title, group_cell cell) {
    buffer_printf(out, "<div class=\"wide\"><table><tr><th>%s<th>questions", title);
    for (size_t s = 0; s < count; s++) {
        buffer_append_text(out, "<th>");
        page_text(out, results[s].name, 80);
    }
    buffer_append_char(out, '\n');
    for (size_t i = 0; i < groups[0].count; i++) {
        buffer_append_text(out, "<tr><td>");
        page_text(out, groups[0].items[i].name, 80);
        buffer_printf(out, "<td>%lld", (long long)groups[0].items[i].scored);
        for (size_t s = 0; s < count; s++) {
            buffer_append_text(out, "<td>");
            cell(out, &groups[s].items[i]);
        }
        buffer_append_char(out, '\n');
    }
    buffer_append_text(out, "</table></div>\n");
}

/* Right answers of each group, and how long the first token takes: prompts differ in length from
 * group to group. One group alone is the whole, which stands above. */
static c2c_status append_groups(buffer *out, const eval_result *results, size_t count,
                                const char *title, eval_grouping by, c2c_error *error) {
    eval_groups *groups = calloc(count, sizeof *groups);
    c2c_status status =
        groups ? C2C_STATUS_OK : error_memory(error, count * sizeof *groups, "a report");
    for (size_t s = 0; !status && s < count; s++)
        status = eval_groups_make(&groups[s], &results[s], by, error);
    if (!status && groups[0].count > 1) {
        buffer_printf(out, "<h2>By %s: right answers</h2>\n", title);
        append_group_table(out, results, groups, count, title, append_group_share);
        buffer_printf(out, "<h2>By %s: first token, median</h2>\n", title);
        append_group_table(out, results, groups, count, title, append_group_wait);
    }
    for (size_t s = 0; groups && s < count; s++)
        eval_groups_deinit(&groups[s]);
    free(groups);
    return status;
}

/* ---- Questions ----------------------------------------------------------------------------------
 */

static bool disagree(const eval_result *results, size_t count, size_t i) {
    for (size_t s = 1; s < count; s++) {
        const eval_record *a = &results[0].records->items[i], *b = &results[s].records->items[i];
        if (a->right != b->right || a->failed != b->failed)
            return true;
    }
    return false;
}

static void append_verdict(buffer *out, const eval_record *r) {
    buffer_printf(out, "<span class=\"%s\">%s</span>", r->right ? "good" : "bad",
                  r->failed  ? "failed"
                  : r->right ? "right"
                             : "wrong");
}

/* What was asked, as a chat or as a question with its options. */
static void append_asked(buffer *out, const bench_item *item) {
    buffer_append_text(out, "<pre>");
    for (size_t m = 0; m < item->message_count; m++) {
        page_text(out, item->messages[m].role, 40);
        buffer_append_text(out, ": ");
        page_text(out, item->messages[m].content, MAX_TEXT);
        buffer_append_text(out, m + 1 < item->message_count ? "\n" : "");
    }
    if (!item->message_count)
        page_text(out, item->question, MAX_TEXT);
    for (int k = 0; k < item->choice_count; k++) {
        buffer_printf(out, "\n%c. ", 'A' + k);
        page_text(out, item->choices[k], MAX_TEXT);
    }
    buffer_append_text(out, "</pre>\n<p>Truth: ");
    page_text(out, item->truth, MAX_TEXT);
    buffer_append_text(out, "</p>\n");
}

/* One system's answer: what was found in it, and the text where that says more. */
static void append_answer(buffer *out, const char *name, const eval_record *r) {
    bool more = !r->prediction || strcmp(r->prediction, r->text) != 0;
    buffer_append_text(out, "<p>");
    page_text(out, name, 80);
    buffer_append_char(out, ' ');
    append_verdict(out, r);
    buffer_append_text(out, r->prediction ? ": " : r->failed ? "" : ": no answer found");
    page_text(out, r->prediction, 200);
    buffer_append_text(out, "</p>\n");
    if (r->background) {
        buffer_append_text(out, "<pre>it was told: ");
        page_text(out, r->background, MAX_TEXT);
        buffer_append_text(out, "</pre>\n");
    }
    if (more) {
        buffer_append_text(out, "<pre>");
        page_text(out, r->text, MAX_TEXT);
        buffer_append_text(out, "</pre>\n");
    }
}

static void append_question(buffer *out, const eval_result *results, size_t count, size_t i) {
    const eval_question *q = &results[0].set->items[i];
    buffer_append_text(out, "<details><summary>");
    page_text(out, q->subject, 60);
    buffer_printf(out, " %lld", (long long)q->id);
    for (size_t s = 0; s < count; s++) {
        buffer_append_text(out, s ? " &middot; " : ": ");
        page_text(out, results[s].name, 40);
        buffer_append_char(out, ' ');
        append_verdict(out, &results[s].records->items[i]);
    }
    buffer_append_text(out, "</summary>\n");
    append_asked(out, &q->item);
    for (size_t s = 0; s < count; s++)
        append_answer(out, results[s].name, &results[s].records->items[i]);
    buffer_append_text(out, "</details>\n");
}

static void append_disagreements(buffer *out, const eval_result *results, size_t count) {
    size_t all = 0;
    for (size_t i = 0; count > 1 && i < results[0].set->count; i++)
        all += disagree(results, count, i);
    if (count < 2)
        return;
    buffer_printf(out, "<h2>Where they disagree</h2>\n<p>%zu of %zu questions", all,
                  results[0].set->count);
    if (all > MAX_SHOWN)
        buffer_printf(out, ", the first %d of them", MAX_SHOWN);
    buffer_append_text(out, ".</p>\n");
    size_t shown = 0;
    for (size_t i = 0; i < results[0].set->count && shown < MAX_SHOWN; i++)
        if (disagree(results, count, i)) {
            append_question(out, results, count, i);
            shown++;
        }
}

/* ---- The page -----------------------------------------------------------------------------------
 */

static void append_notes(buffer *out, const eval_set *set) {
    buffer_printf(out, "<p class=\"note\">%zu questions of %lld rows in %lld %s", set->count,
                  (long long)set->rows, (long long)set->files, set->files == 1 ? "file" : "files");
    if (set->skipped)
        buffer_printf(out, "; %lld were not asked (the first, because %s)", (long long)set->skipped,
                      set->first_skipped);
    if (set->malformed) {
        buffer_printf(out, "; %lld are malformed, the first: ", (long long)set->malformed);
        page_text(out, set->first_malformed, MAX_TEXT);
    }
    buffer_append_text(out, ".</p>\n");
}

c2c_status eval_report_write(const char *path, const eval_result *results, size_t count,
                             c2c_error *error) {
    buffer out = {0};
    eval_summary *summaries = calloc(count, sizeof *summaries);
    if (!summaries)
        return error_memory(error, count * sizeof *summaries, "a report");
    for (size_t i = 0; i < count; i++)
        eval_summarize(&summaries[i], &results[i]);
    page_begin(&out, "c2c eval", results[0].set->benchmark->name);
    append_notes(&out, results[0].set);
    buffer_append_text(&out, "<h2>Right answers, with 95% intervals</h2>\n");
    append_bars(&out, results, summaries, count);
    append_summary(&out, results, summaries, count);
    buffer_append_text(&out, "<h2>Right answers against the time of one</h2>\n");
    append_latency(&out, results, summaries, count);
    c2c_status status = append_pairs(&out, results, count, error);
    if (!status)
        status = append_groups(&out, results, count, "category", EVAL_BY_CATEGORY, error);
    if (!status)
        status = append_groups(&out, results, count, "subcategory", EVAL_BY_SUBCATEGORY, error);
    if (!status)
        status = append_groups(&out, results, count, "subject", EVAL_BY_SUBJECT, error);
    append_disagreements(&out, results, count);
    page_end(&out);
    if (!status && out.failed)
        status = error_memory(error, out.length, "a report");
    if (!status)
        status = file_write(path, out.data, out.length, error);
    buffer_free(&out);
    free(summaries);
    return status;
}
