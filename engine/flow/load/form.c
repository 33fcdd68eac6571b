/* What the requests look like: the shapes of the options, read once, rendered for each request. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "flow/load/internal.h"

static rl_err *read_text(const char *text, load_text **out)
{
    return text ? load_text_read(text, strlen(text), out) : NULL;
}

rl_err *load_form_open(const flow_load_shape *s, bool http, load_form *f)
{
    struct {
        const char *from;
        load_text **to;
    } texts[] = {{s->id, &f->id},
                 {s->path, &f->path},
                 {s->body, &f->body},
                 {s->key, &f->key},
                 {s->value, &f->value}};
    rl_err *err = NULL;
    for (size_t i = 0; !err && i < sizeof texts / sizeof *texts; i++)
        err = read_text(texts[i].from, texts[i].to);
    f->method = mem_strdup(s->method ? s->method : s->body ? "POST" : "GET");
    f->effect = strcmp(f->method, "GET") != 0 && strcmp(f->method, "HEAD") != 0;
    f->topic = s->topic ? mem_strdup(s->topic) : NULL;
    f->partition = s->partition;
    f->names = mem_zero((s->nheaders + 1) * sizeof *f->names);
    f->values = mem_zero((s->nheaders + 1) * sizeof *f->values);
    for (; !err && f->nheaders < s->nheaders; f->nheaders++) {
        f->names[f->nheaders] = mem_strdup(s->headers[f->nheaders].name);
        err = read_text(s->headers[f->nheaders].value, &f->values[f->nheaders]);
    }
    if (!err && http && !f->path)
        err = err_lab("USAGE", "a request needs a path");
    if (!err && !http && !f->topic)
        err = err_lab("USAGE", "a record needs a topic");
    return err;
}

void load_form_close(load_form *f)
{
    load_text *const texts[] = {f->id, f->path, f->body, f->key, f->value};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        load_text_free(texts[i]);
    for (size_t i = 0; f->names && f->names[i]; i++) {
        free(f->names[i]);
        load_text_free(f->values[i]);
    }
    free(f->names);
    free(f->values);
    free(f->method);
    free(f->topic);
}

void load_render(flow_load *l, const load_request *r, const load_text *t, rl_buf *out)
{
    load_values v = {.n = r->n,
                     .unix_ms = clock_unix_ms() - (clock_ns() - r->intended) / 1000000,
                     .id = r->id.data ? r->id.data : "",
                     .id_len = r->id.len,
                     .rng = &l->content};
    if (t)
        load_text_put(t, &v, out);
}
