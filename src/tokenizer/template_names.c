/* template_names.c - which names a block hides. Jinja decides while compiling what a name means in
 * a block: one that the block assigns before it reads it (not only in a branch of an `if`) and that
 * no block around mentions is the block's own from its start, also for blocks inside that run
 * before the assignment. The context's variable of that name is then out of sight:
 *
 *     {% for m in messages %}{{ tools }}{% endfor %}{% set tools = 1 %}    prints nothing
 *
 * The parser reports what it sees, block by block; the evaluator gets a list for each block. */
#include "tokenizer/template.h"

#define NAMES_MAX_WORK 20000000 /* names compared while parsing one template */

typedef struct name_use {
    struct name_use *next;
    const char *name;
    bool own; /* assigned before it was read */
} name_use;

struct name_block {
    name_block *parent, *next;
    node *owner;
    name_use *first;
    int branches; /* `if` bodies around the place that is being parsed */
};

name_block *names_block(parser *p, node *owner) {
    name_block *b = arena_alloc(p->memory, sizeof *b);
    if (!b) {
        parser_fail(p, p->at->line, "out of memory");
        return NULL;
    }
    *b = (name_block){.parent = p->names, .next = p->blocks, .owner = owner};
    p->blocks = b;
    return b;
}

void names_branch(parser *p, int by) {
    p->names->branches += by;
}

static const name_use *find(parser *p, const name_block *b, const char *name) {
    for (const name_use *u = b->first; u; u = u->next) {
        if (++p->name_work > NAMES_MAX_WORK) {
            parser_fail(p, p->at->line, "too many different variables");
            return NULL;
        }
        if (strcmp(u->name, name) == 0)
            return u;
    }
    return NULL;
}

static void add(parser *p, const char *name, bool own) {
    if (!p->names || find(p, p->names, name))
        return;
    name_use *u = arena_alloc(p->memory, sizeof *u);
    if (!u) {
        parser_fail(p, p->at->line, "out of memory");
        return;
    }
    *u = (name_use){.next = p->names->first, .name = name, .own = own};
    p->names->first = u;
}

void names_read(parser *p, const char *name) {
    add(p, name, false);
}

void names_assign(parser *p, const node *target, bool is_parameter) {
    if (target->kind == NODE_TUPLE)
        for (size_t i = 0; i < target->count; i++)
            names_assign(p, target->items[i], is_parameter);
    else if (target->kind == NODE_FIELD) /* the namespace itself is only read */
        add(p, target->name, false);
    else
        add(p, target->name, !is_parameter && p->names->branches == 0);
}

static bool mentioned_around(parser *p, const name_block *b, const char *name) {
    for (b = b->parent; b; b = b->parent)
        if (find(p, b, name))
            return true;
    return false;
}

bool names_resolve(parser *p) {
    for (name_block *b = p->blocks; b && p->status == C2C_STATUS_OK; b = b->next) {
        size_t count = 0;
        for (const name_use *u = b->first; u; u = u->next)
            count += u->own;
        if (!b->owner || !count)
            continue;
        b->owner->hidden = arena_alloc(p->memory, count * sizeof *b->owner->hidden);
        if (!b->owner->hidden)
            return parser_fail(p, b->owner->line, "out of memory") != NULL;
        for (const name_use *u = b->first; u; u = u->next)
            if (u->own && !mentioned_around(p, b, u->name))
                b->owner->hidden[b->owner->hidden_count++] = u->name;
    }
    return p->status == C2C_STATUS_OK;
}
