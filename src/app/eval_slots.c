/* eval_slots.c - questions asked of one system, several at once: each takes a slot, that is, a
 * session of every batch, and goes through its stages there, while the answers of all slots are
 * written together. */
#include "app/answer.h"
#include "app/eval.h"

#include <stdlib.h>

typedef enum slot_stage {
    SLOT_FREE = 0,
    SLOT_BACKGROUND, /* two stages: the other model writes */
    SLOT_ANSWER
} slot_stage;

/* A question on its way. */
typedef struct slot {
    slot_stage stage;
    const eval_question *question;
    bool alone;
    double started;
    buffer prompt;
    chat messages; /* the question's; from the second stage on, with the first one before it */
    buffer background_prompt;
    chat background; /* what the writer is asked */
    question asked;  /* of this stage */
    c2c_sampling sampling;
    answer answer;
    answering answering;
    eval_answer to;
    double before; /* milliseconds that the first stage took */
} slot;

typedef struct slots {
    eval_system *system;
    eval_queue *queue;
    slot *items;
    size_t count;
    const eval_question **later; /* too long for a slot's part of the memory */
    size_t later_count, later_capacity, later_next;
    bool last_pass; /* they are asked now, one by one, with all of it */
} slots;

static bool is_stopped(const slots *s) {
    const volatile sig_atomic_t *stop = s->system->options->stop;
    return stop && *stop;
}

static way answer_way(const slots *s) {
    return s->system->recipe->sharer_count ? WAY_C2C : WAY_RECEIVER;
}

/* Frees what the slot holds; the answer's texts, too. */
static void slot_clear(slot *one) {
    buffer_free(&one->prompt);
    buffer_free(&one->background_prompt);
    chat_deinit(&one->messages);
    chat_deinit(&one->background);
    answer_deinit(&one->answer);
    eval_answer_deinit(&one->to);
    *one = (slot){0};
}

/* ---- Stages -------------------------------------------------------------------------------- */

/* Numbers that sampling draws depend on the question, not on how many were asked before. */
static uint64_t question_seed(const eval_system *s, const eval_question *q) {
    uint64_t hash = 1469598103934665603u ^ s->options->seed;
    for (const char *c = q->subject; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return (hash ^ (uint64_t)q->id) * 1099511628211u;
}

static c2c_status begin_stage(slots *s, slot *one, slot_stage stage, c2c_error *error) {
    pair *p = stage == SLOT_BACKGROUND ? &s->system->writer : &s->system->answerer;
    way w = stage == SLOT_BACKGROUND ? WAY_RECEIVER : answer_way(s);
    const prompt_models models = pair_models(p, w);
    one->asked.thinking = C2C_THINKING_OFF;
    /* What is timed reuses nothing. */
    one->asked.turn = !one->alone;
    one->asked.whole = !s->last_pass && s->system->options->batch > 1;
    one->asked.stop = s->system->options->stop;
    one->stage = stage;
    return answer_begin(&one->answering, &one->answer,
                        c2c_batch_session(p->sessions[w], (size_t)(one - s->items)), &models,
                        &one->asked, system_seconds(), error);
}

static c2c_status begin_answer(slots *s, slot *one, c2c_error *error) {
    const eval_recipe *r = s->system->recipe;
    const bench_item *item = &one->question->item;
    bool plain = item->task && item->task->plain;
    one->sampling = r->sampling;
    one->sampling.seed = question_seed(s->system, one->question);
    one->asked = (question){.messages = &one->messages,
                            .raw = plain && !s->system->has_writer ? one->prompt.data : NULL,
                            .plan = &r->plan,
                            .sampling = &one->sampling,
                            .max_new_tokens = r->max_new_tokens ? r->max_new_tokens
                                              : item->task      ? item->task->max_new_tokens
                                                                : 64,
                            .response = r->logits ? r->response_text : NULL,
                            .letters = r->logits ? item->choice_count : 0};
    return begin_stage(s, one, SLOT_ANSWER, error);
}

static c2c_status begin_background(slots *s, slot *one, c2c_error *error) {
    const eval_recipe *r = s->system->recipe;
    one->asked = (question){.messages = &one->background, .max_new_tokens = r->background_tokens};
    c2c_status status = eval_word_background(&one->background_prompt, r->background,
                                             one->question->item.question, error);
    if (!status)
        status = chat_add(&one->background, "user", one->background_prompt.data, error);
    return status ? status : begin_stage(s, one, SLOT_BACKGROUND, error);
}

static c2c_status begin_question(slots *s, slot *one, c2c_error *error) {
    c2c_status status = eval_word_question(&one->prompt, &one->messages, s->system,
                                           eval_queue_set(s->queue), one->question, error);
    if (status)
        return status;
    return s->system->has_writer ? begin_background(s, one, error) : begin_answer(s, one, error);
}

static void add_tokens(eval_answer *to, const answer *a) {
    to->read_tokens += a->prompt_tokens + a->sharer_tokens;
    to->written_tokens += (int64_t)a->id_count;
}

/* The writer's turn goes before the chat. */
static c2c_status end_background(slots *s, slot *one, c2c_error *error) {
    answer *a = &one->answer;
    chat told = {0};
    buffer *text = &one->to.background;
    buffer_append(text, a->text.data ? a->text.data : "", a->text.length);
    buffer_append(text, "", 0);
    c2c_status status = text->failed ? error_memory(error, a->text.length, "an answer")
                                     : chat_add_after_turn(&told, one->background_prompt.data,
                                                           text->data, &one->messages, error);
    if (status) {
        chat_deinit(&told);
        return status;
    }
    chat_deinit(&one->messages);
    one->messages = told;
    one->before = a->total_ms;
    add_tokens(&one->to, a);
    answer_deinit(a);
    return begin_answer(s, one, error);
}

static void strip_lines(buffer *text) {
    size_t start = 0, end = text->length;
    while (end > 0 && text->data[end - 1] == '\n')
        end--;
    while (start < end && text->data[start] == '\n')
        start++;
    if (text->data) {
        memmove(text->data, text->data + start, end - start);
        text->data[end - start] = '\0';
        text->length = end - start;
    }
}

static c2c_status end_answer(slots *s, slot *one, c2c_error *error) {
    answer *a = &one->answer;
    eval_answer *to = &one->to;
    strip_lines(&a->text); /* as the original does before it looks for the answer */
    to->text = a->text;
    a->text = (buffer){0};
    to->input_tokens = a->prompt_tokens;
    to->new_tokens = (int64_t)a->id_count;
    to->kept_tokens = a->kept_tokens;
    to->timed = one->alone;
    to->ttft_ms = one->before + a->ttft_ms;
    to->total_ms = one->before + a->total_ms;
    add_tokens(to, a);
    c2c_status status = eval_queue_put(s->queue, one->question, to, NULL, error);
    slot_clear(one);
    return status;
}

/* ---- What does not fit --------------------------------------------------------------------- */

static c2c_status ask_later(slots *s, const eval_question *q, c2c_error *error) {
    if (s->later_count == s->later_capacity) {
        size_t capacity = s->later_capacity ? 2 * s->later_capacity : 16, bytes;
        const eval_question **more =
            size_mul(capacity, sizeof *more, &bytes) ? realloc(s->later, bytes) : NULL;
        if (!more)
            return error_memory(error, capacity * sizeof *more, "questions");
        s->later = more;
        s->later_capacity = capacity;
    }
    s->later[s->later_count++] = q;
    return C2C_STATUS_OK;
}

/* What a stage came to, where it did not begin or end well. */
static c2c_status give_up(slots *s, slot *one, c2c_status why, const c2c_error *what,
                          c2c_error *error) {
    const eval_question *q = one->question;
    slot_clear(one);
    if (is_stopped(s))
        return eval_queue_stopped(s->queue, error);
    if (why != C2C_STATUS_CONTEXT_FULL)
        return error_set(error, why, "%s: question %lld: %s", q->subject, (long long)q->id,
                         what->message);
    if (!s->last_pass && s->system->options->batch > 1)
        return ask_later(s, q, error);
    return eval_queue_put(s->queue, q, NULL, what->message, error);
}

/* ---- All of them --------------------------------------------------------------------------- */

static const eval_question *next_question(slots *s, bool *alone) {
    *alone = false;
    if (!s->last_pass)
        return eval_queue_take(s->queue, alone);
    return s->later_next < s->later_count ? s->later[s->later_next++] : NULL;
}

/* Gives free slots their questions; *busy: slots that have one then. One that is to be alone waits
 * for no other: those come first, one by one. */
static c2c_status fill_slots(slots *s, size_t *busy, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    bool alone = false;
    *busy = 0;
    for (size_t i = 0; i < s->count; i++) {
        *busy += s->items[i].stage != SLOT_FREE;
        alone = alone || s->items[i].alone;
    }
    for (size_t i = 0; !status && !alone && i < s->count; i++) {
        slot *one = &s->items[i];
        c2c_error why = {0};
        if (one->stage != SLOT_FREE)
            continue;
        one->question = next_question(s, &one->alone);
        if (!one->question)
            break;
        alone = one->alone;
        c2c_status begun = begin_question(s, one, &why);
        if (begun)
            status = give_up(s, one, begun, &why, error);
        ++*busy;
    }
    return status;
}

/* Takes every slot whose stage has ended to the next one. */
static c2c_status end_stages(slots *s, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < s->count; i++) {
        slot *one = &s->items[i];
        c2c_error why = {0};
        if (one->stage == SLOT_FREE || c2c_session_is_writing(one->answering.session, NULL))
            continue;
        c2c_status ended = answer_end(&one->answering, &why);
        if (!ended && one->answer.finish == C2C_FINISH_CALLBACK)
            ended = C2C_STATUS_CANCELLED; /* stopped in the middle of its answer */
        if (!ended && one->stage == SLOT_ANSWER) {
            status = end_answer(s, one, error);
            continue;
        }
        if (!ended)
            ended = end_background(s, one, &why);
        if (ended)
            status = give_up(s, one, ended, &why, error);
    }
    return status;
}

static c2c_status ask_pass(slots *s, c2c_error *error) {
    eval_system *system = s->system;
    c2c_batch *writers = system->has_writer ? system->writer.sessions[WAY_RECEIVER] : NULL;
    c2c_batch *answerers = system->answerer.sessions[answer_way(s)];
    c2c_status status = C2C_STATUS_OK;
    for (size_t busy = 1; !status;) {
        status = fill_slots(s, &busy, error);
        if (!busy)
            break;
        if (!status && writers)
            status = c2c_batch_step(writers, NULL, error);
        if (!status)
            status = c2c_batch_step(answerers, NULL, error);
        if (!status)
            status = end_stages(s, error);
    }
    return status;
}

/* As many slots as both stages have sessions. */
static c2c_status open_slots(slots *s, c2c_error *error) {
    eval_system *system = s->system;
    c2c_status status = pair_need(&system->answerer, answer_way(s), error);
    s->count = system->answerer.session_count[answer_way(s)];
    if (!status && system->has_writer) {
        status = pair_need(&system->writer, WAY_RECEIVER, error);
        s->count =
            (size_t)min_i64((int64_t)s->count, (int64_t)system->writer.session_count[WAY_RECEIVER]);
    }
    if (status)
        return status;
    s->items = calloc(s->count, sizeof *s->items);
    return s->items ? C2C_STATUS_OK : error_memory(error, s->count * sizeof *s->items, "questions");
}

static void close_slots(slots *s) {
    for (size_t i = 0; i < s->count && s->items; i++)
        slot_clear(&s->items[i]);
    free(s->items);
    s->items = NULL;
}

c2c_status eval_system_ask(eval_system *system, eval_queue *queue, c2c_error *error) {
    slots s = {.system = system, .queue = queue};
    c2c_status status = open_slots(&s, error);
    if (!status)
        status = ask_pass(&s, error);
    close_slots(&s);
    if (!status && s.later_count) {
        pair_set_batch(&system->answerer, 1);
        if (system->has_writer)
            pair_set_batch(&system->writer, 1);
        s.last_pass = true;
        status = open_slots(&s, error);
        if (!status)
            status = ask_pass(&s, error);
        close_slots(&s);
    }
    free(s.later);
    return status;
}
