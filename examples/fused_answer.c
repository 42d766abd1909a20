/* fused_answer.c - two models, one answer: the sharer reads the question, its KV cache is projected
 * into the receiver's, and the receiver answers.
 *
 *     cc fused_answer.c $(pkg-config --cflags --libs c2c) -o fused_answer
 *     ./fused_answer PREFIX/share/c2c/demo "Where does Rulela live? Answer in one word."
 */
#include <c2c.h>
#include <stdio.h>

static bool print_text(void *user, int32_t id, const char *text, size_t length) {
    (void)user, (void)id;
    fwrite(text, 1, length, stdout);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER QUESTION (FOLDER has receiver, sharer, fuser)\n",
                argv[0]);
        return 2;
    }
    char receiver_path[4096], sharer_path[4096], fuser_path[4096];
    snprintf(receiver_path, sizeof receiver_path, "%s/receiver", argv[1]);
    snprintf(sharer_path, sizeof sharer_path, "%s/sharer", argv[1]);
    snprintf(fuser_path, sizeof fuser_path, "%s/fuser", argv[1]);

    c2c_error error = {0};
    c2c_engine *engine = NULL;
    c2c_model *receiver = NULL, *sharer = NULL;
    c2c_fuser *fuser = NULL;
    c2c_session *session = NULL;
    char *text = NULL;
    size_t length, count;
    int32_t *ids = NULL;
    const c2c_message question = {"user", argv[2]};
    const c2c_chat_options chat = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};

    /* Open the engine, both models, and the fuser that was trained for this pair. */
    if (c2c_engine_open(&engine, NULL, &error) ||
        c2c_model_open(&receiver, engine, receiver_path, NULL, &error) ||
        c2c_model_open(&sharer, engine, sharer_path, NULL, &error) ||
        c2c_fuser_open(&fuser, receiver, sharer, fuser_path, &error))
        goto done;

    /* A session with one pair; the usual plan fuses all of the prompt but its last token. */
    const c2c_pair pair = {sharer, fuser};
    if (c2c_session_open(&session, receiver, &pair, 1, NULL, &error) ||
        c2c_model_render(receiver, &question, 1, &chat, &text, &length, &error) ||
        c2c_model_encode(receiver, text, length, false, &ids, &count, &error) ||
        c2c_session_prefill(session, &(c2c_plan){.ids = ids, .token_count = (int64_t)count},
                            &error) ||
        c2c_session_generate(session, 64, print_text, NULL, NULL, &error))
        goto done;
    printf("\n");

done:
    if (error.code)
        fprintf(stderr, "%s\n", error.message);
    c2c_free(ids);
    c2c_free(text);
    c2c_session_close(session);
    c2c_fuser_close(fuser);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
    return error.code ? 1 : 0;
}
