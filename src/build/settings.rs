//! `wasgi.toml`: what an application's author says of it beyond its code. All mistakes are told at once.

use std::{collections::BTreeMap, fs, path::Path};

use super::BuildFault;
use crate::{
    artifact::StaticFiles,
    limits::{Amount, Limit, OwnLimits},
};

/// The file, in the application's folder.
const FILE: &str = "wasgi.toml";
const STUBS: [&str; 4] = ["fcntl", "grp", "pwd", "ssl"];

/// What it says.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The application's name.
    pub name: Option<String>,
    /// `module:name`.
    pub app: Option<String>,
    /// `[build]`.
    pub build: Build,
    /// `[python]`.
    pub python: Python,
    /// `[c]`.
    pub c: C,
    /// `[javascript]`.
    pub javascript: JavaScript,
    /// `[static]`: URL paths, and where their files lie: in the application's folder, or in `/data`.
    pub r#static: BTreeMap<String, String>,
    /// `[env]`: variables where the tenant's environment has none of the name. Not for secrets: they are stored in the built file.
    pub env: BTreeMap<String, String>,
    /// `[limits]`: what the application needs at most; it has no more than its operator gives.
    pub limits: BTreeMap<String, Quantity>,
}

/// A number, or one with its unit.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(untagged)]
pub enum Quantity {
    /// In the least unit: bytes, milliseconds.
    Number(u64),
    /// As a person writes it.
    Text(String),
}

/// `[build]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// Paths that are requested before the first request, so that what is done once is done.
    pub warm: Vec<String>,
}

/// `[python]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Python {
    /// `inline`: a thread runs when it is started.
    pub threads: Option<String>,
    /// Modules that are stubbed.
    pub stubs: Vec<String>,
}

/// `[c]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct C {
    /// What is compiled, seen from the folder; without, every `.c` file in it.
    pub sources: Vec<String>,
    /// Flags for the compiler.
    pub flags: Vec<String>,
}

/// `[javascript]`.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JavaScript {
    /// What runs it.
    pub engine: Engine,
}

/// A JavaScript engine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Firefox's, with the interfaces of the web.
    #[default]
    StarlingMonkey,
    /// Small.
    QuickJs,
}

impl Settings {
    /// Reads `wasgi.toml` in `folder`, if there is one.
    ///
    /// # Errors
    /// [`BuildFault`] with every mistake in it.
    pub fn of(folder: &Path) -> Result<Self, BuildFault> {
        let file = folder.join(FILE);
        if !file.is_file() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&file).map_err(BuildFault::io(&file))?;
        Self::parse(&text).map_err(|mistakes| {
            let count = mistakes.len();
            let what = format!("{} has {count} problem{}", file.display(), if count == 1 { "" } else { "s" });
            BuildFault::new(what, mistakes.join("\n"), "docs/app-authors.md says what may stand there")
        })
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let settings: Self = toml::from_str(text).map_err(|error| vec![error.to_string().trim_end().to_owned()])?;
        let mut mistakes = Vec::new();
        for path in settings.build.warm.iter().filter(|path| !path.starts_with('/')) {
            mistakes.push(format!("build.warm: `{path}` must start with `/`"));
        }
        if let Some(threads) = settings.python.threads.as_deref().filter(|threads| *threads != "inline") {
            mistakes.push(format!("python.threads: `{threads}` is not known; the one choice is \"inline\""));
        }
        for stub in settings.python.stubs.iter().filter(|stub| !STUBS.contains(&stub.as_str())) {
            mistakes.push(format!("python.stubs: there is no stub for `{stub}`; there are {}", STUBS.join(", ")));
        }
        for (url, root) in &settings.r#static {
            if !(url.starts_with('/') && url.ends_with('/') && url.len() > 1) {
                mistakes.push(format!("static: the URL path `{url}` must start and end with `/`, and be more than that"));
            }
            let inside = root.strip_prefix("/data/").unwrap_or(root);
            if inside.trim_end_matches('/').split('/').any(|part| matches!(part, "" | "." | "..")) {
                mistakes.push(format!("static.{url:?}: `{root}` is neither a folder of the application nor one in /data"));
            }
        }
        for name in settings.env.keys().filter(|name| !is_variable(name)) {
            mistakes.push(format!("env: `{name}` is no name of a variable"));
        }
        for (name, quantity) in &settings.limits {
            mistakes.extend(limit(name, quantity).err().map(|why| format!("limits.{name}: {why}")));
        }
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    /// `[limits]`.
    #[must_use]
    pub fn own_limits(&self) -> OwnLimits {
        let mut own = OwnLimits::default();
        for (limit, value) in self.limits.iter().filter_map(|(name, quantity)| limit(name, quantity).ok()) {
            own.ask(limit, value);
        }
        own
    }

    /// `[static]`, as the guest sees it.
    pub(super) fn static_files(&self) -> Vec<StaticFiles> {
        self.r#static.iter().map(|(url, root)| StaticFiles { url: url.clone(), root: Self::guest_path(root) }).collect()
    }

    /// Where the files of a static folder lie, as the guest sees them.
    fn guest_path(root: &str) -> String {
        if root.starts_with("/data/") { root.trim_end_matches('/').to_owned() } else { format!("/0/{}", root.trim_end_matches('/')) }
    }
}

/// A limit that an author may set, and its value.
fn limit(name: &str, quantity: &Quantity) -> Result<(&'static Limit, u64), String> {
    let limit = Limit::of(name).filter(|limit| limit.is_authors()).ok_or("an application has no such limit of its own")?;
    let value = match quantity {
        Quantity::Number(number) => *number,
        Quantity::Text(text) => Amount::parse(text, limit.unit)?.0,
    };
    if (limit.min..=limit.max).contains(&value) {
        return Ok((limit, value));
    }
    let text = |value| Amount(value, limit.unit);
    Err(format!("{} is not within {} and {}", text(value), text(limit.min), text(limit.max)))
}

/// Whether `name` can name a variable: letters, digits and `_`, and no digit first.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_read() {
        let text = "name = 'blog'\napp = 'blog:app'\n[build]\nwarm = ['/']\n[python]\nthreads = 'inline'\nstubs = ['fcntl']\n[c]\nsources = ['main.c']\nflags = ['-DX']\n[javascript]\nengine = 'quickjs'\n[static]\n'/media/' = '/data/media'\n[env]\nTZ = 'UTC'\n[limits]\nmemory = '64MiB'\nreuse_requests = 10\n";
        let settings = Settings::parse(text).unwrap();
        let expected = Settings {
            name: Some("blog".into()),
            app: Some("blog:app".into()),
            build: Build { warm: vec!["/".into()] },
            c: C { sources: vec!["main.c".into()], flags: vec!["-DX".into()] },
            javascript: JavaScript { engine: Engine::QuickJs },
            python: Python { threads: Some("inline".into()), stubs: vec!["fcntl".into()] },
            r#static: [("/media/".into(), "/data/media".into())].into(),
            env: [("TZ".into(), "UTC".into())].into(),
            limits: [("memory".into(), Quantity::Text("64MiB".into())), ("reuse_requests".into(), Quantity::Number(10))].into(),
        };
        assert_eq!(settings, expected);
        assert_eq!(serde_json::to_value(settings.own_limits()).unwrap(), serde_json::json!({ "memory": 64 << 20, "reuse_requests": 10 }));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "[build]\nwarm = ['x']\n[python]\nthreads = 'real'\nstubs = ['ctypes']\n[static]\nstatic = '../x'\n[env]\n'1A' = ''\n[limits]\nguest_cpu = '2 days'\nmemory = 1\nqueue = 1\n";
        let mistakes = Settings::parse(text).unwrap_err();
        assert_eq!(
            mistakes,
            [
                "build.warm: `x` must start with `/`",
                "python.threads: `real` is not known; the one choice is \"inline\"",
                "python.stubs: there is no stub for `ctypes`; there are fcntl, grp, pwd, ssl",
                "static: the URL path `static` must start and end with `/`, and be more than that",
                "static.\"static\": `../x` is neither a folder of the application nor one in /data",
                "env: `1A` is no name of a variable",
                "limits.guest_cpu: `2 days` is no time; write milliseconds, or 250ms, 5s, 10min",
                "limits.memory: 1 B is not within 64 KiB and 4 GiB",
                "limits.queue: an application has no such limit of its own",
            ]
        );
        assert!(Settings::parse("[biuld]").unwrap_err()[0].contains("unknown field `biuld`"));
    }
}
