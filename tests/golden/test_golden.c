/* The golden runner itself: a copy of a good case passes, and every kind of change to it fails. The
 * runner is started as a program, since its exit status and last line are what others read. */
#include "support/test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/formats.h"

#define GOOD_MODEL "tests/golden/data/models/tiny-qwen3"

/* ---- Files -------------------------------------------------------------------------------- */

static char *file_read(const char *path, size_t *size) {
    file_map map = {0};
    assert_ok(file_map_open(&map, path, &test_error));
    char *bytes = malloc(map.size + 1);
    assert_non_null(bytes);
    memcpy(bytes, map.data, map.size);
    bytes[map.size] = '\0';
    *size = map.size;
    file_map_close(&map);
    return bytes;
}

static void file_put(const char *from, const char *folder, const char *name) {
    size_t size = 0;
    char *bytes = file_read(from, &size);
    test_file_write(folder, name, bytes, size);
    free(bytes);
}

static void folder_add(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

/* Copies the files of a folder, not its folders. */
static void files_copy(const char *from, const char *to) {
    DIR *dir = opendir(from);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *path = path_join(from, entry->d_name);
        if (file_exists(path))
            file_put(path, to, entry->d_name);
        free(path);
    }
    closedir(dir);
}

/* A golden folder and the one model in it, which is a copy of a good one. */
typedef struct copy {
    char *root, *model;
} copy;

static int copy_make(void **state) {
    copy *c = calloc(1, sizeof *c);
    c->root = test_folder_make();
    folder_add(c->root, "models");
    folder_add(c->root, "models/one");
    c->model = path_join(c->root, "models/one");
    files_copy(GOOD_MODEL, c->model);
    *state = c;
    return 0;
}

static int copy_remove(void **state) {
    copy *c = *state;
    test_folder_remove(c->root);
    free(c->model);
    free(c);
    return 0;
}

static void model_file_write(const copy *c, const char *name, const char *text) {
    test_file_write(c->model, name, text, strlen(text));
}

/* Replaces the first `from` of a file of the model. */
static void model_file_edit(const copy *c, const char *name, const char *from, const char *to) {
    char *path = path_join(c->model, name);
    size_t size = 0;
    char *bytes = file_read(path, &size), *place = NULL;
    for (size_t i = 0; !place && i + strlen(from) <= size; i++)
        if (memcmp(bytes + i, from, strlen(from)) == 0)
            place = bytes + i;
    assert_non_null(place);
    buffer out = {0};
    buffer_append(&out, bytes, (size_t)(place - bytes));
    buffer_append_text(&out, to);
    buffer_append(&out, place + strlen(from), size - (size_t)(place - bytes) - strlen(from));
    assert_false(out.failed);
    test_file_write(c->model, name, out.data, out.length);
    buffer_free(&out);
    free(bytes);
    free(path);
}

/* The bytes of one tensor of a safetensors file in memory, found as its format says. */
static char *tensor_bytes_find(char *file, const char *name, size_t *size) {
    uint64_t header = 0;
    char key[64];
    unsigned long long begin = 0, end = 0;
    memcpy(&header, file, sizeof header);
    snprintf(key, sizeof key, "\"%s\":", name);
    char *entry = strstr(file + 8, key);
    assert_non_null(entry);
    char *offsets = strstr(entry, "\"data_offsets\":[");
    assert_non_null(offsets);
    assert_int_equal(sscanf(offsets, "\"data_offsets\":[%llu,%llu]", &begin, &end), 2);
    *size = (size_t)(end - begin);
    return file + 8 + header + begin;
}

/* Overwrites bytes of a tensor of expected.safetensors; `at` counts from its end when negative. */
static void tensor_patch(const char *folder, const char *name, long at, const void *bytes,
                         size_t count) {
    char *path = path_join(folder, "expected.safetensors");
    size_t size = 0, tensor_size = 0;
    char *file = file_read(path, &size);
    char *tensor = tensor_bytes_find(file, name, &tensor_size);
    memcpy(tensor + (at < 0 ? (long)tensor_size + at : at), bytes, count);
    test_file_write(folder, "expected.safetensors", file, size);
    free(file);
    free(path);
}

static void expected_patch(const copy *c, const char *name, long at, const void *bytes,
                           size_t count) {
    tensor_patch(c->model, name, at, bytes, count);
}

/* The last number of an f32 tensor, or element i of an i64 one. */
static float expected_last(const char *name) {
    size_t size = 0, tensor_size = 0;
    char *file = file_read(GOOD_MODEL "/expected.safetensors", &size);
    char *tensor = tensor_bytes_find(file, name, &tensor_size);
    float value;
    memcpy(&value, tensor + tensor_size - sizeof value, sizeof value);
    free(file);
    return value;
}

static int64_t expected_id(const char *name, size_t i) {
    size_t size = 0, tensor_size = 0;
    char *file = file_read(GOOD_MODEL "/expected.safetensors", &size);
    char *tensor = tensor_bytes_find(file, name, &tensor_size);
    int64_t value;
    assert_true((i + 1) * sizeof value <= tensor_size);
    memcpy(&value, tensor + i * sizeof value, sizeof value);
    free(file);
    return value;
}

/* ---- The program -------------------------------------------------------------------------- */

static buffer output;

static int run_golden(const char *arguments) {
    const char *build = getenv("C2C_BUILD");
    char *command = NULL;
    buffer text = {0};
    buffer_printf(&text, "'%s/tests/golden/run_golden' %s 2>&1", build ? build : "build",
                  arguments);
    command = buffer_take(&text, NULL);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    free(command);
    buffer_clear(&output);
    char part[4096];
    for (size_t count; (count = fread(part, 1, sizeof part, pipe)) > 0;)
        buffer_append(&output, part, count);
    buffer_append(&output, "", 1);
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_run(int line, const copy *c, int code, const char *holds) {
    char arguments[4400];
    snprintf(arguments, sizeof arguments, "'%s'", c->root);
    int got = run_golden(arguments);
    if (got != code || !strstr(output.data, holds))
        fail_msg("line %d: expected exit %d and \"%s\", got exit %d and:\n%s", line, code, holds,
                 got, output.data);
}
#define assert_run(c, code, holds) check_run(__LINE__, c, code, holds)

/* ---- Numbers ------------------------------------------------------------------------------ */

static void test_a_good_copy_passes(void **state) {
    assert_run(*state, 0, "PASS models/one/expected (worst ");
    assert_run(*state, 0, "PASS models/one/encode\n");
    assert_run(*state, 0, "\n3 passed, 0 failed, 0 skipped\n");
}

static void test_a_changed_number_fails(void **state) {
    const char *names[] = {"logits", "key.0", "value.0", "key.3", "value.3", "decode_logits"};
    copy *c = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char message[128];
        float good = expected_last(names[i]), size = fabsf(good) > 1 ? fabsf(good) : 1;
        /* Ours is within 2e-5 of a right number (it passes above with far less): a change of half
         * the tolerance must pass, one of twice the tolerance must not. */
        float near = good + 5e-5f * size, far = good + 2e-4f * size, none = NAN;
        expected_patch(c, names[i], -4, &near, 4);
        assert_run(c, 0, "PASS models/one/expected");
        snprintf(message, sizeof message, "FAIL models/one/expected: %s[", names[i]);
        expected_patch(c, names[i], -4, &far, 4);
        assert_run(c, 1, message);
        expected_patch(c, names[i], -4, &none, 4);
        assert_run(c, 1, message);
        expected_patch(c, names[i], -4, &good, 4);
    }
    assert_run(c, 0, "PASS models/one/expected");
}

static void test_changed_ids_fail(void **state) {
    copy *c = *state;
    int64_t good = expected_id("greedy_ids", 7), other = good == 7 ? 8 : 7;
    expected_patch(c, "greedy_ids", 7 * 8, &other, 8);
    assert_run(c, 1, "FAIL models/one/expected: greedy_ids[7]: expected ");
    expected_patch(c, "greedy_ids", 7 * 8, &good, 8);
    int64_t first = expected_id("input_ids", 0);
    other = first == 7 ? 8 : 7;
    expected_patch(c, "input_ids", 0, &other, 8);
    assert_run(c, 1, "FAIL models/one/expected: logits[");
    other = INT64_MAX;
    expected_patch(c, "input_ids", 0, &other, 8);
    assert_run(c, 1, "is no token id");
}

/* With a token of the answer as end-of-sequence id, the original would have written pads after it.
 */
static void test_an_answer_ends_with_pads(void **state) {
    copy *c = *state;
    char text[128];
    long long eos = (long long)expected_id("greedy_ids", 1), pad = 555;
    assert_int_not_equal(eos, expected_id("greedy_ids", 0));
    snprintf(text, sizeof text, "{\"eos_token_id\": [%lld], \"pad_token_id\": %lld}", eos, pad);
    model_file_write(c, "generation_config.json", text);
    assert_run(c, 1, "the original goes on with");
    for (long i = 2; i < 24; i++)
        expected_patch(c, "greedy_ids", i * 8, &pad, 8);
    assert_run(c, 0, "PASS models/one/expected");
}

static void test_every_tensor_is_compared(void **state) {
    copy *c = *state;
    model_file_edit(c, "expected.safetensors", "\"value.3\"", "\"other.3\"");
    assert_run(c, 1, "other.3: a tensor that this runner does not compare");
}

static void test_a_missing_layer_or_other_shape_fails(void **state) {
    copy *c = *state;
    model_file_edit(c, "expected.safetensors", "\"value.3\"", "\"value.4\"");
    assert_run(c, 1, "FAIL models/one/expected: ");
    model_file_edit(c, "expected.safetensors", "\"value.4\"", "\"value.3\"");
    model_file_edit(c, "expected.safetensors", "[1,2,70,32]", "[1,4,70,16]");
    assert_run(c, 1, "expected file has f32 [1, 4, 70, 16]");
}

static void test_the_other_config_must_agree(void **state) {
    copy *c = *state;
    model_file_edit(c, "config.transformers5.json", "\"rope_theta\": 1", "\"rope_theta\": 2");
    assert_run(c, 1, "FAIL models/one/expected: config.transformers5.json: ");
}

/* ---- Texts -------------------------------------------------------------------------------- */

#define ROW "\"text\": \"a\", \"decoded\": \"a\", \"decoded_skip_special\": \"a\""

static void test_a_changed_encoding_fails(void **state) {
    static const char *const rows[][2] = {
        {ROW ", \"ids\": [64]", "PASS models/one/encode"},
        {ROW ", \"ids\": [64], \"offsets\": [[0, 1]]", "PASS models/one/encode"},
        {ROW ", \"ids\": [65]", "encode[0]: ids[0]: expected 65, got 64"},
        {ROW ", \"ids\": [64, 64]", "encode[0]: ids: expected 2 ids, got 1"},
        {ROW ", \"ids\": [64], \"offsets\": [[0, 2]]", "offsets[0]: expected [0, 2], got [0, 1]"},
        {ROW ", \"ids\": [64], \"ids_with_special\": [1, 64]", "encode[0]: ids_with_special"},
        {"\"text\": \"a\", \"ids\": [64], \"decoded\": \"b\", \"decoded_skip\": \"a\"",
         "encode[0]: decoded: differs at byte 0"},
        {"\"text\": \"a\", \"ids\": [64], \"decoded\": \"a\", \"decoded_skip\": \"a \"",
         "encode[0]: decoded_skip: differs at byte 1"},
        {ROW ", \"ids\": [64], \"words\": [0]", "a field \"words\" that this runner does not"},
        {"\"text\": \"a\", \"ids\": [64]", "encode[0]: expected a string \"decoded\""},
    };
    copy *c = *state;
    char *numbers = path_join(c->model, "expected.safetensors");
    assert_int_equal(unlink(numbers), 0);
    free(numbers);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"encode\": [{%s}], \"chat\": []}", rows[i][0]);
        model_file_write(c, "tokenizer_expected.json", text);
        assert_run(c, i < 2 ? 0 : 1, rows[i][1]);
    }
}

#define CHAT                                                                                       \
    "\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"add_generation_prompt\": false"

static void test_a_changed_chat_fails(void **state) {
    static const char *const rows[][2] = {
        {CHAT ", \"text\": \"user: a\"", "PASS models/one/chat"},
        {CHAT ", \"text\": \"user: b\"", "chat[0]: differs at byte 6"},
        {CHAT ", \"text\": \"user: \"", "chat[0]: differs at byte 6"},
        {CHAT ", \"error\": \"TemplateError: a\"", "chat[0]: expected the error"},
        {CHAT ", \"text\": \"user: a\", \"tools\": []", "a field \"tools\" that this runner"},
    };
    copy *c = *state;
    model_file_write(c, "chat_template.jinja",
                     "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"encode\": [], \"chat\": [{%s}]}", rows[i][0]);
        model_file_write(c, "tokenizer_expected.json", text);
        assert_run(c, i ? 1 : 0, rows[i][1]);
    }
}

/* What a template raises is a right answer when it is the recorded one. */
static void test_a_raised_error_is_compared(void **state) {
    static const char *const rows[][2] = {
        {CHAT ", \"error\": \"TemplateError: no users here\"", "PASS models/one/chat"},
        {CHAT ", \"error\": \"TemplateError: no such thing\"", "expected the error"},
        {CHAT ", \"text\": \"a\"", "FAIL models/one/chat"},
    };
    copy *c = *state;
    model_file_write(c, "chat_template.jinja", "{{ raise_exception('no users here') }}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"encode\": [], \"chat\": [{%s}]}", rows[i][0]);
        model_file_write(c, "tokenizer_expected.json", text);
        assert_run(c, i ? 1 : 0, rows[i][1]);
    }
}

/* ---- Kinds and folders -------------------------------------------------------------------- */

static void test_an_unknown_kind_fails_unless_listed(void **state) {
    copy *c = *state;
    model_file_edit(c, "config.json", "\"qwen3\"", "\"qwen99\"");
    assert_run(c, 1, "FAIL models/one/expected: model_type qwen99: ");
    assert_run(c, 1, "(not on the list of what is not built yet)");
    char arguments[8400];
    const char *list = "# a comment\n\nmodels/*: model_type qwen99 # some day\n";
    test_file_write(c->root, ".list", list, strlen(list));
    snprintf(arguments, sizeof arguments, "'%s' --list '%s/.list'", c->root, c->root);
    assert_int_equal(run_golden(arguments), 0);
    assert_non_null(strstr(output.data, "SKIP models/one/expected: model_type qwen99 "
                                        "(not_built_yet: models/*: model_type qwen99)\n"));
    assert_non_null(strstr(output.data, "\n2 passed, 0 failed, 1 skipped\n"));
    /* Another kind is not excused by it. */
    model_file_edit(c, "config.json", "\"qwen99\"", "\"qwen9\"");
    assert_int_equal(run_golden(arguments), 1);
    /* Nor is a case of another name, and a rule needs its reason. */
    list = "fusers/*: model_type qwen9 # some day\n";
    test_file_write(c->root, ".list", list, strlen(list));
    assert_int_equal(run_golden(arguments), 1);
    list = "models/*: model_type qwen9 #\n";
    test_file_write(c->root, ".list", list, strlen(list));
    assert_int_equal(run_golden(arguments), 2);
}

/* A broken file is no missing kind. */
static void test_a_broken_file_is_never_skipped(void **state) {
    copy *c = *state;
    const char *list = "*: model_type qwen3 # would hide everything\n";
    char arguments[8400];
    test_file_write(c->root, ".list", list, strlen(list));
    snprintf(arguments, sizeof arguments, "'%s' --list '%s/.list'", c->root, c->root);
    model_file_write(c, "model.safetensors", "short");
    assert_int_equal(run_golden(arguments), 1);
    assert_non_null(strstr(output.data, "FAIL models/one/expected: "));
}

static void test_unknown_parts_of_the_layout_fail(void **state) {
    copy *c = *state;
    test_file_write(c->root, "dreams.json", "[]", 2);
    assert_run(c, 1, "FAIL dreams.json: no comparison (not on the list");
    model_file_write(c, "expected_dreams.json", "[]");
    assert_run(c, 1, "FAIL models/one/expected_dreams.json: unknown file");
}

static void test_a_folder_without_cases_fails(void **state) {
    (void)state;
    copy c = {.root = test_folder_make()};
    assert_run(&c, 1, "0 passed, 0 failed, 0 skipped\n");
    folder_add(c.root, "models");
    assert_run(&c, 1, "0 passed, 0 failed, 0 skipped\n");
    test_folder_remove(c.root);
    assert_run(&(copy){.root = "no-such-folder"}, 1, "0 passed, 0 failed, 0 skipped\n");
}

static void test_a_fuser_without_numbers_or_models_fails(void **state) {
    copy *c = *state;
    folder_add(c->root, "fusers");
    folder_add(c->root, "fusers/two");
    assert_run(c, 1, "FAIL fusers/two: ");
    char *fuser = path_join(c->root, "fusers/two");
    file_put("tests/golden/data/fusers/qwen3_from_qwen2/expected.safetensors", fuser,
             "expected.safetensors");
    assert_run(c, 1, "FAIL fusers/two/expected: ");
    const char *config = "{\"model\": {\"base_model\": \"one\", \"teacher_model\": \"none\"}}";
    test_file_write(fuser, "config.json", config, strlen(config));
    assert_run(c, 1, "models/none");
    free(fuser);
}

/* The good fuser of "one" and "two", with its numbers. */
static char *fuser_make(const copy *c) {
    const char *good = "tests/golden/data/fusers/qwen3_from_qwen2";
    const char *const folders[] = {"models/two", "fusers", "fusers/pair", "fusers/pair/final"};
    for (size_t i = 0; i < 4; i++)
        folder_add(c->root, folders[i]);
    char *model = path_join(c->root, "models/two"), *fuser = path_join(c->root, "fusers/pair");
    char *from = path_join(good, "final"), *to = path_join(fuser, "final");
    files_copy("tests/golden/data/models/tiny-qwen2", model);
    files_copy(good, fuser);
    files_copy(from, to);
    const char *config = "{\"model\": {\"base_model\": \"one\", \"teacher_model\": \"two\"}}";
    test_file_write(fuser, "config.json", config, strlen(config));
    free(model);
    free(from);
    free(to);
    return fuser;
}

static void test_a_changed_fuser_case_fails(void **state) {
    copy *c = *state;
    char *fuser = fuser_make(c);
    assert_run(c, 0, "PASS fusers/pair/expected (worst ");
    const int64_t none = -1, all = 1, other = 3;
    tensor_patch(fuser, "sections", 8, &none, 8);
    assert_run(c, 1, "FAIL fusers/pair/expected: logits[");
    tensor_patch(fuser, "sections", 8, &other, 8);
    assert_run(c, 1, "FAIL fusers/pair/expected: section 0: mask 3");
    tensor_patch(fuser, "sections", 0, &other, 8);
    assert_run(c, 1, "FAIL fusers/pair/expected: sections: ");
    const int64_t length = 84;
    tensor_patch(fuser, "sections", 0, &length, 8);
    tensor_patch(fuser, "sections", 8, &all, 8);
    const float zero = 0;
    tensor_patch(fuser, "receiver_only_last_logits", 0, &zero, 4);
    assert_run(c, 1, "FAIL fusers/pair/expected: receiver_only_last_logits[0, 0]: expected 0, ");
    free(fuser);
}

/* The good training case of "one" and "two": its step, with the models named anew. */
static char *train_make(const copy *c) {
    const char *good = "tests/golden/data/train/c2c_qwen3_from_qwen2";
    const char *const folders[] = {"models/two", "train", "train/pair", "train/pair/initial"};
    for (size_t i = 0; i < 4; i++)
        folder_add(c->root, folders[i]);
    char *model = path_join(c->root, "models/two"), *train = path_join(c->root, "train/pair");
    char *from = path_join(good, "initial"), *to = path_join(train, "initial");
    files_copy("tests/golden/data/models/tiny-qwen2", model);
    files_copy(good, train);
    files_copy(from, to);
    const char *config = "{\"model\": {\"base_model\": \"one\", \"teacher_model\": \"two\"}}";
    test_file_write(train, "config.json", config, strlen(config));
    free(model);
    free(from);
    free(to);
    return train;
}

/* Each number is changed by ten times what is allowed and more, and changed back. */
static void test_a_changed_training_case_fails(void **state) {
    copy *c = *state;
    char *train = train_make(c), *path = path_join(train, "expected.safetensors");
    static const char *const names[] = {
        "step3.loss",
        "step2.grad_norm",
        "step1.lr",
        "step3.gate_temperature",
        "step0.grad.2.value_in.bias",
        "step0.grad.0.key_gate_logit",
        "final.3.key_proj_out.bias",
        "final.1.value_gate_logit",
    };
    assert_run(c, 0, "PASS train/pair (worst ");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = 0, bytes = 0;
        char *file = file_read(path, &size);
        char *numbers = tensor_bytes_find(file, names[i], &bytes);
        float *changed = malloc(bytes), largest = 0;
        assert_non_null(changed);
        memcpy(changed, numbers, bytes);
        for (size_t k = 0; k < bytes / sizeof *changed; k++)
            largest = fmaxf(largest, fabsf(changed[k]));
        changed[0] += 1e-3f * fmaxf(largest, 1);
        tensor_patch(train, names[i], 0, changed, bytes);
        assert_run(c, 1, "FAIL train/pair: ");
        assert_non_null(strstr(output.data, strrchr(names[i], '.') + 1));
        test_file_write(train, "expected.safetensors", file, size);
        free(changed);
        free(file);
    }
    /* Other numbers drawn are other gates, and another loss. */
    const float u = 0.999f;
    tensor_patch(train, "step0.uniform.0", 0, &u, sizeof u);
    assert_run(c, 1, "FAIL train/pair: ");
    free(path);
    free(train);
}

/* With a README.json the names of the files say how the sharers act together. */
static void test_a_fusion_mode_must_be_known(void **state) {
    copy *c = *state;
    char *fuser = fuser_make(c), *group = path_join(c->root, "fusers/group");
    char *numbers = path_join(fuser, "expected.safetensors");
    const char *text = "{\"receiver\": \"one\", \"sharers\": [\"two\"], \"fusers\": [\"pair\"]}";
    folder_add(c->root, "fusers/group");
    test_file_write(group, "README.json", text, strlen(text));
    file_put(numbers, group, "expected_parallel_a.safetensors");
    file_put(numbers, group, "expected_sequential_a.safetensors");
    assert_run(c, 0, "PASS fusers/group/expected_parallel_a (worst ");
    assert_run(c, 0, "PASS fusers/group/expected_sequential_a (worst ");
    file_put(numbers, group, "expected_sideways.safetensors");
    assert_run(c, 1, "FAIL fusers/group/expected_sideways: the name says neither ");
    free(fuser);
    free(group);
    free(numbers);
}

static void test_a_real_tokenizer_may_be_absent(void **state) {
    copy *c = *state;
    folder_add(c->root, "tokenizers");
    char *folder = path_join(c->root, "tokenizers");
    const char *text = "{\"tokenizer\": \"Nowhere-1B\", \"encode\": [], \"chat\": []}";
    test_file_write(folder, "Nowhere-1B.json", text, strlen(text));
    free(folder);
    assert_run(c, 0, "SKIP tokenizers/Nowhere-1B: ");
    assert_run(c, 0, "3 passed, 0 failed, 1 skipped\n");
}

static void test_wrong_options_are_usage(void **state) {
    (void)state;
    assert_int_equal(run_golden(""), 2);
    assert_int_equal(run_golden("one two"), 2);
    assert_int_equal(run_golden("one --threads"), 2);
    assert_int_equal(run_golden("one --threads 0"), 2);
    assert_int_equal(run_golden("one --threads 2x"), 2);
    assert_int_equal(run_golden("one --list no-such-file"), 2);
    assert_int_equal(run_golden("one --verbose"), 2);
}

static int output_free(void **state) {
    (void)state;
    buffer_free(&output);
    return 0;
}

#define on_copy(test) cmocka_unit_test_setup_teardown(test, copy_make, copy_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_copy(test_a_good_copy_passes),
        on_copy(test_a_changed_number_fails),
        on_copy(test_changed_ids_fail),
        on_copy(test_an_answer_ends_with_pads),
        on_copy(test_every_tensor_is_compared),
        on_copy(test_a_missing_layer_or_other_shape_fails),
        on_copy(test_the_other_config_must_agree),
        on_copy(test_a_changed_encoding_fails),
        on_copy(test_a_changed_chat_fails),
        on_copy(test_a_raised_error_is_compared),
        on_copy(test_an_unknown_kind_fails_unless_listed),
        on_copy(test_a_broken_file_is_never_skipped),
        on_copy(test_unknown_parts_of_the_layout_fail),
        cmocka_unit_test(test_a_folder_without_cases_fails),
        on_copy(test_a_fuser_without_numbers_or_models_fails),
        on_copy(test_a_changed_fuser_case_fails),
        on_copy(test_a_changed_training_case_fails),
        on_copy(test_a_fusion_mode_must_be_known),
        on_copy(test_a_real_tokenizer_may_be_absent),
        cmocka_unit_test(test_wrong_options_are_usage),
    };
    return cmocka_run_group_tests(tests, NULL, output_free);
}
