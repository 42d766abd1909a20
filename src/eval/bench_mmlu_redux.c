/* bench_mmlu_redux.c - MMLU-Redux 2.0: MMLU with its mistakes marked. Rows without a right answer
 * are left out; where the answer was wrong, the corrected one counts. Reads the Hugging Face form
 * (choices a list) and the authors' CSV (the list written as Python writes it). */
#include "eval/bench.h"

/* "['Town A', \"It's B\"]": each text in quotes becomes an option; backslashes as Python has them.
 */
static c2c_status python_list(bench_item *item, const char *text, const char *where,
                              c2c_error *error) {
    buffer one = {0};
    c2c_status status = C2C_STATUS_OK;
    while (*text && *text != '[')
        text++;
    while (!status && *text) {
        char quote = *text++;
        if (quote != '\'' && quote != '"')
            continue;
        buffer_clear(&one);
        for (; *text && *text != quote; text++) {
            if (*text == '\\' && text[1])
                text++;
            buffer_append_char(&one, *text == 'n' && text[-1] == '\\' ? '\n' : *text);
        }
        text += *text != '\0';
        const json_value value = {.type = JSON_STRING,
                                  .count = (uint32_t)one.length,
                                  .string = one.data ? one.data : ""};
        status = one.failed ? error_memory(error, one.length, "an option")
                            : bench_choice(item, &value, where, error);
    }
    buffer_free(&one);
    return status;
}

/* "Wrong Groundtruth" is wrong_groundtruth. */
static bool error_is(const char *found, const char *wanted) {
    for (; *found && *wanted; found++, wanted++) {
        char c = *found == ' ' ? '_' : *found >= 'A' && *found <= 'Z' ? *found - 'A' + 'a' : *found;
        if (c != *wanted)
            return false;
    }
    return *found == *wanted;
}

static int64_t option_index(const char *text) {
    if (text[0] == '\0' || text[1] != '\0')
        return -1;
    return text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : text[0] - 'A';
}

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const char *answer, *kind, *corrected;
    const json_value *choices = json_get(row, "choices");
    c2c_status status = bench_text(item, &item->question, row, "question", false, where, error);
    if (!status)
        status = choices && choices->type == JSON_STRING
                     ? python_list(item, choices->string, where, error)
                     : bench_choices(item, choices, where, error);
    if (status || (status = bench_text(item, &answer, row, "answer", false, where, error)) ||
        (status = bench_text(item, &kind, row, "error_type", true, where, error)) ||
        (status = bench_text(item, &corrected, row, "correct_answer", true, where, error)) ||
        (status = bench_text(item, &item->subject, row, "subject", true, where, error)))
        return status;
    if (kind && (error_is(kind, "no_correct_answer") || error_is(kind, "expert"))) {
        item->skipped = "it has no right answer";
        return C2C_STATUS_OK;
    }
    if (kind && error_is(kind, "wrong_groundtruth") && corrected && corrected[0])
        answer = corrected;
    return bench_truth(item, option_index(answer), error);
}

const char *mmlu_category(const char *subject, const char **group) {
    static const struct {
        const char *subject, *category;
    } subjects[] = {{"abstract_algebra", "math"},
                    {"anatomy", "health"},
                    {"astronomy", "physics"},
                    {"business_ethics", "business"},
                    {"clinical_knowledge", "health"},
                    {"college_biology", "biology"},
                    {"college_chemistry", "chemistry"},
                    {"college_computer_science", "computer science"},
                    {"college_mathematics", "math"},
                    {"college_medicine", "health"},
                    {"college_physics", "physics"},
                    {"computer_security", "computer science"},
                    {"conceptual_physics", "physics"},
                    {"econometrics", "economics"},
                    {"electrical_engineering", "engineering"},
                    {"elementary_mathematics", "math"},
                    {"formal_logic", "philosophy"},
                    {"global_facts", "other"},
                    {"high_school_biology", "biology"},
                    {"high_school_chemistry", "chemistry"},
                    {"high_school_computer_science", "computer science"},
                    {"high_school_european_history", "history"},
                    {"high_school_geography", "geography"},
                    {"high_school_government_and_politics", "politics"},
                    {"high_school_macroeconomics", "economics"},
                    {"high_school_mathematics", "math"},
                    {"high_school_microeconomics", "economics"},
                    {"high_school_physics", "physics"},
                    {"high_school_psychology", "psychology"},
                    {"high_school_statistics", "math"},
                    {"high_school_us_history", "history"},
                    {"high_school_world_history", "history"},
                    {"human_aging", "health"},
                    {"human_sexuality", "culture"},
                    {"international_law", "law"},
                    {"jurisprudence", "law"},
                    {"logical_fallacies", "philosophy"},
                    {"machine_learning", "computer science"},
                    {"management", "business"},
                    {"marketing", "business"},
                    {"medical_genetics", "health"},
                    {"miscellaneous", "other"},
                    {"moral_disputes", "philosophy"},
                    {"moral_scenarios", "philosophy"},
                    {"nutrition", "health"},
                    {"philosophy", "philosophy"},
                    {"prehistory", "history"},
                    {"professional_accounting", "other"},
                    {"professional_law", "law"},
                    {"professional_medicine", "health"},
                    {"professional_psychology", "psychology"},
                    {"public_relations", "politics"},
                    {"security_studies", "politics"},
                    {"sociology", "culture"},
                    {"us_foreign_policy", "politics"},
                    {"virology", "health"},
                    {"world_religions", "philosophy"}};
    static const struct {
        const char *category, *group;
    } groups[] = {{"physics", "STEM"},
                  {"chemistry", "STEM"},
                  {"biology", "STEM"},
                  {"computer science", "STEM"},
                  {"math", "STEM"},
                  {"engineering", "STEM"},
                  {"history", "humanities"},
                  {"philosophy", "humanities"},
                  {"law", "humanities"},
                  {"politics", "social sciences"},
                  {"culture", "social sciences"},
                  {"economics", "social sciences"},
                  {"geography", "social sciences"},
                  {"psychology", "social sciences"},
                  {"other", "other (business, health, misc.)"},
                  {"business", "other (business, health, misc.)"},
                  {"health", "other (business, health, misc.)"}};
    *group = NULL;
    for (size_t i = 0; subject && i < sizeof subjects / sizeof *subjects; i++) {
        if (strcmp(subjects[i].subject, subject) != 0)
            continue;
        for (size_t k = 0; k < sizeof groups / sizeof *groups; k++)
            if (strcmp(groups[k].category, subjects[i].category) == 0)
                *group = groups[k].group;
        return subjects[i].category;
    }
    return NULL;
}

const benchmark bench_mmlu_redux = {.name = "mmlu-redux",
                                    .hub = "edinburgh-dawg/mmlu-redux-2.0",
                                    .split = "test",
                                    .kind = BENCH_CHOICE,
                                    .letters = 4,
                                    .category = mmlu_category,
                                    .read = read};
