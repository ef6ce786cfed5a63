// Lines for the tenant's log.
export function application(environ, startResponse) {
  environ["wsgi.errors"].write("first line\nsecond \u017elu\u0165 line\nwithout an end");
  startResponse("200 OK", []);
  return ["logged"];
}
