/* train_world.c - a small run of the verb train: some of the demo pair's rows, and a recipe. */
#include "app/train_world.h"

static const char recipe_text[] =
    "model:\n"
    "  base_model: share/demo/receiver\n"
    "  teacher_model: share/demo/sharer\n"
    "  mapping: last_aligned\n"
    "  projector:\n"
    "    type: C2CProjector\n"
    "    params: {hidden_dim: 32, intermediate_dim: 32, anneal_steps: 8}\n"
    "training: {learning_rate: 0.01, max_steps: 8, per_device_train_batch_size: 3,\n"
    "           gradient_accumulation_steps: 2, seed: 7, scheduler_type: cosine}\n"
    "output: {save_steps: 2, eval_steps: 4, keep_last: 2, output_dir: nowhere}\n"
    "data:\n"
    "  type: MessagesDataset\n"
    "  kwargs: {data_path: rows.jsonl}\n"
    "  train_ratio: 0.9\n";

char *train_world_make(void) {
    char *folder = test_folder_make(), *line = NULL;
    buffer rows = {0};
    size_t size = 0;
    FILE *file = fopen("share/demo/train.jsonl", "rb");
    assert_non_null(file);
    for (int i = 0; i < TRAIN_WORLD_ROWS; i++) {
        ssize_t length = getline(&line, &size, file);
        assert_true(length > 0);
        buffer_append(&rows, line, (size_t)length);
    }
    fclose(file);
    free(line);
    test_file_write(folder, "rows.jsonl", rows.data, rows.length);
    test_file_write(folder, "recipe.yaml", recipe_text, sizeof recipe_text - 1);
    buffer_free(&rows);
    return folder;
}

train_paths train_paths_in(const char *world, const char *output) {
    return (train_paths){path_join(world, "recipe.yaml"), path_join(world, output)};
}

void train_paths_free(train_paths *p) {
    free(p->recipe);
    free(p->output);
}

void train_world_run_with(const char *world, const char *output, const char *const *options) {
    program_result r;
    train_paths p = train_paths_in(world, output);
    const char *arguments[32] = {"train", p.recipe, "--data", world, "--output", p.output};
    for (size_t i = 0; options[i]; i++) {
        assert_true(i + 7 < sizeof arguments / sizeof *arguments);
        arguments[i + 6] = options[i];
    }
    program_run(&r, arguments);
    if (r.status != 0)
        fail_msg("exit status %d:\n%s", r.status, r.err);
    program_result_free(&r);
    train_paths_free(&p);
}

static void assert_same_file(const char *world, const char *a, const char *b, const char *name) {
    char *x = path_join(world, a), *y = path_join(world, b);
    size_t m, n;
    char *p = file_read(x, name, &m), *q = file_read(y, name, &n);
    assert_int_equal(m, n);
    assert_memory_equal(p, q, m);
    free(p);
    free(q);
    free(x);
    free(y);
}

void train_world_assert_same(const char *world, const char *a, const char *b) {
    static const char *const names[] = {"final/projector_0.safetensors",
                                        "final/projector_3.safetensors", "final/projector_0.json",
                                        "final/projector_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_same_file(world, a, b, names[i]);
}
