/* data_load.c - a set of samples is made: files are read row by row, rows become chats, chats ids.
 * A few hundred rows at a time are tokenised on all threads and then kept in the order of the
 * files, so a set does not depend on the number of threads. What is kept is ids, lengths and lines:
 * a few bytes a token. */
#include "train/data_set.h"
#include "train/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS_AT_ONCE 256

/* One row of those that are tokenised together. */
typedef struct row_slot {
    row_chat chat;
    encoded_chat encoded;
    row_fate fate;
    int64_t line, row;
    c2c_status status;
    c2c_error why, error;
} row_slot;

typedef struct data_loader {
    data_set *set;
    const data_options *options;
    const dataset_kind *kind;
    dataset_options kwargs;
    thread_pool *pool;
    row_slot *slots; /* [ROWS_AT_ONCE] */
    int64_t slot_count;
    int64_t rows, passed; /* read so far; left by the filters */
    int64_t file_rows;    /* read of this file */
    bool ended;           /* num_samples are there */
    c2c_error *error;
} data_loader;

/* ---- Keeping ------------------------------------------------------------------------------ */

static c2c_status grow_set(data_set *set, int64_t ids, int64_t sections, c2c_error *error) {
    data_sample *samples =
        data_grow(set->samples, set->count, 1, &set->room, sizeof *samples, error);
    if (samples)
        set->samples = samples;
    int32_t *more_ids =
        data_grow(set->ids, set->ids_used, ids, &set->ids_room, sizeof *more_ids, error);
    if (more_ids)
        set->ids = more_ids;
    c2c_section *more_sections = data_grow(set->sections, set->sections_used, sections,
                                           &set->sections_room, sizeof *more_sections, error);
    if (more_sections)
        set->sections = more_sections;
    return samples && more_ids && more_sections ? C2C_STATUS_OK : C2C_STATUS_OUT_OF_MEMORY;
}

static c2c_status keep_sample(data_loader *l, const row_slot *slot) {
    data_set *set = l->set;
    const encoded_chat *e = &slot->encoded;
    int64_t ids = (int64_t)set->rows_of_ids * e->tokens, sections = (int64_t)e->section_count;
    if (set->count == INT32_MAX)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: more than %d samples",
                         set->files[set->file_count - 1], INT32_MAX);
    c2c_status status = grow_set(set, ids, sections, l->error);
    if (status)
        return status;
    memcpy(set->ids + set->ids_used, e->ids, (size_t)ids * sizeof *e->ids);
    memcpy(set->sections + set->sections_used, e->sections, (size_t)sections * sizeof *e->sections);
    set->samples[set->count++] = (data_sample){.ids = set->ids_used,
                                               .sections = set->sections_used,
                                               .line = slot->line,
                                               .row = slot->row,
                                               .tokens = (int32_t)e->tokens,
                                               .first_label = (int32_t)e->first_label,
                                               .section_count = (uint32_t)sections,
                                               .file = set->file_count - 1};
    set->ids_used += ids;
    set->sections_used += sections;
    set->tokens += e->tokens;
    set->longest = max_i64(set->longest, e->tokens);
    return C2C_STATUS_OK;
}

/* Counts a row that is not kept; of the first one of each fate the reason is kept. */
static c2c_status drop_row(data_loader *l, const row_slot *slot) {
    data_set *set = l->set;
    if (set->reasons[slot->fate])
        return C2C_STATUS_OK;
    c2c_error text;
    const char *why = slot->why.message[0] ? slot->why.message : row_fate_text(slot->fate);
    /* The message of a row that could not be read has its place already. */
    if (strncmp(why, set->files[set->file_count - 1], strlen(set->files[set->file_count - 1])) == 0)
        error_set(&text, C2C_STATUS_OK, "%s", why);
    else {
        buffer place = {0};
        data_place_write(&place, set->files[set->file_count - 1], slot->line, slot->row);
        error_set(&text, C2C_STATUS_OK, "%s: %s", place.data ? place.data : "", why);
        buffer_free(&place);
    }
    set->reasons[slot->fate] = string_copy(text.message);
    return set->reasons[slot->fate] ? C2C_STATUS_OK
                                    : error_memory(l->error, sizeof text, "a message");
}

/* ---- One row ------------------------------------------------------------------------------ */

static bool too_few_turns(const row_slot *slot, int64_t least) {
    int64_t turns = 0;
    for (size_t i = 0; i < slot->chat.count; i++)
        turns += strcmp(slot->chat.messages[i].role, "system") != 0;
    return turns < least;
}

/* Tokens of the chat as the filter counts them: rendered without any option. */
static c2c_status count_chat(const data_loader *l, row_slot *slot, int64_t *tokens) {
    const c2c_model *receiver = l->options->models.receiver;
    const c2c_chat_options plain = {.add_generation_prompt = false};
    buffer json = {0};
    json_document *document = NULL;
    c2c_status status =
        model_messages_write(&json, slot->chat.messages, slot->chat.count, &slot->error);
    if (!status)
        status = json_parse(&document, json.data, json.length, "messages", &slot->error);
    if (!status)
        status = chat_encode_text(&slot->encoded, receiver, json_root(document), &plain,
                                  &slot->fate, &slot->why, &slot->error);
    *tokens = (int64_t)slot->encoded.tokens_of_text.count;
    json_close(document);
    buffer_free(&json);
    return status;
}

static c2c_status count_content(const data_loader *l, row_slot *slot, size_t i, int64_t *tokens) {
    const char *text = i < slot->chat.count ? slot->chat.messages[i].content : "";
    slot->encoded.encoded = false; /* not of the rendered text */
    slot->encoded.tokens_of_text.count = 0;
    c2c_status status = tokenizer_encode(l->options->models.receiver->tokenizer, text, strlen(text),
                                         false, &slot->encoded.tokens_of_text, &slot->error);
    *tokens = (int64_t)slot->encoded.tokens_of_text.count;
    return status;
}

static c2c_status filter_words(const data_loader *l, row_slot *slot) {
    int64_t most = l->kwargs.max_word_count, tokens = 0, more = 0;
    c2c_status status;
    if (most < 0 || l->kind->words == WORDS_NONE)
        return C2C_STATUS_OK;
    if (l->kind->words == WORDS_CHAT) {
        status = count_chat(l, slot, &tokens);
    } else {
        status = count_content(l, slot, 0, &tokens);
        if (!status && tokens > most / 2)
            slot->fate = ROW_TOO_LONG;
        if (!status)
            status = count_content(l, slot, 1, &more);
    }
    if (!slot->fate && tokens + more > most)
        slot->fate = ROW_TOO_LONG;
    return status;
}

/* Runs on any thread; touches its own slot only. */
static void encode_slot(void *context, int64_t index, int worker) {
    (void)worker;
    const data_loader *l = context;
    row_slot *slot = &l->slots[index];
    if (slot->fate)
        return;
    slot->status = filter_words(l, slot);
    if (!slot->status && !slot->fate)
        slot->status = chat_encode(&slot->encoded, &l->options->models, slot->chat.messages,
                                   slot->chat.count, &slot->fate, &slot->why, &slot->error);
}

static bool filtered_out(row_fate fate) {
    return fate == ROW_TOO_LONG || fate == ROW_FEW_TURNS || fate == ROW_HELD_OUT;
}

/* Tokenises the rows that were collected and keeps them, in their order. */
static c2c_status flush_slots(data_loader *l) {
    c2c_status status = C2C_STATUS_OK;
    thread_pool_run(l->pool, l->slot_count, encode_slot, l);
    for (int64_t i = 0; i < l->slot_count && !status && !l->ended; i++) {
        row_slot *slot = &l->slots[i];
        if (slot->status) {
            status =
                error_set(l->error, slot->status, "%s: line %" PRId64 ": %s",
                          l->set->files[l->set->file_count - 1], slot->line, slot->error.message);
            break;
        }
        l->set->fates[slot->fate]++;
        status = slot->fate ? drop_row(l, slot) : keep_sample(l, slot);
        l->passed += !filtered_out(slot->fate);
        l->ended =
            l->kind->filter_first && l->kwargs.num_samples && l->passed == l->kwargs.num_samples;
    }
    l->slot_count = 0;
    return status;
}

/* ---- One file ----------------------------------------------------------------------------- */

/* The row as a chat in the next slot; what is wrong with it is its fate. */
static c2c_status collect_row(data_loader *l, row_reader *reader, const json_value *json,
                              c2c_status found, const char *task) {
    row_slot *slot = &l->slots[l->slot_count++];
    const dataset_row row = {.row = json,
                             .options = &l->kwargs,
                             .task = task,
                             .receiver = l->options->models.receiver,
                             .error = &slot->why};
    slot->fate = found ? ROW_BAD : ROW_KEPT;
    slot->line = rows_line(reader);
    slot->row = ++l->file_rows;
    slot->status = C2C_STATUS_OK;
    slot->chat.count = 0;
    if (found)
        return C2C_STATUS_OK;
    slot->why = (c2c_error){0};
    arena_reset(slot->chat.memory);
    c2c_status status = l->kind->chat(&row, &slot->chat);
    if (status == C2C_STATUS_OUT_OF_MEMORY)
        return error_memory(l->error, 0, "a chat");
    if (status)
        slot->fate = ROW_BAD;
    else if (l->kind->keep && !l->kind->keep(&row))
        slot->fate = ROW_HELD_OUT;
    else if (too_few_turns(slot, l->kwargs.min_turns))
        slot->fate = ROW_FEW_TURNS;
    return C2C_STATUS_OK;
}

static c2c_status read_rows(data_loader *l, row_reader *reader, const char *task) {
    const data_options *o = l->options;
    c2c_status status = C2C_STATUS_OK;
    while (!l->ended) {
        const json_value *json;
        c2c_error *why = &l->slots[l->slot_count].why;
        c2c_status found = rows_next(reader, &json, why);
        if (found && (found != C2C_STATUS_BAD_FILE || rows_torn(reader)))
            return error_set(l->error, found, "%s", why->message);
        if (!found && !json)
            break;
        if ((status = collect_row(l, reader, json, found, task)))
            return status;
        l->rows++;
        l->ended = !l->kind->filter_first && l->rows == l->kwargs.num_samples;
        if (l->slot_count < ROWS_AT_ONCE)
            continue;
        bool last = l->ended;
        l->ended = false;
        status = flush_slots(l);
        l->ended = l->ended || last;
        if (status)
            return status;
        if (o->progress && !o->progress(o->progress_user, l->rows, rows_share(reader)))
            return error_set(l->error, C2C_STATUS_CANCELLED, "%s: reading was stopped",
                             rows_path(reader));
    }
    bool last = l->ended;
    l->ended = false;
    status = flush_slots(l);
    l->ended = l->ended || last;
    return status;
}

static c2c_status read_file(data_loader *l, char *path, const char *task) {
    row_reader *reader = NULL;
    char **files = realloc(l->set->files, (l->set->file_count + 1) * sizeof *files);
    if (!files) {
        free(path);
        return error_memory(l->error, 0, "the names of files");
    }
    l->set->files = files;
    files[l->set->file_count++] = path;
    l->file_rows = 0;
    c2c_status status = rows_open(&reader, path, NULL, l->error);
    if (!status)
        status = read_rows(l, reader, task);
    rows_close(reader);
    return status;
}

/* ---- All files ---------------------------------------------------------------------------- */

static c2c_status find_and_read(data_loader *l, const char *config, buffer *help) {
    const data_wanted wanted = {.hub = l->kind->hub,
                                .config = config,
                                .split = l->kwargs.split,
                                .path = l->kwargs.data_path,
                                .file_of_config = l->kind->by_task};
    char *path;
    c2c_status status = data_file_find(&path, &wanted, &l->options->places, help, l->error);
    if (status == C2C_STATUS_INVALID_ARGUMENT)
        error_prefix(l->error, "%s: data: kwargs", l->options->where);
    return status ? status : read_file(l, path, l->kind->by_task ? config : NULL);
}

/* Notes a task without a file. What is said where there is none at all is about the first. */
static void note_missing(data_loader *l, const char *config, c2c_error *first) {
    if (l->set->missing_count++ == 0 && l->error)
        *first = *l->error;
    buffer_printf(&l->set->missing, "%s%s", l->set->missing.length ? ", " : "", config);
}

/* One task, or all whose files are there. */
static c2c_status read_tasks(data_loader *l, buffer *help) {
    c2c_error first = {0};
    c2c_status status = C2C_STATUS_OK;
    const longbench_task *task;
    for (size_t i = 0; (task = longbench_task_at(i)) && !l->ended; i++) {
        char config[64];
        bool wanted = l->kwargs.task ? strcmp(l->kwargs.task, task->name) == 0
                                     : !l->kwargs.longbench_e || task->e;
        if (!wanted)
            continue;
        snprintf(config, sizeof config, "%s%s", task->name, l->kwargs.longbench_e ? "_e" : "");
        status = find_and_read(l, config, l->set->missing_count ? NULL : help);
        if (status == C2C_STATUS_NOT_FOUND)
            note_missing(l, config, &first);
        else if (status)
            return status;
    }
    if (l->set->missing.failed)
        return error_memory(l->error, 64, "names of tasks");
    if (l->set->file_count)
        return C2C_STATUS_OK;
    if (l->error)
        *l->error = first;
    return C2C_STATUS_NOT_FOUND;
}

static c2c_status refuse_empty(const data_loader *l) {
    buffer text = {0};
    data_set_describe(l->set, &text);
    const char *reason = "";
    for (int fate = ROW_BAD; fate < ROW_FATES && !*reason; fate++)
        reason = data_set_reason(l->set, (row_fate)fate);
    c2c_status status =
        error_set(l->error, C2C_STATUS_BAD_FILE, "%s: nothing to learn from: %s%s%s",
                  l->set->files[0], text.data ? text.data : "no row", *reason ? "; " : "", reason);
    buffer_free(&text);
    return status;
}

static c2c_status loader_init(data_loader *l) {
    const data_options *o = l->options;
    l->kind = dataset_find(o->type);
    if (!l->kind)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED, "%s: data: \"type\": no \"%s\"",
                         o->where, o->type);
    c2c_status status = dataset_options_read(&l->kwargs, l->kind, o->kwargs, o->where, l->error);
    if (!status)
        status =
            thread_pool_new(&l->pool, o->threads > 0 ? o->threads : system_processors(), l->error);
    if (status)
        return status;
    l->set->rows_of_ids = o->models.align ? o->models.sharer_count + 1 : 1;
    l->slots = calloc(ROWS_AT_ONCE, sizeof *l->slots);
    for (int i = 0; l->slots && i < ROWS_AT_ONCE; i++)
        if (!(l->slots[i].chat.memory = arena_new(1024)))
            return error_memory(l->error, 1024, "rows");
    return l->slots ? C2C_STATUS_OK
                    : error_memory(l->error, ROWS_AT_ONCE * sizeof *l->slots, "rows");
}

static void loader_deinit(data_loader *l) {
    for (int i = 0; l->slots && i < ROWS_AT_ONCE; i++) {
        row_chat_deinit(&l->slots[i].chat);
        encoded_chat_free(&l->slots[i].encoded);
    }
    free(l->slots);
    thread_pool_free(l->pool);
}

c2c_status data_set_open(data_set **set, const data_options *options, buffer *help,
                         c2c_error *error) {
    *set = NULL;
    data_loader l = {.set = calloc(1, sizeof *l.set), .options = options, .error = error};
    if (!l.set)
        return error_memory(error, sizeof *l.set, "training samples");
    c2c_status status = loader_init(&l);
    if (!status)
        status = l.kind->by_task && !l.kwargs.data_path ? read_tasks(&l, help)
                                                        : find_and_read(&l, l.kind->config, help);
    if (!status && !l.set->count)
        status = refuse_empty(&l);
    loader_deinit(&l);
    if (status)
        data_set_close(l.set);
    else
        *set = l.set;
    return status;
}
