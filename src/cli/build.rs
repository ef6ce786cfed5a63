//! `wasgi build`.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use super::{
    args, environment,
    fault::Failure,
    inspect::{MAY_TOUCH, megabytes},
};
use crate::{
    build::{self, Built, Progress, Purpose, Request, Sdist, Settings, Source},
    sandbox::escape,
};

pub(super) fn run(typed: &args::Build) -> Result<(), Failure> {
    let mut request = request(&typed.app, typed.output.as_deref(), typed.allow_sdist, &typed.common)?;
    request.environment = environment::of(&typed.environment)?;
    let built = make(&request)?;
    Talk.step("size", &megabytes(built.bytes));
    Talk.step("touches", MAY_TOUCH);
    Talk.step("serve", &format!("wasgi serve {}", built.output.display()));
    say_data(&built.output.display().to_string());
    Ok(())
}

/// What is to be built.
pub(super) fn request(app: &str, output: Option<&Path>, allow_sdist: bool, common: &args::Common) -> Result<Request, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::of(&error))?;
    let folder = here.join(app);
    // What an application is called stands in its own file, unless it was typed.
    let named = if folder.is_dir() { Settings::of(&folder)?.app } else { None };
    let source = match named {
        Some(named) => Source::find(&named, &folder),
        None => Source::find(app, &here),
    };
    let source = source.map_err(build::BuildFault::from)?;
    let settings = Settings::of(&source.folder)?;
    let output = output.map_or_else(|| source.output(), |output| here.join(output));
    let sdist = if allow_sdist { Sdist::Allowed } else { Sdist::Refused };
    let cache = super::cache(common.cache_dir.clone())?;
    Ok(Request { source, output, sdist, cache, settings, environment: Vec::new(), purpose: Purpose::Production })
}

pub(super) fn make(request: &Request) -> Result<Built, Failure> {
    if request.sdist == Sdist::Allowed {
        Talk.warn("--allow-sdist: the authors of the packages may run code on this machine");
    }
    Ok(build::build(request, &Talk)?)
}

/// Data goes to standard output: the path of the built file, for a script. On a terminal it was said already.
#[expect(clippy::print_stdout, reason = "standard output carries data")]
pub(super) fn say_data(text: &str) {
    if !std::io::stdout().is_terminal() {
        println!("{text}");
    }
}

/// A line of talk, or several. Much of it is what an application said: its control characters are shown and not obeyed. Nobody may be
/// listening any more; that is no reason to stop.
pub(super) fn talk(text: &str) {
    drop(writeln!(std::io::stderr(), "{}", plain(text)));
}

/// Text that drives no terminal.
pub(super) fn plain(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// Tells a person, line by line, how far the work is.
pub(super) struct Talk;

impl Progress for Talk {
    fn step(&self, word: &str, text: &str) {
        talk(&format!("{word:>9}  {text}"));
    }

    fn warn(&self, text: &str) {
        talk(&format!("warning: {text}"));
    }
}
