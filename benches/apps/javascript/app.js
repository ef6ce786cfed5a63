import { serve } from "wasgi/fetch";
import { hello } from "./hello.js";

export const application = serve(hello);
