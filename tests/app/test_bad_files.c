/* test_bad_files.c - every kind of bad input, made from the demo pair: one message that names the
 * file, the key or tensor, what was expected and what was found; exit status 1; nothing on
 * standard output. */
#include "app/program.h"

#include <unistd.h>

/* Which of the three folders is replaced by a broken one. */
typedef enum part { RECEIVER = 0, SHARER, FUSER } part;

static const char *const parts[] = {DEMO_RECEIVER, DEMO_SHARER, DEMO_FUSER "/final"};

typedef enum harm {
    EDIT,     /* `from` becomes `to` */
    REMOVE,   /* the file is not there */
    TRUNCATE, /* the second half is missing */
    EMPTY,
    LIE, /* the first 8 bytes, a safetensors header's size, say much more than there is */
    GARBAGE
} harm;

typedef struct bad_case {
    part part;
    const char *file;
    harm harm;
    const char *from, *to;
    const char *holds[5]; /* beside the file's name */
} bad_case;

static void do_harm(const char *folder, const bad_case *c) {
    size_t length;
    char *bytes = file_read(folder, c->file, &length);
    char *path = path_join(folder, c->file);
    switch (c->harm) {
    case EDIT: file_edit(folder, c->file, c->from, c->to); break;
    case REMOVE: unlink(path); break;
    case TRUNCATE: file_replace(folder, c->file, bytes, length / 2); break;
    case EMPTY: file_replace(folder, c->file, "", 0); break;
    case LIE:
        memset(bytes, 0x7f, 8);
        file_replace(folder, c->file, bytes, length);
        break;
    case GARBAGE:
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)(i * 131 + 7);
        file_replace(folder, c->file, bytes, length);
        break;
    }
    free(path);
    free(bytes);
}

static void run_case(const bad_case *c) {
    char *folder = folder_of_links(parts[c->part]);
    program_result r;
    do_harm(folder, c);
    PROGRAM(&r, "run", "--receiver", c->part == RECEIVER ? folder : DEMO_RECEIVER, "--sharer",
            c->part == SHARER ? folder : DEMO_SHARER, "--fuser",
            c->part == FUSER ? folder : DEMO_FUSER, "-p", "Hello", "-n", "2");
    /* The log keeps every message, to be read by eye. */
    print_message("%s: %s", c->file, r.err);
    const char *texts[8] = {folder, c->file};
    for (size_t i = 0; i < 5; i++)
        texts[i + 2] = c->holds[i];
    assert_program_fails(&r, 1, texts);
    program_result_free(&r);
    test_folder_remove(folder);
}

#define RUN_CASES(cases)                                                                           \
    for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++)                                   \
    run_case(&(cases)[i])

static void test_weights(void **state) {
    (void)state;
    static const char file[] = "model.safetensors";
    static const bad_case cases[] = {
        {RECEIVER, file, REMOVE, .holds = {"expected", "found neither"}},
        {RECEIVER, file, EMPTY, .holds = {"expected", "found 0 bytes"}},
        {RECEIVER, file, TRUNCATE, .holds = {"expected", "found"}},
        {SHARER, file, TRUNCATE, .holds = {"expected", "found"}},
        {RECEIVER, file, LIE, .holds = {"header", "expected", "found"}},
        {RECEIVER, file, GARBAGE, .holds = {"header", "expected", "found"}},
        {RECEIVER,
         file,
         EDIT,
         "[258048,258304]",
         "[258046,258302]",
         {"overlap", "model.embed_tokens.weight"}},
        {RECEIVER,
         file,
         EDIT,
         "[0,258048]",
         "[0,258050]",
         {"model.embed_tokens.weight", "258048", "258050"}},
        {RECEIVER,
         file,
         EDIT,
         "[1008,128]",
         "[128,1008]",
         {"model.embed_tokens.weight", "expected", "[1008, 128]", "found", "[128, 1008]"}},
        {RECEIVER,
         file,
         EDIT,
         "\"BF16\"",
         "\"I16\"",
         {"model.embed_tokens.weight", "expected", "found", "i16"}},
        {RECEIVER,
         file,
         EDIT,
         "\"BF16\"",
         "\"X16\"",
         {"model.embed_tokens.weight", "dtype", "X16"}},
        {RECEIVER,
         file,
         EDIT,
         "model.layers.2.mlp.down_proj.weight",
         "model.layers.2.mlp.lost_proj.weight",
         {"model.layers.2.mlp.down_proj.weight"}},
    };
    RUN_CASES(cases);
}

static void test_configs(void **state) {
    (void)state;
    static const char file[] = "config.json";
    static const bad_case cases[] = {
        {RECEIVER, file, REMOVE, .holds = {"cannot open"}},
        {RECEIVER, file, EMPTY, .holds = {"line 1"}},
        {RECEIVER, file, TRUNCATE, .holds = {"line"}},
        {RECEIVER, file, GARBAGE, .holds = {"line 1", "UTF-8"}},
        {RECEIVER,
         file,
         EDIT,
         "\"qwen3\"",
         "\"gpt9\"",
         {"model_type", "\"gpt9\"", "supported", "qwen2", "qwen3"}},
        {RECEIVER,
         file,
         EDIT,
         "\"hidden_size\": 128",
         "\"hidden_size\": \"x\"",
         {"hidden_size", "expected", "a string"}},
        {RECEIVER,
         file,
         EDIT,
         "\"hidden_size\": 128",
         "\"hidden_size\": 96",
         {"model.embed_tokens.weight", "[1008, 96]", "[1008, 128]"}},
        {RECEIVER,
         file,
         EDIT,
         "\"num_hidden_layers\": 4",
         "\"num_hidden_layers\": 0",
         {"num_hidden_layers", "expected", "0"}},
        {RECEIVER,
         file,
         EDIT,
         "\"num_hidden_layers\": 4",
         "\"num_hidden_layers\": 9",
         {"model.layers.4"}},
    };
    /* The file with the tensors is named there, not the configuration. */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad_case c = cases[i];
        char *folder = folder_of_links(parts[c.part]);
        program_result r;
        do_harm(folder, &c);
        PROGRAM(&r, "run", "--receiver", folder, "-p", "Hello", "-n", "2");
        print_message("%s: %s", c.file, r.err);
        const char *texts[7] = {folder};
        for (size_t k = 0; k < 5; k++)
            texts[k + 1] = c.holds[k];
        assert_program_fails(&r, 1, texts);
        program_result_free(&r);
        test_folder_remove(folder);
    }
}

static void test_tokenizers_and_templates(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {RECEIVER, "tokenizer.json", REMOVE, .holds = {"cannot open"}},
        {RECEIVER, "tokenizer.json", TRUNCATE, .holds = {"line"}},
        {RECEIVER, "tokenizer.json", GARBAGE, .holds = {"UTF-8"}},
        {RECEIVER, "tokenizer.json", EDIT, "\"BPE\"", "\"XYZ\"", {"XYZ"}},
        {RECEIVER, "chat_template.jinja", EDIT, "endfor", "enddor", {"enddor", "line"}},
        {RECEIVER, "chat_template.jinja", GARBAGE, .holds = {"UTF-8"}},
    };
    RUN_CASES(cases);
}

static void test_fusers(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {FUSER, "projector_config.json", REMOVE, .holds = {"no projector_config.json"}},
        {FUSER, "projector_config.json", TRUNCATE, .holds = {"line"}},
        {FUSER,
         "projector_config.json",
         EDIT,
         "[[5, 3]]",
         "[[5, 9]]",
         {"receiver layer 3", "projector_9.json"}},
        {FUSER,
         "projector_config.json",
         EDIT,
         "[[5, 3]]",
         "[[8, 3]]",
         {"layer 8", "layers 0 to 5"}},
        {FUSER, "projector_config.json", EDIT, "[[5, 3]]", "[[5, x]]", {"line 1"}},
        {FUSER, "projector_1.json", EDIT, "C2CProjector", "XYZProjector", {"XYZProjector"}},
        {FUSER,
         "projector_1.json",
         EDIT,
         "\"hidden_dim\": 128",
         "\"hidden_dim\": 96",
         {"expected", "found"}},
        {FUSER, "projector_1.pt", REMOVE, .holds = {"projector_1"}},
        {FUSER, "projector_1.pt", EMPTY, .holds = {"expected", "found"}},
        {FUSER, "projector_1.pt", TRUNCATE, .holds = {"expected", "found"}},
        {FUSER, "projector_1.pt", GARBAGE, .holds = {"expected", "found"}},
        {FUSER,
         "projector_1.pt",
         EDIT,
         "ctorch._utils\n_rebuild_tensor_v2\n",
         "cos\nsystem______________________\n",
         {"os.system", "expected nothing but tensors"}},
        {FUSER, "projector_1.pt", EDIT, "key_in.bias", "key_in.bi__", {"key_in.bias"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bad_case c = cases[i];
        /* A projector may also lie in a .safetensors file, so a missing one has no one name; and
         * tensors that do not fit are named by their own file. */
        if (c.harm == REMOVE && strstr(c.file, ".pt"))
            c.file = "projector_1.json";
        char *folder = folder_of_links(parts[FUSER]);
        program_result r;
        do_harm(folder, &cases[i]);
        PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", folder,
                "-p", "Hello", "-n", "2");
        print_message("%s: %s", c.file, r.err);
        const char *texts[7] = {folder};
        for (size_t k = 0; k < 5; k++)
            texts[k + 1] = c.holds[k];
        assert_program_fails(&r, 1, texts);
        program_result_free(&r);
        test_folder_remove(folder);
    }
}

/* Folders that are good, but not for each other. */
static void test_mismatches(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_SHARER, "--sharer", DEMO_RECEIVER, "--fuser", DEMO_FUSER,
            "-p", "Hello");
    print_message("%s", r.err);
    assert_program_fails(&r, 1, (const char *const[]){"projector_config.json", "layer", "4", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", "tests/golden/data/models/tiny-qwen3", "--sharer",
            "tests/golden/data/models/tiny-qwen2", "--fuser", DEMO_FUSER, "-p", "Hello");
    print_message("%s", r.err);
    assert_program_fails(&r, 1,
                         (const char *const[]){"projector_0.pt", "2 kv heads of dimension 32",
                                               "dimension 8", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer",
            "tests/golden/data/models/tiny-qwen2", "--fuser", DEMO_FUSER, "-p", "Hello");
    print_message("%s", r.err);
    assert_program_fails(&r, 1, (const char *const[]){DEMO_RECEIVER, "tiny-qwen2", NULL});
    program_result_free(&r);
}

static void test_prompts(void **state) {
    (void)state;
    static const struct {
        const char *arguments[4];
        const char *holds[4];
    } cases[] = {
        {{"-p", "a b c d e f g h", "--ctx", "8"}, {"context", "8"}},
        {{"-p", "Hello", "--ctx", "2000000000"}, {"context", "2000000000"}},
        {{"-p", "abc\xff"}, {"-p", "UTF-8", "0xff", "byte position 3"}},
        {{"-p", "a", "--system", "\xc3"}, {"--system", "UTF-8", "byte position 0"}},
        {{"--messages", "nowhere.json"}, {"nowhere.json", "cannot open"}},
        {{"--messages", "share/demo/eval.jsonl"}, {"share/demo/eval.jsonl", "line 2"}},
        {{"--messages", DEMO_RECEIVER "/config.json"}, {"config.json", "a list", "an object"}},
        {{"-p", "", "--raw"}, {"no tokens"}},
        {{"-p", "a", "--chat-template", "nowhere.jinja"}, {"nowhere.jinja", "cannot open"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *arguments[16] = {"run", "--receiver", DEMO_RECEIVER};
        for (size_t k = 0; k < 4; k++)
            arguments[k + 3] = cases[i].arguments[k];
        program_result r;
        program_run(&r, arguments);
        print_message("%s", r.err);
        const char *texts[5] = {NULL};
        for (size_t k = 0; k < 4; k++)
            texts[k] = cases[i].holds[k];
        assert_program_fails(&r, 1, texts);
        program_result_free(&r);
    }
}

static void test_message_files(void **state) {
    (void)state;
    static const struct {
        const char *json;
        const char *holds[2];
    } cases[] = {
        {"[{\"role\": \"user\", \"content\": \"a\xff\"}]", {"line 1, column 32", "UTF-8"}},
        {"[{\"role\": \"user\"}]", {"element 0", "content"}},
        {"[{\"role\": \"robot\", \"content\": \"a\"}]", {"element 0", "\"robot\""}},
        {"[]", {"at least one message"}},
        {"", {"line 1"}},
    };
    char *folder = test_folder_make(), *path = path_join(folder, "messages.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_result r;
        file_replace(folder, "messages.json", cases[i].json, strlen(cases[i].json));
        PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--messages", path);
        print_message("%s", r.err);
        assert_program_fails(&r, 1,
                             (const char *const[]){path, cases[i].holds[0], cases[i].holds[1],
                                                   NULL});
        program_result_free(&r);
    }
    free(path);
    test_folder_remove(folder);
}

static void test_folders(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "run", "--receiver", "nowhere", "-p", "a");
    print_message("%s", r.err);
    assert_program_fails(&r, 1, (const char *const[]){"nowhere", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", "nowhere",
            "-p", "a");
    print_message("%s", r.err);
    assert_program_fails(&r, 1, (const char *const[]){"nowhere: no such file or folder", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", DEMO_SHARER,
            "-p", "a");
    assert_program_fails(&r, 1, (const char *const[]){"sharer", "projector_config.json", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER "/config.json", "-p", "a");
    print_message("%s", r.err);
    assert_program_fails(&r, 1, (const char *const[]){"config.json", NULL});
    program_result_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_tokenizers_and_templates),
        cmocka_unit_test(test_fusers),
        cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_message_files),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
