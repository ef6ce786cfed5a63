/* The environ of one request, and what wsgiref.util makes of it. */
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

static const char *or_empty(const char *text) { return text ? text : ""; }

const char *wasgi_get(const wasgi_environ *environ, const char *name) {
    for (size_t at = 0; at < environ->count; at++)
        if (strcmp(environ->variables[at].name, name) == 0) return environ->variables[at].value;
    return NULL;
}

const char *wasgi_scheme(const wasgi_environ *environ) {
    const char *scheme = wasgi_get(environ, "wsgi.url_scheme");
    return scheme ? scheme : "http";
}

/* Text that grows. */
typedef struct { char *data; size_t length; } text;

static void add(text *to, const char *from, size_t length) {
    char *grown = realloc(to->data, to->length + length + 1);
    if (!grown) abort();
    to->data = grown;
    memcpy(grown + to->length, from, length);
    to->length += length;
    grown[to->length] = 0;
}

/* As urllib.parse.quote with `safe`. */
static void add_quoted(text *to, const char *from, const char *safe) {
    static const char digits[] = "0123456789ABCDEF";
    for (; *from; from++) {
        unsigned char byte = (unsigned char)*from;
        int letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        if (letter || strchr("_.-~", byte) || strchr(safe, byte)) {
            add(to, from, 1);
        } else {
            char escaped[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            add(to, escaped, 3);
        }
    }
}

static text application_uri(const wasgi_environ *environ) {
    text uri = {NULL, 0};
    const char *scheme = wasgi_scheme(environ), *host = wasgi_get(environ, "HTTP_HOST"), *port = wasgi_get(environ, "SERVER_PORT");
    add(&uri, scheme, strlen(scheme));
    add(&uri, "://", 3);
    if (host && *host) {
        add(&uri, host, strlen(host));
    } else {
        const char *name = or_empty(wasgi_get(environ, "SERVER_NAME")), *usual = strcmp(scheme, "https") == 0 ? "443" : "80";
        add(&uri, name, strlen(name));
        if (port && strcmp(port, usual) != 0) {
            add(&uri, ":", 1);
            add(&uri, port, strlen(port));
        }
    }
    const char *script = or_empty(wasgi_get(environ, "SCRIPT_NAME"));
    add_quoted(&uri, *script ? script : "/", "/");
    return uri;
}

const char *wasgi_application_uri(const wasgi_environ *environ) { return gateway_keep(application_uri(environ).data); }

const char *wasgi_request_uri(const wasgi_environ *environ) {
    text uri = application_uri(environ);
    const char *path = or_empty(wasgi_get(environ, "PATH_INFO")), *query = or_empty(wasgi_get(environ, "QUERY_STRING"));
    int mounted = *or_empty(wasgi_get(environ, "SCRIPT_NAME")) != 0;
    add_quoted(&uri, !mounted && *path == '/' ? path + 1 : path, "/;=,");
    if (*query) {
        add(&uri, "?", 1);
        add(&uri, query, strlen(query));
    }
    return gateway_keep(uri.data);
}

static void set(wasgi_environ *environ, const char *name, char *value) {
    for (size_t at = 0; at < environ->count; at++)
        if (strcmp(environ->variables[at].name, name) == 0) environ->variables[at].value = gateway_keep(value);
}

static int is(const char *segment, size_t length, const char *text) { return strlen(text) == length && memcmp(segment, text, length) == 0; }

/* Appends a segment as os.path.normpath understands it. */
static void enter(text *script, const char *segment, size_t length) {
    if (length == 0 || is(segment, length, ".")) return;
    if (is(segment, length, "..")) {
        while (script->length > 0 && script->data[--script->length] != '/') {}
        script->data[script->length] = 0;
    } else {
        add(script, "/", 1);
        add(script, segment, length);
    }
}

const char *wasgi_shift_path_info(wasgi_environ *environ) {
    const char *path = or_empty(wasgi_get(environ, "PATH_INFO")), *old = or_empty(wasgi_get(environ, "SCRIPT_NAME"));
    if (*path != '/') return NULL;
    text script = {NULL, 0}, rest = {NULL, 0}, name = {NULL, 0};
    add(&script, "", 0);
    add(&rest, "", 0);
    for (const char *end; *old; old = *end ? end + 1 : end) {
        end = old + strcspn(old, "/");
        enter(&script, old, (size_t)(end - old));
    }
    while (*path == '/') {
        const char *segment = path + 1, *end = segment + strcspn(segment, "/");
        size_t length = (size_t)(end - segment);
        path = end;
        /* All but the last of empty ones and of dots count for nothing. */
        if (*end && (length == 0 || is(segment, length, "."))) continue;
        if (name.data) {
            add(&rest, "/", 1);
            add(&rest, segment, length);
        } else {
            add(&name, segment, length);
        }
    }
    enter(&script, name.data, name.length);
    if (name.length == 0) add(&script, "/", 1);
    set(environ, "SCRIPT_NAME", script.data);
    set(environ, "PATH_INFO", rest.data);
    return is(gateway_keep(name.data), name.length, ".") ? NULL : name.data;
}
