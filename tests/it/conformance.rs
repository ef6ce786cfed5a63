//! The conformance suite (`tests/conformance`), and gunicorn's corpus of requests, held against wasgi: the real driver, the real component.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

use crate::support::{Host, root, test_python, wasgi};

/// The suite's application, built once a test run.
fn application() -> PathBuf {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conformance.wasm");
        let mut build = wasgi();
        build.arg("build").arg("wsgi_conformance.app:application").arg("-o").arg(&file).current_dir(suite());
        let ran = build.output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        (folder, file)
    });
    file.clone()
}

fn suite() -> PathBuf {
    root().join("tests/conformance")
}

fn python(arguments: &[&str]) -> Output {
    Command::new(test_python()).args(arguments).current_dir(suite()).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap()
}

/// What did not pass, with all that was expected and came; and how many cases did.
fn judged(isolation: &str) -> (Vec<String>, usize) {
    let notes = tempfile::tempdir().unwrap();
    let data = notes.path().to_str().unwrap();
    let flags = [
        "--isolation",
        isolation,
        "--data",
        data,
        "-e",
        "WSGI_CONFORMANCE_NOTES=/data",
        "--head-read-timeout",
        "1s",
        "--idle-timeout",
        "1s",
    ];
    let host = Host::serving(&application(), &flags);
    let ran = python(&["-m", "wsgi_conformance", "--url", &format!("http://{}", host.address), "--clock", "1", "--json"]);
    let results: Vec<Value> = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let expected = ["passed", "beside", "deferred"];
    let wrong = results.iter().filter(|result| !expected.contains(&result["outcome"].as_str().unwrap()));
    let passed = results.iter().filter(|result| result["outcome"] == "passed").count();
    (wrong.map(|result| format!("{} {} {}", result["case"], result["http"], result["checks"])).collect(), passed)
}

#[test]
fn every_case_of_the_suite_holds_with_an_instance_a_request() {
    assert_eq!(judged("request"), (vec![], CASES));
}

#[test]
fn every_case_of_the_suite_holds_with_reused_instances() {
    assert_eq!(judged("reuse"), (vec![], CASES));
}

/// Cases, over both versions of HTTP: a suite that loses some on the way proves less.
const CASES: usize = 186;

#[test]
fn gunicorns_corpus_is_refused_and_accepted_but_for_what_is_listed() {
    let corpus = test_python().ancestors().nth(2).unwrap().join("gunicorn-27.0.1/tests/requests");
    let (program, file) = (env!("CARGO_BIN_EXE_wasgi"), application());
    let ran = python(&["corpus.py", program, file.to_str().unwrap(), corpus.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&ran.stdout).lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    let expected = [
        "81 invalid: 77 refused, 4 not, each with its reason",
        "62 valid: 29 accepted, 14 accepted with a Host added (RFC 9112, 3.2), 19 not, each with its reason",
    ];
    assert_eq!((told.iter().map(String::as_str).collect::<Vec<_>>(), ran.status.code()), (expected.to_vec(), Some(0)), "{ran:?}");
}
