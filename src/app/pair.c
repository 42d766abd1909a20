/* pair.c - the models, fusers and sessions that an answer needs, and the four ways to answer. */
#include "app/answer.h"
#include "app/names.h"

#include <stdlib.h>

const char *const way_keys[WAY_COUNT] = {"receiver", "sharer", "text", "c2c"};
const char *const way_names[WAY_COUNT] = {"receiver alone", "sharer alone", "text to text", "C2C"};

static double milliseconds_since(double start) {
    return (system_seconds() - start) * 1e3;
}

/* Tokenizers may differ in tokens that only one of them adds, so a plain sentence decides. */
c2c_status pair_check_tokens(const c2c_model *receiver_model, const c2c_model *sharer_model,
                             const char *remedy, c2c_error *error) {
    static const char probe[] = "Where did 27 people's caches meet? \xc3\x84hnlich; na\xc3\xafve.";
    int32_t *receiver = NULL, *sharer = NULL;
    size_t receiver_count = 0, sharer_count = 0;
    c2c_status status = c2c_model_encode(receiver_model, probe, sizeof probe - 1, false, &receiver,
                                         &receiver_count, error);
    if (!status)
        status = c2c_model_encode(sharer_model, probe, sizeof probe - 1, false, &sharer,
                                  &sharer_count, error);
    if (!status && (receiver_count != sharer_count ||
                    memcmp(receiver, sharer, receiver_count * sizeof *receiver) != 0)) {
        c2c_model_info r, s;
        c2c_model_describe(receiver_model, &r);
        c2c_model_describe(sharer_model, &s);
        status = error_set(error, C2C_STATUS_UNSUPPORTED,
                           "%s and %s: expected one tokenizer, found two that give a text "
                           "different ids; %s",
                           r.folder, s.folder, remedy);
    }
    c2c_free(receiver);
    c2c_free(sharer);
    return status;
}

/* Opens the model that a path or name stands for. */
static c2c_status open_model(c2c_model **model, const pair *p, const char *name,
                             const pair_settings *settings, c2c_error *error) {
    const c2c_model_options options = {.compute = settings->compute,
                                       .weights = settings->weights,
                                       .chat_template = settings->chat_template};
    char *path;
    c2c_status status = name_resolve(&path, name, settings->models, error);
    if (!status)
        status = c2c_model_open(model, p->engine, path, &options, error);
    free(path);
    return status;
}

/* Opens sharer i and its fuser. */
static c2c_status open_sharer(pair *p, size_t i, const pair_settings *settings, c2c_error *error) {
    double start = system_seconds();
    c2c_status status = open_model(&p->sharers[i], p, settings->sharers[i], settings, error);
    if (!status && !settings->align)
        status =
            pair_check_tokens(p->receiver, p->sharers[i], "add --align first (or longest)", error);
    p->sharer_ms[i] = milliseconds_since(start);
    if (status)
        return status;
    start = system_seconds();
    char *path;
    status = name_resolve(&path, settings->fusers[i], settings->models, error);
    if (!status)
        status = c2c_fuser_open(&p->fusers[i], p->receiver, p->sharers[i], path, error);
    free(path);
    p->fuser_ms[i] = milliseconds_since(start);
    return status;
}

c2c_status pair_open(pair *p, const pair_settings *settings, c2c_error *error) {
    C2C_ASSERT(settings->sharer_count <= C2C_MAX_SHARERS);
    *p = (pair){.sharer_count = settings->sharer_count,
                .batch = settings->batch ? settings->batch : 1,
                .align = settings->align,
                .options = {.context = settings->context,
                            .fusion_mode = settings->fusion_mode,
                            .include_response = settings->include_response,
                            .keep_clean = settings->keep_clean,
                            .cache = settings->cache}};
    const c2c_engine_options engine = {.threads = (int)settings->threads,
                                       .log = app_warning,
                                       .isa = settings->isa};
    double start = system_seconds();
    c2c_status status = c2c_engine_open(&p->engine, &engine, error);
    p->engine_ms = milliseconds_since(start);
    if (!status) {
        start = system_seconds();
        status = open_model(&p->receiver, p, settings->receiver, settings, error);
        p->receiver_ms = milliseconds_since(start);
    }
    for (size_t i = 0; !status && i < settings->sharer_count; i++)
        status = open_sharer(p, i, settings, error);
    if (status)
        pair_close(p);
    return status;
}

void pair_close(pair *p) {
    pair_set_batch(p, 0);
    for (size_t i = 0; i < p->sharer_count; i++) {
        c2c_fuser_close(p->fusers[i]);
        c2c_model_close(p->sharers[i]);
    }
    c2c_model_close(p->receiver);
    c2c_engine_close(p->engine);
    *p = (pair){0};
}

void pair_set_batch(pair *p, size_t batch) {
    for (int w = 0; w < WAY_COUNT; w++) {
        c2c_batch_close(p->sessions[w]);
        p->sessions[w] = NULL;
    }
    p->batch = batch;
}

static const c2c_model *pair_writer(const pair *p, way w) {
    return w == WAY_SHARER ? p->sharers[0] : p->receiver;
}

/* The sessions of one way, opened when they are first needed. */
c2c_status pair_need(pair *p, way w, c2c_error *error) {
    C2C_ASSERT(w != WAY_TEXT);
    if (p->sessions[w])
        return C2C_STATUS_OK;
    double start = system_seconds();
    c2c_pair fused[C2C_MAX_SHARERS];
    c2c_status status;
    size_t count = p->batch;
    for (size_t i = 0; i < p->sharer_count; i++)
        fused[i] = (c2c_pair){.sharer = p->sharers[i], .fuser = p->fusers[i]};
    do {
        p->session_count[w] = count;
        status = c2c_batch_open(&p->sessions[w], pair_writer(p, w), fused,
                                w == WAY_C2C ? p->sharer_count : 0, count, &p->options, error);
    } while (status == C2C_STATUS_OUT_OF_MEMORY && (count /= 2) > 0);
    p->session_ms[w] = milliseconds_since(start);
    return status;
}

/* What had to be opened for a way. */
static double pair_load_ms(const pair *p, way w) {
    double ms = p->engine_ms;
    if (w != WAY_SHARER)
        ms += p->receiver_ms;
    if (w == WAY_SHARER || w == WAY_TEXT)
        ms += p->sharer_ms[0];
    for (size_t i = 0; w == WAY_C2C && i < p->sharer_count; i++)
        ms += p->sharer_ms[i] + p->fuser_ms[i];
    return ms + (w == WAY_TEXT ? p->session_ms[WAY_SHARER] + p->session_ms[WAY_RECEIVER]
                               : p->session_ms[w]);
}

prompt_models pair_models(const pair *p, way w) {
    return (prompt_models){.writer = pair_writer(p, w),
                           .sharers = p->sharers,
                           .sharer_count = w == WAY_C2C ? p->sharer_count : 0,
                           .align = p->align};
}

/* One model, or receiver and fused sharers, asked directly. */
static c2c_status answer_directly(pair *p, way w, const question *q, answer *a, double started,
                                  c2c_error *error) {
    const prompt_models models = pair_models(p, w);
    return answer_ask(a, p->sessions[w], &models, q, started, error);
}

/* The sharer writes what it knows; the receiver reads that turn before the chat. Its first token
 * is waited for from the start of the sharer's work. */
static c2c_status answer_by_text(pair *p, const question *q, answer *a, char **reply,
                                 double started, c2c_error *error) {
    chat asked = {0}, told = {0};
    answer background = {0};
    question first = *q, second = *q;
    first.messages = &asked;
    first.max_new_tokens = q->background_tokens;
    first.stream = NULL;
    second.messages = &told;
    c2c_status status = chat_add(&asked, "user", q->background, error);
    if (!status)
        status = answer_directly(p, WAY_SHARER, &first, &background, started, error);
    if (status)
        goto done;
    size_t length;
    char *text = buffer_take(&background.text, &length);
    if (!text) {
        status = error_memory(error, length, "the sharer's reply");
        goto done;
    }
    status = chat_add_after_turn(&told, q->background, text, q->messages, error);
    if (!status)
        status = answer_directly(p, WAY_RECEIVER, &second, a, started, error);
    if (!status && reply)
        *reply = text;
    else
        c2c_free(text);
done:
    answer_deinit(&background);
    chat_deinit(&told);
    chat_deinit(&asked);
    return status;
}

c2c_status pair_answer(pair *p, way w, const question *q, answer *a, char **reply,
                       c2c_error *error) {
    C2C_ASSERT(w != WAY_TEXT || (q->messages && !q->raw && q->background));
    if (reply)
        *reply = NULL;
    c2c_status status = pair_need(p, w == WAY_TEXT ? WAY_SHARER : w, error);
    if (!status && w == WAY_TEXT)
        status = pair_need(p, WAY_RECEIVER, error);
    if (status)
        return status;
    double started = system_seconds();
    status = w == WAY_TEXT ? answer_by_text(p, q, a, reply, started, error)
                           : answer_directly(p, w, q, a, started, error);
    a->load_ms = pair_load_ms(p, w);
    return status;
}
