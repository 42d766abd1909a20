/* run_golden.c - the program: run_golden DIR [--queue] [--threads N] [--list FILE]. Walks the
 * layout of DIR and hands each part to its kind of case. Exit 0: nothing failed; 1: a case failed,
 * or there is none; 2: usage. */
#include "golden.h"

#include <errno.h>

/* ---- The layout --------------------------------------------------------------------------- */

typedef struct layout_entry {
    const char *name;
    void (*run)(golden_run *run, const char *path);
} layout_entry;

static void ignore_run(golden_run *run, const char *path) {
    (void)run, (void)path;
}

static const layout_entry layout[] = {
    {"models", models_run},         {"fusers", fusers_run},
    {"tokenizers", tokenizers_run}, {"demo_pair", demo_pair_run},
    {"projectors", projectors_run}, {"train", train_cases_run},
    {"aligned", aligned_run},       {"alignment_expected.json", alignments_run},
    {"evaluation", evaluation_run}, {"README.md", ignore_run},
};

/* Everything in the folder is somebody's case: what is in no table is not built, or unknown. */
static void layout_run(golden_run *run) {
    size_t count = 0;
    char **names = names_list(run->folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(run->folder, names[i]);
        void (*entry)(golden_run *, const char *) = not_built_run;
        for (size_t k = 0; k < sizeof layout / sizeof *layout; k++)
            if (strcmp(layout[k].name, names[i]) == 0)
                entry = layout[k].run;
        entry(run, path);
        free(path);
    }
    names_free(names, count);
}

/* ---- The command line --------------------------------------------------------------------- */

static bool threads_parse(const char *text, int *threads) {
    char *end = NULL;
    errno = 0;
    long value = text ? strtol(text, &end, 10) : 0;
    if (!text || errno != 0 || *end != '\0' || value < 1 || value > 1024)
        return false;
    *threads = (int)value;
    return true;
}

static bool options_parse(golden_run *run, const char **list, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i], *next = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(word, "--queue") == 0) {
            run->queue = true;
        } else if (strcmp(word, "--threads") == 0) {
            if (!threads_parse(next, &run->threads))
                return false;
            i++;
        } else if (strcmp(word, "--list") == 0 && next) {
            *list = next;
            i++;
        } else if (word[0] != '-' && !run->folder) {
            run->folder = word;
        } else {
            return false;
        }
    }
    return run->folder != NULL;
}

int main(int count, char **arguments) {
    golden_run run = {.threads = 1};
    const char *list = "tests/golden/not_built_yet.txt";
    int code = 2;
    if (!options_parse(&run, &list, count, arguments)) {
        fprintf(stderr, "usage: run_golden DIR [--queue] [--threads N] [--list FILE]\n"
                        "  --queue      first run of each case on the queue backend\n"
                        "  --threads N  threads of the first run (1)\n"
                        "  --list FILE  what may be skipped (tests/golden/not_built_yet.txt)\n");
        return code;
    }
    if (!skip_rules_read(&run, list))
        goto done;
    layout_run(&run);
    if (run.passed + run.failed + run.skipped == 0)
        fprintf(stderr, "run_golden: %s: no case found\n", run.folder);
    printf("%d passed, %d failed, %d skipped\n", run.passed, run.failed, run.skipped);
    code = run.failed > 0 || run.passed + run.failed + run.skipped == 0;
done:
    skip_rules_free(&run);
    return code;
}
