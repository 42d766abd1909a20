/* Training recipes: the published ones, what --set changes, which keys are noted, what is refused.
 */
#include "train/data.h"

#include "support/test.h"

#define GOOD                                                                                       \
    "model: {base_model: a/receiver, teacher_model: b/sharer, projector: {type: C2CProjector}}\n"  \
    "training: {learning_rate: 1e-4, num_epochs: 2, per_device_train_batch_size: 4}\n"             \
    "output: {output_dir: out}\n"                                                                  \
    "data: {type: MessagesDataset, kwargs: {data_path: rows.jsonl}}\n"

static c2c_status parse(train_recipe *r, const char *text, const char *set) {
    return train_recipe_parse(r, text, strlen(text), "r.yaml", &set, set != NULL, &test_error);
}

/* ---- What is read --------------------------------------------------------------------------- */

static void test_defaults(void **state) {
    (void)state;
    train_recipe r;
    assert_ok(parse(&r, GOOD, NULL));
    assert_string_equal(r.receiver, "a/receiver");
    assert_int_equal(r.sharer_count, 1);
    assert_string_equal(r.sharers[0], "b/sharer");
    assert_false(r.align);
    assert_int_equal(r.align_strategy, C2C_ALIGN_FIRST);
    assert_int_equal(r.fusion_mode, C2C_FUSION_SEQUENTIAL);
    assert_string_equal(r.fuser.type, "C2CProjector");
    assert_string_equal(r.fuser.mapping, "last_aligned");
    assert_true(r.learning_rate == 1e-4);
    assert_true(r.weight_decay == 0.01 && r.max_grad_norm == 1 && r.warmup_ratio == 0.1);
    assert_string_equal(r.scheduler, "linear");
    assert_int_equal(r.warmup_steps, -1);
    assert_int_equal(r.num_epochs, 2);
    assert_int_equal(r.max_steps, 0);
    assert_int_equal(r.max_length, 2048);
    assert_int_equal(r.batch, 4);
    assert_int_equal(r.accumulation, 1);
    assert_int_equal(r.seed, 42);
    assert_int_equal(r.precision, RECIPE_F32);
    assert_string_equal(r.output_dir, "out");
    assert_int_equal(r.save_steps, 500);
    assert_int_equal(r.eval_steps, 100);
    assert_int_equal(r.keep_last, 0);
    assert_int_equal(r.save_format, TENSOR_FORMAT_SAFETENSORS);
    assert_string_equal(r.data_type, "MessagesDataset");
    assert_true(r.train_ratio == 0.99);
    assert_int_equal(r.note_count, 0);
    train_recipe_close(&r);
    train_recipe_close(&r); /* nothing is left */
}

static void test_overrides(void **state) {
    (void)state;
    static const char *const sets[] = {"training.learning_rate=3e-4",
                                       "training.max_steps=7",
                                       "output.save_format=pt",
                                       "model.teacher_model=[x, y]",
                                       "model.projector.params.hidden_dim=64",
                                       "model.multi_source_fusion_mode=parallel",
                                       "data.kwargs.num_samples=~"};
    train_recipe r;
    assert_ok(train_recipe_parse(&r, GOOD, strlen(GOOD), "r.yaml", sets, sizeof sets / sizeof *sets,
                                 &test_error));
    assert_true(r.learning_rate == 3e-4);
    assert_int_equal(r.max_steps, 7);
    assert_int_equal(r.save_format, TENSOR_FORMAT_PT);
    assert_int_equal(r.sharer_count, 2);
    assert_string_equal(r.sharers[1], "y");
    assert_int_equal(r.fusion_mode, C2C_FUSION_PARALLEL);
    assert_int_equal(json_get(r.fuser.params, "hidden_dim")->integer, 64); /* made on the way */
    /* The rest is as it was, in its order, and the document is what a checkpoint keeps. */
    const json_value *root = json_root(r.document);
    assert_string_equal(root->members[0].key, "model");
    assert_string_equal(json_get(json_get(root, "model"), "base_model")->string, "a/receiver");
    assert_true(json_get(json_get(root, "training"), "learning_rate")->real == 3e-4);
    train_recipe_close(&r);
    static const struct {
        const char *set, *says;
    } bad[] = {{"learning_rate", "expected KEY.KEY=VALUE"},
               {"=1", "expected KEY.KEY=VALUE"},
               {"training.=1", "expected KEY.KEY=VALUE"},
               {"training.learning_rate.x=1", "\"x\" would lie in a number"},
               {"training.seed=[", "invalid YAML"},
               {"training.seed=x", "expected an integer"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        c2c_status status = parse(&r, GOOD, bad[i].set);
        if (!status || !strstr(test_error.message, bad[i].says))
            fail_msg("%s: %s", bad[i].set, test_error.message);
    }
}

static void assert_note(const train_recipe *r, const char *text) {
    for (size_t i = 0; i < r->note_count; i++)
        if (strstr(r->notes[i], text))
            return;
    for (size_t i = 0; i < r->note_count; i++)
        print_message("%s\n", r->notes[i]);
    fail_msg("no note says: %s", text);
}

static void test_notes(void **state) {
    (void)state;
    static const char *const sets[] = {"training.lerning_rate=1",
                                       "data.kwargs.num_sample=3",
                                       "zzz=1",
                                       "model.projector.params.hiden_dim=2",
                                       "output.wandb_config={}",
                                       "training.num_processes=8",
                                       "training.device=cuda"};
    train_recipe r;
    assert_ok(train_recipe_parse(&r, GOOD, strlen(GOOD), "r.yaml", sets, sizeof sets / sizeof *sets,
                                 &test_error));
    assert_note(&r, "r.yaml: training: unknown key \"lerning_rate\", which is not used; did you "
                    "mean \"learning_rate\"?");
    assert_note(&r, "data: kwargs: unknown key \"num_sample\", which is not used; did you mean "
                    "\"num_samples\"?");
    assert_note(&r, "r.yaml: unknown key \"zzz\", which is not used");
    assert_note(&r, "did you mean \"hidden_dim\"?");
    assert_note(&r, "wandb_config is not used");
    assert_note(&r, "num_processes 8");
    assert_note(&r, "device \"cuda\" is not used");
    assert_int_equal(r.note_count, 7);
    for (size_t i = 0; i < r.note_count; i++)
        assert_true(!strstr(r.notes[i], "zzz") || !strstr(r.notes[i], "mean"));
    assert_true(r.wandb);
    train_recipe_close(&r);
}

/* Of keys without end only the first ones are noted. */
static void test_notes_are_bounded(void **state) {
    (void)state;
    train_recipe r;
    buffer text = {0};
    buffer_append_text(&text, GOOD "more: 1\n");
    for (int i = 0; i < 1000; i++)
        buffer_printf(&text, "a_key_of_some_length_that_nobody_has_ever_read_%d: 1\n", i);
    assert_ok(parse(&r, text.data, NULL));
    assert_int_equal(r.note_count, 256);
    train_recipe_close(&r);
    buffer_free(&text);
}

/* ---- What is refused ------------------------------------------------------------------------ */

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *set, *says;
    } rows[] = {
        {"model.base_model=~", "\"base_model\""},
        {"model.teacher_model=~", "expected a name or path"},
        {"model.teacher_model={}", "at least one"},
        {"model.include_response=yes", "include_response"},
        {"model.baseline_model=x/y", "this is a baseline recipe, which fine-tunes one model;"},
        {"model.projector.type=ReplaceProjector", "oracle"},
        {"model.projector.type=Projector", "Projector"},
        {"model.projector.params.num_layers=1", "num_layers"},
        {"model.mapping=first", "last_aligned or k_nearest"},
        {"model.alignment_strategy=best", "expected first or longest, found \"best\""},
        {"training.freeze=[teacher]", "the models themselves are not trained"},
        {"training.freeze=[teacher, base, projector]", "nothing is left to learn"},
        {"training.freeze=teacher", "a list of names"},
        {"training.learning_rate=-1", "expected 0 to"},
        {"training.learning_rate=high", "expected a number"},
        {"training.num_epochs=0", "num_epochs"},
        {"training.warmup_ratio=2", "expected 0 to 1, found 2"},
        {"training.max_length=1", "max_length"},
        {"training.per_device_train_batch_size=0", "per_device_train_batch_size"},
        {"output.output_dir=''", "expected a folder"},
        {"output.save_format=zip", "expected safetensors or pt"},
        {"data.type=NoSuchDataset", "OpenHermesChatDataset"},
        {"data.kwargs=3", "\"kwargs\": expected an object"},
        {"data.kwargs.num_samples=many", "num_samples"},
        {"data.train_ratio=1.5", "train_ratio"},
        {"eval={}", "one of evaluation"},
        {"training=~", "expected \"training\", an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        train_recipe r;
        test_error = (c2c_error){0};
        c2c_status status = parse(&r, GOOD, rows[i].set);
        if (!status || !strstr(test_error.message, rows[i].says) ||
            !strstr(test_error.message, "r.yaml"))
            fail_msg("%s: %s", rows[i].set, test_error.message);
        assert_null(r.document);
    }
    train_recipe r;
    assert_fails(parse(&r, "[]", NULL), C2C_STATUS_BAD_FILE, "expected a recipe", "an array");
    assert_fails(train_recipe_open(&r, "/nowhere/r.json", NULL, 0, &test_error),
                 C2C_STATUS_NOT_FOUND, "/nowhere/r.json");
}

/* ---- The published recipes ------------------------------------------------------------------ */

static void test_published(void **state) {
    (void)state;
    static const struct {
        const char *name, *refused;
    } rows[] = {{"C2C_0.6+0.5.json", NULL},
                {"C2C_ablation.json", NULL},
                {"all_in_one.json", NULL},
                {"baseline_config.json", "baseline recipe, which fine-tunes one model;"},
                {"baseline_lora_config.json", "fine-tunes one model with LoRA"},
                {"baseline_partial_config.json", "fine-tunes one model in part"},
                {"include_response.json", "include_response"},
                {"oracle.json", "oracle"}};
    const char *assets = test_shared("assets");
    if (!assets) {
        printf("SKIP: no folder of assets beside the repository\n");
        skip();
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[4096];
        train_recipe r;
        snprintf(path, sizeof path, "%s/recipes/train_recipe/%s", assets, rows[i].name);
        if (rows[i].refused) {
            assert_fails(train_recipe_open(&r, path, NULL, 0, &test_error), C2C_STATUS_UNSUPPORTED,
                         rows[i].name, rows[i].refused);
            continue;
        }
        assert_ok(train_recipe_open(&r, path, NULL, 0, &test_error));
        assert_string_equal(r.data_type, "OpenHermesChatDataset");
        assert_true(r.learning_rate == 1e-4 && r.train_ratio == 0.99);
        assert_int_equal(r.batch * r.accumulation, i == 2 ? 16 : 32);
        for (size_t n = 0; n < r.note_count; n++)
            assert_null(strstr(r.notes[n], "unknown"));
        assert_int_equal(r.note_count, 3); /* device, num_processes, wandb_config */
        train_recipe_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_notes),    cmocka_unit_test(test_notes_are_bounded),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
