/* bench_gsm8k.c - GSM8K: word problems whose solution ends with "#### NUMBER". */
#include "eval/bench.h"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The first number behind the last "####", without commas; or all that stands there. */
static const char *final_number(bench_item *item, const char *answer) {
    const char *tail = NULL;
    for (const char *at = strstr(answer, "####"); at; at = strstr(at + 1, "####"))
        tail = at + 4;
    if (!tail)
        return NULL;
    char *text = (char *)bench_copy(item, tail, strlen(tail)), *to = text;
    if (!text)
        return NULL;
    for (const char *from = tail; *from; from++)
        if (*from != ',')
            *to++ = *from;
    *to = '\0';
    while (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r')
        text++;
    const char *start = text;
    while (*start && !is_digit(*start))
        start++;
    if (!*start)
        return text;
    const char *end = start;
    while (is_digit(*end))
        end++;
    if (*end == '.' && is_digit(end[1]))
        for (end++; is_digit(*end);)
            end++;
    if (start > text && (start[-1] == '-' || start[-1] == '+'))
        start--;
    return bench_copy(item, start, (size_t)(end - start));
}

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *answer;
    c2c_status status = bench_text(item, &item->question, row, "question", false, where, error);
    if (status || (status = bench_text(item, &answer, row, "answer", false, where, error)))
        return status;
    if (!(item->truth = final_number(item, answer)))
        item->skipped = "its answer has no line \"#### NUMBER\"";
    return C2C_STATUS_OK;
}

const benchmark bench_gsm8k = {.name = "gsm8k",
                               .hub = "openai/gsm8k",
                               .split = "test",
                               .subject = "main",
                               .kind = BENCH_MATH,
                               .read = read};
