/* replay.c - runs one fuzz target on its seeds, as a test: no fuzzing, any compiler.
 * usage: PROGRAM NAME FOLDER */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes in a block of exactly their size, so that a sanitizer sees a read past the end. */
static uint8_t *read_seed(const char *folder, const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0)
        goto done;
    long length = ftell(file);
    if (length < 0 || !(data = malloc(length ? (size_t)length : 1)))
        goto done;
    rewind(file);
    *size = fread(data, 1, (size_t)length, file);
    if (*size != (size_t)length) {
        free(data);
        data = NULL;
    }
done:
    if (file)
        fclose(file);
    return data;
}

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s NAME FOLDER\n", argv[0]);
        return 2;
    }
    struct dirent **seeds = NULL;
    int count = scandir(argv[2], &seeds, not_hidden, alphasort);
    int unread = 0;
    printf("[==========] Running 1 test(s).\n[ RUN      ] seeds of %s\n", argv[1]);
    for (int i = 0; i < count; i++) {
        size_t size = 0;
        uint8_t *data = read_seed(argv[2], seeds[i]->d_name, &size);
        /* Said before the input runs: a crash leaves this line last. */
        printf("%s (%zu bytes)\n", seeds[i]->d_name, size);
        fflush(stdout);
        if (data)
            LLVMFuzzerTestOneInput(data, size);
        else
            unread++;
        free(data);
        free(seeds[i]);
    }
    free(seeds);
    if (count <= 0 || unread) {
        printf("%s: %d seeds, %d of them unreadable\n[  FAILED  ] seeds of %s\n", argv[2], count,
               unread, argv[1]);
        return 1;
    }
    printf("[       OK ] seeds of %s\n", argv[1]);
    return 0;
}
