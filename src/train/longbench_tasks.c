/* longbench_tasks.c - the tasks of LongBench and the prompts that its authors published for them
 * (github.com/THUDM/LongBench, config/dataset2prompt.json). */
#include "train/data.h"

static const longbench_task tasks[] = {
    {"narrativeqa", false,
     "You are given a story, which can be either a novel or a movie script, and a "
     "question. Answer the question asconcisely as you can, using a single phrase if "
     "possible. Do not provide any explanation.\n\nStory: {context}\n\nNow, answer the "
     "question based on the story asconcisely as you can, using a single phrase if "
     "possible. Do not provide any explanation.\n\nQuestion: {input}\n\nAnswer:"},
    {"qasper", true,
     "You are given a scientific article and a question. Answer the question as concisely "
     "as you can, using a single phrase or sentence if possible. If the question cannot "
     "be answered based on the information in the article, write \"unanswerable\". If the "
     "question is a yes/no question, answer \"yes\", \"no\", or \"unanswerable\". Do not "
     "provide any explanation.\n\nArticle: {context}\n\n Answer the question based on the "
     "above article as concisely as you can, using a single phrase or sentence if "
     "possible. If the question cannot be answered based on the information in the "
     "article, write \"unanswerable\". If the question is a yes/no question, answer "
     "\"yes\", \"no\", or \"unanswerable\". Do not provide any explanation.\n\nQuestion: "
     "{input}\n\nAnswer:"},
    {"multifieldqa_en", true,
     "Read the following text and answer briefly.\n\n{context}\n\nNow, answer the "
     "following question based on the above text, only give me the answer and do not "
     "output any other words.\n\nQuestion: {input}\nAnswer:"},
    {"multifieldqa_zh", false,
     "阅读以下文字并用中文简短回答：\n\n{context}\n\n"
     "现在请基于上面的文章回答下面的问题，只告诉我答案，不要输出任何其他字词。\n"
     "\n问题：{input}\n回答："},
    {"hotpotqa", true,
     "Answer the question based on the given passages. Only give me the answer and do not "
     "output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer "
     "the question based on the given passages. Only give me the answer and do not output "
     "any other words.\n\nQuestion: {input}\nAnswer:"},
    {"2wikimqa", true,
     "Answer the question based on the given passages. Only give me the answer and do not "
     "output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer "
     "the question based on the given passages. Only give me the answer and do not output "
     "any other words.\n\nQuestion: {input}\nAnswer:"},
    {"musique", false,
     "Answer the question based on the given passages. Only give me the answer and do not "
     "output any other words.\n\nThe following are given passages.\n{context}\n\nAnswer "
     "the question based on the given passages. Only give me the answer and do not output "
     "any other words.\n\nQuestion: {input}\nAnswer:"},
    {"dureader", false,
     "请基于给定的文章回答下述问题。\n\n文章：{context}\n\n"
     "请基于上述文章回答下面的问题。\n\n问题：{input}\n回答："},
    {"gov_report", true,
     "You are given a report by a government agency. Write a one-page summary of the "
     "report.\n\nReport:\n{context}\n\nNow, write a one-page summary of the report.\n\n"
     "Summary:"},
    {"qmsum", false,
     "You are given a meeting transcript and a query containing a question or "
     "instruction. Answer the query in one or more sentences.\n\nTranscript:\n{context}\n"
     "\nNow, answer the query based on the above meeting transcript in one or more "
     "sentences.\n\nQuery: {input}\nAnswer:"},
    {"multi_news", true,
     "You are given several news passages. Write a one-page summary of all news. \n\n"
     "News:\n{context}\n\nNow, write a one-page summary of all the news.\n\nSummary:"},
    {"vcsum", false,
     "下面有一段会议记录，请你阅读后，写一段总结，总结会议的内容。\n"
     "会议记录：\n{context}\n\n会议总结："},
    {"trec", true,
     "Please determine the type of the question below. Here are some examples of "
     "questions.\n\n{context}\n{input}"},
    {"triviaqa", true,
     "Answer the question based on the given passage. Only give me the answer and do not "
     "output any other words. The following are some examples.\n\n{context}\n\n{input}"},
    {"samsum", true,
     "Summarize the dialogue into a few short sentences. The following are some "
     "examples.\n\n{context}\n\n{input}"},
    {"lsht", false, "请判断给定新闻的类别，下面是一些例子。\n\n{context}\n{input}"},
    {"passage_count", true,
     "There are some paragraphs below sourced from Wikipedia. Some of them may be "
     "duplicates. Please carefully read these paragraphs and determine how many unique "
     "paragraphs there are after removing duplicates. In other words, how many "
     "non-repeating paragraphs are there in total?\n\n{context}\n\nPlease enter the final "
     "count of unique paragraphs after removing duplicates. The output format should only "
     "contain the number, such as 1, 2, 3, and so on.\n\nThe final answer is: "},
    {"passage_retrieval_en", true,
     "Here are 30 paragraphs from Wikipedia, along with an abstract. Please determine "
     "which paragraph the abstract is from.\n\n{context}\n\nThe following is an "
     "abstract.\n\n{input}\n\nPlease enter the number of the paragraph that the abstract "
     "is from. The answer format must be like \"Paragraph 1\", \"Paragraph 2\", etc.\n\n"
     "The answer is: "},
    {"passage_retrieval_zh", false,
     "以下是若干段落文字，以及其中一个段落的摘要。请确定给定的摘要出自哪一段。\n"
     "\n{context}\n\n下面是一个摘要\n\n{input}\n\n"
     "请输入摘要所属段落的编号。答案格式必须是\"段落1\"，\"段落2\"等格式\n"
     "\n答案是："},
    {"lcc", true, "Please complete the code given below. \n{context}Next line of code:\n"},
    {"repobench-p", true,
     "Please complete the code given below. \n{context}{input}Next line of code:\n"},
};

const longbench_task *longbench_task_at(size_t i) {
    return i < sizeof tasks / sizeof *tasks ? &tasks[i] : NULL;
}

const longbench_task *longbench_task_find(const char *name) {
    size_t length = strlen(name);
    if (length > 2 && strcmp(name + length - 2, "_e") == 0)
        length -= 2; /* LongBench-E: the same task on other rows */
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strlen(tasks[i].name) == length && memcmp(tasks[i].name, name, length) == 0)
            return &tasks[i];
    return NULL;
}

c2c_status longbench_prompt(buffer *prompt, const longbench_task *task, const json_value *row,
                            c2c_error *error) {
    const char *at = task->prompt;
    while (*at) {
        const char *brace = strchr(at, '{'), *end = brace ? strchr(brace, '}') : NULL;
        if (!end) {
            buffer_append_text(prompt, at);
            break;
        }
        char key[16] = "";
        size_t length = (size_t)(end - brace - 1);
        C2C_ASSERT(length < sizeof key); /* "context" or "input" */
        memcpy(key, brace + 1, length);
        const json_value *value = json_get(row, key);
        if (!value || value->type != JSON_STRING)
            return error_set(error, C2C_STATUS_BAD_FILE, "expected \"%s\", a text, found %s", key,
                             value ? json_type_name(value->type) : "no such field");
        buffer_append(prompt, at, (size_t)(brace - at));
        buffer_append(prompt, value->string, value->count);
        at = end + 1;
    }
    return prompt->failed ? error_memory(error, prompt->length, "a prompt") : C2C_STATUS_OK;
}
