//! Stock Django, as its users meet it: a project of `startproject`, and a library with an admin, both with not a line for wasgi.

use std::{fs, path::Path, process::Output};

use crate::support::{Browser, Host, python, root, wasgi};

const SECRET: &str = "SECRET_KEY=a secret of the tests";

/// Runs a management command with its data in `data`.
fn manage(app: &Path, data: &Path, environment: &[&str], command: &[&str]) -> Output {
    let mut manage = wasgi();
    manage.arg("manage").arg("--data").arg(data);
    for variable in environment {
        manage.args(["-e", variable]);
    }
    manage.arg(app).args(command).output().unwrap()
}

fn managed(app: &Path, data: &Path, environment: &[&str], command: &[&str]) -> String {
    let ran = manage(app, data, environment, command);
    assert!(ran.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A database with tables and an administrator.
fn prepared(app: &Path) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let migrated = managed(app, data.path(), &[SECRET], &["migrate"]);
    assert!(migrated.contains("Applying sessions.0001_initial... OK"), "{migrated}");
    let user = [SECRET, "DJANGO_SUPERUSER_PASSWORD=first password"];
    let created =
        managed(app, data.path(), &user, &["createsuperuser", "--noinput", "--username", "admin", "--email", "admin@example.com"]);
    assert_eq!(created, "Superuser created successfully.\n");
    data
}

fn serving(app: &Path, data: &Path, flags: &[&str]) -> Host {
    Host::serving(app, &[&["--data", data.to_str().unwrap(), "-e", SECRET, "-e", "ALLOWED_HOSTS=127.0.0.1,a.test"], flags].concat())
}

#[test]
fn an_admin_logs_in_adds_changes_lists_and_deletes_and_changes_the_password_fresh_and_reused() {
    let app = python("guest/examples/django");
    for isolation in ["request", "reuse"] {
        let data = prepared(&app);
        let host = serving(&app, data.path(), &["--isolation", isolation]);
        let mut browser = Browser::of(&host);
        let form = browser.get("/admin/");
        assert_eq!((form.code(), browser.path.as_str()), (200, "/admin/login/?next=/admin/"));
        let wrong = browser.submit("/admin/login/?next=/admin/", &[("username", "admin"), ("password", "wrong")]);
        assert!(wrong.text().contains("Please enter the correct username and password"), "{}", wrong.text());
        let home = browser.submit("/admin/login/?next=/admin/", &[("username", "admin"), ("password", "first password")]);
        assert!(home.code() == 200 && home.text().contains("Site administration") && home.text().contains("Books"), "{}", home.text());

        browser.get("/admin/library/book/add/");
        let added =
            browser.upload("/admin/library/book/add/", &[("title", "Flatland"), ("author", "Abbott")], ("cover", "cover.txt", b"a square"));
        assert!(added.text().contains("was added successfully"), "{}", added.text());
        let list = browser.get("/admin/library/book/");
        assert!(list.text().contains(">Flatland</a>") && list.text().contains("1 book"), "{}", list.text());
        let cover = host.get("/media/covers/cover.txt");
        assert_eq!((cover.code(), cover.text()), (200, "a square".into()));

        let changed = browser.upload("/admin/library/book/1/change/", &[("title", "Flatland 2"), ("author", "Abbott")], ("cover", "", b""));
        assert!(changed.text().contains("was changed successfully"), "{}", changed.text());
        browser.get("/admin/library/book/1/delete/");
        let deleted = browser.submit("/admin/library/book/1/delete/", &[("post", "yes")]);
        assert!(deleted.text().contains("was deleted successfully") && deleted.text().contains("0 books"), "{}", deleted.text());

        browser.get("/admin/password_change/");
        let fields = [("old_password", "first password"), ("new_password1", "an0ther-one"), ("new_password2", "an0ther-one")];
        assert!(browser.submit("/admin/password_change/", &fields).text().contains("Your password was changed"));
        let out = browser.submit("/admin/logout/", &[]);
        assert!(out.text().contains("Thanks for spending some quality time"), "{}", out.text());
        let again = browser.submit("/admin/login/?next=/admin/", &[("username", "admin"), ("password", "first password")]);
        assert!(again.text().contains("Please enter the correct username and password"));
        let home = browser.submit("/admin/login/?next=/admin/", &[("username", "admin"), ("password", "an0ther-one")]);
        assert!(home.text().contains("Site administration"), "{}", home.text());
    }
}

#[test]
fn pages_have_sessions_csrf_time_zones_and_translations() {
    let app = python("guest/examples/django");
    let data = prepared(&app);
    let host = serving(&app, data.path(), &[]);
    let mut browser = Browser::of(&host);
    assert!(browser.get("/").text().contains("Visits: 1."));
    let page = browser.get("/").text();
    assert!(page.contains("Visits: 2.") && (page.contains(" EST.") || page.contains(" EDT.")), "{page}");
    let german = host.ask("GET", "/", "Accept-Language: de\r\n").text();
    assert!(german.contains("<html lang=\"de\">") && german.contains("<button>Sichern</button>"), "{german}");

    let listed = browser.submit("/add/", &[("title", "Ficciones"), ("author", "Borges & co")]).text();
    assert!(listed.contains("Ficciones (Borges &amp; co)"), "{listed}");
    let chunked = "title=Chunked&csrfmiddlewaretoken=x";
    let forged = host.post("/add/", "Content-Type: application/x-www-form-urlencoded\r\n", chunked.as_bytes());
    assert_eq!(forged.code(), 403);
    let emptied = browser.submit("/delete/1/", &[]).text();
    assert!(emptied.contains("<li>none</li>"), "{emptied}");
    let broken = host.get("/broken/");
    assert_eq!(broken.code(), 500);
    assert!(!broken.text().contains("this page is broken"), "{}", broken.text());
    host.logged(&["RuntimeError: this page is broken: 15"]);
}

#[test]
fn static_files_are_collected_at_build_and_served_by_the_host() {
    let app = python("guest/examples/django");
    let data = tempfile::tempdir().unwrap();
    let host = serving(&app, data.path(), &[]);
    let style = host.get("/static/admin/css/base.css");
    assert_eq!((style.code(), style.field("content-type"), style.body.len() > 10_000), (200, Some("text/css"), true));
    let own = fs::read_to_string(root().join("guest/examples/django/library/static/library/style.css")).unwrap();
    assert_eq!(host.get("/static/library/style.css").text(), own);
    assert!(host.logged(&["wasgi::access", "/static/library/style.css"]).contains("cpu_ms=0.0"));
    assert_eq!(host.get("/static/../mysite/settings.py").code(), 404);
}

#[test]
fn a_missing_variable_is_told_at_build_and_ends_a_release() {
    let built = wasgi().arg("check").arg(root().join("guest/examples/django")).arg("--json").output().unwrap();
    assert!(String::from_utf8_lossy(&built.stdout).contains("needs `SECRET_KEY` in its environment"));
    let served = wasgi()
        .arg("serve")
        .arg(python("guest/examples/django"))
        .args(["--tenant", "no-secret", "--bind", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert_eq!(served.status.code(), Some(1));
    assert!(said.contains("the application raised KeyError: 'SECRET_KEY'") && said.contains("File \"/0/mysite/settings.py\""), "{said}");
}

/// What `startproject` of this version writes, made in the sandbox and served with not a line changed.
fn a_project_of_startproject_runs(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed");
    fs::create_dir(&seed).unwrap();
    fs::write(seed.join("requirements.txt"), format!("Django=={version}\n")).unwrap();
    fs::write(
        seed.join("app.py"),
        "from django.core.management import execute_from_command_line\n\n\ndef app(environ, start_response):\n    pass\n",
    )
    .unwrap();
    fs::write(
        seed.join("manage.py"),
        "import sys\nfrom django.core.management import execute_from_command_line\n\nexecute_from_command_line(sys.argv)\n",
    )
    .unwrap();
    let project = folder.path().join("project");
    managed(&seed, &project, &[], &["startproject", "fresh", "/data"]);
    fs::write(project.join("requirements.txt"), format!("Django=={version}\n")).unwrap();
    let settings = fs::read_to_string(project.join("fresh/settings.py")).unwrap();
    assert!(settings.contains("DEBUG = True") && settings.contains(version.rsplit_once('.').unwrap().0), "{settings}");

    let data = tempfile::tempdir().unwrap();
    managed(&project, data.path(), &[], &["migrate"]);
    managed(
        &project,
        data.path(),
        &["DJANGO_SUPERUSER_PASSWORD=first password"],
        &["createsuperuser", "--noinput", "--username", "admin", "--email", "a@example.com"],
    );
    let file = folder.path().join(format!("project-{}.wasm", version.replace('.', "-")));
    let built = wasgi().arg("build").arg(&project).arg("-o").arg(&file).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let tenant = format!("startproject-{}", version.replace('.', "-"));
    let host = Host::serving(&file, &["--data", data.path().to_str().unwrap(), "--tenant", &tenant]);
    let mut browser = Browser::of(&host);
    assert!(browser.get("/").text().contains("The install worked successfully!"));
    browser.get("/admin/");
    let home = browser.submit("/admin/login/?next=/admin/", &[("username", "admin"), ("password", "first password")]);
    assert!(home.text().contains("Site administration"), "{}", home.text());
    browser.get("/admin/auth/group/add/");

    let added = browser.submit("/admin/auth/group/add/", &[("name", "editors")]);
    assert!(added.text().contains("was added successfully") && added.text().contains("1 group"), "{}", added.text());
    assert!(data.path().join("db.sqlite3").is_file());
    let missing = browser.get("/nowhere");
    assert!(missing.code() == 404 && missing.text().contains("DEBUG = True"), "DEBUG's own page: {}", missing.text());
}

#[test]
fn a_project_of_startproject_6_1_runs_unchanged() {
    a_project_of_startproject_runs("6.1.3");
}

#[test]
fn a_project_of_startproject_5_2_lts_runs_unchanged() {
    a_project_of_startproject_runs("5.2.19");
}

#[test]
fn a_command_that_fails_and_one_that_is_refused_say_so() {
    let app = python("guest/examples/django");
    let data = tempfile::tempdir().unwrap();
    let unknown = manage(&app, data.path(), &[SECRET], &["frobnicate"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("Unknown command: 'frobnicate'"));
    let server = manage(&app, data.path(), &[SECRET], &["runserver"]);
    assert_eq!(server.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&server.stderr).contains("`runserver` is a server of its own: use `wasgi dev`"));
    let shown = managed(&app, data.path(), &[SECRET], &["shell", "-v", "0", "-c", "print('one\\x1b[31m two')"]);
    assert_eq!(shown, "one\\u{1b}[31m two\n");
}
