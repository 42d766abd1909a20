/* program.h - the built program run as a user would run it, and folders with broken files. */
#ifndef C2C_TEST_PROGRAM_H
#define C2C_TEST_PROGRAM_H

#include "formats/formats.h"
#include "support/test.h"

#define DEMO_RECEIVER "share/demo/receiver"
#define DEMO_SHARER   "share/demo/sharer"
#define DEMO_FUSER    "share/demo/fuser"

/* What a run of the program left; texts are NUL-terminated. program_result_free. */
typedef struct program_result {
    int status; /* exit status; 128 + signal when it was killed */
    char *out, *err;
} program_result;

/* Runs $C2C_BUILD/c2c with these arguments (ending with NULL) and waits for it. */
void program_run(program_result *r, const char *const *arguments);
/* The same with a text on its standard input. */
void program_run_input(program_result *r, const char *input, size_t length,
                       const char *const *arguments);
#define PROGRAM(r, ...) program_run(r, (const char *const[]){__VA_ARGS__, NULL})
void program_result_free(program_result *r);

/* The run must have failed with this exit status, said nothing on standard output, and one line on
 * standard error (or, for usage errors, more) that holds every text of the list. */
void assert_program_fails(const program_result *r, int status, const char *const *texts);

/* Standard output parsed as JSON; close it with json_close. */
json_document *program_json(const program_result *r);

/* A folder of links to the files of `source`, which single files can replace. */
char *folder_of_links(const char *source);
/* All bytes of `folder`/`name`, to be freed. */
char *file_read(const char *folder, const char *name, size_t *length);
/* Puts a file in place of the link of that name. */
void file_replace(const char *folder, const char *name, const void *bytes, size_t length);
/* Replaces the first `from` in a file by `to`, filled up with spaces to the same length. */
void file_edit(const char *folder, const char *name, const char *from, const char *to);

#endif
