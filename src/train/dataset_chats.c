/* dataset_chats.c - OpenHermesChatDataset and MessagesDataset: rows that are chats already. */
#include "train/dataset.h"

/* ---- OpenHermes --------------------------------------------------------------------------- */

/* "from", or "role" where there is none; what is neither the user's nor the assistant's is left
 * out, and so are system messages. */
static const char *openhermes_role(const json_value *message) {
    static const char *const roles[][2] = {{"human", "user"},
                                           {"user", "user"},
                                           {"gpt", "assistant"},
                                           {"assistant", "assistant"}};
    const json_value *from = json_get(message, "from");
    if (!from || from->type != JSON_STRING || !from->count)
        from = json_get(message, "role");
    for (size_t i = 0; from && from->type == JSON_STRING && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(from->string, roles[i][0]) == 0)
            return roles[i][1];
    return NULL;
}

static c2c_status openhermes_chat(const dataset_row *row, row_chat *chat) {
    const json_value *list = json_get(row->row, "conversations");
    if (!list || list->type != JSON_ARRAY)
        return row_wrong_field(row, "conversations", "a list of messages", list);
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < list->count && !status; i++) {
        const char *role = openhermes_role(&list->items[i]);
        const json_value *value = json_get(&list->items[i], "value");
        if (!role)
            continue;
        if (!value || value->type != JSON_STRING)
            return row_wrong_field(row, "value", "a text, in each of \"conversations\"", value);
        status = row_chat_add(chat, row, role, value->string, value->count, *role == 'u');
    }
    return status;
}

static const char *const openhermes_keys[] = {"max_word_count", "min_conversation_turns", NULL};

const dataset_kind openhermes_dataset = {.name = "OpenHermesChatDataset",
                                         .hub = "teknium/OpenHermes-2.5",
                                         .split = "train",
                                         .keys = openhermes_keys,
                                         .words = WORDS_CHAT,
                                         .chat = openhermes_chat};

/* ---- Messages ----------------------------------------------------------------------------- */

/* Roles as templates know them, system messages too, texts as they are. */
static c2c_status messages_chat(const dataset_row *row, row_chat *chat) {
    const json_value *list = json_get(row->row, "messages");
    if (!list || list->type != JSON_ARRAY)
        return row_wrong_field(row, "messages", "a list of messages", list);
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; i < list->count && !status; i++) {
        const json_value *role = json_get(&list->items[i], "role");
        const json_value *content = json_get(&list->items[i], "content");
        if (!role || role->type != JSON_STRING || strlen(role->string) != role->count)
            return row_wrong_field(row, "role", "a text, in each of \"messages\"", role);
        if (!content || content->type != JSON_STRING)
            return row_wrong_field(row, "content", "a text, in each of \"messages\"", content);
        const char *name = arena_copy(chat->memory, role->string, role->count);
        if (!name)
            return error_memory(row->error, role->count, "a chat");
        status = row_chat_add(chat, row, name, content->string, content->count, false);
    }
    return status;
}

static const char *const messages_keys[] = {"max_word_count", "min_conversation_turns", NULL};

const dataset_kind messages_dataset = {.name = "MessagesDataset",
                                       .split = "train",
                                       .keys = messages_keys,
                                       .words = WORDS_CHAT,
                                       .chat = messages_chat};
