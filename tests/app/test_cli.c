/* test_cli.c - the built program's verbs, on the demo pair: usage, answers, reports. */
#include "app/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char pair_question[] = "What is the favourite colour of Kumaso? Answer in one word.";

/* ---- Usage -------------------------------------------------------------------------------- */

static void test_wrong_usage(void **state) {
    (void)state;
    static const struct {
        const char *arguments[12];
        const char *holds;
    } cases[] = {
        {{NULL}, "a verb is missing"},
        {{"fly"}, "unknown verb \"fly\""},
        {{"run"}, "--receiver DIR is missing"},
        {{"run", "--receiver", "x"}, "-p TEXT or --messages FILE.json is missing"},
        {{"run", "--receiver", "x", "-p", "a", "--messages", "b"}, "exclude each other"},
        {{"run", "--receiver", "x", "-p", "a", "--nope"}, "unknown option --nope"},
        {{"run", "--receiver", "x", "-p"}, "-p needs a value"},
        {{"run", "--receiver", "x", "-p", "a", "-n", "ten"}, "-n: expected a whole number"},
        {{"run", "--receiver", "x", "-p", "a", "-n", "0"}, "from 1 to"},
        {{"run", "--receiver", "x", "-p", "a", "--threads", "0"}, "--threads: expected"},
        {{"run", "--receiver", "x", "-p", "a", "--dtype", "f64"}, "one of auto, f32, bf16"},
        {{"run", "--receiver", "x", "-p", "a", "--date", "June"}, "--date: expected now, none or"},
        {{"run", "--receiver", "x", "-p", "a", "--sharer", "y"}, "--sharer and --fuser"},
        {{"run", "--receiver", "x", "-p", "a", "--fuser", "y"}, "--sharer and --fuser"},
        {{"run", "--receiver", "x", "--messages", "m", "--raw"}, "--raw needs -p"},
        {{"run", "--receiver", "x", "-p", "a", "--raw", "--system", "s"}, "--raw and --system"},
        {{"run", "--receiver", "x", "-p", "a", "--thinking", "--no-thinking"}, "exclude each"},
        {{"run", "--receiver", "x", "-p", "a", "--compare"}, "--compare needs --sharer"},
        {{"run", "--receiver", "x", "-p", "a", "--background-prompt", "b"}, "needs --compare"},
        {{"run", "--receiver", "x", "-p", "a", "--background-tokens", "9"}, "needs --compare"},
        {{"run", "--receiver", "x", "-p", "a", "--plan", "all"}, "--plan needs --sharer"},
        {{"run", "--receiver", "x", "-p", "a", "--include-response"}, "needs --sharer"},
        {{"run", "--receiver", "x", "-p", "a", "--align", "first"}, "--align needs --sharer"},
        {{"run", "--receiver", "x", "-p", "a", "--align", "last"}, "none, first, longest"},
        {{"run", "--receiver", "x", "-p", "a", "--sharer=y", "--fuser=z", "--plan", "front:2"},
         "--plan: expected a share from 0 to 1"},
        {{"run", "--receiver", "x", "-p", "a", "--fusion-mode", "both"}, "sequential, parallel"},
        {{"run", "--receiver", "x", "-p", "a", "--top-k", "5"}, "--top-k needs --temperature"},
        {{"run", "--receiver", "x", "-p", "a", "--seed", "0"}, "--seed needs --temperature"},
        {{"run", "--receiver", "x", "-p", "a", "--temperature", "hot"}, "a number from 0 to 1000"},
        {{"run", "--receiver", "x", "-p", "a", "--top-p", "0"}, "--top-p: expected a number"},
        {{"run", "--receiver", "x", "-p", "a", "word"}, "unexpected argument \"word\""},
        {{"inspect"}, "PATH is missing"},
        {{"inspect", "a", "b"}, "a second one: \"b\""},
        {{"inspect", "--cpu", "a"}, "--cpu takes no PATH"},
        {{"demo", "--limit", "-1"}, "--limit: expected"},
        {{"bench"}, "is missing"},
        {{"bench", "--pair", "a", "--receiver", "b"}, "exclude each other"},
        {{"bench", "--receiver", "a", "--sharer", "b"}, "--sharer and --fuser go together"},
        {{"version", "--json"}, "unknown option --json"},
        {{"help", "fly"}, "unknown verb \"fly\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_result r;
        program_run(&r, cases[i].arguments);
        assert_program_fails(&r, 2, (const char *const[]){cases[i].holds, "usage: c2c", NULL});
        program_result_free(&r);
    }
}

static void test_help_and_version(void **state) {
    (void)state;
    static const struct {
        const char *arguments[3];
        const char *holds[3];
    } cases[] = {
        {{"help"}, {"usage: c2c VERB", "inspect", "demo"}},
        {{"--help"}, {"usage: c2c VERB"}},
        {{"help", "run"}, {"usage: c2c run --receiver DIR", "(default: 256)", "--background-t"}},
        {{"run", "--help"}, {"usage: c2c run --receiver DIR", "all processors", "{question}"}},
        {{"demo", "--help"}, {"usage: c2c demo", "--pair DIR", "(default: 6)"}},
        {{"inspect", "--help"}, {"usage: c2c inspect (PATH", "--json", "--cpu"}},
        {{"version"}, {"c2c "}},
        {{"--version"}, {"c2c "}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_result r;
        program_run(&r, cases[i].arguments);
        assert_int_equal(r.status, 0);
        assert_string_equal(r.err, "");
        for (size_t k = 0; k < 3 && cases[i].holds[k]; k++)
            if (!strstr(r.out, cases[i].holds[k]))
                fail_msg("\"%s\" is not in:\n%s", cases[i].holds[k], r.out);
        program_result_free(&r);
    }
}

/* ---- Answers ------------------------------------------------------------------------------ */

/* The object of --json has these keys and no others; counts agree with each other. */
static void check_answer(const json_value *a) {
    static const char *const keys[] = {"text",          "ids",     "prompt_tokens", "new_tokens",
                                       "finish_reason", "load_ms", "ttft_ms",       "decode_tok_s"};
    assert_int_equal(a->type, JSON_OBJECT);
    assert_int_equal(a->count, sizeof keys / sizeof *keys);
    for (size_t i = 0; i < a->count; i++)
        assert_string_equal(a->members[i].key, keys[i]);
    assert_int_equal(json_get(a, "ids")->type, JSON_ARRAY);
    assert_int_equal(json_get(a, "ids")->count, json_get(a, "new_tokens")->integer);
    assert_true(json_get(a, "prompt_tokens")->integer > 0);
    static const char *const numbers[] = {"load_ms", "ttft_ms", "decode_tok_s"};
    for (size_t i = 0; i < 3; i++) {
        double value;
        assert_ok(json_get_real(a, numbers[i], NULL, &value, "answer", &test_error));
        assert_true(value >= 0);
    }
}

static const char *text_of(const json_value *a, const char *key) {
    return json_get(a, key)->string;
}

static void test_run_json_equals_stream(void **state) {
    (void)state;
    program_result streamed, printed;
    PROGRAM(&streamed, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser",
            DEMO_FUSER, "-p", pair_question, "--dtype", "f32");
    PROGRAM(&printed, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser",
            DEMO_FUSER, "-p", pair_question, "--dtype", "f32", "--threads", "1", "--json");
    json_document *document = program_json(&printed);
    const json_value *a = json_root(document);
    check_answer(a);
    assert_string_equal(printed.err, "");
    /* The answer that the original left in eval.jsonl for this question. */
    assert_string_equal(text_of(a, "text"), "gold.");
    assert_string_equal(text_of(a, "finish_reason"), "stop");
    buffer line = {0};
    buffer_printf(&line, "%s\n", text_of(a, "text"));
    assert_int_equal(streamed.status, 0);
    assert_string_equal(streamed.out, line.data);
    buffer_clear(&line);
    buffer_printf(&line, "%lld prompt tokens", (long long)json_get(a, "prompt_tokens")->integer);
    assert_non_null(strstr(streamed.err, line.data));
    assert_non_null(strstr(streamed.err, "tokens/s"));
    buffer_free(&line);
    json_close(document);
    program_result_free(&streamed);
    program_result_free(&printed);
}

static void test_run_length_and_raw(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "-n", "1", "--json");
    json_document *document = program_json(&r);
    check_answer(json_root(document));
    assert_string_equal(text_of(json_root(document), "finish_reason"), "length");
    assert_int_equal(json_get(json_root(document), "new_tokens")->integer, 1);
    int64_t rendered = json_get(json_root(document), "prompt_tokens")->integer;
    json_close(document);
    program_result_free(&r);
    /* What the template would have rendered, given raw, has the same tokens and answer. */
    buffer raw = {0};
    buffer_printf(&raw, "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n", pair_question);
    PROGRAM(&r, "run", "--receiver", DEMO_SHARER, "-p", raw.data, "--raw", "--json");
    document = program_json(&r);
    assert_int_equal(json_get(json_root(document), "prompt_tokens")->integer, rendered);
    assert_string_equal(text_of(json_root(document), "text"), "gold.");
    json_close(document);
    program_result_free(&r);
    buffer_free(&raw);
}

static void test_run_messages_and_system(void **state) {
    (void)state;
    char *folder = test_folder_make();
    buffer json = {0};
    buffer_printf(&json, "[{\"role\": \"user\", \"content\": \"%s\"}]\n", pair_question);
    test_file_write(folder, "messages.json", json.data, json.length);
    char *path = path_join(folder, "messages.json");
    program_result file, text, system;
    PROGRAM(&file, "run", "--receiver", DEMO_SHARER, "--messages", path, "--json");
    PROGRAM(&text, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "--json");
    PROGRAM(&system, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "--system", "Be brief.",
            "--json");
    json_document *a = program_json(&file), *b = program_json(&text), *c = program_json(&system);
    assert_string_equal(text_of(json_root(a), "text"), text_of(json_root(b), "text"));
    assert_int_equal(json_get(json_root(a), "prompt_tokens")->integer,
                     json_get(json_root(b), "prompt_tokens")->integer);
    assert_true(json_get(json_root(c), "prompt_tokens")->integer >
                json_get(json_root(b), "prompt_tokens")->integer);
    json_close(a);
    json_close(b);
    json_close(c);
    program_result_free(&file);
    program_result_free(&text);
    program_result_free(&system);
    free(path);
    buffer_free(&json);
    test_folder_remove(folder);
}

/* A template of one's own, and what the two thinking options define in it. */
static void test_chat_template(void **state) {
    (void)state;
    static const char template[] =
        "{%- if enable_thinking %}think {% endif %}{{ messages[-1]['content'] }}";
    char *folder = test_folder_make();
    test_file_write(folder, "own.jinja", template, sizeof template - 1);
    char *path = path_join(folder, "own.jinja");
    program_result raw, off, on;
    PROGRAM(&raw, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "-n", "4", "--raw",
            "--json");
    PROGRAM(&off, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "-n", "4",
            "--chat-template", path, "--json");
    PROGRAM(&on, "run", "--receiver", DEMO_SHARER, "-p", pair_question, "-n", "4",
            "--chat-template", path, "--thinking", "--json");
    json_document *a = program_json(&raw), *b = program_json(&off), *c = program_json(&on);
    assert_int_equal(json_get(json_root(a), "prompt_tokens")->integer,
                     json_get(json_root(b), "prompt_tokens")->integer);
    assert_string_equal(text_of(json_root(a), "text"), text_of(json_root(b), "text"));
    assert_true(json_get(json_root(c), "prompt_tokens")->integer >
                json_get(json_root(b), "prompt_tokens")->integer);
    json_close(a);
    json_close(b);
    json_close(c);
    program_result_free(&raw);
    program_result_free(&off);
    program_result_free(&on);
    free(path);
    test_folder_remove(folder);
}

/* ---- Fusing and sampling ------------------------------------------------------------------ */

/* The ids of `c2c run --json` with these options on the demo's question, as text. */
static char *ids_of(const char *const *options) {
    const char *arguments[40] = {"run",         "--receiver", DEMO_RECEIVER, "-p",
                                 pair_question, "--dtype",    "f32",         "--json"};
    size_t count = 8;
    for (; *options; options++)
        arguments[count++] = *options;
    program_result r;
    program_run(&r, arguments);
    json_document *document = program_json(&r);
    check_answer(json_root(document));
    const json_value *ids = json_get(json_root(document), "ids");
    buffer text = {0};
    for (size_t i = 0; i < ids->count; i++)
        buffer_printf(&text, "%lld ", (long long)ids->items[i].integer);
    json_close(document);
    program_result_free(&r);
    char *taken = buffer_take(&text, NULL);
    assert_non_null(taken);
    return taken;
}
#define IDS_OF(...) ids_of((const char *const[]){__VA_ARGS__, NULL})
#define SHARED      "--sharer", DEMO_SHARER, "--fuser", DEMO_FUSER

static void assert_same_ids(char *a, char *b, bool same) {
    if ((strcmp(a, b) == 0) != same)
        fail_msg("%s: %s / %s", same ? "expected the same ids" : "expected different ids", a, b);
    free(a);
    free(b);
}

static void test_plans(void **state) {
    (void)state;
    assert_same_ids(IDS_OF(SHARED), IDS_OF(SHARED, "--plan", "all"), true);
    assert_same_ids(IDS_OF(SHARED), IDS_OF(SHARED, "--plan", "front:1"), true);
    assert_same_ids(IDS_OF("-n", "256"), IDS_OF(SHARED, "--plan", "none"), true);
    assert_same_ids(IDS_OF(SHARED), IDS_OF(SHARED, "--plan", "none"), false);
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "-p", pair_question, "--plan",
            "3:1,1000:-1");
    assert_program_fails(&r, 1, (const char *const[]){"--plan", "found 1003", "prompt's ", NULL});
    long long tokens;
    assert_int_equal(sscanf(strstr(r.err, "prompt's "), "prompt's %lld tokens", &tokens), 1);
    program_result_free(&r);
    char plan[64];
    snprintf(plan, sizeof plan, "%lld:1,1:-1", tokens - 1);
    assert_same_ids(IDS_OF(SHARED), IDS_OF(SHARED, "--plan", plan), true);
    snprintf(plan, sizeof plan, "%lld:2,1:-1", tokens - 1);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "-p", pair_question, "--plan", plan);
    assert_program_fails(&r, 1, (const char *const[]){"section 0", "found 2", NULL});
    program_result_free(&r);
}

static void test_several_sharers(void **state) {
    (void)state;
    char plan[2][64];
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, SHARED, "-p", pair_question, "--plan",
            "0:1");
    long long tokens;
    assert_non_null(strstr(r.err, "prompt's "));
    assert_int_equal(sscanf(strstr(r.err, "prompt's "), "prompt's %lld tokens", &tokens), 1);
    program_result_free(&r);
    for (int i = 0; i < 2; i++)
        snprintf(plan[i], sizeof plan[i], "%lld:%d,1:-1", tokens - 1, i + 1);
    /* The same pair twice: one of them alone is the pair. */
    assert_same_ids(IDS_OF(SHARED), IDS_OF(SHARED, SHARED, "--plan", plan[0]), true);
    assert_same_ids(IDS_OF(SHARED),
                    IDS_OF(SHARED, SHARED, "--plan", plan[1], "--fusion-mode", "parallel"), true);
    /* Both are more than one of them, whatever the mode says of their order. */
    free(IDS_OF(SHARED, SHARED));
    free(IDS_OF(SHARED, SHARED, "--fusion-mode", "parallel", "--include-response"));
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "--sharer", "nowhere", "--fuser",
            DEMO_FUSER, "-p", "a");
    assert_program_fails(&r, 1, (const char *const[]){"nowhere", NULL});
    program_result_free(&r);
}

/* One tokenizer on both sides: alignment maps every token to itself, and fuses the contents alone.
 */
static void test_alignment(void **state) {
    (void)state;
    assert_same_ids(IDS_OF(SHARED, "--align", "first"), IDS_OF(SHARED, "--align", "longest"), true);
    assert_same_ids(IDS_OF("-n", "256"), IDS_OF(SHARED, "--align", "first", "--plan", "none"),
                    true);
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "-p", "a", "--align", "first", "--plan",
            "front:0.5");
    assert_program_fails(&r, 1, (const char *const[]){"--align", "--plan", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "-p", "a", "--align", "first", "--raw");
    assert_program_fails(&r, 1, (const char *const[]){"--align", "--raw", NULL});
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, SHARED, "-p", "a", "--align", "first",
            "--include-response");
    assert_program_fails(&r, 1, (const char *const[]){"include_response", "same ids", NULL});
    program_result_free(&r);
}

static void test_bench(void **state) {
    (void)state;
    static const char *const texts[] = {"share/demo/eval.jsonl", "README.md"};
    program_result r;
    PROGRAM(&r, "bench", "--tokenizer", DEMO_RECEIVER, "--text", texts[0], "--text", texts[1],
            "--repeat", "3", "--json");
    json_document *document = program_json(&r);
    const json_value *rows = json_get(json_root(document), "texts");
    assert_true(json_get(json_root(document), "tokenizer_load_ms")->real > 0);
    assert_int_equal(rows->count, 2);
    for (size_t i = 0; i < 2; i++) {
        static const char *const times[] = {"cold_ms", "cold_mb_s", "warm_ms", "warm_mb_s",
                                            "warm_tokens_s"};
        const json_value *row = &rows->items[i];
        const json_value *bytes = json_get(row, "text_bytes"), *tokens = json_get(row, "tokens");
        file_map text;
        assert_string_equal(text_of(row, "text"), texts[i]);
        assert_ok(file_map_open(&text, texts[i], &test_error));
        assert_int_equal(bytes->integer, text.size);
        file_map_close(&text);
        assert_in_range(tokens->integer, bytes->integer / 20, bytes->integer);
        for (size_t j = 0; j < sizeof times / sizeof *times; j++)
            assert_true(json_get(row, times[j])->real > 0);
    }
    json_close(document);
    program_result_free(&r);
    PROGRAM(&r, "bench", "--tokenizer", DEMO_RECEIVER, "--text", texts[1], "--repeat", "1");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "tokenizer loads in "));
    assert_non_null(strstr(r.out, "cold MB/s"));
    program_result_free(&r);
    PROGRAM(&r, "bench", "--tokenizer", DEMO_RECEIVER, "--text",
            "share/demo/receiver/model.safetensors");
    assert_program_fails(&r, 1, (const char *const[]){"model.safetensors", "UTF-8", NULL});
    program_result_free(&r);
}

static void test_bench_pair(void **state) {
    (void)state;
    static const char *const keys[] = {
        "peak_tflops",        "read_gb_s",     "receiver_prefill_tok_s", "sharer_prefill_tok_s",
        "fuser_ms",           "fused_ttft_ms", "decode_tok_s",           "decode_bandwidth_share",
        "prefill_peak_share", "peak_rss_mb",   "batch_decode_tok_s"};
    program_result r;
    PROGRAM(&r, "bench", "--pair", "share/demo", "--prompt-tokens", "16", "--new-tokens", "3",
            "--batch", "2", "--repeat", "1", "--json");
    json_document *document = program_json(&r);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_value *value = json_get(json_root(document), keys[i]);
        if (!value || !(value->type == JSON_INTEGER ? value->integer > 0 : value->real > 0))
            fail_msg("%s is missing or not above 0 in %s", keys[i], r.out);
    }
    /* What the pair needs: the 256 MiB that the speed of memory is measured on are not in it. */
    assert_true(json_get(json_root(document), "peak_rss_mb")->real < 256);
    json_close(document);
    program_result_free(&r);
    PROGRAM(&r, "bench", "--receiver", DEMO_RECEIVER, "--prompt-tokens", "16", "--new-tokens", "3",
            "--repeat", "1", "--isa", "portable", "--dtype", "f32");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "kernels portable, f32"));
    assert_non_null(strstr(r.out, "receiver prefill"));
    assert_null(strstr(r.out, "fuser"));
    program_result_free(&r);
}

/* A fuser that was trained with other models answers all the same, with a word on standard error.
 */
static void test_warnings(void **state) {
    (void)state;
    static const char recipe[] = "{\"model\": {\"base_model\": \"Qwen/Qwen3-0.6B\"}}";
    char *folder = folder_of_links(DEMO_FUSER "/final");
    test_file_write(folder, "config.json", recipe, sizeof recipe - 1);
    program_result plain, warned;
    PROGRAM(&plain, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser",
            DEMO_FUSER, "-p", "Where does Kimiti live?");
    PROGRAM(&warned, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", folder,
            "-p", "Where does Kimiti live?");
    assert_int_equal(plain.status, 0);
    assert_int_equal(warned.status, 0);
    assert_string_equal(plain.out, warned.out);
    assert_null(strstr(plain.err, "warning"));
    assert_ptr_equal(strstr(warned.err, "c2c: warning: "), warned.err);
    assert_non_null(strstr(warned.err, "receiver Qwen/Qwen3-0.6B"));
    program_result_free(&plain);
    program_result_free(&warned);
    test_folder_remove(folder);
}

static void test_sampling(void **state) {
    (void)state;
    static const char hot[] = "3";
    assert_same_ids(IDS_OF("--temperature", hot, "-n", "20"),
                    IDS_OF("--temperature", hot, "-n", "20", "--seed", "0", "--threads", "1"),
                    true);
    assert_same_ids(IDS_OF("--temperature", hot, "-n", "20"),
                    IDS_OF("--temperature", hot, "-n", "20", "--seed", "1"), false);
    assert_same_ids(IDS_OF("--temperature", hot, "--top-k", "1"), IDS_OF("-n", "256"), true);
    assert_same_ids(IDS_OF("-n", "256"), IDS_OF("--presence-penalty", "900"), false);
}

/* An answer ends where the context does. */
static void test_small_context(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_SHARER, "-p", "x", "--raw", "--ctx", "4", "--json");
    json_document *document = program_json(&r);
    check_answer(json_root(document));
    assert_string_equal(text_of(json_root(document), "finish_reason"), "length");
    /* One token of prompt; the last of the answer takes no row. */
    assert_int_equal(json_get(json_root(document), "new_tokens")->integer, 4);
    json_close(document);
    program_result_free(&r);
}

static void test_compare(void **state) {
    (void)state;
    static const char *const ways[] = {"receiver", "sharer", "text", "c2c"};
    static const char *const answers[] = {"blue.", "gold.", "gold.", "gold."};
    program_result r;
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", DEMO_FUSER,
            "--messages", "tests/app/data/kumaso.json", "--dtype", "f32", "--compare",
            "--background-prompt",
            "Tell me what helps to answer: What is the favourite colour of Kumaso?", "--json");
    json_document *document = program_json(&r);
    const json_value *root = json_root(document);
    assert_int_equal(root->count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(root->members[i].key, ways[i]);
        check_answer(&root->members[i].value);
        assert_string_equal(text_of(&root->members[i].value, "text"), answers[i]);
    }
    json_close(document);
    program_result_free(&r);
    /* {question} is the last user message; the table shows the four answers. */
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "--sharer", DEMO_SHARER, "--fuser", DEMO_FUSER,
            "-p", "What is the favourite colour of Kumaso?", "--compare", "--background-prompt",
            "Tell me what helps to answer: {question}", "--background-tokens", "20");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    static const char *const shown[] = {"receiver alone", "sharer alone",
                                        "text to text",   "C2C",
                                        "first token",    "Kumaso likes the colour gold."};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strstr(r.out, shown[i]))
            fail_msg("\"%s\" is not in:\n%s", shown[i], r.out);
    program_result_free(&r);
}

/* A reader that is gone, or a full disk, is a failure. */
static void test_output_that_fails(void **state) {
    (void)state;
    const char *build = getenv("C2C_BUILD");
    buffer command = {0};
    buffer_printf(&command, "%s/c2c run --receiver " DEMO_SHARER " -p x -n 3 2>&1 >/dev/full",
                  build ? build : "build");
    FILE *pipe = popen(command.data, "r");
    assert_non_null(pipe);
    char line[512] = "";
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_non_null(strstr(line, "c2c: cannot write to standard output: No space left"));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 1);
    buffer_clear(&command);
    buffer_printf(&command, "%s/c2c help 2>&1 >&-", build ? build : "build");
    pipe = popen(command.data, "r");
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_non_null(strstr(line, "cannot write to standard output"));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 1);
    buffer_free(&command);
}

/* ---- Demo --------------------------------------------------------------------------------- */

static void test_demo(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "demo", "--limit", "20", "--dtype", "f32");
    assert_int_equal(r.status, 0);
    /* No bar where standard error is no terminal. */
    assert_string_equal(r.err, "");
    static const char *const shown[] = {
        "[the chat says: ",   "[the sharer knows]", "right",           "wrong",
        "20 questions of qa", "80 of 80 answers",   "right (95%)",     "first token",
        "\nreceiver ",        "\nsharer ",          "\ntext-to-text ", "\nC2C "};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strstr(r.out, shown[i]))
            fail_msg("\"%s\" is not in:\n%s", shown[i], r.out);
    assert_null(strchr(r.out, '\x1b'));
    program_result_free(&r);
    PROGRAM(&r, "demo", "--limit", "20", "--pair", "share/demo", "--dtype", "f32", "--json");
    json_document *document = program_json(&r);
    const json_value *root = json_root(document);
    assert_int_equal(json_get(root, "questions")->integer, 20);
    assert_int_equal(json_get(json_get(root, "c2c"), "as_recorded")->integer, 20);
    double share;
    assert_ok(json_get_real(json_get(root, "receiver"), "told", NULL, &share, "", &test_error));
    assert_true(share == 1.0);
    json_close(document);
    program_result_free(&r);
    PROGRAM(&r, "demo", "--pair", "nowhere");
    assert_program_fails(&r, 1, (const char *const[]){"--pair nowhere", "eval.jsonl", NULL});
    program_result_free(&r);
}

/* ---- Inspect ------------------------------------------------------------------------------ */

static void check_inspect(const char *path, const char *const *texts, const char *kind,
                          json_document **document) {
    program_result r;
    PROGRAM(&r, "inspect", path);
    if (r.status != 0)
        fail_msg("%s: %s", path, r.err);
    for (; *texts; texts++)
        if (!strstr(r.out, *texts))
            fail_msg("%s: \"%s\" is not in:\n%s", path, *texts, r.out);
    program_result_free(&r);
    PROGRAM(&r, "inspect", "--json", path);
    *document = program_json(&r);
    assert_string_equal(text_of(json_root(*document), "kind"), kind);
    program_result_free(&r);
}

static void test_inspect_folders(void **state) {
    (void)state;
    json_document *document;
    check_inspect(DEMO_RECEIVER,
                  (const char *const[]){"qwen3", "1,008", "bf16", "chat_template.jinja", "1002",
                                        "per token", NULL},
                  "model folder", &document);
    const json_value *root = json_root(document);
    assert_int_equal(json_get(root, "layers")->integer, 4);
    assert_int_equal(json_get(root, "eos_ids")->count, 1);
    /* 4 layers of keys and values, 2 heads of 32 features, 2 bytes each. */
    assert_int_equal(json_get(json_get(root, "memory"), "cache_bytes_per_token")->integer,
                     4 * 2 * 2 * 32 * 2);
    json_close(document);
    check_inspect(DEMO_FUSER,
                  (const char *const[]){"C2CProjector", "hidden 128", "receiver layer", "open",
                                        "(0.531)", NULL},
                  "fuser folder", &document);
    root = json_root(document);
    assert_int_equal(json_get(root, "projector_count")->integer, 4);
    const json_value *layers = json_get(root, "layers");
    assert_int_equal(layers->count, 4);
    assert_int_equal(json_get(&layers->items[3], "sharer_layer")->integer, 5);
    assert_true(json_get(json_get(&layers->items[3], "value_gate"), "open")->boolean);
    json_close(document);
}

static void test_inspect_files(void **state) {
    (void)state;
    static const struct {
        const char *path, *kind;
        const char *holds[4];
    } cases[] = {
        {DEMO_RECEIVER "/model.safetensors",
         "tensor file",
         {"model.embed_tokens.weight", "[1008, 128]", "bf16"}},
        {DEMO_FUSER "/final/projector_0.pt", "tensor file", {"key_gate_logit", "[]", "bf16"}},
        {DEMO_RECEIVER "/tokenizer.json", "tokenizer", {"BPE", "merges", "ByteLevel"}},
        {DEMO_RECEIVER "/config.json", "model configuration", {"qwen3", "1,008"}},
        {DEMO_RECEIVER "/generation_config.json", "generation configuration", {"eos"}},
        {DEMO_RECEIVER "/tokenizer_config.json", "tokenizer configuration", {"class"}},
        {DEMO_RECEIVER "/special_tokens_map.json", "special tokens", {"<|im_end|>"}},
        {DEMO_FUSER "/config.json", "recipe", {"C2CProjector", "training", "last_aligned"}},
        {DEMO_FUSER "/final/projector_0.json", "projector", {"C2CProjector", "128"}},
        {DEMO_FUSER "/final/projector_config.json", "layer map", {"projectors", "5"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_document *document;
        check_inspect(cases[i].path, cases[i].holds, cases[i].kind, &document);
        json_close(document);
    }
}

static void test_inspect_refuses(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"nowhere", "nowhere", "no such file or folder"},
        {"share/demo", "share/demo", "expected a model folder"},
        {"Makefile", "Makefile", "expected a model folder, a fuser folder"},
        {"share/demo/eval.jsonl", "eval.jsonl", "expected a model folder, a fuser folder"},
        {"share/demo/expected_accuracy.json", "expected_accuracy.json", "none of these"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        program_result r;
        PROGRAM(&r, "inspect", cases[i][0]);
        assert_program_fails(&r, 1, (const char *const[]){cases[i][1], cases[i][2], NULL});
        program_result_free(&r);
    }
}

/* Every kernel set that is said to be there can be asked for, and answers. */
static void test_kernels(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "inspect", "--cpu");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "portable"));
    program_result_free(&r);
    PROGRAM(&r, "inspect", "--cpu", "--json");
    json_document *document = program_json(&r);
    const json_value *root = json_root(document), *kernels = json_get(root, "kernels");
    assert_true(json_get(kernels, text_of(root, "chosen"))->boolean);
    for (uint32_t i = 0; i < kernels->count; i++) {
        const char *name = kernels->members[i].key;
        program_result answer;
        PROGRAM(&answer, "run", "--receiver", DEMO_RECEIVER, "-p", pair_question, "-n", "1",
                "--isa", name);
        if (kernels->members[i].value.boolean)
            assert_int_equal(answer.status, 0);
        else
            assert_program_fails(&answer, 1, (const char *const[]){"lacks", name, NULL});
        program_result_free(&answer);
    }
    json_close(document);
    program_result_free(&r);
    PROGRAM(&r, "run", "--receiver", DEMO_RECEIVER, "-p", "a", "--isa", "avx3");
    assert_program_fails(&r, 1, (const char *const[]){"\"avx3\"", "known: portable", NULL});
    program_result_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_usage),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_run_json_equals_stream),
        cmocka_unit_test(test_run_length_and_raw),
        cmocka_unit_test(test_run_messages_and_system),
        cmocka_unit_test(test_chat_template),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_several_sharers),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_bench),
        cmocka_unit_test(test_bench_pair),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_small_context),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_output_that_fails),
        cmocka_unit_test(test_demo),
        cmocka_unit_test(test_inspect_folders),
        cmocka_unit_test(test_inspect_files),
        cmocka_unit_test(test_inspect_refuses),
        cmocka_unit_test(test_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
