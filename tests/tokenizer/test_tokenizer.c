/* test_tokenizer.c - what each part of a tokenizer.json does, on small tokenizers made here. The
 * expected ids and offsets were computed with Hugging Face tokenizers from the same JSON. */
#include "tokenizer_parts.h"

#define TRIM(added) "{'type':'ByteLevel','add_prefix_space':" added ",'trim_offsets':true}"
#define TEMPLATE                                                                                   \
    "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B','type_id':0}},"              \
    "{'Sequence':{'id':'A','type_id':0}},{'SpecialToken':{'id':'E','type_id':0}}],'pair':[],"      \
    "'special_tokens':{'B':{'id':'B','ids':[1],'tokens':['x']},"                                   \
    "'E':{'id':'E','ids':[2,3],'tokens':['y','z']}}}"

/* Whole words only: a token for everything that "12 ab--12" may be cut into. */
#define SPLIT_MODEL                                                                                \
    "'ignore_merges':true,'merges':[],'vocab':{'-':0,'1':1,'2':2,' ':3,'a':4,'b':5,'12':6,'ab':7," \
    "'--':8,'12 ab':9,'12 ab-':10,'--12':11,'-12':12,' ab':13,' ab-':14,'12 ':15,' ab--':16,"      \
    "'Ġ':17,'Ġab':18,'12Ġ':19,'Ġab-':20,'12Ġab':21,'12Ġab-':22,'Ġab--':23,'ab--':24,'ab-':25}"

/* The same for other ways of cutting, with a mark for spaces. */
#define WORD_MODEL                                                                                    \
    "'ignore_merges':true,'merges':[],'vocab':{'▁':0,'▁ab':1,'ab':2,'▁b':3,'b':4,'1':5,'12':6," \
    "'!':7,'a':8,'a1':9,'b12':10,'▁▁':11,'x':12}"

/* Words of characters whose neighbours are seldom in one token; the vocabulary is left open. */
#define SEAM_MODEL                                                                                 \
    "'vocab':{'▁':0,'a':1,'b':2,'ab':3,'▁a':4,'▁ab':5,'中':6,'文':7,'中文':8,'<0x0A>':9"

/* ---- Encoding ----------------------------------------------------------------------------- */

typedef struct encoding {
    const char *name;
    const char *normalizer, *pre_tokenizer, *post_processor, *added_tokens, *model;
    const char *text;
    bool add_special;
    const char *expected; /* "id:start-end ..." */
} encoding;

static const encoding encodings[] = {
    {"bytes and merges", .pre_tokenizer = BYTES, .text = "hello world",
     .expected = "259:0-5 262:5-9 108:9-10 100:10-11"},
    {"words of GPT-2", .pre_tokenizer = WORDS, .text = "hello world 12",
     .expected = "259:0-5 262:5-9 108:9-10 100:10-11 32:11-12 263:12-14"},
    {"a part of a character stands for all of it", .pre_tokenizer = BYTES, .text = "é中",
     .expected = "264:0-1 228:1-2 184:1-2 173:1-2"},
    {"equal ranks from the left", .pre_tokenizer = BYTES, .text = "lll",
     .expected = "257:0-2 108:2-3"},
    {"merges of merges", .pre_tokenizer = BYTES, .text = "ababab", .expected = "267:0-4 266:4-6"},
    {"a space before the text", .pre_tokenizer = SPACED, .text = "hello world",
     .expected = "32:0-1 259:0-5 262:5-9 108:9-10 100:10-11"},
    {"no second space", .pre_tokenizer = SPACED, .text = " hello", .expected = "32:0-1 259:1-6"},
    {"whole words pass merges", .pre_tokenizer = WORDS, .model = "'ignore_merges':true",
     .text = " world hello", .expected = "268:0-6 32:6-7 259:7-12"},
    {"merges as pairs", .pre_tokenizer = BYTES, .model = "'merges':[['h','e'],['l','l']]",
     .text = "hello", .expected = "256:0-2 257:2-4 111:4-5"},
    {"equal pairs: the last rank",
     .model = "'vocab':{'a':0,'b':1,'c':2,'ab':3,'bc':4},'merges':['a b','b c','a b']",
     .text = "abc", .expected = "0:0-1 4:1-3"},
    {"composed", .normalizer = NFC, .pre_tokenizer = BYTES, .text = "xe\xcc\x81y",
     .expected = "120:0-1 264:1-2 121:3-4"},
    {"not composed", .pre_tokenizer = BYTES, .text = "e\xcc\x81",
     .expected = "101:0-1 204:1-2 129:1-2"},
    {"marks in order of class", .normalizer = NFC, .pre_tokenizer = BYTES,
     .text = "q\xcc\x87\xcc\xa3x", .expected = "113:0-1 204:1-2 163:1-2 204:2-3 135:2-3 120:3-4"},
    {"composed past a mark", .normalizer = NFC, .pre_tokenizer = BYTES,
     .text = "e\xcc\xa3\xcc\x81x", .expected = "225:0-1 186:0-1 185:0-1 204:2-3 129:2-3 120:3-4"},
    {"one character becomes two", .normalizer = NFC, .pre_tokenizer = BYTES, .text = "\xcd\x84x",
     .expected = "204:0-1 136:0-1 204:0-1 129:0-1 120:1-2"},
    {"Hangul", .normalizer = NFC, .pre_tokenizer = BYTES,
     .text = "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8x",
     .expected = "234:0-1 176:0-1 129:0-1 120:3-4"},
    {"singleton", .normalizer = NFC, .pre_tokenizer = BYTES, .text = "\xe2\x84\xabx",
     .expected = "195:0-1 133:0-1 120:1-2"},
    {"normalizers in sequence",
     .normalizer = "{'type':'Sequence','normalizers':[{'type':'NFC'},{'type':'NFC'}]}",
     .pre_tokenizer = BYTES, .text = "e\xcc\x81", .expected = "264:0-1"},
    {"Isolated", .pre_tokenizer = SPLIT("{'String':'-'}", "Isolated", "false"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "21:0-5 0:5-6 0:6-7 6:7-9"},
    {"Isolated, inverted", .pre_tokenizer = SPLIT("{'Regex':'[a-z0-9]+'}", "Isolated", "true"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "6:0-2 17:2-3 7:3-5 8:5-7 6:7-9"},
    {"Removed", .pre_tokenizer = SPLIT("{'String':'-'}", "Removed", "false"), .model = SPLIT_MODEL,
     .text = "12 ab--12", .expected = "21:0-5 6:7-9"},
    {"Removed, inverted", .pre_tokenizer = SPLIT("{'Regex':'[a-z0-9]+'}", "Removed", "true"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "6:0-2 7:3-5 6:7-9"},
    {"MergedWithPrevious", .pre_tokenizer = SPLIT("{'String':'-'}", "MergedWithPrevious", "false"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "22:0-6 0:6-7 6:7-9"},
    {"MergedWithPrevious, inverted",
     .pre_tokenizer = SPLIT("{'Regex':'[a-z0-9]+'}", "MergedWithPrevious", "true"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "19:0-3 24:3-7 6:7-9"},
    {"MergedWithNext", .pre_tokenizer = SPLIT("{'String':'-'}", "MergedWithNext", "false"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "21:0-5 0:5-6 12:6-9"},
    {"MergedWithNext, inverted",
     .pre_tokenizer = SPLIT("{'Regex':'[a-z0-9]+'}", "MergedWithNext", "true"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "6:0-2 18:2-5 11:5-9"},
    {"Contiguous", .pre_tokenizer = SPLIT("{'String':'-'}", "Contiguous", "false"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "21:0-5 8:5-7 6:7-9"},
    {"Contiguous, inverted", .pre_tokenizer = SPLIT("{'Regex':'[a-z0-9]+'}", "Contiguous", "true"),
     .model = SPLIT_MODEL, .text = "12 ab--12", .expected = "6:0-2 17:2-3 7:3-5 8:5-7 6:7-9"},
    {"an empty literal matches everywhere",
     .pre_tokenizer = SPLIT("{'String':''}", "Isolated", "false"), .text = "abab",
     .expected = "97:0-1 98:1-2 97:2-3 98:3-4"},
    {"two splits",
     .pre_tokenizer = "{'type':'Sequence','pretokenizers':[{'type':'Split','pattern':{'Regex':'[0-"
                      "9]'},'behavior':'Isolated','invert':false},{'type':'Split','pattern':{'"
                      "String':' '},'behavior':'Removed','invert':false}," BYTES "]}",
     .text = "12ab 12", .expected = "49:0-1 50:1-2 266:2-4 49:5-6 50:6-7"},
    {"an interval with a plus repeats",
     .pre_tokenizer = SPLIT("{'Regex':'[0-9]{1,2}+'}", "Removed", "false"), .text = "1212 12",
     .expected = "32:4-5"},
    {"U+180E is no space", .pre_tokenizer = SPLIT("{'Regex':'\\\\s'}", "Removed", "false"),
     .text = "a\xe1\xa0\x8e"
             "b c",
     .expected = "97:0-1 225:1-2 160:1-2 142:1-2 98:2-3 99:4-5"},
    {"h is hexadecimal", .pre_tokenizer = SPLIT("{'Regex':'\\\\h+'}", "Removed", "false"),
     .text = "af g", .expected = "32:2-3 103:3-4"},
    {"any case", .pre_tokenizer = SPLIT("{'Regex':'(?i:\\u0027s)'}", "Removed", "false"),
     .text = "'S's", .expected = ""},
    {"an added token", .pre_tokenizer = BYTES, .added_tokens = "[{'content':'<x>'}]",
     .text = "ab<x>ab", .expected = "266:0-2 269:2-5 266:5-7"},
    {"the longest", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'<x>'},{'content':'<x><x>'},{'content':'x>y'}]",
     .text = "<x><x>y", .expected = "270:0-6 121:6-7"},
    {"the leftmost", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'a<x'},{'content':'<x>y'}]", .text = "a<x>y",
     .expected = "269:0-3 62:3-4 121:4-5"},
    {"left white space", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'<x>','lstrip':true}]", .text = "ab  <x> ab",
     .expected = "266:0-2 269:2-7 32:7-8 266:8-10"},
    {"right white space", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'<x>','rstrip':true}]",
     .text = "ab <x> \xe3\x80\x80"
             "ab",
     .expected = "266:0-2 32:2-3 269:3-8 266:8-10"},
    {"both, one after the other", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'<x>','lstrip':true,'rstrip':true}]", .text = " <x> <x> ",
     .expected = "269:0-5 269:5-9"},
    {"single words", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'ab','single_word':true}]", .text = "ab abab aba ab",
     .expected = "266:0-2 32:2-3 267:3-7 32:7-8 266:8-10 97:10-11 32:11-12 266:12-14"},
    {"single words beside a mark", .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'ab','single_word':true}]", .text = "ab_ ab\xcc\x81 ab-",
     .expected = "266:0-2 95:2-3 32:3-4 266:4-6 204:6-7 129:6-7 32:7-8 266:8-10 45:10-11"},
    {"normalized token", .normalizer = NFC, .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'e\xcc\x81','normalized':true}]", .text = "e\xcc\x81 é",
     .expected = "269:0-1 32:2-3 269:3-4"},
    {"token as it is", .normalizer = NFC, .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'e\xcc\x81'}]", .text = "e\xcc\x81 é",
     .expected = "269:0-2 32:2-3 264:3-4"},
    {"a token of the model", .pre_tokenizer = BYTES,
     .added_tokens = "[{'id':263,'content':'12','special':true}]", .text = "hello12",
     .expected = "259:0-5 263:5-7"},
    {"of equal patterns the special one", .normalizer = NFC, .pre_tokenizer = BYTES,
     .added_tokens = "[{'content':'é','normalized':true},{'content':'e\xcc\x81','special':true,'"
                     "normalized':true}]",
     .text = "é", .expected = "269:0-1"},
    {"ids are given, not read", .pre_tokenizer = BYTES,
     .added_tokens = "[{'id':9,'content':'<y>'},{'id':9,'content':'<x>'}]", .text = "<x><y>",
     .expected = "270:0-3 269:3-6"},
    {"no token for a token", .pre_tokenizer = BYTES, .added_tokens = "[{'content':''}]",
     .text = "x", .expected = "120:0-1"},
    {"decomposed", .normalizer = "{'type':'NFD'}", .pre_tokenizer = BYTES, .text = "é",
     .expected = "101:0-1 204:0-1 129:0-1"},
    {"compatible, composed", .normalizer = "{'type':'NFKC'}", .pre_tokenizer = BYTES,
     .text = "ﬁx ① e\xcc\x81", .expected = "102:0-1 105:0-1 120:1-2 32:2-3 49:3-4 32:4-5 264:5-6"},
    {"compatible, decomposed", .normalizer = "{'type':'NFKD'}", .pre_tokenizer = BYTES,
     .text = "ﬁé", .expected = "102:0-1 105:0-1 101:1-2 204:1-2 129:1-2"},
    {"lower case", .normalizer = "{'type':'Lowercase'}", .pre_tokenizer = BYTES, .text = "HELLO İx",
     .expected = "259:0-5 32:5-6 105:6-7 204:6-7 135:6-7 120:7-8"},
    {"prepended", .normalizer = "{'type':'Prepend','prepend':'ab'}", .pre_tokenizer = BYTES,
     .text = "中b", .expected = "266:0-1 228:0-1 184:0-1 173:0-1 98:1-2"},
    {"prepended to each part", .normalizer = "{'type':'Prepend','prepend':'a'}",
     .pre_tokenizer = BYTES, .added_tokens = "[{'content':'<x>'}]", .text = "b<x>b",
     .expected = "266:0-1 269:1-4 266:4-5"},
    {"replaced", .normalizer = "{'type':'Replace','pattern':{'Regex':' +'},'content':'12'}",
     .pre_tokenizer = BYTES, .text = "a  b", .expected = "97:0-1 263:2-3 98:3-4"},
    {"replaced by nothing",
     .normalizer = "{'type':'Replace','pattern':{'String':' '},'content':''}",
     .pre_tokenizer = BYTES, .text = "a b", .expected = "266:0-3"},
    {"replaced, a literal",
     .normalizer = "{'type':'Replace','pattern':{'String':'.'},'content':'é'}",
     .pre_tokenizer = BYTES, .text = "a.b", .expected = "97:0-1 264:1-2 98:2-3"},
    {"stripped", .normalizer = "{'type':'Strip','strip_left':true,'strip_right':true}",
     .pre_tokenizer = BYTES,
     .text = " \xe3\x80\x80"
             "ab ",
     .expected = "266:2-4"},
    {"stripped on the left", .normalizer = "{'type':'Strip','strip_left':true,'strip_right':false}",
     .pre_tokenizer = BYTES, .text = " ab ", .expected = "266:1-3 32:3-4"},
    {"nothing is left",
     .normalizer = "{'type':'Sequence','normalizers':[{'type':'Strip','strip_left':true,'strip_"
                   "right':true},{'type':'Prepend','prepend':'a'}]}",
     .pre_tokenizer = BYTES, .text = "   ", .expected = ""},
    {"as Llama 2",
     .normalizer = "{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'▁'},{'type':'"
                   "Replace','pattern':{'String':' '},'content':'▁'}]}",
     .model = "'vocab':{'a':0,'b':1,'▁':2,'▁a':3,'▁▁':4,'▁ab':5},'merges':['▁ a','▁ ▁','▁a b']",
     .text = "ab  b", .expected = "5:0-2 4:2-4 1:4-5"},
    {"Metaspace, always",
     .pre_tokenizer =
         "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':true}",
     .added_tokens = "[{'content':'<x>'}]", .model = WORD_MODEL, .text = "ab b<x>ab  b",
     .expected = "1:0-2 3:2-4 13:4-7 1:7-9 0:9-10 3:10-12"},
    {"Metaspace, never",
     .pre_tokenizer =
         "{'type':'Metaspace','replacement':'▁','prepend_scheme':'never','split':true}",
     .added_tokens = "[{'content':'<x>'}]", .model = WORD_MODEL, .text = "ab b<x>ab  b",
     .expected = "2:0-2 3:2-4 13:4-7 2:7-9 0:9-10 3:10-12"},
    {"Metaspace, first",
     .pre_tokenizer =
         "{'type':'Metaspace','replacement':'▁','prepend_scheme':'first','split':true}",
     .added_tokens = "[{'content':'<x>'}]", .model = WORD_MODEL, .text = "ab b<x>ab  b",
     .expected = "1:0-2 3:2-4 13:4-7 2:7-9 0:9-10 3:10-12"},
    {"Metaspace in one piece",
     .pre_tokenizer =
         "{'type':'Metaspace','replacement':'▁','prepend_scheme':'always','split':false}",
     .model = WORD_MODEL, .text = "ab b", .expected = "0:0-1 8:0-1 4:1-2 0:2-3 4:3-4"},
    {"Metaspace of old files",
     .pre_tokenizer = "{'type':'Metaspace','replacement':'▁','add_prefix_space':true}",
     .model = WORD_MODEL, .text = "ab b", .expected = "1:0-2 3:2-4"},
    {"digits", .pre_tokenizer = "{'type':'Digits','individual_digits':false}", .model = WORD_MODEL,
     .text = "a12b12", .expected = "8:0-1 6:1-3 4:3-4 6:4-6"},
    {"single digits", .pre_tokenizer = "{'type':'Digits','individual_digits':true}",
     .model = WORD_MODEL, .text = "ab12", .expected = "2:0-2 5:2-3"},
    {"white space", .pre_tokenizer = "{'type':'Whitespace'}", .model = WORD_MODEL,
     .text = "ab!! b12", .expected = "2:0-2 7:2-3 7:3-4 10:5-8"},
    {"white space only", .pre_tokenizer = "{'type':'WhitespaceSplit'}", .model = WORD_MODEL,
     .text = "ab! b", .expected = "8:0-1 4:1-2 7:2-3 4:4-5"},
    {"punctuation", .pre_tokenizer = "{'type':'Punctuation'}", .model = WORD_MODEL, .text = "ab!b!",
     .expected = "2:0-2 7:2-3 4:3-4 7:4-5"},
    {"punctuation with what is before",
     .pre_tokenizer = "{'type':'Punctuation','behavior':'MergedWithPrevious'}", .model = WORD_MODEL,
     .text = "ab!b!", .expected = "8:0-1 4:1-2 7:2-3 4:3-4 7:4-5"},
    {"steps after ByteLevel",
     .pre_tokenizer =
         "{'type':'Sequence','pretokenizers':[{'type':'ByteLevel','add_prefix_space':false,'trim_"
         "offsets':true,'use_regex':true},{'type':'Digits','individual_digits':true}]}",
     .text = "é12 ab", .expected = "264:0-1 49:1-2 50:2-3 32:3-4 266:4-6"},
    {"bytes that the model lacks", .pre_tokenizer = BYTES,
     .model = "'vocab':{'a':0,'b':1,'Ã':2,'?':3},'merges':[],'unk_token':'?'", .text = "aéb",
     .expected = "0:0-1 2:1-2 3:1-2 1:2-3"},
    {"Roberta", .pre_tokenizer = WORDS,
     .post_processor = "{'type':'RobertaProcessing','sep':['x',2],'cls':['y',3],'trim_offsets':"
                       "true,'add_prefix_space':false}",
     .text = " ab ab", .add_special = true,
     .expected = "3:0-0 32:1-1 266:1-3 32:4-4 266:4-6 2:0-0"},
    {"Roberta, untrimmed", .pre_tokenizer = WORDS,
     .post_processor = "{'type':'RobertaProcessing','sep':['x',2],'cls':['y',3],'trim_offsets':"
                       "false,'add_prefix_space':false}",
     .text = " ab", .expected = "32:0-1 266:1-3"},
    {"template", .pre_tokenizer = BYTES, .post_processor = TEMPLATE, .text = "ab",
     .add_special = true, .expected = "1:0-0 266:0-2 2:0-0 3:0-0"},
    {"template, not asked for", .pre_tokenizer = BYTES, .post_processor = TEMPLATE, .text = "ab",
     .expected = "266:0-2"},
    {"template of nothing", .pre_tokenizer = BYTES, .post_processor = TEMPLATE, .text = "",
     .add_special = true, .expected = "1:0-0 2:0-0 3:0-0"},
    {"trimmed", .pre_tokenizer = WORDS, .post_processor = TRIM("false"),
     .text = "  hello world ab ",
     .expected = "32:1-1 32:2-2 259:2-7 262:8-11 108:11-12 100:12-13 32:14-14 266:14-16 32:17-17"},
    {"trimmed but for the added space", .pre_tokenizer = SPACED, .post_processor = TRIM("true"),
     .text = "hello world", .expected = "32:0-0 259:0-5 262:6-9 108:9-10 100:10-11"},
    {"trimmed, then the template", .pre_tokenizer = WORDS,
     .post_processor = "{'type':'Sequence','processors':[" TRIM("true") "," TEMPLATE "]}",
     .text = " ab", .add_special = true, .expected = "1:0-0 32:0-0 266:1-3 2:0-0 3:0-0"},
    {"the template, then trimmed", .pre_tokenizer = WORDS,
     .post_processor = "{'type':'Sequence','processors':[" TEMPLATE "," TRIM("true") "]}",
     .text = " ab ab", .add_special = true,
     .expected = "1:0-0 32:0-0 266:1-3 32:4-4 266:4-6 2:0-0 3:0-0"},
    {"trimmed with its white space", .pre_tokenizer = BYTES, .post_processor = TRIM("false"),
     .added_tokens = "[{'content':'<x>','lstrip':true,'rstrip':true}]", .text = "ab <x>  ab",
     .expected = "266:0-2 269:3-6 266:8-10"},
    {"characters, not bytes", .model = "'vocab':{'a':0,'b':1,'中':2,'ab':3},'merges':['a b']",
     .text = "a中b", .expected = "0:0-1 2:1-2 1:2-3"},
    {"unknown gives nothing", .model = "'vocab':{'a':0,'b':1},'merges':[]", .text = "aXb",
     .expected = "0:0-1 1:1-2"},
    {"unknown", .model = "'vocab':{'a':0,'b':1,'?':2},'merges':[],'unk_token':'?'", .text = "aXYb",
     .expected = "0:0-1 2:1-2 2:2-3 1:3-4"},
    {"unknown, fused",
     .model = "'vocab':{'a':0,'b':1,'?':2},'merges':[],'unk_token':'?','fuse_unk':true",
     .text = "aXYbZ", .expected = "0:0-1 2:1-3 1:3-4 2:4-5"},
    {"bytes instead",
     .model = "'vocab':{'a':0,'b':1,'<0xC3>':2,'<0xA9>':3},'merges':[],'byte_fallback':true",
     .text = "aéb", .expected = "0:0-1 2:1-2 3:1-2 1:2-3"},
    {"a literal of several characters",
     .pre_tokenizer = SPLIT("{'String':'aa'}", "Removed", "false"), .text = "aaab aa",
     .expected = "266:2-4 32:4-5"},
    {"a literal of several bytes",
     .pre_tokenizer = SPLIT("{'String':'中é'}", "MergedWithNext", "false"), .text = "é中中é",
     .expected = "264:0-1 228:1-2 184:1-2 173:1-2 228:2-3 184:2-3 173:2-3 264:3-4"},
    {"a literal that the text's end cuts off",
     .pre_tokenizer = SPLIT("{'String':'xab xab'}", "Removed", "false"), .text = "xab xa",
     .expected = "120:0-1 266:1-3 32:3-4 120:4-5 97:5-6"},
    {"a literal replaced around an added token",
     .normalizer = "{'type':'Replace','pattern':{'String':'ab'},'content':'é'}",
     .pre_tokenizer = BYTES, .added_tokens = "[{'content':'<x>'}]", .text = "ab<x>ab",
     .expected = "264:1-2 269:2-5 264:6-7"},
    {"what is put in is not searched again",
     .normalizer = "{'type':'Replace','pattern':{'String':'ab'},'content':'b a'}",
     .pre_tokenizer = BYTES, .text = "aab", .expected = "266:0-3 32:2-3 97:2-3"},
    /* Seams: see bpe_seams.c. */
    {"cut where nothing merges", .model = SEAM_MODEL "},'merges':['a b','▁ ab','中 文']",
     .text = "ab▁ab▁中文中a中", .expected = "3:0-2 5:2-5 0:5-6 8:6-8 6:8-9 1:9-10 6:10-11"},
    {"not cut beside an unknown",
     .model = SEAM_MODEL ",'?':10},'merges':['a b','▁ a','中 文'],'unk_token':'?','fuse_unk':true",
     .text = "aX中文Xb▁a", .expected = "1:0-1 10:1-2 8:2-4 10:4-5 2:5-6 4:6-8"},
    {"not cut behind what gives nothing", .model = SEAM_MODEL "},'merges':['a b','▁ ab','中 文']",
     .text = "中X文a中文", .expected = "8:0-3 1:2-3 8:3-6"},
    {"a whole word, but not a part of one",
     .model = "'vocab':{'中':0,'文':1,'中文中':2,'中文':3},'merges':['中 文'],'ignore_merges':true",
     .text = "文中文中", .expected = "1:0-1 3:1-3 0:3-4"},
    {"the whole word",
     .model = "'vocab':{'中':0,'文':1,'中文中':2,'中文':3},'merges':['中 文'],'ignore_merges':true",
     .text = "中文中", .expected = "2:0-3"},
    {"bytes pass an unknown",
     .model = "'vocab':{'a':0,'b':1,'<0xC3>':2,'<0xA9>':3,'?':4},'merges':[],'byte_fallback':true,'"
              "unk_token':'?'",
     .text = "aXéb", .expected = "0:0-1 2:1-2 3:2-3 4:2-3 1:3-4"},
};

static void check_encoding(const encoding *row) {
    tokenizer *t;
    token_list tokens = {0};
    buffer got = {0};
    parts p = {.normalizer = row->normalizer,
               .pre_tokenizer = row->pre_tokenizer,
               .post_processor = row->post_processor,
               .added_tokens = row->added_tokens,
               .model = row->model};
    if (parts_open(&t, &p, &test_error) != C2C_STATUS_OK)
        fail_msg("%s: %s", row->name, test_error.message);
    assert_ok(
        tokenizer_encode(t, row->text, strlen(row->text), row->add_special, &tokens, &test_error));
    buffer_append_text(&got, "");
    for (size_t i = 0; i < tokens.count; i++)
        buffer_printf(&got, "%s%d:%d-%d", i > 0 ? " " : "", tokens.items[i].id,
                      tokens.items[i].start, tokens.items[i].end);
    if (strcmp(got.data, row->expected) != 0)
        fail_msg("%s: expected %s, got %s", row->name, row->expected, got.data);
    token_list_free(&tokens);
    buffer_free(&got);
    tokenizer_close(t);
}

static void test_encode(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        check_encoding(&encodings[i]);
}

/* Tokens are appended; a failure takes back what it had appended. */
static void test_append(void **state) {
    (void)state;
    tokenizer *t;
    token_list tokens = {0};
    parts p = {.pre_tokenizer = BYTES, .post_processor = TEMPLATE};
    assert_ok(parts_open(&t, &p, &test_error));
    assert_ok(tokenizer_encode(t, "ab", 2, true, &tokens, &test_error));
    assert_ok(tokenizer_encode(t, "\xc3\xa9x", 3, true, &tokens, &test_error));
    const int32_t expected[] = {1, 266, 2, 3, 1, 264, 'x', 2, 3};
    assert_int_equal(tokens.count, 9);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(tokens.items[i].id, expected[i]);
    assert_int_equal(tokens.items[6].start, 1);
    assert_fails(tokenizer_encode(t, "ab\xff", 3, true, &tokens, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "text", "UTF-8", "byte 2");
    assert_int_equal(tokens.count, 9);
    token_list_free(&tokens);
    tokenizer_close(t);
}

/* ---- Ids and texts ------------------------------------------------------------------------ */

static void test_find(void **state) {
    (void)state;
    tokenizer *t;
    parts p = {.added_tokens = "[{'content':'<x>'},{'content':'<s>','special':true}]"};
    assert_ok(parts_open(&t, &p, &test_error));
    assert_int_equal(tokenizer_vocabulary_size(t), 271);
    assert_int_equal(tokenizer_find(t, "hello", 5), 259);
    assert_int_equal(tokenizer_find(t, "<s>", 3), 270);
    assert_int_equal(tokenizer_find(t, "none", 4), -1);
    assert_int_equal(tokenizer_find(t, "", 0), -1);
    assert_true(tokenizer_is_special(t, 270));
    assert_false(tokenizer_is_special(t, 269));
    assert_false(tokenizer_is_special(t, -1));
    assert_false(tokenizer_is_special(t, 271));
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
