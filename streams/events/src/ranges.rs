//! Sets of byte ranges.

/// A set of bytes as sorted, disjoint, non-adjacent ranges; start inclusive, end exclusive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    /// Adds a range; ignores an empty one.
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

    /// Whether the whole range is in the set; true for an empty range.
    pub fn contains(&self, start: u64, end: u64) -> bool {
        if start >= end {
            return true;
        }
        let at = self.0.partition_point(|&(_, e)| e <= start);
        self.0.get(at).is_some_and(|&(s, e)| s <= start && end <= e)
    }

    /// The first byte, counted from 0, that is not in the set.
    pub fn first_gap(&self) -> u64 {
        match self.0.first() {
            Some(&(0, end)) => end,
            _ => 0,
        }
    }

    /// The parts of a range that are not in the set.
    pub fn missing(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = start;
        for &(s, e) in &self.0 {
            if s >= end {
                break;
            }
            if at < s {
                gaps.push((at, s));
            }
            at = at.max(e);
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }

    pub fn to_vec(&self) -> Vec<(u64, u64)> {
        self.0.clone()
    }
}

impl FromIterator<(u64, u64)> for RangeSet {
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(ranges: T) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|(start, end)| set.insert(start, end));
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_set_behaves_like_a_set_of_bytes(ranges in prop::collection::vec((0..60u64, 0..12u64), 0..12), probe in (0..70u64, 0..12u64)) {
            let set: RangeSet = ranges.iter().map(|&(start, length)| (start, start + length)).collect();
            let byte = |b: u64| ranges.iter().any(|&(start, length)| (start..start + length).contains(&b));
            let (from, to) = (probe.0, probe.0 + probe.1);
            prop_assert_eq!(set.contains(from, to), (from..to).all(byte));
            let missing: Vec<u64> = set.missing(from, to).into_iter().flat_map(|(s, e)| s..e).collect();
            prop_assert_eq!(missing, (from..to).filter(|&b| !byte(b)).collect::<Vec<_>>());
            prop_assert_eq!(set.first_gap(), (0..).find(|&b| !byte(b)).unwrap());
            prop_assert!(set.to_vec().windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
