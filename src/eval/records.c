/* records.c - one answer, graded, and as a line of the answers file. When it is asked for, run.c
 * knows. */
#include "eval/run.h"

#include <stdlib.h>

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
                            .timed = answer->timed,
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

void eval_record_write(buffer *out, const eval_record *r) {
    buffer_printf(out, "{\"id\": %lld", (long long)r->id);
    append_text(out, "subject", r->subject);
    append_text(out, "prediction", r->prediction);
    append_text(out, "text", r->text);
    append_text(out, "background", r->background);
    buffer_printf(out,
                  ", \"right\": %s, \"score\": %.17g, \"scored\": %s, \"failed\": %s, "
                  "\"input_tokens\": %lld, \"new_tokens\": %lld, \"read_tokens\": %lld, "
                  "\"written_tokens\": %lld, \"kept_tokens\": %lld",
                  r->right ? "true" : "false", r->score, r->scored ? "true" : "false",
                  r->failed ? "true" : "false", (long long)r->input_tokens,
                  (long long)r->new_tokens, (long long)r->read_tokens, (long long)r->written_tokens,
                  (long long)r->kept_tokens);
    if (r->timed)
        buffer_printf(out, ", \"ttft_ms\": %.3f, \"total_ms\": %.3f}\n", r->ttft_ms, r->total_ms);
    else
        buffer_append_text(out, ", \"ttft_ms\": null, \"total_ms\": null}\n");
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

/* Times that a question was not asked for are null. */
static c2c_status take_times(eval_record *r, const json_value *row, const char *where,
                             c2c_error *error) {
    static const double zero = 0;
    const json_value *first = json_get(row, "ttft_ms");
    r->timed = first && first->type != JSON_NULL;
    if (!r->timed)
        return C2C_STATUS_OK;
    c2c_status status = json_get_real(row, "ttft_ms", &zero, &r->ttft_ms, where, error);
    return status ? status : json_get_real(row, "total_ms", &zero, &r->total_ms, where, error);
}

c2c_status eval_record_read(eval_record *r, const json_value *row, const char *where,
                            c2c_error *error) {
    static const int64_t none = 0;
    c2c_status status;
    *r = (eval_record){0};
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
        (status = take_times(r, row, where, error)))
        return status;
    for (size_t i = 0; !status && i < sizeof counts / sizeof *counts; i++)
        status =
            json_get_integer(row, counts[i].key, &none, 0, INT64_MAX, counts[i].to, where, error);
    if (!status && (!r->subject || !r->text))
        status = error_set(error, C2C_STATUS_BAD_FILE, "%s: expected a subject and a text", where);
    if (status)
        eval_record_deinit(r);
    return status;
}
