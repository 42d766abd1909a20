/* ask.c - models, plan, template and sampling on the command line, the same for every verb that
 * answers. */
#include "app/ask.h"
#include "app/compute.h"
#include "app/names.h"

static const char *const mode_names[] = {"sequential", "parallel", NULL}; /* c2c_fusion_mode */

/* c2c_align_strategy + 1 */
static const char *const align_names[] = {"none", "first", "longest", NULL};
static const c2c_align_options alignments[] = {
    {.strategy = C2C_ALIGN_FIRST, .add_generation_prompt = true},
    {.strategy = C2C_ALIGN_LONGEST, .add_generation_prompt = true},
};

/* Penalties divide, and temperatures too: 0 would not do. */
#define LEAST_POSITIVE 1e-6

void ask_init(ask_settings *s) {
    *s = (ask_settings){.max_new_tokens = 256, .top_p = 1, .repetition_penalty = 1, .seed = -1};
}

void ask_deinit(ask_settings *s) {
    plan_spec_deinit(&s->plan);
}

static size_t append_rows(option *rows, size_t count, const option *more, size_t more_count) {
    C2C_ASSERT(count + more_count <= OPTIONS_MAX);
    memcpy(rows + count, more, more_count * sizeof *more);
    return count + more_count;
}

size_t ask_model_options(ask_settings *s, option *rows, size_t count) {
    const option options[] = {{.name = "--receiver",
                               .value = "DIR",
                               .kind = OPTION_PATH,
                               .target = &s->receiver,
                               .required = true,
                               .help = "model folder that answers"},
                              {.name = "--sharer",
                               .value = "DIR",
                               .kind = OPTION_PATHS,
                               .target = &s->sharers,
                               .shown = "",
                               .help = "model folder whose cache is shared; needs --fuser. Several "
                                       "sharers are numbered in their order"},
                              {.name = "--fuser",
                               .value = "DIR",
                               .kind = OPTION_PATHS,
                               .target = &s->fusers,
                               .shown = "",
                               .help = "fuser folder made for this receiver and sharer"},
                              models_option(&s->models),
                              {.name = "--fusion-mode",
                               .value = "NAME",
                               .kind = OPTION_CHOICE,
                               .target = &s->fusion_mode,
                               .choices = mode_names,
                               .help = "several sharers: each fuser reads what the one before it "
                                       "left, or all read the receiver's own cache and the "
                                       "differences add up (parallel)"},
                              {.name = "--align",
                               .value = "NAME",
                               .kind = OPTION_CHOICE,
                               .target = &s->align,
                               .choices = align_names,
                               .help =
                                   "models with different tokenizers: each reads the chat in its "
                                   "own template, and contents token by token; a token that the "
                                   "sharer would cut becomes the first of its pieces, or the "
                                   "longest"},
                              {.name = "--include-response",
                               .kind = OPTION_FLAG,
                               .target = &s->include_response,
                               .help = "fuse the answer too, token by token"},
                              {.name = "--plan",
                               .value = "PLAN",
                               .kind = OPTION_TEXT,
                               .target = &s->plan_text,
                               .shown = "all",
                               .help =
                                   "prompt tokens that are fused: all (but the last one), none, "
                                   "front:SHARE, back:SHARE, or LENGTH:MASK,LENGTH:MASK,..."}};
    return append_rows(rows, count, options, sizeof options / sizeof *options);
}

static size_t sampling_options(ask_settings *s, option *rows, size_t count) {
    const option options[] = {{.name = "--temperature",
                               .value = "T",
                               .kind = OPTION_REAL,
                               .target = &s->temperature,
                               .most = 1000,
                               .shown = "0: greedy, the most likely token",
                               .help = "draw from the probabilities at this temperature"},
                              {.name = "--top-k",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s->top_k,
                               .high = INT32_MAX,
                               .shown = "0: all",
                               .help = "draw from the N most likely tokens"},
                              {.name = "--top-p",
                               .value = "P",
                               .kind = OPTION_REAL,
                               .target = &s->top_p,
                               .least = LEAST_POSITIVE,
                               .most = 1,
                               .shown = "1: all",
                               .help = "... from the most likely ones that make up P together"},
                              {.name = "--min-p",
                               .value = "P",
                               .kind = OPTION_REAL,
                               .target = &s->min_p,
                               .most = 1,
                               .shown = "0: all",
                               .help = "... from those at least P times as likely as the first"},
                              {.name = "--repetition-penalty",
                               .value = "R",
                               .kind = OPTION_REAL,
                               .target = &s->repetition_penalty,
                               .least = LEAST_POSITIVE,
                               .most = 1000,
                               .shown = "1: none",
                               .help =
                                   "divides positive logits of tokens that occurred, multiplies "
                                   "negative ones"},
                              {.name = "--presence-penalty",
                               .value = "R",
                               .kind = OPTION_REAL,
                               .target = &s->presence_penalty,
                               .least = -1000,
                               .most = 1000,
                               .help = "taken from the logits of tokens that occurred"},
                              {.name = "--frequency-penalty",
                               .value = "R",
                               .kind = OPTION_REAL,
                               .target = &s->frequency_penalty,
                               .least = -1000,
                               .most = 1000,
                               .help = "... times how often they did"},
                              {.name = "--seed",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s->seed,
                               .low = 0,
                               .high = INT64_MAX,
                               .shown = "0",
                               .help = "names the random numbers: the same seed, the same answer"}};
    return append_rows(rows, count, options, sizeof options / sizeof *options);
}

size_t ask_answer_options(ask_settings *s, option *rows, size_t count) {
    const option options[] = {{.name = "--system",
                               .value = "TEXT",
                               .kind = OPTION_TEXT,
                               .target = &s->system,
                               .shown = "",
                               .help = "system message, unless the messages begin with one"},
                              {.name = "-n",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s->max_new_tokens,
                               .low = 1,
                               .high = INT32_MAX,
                               .help = "new tokens at most"},
                              {.name = "--no-thinking",
                               .kind = OPTION_FLAG,
                               .target = &s->no_thinking,
                               .help = "enable_thinking=false in the template (default)"},
                              {.name = "--thinking",
                               .kind = OPTION_FLAG,
                               .target = &s->thinking,
                               .help = "enable_thinking=true in the template"},
                              {.name = "--chat-template",
                               .value = "FILE",
                               .kind = OPTION_PATH,
                               .target = &s->chat_template,
                               .shown = "the folder's own",
                               .help = "Jinja template for receiver and sharers"},
                              {.name = "--date",
                               .value = "DATE",
                               .kind = OPTION_TEXT,
                               .target = &s->date,
                               .shown = "now",
                               .help = "what templates that show the date see: now, none (it is "
                                       "undefined to them), or YYYY-MM-DD"},
                              dtype_option(&s->dtype),
                              threads_option(&s->threads),
                              isa_option(&s->isa),
                              weights_option(&s->weights),
                              kv_option(&s->cache),
                              {.name = "--ctx",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s->context,
                               .low = 1,
                               .high = INT32_MAX,
                               .shown = "what the model has and memory allows",
                               .help = "tokens of context"}};
    count = append_rows(rows, count, options, sizeof options / sizeof *options);
    return sampling_options(s, rows, count);
}

/* What is given but cannot matter, as it would without anyone noticing. */
static const char *needs_temperature(const ask_settings *s) {
    if (s->temperature > 0)
        return NULL;
    return s->top_k       ? "--top-k"
           : s->top_p < 1 ? "--top-p"
           : s->min_p > 0 ? "--min-p"
           : s->seed >= 0 ? "--seed"
                          : NULL;
}

static const char *needs_sharer(const ask_settings *s) {
    if (s->sharers.count)
        return NULL;
    return s->plan_text          ? "--plan"
           : s->include_response ? "--include-response"
           : s->align            ? "--align"
                                 : NULL;
}

bool ask_check(const verb *v, ask_settings *s, int *status) {
    *status = APP_USAGE;
    c2c_error error = {0};
    if (s->sharers.count != s->fusers.count)
        verb_wrong_usage(v, "--sharer and --fuser go together: found %zu --sharer and %zu --fuser",
                         s->sharers.count, s->fusers.count);
    else if (needs_sharer(s))
        verb_wrong_usage(v, "%s needs --sharer DIR --fuser DIR", needs_sharer(s));
    else if (s->thinking && s->no_thinking)
        verb_wrong_usage(v, "--thinking and --no-thinking exclude each other");
    else if (needs_temperature(s))
        verb_wrong_usage(v,
                         "%s needs --temperature above 0: without it the most likely token is "
                         "taken",
                         needs_temperature(s));
    else if (s->plan_text && plan_spec_parse(&s->plan, s->plan_text, &error))
        verb_wrong_usage(v, "--plan: %s", error.message);
    else if (moment_read(&s->when, s->date, &error))
        verb_wrong_usage(v, "--date: %s", error.message);
    else
        *status = APP_OK;
    return *status == APP_OK;
}

pair_settings ask_pair_settings(const ask_settings *s) {
    return (pair_settings){.receiver = s->receiver,
                           .sharers = s->sharers.items,
                           .fusers = s->fusers.items,
                           .sharer_count = s->sharers.count,
                           .models = s->models,
                           .chat_template = s->chat_template,
                           .compute = (c2c_compute)s->dtype,
                           .threads = s->threads,
                           .isa = s->isa,
                           .weights = (c2c_model_weights)s->weights,
                           .context = s->context,
                           .cache = (c2c_cache_type)s->cache,
                           .fusion_mode = (c2c_fusion_mode)s->fusion_mode,
                           .include_response = s->include_response,
                           .align = s->align ? &alignments[s->align - 1] : NULL};
}

c2c_sampling ask_sampling(const ask_settings *s) {
    return (c2c_sampling){.temperature = (float)s->temperature,
                          .top_k = s->top_k,
                          .top_p = (float)s->top_p,
                          .min_p = (float)s->min_p,
                          .repetition_penalty = (float)s->repetition_penalty,
                          .presence_penalty = (float)s->presence_penalty,
                          .frequency_penalty = (float)s->frequency_penalty,
                          .seed = s->seed < 0 ? 0 : (uint64_t)s->seed};
}

c2c_thinking ask_thinking(const ask_settings *s) {
    return s->thinking ? C2C_THINKING_ON : C2C_THINKING_OFF;
}

const c2c_moment *ask_moment(const ask_settings *s) {
    return s->when.none ? NULL : &s->when.moment;
}

c2c_status ask_explain(c2c_status status, const char *remedy, c2c_error *error) {
    if (status == C2C_STATUS_CONTEXT_FULL) {
        const c2c_error full = *error;
        error_set(error, status, "%s (%s)", full.message, remedy);
    }
    return status;
}
