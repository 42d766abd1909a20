/* A thousand mutations of the tiny folders: each is refused with a message, or runs.
 *
 * One file of a receiver, a sharer or a fuser is changed (mutate.c), the folders are opened, a chat
 * is rendered, encoded and read through the fuser, and two tokens are written. No mutation may
 * crash, leak, take longer than 5 s or hold more memory than the bound below. Seed N is the same
 * mutation everywhere: C2C_SEED=N build/tests/trust/test_mutations runs it alone and without a
 * second process, for a debugger. C2C_SEEDS=COUNT runs more or fewer. */
#define _GNU_SOURCE
#include "model/model.h"
#include "support/test.h"
#include "trust/counted.h"
#include "trust/mutate.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEEDS      1000
#define SECONDS    5  /* of processor time for one mutation; sanitizers make it ten times that */
#define PROMPT     48 /* tokens at most; a changed template may render many */
#define MAX_FAULTS 10 /* shown before the test gives up */

/* What one mutation may hold at once, mapped files included. The unchanged folders need 6 MiB, of
 * which 3 are the files. A template may take 256 MiB (template.h), for good reasons, too; the rest
 * has no reason to take more than a few times what it takes unchanged. */
#define MEMORY_BOUND   ((size_t)32 << 20)
#define TEMPLATE_BOUND (MEMORY_BOUND + ((size_t)256 << 20))

/* ---- The files ---------------------------------------------------------------------------- */

typedef enum part { RECEIVER = 0, SHARER, FUSER, PARTS } part;

/* The sharer's matrices are 8-bit integers: it is made of this model. */
#define SHARER_ORIGIN "tests/golden/data/models/tiny-qwen2"

static struct {
    const char *name, *origin;
} parts[PARTS] = {
    {"receiver", "tests/golden/data/models/tiny-qwen3"},
    {"sharer", NULL},
    {"fuser", "tests/golden/data/fusers/qwen3_from_qwen2/final"},
};

#define INDEX "model.safetensors.index.json"
#define SHARD "model-1.safetensors"

typedef struct source {
    part part;
    const char *name;
    mutate_kind kind;
    buffer bytes; /* unchanged */
} source;

static source sources[] = {
    {RECEIVER, "config.json", MUTATE_JSON, {0}},
    {RECEIVER, "generation_config.json", MUTATE_JSON, {0}},
    {RECEIVER, "tokenizer.json", MUTATE_JSON, {0}},
    {RECEIVER, "tokenizer_config.json", MUTATE_JSON, {0}},
    {RECEIVER, "chat_template.jinja", MUTATE_TEMPLATE, {0}},
    {RECEIVER, "model.safetensors", MUTATE_SAFETENSORS, {0}},
    {RECEIVER, INDEX, MUTATE_JSON, {0}},
    {SHARER, "config.json", MUTATE_JSON, {0}},
    {SHARER, "generation_config.json", MUTATE_JSON, {0}},
    {SHARER, "tokenizer.json", MUTATE_JSON, {0}},
    {SHARER, "tokenizer_config.json", MUTATE_JSON, {0}},
    {SHARER, "chat_template.jinja", MUTATE_TEMPLATE, {0}},
    {SHARER, "model.safetensors", MUTATE_SAFETENSORS, {0}},
    {FUSER, "projector_config.json", MUTATE_JSON, {0}},
    {FUSER, "projector_0.json", MUTATE_JSON, {0}},
    {FUSER, "projector_0.pt", MUTATE_ARCHIVE, {0}},
    {FUSER, "projector_1.json", MUTATE_JSON, {0}},
    {FUSER, "projector_1.pt", MUTATE_ARCHIVE, {0}},
    {FUSER, "projector_2.json", MUTATE_JSON, {0}},
    {FUSER, "projector_2.pt", MUTATE_ARCHIVE, {0}},
    {FUSER, "projector_3.json", MUTATE_JSON, {0}},
    {FUSER, "projector_3.pt", MUTATE_ARCHIVE, {0}},
};

#define SOURCES (sizeof sources / sizeof *sources)

/* The tiny model is one file; as a folder of shards it has one shard that holds all. */
static void write_index(buffer *index) {
    tensor_file *weights;
    assert_ok(tensor_folder_open(&weights, parts[RECEIVER].origin, &test_error));
    buffer_append_text(index, "{\"metadata\": {}, \"weight_map\": {");
    for (size_t i = 0; i < tensor_file_count(weights); i++)
        buffer_printf(index, "%s\"%s\": \"" SHARD "\"", i ? ", " : "",
                      tensor_file_at(weights, i)->name);
    buffer_append_text(index, "}}");
    tensor_file_close(weights);
}

static char *stored_root, *stored_sharer;

static void store_sharer(void) {
    c2c_engine *engine;
    c2c_model *model;
    tensor_conversion done = {0};
    stored_root = test_folder_make();
    stored_sharer = path_join(stored_root, "stored");
    assert_ok(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 1}, &test_error));
    assert_ok(c2c_model_open(&model, engine, SHARER_ORIGIN, NULL, &test_error));
    assert_ok(model_store_int8(model, stored_sharer, &done, &test_error));
    c2c_model_close(model);
    c2c_engine_close(engine);
    parts[SHARER].origin = stored_sharer;
}

static int read_sources(void **state) {
    (void)state;
    store_sharer();
    for (size_t i = 0; i < SOURCES; i++) {
        source *s = &sources[i];
        if (strcmp(s->name, INDEX) == 0) {
            write_index(&s->bytes);
            continue;
        }
        char *path = path_join(parts[s->part].origin, s->name);
        file_map map;
        assert_ok(file_map_open(&map, path, &test_error));
        buffer_append(&s->bytes, map.data, map.size);
        assert_false(s->bytes.failed);
        file_map_close(&map);
        free(path);
    }
    return 0;
}

static int free_sources(void **state) {
    (void)state;
    for (size_t i = 0; i < SOURCES; i++)
        buffer_free(&sources[i].bytes);
    free(stored_sharer);
    test_folder_remove(stored_root);
    return 0;
}

/* ---- Folders ------------------------------------------------------------------------------ */

/* What one process works on: folders of links to the unchanged files, and both models open. */
typedef struct world {
    char *root, *folders[PARTS];
    c2c_engine *engine;
    c2c_model *models[2];
} world;

/* Without an origin the link is taken away only. */
static void put_link(const world *w, part p, const char *name, const char *origin) {
    char *path = path_join(w->folders[p], name);
    unlink(path);
    if (origin) {
        char *from = path_join(parts[p].origin, origin), *target = realpath(from, NULL);
        assert_non_null(target);
        assert_int_equal(symlink(target, path), 0);
        free(target);
        free(from);
    }
    free(path);
}

/* With `bytes` the mutation is put in its place, else all is put back. Files that would be read
 * before the changed one make room for it. */
static void put_file(const world *w, const source *s, const buffer *bytes, bool alone) {
    bool index = strcmp(s->name, INDEX) == 0;
    put_link(w, s->part, s->name, index || bytes ? NULL : s->name);
    if (bytes)
        test_file_write(w->folders[s->part], s->name, bytes->length ? bytes->data : "",
                        bytes->length);
    if (index) {
        put_link(w, s->part, "model.safetensors", bytes ? NULL : "model.safetensors");
        put_link(w, s->part, SHARD, bytes ? "model.safetensors" : NULL);
    }
    if (alone && strcmp(s->name, "tokenizer_config.json") == 0)
        put_link(w, s->part, "chat_template.jinja", bytes ? NULL : "chat_template.jinja");
}

static void make_world(world *w, char *root) {
    *w = (world){.root = root};
    for (int p = 0; p < PARTS; p++) {
        w->folders[p] = path_join(root, parts[p].name);
        if (mkdir(w->folders[p], 0777) != 0)
            assert_int_equal(errno, EEXIST); /* of a process that crashed */
    }
    for (size_t i = 0; i < SOURCES; i++)
        put_file(w, &sources[i], NULL, true);
    const c2c_engine_options one = {.threads = 1};
    assert_ok(c2c_engine_open(&w->engine, &one, &test_error));
    for (int p = RECEIVER; p <= SHARER; p++)
        assert_ok(c2c_model_open(&w->models[p], w->engine, w->folders[p], NULL, &test_error));
}

static void close_world(world *w) {
    c2c_model_close(w->models[SHARER]);
    c2c_model_close(w->models[RECEIVER]);
    c2c_engine_close(w->engine);
    for (int p = 0; p < PARTS; p++)
        free(w->folders[p]);
}

/* ---- Using what may be bad ---------------------------------------------------------------- */

typedef struct answer {
    int64_t vocabulary;
    bool bad; /* an id that the model does not have */
} answer;

static bool check_token(void *user, int32_t id, const char *text, size_t length) {
    answer *a = user;
    a->bad |= id < 0 || id >= a->vocabulary || utf8_valid_prefix(text, length) < length;
    return true;
}

/* The chat of `model` as tokens, at most PROMPT of them. */
static c2c_status read_chat(const c2c_model *model, int32_t *ids, size_t *count, c2c_error *error) {
    static const c2c_message chat[] = {{"system", "Be brief."},
                                       {"user", "What is 2 + 2? \xc3\xa9\xe4\xb8\xad"}};
    static const c2c_moment now = {1721952000, 3600};
    static const c2c_chat_options options = {.add_generation_prompt = true, .now = &now};
    char *text = NULL;
    int32_t *all = NULL;
    size_t length;
    c2c_status status = c2c_model_render(model, chat, 2, &options, &text, &length, error);
    if (!status)
        status = c2c_model_encode(model, text, length, true, &all, count, error);
    if (!status && *count > PROMPT)
        *count = PROMPT;
    if (!status && *count)
        memcpy(ids, all, *count * sizeof *ids);
    c2c_free(text);
    c2c_free(all);
    return status;
}

static c2c_status run_chat(const c2c_model *receiver, const c2c_pair *pair, const int32_t *ids,
                           size_t count, bool *bad, c2c_error *error) {
    const c2c_session_options options = {.context = PROMPT + 8, .chunk = 16};
    const c2c_plan plan = {.ids = ids, .token_count = (int64_t)count};
    c2c_model_info info;
    c2c_session *session;
    c2c_status status = c2c_session_open(&session, receiver, pair, 1, &options, error);
    if (status)
        return status;
    c2c_model_describe(receiver, &info);
    answer a = {.vocabulary = info.vocabulary_size};
    status = c2c_session_prefill(session, &plan, error);
    if (!status)
        status = c2c_session_generate(session, 2, check_token, &a, NULL, error);
    *bad = a.bad;
    c2c_session_close(session);
    return status;
}

/* Everything one does with the folders; models that are unchanged are those of the world. */
static c2c_status use_folders(const world *w, part changed, bool *bad, c2c_error *error) {
    c2c_model *models[2] = {w->models[RECEIVER], w->models[SHARER]}, *opened = NULL;
    c2c_fuser *fuser = NULL;
    int32_t ids[PROMPT];
    size_t count;
    c2c_status status = C2C_STATUS_OK;
    if (changed != FUSER) {
        if ((status = c2c_model_open(&opened, w->engine, w->folders[changed], NULL, error)))
            goto done;
        models[changed] = opened;
    }
    if ((status = read_chat(models[changed == SHARER], ids, &count, error)) ||
        (status =
             c2c_fuser_open(&fuser, models[RECEIVER], models[SHARER], w->folders[FUSER], error)))
        goto done;
    status = run_chat(models[RECEIVER], &(c2c_pair){models[SHARER], fuser}, ids, count, bad, error);
done:
    c2c_fuser_close(fuser);
    c2c_model_close(opened);
    return status;
}

/* ---- One mutation ------------------------------------------------------------------------- */

/* Faults that are planted, to see that they are seen. */
typedef enum plant { PLANT_NOTHING = 0, PLANT_CRASH, PLANT_HANG, PLANT_LEAK, PLANT_HUNGER } plant;

/* Lies in memory that both processes see, so that a crash leaves what was known. */
typedef struct report {
    uint64_t seed; /* of the mutation that runs */
    int64_t ran, refused;
    size_t largest;
    double slowest;
    uint64_t largest_seed, slowest_seed;
    plant planted;
    char what[320], fault[1400];
} report;

static void do_planted(plant p) {
    static void *volatile kept;
    switch (p) {
    case PLANT_NOTHING: break;
    case PLANT_CRASH: abort();
    case PLANT_HANG:
        for (;;)
            kept = NULL;
    case PLANT_LEAK: kept = malloc(40); break;
    case PLANT_HUNGER:
        kept = calloc(TEMPLATE_BOUND, 1);
        free(kept);
        break;
    }
}

static buffer mutate(mutation *m, const source *s) {
    buffer bytes = {0};
    size_t way = mutation_draw(m, 24);
    const source *from = s;
    if (way == 0)
        from = &sources[mutation_draw(m, SOURCES)];
    mutation_note(m, "%s/%s", parts[s->part].name, s->name);
    if (from != s)
        mutation_note(m, "; holds %s/%s", parts[from->part].name, from->name);
    buffer_append(&bytes, from->bytes.data, from->bytes.length);
    if (way == 1)
        buffer_clear(&bytes);
    else if (from == s)
        mutate_file(m, s->kind, &bytes);
    for (char *c = m->what; *c; c++) /* one line */
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    return bytes;
}

/* What is wrong, as a text in r->fault; the number of bytes was counted before and after. */
static void judge(report *r, c2c_status status, const c2c_error *error, bool bad, part changed,
                  bool is_template, size_t largest, size_t before, size_t after) {
    size_t bound = is_template ? TEMPLATE_BOUND : MEMORY_BOUND;
    if (bad)
        snprintf(r->fault, sizeof r->fault, "an id or a text that the model does not have");
    else if (status && (!error->message[0] || error->code != status))
        snprintf(r->fault, sizeof r->fault, "refused without a message");
    else if (status == C2C_STATUS_INVALID_ARGUMENT && changed == FUSER)
        snprintf(r->fault, sizeof r->fault, "a bad file is no bad argument: %s", error->message);
    else if (after != before)
        snprintf(r->fault, sizeof r->fault, "leaks %lld bytes (%s)",
                 (long long)after - (long long)before, status ? error->message : "it ran");
    else if (largest > bound)
        snprintf(r->fault, sizeof r->fault, "holds %zu bytes, of %zu allowed (%s)", largest, bound,
                 status ? error->message : "it ran");
}

static void run_seed(const world *w, uint64_t seed, report *r) {
    const source *s = &sources[seed % SOURCES];
    mutation m = {.seed = seed};
    c2c_error error = {0};
    bool bad = false, alone = mutation_draw(&m, 2);
    r->seed = seed;
    buffer bytes = mutate(&m, s);
    snprintf(r->what, sizeof r->what, "%s", m.what);
    put_file(w, s, &bytes, alone);
    buffer_free(&bytes);
    size_t before = counted_now();
    counted_peak();
    clock_t start = clock();
    do_planted(r->planted);
    c2c_status status = use_folders(w, s->part, &bad, &error);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    size_t largest = counted_peak() - before;
    judge(r, status, &error, bad, s->part,
          s->kind == MUTATE_TEMPLATE || strcmp(s->name, "tokenizer_config.json") == 0, largest,
          before, counted_now());
    put_file(w, s, NULL, alone);
    r->ran += !status;
    r->refused += status != C2C_STATUS_OK;
    if (largest > r->largest) {
        r->largest = largest;
        r->largest_seed = seed;
    }
    if (seconds > r->slowest) {
        r->slowest = seconds;
        r->slowest_seed = seed;
    }
    if (getenv("C2C_SEED"))
        print_message("seed %llu (%s): %s; %zu bytes, %.3f s\n", (unsigned long long)seed, r->what,
                      status ? error.message : "runs", largest, seconds);
}

/* ---- Many --------------------------------------------------------------------------------- */

/* Processor time, so that a busy machine is no fault, and a minute for what waits for ever. Both
 * end the process; 0 takes them back. */
static void watch(unsigned seconds) {
    const struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    setitimer(ITIMER_PROF, &limit, NULL);
    alarm(seconds * 12);
}

/* Runs seeds until one is at fault or none is left. What libraries keep for the next time is got
 * before anything is counted. */
static void run_seeds(char *root, uint64_t first, uint64_t end, unsigned seconds, report *r) {
    world w;
    bool bad;
    counted_start();
    make_world(&w, root);
    assert_ok(use_folders(&w, RECEIVER, &bad, &test_error));
    for (uint64_t seed = first; seed < end && !r->fault[0]; seed++) {
        watch(seconds);
        run_seed(&w, seed, r);
        watch(0);
    }
    close_world(&w);
}

/* In a process of its own, which may crash. False when a seed was at fault: r tells which. */
static bool survives(char *root, uint64_t first, uint64_t end, unsigned seconds, report *r) {
    int status;
    r->fault[0] = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_seeds(root, first, end, seconds, r);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (WIFSIGNALED(status))
        snprintf(r->fault, sizeof r->fault, "%s, signal %d",
                 WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGPROF ? "takes too long"
                                                                            : "crashes",
                 WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(r->fault, sizeof r->fault, "ends the program with status %d", WEXITSTATUS(status));
    return !r->fault[0];
}

static report *new_report(void) {
    report *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(r != MAP_FAILED);
    return r;
}

static uint64_t number_of(const char *name, uint64_t usual) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : usual;
}

static void test_mutations_are_refused_or_run(void **state) {
    (void)state;
    uint64_t end = number_of("C2C_SEEDS", SEEDS), seed = 0;
    unsigned seconds = counted_by_sanitizer() ? 10 * SECONDS : SECONDS;
    int faults = 0;
    report *r = new_report();
    char *root = test_folder_make();
    while (seed < end && faults < MAX_FAULTS && !survives(root, seed, end, seconds, r)) {
        print_error("seed %llu (%s): %s\n  alone: C2C_SEED=%llu build/tests/trust/test_mutations\n",
                    (unsigned long long)r->seed, r->what, r->fault, (unsigned long long)r->seed);
        faults++;
        seed = r->seed + 1;
    }
    print_message("%lld ran, %lld were refused; at most %.1f MiB (seed %llu) and %.2f s (seed "
                  "%llu)\n",
                  (long long)r->ran, (long long)r->refused, (double)r->largest / (1 << 20),
                  (unsigned long long)r->largest_seed, r->slowest,
                  (unsigned long long)r->slowest_seed);
    assert_int_equal(faults, 0);
    /* A mutation that changes nothing, or only what is refused at the first byte, tests little. */
    assert_true(end < SEEDS || (r->ran > SEEDS / 10 && r->refused > SEEDS / 4));
    munmap(r, sizeof *r);
    test_folder_remove(root);
}

/* A watch that sleeps is no watch. */
static void test_planted_faults_are_seen(void **state) {
    (void)state;
    static const struct {
        plant planted;
        const char *fault;
    } rows[] = {{PLANT_CRASH, "crashes"},
                {PLANT_HANG, "takes too long"},
                {PLANT_LEAK, "leaks"},
                {PLANT_HUNGER, "holds"}};
    char *root = test_folder_make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        report *r = new_report();
        r->planted = rows[i].planted;
        assert_false(survives(root, 5, 6, 1, r));
        if (!strstr(r->fault, rows[i].fault))
            fail_msg("expected \"%s\", found \"%s\"", rows[i].fault, r->fault);
        assert_int_equal(r->seed, 5);
        munmap(r, sizeof *r);
    }
    test_folder_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted_faults_are_seen),
        cmocka_unit_test(test_mutations_are_refused_or_run),
    };
    if (getenv("C2C_SEED")) {
        report r = {0};
        char *root = test_folder_make();
        uint64_t seed = number_of("C2C_SEED", 0);
        read_sources(NULL);
        run_seeds(root, seed, seed + 1, 0, &r);
        test_folder_remove(root);
        free_sources(NULL);
        printf("%s\n", r.fault[0] ? r.fault : "no fault");
        return r.fault[0] != 0;
    }
    return cmocka_run_group_tests(tests, read_sources, free_sources);
}
