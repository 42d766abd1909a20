/* align_rules.h - whether an alignment follows the rules of docs/MATH.md, without knowing what any
 * other program makes of the chat. */
#ifndef C2C_ALIGN_RULES_H
#define C2C_ALIGN_RULES_H

#include "fuser/fuser.h"

/* NULL when every rule holds, else the rule that is broken (a text that lives until the next call):
 * rows of one length; sections that fill them, masks in turn; no padding in a content, and padding
 * only at the end of a template part; the receiver's tokens are its rendering, the sharers' tokens
 * between the contents are theirs; a content of the receiver is the message's text, or what is left
 * of it when white space around it is cut. */
const char *align_rules_broken(const c2c_alignment *a, const c2c_model *receiver,
                               const c2c_model *const *sharers, const c2c_message *messages,
                               size_t message_count, const c2c_align_options *options);

#endif
