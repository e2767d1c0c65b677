//! How far an analysis is, and whether it shall stop.

/// It was told to stop: cancelled, out of time, or its lease is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// What an analysis tells while it runs. Told often (many times a second), so the receiver decides what it
/// passes on.
pub struct Watch<'a> {
    tell: &'a mut dyn FnMut(&str, f64) -> bool,
    /// The part of the whole that the current phase is: from, to; each in [0, 1].
    span: (f64, f64),
    /// Where the phase ends.
    ends: f64,
    step: &'static str,
    last: f64,
}

impl<'a> Watch<'a> {
    /// `tell` is given the step in words and how much of all is done, in [0, 1] and never less than before;
    /// it returns false to stop.
    pub fn new(tell: &'a mut dyn FnMut(&str, f64) -> bool) -> Self {
        Self { tell, span: (0.0, 1.0), ends: 0.0, step: "", last: 0.0 }
    }

    /// A phase begins: what it is, and up to which part of the whole it goes, in [0, 1]. By the time it
    /// takes, so that an estimate of the end holds.
    pub fn phase(&mut self, step: &'static str, until: f64) -> Result<(), Stopped> {
        self.span = (self.ends, until.clamp(self.ends, 1.0));
        self.ends = self.span.1;
        self.step = step;
        self.at(0.0)
    }

    /// So much of the phase is done, in [0, 1].
    pub fn at(&mut self, part: f64) -> Result<(), Stopped> {
        let (from, to) = self.span;
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        self.last = self.last.max(from + (to - from) * part);
        if (self.tell)(self.step, self.last) { Ok(()) } else { Err(Stopped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_goes_back_and_a_no_stops() {
        let mut told = Vec::new();
        let mut tell = |step: &str, done: f64| {
            told.push((step.to_owned(), done));
            told.len() < 6
        };
        let mut watch = Watch::new(&mut tell);
        watch.phase("a", 0.5).unwrap();
        watch.at(0.5).unwrap();
        watch.at(0.2).unwrap();
        watch.at(f64::NAN).unwrap();
        watch.phase("b", 1.0).unwrap();
        assert_eq!(watch.at(0.5), Err(Stopped));
        let done: Vec<f64> = told.iter().map(|(_, done)| *done).collect();
        assert!(done.windows(2).all(|pair| pair[0] <= pair[1]), "{done:?}");
        assert_eq!(told[1], ("a".to_owned(), 0.25));
    }
}
