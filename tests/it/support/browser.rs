//! A person's browser: it keeps cookies, follows redirects and fills in forms.

use std::collections::BTreeMap;

use super::{Host, Reply};

pub struct Browser<'a> {
    host: &'a Host,
    cookies: BTreeMap<String, String>,
    /// Where the last page was found.
    pub path: String,
}

impl<'a> Browser<'a> {
    pub fn of(host: &'a Host) -> Self {
        Self { host, cookies: BTreeMap::new(), path: String::new() }
    }

    /// A page, with all redirects.
    pub fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, "", b"")
    }

    /// A form's answer, with all redirects; with Django's token, if there is one.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.cookies.get("csrftoken").cloned();
        let all = fields.iter().copied().chain(token.as_deref().map(|token| ("csrfmiddlewaretoken", token)));
        let body: Vec<_> = all.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.request("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", body.join("&").as_bytes())
    }

    /// The same with a file.
    pub fn upload(&mut self, path: &str, fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> Reply {
        let mut body = Vec::new();
        let token = self.cookies.get("csrftoken").cloned();
        for (name, value) in fields.iter().copied().chain(token.as_deref().map(|token| ("csrfmiddlewaretoken", token))) {
            body.extend_from_slice(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes());
        }
        let (name, filename, content) = file;
        let head =
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: text/plain\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--b--\r\n");
        self.request("POST", path, "Content-Type: multipart/form-data; boundary=b\r\n", &body)
    }

    fn request(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        // What a browser sends, and Django checks.
        let origin = format!("Referer: http://127.0.0.1/\r\nOrigin: http://127.0.0.1\r\n{cookie}{fields}");
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{origin}\r\n", body.len());
        let reply = self.host.send(&[head.as_bytes(), body].concat());
        path.clone_into(&mut self.path);
        for cookie in reply.all("set-cookie") {
            // Django 5 sends a blank before the name, which is none of the value (RFC 9110, section 5.5).
            let (name, value) = cookie.trim().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || value == "\"\"" {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        match (reply.code(), reply.field("location")) {
            (301..=303, Some(location)) => {
                let next = location.trim_start_matches("http://127.0.0.1").to_owned();
                self.get(&next)
            }
            _ => reply,
        }
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
