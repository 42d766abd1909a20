/* bench_longbench.c - LongBench: 21 tasks over long texts, with their public prompts, answer
 * lengths and metrics. Of each task the rows are asked that the original keeps for evaluation:
 * those whose SHA-256 of "_id" is 1 modulo 4 (training keeps the others). */
#include "eval/bench.h"

/* For LONG_NONE the public metric cuts Chinese into words, which nothing here does: of those tasks
 * only the predictions are written. */
static const long_task tasks[] = {
    {.name = "narrativeqa",
     .metric = LONG_F1,
     .max_new_tokens = 128,
     .prompt = "You are given a story, which can be either a novel or a movie script, and a quest"
               "ion. Answer the question asconcisely as you can, using a single phrase if possibl"
               "e. Do not provide any explanation.\n\nStory: {context}\n\nNow, answer the questio"
               "n based on the story asconcisely as you can, using a single phrase if possible. D"
               "o not provide any explanation.\n\nQuestion: {input}\n\nAnswer:"},
    {.name = "qasper",
     .metric = LONG_F1,
     .max_new_tokens = 128,
     .prompt = "You are given a scientific article and a question. Answer the question as concise"
               "ly as you can, using a single phrase or sentence if possible. If the question can"
               "not be answered based on the information in the article, write \"unanswerable\". "
               "If the question is a yes/no question, answer \"yes\", \"no\", or \"unanswerable\""
               ". Do not provide any explanation.\n\nArticle: {context}\n\n Answer the question b"
               "ased on the above article as concisely as you can, using a single phrase or sente"
               "nce if possible. If the question cannot be answered based on the information in t"
               "he article, write \"unanswerable\". If the question is a yes/no question, answer "
               "\"yes\", \"no\", or \"unanswerable\". Do not provide any explanation.\n\nQuestion"
               ": {input}\n\nAnswer:"},
    {.name = "multifieldqa_en",
     .metric = LONG_F1,
     .max_new_tokens = 64,
     .prompt = "Read the following text and answer briefly.\n\n{context}\n\nNow, answer the follo"
               "wing question based on the above text, only give me the answer and do not output "
               "any other words.\n\nQuestion: {input}\nAnswer:"},
    {.name = "multifieldqa_zh",
     .metric = LONG_NONE,
     .max_new_tokens = 64,
     .prompt = "阅读以下文字并用中文简短回答：\n\n{context}\n\n现在请基于上面的文章回答下面的问题"
               "，只告诉我答案，不要输出任何其他字词。\n\n问题：{input}\n回答："},
    {.name = "hotpotqa",
     .metric = LONG_F1,
     .max_new_tokens = 32,
     .prompt = "Answer the question based on the given passages. Only give me the answer and do n"
               "ot output any other words.\n\nThe following are given passages.\n{context}\n\nAns"
               "wer the question based on the given passages. Only give me the answer and do not "
               "output any other words.\n\nQuestion: {input}\nAnswer:"},
    {.name = "2wikimqa",
     .metric = LONG_F1,
     .max_new_tokens = 32,
     .prompt = "Answer the question based on the given passages. Only give me the answer and do n"
               "ot output any other words.\n\nThe following are given passages.\n{context}\n\nAns"
               "wer the question based on the given passages. Only give me the answer and do not "
               "output any other words.\n\nQuestion: {input}\nAnswer:"},
    {.name = "musique",
     .metric = LONG_F1,
     .max_new_tokens = 32,
     .prompt = "Answer the question based on the given passages. Only give me the answer and do n"
               "ot output any other words.\n\nThe following are given passages.\n{context}\n\nAns"
               "wer the question based on the given passages. Only give me the answer and do not "
               "output any other words.\n\nQuestion: {input}\nAnswer:"},
    {.name = "dureader",
     .metric = LONG_NONE,
     .max_new_tokens = 128,
     .prompt = "请基于给定的文章回答下述问题。\n\n文章：{context}\n\n请基于上述文章回答下面的问题"
               "。\n\n问题：{input}\n回答："},
    {.name = "gov_report",
     .metric = LONG_ROUGE,
     .max_new_tokens = 512,
     .prompt = "You are given a report by a government agency. Write a one-page summary of the re"
               "port.\n\nReport:\n{context}\n\nNow, write a one-page summary of the report.\n\nSu"
               "mmary:"},
    {.name = "qmsum",
     .metric = LONG_ROUGE,
     .max_new_tokens = 512,
     .prompt = "You are given a meeting transcript and a query containing a question or instructi"
               "on. Answer the query in one or more sentences.\n\nTranscript:\n{context}\n\nNow, "
               "answer the query based on the above meeting transcript in one or more sentences."
               "\n\nQuery: {input}\nAnswer:"},
    {.name = "multi_news",
     .metric = LONG_ROUGE,
     .max_new_tokens = 512,
     .prompt = "You are given several news passages. Write a one-page summary of all news. \n\nNe"
               "ws:\n{context}\n\nNow, write a one-page summary of all the news.\n\nSummary:"},
    {.name = "vcsum",
     .metric = LONG_NONE,
     .max_new_tokens = 512,
     .prompt = "下面有一段会议记录，请你阅读后，写一段总结，总结会议的内容。\n会议记录：\n{contex"
               "t}\n\n会议总结："},
    {.name = "trec",
     .metric = LONG_CLASSES,
     .max_new_tokens = 64,
     .plain = true,
     .prompt = "Please determine the type of the question below. Here are some examples of questi"
               "ons.\n\n{context}\n{input}"},
    {.name = "triviaqa",
     .metric = LONG_F1,
     .max_new_tokens = 32,
     .plain = true,
     .prompt = "Answer the question based on the given passage. Only give me the answer and do no"
               "t output any other words. The following are some examples.\n\n{context}\n\n{input"
               "}"},
    {.name = "samsum",
     .metric = LONG_ROUGE,
     .max_new_tokens = 128,
     .plain = true,
     .prompt = "Summarize the dialogue into a few short sentences. The following are some example"
               "s.\n\n{context}\n\n{input}"},
    {.name = "lsht",
     .metric = LONG_CLASSES,
     .max_new_tokens = 64,
     .plain = true,
     .prompt = "请判断给定新闻的类别，下面是一些例子。\n\n{context}\n{input}"},
    {.name = "passage_count",
     .metric = LONG_COUNT,
     .max_new_tokens = 32,
     .prompt = "There are some paragraphs below sourced from Wikipedia. Some of them may be dupli"
               "cates. Please carefully read these paragraphs and determine how many unique parag"
               "raphs there are after removing duplicates. In other words, how many non-repeating"
               " paragraphs are there in total?\n\n{context}\n\nPlease enter the final count of u"
               "nique paragraphs after removing duplicates. The output format should only contain"
               " the number, such as 1, 2, 3, and so on.\n\nThe final answer is: "},
    {.name = "passage_retrieval_en",
     .metric = LONG_RETRIEVAL,
     .max_new_tokens = 32,
     .prompt = "Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine w"
               "hich paragraph the abstract is from.\n\n{context}\n\nThe following is an abstract"
               ".\n\n{input}\n\nPlease enter the number of the paragraph that the abstract is fro"
               "m. The answer format must be like \"Paragraph 1\", \"Paragraph 2\", etc.\n\nThe a"
               "nswer is: "},
    {.name = "passage_retrieval_zh",
     .metric = LONG_RETRIEVAL_ZH,
     .max_new_tokens = 32,
     .prompt = "以下是若干段落文字，以及其中一个段落的摘要。请确定给定的摘要出自哪一段。\n\n{cont"
               "ext}\n\n下面是一个摘要\n\n{input}\n\n请输入摘要所属段落的编号。答案格式必须是\"段"
               "落1\"，\"段落2\"等格式\n\n答案是："},
    {.name = "lcc",
     .metric = LONG_CODE,
     .max_new_tokens = 64,
     .plain = true,
     .prompt = "Please complete the code given below. \n{context}Next line of code:\n"},
    {.name = "repobench-p",
     .metric = LONG_CODE,
     .max_new_tokens = 64,
     .plain = true,
     .prompt = "Please complete the code given below. \n{context}{input}Next line of code:\n"}};

const long_task *long_task_find(const char *name) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
    return NULL;
}

void long_prompt(buffer *out, const bench_item *item) {
    for (const char *at = item->task->prompt; *at;) {
        if (strncmp(at, "{context}", strlen("{context}")) == 0) {
            buffer_append_text(out, item->context);
            at += strlen("{context}");
        } else if (strncmp(at, "{input}", strlen("{input}")) == 0) {
            buffer_append_text(out, item->question);
            at += strlen("{input}");
        } else {
            buffer_append_char(out, *at++);
        }
    }
}

/* A list of texts; null: none. */
static c2c_status read_texts(bench_item *item, long_texts *texts, const json_value *list,
                             const char *where, const char *key, c2c_error *error) {
    *texts = (long_texts){0};
    if (!list || list->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (list->type != JSON_ARRAY)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: %s: expected a list, found %s", where,
                         key, json_type_name(list->type));
    const char **items = arena_alloc(item->texts, list->count * sizeof *items);
    if (!items)
        return error_memory(error, list->count * sizeof *items, "a question");
    for (uint32_t i = 0; i < list->count; i++) {
        const json_value *one = &list->items[i];
        if (one->type != JSON_STRING)
            return error_set(error, C2C_STATUS_BAD_FILE, "%s: %s[%u]: expected a text, found %s",
                             where, key, (unsigned)i, json_type_name(one->type));
        if (!(items[i] = bench_copy(item, one->string, one->count)))
            return error_memory(error, one->count, "a question");
    }
    *texts = (long_texts){.items = items, .count = list->count};
    return C2C_STATUS_OK;
}

/* The task is the row's, as in the public files, where its name may end in "_e" (LongBench-E). */
static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *name;
    uint8_t digest[DIGEST_SHA256];
    static const int64_t none = 0;
    c2c_status status = bench_text(item, &item->question, row, "input", false, where, error);
    if (status ||
        (status = bench_text(item, &item->context, row, "context", false, where, error)) ||
        (status = bench_text(item, &name, row, "dataset", false, where, error)) ||
        (status = bench_text(item, &item->row_id, row, "_id", false, where, error)) ||
        (status =
             json_get_integer(row, "length", &none, 0, INT64_MAX, &item->length, where, error)) ||
        (status =
             read_texts(item, &item->answers, json_get(row, "answers"), where, "answers", error)) ||
        (status = read_texts(item, &item->classes, json_get(row, "all_classes"), where,
                             "all_classes", error)))
        return status;
    item->subject = name;
    item->task = long_task_find(name);
    size_t length = strlen(name);
    if (!item->task && length > 2 && strcmp(name + length - 2, "_e") == 0) {
        const char *base = bench_copy(item, name, length - 2);
        item->task = base ? long_task_find(base) : NULL;
    }
    if (!item->task)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: dataset: expected a task of LongBench, found \"%s\"", where, name);
    item->truth = "";
    digest_sha256(digest, item->row_id, strlen(item->row_id));
    if (digest[DIGEST_SHA256 - 1] % 4 != 1) {
        item->truth = NULL;
        item->skipped = "it is kept for training";
    }
    return C2C_STATUS_OK;
}

const benchmark bench_longbench = {.name = "longbench",
                                   .hub = "THUDM/LongBench",
                                   .split = "test",
                                   .kind = BENCH_LONG,
                                   .read = read};
