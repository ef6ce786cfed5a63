// A handler of the Fetch API.
import { serve } from "wasgi/fetch";

const later = async (value) => {
  await null;
  return value;
};

async function handle(request) {
  const { pathname, searchParams } = new URL(request.url);
  const text = await later(await request.text());
  const headers = new Headers({ "X-Seen": `${request.headers.get("x-sent")} ${searchParams.get("q")}` });
  headers.append("Set-Cookie", "a=1");
  headers.append("Set-Cookie", "b=2");
  const body = pathname === "/adapter/stream" ? "part 0\npart 1\npart 2\n" : `${request.method} ${pathname} ${request.headers.get("content-length")} ${text}`;
  return new Response(body, { status: 201, statusText: "Created", headers });
}

export const application = serve(handle);
