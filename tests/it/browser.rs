//! A headless Chromium walks through Django's admin, driven by playwright-core.

use std::process::Command;

use crate::support::{Host, python, root, wasgi};

#[test]
fn a_browser_logs_in_to_djangos_admin_adds_a_book_and_sees_it_listed_fresh_and_reused() {
    let app = python("guest/examples/django");
    let walk = root().join("tests/browser");
    assert!(
        walk.join("node_modules/playwright-core").is_dir(),
        "playwright-core is missing; run the tests with `make test`, which installs it"
    );
    let shots = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for isolation in ["request", "reuse"] {
        let data = tempfile::tempdir().unwrap();
        for (variables, command) in [
            (&["SECRET_KEY=x"][..], &["migrate", "-v", "0"][..]),
            (
                &["SECRET_KEY=x", "DJANGO_SUPERUSER_PASSWORD=first password"],
                &["createsuperuser", "--noinput", "--username", "admin", "--email", "a@example.com"],
            ),
        ] {
            let mut manage = wasgi();
            manage.arg("manage").arg("--data").arg(data.path());
            for variable in variables {
                manage.args(["-e", variable]);
            }
            let ran = manage.arg(&app).args(command).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        let host = Host::serving(
            &app,
            &["--data", data.path().to_str().unwrap(), "-e", "SECRET_KEY=x", "--tenant", "browsed", "--isolation", isolation],
        );
        let shot = shots.join(format!("admin-{isolation}.png"));
        let ran = Command::new("node").arg(walk.join("admin.mjs")).arg(format!("http://{}", host.address)).arg(&shot).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        let seen: serde_json::Value = serde_json::from_str(&said).unwrap();
        let listed = seen["listed"].as_str().unwrap();
        assert!(listed.contains("Flatland") && listed.contains("Edwin A. Abbott"), "{listed}");
        assert_eq!((seen["color"].as_str(), seen["failed"].as_array().map(Vec::len)), (Some("rgb(65, 118, 144)"), Some(0)), "{seen}");
        assert!(std::fs::metadata(&shot).unwrap().len() > 10_000);
    }
}
