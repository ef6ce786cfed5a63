// Makes a component for `wasmtime serve` of an application that answers fetch events: FILE WIT WORLD OUTPUT.
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const [file, wit, worldName, output] = process.argv.slice(2);
const { outputFiles } = await build({ entryPoints: [file], bundle: true, format: "esm", write: false, outfile: `${output}.js` });
await writeFile(`${output}.js`, outputFiles[0].text);
const { component } = await componentize({ sourcePath: `${output}.js`, witPath: wit, worldName });
await writeFile(output, component);
