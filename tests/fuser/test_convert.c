/* Fuser folders converted: formats, types, layouts, what is replaced and what is not. */
#include "fuser/fuser.h"
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#define FUSER "tests/golden/data/fusers/qwen3_from_qwen2"

typedef struct place {
    char *root, *out, *again;
} place;

static int make_place(void **state) {
    place *p = calloc(1, sizeof *p);
    p->root = test_folder_make();
    p->out = path_join(p->root, "out");
    p->again = path_join(p->root, "again");
    *state = p;
    return 0;
}

static int remove_place(void **state) {
    place *p = *state;
    test_folder_remove(p->root);
    free(p->out);
    free(p->again);
    free(p);
    return 0;
}

static c2c_status convert(const char *from, const char *to, tensor_format format, dtype type,
                          bool replace) {
    tensor_conversion done = {0};
    return fuser_convert(from, to, format, type, replace, &done, &test_error);
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    char *x = path_join(a, name), *y = path_join(b, name);
    file_map f, g;
    assert_ok(file_map_open(&f, x, &test_error));
    assert_ok(file_map_open(&g, y, &test_error));
    assert_int_equal(f.size, g.size);
    assert_memory_equal(f.data, g.data, f.size);
    file_map_close(&f);
    file_map_close(&g);
    free(x);
    free(y);
}

static bool has(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    bool found = file_exists(path);
    free(path);
    return found;
}

static tensor_file *open_tensors(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    tensor_file *file;
    assert_ok(tensor_file_open(&file, path, &test_error));
    free(path);
    return file;
}

/* .pt -> safetensors -> .pt -> safetensors: equal tensor by tensor, then byte by byte; what is not
 * tensors is copied. */
static void test_there_and_back(void **state) {
    place *p = *state;
    char *third = path_join(p->root, "third");
    assert_ok(convert(FUSER, p->out, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, false));
    assert_ok(convert(p->out, p->again, TENSOR_FORMAT_PT, DTYPE_COUNT, false));
    assert_ok(convert(p->again, third, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, false));
    for (int i = 0; i < 4; i++) {
        char names[3][64];
        static const char *const endings[] = {"json", "pt", "safetensors"};
        for (int k = 0; k < 3; k++)
            snprintf(names[k], sizeof names[k], "final/projector_%d.%s", i, endings[k]);
        assert_same_file(p->out, FUSER, names[0]);
        assert_same_file(third, p->out, names[2]);
        assert_false(has(p->out, names[1]) || has(p->again, names[2]));
        tensor_file *a = open_tensors(FUSER, names[1]), *b = open_tensors(p->again, names[1]);
        assert_int_equal(tensor_file_count(a), tensor_file_count(b));
        for (size_t t = 0; t < tensor_file_count(a); t++) {
            const tensor *x = &tensor_file_at(a, t)->view, *y = &tensor_file_at(b, t)->view;
            assert_string_equal(tensor_file_at(a, t)->name, tensor_file_at(b, t)->name);
            assert_int_equal(x->type, y->type);
            assert_int_equal(x->rank, y->rank); /* 0 for the gates' logits */
            assert_memory_equal(x->data, y->data, tensor_bytes(x));
        }
        tensor_file_close(a);
        tensor_file_close(b);
    }
    assert_same_file(p->again, FUSER, "final/projector_config.json");
    assert_same_file(p->again, FUSER, "config.json");
    free(third);
}

static void test_what_needs_no_change_is_copied(void **state) {
    place *p = *state;
    tensor_conversion done = {0};
    assert_ok(fuser_convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_F32, false, &done, &test_error));
    assert_int_equal(done.files, 4);
    assert_int_equal(done.copied, 4);
    assert_int_equal(done.from_bytes, done.to_bytes);
    assert_same_file(p->out, FUSER, "final/projector_2.pt");
}

/* The description says the new type, and nothing else changes in it. */
static void test_other_types(void **state) {
    place *p = *state;
    tensor_conversion done = {0};
    assert_ok(
        fuser_convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_BF16, false, &done, &test_error));
    assert_int_equal(done.from_types[DTYPE_F32], done.tensors);
    assert_int_equal(done.to_types[DTYPE_BF16], done.tensors);
    char *path = path_join(p->out, "final/projector_1.json");
    json_document *document;
    assert_ok(json_open(&document, path, &test_error));
    const json_value *args = json_get(json_root(document), "init_args");
    const json_value *type = json_get(args, "dtype");
    assert_string_equal(json_get(type, "value")->string, "bfloat16");
    assert_string_equal(json_get(type, "__type__")->string, "torch.dtype");
    assert_int_equal(args->count, 9);
    json_close(document);
    tensor_file *a = open_tensors(FUSER, "final/projector_1.pt");
    tensor_file *b = open_tensors(p->out, "final/projector_1.pt");
    for (size_t t = 0; t < tensor_file_count(a); t++) {
        const tensor *x = &tensor_file_at(a, t)->view, *y = &tensor_file_at(b, t)->view;
        assert_int_equal(y->type, DTYPE_BF16);
        for (int64_t i = 0; i < tensor_elements(x); i++)
            assert_true(tensor_get_f32(y, i) == f32_from_bf16(bf16_from_f32(tensor_get_f32(x, i))));
    }
    tensor_file_close(a);
    tensor_file_close(b);
    /* bf16 in f32 is exact, and back again: the same file. */
    char *third = path_join(p->root, "third");
    assert_ok(convert(p->out, p->again, TENSOR_FORMAT_PT, DTYPE_F32, false));
    assert_ok(convert(p->again, third, TENSOR_FORMAT_PT, DTYPE_BF16, false));
    assert_same_file(third, p->out, "final/projector_1.pt");
    assert_same_file(third, p->out, "final/projector_1.json");
    assert_same_file(p->again, FUSER, "final/projector_1.json"); /* as published, to the byte */
    free(third);
    free(path);
}

static void test_a_description_without_dtype(void **state) {
    place *p = *state;
    static const char text[] = "{\"class\": \"X\", \"init_args\": {\"a\": 1e-05}, \"b\": [1, 2.0]}";
    json_document *document;
    buffer out = {0};
    (void)p;
    assert_ok(json_parse(&document, text, sizeof text - 1, "t", &test_error));
    projector_json_write(&out, json_root(document), DTYPE_F16);
    assert_string_equal(out.data, "{\n  \"class\": \"X\",\n  \"init_args\": {\n    \"a\": 1e-05,\n"
                                  "    \"dtype\": {\n      \"__type__\": \"torch.dtype\",\n"
                                  "      \"value\": \"float16\"\n    }\n  },\n  \"b\": [\n    1,\n"
                                  "    2.0\n  ]\n}");
    json_close(document);
    buffer_free(&out);
}

/* A folder without final/ stays one; an opener finds the same fuser. */
static void test_flat_folders(void **state) {
    place *p = *state;
    assert_ok(convert(FUSER "/final", p->out, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, false));
    assert_true(has(p->out, "projector_3.safetensors") && has(p->out, "projector_config.json"));
    assert_false(has(p->out, "config.json"));
    backend *b;
    c2c_fuser *fuser;
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    assert_ok(fuser_open_files(&fuser, b, p->out, &test_error));
    assert_int_equal(fuser->projector_count, 4);
    c2c_fuser_close(fuser);
    backend_close(b);
}

static void test_what_is_there_already(void **state) {
    place *p = *state;
    assert_ok(convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, false));
    assert_fails(convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, false),
                 C2C_STATUS_INVALID_ARGUMENT, "out exists already");
    /* Another layout in its place: nothing of the old one is left. */
    assert_ok(convert(FUSER "/final", p->out, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, true));
    assert_false(has(p->out, "final/projector_0.pt") || has(p->out, "config.json"));
    /* In place. */
    assert_ok(convert(p->out, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, true));
    assert_true(has(p->out, "projector_0.pt"));
    assert_false(has(p->out, "projector_0.safetensors"));
    /* What is no part of a fuser is never removed. */
    test_file_write(p->out, "notes.txt", "mine", 4);
    assert_fails(convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, true),
                 C2C_STATUS_INVALID_ARGUMENT, "out/notes.txt is not a part of a fuser");
    assert_true(has(p->out, "notes.txt") && has(p->out, "projector_0.pt"));
    assert_fails(convert(FUSER, p->root, TENSOR_FORMAT_PT, DTYPE_COUNT, true),
                 C2C_STATUS_INVALID_ARGUMENT, "out is not a part of a fuser");
    test_file_write(p->root, "again", "x", 1);
    assert_fails(convert(FUSER, p->again, TENSOR_FORMAT_PT, DTYPE_COUNT, true),
                 C2C_STATUS_INVALID_ARGUMENT, "found a file");
}

static c2c_status append_name(void *user, const char *name, c2c_error *error) {
    (void)error;
    buffer_printf(user, "%s ", name);
    return C2C_STATUS_OK;
}

/* A fuser that breaks half-way leaves no folder, and the old one as it was. */
static void test_a_failure_leaves_nothing(void **state) {
    place *p = *state;
    assert_ok(convert(FUSER, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, false));
    assert_ok(convert(FUSER, p->again, TENSOR_FORMAT_PT, DTYPE_COUNT, false));
    char *final = path_join(p->out, "final");
    test_file_write(final, "projector_2.pt", "PK", 2);
    assert_fails(convert(p->out, p->again, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, true),
                 C2C_STATUS_BAD_FILE, "projector_2.pt");
    char *missing = path_join(final, "projector_2.pt");
    assert_int_equal(unlink(missing), 0);
    assert_fails(convert(p->out, p->again, TENSOR_FORMAT_SAFETENSORS, DTYPE_COUNT, true),
                 C2C_STATUS_NOT_FOUND, "projector_2.safetensors: no such file, nor");
    assert_same_file(p->again, FUSER, "final/projector_0.pt");
    buffer names = {0};
    assert_ok(folder_each(p->root, append_name, &names, &test_error));
    assert_string_equal(names.data, "again out ");
    assert_fails(convert(p->root, p->out, TENSOR_FORMAT_PT, DTYPE_COUNT, true),
                 C2C_STATUS_NOT_FOUND, "no projector_config.json");
    buffer_free(&names);
    free(missing);
    free(final);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_what_needs_no_change_is_copied, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(test_other_types, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_a_description_without_dtype, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_flat_folders, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_what_is_there_already, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_a_failure_leaves_nothing, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
