/* section_plan.c - a plan of one's own: a chat of two turns, in which the sharer is read for some
 * parts and not for others.
 *
 *     cc section_plan.c $(pkg-config --cflags --libs c2c) -o section_plan
 *     ./section_plan RECEIVER SHARER FUSER TURN REPLY QUESTION
 *
 * It answers QUESTION, which follows the user's TURN and the assistant's REPLY, three times: with
 * nothing fused, with the question alone fused, and with all of the chat fused.
 */
#include <c2c.h>
#include <stdio.h>
#include <string.h>

static bool print_text(void *user, int32_t id, const char *text, size_t length) {
    (void)user, (void)id;
    fwrite(text, 1, length, stdout);
    return true;
}

/* Stops a prefill that is no longer wanted; here it only tells how far it is. */
static bool print_progress(void *user, int64_t done, int64_t total) {
    (void)user;
    fprintf(stderr, "\r%lld of %lld tokens", (long long)done, (long long)total);
    if (done == total)
        fprintf(stderr, "\n");
    return true;
}

/* The ids of the chat, and how many of them come before the last message. Templates close a message
 * with a special token, so the beginning of the text gives the beginning of the ids. */
static c2c_status encode_chat(const c2c_model *model, const c2c_message *messages, size_t count,
                              int32_t **ids, size_t *id_count, size_t *before, c2c_error *error) {
    char *text = NULL, *start = NULL;
    size_t length, start_length;
    int32_t *start_ids = NULL;
    const c2c_chat_options whole = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};
    const c2c_chat_options part = {.thinking = C2C_THINKING_OFF};
    c2c_status status;
    *ids = NULL;
    if ((status = c2c_model_render(model, messages, count, &whole, &text, &length, error)) ||
        (status =
             c2c_model_render(model, messages, count - 1, &part, &start, &start_length, error)) ||
        (status = c2c_model_encode(model, text, length, false, ids, id_count, error)) ||
        (status = c2c_model_encode(model, start, start_length, false, &start_ids, before, error)))
        goto done;
    if (*before >= *id_count || memcmp(*ids, start_ids, *before * sizeof **ids) != 0) {
        status = error->code = C2C_STATUS_UNSUPPORTED;
        snprintf(error->message, sizeof error->message,
                 "this template changes earlier messages when one is added");
    }
done:
    c2c_free(text);
    c2c_free(start);
    c2c_free(start_ids);
    return status;
}

static c2c_status answer(c2c_session *session, const char *title, const c2c_plan *plan,
                         c2c_error *error) {
    c2c_session_reset(session);
    c2c_status status = c2c_session_prefill(session, plan, error);
    if (status)
        return status;
    printf("%s: ", title);
    status = c2c_session_generate(session, 64, print_text, NULL, NULL, error);
    printf("\n");
    return status;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: %s RECEIVER SHARER FUSER TURN REPLY QUESTION\n", argv[0]);
        return 2;
    }
    c2c_error error = {0};
    c2c_engine *engine = NULL;
    c2c_model *receiver = NULL, *sharer = NULL;
    c2c_fuser *fuser = NULL;
    c2c_session *session = NULL;
    int32_t *ids = NULL;
    size_t count, before;
    const c2c_message chat[] = {{"user", argv[4]}, {"assistant", argv[5]}, {"user", argv[6]}};

    if (c2c_engine_open(&engine, NULL, &error) ||
        c2c_model_open(&receiver, engine, argv[1], NULL, &error) ||
        c2c_model_open(&sharer, engine, argv[2], NULL, &error) ||
        c2c_fuser_open(&fuser, receiver, sharer, argv[3], &error) ||
        c2c_session_open(&session, receiver, &(c2c_pair){sharer, fuser}, 1, NULL, &error) ||
        encode_chat(receiver, chat, 3, &ids, &count, &before, &error))
        goto done;
    c2c_session_set_progress(session, print_progress, NULL);

    /* Sections follow each other and cover every token. The last one is never fused: the logits of
     * its last token start the answer. */
    int64_t turn = (int64_t)before, question = (int64_t)(count - before) - 1;
    const c2c_section none[] = {{turn, -1}, {question, -1}, {1, -1}};
    const c2c_section last[] = {{turn, -1}, {question, 1}, {1, -1}};
    const c2c_section all[] = {{turn, 1}, {question, 1}, {1, -1}};
    c2c_plan plan = {.ids = ids, .token_count = (int64_t)count, .section_count = 3};
    plan.sections = none;
    if (answer(session, "nothing fused", &plan, &error))
        goto done;
    plan.sections = last;
    if (answer(session, "question fused", &plan, &error))
        goto done;
    plan.sections = all;
    if (answer(session, "all fused", &plan, &error))
        goto done;

done:
    if (error.code)
        fprintf(stderr, "%s\n", error.message);
    c2c_free(ids);
    c2c_session_close(session);
    c2c_fuser_close(fuser);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
    return error.code ? 1 : 0;
}
