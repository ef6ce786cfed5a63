// Chunks that are made while they are sent, and a close.
export function* application(environ, startResponse) {
  startResponse("200 OK", []);
  try {
    for (let number = 0; number < 3; number++) yield `line ${number}\n`;
  } finally {
    environ["wsgi.errors"].write("generator closed\n");
  }
}
