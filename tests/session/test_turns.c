/* Turns of conversations: whatever is kept of an earlier one, logits, caches and answers are those
 * of a fresh session over the whole chat, bit for bit; and what is kept is as much as can be. */
#include "fuser/all_in_one_made.h"

#include "session/session.h"
#include "support/fused_pair.h"

#define CONTEXT    320
#define MAX_PARTS  64
#define VOCABULARY 550 /* fits both models */

/* Projectors whose every row depends on the whole section. */
static char *write_whole_fuser(void) {
    const made_options o = {.sharer_heads = 2,
                            .sharer_dim = 8,
                            .receiver_heads = 2,
                            .receiver_dim = 32,
                            .hidden = 12,
                            .weight_hidden = 10,
                            .layers = 2,
                            .max_length = 64,
                            .activation = "gelu",
                            .add_self = true,
                            .preserve = true,
                            .temperature = 0.5,
                            .weight = {GRANULARITY_SCALAR, true, 5},
                            .type = DTYPE_F32};
    char *folder = test_folder_make();
    static const char map[] = "{\"0\": {\"1\": {\"0\": [[1, 0]], \"2\": [[3, 1]]}}}";
    uint64_t random = 21;
    for (int i = 0; i < 2; i++) {
        made_dict d;
        made_dict_fill(&d, &o, &random);
        made_write_json(folder, i, &o, "");
        made_write_tensors(folder, i, &d, o.type);
        made_dict_free(&d);
    }
    test_file_write(folder, "projector_config.json", map, sizeof map - 1);
    return folder;
}

/* Where two sharers are wanted, the pair's one is both. */
static fused_pair open_pair(bool queue, const char *fuser) {
    return fused_pair_open(backend_for_test(2, queue), C2C_COMPUTE_F32, fuser);
}

/* With a fuser of pure C2C, which replaces every row of the receiver. */
static fused_pair open_pure_pair(void) {
    fused_pair w = open_pair(false, FUSED_PAIR_FUSER);
    const c2c_recipe recipe = {.text = "{\"projector\": {\"type\": \"AblationProjector\", "
                                       "\"params\": {\"hidden_dim\": 32, \"intermediate_dim\": 24, "
                                       "\"ablation_level\": 3}}, \"mapping\": \"k_nearest\"}",
                               .seed = 4};
    c2c_fuser_close(w.fuser);
    assert_ok(c2c_fuser_new(&w.fuser, w.receiver, w.sharer, &recipe, &test_error));
    assert_true(w.fuser->replaces);
    return w;
}

static c2c_session *open_session(const fused_pair *w, size_t sharers,
                                 const c2c_session_options *options) {
    const c2c_pair pairs[2] = {{w->sharer, w->fuser}, {w->sharer, w->fuser}};
    c2c_session *session;
    assert_ok(c2c_session_open(&session, w->receiver, pairs, sharers, options, &test_error));
    return session;
}

/* ---- Random conversations ----------------------------------------------------------------- */

typedef struct dice {
    random_key key;
} dice;

/* 0 .. sides - 1 */
static int64_t roll(dice *d, int64_t sides) {
    uint32_t bits[4];
    d->key.step++;
    random_block(&d->key, bits);
    return bits[0] % sides;
}

/* How a conversation is cut into sections. */
typedef enum style {
    STYLE_USUAL = 0,
    STYLE_NONE,
    STYLE_FRONT,
    STYLE_BACK,
    STYLE_PARTS,  /* as an aligned chat: each part is a section, fused or padded */
    STYLE_RANDOM, /* other sections in every turn */
    STYLE_COUNT
} style;

typedef struct conversation {
    dice dice;
    style style;
    size_t sharers;
    bool own_ids; /* the sharers read ids of their own */
    int32_t ids[CONTEXT], sharer_ids[2][CONTEXT];
    const int32_t *rows[2];
    int64_t count;
    c2c_section parts[MAX_PARTS], sections[MAX_PARTS];
    size_t part_count, section_count;
} conversation;

static int32_t all_sharers(const conversation *c) {
    return (int32_t)(1 << c->sharers) - 1;
}

static void put(conversation *c, int32_t id) {
    assert_true(c->count < CONTEXT);
    c->ids[c->count] = id;
    for (int s = 0; s < 2; s++)
        c->sharer_ids[s][c->count] = c->own_ids ? (id * 7 + s * 3 + 1) % VOCABULARY : id;
    c->count++;
}

static void add_part(conversation *c, int64_t length, int32_t mask) {
    assert_true(c->part_count < MAX_PARTS);
    c->parts[c->part_count++] = (c2c_section){.length = length, .mask = mask};
}

/* What the template writes around messages; models may differ in how long they take. */
static void add_template_part(conversation *c) {
    int64_t length = 1 + roll(&c->dice, 4), padding = c->own_ids ? roll(&c->dice, 3) : 0;
    for (int64_t i = 0; i < length; i++)
        put(c, (int32_t)roll(&c->dice, VOCABULARY));
    int32_t *row = roll(&c->dice, 2) ? c->ids : c->sharer_ids[0];
    for (int64_t i = 0; i < padding; i++) {
        put(c, 5);
        row[c->count - 1] = C2C_PADDING;
    }
    add_part(c, length + padding, -1);
}

static void add_content(conversation *c, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        put(c, ids[i]);
    add_part(c, count, all_sharers(c) ? 1 + (int32_t)roll(&c->dice, all_sharers(c)) : -1);
}

static void add_question(conversation *c) {
    int32_t ids[24];
    int64_t count = 1 + roll(&c->dice, 24);
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)roll(&c->dice, VOCABULARY);
    add_content(c, ids, count);
}

static void cut_sections(conversation *c) {
    int64_t before_last = c->count - 1, fused = before_last;
    int32_t all = all_sharers(c);
    c->section_count = 0;
    if (c->style == STYLE_PARTS) {
        memcpy(c->sections, c->parts, sizeof c->parts);
        c->section_count = c->part_count;
        return;
    }
    int64_t last = 1;
    if (c->style == STYLE_RANDOM || (c->style == STYLE_NONE && c->sharers)) {
        last = 1 + roll(&c->dice, min_i64(c->count, 40));
        before_last = fused = c->count - last;
    }
    if (c->style == STYLE_RANDOM) {
        for (int64_t done = 0, n; done < before_last; done += n) {
            n = min_i64(before_last - done, 1 + roll(&c->dice, 30));
            c->sections[c->section_count++] =
                (c2c_section){.length = n, .mask = (int32_t)roll(&c->dice, all + 1)};
        }
    } else {
        int64_t quarters = 1 + roll(&c->dice, 4);
        if (c->style == STYLE_FRONT || c->style == STYLE_BACK)
            fused = before_last * quarters / 4;
        c2c_section a = {.length = fused, .mask = c->style == STYLE_NONE ? -1 : all},
                    b = {.length = before_last - fused, .mask = -1};
        c->sections[c->section_count++] = c->style == STYLE_BACK ? b : a;
        c->sections[c->section_count++] = c->style == STYLE_BACK ? a : b;
    }
    c->sections[c->section_count++] = (c2c_section){.length = last, .mask = -1};
}

static c2c_plan make_plan(conversation *c) {
    cut_sections(c);
    for (int s = 0; s < 2; s++)
        c->rows[s] = c->sharer_ids[s];
    return (c2c_plan){.ids = c->ids,
                      .sharer_ids = c->own_ids ? c->rows : NULL,
                      .token_count = c->count,
                      .sections = c->sections,
                      .section_count = c->section_count};
}

/* Forgets the last parts: somebody edits what was said. */
static void take_back(conversation *c) {
    while (c->part_count > 1 && roll(&c->dice, 3))
        c->count -= c->parts[--c->part_count].length;
}

/* Other ids of a sharer, other masks: the receiver's ids stay as they are. */
static void change_fusion(conversation *c) {
    int64_t at = roll(&c->dice, c->count);
    if (c->own_ids && c->sharer_ids[0][at] != C2C_PADDING)
        c->sharer_ids[0][at] = (int32_t)roll(&c->dice, VOCABULARY);
    for (size_t i = 0; i < c->part_count; i++)
        if (c->parts[i].mask > 0 && roll(&c->dice, 4) == 0)
            c->parts[i].mask = 1 + (int32_t)roll(&c->dice, all_sharers(c));
}

/* ---- What a turn leaves ------------------------------------------------------------------- */

typedef struct reply {
    int32_t ids[16];
    int64_t count;
} reply;

static bool keep_id(void *user, int32_t id, const char *text, size_t length) {
    (void)text, (void)length;
    reply *r = user;
    r->ids[r->count++] = id;
    return true;
}

static void assert_same_caches(const c2c_session *a, const c2c_session *b) {
    assert_int_equal(a->receiver.used, b->receiver.used);
    assert_int_equal(a->receiver.position, b->receiver.position);
    assert_int_equal(a->receiver.range_count, b->receiver.range_count);
    assert_memory_equal(a->receiver.ranges, b->receiver.ranges,
                        (size_t)a->receiver.range_count * sizeof(cache_range));
    size_t count = (size_t)(a->receiver.used * a->receiver.cache.features);
    size_t bytes = count * dtype_size(a->receiver.cache.type);
    char *memory = malloc(4 * bytes + 1);
    assert_non_null(memory);
    for (int i = 0; i < a->receiver.cache.layers; i++) {
        session_cache_read(a, i, memory, memory + bytes);
        session_cache_read(b, i, memory + 2 * bytes, memory + 3 * bytes);
        assert_memory_equal(memory, memory + 2 * bytes, 2 * bytes);
    }
    free(memory);
}

static void assert_same_logits(const c2c_session *a, const c2c_session *b) {
    float logits[2][1024];
    size_t bytes = (size_t)a->receiver.model->config.vocabulary * sizeof(float);
    assert_true(bytes <= sizeof logits[0]);
    backend_download(a->backend, logits[0], a->logits, bytes);
    backend_download(b->backend, logits[1], b->logits, bytes);
    assert_memory_equal(logits[0], logits[1], bytes);
}

typedef struct watcher {
    int64_t done, total, stop_at; /* stop_at 0: never */
} watcher;

static bool watch(void *user, int64_t done, int64_t total) {
    watcher *w = user;
    w->done = done;
    w->total = total;
    return !w->stop_at || done < w->stop_at;
}

/* The conversation as it stands, on the session that knows its earlier turns and on a fresh one. */
static reply run_turn(c2c_session *session, const fused_pair *w, conversation *c,
                      const c2c_session_options *options, int64_t most, c2c_extension *extension) {
    const c2c_plan plan = make_plan(c);
    c2c_session_options plain = *options;
    plain.keep_clean = false;
    plain.chunk = 32;
    c2c_session *fresh = open_session(w, c->sharers, &plain);
    watcher watched = {0};
    c2c_extension own;
    extension = extension ? extension : &own;
    c2c_session_set_progress(session, watch, &watched);
    assert_ok(c2c_session_extend(session, &plan, extension, &test_error));
    assert_int_equal(watched.done, watched.total);
    assert_int_equal(watched.done, extension->receiver_ran + extension->sharers_ran);
    assert_ok(c2c_session_prefill(fresh, &plan, &test_error));
    assert_same_logits(session, fresh);
    assert_same_caches(session, fresh);
    reply replies[2] = {0};
    const c2c_sampling sampling = {.temperature = roll(&c->dice, 2) ? 1.0f : 0.0f,
                                   .frequency_penalty = 0.5f,
                                   .seed = 3};
    assert_ok(c2c_session_set_sampling(session, &sampling, &test_error));
    assert_ok(c2c_session_set_sampling(fresh, &sampling, &test_error));
    assert_ok(c2c_session_generate(session, most, keep_id, &replies[0], NULL, &test_error));
    assert_ok(c2c_session_generate(fresh, most, keep_id, &replies[1], NULL, &test_error));
    assert_int_equal(replies[0].count, replies[1].count);
    assert_memory_equal(replies[0].ids, replies[1].ids, sizeof replies[0].ids);
    assert_same_logits(session, fresh);
    assert_same_caches(session, fresh);
    c2c_session_close(fresh);
    return replies[0];
}

static void run_conversation(const fused_pair *w, uint64_t seed) {
    conversation c = {.dice = {{.seed = seed, .site = 77}}};
    c.sharers = (size_t)roll(&c.dice, 3);
    c.style = (style)roll(&c.dice, STYLE_COUNT);
    c2c_session_options options = {.context = CONTEXT,
                                   .chunk = 1 + (int)roll(&c.dice, 40),
                                   .fusion_mode = (c2c_fusion_mode)roll(&c.dice, 2),
                                   .include_response = roll(&c.dice, 3) == 0,
                                   .keep_clean = roll(&c.dice, 4) != 0,
                                   .cache = (c2c_cache_type)roll(&c.dice, 3)};
    c.own_ids = c.sharers && !options.include_response && roll(&c.dice, 2);
    /* Padding is for plans that do not fuse it. */
    if (c.own_ids)
        c.style = STYLE_PARTS;
    c2c_session *session = open_session(w, c.sharers, &options);
    int turns = 2 + (int)roll(&c.dice, 4);
    for (int turn = 0; turn < turns && c.count < CONTEXT - 80; turn++) {
        add_template_part(&c);
        add_question(&c);
        add_template_part(&c);
        /* Sometimes the plan is another one. */
        style usual = c.style;
        if (!c.own_ids && roll(&c.dice, 6) == 0)
            c.style = (style)roll(&c.dice, STYLE_COUNT);
        reply r = run_turn(session, w, &c, &options, 1 + roll(&c.dice, 12), NULL);
        if (roll(&c.dice, 3) == 0) { /* the same question again */
            if (!c.own_ids)
                c.style = (style)roll(&c.dice, STYLE_COUNT);
            r = run_turn(session, w, &c, &options, 1 + roll(&c.dice, 12), NULL);
        }
        c.style = usual;
        if (roll(&c.dice, 4) == 0)
            r.ids[roll(&c.dice, r.count)] = (int32_t)roll(&c.dice, VOCABULARY);
        add_content(&c, r.ids, r.count);
        if (roll(&c.dice, 5) == 0)
            take_back(&c);
        if (roll(&c.dice, 4) == 0)
            change_fusion(&c);
        if (!options.include_response && roll(&c.dice, 10) == 0)
            assert_ok(c2c_session_release_sharers(session, &test_error));
    }
    c2c_session_close(session);
}

static void test_turns_equal_fresh_runs(void **state) {
    (void)state;
    fused_pair w = open_pair(false, FUSED_PAIR_FUSER);
    for (uint64_t seed = 0; seed < 150; seed++)
        run_conversation(&w, seed);
    fused_pair_close(&w);
}

/* Such a section is fused again as a whole when it grows, on rows that are kept. */
static void test_turns_of_projectors_that_see_the_section(void **state) {
    (void)state;
    char *folder = write_whole_fuser();
    fused_pair w = open_pair(false, folder);
    assert_true(w.fuser->by_section);
    for (uint64_t seed = 2000; seed < 2060; seed++)
        run_conversation(&w, seed);
    fused_pair_close(&w);
    test_folder_remove(folder);
}

/* The receiver is not run over what is replaced: not even where a section grows. (With two sharers
 * and clean rows it is, which must not change anything.) */
static void test_turns_of_pure_fusers(void **state) {
    (void)state;
    fused_pair w = open_pure_pair();
    for (uint64_t seed = 3000; seed < 3100; seed++)
        run_conversation(&w, seed);
    fused_pair_close(&w);
}

/* The same where ops run late and memory is hidden from the host. */
static void test_turns_on_a_queue(void **state) {
    (void)state;
    fused_pair w = open_pair(true, FUSED_PAIR_FUSER);
    for (uint64_t seed = 1000; seed < 1020; seed++)
        run_conversation(&w, seed);
    fused_pair_close(&w);
}

/* ---- What is run -------------------------------------------------------------------------- */

/* Two turns of a chat that is fused as usual; *first is the length of the first prompt. */
static c2c_extension second_turn(size_t sharers, c2c_session_options options, style style,
                                 int64_t *first, int64_t *decoded, int64_t *second) {
    fused_pair w = open_pair(false, FUSED_PAIR_FUSER);
    w.receiver->config.eos_count = 0;
    conversation c = {.dice = {{.seed = 5}}, .sharers = sharers, .style = style};
    options.context = CONTEXT;
    c2c_session *session = open_session(&w, sharers, &options);
    add_template_part(&c);
    add_question(&c);
    add_template_part(&c);
    c2c_extension extension;
    *first = c.count;
    reply r = run_turn(session, &w, &c, &options, 9, &extension);
    assert_int_equal(extension.kept, 0);
    assert_int_equal(r.count, 9);
    *decoded = session->receiver.position - c.count;
    assert_int_equal(*decoded, r.count - 1);
    add_content(&c, r.ids, r.count);
    add_template_part(&c);
    add_question(&c);
    add_template_part(&c);
    *second = c.count;
    run_turn(session, &w, &c, &options, 9, &extension);
    c2c_session_close(session);
    fused_pair_close(&w);
    return extension;
}

static void test_only_what_is_new_is_run(void **state) {
    (void)state;
    int64_t first, decoded, second;
    /* Alone: the answer's rows, too, are what a prompt would have. */
    c2c_extension e =
        second_turn(0, (c2c_session_options){0}, STYLE_USUAL, &first, &decoded, &second);
    assert_int_equal(e.kept, first + decoded);
    assert_int_equal(e.receiver_ran, second - first - decoded);
    assert_int_equal(e.sharers_ran, 0);
    /* Fused: from the first prompt's last token on, the answer among it. */
    for (size_t sharers = 1; sharers <= 2; sharers++) {
        e = second_turn(sharers, (c2c_session_options){.keep_clean = true}, STYLE_USUAL, &first,
                        &decoded, &second);
        assert_int_equal(e.kept, first - 1);
        assert_int_equal(e.receiver_ran, second - (first - 1));
        assert_int_equal(e.sharers_ran, (int64_t)sharers * (second - 1 - (first - 1)));
    }
    /* Without the clean rows the receiver runs all of it; the sharers never do. */
    e = second_turn(1, (c2c_session_options){0}, STYLE_USUAL, &first, &decoded, &second);
    assert_int_equal(e.kept, 0);
    assert_int_equal(e.receiver_ran, second);
    assert_int_equal(e.sharers_ran, second - first);
    /* Nothing is fused: nothing is run again. */
    e = second_turn(1, (c2c_session_options){.keep_clean = true}, STYLE_NONE, &first, &decoded,
                    &second);
    assert_int_equal(e.kept, first + decoded);
    assert_int_equal(e.receiver_ran, second - first - decoded);
    assert_int_equal(e.sharers_ran, 0);
    /* Parts of their own: the answer's rows saw what the next prompt's will see. */
    e = second_turn(2, (c2c_session_options){.keep_clean = true}, STYLE_PARTS, &first, &decoded,
                    &second);
    assert_int_equal(e.kept, first + decoded);
    assert_int_equal(e.receiver_ran, second - first - decoded);
    /* A fused response: clean receiver and sharers have run all of the answer, and the receiver
     * itself only the last token. */
    e = second_turn(1, (c2c_session_options){.include_response = true}, STYLE_USUAL, &first,
                    &decoded, &second);
    assert_int_equal(e.kept, first - 1);
    assert_int_equal(e.receiver_ran, second - first - decoded + 1);
    assert_int_equal(e.sharers_ran, second - first - decoded);
}

static void test_pure_fusion_runs_no_receiver(void **state) {
    (void)state;
    fused_pair w = open_pure_pair();
    int32_t ids[24];
    for (int i = 0; i < 24; i++)
        ids[i] = 5 + 7 * i;
    const c2c_section sections[] = {{6, 0}, {10, 1}, {8, 0}};
    c2c_plan plan = {.ids = ids, .token_count = 24, .sections = sections, .section_count = 3};
    for (int keep = 0; keep < 2; keep++) {
        c2c_session *session =
            open_session(&w, 1,
                         &(c2c_session_options){.context = CONTEXT, .keep_clean = keep != 0});
        c2c_extension e;
        assert_ok(c2c_session_extend(session, &plan, &e, &test_error));
        assert_int_equal(e.receiver_ran, 14);
        assert_int_equal(e.sharers_ran, 16);
        /* The usual plan of a longer prompt: all but its last token are fused. */
        assert_ok(c2c_session_extend(session, &(c2c_plan){.ids = ids, .token_count = 12}, &e,
                                     &test_error));
        assert_int_equal(e.receiver_ran, 1);
        assert_ok(c2c_session_extend(session, &(c2c_plan){.ids = ids, .token_count = 20}, &e,
                                     &test_error));
        assert_int_equal(e.kept, 11);
        assert_int_equal(e.receiver_ran, 1);
        c2c_session_close(session);
    }
    fused_pair_close(&w);
}

/* A prompt that cannot be run leaves the conversation as it was. */
static void test_a_refused_turn_changes_nothing(void **state) {
    (void)state;
    fused_pair w = open_pair(false, FUSED_PAIR_FUSER);
    conversation c = {.dice = {{.seed = 9}}, .sharers = 1};
    const c2c_session_options options = {.context = CONTEXT, .keep_clean = true};
    c2c_session *session = open_session(&w, 1, &options);
    add_question(&c);
    add_template_part(&c);
    reply r = run_turn(session, &w, &c, &options, 9, NULL);
    int32_t ids[CONTEXT + 1] = {0};
    c2c_plan plan = {.ids = ids, .token_count = CONTEXT + 1};
    c2c_extension extension = {.kept = 7};
    assert_fails(c2c_session_extend(session, &plan, &extension, &test_error),
                 C2C_STATUS_CONTEXT_FULL, "321 tokens", "320");
    assert_int_equal(extension.kept, 0);
    ids[2] = 100000;
    plan.token_count = 9;
    assert_fails(c2c_session_extend(session, &plan, NULL, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "id 100000");
    add_content(&c, r.ids, r.count);
    add_template_part(&c);
    run_turn(session, &w, &c, &options, 9, &extension);
    assert_true(extension.kept > 0);
    c2c_session_close(session);
    fused_pair_close(&w);
}

/* A cancelled turn leaves an empty session, on which the whole chat can be run. */
static void test_a_cancelled_turn(void **state) {
    (void)state;
    fused_pair w = open_pair(false, FUSED_PAIR_FUSER);
    conversation c = {.dice = {{.seed = 9}}, .sharers = 1};
    const c2c_session_options options = {.context = CONTEXT, .chunk = 4, .keep_clean = true};
    c2c_session *session = open_session(&w, 1, &options);
    c2c_extension extension;
    for (int turn = 0; turn < 2; turn++) {
        add_question(&c);
        add_template_part(&c);
        reply r = run_turn(session, &w, &c, &options, 9, &extension);
        add_content(&c, r.ids, r.count);
        add_template_part(&c);
        watcher stopping = {.stop_at = 9};
        c2c_session_set_progress(session, watch, &stopping);
        const c2c_plan plan = make_plan(&c);
        assert_fails(c2c_session_extend(session, &plan, &extension, &test_error),
                     C2C_STATUS_CANCELLED, "cancelled");
        assert_fails(c2c_session_generate(session, 1, NULL, NULL, NULL, &test_error),
                     C2C_STATUS_INVALID_ARGUMENT, "no prompt");
    }
    run_turn(session, &w, &c, &options, 9, &extension);
    assert_int_equal(extension.kept, 0);
    c2c_session_close(session);
    fused_pair_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_equal_fresh_runs),
        cmocka_unit_test(test_turns_of_projectors_that_see_the_section),
        cmocka_unit_test(test_turns_of_pure_fusers),
        cmocka_unit_test(test_turns_on_a_queue),
        cmocka_unit_test(test_only_what_is_new_is_run),
        cmocka_unit_test(test_pure_fusion_runs_no_receiver),
        cmocka_unit_test(test_a_refused_turn_changes_nothing),
        cmocka_unit_test(test_a_cancelled_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
