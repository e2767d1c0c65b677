//! When things were last done, and when they are due again.

use std::time::{Duration, Instant};

/// Minimum interval between two scans, however often the system reports changes.
const SCAN_GAP: Duration = Duration::from_millis(100);
/// Scans take at most 1/N of the time.
const SCAN_SHARE: u32 = 30;
/// Upper limit of the interval between two scans, however long a scan takes.
const LONGEST_SCAN_GAP: Duration = Duration::from_secs(2);
/// While something is outstanding, receipts are requested after this long without any.
const SILENCE: Duration = Duration::from_secs(5);
/// Receipts are requested at this interval in any case, to notice a database that was restored while nothing
/// was outstanding.
const ROUTINE: Duration = Duration::from_secs(300);
/// Minimum interval between two requests for receipts.
const REQUEST_GAP: Duration = Duration::from_secs(1);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct Timers {
    scanned: Instant,
    /// How long the last scan took.
    scan_took: Duration,
    last_receipt: Instant,
    last_request: Instant,
    /// Postgres may have less than is known here: request all receipts.
    must_request: bool,
    last_heartbeat: Option<Instant>,
    /// The lag in the last heartbeat.
    reported_lag: u64,
}

impl Timers {
    pub fn new() -> Self {
        Self {
            scanned: long_ago(),
            scan_took: Duration::ZERO,
            last_receipt: Instant::now(),
            last_request: long_ago(),
            must_request: false,
            last_heartbeat: None,
            reported_lag: 0,
        }
    }

    /// Whether the next regular scan is due.
    pub fn is_scan_due(&self, interval: Duration) -> bool {
        self.scanned.elapsed() >= interval.max(self.scan_gap())
    }

    /// Minimum time between two scans: with very many files, scans must take only a small part of a core.
    fn scan_gap(&self) -> Duration {
        (self.scan_took * SCAN_SHARE).clamp(SCAN_GAP, LONGEST_SCAN_GAP)
    }

    /// A scan that began at this time has ended.
    pub fn scanned(&mut self, begun: Instant) {
        (self.scanned, self.scan_took) = (Instant::now(), begun.elapsed());
    }

    /// Receipts or an answer about receipts arrived.
    pub fn received(&mut self) {
        self.last_receipt = Instant::now();
    }

    /// Receipts are requested.
    pub fn requested(&mut self) {
        self.last_request = Instant::now();
    }

    /// Makes a request for receipts due, or not.
    pub fn set_must_request(&mut self, must_request: bool) {
        self.must_request = must_request;
    }

    /// Whether receipts must be requested. `is_passed`: the processor passed something that is not committed.
    pub fn is_request_due(&self, is_passed: bool, is_outstanding: bool) -> bool {
        let patience = if is_outstanding { SILENCE } else { ROUTINE };
        let is_silent = self.last_receipt.elapsed() >= patience && self.last_request.elapsed() >= patience;
        (is_passed || self.must_request || is_silent) && self.last_request.elapsed() >= REQUEST_GAP
    }

    /// Whether a heartbeat that reports this lag is due.
    pub fn is_heartbeat_due(&self, lag: u64) -> bool {
        // Report sooner that the lag has become 0.
        let is_sooner = lag == 0 && self.reported_lag > 0;
        let interval = if is_sooner { HEARTBEAT_INTERVAL / 5 } else { HEARTBEAT_INTERVAL };
        self.last_heartbeat.is_none_or(|at| at.elapsed() >= interval)
    }

    /// A heartbeat with this lag is sent.
    pub fn sent_heartbeat(&mut self, lag: u64) {
        (self.last_heartbeat, self.reported_lag) = (Some(Instant::now()), lag);
    }
}

/// A time so long ago that everything is due.
pub(crate) fn long_ago() -> Instant {
    Instant::now().checked_sub(Duration::from_secs(3600)).unwrap_or_else(Instant::now)
}
