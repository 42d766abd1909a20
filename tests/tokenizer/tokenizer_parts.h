/* tokenizer_parts.h - small tokenizers made in the tests from the parts that matter to them. JSON
 * is written with ' for ", so that it can be read in C. */
#ifndef C2C_TOKENIZER_PARTS_H
#define C2C_TOKENIZER_PARTS_H

#include "support/test.h"
#include "tokenizer/internal.h"

/* NULL: null, [] for added tokens, ByteLevel for the decoder, the vocabulary below. */
typedef struct parts {
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder, *added_tokens;
    const char *model; /* members that replace those of the usual model, of equal keys the last */
} parts;

#define BYTES  "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':false}"
#define WORDS  "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':true}"
#define SPACED "{'type':'ByteLevel','add_prefix_space':true,'trim_offsets':true,'use_regex':true}"
#define NFC    "{'type':'NFC'}"
#define SPLIT(pattern, behavior, invert)                                                           \
    "{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':" pattern                       \
    ",'behavior':'" behavior "','invert':" invert "}," BYTES "]}"

/* Ids 0 to 255 are the bytes; then what the merges make, from 256; then a word without a merge. */
static const char *const part_merges[] = {"h e",   "l l", "he ll", "hell o", "Ġ w", "o r",
                                          "Ġw or", "1 2", "Ã ©",   "Ġ Ġ",    "a b", "ab ab"};
#define PART_MERGES (sizeof part_merges / sizeof *part_merges)
#define PART_WORD   (256 + (int)PART_MERGES)

static void write_model(buffer *out, const char *overrides) {
    buffer_append_text(out, "{'type':'BPE','vocab':{");
    for (int i = 0; i < 256; i++) {
        char text[4];
        /* Three bytes mean something in this JSON. */
        if (i == '\'' || i == '"' || i == '\\') {
            buffer_printf(out, "'\\u%04x':%d,", i, i);
        } else {
            size_t length = utf8_write(byte_level_character((uint8_t)i), text);
            buffer_printf(out, "'%.*s':%d,", (int)length, text, i);
        }
    }
    for (size_t i = 0; i < PART_MERGES; i++) {
        const char *space = strchr(part_merges[i], ' ');
        buffer_printf(out, "'%.*s%s':%zu,", (int)(space - part_merges[i]), part_merges[i],
                      space + 1, 256 + i);
    }
    buffer_printf(out, "'Ġworld':%d},'merges':[", PART_WORD);
    for (size_t i = 0; i < PART_MERGES; i++)
        buffer_printf(out, "%s'%s'", i > 0 ? "," : "", part_merges[i]);
    buffer_printf(out, "]%s%s}", overrides ? "," : "", overrides ? overrides : "");
}

/* The text of a tokenizer.json. */
static buffer parts_json(const parts *p) {
    buffer out = {0};
    buffer_printf(&out, "{'version':'1.0','truncation':null,'padding':null,'added_tokens':%s,",
                  p->added_tokens ? p->added_tokens : "[]");
    buffer_printf(&out, "'normalizer':%s,", p->normalizer ? p->normalizer : "null");
    buffer_printf(&out, "'pre_tokenizer':%s,", p->pre_tokenizer ? p->pre_tokenizer : "null");
    buffer_printf(&out, "'post_processor':%s,", p->post_processor ? p->post_processor : "null");
    buffer_printf(&out, "'decoder':%s,'model':", p->decoder ? p->decoder : BYTES);
    write_model(&out, p->model);
    buffer_append_char(&out, '}');
    assert_false(out.failed);
    for (size_t i = 0; i < out.length; i++)
        if (out.data[i] == '\'')
            out.data[i] = '"';
    return out;
}

static c2c_status parts_open(tokenizer **t, const parts *p, c2c_error *error) {
    json_document *document;
    buffer text = parts_json(p);
    *t = NULL;
    c2c_status status = json_parse(&document, text.data, text.length, "tokenizer.json", error);
    if (status == C2C_STATUS_OK) {
        status = tokenizer_load(t, json_root(document), "tokenizer.json", error);
        json_close(document);
    }
    buffer_free(&text);
    return status;
}

#endif
