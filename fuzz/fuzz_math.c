/* fuzz_math.c - any bytes as a truth and a response: both are read, compared, and graded. */
#include "eval/eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    c2c_error error;
    math_verdict verdict;
    char letter;
    /* The first line is the truth. */
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t truth = line ? (size_t)(line - data) : 0, skip = line ? truth + 1 : 0;
    const char *text = (const char *)data;
    math_grade(&verdict, text + skip, size - skip, text, truth, &error);
    if (verdict.start)
        C2C_ASSERT(verdict.start >= text && verdict.start + verdict.length <= text + size);
    choice_extract(&letter, text, size, size % 2 ? 4 : 10, &error);
    return 0;
}
