/* program.c - runs the built program, and makes folders with broken files for it. */
#include "app/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- Running ------------------------------------------------------------------------------ */

static char *read_all(int file) {
    buffer text = {0};
    char block[65536];
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    for (ssize_t n; (n = read(file, block, sizeof block)) > 0;)
        buffer_append(&text, block, (size_t)n);
    char *bytes = buffer_take(&text, NULL);
    assert_non_null(bytes);
    return bytes;
}

/* A file without a name for one stream of the program. */
static int scratch_file(void) {
    const char *root = getenv("TMPDIR");
    char *path = path_join(root ? root : "/tmp", "c2c-stream-XXXXXX");
    assert_non_null(path);
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    free(path);
    return file;
}

void program_run(program_result *r, const char *const *arguments) {
    program_run_input(r, "", 0, arguments);
}

void program_run_input(program_result *r, const char *input, size_t length,
                       const char *const *arguments) {
    const char *build = getenv("C2C_BUILD");
    char *program = path_join(build ? build : "build", "c2c");
    const char *argv[64] = {program};
    for (size_t i = 0; arguments[i]; i++) {
        assert_true(i + 2 < sizeof argv / sizeof *argv);
        argv[i + 1] = arguments[i];
    }
    int in = scratch_file(), out = scratch_file(), err = scratch_file(), status;
    assert_int_equal(write(in, input, length), length);
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    pid_t child;
    int code = posix_spawn(&child, program, &actions, NULL, (char *const *)argv, environ);
    if (code)
        fail_msg("%s: %s", program, strerror(code));
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    posix_spawn_file_actions_destroy(&actions);
    r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    r->out = read_all(out);
    r->err = read_all(err);
    close(in);
    close(out);
    close(err);
    free(program);
}

void program_result_free(program_result *r) {
    free(r->out);
    free(r->err);
    *r = (program_result){0};
}

void assert_program_fails(const program_result *r, int status, const char *const *texts) {
    if (r->status != status)
        fail_msg("expected exit status %d, got %d; standard error:\n%s", status, r->status, r->err);
    if (*r->out)
        fail_msg("expected nothing on standard output, got:\n%s", r->out);
    if (strncmp(r->err, "c2c: ", 5) != 0)
        fail_msg("expected a message that begins with \"c2c: \", got:\n%s", r->err);
    const char *end = strchr(r->err, '\n');
    if (!end || (status == 1 && end[1]))
        fail_msg("expected one line on standard error, got:\n%s", r->err);
    for (; *texts; texts++)
        if (!strstr(r->err, *texts))
            fail_msg("standard error lacks \"%s\":\n%s", *texts, r->err);
}

json_document *program_json(const program_result *r) {
    if (r->status != 0)
        fail_msg("expected exit status 0, got %d; standard error:\n%s", r->status, r->err);
    json_document *document = NULL;
    assert_ok(json_parse(&document, r->out, strlen(r->out), "standard output", &test_error));
    return document;
}

/* ---- Files -------------------------------------------------------------------------------- */

char *folder_of_links(const char *source) {
    char *folder = test_folder_make();
    /* Links hold whole paths: they do not lie beside what they name. */
    char root[4096];
    assert_non_null(getcwd(root, sizeof root));
    char *base = *source == '/' ? path_join(source, "") : path_join(root, source);
    DIR *dir = opendir(source);
    if (!dir)
        fail_msg("%s: %s", source, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *target = path_join(base, entry->d_name), *link = path_join(folder, entry->d_name);
        if (file_exists(target))
            assert_int_equal(symlink(target, link), 0);
        free(link);
        free(target);
    }
    closedir(dir);
    free(base);
    return folder;
}

char *file_read(const char *folder, const char *name, size_t *length) {
    char *path = path_join(folder, name);
    file_map map;
    assert_ok(file_map_open(&map, path, &test_error));
    char *bytes = malloc(map.size + 1);
    assert_non_null(bytes);
    memcpy(bytes, map.data, map.size);
    bytes[map.size] = 0;
    *length = map.size;
    file_map_close(&map);
    free(path);
    return bytes;
}

void file_replace(const char *folder, const char *name, const void *bytes, size_t length) {
    char *path = path_join(folder, name);
    unlink(path);
    free(path);
    test_file_write(folder, name, bytes, length);
}

static const char *find_bytes(const char *bytes, size_t length, const char *wanted) {
    size_t n = strlen(wanted);
    for (size_t i = 0; i + n <= length; i++)
        if (memcmp(bytes + i, wanted, n) == 0)
            return bytes + i;
    fail_msg("the file does not hold \"%s\"", wanted);
    return NULL;
}

void file_edit(const char *folder, const char *name, const char *from, const char *to) {
    size_t length;
    char *bytes = file_read(folder, name, &length);
    const char *found = find_bytes(bytes, length, from);
    buffer text = {0};
    buffer_append(&text, bytes, (size_t)(found - bytes));
    buffer_append_text(&text, to);
    assert_true(strlen(to) <= strlen(from));
    /* What lies behind keeps its place. */
    for (size_t i = strlen(to); i < strlen(from); i++)
        buffer_append_char(&text, ' ');
    found += strlen(from);
    buffer_append(&text, found, (size_t)(bytes + length - found));
    assert_false(text.failed);
    file_replace(folder, name, text.data, text.length);
    buffer_free(&text);
    free(bytes);
}
