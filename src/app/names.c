/* names.c - models and fusers by name: ORG/NAME, or ORG/NAME/FOLDER for a folder inside, looked up
 * in the user's own folders and in the cache that Hugging Face's tools download to. The library
 * knows paths only; the environment is read here and nowhere else.
 *
 * The cache (huggingface_hub, "Understand caching"): models--ORG--NAME/refs/main holds the commit,
 * and snapshots/COMMIT is the folder as it was then. */
#include "app/names.h"

#include <ctype.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_NAME 512
#define MAX_REF  128

/* One search: what is looked for, and for messages where. */
typedef struct search {
    const char *name;
    char repository[MAX_NAME + 32]; /* "models--ORG--NAME" */
    const char *inside;             /* what follows ORG/NAME, without a slash; may be "" */
    buffer looked;                  /* "DIR (--models), DIR (C2C_MODELS)" */
    char *found;
    bool failed; /* out of memory */
} search;

/* ---- Names -------------------------------------------------------------------------------- */

/* Words of letters, digits and "._-+", one slash between two of them. "." and ".." lead elsewhere,
 * so what has them is a path. */
static bool is_name(const char *text) {
    size_t length = strlen(text), word = 0;
    if (length == 0 || length > MAX_NAME)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != '/') {
            if (!isalnum((unsigned char)text[i]) && !strchr("._-+", text[i]))
                return false;
            continue;
        }
        const char *start = text + word;
        size_t n = i - word;
        if (n == 0 || (n == 1 && *start == '.') || (n == 2 && memcmp(start, "..", 2) == 0))
            return false;
        word = i + 1;
    }
    return true;
}

/* The parts of the name as the cache spells them. */
static void split(search *s) {
    const char *slash = strchr(s->name, '/');
    const char *second = slash ? strchr(slash + 1, '/') : NULL;
    size_t length = second ? (size_t)(second - s->name) : strlen(s->name);
    buffer repository = {0};
    buffer_append_text(&repository, "models--");
    for (size_t i = 0; i < length; i++)
        buffer_append_text(&repository, s->name[i] == '/' ? "--" : (const char[]){s->name[i], 0});
    s->failed = s->failed || repository.failed;
    if (!repository.failed)
        memcpy(s->repository, repository.data, repository.length + 1);
    buffer_free(&repository);
    s->inside = second ? second + 1 : "";
}

/* ---- Places ------------------------------------------------------------------------------- */

static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

/* `folder`/`name` becomes the result if it is there. */
static bool try_path(search *s, const char *folder, const char *name) {
    char *path = path_join(folder, name);
    s->failed = s->failed || !path;
    if (path && exists(path) && !s->found)
        s->found = path;
    else
        free(path);
    return s->found || s->failed;
}

/* The commit that refs/main names; false when there is none, or something that is no plain name. */
static bool read_ref(const char *cached, char commit[MAX_REF + 1]) {
    char *path = path_join(cached, "refs/main");
    file_map map = {0};
    size_t length = 0;
    if (path && !file_map_open(&map, path, NULL) && map.size <= MAX_REF)
        while (length < map.size && isalnum(map.data[length]))
            length++;
    if (length)
        memcpy(commit, map.data, length);
    commit[length] = 0;
    file_map_close(&map);
    free(path);
    return length > 0;
}

/* The newest folder of snapshots in which the name is there. */
typedef struct newest {
    search *search;
    const char *snapshots;
    char *path;
    struct timespec time;
} newest;

static c2c_status compare_snapshot(void *user, const char *name, c2c_error *error) {
    (void)error;
    newest *n = user;
    struct stat info;
    char *folder = path_join(n->snapshots, name);
    char *path = folder ? path_join(folder, n->search->inside) : NULL;
    n->search->failed = n->search->failed || !path;
    if (path && stat(folder, &info) == 0 && S_ISDIR(info.st_mode) && exists(path) &&
        (!n->path || info.st_mtim.tv_sec > n->time.tv_sec ||
         (info.st_mtim.tv_sec == n->time.tv_sec && info.st_mtim.tv_nsec > n->time.tv_nsec))) {
        free(n->path);
        n->path = path;
        n->time = info.st_mtim;
        path = NULL;
    }
    free(path);
    free(folder);
    return C2C_STATUS_OK;
}

/* Looks into hub/models--ORG--NAME. */
static bool try_cache(search *s, const char *hub) {
    char commit[MAX_REF + 1];
    char *cached = path_join(hub, s->repository);
    char *snapshots = cached ? path_join(cached, "snapshots") : NULL;
    s->failed = s->failed || !snapshots;
    if (snapshots && read_ref(cached, commit)) {
        char *folder = path_join(snapshots, commit);
        s->failed = s->failed || !folder;
        if (folder)
            try_path(s, folder, s->inside);
        free(folder);
    }
    if (snapshots && !s->found) {
        newest n = {.search = s, .snapshots = snapshots};
        folder_each(snapshots, compare_snapshot, &n, NULL); /* no folder: nothing found */
        s->found = n.path;
    }
    free(snapshots);
    free(cached);
    return s->found || s->failed;
}

/* A folder of models, however they got there: DIR/ORG/NAME, DIR/NAME, or laid out as the cache. */
static bool try_folder(search *s, const char *folder) {
    const char *slash = strchr(s->name, '/');
    return try_path(s, folder, s->name) || (slash && try_path(s, folder, slash + 1)) ||
           try_cache(s, folder);
}

static void note_place(search *s, const char *folder, const char *why) {
    buffer_printf(&s->looked, "%s%s (%s)", s->looked.length ? ", " : "", folder, why);
}

/* Folders with ':' between them, as in PATH. */
static bool try_folders(search *s, const char *list, const char *why) {
    while (*list && !s->failed) {
        size_t length = strcspn(list, ":");
        buffer folder = {0};
        buffer_append(&folder, list, length);
        s->failed = s->failed || folder.failed;
        bool done = s->failed;
        if (length && !done) {
            note_place(s, folder.data, why);
            done = try_folder(s, folder.data);
        }
        buffer_free(&folder);
        if (done)
            return true;
        list += length + (list[length] == ':');
    }
    return s->failed;
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* base/below without slashes at its end, which a variable may have: what is put behind it in
 * messages begins with one. */
static char *join_folder(const char *base, const char *below) {
    char *path = path_join(base, below);
    for (size_t length = path ? strlen(path) : 0; length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = 0;
    return path;
}

char *name_cache_folder(void) {
    const char *hub = variable("HF_HUB_CACHE"), *home = variable("HF_HOME");
    const char *cache = variable("XDG_CACHE_HOME"), *user = variable("HOME");
    if (!hub)
        hub = variable("HUGGINGFACE_HUB_CACHE"); /* its older name */
    const char *base = hub ? hub : home ? home : cache ? cache : user;
    const char *below = hub     ? ""
                        : home  ? "hub"
                        : cache ? "huggingface/hub"
                                : ".cache/huggingface/hub";
    if (!base)
        return NULL;
    if (strncmp(base, "~/", 2) != 0 || !user)
        return join_folder(base, below);
    char *expanded = path_join(user, base + 2);
    char *folder = expanded ? join_folder(expanded, below) : NULL;
    free(expanded);
    return folder;
}

static void search_all(search *s, const char *models) {
    const char *more = variable("C2C_MODELS");
    split(s);
    if (models) {
        note_place(s, models, "--models");
        if (try_folder(s, models))
            return;
    }
    if (more && try_folders(s, more, "C2C_MODELS"))
        return;
    char *cache = name_cache_folder();
    if (cache) {
        note_place(s, cache, "the Hugging Face cache");
        try_cache(s, cache);
    }
    free(cache);
}

/* ---- Resolving ---------------------------------------------------------------------------- */

/* Says where it was looked for, and what brings it there. */
static c2c_status not_found(const search *s, c2c_error *error) {
    const char *looked = s->looked.length ? s->looked.data : "no folder of models";
    const char *slash = strchr(s->name, '/');
    if (!slash)
        return error_set(error, C2C_STATUS_NOT_FOUND,
                         "%s: no such file or folder, and nothing of this name in %s; give a path, "
                         "or a name of the form ORG/NAME",
                         s->name, looked);
    int length = *s->inside ? (int)(s->inside - s->name - 1) : (int)strlen(s->name);
    return error_set(error, C2C_STATUS_NOT_FOUND,
                     "%s: no such file or folder, and nothing of this name in %s; download it "
                     "with: huggingface-cli download %.*s%s%s%s",
                     s->name, looked, length, s->name, *s->inside ? " --include \"" : "", s->inside,
                     *s->inside ? "/*\"" : "");
}

c2c_status name_resolve(char **path, const char *name, const char *models, c2c_error *error) {
    search s = {.name = name};
    *path = NULL;
    /* What is there is meant; what cannot be a name is a path, and its opener says what is wrong.
     */
    if (exists(name) || !is_name(name)) {
        buffer copy = {0};
        buffer_append_text(&copy, name);
        s.found = buffer_take(&copy, NULL);
        s.failed = !s.found;
    } else {
        search_all(&s, models);
    }
    c2c_status status = C2C_STATUS_OK;
    if (s.failed || s.looked.failed)
        status = error_memory(error, strlen(name), "a path");
    else if (!s.found)
        status = not_found(&s, error);
    if (status)
        free(s.found);
    else
        *path = s.found;
    buffer_free(&s.looked);
    return status;
}

option models_option(const char **models) {
    return (option){.name = "--models",
                    .value = "DIR",
                    .kind = OPTION_PATH,
                    .target = models,
                    .shown = "",
                    .help = "folder in which names such as Qwen/Qwen3-0.6B are looked up first; "
                            "then in C2C_MODELS and the Hugging Face cache"};
}
