/* test_training_memory.c - a training step gets no memory: after the first ones nothing is taken
 * from the system, not even for a moment. */
#include "support/test.h"
#include "trust/counted.h"

#define ROWS  12
#define STEPS 8

/* Every step reads all rows, so that all are of one size. */
static char *make_world(char **recipe) {
    static const char text[] =
        "model:\n"
        "  base_model: receiver\n"
        "  teacher_model: sharer\n"
        "  projector: {type: C2CProjector, params: {hidden_dim: 16, intermediate_dim: 16}}\n"
        "training: {learning_rate: 0.01, max_steps: 8, per_device_train_batch_size: 12}\n"
        "output: {output_dir: nowhere}\n"
        "data: {type: MessagesDataset, kwargs: {data_path: rows.jsonl}, train_ratio: 1.0}\n";
    char *folder = test_folder_make(), line[65536];
    buffer rows = {0};
    FILE *file = fopen("share/demo/train.jsonl", "rb");
    assert_non_null(file);
    for (int i = 0; i < ROWS; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        buffer_append_text(&rows, line);
    }
    fclose(file);
    test_file_write(folder, "rows.jsonl", rows.data, rows.length);
    test_file_write(folder, "recipe.yaml", text, sizeof text - 1);
    buffer_free(&rows);
    *recipe = path_join(folder, "recipe.yaml");
    return folder;
}

typedef struct watch {
    size_t held, highest; /* after the second step; the most since then */
    int64_t steps;
} watch;

static bool watch_step(void *user, const c2c_train_event *e) {
    watch *w = user;
    size_t peak = counted_peak();
    if (e->kind != C2C_TRAIN_EVENT_STEP)
        return true;
    w->steps++;
    if (e->step == 2)
        w->held = w->highest = counted_now();
    else if (e->step > 2 && peak > w->highest)
        w->highest = peak;
    return true;
}

static void steps_get_no_memory(void **state) {
    (void)state;
    c2c_engine *engine;
    c2c_model *receiver, *sharer;
    watch w = {0};
    char *recipe, *folder = make_world(&recipe), *output = path_join(folder, "out");
    assert_ok(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 1}, &test_error));
    assert_ok(c2c_model_open(&receiver, engine, "share/demo/receiver", NULL, &test_error));
    assert_ok(c2c_model_open(&sharer, engine, "share/demo/sharer", NULL, &test_error));
    const c2c_train_options options = {.recipe = recipe,
                                       .data_folders = (const char *const *)&folder,
                                       .data_folder_count = 1,
                                       .folder = output,
                                       .callback = watch_step,
                                       .user = &w};
    const c2c_model *const sharers[] = {sharer};
    assert_ok(c2c_train(receiver, sharers, 1, &options, &test_error));
    assert_int_equal(w.steps, STEPS);
    assert_true(w.held > 0);
    assert_int_equal(w.highest, w.held);
    c2c_model_close(sharer);
    c2c_model_close(receiver);
    c2c_engine_close(engine);
    free(output);
    free(recipe);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_get_no_memory)};
    counted_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
