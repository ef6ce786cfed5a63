/* exc_info before the head is sent replaces it whole. */
#include "wasgi.h"

wasgi_body replaced_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_header old[] = {{"X-Old", "1"}}, new[] = {{"X-New", "2"}};
    if (start_response("200 OK", old, 1)) return wasgi_reraise();
    if (wasgi_restart_response("503 Try Later", new, 1, "ValueError", "too early")) return wasgi_reraise();
    return wasgi_text("replaced");
}
