/* outputs.c - the files of the original's evaluator, with its names of keys and columns: a summary,
 * the lengths of every answer, and every answer as a row of CSV (of LongBench as JSON lines). */
#include "eval/run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- JSON -------------------------------------------------------------------------------------
 */

static void append_key(buffer *out, int level, const char *key) {
    buffer_printf(out, "%*s", 2 * level, "");
    json_write_string(out, key, strlen(key));
    buffer_append_text(out, ": ");
}

/* As Python writes a float; NaN, which JSON has not, as null. */
static void append_real(buffer *out, double value) {
    const json_value number = {.type = JSON_REAL, .real = value};
    const json_value none = {.type = JSON_NULL};
    json_write_value(out, isfinite(value) ? &number : &none, 0);
}

static void append_text(buffer *out, const char *text) {
    if (text)
        json_write_string(out, text, strlen(text));
    else
        buffer_append_text(out, "null");
}

static void append_accuracies(buffer *out, const char *key, const eval_groups *all) {
    append_key(out, 1, key);
    buffer_append_char(out, '{');
    for (size_t i = 0; i < all->count; i++) {
        const eval_group *g = &all->items[i];
        buffer_append_text(out, i ? ",\n" : "\n");
        append_key(out, 2, g->name);
        append_real(out, eval_group_share(g));
    }
    buffer_append_text(out, all->count ? "\n  }" : "}");
}

static void append_lengths(buffer *out, const char *key, const eval_groups *all) {
    static const char *const keys[] = {"avg_input_length", "avg_gen_length", "avg_length_ratio",
                                       "accuracy"};
    append_key(out, 1, "length_statistics");
    buffer_append_text(out, "{\n");
    append_key(out, 2, key);
    buffer_append_char(out, '{');
    for (size_t i = 0; i < all->count; i++) {
        const eval_group *g = &all->items[i];
        double n = fmax(1, (double)g->answered);
        const double values[] = {g->input / n, g->output / n, g->ratio / n, eval_group_share(g)};
        buffer_append_text(out, i ? ",\n" : "\n");
        append_key(out, 3, g->name);
        buffer_append_text(out, "{\n");
        for (size_t k = 0; k < 4; k++) {
            append_key(out, 4, keys[k]);
            append_real(out, values[k]);
            buffer_append_text(out, ",\n");
        }
        append_key(out, 4, "total_samples");
        buffer_printf(out, "%lld\n      }", (long long)g->answered);
    }
    buffer_append_text(out, all->count ? "\n    }\n  }" : "}\n  }");
}

static c2c_status write_summary(const eval_result *result, const char *path, c2c_error *error) {
    buffer out = {0};
    eval_groups subjects = {0}, categories = {0}, subcategories = {0};
    bool grouped = result->set->benchmark->category, generated = strcmp(result->method, "logits");
    int64_t scored;
    c2c_status status = eval_groups_make(&subjects, result, EVAL_BY_SUBJECT, error);
    if (!status)
        status = eval_groups_make(&categories, result, EVAL_BY_CATEGORY, error);
    if (!status)
        status = eval_groups_make(&subcategories, result, EVAL_BY_SUBCATEGORY, error);
    buffer_append_text(&out, "{\n");
    append_key(&out, 1, "model");
    append_text(&out, result->model);
    buffer_append_text(&out, ",\n");
    append_key(&out, 1, "dataset");
    append_text(&out, result->set->benchmark->name);
    buffer_append_text(&out, ",\n");
    append_key(&out, 1, "answer_method");
    append_text(&out, result->method);
    buffer_append_text(&out, ",\n");
    append_key(&out, 1, "overall_accuracy");
    append_real(&out, eval_accuracy(result, &scored));
    buffer_append_text(&out, ",\n");
    append_accuracies(&out, "subjects", &subjects);
    if (grouped) {
        buffer_append_text(&out, ",\n");
        append_accuracies(&out, "categories", &categories);
        buffer_append_text(&out, ",\n");
        append_accuracies(&out, "subcategories", &subcategories);
    }
    if (generated && result->records->count) {
        buffer_append_text(&out, ",\n");
        append_lengths(&out, grouped ? "subcategories" : "subjects",
                       grouped ? &subcategories : &subjects);
    }
    buffer_append_text(&out, "\n}\n");
    eval_groups_deinit(&subjects);
    eval_groups_deinit(&categories);
    eval_groups_deinit(&subcategories);
    if (!status && out.failed)
        status = error_memory(error, out.length, "a summary");
    if (!status)
        status = file_write(path, out.data, out.length, error);
    buffer_free(&out);
    return status;
}

static c2c_status write_lengths(const eval_result *result, const char *path, c2c_error *error) {
    buffer out = {0};
    const char *between = "\n";
    buffer_append_char(&out, '[');
    for (size_t i = 0; i < result->records->count; i++) {
        const eval_record *r = &result->records->items[i];
        double ratio = r->input_tokens ? (double)r->new_tokens / (double)r->input_tokens : 0;
        bool letters = result->set->benchmark->kind != BENCH_LONG;
        if (r->failed)
            continue;
        buffer_printf(&out, "%s  {\n    \"subject\": ", between);
        append_text(&out, r->subject);
        buffer_printf(&out,
                      ",\n    \"question_id\": %lld,\n    \"input_length\": %lld,\n"
                      "    \"gen_length\": %lld,\n    \"length_ratio\": ",
                      (long long)r->id, (long long)r->input_tokens, (long long)r->new_tokens);
        append_real(&out, ratio);
        buffer_printf(&out, ",\n    \"is_correct\": %s,\n    \"pred\": ",
                      !letters   ? "null"
                      : r->right ? "true"
                                 : "false");
        append_text(&out, r->prediction);
        buffer_append_text(&out, ",\n    \"true_answer\": ");
        append_text(&out, letters ? result->set->items[i].item.truth : NULL);
        buffer_append_text(&out, "\n  }");
        between = ",\n";
    }
    buffer_append_text(&out, "\n]\n");
    c2c_status status = out.failed ? error_memory(error, out.length, "lengths")
                                   : file_write(path, out.data, out.length, error);
    buffer_free(&out);
    return status;
}

/* ---- CSV ---------------------------------------------------------------------------------------
 */

/* A field as Python's csv module quotes it. */
static void append_field(buffer *out, const char *text, bool last) {
    if (text && strpbrk(text, ",\"\r\n")) {
        buffer_append_char(out, '"');
        for (; *text; text++) {
            if (*text == '"')
                buffer_append_char(out, '"');
            buffer_append_char(out, *text);
        }
        buffer_append_char(out, '"');
    } else if (text) {
        buffer_append_text(out, text);
    }
    buffer_append_text(out, last ? "\r\n" : ",");
}

static void append_integer(buffer *out, int64_t value) {
    buffer_printf(out, "%lld,", (long long)value);
}

static void append_row(buffer *out, const eval_result *result, size_t i) {
    const eval_record *r = &result->records->items[i];
    const bench_item *item = &result->set->items[i].item;
    bool generated = strcmp(result->method, "logits") != 0;
    buffer shown = {0};
    if (r->background)
        buffer_printf(&shown, "[Background Context]:\n%s%s", r->background,
                      generated ? "\n\n[Answer]:\n" : "");
    if (generated)
        buffer_append_text(&shown, r->text);
    append_field(out, r->subject, false);
    append_integer(out, r->id);
    append_field(out, item->question, false);
    for (int k = 0; k < BENCH_MAX_CHOICES; k++)
        append_field(out, k < item->choice_count ? item->choices[k] : "", false);
    append_field(out, item->truth, false);
    append_field(out, r->prediction, false);
    append_field(out, r->right ? "True" : "False", false);
    append_field(out, result->method, false);
    append_field(out, generated ? r->prediction : NULL, false);
    if (generated) {
        append_integer(out, r->input_tokens);
        append_integer(out, r->new_tokens);
    } else {
        buffer_append_text(out, ",,");
    }
    append_field(out, shown.data, false);
    /* Of questions that were not asked alone nothing is known. */
    if (r->timed)
        append_real(out, r->total_ms);
    /* The original names three columns of diagnostics and leaves them empty. */
    buffer_append_text(out, ",,,\r\n");
    out->failed = out->failed || shown.failed;
    buffer_free(&shown);
}

c2c_status eval_write_csv(const eval_result *result, const char *path, c2c_error *error) {
    buffer out = {0};
    buffer_append_text(&out, "subject,question_id,question,A,B,C,D,E,F,G,H,I,J,true_answer,pred,"
                             "is_correct,answer_method,cot_pred,cot_input_length,cot_gen_length,"
                             "cot_output,answer_latency_ms,extraction_method_used,"
                             "ground_truth_normalized,extracted_normalized\r\n");
    for (size_t i = 0; i < result->records->count; i++)
        if (!result->records->items[i].failed)
            append_row(&out, result, i);
    c2c_status status = out.failed ? error_memory(error, out.length, "a table")
                                   : file_write(path, out.data, out.length, error);
    buffer_free(&out);
    return status;
}

/* ---- LongBench's predictions
 * ---------------------------------------------------------------------- */

static void append_texts(buffer *out, const long_texts *texts) {
    if (!texts->items) {
        buffer_append_text(out, "null");
        return;
    }
    buffer_append_char(out, '[');
    for (size_t i = 0; i < texts->count; i++) {
        buffer_append_text(out, i ? ", " : "");
        append_text(out, texts->items[i]);
    }
    buffer_append_char(out, ']');
}

static c2c_status folder_make(const char *path, c2c_error *error) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_IO, "%s: cannot make this folder: %s", path,
                     strerror(errno));
}

/* FOLDER/pred/MODEL/TASK.jsonl, as the public scoring scripts read it; LongBench-E in pred_e. */
static c2c_status write_predictions(const eval_result *result, const char *folder,
                                    const char *subject, c2c_error *error) {
    size_t length = strlen(subject);
    bool extended = length > 2 && strcmp(subject + length - 2, "_e") == 0;
    const char *slash = strrchr(result->model, '/'), *model = slash ? slash + 1 : result->model;
    buffer path = {0}, out = {0};
    for (size_t i = 0; i < result->records->count; i++) {
        const eval_record *r = &result->records->items[i];
        const bench_item *item = &result->set->items[i].item;
        if (r->failed || strcmp(r->subject, subject) != 0)
            continue;
        buffer_append_text(&out, "{\"pred\": ");
        append_text(&out, r->text);
        buffer_append_text(&out, ", \"answers\": ");
        append_texts(&out, &item->answers);
        buffer_append_text(&out, ", \"all_classes\": ");
        append_texts(&out, &item->classes);
        buffer_printf(&out, ", \"length\": %lld, \"_id\": ", (long long)item->length);
        append_text(&out, item->row_id);
        buffer_append_text(&out, "}\n");
    }
    buffer_printf(&path, "%s/%s", folder, extended ? "pred_e" : "pred");
    c2c_status status = path.failed || out.failed ? error_memory(error, out.length, "predictions")
                                                  : folder_make(path.data, error);
    buffer_printf(&path, "/%s", model);
    if (!status)
        status = path.failed ? error_memory(error, 64, "a path") : folder_make(path.data, error);
    buffer_printf(&path, "/%.*s.jsonl", (int)(extended ? length - 2 : length), subject);
    if (!status)
        status = path.failed ? error_memory(error, 64, "a path")
                             : file_write(path.data, out.data ? out.data : "", out.length, error);
    buffer_free(&path);
    buffer_free(&out);
    return status;
}

static c2c_status write_all_predictions(const eval_result *result, const char *folder,
                                        c2c_error *error) {
    eval_groups subjects;
    c2c_status status = eval_groups_make(&subjects, result, EVAL_BY_SUBJECT, error);
    for (size_t i = 0; !status && i < subjects.count; i++)
        status = write_predictions(result, folder, subjects.items[i].name, error);
    eval_groups_deinit(&subjects);
    return status;
}

/* ---- All of them
 * --------------------------------------------------------------------------------- */

static c2c_status write_one(const eval_result *result, const char *folder, const char *prefix,
                            const char *end,
                            c2c_status (*write)(const eval_result *, const char *, c2c_error *),
                            c2c_error *error) {
    buffer path = {0};
    buffer_printf(&path, "%s/%s%s", folder, prefix, end);
    c2c_status status = path.failed ? error_memory(error, strlen(folder), "a path")
                                    : write(result, path.data, error);
    buffer_free(&path);
    return status;
}

c2c_status eval_write_files(const eval_result *result, const char *folder, const char *prefix,
                            c2c_error *error) {
    bool generated = strcmp(result->method, "logits") != 0;
    c2c_status status = write_one(result, folder, prefix, "_summary.json", write_summary, error);
    if (!status && generated)
        status = write_one(result, folder, prefix, "_length.json", write_lengths, error);
    if (!status)
        status = result->set->benchmark->kind == BENCH_LONG
                     ? write_all_predictions(result, folder, error)
                     : write_one(result, folder, prefix, "_cot.csv", eval_write_csv, error);
    return status;
}
