/* Training data: where files are found, what becomes of rows, what a sample is, and batches. */
#include "train/dataset.h"

#include "support/test.h"

#include <inttypes.h>
#include <sys/stat.h>

#define MODELS "tests/golden/data/models/"

/* Models that can read chats and nothing else. */
static c2c_model receiver, sharer;

static int models_open(void **state) {
    (void)state;
    c2c_error e;
    return tokenizer_open(&receiver.tokenizer, MODELS "tiny-qwen3", &e) ||
           chat_template_open(&receiver.chat_template, MODELS "tiny-qwen3", NULL, &e) ||
           tokenizer_open(&sharer.tokenizer, MODELS "tiny-qwen2", &e) ||
           chat_template_open(&sharer.chat_template, MODELS "tiny-qwen2", NULL, &e);
}

static int models_close(void **state) {
    (void)state;
    chat_template_close(receiver.chat_template);
    chat_template_close(sharer.chat_template);
    tokenizer_close(receiver.tokenizer);
    tokenizer_close(sharer.tokenizer);
    return 0;
}

static const c2c_model *const sharers[] = {&sharer};

/* A set from one file with this text, in which ' stands for "; more kwargs in YAML. */
static c2c_status open_text(data_set **set, const char *type, const char *name, const char *text,
                            const char *more_kwargs, const data_models *models, int threads) {
    char *folder = test_folder_make(), kwargs[8192];
    json_document *document;
    char *quoted = string_copy(text);
    for (char *c = quoted; (c = strchr(c, '\'')); c++)
        *c = '"';
    test_file_write(folder, name, quoted, strlen(quoted));
    free(quoted);
    snprintf(kwargs, sizeof kwargs, "{data_path: '%s/%s'%s}", folder, name, more_kwargs);
    assert_ok(yaml_parse(&document, kwargs, strlen(kwargs), "kwargs", &test_error));
    const data_options options = {.type = type,
                                  .kwargs = json_root(document),
                                  .where = "r.yaml",
                                  .models = *models,
                                  .threads = threads};
    c2c_status status = data_set_open(set, &options, NULL, &test_error);
    json_close(document);
    test_folder_remove(folder);
    return status;
}

static const data_models plain = {.receiver = &receiver,
                                  .sharers = sharers,
                                  .sharer_count = 1,
                                  .max_length = 200};

/* ---- Rows ----------------------------------------------------------------------------------- */

#define ROW(question, answer)                                                                      \
    "{'messages': [{'role': 'user', 'content': '" question                                         \
    "'}, {'role': 'assistant', 'content': '" answer "'}]}\n"
#define TEN  "one two three four five six seven eight nine ten "
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

#define ALONE "{'messages': [{'role': 'user', 'content': 'Alone.'}]}\n"
#define OTHER "{'text': 'another type'}\n"
#define THAT  ROW("What?", "That is it, and no more can be said.")

/* Lines 1 and, behind an empty one, 3 to 8. */
static const char rows[] =
    THAT "\n" ALONE "not json\n" OTHER ROW(LONG, "Short.") ROW("Who?", LONG) ROW("Why?", LONG);

static void test_fates(void **state) {
    (void)state;
    data_set *set;
    buffer name = {0}, text = {0};
    assert_ok(open_text(&set, "MessagesDataset", "rows.jsonl", rows, "", &plain, 1));
    assert_int_equal(data_set_count(set), 3);
    assert_int_equal(data_set_rows(set, ROW_KEPT), 3);
    assert_int_equal(data_set_rows(set, ROW_NO_ANSWER), 1);
    assert_int_equal(data_set_rows(set, ROW_BAD), 2);
    assert_int_equal(data_set_rows(set, ROW_LONG_INSTRUCTION), 1);
    assert_non_null(strstr(data_set_reason(set, ROW_BAD), "rows.jsonl: line 4, column"));
    assert_non_null(strstr(data_set_reason(set, ROW_NO_ANSWER), "rows.jsonl: line 3: no assist"));
    assert_string_equal(data_set_reason(set, ROW_TEMPLATE), "");
    assert_int_equal(data_set_longest(set), 200); /* line 7 is cut */
    data_set_name(set, 1, &name);
    assert_non_null(strstr(name.data, "rows.jsonl: line 7"));
    data_set_describe(set, &text);
    assert_non_null(strstr(text.data, "7 rows: 3 kept, 2 not a row of this type, 1 no assistant"));
    buffer_free(&name);
    buffer_free(&text);
    data_set_close(set);
    data_set_close(NULL);
}

/* Where a whole array is one line, the line names no row. */
static void test_rows_of_one_line(void **state) {
    (void)state;
    data_set *set;
    buffer name = {0};
    static const char row[] = "{'messages': [{'role': 'user', 'content': 'What?'}, {'role': "
                              "'assistant', 'content': 'That is it.'}]}";
    char array[1024];
    snprintf(array, sizeof array, "[%s, {}, %s]", row, row);
    assert_ok(open_text(&set, "MessagesDataset", "rows.json", array, "", &plain, 1));
    assert_int_equal(data_set_count(set), 2);
    data_set_name(set, 1, &name);
    assert_non_null(strstr(name.data, "rows.json: row 3, line 1"));
    buffer_free(&name);
    data_set_close(set);
}

/* Every number of a sample follows from two encodings: the instruction's and the chat's. */
static void test_a_sample(void **state) {
    (void)state;
    static const char chat[] =
        "[{\"role\": \"user\", \"content\": \"What?\"}, {\"role\": "
        "\"assistant\", \"content\": \"That is it, and no more can be said.\"}]";
    const c2c_chat_options full = {.thinking = C2C_THINKING_OFF};
    const c2c_chat_options prompt = {.thinking = C2C_THINKING_OFF, .add_generation_prompt = true};
    json_document *messages;
    buffer text = {0};
    token_list tokens = {0}, before = {0};
    assert_ok(json_parse(&messages, chat, sizeof chat - 1, "chat", &test_error));
    json_value first = *json_root(messages);
    assert_ok(chat_template_render(receiver.chat_template, &first, &full, &text, &test_error));
    assert_ok(
        tokenizer_encode(receiver.tokenizer, text.data, text.length, false, &tokens, &test_error));
    buffer_clear(&text);
    first.count = 1;
    assert_ok(chat_template_render(receiver.chat_template, &first, &prompt, &text, &test_error));
    assert_ok(
        tokenizer_encode(receiver.tokenizer, text.data, text.length, false, &before, &test_error));
    data_set *set;
    data_batch batch = {0};
    assert_ok(open_text(&set, "MessagesDataset", "rows.jsonl", rows, "", &plain, 1));
    assert_ok(data_batch_fill(&batch, set, (const uint32_t[]){1, 0}, 2, &test_error));
    assert_int_equal(batch.count, 2);
    const training_sample *s = &batch.samples[1];
    assert_int_equal(s->tokens, tokens.count);
    assert_null(s->sharer_ids);
    for (size_t i = 0; i < tokens.count; i++) {
        assert_int_equal(s->ids[i], tokens.items[i].id);
        assert_int_equal(s->labels[i], i < before.count ? LABEL_NONE : tokens.items[i].id);
    }
    assert_int_equal(s->section_count, 2);
    assert_int_equal(s->sections[0].length, before.count - 1);
    assert_int_equal(s->sections[0].mask, 1);
    assert_int_equal(s->sections[1].length, tokens.count - before.count + 1);
    assert_int_equal(s->sections[1].mask, -1);
    assert_int_equal(batch.samples[0].tokens, 200);
    assert_int_equal(batch.samples[0].sections[1].length,
                     200 - batch.samples[0].sections[0].length);
    data_batch_deinit(&batch);
    data_set_close(set);
    buffer_free(&text);
    token_list_free(&tokens);
    token_list_free(&before);
    json_close(messages);
}

static void test_filters(void **state) {
    (void)state;
    static const char chats[] =
        "[{'conversations': [{'from': 'system', 'value': 'S'}, {'from': 'human', 'value': ' a '},"
        "  {'from': 'gpt', 'value': 'one two three four five six seven'}]},"
        " {'conversations': [{'from': 'human', 'value': 'a'}, {'from': 'gpt', 'value': 'b'},"
        "  {'from': 'tool', 'value': 'x'}, {'role': 'user', 'value': 'c'},"
        "  {'from': 'gpt', 'value': 'one two three four five six seven'}]},"
        " {'conversations': [{'from': 'human', 'value': '" TEN TEN "'},"
        "  {'from': 'gpt', 'value': '" TEN TEN "'}]}]";
    data_set *set;
    assert_ok(open_text(&set, "openhermeschatdataset", "c.json", chats, "", &plain, 1));
    assert_int_equal(data_set_count(set), 3);
    int64_t longest = data_set_longest(set), all = data_set_tokens(set);
    data_set_close(set);
    assert_ok(open_text(&set, "OpenHermesChatDataset", "c.json", chats,
                        ", min_conversation_turns: 3", &plain, 1));
    assert_int_equal(data_set_count(set), 1);
    assert_int_equal(data_set_rows(set, ROW_FEW_TURNS), 2);
    data_set_close(set);
    /* The first two rows, whatever becomes of them. */
    assert_ok(open_text(&set, "OpenHermesChatDataset", "c.json", chats,
                        ", min_conversation_turns: 3, num_samples: 2", &plain, 1));
    assert_int_equal(data_set_count(set), 1);
    assert_int_equal(data_set_rows(set, ROW_FEW_TURNS), 1);
    data_set_close(set);
    char kwargs[64];
    snprintf(kwargs, sizeof kwargs, ", max_word_count: %" PRId64, longest - 1);
    assert_ok(open_text(&set, "OpenHermesChatDataset", "c.json", chats, kwargs, &plain, 1));
    assert_int_equal(data_set_rows(set, ROW_TOO_LONG), 1);
    assert_int_equal(data_set_tokens(set), all - longest);
    data_set_close(set);
    snprintf(kwargs, sizeof kwargs, ", max_word_count: %" PRId64, longest);
    assert_ok(open_text(&set, "OpenHermesChatDataset", "c.json", chats, kwargs, &plain, 1));
    assert_int_equal(data_set_rows(set, ROW_TOO_LONG), 0);
    data_set_close(set);
}

/* num_samples counts what the filter left, and half of the words may be the question's. */
static void test_generated_rows(void **state) {
    (void)state;
    static const char text[] = "input_text,model_response\n" TEN TEN ",x\n"
                               "a," TEN "\nb," TEN "\nc," TEN "\n";
    data_set *set;
    assert_ok(open_text(&set, "LLMGeneratedChatDataset", "g.csv", text,
                        ", max_word_count: 100, num_samples: 2", &plain, 1));
    assert_int_equal(data_set_rows(set, ROW_TOO_LONG), 1);
    assert_int_equal(data_set_count(set), 2);
    data_set_close(set);
}

/* Many rows, so that threads take turns at them: the set is the same. */
static void test_threads_do_not_matter(void **state) {
    (void)state;
    buffer text = {0};
    for (int i = 0; i < 1000; i++) {
        buffer_printf(&text, "{\"messages\": [{\"role\": \"user\", \"content\": \"Add %d to %d.\"}",
                      i, i * i);
        if (i % 7)
            buffer_printf(&text, ", {\"role\": \"assistant\", \"content\": \"It is " TEN "%d.\"}",
                          i + i * i);
        buffer_append_text(&text, "]}\n");
    }
    data_set *one, *three;
    buffer name = {0};
    assert_ok(open_text(&one, "MessagesDataset", "r.jsonl", text.data, "", &plain, 1));
    assert_ok(open_text(&three, "MessagesDataset", "r.jsonl", text.data, "", &plain, 3));
    assert_int_equal(data_set_count(one), 857);
    assert_true(data_set_checksum(one) == data_set_checksum(three));
    data_set_name(three, 856, &name);
    assert_non_null(strstr(name.data, "r.jsonl: line 1000"));
    data_set_close(one);
    /* Another set has another checksum. */
    text.data[strlen("{\"messages\": [{\"role\": \"user\", \"content\": \"Add 0 to 0.\"}]}\n") +
              strlen("{\"messages\": [{\"role\": \"user\", \"content\": \"")] = 'a';
    assert_ok(open_text(&one, "MessagesDataset", "r.jsonl", text.data, "", &plain, 2));
    assert_true(data_set_checksum(one) != data_set_checksum(three));
    data_set_close(one);
    data_set_close(three);
    buffer_free(&text);
    buffer_free(&name);
}

static void test_bad_sets(void **state) {
    (void)state;
    data_set *set;
    assert_fails(open_text(&set, "MessagesDataset", "r.jsonl", "{\"a\": 1}\n{\"a\": 2}\n", "",
                           &plain, 1),
                 C2C_STATUS_BAD_FILE, "r.jsonl: nothing to learn from", "2 rows: 2 not a row",
                 "line 1: expected \"messages\"");
    assert_fails(open_text(&set, "MessagesDataset", "r.json",
                           "[" ROW("a", "one two three four five six") ", {\"a\": 1", "", &plain,
                           1),
                 C2C_STATUS_BAD_FILE, "r.json: line 2"); /* torn: the rest is missing */
    assert_fails(open_text(&set, "MessagesDataset", "r.jsonl", "", "", &plain, 1),
                 C2C_STATUS_BAD_FILE, "nothing to learn from");
    assert_null(set);
    const data_options none = {.type = "MessagesDataset", .where = "r.yaml", .models = plain};
    assert_fails(data_set_open(&set, &none, NULL, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "r.yaml: data: kwargs", "data_path");
}

static bool stop(void *user, int64_t count, double share) {
    (void)share;
    *(int64_t *)user = count;
    return false;
}

static void test_reading_can_be_stopped(void **state) {
    (void)state;
    char *folder = test_folder_make(), path[4096];
    buffer text = {0};
    for (int i = 0; i < 600; i++)
        buffer_append_text(&text, "{\"messages\": [{\"role\": \"user\", \"content\": \"A?\"}, "
                                  "{\"role\": \"assistant\", \"content\": \"" TEN "\"}]}\n");
    test_file_write(folder, "train.jsonl", text.data, text.length);
    snprintf(path, sizeof path, "{\"data_path\": \"%s\"}", folder); /* the split's file in it */
    json_document *kwargs;
    assert_ok(json_parse(&kwargs, path, strlen(path), "kwargs", &test_error));
    data_set *set;
    int64_t seen = 0;
    data_options options = {.type = "MessagesDataset",
                            .kwargs = json_root(kwargs),
                            .where = "r.yaml",
                            .models = plain,
                            .progress = stop,
                            .progress_user = &seen};
    assert_fails(data_set_open(&set, &options, NULL, &test_error), C2C_STATUS_CANCELLED,
                 "train.jsonl");
    assert_int_equal(seen, 256);
    options.progress = NULL;
    assert_ok(data_set_open(&set, &options, NULL, &test_error));
    assert_int_equal(data_set_count(set), 600);
    data_set_close(set);
    json_close(kwargs);
    buffer_free(&text);
    test_folder_remove(folder);
}

/* ---- Two tokenizers ------------------------------------------------------------------------- */

static void test_aligned_samples(void **state) {
    (void)state;
    static const c2c_message chat[] = {{.role = "user", .content = "What is it?"},
                                       {.role = "assistant", .content = "This."},
                                       {.role = "user", .content = "And that?"},
                                       {.role = "assistant",
                                        .content = "That is it, and no more can be said."}};
    data_models models = plain;
    models.align = true;
    models.max_length = 1000;
    encoded_chat e = {0};
    row_fate fate;
    c2c_alignment *a;
    assert_ok(chat_encode(&e, &models, chat, 4, &fate, NULL, &test_error));
    assert_int_equal(fate, ROW_KEPT);
    const c2c_align_options options = {.strategy = C2C_ALIGN_FIRST};
    assert_ok(c2c_align_chat(&a, &receiver, sharers, 1, chat, 4, &options, &test_error));
    assert_int_equal(e.tokens, a->token_count);
    assert_memory_equal(e.ids, a->ids, (size_t)e.tokens * sizeof *e.ids);
    assert_memory_equal(e.ids + e.tokens, a->sharer_ids[0], (size_t)e.tokens * sizeof *e.ids);
    /* Template and contents in turn, the answer and what follows it in the last section. */
    assert_int_equal(a->section_count, 9);
    assert_int_equal(e.section_count, 7);
    int64_t start = 0;
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(e.sections[i].mask, i % 2 ? 1 : -1);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(e.sections[i].length, a->sections[i].length);
    for (size_t i = 0; i < 7; i++)
        start += a->sections[i].length;
    assert_int_equal(e.first_label, start);
    assert_int_equal(e.sections[6].length, a->sections[6].length + e.tokens - start);
    /* Cut behind the first token of the answer, before it, and within the instruction. */
    models.max_length = start + 1;
    assert_ok(chat_encode(&e, &models, chat, 4, &fate, NULL, &test_error));
    assert_int_equal(fate, ROW_KEPT);
    assert_int_equal(e.tokens, start + 1);
    assert_int_equal(e.ids[e.tokens], a->sharer_ids[0][0]);
    models.max_length = start;
    assert_ok(chat_encode(&e, &models, chat, 4, &fate, NULL, &test_error));
    assert_int_equal(fate, ROW_NO_ANSWER);
    models.max_length = start - 1;
    assert_ok(chat_encode(&e, &models, chat, 4, &fate, NULL, &test_error));
    assert_int_equal(fate, ROW_LONG_INSTRUCTION);
    encoded_chat_free(&e);
    c2c_alignment_free(a);
}

/* Labels follow the receiver's ids and skip its padding; the sharer has a row of its own. */
static void test_aligned_batches(void **state) {
    (void)state;
    data_models models = plain;
    data_batch batch = {0};
    data_set *set;
    models.align = true;
    models.max_length = 1000;
    assert_ok(open_text(&set, "MessagesDataset", "rows.jsonl",
                        ROW("What?", "That is it, and no more can be said.")
                            ROW("Who?", "He is the one that was here before."),
                        "", &models, 1));
    assert_ok(data_batch_fill(&batch, set, (const uint32_t[]){0, 1}, 2, &test_error));
    for (size_t i = 0; i < 2; i++) {
        const training_sample *s = &batch.samples[i];
        int64_t length = 0, supervised = 0;
        assert_non_null(s->sharer_ids);
        assert_non_null(s->sharer_ids[0]);
        for (size_t k = 0; k + 1 < s->section_count; k++)
            length += s->sections[k].length;
        while (length < s->tokens && s->labels[length] == LABEL_NONE)
            length++; /* the template before the answer */
        for (int64_t t = 0; t < s->tokens; t++) {
            bool labelled = t >= length && s->ids[t] != C2C_PADDING;
            assert_int_equal(s->labels[t], labelled ? s->ids[t] : LABEL_NONE);
            supervised += labelled;
        }
        assert_true(supervised > 5);
    }
    data_batch_deinit(&batch);
    data_set_close(set);
}

/* ---- Types ---------------------------------------------------------------------------------- */

static c2c_status row_messages(row_chat *chat, const char *type, const char *text) {
    json_document *row;
    assert_ok(json_parse(&row, text, strlen(text), "row", &test_error));
    c2c_status status = dataset_row_chat(dataset_find(type), chat, json_root(row), &test_error);
    json_close(row);
    return status;
}

static void test_types(void **state) {
    (void)state;
    row_chat chat = {0};
    assert_ok(row_messages(&chat, "MMLUChatDataset",
                           "{\"question\": \"Q\\u3000\", \"choices\": [1, \"two\", 2.5], "
                           "\"answer\": \"2\"}"));
    assert_string_equal(chat.messages[0].content,
                        "Question: Q\xe3\x80\x80\n\nChoices:\nA. 1\nB. two\nC. 2.5");
    assert_string_equal(chat.messages[1].content, "The correct answer is C.");
    assert_ok(row_messages(&chat, "MMLUChatDataset",
                           "{\"question\": \"Q\", \"A\": \"a\", \"B\": \"b\", \"C\": \"c\", "
                           "\"D\": \"d \", \"answer\": \"D\"}"));
    assert_string_equal(chat.messages[0].content,
                        "Question: Q\n\nChoices:\nA. a\nB. b\nC. c\nD. d");
    assert_string_equal(chat.messages[1].content, "The correct answer is D.");
    assert_ok(row_messages(&chat, "MMLUCotChatDataset",
                           "{\"question\": \"\\u00a0\\u2003 Why?\\u001f\\n\", "
                           "\"chain_of_thoughts\": \" So. \"}"));
    assert_string_equal(chat.messages[0].content, "Why?");
    assert_string_equal(chat.messages[1].content, " So. ");
    assert_ok(row_messages(&chat, "LongBenchChatDataset",
                           "{\"dataset\": \"trec_e\", \"context\": \"{input}\", \"input\": \"I \", "
                           "\"answers\": [\" x \"]}"));
    assert_int_equal(chat.count, 2);
    /* What a text holds is not filled in again. */
    assert_non_null(strstr(chat.messages[0].content, "questions.\n\n{input}\nI"));
    assert_string_equal(chat.messages[1].content, "x");
    static const char *const bad[][3] = {
        {"MMLUChatDataset", "{\"question\": \"Q\", \"choices\": \"a\", \"answer\": 0}", "choices"},
        {"MMLUChatDataset", "{\"question\": \"Q\", \"choices\": [\"a\"], \"answer\": 1}", "answer"},
        {"MMLUChatDataset", "{\"question\": \"Q\", \"choices\": [[]], \"answer\": 0}", "choices"},
        {"MMLUChatDataset", "{\"choices\": [\"a\"], \"answer\": 0}", "question"},
        {"OpenBookChatDataset",
         "{\"question_stem\": \"Q\", \"choices\": {\"text\": [\"a\"]}, \"answerKey\": \"B\"}",
         "answerKey"},
        {"OpenHermesChatDataset", "{\"conversations\": [{\"from\": \"gpt\", \"value\": 3}]}",
         "value"},
        {"MessagesDataset", "{\"messages\": [{\"role\": \"user\", \"content\": null}]}", "content"},
        {"MessagesDataset", "{\"messages\": [{\"role\": \"user\", \"content\": \"\\u0000\"}]}",
         "NUL"},
        {"LLMGeneratedChatDataset", "{\"input_text\": \"Q\"}", "model_response"},
        {"LongBenchChatDataset", "{\"dataset\": \"none\", \"answers\": []}", "LongBench"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(row_messages(&chat, bad[i][0], bad[i][1]), C2C_STATUS_BAD_FILE, bad[i][2]);
    row_chat_deinit(&chat);
    assert_null(dataset_find("NoSuchDataset"));
}

/* Of rows whose ids are 0 .. 15 those stay whose SHA-256 is not 1 modulo 4 (by Python's hashlib).
 */
static void test_longbench(void **state) {
    (void)state;
    char *folder = test_folder_make();
    buffer text = {0};
    for (int i = 0; i < 16; i++)
        buffer_printf(
            &text,
            "{\"_id\": \"%d\", \"context\": \"one two three four five six seven eight nine "
            "ten eleven twelve\", \"input\": \"i\", \"answers\": [\"It is " TEN "%d.\"]}\n",
            i, i);
    test_file_write(folder, "LongBench", "", 0); /* no folder: not in the way */
    test_file_write(folder, "trec_e.jsonl", text.data, text.length);
    char *sub = path_join(folder, "THUDM"), *set_folder = path_join(sub, "LongBench");
    char *from = path_join(folder, "trec_e.jsonl"), *to = path_join(set_folder, "trec_e.jsonl");
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_int_equal(mkdir(set_folder, 0755), 0);
    assert_int_equal(rename(from, to), 0);
    const char *const folders[] = {folder};
    data_options options = {.type = "LongBenchChatDataset",
                            .where = "r.yaml",
                            .models = plain,
                            .places = {.folders = folders, .folder_count = 1}};
    options.models.max_length = 1000;
    data_set *set;
    assert_ok(data_set_open(&set, &options, NULL, &test_error)); /* the one task that is there */
    assert_int_equal(data_set_count(set), 10);
    assert_int_equal(data_set_rows(set, ROW_HELD_OUT), 16 - 10);
    const char *names;
    assert_int_equal(data_set_missing(set, &names), 12); /* of the 13 of LongBench-E */
    assert_non_null(strstr(names, "qasper_e, "));
    assert_null(strstr(names, "trec_e"));
    int64_t whole = data_set_longest(set);
    data_set_close(set);
    json_document *kwargs;
    static const char cut[] = "{\"max_length\": 10, \"filter_mod4\": false, \"num_samples\": 3}";
    assert_ok(json_parse(&kwargs, cut, sizeof cut - 1, "kwargs", &test_error));
    options.kwargs = json_root(kwargs);
    assert_ok(data_set_open(&set, &options, NULL, &test_error));
    assert_int_equal(data_set_count(set), 3);
    assert_true(data_set_longest(set) < whole);
    data_set_close(set);
    json_close(kwargs);
    buffer_free(&text);
    free(sub);
    free(set_folder);
    free(from);
    free(to);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fates),           cmocka_unit_test(test_rows_of_one_line),
        cmocka_unit_test(test_a_sample),        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_generated_rows),  cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_bad_sets),        cmocka_unit_test(test_reading_can_be_stopped),
        cmocka_unit_test(test_aligned_samples), cmocka_unit_test(test_aligned_batches),
        cmocka_unit_test(test_types),           cmocka_unit_test(test_longbench),
    };
    return cmocka_run_group_tests(tests, models_open, models_close);
}
