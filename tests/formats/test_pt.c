/* .pt files: what PyTorch writes opens and reads right; what each lie is answered with, in the
 * archive, in the pickle and in what the pickle says of its tensors. */
#include "formats/archive.h"
#include "formats/tensor_file.h"

#include <dirent.h>

static const float numbers[8] = {1, 2, 3, 4, 5, 6, 7, -0.5f};

/* A matrix; two tensors that share its storage, one with odd strides where they do not count; a
 * number alone; nothing at all; a parameter. */
static const pickled tensors[] = {
    {"w", "FloatStorage", "0", 8, 0, 2, {2, 3}, {3, 1}, false},
    {"tail", "FloatStorage", "0", 8, 6, 3, {1, 2, 1}, {77, 1, -5}, false},
    {"gate", "BFloat16Storage", "1", 1, 0, 0, {0}, {0}, false},
    {"none", "LongStorage", "2", 0, 0, 2, {3, 0}, {9, 9}, false},
    {"p", "FloatStorage", "0", 8, 7, 1, {1}, {1}, true},
};
#define TENSORS (sizeof tensors / sizeof *tensors)

/* The archive of a state dict of `count` tensors over the three storages above. */
static archive build(const pickled *list, size_t count, bool plain, size_t alignment) {
    archive a = {.plain = plain, .alignment = alignment};
    buffer pickle = pickle_state_dict(list, count);
    archive_add(&a, "m/data.pkl", pickle.data, pickle.length);
    archive_add(&a, "m/byteorder", "little", 6);
    archive_add(&a, "m/data/0", numbers, sizeof numbers);
    archive_add(&a, "m/data/1", "\x80\x3f", 2); /* 1.0 in bf16 */
    archive_add(&a, "m/data/2", "", 0);
    archive_add(&a, "m/version", "3\n", 2);
    archive_end(&a);
    buffer_free(&pickle);
    return a;
}

/* Opens exactly these bytes, in memory of exactly their size for the sanitizers to guard. */
static c2c_status open_bytes(tensor_file **file, void **memory, const void *bytes, size_t size) {
    *memory = malloc(size ? size : 1);
    assert_non_null(*memory);
    memcpy(*memory, bytes, size);
    return tensor_file_open_bytes(file, *memory, size, "t.pt", &test_error);
}

/* Frees the archive. */
static void expect(archive a, c2c_status status, const char *message) {
    tensor_file *file = (tensor_file *)&a;
    void *memory;
    assert_fails(open_bytes(&file, &memory, a.bytes.data, a.bytes.length), status,
                 "t.pt: ", message);
    assert_null(file);
    free(memory);
    buffer_free(&a.bytes);
}

/* ---- What opens --------------------------------------------------------------------------- */

static const tensor *find(const tensor_file *file, const char *name, const char *shape) {
    char text[TENSOR_SHAPE_TEXT];
    const named_tensor *t = tensor_file_find(file, name);
    assert_non_null(t);
    assert_string_equal(tensor_shape_text(&t->view, text), shape);
    assert_int_equal((uintptr_t)t->view.data % dtype_size(t->view.type), 0);
    return &t->view;
}

static void test_state_dicts_open(void **state) {
    (void)state;
    /* Without alignment the storages lie anywhere: they are moved, and read the same. */
    for (int form = 0; form < 8; form++) {
        archive a = build(tensors, TENSORS, form & 1, form < 6 ? (size_t)1 << form : 64);
        tensor_file *file;
        void *memory;
        assert_ok(open_bytes(&file, &memory, a.bytes.data, a.bytes.length));
        assert_int_equal(tensor_file_count(file), TENSORS);
        assert_string_equal(tensor_file_at(file, 0)->name, "gate");
        const tensor *w = find(file, "w", "[2, 3]"), *tail = find(file, "tail", "[1, 2, 1]");
        for (int i = 0; i < 6; i++)
            assert_true(tensor_get_f32(w, i) == numbers[i]);
        assert_true(tensor_get_f32(tail, 0) == 7 && tensor_get_f32(tail, 1) == -0.5f);
        assert_ptr_equal((const float *)w->data + 6, tail->data); /* one storage, also if moved */
        assert_true(tensor_get_f32(find(file, "p", "[1]"), 0) == -0.5f);
        assert_true(tensor_get_f32(find(file, "gate", "[]"), 0) == 1);
        assert_int_equal(tensor_bytes(find(file, "none", "[3, 0]")), 0);
        tensor_file_close(file);
        free(memory);
        buffer_free(&a.bytes);
    }
}

static void test_other_ways_to_write_the_same(void **state) {
    (void)state;
    static const char *const prefixes[] = {"data.pkl", "data/0", "archive/data.pkl",
                                           "archive/data/0"};
    /* Protocol 4: a frame, short strings, names from the stack, MEMOIZE; a plain dict. */
    static const char pickle[] =
        "\x80\x04\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1w\x94\x8c\x0ctorch._utils\x94"
        "\x8c\x12_rebuild_tensor_v2\x94\x93\x94((\x8c\7storage\x94\x8c\5torch\x94"
        "\x8c\x0b"
        "HalfStorage\x94\x93\x94\x8c\1"
        "0\x94\x8c\3cpu\x94K\2t\x94QK\0K\2\x85\x94K\1"
        "\x85\x94\x89N}t\x94R\x94u.";
    for (int i = 0; i < 4; i += 2) {
        archive a = {.plain = true};
        tensor_file *file;
        archive_add(&a, prefixes[i], pickle, sizeof pickle - 1);
        archive_add(&a, prefixes[i + 1], "\x00\x3c\x00\xc0", 4);
        archive_end(&a);
        assert_ok(tensor_file_open_bytes(&file, a.bytes.data, a.bytes.length, "t", &test_error));
        const tensor *w = find(file, "w", "[2]");
        assert_int_equal(w->type, DTYPE_F16);
        assert_true(tensor_get_f32(w, 0) == 1 && tensor_get_f32(w, 1) == -2);
        tensor_file_close(file);
        buffer_free(&a.bytes);
    }
}

/* ---- What the pickle says of a tensor ----------------------------------------------------- */

static void test_tensors_that_lie(void **state) {
    (void)state;
    static const struct {
        pickled tensor;
        c2c_status status;
        const char *message;
    } rows[] = {
        {{"w", "FloatStorage", "0", 8, 0, 2, {3, 3}, {3, 1}, false},
         C2C_STATUS_BAD_FILE,
         "f32 [3, 3] inside its storage of 32 bytes, found it at element 0"},
        {{"w", "FloatStorage", "0", 8, 7, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "found it at element 7"},
        {{"w", "FloatStorage", "0", 8, -1, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "found it at element -1"},
        {{"w", "FloatStorage", "0", 8, INT64_MAX, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "inside its storage"},
        {{"w", "FloatStorage", "0", 8, (int64_t)1 << 62, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "inside its storage"}, /* times four it is 0 again */
        {{"w", "FloatStorage", "0", 8, 9, 1, {0}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "inside its storage"},
        {{"w", "FloatStorage", "0", 9, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "a storage of 9 elements of f32, found 32 bytes in \"m/data/0\""},
        {{"w", "DoubleStorage", "0", 8, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "8 elements of f64, found 32 bytes"},
        {{"w", "FloatStorage", "0", -8, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "a storage key and a number of elements"},
        {{"w", "FloatStorage", "0", ((int64_t)1 << 62) + 8, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "a storage of 4611686018427387912 elements"},
        {{"w", "FloatStorage", "7", 8, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "expected its storage as member \"data/7\", found none"},
        {{"w", "FloatStorage", "../version", 8, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "\"data/../version\", found none"},
        {{"w", "FloatStorage", "0", 8, 0, 2, {2, 3}, {1, 2}, false},
         C2C_STATUS_UNSUPPORTED,
         "expected stride 1 for dimension 1, found 2; save it with .contiguous()"},
        {{"w", "FloatStorage", "0", 8, 0, 2, {2, 3}, {0, 1}, false},
         C2C_STATUS_UNSUPPORTED,
         "expected stride 3 for dimension 0, found 0"},
        {{"w", "FloatStorage", "0", 8, 0, 1, {-2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "a shape of numbers >= 0"},
        {{"w", "FloatStorage", "0", 8, 0, 2, {(int64_t)1 << 32, (int64_t)1 << 32}, {1, 1}, false},
         C2C_STATUS_BAD_FILE,
         "a size that fits in memory, found shape [4294967296, 4294967296]"},
        {{"w", "FloatStorage", "0", 8, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}, false},
         C2C_STATUS_UNSUPPORTED,
         "at most 8 dimensions, found 9"},
        {{"w", "ComplexFloatStorage", "0", 4, 0, 1, {2}, {1}, false},
         C2C_STATUS_BAD_FILE,
         "found the name \"torch.ComplexFloatStorage\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(build(&rows[i].tensor, 1, false, 64), rows[i].status, rows[i].message);
    pickled twice[2] = {tensors[0], tensors[0]};
    expect(build(twice, 2, false, 64), C2C_STATUS_BAD_FILE, "\"w\": expected once, found twice");
}

/* ---- Pickles ------------------------------------------------------------------------------ */

/* An archive with this pickle and nothing else. */
static archive pickle_alone(const char *pickle, size_t size) {
    archive a = {.plain = true};
    archive_add(&a, "m/data.pkl", pickle, size);
    archive_end(&a);
    return a;
}

static void test_pickles_that_ask_for_more(void **state) {
    (void)state;
#define PICKLE(text) text, sizeof text - 1
    static const struct {
        const char *pickle;
        size_t size;
        const char *message;
    } rows[] = {
        {PICKLE("\x80\x02"
                "cposix\nsystem\nX\2\0\0\0id\x85R."),
         "found the name \"posix.system\"; save only model.state_dict()"},
        {PICKLE("\x80\x04\x8c\2os\x8c\6system\x93."), "\"os.system\""},
        {PICKLE("\x80\x02"
                "cbuiltins\neval\n."),
         "\"builtins.eval\""},
        {PICKLE("\x80\x02"
                "ctorch._utils\n_rebuild_tensor\n."),
         "_rebuild_tensor\""},
        {PICKLE("\x80\x02"
                "c\xff\nx\n."),
         "a name in UTF-8"},
        {PICKLE("\x80\x02"
                "ctorch"),
         "expected a name, found the end"},
        {PICKLE("\x80\x02"
                "ctorch\nFloatStorage\n)R."),
         "storage type by itself"},
        {PICKLE("\x80\x02"
                "ccollections\nOrderedDict\nK\1\x85R."),
         "without arguments"},
        {PICKLE("\x80\x02K\1)R."), "a function and a tuple"},
        {PICKLE("\x80\x02K\1}b."), "attributes on a dict only"},
        {PICKLE("\x80\x02]."), "expected a dict of tensors, found a list"},
        {PICKLE("\x80\x02K\1."), "expected a dict of tensors, found an integer"},
        {PICKLE("\x80\x02}X\1\0\0\0eK\3s."), "\"e\": expected a tensor, found an integer"},
        {PICKLE("\x80\x02}X\5\0\0\0model}s."), "\"model\": expected a tensor, found a dict"},
        {PICKLE("\x80\x02}K\1K\3s."), "named by strings, found an integer as a name"},
        {PICKLE("\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n)Rs."), "six or seven"},
        {PICKLE("\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_parameter\n)Rs."), "three arguments"},
        {PICKLE("\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_parameter\nNNN\x87Rs."),
         "expected a tensor, found None"},
        {PICKLE("\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtRs."),
         "a storage of five parts"},
        {PICKLE("\x80\x02K\1Q."), "a storage as a tuple"},
        {PICKLE("\x80\x01K\1."), "protocol 2 to 5"},
        {PICKLE("\x80\x02\x81."), "found 0x81"}, /* NEWOBJ */
        {PICKLE("\x80\x02i."), "found 0x69"},    /* INST */
        {PICKLE("\x80\x02."), "one value at the end"},
        {PICKLE("\x80\x02}}."), "one value at the end"},
        {PICKLE("\x80\x02(}."), "one value at the end"},
        {PICKLE("\x80\x02}"), "found the end; is the file truncated?"},
        {PICKLE("\x80\x02R."), "found too few"},
        {PICKLE("\x80\x02}(K\1us."), "pairs to put in"},
        {PICKLE("\x80\x02K\1(K\1\x86."), "found too few"}, /* not across a mark */
        {PICKLE("\x80\x02}t."), "expected a mark"},
        {PICKLE("\x80\x02K\1K\1a."), "a list to append to"},
        {PICKLE("\x80\x02h\7."), "expected a remembered value"},
        {PICKLE("\x80\x02q\0."), "found too few"},
        {PICKLE("\x80\x02}r\xff\xff\xff\xff."), "four million remembered"},
        {PICKLE("\x80\x02X\xff\xff\xff\xff."), "found the end"},
        {PICKLE("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "found the end"},
        {PICKLE("\x80\x02X\1\0\0\0\xff."), "text in UTF-8"},
        {PICKLE("\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\1."), "at most 64 bits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(pickle_alone(rows[i].pickle, rows[i].size), C2C_STATUS_BAD_FILE, rows[i].message);
}

static void test_pickles_are_bounded(void **state) {
    (void)state;
    size_t size = (16u << 20) + 1;
    char *pickle = malloc(size);
    assert_non_null(pickle);
    memset(pickle, '(', size);
    expect(pickle_alone(pickle, 1000), C2C_STATUS_BAD_FILE, "at most 256 nested levels");
    memset(pickle, ')', size);
    expect(pickle_alone(pickle, 2u << 20), C2C_STATUS_BAD_FILE, "over a million values");
    expect(pickle_alone(pickle, size), C2C_STATUS_UNSUPPORTED, "at most 16777216 bytes");
    free(pickle);
}

/* A list that holds itself is a value like any other: nothing here may follow it for ever. */
static void test_a_list_in_itself_is_refused(void **state) {
    (void)state;
    static const char pickle[] = "\x80\x02}X\1\0\0\0w]q\0h\0as.";
    expect(pickle_alone(pickle, sizeof pickle - 1), C2C_STATUS_BAD_FILE,
           "expected a tensor, found a list");
}

/* ---- Archives ----------------------------------------------------------------------------- */

/* Sets `width` bytes at `at` of a good archive. */
static void expect_changed(size_t at, int width, uint64_t value, bool plain, c2c_status status,
                           const char *message) {
    archive a = build(tensors, TENSORS, plain, 64);
    for (int i = 0; i < width; i++)
        a.bytes.data[at + (size_t)i] = (char)(value >> (8 * i));
    expect(a, status, message);
}

static void test_archives_that_lie(void **state) {
    (void)state;
    archive a = build(tensors, TENSORS, false, 64), b = build(tensors, TENSORS, true, 64);
    const c2c_status bad = C2C_STATUS_BAD_FILE, no = C2C_STATUS_UNSUPPORTED;
    size_t local = a.local[2], central = a.central[2]; /* of "m/data/0" */
    /* The central directory about a member. */
    expect_changed(central, 4, 0, false, bad, "another entry of the central directory");
    expect_changed(central + 10, 2, 8, false, no,
                   "\"m/data/0\": expected stored bytes (method 0), "
                   "found compression method 8");
    expect_changed(central + 8, 2, 0x0809, false, no,
                   "\"m/data/0\": expected stored bytes, found "
                   "encrypted");
    expect_changed(central + 20, 4, 31, false, bad, "as many stored bytes as its size");
    expect_changed(central + 20, 8, 0x0000001f0000001full, false, bad,
                   "8 elements of f32, found 31 bytes"); /* both sizes: the pickle knows better */
    expect_changed(central + 20, 8, 0x1000000010000000ull, false, bad, "its data in front of");
    expect_changed(central + 20, 8, UINT64_MAX, false, bad, "a zip64 extra field with its sizes");
    expect_changed(central + 28, 2, 0xffff, false, bad, "one that leaves it");
    expect_changed(central + 34, 2, 1, false, bad, "expected one disk");
    expect_changed(central + 42, 4, 0x7fffffff, false, bad, "a local header in front of");
    expect_changed(central + 42, 4, (uint64_t)local + 1, false, bad, "where the directory says");
    expect_changed(central + 42, 4, (uint64_t)a.local[1], false, bad, "the same name");
    expect_changed(central + 46, 1, 0xff, false, bad, "names in UTF-8");
    expect_changed(central + 46 + 7, 1, '1', false, bad, "the same name in its local header");
    /* The local header. */
    expect_changed(local + 8, 2, 8, false, bad, "same size and method in its local header");
    expect_changed(local + 6, 2, 0, false, bad, "same size and method in its local header");
    expect_changed(local + 18, 4, 5, false, bad, "same size and method in its local header");
    expect_changed(local + 26, 2, 9, false, bad, "the same name");
    expect_changed(local + 28, 2, 0xffff, false, bad, "its data in front of the central directory");
    expect_changed(b.local[2] + 22, 4, 33, true, bad, "same size and method in its local header");
    /* The end records. */
    expect_changed(a.end + 4, 2, 1, false, bad, "expected one disk");
    expect_changed(a.end + 12, 4, 7, false, bad, "agree with the short one");
    expect_changed(a.end64, 4, 7, false, bad, "a zip64 end record where the locator says");
    expect_changed(a.end64 + 4, 8, 43, false, bad, "reach to its locator");
    expect_changed(a.locator + 8, 8, UINT64_MAX, false, bad, "where the locator says");
    expect_changed(a.end64 + 24, 8, 7, false, bad, "expected one disk");
    expect_changed(b.end + 16, 4, 7, true, bad, "central directory to lie in front of its end");
    expect_changed(b.end + 8, 4, 0x00070007, true, bad, "another entry of the central directory");
    expect_changed(b.end + 8, 4, 0x00050005, true, bad, "to end with its last member, found more");
    expect_changed(b.end + 8, 4, 0xffffffff, true, bad, "as many members as fit");
    expect_changed(b.end, 4, 7, true, bad, "an end of central directory, found none");
    buffer_free(&a.bytes);
    buffer_free(&b.bytes);
}

static void test_members_that_are_missing_or_twice(void **state) {
    (void)state;
    archive a = {.plain = true};
    archive_add(&a, "m/x", "", 0);
    archive_end(&a);
    expect(a, C2C_STATUS_BAD_FILE, "with NAME/data.pkl, found none");
    a = (archive){.plain = true};
    archive_add(&a, "a/data.pkl", "", 0);
    archive_add(&a, "b/data.pkl", "", 0);
    archive_end(&a);
    expect(a, C2C_STATUS_BAD_FILE, "expected one data.pkl");
    a = (archive){.plain = true};
    archive_add(&a, "a/b/data.pkl", "", 0);
    archive_add(&a, "a/xdata.pkl", "", 0);
    archive_end(&a);
    expect(a, C2C_STATUS_BAD_FILE, "found none");
    a = (archive){.plain = true};
    archive_add(&a, "m/x", "", 0);
    archive_add(&a, "m/x", "", 0);
    archive_end(&a);
    expect(a, C2C_STATUS_BAD_FILE, "zip member \"m/x\": expected once, found twice");
    a = (archive){.plain = true};
    archive_end(&a);
    expect(a, C2C_STATUS_BAD_FILE, "with NAME/data.pkl, found none");
    a = (archive){.plain = true};
    archive_add(&a, "m/data.pkl", "", 0);
    archive_add(&a, "m/byteorder", "big", 3);
    archive_end(&a);
    expect(a, C2C_STATUS_UNSUPPORTED, "byteorder: expected \"little\"");
}

/* One member's bytes hold a whole other member: each is good by itself. */
static void test_members_that_overlap(void **state) {
    (void)state;
    archive inner = {.plain = true}, outer = {.plain = true};
    archive_add(&inner, "m/b", "data", 4);
    archive_add(&outer, "m/a", inner.bytes.data, inner.bytes.length);
    outer.names[1] = "m/b";
    outer.sizes[1] = 4;
    outer.local[1] = 30 + 3 + 4; /* inside the first member's data */
    outer.count = 2;
    archive_end(&outer);
    buffer_free(&inner.bytes);
    expect(outer, C2C_STATUS_BAD_FILE, "zip members \"m/a\" and \"m/b\" overlap");
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        archive a = build(tensors, TENSORS, plain, 64);
        for (size_t size = 0; size < a.bytes.length; size++) {
            tensor_file *file;
            void *memory;
            assert_fails(open_bytes(&file, &memory, a.bytes.data, size), C2C_STATUS_BAD_FILE,
                         "t.pt: ");
            free(memory);
        }
        buffer_free(&a.bytes);
    }
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
    archive a = build(tensors, TENSORS, false, 64);
    unsigned sum = 0, opened = 0;
    for (size_t at = 0; at < a.bytes.length; at++)
        for (int bit = 0; bit < 8; bit++) {
            tensor_file *file;
            void *memory;
            a.bytes.data[at] ^= (char)(1 << bit);
            if (open_bytes(&file, &memory, a.bytes.data, a.bytes.length) == C2C_STATUS_OK) {
                sum += sum_bytes(file);
                opened++;
            }
            a.bytes.data[at] ^= (char)(1 << bit);
            tensor_file_close(file);
            free(memory);
        }
    assert_true(sum > 0 && opened > sizeof numbers * 8); /* at least those with other data */
    assert_true(opened < a.bytes.length * 8);
    buffer_free(&a.bytes);
}

/* ---- Files that PyTorch wrote ------------------------------------------------------------- */

/* Opens every tensor file under `folder`; returns how many there are. */
static size_t open_all(const char *folder) {
    DIR *dir = opendir(folder);
    size_t count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = path_join(folder, entry->d_name);
        const char *end = strrchr(entry->d_name, '.');
        if (folder_exists(path)) {
            count += open_all(path);
        } else if (end && (strcmp(end, ".pt") == 0 || strcmp(end, ".safetensors") == 0)) {
            tensor_file *file;
            assert_ok(tensor_file_open(&file, path, &test_error));
            assert_true(tensor_file_count(file) > 0);
            tensor_file_close(file);
            count++;
        }
        free(path);
    }
    closedir(dir);
    return count;
}

/* Some elements of a projector, as PyTorch has them when it reads the same file. */
typedef struct projector_values {
    int64_t hidden;
    float in_0, in_3, in_last, bias_last, value_gate;
} projector_values;

static void check_projector(const char *path, const projector_values *v) {
    tensor_file *file;
    assert_ok(tensor_file_open(&file, path, &test_error));
    assert_int_equal(tensor_file_count(file), 33);
    char shape[32];
    snprintf(shape, sizeof shape, "[%lld, 128]", (long long)v->hidden);
    const tensor *in = find(file, "key_in.weight", shape);
    const tensor *bias = find(file, "value_proj_out.bias", "[64]");
    assert_int_equal(in->type, DTYPE_BF16);
    assert_true(tensor_get_f32(in, 0) == v->in_0);
    assert_true(tensor_get_f32(in, 3) == v->in_3);
    assert_true(tensor_get_f32(in, v->hidden * 128 - 1) == v->in_last);
    assert_true(tensor_get_f32(bias, 63) == v->bias_last);
    assert_true(tensor_get_f32(find(file, "gate_temperature", "[]"), 0) == 0.00099945068359375f);
    assert_true(tensor_get_f32(find(file, "value_gate_logit", "[]"), 0) == v->value_gate);
    tensor_file_close(file);
}

/* Written by this program. */
static void test_the_demo_pair_reads_right(void **state) {
    (void)state;
    static const projector_values values = {
        128,        -0.0267333984375f, -0.00469970703125f, -0.007781982421875f, -0.059814453125f,
        0.58984375f};
    assert_true(open_all("share/demo") >= 6);
    check_projector("share/demo/fuser/final/projector_0.pt", &values);
}

/* Written by torch.save on a GPU. */
static void test_a_file_of_the_original_reads_right(void **state) {
    (void)state;
    static const projector_values values = {
        192, 0.00775146484375f, -0.0556640625f, -0.08642578125f, -0.060791015625f, 0.38671875f};
    const char *golden = test_shared("golden");
    char *path = golden ? path_join(golden, "demo_pair/fuser/final/projector_0.pt") : NULL;
    if (!path || !file_exists(path)) {
        free(path);
        printf("SKIP: no demo_pair with the golden files\n");
        skip();
    }
    check_projector(path, &values);
    free(path);
}

static void test_every_golden_file_opens(void **state) {
    (void)state;
    const char *golden = test_shared("golden");
    if (!golden) {
        print_message("SKIP: no golden folder\n");
        skip();
    }
    char *folder = path_join(golden, ""); /* test_shared's text does not last */
    assert_true(open_all(folder) > 0);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_dicts_open),
        cmocka_unit_test(test_other_ways_to_write_the_same),
        cmocka_unit_test(test_tensors_that_lie),
        cmocka_unit_test(test_pickles_that_ask_for_more),
        cmocka_unit_test(test_pickles_are_bounded),
        cmocka_unit_test(test_a_list_in_itself_is_refused),
        cmocka_unit_test(test_archives_that_lie),
        cmocka_unit_test(test_members_that_are_missing_or_twice),
        cmocka_unit_test(test_members_that_overlap),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_changed_byte_is_survived),
        cmocka_unit_test(test_the_demo_pair_reads_right),
        cmocka_unit_test(test_a_file_of_the_original_reads_right),
        cmocka_unit_test(test_every_golden_file_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
