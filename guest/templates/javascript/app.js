import { serve } from "wasgi/fetch";

export const application = serve(async (request) => {
  const { pathname } = new URL(request.url);
  return new Response(`Hello from APPNAME at ${pathname}\n`);
});
