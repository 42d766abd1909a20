/* test_digest.c - the digests are the published ones (RFC 1321, FIPS 180-4). */
#include "support/test.h"

static void assert_digest(const uint8_t *digest, size_t size, const char *expected) {
    char text[2 * DIGEST_SHA256 + 1];
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, expected);
}

static void test_digests(void **state) {
    (void)state;
    uint8_t md5[DIGEST_MD5], sha256[DIGEST_SHA256];
    digest_md5(md5, "abc", 3);
    assert_digest(md5, sizeof md5, "900150983cd24fb0d6963f7d28e17f72");
    digest_sha256(sha256, "abc", 3);
    assert_digest(sha256, sizeof sha256,
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_sha256(sha256, "", 0);
    assert_digest(sha256, sizeof sha256,
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_digests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
