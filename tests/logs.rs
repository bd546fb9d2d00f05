//! What the functions of this process logged.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use serde_json::Value;

/// One process runs one test, so its log is that test's.
static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn capture() {
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let level = "info".parse().expect("a level");
        // A test that fails says so as ever; a function that panics logs it, like a deployed one.
        let tell = std::panic::take_hook();
        runtime::init_telemetry(level, runtime::Format::Json, move || Sink(sink.clone()));
        let note = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note(panic);
            tell(panic);
        }));
        log
    });
}

/// The lines so far. Each must be JSON: CloudWatch reads nothing else.
pub(crate) fn lines() -> Vec<Value> {
    let log = LOG
        .get()
        .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let text = String::from_utf8(log.unwrap_or_default()).expect("a log in UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// The lines as they were written.
pub(crate) fn text() -> String {
    let log = LOG
        .get()
        .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner).clone());
    String::from_utf8(log.unwrap_or_default()).expect("a log in UTF-8")
}
