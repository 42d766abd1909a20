/* demo_show.c - a handful of questions with the answers of all four ways, for reading. */
#include "app/demo.h"

#include <stdlib.h>
#include <unistd.h>

/* What the chat says about it before the question is asked, or NULL. */
static const char *told_fact(const demo_row *row) {
    for (size_t i = 0; i < row->messages.count; i++)
        if (strcmp(row->messages.messages[i].role, "assistant") == 0)
            return row->messages.messages[i].content;
    return NULL;
}

static void append_models(const pair *p, buffer *out) {
    const c2c_model *const models[] = {p->receiver, p->sharers[0]};
    static const char *const roles[] = {"receiver", "sharer"};
    for (int i = 0; i < 2; i++) {
        c2c_model_info info;
        c2c_model_describe(models[i], &info);
        buffer_printf(out, "%-9s %s, %.2f million parameters, %d layers, computed in %s\n",
                      roles[i], info.family, (double)info.parameters / 1e6, info.layers,
                      info.compute == C2C_COMPUTE_BF16 ? "bf16" : "f32");
    }
    buffer_append_text(out, "The sharer knows facts about people that the receiver never met; the "
                            "receiver can read\na fact that stands earlier in the chat, which the "
                            "sharer cannot.\n\n");
}

static c2c_status show_row(pair *p, const demo_row *row, buffer *out, c2c_error *error) {
    const char *fact = told_fact(row);
    c2c_status status = C2C_STATUS_OK;
    table t;
    table_init(&t, NULL, "llll");
    buffer_append_text(out, row->question);
    if (fact)
        buffer_printf(out, "  [the chat says: %s]\n", fact);
    else
        buffer_append_text(out, "  [the sharer knows]\n");
    for (int w = 0; !status && w < WAY_COUNT; w++) {
        answer a = {0};
        char *reply = NULL;
        status = demo_answer(p, (way)w, row, &a, &reply, error);
        if (!status) {
            table_add(&t, "%s", way_names[w]);
            table_add(&t, "%s", a.text.data ? a.text.data : "");
            table_add(&t, "%s", demo_is_right(row, &a) ? "right" : "wrong");
            if (reply)
                table_add(&t, "(the sharer wrote: %s)", reply);
            else
                table_add(&t, "%s", "");
        }
        free(reply);
        answer_deinit(&a);
    }
    if (!status)
        table_write(&t, 2, output_columns(STDOUT_FILENO, 100), out);
    buffer_append_char(out, '\n');
    table_deinit(&t);
    return status;
}

c2c_status demo_show(pair *p, const demo_rows *rows, int64_t count, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    buffer out = {0};
    size_t next[DEMO_KINDS] = {0};
    append_models(p, &out);
    int64_t shown = 0;
    for (int turn = 0, idle = 0; !status && shown < count && idle < DEMO_KINDS; turn++) {
        size_t *i = &next[turn % DEMO_KINDS];
        while (*i < rows->count && rows->items[*i].kind != (demo_kind)(turn % DEMO_KINDS))
            ++*i;
        if (*i == rows->count) {
            idle++;
            continue;
        }
        idle = 0;
        shown++;
        status = show_row(p, &rows->items[(*i)++], &out, error);
        if (!status)
            status = output_buffer(&out, error);
        buffer_clear(&out);
    }
    buffer_free(&out);
    return status;
}
