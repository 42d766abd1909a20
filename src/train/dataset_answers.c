/* dataset_answers.c - MMLUCotChatDataset and LLMGeneratedChatDataset: a question and a text that
 * answers it, each in a field. */
#include "train/dataset.h"

/* The question without white space around it, the answer as it is. */
static c2c_status add_pair(const dataset_row *row, row_chat *chat, const char *question,
                           const char *answer) {
    buffer text = {0};
    c2c_status status = row_get_text(row, row->row, question, &text);
    if (!status)
        status = row_chat_add(chat, row, "user", text.data ? text.data : "", text.length, true);
    buffer_clear(&text);
    if (!status)
        status = row_get_text(row, row->row, answer, &text);
    if (!status)
        status =
            row_chat_add(chat, row, "assistant", text.data ? text.data : "", text.length, false);
    buffer_free(&text);
    return status;
}

static c2c_status mmlu_cot_chat(const dataset_row *row, row_chat *chat) {
    return add_pair(row, chat, "question", "chain_of_thoughts");
}

static const char *const no_keys[] = {NULL};

const dataset_kind mmlu_cot_dataset = {.name = "MMLUCotChatDataset",
                                       .hub = "Brench/MMLU-Pro-CoT-Train-43K",
                                       .split = "train",
                                       .keys = no_keys,
                                       .chat = mmlu_cot_chat};

static c2c_status llm_generated_chat(const dataset_row *row, row_chat *chat) {
    return add_pair(row, chat, "input_text", "model_response");
}

static const char *const llm_generated_keys[] = {"max_word_count", NULL};

const dataset_kind llm_generated_dataset = {.name = "LLMGeneratedChatDataset",
                                            .split = "train",
                                            .keys = llm_generated_keys,
                                            .data_path =
                                                "./teacher_datasets/output/dataset_finished",
                                            .words = WORDS_CONTENTS,
                                            .filter_first = true,
                                            .chat = llm_generated_chat};
