/* bench.c - the verb bench: how fast a tokenizer loads and encodes. */
#include "app/app.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>

typedef struct bench_settings {
    const char *tokenizer, *text;
    int64_t repeat;
    bool json;
} bench_settings;

/* Medians of the repeats, in milliseconds. */
typedef struct bench_result {
    double load_ms, encode_ms;
    size_t bytes, tokens;
} bench_result;

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int64_t count) {
    qsort(times, (size_t)count, sizeof *times, compare_times);
    return times[count / 2];
}

static c2c_status time_loading(const bench_settings *s, double *times, tokenizer **t,
                               c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < s->repeat && !status; i++) {
        tokenizer_close(*t);
        double start = system_seconds();
        status = tokenizer_open(t, s->tokenizer, error);
        times[i] = (system_seconds() - start) * 1e3;
    }
    return status;
}

static c2c_status time_encoding(const bench_settings *s, const tokenizer *t, const file_map *text,
                                double *times, size_t *tokens, c2c_error *error) {
    token_list list = {0};
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < s->repeat && !status; i++) {
        list.count = 0;
        double start = system_seconds();
        status = tokenizer_encode(t, text->data ? (const char *)text->data : "", text->size, false,
                                  &list, error);
        times[i] = (system_seconds() - start) * 1e3;
    }
    *tokens = list.count;
    token_list_free(&list);
    return status;
}

static c2c_status measure(const bench_settings *s, bench_result *result, c2c_error *error) {
    file_map text = {0};
    tokenizer *t = NULL;
    size_t bytes = (size_t)s->repeat * sizeof(double);
    double *times = malloc(bytes);
    c2c_status status = times ? file_map_open(&text, s->text, error)
                              : error_memory(error, bytes, "the measured times");
    if (status || (status = time_loading(s, times, &t, error)))
        goto done;
    result->load_ms = median(times, s->repeat);
    if ((status = time_encoding(s, t, &text, times, &result->tokens, error))) {
        error_prefix(error, "%s", s->text);
        goto done;
    }
    result->encode_ms = median(times, s->repeat);
    result->bytes = text.size;
done:
    tokenizer_close(t);
    file_map_close(&text);
    free(times);
    return status;
}

static c2c_status print_result(const bench_settings *s, const bench_result *m, c2c_error *error) {
    double seconds = m->encode_ms * 1e-3;
    double mb_s = seconds > 0 ? (double)m->bytes * 1e-6 / seconds : 0;
    double tokens_s = seconds > 0 ? (double)m->tokens / seconds : 0;
    json_out json = {0};
    buffer text = {0};
    json_out_open(&json, NULL, '{');
    json_out_real(&json, "tokenizer_load_ms", m->load_ms);
    json_out_integer(&json, "text_bytes", (int64_t)m->bytes);
    json_out_integer(&json, "tokens", (int64_t)m->tokens);
    json_out_real(&json, "encode_ms", m->encode_ms);
    json_out_real(&json, "encode_mb_s", mb_s);
    json_out_real(&json, "encode_tokens_s", tokens_s);
    json_out_close(&json, '}');
    buffer_append_char(&json.text, '\n');
    buffer_printf(&text,
                  "load    %10.1f ms\nencode  %10.1f ms  %zu bytes, %zu tokens\n"
                  "        %10.1f MB/s\n        %10.0f tokens/s\n",
                  m->load_ms, m->encode_ms, m->bytes, m->tokens, mb_s, tokens_s);
    c2c_status status = output_buffer(s->json ? &json.text : &text, error);
    buffer_free(&json.text);
    buffer_free(&text);
    return status;
}

static int bench_run(const verb *v, int argc, char *const *argv) {
    bench_settings s = {.repeat = 5};
    const option options[] = {{.name = "--tokenizer",
                               .value = "DIR",
                               .kind = OPTION_PATH,
                               .target = &s.tokenizer,
                               .required = true,
                               .help = "folder with tokenizer.json"},
                              {.name = "--text",
                               .value = "FILE",
                               .kind = OPTION_PATH,
                               .target = &s.text,
                               .required = true,
                               .help = "UTF-8 text to encode, as one text"},
                              {.name = "--repeat",
                               .value = "N",
                               .kind = OPTION_INTEGER,
                               .target = &s.repeat,
                               .low = 1,
                               .high = 1000000,
                               .help = "times to load and to encode; medians are printed"},
                              {.name = "--json",
                               .kind = OPTION_FLAG,
                               .target = &s.json,
                               .help = "print one JSON object"}};
    const option_set set = {.options = options, .count = sizeof options / sizeof *options};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    bench_result result = {0};
    c2c_error error = {0};
    c2c_status status = measure(&s, &result, &error);
    if (!status)
        status = print_result(&s, &result, &error);
    return status ? app_failed(&error) : APP_OK;
}

const verb bench_verb = {.name = "bench",
                         .usage = "--tokenizer DIR --text FILE [options]",
                         .summary = "measure how fast a tokenizer loads and encodes",
                         .notes = "Everything runs on one thread.",
                         .run = bench_run};
