/* isa.c - which kernels this machine can run: the one place that asks the processor. */
#define _GNU_SOURCE
#include "backend/cpu/kernel_sets.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const names[CPU_ISA_COUNT] = {"portable",    "avx2",        "avx512",
                                                 "avx512-vnni", "avx512-bf16", "amx"};

const char *cpu_isa_name(cpu_isa isa) {
    return names[isa];
}

bool cpu_isa_find(const char *name, cpu_isa *isa) {
    for (int i = 0; i < CPU_ISA_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *isa = (cpu_isa)i;
            return true;
        }
    return false;
}

/* ---- The sets ----------------------------------------------------------------------------- */

static const cpu_kernels portable = {.common = &common_portable,
                                     .linear_f32 = &linear_f32_portable,
                                     .linear_round = &linear_round_portable,
                                     .linear_bf16 = &linear_round_portable,
                                     .linear_int8 = &linear_int8_portable};

#ifdef __x86_64__

static const cpu_kernels avx2 = {.common = &common_avx2,
                                 .linear_f32 = &linear_f32_avx2,
                                 .linear_round = &linear_round_avx2,
                                 .linear_bf16 = &linear_round_avx2,
                                 .linear_int8 = &linear_int8_avx2};

static const cpu_kernels avx512 = {.common = &common_avx512,
                                   .linear_f32 = &linear_f32_avx512,
                                   .linear_round = &linear_round_avx512,
                                   .linear_bf16 = &linear_round_avx512,
                                   .linear_int8 = &linear_int8_avx512};

static const cpu_kernels avx512_vnni = {.common = &common_avx512,
                                        .linear_f32 = &linear_f32_avx512,
                                        .linear_round = &linear_round_avx512,
                                        .linear_bf16 = &linear_round_avx512,
                                        .linear_int8 = &linear_int8_vnni};

static const cpu_kernels avx512_bf16 = {.common = &common_avx512,
                                        .linear_f32 = &linear_f32_avx512,
                                        .linear_round = &linear_panels_dot,
                                        .linear_bf16 = &linear_bf16_dot,
                                        .linear_panels = &linear_panels_dot,
                                        .backward_bf16 = &linear_backward_dot,
                                        .linear_int8 = &linear_int8_vnni,
                                        .attention_bf16 = &attention_bf16_dot,
                                        .peak_bf16 = peak_bf16_dot};

static const cpu_kernels amx = {.common = &common_avx512,
                                .linear_f32 = &linear_f32_avx512,
                                .linear_round = &linear_panels_dot,
                                .linear_bf16 = &linear_bf16_amx,
                                .backward_bf16 = &linear_backward_dot,
                                .linear_int8 = &linear_int8_amx,
                                .attention_bf16 = &attention_bf16_dot,
                                .peak_bf16 = peak_bf16_amx};

/* ---- The processor ------------------------------------------------------------------------ */

/* Every processor with AVX2 has F16C, which is older; clang 14 has no word to ask for it. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_avx2();
}

/* What compilers have no word for: a bit of cpuid's leaf 7. */
static bool has_leaf7(unsigned subleaf, char word, int bit) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, subleaf, &a, &b, &c, &d))
        return false;
    return (word == 'a' ? a : word == 'c' ? c : d) >> bit & 1;
}

static bool has_avx512_vnni(void) {
    return has_avx512() && has_leaf7(0, 'c', 11);
}

static bool has_avx512_bf16(void) {
    return has_avx512_vnni() && has_leaf7(1, 'a', 5);
}

/* Tiles are large: Linux wants to be asked before a process uses them, and answers the same each
 * time. */
static bool has_amx(void) {
    enum { ASK = 0x1023, TILE_DATA = 18 };
    return has_avx512_bf16() && has_leaf7(0, 'd', 22) && has_leaf7(0, 'd', 24) &&
           has_leaf7(0, 'd', 25) && syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}
#endif

const char *cpu_name(char name[CPU_NAME_TEXT]) {
    size_t length = 0;
    memset(name, 0, CPU_NAME_TEXT);
#ifdef __x86_64__
    unsigned words[12] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            words[0] = 0;
    const char *text = (const char *)words;
    for (size_t i = 0; i < sizeof words && text[i]; i++)
        if (text[i] > ' ' ? text[i] < 0x7f : length > 0 && name[length - 1] != ' ')
            name[length++] = text[i];
    while (length > 0 && name[length - 1] == ' ')
        name[--length] = 0;
#endif
    if (length == 0)
        memcpy(name, "unknown", sizeof "unknown");
    return name;
}

const cpu_kernels *cpu_kernels_for(cpu_isa isa) {
    switch (isa) {
    case CPU_ISA_PORTABLE: return &portable;
#ifdef __x86_64__
    case CPU_ISA_AVX2: return has_avx2() ? &avx2 : NULL;
    case CPU_ISA_AVX512: return has_avx512() ? &avx512 : NULL;
    case CPU_ISA_AVX512_VNNI: return has_avx512_vnni() ? &avx512_vnni : NULL;
    case CPU_ISA_AVX512_BF16: return has_avx512_bf16() ? &avx512_bf16 : NULL;
    case CPU_ISA_AMX: return has_amx() ? &amx : NULL;
#endif
    default: return NULL;
    }
}

cpu_isa cpu_isa_best(void) {
    for (int isa = CPU_ISA_COUNT - 1; isa > 0; isa--)
        if (cpu_kernels_for((cpu_isa)isa))
            return (cpu_isa)isa;
    return CPU_ISA_PORTABLE;
}
