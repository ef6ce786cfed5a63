// The same as in grid/javascript, in another engine.
export { application } from "../javascript/app.js";
