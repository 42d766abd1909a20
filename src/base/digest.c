/* digest.c - MD5 and SHA-256 of bytes in memory, where a file format or a data split is defined by
 * them. Neither guards anything here. The digests themselves are libmd's. */
#include "base/base.h"

#include <md5.h>
#include <sha2.h>

_Static_assert(DIGEST_MD5 == MD5_DIGEST_LENGTH && DIGEST_SHA256 == SHA256_DIGEST_LENGTH,
               "sizes of digests");

void digest_md5(uint8_t digest[DIGEST_MD5], const void *bytes, size_t length) {
    MD5_CTX context;
    MD5Init(&context);
    MD5Update(&context, bytes, length);
    MD5Final(digest, &context);
}

void digest_sha256(uint8_t digest[DIGEST_SHA256], const void *bytes, size_t length) {
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, bytes, length);
    SHA256Final(digest, &context);
}
