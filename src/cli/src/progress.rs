//! The progress of a flow: on a terminal one line per step that counts its seconds, elsewhere plain lines
//! with the time. An errand's progress is its answer and goes to standard output, other progress to standard error.

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remount_flow::{Progress, ProgressEvent, ProgressKind};

/// How often the line of a running step is drawn.
const TICK: Duration = Duration::from_millis(250);

/// Prints steps as they come.
pub struct Steps {
    screen: Arc<Mutex<Screen>>,
    live: bool,
}

struct Screen {
    out: Box<dyn Write + Send>,
    /// The step that runs, and since when.
    open: Option<(ProgressEvent, Instant)>,
}

impl Steps {
    /// On standard error; live where that is a terminal.
    pub fn on_stderr() -> Self {
        Self::new(Box::new(std::io::stderr()), std::io::stderr().is_terminal())
    }

    /// On standard output, plain lines.
    pub fn on_stdout() -> Self {
        Self::new(Box::new(std::io::stdout()), false)
    }

    fn new(out: Box<dyn Write + Send>, live: bool) -> Self {
        let screen = Arc::new(Mutex::new(Screen { out, open: None }));
        if live {
            count(Arc::downgrade(&screen));
        }
        Self { screen, live }
    }
}

/// Draws the open line again and again, until the screen is dropped.
fn count(screen: Weak<Mutex<Screen>>) {
    std::thread::spawn(move || {
        while let Some(screen) = screen.upgrade() {
            lock(&screen).redraw();
            drop(screen);
            std::thread::sleep(TICK);
        }
    });
}

impl Progress for Steps {
    fn event(&self, event: &ProgressEvent) {
        let mut screen = lock(&self.screen);
        if !self.live {
            let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
            screen.write(&format!("{at} {}\n", event));
            return;
        }
        match event.kind {
            ProgressKind::Begun | ProgressKind::UndoBegun => {
                screen.open = Some((event.clone(), Instant::now()));
                screen.redraw();
            }
            ProgressKind::Note => {
                screen.write(&format!("\r\x1b[2K{}\n", event));
                screen.redraw();
            }
            _ => {
                screen.open = None;
                screen.write(&format!("\r\x1b[2K{}\n", event));
            }
        }
    }
}

impl Screen {
    fn redraw(&mut self) {
        let Some((event, since)) = &self.open else {
            return;
        };
        let running = ProgressEvent { seconds: since.elapsed().as_secs_f64(), ..event.clone() };
        self.write(&format!("\r\x1b[2K{running}"));
    }

    /// A closed output stops nothing: the journal has all of it.
    fn write(&mut self, text: &str) {
        if let Err(error) = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            log::debug!(error:% = remount_core::with_causes(&error); "the progress is no longer read");
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let mut screen = lock(&self.screen);
        if screen.open.take().is_some() {
            screen.write("\n");
        }
    }
}

fn lock(screen: &Mutex<Screen>) -> std::sync::MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn event(kind: ProgressKind, seconds: f64, detail: Option<&str>) -> ProgressEvent {
        ProgressEvent {
            run: "20261123T004500Z-k3f9".parse().unwrap(),
            step: "swap_primary".into(),
            number: 9,
            total: 13,
            kind,
            seconds,
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn off_a_terminal_every_event_is_a_whole_line_without_control_characters() {
        let paper = Paper::default();
        let steps = Steps::new(Box::new(paper.clone()), false);
        steps.event(&event(ProgressKind::Begun, 0.0, None));
        steps.event(&event(ProgressKind::Done, 1.0, None));
        let text = paper.text();
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with('\n') && !text.contains(['\r', '\x1b']), "{text:?}");
    }

    #[test]
    fn on_a_terminal_a_step_ends_on_the_line_it_began_on() {
        let paper = Paper::default();
        let steps = Steps::new(Box::new(paper.clone()), true);
        steps.event(&event(ProgressKind::Begun, 0.0, None));
        steps.event(&event(ProgressKind::Done, 1.0, None));
        drop(steps);
        assert_eq!(paper.text().matches('\n').count(), 1, "{:?}", paper.text());
        assert!(paper.text().contains("\r\x1b[2K[ 9/13]"));
    }
}
