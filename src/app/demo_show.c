/* demo_show.c - the demo as it is read: who the two models are, a handful of questions with the
 * answers of all four ways, and the table of the evaluation with what it says. */
#include "app/demo.h"

#include <stdlib.h>
#include <unistd.h>

static const char *const way_titles[DEMO_WAYS] = {"receiver alone", "sharer alone", "text to text",
                                                  "C2C"};

/* ---- The models --------------------------------------------------------------------------- */

static void append_model(buffer *out, const char *role, const c2c_model *model) {
    c2c_model_info info;
    c2c_model_describe(model, &info);
    buffer_printf(out, "%-9s %s, %.2f million parameters, %d layers, computed in %s\n", role,
                  info.family, (double)info.parameters / 1e6, info.layers,
                  info.compute == C2C_COMPUTE_BF16 ? "bf16" : "f32");
}

c2c_status demo_show_models(const char *folder, const eval_options *options, c2c_error *error) {
    static const char *const roles[] = {"receiver", "sharer"};
    const c2c_engine_options engine_options = {.threads = 1, .isa = options->isa};
    const c2c_model_options model_options = {.compute = options->compute};
    c2c_engine *engine = NULL;
    buffer out = {0};
    c2c_status status = c2c_engine_open(&engine, &engine_options, error);
    for (int i = 0; !status && i < 2; i++) {
        c2c_model *model = NULL;
        char *path = path_join(folder, roles[i]);
        status = path ? c2c_model_open(&model, engine, path, &model_options, error)
                      : error_memory(error, strlen(folder), "a path");
        if (!status)
            append_model(&out, roles[i], model);
        c2c_model_close(model);
        free(path);
    }
    buffer_append_text(&out, "The sharer knows facts about people that the receiver never met; the "
                             "receiver can read\na fact that stands earlier in the chat, which the "
                             "sharer cannot.\n\n");
    if (!status)
        status = output_buffer(&out, error);
    c2c_engine_close(engine);
    buffer_free(&out);
    return status;
}

/* ---- Questions ---------------------------------------------------------------------------- */

/* What the chat says about it before the question is asked, or NULL. */
static const char *told_fact(const bench_item *item) {
    for (size_t i = 0; i < item->message_count; i++)
        if (strcmp(item->messages[i].role, "assistant") == 0)
            return item->messages[i].content;
    return NULL;
}

static void append_question(buffer *out, const demo_results *d, size_t i) {
    const bench_item *item = &d->set.items[i].item;
    const char *fact = told_fact(item);
    table t;
    table_init(&t, NULL, "llll");
    buffer_append_text(out, item->question);
    if (fact)
        buffer_printf(out, "  [the chat says: %s]\n", fact);
    else
        buffer_append_text(out, "  [the sharer knows]\n");
    for (int w = 0; w < DEMO_WAYS; w++) {
        const eval_record *r = &d->ways[w].records.items[i];
        table_add(&t, "%s", way_titles[w]);
        table_add(&t, "%s", r->text);
        table_add(&t, "%s", r->right ? "right" : "wrong");
        if (r->background)
            table_add(&t, "(the sharer wrote: %s)", r->background);
        else
            table_add(&t, "%s", "");
    }
    table_write(&t, 2, output_columns(STDOUT_FILENO, 100), out);
    buffer_append_char(out, '\n');
    table_deinit(&t);
}

c2c_status demo_show_questions(const demo_results *d, int64_t count, c2c_error *error) {
    size_t next[2] = {0}; /* of those that the sharer knows, and of those that were told */
    buffer out = {0};
    for (int64_t shown = 0, turn = 0, idle = 0; shown < count && idle < 2; turn++) {
        bool told = turn % 2;
        size_t *i = &next[told];
        while (*i < d->set.count && (told_fact(&d->set.items[*i].item) != NULL) != told)
            ++*i;
        if (*i == d->set.count) {
            idle++;
            continue;
        }
        idle = 0;
        shown++;
        append_question(&out, d, (*i)++);
    }
    c2c_status status = output_buffer(&out, error);
    buffer_free(&out);
    return status;
}

/* ---- The table ---------------------------------------------------------------------------- */

static double percent(const demo_results *d, demo_way w) {
    const eval_result result = evaluated_result(&d->ways[w], &d->set);
    int64_t scored;
    return eval_accuracy(&result, &scored) * 100;
}

/* One line on what the numbers say; only what they do say. */
static void append_meaning(buffer *out, const demo_results *d) {
    double receiver = percent(d, DEMO_RECEIVER), sharer = percent(d, DEMO_SHARER);
    double fused = percent(d, DEMO_C2C);
    if (fused > receiver && fused > sharer)
        buffer_printf(out,
                      "Alone the two models answer %.1f%% and %.1f%% right; with the sharer's KV "
                      "cache fused into its own, the receiver answers %.1f%%, and the sharer has "
                      "not written a word.\n",
                      receiver, sharer, fused);
    else
        buffer_printf(out,
                      "On these questions the fused cache (%.1f%%) is not ahead of the better "
                      "model alone (%.1f%%).\n",
                      fused, receiver > sharer ? receiver : sharer);
}

/* A new fuser's gates are closed, so what it makes of the receiver is the receiver. */
static void append_learnt(buffer *out, const demo_results *d) {
    buffer_printf(out,
                  "Before training, with all gates closed, the fused answers were the receiver's "
                  "own: %.1f%% right; now %.1f%% are.\n",
                  percent(d, DEMO_RECEIVER), percent(d, DEMO_C2C));
}

static double mean_wait(const demo_results *d, demo_way w) {
    double sum = 0, count = 0;
    for (size_t i = 0; i < d->set.count; i++) {
        const eval_record *r = &d->ways[w].records.items[i];
        sum += r->timed ? r->ttft_ms : 0;
        count += r->timed;
    }
    return count > 0 ? sum / count : 0;
}

/* Prompts of the two kinds differ in length, so that a median of both stands for neither. */
static c2c_status append_waits(buffer *out, const demo_results *d, c2c_error *error) {
    const eval_result text = evaluated_result(&d->ways[DEMO_TEXT], &d->set);
    const eval_result fused = evaluated_result(&d->ways[DEMO_C2C], &d->set);
    eval_groups a = {0}, b = {0};
    c2c_status status = eval_groups_make(&a, &text, EVAL_BY_CATEGORY, error);
    if (!status)
        status = eval_groups_make(&b, &fused, EVAL_BY_CATEGORY, error);
    buffer_printf(out, "First token of C2C after %.2f ms on average, of text-to-text after %.2f ms",
                  mean_wait(d, DEMO_C2C), mean_wait(d, DEMO_TEXT));
    for (size_t i = 0; !status && i < a.count; i++)
        buffer_printf(out, "%s %s %.2f and %.2f ms", i ? "," : "; medians:", a.items[i].name,
                      b.items[i].median_ttft_ms, a.items[i].median_ttft_ms);
    buffer_append_text(out, ".\n");
    eval_groups_deinit(&a);
    eval_groups_deinit(&b);
    return status;
}

c2c_status demo_show_table(const demo_results *d, bool trained, c2c_error *error) {
    eval_result results[DEMO_WAYS];
    buffer out = {0};
    for (int w = 0; w < DEMO_WAYS; w++)
        results[w] = evaluated_result(&d->ways[w], &d->set);
    append_meaning(&out, d);
    c2c_status status = append_waits(&out, d, error);
    if (trained)
        append_learnt(&out, d);
    else if (d->recorded)
        buffer_printf(&out,
                      "%lld of %lld answers are, letter by letter, those recorded beside the "
                      "questions (by the Python original; C2C's by this program in f32).\n",
                      (long long)d->as_recorded, (long long)d->recorded);
    buffer_printf(&out,
                  "Asked four ways in %.1f s (known: the sharer knows the answer; told: the chat "
                  "says it):\n\n",
                  d->seconds);
    if (!status)
        status = eval_show_table(&out, results, DEMO_WAYS, error);
    eval_show_notes(&out, &d->set, results, DEMO_WAYS);
    if (!status)
        status = output_buffer(&out, error);
    buffer_free(&out);
    return status;
}

static c2c_status append_json(json_out *json, const demo_results *d, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    json_out_open(json, NULL, '{');
    json_out_integer(json, "questions", (int64_t)d->set.count);
    json_out_real(json, "seconds", d->seconds);
    for (int w = 0; !status && w < DEMO_WAYS; w++) {
        const eval_result result = evaluated_result(&d->ways[w], &d->set);
        eval_summary s;
        eval_groups groups;
        eval_summarize(&s, &result);
        status = eval_groups_make(&groups, &result, EVAL_BY_CATEGORY, error);
        json_out_open(json, way_keys[w], '{');
        json_out_real(json, "all", s.accuracy.value);
        for (size_t i = 0; i < groups.count; i++)
            json_out_real(json, groups.items[i].name, eval_group_share(&groups.items[i]));
        json_out_real(json, "median_ttft_ms", s.median_ttft_ms);
        json_out_integer(json, "recorded", d->way_recorded[w]);
        json_out_integer(json, "as_recorded", d->way_as_recorded[w]);
        json_out_close(json, '}');
        eval_groups_deinit(&groups);
    }
    json_out_close(json, '}');
    buffer_append_char(&json->text, '\n');
    return status;
}

c2c_status demo_show_json(const demo_results *d, c2c_error *error) {
    json_out json = {0};
    c2c_status status = append_json(&json, d, error);
    if (!status)
        status = output_buffer(&json.text, error);
    buffer_free(&json.text);
    return status;
}
