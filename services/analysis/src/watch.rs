//! Progress and cancellation of an analysis.

/// The analysis was stopped: cancelled, out of time, or its lease was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// Reports the progress of an analysis. It reports many times a second, so the receiver decides what to pass
/// on.
pub struct Watch<'a> {
    report: &'a mut dyn FnMut(&str, f64) -> bool,
    /// Start and end of the current phase, as parts of the whole in [0, 1].
    span: (f64, f64),
    /// End of the current phase.
    ends: f64,
    step: &'static str,
    last: f64,
}

impl<'a> Watch<'a> {
    /// `report` receives the step in words and the completed part of the whole, in [0, 1], which never
    /// decreases. It returns false to stop.
    pub fn new(report: &'a mut dyn FnMut(&str, f64) -> bool) -> Self {
        Self { report, span: (0.0, 1.0), ends: 0.0, step: "", last: 0.0 }
    }

    /// Begins a phase with its name and its end as a part of the whole, in [0, 1]. The parts should follow
    /// the time that phases take, because the ETA is computed from them.
    pub fn phase(&mut self, step: &'static str, until: f64) -> Result<(), Stopped> {
        self.span = (self.ends, until.clamp(self.ends, 1.0));
        self.ends = self.span.1;
        self.step = step;
        self.at(0.0)
    }

    /// Reports the completed part of the phase, in [0, 1].
    pub fn at(&mut self, part: f64) -> Result<(), Stopped> {
        let (from, to) = self.span;
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        self.last = self.last.max(from + (to - from) * part);
        if (self.report)(self.step, self.last) { Ok(()) } else { Err(Stopped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_goes_back_and_a_no_stops() {
        let mut reports = Vec::new();
        let mut report = |step: &str, done: f64| {
            reports.push((step.to_owned(), done));
            reports.len() < 6
        };
        let mut watch = Watch::new(&mut report);
        watch.phase("a", 0.5).unwrap();
        watch.at(0.5).unwrap();
        watch.at(0.2).unwrap();
        watch.at(f64::NAN).unwrap();
        watch.phase("b", 1.0).unwrap();
        assert_eq!(watch.at(0.5), Err(Stopped));
        let done: Vec<f64> = reports.iter().map(|(_, done)| *done).collect();
        assert!(done.windows(2).all(|pair| pair[0] <= pair[1]), "{done:?}");
        assert_eq!(reports[1], ("a".to_owned(), 0.25));
    }
}
