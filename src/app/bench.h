/* bench.h - inside the app: what the verb bench measures, a tokenizer or a pair. */
#ifndef C2C_APP_BENCH_H
#define C2C_APP_BENCH_H

#include "app/app.h"

typedef struct bench_settings {
    const char *tokenizer; /* the tokenizer alone, or */
    option_list texts;
    const char *pair, *receiver, *sharer, *fuser; /* a folder of three, or each; NULL: none */
    const char *models, *isa;                     /* or NULL */
    int64_t prompt_tokens, new_tokens, batch, threads, repeat;
    int dtype, weights, cache; /* as in c2c_compute, c2c_model_weights, c2c_cache_type */
    bool json;
} bench_settings;

/* Sorts `count` >= 1 times; their median. */
double bench_median(double *times, int64_t count);

/* Measure and print (bench_tokenizer.c, bench_pair.c). */
c2c_status bench_tokenizer(const bench_settings *s, c2c_error *error);
c2c_status bench_pair(const bench_settings *s, c2c_error *error);

/* ---- A pair's figures (bench_pair.c), and how they are shown (bench_report.c) --------------- */

/* The median of the repeats in seconds, and (largest - smallest) / median. */
typedef struct bench_time {
    double seconds, spread;
} bench_time;

typedef struct bench_figures {
    const char *isa;
    c2c_compute compute;
    dtype cache; /* of the receiver */
    bool int8;   /* its matrices, made or stored */
    int threads;
    bool fused;        /* there is a sharer */
    double peak, read; /* ceilings: operations and bytes per second */
    bench_time receiver_prefill, sharer_prefill, fuser, ttft, decode, batch_decode;
    double receiver_flops, sharer_flops, fuser_flops; /* of one prefill, of one fusion */
    double ttft_flops;                                /* of what an answer needs of these */
    double decode_bytes;                              /* that one token reads at least */
    double peak_rss;
} bench_figures;

c2c_status bench_report(const bench_settings *s, const bench_figures *f, c2c_error *error);

#endif
