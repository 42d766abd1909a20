/* isa.c - which kernels this machine can run: the one place that asks the processor. */
#include "backend/cpu/cpu.h"

#ifdef __x86_64__
/* Every processor with AVX2 has F16C, which is older; clang 14 has no word to ask for it. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_avx2();
}
#endif

const cpu_kernels *cpu_kernels_for(cpu_isa isa) {
    switch (isa) {
    case CPU_ISA_PORTABLE: return &cpu_kernels_portable;
#ifdef __x86_64__
    case CPU_ISA_AVX2: return has_avx2() ? &cpu_kernels_avx2 : NULL;
    case CPU_ISA_AVX512: return has_avx512() ? &cpu_kernels_avx512 : NULL;
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
