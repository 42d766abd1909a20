/* bench.c - the registry of benchmarks, the prompts that several share, and reading members of
 * rows. A benchmark is one file and one line in the registry. */
#include "eval/bench.h"

#include <stdlib.h>

static const benchmark *const registry[] = {&bench_mmlu_redux, &bench_mmmlu,    &bench_gpqa,
                                            &bench_math_500,   &bench_gsm8k,    &bench_openbookqa,
                                            &bench_ai2_arc,    &bench_mmlu_pro, &bench_ceval,
                                            &bench_longbench,  &bench_qa};

const benchmark *benchmark_at(size_t i) {
    return i < sizeof registry / sizeof *registry ? registry[i] : NULL;
}

const benchmark *benchmark_find(const char *name) {
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

/* ---- Items ------------------------------------------------------------------------------------
 */

c2c_status bench_item_read(bench_item *item, const benchmark *b, const json_value *row,
                           const char *where, c2c_error *error) {
    *item = (bench_item){.texts = arena_new(4096)};
    if (!item->texts)
        return error_memory(error, 4096, "a question");
    c2c_status status = b->read(item, row, where, error);
    if (status)
        bench_item_deinit(item);
    return status;
}

void bench_item_deinit(bench_item *item) {
    arena_free(item->texts);
    *item = (bench_item){0};
}

const char *bench_copy(bench_item *item, const char *text, size_t length) {
    return arena_copy(item->texts, text, length);
}

/* A string or a number as its text; NULL with *status OK: it is neither. */
static c2c_status value_text(bench_item *item, const char **text, const json_value *value,
                             c2c_error *error) {
    *text = NULL;
    if (value->type == JSON_STRING) {
        if (strlen(value->string) == value->count)
            *text = bench_copy(item, value->string, value->count);
    } else if (value->type == JSON_INTEGER || value->type == JSON_REAL) {
        buffer b = {0};
        json_write_value(&b, value, 0);
        *text = b.failed ? NULL : bench_copy(item, b.data, b.length);
        buffer_free(&b);
    } else {
        return C2C_STATUS_OK;
    }
    return *text || value->type == JSON_STRING ? C2C_STATUS_OK
                                               : error_memory(error, 32, "a question");
}

static c2c_status wrong_type(const char *where, const char *key, const json_value *value,
                             c2c_error *error) {
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: %s: expected a text, found %s", where, key,
                     !value                       ? "nothing"
                     : value->type == JSON_STRING ? "one with a NUL character, which no prompt can "
                                                    "hold"
                                                  : json_type_name(value->type));
}

c2c_status bench_text(bench_item *item, const char **text, const json_value *row, const char *key,
                      bool optional, const char *where, c2c_error *error) {
    const json_value *value = json_get(row, key);
    *text = NULL;
    if (!value || value->type == JSON_NULL)
        return optional ? C2C_STATUS_OK : wrong_type(where, key, value, error);
    c2c_status status = value_text(item, text, value, error);
    return status || *text ? status : wrong_type(where, key, value, error);
}

/* ---- Options ----------------------------------------------------------------------------------
 */

c2c_status bench_choice(bench_item *item, const json_value *value, const char *where,
                        c2c_error *error) {
    if (item->choice_count == BENCH_MAX_CHOICES)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected at most %d options", where,
                         BENCH_MAX_CHOICES);
    const char *text;
    c2c_status status = value_text(item, &text, value, error);
    if (!status && !text)
        status = wrong_type(where, "an option", value, error);
    if (!status)
        item->choices[item->choice_count++] = text;
    return status;
}

c2c_status bench_choices(bench_item *item, const json_value *choices, const char *where,
                         c2c_error *error) {
    if (choices && choices->type == JSON_OBJECT)
        choices = json_get(choices, "text");
    if (!choices || choices->type != JSON_ARRAY || choices->count < 2)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected a list of options, found %s",
                         where, choices ? json_type_name(choices->type) : "none");
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; !status && i < choices->count; i++) {
        const json_value *one = &choices->items[i];
        if (one->type == JSON_OBJECT) {
            const json_value *text = json_get(one, "text");
            one = text ? text : one;
        }
        status = bench_choice(item, one, where, error);
    }
    return status;
}

c2c_status bench_letters(bench_item *item, const json_value *row, const char *where,
                         c2c_error *error) {
    for (char letter = 'A'; letter <= 'D'; letter++) {
        const char key[2] = {letter, '\0'};
        const json_value *value = json_get(row, key);
        if (!value || value->type == JSON_NULL)
            return wrong_type(where, key, value, error);
        c2c_status status = bench_choice(item, value, where, error);
        if (status)
            return status;
    }
    return C2C_STATUS_OK;
}

/* ---- Truths -----------------------------------------------------------------------------------
 */

c2c_status bench_truth(bench_item *item, int64_t index, c2c_error *error) {
    if (index < 0 || index >= item->choice_count) {
        item->skipped = "its answer names no option";
        return C2C_STATUS_OK;
    }
    const char letter = (char)('A' + index);
    item->truth = bench_copy(item, &letter, 1);
    return item->truth ? C2C_STATUS_OK : error_memory(error, 2, "a question");
}

c2c_status bench_letter_truth(bench_item *item, const json_value *row, const char *key,
                              const char *where, c2c_error *error) {
    const char *text;
    c2c_status status = bench_text(item, &text, row, key, true, where, error);
    if (status)
        return status;
    return bench_truth(item, text && text[0] >= 'A' && !text[1] ? text[0] - 'A' : -1, error);
}

/* ---- Prompts ----------------------------------------------------------------------------------
 */

static void choices_append(buffer *out, const bench_item *item) {
    for (int i = 0; i < item->choice_count; i++)
        buffer_printf(out, "%c. %s\n", 'A' + i, item->choices[i]);
}

/* The original's texts, white space and all. */
static void choice_prompt(buffer *out, const bench_item *item, bool cot, bool use_template) {
    if (!use_template) {
        buffer_printf(out, "%s\n\nChoices:\n", item->question);
        choices_append(out, item);
        return;
    }
    buffer_append_text(out, cot ? "Accurately answer the following question:\n                   \n"
                                : "Accurately answer the following question:\n\n");
    buffer_printf(out, "%s\n\nChoices:\n", item->question);
    choices_append(out, item);
    buffer_append_text(
        out, cot ? "\n\nInstructions:\n- Carefully read the question and all options.\n- Let's "
                   "think step by step and explain your reasoning briefly.\n- Then give the final "
                   "answer starting with The correct answer is"
                 : "\n\nInstructions:\n- Carefully read the question and all options.\n- Select "
                   "the single most correct answer.\n- Respond ONLY in the following format: \"The "
                   "correct answer is A/B/C/D\".\n- Do not include any explanations, additional "
                   "text, or punctuation besides the answer.\n\nThe correct answer is");
}

static void math_prompt(buffer *out, const bench_item *item) {
    buffer_printf(out,
                  "Solve the following math problem step by step. The last line of your response "
                  "should be of the form Answer: $ANSWER (without quotes) where $ANSWER is the "
                  "answer to the problem.\n\n%s\n\nPlease think step by step and explain your "
                  "reasoning. Remember to put your answer on its own line after \"Answer:\", and "
                  "you do not need to use a \\boxed command.",
                  item->question);
}

c2c_status bench_prompt(buffer *out, const benchmark *b, const bench_item *item, bool cot,
                        bool use_template, c2c_error *error) {
    switch (b->kind) {
    case BENCH_CHOICE: choice_prompt(out, item, cot, use_template); break;
    case BENCH_MATH: math_prompt(out, item); break;
    case BENCH_LONG: long_prompt(out, item); break;
    case BENCH_EXACT: buffer_append_text(out, item->question); break;
    }
    return out->failed ? error_memory(error, out->length, "a prompt") : C2C_STATUS_OK;
}
