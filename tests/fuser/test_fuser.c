/* Fuser folders: what is opened, and what is refused with which words. */
#include "support/test.h"
#include "support/tiny_pair.h"

#include "fuser/fuser.h"

#include <unistd.h>

#define DATA  "tests/golden/data/"
#define FUSER DATA "fusers/qwen3_from_qwen2/final/"

static c2c_status open_fuser(const tiny_pair *f, const char *folder) {
    c2c_fuser *fuser;
    c2c_status status = c2c_fuser_open(&fuser, f->receiver, f->sharer, folder, &test_error);
    if (status)
        assert_null(fuser);
    c2c_fuser_close(fuser);
    return status;
}

/* ---- A copy of the golden fuser, to be changed -------------------------------------------- */

static void copy_file(const char *folder, const char *name) {
    char from[256];
    snprintf(from, sizeof from, FUSER "%s", name);
    file_map map;
    assert_ok(file_map_open(&map, from, &test_error));
    test_file_write(folder, name, map.data, map.size);
    file_map_close(&map);
}

static char *copy_fuser(void) {
    char *folder = test_folder_make(), name[32];
    copy_file(folder, "projector_config.json");
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "projector_%d.json", i);
        copy_file(folder, name);
        snprintf(name, sizeof name, "projector_%d.pt", i);
        copy_file(folder, name);
    }
    return folder;
}

static void write_text(const char *folder, const char *name, const char *text) {
    test_file_write(folder, name, text, strlen(text));
}

/* What a rewritten projector_2 says of its tensors. */
typedef struct change {
    const char *skip;    /* a tensor that is left out */
    const char *reshape; /* a tensor whose shape becomes [its number of elements] */
    const char *retype;  /* a tensor that says it holds i32 */
    const char *add;     /* a name for one more tensor, of one number */
} change;

static const char *dtype_key(dtype type) {
    return type == DTYPE_F32 ? "F32" : type == DTYPE_BF16 ? "BF16" : "F16";
}

/* projector_2.safetensors beside projector_2.pt: it is preferred. */
static void rewrite_tensors(const char *folder, const change *c) {
    tensor_file *file;
    buffer header = {0}, data = {0}, all = {0};
    assert_ok(tensor_file_open(&file, FUSER "projector_2.pt", &test_error));
    buffer_append_char(&header, '{');
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const named_tensor *t = tensor_file_at(file, i);
        if (c->skip && strcmp(t->name, c->skip) == 0)
            continue;
        bool reshape = c->reshape && strcmp(t->name, c->reshape) == 0;
        bool retype = c->retype && strcmp(t->name, c->retype) == 0;
        buffer_printf(&header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [",
                      header.length > 1 ? "," : "", t->name,
                      retype ? "I32" : dtype_key(t->view.type));
        if (reshape)
            buffer_printf(&header, "%lld", (long long)tensor_elements(&t->view));
        for (int d = 0; d < t->view.rank && !reshape; d++)
            buffer_printf(&header, "%s%lld", d ? "," : "", (long long)t->view.shape[d]);
        buffer_printf(&header, "], \"data_offsets\": [%zu, ", data.length);
        buffer_append(&data, t->view.data, tensor_bytes(&t->view));
        buffer_printf(&header, "%zu]}", data.length);
    }
    if (c->add) {
        buffer_printf(&header,
                      ",\"%s\": {\"dtype\": \"F32\", \"shape\": [], \"data_offsets\": "
                      "[%zu, %zu]}",
                      c->add, data.length, data.length + 4);
        buffer_append(&data, "\0\0\0\0", 4);
    }
    buffer_append_char(&header, '}');
    while (header.length % 8)
        buffer_append_char(&header, ' ');
    uint64_t length = header.length;
    buffer_append(&all, &length, sizeof length);
    buffer_append(&all, header.data, header.length);
    buffer_append(&all, data.data, data.length);
    assert_false(all.failed);
    test_file_write(folder, "projector_2.safetensors", all.data, all.length);
    tensor_file_close(file);
    buffer_free(&header);
    buffer_free(&data);
    buffer_free(&all);
}

/* ---- Tests -------------------------------------------------------------------------------- */

static void test_folder_or_its_final(void **state) {
    const tiny_pair *f = *state;
    c2c_fuser *fuser;
    const char *const folders[] = {DATA "fusers/qwen3_from_qwen2", FUSER};
    for (int i = 0; i < 2; i++) {
        assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, folders[i], &test_error));
        assert_int_equal(fuser->projector_count, 4);
        assert_int_equal(fuser->sharer_layers, 6);
        int layers[4];
        c2c_fuser_layer_map(fuser, layers);
        assert_memory_equal(layers, ((int[]){2, 3, 4, 5}), sizeof layers);
        c2c_fuser_close(fuser);
    }
}

/* One projector for all layers, and layers that are not mapped. */
static void test_shared_projectors_and_partial_maps(void **state) {
    const tiny_pair *f = *state;
    char *folder = test_folder_make();
    copy_file(folder, "projector_0.json");
    copy_file(folder, "projector_0.pt");
    write_text(folder, "projector_config.json",
               "{\"0\": {\"1\": {\"3\": [[0, 0]], \"1\": [[0, 0]]}}}");
    c2c_fuser *fuser;
    assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, folder, &test_error));
    int layers[4];
    c2c_fuser_layer_map(fuser, layers);
    assert_memory_equal(layers, ((int[]){-1, 0, -1, 0}), sizeof layers);
    assert_int_equal(fuser->projector_count, 1);
    assert_int_equal(fuser->sharer_layers, 1);
    int32_t networks = 0;
    for (int i = 0; i < fuser->stack_count; i++)
        networks += fuser->stacks[i].groups;
    int open = 0;
    for (int which = 0; which < BRANCH_COUNT; which++)
        open += fuser->projectors[0].gate_logits[which] > 0;
    assert_int_equal(networks, 2 * open);
    c2c_fuser_close(fuser);
    test_folder_remove(folder);
}

/* safetensors beside .pt is preferred, and holds the same. */
static void test_safetensors_projectors(void **state) {
    const tiny_pair *f = *state;
    char *folder = copy_fuser();
    rewrite_tensors(folder, &(change){0});
    assert_ok(open_fuser(f, folder));
    test_folder_remove(folder);
}

static void test_tensors_that_do_not_fit(void **state) {
    const tiny_pair *f = *state;
    static const struct {
        change change;
        const char *parts[3];
    } rows[] = {
        {{.skip = "key_in.weight"}, {"projector_2.safetensors", "key_in.weight is missing", ""}},
        {{.skip = "value_gate_logit"}, {"projector_2.safetensors", "value_gate_logit", "missing"}},
        {{.reshape = "value_proj_out.weight"},
         {"projector_2.safetensors", "value_proj_out.weight", "expected shape [64, 48]"}},
        {{.retype = "key_mlp1.blocks.0.w1.weight"},
         {"key_mlp1.blocks.0.w1.weight", "expected f32, f16 or bf16", "found i32"}},
        {{.retype = "key_gate_logit"}, {"key_gate_logit", "found i32", ""}},
        {{.add = "key_surprise"}, {"projector_2.safetensors", "key_surprise", "no such tensor"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = copy_fuser();
        rewrite_tensors(folder, &rows[i].change);
        assert_fails(open_fuser(f, folder), C2C_STATUS_BAD_FILE, rows[i].parts[0], rows[i].parts[1],
                     rows[i].parts[2]);
        test_folder_remove(folder);
    }
}

static void remove_file(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_files_that_do_not_fit_the_map(void **state) {
    const tiny_pair *f = *state;
    char *folder = copy_fuser();
    remove_file(folder, "projector_3.json");
    assert_fails(open_fuser(f, folder), C2C_STATUS_NOT_FOUND, "receiver layer 3", "projector 3",
                 "projector_3.json");
    copy_file(folder, "projector_3.json");
    remove_file(folder, "projector_3.pt");
    assert_fails(open_fuser(f, folder), C2C_STATUS_NOT_FOUND, "projector_3.safetensors",
                 "projector_3.pt");
    copy_file(folder, "projector_3.pt");
    write_text(folder, "projector_config.json",
               "{\"0\": {\"1\": {\"0\": [[0, 0]], \"1\": [[0, 1]], \"2\": [[0, 2]]}}}");
    assert_fails(open_fuser(f, folder), C2C_STATUS_MISMATCH, "projector_3.json",
                 "expects 3 projectors");
    remove_file(folder, "projector_config.json");
    assert_fails(open_fuser(f, folder), C2C_STATUS_NOT_FOUND, folder, "projector_config.json");
    test_folder_remove(folder);
}

static void test_projector_descriptions(void **state) {
    const tiny_pair *f = *state;
#define HEADS "\"source_num_heads\": 2, \"target_num_heads\": 2, \"target_dim\": 32"
    static const struct {
        c2c_status status;
        const char *text;
        const char *parts[2];
    } rows[] = {
        {C2C_STATUS_UNSUPPORTED,
         "{\"class\": \"MagicProjector\", \"init_args\": {}}",
         {"MagicProjector", "C2CProjector"}},
        {C2C_STATUS_BAD_FILE, "{\"class\": \"C2CProjector\"}", {"init_args", "nothing"}},
        {C2C_STATUS_BAD_FILE,
         "{\"class\": \"C2CProjector\", \"init_args\": {" HEADS "}}",
         {"source_dim", "projector_0.json"}},
        {C2C_STATUS_BAD_FILE,
         "{\"class\": \"C2CProjector\", \"init_args\": {" HEADS
         ", \"source_dim\": 8, \"num_layers\": 2}}",
         {"num_layers", "projector_0.json"}},
        /* The right class of another size: its tensors give it away. */
        {C2C_STATUS_BAD_FILE,
         "{\"class\": \"C2CProjector\", \"init_args\": {" HEADS
         ", \"source_dim\": 8, \"hidden_dim\": 52}}",
         {"key_in.weight", "expected shape [52, 80]"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = copy_fuser();
        write_text(folder, "projector_0.json", rows[i].text);
        assert_fails(open_fuser(f, folder), rows[i].status, rows[i].parts[0], rows[i].parts[1]);
        test_folder_remove(folder);
    }
}

static void test_models_that_do_not_fit(void **state) {
    const tiny_pair *f = *state;
    c2c_fuser *fuser;
    assert_fails(c2c_fuser_open(&fuser, f->sharer, f->receiver, FUSER, &test_error),
                 C2C_STATUS_MISMATCH, "made for a receiver", "2 kv heads of dimension 32",
                 "tiny-qwen2");
    assert_fails(c2c_fuser_open(&fuser, f->receiver, f->receiver, FUSER, &test_error),
                 C2C_STATUS_MISMATCH, "made for a sharer", "dimension 8", "tiny-qwen3");
    char *folder = copy_fuser();
    write_text(folder, "projector_config.json", "{\"0\": {\"1\": {\"2\": [[6, 0], [0, 3]]}}}");
    assert_fails(open_fuser(f, folder), C2C_STATUS_MISMATCH, "sharer layer 6", "tiny-qwen2",
                 "layers 0 to 5");
    write_text(folder, "projector_config.json", "{\"0\": {\"1\": {\"4\": [[0, 0], [0, 3]]}}}");
    assert_fails(open_fuser(f, folder), C2C_STATUS_MISMATCH, "receiver layer 4", "tiny-qwen3",
                 "layers 0 to 3");
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_or_its_final),
        cmocka_unit_test(test_shared_projectors_and_partial_maps),
        cmocka_unit_test(test_safetensors_projectors),
        cmocka_unit_test(test_tensors_that_do_not_fit),
        cmocka_unit_test(test_files_that_do_not_fit_the_map),
        cmocka_unit_test(test_projector_descriptions),
        cmocka_unit_test(test_models_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, tiny_pair_open, tiny_pair_close);
}
