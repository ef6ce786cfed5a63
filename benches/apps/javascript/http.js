import { hello } from "./hello.js";

addEventListener("fetch", (event) => event.respondWith(hello(event.request)));
