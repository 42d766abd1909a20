/* bench_tokenizer.c - how fast a tokenizer loads and encodes. Times are the processor's, so that
 * others on the machine do not count, and medians. */
#include "app/bench.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <unistd.h>

/* Of one text; milliseconds. */
typedef struct bench_row {
    const char *name;
    double cold_ms; /* the first text of a tokenizer that was just opened */
    double warm_ms; /* the same again */
    size_t bytes, tokens;
} bench_row;

typedef struct bench_result {
    double load_ms;
    bench_row rows[OPTION_LIST_MAX];
    double *times; /* [3 * repeat]: loads, cold and warm encodings */
} bench_result;

static c2c_status encode_once(const tokenizer *t, const file_map *text, token_list *list,
                              double *ms, c2c_error *error) {
    list->count = 0;
    double start = system_processor_seconds();
    c2c_status status = tokenizer_encode(t, text->data ? (const char *)text->data : "", text->size,
                                         false, list, error);
    *ms = (system_processor_seconds() - start) * 1e3;
    return status;
}

/* Opens the tokenizer anew for every cold encoding; the last one stays open for the warm ones. */
static c2c_status measure_text(const bench_settings *s, bench_result *r, bench_row *row,
                               c2c_error *error) {
    file_map text = {0};
    tokenizer *t = NULL;
    token_list list = {0};
    double *loads = r->times, *cold = loads + s->repeat, *warm = cold + s->repeat;
    c2c_status status = file_map_open(&text, row->name, error);
    if (status)
        return status;
    for (int64_t i = 0; i < s->repeat; i++) {
        tokenizer_close(t);
        double start = system_processor_seconds();
        if ((status = tokenizer_open(&t, s->tokenizer, error)))
            goto done;
        loads[i] = (system_processor_seconds() - start) * 1e3;
        if ((status = encode_once(t, &text, &list, &cold[i], error)))
            goto named;
    }
    for (int64_t i = 0; i < s->repeat; i++)
        if ((status = encode_once(t, &text, &list, &warm[i], error)))
            goto named;
    r->load_ms = bench_median(loads, s->repeat);
    row->cold_ms = bench_median(cold, s->repeat);
    row->warm_ms = bench_median(warm, s->repeat);
    row->bytes = text.size;
    row->tokens = list.count;
named:
    if (status)
        error_prefix(error, "%s", row->name);
done:
    token_list_free(&list);
    tokenizer_close(t);
    file_map_close(&text);
    return status;
}

static c2c_status measure(const bench_settings *s, bench_result *r, c2c_error *error) {
    size_t bytes = 3 * (size_t)s->repeat * sizeof(double);
    c2c_status status = C2C_STATUS_OK;
    r->times = malloc(bytes);
    if (!r->times)
        return error_memory(error, bytes, "the measured times");
    for (size_t i = 0; i < s->texts.count && !status; i++) {
        r->rows[i].name = s->texts.items[i];
        status = measure_text(s, r, &r->rows[i], error);
    }
    free(r->times);
    return status;
}

/* A million of them in a second. */
static double millions(size_t count, double ms) {
    return ms > 0 ? (double)count * 1e-3 / ms : 0;
}

static void append_json(const bench_settings *s, const bench_result *r, buffer *out) {
    json_out json = {.text = *out};
    json_out_open(&json, NULL, '{');
    json_out_real(&json, "tokenizer_load_ms", r->load_ms);
    json_out_open(&json, "texts", '[');
    for (size_t i = 0; i < s->texts.count; i++) {
        const bench_row *row = &r->rows[i];
        json_out_open(&json, NULL, '{');
        json_out_text(&json, "text", row->name, strlen(row->name));
        json_out_integer(&json, "text_bytes", (int64_t)row->bytes);
        json_out_integer(&json, "tokens", (int64_t)row->tokens);
        json_out_real(&json, "cold_ms", row->cold_ms);
        json_out_real(&json, "cold_mb_s", millions(row->bytes, row->cold_ms));
        json_out_real(&json, "warm_ms", row->warm_ms);
        json_out_real(&json, "warm_mb_s", millions(row->bytes, row->warm_ms));
        json_out_real(&json, "warm_tokens_s", 1e6 * millions(row->tokens, row->warm_ms));
        json_out_close(&json, '}');
    }
    json_out_close(&json, ']');
    json_out_close(&json, '}');
    buffer_append_char(&json.text, '\n');
    *out = json.text;
}

static void append_table(const bench_settings *s, const bench_result *r, buffer *out) {
    static const char *const titles[] = {"bytes", "tokens",    "cold", "cold MB/s",
                                         "warm",  "warm MB/s", "text"};
    table t;
    buffer_printf(out, "tokenizer loads in %.1f ms\n", r->load_ms);
    table_init(&t, titles, "rrrrrrl");
    for (size_t i = 0; i < s->texts.count; i++) {
        const bench_row *row = &r->rows[i];
        table_add(&t, "%zu", row->bytes);
        table_add(&t, "%zu", row->tokens);
        table_add(&t, "%.1f ms", row->cold_ms);
        table_add(&t, "%.1f", millions(row->bytes, row->cold_ms));
        table_add(&t, "%.1f ms", row->warm_ms);
        table_add(&t, "%.1f", millions(row->bytes, row->warm_ms));
        table_add(&t, "%s", row->name);
    }
    table_write(&t, 0, output_columns(STDOUT_FILENO, 100), out);
    table_deinit(&t);
}

static c2c_status print_result(const bench_settings *s, const bench_result *r, c2c_error *error) {
    buffer out = {0};
    if (s->json)
        append_json(s, r, &out);
    else
        append_table(s, r, &out);
    c2c_status status = output_buffer(&out, error);
    buffer_free(&out);
    return status;
}

c2c_status bench_tokenizer(const bench_settings *s, c2c_error *error) {
    bench_result result = {0};
    c2c_status status = measure(s, &result, error);
    return status ? status : print_result(s, &result, error);
}
