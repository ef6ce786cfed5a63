// Raises in call, in next or in close, as the path says.
import { shiftPathInfo } from "wasgi";

export function application(environ, startResponse) {
  const place = shiftPathInfo(environ);
  const trouble = () => {
    throw new RangeError("trouble on purpose");
  };
  if (place === "call") trouble();
  startResponse("200 OK", []);
  return {
    *[Symbol.iterator]() {
      yield "one ";
      if (place === "next") trouble();
      yield "two";
    },
    close() {
      environ["wsgi.errors"].write("raising closed\n");
      if (place === "close") trouble();
    },
  };
}
