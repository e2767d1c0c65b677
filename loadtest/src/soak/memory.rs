//! Memory of the processes over a soak.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bench::cpu;

const MIB: f64 = 1024.0 * 1024.0;
/// Growth from the second to the last quarter that is tolerated: a factor, and this many MiB.
const FACTOR: f64 = 1.5;
const SLACK_MIB: f64 = 48.0;

/// Samples of resident memory, by process.
#[derive(Default)]
pub struct Memory(BTreeMap<&'static str, Vec<(f64, u64)>>);

/// Peaks of a process in two quarters of the soak.
#[derive(Debug, Serialize)]
pub struct Growth {
    pub process: &'static str,
    /// Highest resident memory in the second quarter.
    pub early_mib: f64,
    /// Highest resident memory in the last quarter.
    pub late_mib: f64,
}

impl Memory {
    /// Records the resident memory of each process at a moment, as a share of the soak's length.
    pub fn sample(&mut self, moment: f64, processes: &[(&'static str, u32)]) {
        for (name, pid) in processes {
            if let Some(bytes) = cpu::memory(*pid, "VmRSS") {
                self.0.entry(name).or_default().push((moment, bytes));
            }
        }
    }

    /// The peaks of each process.
    pub fn growth(&self) -> Vec<Growth> {
        let peak = |samples: &[(f64, u64)], from: f64, to: f64| {
            let within =
                samples.iter().filter(|(moment, _)| (from..to).contains(moment)).map(|(_, bytes)| *bytes);
            within.max().unwrap_or_default() as f64 / MIB
        };
        let growth = |(process, samples): (&&'static str, &Vec<_>)| Growth {
            process,
            early_mib: peak(samples, 0.25, 0.5),
            late_mib: peak(samples, 0.75, 2.0),
        };
        self.0.iter().map(growth).collect()
    }
}

impl Growth {
    pub fn fault(&self) -> Option<String> {
        let grew = self.early_mib > 0.0 && self.late_mib > self.early_mib * FACTOR + SLACK_MIB;
        grew.then(|| format!("{} grew from {:.0} to {:.0} MiB", self.process, self.early_mib, self.late_mib))
    }
}
