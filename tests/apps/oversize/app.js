// One chunk that is longer than what the host takes at once.
export function application(environ, startResponse) {
  startResponse("200 OK", []);
  return ["0123456789abcdef".repeat(192 << 10)];
}
