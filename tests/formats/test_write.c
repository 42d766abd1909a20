/* Files of tensors written and read back: byte for byte what PyTorch and safetensors write,
 * rounding to narrower types, and what cannot be written. */
#include "formats/pickle.h"
#include "formats/tensor_file.h"
#include "formats/tensor_write.h"
#include "formats/zip.h"
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#define SAFETENSORS "tests/golden/data/models/tiny-qwen3/model.safetensors"
#define PROJECTOR   "tests/golden/data/fusers/qwen3_from_qwen2/final/projector_0.pt"

/* All tensors of a file as a list; free it. */
static named_tensor *list_of(const tensor_file *file) {
    named_tensor *list = calloc(tensor_file_count(file) + 1, sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i < tensor_file_count(file); i++)
        list[i] = *tensor_file_at(file, i);
    return list;
}

static void assert_same_tensors(const tensor_file *a, const tensor_file *b) {
    assert_int_equal(tensor_file_count(a), tensor_file_count(b));
    for (size_t i = 0; i < tensor_file_count(a); i++) {
        const named_tensor *x = tensor_file_at(a, i), *y = tensor_file_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->view.type, y->view.type);
        assert_int_equal(x->view.rank, y->view.rank);
        for (int d = 0; d < x->view.rank; d++)
            assert_int_equal(x->view.shape[d], y->view.shape[d]);
        assert_memory_equal(x->view.data, y->view.data, tensor_bytes(&x->view));
    }
}

static void assert_same_bytes(const char *a, const char *b) {
    file_map x, y;
    assert_ok(file_map_open(&x, a, &test_error));
    assert_ok(file_map_open(&y, b, &test_error));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    file_map_close(&x);
    file_map_close(&y);
}

/* ---- As others write it ------------------------------------------------------------------- */

/* The file was written by the reference implementation. */
static void test_safetensors_are_the_same_bytes(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "m.safetensors");
    tensor_file *file;
    assert_ok(tensor_file_open(&file, SAFETENSORS, &test_error));
    named_tensor *list = list_of(file);
    assert_ok(tensor_file_write(path, TENSOR_FORMAT_SAFETENSORS, list, tensor_file_count(file),
                                DTYPE_COUNT, &test_error));
    assert_same_bytes(path, SAFETENSORS);
    free(list);
    tensor_file_close(file);
    free(path);
    test_folder_remove(folder);
}

static const zip_member *member(const zip_file *zip, const char *name) {
    const zip_member *m = zip_find(zip, name, strlen(name));
    if (!m)
        fail_msg("no member %s", name);
    return m;
}

/* The tensors of an archive in the order of its pickle. */
static named_tensor *list_in_order(const tensor_file *file, const zip_member *pickle) {
    const pickle_value *root;
    arena *memory = arena_new(4096);
    assert_ok(pickle_read(&root, memory, pickle->data, pickle->size, "p", &test_error));
    named_tensor *list = calloc(root->count / 2 + 1, sizeof *list);
    for (uint32_t i = 0; i < root->count; i += 2) {
        char name[TENSOR_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)root->items[i]->count, root->items[i]->string);
        list[i / 2] = *tensor_file_find(file, name);
    }
    arena_free(memory);
    return list;
}

/* torch.save adds the _metadata of modules, then BUILD and STOP: what stands before is the same. */
static void assert_same_pickle(const zip_member *ours, const zip_member *theirs) {
    assert_true(ours->size < theirs->size);
    assert_memory_equal(ours->data, theirs->data, ours->size - 1);
    assert_int_equal(ours->data[ours->size - 1], '.');
    const uint8_t *rest = theirs->data + ours->size - 1;
    assert_memory_equal(rest, "}r", 2); /* a dict, and its number in four bytes */
    assert_memory_equal(rest + 6, "X\t\0\0\0_metadata", 14);
}

/* The bytes from a member's local header to its data. */
static const uint8_t *local_header(const zip_member *m, size_t *length) {
    const uint8_t *p = m->data - m->name_length - 30;
    while (memcmp(p, "PK\3\4", 4) != 0)
        p--;
    *length = (size_t)(m->data - p);
    return p;
}

/* Header, data, checksum and sizes of a storage. Members stand in another order, and the filling of
 * headers depends on where they stand. */
static void assert_same_member(const zip_member *ours, const zip_member *theirs) {
    size_t length, their_length;
    const uint8_t *header = local_header(ours, &length);
    const uint8_t *their_header = local_header(theirs, &their_length);
    assert_memory_equal(header, their_header, 28);
    assert_memory_equal(header + 30, their_header + 30, ours->name_length + 2);
    assert_int_equal(ours->size, theirs->size);
    assert_memory_equal(ours->data, theirs->data, ours->size + 16);
}

static void test_pt_is_what_torch_writes(void **state) {
    (void)state;
    char *folder = test_folder_make(), *path = path_join(folder, "projector_0.pt");
    tensor_file *file, *copy;
    file_map their_map, our_map;
    zip_file theirs, ours;
    assert_ok(tensor_file_open(&file, PROJECTOR, &test_error));
    assert_ok(file_map_open(&their_map, PROJECTOR, &test_error));
    assert_ok(zip_open(&theirs, (file_bytes){their_map.data, their_map.size, "t"}, &test_error));
    named_tensor *list = list_in_order(file, member(&theirs, "projector_0/data.pkl"));
    size_t count = tensor_file_count(file);
    assert_ok(tensor_file_write(path, TENSOR_FORMAT_PT, list, count, DTYPE_COUNT, &test_error));
    assert_ok(file_map_open(&our_map, path, &test_error));
    assert_ok(zip_open(&ours, (file_bytes){our_map.data, our_map.size, "o"}, &test_error));
    assert_same_pickle(member(&ours, "projector_0/data.pkl"),
                       member(&theirs, "projector_0/data.pkl"));
    assert_same_member(member(&ours, "projector_0/byteorder"),
                       member(&theirs, "projector_0/byteorder"));
    assert_same_member(member(&ours, "projector_0/version"),
                       member(&theirs, "projector_0/version"));
    for (size_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "projector_0/data/%zu", i);
        assert_same_member(member(&ours, name), member(&theirs, name));
        assert_int_equal((member(&ours, name)->data - our_map.data) % 64, 0);
    }
    assert_int_equal(ours.count, count + 3);
    assert_ok(tensor_file_open(&copy, path, &test_error));
    assert_same_tensors(file, copy);
    tensor_file_close(copy);
    zip_close(&ours);
    file_map_close(&our_map);
    free(list);
    zip_close(&theirs);
    file_map_close(&their_map);
    tensor_file_close(file);
    free(path);
    test_folder_remove(folder);
}

static void test_checksum(void **state) {
    (void)state;
    crc32_table table;
    crc32_init(&table);
    /* The check value of the catalogue of CRC algorithms for CRC-32/ISO-HDLC. */
    assert_int_equal(crc32_update(&table, 0, "123456789", 9), 0xcbf43926);
    static const char text[] = "eight at a time, or one by one, in parts or at once";
    uint32_t whole = crc32_update(&table, 0, text, sizeof text);
    for (size_t cut = 0; cut < sizeof text; cut++) {
        uint32_t part = crc32_update(&table, 0, text, cut);
        assert_int_equal(crc32_update(&table, part, text + cut, sizeof text - cut), whole);
    }
    assert_int_equal(crc32_update(&table, 0, "", 0), 0);
}

/* ---- Every kind of tensor ----------------------------------------------------------------- */

#define MANY 1203 /* more than one SETITEMS takes, and memo numbers of four bytes */

/* Tensors of every type, rank 0, no elements, ranks above 3, sizes of 1 and 2 bytes in the pickle,
 * a name in need of escapes: through both formats and back. */
static void test_every_kind_comes_back(void **state) {
    (void)state;
    static uint8_t bytes[80000 * 8];
    static char names[MANY][32];
    named_tensor list[MANY];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "t.%zu", i);
        list[i] = (named_tensor){
            names[i],
            {.type = (dtype)(i % DTYPE_COUNT), .rank = 1, .shape = {3}, .data = bytes},
            ""};
        list[i].view.data = bytes + i * 8;
    }
    list[1].view.rank = 0;
    list[2].view = (tensor){.type = DTYPE_F32, .rank = 3, .shape = {2, 0, 5}, .data = bytes};
    list[3].view = (tensor){.type = DTYPE_F64, .rank = 5, .shape = {1, 2, 3, 1, 2}, .data = bytes};
    list[4].view = (tensor){.type = DTYPE_I64, .rank = 2, .shape = {300, 1}, .data = bytes};
    list[5].view = (tensor){.type = DTYPE_BF16, .rank = 1, .shape = {70000}, .data = bytes};
    list[6].name = "quote\" and \xc3\xa4";
    char *folder = test_folder_make();
    static const char *const files[] = {"all.safetensors", "all.pt", "again.safetensors"};
    tensor_file *opened[3];
    for (int i = 0; i < 3; i++) {
        char *path = path_join(folder, files[i]);
        named_tensor *from = i ? list_of(opened[i - 1]) : NULL;
        assert_ok(tensor_file_write(path, i == 1 ? TENSOR_FORMAT_PT : TENSOR_FORMAT_SAFETENSORS,
                                    from ? from : list, MANY, DTYPE_COUNT, &test_error));
        assert_ok(tensor_file_open(&opened[i], path, &test_error));
        if (i)
            assert_same_tensors(opened[0], opened[i]);
        free(from);
        free(path);
    }
    for (size_t i = 0; i < MANY; i++) {
        const named_tensor *found = tensor_file_find(opened[0], list[i].name);
        assert_non_null(found);
        assert_int_equal(found->view.rank, list[i].view.rank);
        assert_memory_equal(found->view.data, list[i].view.data, tensor_bytes(&list[i].view));
    }
    char *first = path_join(folder, files[0]), *last = path_join(folder, files[2]);
    assert_same_bytes(first, last);
    free(first);
    free(last);
    for (int i = 0; i < 3; i++)
        tensor_file_close(opened[i]);
    test_folder_remove(folder);
}

static void test_no_tensors(void **state) {
    (void)state;
    char *folder = test_folder_make();
    for (int format = 0; format < 2; format++) {
        char *path = path_join(folder, format ? "none.pt" : "none.safetensors");
        tensor_file *file;
        assert_ok(tensor_file_write(path, (tensor_format)format, NULL, 0, DTYPE_F32, &test_error));
        assert_ok(tensor_file_open(&file, path, &test_error));
        assert_int_equal(tensor_file_count(file), 0);
        tensor_file_close(file);
        free(path);
    }
    test_folder_remove(folder);
}

/* What a reader may stumble over is not taken over into the archive. */
static void test_names_of_archives(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"a.b.pt", "a.b/version"},
                                          {"plain", "plain/version"},
                                          {".pt", "archive/version"},
                                          {"bad\xff.pt", "archive/version"}};
    char *folder = test_folder_make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = path_join(folder, rows[i][0]);
        file_map map;
        zip_file zip;
        assert_ok(tensor_file_write(path, TENSOR_FORMAT_PT, NULL, 0, DTYPE_COUNT, &test_error));
        assert_ok(file_map_open(&map, path, &test_error));
        assert_ok(zip_open(&zip, (file_bytes){map.data, map.size, path}, &test_error));
        member(&zip, rows[i][1]);
        zip_close(&zip);
        file_map_close(&map);
        free(path);
    }
    test_folder_remove(folder);
}

/* ---- Other types -------------------------------------------------------------------------- */

/* More elements than one piece holds, so that its seams are seen. */
static void test_types_are_rounded(void **state) {
    (void)state;
    enum { N = 100001 };
    float *values = malloc(N * sizeof *values);
    static const int32_t whole[] = {1, -7};
    for (int i = 0; i < N; i++)
        values[i] = (float)(i - N / 2) * 0.123f;
    const named_tensor list[] = {{"w", {.rank = 1, .shape = {N}, .data = values}, ""},
                                 {"i",
                                  {.type = DTYPE_I32, .rank = 1, .shape = {2}, .data = whole},
                                  ""}};
    char *folder = test_folder_make();
    for (int format = 0; format < 2; format++)
        for (int type = DTYPE_F16; type <= DTYPE_BF16; type++) {
            char *path = path_join(folder, "w");
            tensor_file *file;
            assert_ok(
                tensor_file_write(path, (tensor_format)format, list, 2, (dtype)type, &test_error));
            assert_ok(tensor_file_open(&file, path, &test_error));
            const tensor *w = &tensor_file_find(file, "w")->view;
            assert_int_equal(w->type, type);
            for (int i = 0; i < N; i++) {
                float expected = type == DTYPE_F16 ? f32_from_f16(f16_from_f32(values[i]))
                                                   : f32_from_bf16(bf16_from_f32(values[i]));
                assert_true(tensor_get_f32(w, i) == expected);
            }
            assert_int_equal(tensor_file_find(file, "i")->view.type, DTYPE_I32);
            assert_memory_equal(tensor_file_find(file, "i")->view.data, whole, sizeof whole);
            tensor_file_close(file);
            free(path);
        }
    free(values);
    test_folder_remove(folder);
}

static size_t entries;
static c2c_status count_entry(void *user, const char *name, c2c_error *error) {
    (void)user, (void)name, (void)error;
    entries++;
    return C2C_STATUS_OK;
}

/* A number that has no finite form: nothing is written, what was there stays. */
static void test_a_number_too_large(void **state) {
    (void)state;
    static const float values[] = {1, INFINITY, 70000};
    const named_tensor list[] = {{"a", {.rank = 0, .data = values}, "in.pt"},
                                 {"w", {.rank = 1, .shape = {3}, .data = values}, "in.pt"}};
    char *folder = test_folder_make(), *path = path_join(folder, "w");
    test_file_write(folder, "w", "old", 3);
    for (int format = 0; format < 2; format++) {
        assert_fails(tensor_file_write(path, (tensor_format)format, list, 2, DTYPE_F16,
                                       &test_error),
                     C2C_STATUS_MISMATCH, "in.pt: tensor \"w\": element 2 is 70000", "f16");
        entries = 0;
        assert_ok(folder_each(folder, count_entry, NULL, &test_error));
        assert_int_equal(entries, 1);
        file_map map;
        assert_ok(file_map_open(&map, path, &test_error));
        assert_int_equal(map.size, 3);
        file_map_close(&map);
    }
    /* bf16 reaches as far as f32; infinity stays what it is. */
    assert_ok(tensor_file_write(path, TENSOR_FORMAT_PT, list, 2, DTYPE_BF16, &test_error));
    free(path);
    test_folder_remove(folder);
}

/* ---- Bad places --------------------------------------------------------------------------- */

static void test_bad_places(void **state) {
    (void)state;
    char *folder = test_folder_make();
    char *missing = path_join(folder, "no/such/w.pt"), *taken = path_join(folder, "taken");
    assert_int_equal(mkdir(taken, 0777), 0);
    assert_fails(tensor_file_write(missing, TENSOR_FORMAT_PT, NULL, 0, DTYPE_COUNT, &test_error),
                 C2C_STATUS_NOT_FOUND, "no/such/w.pt: cannot write");
    assert_fails(tensor_file_write(taken, TENSOR_FORMAT_PT, NULL, 0, DTYPE_COUNT, &test_error),
                 C2C_STATUS_IO, "taken: cannot replace");
    entries = 0;
    assert_ok(folder_each(folder, count_entry, NULL, &test_error));
    assert_int_equal(entries, 1);
    assert_fails(tensor_file_write("/dev/full/x", TENSOR_FORMAT_PT, NULL, 0, DTYPE_COUNT,
                                   &test_error),
                 C2C_STATUS_NOT_FOUND, "/dev/full/x");
    free(missing);
    free(taken);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_are_the_same_bytes),
        cmocka_unit_test(test_pt_is_what_torch_writes),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_every_kind_comes_back),
        cmocka_unit_test(test_no_tensors),
        cmocka_unit_test(test_names_of_archives),
        cmocka_unit_test(test_types_are_rounded),
        cmocka_unit_test(test_a_number_too_large),
        cmocka_unit_test(test_bad_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
