//! Applications in other languages than Python, from an empty folder on: `wasgi new`, `build`, `serve`, `dev`, `check`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{DEADLINE, Host, Reply, ended, wasgi};

/// An application that `wasgi new` began.
struct Begun {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Begun {
    fn of(template: &str, name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ran = wasgi().current_dir(folder.path()).args(["new", "-t", template, name]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{name}\n"));
        Self { folder, name }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What a build says.
    fn said(&self, flags: &[&str]) -> (bool, String) {
        let ran = wasgi().current_dir(self.folder.path()).args(["build", self.name]).args(flags).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).replace(&*self.path().to_string_lossy(), "HERE"))
    }

    /// The built file.
    fn built(&self, flags: &[&str]) -> PathBuf {
        let (built, said) = self.said(flags);
        assert!(built, "{said}");
        self.path().join(format!("dist/{}.wasm", self.name))
    }

    /// Built, and built again, and served.
    fn served(&self, flags: &[&str]) -> Host {
        let file = self.built(&[]);
        assert!(self.said(&[]).1.contains("is up to date"));
        Host::serving(&file, flags)
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let file = self.file(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }
}

fn says(host: &Host, expected: &str) {
    let reply = host.get("/caf%C3%A9");
    assert_eq!((reply.code(), String::from_utf8_lossy(&reply.body).into_owned()), (200, expected.to_owned()));
}

#[test]
fn a_new_application_in_rust_is_built_and_served_also_by_cargo_alone_and_while_it_is_written() {
    let begun = Begun::of("rust", "in_rust");
    says(&begun.served(&[]), "Hello from in_rust at /caf\u{e9}\n");

    begun.replace("src/lib.rs", "environ.path()", "environ.paht()");
    let said = refused(&begun);
    assert!(
        said.starts_with("error: cargo failed\n") && said.contains("no method named `paht`") && said.contains("src/lib.rs:7"),
        "{said}"
    );
    begun.replace("src/lib.rs", "environ.paht()", "environ.path()");
    begun.replace("Cargo.toml", "crate-type = [\"cdylib\"]", "");
    assert!(refused(&begun).contains("Cargo.toml makes no component\nhint: its library needs `crate-type = [\"cdylib\"]`"));
    begun.replace("Cargo.toml", "[lib]\n", "[lib]\ncrate-type = [\"cdylib\"]\n");

    begun.replace("src/lib.rs", "Hello from", "By cargo:");
    let mut cargo = Command::new("cargo");
    let ran = cargo
        .current_dir(begun.path())
        .env_remove("CARGO_TARGET_DIR")
        .args(["build", "--release", "--quiet", "--target", "wasm32-wasip2"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    says(&Host::serving(&begun.file("target/wasm32-wasip2/release/in_rust.wasm"), &[]), "By cargo: in_rust at /caf\u{e9}\n");

    begun.replace("src/lib.rs", "By cargo:", "Hello from");
    let host = developed(&begun, "src/lib.rs", ("environ.path()", "environ.paht()"), "no method named `paht`");
    begun.replace("src/lib.rs", "    Ok(", "    if environ.path() == \"/trap\" {\n        panic!(\"on purpose\");\n    }\n    Ok(");
    until(&host, "/trap", |reply| reply.code() == 500);
    shows(&host, "/trap", "<h2>src/lib.rs line 8</h2>", "panic!(&quot;on purpose&quot;)");
    host.logged(&["on purpose"]);
}

#[test]
fn a_new_application_in_c_is_built_and_served() {
    says(&Begun::of("c", "in_c").served(&[]), "Hello from in_c at /caf\u{e9}\n");
}

#[test]
fn a_new_application_in_go_is_built_and_served() {
    says(&Begun::of("go", "in_go").served(&[]), "Hello from in_go at /caf\u{e9}\n");
}

#[test]
fn a_new_application_in_javascript_is_built_and_served_by_both_engines() {
    let begun = Begun::of("javascript", "in_js");
    says(&begun.served(&[]), "Hello from in_js at /caf%C3%A9\n");
    fs::write(begun.file("wasgi.toml"), "[javascript]\nengine = \"quickjs\"\n").unwrap();
    says(&begun.served(&[]), "Hello from in_js at /caf%C3%A9\n");
}

#[test]
fn a_new_application_in_python_is_built_and_served() {
    says(&Begun::of("wsgi", "in_wsgi").served(&[]), "Hello from in_wsgi at /caf\u{e9}\n");
    let flask = Begun::of("flask", "in_flask").served(&[]);
    assert!(flask.get("/?name=%3Cme%3E").text().contains("<h1>Hello from in_flask</h1>"));
    assert!(flask.get("/?name=%3Cme%3E").text().contains("Hello, &lt;me&gt;!"));
}

#[test]
fn a_new_project_in_django_is_built_and_served_with_its_admin() {
    let begun = Begun::of("django", "in_django");
    let secrets = begun.file(".env");
    let key = fs::read_to_string(&secrets).unwrap();
    assert!(key.lines().any(|line| line.starts_with("SECRET_KEY=") && line.len() == "SECRET_KEY=".len() + 64), "{key}");
    assert_ne!(key, fs::read_to_string(Begun::of("django", "other").file(".env")).unwrap());
    let data = tempfile::tempdir().unwrap();
    let flags = ["--env-file", secrets.to_str().unwrap(), "--data", data.path().to_str().unwrap()];
    let file = begun.built(&["--env-file", secrets.to_str().unwrap()]);
    let migrated = wasgi().arg("manage").args(flags).arg(&file).arg("migrate").output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let host = Host::serving(&file, &[&flags[..], &["-e", "ALLOWED_HOSTS=a.test"]].concat());
    assert!(host.get("/?name=me").text().contains("Hello, me!"));
    assert!(host.get("/admin/login/").text().contains("csrfmiddlewaretoken"));
    assert_eq!(host.get("/static/admin/css/base.css").code(), 200);
}

#[test]
fn a_name_is_refused_that_some_tool_could_not_take() {
    let folder = tempfile::tempdir().unwrap();
    let ran = wasgi().current_dir(folder.path()).args(["new", "-t", "c", "my-app"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && said.starts_with("error: `my-app` cannot name an application\nhint: "), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_application_without_an_sdk_folder_is_given_it_again() {
    let begun = Begun::of("c", "cloned");
    fs::remove_dir_all(begun.file(".wasgi")).unwrap();
    begun.built(&[]);
    assert_eq!(fs::read_to_string(begun.file(".wasgi/.gitignore")).unwrap(), "*\n");
    assert_eq!(fs::read_to_string(begun.file(".gitignore")).unwrap(), ".wasgi/\ndist/\n");
}

#[test]
fn static_files_of_every_language_are_the_hosts() {
    let begun = Begun::of("c", "with_files");
    fs::create_dir(begun.file("public")).unwrap();
    fs::write(begun.file("public/style.css"), "body {}").unwrap();
    fs::write(begun.file("wasgi.toml"), "[static]\n\"/static/\" = \"public\"\n[env]\nA = \"1\"\n").unwrap();
    begun.replace("app.c", "return wasgi_format(", "return wasgi_format(\"%s \", getenv(\"A\")); (void)(");
    begun.replace("app.c", "#include", "#include <stdlib.h>\n#include");
    let host = begun.served(&[]);
    let style = host.get("/static/style.css");
    assert_eq!((style.text(), style.field("content-type")), ("body {}".into(), Some("text/css")));
    assert_eq!(host.get("/").text(), "1 ");
    fs::remove_dir_all(begun.file("public")).unwrap();
    let (built, said) = begun.said(&[]);
    assert!(!built && said.contains("error: static.\"/static/\": there is no folder HERE/public\nhint: "), "{said}");
}

/// A build that must fail; what it says from the error on.
fn refused(begun: &Begun) -> String {
    let (built, said) = begun.said(&[]);
    assert!(!built, "{said}");
    said[said.find("error:").unwrap()..].to_owned()
}

#[test]
fn a_mistake_is_told_in_the_compilers_words() {
    let c = Begun::of("c", "wrong");
    c.replace("app.c", "wasgi_format(", "wasgi_fromat(");
    let said = refused(&c);
    assert!(said.starts_with("error: the C compiler failed\n") && said.contains("app.c:6:12: error:"), "{said}");
    fs::write(c.file("app.c"), "int x;\n").unwrap();
    assert!(refused(&c).ends_with("hint: define `wasgi_body application(wasgi_environ *, wasgi_start_response *)`, as wasgi.h says\n"));
    fs::write(c.file("wasgi.toml"), "[c]\nsources = [\"none.c\"]\n").unwrap();
    assert_eq!(refused(&c), "error: c.sources: there is no file HERE/none.c\n");

    let go = Begun::of("go", "wrong");
    go.replace("app.go", "request.URL.Path", "request.URL.Paht");
    let said = refused(&go);
    assert!(said.starts_with("error: the Go compiler failed\n") && said.contains("app.go:14:65: request.URL.Paht undefined"), "{said}");
    fs::write(go.file("go.mod"), "module wrong\n\ngo 1.24\n").unwrap();
    assert!(refused(&go).contains("hint: go.mod needs `require wasgi v0.0.0`"), "{}", refused(&go));

    let javascript = Begun::of("javascript", "wrong");
    fs::write(javascript.file("wasgi.toml"), "[javascript]\nengine = \"quickjs\"\n").unwrap();
    fs::write(javascript.file("app.js"), "export const application = (\n").unwrap();
    let said = refused(&javascript);
    assert!(said.starts_with("error: the application does not become a component\n") && said.contains("app.js:2:0"), "{said}");
    fs::write(javascript.file("app.js"), "import \"none\";\nexport const application = 1;\n").unwrap();
    assert!(refused(&javascript).contains("Could not resolve \"none\""));
    fs::write(javascript.file("app.js"), "export const application = 1;\n").unwrap();
    assert!(refused(&javascript).contains("no application: export a function with the name `application`"), "{}", refused(&javascript));
    fs::write(javascript.file("package.json"), "{\"main\": \"none.js\"}").unwrap();
    assert_eq!(refused(&javascript), "error: HERE/package.json names `none.js` as its main file, which is not there\n");
    fs::write(javascript.file("wasgi.toml"), "[javascript]\nengine = \"v8\"\n").unwrap();
    assert!(refused(&javascript).contains("unknown variant `v8`, expected `starlingmonkey` or `quickjs`"));
}

#[test]
fn a_missing_tool_is_named_with_what_installs_it() {
    let cache = tempfile::tempdir().unwrap();
    let said = |template: &str| {
        let begun = Begun::of(template, "poor");
        let mut command = wasgi();
        let ran = command.arg("build").arg(begun.path()).arg("--cache-dir").arg(cache.path()).env("PATH", "/nowhere").output().unwrap();
        assert_eq!(ran.status.code(), Some(1));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        said[said.find("error:").unwrap()..].to_owned()
    };
    let rust = said("rust");
    assert!(
        rust.starts_with("error: `cargo` cannot be run\n") && rust.ends_with("hint: install Rust by rustup: https://rustup.rs\n"),
        "{rust}"
    );
    for template in ["c", "go"] {
        let python = said(template);
        assert!(python.contains("hint: install Python 3.10 or newer with venv and pip: `apt-get install"), "{python}");
    }
    let node = said("javascript");
    assert!(node.starts_with("error: `node` cannot be run\n") && node.contains("hint: install Node.js 20 or newer with npm: "), "{node}");
}

/// Asks until a reply is as wanted.
fn until(host: &Host, path: &str, wanted: impl Fn(&Reply) -> bool) {
    let started = Instant::now();
    loop {
        let reply = host.try_get(path);
        if reply.as_ref().is_some_and(&wanted) {
            return;
        }
        assert!(started.elapsed() < 2 * DEADLINE, "{:?}", reply.map(|reply| reply.text()));
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A page of `wasgi dev` for a mistake at `path`: the place, and the line.
fn shows(host: &Host, path: &str, place: &str, line: &str) {
    let page = host.ask("GET", path, "Accept: text/html\r\n");
    assert_eq!((page.code(), page.field("content-type")), (500, Some("text/html; charset=utf-8")));
    for shown in [place, line, "<mark>", "<h2>Traceback</h2>"] {
        assert!(page.text().contains(shown), "{shown}: {}", page.text());
    }
}

/// Changed while it is served; broken, which is told; mended.
fn developed(begun: &Begun, file: &str, broken: (&str, &str), told: &str) -> Host {
    let host = Host::developing(&begun.path());
    let greeting = format!("Hello from {}", begun.name);
    until(&host, "/", |reply| reply.text().contains(&greeting));
    begun.replace(file, "Hello from", "Good day from");
    until(&host, "/", |reply| reply.text().contains("Good day from"));
    begun.replace(file, broken.0, broken.1);
    until(&host, "/", |reply| reply.code() == 500 && reply.text().contains(told));
    host.logged(&["error: "]);
    begun.replace(file, broken.1, broken.0);
    until(&host, "/", |reply| reply.code() == 200 && reply.text().contains("Good day from"));
    host
}

#[test]
fn c_is_served_while_it_is_written() {
    let begun = Begun::of("c", "dev_c");
    let host = developed(&begun, "app.c", ("wasgi_format(", "wasgi_fromat("), "app.c:6:12: error:");
    begun.replace(
        "app.c",
        "    return wasgi_format",
        "    if (wasgi_get(environ, \"PATH_INFO\")[1] == 't') __builtin_trap();\n    return wasgi_format",
    );
    until(&host, "/trap", |reply| reply.code() == 500);
    shows(&host, "/trap", "<h2>app.c line ", "__builtin_trap();");
}

#[test]
fn go_is_served_while_it_is_written() {
    let begun = Begun::of("go", "dev_go");
    let host = developed(&begun, "app.go", ("request.URL.Path", "request.URL.Paht"), "request.URL.Paht undefined");
    begun.replace(
        "app.go",
        "\t\tfmt.Fprintf",
        "\t\tif request.URL.Path == \"/trap\" {\n\t\t\tpanic(\"on purpose\")\n\t\t}\n\t\tfmt.Fprintf",
    );
    until(&host, "/trap", |reply| reply.code() == 500);
    shows(&host, "/trap", "<h2>app.go line 15</h2>", "panic(&quot;on purpose&quot;)");
}

#[test]
fn javascript_is_served_while_it_is_written() {
    let begun = Begun::of("javascript", "dev_js");
    fs::write(begun.file("wasgi.toml"), "[javascript]\nengine = \"quickjs\"\n").unwrap();
    let host = developed(&begun, "app.js", ("async (request)", "async (request"), "app.js:6:2:");
    begun.replace("app.js", "  return new", "  if (pathname === \"/trap\") throw new Error(\"on purpose\");\n  return new");
    until(&host, "/trap", |reply| reply.code() == 500);
    shows(&host, "/trap", "<h2>app.js line 5</h2>", "throw new Error");
}

/// What `wasgi check` says, and its exit code.
fn checked(folder: &Path) -> (Option<i32>, String) {
    let ran = wasgi().arg("check").arg(folder).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn a_check_starts_what_is_compiled() {
    let begun = Begun::of("go", "checked");
    let (code, said) = checked(&begun.path());
    assert!(code == Some(0) && said.contains("       ok  the application starts in the sandbox\n"), "{said}");
    begun.replace("app.go", "func init() {", "func init() {\n\tpanic(\"not today\")\n}\n\nfunc later() {");
    let (code, said) = checked(&begun.path());
    assert!(code == Some(3) && said.contains("  problem  it does not start: ") && said.contains("main.init"), "{said}");
}

/// wasm32-unknown-unknown has no clock, no random numbers and no environment: what is compiled for it fails when it asks. It makes no
/// component either, and is refused with the name of the target that has them all.
#[test]
fn a_module_for_a_target_without_a_clock_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.wasm");
    fs::write(&file, wat::parse_str("(module (func (export \"application\")))").unwrap()).unwrap();
    let ran = ended(wasgi().arg("serve").arg(&file));
    let said = String::from_utf8_lossy(&ran.stderr);
    let expected = "is a core WebAssembly module, not a component; build it for wasm32-wasip2, or with `wasgi build`";
    assert!(ran.status.code() == Some(1) && said.contains(expected), "{said}");
}

#[test]
fn a_component_names_nothing_of_the_machine_that_built_it() {
    for template in ["c", "go"] {
        let begun = Begun::of(template, "anywhere");
        let (component, place) = (fs::read(begun.built(&[])).unwrap(), begun.folder.path().to_str().unwrap());
        assert!(!component.windows(place.len()).any(|window| window == place.as_bytes()), "{template}");
    }
}

#[test]
fn a_link_in_a_strangers_project_leads_nowhere() {
    let secrets = tempfile::tempdir().unwrap();
    fs::write(secrets.path().join("id"), "secret").unwrap();
    let begun = Begun::of("c", "linked");
    fs::create_dir(begun.file("public")).unwrap();
    std::os::unix::fs::symlink(secrets.path(), begun.file("outside")).unwrap();
    std::os::unix::fs::symlink(secrets.path().join("id"), begun.file("public/id")).unwrap();
    fs::write(begun.file("public/.hidden"), "hidden").unwrap();
    fs::write(begun.file("public/shown"), "shown").unwrap();
    fs::write(begun.file("wasgi.toml"), "[static]\n\"/s/\" = \"outside\"\n").unwrap();
    assert_eq!(refused(&begun), "error: static.\"/s/\": HERE/outside leads out of the project\n");
    fs::write(begun.file("wasgi.toml"), "[static]\n\"/s/\" = \"public\"\n").unwrap();
    assert!(begun.said(&[]).1.contains("warning: id is left out: it leads out of its folder\n"));
    let host = begun.served(&[]);
    let answers = ["/s/shown", "/s/id", "/s/.hidden"].map(|path| host.get(path).text());
    assert_eq!(answers, ["shown", "Hello from linked at /s/id\n", "Hello from linked at /s/.hidden\n"]);

    fs::remove_dir_all(begun.file(".wasgi")).unwrap();
    std::os::unix::fs::symlink(secrets.path(), begun.file(".wasgi")).unwrap();
    let said = refused(&begun);
    assert_eq!(said, "error: HERE/.wasgi is a link, and is not followed\nhint: remove it: it is wasgi's own, and is made again\n");
    let ran = ended(wasgi().arg("dev").arg(begun.path()).args(["--bind", "127.0.0.1:0"]));
    assert!(!ran.status.success() && fs::read_dir(secrets.path()).unwrap().count() == 1);
}

/// Go's collector rests while the host may ask for memory: neither an init function nor a limit of the application's own changes that.
#[test]
fn go_collects_in_init_functions_and_heeds_a_memory_limit() {
    let begun = Begun::of("go", "frugal");
    begun.replace(
        "app.go",
        "func init() {",
        "var garbage []byte\n\nfunc init() {\n\tfor range 400 {\n\t\tgarbage = make([]byte, 1<<20)\n\t}",
    );
    begun.replace(
        "app.go",
        "\t\tfmt.Fprintf(",
        "\t\tlength, _ := io.Copy(io.Discard, request.Body)\n\t\tfmt.Fprint(response, length, \" \")\n\t\tfmt.Fprintf(",
    );
    begun.replace("app.go", "\t\"fmt\"\n", "\t\"fmt\"\n\t\"io\"\n");
    let host = begun.served(&["--isolation", "reuse", "-e", "GOMEMLIMIT=2MiB"]);
    for length in [0, 1_000_000, 3_000_000, 1] {
        assert_eq!(host.post("/x", "", &vec![b'x'; length]).text(), format!("{length} Hello from frugal at /x\n"));
    }
}

/// What runs behind an answer must not act on the next request.
#[test]
fn javascript_leaves_nothing_to_do_for_the_next_request() {
    let begun = Begun::of("javascript", "tidy");
    let source = "export function application(environ, startResponse) {
  const write = startResponse('200 OK', []);
  if (environ.PATH_INFO === '/later') {
    Promise.resolve().then(() => Promise.resolve()).then(() => write('too late'));
    queueMicrotask(() => { throw new Error('nobody waits for this'); });
    Promise.reject(new Error('nor for this'));
  }
  return ['done'];
}
";
    fs::write(begun.file("app.js"), source).unwrap();
    fs::write(begun.file("wasgi.toml"), "[javascript]\nengine = \"quickjs\"\n").unwrap();
    let host = begun.served(&["--isolation", "reuse", "--concurrency", "1"]);
    let answers = ["/", "/later", "/", "/"].map(|path| host.get(path).text());
    assert_eq!([&answers[0], &answers[2], &answers[3]], ["done", "done", "done"]);
    assert!(answers[1].ends_with("done"), "{}", answers[1]);
    for line in ["unhandled Error: nobody waits for this", "unhandled Error: nor for this"] {
        host.logged(&["wasgi::app", line]);
    }
}

/// The target is the client's own words: decoding it twice would let it step out of what a path stands for.
#[test]
fn adapters_see_the_target_as_the_client_wrote_it() {
    let javascript = Begun::of("javascript", "target");
    fs::write(javascript.file("wasgi.toml"), "[javascript]\nengine = \"quickjs\"\n").unwrap();
    let host = javascript.served(&[]);
    assert_eq!(host.get("/public/..%2furl").text(), "Hello from target at /public/..%2furl\n");
    let bad = host.send(b"GET / HTTP/1.1\r\nHost: a%b\r\nConnection: close\r\n\r\n");
    assert!([400, 200].contains(&bad.code()), "{}", bad.code());

    let go = Begun::of("go", "target");
    go.replace("app.go", "request.URL.Path)", "request.URL.EscapedPath()+\" \"+request.URL.String()+\" \"+request.Host)");
    let host = go.served(&[]);
    assert_eq!(host.get("/a%2Fb?x").text(), "Hello from target at /a%2Fb /a%2Fb?x a.test\n");
    let options = host.send(b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((options.code(), options.text()), (200, String::new()));
}

/// A build that hangs, here at a pipe that nobody writes to, must not hold the person.
#[test]
fn a_build_is_ended_by_a_signal() {
    let begun = Begun::of("c", "endless");
    let mut host = Host::developing(&begun.path());
    let pipe = begun.file("pipe");
    let status = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status.success());
    begun.replace("app.c", "#include \"wasgi.h\"", "#include \"wasgi.h\"\n#include \"pipe\"");
    host.logged(&["change", "beginning again"]);
    // Whoever opens it to write goes on when the compiler has opened it to read.
    let held = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    host.signal(Signal::TERM);
    assert_eq!(host.exit_code(), Some(130));
    drop(held);
}
