/* run.c - a run: which questions are still to be asked, the file that answers are written to as
 * they come, so that a run that was killed goes on where it stopped, and the order at its end. */
#include "eval/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void eval_records_deinit(eval_records *records) {
    for (size_t i = 0; i < records->count && records->items; i++)
        eval_record_deinit(&records->items[i]);
    free(records->items);
    *records = (eval_records){0};
}

struct eval_queue {
    const eval_run *run;
    eval_records *records;
    FILE *file;
    buffer line;
    buffer others;           /* lines of the file that answer no question of the set */
    size_t *by_name;         /* [count] the set's questions in order of subject and id */
    size_t next_timed, next; /* where the search for a question goes on */
    size_t last;             /* of the set, that the file's last line answers */
    bool ordered;            /* the file holds the set's answers in its order, others behind them */
    int64_t done, scored;
    double points;
};

/* ---- Questions by name --------------------------------------------------------------------- */

/* Of its subject and id, the place of a question among the sorted ones. */
static int compare_names(const eval_question *q, const char *subject, int64_t id) {
    int order = strcmp(q->subject, subject);
    return order ? order : (q->id > id) - (q->id < id);
}

/* qsort has no argument for the set, so pointers are sorted. */
static int compare_questions(const void *a, const void *b) {
    const eval_question *x = *(const eval_question *const *)a,
                        *y = *(const eval_question *const *)b;
    return compare_names(x, y->subject, y->id);
}

static c2c_status sort_names(eval_queue *queue, c2c_error *error) {
    const eval_set *set = queue->run->set;
    const eval_question **sorted = calloc(set->count + 1, sizeof *sorted);
    queue->by_name = calloc(set->count + 1, sizeof *queue->by_name);
    if (!sorted || !queue->by_name) {
        free(sorted);
        return error_memory(error, set->count * sizeof *sorted, "questions");
    }
    for (size_t i = 0; i < set->count; i++)
        sorted[i] = &set->items[i];
    qsort(sorted, set->count, sizeof *sorted, compare_questions);
    for (size_t i = 0; i < set->count; i++)
        queue->by_name[i] = (size_t)(sorted[i] - set->items);
    free(sorted);
    return C2C_STATUS_OK;
}

/* The question of a name; set->count: there is none. */
static size_t find_name(const eval_queue *queue, const char *subject, int64_t id) {
    const eval_set *set = queue->run->set;
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_names(&set->items[queue->by_name[middle]], subject, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < set->count && !compare_names(&set->items[queue->by_name[low]], subject, id))
        return queue->by_name[low];
    return set->count;
}

/* ---- What is known ------------------------------------------------------------------------- */

c2c_status eval_queue_stopped(const eval_queue *queue, c2c_error *error) {
    return error_set(error, C2C_STATUS_CANCELLED,
                     "stopped after %lld of %zu questions; --resume goes on",
                     (long long)queue->done, queue->run->set->count);
}

static c2c_status tell(eval_queue *queue, c2c_error *error) {
    const eval_run *run = queue->run;
    int64_t count = (int64_t)run->set->count;
    if (run->watch && !run->watch(run->user, queue->done, count, queue->scored, queue->points) &&
        queue->done < count)
        return eval_queue_stopped(queue, error);
    return C2C_STATUS_OK;
}

/* Takes the record over. The file, if there is one, holds its line last. */
static void keep(eval_queue *queue, size_t i, const eval_record *record) {
    queue->records->items[i] = *record;
    queue->records->items[i].known = true;
    queue->ordered = queue->ordered && !queue->others.length && (!queue->done || i > queue->last);
    queue->last = i;
    queue->done++;
    queue->scored += record->scored;
    queue->points += record->scored ? record->score : 0;
}

static c2c_status write_failed(const eval_run *run, c2c_error *error) {
    return error_set(error, C2C_STATUS_IO, "%s: cannot write: %s", run->path, strerror(errno));
}

/* ---- Resuming ------------------------------------------------------------------------------ */

static c2c_status about_check(const eval_run *run, const char *line, size_t length,
                              c2c_error *error) {
    if (length == strlen(run->about) && memcmp(line, run->about, length) == 0)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_MISMATCH,
                     "%s: its answers are of another run (another recipe, other data or options); "
                     "say another output folder, or run without --resume to begin again",
                     run->path);
}

/* One whole line: the answer to a question of the set, or of a larger set that was asked before. */
static c2c_status resume_line(eval_queue *queue, const char *line, size_t length, int64_t number,
                              c2c_error *error) {
    char where[600];
    json_document *row;
    eval_record record;
    snprintf(where, sizeof where, "%.500s: line %lld", queue->run->path, (long long)number);
    c2c_status status = json_parse(&row, line, length, where, error);
    if (status)
        return status;
    status = eval_record_read(&record, json_root(row), where, error);
    json_close(row);
    if (status)
        return status;
    size_t i = find_name(queue, record.subject, record.id);
    if (i < queue->run->set->count && !queue->records->items[i].known) {
        keep(queue, i, &record);
        return C2C_STATUS_OK;
    }
    /* An answer that is there twice says the same twice. */
    bool twice = i < queue->run->set->count;
    queue->ordered = queue->ordered && !twice;
    if (!twice) {
        buffer_append(&queue->others, line, length);
        buffer_append_char(&queue->others, '\n');
    }
    eval_record_deinit(&record);
    return queue->others.failed ? error_memory(error, length, "answers") : C2C_STATUS_OK;
}

/* Takes the whole lines of an earlier run; *length: how much of the file they are. A line that was
 * cut by a kill is asked again. */
static c2c_status resume(eval_queue *queue, size_t *length, c2c_error *error) {
    const eval_run *run = queue->run;
    file_map map;
    c2c_status status = file_map_open(&map, run->path, error);
    if (status)
        return status;
    const char *start = (const char *)map.data, *end = start + map.size, *line_end;
    int64_t number = 1;
    for (const char *at = start; !status && at < end; at = line_end + 1, number++) {
        line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            break;
        size_t bytes = (size_t)(line_end - at);
        status = number == 1 ? about_check(run, at, bytes, error)
                             : resume_line(queue, at, bytes, number, error);
        *length = (size_t)(line_end + 1 - start);
    }
    queue->records->resumed = queue->done;
    file_map_close(&map);
    return status;
}

static c2c_status open_file(eval_queue *queue, c2c_error *error) {
    const eval_run *run = queue->run;
    size_t length = 0;
    c2c_status status = C2C_STATUS_OK;
    if (run->resume && file_exists(run->path))
        status = resume(queue, &length, error);
    if (status)
        return status;
    queue->file = fopen(run->path, length ? "r+" : "w");
    if (!queue->file)
        return write_failed(run, error);
    if (!length)
        return fprintf(queue->file, "%s\n", run->about) < 0 || fflush(queue->file)
                   ? write_failed(run, error)
                   : C2C_STATUS_OK;
    /* What a kill cut off goes away. */
    if (fseek(queue->file, (long)length, SEEK_SET) != 0 ||
        ftruncate(fileno(queue->file), (off_t)length) != 0)
        return write_failed(run, error);
    return C2C_STATUS_OK;
}

/* ---- Asking -------------------------------------------------------------------------------- */

/* `timed` of `count` questions are, as evenly spread as can be, the first one among them. */
static bool is_timed(const eval_run *run, size_t i) {
    size_t count = run->set->count, timed = (size_t)run->timed;
    return timed >= count || (timed && i * timed % count < timed);
}

const eval_question *eval_queue_take(eval_queue *queue, bool *alone) {
    const eval_set *set = queue->run->set;
    const eval_record *records = queue->records->items;
    while (queue->next_timed < set->count) {
        size_t i = queue->next_timed++;
        if (is_timed(queue->run, i) && !records[i].known) {
            *alone = true;
            return &set->items[i];
        }
    }
    *alone = false;
    while (queue->next < set->count) {
        size_t i = queue->next++;
        if (!is_timed(queue->run, i) && !records[i].known)
            return &set->items[i];
    }
    return NULL;
}

const eval_set *eval_queue_set(const eval_queue *queue) {
    return queue->run->set;
}

static c2c_status write_line(eval_queue *queue, const eval_record *record, c2c_error *error) {
    buffer *line = &queue->line;
    if (!queue->file)
        return C2C_STATUS_OK;
    buffer_clear(line);
    eval_record_write(line, record);
    if (line->failed)
        return error_memory(error, line->length, "an answer");
    if (fwrite(line->data, 1, line->length, queue->file) != line->length || fflush(queue->file))
        return write_failed(queue->run, error);
    return C2C_STATUS_OK;
}

c2c_status eval_queue_put(eval_queue *queue, const eval_question *question,
                          const eval_answer *answer, const char *failed, c2c_error *error) {
    const eval_set *set = queue->run->set;
    eval_record record = {0};
    c2c_status status = C2C_STATUS_OK;
    if (failed) {
        record = (eval_record){.subject = string_copy(question->subject),
                               .text = string_copy(failed),
                               .id = question->id,
                               .failed = true};
        if (!record.subject || !record.text)
            status = error_memory(error, strlen(failed), "an answer");
    } else {
        status = eval_record_make(&record, set, question, answer, error);
    }
    if (!status)
        status = write_line(queue, &record, error);
    if (status) {
        eval_record_deinit(&record);
        return status;
    }
    keep(queue, (size_t)(question - set->items), &record);
    return tell(queue, error);
}

/* ---- The run ------------------------------------------------------------------------------- */

/* A file that is complete is put in order; until it is, the old one stands. */
static c2c_status put_in_order(eval_queue *queue, c2c_error *error) {
    const eval_run *run = queue->run;
    buffer all = {0};
    buffer_append_text(&all, run->about);
    buffer_append_char(&all, '\n');
    for (size_t i = 0; i < run->set->count; i++)
        eval_record_write(&all, &queue->records->items[i]);
    buffer_append(&all, queue->others.data ? queue->others.data : "", queue->others.length);
    c2c_status status = all.failed ? error_memory(error, all.length, "answers")
                                   : file_write(run->path, all.data, all.length, error);
    buffer_free(&all);
    return status;
}

c2c_status eval_run_all(eval_records *records, const eval_run *run, c2c_error *error) {
    eval_queue queue = {.run = run, .records = records, .ordered = true};
    *records = (eval_records){.items = calloc(run->set->count + 1, sizeof *records->items),
                              .count = run->set->count};
    if (!records->items)
        return error_memory(error, run->set->count * sizeof *records->items, "answers");
    c2c_status status = sort_names(&queue, error);
    if (!status && run->path)
        status = open_file(&queue, error);
    if (!status && queue.done)
        status = tell(&queue, error);
    if (!status && queue.done < (int64_t)run->set->count)
        status = run->ask(run->user, &queue, error);
    if (queue.file && fclose(queue.file) != 0 && !status)
        status = write_failed(run, error);
    if (!status && run->path && !queue.ordered)
        status = put_in_order(&queue, error);
    buffer_free(&queue.line);
    buffer_free(&queue.others);
    free(queue.by_name);
    if (status)
        eval_records_deinit(records);
    return status;
}
