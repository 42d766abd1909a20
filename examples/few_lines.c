/* few_lines.c - Cache-to-Cache in a few lines: open two models, load the fuser that joins them or
 * make one, see which layers it maps, and answer with sections that say where the sharer is read.
 *
 *     cc few_lines.c $(pkg-config --cflags --libs c2c) -o few_lines
 *     ./few_lines RECEIVER SHARER FUSER "Where does Kimiti live? Answer in one word."
 *
 * FUSER is a folder, or a recipe (.json) of a fuser that is not trained yet: its layers are mapped
 * as the recipe says, but the receiver still answers as if alone. few_lines.py does the same from
 * Python.
 */
#include <c2c.h>
#include <stdio.h>
#include <string.h>

#define MOST_LAYERS 1024

static bool print_text(void *user, int32_t id, const char *text, size_t length) {
    (void)user, (void)id;
    fwrite(text, 1, length, stdout);
    return fflush(stdout) == 0;
}

static c2c_status load_or_make(c2c_fuser **fuser, const c2c_model *receiver,
                               const c2c_model *sharer, const char *path, c2c_error *error) {
    size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 5, ".json") != 0)
        return c2c_fuser_open(fuser, receiver, sharer, path, error);
    const c2c_recipe recipe = {.path = path, .seed = 42};
    return c2c_fuser_new(fuser, receiver, sharer, &recipe, error);
}

/* Which layer of the sharer each layer of the receiver reads. */
static void print_layers(const c2c_model *receiver, const c2c_fuser *fuser) {
    int layers[MOST_LAYERS];
    c2c_model_info info;
    c2c_model_describe(receiver, &info);
    if (info.layers > MOST_LAYERS)
        return;
    c2c_fuser_layer_map(fuser, layers);
    fprintf(stderr, "layers:");
    for (int t = 0; t < info.layers; t++)
        fprintf(stderr, " %d<-%d", t, layers[t]);
    fprintf(stderr, "\n");
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s RECEIVER SHARER FUSER QUESTION\n", argv[0]);
        return 2;
    }
    c2c_error error = {0};
    c2c_engine *engine = NULL;
    c2c_model *receiver = NULL, *sharer = NULL;
    c2c_fuser *fuser = NULL;
    c2c_session *session = NULL;
    char *text = NULL;
    size_t length, count;
    int32_t *ids = NULL;

    /* The two models, and the projectors between them. */
    if (c2c_engine_open(&engine, NULL, &error) ||
        c2c_model_open(&receiver, engine, argv[1], NULL, &error) ||
        c2c_model_open(&sharer, engine, argv[2], NULL, &error) ||
        load_or_make(&fuser, receiver, sharer, argv[3], &error))
        goto done;
    print_layers(receiver, fuser);

    /* The prompt as ids of the receiver. */
    const c2c_message question = {"user", argv[4]};
    const c2c_chat_options chat = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};
    if (c2c_model_render(receiver, &question, 1, &chat, &text, &length, &error) ||
        c2c_model_encode(receiver, text, length, false, &ids, &count, &error))
        goto done;

    /* All of it is fused with the first sharer, but for its last token, which starts the answer. */
    const c2c_section sections[] = {{.length = (int64_t)count - 1, .mask = 1},
                                    {.length = 1, .mask = -1}};
    const c2c_plan plan = {.ids = ids,
                           .token_count = (int64_t)count,
                           .sections = sections,
                           .section_count = 2};
    const c2c_pair pair = {sharer, fuser};
    if (c2c_session_open(&session, receiver, &pair, 1, NULL, &error) ||
        c2c_session_prefill(session, &plan, &error) ||
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
