/* ask.h - inside the app: the options that verbs which answer have in common. */
#ifndef C2C_APP_ASK_H
#define C2C_APP_ASK_H

#include "app/moment.h"
#include "app/plan_spec.h"

typedef struct ask_settings {
    const char *receiver;
    option_list sharers, fusers;
    const char *models; /* see compute.h */
    int fusion_mode;    /* as in c2c_fusion_mode */
    int align;          /* 0: none, else c2c_align_strategy + 1 */
    bool include_response;
    const char *plan_text;
    const char *system, *chat_template, *date;
    int64_t max_new_tokens;
    bool no_thinking, thinking;
    double temperature, top_p, min_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, seed; /* seed -1: not given */
    int dtype;           /* as in c2c_compute */
    int64_t threads, context;
    int weights, cache; /* as in c2c_model_weights and c2c_cache_type */
    const char *isa;    /* see compute.h */
    plan_spec plan;     /* of plan_text, made by ask_check, as what follows */
    moment_choice when; /* of date */
} ask_settings;

void ask_init(ask_settings *s);
void ask_deinit(ask_settings *s);

/* Append the rows of a verb's table: what answers, and how it answers. They return the new count of
 * rows; a table has room for OPTIONS_MAX. */
size_t ask_model_options(ask_settings *s, option *rows, size_t count);
size_t ask_answer_options(ask_settings *s, option *rows, size_t count);

/* Options that do not go together, and the plan. Fills *status and returns false where they are
 * wrong. */
bool ask_check(const verb *v, ask_settings *s, int *status);

pair_settings ask_pair_settings(const ask_settings *s);
c2c_sampling ask_sampling(const ask_settings *s);
c2c_thinking ask_thinking(const ask_settings *s);
const c2c_moment *ask_moment(const ask_settings *s); /* NULL: none; points into the settings */

/* Adds to the error of an answer that found the context full what helps; returns `status`. */
c2c_status ask_explain(c2c_status status, const char *remedy, c2c_error *error);

/* One answer on standard output: streamed as it comes, with a summary on standard error, or as one
 * object. With sharers it is the fused answer, else the receiver's. */
c2c_status answer_show(pair *p, const question *q, bool json, answer *a, c2c_error *error);

#endif
