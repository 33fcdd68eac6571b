/* rlab.libraries: what this program runs with, for `rlab --version --verbose` and the reports: a
 * list of {name, version}, with the compiler and the flags of this program. */
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <lauxlib.h>
#include <librdkafka/rdkafka.h>
#include <lua.h>
#include <microhttpd.h>
#include <mysql.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <utf8proc.h>
#include <uv.h>
#include <zlib.h>
#include <zstd.h>

#include "bind/value/fields.h"

int luaopen_rlab_libraries(lua_State *L);

static void add(lua_State *L, const char *name, const char *version)
{
    lua_createtable(L, 0, 2);
    field_set_text(L, "name", name);
    field_set_text(L, "version", version);
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
}

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

int luaopen_rlab_libraries(lua_State *L)
{
    char hiredis[32], mysql[96];
    snprintf(hiredis, sizeof hiredis, "%d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
#ifdef MARIADB_PACKAGE_VERSION
    snprintf(mysql, sizeof mysql, "MariaDB Connector/C %s", mysql_get_client_info());
#else
    snprintf(mysql, sizeof mysql, "MySQL %s", mysql_get_client_info());
#endif
    lua_newtable(L);
    add(L, "lua", LUA_RELEASE);
    add(L, "librdkafka", rd_kafka_version_str());
    add(L, "hiredis", hiredis);
    add(L, "mysql", mysql);
    add(L, "libuv", uv_version_string());
    add(L, "microhttpd", MHD_get_version());
    add(L, "curl", curl_version_info(CURLVERSION_NOW)->version);
    add(L, "cjson", cJSON_Version());
    add(L, "openssl", OpenSSL_version(OPENSSL_FULL_VERSION_STRING));
    add(L, "zlib", zlibVersion());
    add(L, "zstd", ZSTD_versionString());
    add(L, "utf8proc", utf8proc_version());
    field_set_text(L, "compiler", COMPILER);
    field_set_text(L, "flags", RL_FLAGS);
    return 1;
}
