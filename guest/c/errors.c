/* wsgi.errors, and what an application raised. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

WASGI_IMPORT("errors", "write") void gateway_write_error(const char *text, size_t length);

gateway_exc_info gateway_raised;

gateway_list gateway_format(const char *format, va_list values) {
    va_list again;
    va_copy(again, values);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!text) return gateway_text(strdup("(text that cannot be formed)"));
    vsnprintf(text, (size_t)length + 1, format, values);
    return (gateway_list){text, (size_t)length};
}

void wasgi_log(const char *format, ...) {
    va_list values;
    va_start(values, format);
    gateway_list text = gateway_format(format, values);
    va_end(values);
    gateway_list valid = gateway_utf8(text);
    gateway_write_error(valid.data, valid.length);
    free(valid.data);
    free(text.data);
}

void gateway_begin_errors(void) {
    free(gateway_raised.kind.data);
    free(gateway_raised.message.data);
    gateway_raised = (gateway_exc_info){{NULL, 0}, {NULL, 0}, {NULL, 0}};
}

void gateway_raise(const char *kind, gateway_list message) {
    gateway_list valid_kind = gateway_utf8(gateway_text(kind)), valid_message = gateway_utf8(message);
    free(message.data);
    gateway_begin_errors();
    gateway_raised.kind = valid_kind;
    gateway_raised.message = valid_message;
}

wasgi_body wasgi_raise(const char *kind, const char *format, ...) {
    va_list values;
    va_start(values, format);
    /* Formed before what it may speak of is gone. */
    gateway_list message = gateway_format(format, values);
    va_end(values);
    gateway_raise(kind, message);
    return wasgi_reraise();
}

wasgi_body wasgi_reraise(void) {
    if (!gateway_raised.kind.length) gateway_raise("Error", gateway_text(strdup("nothing was raised")));
    wasgi_body body = wasgi_empty();
    body.raised = 1;
    return body;
}

const char *wasgi_raised(void) {
    return gateway_raised.message.data;
}
