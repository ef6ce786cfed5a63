// exc_info when the head is sent: the error is raised again.
export function* application(environ, startResponse) {
  startResponse("200 OK", []);
  yield "sent";
  startResponse("500 Oops", [], new RangeError("late trouble"));
  yield "not reached";
}
