/* safetensors files and folders of shards: what opens, and what each lie is answered with. */
#include "formats/tensor_file.h"
#include "support/test.h"

#include <unistd.h>

/* A file of this header (padded with spaces to a multiple of 8, as writers do) and data 0, 1, 2...
 * `pad` false keeps the header as it is: then the data may lie anywhere. */
static buffer build(const char *header, size_t data, bool pad) {
    buffer b = {0};
    uint64_t length = strlen(header);
    if (pad)
        length = (length + 7) / 8 * 8;
    buffer_append(&b, &length, sizeof length);
    buffer_append_text(&b, header);
    while (b.length < 8 + length)
        buffer_append_char(&b, ' ');
    for (size_t i = 0; i < data; i++)
        buffer_append_char(&b, (char)i);
    return b;
}

/* Opens exactly these bytes, in memory of exactly their size for the sanitizers to guard. */
static c2c_status open_bytes(tensor_file **file, void **memory, const void *bytes, size_t size) {
    *memory = malloc(size ? size : 1);
    assert_non_null(*memory);
    memcpy(*memory, bytes, size);
    return tensor_file_open_bytes(file, *memory, size, "t.safetensors", &test_error);
}

#define TWO_TENSORS                                                                                \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[4,12]},"                           \
    "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"                             \
    "\"empty\":{\"dtype\":\"I64\",\"shape\":[3,0],\"data_offsets\":[12,12]},"                      \
    "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}"

static void check_two_tensors(const tensor_file *file) {
    char shape[TENSOR_SHAPE_TEXT];
    assert_int_equal(tensor_file_count(file), 4);
    assert_string_equal(tensor_file_at(file, 0)->name, "a"); /* in order of name */
    assert_string_equal(tensor_file_at(file, 3)->name, "w");
    const named_tensor *w = tensor_file_find(file, "w"), *one = tensor_file_find(file, "one");
    assert_non_null(w);
    assert_int_equal(w->view.type, DTYPE_F32);
    assert_string_equal(tensor_shape_text(&w->view, shape), "[2, 1]");
    assert_int_equal((uintptr_t)w->view.data % 4, 0);
    assert_memory_equal(w->view.data, "\4\5\6\7\10\11\12\13", 8);
    assert_int_equal(one->view.rank, 0);
    assert_int_equal(*(const uint8_t *)one->view.data, 12);
    assert_int_equal(tensor_bytes(&tensor_file_find(file, "empty")->view), 0);
    assert_null(tensor_file_find(file, "W"));
    assert_null(tensor_file_find(file, "__metadata__"));
}

/* ---- Files -------------------------------------------------------------------------------- */

static void test_a_file_opens(void **state) {
    (void)state;
    buffer b = build(TWO_TENSORS, 13, true);
    char *folder = test_folder_make();
    test_file_write(folder, "t.safetensors", b.data, b.length);
    char *path = path_join(folder, "t.safetensors");
    tensor_file *file;
    assert_ok(tensor_file_open(&file, path, &test_error));
    check_two_tensors(file);
    assert_string_equal(tensor_file_path(file), path);
    assert_string_equal(tensor_file_at(file, 0)->path, path);
    tensor_file_close(file);
    tensor_file_close(NULL);
    free(path);
    buffer_free(&b);
    test_folder_remove(folder);
}

/* A header of any length: data that is not aligned is moved, and reads the same. */
static void test_data_may_lie_anywhere(void **state) {
    (void)state;
    char header[sizeof TWO_TENSORS + 8] = TWO_TENSORS;
    for (int shift = 0; shift < 8; shift++) {
        buffer b = build(header, 13, false);
        tensor_file *file;
        void *memory;
        assert_ok(open_bytes(&file, &memory, b.data, b.length));
        check_two_tensors(file);
        tensor_file_close(file);
        free(memory);
        buffer_free(&b);
        strcat(header, " ");
    }
}

static void test_a_file_without_tensors_opens(void **state) {
    (void)state;
    buffer b = build("{}", 0, true);
    tensor_file *file;
    assert_ok(tensor_file_open_bytes(&file, b.data, b.length, "t", &test_error));
    assert_int_equal(tensor_file_count(file), 0);
    assert_null(tensor_file_find(file, "w"));
    tensor_file_close(file);
    buffer_free(&b);
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_lies_are_named(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        c2c_status status;
        const char *message;
    } rows[] = {
        {ENTRY("\"F8_E4M3\"", "[1]", "[0,1]"), 1, C2C_STATUS_UNSUPPORTED, "found \"F8_E4M3\""},
        {ENTRY("7", "[1]", "[0,4]"), 4, C2C_STATUS_BAD_FILE, "\"dtype\": expected a string"},
        {"{\"w\":{}}", 0, C2C_STATUS_BAD_FILE, "\"dtype\": expected a string, found no such key"},
        {"{\"w\":[]}", 0, C2C_STATUS_BAD_FILE, "expected an object, found an array"},
        {ENTRY("\"F32\"", "7", "[0,4]"), 4, C2C_STATUS_BAD_FILE, "\"shape\": expected an array"},
        {ENTRY("\"F32\"", "[1.5]", "[0,4]"), 4, C2C_STATUS_BAD_FILE, "\"shape\": expected integ"},
        {ENTRY("\"F32\"", "[-1]", "[0,4]"), 4, C2C_STATUS_BAD_FILE, "found -1"},
        {ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, C2C_STATUS_UNSUPPORTED,
         "at most 8 dimensions, found 9"},
        {ENTRY("\"F32\"", "[9223372036854775807,2]", "[0,4]"), 4, C2C_STATUS_BAD_FILE,
         "found shape [9223372036854775807, 2]"},
        {ENTRY("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, C2C_STATUS_BAD_FILE,
         "a size that fits"}, /* 2^64 elements: 0 when it overflows */
        {ENTRY("\"F32\"", "[0,4294967296,4294967296]", "[0,0]"), 0, C2C_STATUS_BAD_FILE,
         "a size that fits"}, /* no element, but a row would overflow */
        {ENTRY("\"F32\"", "[18446744073709551617]", "[0,4]"), 4, C2C_STATUS_BAD_FILE,
         "integers that fit in 63 bits, found a number"},
        {ENTRY("\"F32\"", "[2]", "[0,4]"), 4, C2C_STATUS_BAD_FILE,
         "expected 8 bytes for f32 [2], found data_offsets [0, 4]"},
        {ENTRY("\"F32\"", "[1]", "[0,8]"), 4, C2C_STATUS_BAD_FILE, "within 4 bytes of data"},
        {ENTRY("\"F32\"", "[1]", "[4,0]"), 4, C2C_STATUS_BAD_FILE, "found [4, 0]"},
        {ENTRY("\"F32\"", "[1]", "[-4,0]"), 4, C2C_STATUS_BAD_FILE, "found [-4, 0]"},
        {ENTRY("\"F32\"", "[1]", "[0]"), 4, C2C_STATUS_BAD_FILE, "expected two integers"},
        {ENTRY("\"F32\"", "[1]", "\"x\""), 4, C2C_STATUS_BAD_FILE, "expected two integers"},
        {ENTRY("\"F32\"", "[1]", "[4,8]"), 8, C2C_STATUS_BAD_FILE, "byte 0 of the data, found 4"},
        {ENTRY("\"F32\"", "[1]", "[0,4]"), 5, C2C_STATUS_BAD_FILE,
         "expected 4 bytes of data for 1 tensors, found 5"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
         7, C2C_STATUS_BAD_FILE, "overlaps tensor \"a\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         4, C2C_STATUS_BAD_FILE, "overlaps tensor"},
        {"{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, C2C_STATUS_BAD_FILE, "tensor \"w\": expected once, found twice"},
        {"{\"w\\u0000x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         C2C_STATUS_BAD_FILE, "without NUL"},
        {"{\"w\":{\"dtype\":}}", 0, C2C_STATUS_BAD_FILE, "safetensors header: line 1, column 15"},
        {"[]", 0, C2C_STATUS_BAD_FILE, "starts with {"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buffer b = build(rows[i].header, rows[i].data, true);
        tensor_file *file = (tensor_file *)&rows;
        void *memory;
        assert_fails(open_bytes(&file, &memory, b.data, b.length), rows[i].status,
                     "t.safetensors: ", rows[i].message);
        assert_null(file);
        free(memory);
        buffer_free(&b);
    }
}

static void test_a_long_name_leaves_room_for_the_reason(void **state) {
    (void)state;
    buffer header = {0};
    buffer_append_text(&header, "{\"");
    for (int i = 0; i < 5000; i++)
        buffer_append_char(&header, 'n');
    buffer_append_text(&header, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    buffer b = build(header.data, 1, true);
    tensor_file *file;
    assert_fails(tensor_file_open_bytes(&file, b.data, b.length, "t", &test_error),
                 C2C_STATUS_BAD_FILE, "nnn...\": expected a name of at most 512 bytes, found 5000");
    buffer_free(&header);
    buffer_free(&b);
}

static void test_lengths_that_lie(void **state) {
    (void)state;
    static const uint64_t lengths[] = {0, 1000, 100000000, 100000001, INT64_MAX, UINT64_MAX};
    static const char *const messages[] = {"starts with {",     "1000 bytes, found 8",
                                           "is the file trun",  "at most 100000000 bytes",
                                           "at most 100000000", "at most 100000000"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        buffer b = build("{}", 0, true);
        memcpy(b.data, &lengths[i], 8);
        tensor_file *file;
        void *memory;
        assert_fails(open_bytes(&file, &memory, b.data, b.length), C2C_STATUS_BAD_FILE,
                     "t.safetensors", messages[i]);
        free(memory);
        buffer_free(&b);
    }
}

static void test_other_files_are_recognised(void **state) {
    (void)state;
    static const char legacy[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    tensor_file *file;
    void *memory;
    assert_fails(open_bytes(&file, &memory, legacy, sizeof legacy - 1), C2C_STATUS_UNSUPPORTED,
                 "t.safetensors", "before 1.6", "torch.save(torch.load(");
    free(memory);
    assert_fails(open_bytes(&file, &memory, pointer, sizeof pointer - 1), C2C_STATUS_BAD_FILE,
                 "Git LFS pointer", "git lfs pull");
    free(memory);
    for (size_t size = 0; size < 8; size++) {
        assert_fails(open_bytes(&file, &memory, legacy, size), C2C_STATUS_BAD_FILE,
                     "expected a "
                     "safetensors or .pt file",
                     " bytes");
        free(memory);
    }
    assert_fails(tensor_file_open(&file, "no/such.safetensors", &test_error), C2C_STATUS_NOT_FOUND,
                 "no/such.safetensors");
    assert_null(file);
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    buffer b = build(TWO_TENSORS, 13, true);
    for (size_t size = 0; size < b.length; size++) {
        tensor_file *file;
        void *memory;
        assert_fails(open_bytes(&file, &memory, b.data, size), C2C_STATUS_BAD_FILE,
                     "t.safetensors: ");
        free(memory);
    }
    buffer_free(&b);
}

/* Reads every byte of every tensor, so that a view that leaves its file is seen. */
static unsigned sum_bytes(const tensor_file *file) {
    unsigned sum = 0;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const tensor *t = &tensor_file_at(file, i)->view;
        for (size_t k = 0; k < tensor_bytes(t); k++)
            sum += ((const uint8_t *)t->data)[k];
    }
    return sum;
}

static void test_every_changed_byte_is_survived(void **state) {
    (void)state;
    buffer b = build(TWO_TENSORS, 13, true);
    unsigned sum = 0, opened = 0;
    for (size_t at = 0; at < b.length; at++)
        for (int bit = 0; bit < 8; bit++) {
            tensor_file *file;
            void *memory;
            b.data[at] ^= (char)(1 << bit);
            if (open_bytes(&file, &memory, b.data, b.length) == C2C_STATUS_OK) {
                sum += sum_bytes(file);
                opened++;
            }
            b.data[at] ^= (char)(1 << bit);
            tensor_file_close(file);
            free(memory);
        }
    assert_true(sum > 0 && opened > 13 * 8); /* at least those with other data */
    assert_true(opened < b.length * 8);
    buffer_free(&b);
}

/* ---- Folders ------------------------------------------------------------------------------ */

#define SHARD(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"

static void write_shard(const char *folder, const char *file, const char *header) {
    buffer b = build(header, 2, true);
    test_file_write(folder, file, b.data, b.length);
    buffer_free(&b);
}

static void write_index(const char *folder, const char *text) {
    test_file_write(folder, "model.safetensors.index.json", text, strlen(text));
}

static void test_a_folder_of_shards_opens(void **state) {
    (void)state;
    char *folder = test_folder_make();
    tensor_file *file;
    write_shard(folder, "one.safetensors", SHARD("x"));
    write_shard(folder, "two.safetensors", SHARD("b"));
    write_index(folder, "{\"metadata\":{},\"weight_map\":{\"x\":\"one.safetensors\","
                        "\"b\":\"two.safetensors\"}}");
    assert_ok(tensor_folder_open(&file, folder, &test_error));
    assert_int_equal(tensor_file_count(file), 2);
    assert_string_equal(tensor_file_at(file, 0)->name, "b");
    assert_non_null(strstr(tensor_file_at(file, 0)->path, "/two.safetensors"));
    assert_string_equal(tensor_file_path(file), folder);
    tensor_file_close(file);

    write_shard(folder, "model.safetensors", SHARD("single")); /* goes before an index */
    assert_ok(tensor_folder_open(&file, folder, &test_error));
    assert_int_equal(tensor_file_count(file), 1);
    assert_non_null(tensor_file_find(file, "single"));
    tensor_file_close(file);
    test_folder_remove(folder);
}

static void test_an_index_that_lies(void **state) {
    (void)state;
    static const struct {
        const char *index;
        c2c_status status;
        const char *message;
    } rows[] = {
        {"{", C2C_STATUS_BAD_FILE, "is the file truncated?"},
        {"{}", C2C_STATUS_BAD_FILE, "\"weight_map\": expected an object of tensors and their"},
        {"{\"weight_map\":[]}", C2C_STATUS_BAD_FILE, "found an array"},
        {"{\"weight_map\":{}}", C2C_STATUS_BAD_FILE, "found an empty one"},
        {"{\"weight_map\":{\"x\":1}}", C2C_STATUS_BAD_FILE, "expected a file name, found an int"},
        {"{\"weight_map\":{\"x\":\"../one.safetensors\"}}", C2C_STATUS_BAD_FILE,
         "a plain file name in this folder, found \"../one.safetensors\""},
        {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}", C2C_STATUS_BAD_FILE, "plain file name"},
        {"{\"weight_map\":{\"x\":\"..\"}}", C2C_STATUS_BAD_FILE, "plain file name"},
        {"{\"weight_map\":{\"x\":\"\"}}", C2C_STATUS_BAD_FILE, "plain file name"},
        {"{\"weight_map\":{\"x\":\"one.safetensors\\u0000\"}}", C2C_STATUS_BAD_FILE, "plain file"},
        {"{\"weight_map\":{\"x\":\"three.safetensors\"}}", C2C_STATUS_NOT_FOUND,
         "three.safetensors: cannot open"},
        {"{\"weight_map\":{\"x\":\"one.safetensors\",\"y\":\"one.safetensors\"}}",
         C2C_STATUS_BAD_FILE, "tensor \"y\": expected in one.safetensors, found no such tensor"},
        {"{\"weight_map\":{\"x\":\"two.safetensors\"}}", C2C_STATUS_BAD_FILE,
         "tensor \"x\": expected in two.safetensors"},
        {"{\"weight_map\":{\"x\":\"one.safetensors\",\"b\":\"two.safetensors\","
         "\"c\":\"twin.safetensors\",\"x\":\"twin.safetensors\"}}",
         C2C_STATUS_BAD_FILE, "tensor \"c\": expected in twin"},
        {"{\"weight_map\":{\"x\":\"one.safetensors\",\"x\":\"twin.safetensors\"}}",
         C2C_STATUS_BAD_FILE, "tensor \"x\": expected in one file, found in"},
    };
    char *folder = test_folder_make();
    write_shard(folder, "one.safetensors", SHARD("x"));
    write_shard(folder, "twin.safetensors", SHARD("x"));
    write_shard(folder, "two.safetensors", SHARD("b"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tensor_file *file = (tensor_file *)&rows;
        write_index(folder, rows[i].index);
        assert_fails(tensor_folder_open(&file, folder, &test_error), rows[i].status, folder,
                     rows[i].message);
        assert_null(file);
    }
    test_folder_remove(folder);
}

static void test_a_folder_without_weights(void **state) {
    (void)state;
    char *folder = test_folder_make();
    tensor_file *file;
    assert_fails(tensor_folder_open(&file, folder, &test_error), C2C_STATUS_NOT_FOUND, folder,
                 "model.safetensors", "model.safetensors.index.json", "neither");
    test_file_write(folder, "pytorch_model.bin", "PK", 2);
    assert_fails(tensor_folder_open(&file, folder, &test_error), C2C_STATUS_UNSUPPORTED, folder,
                 "found pytorch_model.bin", "save_pretrained");
    char *missing = path_join(folder, "missing"), *plain = path_join(folder, "pytorch_model.bin");
    assert_fails(tensor_folder_open(&file, missing, &test_error), C2C_STATUS_NOT_FOUND,
                 "expected a model folder, found nothing");
    assert_fails(tensor_folder_open(&file, plain, &test_error), C2C_STATUS_NOT_FOUND,
                 "expected a model folder, found a file");
    free(missing);
    free(plain);
    test_folder_remove(folder);
}

/* ---- Size --------------------------------------------------------------------------------- */

/* Only the header of a mapped file is read: a terabyte opens, on a disk that has not that much. */
static void test_a_large_file_is_not_read(void **state) {
    (void)state;
    buffer b = build("{\"w\":{\"dtype\":\"F32\",\"shape\":[262144,1048576],"
                     "\"data_offsets\":[0,1099511627776]}}",
                     0, true);
    char *folder = test_folder_make();
    test_file_write(folder, "t.safetensors", b.data, b.length);
    char *path = path_join(folder, "t.safetensors");
    tensor_file *file;
    bool sparse = truncate(path, (off_t)(b.length + ((uint64_t)1 << 40))) == 0;
    if (sparse) {
        assert_ok(tensor_file_open(&file, path, &test_error));
        const tensor *w = &tensor_file_at(file, 0)->view;
        assert_true(tensor_bytes(w) == (size_t)1 << 40);
        assert_true(tensor_get_f32(w, ((int64_t)1 << 38) - 1) == 0);
        tensor_file_close(file);
    }
    free(path);
    buffer_free(&b);
    test_folder_remove(folder);
    if (!sparse) {
        print_message("SKIP: the disk takes no sparse file of a terabyte\n");
        skip();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_opens),
        cmocka_unit_test(test_data_may_lie_anywhere),
        cmocka_unit_test(test_a_file_without_tensors_opens),
        cmocka_unit_test(test_lies_are_named),
        cmocka_unit_test(test_a_long_name_leaves_room_for_the_reason),
        cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_other_files_are_recognised),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_changed_byte_is_survived),
        cmocka_unit_test(test_a_folder_of_shards_opens),
        cmocka_unit_test(test_an_index_that_lies),
        cmocka_unit_test(test_a_folder_without_weights),
        cmocka_unit_test(test_a_large_file_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
