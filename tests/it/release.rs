//! The environment is the configuration: what an application reads while it is imported is what its tenant's environment says where it is
//! served (12 factor: build, release, run).

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Host, Tenants, ended, python, tenant_app, wait_for, wasgi};

/// An application of these files, built.
fn built(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join("source").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let ran = wasgi().arg("build").arg(folder.path().join("source")).arg("-o").arg(folder.path().join("app.wasm")).output().unwrap();
    fs::write(folder.path().join("said"), &ran.stderr).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    folder
}

fn said(built: &tempfile::TempDir) -> String {
    fs::read_to_string(built.path().join("said")).unwrap()
}

fn host(built: &tempfile::TempDir, flags: &[&str]) -> Host {
    Host::serving(&built.path().join("app.wasm"), flags)
}

const READS: &str = r#"
import hashlib, os, random, secrets, uuid

KEY = os.environ.get("KEY", "none")
count = 0


def app(environ, start_response):
    global count
    count += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    page = {
        "/key": lambda: f"{KEY} {os.environ.get('KEY')} {sorted(os.environ)}",
        "/fresh": lambda: f"{random.random()} {secrets.token_hex(8)} {uuid.uuid4()} {os.urandom(8).hex()}",
        "/count": lambda: count,
        "/hash": lambda: hash("text"),
    }[environ["PATH_INFO"]]
    return [str(page()).encode()]
"#;

#[test]
fn a_variable_is_seen_by_code_that_reads_it_while_it_is_imported_in_every_isolation() {
    let app = built(&[("app.py", READS)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    fs::write(&file, "KEY=\"from a file\"\n").unwrap();
    for (isolation, flags, expected) in [
        ("request", &["-e", "KEY=typed"][..], "typed typed ['HOME', 'KEY']"),
        ("reuse", &["-e", "KEY=typed"], "typed typed ['HOME', 'KEY']"),
        ("request", &["--env-file", file.to_str().unwrap()], "from a file from a file ['HOME', 'KEY']"),
        ("request", &[], "none None ['HOME']"),
    ] {
        let host = host(&app, &[&["--tenant", "reads", "--isolation", isolation], flags].concat());
        assert_eq!([host.get("/key").text(), host.get("/key").text()], [expected, expected], "{isolation} {flags:?}");
    }
}

#[test]
fn a_release_lies_in_a_private_folder_of_its_tenants_and_ends_with_its_environment() {
    let app = built(&[("app.py", READS)]);
    let cache = tempfile::tempdir().unwrap();
    let serve = |key: &str| drop(host(&app, &["--tenant", "kept", "--cache-dir", cache.path().to_str().unwrap(), "-e", key]));
    let releases = || {
        let mut found: Vec<_> = fs::read_dir(cache.path().join("releases/kept")).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    serve("KEY=a needle in the first release");
    let first = releases();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(first.iter().map(|file| mode(file)).collect::<Vec<_>>(), [0o600]);
    assert_eq!(mode(&cache.path().join("releases/kept")), 0o700);
    let holds = |file: &Path, text: &str| fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&first[0], "a needle in the first release"));
    // No other file on disk has it.
    for entry in walkdir::WalkDir::new(cache.path()).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file()) {
        assert!(entry.path() == first[0] || !holds(entry.path(), "a needle in the first release"), "{}", entry.path().display());
    }
    assert!(!holds(&app.path().join("app.wasm"), "a needle"));
    serve("KEY=another");
    let second = releases();
    assert!(second.len() == 1 && second != first, "{second:?}");
}

#[test]
fn the_environment_is_not_in_the_process_list() {
    let app = built(&[("app.py", READS)]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    fs::write(&file, "KEY=not for everybody\n").unwrap();
    let cache = folder.path().join("cache");
    // The compiler runs while the host starts; whatever it is called with is seen from outside.
    let mut host = wasgi();
    host.arg("serve")
        .arg(app.path().join("app.wasm"))
        .args(["--bind", "127.0.0.1:0", "--env-file"])
        .arg(&file)
        .arg("--cache-dir")
        .arg(&cache);
    let mut child = host.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut seen = String::new();
    let began = || fs::read_dir(cache.join("releases")).is_ok_and(|mut tenants| tenants.next().is_some());
    while !(began() && seen.contains("stage")) {
        for entry in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            seen.push_str(&String::from_utf8_lossy(&line));
        }
        assert!(child.try_wait().unwrap().is_none(), "the host ended");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.contains("stage") && !seen.contains("not for everybody"));
}

#[test]
fn random_numbers_differ_in_every_request_and_the_hash_seed_does_not() {
    let app = built(&[("app.py", READS)]);
    for isolation in ["request", "rewind", "reuse"] {
        let host = host(&app, &["--tenant", "reads-fresh", "--isolation", isolation]);
        let pages: Vec<_> = (0..8).map(|_| host.get("/fresh").text()).collect();
        for column in 0..4 {
            let values: std::collections::HashSet<_> = pages.iter().map(|page| page.split(' ').nth(column).unwrap().to_owned()).collect();
            assert_eq!(values.len(), 8, "column {column} of {pages:?}");
        }
        assert_eq!(host.get("/hash").text(), host.get("/hash").text());
    }
}

const DRAWS: &str = r#"
import pickle
import random
from random import getrandbits, random as draw

random.seed(7)
first = draw()
random.gauss()
shuffle = random.shuffle


class Own:
    drawn = random.random


def refused(call, *arguments):
    try:
        call(*arguments)
    except (TypeError, ValueError):
        return draw()


def remembered():
    state = random.getstate()
    drawn = draw(), getrandbits(64), random.choice("abcdef")
    random.setstate(state)
    return drawn == (draw(), getrandbits(64), random.choice("abcdef"))


def shuffled():
    order = list(range(64))
    shuffle(order)
    return order


def seeded():
    random.seed(5)
    return random.random(), getrandbits(8), random.randint(1, 1000), random.choice("abcdef"), random.gauss(0, 1)


def copied():
    text = pickle.dumps(random._inst)
    copy, function = pickle.loads(text), pickle.loads(pickle.dumps(draw))
    drawn = draw()
    return b"wasgi" not in text and type(copy) is random.Random and copy.random() == function() == drawn


DRAWN = {
    "/draw": draw,
    "/of-a-class": Own().drawn,
    "/getrandbits": lambda: getrandbits(64),
    "/gauss": random.gauss,
    "/shuffled": shuffled,
    "/state": lambda: (hash(random.getstate()), draw())[0],
    "/no-seed": lambda: refused(random.seed, []),
    "/no-state": lambda: refused(random.setstate, (3, (1, 2), None)),
    "/no-bits": lambda: refused(getrandbits, -1),
}
SAME = {
    "/seeded": seeded,
    "/remembered": remembered,
    "/copied": copied,
    "/first": lambda: first,
    "/named": lambda: [draw.__name__, random.seed.__module__, bool(random.seed.__doc__), draw.__self__ is random._inst],
}


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str((DRAWN | SAME)[environ["PATH_INFO"]]()).encode()]
"#;

#[test]
fn random_is_seeded_by_its_first_draw_or_by_the_application_whatever_is_called_first() {
    let app = built(&[("app.py", DRAWS), ("wasgi.toml", "[build]\nwarm = ['/gauss', '/seeded']\n")]);
    for isolation in ["request", "rewind", "reuse"] {
        let host = host(&app, &["--tenant", "draws", "--isolation", isolation]);
        let drawn = ["/draw", "/of-a-class", "/getrandbits", "/gauss", "/shuffled", "/state", "/no-seed", "/no-state", "/no-bits"];
        for path in drawn {
            let pages: BTreeSet<_> = (0..6).map(|_| host.get(path).text()).collect();
            assert!(pages.len() == 6 && !pages.contains("None"), "{path} of {isolation}: {pages:?}");
        }
        for (path, expected) in [
            ("/seeded", "(0.6229016948897019, 189, 368, 'f', 1.5350209558369885)"),
            ("/remembered", "True"),
            ("/copied", "True"),
            ("/first", "0.32383276483316237"),
            ("/named", "['random', 'random', True, True]"),
        ] {
            let pages = [host.get(path).text(), host.get(path).text()];
            assert_eq!(pages, [expected, expected], "{path} of {isolation}");
        }
    }
}

#[test]
fn random_that_an_import_loads_anew_differs_in_every_instance_too() {
    let source = "import importlib, random\n\nimportlib.reload(random)\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [str(random.random()).encode()]\n";
    let app = built(&[("app.py", source)]);
    for isolation in ["request", "rewind", "reuse"] {
        let host = host(&app, &["--tenant", "reloads", "--isolation", isolation]);
        let pages: BTreeSet<_> = (0..6).map(|_| host.get("/").text()).collect();
        assert_eq!(pages.len(), 6, "{isolation}: {pages:?}");
    }
}

#[test]
fn a_page_with_a_wrong_head_is_told_when_it_is_warmed_and_the_application_is_served() {
    let source = "def app(environ, start_response):\n    if environ['PATH_INFO'] == '/wrong':\n        start_response(200, [])\n    start_response('200 OK', [])\n    return [b'ok']\n";
    let app = built(&[("app.py", source), ("wasgi.toml", "[build]\nwarm = ['/wrong', '/']\n")]);
    let host = host(&app, &["--tenant", "warmed-wrong"]);
    assert_eq!(host.get("/").text(), "ok");
    host.logged(&["/wrong", "TypeError"]);
}

#[test]
fn what_an_import_draws_no_other_tenant_knows() {
    let app = built(&[(
        "app.py",
        "import random\n\nDRAWN = random.random()\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [str(DRAWN).encode()]\n",
    )]);
    let drawn = ["draws-one", "draws-two"].map(|tenant| host(&app, &["--tenant", tenant]).get("/").text());
    assert!(drawn[0].starts_with("0.") && drawn[0] != drawn[1], "{drawn:?}");
}

const ENDS: &str = r#"
import functools
import sys
import types
import weakref

ended = []


class Asked(type):
    """Its classes have no hash, and nobody may ask them."""

    def __eq__(self, other):
        raise AssertionError("application code runs")


class Odd(metaclass=Asked):
    pass


class Held:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        ended.append(self.name)


class Spaced(types.ModuleType):
    def __del__(self):
        ended.append("a module")


def closing(held):
    return lambda: held


def wrapping(function):
    @functools.wraps(function)
    def wrapped():
        return function()

    return wrapped


def having(held):
    def function():
        pass

    function.attribute = held
    return function


def defaulting(held):
    def function(one=held, *, other=1):
        pass

    return function


class Space:
    held = Held("of a class")
    size = property(lambda self: 1)

    @classmethod
    def typed(cls, first: int, second: str = "a second one", *, third: bool = False) -> "Space":
        return cls


odd = Odd()
things = {
    "plain": Held("plain"),
    "listed": [Held("in a list")],
    "paired": (Held("in a tuple"), 1),
    "closed": closing(Held("closed over")),
    "wrapped": wrapping(wrapping(closing(Held("wrapped")))),
    "having": having(Held("an attribute")),
    "defaulting": defaulting(Held("a default")),
    "property": property(closing(Held("of a property"))),
    "method": ([Held("of a method")].append,),
    "module": Spaced("spaced"),
    "unknown": types.ModuleType("unknown"),
    "elsewhere": types.FunctionType(closing.__code__, {"held": Held("global elsewhere")}),
}
things["unknown"].held = Held("of an unknown module")
names = list(things)
globals().update(things)
things.clear()
lasting = ("a text", 1.5, frozenset({2.5}))
decorated = wrapping(wrapping(closing(3.5)))
watched = closing(1)
watch = weakref.ref(watched, lambda watch: ended.append("watched"))


def app(environ, start_response):
    before = sorted(ended)
    globals().update(dict.fromkeys(names))
    globals()["watched"] = Space.held = None
    typed = Space.__dict__["typed"].__func__
    last = [app, app.__code__, app.__code__.co_consts, closing, Held, Held.__init__, sys.modules["app"], globals(), Space.size, Asked]
    last += [*lasting, lasting, decorated, decorated.__wrapped__, decorated.__closure__[0], decorated.__wrapped__.__wrapped__.__closure__[0]]
    last += [Space.__dict__["typed"], typed, typed.__annotate__, *typed.__defaults__, *typed.__kwdefaults__.values()]
    mortal = [thing for thing in last if not sys._is_immortal(thing)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{sys.getrefcount(app)} {mortal} {before} {sorted(ended)}".encode()]
"#;

#[test]
fn what_lasts_is_immortal_in_a_release_and_the_end_of_everything_else_is_noticed() {
    let app = built(&[("app.py", ENDS)]);
    let all = "['a default', 'a module', 'an attribute', 'closed over', 'global elsewhere', 'in a list', 'in a tuple', 'of a class', \
               'of a method', 'of a property', 'of an unknown module', 'plain', 'watched', 'wrapped']";
    // What CPython takes for immortal, where a pointer has 32 bits.
    let first = format!("{} [] [] {all}", 5 << 28);
    for isolation in ["request", "rewind", "reuse"] {
        let host = host(&app, &["--tenant", "ends", "--isolation", isolation, "--workers", "1"]);
        let second = if isolation == "reuse" { format!("{} [] {all} {all}", 5 << 28) } else { first.clone() };
        assert_eq!([host.get("/").text(), host.get("/").text()], [first.clone(), second], "{isolation}");
    }
}

#[test]
fn a_secret_made_at_import_is_warned_about_at_build_and_at_release() {
    let app = built(&[(
        "app.py",
        "import secrets\n\nKEY = secrets.token_hex(16)\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [KEY.encode()]\n",
    )]);
    let warning = "app.py:3 takes random bytes while it is imported: a secret made there is the same in every instance of";
    assert!(said(&app).contains(warning), "{}", said(&app));
    let host = host(&app, &["--tenant", "secret-at-import"]);
    let first = host.get("/").text();
    assert_eq!((first.len(), host.get("/").text()), (32, first));
    assert!(host.log_lines(warning).len() <= 1);
}

#[test]
fn requests_before_the_first_request_warm_and_leave_nothing_but_what_modules_count() {
    let app = built(&[("wasgi.toml", "[build]\nwarm = ['/count', '/fresh', '/count', '/nowhere']\n"), ("app.py", READS)]);
    let host = host(&app, &["--tenant", "warmed"]);
    let counted: [u32; 2] = [(); 2].map(|()| host.get("/count").text().parse().unwrap());
    // Three times each that succeeds, or up to seventeen where that is quick; what fails comes once, and then there is this one.
    assert!(counted[0] == counted[1] && (3 * 3 + 2..=3 * 17 + 2).contains(&counted[0]), "{counted:?}");
    let fresh: std::collections::HashSet<_> = (0..4).map(|_| host.get("/fresh").text()).collect();
    assert_eq!(fresh.len(), 4);
}

#[test]
fn an_application_that_needs_too_much_to_be_imported_is_told_so() {
    let app = built(&[(
        "app.py",
        "import os\n\nif os.environ.get('SLOW'):\n    while True:\n        pass\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n",
    )]);
    let serve = |flags: &[&str]| {
        let ran = wasgi()
            .arg("serve")
            .arg(app.path().join("app.wasm"))
            .args(["--tenant", "slow-import", "--bind", "127.0.0.1:0"])
            .args(flags)
            .output()
            .unwrap();
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (code, said) = serve(&["-e", "SLOW=1", "--release-cpu", "500ms"]);
    assert!(code == Some(1) && said.contains("its CPU limit is used up") && said.contains("hint: `--release-cpu`"), "{said}");
}

#[test]
fn a_connection_that_is_opened_at_import_is_open_in_every_instance() {
    let source = "import sqlite3\n\ndb = sqlite3.connect('/data/a.db')\nmemory = sqlite3.connect(':memory:')\nmemory.execute('CREATE TABLE t (x)')\ndb.execute('CREATE TABLE IF NOT EXISTS t (x)')\ndb.commit()\n\n\ndef app(environ, start_response):\n    db.execute('INSERT INTO t VALUES (1)')\n    memory.execute('INSERT INTO t VALUES (1)')\n    db.commit()\n    start_response('200 OK', [])\n    counts = [one.execute('SELECT COUNT(*) FROM t').fetchone()[0] for one in (db, memory)]\n    return [repr(counts).encode()]\n";
    let app = built(&[("app.py", source)]);
    let data = tempfile::tempdir().unwrap();
    let host = host(&app, &["--tenant", "opened", "--data", data.path().to_str().unwrap()]);
    assert_eq!([host.get("/").text(), host.get("/").text()], ["[1, 1]", "[2, 1]"]);
}

#[test]
fn werkzeugs_debugger_is_refused_in_production() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("requirements.txt"), "flask==3.1.3\n").unwrap();
    let source = "from flask import Flask\nfrom werkzeug.debug import DebuggedApplication\n\napp = Flask(__name__)\napp.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True)\n";
    fs::write(folder.path().join("app.py"), source).unwrap();
    let ran = wasgi().arg("build").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(1) && said.contains("error: Werkzeug's debugger is on, which runs what a browser types"), "{said}");
}

#[test]
fn bad_variables_are_usage_errors() {
    let app = python("tests/apps/python");
    let serve = |flags: &[&str]| {
        let ran = ended(wasgi().arg("serve").arg(&app).args(["--bind", "127.0.0.1:0"]).args(flags));
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(
        serve(&["-e", "1A=x"]),
        (Some(2), "error: `1A` is no name of a variable: letters, digits and `_`, and no digit first".into())
    );
    assert_eq!(
        serve(&["-e", "NOT_THERE"]),
        (Some(2), "error: -e NOT_THERE: the environment has no such variable, or it is no text".into())
    );
    assert_eq!(serve(&["--env-file", "/nowhere"]).0, Some(2));
}

/// Files of the cache's part that are mapped as code in a process, each as often as it is.
fn code_of(process: u64, part: &str) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let code = maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|mode| mode.contains('x')));
    code.filter(|line| line.contains(part)).filter_map(|line| line.rsplit('/').next().map(str::to_owned)).collect()
}

#[test]
fn the_interpreter_is_in_a_worker_once_for_all_applications_that_are_linked_with_it() {
    let more = "isolation = \"reuse\"";
    let [one, other] = ["SECOND", "FIRST"].map(|text| {
        built(&[("app.py", &format!("def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{text}']\n"))])
    });
    let apps = [tenant_app("linked-a", &one.path().join("app.wasm"), more), tenant_app("linked-b", &other.path().join("app.wasm"), more)];
    let host = Tenants::serving(&apps.concat());
    // Which of the workers answers is chance.
    let libraries = wait_for("a worker that has both", || {
        assert_eq!((host.get("linked-a.test", "/").text(), host.get("linked-b.test", "/").text()), ("SECOND".into(), "FIRST".into()));
        let both = host.workers().into_iter().find(|worker| code_of(*worker, "/releases/linked-").len() == 2)?;
        Some(code_of(both, "/libraries/"))
    });
    let distinct: BTreeSet<_> = libraries.iter().collect();
    assert!(distinct.len() == libraries.len() && distinct.len() > 1, "{libraries:?}");
}
