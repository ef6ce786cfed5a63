#include "wasgi.h"

wasgi_body application(wasgi_environ *environ, wasgi_start_response *start_response) {
    wasgi_header headers[] = {{"Content-Type", "text/plain; charset=utf-8"}};
    if (start_response("200 OK", headers, 1)) return wasgi_reraise();
    return wasgi_format("Hello from APPNAME at %s\n", wasgi_get(environ, "PATH_INFO"));
}
