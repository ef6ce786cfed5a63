// A body that ends too early is an error, and the error stays.
export function application(environ, startResponse) {
  for (let time = 0; time < 2; time++) {
    try {
      environ["wsgi.input"].read();
      environ["wsgi.errors"].write("the body looks whole\n");
    } catch (error) {
      environ["wsgi.errors"].write(`no body: ${error.message}\n`);
    }
  }
  startResponse("200 OK", []);
  return ["gone"];
}
