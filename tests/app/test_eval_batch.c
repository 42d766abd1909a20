/* test_eval_batch.c - questions asked together, in any portions and with kills in between, are
 * answered as one by one; what reuses an earlier question's rows says what a fresh session says. */
#include "app/answer.h"
#include "app/program.h"
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define DEMO_ROWS "share/demo/eval.jsonl"

/* ---- Answers files ------------------------------------------------------------------------- */

typedef struct line {
    char subject[32], text[200], whole[1000];
    int64_t id, kept, input;
    bool timed;
} line;

typedef struct answers {
    line items[400];
    int count;
} answers;

static int64_t number_of(const json_value *row, const char *key) {
    const json_value *value = json_get(row, key);
    assert_non_null(value);
    assert_int_equal(value->type, JSON_INTEGER);
    return value->integer;
}

/* The whole lines behind the first one; returns the bytes of them all. */
static size_t read_answers(answers *a, const char *folder, const char *name) {
    size_t length;
    char *text = file_read(folder, name, &length), *at = strchr(text, '\n');
    a->count = 0;
    for (char *end; at && (end = strchr(at + 1, '\n')); at = end) {
        json_document *row;
        line *l = &a->items[a->count++];
        assert_true(a->count <= 400);
        assert_ok(json_parse(&row, at + 1, (size_t)(end - at - 1), name, &test_error));
        const json_value *root = json_root(row);
        snprintf(l->subject, sizeof l->subject, "%s", json_get(root, "subject")->string);
        snprintf(l->text, sizeof l->text, "%s", json_get(root, "text")->string);
        snprintf(l->whole, sizeof l->whole, "%.*s", (int)(end - at - 1), at + 1);
        l->id = number_of(root, "id");
        l->kept = number_of(root, "kept_tokens");
        l->input = number_of(root, "input_tokens");
        l->timed = json_get(root, "ttft_ms")->type != JSON_NULL;
        json_close(row);
    }
    length = at ? (size_t)(at + 1 - text) : 0;
    free(text);
    return length;
}

/* ---- Recipes ------------------------------------------------------------------------------- */

#define FUSED                                                                                      \
    "model_name: Rosetta, generation_config: {max_new_tokens: 24}, rosetta_config: "               \
    "{base_model: " DEMO_RECEIVER ", "

/* Every kind of system, by the name that it has in files. */
static const struct {
    const char *name, *model;
} systems[] = {
    {"alone", "model_name: " DEMO_RECEIVER ", generation_config: {max_new_tokens: 24}"},
    {"sampled", "model_name: " DEMO_SHARER ", generation_config: {max_new_tokens: 24, do_sample: "
                "true, temperature: 1.5, top_k: 50, repetition_penalty: 1.2}"},
    {"fused", FUSED "teacher_model: " DEMO_SHARER ", checkpoints_dir: " DEMO_FUSER "}"},
    {"in_turn", FUSED "teacher_model: {a: " DEMO_SHARER ", b: " DEMO_SHARER
                      "}, checkpoints_dir: [" DEMO_FUSER ", " DEMO_FUSER "]}"},
    {"parallel",
     FUSED "teacher_model: {a: " DEMO_SHARER ", b: " DEMO_SHARER "}, checkpoints_dir: [" DEMO_FUSER
           ", " DEMO_FUSER "], multi_source_fusion_mode: parallel}"},
    {"aligned", FUSED "is_do_alignment: true, teacher_model: " DEMO_SHARER
                      ", checkpoints_dir: " DEMO_FUSER "}"},
    {"response", FUSED "include_response: true, teacher_model: " DEMO_SHARER
                       ", checkpoints_dir: " DEMO_FUSER "}"},
    {"two_stages",
     "model_name: two_stage, context_model_path: " DEMO_SHARER ", answer_model_path: " DEMO_RECEIVER
     ", background_prompt: \"Tell me what helps to answer: {question}\""},
    {"two_fused", "model_name: two_stage_rosetta, context_model_path: " DEMO_SHARER
                  ", rosetta_checkpoint_dir: %s"
                  ", background_prompt: \"Tell me what helps to answer: {question}\""},
};
#define SYSTEMS (sizeof systems / sizeof *systems)

static char *recipe_write(const char *folder, const char *checkpoint, const char *eval) {
    buffer text = {0};
    buffer_append_text(&text, "systems:\n");
    for (size_t i = 0; i < SYSTEMS; i++) {
        buffer_printf(&text, "  %s: {", systems[i].name);
        const char *place = strstr(systems[i].model, "%s");
        if (place) {
            buffer_append(&text, systems[i].model, (size_t)(place - systems[i].model));
            buffer_append_text(&text, checkpoint);
            buffer_append_text(&text, place + 2);
        } else {
            buffer_append_text(&text, systems[i].model);
        }
        buffer_append_text(&text, "}\n");
    }
    buffer_printf(&text, "eval: {%s}\noutput: {output_dir: nowhere}\n", eval);
    test_file_write(folder, "r.yaml", text.data, text.length);
    buffer_free(&text);
    return path_join(folder, "r.yaml");
}

/* A fuser's folder as training leaves it: config.json names the models, final/ is the fuser. */
static char *checkpoint_make(void) {
    char *folder = test_folder_make(), *cwd = getcwd(NULL, 0);
    buffer text = {0};
    buffer_printf(&text,
                  "{\"model\": {\"base_model\": \"%s/" DEMO_RECEIVER
                  "\", \"teacher_model\": \"%s/" DEMO_SHARER "\"}}",
                  cwd, cwd);
    test_file_write(folder, "config.json", text.data, text.length);
    buffer_clear(&text);
    buffer_printf(&text, "%s/" DEMO_FUSER, cwd);
    char *final = path_join(folder, "final");
    assert_int_equal(symlink(text.data, final), 0);
    free(final);
    free(cwd);
    buffer_free(&text);
    return folder;
}

static void checkpoint_remove(char *folder) {
    char *final = path_join(folder, "final");
    unlink(final);
    free(final);
    test_folder_remove(folder);
}

static void run(const char *recipe, const char *data, const char *output, const char *limit,
                const char *batch, const char *timed, const char *dtype) {
    program_result r;
    PROGRAM(&r, "eval", recipe, "--data", data, "--output", output, "--limit", limit, "--batch",
            batch, "--timed", timed, "--dtype", dtype, "--ctx", "512");
    if (r.status)
        fail_msg("%s", r.err);
    program_result_free(&r);
}

static void answers_name(char name[100], const char *system, const char *benchmark,
                         const char *method) {
    snprintf(name, 100, "%s/%s_%s_%s_answers.jsonl", system, system, benchmark, method);
}

/* ---- Batches ------------------------------------------------------------------------------- */

/* The same recipe, one question at a time and several: returns the number of equal texts. */
static int compare_runs(const char *a, const char *b, const char *benchmark, const char *method,
                        int wanted, int *reused) {
    static answers x, y;
    int same = 0;
    for (size_t s = 0; s < SYSTEMS; s++) {
        char name[100];
        answers_name(name, systems[s].name, benchmark, method);
        read_answers(&x, a, name);
        read_answers(&y, b, name);
        assert_int_equal(x.count, wanted);
        assert_int_equal(y.count, wanted);
        for (int i = 0; i < x.count; i++) {
            /* Files are in the set's order, whoever was asked first. */
            assert_string_equal(x.items[i].subject, y.items[i].subject);
            assert_int_equal(x.items[i].id, y.items[i].id);
            same += strcmp(x.items[i].text, y.items[i].text) == 0;
            *reused += y.items[i].kept > 0;
        }
    }
    return same;
}

static void check_batches(const char *dtype, const char *batch) {
    char *one = test_folder_make(), *many = test_folder_make(), *checkpoint = checkpoint_make();
    char *recipe = recipe_write(one, checkpoint,
                                "dataset: qa, communication_max_new_tokens: 24, "
                                "response_max_new_tokens: 24");
    int reused = 0;
    run(recipe, DEMO_ROWS, one, "13", "1", "13", dtype);
    run(recipe, DEMO_ROWS, many, "13", batch, "2", dtype);
    int same = compare_runs(one, many, "qa", "generate", 13, &reused);
    print_message("%s: %d of %d answers in batches are those of one by one\n", dtype, same,
                  13 * (int)SYSTEMS);
    assert_int_equal(same, 13 * (int)SYSTEMS);
    assert_true(reused > 0);
    free(recipe);
    checkpoint_remove(checkpoint);
    test_folder_remove(many);
    test_folder_remove(one);
}

static void test_batches_in_f32(void **state) {
    (void)state;
    check_batches("f32", "5");
}

static void test_batches_in_bf16(void **state) {
    (void)state;
    check_batches("bf16", "64"); /* more than there are questions */
}

/* Letters by their likelihood: no token is written, only prefills are made. */
static void test_letters_in_batches(void **state) {
    (void)state;
    char *one = test_folder_make(), *many = test_folder_make(), *checkpoint = checkpoint_make();
    char *data = path_join(one, "rows.jsonl");
    char *recipe = recipe_write(one, checkpoint,
                                "dataset: mmlu-redux, answer_method: logits, "
                                "communication_max_new_tokens: 8");
    buffer rows = {0};
    int reused = 0;
    for (int i = 0; i < 12; i++)
        buffer_printf(&rows,
                      "{\"subject\": \"%s\", \"question\": \"Which of %d?\", \"choices\": [\"a\", "
                      "\"b %d\", \"c\", \"d\"], \"answer\": %d, \"error_type\": \"ok\"}\n",
                      i % 2 ? "law" : "anatomy", i, i * i, i % 4);
    test_file_write(one, "rows.jsonl", rows.data, rows.length);
    run(recipe, data, one, "5", "1", "12", "f32");
    run(recipe, data, many, "5", "3", "1", "f32");
    assert_int_equal(compare_runs(one, many, "mmlu-redux", "logits", 10, &reused),
                     10 * (int)SYSTEMS);
    assert_true(reused > 0);
    buffer_free(&rows);
    free(recipe);
    free(data);
    checkpoint_remove(checkpoint);
    test_folder_remove(many);
    test_folder_remove(one);
}

/* ---- Reuse --------------------------------------------------------------------------------- */

/* Timed questions are asked of empty sessions; the others go on with what the one before left: the
 * same answers of fewer rows. */
static void test_reuse(void **state) {
    (void)state;
    static answers fresh, kept;
    char *a = test_folder_make(), *b = test_folder_make(), *checkpoint = checkpoint_make();
    char *recipe = recipe_write(a, checkpoint, "dataset: qa, communication_max_new_tokens: 24");
    run(recipe, DEMO_ROWS, a, "9", "1", "400", "f32");
    run(recipe, DEMO_ROWS, b, "9", "1", "0", "f32");
    for (size_t s = 0; s < SYSTEMS; s++) {
        char name[100];
        int64_t rows = 0;
        answers_name(name, systems[s].name, "qa", "generate");
        read_answers(&fresh, a, name);
        read_answers(&kept, b, name);
        for (int i = 0; i < 9; i++) {
            assert_string_equal(fresh.items[i].text, kept.items[i].text);
            assert_int_equal(fresh.items[i].input, kept.items[i].input);
            assert_true(fresh.items[i].timed && !kept.items[i].timed);
            assert_int_equal(fresh.items[i].kept, 0);
            assert_true(kept.items[i].kept < kept.items[i].input);
            rows += kept.items[i].kept;
        }
        assert_int_equal(kept.items[0].kept, 0);
        /* All of them begin with the template's opening. */
        if (rows < 8)
            fail_msg("%s: reused %lld rows in 9 questions", systems[s].name, (long long)rows);
    }
    free(recipe);
    checkpoint_remove(checkpoint);
    test_folder_remove(b);
    test_folder_remove(a);
}

/* Rows that all lanes of a session have computed. */
static int64_t rows_run(const c2c_session *session) {
    int64_t rows = session->receiver.tokens_run + session->clean.tokens_run;
    for (size_t s = 0; s < session->pair_count; s++)
        rows += session->sharers[s].tokens_run;
    return rows;
}

/* One question on the way's session; the logits of its first token, and its answer's ids. */
static void ask_one(pair *p, way w, const char *text, bool turn, float *logits, answer *a) {
    const prompt_models models = pair_models(p, w);
    chat messages = {0};
    answering asked;
    assert_ok(
        chat_add(&messages, "system", "Answer in one word, and do not explain.", &test_error));
    assert_ok(chat_add(&messages, "user", text, &test_error));
    const question q = {.messages = &messages,
                        .thinking = C2C_THINKING_OFF,
                        .max_new_tokens = 12,
                        .turn = turn};
    assert_ok(pair_need(p, w, &test_error));
    c2c_session *session = c2c_batch_session(p->sessions[w], 0);
    assert_ok(answer_begin(&asked, a, session, &models, &q, 0, &test_error));
    backend_download(session->backend, logits, session->logits,
                     (size_t)session->receiver.model->config.vocabulary * sizeof *logits);
    while (c2c_session_is_writing(session, NULL))
        assert_ok(c2c_batch_step(p->sessions[w], NULL, &test_error));
    assert_ok(answer_end(&asked, &test_error));
    chat_deinit(&messages);
}

/* To the bit: the logits that the first token is chosen from, with rows of the question before and
 * without. */
static void test_reuse_to_the_bit(void **state) {
    (void)state;
    static const char *const questions[] = {"Which town is home to Teteke?",
                                            "Which town is home to Zirose?",
                                            "What is the pet of Zirose?",
                                            "What is the pet of Teteke?"};
    static const char *const sharers[] = {DEMO_SHARER}, *const fusers[] = {DEMO_FUSER};
    const pair_settings settings = {.receiver = DEMO_RECEIVER,
                                    .sharers = sharers,
                                    .fusers = fusers,
                                    .sharer_count = 1,
                                    .compute = C2C_COMPUTE_F32,
                                    .context = 256,
                                    .keep_clean = true};
    static const way ways[] = {WAY_RECEIVER, WAY_SHARER, WAY_C2C};
    static float logits[2][4096];
    pair kept = {0}, fresh = {0};
    assert_ok(pair_open(&kept, &settings, &test_error));
    assert_ok(pair_open(&fresh, &settings, &test_error));
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
            answer a = {0}, b = {0};
            ask_one(&kept, ways[w], questions[i], true, logits[0], &a);
            ask_one(&fresh, ways[w], questions[i], false, logits[1], &b);
            assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
            assert_int_equal(a.id_count, b.id_count);
            assert_memory_equal(a.ids, b.ids, a.id_count * sizeof *a.ids);
            assert_int_equal(a.kept_tokens > 0, i > 0);
            answer_deinit(&a);
            answer_deinit(&b);
        }
        int64_t less = rows_run(c2c_batch_session(kept.sessions[ways[w]], 0));
        int64_t all = rows_run(c2c_batch_session(fresh.sessions[ways[w]], 0));
        print_message("%s: %lld rows computed, %lld without reuse\n", way_names[ways[w]],
                      (long long)less, (long long)all);
        assert_true(less < all);
    }
    pair_close(&fresh);
    pair_close(&kept);
}

/* ---- Portions ------------------------------------------------------------------------------ */

#define ANSWERS "r_qa_generate_answers.jsonl"

static char *small_recipe(const char *folder) {
    static const char text[] =
        "model: {model_name: " DEMO_RECEIVER "}\noutput: {output_dir: nowhere}\n"
        "eval: {dataset: qa}\n";
    test_file_write(folder, "r.yaml", text, sizeof text - 1);
    return path_join(folder, "r.yaml");
}

/* Every question of the file has one answer, and those of `known` are the same bytes. */
static void assert_grown(const answers *known, const answers *now) {
    for (int i = 0; i < now->count; i++)
        for (int k = 0; k < i; k++)
            assert_true(now->items[i].id != now->items[k].id ||
                        strcmp(now->items[i].subject, now->items[k].subject) != 0);
    for (int i = 0; i < known->count; i++) {
        int k = 0;
        while (k < now->count && strcmp(known->items[i].whole, now->items[k].whole) != 0)
            k++;
        if (k == now->count)
            fail_msg("question %lld was asked again", (long long)known->items[i].id);
    }
}

static int64_t questions_of(const char *out) {
    json_document *results;
    assert_ok(json_parse(&results, out, strlen(out), "results", &test_error));
    int64_t count = number_of(&json_root(results)->items[0], "questions");
    json_close(results);
    return count;
}

/* A larger limit goes on, a smaller one reports the first answers; none is asked twice or lost.
 * Every answer is timed, so an answer that was made again has other bytes. */
static void test_other_limits(void **state) {
    (void)state;
    static const struct {
        const char *limit, *batch;
        int asked, there; /* questions of the report, answers in the file */
    } runs[] = {{"12", "4", 12, 12}, {"20", "1", 20, 20}, {"5", "8", 5, 20}, {"31", "3", 31, 31}};
    static answers known, now;
    char *folder = test_folder_make(), *recipe = small_recipe(folder);
    known.count = 0;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        program_result r;
        PROGRAM(&r, "eval", recipe, "--data", DEMO_ROWS, "--output", folder, "--limit",
                runs[i].limit, "--batch", runs[i].batch, "--timed", "400", "--resume", "--json");
        assert_int_equal(r.status, 0);
        assert_int_equal(questions_of(r.out), runs[i].asked);
        program_result_free(&r);
        read_answers(&now, folder, ANSWERS);
        assert_int_equal(now.count, runs[i].there);
        assert_grown(&known, &now);
        for (int k = 0; k < now.count; k++)
            assert_int_equal(now.items[k].id, k);
        known = now;
    }
    /* What is no answer is told, and nothing of the file is touched. */
    size_t length;
    char *text = file_read(folder, ANSWERS, &length);
    buffer broken = {0};
    buffer_append(&broken, text, length);
    buffer_append_text(&broken, "not an answer\n");
    test_file_write(folder, ANSWERS, broken.data, broken.length);
    program_result r;
    PROGRAM(&r, "eval", recipe, "--data", DEMO_ROWS, "--output", folder, "--resume");
    assert_program_fails(&r, 1, (const char *const[]){ANSWERS ": line 33", NULL});
    program_result_free(&r);
    free(text);
    text = file_read(folder, ANSWERS, &length);
    assert_int_equal(length, broken.length);
    free(text);
    buffer_free(&broken);
    free(recipe);
    test_folder_remove(folder);
}

/* Runs the program and sends it a signal after a while; its exit status, or minus the signal. */
static int run_and_signal(const char *const *arguments, int64_t microseconds, int number) {
    const struct timespec wait = {.tv_sec = microseconds / 1000000,
                                  .tv_nsec = microseconds % 1000000 * 1000};
    const char *build = getenv("C2C_BUILD"), *argv[32];
    char *program = path_join(build ? build : "build", "c2c");
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status, count = 0;
    argv[count++] = program;
    while (*arguments)
        argv[count++] = *arguments++;
    argv[count] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, (char *const *)argv, environ), 0);
    nanosleep(&wait, NULL);
    kill(child, number);
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    posix_spawn_file_actions_destroy(&actions);
    free(program);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Kills at random moments, Ctrl-C now and then: the whole lines that a run left stay, and the next
 * one asks what is missing. */
static void test_kills(void **state) {
    (void)state;
    static answers known, now;
    char *folder = test_folder_make(), *recipe = small_recipe(folder);
    char *file = path_join(folder, ANSWERS);
    const char *const arguments[] = {"eval",    recipe,    "--data",   DEMO_ROWS, "--output",
                                     folder,    "--batch", "6",        "--timed", "10000",
                                     "--limit", "400",     "--resume", NULL};
    uint32_t random = 12345;
    int status = 1, grew = 0;
    known.count = 0;
    for (int i = 0; i < 200 && status != 0; i++) {
        random = random * 1664525 + 1013904223;
        /* From before the models are open to whole runs of a slow machine. */
        status = run_and_signal(arguments, 1000 + (random >> 8) % 60000 + i * 3000,
                                i % 4 == 3 ? SIGINT : SIGKILL);
        if (!file_exists(file))
            continue;
        read_answers(&now, folder, ANSWERS);
        assert_grown(&known, &now);
        grew += now.count > known.count;
        known = now;
    }
    assert_int_equal(status, 0);
    assert_int_equal(known.count, 400);
    assert_true(grew > 1);
    for (int i = 0; i < known.count; i++)
        assert_int_equal(known.items[i].id, i);
    free(file);
    free(recipe);
    test_folder_remove(folder);
}

/* Where every slot's part of the memory is too small for a question, it is asked alone. */
static void test_long_questions(void **state) {
    (void)state;
    static answers one, many;
    char *a = test_folder_make(), *b = test_folder_make(), *recipe = small_recipe(a);
    const char *folders[] = {a, b};
    for (int i = 0; i < 2; i++) {
        program_result r;
        /* Some prompts and their answers fit into so little, some do not, and some not at all. */
        PROGRAM(&r, "eval", recipe, "--data", DEMO_ROWS, "--output", folders[i], "--limit", "40",
                "--batch", i ? "8" : "1", "--timed", "0", "--ctx", "34");
        assert_int_equal(r.status, 0);
        program_result_free(&r);
    }
    read_answers(&one, a, ANSWERS);
    read_answers(&many, b, ANSWERS);
    assert_int_equal(one.count, 40);
    assert_int_equal(many.count, 40);
    int failed = 0;
    for (int i = 0; i < 40; i++) {
        assert_string_equal(one.items[i].text, many.items[i].text);
        failed += strstr(one.items[i].whole, "\"failed\": true") != NULL;
    }
    assert_in_range(failed, 1, 39);
    free(recipe);
    test_folder_remove(a);
    test_folder_remove(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches_in_f32),
                                       cmocka_unit_test(test_batches_in_bf16),
                                       cmocka_unit_test(test_letters_in_batches),
                                       cmocka_unit_test(test_reuse),
                                       cmocka_unit_test(test_reuse_to_the_bit),
                                       cmocka_unit_test(test_other_limits),
                                       cmocka_unit_test(test_kills),
                                       cmocka_unit_test(test_long_questions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
