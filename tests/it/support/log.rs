//! What a host says on standard error, line by line, to be waited for.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
};

use super::DEADLINE;

pub struct Log(Arc<(Mutex<String>, Condvar)>);

impl Log {
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let log = Self(Arc::clone(&shared));
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = shared.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                shared.1.notify_all();
            }
        });
        log
    }

    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    pub fn wait_for(&self, words: &[&str]) -> String {
        let found = |text: &str| text.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned);
        let line = {
            let guard = self.0.0.lock().unwrap();
            let (text, _) = self.0.1.wait_timeout_while(guard, DEADLINE, |text| found(text).is_none()).unwrap();
            found(&text)
        };
        // Without the guard: a test that fails must not take the log with it.
        line.unwrap_or_else(|| panic!("no line with {words:?} in:\n{}", self.text()))
    }
}
