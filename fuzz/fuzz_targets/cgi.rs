//! A CGI environment of any kind: a request with native strings and no name twice, or the reason why it is none.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, included by path")]

#[path = "../../src/environ/mod.rs"]
mod environ;
#[path = "../../src/fault.rs"]
mod fault;
#[path = "../../src/tenant.rs"]
mod tenant;

use environ::{CgiRequest, ScriptName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>, Vec<u8>, Vec<u8>, bool)| {
    let (mut variables, script, path, length, doubled) = input;
    for (name, value) in [("REQUEST_METHOD", b"GET".to_vec()), ("SCRIPT_NAME", script), ("PATH_INFO", path), ("CONTENT_LENGTH", length)] {
        variables.push((name.into(), value));
    }
    let how = if doubled { ScriptName::Doubled } else { ScriptName::Plain };
    if let Ok(request) = CgiRequest::new(variables, how, "id") {
        let pairs = request.environ.into_pairs();
        let names: std::collections::HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), pairs.len());
        for (name, value) in &pairs {
            assert!(!matches!(
                name.as_str(),
                "HTTP_PROXY" | "PATH_TRANSLATED" | "SSL_CERT_FILE" | "HTTP_FORWARDED" | "HTTP_CONTENT_LENGTH"
            ));
            assert!(name != "SCRIPT_NAME" || value.is_empty() || value.starts_with('/') && value != "/");
        }
        assert!(pairs.iter().all(|(name, value)| name.chars().chain(value.chars()).all(|c| c <= '\u{ff}')));
    }
});
