/* bench_report.c - a pair's figures as a table for people, or as JSON. */
#include "app/bench.h"

#include <stdio.h>

static double per_second(double count, bench_time time) {
    return time.seconds > 0 ? count / time.seconds : 0;
}

static double share(double done, double ceiling) {
    return ceiling > 0 ? done / ceiling : 0;
}

static void write_json(json_out *o, const bench_settings *s, const bench_figures *f) {
    double tokens = (double)s->prompt_tokens, batch = (double)s->batch;
    json_out_open(o, NULL, '{');
    json_out_text(o, "isa", f->isa, strlen(f->isa));
    json_out_text(o, "dtype", f->compute == C2C_COMPUTE_BF16 ? "bf16" : "f32",
                  f->compute == C2C_COMPUTE_BF16 ? 4 : 3);
    json_out_text(o, "weights", f->int8 ? "int8" : "stored", f->int8 ? 4 : 6);
    json_out_text(o, "kv", f->cache == DTYPE_BF16 ? "bf16" : "f32", f->cache == DTYPE_BF16 ? 4 : 3);
    json_out_integer(o, "threads", f->threads);
    json_out_integer(o, "prompt_tokens", s->prompt_tokens);
    json_out_integer(o, "new_tokens", s->new_tokens);
    json_out_integer(o, "repeat", s->repeat);
    json_out_real(o, "peak_tflops", f->peak * 1e-12);
    json_out_real(o, "read_gb_s", f->read * 1e-9);
    json_out_real(o, "receiver_prefill_tok_s", per_second(tokens, f->receiver_prefill));
    json_out_real(o, "prefill_peak_share",
                  share(per_second(f->receiver_flops, f->receiver_prefill), f->peak));
    if (f->fused) {
        json_out_real(o, "sharer_prefill_tok_s", per_second(tokens, f->sharer_prefill));
        json_out_real(o, "fuser_ms", f->fuser.seconds * 1e3);
        json_out_real(o, "fuser_peak_share", share(per_second(f->fuser_flops, f->fuser), f->peak));
        json_out_real(o, "fused_ttft_ms", f->ttft.seconds * 1e3);
    }
    json_out_real(o, "decode_tok_s", per_second(1, f->decode));
    json_out_real(o, "decode_bandwidth_share",
                  share(per_second(f->decode_bytes, f->decode), f->read));
    if (s->batch > 1) {
        json_out_integer(o, "batch", s->batch);
        json_out_real(o, "batch_decode_tok_s", per_second(batch, f->batch_decode));
    }
    json_out_real(o, "peak_rss_mb", f->peak_rss * 1e-6);
    json_out_close(o, '}');
    buffer_append_char(&o->text, '\n');
}

/* A row: what, its median time, its spread, tokens per second, and its share of a ceiling. */
static void add_row(table *t, const char *name, bench_time time, double tokens, double done,
                    double ceiling, const char *what) {
    table_add(t, "%s", name);
    table_add(t, "%.2f ms", time.seconds * 1e3);
    table_add(t, "%.0f%%", time.spread * 100);
    if (tokens > 0)
        table_add(t, "%.1f", per_second(tokens, time));
    else
        table_add(t, "%s", "");
    table_add(t, "%.1f%% of %s", share(per_second(done, time), ceiling) * 100, what);
}

static void write_table(buffer *text, const bench_settings *s, const bench_figures *f) {
    static const char *const titles[] = {"part", "median", "spread", "tokens/s", "share"};
    double tokens = (double)s->prompt_tokens;
    char name[64];
    buffer_printf(text,
                  "%d threads, kernels %s, %s%s, %s caches\n"
                  "products    %10.3f TFLOP/s at most\n"
                  "memory      %10.1f GB/s read at most\n\n",
                  f->threads, f->isa, f->compute == C2C_COMPUTE_BF16 ? "bf16" : "f32",
                  f->int8 ? ", int8 weights" : "", f->cache == DTYPE_BF16 ? "bf16" : "f32",
                  f->peak * 1e-12, f->read * 1e-9);
    table t;
    table_init(&t, titles, "lrrrl");
    add_row(&t, "receiver prefill", f->receiver_prefill, tokens, f->receiver_flops, f->peak,
            "products");
    if (f->fused) {
        add_row(&t, "sharer prefill", f->sharer_prefill, tokens, f->sharer_flops, f->peak,
                "products");
        add_row(&t, "fuser", f->fuser, tokens, f->fuser_flops, f->peak, "products");
        add_row(&t, "fused first token", f->ttft, 0, f->ttft_flops, f->peak, "products");
    }
    add_row(&t, "decode", f->decode, 1, f->decode_bytes, f->read, "memory");
    snprintf(name, sizeof name, "decode, %lld together", (long long)s->batch);
    if (s->batch > 1)
        add_row(&t, name, f->batch_decode, (double)s->batch, f->decode_bytes, f->read, "memory");
    table_write(&t, 0, 200, text);
    table_deinit(&t);
    buffer_printf(text, "\nmemory of the process: %.0f MB at most\n", f->peak_rss * 1e-6);
}

c2c_status bench_report(const bench_settings *s, const bench_figures *f, c2c_error *error) {
    json_out json = {0};
    buffer text = {0};
    write_json(&json, s, f);
    write_table(&text, s, f);
    c2c_status status = output_buffer(s->json ? &json.text : &text, error);
    buffer_free(&json.text);
    buffer_free(&text);
    return status;
}
