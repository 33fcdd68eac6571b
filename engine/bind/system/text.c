/* rlab.text: width, step, visible: text as a terminal shows it. */
#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "term/text.h"

int luaopen_rlab_text(lua_State *L);

/* width(text) -> columns */
static int text_l_width(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_pushinteger(L, text_width(text, len));
    return 1;
}

/* step(text, at) -> where the character that begins at byte `at` ends, its columns; nil behind the
 * last */
static int text_l_step(lua_State *L)
{
    size_t len;
    int columns;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, at >= 1, 2, "bytes count from 1");
    if ((size_t)at > len)
        return 0;
    size_t n = text_step(text + at - 1, len - (size_t)at + 1, &columns);
    lua_pushinteger(L, at + (lua_Integer)n - 1);
    lua_pushinteger(L, columns);
    return 2;
}

/* visible(text [, lines]) -> text without anything that steers a terminal or cannot be seen */
static int text_l_visible(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    rl_buf out = {0};
    text_visible(&out, text, len, lua_toboolean(L, 2));
    lua_pushlstring(L, out.data ? out.data : "", out.len);
    buf_free(&out);
    return 1;
}

int luaopen_rlab_text(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"width", text_l_width}, {"step", text_l_step}, {"visible", text_l_visible}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
