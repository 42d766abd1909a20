/* make_pair.c - the program that makes a full-size pair with random weights to measure with: a
 * receiver of Qwen3-0.6B's sizes, a sharer of Qwen2.5-0.5B's, and a C2C fuser of the published
 * size. 3.1 GB. */
#include "support/random_pair.h"

#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr,
                "usage: %s OUT TOKENIZER_DIR\n"
                "TOKENIZER_DIR: a folder of a Qwen model, for its tokenizer.json\n",
                argv[0]);
        return 2;
    }
    c2c_error error = {0};
    if (!random_pair_write(argv[1], &random_receiver, &random_sharer, 1024, argv[2], &error))
        return 0;
    fprintf(stderr, "%s\n", error.message);
    return 1;
}
