/* make_pair.c - the program that makes a full-size pair with random weights to measure with: a
 * receiver of Qwen3-0.6B's sizes, a sharer of Qwen2.5-0.5B's, and a C2C fuser of the published
 * size. 3.1 GB. */
#include "support/random_pair.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    bool pure = argc == 4 && strcmp(argv[3], "pure") == 0;
    if (argc != 3 && !pure) {
        fprintf(stderr,
                "usage: %s OUT TOKENIZER_DIR [pure]\n"
                "TOKENIZER_DIR: a folder of a Qwen model, for its tokenizer.json\n"
                "pure: the fuser replaces the receiver's cache (pure C2C)\n",
                argv[0]);
        return 2;
    }
    c2c_error error = {0};
    if (!random_pair_write(argv[1], &random_receiver, &random_sharer, 1024, pure, argv[2], &error))
        return 0;
    fprintf(stderr, "%s\n", error.message);
    return 1;
}
