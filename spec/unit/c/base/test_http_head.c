/* What a request's head says: where it goes, and who may send it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "http/guard.h"
#include "http/target.h"

static void assert_part(http_part part, const char *text)
{
    assert_int_equal(part.len, strlen(text));
    assert_memory_equal(part.text, text, part.len);
}

static void targets_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *authority, *path, *query;
    } good[] = {{"/", "", "/", ""},
                {"/a%2Fb?x=1?y", "", "/a%2Fb", "x=1?y"},
                {"http://h:1/x?", "h:1", "/x", ""},
                {"HTTPS://h?q", "h", "/", "q"},
                {"http://h", "h", "/", ""}};
    static const char *const bad[] = {"",         "*",  "a/b",   "http://", "http:///x",
                                      "ftp://h/", "/ ", "/\x7f", "/\n",     "/a#b"};
    http_target target;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(http_target_split(good[i].text, &target));
        assert_part(target.authority, good[i].authority);
        assert_part(target.path, good[i].path);
        assert_part(target.query, good[i].query);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(http_target_split(bad[i], &target));
}

static void percent_is_decoded_once(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded;
    } cases[] = {{"", ""},           {"a%2fb", "a/b"}, {"%25%32%46", "%2F"}, {"%c3%a9", "\xc3\xa9"},
                 {"a+b", "a+b"},     {"%", NULL},      {"%4", NULL},         {"%4g", NULL},
                 {"%g4", NULL},      {"a%00", NULL},   {"%ff", NULL},        {"%c3", NULL},
                 {"%ed%a0%80", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *decoded = http_decode(cases[i].text, strlen(cases[i].text));
        if (cases[i].decoded)
            assert_string_equal(decoded, cases[i].decoded);
        else
            assert_null(decoded);
        free(decoded);
    }
}

static int asked(const http_guard *guard, const http_head *head)
{
    int status = 0;
    return http_guard_check(guard, head, &status) ? status : 200;
}

static void hosts_are_ours(void **state)
{
    (void)state;
    const http_guard here = {.listen = "127.0.0.1", .hosts = "a.test,b.test"};
    const http_guard out = {.listen = "lab.test"};
    static const char *const ours[] = {"localhost", "LocalHost:80", "127.0.0.1:1", "127.1.2.3",
                                       "[::1]:9",   "b.test:7",     "A.TEST",      "localhost."};
    static const char *const others[] = {
        "",    "evil.test",   "a.test.evil", "a.tes",   "10.0.0.1", "[::1",
        "::1", "localhost:x", "x@localhost", "[::2]:1", "[::1]x",   "128.0.0.1"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_int_equal(asked(&here, &(http_head){.method = "GET", .host = ours[i]}), 200);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(asked(&here, &(http_head){.method = "GET", .host = others[i]}), 403);
    assert_int_equal(asked(&out, &(http_head){.method = "GET", .host = "lab.test:1"}), 200);
    assert_int_equal(asked(&out, &(http_head){.method = "GET", .host = "10.0.0.1:1"}), 200);
    assert_int_equal(asked(&out, &(http_head){.method = "GET", .host = "evil.test"}), 403);
    assert_int_equal(asked(&here, &(http_head){.method = "GET"}), 200); /* HTTP/1.0 */
}

static void origins_are_our_own(void **state)
{
    (void)state;
    const http_guard here = {.listen = "127.0.0.1"};
    http_head head = {.method = "GET", .host = "localhost:80"};
    static const char *const others[] = {"null",
                                         "",
                                         "localhost:80",
                                         "http://localhost",
                                         "http://localhost:81",
                                         "ftp://localhost:80"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        head.origin = others[i];
        assert_int_equal(asked(&here, &head), 403);
    }
    head.origin = "http://LOCALHOST:80";
    assert_int_equal(asked(&here, &head), 200);
}

static void bodies_are_json(void **state)
{
    (void)state;
    const http_guard here = {.listen = "127.0.0.1", .json_only = true};
    http_head head = {.method = "POST", .host = "localhost", .has_body = true};
    static const char *const json[] = {"application/json", "APPLICATION/JSON;charset=utf-8",
                                       "application/merge-patch+json"};
    static const char *const others[] = {NULL,
                                         "",
                                         "text/plain",
                                         "text/plain; application/json",
                                         "application/jsonp",
                                         "application/x-www-form-urlencoded",
                                         "application/octet-stream",
                                         "application/+jso"};
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) {
        head.content_type = json[i];
        assert_int_equal(asked(&here, &head), 200);
    }
    head.content_coding = "Identity";
    assert_int_equal(asked(&here, &head), 200);
    head.content_coding = "gzip";
    assert_int_equal(asked(&here, &head), 415);
    head.has_body = false;
    assert_int_equal(asked(&here, &head), 200);
    head.has_body = true;
    head.content_coding = NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        head.content_type = others[i];
        assert_int_equal(asked(&here, &head), 415);
    }
    head.method = "PUT";
    assert_int_equal(asked(&here, &head), 200);
    head = (http_head){.method = "DELETE", .host = "localhost"};
    assert_int_equal(asked(&here, &head), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split), cmocka_unit_test(percent_is_decoded_once),
        cmocka_unit_test(hosts_are_ours), cmocka_unit_test(origins_are_our_own),
        cmocka_unit_test(bodies_are_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
