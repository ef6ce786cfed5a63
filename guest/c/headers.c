/* The fields of a head while it is put together. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway.h"

void wasgi_headers_add(wasgi_headers *headers, const char *name, const char *value) {
    /* Full whenever it has a power of two: what it had stays until the next request. */
    if ((headers->count & (headers->count - 1)) == 0) {
        wasgi_header *grown = malloc((headers->count ? 2 * headers->count : 1) * sizeof *grown);
        if (!grown) abort();
        if (headers->count) memcpy(grown, headers->headers, headers->count * sizeof *grown);
        headers->headers = gateway_keep(grown);
    }
    headers->headers[headers->count++] = (wasgi_header){name, value};
}

void wasgi_headers_format(wasgi_headers *headers, const char *name, const char *format, ...) {
    va_list values;
    va_start(values, format);
    wasgi_headers_add(headers, name, gateway_keep(gateway_format(format, values).data));
    va_end(values);
}

void wasgi_headers_remove(wasgi_headers *headers, const char *name) {
    wasgi_headers kept = {NULL, 0};
    for (size_t at = 0; at < headers->count; at++)
        if (strcasecmp(headers->headers[at].name, name) != 0) wasgi_headers_add(&kept, headers->headers[at].name, headers->headers[at].value);
    *headers = kept;
}

void wasgi_headers_set(wasgi_headers *headers, const char *name, const char *value) {
    wasgi_headers_remove(headers, name);
    wasgi_headers_add(headers, name, value);
}

const char *wasgi_headers_get(const wasgi_headers *headers, const char *name) {
    for (size_t at = 0; at < headers->count; at++)
        if (strcasecmp(headers->headers[at].name, name) == 0) return headers->headers[at].value;
    return NULL;
}
