//! `wasgi serve --strict`: what an application does that it may not, told in its log with the rule's name; for a guest in any language.

use crate::support::{Host, python};

#[test]
fn a1_to_a14_what_a_python_application_breaks_is_found_and_a_good_one_breaks_nothing() {
    let host = Host::serving(&python("tests/apps/strict"), &["--strict", "--uploads", "streamed"]);
    assert_eq!(host.get("/good").text(), "good");
    assert_eq!(host.get("/a13").text(), "abcd", "an item for each inner one, if only an empty one");
    host.logged(&["wasgi::access", "path=/a13"]);
    assert_eq!(host.log_lines("rule="), [""; 0]);

    let found = |page: &str, rule: &str| {
        let reply = match page {
            "a7" => host.send(b"POST /a7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
            _ => host.get(&format!("/{page}")),
        };
        host.logged(&[&format!("rule=\"{rule}\"")]);
        (reply.code(), reply.whole)
    };
    assert_eq!(found("a2", "A2"), (500, true));
    assert_eq!(found("a3", "A3"), (200, true));
    assert_eq!(found("a5", "A5"), (200, true));
    assert_eq!(found("a6", "A6").0, 200);
    assert_eq!(found("a7", "A7"), (200, true));
    assert_eq!(found("a8", "A8"), (200, true));
    assert_eq!(found("a9", "A9"), (500, true));
    assert_eq!(found("a10", "A10"), (500, true));
    assert_eq!(found("a11", "A11").0, 200);
    assert_eq!(found("a12", "A12").0, 200);
    assert_eq!(found("a14", "A14").0, 200);
    host.logged(&["path=/a14"]);
    let rules: Vec<_> = host.log_lines("rule=").iter().map(|line| line.split_once("rule=").unwrap().1.to_owned()).collect();
    let expected = ["A2", "A3", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A14"].map(|rule| format!("\"{rule}\""));
    assert_eq!(rules, expected, "each page breaks its own rule and no other");
    // What cannot be served is refused with or without --strict.
    assert_eq!(host.get("/a4").code(), 500);
    host.logged(&["TypeError: the application yielded str, not bytes"]);
}

#[test]
fn a2_a3_a8_a_rust_application_is_held_to_the_same_rules() {
    let host = Host::behaving(&["--strict"]);
    for (path, rule) in [("/never-start", "A2"), ("/start-twice", "A3"), ("/latin-1", "A8")] {
        host.get(path);
        host.logged(&["wasgi::app", &format!("rule=\"{rule}\"")]);
    }
}

#[test]
fn nothing_is_looked_for_unless_it_is_asked_for() {
    let host = Host::behaving(&[]);
    host.get("/latin-1");
    host.logged(&["wasgi::access", "path=/latin-1"]);
    assert_eq!(host.log_lines("rule="), [""; 0]);
}
