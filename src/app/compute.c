/* compute.c - what a verb computes with: numbers, threads, kernels, the form of weights and caches.
 */
#include "app/compute.h"

const char *const compute_names[] = {"auto", "f32", "bf16", NULL};

const char *const weight_names[] = {"stored", "int8", NULL};

option dtype_option(int *dtype) {
    return (option){.name = "--dtype",
                    .value = "NAME",
                    .kind = OPTION_CHOICE,
                    .target = dtype,
                    .choices = compute_names,
                    .shown = "auto: bf16 when the files are bf16",
                    .help = "compute in f32 or bf16"};
}

option threads_option(int64_t *threads) {
    return (option){.name = "--threads",
                    .value = "N",
                    .kind = OPTION_INTEGER,
                    .target = threads,
                    .low = 1,
                    .high = 1024,
                    .shown = "all processors",
                    .help = "threads to compute with"};
}

option isa_option(const char **isa) {
    return (option){
        .name = "--isa",
        .value = "NAME",
        .kind = OPTION_PATH,
        .target = isa,
        .shown = "the fastest that c2c inspect --cpu finds",
        .help =
            "CPU kernels to compute with: portable, avx2, avx512, avx512-vnni, avx512-bf16, amx"};
}

option kv_option(int *cache) {
    return (option){.name = "--kv",
                    .value = "NAME",
                    .kind = OPTION_CHOICE,
                    .target = cache,
                    .choices = compute_names, /* c2c_cache_type has the same ones */
                    .shown = "auto: bf16 where bf16 is computed in",
                    .help = "keep keys and values as f32 or bf16"};
}

option weights_option(int *weights) {
    return (
        option){.name = "--weights",
                .value = "NAME",
                .kind = OPTION_CHOICE,
                .target = weights,
                .choices = weight_names,
                .help =
                    "stored: models' matrices as they are in the files; int8: as 8-bit integers"};
}
