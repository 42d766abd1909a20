/* demo_score.c - all evaluation questions answered four ways, counted and timed. */
#include "app/demo.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct score {
    int64_t asked[DEMO_KINDS], right[DEMO_KINDS];
    int64_t recorded, as_recorded; /* answers that the original left, and those equal to them */
    double *ttft_ms;               /* [rows] */
    int64_t answers;
} score;

/* Right answers of one kind, or of all for DEMO_KINDS; NaN where nothing was asked. */
static double score_share(const score *s, int kind) {
    int64_t asked = 0, right = 0;
    for (int k = 0; k < DEMO_KINDS; k++) {
        if (kind != DEMO_KINDS && k != kind)
            continue;
        asked += s->asked[k];
        right += s->right[k];
    }
    return asked ? (double)right / (double)asked : (double)NAN;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the times. */
static double score_median_ms(score *s) {
    qsort(s->ttft_ms, (size_t)s->answers, sizeof *s->ttft_ms, compare_doubles);
    int64_t middle = s->answers / 2;
    return s->answers % 2 ? s->ttft_ms[middle] : (s->ttft_ms[middle - 1] + s->ttft_ms[middle]) / 2;
}

static c2c_status score_row(score *s, pair *p, way w, const demo_row *row, c2c_error *error) {
    answer a = {0};
    c2c_status status = demo_answer(p, w, row, &a, NULL, error);
    if (!status) {
        s->asked[row->kind]++;
        s->right[row->kind] += demo_is_right(row, &a);
        s->ttft_ms[s->answers++] = a.ttft_ms;
        if (row->recorded[w]) {
            s->recorded++;
            s->as_recorded += strcmp(a.text.data ? a.text.data : "", row->recorded[w]) == 0;
        }
    }
    answer_deinit(&a);
    return status;
}

static c2c_status score_rows(score *scores, pair *p, const demo_rows *rows, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    progress bar;
    progress_begin(&bar, "questions, each four ways", (int64_t)rows->count);
    for (size_t i = 0; !status && i < rows->count; i++) {
        for (int w = 0; !status && w < WAY_COUNT; w++)
            status = score_row(&scores[w], p, (way)w, &rows->items[i], error);
        progress_update(&bar, (int64_t)i + 1);
    }
    progress_end(&bar);
    return status;
}

static void append_share(table *t, double share) {
    if (isnan(share))
        table_add(t, "-");
    else
        table_add(t, "%.2f%%", share * 100);
}

/* One line on what the numbers say; only what they do say. */
static void append_meaning(const score *scores, buffer *out) {
    double receiver = score_share(&scores[WAY_RECEIVER], DEMO_KINDS) * 100;
    double sharer = score_share(&scores[WAY_SHARER], DEMO_KINDS) * 100;
    double fused = score_share(&scores[WAY_C2C], DEMO_KINDS) * 100;
    if (fused > receiver && fused > sharer)
        buffer_printf(out,
                      "Alone the two models answer %.1f%% and %.1f%% right; with the sharer's KV "
                      "cache fused into its own, the receiver answers %.1f%%, and the sharer has "
                      "not written a word.\n",
                      receiver, sharer, fused);
    else
        buffer_printf(out,
                      "On these questions the fused cache (%.1f%%) is not ahead of the better "
                      "model alone (%.1f%%).\n",
                      fused, receiver > sharer ? receiver : sharer);
}

/* A new fuser's gates are closed, so what it makes of the receiver is the receiver. */
static void append_learnt(const score *scores, buffer *out) {
    buffer_printf(out,
                  "Before training, with all gates closed, the fused answers were the receiver's "
                  "own: %.1f%% right; now %.1f%% are.\n",
                  score_share(&scores[WAY_RECEIVER], DEMO_KINDS) * 100,
                  score_share(&scores[WAY_C2C], DEMO_KINDS) * 100);
}

static void append_text(score *scores, const demo_rows *rows, double seconds, bool trained,
                        buffer *out) {
    static const char *const titles[] = {"way", "all", "known to the sharer", "told in the chat",
                                         "first token (median)"};
    table t;
    table_init(&t, titles, "lrrrr");
    int64_t recorded = 0, as_recorded = 0;
    for (int w = 0; w < WAY_COUNT; w++) {
        table_add(&t, "%s", way_names[w]);
        append_share(&t, score_share(&scores[w], DEMO_KINDS));
        append_share(&t, score_share(&scores[w], DEMO_KNOWN));
        append_share(&t, score_share(&scores[w], DEMO_TOLD));
        table_add(&t, "%.2f ms", score_median_ms(&scores[w]));
        recorded += scores[w].recorded;
        as_recorded += scores[w].as_recorded;
    }
    buffer_printf(out, "%zu questions, each four ways, in %.1f s:\n\n", rows->count, seconds);
    table_write(&t, 0, output_columns(STDOUT_FILENO, 100), out);
    buffer_append_char(out, '\n');
    append_meaning(scores, out);
    if (trained)
        append_learnt(scores, out);
    else if (recorded)
        buffer_printf(out,
                      "%lld of %lld answers are, letter by letter, those that the Python original "
                      "gives from the same files.\n",
                      (long long)as_recorded, (long long)recorded);
    table_deinit(&t);
}

static void append_json(score *scores, const demo_rows *rows, double seconds, buffer *out) {
    json_out json = {.text = *out};
    json_out_open(&json, NULL, '{');
    json_out_integer(&json, "questions", (int64_t)rows->count);
    json_out_real(&json, "seconds", seconds);
    for (int w = 0; w < WAY_COUNT; w++) {
        score *s = &scores[w];
        json_out_open(&json, way_keys[w], '{');
        json_out_real(&json, "all", score_share(s, DEMO_KINDS));
        json_out_real(&json, "known", score_share(s, DEMO_KNOWN));
        json_out_real(&json, "told", score_share(s, DEMO_TOLD));
        json_out_real(&json, "median_ttft_ms", score_median_ms(s));
        json_out_integer(&json, "recorded", s->recorded);
        json_out_integer(&json, "as_recorded", s->as_recorded);
        json_out_close(&json, '}');
    }
    json_out_close(&json, '}');
    buffer_append_char(&json.text, '\n');
    *out = json.text;
}

c2c_status demo_score(pair *p, const demo_rows *rows, bool json, bool trained, c2c_error *error) {
    score scores[WAY_COUNT] = {0};
    buffer out = {0};
    c2c_status status = C2C_STATUS_OK;
    double *times = calloc(rows->count, WAY_COUNT * sizeof *times);
    if (!times)
        return error_memory(error, rows->count * WAY_COUNT * sizeof *times, "the demo's times");
    for (int w = 0; w < WAY_COUNT; w++)
        scores[w].ttft_ms = times + (size_t)w * rows->count;
    double start = system_seconds();
    status = score_rows(scores, p, rows, error);
    if (!status) {
        double seconds = system_seconds() - start;
        if (json)
            append_json(scores, rows, seconds, &out);
        else
            append_text(scores, rows, seconds, trained, &out);
        status = output_buffer(&out, error);
    }
    buffer_free(&out);
    free(times);
    return status;
}
