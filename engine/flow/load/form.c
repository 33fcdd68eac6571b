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

rl_err *load_form_open(const flow_load_shape *shape, bool http, load_form *form)
{
    struct {
        const char *from;
        load_text **to;
    } texts[] = {{shape->id, &form->id},
                 {shape->path, &form->path},
                 {shape->body, &form->body},
                 {shape->key, &form->key},
                 {shape->value, &form->value}};
    rl_err *err = NULL;
    for (size_t i = 0; !err && i < sizeof texts / sizeof *texts; i++)
        err = read_text(texts[i].from, texts[i].to);
    form->method = mem_strdup(shape->method ? shape->method : shape->body ? "POST" : "GET");
    form->effect = strcmp(form->method, "GET") != 0 && strcmp(form->method, "HEAD") != 0;
    form->topic = shape->topic ? mem_strdup(shape->topic) : NULL;
    form->partition = shape->partition;
    form->names = mem_zero((shape->nheaders + 1) * sizeof *form->names);
    form->values = mem_zero((shape->nheaders + 1) * sizeof *form->values);
    for (; !err && form->nheaders < shape->nheaders; form->nheaders++) {
        form->names[form->nheaders] = mem_strdup(shape->headers[form->nheaders].name);
        err = read_text(shape->headers[form->nheaders].value, &form->values[form->nheaders]);
    }
    if (!err && http && !form->path)
        err = err_lab("USAGE", "a request needs a path");
    if (!err && !http && !form->topic)
        err = err_lab("USAGE", "a record needs a topic");
    return err;
}

void load_form_close(load_form *form)
{
    load_text *const texts[] = {form->id, form->path, form->body, form->key, form->value};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        load_text_free(texts[i]);
    for (size_t i = 0; form->names && form->names[i]; i++) {
        free(form->names[i]);
        load_text_free(form->values[i]);
    }
    free(form->names);
    free(form->values);
    free(form->method);
    free(form->topic);
}

void load_render(flow_load *load, const load_request *r, const load_text *t, rl_buf *out)
{
    load_values v = {.n = r->n,
                     .unix_ms = clock_unix_ms() - (clock_ns() - r->intended) / 1000000,
                     .id = r->id.data ? r->id.data : "",
                     .id_len = r->id.len,
                     .rng = &load->content};
    if (t)
        load_text_put(t, &v, out);
}
