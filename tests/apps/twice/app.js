// start_response is called again, without exc_info.
export function application(environ, startResponse) {
  startResponse("200 OK", []);
  startResponse("201 Created", []);
  return ["not reached"];
}
