/* Lines for the tenant's log. */
#include "wasgi.h"

wasgi_body log_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_log("%s line\nsecond \u017elu\u0165 line\nwithout an end", "first");
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_text("logged");
}
