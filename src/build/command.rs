//! Runs the tools of a build, and reads what they print.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
};

use super::BuildFault;

/// Runs a command to its end.
pub(super) fn output(command: &mut Command) -> Result<Output, BuildFault> {
    let program = command.get_program().to_owned();
    command.stdin(Stdio::null()).output().map_err(|error| {
        let program = Path::new(&program).file_name().unwrap_or(OsStr::new("a tool")).to_string_lossy().into_owned();
        BuildFault::new(format!("`{program}` cannot be run"), error.to_string(), "")
    })
}

/// What a command printed.
pub(super) fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// The fault of a pip that reaches no index, which is told apart from a package that is not there.
pub(super) fn unreachable_index(printed: &str) -> Option<BuildFault> {
    let signs = [
        "NewConnectionError",
        "Temporary failure in name resolution",
        "ConnectTimeoutError",
        "ProxyError",
        "Max retries exceeded",
        "SSLError",
        "Failed to establish",
    ];
    signs.iter().any(|sign| printed.contains(sign)).then(|| {
        let hint = "check the network; behind a mirror, set `index-url` in pip's configuration or PIP_INDEX_URL";
        BuildFault::new("the package index cannot be reached", last_lines(printed), hint)
    })
}

/// The last lines of a long text.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
}
