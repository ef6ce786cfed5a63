/* Text goes out as UTF-8; the path is bytes, in the body and in a header. */
#include "wasgi.h"

wasgi_body unicode_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    wasgi_header headers[] = {{"X-Path", wasgi_get(environ, "PATH_INFO")}};
    if (start_response("200 OK", headers, 1)) return wasgi_reraise();
    return wasgi_format("%s \u017elu\u0165 \U0001f40d", wasgi_get(environ, "PATH_INFO"));
}
