/* template_render.c - what a rendering in progress has: its memory and work limits, its errors,
 * its variables. The tree is walked by template_eval.c and template_exec.c.
 *
 * Whatever a template does ends up in render_alloc (memory), render_spend (time) or render_enter
 * (stack). Each function that loops over something whose size the template chose spends for it
 * *before* it does the work, so no single call can take long. Failing is a status that stays:
 * after the first one everything returns false up to the top, and nothing reads half-made
 * values. */
#include "tokenizer/template.h"

#include <stdio.h>

/* ---- Errors ------------------------------------------------------------------------------- */

/* The first failure is kept: what follows are its consequences. */
static bool stop(render *r, c2c_status status, const char *format, va_list list) {
    char message[sizeof((c2c_error *)0)->message];
    vsnprintf(message, sizeof message, format, list);
    if (r->status == C2C_STATUS_OK)
        r->status = error_set(r->error, status, "%s: line %d: %s", r->name, r->line, message);
    return false;
}

bool render_fail(render *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    stop(r, C2C_STATUS_BAD_FILE, format, list);
    va_end(list);
    return false;
}

bool render_refuse(render *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    stop(r, C2C_STATUS_UNSUPPORTED, format, list);
    va_end(list);
    return false;
}

bool render_raise(render *r, const text *message) {
    if (r->status == C2C_STATUS_OK)
        r->status = error_set(r->error, C2C_STATUS_INVALID_ARGUMENT,
                              "%s: line %d: the template says: %.*s", r->name, r->line,
                              message->length > 4096 ? 4096 : (int)message->length, message->bytes);
    return false;
}

bool render_undefined(render *r, const value *v) {
    return render_fail(r, "%s", v->reason ? v->reason : "undefined value");
}

/* ---- Limits ------------------------------------------------------------------------------- */

/* What the arena adds to a piece is counted too, so that many small pieces are bounded. */
void *render_alloc(render *r, size_t bytes) {
    size_t cost;
    if (!size_add(bytes, 32, &cost) || cost > r->memory_left) {
        render_fail(r, "rendering needs more than %zu MiB", r->limits->memory >> 20);
        return NULL;
    }
    void *memory = arena_alloc(r->memory, bytes);
    if (!memory && r->status == C2C_STATUS_OK)
        r->status = error_memory(r->error, bytes, "rendering a chat template");
    r->memory_left -= cost;
    return memory;
}

void *render_array(render *r, size_t count, size_t size) {
    size_t bytes;
    return render_alloc(r, size_mul(count, size, &bytes) ? bytes : SIZE_MAX);
}

const char *render_printf(render *r, const char *format, ...) {
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *copy = length < 0 ? NULL : render_alloc(r, (size_t)length + 1);
    if (copy)
        vsnprintf(copy, (size_t)length + 1, format, again);
    va_end(again);
    return copy;
}

bool render_spend(render *r, size_t work) {
    if (work > r->work_left)
        return render_fail(r, "rendering takes more than %zu steps", r->limits->work);
    r->work_left -= work;
    return true;
}

/* Copying or comparing bytes is much cheaper than evaluating a node: 16 of them for a step;
 * looking at characters one by one, 2. */
bool render_spend_bytes(render *r, size_t bytes) {
    return render_spend(r, bytes / 16);
}

bool render_spend_walk(render *r, size_t characters) {
    return render_spend(r, characters / 2);
}

bool render_enter(render *r) {
    if (++r->depth <= TEMPLATE_MAX_DEPTH)
        return true;
    return render_fail(r, "macros or values nested deeper than %d levels", TEMPLATE_MAX_DEPTH);
}

void render_leave(render *r) {
    r->depth--;
}

/* ---- Variables ---------------------------------------------------------------------------- */

/* The context's binding of a name, and only that. */
static const binding *context_find(const render *r, const char *name) {
    const binding *b = r->context ? r->context->first : NULL;
    while (b && strcmp(b->name, name) != 0)
        b = b->next;
    return b;
}

/* A name that a block assigns anywhere is its own from its start, as jinja2 compiles it: until
 * then it is undefined, though the context has one. */
scope *scope_new(render *r, scope *parent, const node *block) {
    scope *s = render_alloc(r, sizeof *s);
    if (!s)
        return NULL;
    s->parent = parent;
    for (size_t i = 0; block && i < block->hidden_count; i++) {
        const char *name = block->hidden[i];
        value v;
        if (!render_spend(r, 1))
            return NULL;
        if (!global_exists(r, name) && !context_find(r, name))
            continue; /* there is nothing to hide */
        if (!value_undefined(r, &v, "'%.200s' is undefined", name) || !scope_set(r, s, name, &v))
            return NULL;
    }
    return s;
}

/* Scopes are short lists: templates have few variables, and a hostile one pays a step for every
 * name that is passed. */
bool scope_set(render *r, scope *s, const char *name, const value *v) {
    binding *b = s->first;
    for (; b && strcmp(b->name, name) != 0; b = b->next)
        if (!render_spend(r, 1))
            return false;
    if (!b) {
        b = render_alloc(r, sizeof *b);
        if (!b)
            return false;
        *b = (binding){.next = s->first, .name = name};
        s->first = b;
    }
    b->value = *v;
    return true;
}

bool scope_find(render *r, const scope *s, const char *name, value *out) {
    for (; s; s = s->parent)
        for (const binding *b = s->first; b; b = b->next) {
            if (strcmp(b->name, name) == 0) {
                *out = b->value;
                return true;
            }
            if (!render_spend(r, 1))
                return false;
        }
    if (!global_find(r, name, out))
        return false;
    return out->type != VALUE_ABSENT || value_undefined(r, out, "'%.200s' is undefined", name);
}
