// What `wasgi build` runs for JavaScript. `build.mjs bundle` makes one module of an application and all that it imports; `build.mjs component`
// makes a component of that. The arguments are JSON.

import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const tools = join(dirname(fileURLToPath(import.meta.url)), "node_modules");

async function bundle({ project, main, sdk, engine, output }) {
  const quickjs = engine === "quickjs";
  const file = (name) => join(sdk, name);
  const entry = [
    // First: it brings what other modules may use while they are evaluated.
    'import "wasgi/engine";',
    `import * as module from ${JSON.stringify(main)};`,
    `import { gateway } from ${JSON.stringify(file("gateway.js"))};`,
    'const found = module.application;',
    'if (typeof found !== "function") throw new TypeError("no application: export a function with the name `application`");',
    "export const application = gateway(found);",
  ];
  const { outputFiles } = await build({
    stdin: { contents: entry.join("\n"), resolveDir: dirname(main), sourcefile: "wasgi-entry.js" },
    alias: {
      "wasgi/engine": file(quickjs ? "quickjs.js" : "starlingmonkey.js"),
      "wasgi/web": file(quickjs ? "quickjs-web.js" : "starlingmonkey.js"),
      "wasgi/fetch": file("fetch.js"),
      wasgi: file("index.js"),
    },
    nodePaths: [tools],
    absWorkingDir: project,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["import", "worker", "browser"],
    external: ["wasgi:*", "wasi:*"],
    // Nobody runs QuickJS's own promises.
    target: "es2022",
    supported: quickjs ? { "async-await": false, "async-generator": false, "for-await": false } : {},
    charset: "utf8",
    sourcemap: "external",
    sourcesContent: false,
    outfile: output,
    write: false,
    logLevel: "warning",
  });
  const [map, code] = [".map", ".js"].map((ending) => outputFiles.find(({ path }) => path.endsWith(ending)).text);
  // Errors name the author's own lines: the SDK maps them by this.
  const { sources, ...rest } = JSON.parse(map);
  const seen = (source) => {
    const file = resolve(dirname(output), source);
    return file.startsWith(tools) ? `wasgi/${relative(tools, file)}` : relative(project, file);
  };
  const mapping = JSON.stringify({ ...rest, sources: sources.map(seen) });
  await writeFile(output, `${code}\nglobalThis[Symbol.for("wasgi.map")] = ${JSON.stringify(mapping)};\n`);
}

async function component({ bundle, wit, engine, output }) {
  if (engine === "quickjs") {
    const { componentize } = await import("componentize-qjs");
    const { component } = await componentize({ witPath: wit, jsSource: await readFile(bundle, "utf8"), jsPath: bundle, world: "app", sync: true });
    await writeFile(output, component);
  } else {
    const { componentize } = await import("@bytecodealliance/componentize-js");
    const options = { sourcePath: bundle, witPath: wit, worldName: "app", disableFeatures: ["http", "fetch-event"] };
    const { component } = await componentize(options);
    await writeFile(output, component);
  }
}

const [command, options] = process.argv.slice(2);
try {
  await { bundle, component }[command](JSON.parse(options));
} catch (error) {
  // esbuild has told its own errors.
  if (!error.errors) console.error(error.stack ?? String(error));
  process.exit(1);
}
