//! The tutorials of Flask, Bottle, Falcon and Pyramid, walked through as a person would.

use crate::support::{Browser, Host, python, root, wasgi};

#[test]
fn notes_in_flask_have_blueprints_accounts_a_database_uploads_and_async_views() {
    for isolation in ["request", "reuse"] {
        let data = tempfile::tempdir().unwrap();
        let host = Host::keeping("guest/examples/notes", &data, &["--isolation", isolation]);
        let mut browser = Browser::of(&host);
        assert!(browser.get("/").text().contains("<h1>Log in</h1>"));
        let ann = [("name", "ann"), ("password", "pass word")];
        assert!(browser.submit("/register", &ann).text().contains("<h1>Log in</h1>"));
        assert!(browser.submit("/register", &ann).text().contains("ann is taken."));
        assert!(browser.submit("/login", &[("name", "ann"), ("password", "wrong")]).text().contains("Wrong name or password."));
        assert!(browser.submit("/login", &ann).text().contains("<h1>Notes of ann</h1>"));
        let saved = browser.upload("/", &[("text", "<first>")], ("file", "a.txt", b"attached")).text();
        assert!(saved.contains("Saved.") && saved.contains("&lt;first&gt;") && saved.contains("/notes/1/file"), "{saved}");
        let file = browser.get("/notes/1/file");
        assert_eq!((file.text(), file.field("content-disposition")), ("attached".into(), Some("attachment; filename=a.txt")));
        assert_eq!(host.get("/api/counts").text(), "{\"notes\":1,\"users\":1}\n");
        assert!(!browser.submit("/notes/1/delete", &[]).text().contains("first"));
        assert!(browser.submit("/logout", &[]).text().contains("<h1>Log in</h1>"));
        assert_eq!(host.get("/api/counts").text(), "{\"notes\":0,\"users\":1}\n");
        assert!(data.path().join("instance/notes.sqlite").is_file());
        let purge = wasgi()
            .arg("manage")
            .arg("--data")
            .arg(data.path())
            .arg(python("guest/examples/notes"))
            .args(["api", "purge"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&purge.stdout), "0 notes deleted\n", "{}", String::from_utf8_lossy(&purge.stderr));
    }
}

#[test]
fn a_to_do_list_in_bottle_is_kept_in_a_database() {
    for isolation in ["request", "reuse"] {
        let data = tempfile::tempdir().unwrap();
        let host = Host::keeping("guest/examples/bottle", &data, &["--isolation", isolation]);
        let mut browser = Browser::of(&host);
        assert!(browser.get("/new").text().contains("<form method=\"post\" action=\"/new\">"));
        let list = browser.submit("/new", &[("task", "milk & <honey>")]).text();
        assert!(list.contains("<li>milk &amp; &lt;honey&gt;"), "{list}");
        assert_eq!(host.get("/json/1").text(), "{\"task\": \"milk & <honey>\"}");
        assert_eq!(host.get("/json/2").code(), 404);
        assert_eq!(browser.submit("/new", &[("task", " ")]).code(), 400);
        assert!(!browser.submit("/done/1", &[]).text().contains("milk"));
        assert_eq!(browser.upload("/upload", &[], ("file", "a b.txt", b"12345")).text(), "a b.txt 5");
        assert_eq!([browser.get("/cookie").text(), browser.get("/cookie").text()], ["1", "2"]);
        let style = host.get("/static/style.css");
        assert_eq!(
            (style.code(), style.text()),
            (200, std::fs::read_to_string(root().join("guest/examples/bottle/static/style.css")).unwrap())
        );
        assert_eq!(host.get("/static/../app.py").code(), 403);
        assert!(data.path().join("todo.db").is_file());
        let chunked = b"POST /new HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ntask=late\r\n0\r\n\r\n";
        assert_eq!(host.send(chunked).code(), 303);
        assert!(host.get("/").text().contains("late"));
    }
}

#[test]
fn falcons_image_store_keeps_images() {
    for isolation in ["request", "reuse"] {
        let data = tempfile::tempdir().unwrap();
        let host = Host::keeping("guest/examples/falcon", &data, &["--isolation", isolation]);
        assert_eq!(host.get("/images").text(), "{\"images\": []}");
        let image: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let created = host.post("/images", "Content-Type: image/png\r\n", &image);
        assert_eq!(created.code(), 201);
        let place = created.field("location").unwrap().to_owned();
        let found = host.get(&place);
        assert_eq!((found.field("content-type"), found.field("content-length")), (Some("image/png"), Some("100000")));
        assert_eq!(found.body, image);
        assert_eq!(host.get("/images").text(), format!("{{\"images\": [{{\"href\": \"{place}\"}}]}}"));
        assert_eq!(host.get("/images?maxsize=10").text(), "{\"images\": []}");
        let wrong = host.post("/images", "Content-Type: text/plain\r\n", b"x");
        assert!(wrong.code() == 400 && wrong.text().contains("Image type not allowed"), "{}", wrong.text());
        assert_eq!(host.get("/images/none").code(), 404);
    }
}

#[test]
fn a_wiki_in_pyramid_has_routes_templates_sessions_and_files() {
    for isolation in ["request", "reuse"] {
        let host = Host::serving(&python("guest/examples/pyramid"), &["--isolation", isolation]);
        let mut browser = Browser::of(&host);
        assert!(browser.get("/").text().contains("<p>Visits: 1</p>"));
        let home = browser.get("/").text();
        assert!(home.contains("<p>Visits: 2</p>") && home.contains("<a href=\"/page/101\">Page 101</a>"), "{home}");
        assert!(browser.get("/go").text().contains("<h1>Page 100</h1>\n<div><em>100</em></div>"));
        assert_eq!(host.get("/page/none").code(), 404);
        assert_eq!(host.post("/echo", "Content-Type: application/json\r\n", b"{\"a\": [1]}").text(), "{\"a\": [1]}");
        assert_eq!(browser.upload("/echo", &[], ("file", "a.txt", b"123")).text(), "{\"name\": \"a.txt\", \"size\": 3}");
        let chunked = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(host.send(chunked).text(), "{}");
        assert_eq!(host.get("/static/app.css").text(), "em { color: teal }\n");
        assert_eq!(host.get("/source").text(), std::fs::read_to_string(root().join("guest/examples/pyramid/app.py")).unwrap());
    }
}
