/* test_memory.c - what a session takes: nothing per token, scratch that does not grow with the
 * prompt, and no more than weights, caches and a tenth. The models are made here. */
#define _GNU_SOURCE
#include "session/session.h"
#include "support/random_pair.h"
#include "support/test.h"

#include <fcntl.h>
#include <unistd.h>

#define TOKENIZER "share/demo/receiver"

typedef struct pair {
    c2c_engine *engine;
    c2c_model *receiver, *sharer;
    c2c_fuser *fuser;
    c2c_session *session;
} pair;

/* A session of the receiver with so many sharers: one, or none. */
static pair open_pair(const char *folder, const c2c_model_options *models,
                      const c2c_session_options *options, size_t sharers) {
    pair p = {0};
    char *paths[] = {path_join(folder, "receiver"), path_join(folder, "sharer"),
                     path_join(folder, "fuser")};
    assert_ok(c2c_engine_open(&p.engine, &(c2c_engine_options){.threads = 2}, &test_error));
    assert_ok(c2c_model_open(&p.receiver, p.engine, paths[0], models, &test_error));
    assert_ok(c2c_model_open(&p.sharer, p.engine, paths[1], models, &test_error));
    assert_ok(c2c_fuser_open(&p.fuser, p.receiver, p.sharer, paths[2], &test_error));
    const c2c_pair fused = {p.sharer, p.fuser};
    assert_ok(c2c_session_open(&p.session, p.receiver, &fused, sharers, options, &test_error));
    for (int i = 0; i < 3; i++)
        free(paths[i]);
    return p;
}

static void close_pair(pair *p) {
    c2c_session_close(p->session);
    c2c_fuser_close(p->fuser);
    c2c_model_close(p->sharer);
    c2c_model_close(p->receiver);
    c2c_engine_close(p->engine);
}

static void prefill(c2c_session *session, int64_t tokens) {
    int32_t *ids = malloc((size_t)tokens * sizeof *ids);
    assert_non_null(ids);
    for (int64_t i = 0; i < tokens; i++)
        ids[i] = (int32_t)(i * 97 % 1000);
    const c2c_plan plan = {.ids = ids, .token_count = tokens};
    c2c_session_reset(session);
    assert_ok(c2c_session_prefill(session, &plan, &test_error));
    free(ids);
}

/* A number of /proc/self/status, in bytes. */
static int64_t process_memory(const char *key) {
    char line[256];
    long long kilobytes = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (kilobytes < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %lld", &kilobytes);
    fclose(file);
    return kilobytes * 1024;
}

/* ---- Allocations ------------------------------------------------------------------------------
 */

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true /* allocations are the sanitizer's, which takes memory of its own */
#else
#define SANITIZED false
/* Volatile: the compiler believes that malloc reads and writes none of our variables. */
static volatile bool counting;
static volatile int allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

C2C_API void *malloc(size_t size) {
    allocations += counting;
    return __libc_malloc(size);
}
C2C_API void *calloc(size_t count, size_t size) {
    allocations += counting;
    return __libc_calloc(count, size);
}
C2C_API void *realloc(void *memory, size_t size) {
    allocations += counting;
    return __libc_realloc(memory, size);
}
C2C_API void *aligned_alloc(size_t alignment, size_t size) {
    allocations += counting;
    return __libc_memalign(alignment, size);
}

/* Counts from the third token on: the first ones may grow the text buffers. */
static bool start_counting(void *user, int32_t id, const char *text, size_t length) {
    (void)id, (void)text, (void)length;
    int *tokens = user;
    counting = ++*tokens >= 3;
    return true;
}

static const random_model tiny = {"qwen3", 2, 64, 128, 4, 2, 16, 1008, 1024};
static const random_model tiny_sharer = {"qwen2", 2, 64, 128, 4, 1, 16, 1008, 1024};

static void check_answer(const char *folder, const c2c_session_options *options, size_t sharers,
                         const c2c_sampling *sampling, c2c_model_weights weights) {
    const c2c_model_options models = {.weights = weights};
    pair p = open_pair(folder, &models, options, sharers);
    p.receiver->config.eos_count = 0;
    assert_ok(c2c_session_set_sampling(p.session, sampling, &test_error));
    /* The second answer is the first session's again: nothing is left to be got once. */
    for (int answer = 0; answer < 2; answer++) {
        int tokens = 0;
        prefill(p.session, 100);
        allocations = 0;
        c2c_status status =
            c2c_session_generate(p.session, 300, start_counting, &tokens, NULL, &test_error);
        counting = false;
        assert_int_equal(status, C2C_STATUS_OK);
        assert_int_equal(tokens, 300);
        assert_int_equal(allocations, 0);
    }
    close_pair(&p);
}
#endif

static void test_a_token_allocates_nothing(void **state) {
    (void)state;
#ifndef __SANITIZE_ADDRESS__
    static const c2c_sampling all = {.temperature = 0.9f,
                                     .top_k = 60,
                                     .top_p = 0.95f,
                                     .min_p = 0.01f,
                                     .repetition_penalty = 1.1f,
                                     .presence_penalty = 0.1f,
                                     .frequency_penalty = 0.1f,
                                     .seed = 3};
    static const c2c_session_options sessions[] = {
        {.context = 512, .cache = C2C_CACHE_F32},
        {.context = 512, .cache = C2C_CACHE_BF16},
        {.context = 512, .include_response = true},
        {.context = 512, .keep_clean = true},
    };
    char *root = test_folder_make(), *folder = path_join(root, "pair");
    assert_ok(random_pair_write(folder, &tiny, &tiny_sharer, 32, false, TOKENIZER, &test_error));
    for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++)
        check_answer(folder, &sessions[i], 1, i ? &all : NULL,
                     i == 1 ? C2C_MODEL_WEIGHTS_INT8 : C2C_MODEL_WEIGHTS_STORED);
    check_answer(folder, &sessions[0], 0, &all, C2C_MODEL_WEIGHTS_STORED);
    allocations = 0;
    counting = true; /* the counter works */
    void *volatile memory = malloc(1);
    counting = false;
    free(memory);
    assert_int_equal(allocations, 1);
    free(folder);
    test_folder_remove(root);
#else
    print_message("SKIP: the sanitizer has its own allocator\n");
    skip();
#endif
}

/* ---- Long prompts -----------------------------------------------------------------------------
 */

/* One layer and few heads: attention grows with the square of the prompt. */
static const random_model thin = {"qwen3", 1, 32, 64, 2, 1, 16, 1008, 40960};
static const random_model thin_sharer = {"qwen2", 1, 32, 64, 2, 1, 16, 1008, 40960};

/* What the process has of its own beyond the rows of its caches. */
static int64_t beyond_caches(const pair *p, int64_t tokens) {
    prefill(p->session, tokens);
    return process_memory("RssAnon") - tokens * batch_row_bytes(p->session->batch);
}

static void test_scratch_does_not_grow(void **state) {
    (void)state;
    if (process_memory("RssAnon") < 0) {
        print_message("SKIP: this system does not say how much memory a process has\n");
        skip();
    }
    char *root = test_folder_make(), *folder = path_join(root, "pair");
    assert_ok(random_pair_write(folder, &thin, &thin_sharer, 16, false, TOKENIZER, &test_error));
    pair p = open_pair(folder, NULL, &(c2c_session_options){.context = 33000}, 1);
    beyond_caches(&p, 1024); /* what is touched once */
    int64_t at_2k = beyond_caches(&p, 2048), at_8k = beyond_caches(&p, 8192),
            at_32k = beyond_caches(&p, 32768);
    print_message("beyond the caches: %.2f MB with 2,048 tokens, %.2f with 8,192, %.2f with "
                  "32,768\n",
                  (double)at_2k * 1e-6, (double)at_8k * 1e-6, (double)at_32k * 1e-6);
    /* Ids and what is known of each row: 12 + 3 x 4 bytes a token; the ids of the prompt that the
     * caller had, 4, which the allocator may keep; and pages that tables begin. Scores of 32,768
     * queries over as many keys would be 4 GB. */
    const int64_t slack = 512 << 10, per_token = 32;
    assert_true(at_8k - at_2k <= 6144 * per_token + slack);
    assert_true(at_32k - at_2k <= 30720 * per_token + slack);
    close_pair(&p);
    free(folder);
    test_folder_remove(root);
}

/* ---- All of it --------------------------------------------------------------------------------
 */

/* With the fuser 127 MB of weights. */
static const random_model middle = {"qwen3", 8, 512, 2048, 8, 4, 64, 8192, 4096};
static const random_model middle_sharer = {"qwen2", 8, 448, 1536, 8, 2, 64, 8192, 4096};

/* The largest that the process was since the last call. */
static bool reset_peak(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY);
    bool done = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0)
        close(file);
    return done;
}

/* At most weights, caches and a tenth, beyond what the process had before. Where integers are made
 * of weights, their pages are given back layer by layer, so that this holds all the time. */
static void check_resident(const char *folder, c2c_model_weights weights) {
    const c2c_model_options models = {.weights = weights};
    const int64_t prompt = 600, answer = 8;
    int64_t before = process_memory("VmRSS");
    if (before < 0 || !reset_peak()) {
        print_message("SKIP: this system does not say how much memory a process had at most\n");
        skip();
    }
    pair p = open_pair(folder, &models,
                       &(c2c_session_options){.context = prompt + answer, .chunk = 64}, 1);
    prefill(p.session, prompt);
    assert_ok(c2c_session_generate(p.session, answer, NULL, NULL, NULL, &test_error));
    int64_t peak = process_memory("VmHWM") - before;
    int64_t bytes = p.receiver->weight_bytes + p.sharer->weight_bytes + p.fuser->weight_bytes;
    int64_t caches = (prompt + answer) * batch_row_bytes(p.session->batch);
    print_message("weights %.1f MB, caches %.1f MB: at most %.1f MB\n", (double)bytes * 1e-6,
                  (double)caches * 1e-6, (double)peak * 1e-6);
    assert_true(peak >= bytes / 2); /* it is measured at all */
    assert_true((double)peak <= 1.1 * (double)(bytes + caches));
    close_pair(&p);
}

static void test_resident_memory(void **state) {
    (void)state;
    if (SANITIZED) {
        print_message("SKIP: the sanitizer takes memory of its own\n");
        skip();
    }
    char *root = test_folder_make(), *folder = path_join(root, "pair");
    assert_ok(
        random_pair_write(folder, &middle, &middle_sharer, 128, false, TOKENIZER, &test_error));
    check_resident(folder, C2C_MODEL_WEIGHTS_STORED);
    check_resident(folder, C2C_MODEL_WEIGHTS_INT8);
    free(folder);
    test_folder_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_allocates_nothing),
        cmocka_unit_test(test_scratch_does_not_grow),
        cmocka_unit_test(test_resident_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
