/* two_sharers.c - two sharers and one receiver: the mask of a section says who is read, the fusion
 * mode says how two of them act together.
 *
 *     cc two_sharers.c $(pkg-config --cflags --libs c2c) -o two_sharers
 *     ./two_sharers RECEIVER SHARER FUSER SHARER FUSER "Where does Kimiti live? Answer in one
 * word."
 *
 * Both sharers must read the receiver's ids here; c2c_align_chat makes a plan for others.
 */
#include <c2c.h>
#include <stdio.h>

#define SHARERS 2

/* The prompt, and everything that answers share. */
typedef struct world {
    c2c_engine *engine;
    c2c_model *receiver, *sharers[SHARERS];
    c2c_fuser *fusers[SHARERS];
    int32_t *ids;
    size_t count;
} world;

static c2c_status world_open(world *w, char **folders, const char *question, c2c_error *error) {
    c2c_status status = c2c_engine_open(&w->engine, NULL, error);
    if (!status)
        status = c2c_model_open(&w->receiver, w->engine, folders[0], NULL, error);
    for (int s = 0; s < SHARERS && !status; s++) {
        status = c2c_model_open(&w->sharers[s], w->engine, folders[1 + 2 * s], NULL, error);
        if (!status)
            status = c2c_fuser_open(&w->fusers[s], w->receiver, w->sharers[s], folders[2 + 2 * s],
                                    error);
    }
    if (status)
        return status;
    char *text;
    size_t length;
    const c2c_message message = {"user", question};
    const c2c_chat_options chat = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};
    status = c2c_model_render(w->receiver, &message, 1, &chat, &text, &length, error);
    if (!status)
        status = c2c_model_encode(w->receiver, text, length, false, &w->ids, &w->count, error);
    c2c_free(text);
    return status;
}

/* NULL is fine everywhere: what was not opened needs no closing. */
static void world_close(world *w) {
    c2c_free(w->ids);
    for (int s = 0; s < SHARERS; s++) {
        c2c_fuser_close(w->fusers[s]);
        c2c_model_close(w->sharers[s]);
    }
    c2c_model_close(w->receiver);
    c2c_engine_close(w->engine);
}

static bool print_text(void *user, int32_t id, const char *text, size_t length) {
    (void)user, (void)id;
    fwrite(text, 1, length, stdout);
    return true;
}

/* One answer, with the sharers that `mask` selects: bit 0 the first, bit 1 the second. */
static c2c_status answer(const world *w, const char *title, int32_t mask, c2c_fusion_mode mode,
                         c2c_error *error) {
    c2c_session *session;
    const c2c_pair pairs[SHARERS] = {{w->sharers[0], w->fusers[0]}, {w->sharers[1], w->fusers[1]}};
    const c2c_session_options options = {.context = 1024, .fusion_mode = mode};
    const c2c_section sections[] = {{(int64_t)w->count - 1, mask}, {1, -1}};
    const c2c_plan plan = {.ids = w->ids,
                           .token_count = (int64_t)w->count,
                           .sections = sections,
                           .section_count = 2};
    c2c_status status = c2c_session_open(&session, w->receiver, pairs, SHARERS, &options, error);
    if (!status)
        status = c2c_session_prefill(session, &plan, error);
    /* The answer is the receiver's alone, so the sharers' memory can go. */
    if (!status)
        status = c2c_session_release_sharers(session, error);
    printf("%s: ", title);
    if (!status)
        status = c2c_session_generate(session, 64, print_text, NULL, NULL, error);
    printf("\n");
    c2c_session_close(session);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: %s RECEIVER SHARER FUSER SHARER FUSER QUESTION\n", argv[0]);
        return 2;
    }
    c2c_error error = {0};
    world w = {0};
    if (world_open(&w, argv + 1, argv[6], &error) ||
        answer(&w, "nobody", 0, C2C_FUSION_SEQUENTIAL, &error) ||
        answer(&w, "first", 1, C2C_FUSION_SEQUENTIAL, &error) ||
        answer(&w, "second", 2, C2C_FUSION_SEQUENTIAL, &error) ||
        answer(&w, "both, one after the other", 3, C2C_FUSION_SEQUENTIAL, &error) ||
        answer(&w, "both, side by side", 3, C2C_FUSION_PARALLEL, &error))
        fprintf(stderr, "%s\n", error.message);
    world_close(&w);
    return error.code ? 1 : 0;
}
