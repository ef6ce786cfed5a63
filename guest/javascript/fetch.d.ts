import type { Application } from "./index.js";

/** A handler of the Fetch API as an application. */
export function serve(handler: (request: Request) => Response | Promise<Response>): Application;
