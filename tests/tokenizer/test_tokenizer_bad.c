/* test_tokenizer_bad.c - files that must be refused, each with a message that says where and what;
 * and texts and patterns that must not hang. */
#include "tokenizer_parts.h"

typedef struct bad_file {
    parts parts;
    c2c_status status;
    const char *where, *what;
} bad_file;

#define BAD         C2C_STATUS_BAD_FILE
#define UNKNOWN     C2C_STATUS_UNSUPPORTED
#define SINGLE      "{'type':'TemplateProcessing','single':[{'Sequence':{'id':'A'}}]}"
#define REGEX(text) SPLIT("{'Regex':'" text "'}", "Isolated", "false")

static const bad_file bad_files[] = {
    /* The model. */
    {{.model = "'type':'Unigram'"}, UNKNOWN, "model.type: \"Unigram\"", "supported: BPE"},
    {{.model = "'type':7"}, BAD, "model.type", "expected a string, found"},
    {{.model = "'vocab':[]"}, BAD, "model.vocab", "expected an object, found an array"},
    {{.model = "'vocab':{'a':-1}"}, BAD, "model.vocab: \"a\"", "from 0 to"},
    {{.model = "'vocab':{'a':70000}"}, BAD, "model.vocab: \"a\"", "from 0 to 65543"},
    {{.model = "'vocab':{'a':4294967296}"}, BAD, "model.vocab: \"a\"", "from 0 to"},
    {{.model = "'vocab':{'a':1.5}"}, BAD, "model.vocab: \"a\"", "from 0 to"},
    {{.model = "'vocab':{'a':'1'}"}, BAD, "model.vocab: \"a\"", "from 0 to"},
    {{.model = "'vocab':{'a':1,'b':1}"}, BAD, "model.vocab: \"b\"", "same id"},
    {{.model = "'vocab':{'a':1,'a':2}"}, BAD, "model.vocab: \"a\"", "stands twice"},
    {{.model = "'merges':{}"}, BAD, "model.merges", "expected an array"},
    {{.model = "'merges':['ab']"}, BAD, "model.merges[0]", "expected \"a b\""},
    {{.model = "'merges':['h e','a b c']"}, BAD, "model.merges[1]", "expected \"a b\""},
    {{.model = "'merges':[['a','b','c']]"}, BAD, "model.merges[0]", "expected \"a b\""},
    {{.model = "'merges':[['a',1]]"}, BAD, "model.merges[0]", "expected \"a b\""},
    {{.model = "'merges':['a zz']"}, BAD, "model.merges[0]", "lacks \"zz\""},
    {{.model = "'merges':['a c']"}, BAD, "model.merges[0]", "lacks \"ac\""},
    {{.model = "'unk_token':'none'"}, BAD, "model.unk_token", "a token of model.vocab"},
    {{.model = "'unk_token':3"}, BAD, "model.unk_token", "a token of model.vocab"},
    {{.model = "'dropout':0.1"}, UNKNOWN, "model.dropout", "expected null or 0"},
    {{.model = "'end_of_word_suffix':'</w>'"}, UNKNOWN, "model.end_of_word_suffix", "expected"},
    {{.model = "'continuing_subword_prefix':'##'"}, UNKNOWN, "continuing_subword_prefix", ""},
    {{.model = "'ignore_merges':1"}, BAD, "ignore_merges", ""},
    /* Lists of components. */
    {{.normalizer = "{'type':'BertNormalizer'}"},
     UNKNOWN,
     "normalizer.type: \"BertNormalizer\"",
     "supported: "},
    {{.normalizer = "{'type':'Sequence','normalizers':[{'type':'NFC'},{'type':'Precompiled'}]}"},
     UNKNOWN,
     "normalizer.normalizers[1].type: \"Precompiled\"",
     "NFC"},
    {{.normalizer = "[]"}, BAD, "normalizer", "expected an object, found an array"},
    {{.normalizer = "{}"}, BAD, "normalizer.type", "expected a string, found nothing"},
    {{.normalizer = "{'type':'Sequence'}"}, BAD, "normalizer.normalizers", "an array"},
    {{.pre_tokenizer = "{'type':'BertPreTokenizer'}"}, UNKNOWN, "BertPreTokenizer", "Split"},
    {{.pre_tokenizer = "{'type':'ByteLevel'}"}, BAD, "pre_tokenizer", "add_prefix_space"},
    {{.pre_tokenizer = "{'type':'Metaspace','replacement':'ab'}"},
     BAD,
     "pre_tokenizer.replacement",
     "one character"},
    {{.pre_tokenizer = "{'type':'Metaspace','replacement':''}"}, BAD, "replacement", "character"},
    {{.pre_tokenizer = "{'type':'Metaspace','replacement':'_','prepend_scheme':'often'}"},
     UNKNOWN,
     "prepend_scheme: \"often\"",
     "never, first, always"},
    {{.pre_tokenizer = "{'type':'Metaspace','replacement':'_','prepend_scheme':'always',"
                       "'add_prefix_space':false}"},
     UNKNOWN,
     "prepend_scheme: \"always\"",
     "add_prefix_space is false"},
    {{.pre_tokenizer = "{'type':'Digits'}"}, BAD, "pre_tokenizer", "individual_digits"},
    {{.pre_tokenizer = "{'type':'Split','pattern':'a','behavior':'Removed','invert':false}"},
     BAD,
     "pre_tokenizer.pattern",
     "Regex"},
    {{.pre_tokenizer = SPLIT("{'String':'a'}", "Sideways", "false")},
     UNKNOWN,
     "behavior: \"Sideways\"",
     "MergedWithNext"},
    {{.pre_tokenizer = SPLIT("{'String':'a'}", "Removed", "1")}, BAD, "invert", ""},
    {{.normalizer = "{'type':'Replace','content':'a','pattern':'b'}"},
     BAD,
     "normalizer.pattern",
     "Regex"},
    {{.normalizer = "{'type':'Prepend'}"}, BAD, "normalizer", "prepend"},
    {{.normalizer = "{'type':'Strip','strip_left':1}"}, BAD, "normalizer", "strip_left"},
    {{.normalizer = "{'type':'Strip','strip_left':true,'strip_right':true}",
      .added_tokens = "[{'content':' ','normalized':true}]"},
     BAD,
     "added_tokens: \" \"",
     "empty after normalization"},
    {{.post_processor = "{'type':'RobertaProcessing','add_prefix_space':false,"
                        "'trim_offsets':false,'cls':['x',1],'sep':['y',99999]}"},
     BAD,
     "post_processor.sep",
     "its id"},
    {{.decoder = "{'type':'Strip','content':'ab','start':0,'stop':0}"}, BAD, "decoder.content", ""},
    {{.decoder = "{'type':'Strip','content':'a','start':-1,'stop':0}"}, BAD, "decoder", "start"},
    {{.decoder = "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'CTC'}]}"},
     UNKNOWN,
     "decoder.decoders[1].type: \"CTC\"",
     "ByteFallback"},
    {{.post_processor = "{'type':'Sequence','processors':[" SINGLE "," SINGLE "]}"},
     UNKNOWN,
     "post_processor.processors[1]",
     "a second post-processor that adds tokens"},
    {{.post_processor = "{'type':'BertProcessing'}"}, UNKNOWN, "BertProcessing", "Template"},
    {{.post_processor = "{'type':'TemplateProcessing','single':[],'special_tokens':{}}"},
     UNKNOWN,
     "post_processor.single",
     "the sequence A, once"},
    {{.post_processor = "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B'}},"
                        "{'Sequence':{'id':'A'}}],'special_tokens':{}}"},
     BAD,
     "special_tokens",
     "\"B\""},
    {{.post_processor = "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B'}},"
                        "{'Sequence':{'id':'A'}}],'special_tokens':{'B':{'ids':[99999]}}}"},
     BAD,
     "special_tokens: \"B\"",
     "ids of tokens"},
    {{.decoder = "{'type':'WordPiece'}"}, UNKNOWN, "decoder.type: \"WordPiece\"", "ByteLevel"},
    /* Added tokens. */
    {{.added_tokens = "{}"}, BAD, "added_tokens", "expected an array"},
    {{.added_tokens = "[1]"}, BAD, "added_tokens[0]", "expected an object"},
    {{.added_tokens = "[{'content':1}]"}, BAD, "added_tokens[0]", "content"},
    {{.added_tokens = "[{'content':'a','lstrip':'no'}]"}, BAD, "added_tokens[0]", "lstrip"},
    {{.added_tokens = "[{'content':'new'}]", .model = "'vocab':{'a':0,'b':2},'merges':[]"},
     BAD,
     "added_tokens[0]: \"new\"",
     "would get id 2"},
    /* Regular expressions. */
    {{.pre_tokenizer = REGEX("(a")}, UNKNOWN, "pretokenizers[0]", "a group without its end"},
    {{.pre_tokenizer = REGEX("a)")}, UNKNOWN, "pretokenizers[0]", "closes nothing"},
    {{.pre_tokenizer = REGEX("[a")}, UNKNOWN, "pretokenizers[0]", "a class without its end"},
    {{.pre_tokenizer = REGEX("[a[b]]")}, UNKNOWN, "pretokenizers[0]", "a class inside a class"},
    {{.pre_tokenizer = REGEX("[a&&b]")}, UNKNOWN, "pretokenizers[0]", "an intersection"},
    {{.pre_tokenizer = REGEX("*a")}, UNKNOWN, "pretokenizers[0]", "nothing to repeat"},
    {{.pre_tokenizer = REGEX("(*UTF)a")}, UNKNOWN, "pretokenizers[0]", "star"},
    {{.pre_tokenizer = REGEX("(?<n>a)")}, UNKNOWN, "pretokenizers[0]", "this kind of group"},
    {{.pre_tokenizer = REGEX("a(?i)b")}, UNKNOWN, "pretokenizers[0]", "middle of an alternative"},
    {{.pre_tokenizer = REGEX("(a)\\\\1")}, UNKNOWN, "pretokenizers[0]", "this escape"},
    {{.pre_tokenizer = REGEX("\\\\p{Nonsense}")}, BAD, "pretokenizers[0]", "property"},
    {{.pre_tokenizer = REGEX("[z-a]")}, BAD, "pretokenizers[0]", "range out of order"},
    {{.pre_tokenizer = REGEX("((a{65000}){65000}){65000}")}, BAD, "pretokenizers[0]", "large"},
};

static void test_bad_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const bad_file *row = &bad_files[i];
        tokenizer *t;
        assert_fails(parts_open(&t, &row->parts, &test_error), row->status,
                     "tokenizer.json: ", row->where, row->what);
        assert_null(t);
    }
}

static void test_no_model(void **state) {
    (void)state;
    static const char *const texts[] = {"{}", "[]", "{\"model\":null}", "{\"model\":{}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_document *document;
        tokenizer *t;
        assert_ok(json_parse(&document, texts[i], strlen(texts[i]), "x.json", &test_error));
        assert_fails(tokenizer_load(&t, json_root(document), "x.json", &test_error), BAD,
                     "x.json: ", "expected");
        assert_null(t);
        json_close(document);
    }
}

static void test_open(void **state) {
    (void)state;
    tokenizer *t;
    char *folder = test_folder_make();
    assert_fails(tokenizer_open(&t, folder, &test_error), C2C_STATUS_NOT_FOUND, folder,
                 "tokenizer.json");
    test_file_write(folder, "tokenizer.json", "{\"model\":", 9);
    assert_fails(tokenizer_open(&t, folder, &test_error), BAD, folder, "tokenizer.json", "line 1");
    parts p = {.pre_tokenizer = BYTES};
    buffer text = parts_json(&p);
    test_file_write(folder, "tokenizer.json", text.data, text.length);
    assert_ok(tokenizer_open(&t, folder, &test_error));
    tokenizer_close(t);
    buffer_free(&text);
    test_folder_remove(folder);
}

/* A pattern that would try 2^5000 ways is given up, and says so. */
static void test_endless_pattern(void **state) {
    (void)state;
    tokenizer *t;
    token_list tokens = {0};
    parts p = {.pre_tokenizer = REGEX("(?:x+x+)+[yz]")};
    assert_ok(parts_open(&t, &p, &test_error));
    char text[5000];
    memset(text, 'x', sizeof text);
    assert_fails(tokenizer_encode(t, text, sizeof text, false, &tokens, &test_error), UNKNOWN,
                 "tokenizer.json", "gave up", "limit");
    assert_int_equal(tokens.count, 0);
    token_list_free(&tokens);
    tokenizer_close(t);
}

/* Components may nest, but not without end. */
static void test_too_many_components(void **state) {
    (void)state;
    tokenizer *t;
    buffer list = {0};
    buffer_append_text(&list, "{'type':'Sequence','normalizers':[" NFC);
    for (int i = 0; i < COMPONENT_LIMIT; i++)
        buffer_append_text(&list, "," NFC);
    buffer_append_text(&list, "]}");
    parts p = {.normalizer = list.data};
    assert_fails(parts_open(&t, &p, &test_error), UNKNOWN, "normalizer.normalizers[64]", "64");
    buffer_free(&list);
}

/* A text that each of eight steps makes sixteen times as long. */
static void test_growth(void **state) {
    (void)state;
    tokenizer *t;
    token_list tokens = {0};
    buffer steps = {0}, list = {0}, out = {0};
    for (int i = 0; i < 8; i++)
        buffer_printf(&steps, "%s{'type':'Replace','pattern':{'String':'a'},'content':'%s'}",
                      i > 0 ? "," : "", "aaaaaaaaaaaaaaaa");
    buffer_printf(&list, "{'type':'Sequence','normalizers':[%s],'decoders':[%s]}", steps.data,
                  steps.data);
    parts p = {.normalizer = list.data, .decoder = list.data, .pre_tokenizer = BYTES};
    assert_ok(parts_open(&t, &p, &test_error));
    assert_fails(tokenizer_encode(t, "bab", 3, false, &tokens, &test_error), UNKNOWN,
                 "tokenizer.json: normalizer", "3 bytes", "grew");
    const int32_t ids[] = {'b', 'a', 'b'};
    assert_fails(tokenizer_decode(t, ids, 3, false, &out, &test_error), UNKNOWN,
                 "tokenizer.json: decoder", "tokens of 2");
    assert_int_equal(tokens.count, 0);
    token_list_free(&tokens);
    tokenizer_close(t);
    buffer_free(&steps);
    buffer_free(&list);
    buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_endless_pattern),
        cmocka_unit_test(test_too_many_components),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
