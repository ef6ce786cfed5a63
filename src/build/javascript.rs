//! JavaScript: esbuild makes one module of an application and what it imports; componentize-js (StarlingMonkey) or componentize-qjs (QuickJS)
//! makes a component of that. All of them come from npm, in the versions of a lock file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use super::{
    BuildFault, Request,
    command::{output, text},
    finish::alone,
    native::Compiled,
    progress::Progress,
    sdk,
    settings::Engine,
};
use crate::artifact::hex;

const PACKAGE: &str = include_str!("../../guest/javascript/tools/package.json");
const LOCK: &str = include_str!("../../guest/javascript/tools/package-lock.json");
const BUILD: &str = include_str!("../../guest/javascript/tools/build.mjs");

const INSTALL_NODE: &str =
    "install Node.js 20 or newer with npm: https://nodejs.org, or `apt-get install nodejs npm` where that is new enough";
/// The files that an application is looked for in, behind what `package.json` names.
const MAIN: [&str; 2] = ["app.js", "index.js"];

/// Bundles the application in the folder.
pub(super) fn compile(request: &Request, progress: &dyn Progress) -> Result<Compiled, BuildFault> {
    let folder = &request.source.folder;
    let main = main(folder)?;
    if folder.to_str().is_none() {
        return Err(BuildFault::new(format!("{} is no text in UTF-8, which the JavaScript tools need", folder.display()), "", ""));
    }
    let tools = provide(&request.cache, progress)?;
    installed(folder, &request.cache)?;
    let engine = match request.settings.javascript.engine {
        Engine::StarlingMonkey => "starlingmonkey",
        Engine::QuickJs => "quickjs",
    };
    progress.step("compile", &format!("{} for {engine}", main.display()));
    let temporary = tempfile::tempdir().map_err(BuildFault::io(&std::env::temp_dir()))?;
    let bundle = temporary.path().join("app.js");
    let own = folder.join(sdk::FOLDER);
    let warned = run(
        &tools,
        "bundle",
        &serde_json::json!({ "project": folder, "main": folder.join(&main), "sdk": own.join("sdk/javascript"), "engine": engine, "output": bundle }),
    )?;
    if !warned.is_empty() {
        progress.warn(&warned);
    }
    let mut inputs = fs::read(&bundle).map_err(BuildFault::io(&bundle))?;
    inputs.extend(LOCK.as_bytes());
    let component = move || {
        let made = temporary.path().join("app.wasm");
        run(&tools, "component", &serde_json::json!({ "bundle": bundle, "wit": own.join("wit"), "engine": engine, "output": made }))?;
        fs::read(&made).map_err(BuildFault::io(&made))
    };
    Ok(Compiled { inputs, builder: format!("{engine}, {}", versions()), component: Box::new(component) })
}

/// The module with the application, seen from the folder.
fn main(folder: &Path) -> Result<PathBuf, BuildFault> {
    let manifest = folder.join("package.json");
    if manifest.is_file() {
        let text = fs::read(&manifest).map_err(BuildFault::io(&manifest))?;
        let read = serde_json::from_slice::<serde_json::Value>(&text);
        let package = read.map_err(|error| BuildFault::new(format!("{} is not JSON: {error}", manifest.display()), "", ""))?;
        if let Some(main) = package["main"].as_str() {
            return if folder.join(main).is_file() {
                Ok(main.into())
            } else {
                Err(BuildFault::new(format!("{} names `{main}` as its main file, which is not there", manifest.display()), "", ""))
            };
        }
    }
    MAIN.iter().find(|name| folder.join(name).is_file()).map(PathBuf::from).ok_or_else(|| {
        let what =
            format!("no application in {}: package.json names no main file, and there is no {}", folder.display(), MAIN.join(" and no "));
        BuildFault::new(what, "", "`\"main\": \"app.js\"` in package.json names it")
    })
}

/// Installs what the application's own lock file names, without its packages' scripts.
fn installed(folder: &Path, cache: &Path) -> Result<(), BuildFault> {
    let (lock, marker) = (folder.join("package-lock.json"), folder.join(sdk::FOLDER).join("node_modules"));
    let Ok(wanted) = fs::read(&lock) else { return Ok(()) };
    let wanted = hex(&Sha256::digest(wanted));
    let _alone = alone(cache)?;
    if folder.join("node_modules").is_dir() && fs::read_to_string(&marker).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    npm(folder, &["ci"])?;
    fs::write(&marker, wanted).map_err(BuildFault::io(&marker))
}

/// Runs npm. No package's scripts: they are strangers' code.
fn npm(folder: &Path, command: &[&str]) -> Result<(), BuildFault> {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(command).args(["--loglevel", "error", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let ran = npm.stdin(std::process::Stdio::null()).output();
    let ran = ran.map_err(|error| BuildFault::new("`npm` cannot be run", error.to_string(), INSTALL_NODE))?;
    if ran.status.success() {
        return Ok(());
    }
    let hint = "check the network; behind a mirror, set `registry` in npm's configuration";
    Err(BuildFault::new(format!("npm cannot install what {} names", folder.join("package-lock.json").display()), text(&ran), hint))
}

/// The tools' folder. One that was not finished is made anew.
fn provide(cache: &Path, progress: &dyn Progress) -> Result<PathBuf, BuildFault> {
    let node = Command::new("node").args(["-p", "process.versions.node"]).output();
    let node = node.map_err(|error| BuildFault::new("`node` cannot be run", error.to_string(), INSTALL_NODE))?;
    let version = text(&node);
    if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 20) {
        return Err(BuildFault::new(format!("Node.js {version} is too old"), "", INSTALL_NODE));
    }
    let _alone = alone(cache)?;
    let digest = Sha256::digest([PACKAGE, LOCK, BUILD].join("\0"));
    let name = hex(&digest).get(..16).unwrap_or_default().to_owned();
    let folder = cache.join("tools").join(format!("javascript-{name}"));
    let done = folder.join(".done");
    if done.is_file() {
        return Ok(folder);
    }
    progress.step("tools", &format!("installing {}, once", versions()));
    fs::create_dir_all(&folder).map_err(BuildFault::io(&folder))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK), ("build.mjs", BUILD)] {
        let file = folder.join(name);
        fs::write(&file, text).map_err(BuildFault::io(&file))?;
    }
    // Not `ci`, which refuses a lock file for lack of variants for other systems that were never published.
    npm(&folder, &["install", "--no-save"])?;
    fs::write(&done, "").map_err(BuildFault::io(&done))?;
    Ok(folder)
}

/// `componentize-js 0.23.0, …`.
fn versions() -> String {
    let package: serde_json::Value = serde_json::from_str(PACKAGE).unwrap_or_default();
    let said = |(name, version): (&String, &serde_json::Value)| {
        format!("{} {}", name.trim_start_matches("@bytecodealliance/"), version.as_str().unwrap_or_default())
    };
    let wanted =
        package["dependencies"].as_object().into_iter().flatten().filter(|(name, _)| name.contains("componentize") || *name == "esbuild");
    wanted.map(said).collect::<Vec<_>>().join(", ")
}

/// Runs one step of `build.mjs`; what it warned of.
fn run(tools: &Path, step: &str, options: &serde_json::Value) -> Result<String, BuildFault> {
    let ran = output(Command::new("node").arg(tools.join("build.mjs")).arg(step).arg(options.to_string()))?;
    let said = text(&ran);
    if ran.status.success() {
        return Ok(said);
    }
    let hint = if said.contains("Could not resolve") { "`npm install` in the project adds a package, and a package-lock.json" } else { "" };
    Err(BuildFault::new("the application does not become a component", said, hint))
}
