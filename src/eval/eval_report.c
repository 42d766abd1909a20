/* eval_report.c - report.html: one page that needs no network, no script and no other file. Bars
 * with intervals, accuracy against latency, subjects, pairs, and the questions on which systems
 * disagree. */
#include "eval/run.h"

#include <math.h>
#include <stdlib.h>

/* Of the questions where systems disagree so many are shown, and so much of a text. */
#define MAX_SHOWN 300
#define MAX_TEXT  1500

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>c2c eval</title>\n<style>\n"
    ":root{color-scheme:light dark;--bar:#2563eb;--soft:#93c5fd;--grid:#8883;--good:#15803d;"
    "--bad:#b91c1c}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}svg{width:100%;height:auto}\n"
    "svg text{font-size:12px;fill:currentColor}.grid{stroke:var(--grid)}\n"
    ".bar{fill:var(--soft)}.whisker{stroke:var(--bar);stroke-width:2}.dot{fill:var(--bar)}\n"
    "table{border-collapse:collapse;font-size:.9rem}td,th{padding:.15rem .8rem .15rem 0;"
    "text-align:right;font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:"
    "left}th{font-weight:600;border-bottom:1px solid var(--grid)}\n"
    "details{border-top:1px solid var(--grid);padding:.3rem 0}summary{cursor:pointer}\n"
    "pre{white-space:pre-wrap;margin:.2rem 0 .6rem;font-size:.85rem}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.note{opacity:.7;font-size:.9rem}\n</style>\n";

/* Text as it is shown, at most `most` bytes of it. */
static void append_escaped(buffer *out, const char *text, size_t most) {
    size_t length = text ? strlen(text) : 0, end = length < most ? length : most;
    while (end < length && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--; /* no character is cut */
    for (size_t i = 0; i < end; i++) {
        switch (text[i]) {
        case '&': buffer_append_text(out, "&amp;"); break;
        case '<': buffer_append_text(out, "&lt;"); break;
        case '>': buffer_append_text(out, "&gt;"); break;
        case '"': buffer_append_text(out, "&quot;"); break;
        default: buffer_append_char(out, text[i]);
        }
    }
    if (end < length)
        buffer_append_text(out, " ...");
}

static void append_percent(buffer *out, double share) {
    if (isnan(share))
        buffer_append_text(out, "-");
    else
        buffer_printf(out, "%.1f%%", share * 100);
}

/* ---- Plots ------------------------------------------------------------------------------------
 */

#define PLOT_WIDTH  760
#define PLOT_LEFT   190
#define PLOT_RIGHT  60
#define PLOT_INSIDE (PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT)

static double across(double share) {
    return PLOT_LEFT + share * PLOT_INSIDE;
}

static void append_share_grid(buffer *out, double height) {
    for (int i = 0; i <= 4; i++)
        buffer_printf(out,
                      "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%.1f\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d%%</text>\n",
                      across(i / 4.0), across(i / 4.0), height, across(i / 4.0), height + 16,
                      i * 25);
}

static void append_bars(buffer *out, const eval_result *results, const eval_summary *summaries,
                        size_t count) {
    double height = 30.0 * (double)count;
    buffer_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\">\n", PLOT_WIDTH, height + 22);
    append_share_grid(out, height);
    for (size_t i = 0; i < count; i++) {
        const eval_interval *a = &summaries[i].accuracy;
        double y = 30.0 * (double)i + 15;
        buffer_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", PLOT_LEFT - 8, y + 4);
        append_escaped(out, results[i].name, 28);
        buffer_append_text(out, "</text>\n");
        if (isnan(a->value))
            continue;
        buffer_printf(out,
                      "<rect class=\"bar\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"18\"/>"
                      "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\">%.1f%%</text>\n",
                      PLOT_LEFT, y - 9, a->value * PLOT_INSIDE, across(a->low), across(a->high), y,
                      y, across(a->high) + 6, y + 4, a->value * 100);
    }
    buffer_append_text(out, "</svg>\n");
}

/* Accuracy to the right, the median time of an answer upwards. */
static void append_latency(buffer *out, const eval_result *results, const eval_summary *summaries,
                           size_t count) {
    const double height = 220;
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, isnan(summaries[i].median_total_ms) ? 0 : summaries[i].median_total_ms);
    most = most > 0 ? most * 1.15 : 1;
    buffer_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\">\n", PLOT_WIDTH, height + 22);
    append_share_grid(out, height);
    for (int i = 0; i <= 3; i++)
        buffer_printf(out,
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g ms</text>"
                      "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                      PLOT_LEFT - 8, height - height * i / 3.0 + 4, most * i / 3, PLOT_LEFT,
                      PLOT_WIDTH - PLOT_RIGHT, height - height * i / 3.0,
                      height - height * i / 3.0);
    for (size_t i = 0; i < count; i++) {
        const eval_summary *s = &summaries[i];
        double y = height - s->median_total_ms / most * height;
        if (isnan(s->accuracy.value) || isnan(s->median_total_ms))
            continue;
        buffer_printf(out,
                      "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                      across(s->accuracy.low), across(s->accuracy.high), y, y,
                      across(s->accuracy.value), y, across(s->accuracy.value), y - 9);
        append_escaped(out, results[i].name, 28);
        buffer_append_text(out, "</text>\n");
    }
    buffer_append_text(out, "</svg>\n");
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
    buffer_append_text(out, "<table><tr><th>system<th>right<th>95%<th>questions<th>first token"
                            "<th>whole answer<th>timed<th>tokens read<th>tokens written\n");
    for (size_t i = 0; i < count; i++) {
        const eval_summary *s = &summaries[i];
        buffer_append_text(out, "<tr><td>");
        append_escaped(out, results[i].name, 80);
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
    buffer_append_text(out, "</table>\n<p class=\"note\">Times are medians of the questions that "
                            "were timed, that is, asked alone and of empty sessions; tokens are "
                            "means of all, those of all models together. Intervals of shares are "
                            "Wilson's.</p>\n");
}

static c2c_status append_pairs(buffer *out, const eval_result *results, size_t count,
                               c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    if (count < 2)
        return status;
    buffer_append_text(out, "<h2>Pairs, question by question</h2>\n<table><tr><th>system<th>against"
                            "<th>difference<th>95%<th>only the first right<th>only the second"
                            "<th>both<th>neither<th>McNemar p\n");
    for (size_t a = 0; !status && a < count; a++)
        for (size_t b = a + 1; !status && b < count; b++) {
            eval_pairing p;
            status = eval_compare(&p, &results[a], &results[b], error);
            buffer_append_text(out, "<tr><td>");
            append_escaped(out, results[b].name, 80);
            buffer_append_text(out, "<td>");
            append_escaped(out, results[a].name, 80);
            buffer_printf(out,
                          "<td>%+.1f<td>%+.1f to %+.1f<td>%lld<td>%lld<td>%lld<td>%lld<td>%.2g\n",
                          p.difference.value * 100, p.difference.low * 100, p.difference.high * 100,
                          (long long)p.only_b, (long long)p.only_a, (long long)p.both,
                          (long long)p.neither, p.p);
        }
    buffer_append_text(out, "</table>\n<p class=\"note\">Differences in percentage points, with a "
                            "bootstrap of 10,000 samples; McNemar's test is the exact one.</p>\n");
    return status;
}

/* A table of one grouping: a row for each group, a column for each system. */
static c2c_status append_groups(buffer *out, const eval_result *results, size_t count,
                                const char *title, eval_grouping by, c2c_error *error) {
    eval_groups *groups = calloc(count, sizeof *groups);
    c2c_status status =
        groups ? C2C_STATUS_OK : error_memory(error, count * sizeof *groups, "a report");
    for (size_t s = 0; !status && s < count; s++)
        status = eval_groups_make(&groups[s], &results[s], by, error);
    if (!status && groups[0].count) {
        buffer_printf(out, "<h2>By %s</h2>\n<table><tr><th>%s<th>questions", title, title);
        for (size_t s = 0; s < count; s++) {
            buffer_append_text(out, "<th>");
            append_escaped(out, results[s].name, 80);
        }
        buffer_append_char(out, '\n');
        for (size_t i = 0; i < groups[0].count; i++) {
            buffer_append_text(out, "<tr><td>");
            append_escaped(out, groups[0].items[i].name, 80);
            buffer_printf(out, "<td>%lld", (long long)groups[0].items[i].scored);
            for (size_t s = 0; s < count; s++) {
                buffer_append_text(out, "<td>");
                append_percent(out, eval_group_share(&groups[s].items[i]));
            }
            buffer_append_char(out, '\n');
        }
        buffer_append_text(out, "</table>\n");
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

static void append_question(buffer *out, const eval_result *results, size_t count, size_t i) {
    const eval_question *q = &results[0].set->items[i];
    buffer_printf(out, "<details><summary>");
    append_escaped(out, q->subject, 60);
    buffer_printf(out, " %lld: ", (long long)q->id);
    for (size_t s = 0; s < count; s++) {
        const eval_record *r = &results[s].records->items[i];
        buffer_printf(out, "<span class=\"%s\">", r->right ? "good" : "bad");
        append_escaped(out, results[s].name, 40);
        buffer_append_text(out, r->right ? " right</span> " : " wrong</span> ");
    }
    buffer_append_text(out, "</summary>\n<pre>");
    append_escaped(out, q->item.question, MAX_TEXT);
    for (int k = 0; k < q->item.choice_count; k++) {
        buffer_printf(out, "\n%c. ", 'A' + k);
        append_escaped(out, q->item.choices[k], MAX_TEXT);
    }
    buffer_append_text(out, "</pre>\n<p>Truth: ");
    append_escaped(out, q->item.truth, MAX_TEXT);
    buffer_append_text(out, "</p>\n");
    for (size_t s = 0; s < count; s++) {
        const eval_record *r = &results[s].records->items[i];
        buffer_append_text(out, "<p>");
        append_escaped(out, results[s].name, 80);
        buffer_append_text(out, r->prediction ? ": " : ": no answer found");
        append_escaped(out, r->prediction, 200);
        buffer_append_text(out, "</p><pre>");
        if (r->background) {
            append_escaped(out, r->background, MAX_TEXT);
            buffer_append_text(out, "\n--\n");
        }
        append_escaped(out, r->text, MAX_TEXT);
        buffer_append_text(out, "</pre>\n");
    }
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
    buffer_printf(out, "<p class=\"note\">%zu questions of %lld rows in %lld files", set->count,
                  (long long)set->rows, (long long)set->files);
    if (set->skipped)
        buffer_printf(out, "; %lld were not asked (the first, because %s)", (long long)set->skipped,
                      set->first_skipped);
    if (set->malformed) {
        buffer_printf(out, "; %lld are malformed, the first: ", (long long)set->malformed);
        append_escaped(out, set->first_malformed, MAX_TEXT);
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
    buffer_append_text(&out, page_head);
    buffer_printf(&out, "<h1>%s</h1>\n", results[0].set->benchmark->name);
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
    buffer_append_text(&out, "</html>\n");
    if (!status && out.failed)
        status = error_memory(error, out.length, "a report");
    if (!status)
        status = file_write(path, out.data, out.length, error);
    buffer_free(&out);
    free(summaries);
    return status;
}
