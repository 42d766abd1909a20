/* records.c - one answer, graded, as a line of the answers file, and the loop that asks: a line is
 * written as soon as its answer is there, so a run that was killed goes on where it stopped. */
#include "eval/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void eval_answer_deinit(eval_answer *answer) {
    buffer_free(&answer->text);
    buffer_free(&answer->background);
    *answer = (eval_answer){0};
}

void eval_record_deinit(eval_record *record) {
    free(record->subject);
    free(record->text);
    free(record->background);
    free(record->prediction);
    *record = (eval_record){0};
}

void eval_records_deinit(eval_records *records) {
    for (size_t i = 0; i < records->count; i++)
        eval_record_deinit(&records->items[i]);
    free(records->items);
    *records = (eval_records){0};
}

/* ---- Grading ----------------------------------------------------------------------------------
 */

static c2c_status grade_choice(eval_record *r, const bench_item *item, c2c_error *error) {
    char letter[2] = {0};
    c2c_status status = choice_extract(letter, r->text, strlen(r->text), item->choice_count, error);
    if (status || !letter[0])
        return status;
    r->right = strcmp(letter, item->truth) == 0;
    r->prediction = string_copy(letter);
    return r->prediction ? C2C_STATUS_OK : error_memory(error, 2, "an answer");
}

static c2c_status grade_math(eval_record *r, const bench_item *item, c2c_error *error) {
    math_verdict verdict;
    buffer found = {0};
    size_t length;
    c2c_status status =
        math_grade(&verdict, r->text, strlen(r->text), item->truth, strlen(item->truth), error);
    if (status || !verdict.start)
        return status;
    r->right = verdict.right;
    buffer_append(&found, verdict.start, verdict.length);
    r->prediction = buffer_take(&found, &length);
    return r->prediction ? C2C_STATUS_OK : error_memory(error, verdict.length, "an answer");
}

static c2c_status grade(eval_record *r, const benchmark *b, const bench_item *item,
                        c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    r->scored = true;
    switch (b->kind) {
    case BENCH_CHOICE: status = grade_choice(r, item, error); break;
    case BENCH_MATH: status = grade_math(r, item, error); break;
    case BENCH_EXACT:
        r->right = strcmp(r->text, item->truth) == 0;
        r->prediction = string_copy(r->text);
        break;
    case BENCH_LONG:
        r->scored = item->task->metric != LONG_NONE;
        status = long_score(&r->score, item->task, r->text, &item->answers, &item->classes, error);
        r->prediction = string_copy(r->text);
        return status;
    }
    r->score = r->right;
    return status;
}

c2c_status eval_record_make(eval_record *record, const eval_set *set, const eval_question *question,
                            const eval_answer *answer, c2c_error *error) {
    *record = (eval_record){.subject = string_copy(question->subject),
                            .text = string_copy(answer->text.data ? answer->text.data : ""),
                            .id = question->id,
                            .input_tokens = answer->input_tokens,
                            .new_tokens = answer->new_tokens,
                            .read_tokens = answer->read_tokens,
                            .written_tokens = answer->written_tokens,
                            .kept_tokens = answer->kept_tokens,
                            .ttft_ms = answer->ttft_ms,
                            .total_ms = answer->total_ms};
    if (answer->background.data)
        record->background = string_copy(answer->background.data);
    c2c_status status = C2C_STATUS_OK;
    if (!record->subject || !record->text || (answer->background.data && !record->background))
        status = error_memory(error, answer->text.length, "an answer");
    if (!status)
        status = grade(record, set->benchmark, &question->item, error);
    if (status)
        eval_record_deinit(record);
    return status;
}

/* ---- Lines ------------------------------------------------------------------------------------
 */

static void append_text(buffer *out, const char *key, const char *text) {
    buffer_printf(out, ", \"%s\": ", key);
    if (text)
        json_write_string(out, text, strlen(text));
    else
        buffer_append_text(out, "null");
}

static void append_line(buffer *out, const eval_record *r) {
    buffer_printf(out, "{\"id\": %lld", (long long)r->id);
    append_text(out, "subject", r->subject);
    append_text(out, "prediction", r->prediction);
    append_text(out, "text", r->text);
    append_text(out, "background", r->background);
    buffer_printf(out,
                  ", \"right\": %s, \"score\": %.17g, \"scored\": %s, \"failed\": %s, "
                  "\"input_tokens\": %lld, \"new_tokens\": %lld, \"read_tokens\": %lld, "
                  "\"written_tokens\": %lld, \"kept_tokens\": %lld, \"ttft_ms\": %.3f, "
                  "\"total_ms\": %.3f}\n",
                  r->right ? "true" : "false", r->score, r->scored ? "true" : "false",
                  r->failed ? "true" : "false", (long long)r->input_tokens,
                  (long long)r->new_tokens, (long long)r->read_tokens, (long long)r->written_tokens,
                  (long long)r->kept_tokens, r->ttft_ms, r->total_ms);
}

static c2c_status take_text(char **to, const json_value *row, const char *key, const char *where,
                            c2c_error *error) {
    static const char *const none = NULL;
    const char *text;
    c2c_status status = json_get_string(row, key, &none, &text, where, error);
    if (status || !text)
        return status;
    *to = string_copy(text);
    return *to ? C2C_STATUS_OK : error_memory(error, strlen(text), "an answer");
}

static c2c_status take_line(eval_record *r, const json_value *row, const char *where,
                            c2c_error *error) {
    static const double zero = 0;
    static const int64_t none = 0;
    c2c_status status;
    const struct {
        const char *key;
        int64_t *to;
    } counts[] = {{"id", &r->id},
                  {"input_tokens", &r->input_tokens},
                  {"new_tokens", &r->new_tokens},
                  {"read_tokens", &r->read_tokens},
                  {"written_tokens", &r->written_tokens},
                  {"kept_tokens", &r->kept_tokens}};
    if ((status = take_text(&r->subject, row, "subject", where, error)) ||
        (status = take_text(&r->text, row, "text", where, error)) ||
        (status = take_text(&r->prediction, row, "prediction", where, error)) ||
        (status = take_text(&r->background, row, "background", where, error)) ||
        (status = json_get_bool(row, "right", NULL, &r->right, where, error)) ||
        (status = json_get_bool(row, "scored", NULL, &r->scored, where, error)) ||
        (status = json_get_bool(row, "failed", NULL, &r->failed, where, error)) ||
        (status = json_get_real(row, "score", NULL, &r->score, where, error)) ||
        (status = json_get_real(row, "ttft_ms", &zero, &r->ttft_ms, where, error)) ||
        (status = json_get_real(row, "total_ms", &zero, &r->total_ms, where, error)))
        return status;
    for (size_t i = 0; !status && i < sizeof counts / sizeof *counts; i++)
        status =
            json_get_integer(row, counts[i].key, &none, 0, INT64_MAX, counts[i].to, where, error);
    if (!status && (!r->subject || !r->text))
        status = error_set(error, C2C_STATUS_BAD_FILE, "%s: expected a subject and a text", where);
    return status;
}

/* ---- Resuming ----------------------------------------------------------------------------------
 */

static c2c_status about_check(const eval_run *run, const char *line, size_t length,
                              c2c_error *error) {
    if (length == strlen(run->about) && memcmp(line, run->about, length) == 0)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_MISMATCH,
                     "%s: its answers are of another run (another recipe, other data or options); "
                     "say another output folder, or run without --resume to begin again",
                     run->path);
}

/* Takes the whole lines of an earlier run; *length: how much of the file they are. A line that was
 * cut by a kill is asked again. */
static c2c_status resume(eval_records *records, const eval_run *run, size_t *length,
                         c2c_error *error) {
    file_map map;
    c2c_status status = file_map_open(&map, run->path, error);
    if (status)
        return status;
    const char *at = (const char *)map.data, *end = at + map.size, *start = at;
    const char *line = at ? memchr(at, '\n', map.size) : NULL;
    if (line && !(status = about_check(run, at, (size_t)(line - at), error))) {
        *length = (size_t)(line + 1 - start);
        for (at = line + 1; !status && records->count < run->set->count; at = line + 1) {
            json_document *row;
            line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
            if (!line || json_parse(&row, at, (size_t)(line - at), run->path, NULL))
                break;
            eval_record *r = &records->items[records->count];
            const eval_question *q = &run->set->items[records->count];
            *r = (eval_record){0};
            records->count++;
            status = take_line(r, json_root(row), run->path, error);
            if (!status && (r->id != q->id || strcmp(r->subject, q->subject) != 0))
                status = error_set(error, C2C_STATUS_MISMATCH,
                                   "%s: answer %zu is to another question; run without --resume to "
                                   "begin again",
                                   run->path, records->count);
            json_close(row);
            *length = (size_t)(line + 1 - start);
        }
    }
    records->resumed = (int64_t)records->count;
    file_map_close(&map);
    return status;
}

/* ---- The loop -----------------------------------------------------------------------------------
 */

static c2c_status write_failed(const eval_run *run, c2c_error *error) {
    return error_set(error, C2C_STATUS_IO, "%s: cannot write: %s", run->path, strerror(errno));
}

static c2c_status ask_one(eval_record *record, const eval_run *run, const eval_question *q,
                          c2c_error *error) {
    eval_answer answer = {0};
    c2c_error why = {0};
    c2c_status status = run->ask(run->user, run->set, q, &answer, &why);
    if (status == C2C_STATUS_CONTEXT_FULL) {
        *record = (eval_record){.subject = string_copy(q->subject),
                                .text = string_copy(why.message),
                                .id = q->id,
                                .failed = true};
        status =
            record->subject && record->text ? C2C_STATUS_OK : error_memory(error, 64, "an answer");
    } else if (status) {
        error_set(error, status, "%s: question %lld: %s", q->subject, (long long)q->id,
                  why.message);
    } else {
        status = eval_record_make(record, run->set, q, &answer, error);
    }
    eval_answer_deinit(&answer);
    return status;
}

static c2c_status ask_rest(eval_records *records, const eval_run *run, FILE *file,
                           c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    int64_t scored = 0;
    double points = 0;
    buffer line = {0};
    for (size_t i = 0; !status && i < run->set->count; i++) {
        bool known = i < records->count;
        if (!known) {
            status = ask_one(&records->items[i], run, &run->set->items[i], error);
            if (status)
                break;
            records->count++;
            buffer_clear(&line);
            append_line(&line, &records->items[i]);
            if (line.failed)
                status = error_memory(error, line.length, "an answer");
            else if (file &&
                     (fwrite(line.data, 1, line.length, file) != line.length || fflush(file) != 0))
                status = write_failed(run, error);
        }
        scored += records->items[i].scored;
        points += records->items[i].scored ? records->items[i].score : 0;
        if (!status && run->watch &&
            !run->watch(run->user, (int64_t)i + 1, (int64_t)run->set->count, scored, points))
            status = error_set(error, C2C_STATUS_CANCELLED,
                               "stopped after %zu of %zu questions; --resume goes on", i + 1,
                               run->set->count);
    }
    buffer_free(&line);
    return status;
}

c2c_status eval_run_all(eval_records *records, const eval_run *run, c2c_error *error) {
    size_t length = 0;
    FILE *file = NULL;
    *records = (eval_records){.items = calloc(run->set->count, sizeof *records->items)};
    if (!records->items)
        return error_memory(error, run->set->count * sizeof *records->items, "answers");
    c2c_status status = C2C_STATUS_OK;
    if (run->path && run->resume && file_exists(run->path))
        status = resume(records, run, &length, error);
    if (!status && length > 0) {
        file = fopen(run->path, "r+");
        /* What a kill cut off goes away. */
        if (!file || fseek(file, (long)length, SEEK_SET) != 0)
            status = write_failed(run, error);
        else if (ftruncate(fileno(file), (off_t)length) != 0)
            status = write_failed(run, error);
    } else if (!status && run->path) {
        file = fopen(run->path, "w");
        if (!file || fprintf(file, "%s\n", run->about) < 0)
            status = write_failed(run, error);
    }
    if (!status)
        status = ask_rest(records, run, file, error);
    if (file && fclose(file) != 0 && !status)
        status = write_failed(run, error);
    if (status)
        eval_records_deinit(records);
    return status;
}
