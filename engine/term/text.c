#include "term/text.h"

#include <string.h>
#include <utf8proc.h>

enum { EMOJI_STYLE = 0xfe0f };

/* Length of the code point at the text, 0 when it is no UTF-8. */
static size_t code_at(const char *text, size_t len, utf8proc_int32_t *code)
{
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, code);
    return n > 0 ? (size_t)n : 0;
}

/* ---- columns ---- */

/* ESC [ parameters letter; 0 when none is there. */
static size_t colouring(const char *text, size_t len)
{
    if (len < 3 || text[0] != '\033' || text[1] != '[')
        return 0;
    size_t n = 2;
    while (n < len && text[n] && strchr("0123456789;?", text[n]))
        n++;
    return n < len && ((text[n] >= 'A' && text[n] <= 'Z') || (text[n] >= 'a' && text[n] <= 'z'))
               ? n + 1
               : 0;
}

/* What follows a wide character in its cluster is drawn into it; others add up, as the second half
 * of a flag or a vowel beside its letter does. */
static int more_columns(int columns, utf8proc_int32_t code)
{
    if (columns >= 2)
        return columns;
    return code == EMOJI_STYLE && columns == 1 ? 2 : columns + utf8proc_charwidth(code);
}

size_t text_step(const char *text, size_t len, int *columns)
{
    utf8proc_int32_t code, next, state = 0;
    size_t n = colouring(text, len);
    *columns = 0;
    if (n)
        return n;
    n = code_at(text, len, &code);
    *columns = n ? utf8proc_charwidth(code) : 1;
    if (!n)
        return 1;
    for (size_t more; n < len && (more = code_at(text + n, len - n, &next)); n += more) {
        if (utf8proc_grapheme_break_stateful(code, next, &state))
            break;
        *columns = more_columns(*columns, next);
        code = next;
    }
    return n;
}

int text_width(const char *text, size_t len)
{
    int total = 0, columns;
    for (size_t at = 0; at < len; total += columns)
        at += text_step(text + at, len - at, &columns);
    return total;
}

/* ---- what is not shown as it is ---- */

static bool within(utf8proc_int32_t code, utf8proc_int32_t low, utf8proc_int32_t high)
{
    return code >= low && code <= high;
}

/* What scripts and emoji need of what has no shape: joiners, the halves of a syllable that is not
 * whole, and what chooses a form. */
static bool shapes_others(utf8proc_int32_t code)
{
    return within(code, 0x200c, 0x200d) || within(code, 0xfe00, 0xfe0f) ||
           within(code, 0xe0100, 0xe01ef) || within(code, 0x115f, 0x1160) ||
           within(code, 0x180b, 0x180d) || code == 0x180f;
}

/* Marks of direction, and characters without a shape, among them the tags that spell hidden text. */
static bool unseen(utf8proc_int32_t code)
{
    bool mark = code == 0x200e || code == 0x200f || within(code, 0xfff9, 0xfffb);
    return mark || (utf8proc_get_property(code)->ignorable && !shapes_others(code));
}

static bool turns(int bidi_class)
{
    switch (bidi_class) {
    case UTF8PROC_BIDI_CLASS_LRE:
    case UTF8PROC_BIDI_CLASS_LRO:
    case UTF8PROC_BIDI_CLASS_RLE:
    case UTF8PROC_BIDI_CLASS_RLO:
    case UTF8PROC_BIDI_CLASS_PDF:
    case UTF8PROC_BIDI_CLASS_LRI:
    case UTF8PROC_BIDI_CLASS_RLI:
    case UTF8PROC_BIDI_CLASS_FSI:
    case UTF8PROC_BIDI_CLASS_PDI:
        return true;
    default:
        return false;
    }
}

/* U+FDD0 to U+FDEF and the last two of each plane are no characters, in XML not even by a reference. */
static bool no_character(utf8proc_int32_t code)
{
    return (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
}

static bool shown(utf8proc_int32_t code)
{
    if (no_character(code))
        return false;
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    default:
        return !unseen(code) && !turns(utf8proc_get_property(code)->bidi_class);
    }
}

static void put_escape(rl_buf *out, unsigned char first, size_t n, utf8proc_int32_t code)
{
    static const char from[] = "\n\r\t", to[] = "nrt";
    const char *known = first ? strchr(from, first) : NULL;
    if (known)
        buf_printf(out, "\\%c", to[known - from]);
    else if (n == 0 || first < 0x80)
        buf_printf(out, "\\x%02x", first);
    else
        buf_printf(out, "\\u{%x}", (unsigned)code);
}

/* The tags behind a black flag spell whose it is: the flag of Scotland has six. */
static bool goes_with(utf8proc_int32_t code, bool in_flag)
{
    return in_flag && within(code, 0xe0020, 0xe007f);
}

void text_visible(rl_buf *out, const char *text, size_t len, bool lines)
{
    size_t run = 0, at = 0;
    bool in_flag = false;
    while (at < len) {
        utf8proc_int32_t code = 0;
        unsigned char first = (unsigned char)text[at];
        size_t n = code_at(text + at, len - at, &code);
        in_flag = code == 0x1f3f4 || goes_with(code, in_flag);
        if (n && (shown(code) || in_flag || (lines && (first == '\n' || first == '\t')))) {
            at += n;
            continue;
        }
        buf_add(out, text + run, at - run);
        put_escape(out, first, n, code);
        at += n ? n : 1;
        run = at;
    }
    buf_add(out, text + run, len - run);
}
