/* eval_system.c - one recipe's models, and a question asked of them by the path that every answer
 * of this program takes. */
#include "app/eval.h"
#include "app/names.h"

#include <stdlib.h>
#include <sys/stat.h>

/* ---- Models -----------------------------------------------------------------------------------
 */

c2c_status eval_system_open(eval_system *system, const eval_recipe *recipe,
                            const eval_options *options, c2c_error *error) {
    *system = (eval_system){.recipe = recipe, .options = options};
    const pair_settings answerer = {.receiver = recipe->receiver,
                                    .sharers = recipe->sharers,
                                    .fusers = recipe->fusers,
                                    .sharer_count = recipe->sharer_count,
                                    .models = options->models,
                                    .compute = options->compute,
                                    .threads = options->threads,
                                    .isa = options->isa,
                                    .weights = options->weights,
                                    .cache = options->cache,
                                    .context = options->context,
                                    .fusion_mode = recipe->fusion_mode,
                                    .include_response = recipe->include_response,
                                    .keep_clean = recipe->sharer_count > 0,
                                    .align = recipe->aligned ? &recipe->align : NULL};
    c2c_status status = pair_open(&system->answerer, &answerer, error);
    if (!status && recipe->writer) {
        const pair_settings writer = {.receiver = recipe->writer,
                                      .models = options->models,
                                      .compute = options->compute,
                                      .threads = options->threads,
                                      .isa = options->isa,
                                      .weights = options->weights,
                                      .cache = options->cache,
                                      .context = options->context};
        status = pair_open(&system->writer, &writer, error);
        system->has_writer = status == C2C_STATUS_OK;
    }
    if (status)
        eval_system_close(system);
    return status;
}

void eval_system_close(eval_system *system) {
    if (system->has_writer)
        pair_close(&system->writer);
    pair_close(&system->answerer);
    *system = (eval_system){0};
}

/* ---- What is asked ------------------------------------------------------------------------------
 */

/* A prompt beyond max_length tokens loses its middle, as in the original: the first and the last
 * half of the tokens are turned back into text. */
static c2c_status shorten(buffer *text, const c2c_model *model, int64_t most, c2c_error *error) {
    int32_t *ids = NULL;
    size_t count, head_length = 0, tail_length = 0;
    char *head = NULL, *tail = NULL;
    c2c_status status =
        c2c_model_encode(model, text->data, text->length, true, &ids, &count, error);
    if (status || (int64_t)count <= most)
        goto done;
    size_t half = (size_t)(most / 2);
    status = c2c_model_decode(model, ids, half, true, &head, &head_length, error);
    if (!status)
        status =
            c2c_model_decode(model, ids + count - half, half, true, &tail, &tail_length, error);
    if (!status) {
        buffer_clear(text);
        buffer_append(text, head, head_length);
        buffer_append(text, tail, tail_length);
        if (text->failed)
            status = error_memory(error, head_length + tail_length, "a prompt");
    }
done:
    c2c_free(head);
    c2c_free(tail);
    c2c_free(ids);
    return status;
}

/* The background prompt with the question, without its options, in place of {question}. */
static c2c_status fill_background(buffer *out, const char *prompt, const char *question,
                                  c2c_error *error) {
    static const char word[] = "{question}";
    for (const char *c = prompt; *c;) {
        if (strncmp(c, word, sizeof word - 1) == 0) {
            buffer_append_text(out, question);
            c += sizeof word - 1;
        } else {
            buffer_append_char(out, *c++);
        }
    }
    return out->failed ? error_memory(error, out->length, "a prompt") : C2C_STATUS_OK;
}

/* ---- One question
 * ---------------------------------------------------------------------------------- */

static void add_tokens(eval_answer *to, const answer *a) {
    to->read_tokens += a->prompt_tokens + a->sharer_tokens;
    to->written_tokens += (int64_t)a->id_count;
}

/* The first stage: the writer's turn goes before the chat. */
static c2c_status ask_writer(eval_system *s, const bench_item *item, chat *messages,
                             eval_answer *to, double *ms, c2c_error *error) {
    buffer prompt = {0};
    chat asked = {0}, told = {0};
    answer a = {0};
    question q = {.messages = &asked,
                  .thinking = C2C_THINKING_OFF,
                  .sampling = NULL,
                  .max_new_tokens = s->recipe->background_tokens,
                  .turn = true};
    c2c_status status = fill_background(&prompt, s->recipe->background, item->question, error);
    if (!status)
        status = chat_add(&asked, "user", prompt.data, error);
    if (!status)
        status = pair_answer(&s->writer, WAY_RECEIVER, &q, &a, NULL, error);
    if (!status) {
        buffer_append(&to->background, a.text.data ? a.text.data : "", a.text.length);
        buffer_append(&to->background, "", 0);
        status = to->background.failed
                     ? error_memory(error, a.text.length, "an answer")
                     : chat_add_after_turn(&told, prompt.data,
                                           to->background.data ? to->background.data : "", messages,
                                           error);
    }
    if (!status) {
        chat swap = *messages;
        *messages = told;
        told = swap;
        add_tokens(to, &a);
        *ms = a.total_ms;
    }
    answer_deinit(&a);
    chat_deinit(&told);
    chat_deinit(&asked);
    buffer_free(&prompt);
    return status;
}

static c2c_status make_messages(eval_system *s, const eval_set *set, const eval_question *q,
                                buffer *prompt, chat *messages, c2c_error *error) {
    const bench_item *item = &q->item;
    c2c_status status = C2C_STATUS_OK;
    if (item->messages) {
        for (size_t i = 0; !status && i < item->message_count; i++)
            status = chat_add(messages, item->messages[i].role, item->messages[i].content, error);
        return status;
    }
    status =
        bench_prompt(prompt, set->benchmark, item, s->recipe->cot, s->recipe->use_template, error);
    if (!status && set->benchmark->kind == BENCH_LONG)
        status = shorten(prompt, s->answerer.receiver, s->recipe->max_length, error);
    return status ? status : chat_add(messages, "user", prompt->data, error);
}

/* Numbers that sampling draws depend on the question, not on how many were asked before. */
static uint64_t question_seed(const eval_system *s, const eval_question *q) {
    uint64_t hash = 1469598103934665603u ^ s->options->seed;
    for (const char *c = q->subject; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return (hash ^ (uint64_t)q->id) * 1099511628211u;
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

c2c_status eval_system_ask(void *user, const eval_set *set, const eval_question *question_,
                           eval_answer *to, c2c_error *error) {
    eval_system *s = user;
    const eval_recipe *r = s->recipe;
    const bench_item *item = &question_->item;
    buffer prompt = {0};
    chat messages = {0};
    answer a = {0};
    double before = 0;
    c2c_sampling sampling = r->sampling;
    sampling.seed = question_seed(s, question_);
    bool plain = item->task && item->task->plain;
    int64_t most = r->max_new_tokens ? r->max_new_tokens
                   : item->task      ? item->task->max_new_tokens
                                     : 64;
    c2c_status status = make_messages(s, set, question_, &prompt, &messages, error);
    if (!status && s->has_writer)
        status = ask_writer(s, item, &messages, to, &before, error);
    if (!status) {
        const question q = {.messages = &messages,
                            .raw = plain && !s->has_writer ? prompt.data : NULL,
                            .thinking = C2C_THINKING_OFF,
                            .plan = &r->plan,
                            .sampling = &sampling,
                            .max_new_tokens = most,
                            .response = r->logits ? r->response_text : NULL,
                            .letters = r->logits ? item->choice_count : 0,
                            .turn = true};
        status = pair_answer(&s->answerer, r->sharer_count ? WAY_C2C : WAY_RECEIVER, &q, &a, NULL,
                             error);
    }
    if (!status) {
        strip_lines(&a.text); /* as the original does before it looks for the answer */
        to->text = a.text;
        a.text = (buffer){0};
        to->input_tokens = a.prompt_tokens;
        to->new_tokens = (int64_t)a.id_count;
        to->kept_tokens = a.kept_tokens;
        to->ttft_ms = before + a.ttft_ms;
        to->total_ms = before + a.total_ms;
        add_tokens(to, &a);
    }
    answer_deinit(&a);
    chat_deinit(&messages);
    buffer_free(&prompt);
    return status;
}

/* ---- Data
 * ---------------------------------------------------------------------------------------- */

/* "datasets--openai--gsm8k" */
static char *cache_folder(const char *hub, const char *name) {
    buffer path = {0};
    size_t length;
    buffer_printf(&path, "%s/datasets--", hub);
    for (; *name; name++)
        buffer_append_text(&path, *name == '/' ? "--" : (const char[]){*name, 0});
    return buffer_take(&path, &length);
}

static char *hub_folder(void) {
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    if (cache && *cache)
        return string_copy(cache);
    if (home && *home)
        return path_join(home, "hub");
    return user && *user ? path_join(user, ".cache/huggingface/hub") : NULL;
}

c2c_status eval_questions_open(eval_set *set, const eval_recipe *recipe, const char *data,
                               const eval_options *options, c2c_error *error) {
    eval_choice choice = recipe->choice;
    if (options->limit) {
        choice.limit = options->limit;
        choice.ranged = false;
    }
    return eval_set_open(set, recipe->benchmark, data, &choice, error);
}

c2c_status eval_data_find(char **path, const eval_recipe *recipe, const char *given,
                          c2c_error *error) {
    const char *named = given ? given : recipe->data;
    *path = NULL;
    if (named) {
        struct stat info;
        if (stat(named, &info) != 0)
            return error_set(error, C2C_STATUS_NOT_FOUND,
                             "%s: no such file or folder with the questions of %s", named,
                             recipe->benchmark->name);
        *path = string_copy(named);
        return *path ? C2C_STATUS_OK : error_memory(error, strlen(named), "a path");
    }
    char *hub = recipe->benchmark->hub ? hub_folder() : NULL;
    char *cached = hub ? cache_folder(hub, recipe->benchmark->hub) : NULL;
    char *folder = cached ? path_join(cached, "snapshots") : NULL;
    c2c_status status = C2C_STATUS_OK;
    if (folder && folder_exists(folder)) {
        *path = folder;
        folder = NULL;
    } else {
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "the questions of %s were not found%s%s: say where they are with --data "
                           "PATH, a file or a folder of .json, .jsonl or .csv files",
                           recipe->benchmark->name, cached ? " in " : "", cached ? cached : "");
    }
    free(folder);
    free(cached);
    free(hub);
    return status;
}
