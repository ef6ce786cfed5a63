/* The CGI variables, as bytes, and the address that they make. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasgi.h"

static int by_name(const void *left, const void *right) {
    return strcmp(((const wasgi_variable *)left)->name, ((const wasgi_variable *)right)->name);
}

wasgi_body environ_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    char *text;
    size_t length;
    FILE *lines = open_memstream(&text, &length);
    qsort(environ->variables, environ->count, sizeof(wasgi_variable), by_name);
    for (size_t at = 0; at < environ->count; at++) {
        const wasgi_variable *variable = &environ->variables[at];
        if (!strchr(variable->name, '.')) fprintf(lines, "%s=%s\n", variable->name, variable->value);
    }
    fprintf(lines, "application_uri=%s\nrequest_uri=%s\n", wasgi_application_uri(environ), wasgi_request_uri(environ));
    fclose(lines);
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    wasgi_body body = wasgi_bytes(text, length);
    free(text);
    return body;
}
