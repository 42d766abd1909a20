/* test_eval.c - the verb eval on the demo pair: what every system answers is what the original
 * recorded; files and resuming. */
#include "app/eval.h"
#include "app/eval_world.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

static void systems_write(const char *folder) {
    static const char eval[] = "dataset: qa, answer_method: generate, gpu_ids: [0], "
                               "communication_max_new_tokens: 32, response_max_new_tokens: 32";
    eval_world_recipe(folder, "receiver.yaml",
                      "  model_name: " DEMO_RECEIVER "\n  generation_config: {max_new_tokens: 32}",
                      eval);
    eval_world_recipe(folder, "sharer.yaml",
                      "  model_name: " DEMO_SHARER "\n  generation_config: {max_new_tokens: 32}",
                      eval);
    eval_world_recipe(folder, "c2c.yaml", EVAL_WORLD_C2C, eval);
    eval_world_recipe(folder, "t2t.yaml",
                      "  model_name: two_stage\n  context_model_path: " DEMO_SHARER
                      "\n  answer_model_path: " DEMO_RECEIVER
                      "\n  background_prompt: \"Tell me what helps to answer: {question}\"",
                      eval);
}

/* The line of a text that follows `*at`, as a document; NULL at the end. */
static json_document *next_line(const char **at) {
    json_document *row = NULL;
    const char *end = strchr(*at, '\n');
    if (!**at || !end)
        return NULL;
    assert_ok(json_parse(&row, *at, (size_t)(end - *at), "line", &test_error));
    *at = end + 1;
    return row;
}

static const char *text_of(const json_document *row, const char *key) {
    const json_value *value = json_get(json_root(row), key);
    assert_non_null(value);
    assert_int_equal(value->type, JSON_STRING);
    return value->string;
}

/* ---- Systems ----------------------------------------------------------------------------------
 */

/* Every answer is, letter by letter, the one that the original left in the demo's rows. Questions
 * reuse what an earlier one left in the session, so this also says that nothing leaks. */
static void test_systems(void **state) {
    (void)state;
    static const char *const systems[] = {"receiver", "sharer", "t2t", "c2c"};
    char *folder = test_folder_make(), *paths[4], *report;
    program_result r;
    size_t length;
    systems_write(folder);
    for (int i = 0; i < 4; i++) {
        buffer name = {0};
        buffer_printf(&name, "%s/%s.yaml", folder, systems[i]);
        paths[i] = buffer_take(&name, &length);
    }
    PROGRAM(&r, "eval", paths[0], "--compare", paths[1], paths[2], paths[3], "--data", DEMO_ROWS,
            "--limit", "40", "--output", folder, "--dtype", "f32");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "against receiver"));
    char *rows = file_read("share/demo", "eval.jsonl", &length);
    for (int i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s/%s_qa_generate_answers.jsonl", systems[i], systems[i]);
        char *answers = file_read(folder, name, &length);
        const char *answer_at = answers, *row_at = rows;
        json_document *about = next_line(&answer_at), *answer;
        int count = 0;
        json_close(about);
        while ((answer = next_line(&answer_at))) {
            json_document *row = next_line(&row_at);
            assert_string_equal(text_of(answer, "text"), text_of(row, systems[i]));
            json_close(answer);
            json_close(row);
            count++;
        }
        assert_int_equal(count, 40);
        free(answers);
        free(paths[i]);
    }
    report = file_read(folder, "report.html", &length);
    assert_non_null(strstr(report, "<svg"));
    assert_non_null(strstr(report, "McNemar p"));
    assert_non_null(strstr(report, "Where they disagree"));
    assert_null(strstr(report, "http"));
    free(report);
    free(rows);
    program_result_free(&r);
    test_folder_remove(folder);
}

/* One file names the demo's four systems; the verb demo prints the table that it gives. */
static void test_demo_recipe(void **state) {
    (void)state;
    static const char *const names[] = {"receiver", "sharer", "text-to-text", "C2C"};
    char *folder = test_folder_make();
    program_result r, demo;
    PROGRAM(&r, "eval", "recipes/demo_eval.yaml", "--models", "share/demo", "--data", DEMO_ROWS,
            "--limit", "12", "--output", folder, "--dtype", "f32", "--json");
    json_document *document = program_json(&r);
    const json_value *root = json_root(document);
    assert_int_equal(root->count, 4);
    PROGRAM(&demo, "demo", "--limit", "12", "--dtype", "f32", "--questions", "0");
    const char *table = strstr(demo.out, "12 questions of qa");
    assert_non_null(table);
    for (uint32_t i = 0; i < root->count; i++) {
        double accuracy, told;
        char row[80];
        const json_value *one = &root->items[i];
        assert_string_equal(json_get(one, "system")->string, names[i]);
        assert_ok(json_get_real(one, "accuracy", NULL, &accuracy, "", &test_error));
        assert_ok(json_get_real(json_get(one, "categories"), "told", NULL, &told, "", &test_error));
        /* What was told, the receiver can read and the sharer cannot. */
        assert_true(told == (i == 1 ? 0 : 1));
        snprintf(row, sizeof row, "\n%s ", names[i]);
        const char *line = strstr(table, row);
        assert_non_null(line);
        snprintf(row, sizeof row, " %.2f%% (", accuracy * 100);
        const char *share = strstr(line, row);
        assert_true(share && share < strchr(line + 1, '\n'));
        assert_true((json_get(one, "against") != NULL) == (i > 0));
    }
    json_close(document);
    program_result_free(&demo);
    program_result_free(&r);
    test_folder_remove(folder);
}

/* ---- Pairs ------------------------------------------------------------------------------------
 */

#define PAIRED 20

/* Twenty questions: eight that both answer, one that only the first does, nine that only the second
 * does, two that nobody does. By hand: 8 of 20 points; of ten that differ, one or fewer for either
 * side has the chance 2 (1 + 10) / 2^10; nine ones, one minus one and ten zeros have the deviation
 * sqrt(10/20 - 0.4^2), so their mean one of 0.130. */
static void test_pairs_by_hand(void **state) {
    (void)state;
    eval_record first[PAIRED] = {0}, second[PAIRED] = {0};
    eval_question questions[PAIRED] = {0};
    const eval_set set = {.benchmark = benchmark_find("qa"), .items = questions, .count = PAIRED};
    for (int i = 0; i < PAIRED; i++) {
        questions[i].subject = "main";
        first[i] = (eval_record){.right = i < 9, .scored = true, .timed = true, .ttft_ms = i};
        second[i] = (eval_record){.right = i < 8 || (i >= 9 && i < 18), .scored = true};
        first[i].score = first[i].right;
        second[i].score = second[i].right;
    }
    const eval_records a = {.items = first, .count = PAIRED},
                       b = {.items = second, .count = PAIRED};
    const eval_result results[] = {{.name = "one", .set = &set, .records = &a},
                                   {.name = "two", .set = &set, .records = &b}};
    eval_pairing p;
    assert_ok(eval_compare(&p, &results[0], &results[1], &test_error));
    assert_int_equal(p.both, 8);
    assert_int_equal(p.only_a, 1);
    assert_int_equal(p.only_b, 9);
    assert_int_equal(p.neither, 2);
    assert_true(fabs(p.difference.value - 0.4) < 1e-12);
    assert_true(fabs(p.p - 22.0 / 1024) < 1e-12);
    /* 1.96 deviations; means of twenty are steps of 0.05. */
    assert_true(fabs(p.difference.low - (0.4 - 0.256)) <= 0.05);
    assert_true(fabs(p.difference.high - (0.4 + 0.256)) <= 0.05);
    buffer out = {0};
    assert_ok(eval_show_table(&out, results, 2, &test_error));
    /* Wilson: 9 of 20 is 45% (25.8 to 65.8), 17 of 20 is 85% (64.0 to 94.8); the median of 0 .. 19
     * is 9.5. */
    assert_non_null(strstr(out.data, "20 questions of qa"));
    assert_non_null(strstr(out.data, "45.00% (25.8-65.8)"));
    assert_non_null(strstr(out.data, "85.00% (64.0-94.8)"));
    assert_non_null(strstr(out.data, " 9.50 ms"));
    buffer_clear(&out);
    assert_ok(eval_show_pairings(&out, results, 2, &test_error));
    const char *row = strstr(out.data, "\ntwo ");
    int64_t counts[4];
    char text[80];
    assert_non_null(row);
    assert_non_null(strstr(row, "+40.00 (+"));
    const char *behind = strchr(row, ')');
    assert_non_null(behind);
    assert_int_equal(sscanf(behind + 1, "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%79s",
                            &counts[0], &counts[1], &counts[2], &counts[3], text),
                     5);
    assert_int_equal(counts[0], 9);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 8);
    assert_int_equal(counts[3], 2);
    assert_string_equal(text, "0.021");
    buffer_free(&out);
}

/* The answers that a recipe leaves, without their times; to be freed. */
static char *answers_of(const char *folder, const char *name, const char *model, const char *eval,
                        const char *data) {
    char file[64], line[80];
    size_t length;
    program_result r;
    buffer texts = {0};
    snprintf(file, sizeof file, "%s.yaml", name);
    eval_world_recipe(folder, file, model, eval);
    char *path = path_join(folder, file);
    PROGRAM(&r, "eval", path, "--data", data, "--dtype", "f32", "--ctx", "512");
    if (r.status)
        fail_msg("%s: %s", name, r.err);
    program_result_free(&r);
    snprintf(line, sizeof line, "%s_qa_generate_answers.jsonl", name);
    char *answers = file_read(folder, line, &length);
    const char *at = answers;
    json_document *row;
    json_close(next_line(&at));
    while ((row = next_line(&at))) {
        buffer_printf(&texts, "%s|", text_of(row, "text"));
        json_close(row);
    }
    free(answers);
    free(path);
    return buffer_take(&texts, &length);
}

static void assert_same_answers(char *a, char *b) {
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* Ways to say the same give the same answers; what differs differs. */
static void test_other_systems(void **state) {
    (void)state;
    static const char qa[] = "dataset: qa, limit: [200, 206]"; /* what the sharer knows */
    static const char generation[] = "  generation_config: {max_new_tokens: 32}";
    char *folder = test_folder_make(), *fuser = folder_of_links(DEMO_FUSER), *cwd;
    buffer model = {0}, config = {0};
    char *fused = answers_of(folder, "fused", EVAL_WORLD_C2C, qa, DEMO_ROWS);
    char *named =
        answers_of(folder, "named",
                   "  model_name: Rosetta\n  rosetta_config: {base_model: " DEMO_RECEIVER
                   ", teacher_model: {one: " DEMO_SHARER "}, checkpoints_dir: [" DEMO_FUSER
                   "], multi_source_fusion_mode: parallel}\n"
                   "  generation_config: {max_new_tokens: 32}",
                   qa, DEMO_ROWS);
    assert_string_equal(fused, named);
    free(named);
    /* Text first, then the fused receiver: its models are those of the fuser's recipe. */
    cwd = getcwd(NULL, 0);
    buffer_printf(&config,
                  "{\"model\": {\"base_model\": \"%s/" DEMO_RECEIVER
                  "\", \"teacher_model\": \"%s/" DEMO_SHARER "\"}}",
                  cwd, cwd);
    file_replace(fuser, "config.json", config.data, config.length);
    buffer_clear(&config);
    buffer_printf(&config, "%s/" DEMO_FUSER "/final", cwd);
    buffer_printf(&model, "%s/final", fuser);
    assert_int_equal(symlink(config.data, model.data), 0);
    buffer_clear(&model);
    buffer_printf(&model,
                  "  model_name: two_stage_rosetta\n  context_model_path: " DEMO_SHARER
                  "\n  rosetta_checkpoint_dir: %s\n  background_prompt: \"Tell me what helps to "
                  "answer: {question}\"",
                  fuser);
    char *both = answers_of(folder, "both", model.data,
                            "dataset: qa, limit: [200, 206], communication_max_new_tokens: 32, "
                            "response_max_new_tokens: 32",
                            DEMO_ROWS);
    assert_true(strlen(both) > 6); /* six answers */
    free(both);
    /* Nothing fused is the receiver alone, whoever the sharer is. */
    buffer_clear(&model);
    buffer_printf(&model, "  model_name: " DEMO_RECEIVER "\n%s", generation);
    char *alone = answers_of(folder, "alone", model.data, qa, DEMO_ROWS);
    char *none = answers_of(folder, "none", EVAL_WORLD_C2C,
                            "dataset: qa, limit: [200, 206], kv_cache_proportion: 0", DEMO_ROWS);
    assert_true(strcmp(alone, fused) != 0);
    assert_same_answers(alone, none);
    free(fused);
    free(cwd);
    buffer_free(&config);
    buffer_free(&model);
    buffer link = {0};
    buffer_printf(&link, "%s/final", fuser);
    unlink(link.data);
    buffer_free(&link);
    test_folder_remove(fuser);
    test_folder_remove(folder);
}

/* ---- Files and resuming -------------------------------------------------------------------------
 */

/* A run that was cut in the middle of a line goes on behind the last whole one. */
static void test_resume(void **state) {
    (void)state;
    static const char name[] = "c2c_qa_generate_answers.jsonl";
    char *folder = test_folder_make(), *path;
    size_t length, whole;
    program_result r;
    systems_write(folder);
    path = path_join(folder, "c2c.yaml");
    PROGRAM(&r, "eval", path, "--data", DEMO_ROWS, "--limit", "8");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    char *full = file_read(folder, name, &whole), *line = full;
    for (int i = 0; i < 4; i++)
        line = strchr(line, '\n') + 1;
    size_t kept = (size_t)(line - full);
    test_file_write(folder, name, full, kept + 20);
    PROGRAM(&r, "eval", path, "--data", DEMO_ROWS, "--limit", "8", "--resume");
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    char *again = file_read(folder, name, &length);
    /* The lines before are untouched, with their times; those behind say the same. */
    assert_memory_equal(again, full, kept);
    const char *a = full, *b = again;
    json_document *x, *y;
    /* The first line says what run this is. */
    json_close(next_line(&a));
    json_close(next_line(&b));
    int lines = 0;
    while ((x = next_line(&a))) {
        y = next_line(&b);
        assert_non_null(y);
        assert_string_equal(text_of(x, "text"), text_of(y, "text"));
        json_close(x);
        json_close(y);
        lines++;
    }
    assert_int_equal(lines, 8);
    assert_null(next_line(&b));
    /* Another recipe's answers are not taken for one's own. */
    PROGRAM(&r, "eval", path, "--data", DEMO_ROWS, "--limit", "8", "--seed", "1", "--resume");
    assert_program_fails(&r, 1, (const char *const[]){"of another run", NULL});
    program_result_free(&r);
    free(again);
    free(full);
    free(path);
    test_folder_remove(folder);
}

/* ---- Multiple choice
 * ------------------------------------------------------------------------------ */

static const char choice_rows[] =
    "{\"subject\": \"anatomy\", \"question\": \"Which?\", \"choices\": [\"a\", \"b\", \"c\", "
    "\"d\"], \"answer\": 1, \"error_type\": \"ok\"}\n"
    "{\"subject\": \"anatomy\", \"question\": \"None?\", \"choices\": [\"a\", \"b\"], "
    "\"answer\": 0, \"error_type\": \"no_correct_answer\"}\n"
    "{\"subject\": \"anatomy\", \"question\": \"Torn\n"
    "{\"subject\": \"law\", \"answer\": 1}\n"
    "{\"subject\": \"virology\", \"question\": \"What?\", \"choices\": [\"a\", \"b\", \"c\", "
    "\"d\"], \"answer\": 0, \"error_type\": \"wrong_groundtruth\", \"correct_answer\": \"D\"}\n";

/* Letters by their likelihood; nothing fused gives what the receiver alone gives. Rows that cannot
 * be read or graded are counted and never scored. */
static void test_logits(void **state) {
    (void)state;
    static const char of_redux[] = "dataset: mmlu-redux, answer_method: logits";
    char *folder = test_folder_make(), *data = path_join(folder, "rows.jsonl");
    char *alone = path_join(folder, "alone.yaml"), *none = path_join(folder, "none.yaml");
    size_t length;
    program_result r;
    test_file_write(folder, "rows.jsonl", choice_rows, sizeof choice_rows - 1);
    eval_world_recipe(folder, "alone.yaml", "  model_name: " DEMO_RECEIVER, of_redux);
    eval_world_recipe(folder, "none.yaml", EVAL_WORLD_C2C,
                      "dataset: mmlu-redux, answer_method: logits, kv_cache_proportion: 0.0");
    PROGRAM(&r, "eval", alone, "--compare", none, "--data", data, "--output", folder);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "1 rows were not asked"));
    assert_non_null(strstr(r.out, "2 malformed rows"));
    assert_non_null(strstr(r.out, "+0.00 (+0.00 to +0.00)"));
    program_result_free(&r);
    char *answers = file_read(folder, "alone/alone_mmlu-redux_logits_answers.jsonl", &length);
    const char *at = answers;
    json_document *row;
    int count = 0;
    json_close(next_line(&at));
    for (; (row = next_line(&at)); count++, json_close(row)) {
        const char *letter = text_of(row, "prediction");
        assert_true(letter[0] >= 'A' && letter[0] <= 'D' && !letter[1]);
    }
    assert_int_equal(count, 2);
    free(answers);
    free(none);
    free(alone);
    free(data);
    test_folder_remove(folder);
}

/* ---- LongBench
 * --------------------------------------------------------------------------------------- */

static void test_longbench(void **state) {
    (void)state;
    char *folder = test_folder_make(), *data = path_join(folder, "rows.jsonl"), *path;
    buffer rows = {0};
    size_t length;
    program_result r;
    /* Of many ids some are kept for evaluation. */
    for (int i = 0; i < 12; i++)
        buffer_printf(&rows,
                      "{\"input\": \"Who?\", \"context\": \"Someone.\", \"answers\": [\"x\"], "
                      "\"length\": 3, \"dataset\": \"hotpotqa\", \"all_classes\": null, \"_id\": "
                      "\"%d\"}\n",
                      i);
    test_file_write(folder, "rows.jsonl", rows.data, rows.length);
    eval_world_recipe(folder, "long.yaml", "  model_name: " DEMO_RECEIVER "\n  max_length: 40",
                      "dataset: longbench");
    path = path_join(folder, "long.yaml");
    PROGRAM(&r, "eval", path, "--data", data);
    assert_int_equal(r.status, 0);
    program_result_free(&r);
    char *predictions = file_read(folder, "pred/receiver/hotpotqa.jsonl", &length);
    const char *at = predictions;
    json_document *row;
    int count = 0;
    for (; (row = next_line(&at)); count++, json_close(row)) {
        uint8_t digest[DIGEST_SHA256];
        const char *id = text_of(row, "_id");
        digest_sha256(digest, id, strlen(id));
        assert_int_equal(digest[DIGEST_SHA256 - 1] % 4, 1);
        text_of(row, "pred");
    }
    assert_in_range(count, 1, 11);
    free(predictions);
    free(path);
    buffer_free(&rows);
    free(data);
    test_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_systems),
                                       cmocka_unit_test(test_pairs_by_hand),
                                       cmocka_unit_test(test_demo_recipe),
                                       cmocka_unit_test(test_other_systems),
                                       cmocka_unit_test(test_resume),
                                       cmocka_unit_test(test_logits),
                                       cmocka_unit_test(test_longbench)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
