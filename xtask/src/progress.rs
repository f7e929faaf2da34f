//! What a person sees while things start: a line a step with its time; spinners where there is a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The steps on the screen. Cheap to clone; usable from several threads.
#[derive(Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

/// One step that runs now.
pub struct Step {
    name: String,
    start: Instant,
    bar: Option<(MultiProgress, ProgressBar)>,
    finished: bool,
}

impl Progress {
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars }
    }

    /// Begins a step.
    pub fn step(&self, name: &str, doing: &str) -> Step {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("  {spinner}  {prefix:<12} {wide_msg} {elapsed:>4} ")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(name.to_owned());
            bar.set_message(doing.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            (bars.clone(), bar)
        });
        if bar.is_none() {
            tell!("  .. {name:<12} {doing}");
        }
        Step { name: name.to_owned(), start: Instant::now(), bar, finished: false }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| tell!("{text}")),
            None => tell!("{text}"),
        }
    }
}

impl Step {
    /// A passing detail: for terminals only.
    pub fn detail(&self, text: &str) {
        if let Some((_, bar)) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// It worked: what came of it.
    pub fn done(mut self, text: &str) {
        self.end("ok", text);
    }

    fn end(&mut self, mark: &str, text: &str) {
        self.finished = true;
        let line = format!("  {mark} {:<12} {text}  ({})", self.name, seconds(self.start.elapsed()));
        match &self.bar {
            // The line moves above the spinners and stays there.
            Some((bars, bar)) => {
                bar.finish_and_clear();
                bars.remove(bar);
                bars.suspend(|| tell!("{line}"));
            }
            None => tell!("{line}"),
        }
    }
}

impl Drop for Step {
    /// A step that is dropped before it is done has failed; the error itself is told by who gets it.
    fn drop(&mut self) {
        if !self.finished {
            self.end("!!", "failed");
        }
    }
}

/// A time as a person reads it: `0.4 s`, `12 s`, `3 min 5 s`.
pub fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
