/* dataset.c - the registry of data types, and what a recipe may say about each. */
#include "train/dataset.h"

#include <stdio.h>
#include <strings.h>

static const dataset_kind *const kinds[] = {
    &mmlu_dataset,          //
    &mmlu_cot_dataset,      //
    &openbook_dataset,      //
    &openhermes_dataset,    //
    &llm_generated_dataset, //
    &longbench_dataset,     //
    &messages_dataset,      //
};

#define KINDS (sizeof kinds / sizeof *kinds)

const dataset_kind *dataset_find(const char *type) {
    for (size_t i = 0; i < KINDS; i++)
        if (strcasecmp(kinds[i]->name, type) == 0)
            return kinds[i];
    return NULL;
}

void dataset_names(buffer *names) {
    for (size_t i = 0; i < KINDS; i++)
        buffer_printf(names, "%s%s", i ? ", " : "", kinds[i]->name);
}

c2c_status dataset_row_chat(const dataset_kind *kind, row_chat *chat, const json_value *json,
                            c2c_error *error) {
    const dataset_row row = {.row = json, .error = error};
    chat->count = 0;
    if (!chat->memory && !(chat->memory = arena_new(4096)))
        return error_memory(error, 4096, "a chat");
    arena_reset(chat->memory);
    return kind->chat(&row, chat);
}

/* ---- kwargs ------------------------------------------------------------------------------- */

c2c_status dataset_check(train_recipe *recipe, c2c_error *error) {
    const dataset_kind *kind = dataset_find(recipe->data_type);
    const char *known[16] = {"split", "num_samples", "data_path"};
    dataset_options options;
    if (!kind) {
        buffer names = {0};
        dataset_names(&names);
        c2c_status status =
            error_set(error, C2C_STATUS_UNSUPPORTED,
                      "%s: data: \"type\": expected one of %s, found \"%s\"", recipe->where,
                      names.data ? names.data : "the data types", recipe->data_type);
        buffer_free(&names);
        return status;
    }
    size_t count = 3;
    for (size_t i = 0; kind->keys[i]; i++) {
        C2C_ASSERT(count + 1 < sizeof known / sizeof *known);
        known[count++] = kind->keys[i];
    }
    c2c_status status =
        dataset_options_read(&options, kind, recipe->data_kwargs, recipe->where, error);
    return status ? status
                  : recipe_note_unknown(recipe, recipe->data_kwargs, "data: kwargs", known, error);
}

/* Whether the type knows the key: another type's key is as good as unknown. */
static bool has_key(const dataset_kind *kind, const char *key) {
    size_t i = 0;
    while (kind->keys[i] && strcmp(kind->keys[i], key) != 0)
        i++;
    return kind->keys[i] != NULL;
}

c2c_status dataset_options_read(dataset_options *o, const dataset_kind *kind,
                                const json_value *kwargs, const char *recipe, c2c_error *error) {
    static const int64_t none = 0, any = -1, cut = 14000;
    static const bool yes = true;
    static const json_value empty = {.type = JSON_OBJECT};
    const int64_t most = INT64_C(1) << 40;
    char where[400];
    const char *task = NULL;
    snprintf(where, sizeof where, "%.370s: data: kwargs", recipe);
    if (!kwargs)
        kwargs = &empty;
    *o = (dataset_options){.max_word_count = -1, .max_length = cut};
    c2c_status status = json_get_string(kwargs, "split", &kind->split, &o->split, where, error);
    if (!status)
        status =
            json_get_string(kwargs, "data_path", &kind->data_path, &o->data_path, where, error);
    if (!status)
        status =
            json_get_integer(kwargs, "num_samples", &none, 0, most, &o->num_samples, where, error);
    if (!status && has_key(kind, "max_word_count"))
        status = json_get_integer(kwargs, "max_word_count", &any, 0, most, &o->max_word_count,
                                  where, error);
    if (!status && has_key(kind, "min_conversation_turns"))
        status = json_get_integer(kwargs, "min_conversation_turns", &none, 0, most, &o->min_turns,
                                  where, error);
    if (status || !kind->by_task)
        return status;
    if ((status = json_get_string(kwargs, "dataset_name", &task, &o->task, where, error)) ||
        (status =
             json_get_integer(kwargs, "max_length", &cut, 2, most, &o->max_length, where, error)) ||
        (status = json_get_bool(kwargs, "use_longbench_e", &yes, &o->longbench_e, where, error)) ||
        (status = json_get_bool(kwargs, "filter_mod4", &yes, &o->hold_out, where, error)))
        return status;
    const longbench_task *found = o->task ? longbench_task_find(o->task) : NULL;
    if (o->task && (!found || strcmp(found->name, o->task) != 0 || (o->longbench_e && !found->e)))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: \"dataset_name\": expected a task of LongBench%s, found \"%s\"",
                         where, o->longbench_e ? "-E" : "", o->task);
    return C2C_STATUS_OK;
}
