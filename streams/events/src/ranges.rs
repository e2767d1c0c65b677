//! Sets of byte ranges.

/// Sorted, disjoint, non-adjacent ranges of bytes; start inclusive, end exclusive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    /// Adds a range; an empty one adds nothing.
    pub fn insert(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|&(_, e)| e < start);
        let last = self.0.partition_point(|&(s, _)| s <= end);
        if first < last {
            start = start.min(self.0[first].0);
            end = end.max(self.0[last - 1].1);
        }
        self.0.splice(first..last, [(start, end)]);
    }

    /// As pairs.
    pub fn to_vec(&self) -> Vec<(u64, u64)> {
        self.0.clone()
    }
}
