/* dataset_choices.c - MMLUChatDataset and OpenBookChatDataset: questions with choices, answered by
 * a letter. */
#include "train/dataset.h"

#define MAX_CHOICES 26 /* letters */

/* "Question: ...\n\nChoices:\nA. ...\n", of the choices in a list. */
static c2c_status add_question(const dataset_row *row, row_chat *chat, const char *key,
                               const json_value *choices) {
    buffer text = {0};
    buffer_append_text(&text, "Question: ");
    c2c_status status = row_get_text(row, row->row, key, &text);
    buffer_append_text(&text, "\n\nChoices:\n");
    for (uint32_t i = 0; i < choices->count && !status; i++) {
        buffer_printf(&text, "%c. ", 'A' + (int)i);
        if (!row_value_text(&choices->items[i], &text))
            status = row_wrong_field(row, "choices", "a list of texts", &choices->items[i]);
        buffer_append_char(&text, '\n');
    }
    if (!status && text.failed)
        status = error_memory(row->error, text.length, "a question");
    if (!status)
        status = row_chat_add(chat, row, "user", text.data, text.length, true);
    buffer_free(&text);
    return status;
}

static c2c_status add_answer(const dataset_row *row, row_chat *chat, char letter) {
    char text[] = "The correct answer is A.";
    text[sizeof text - 3] = letter;
    return row_chat_add(chat, row, "assistant", text, sizeof text - 1, false);
}

static c2c_status check_choices(const dataset_row *row, const json_value *choices,
                                const char *what) {
    if (!choices || choices->type != JSON_ARRAY)
        return row_wrong_field(row, "choices", what, choices);
    if (choices->count > MAX_CHOICES)
        return error_set(row->error, C2C_STATUS_BAD_FILE, "expected at most %d choices, found %u",
                         MAX_CHOICES, (unsigned)choices->count);
    return C2C_STATUS_OK;
}

/* ---- MMLU --------------------------------------------------------------------------------- */

/* A number from 0, as a number or text; or a letter, as other files of the same questions have. */
static c2c_status read_answer(const dataset_row *row, uint32_t choices, char *letter) {
    const json_value *answer = json_get(row->row, "answer");
    int64_t index = -1;
    if (answer && answer->type == JSON_INTEGER)
        index = answer->integer;
    else if (answer && answer->type == JSON_STRING && answer->count == 1)
        index = answer->string[0] >= 'A' ? answer->string[0] - 'A' : answer->string[0] - '0';
    else
        return row_wrong_field(row, "answer", "the number of a choice or its letter", answer);
    if (index < 0 || index >= choices)
        return error_set(row->error, C2C_STATUS_BAD_FILE,
                         "\"answer\": expected one of %u choices, found another",
                         (unsigned)choices);
    *letter = (char)('A' + index);
    return C2C_STATUS_OK;
}

/* Choices as a list, or in columns A to D. */
static c2c_status mmlu_chat(const dataset_row *row, row_chat *chat) {
    static const char *const columns[] = {"A", "B", "C", "D"};
    json_value items[4], list = {.type = JSON_ARRAY, .count = 4, .items = items};
    const json_value *choices = json_get(row->row, "choices");
    char letter = 'A';
    if (!choices && json_get(row->row, "A")) {
        for (size_t i = 0; i < 4; i++) {
            const json_value *column = json_get(row->row, columns[i]);
            if (!column)
                return row_wrong_field(row, columns[i], "a choice", column);
            items[i] = *column;
        }
        choices = &list;
    }
    c2c_status status = check_choices(row, choices, "a list of texts, or A, B, C and D");
    if (!status)
        status = add_question(row, chat, "question", choices);
    if (!status)
        status = read_answer(row, choices->count, &letter);
    return status ? status : add_answer(row, chat, letter);
}

static const char *const mmlu_keys[] = {"max_word_count", NULL};

const dataset_kind mmlu_dataset = {.name = "MMLUChatDataset",
                                   .hub = "cais/mmlu",
                                   .config = "all",
                                   .split = "train",
                                   .keys = mmlu_keys,
                                   .words = WORDS_CHAT,
                                   .chat = mmlu_chat};

/* ---- OpenBookQA --------------------------------------------------------------------------- */

static c2c_status openbook_chat(const dataset_row *row, row_chat *chat) {
    const json_value *choices = json_get(json_get(row->row, "choices"), "text");
    const json_value *answer = json_get(row->row, "answerKey");
    c2c_status status = check_choices(row, choices, "an object with \"text\", a list");
    if (!status)
        status = add_question(row, chat, "question_stem", choices);
    if (status)
        return status;
    if (!answer || answer->type != JSON_STRING || answer->count != 1 || answer->string[0] < 'A' ||
        answer->string[0] >= 'A' + (int)choices->count)
        return row_wrong_field(row, "answerKey", "the letter of a choice", answer);
    return add_answer(row, chat, answer->string[0]);
}

static const char *const no_keys[] = {NULL};

const dataset_kind openbook_dataset = {.name = "OpenBookChatDataset",
                                       .hub = "allenai/openbookqa",
                                       .config = "main",
                                       .split = "train",
                                       .keys = no_keys,
                                       .chat = openbook_chat};
