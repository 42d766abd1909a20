/* fuzz_dataset.c - a JSON value as a row of every data type. */
#include "train/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const types[] = {"MMLUChatDataset",         "MMLUCotChatDataset",
                                        "OpenBookChatDataset",     "OpenHermesChatDataset",
                                        "LLMGeneratedChatDataset", "LongBenchChatDataset",
                                        "MessagesDataset"};
    json_document *row;
    c2c_error error;
    if (json_parse(&row, (const char *)data, size, "fuzz", &error))
        return 0;
    row_chat chat = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (dataset_row_chat(dataset_find(types[i]), &chat, json_root(row), &error))
            continue;
        for (size_t m = 0; m < chat.count; m++) {
            size_t length = strlen(chat.messages[m].content);
            C2C_ASSERT(utf8_valid_prefix(chat.messages[m].content, length) == length);
        }
    }
    row_chat_deinit(&chat);
    json_close(row);
    return 0;
}
