/* inspect_cpu.c - what `c2c inspect --cpu` says: the processor, and which kernels are chosen. */
#include "app/inspect.h"
#include "backend/cpu/cpu.h"

static const char *const meanings[CPU_ISA_COUNT] = {
    [CPU_ISA_PORTABLE] = "plain C",
    [CPU_ISA_AVX2] = "AVX2, FMA and F16C",
    [CPU_ISA_AVX512] = "AVX-512 F, BW, DQ and VL",
    [CPU_ISA_AVX512_VNNI] = "and dot products of int8",
    [CPU_ISA_AVX512_BF16] = "and dot products of bf16",
    [CPU_ISA_AMX] = "and tiles of both",
};

void inspect_cpu(report *r) {
    static const char *const titles[] = {"kernels", "found", "what they use"};
    char name[CPU_NAME_TEXT];
    cpu_isa best = cpu_isa_best();
    report_text(r, "processor", "processor", cpu_name(name));
    report_integer(r, "processors", "processors", system_processors());
    report_text(r, "chosen", "chosen kernels", cpu_isa_name(best));
    table t;
    table_init(&t, titles, "lll");
    json_out_open(&r->json, "kernels", '{');
    for (int i = 0; i < CPU_ISA_COUNT; i++) {
        bool found = cpu_kernels_for((cpu_isa)i) != NULL;
        json_out_bool(&r->json, cpu_isa_name((cpu_isa)i), found);
        table_add(&t, "%s", cpu_isa_name((cpu_isa)i));
        table_add(&t, "%s", !found ? "no" : i == (int)best ? "chosen" : "yes");
        table_add(&t, "%s", meanings[i]);
    }
    json_out_close(&r->json, '}');
    report_table(r, &t);
    table_deinit(&t);
}
