//! DBSCAN over blocks, for any distance.

use super::{
    Clustering,
    blocks::{Blocks, Limit, Values},
    count::{Border, Count},
    sets::Sets,
};
use crate::{Stopped, Watch};

/// A distance between rows. The squared distance of their points is a lower bound for it.
pub trait Metric {
    /// Returns the distance of two rows, in any unit that grows with it. Called for many values of `other`
    /// with the same `row`.
    fn measure(&mut self, row: u32, other: u32) -> f64;

    /// Returns the squared distances of points up to which rows are surely within `measure`, and above which
    /// they surely are not.
    fn limit(&self, measure: f64) -> Limit;
}

/// A search for neighbouring rows.
pub struct Search<'a, M> {
    pub blocks: &'a Blocks,
    /// A point for each row.
    pub points: Values<'a>,
    pub metric: M,
}

impl<M: Metric> Search<'_, M> {
    /// Clusters the rows. `eps` is in the unit of [`Metric::measure`].
    pub fn cluster(
        &mut self,
        eps: f64,
        weights: &[f64],
        min_samples: f64,
        watch: &mut Watch<'_>,
    ) -> Result<Clustering, Stopped> {
        let limit = self.metric.limit(eps);
        let count = self.count(Count::new(weights, min_samples), eps, limit, watch)?;
        let mut clustering = self.join(&count.core, eps, limit, watch)?.clusters(count.core.clone());
        self.borders(&mut clustering, &count, eps, limit, watch)?;
        watch.at(1.0)?;
        Ok(clustering)
    }

    /// Returns the core nearest to a row, and its measure; among equals, the first.
    pub fn nearest_core(&mut self, core: &[bool], row: u32) -> Option<(f64, u32)> {
        let point = self.points.row(row);
        let mut best: Option<(f64, u32)> = None;
        for (gap, block) in self.blocks.near(point, point, f32::INFINITY) {
            let mut most = best.map_or(f32::INFINITY, |(measure, _)| self.metric.limit(measure).most);
            if gap > most {
                break;
            }
            let block = &self.blocks.blocks[block as usize];
            block.near(point, most, 0, |place, square| {
                let other = block.rows[place];
                if square <= most && core[other as usize] {
                    let found = (self.metric.measure(row, other), other);
                    if best.is_none_or(|best| found < best) {
                        best = Some(found);
                        most = self.metric.limit(found.0).most;
                    }
                }
                true
            });
        }
        best
    }

    /// Finds out which rows are core. Each pair is compared at most once.
    fn count<'b>(
        &mut self,
        mut count: Count<'b>,
        eps: f64,
        limit: Limit,
        watch: &mut Watch<'_>,
    ) -> Result<Count<'b>, Stopped> {
        let blocks = &self.blocks.blocks;
        let mut block_of = vec![0; count.core.len()];
        // The number of rows of each block that are not core yet.
        let mut open = vec![0; blocks.len()];
        for (at, block) in blocks.iter().enumerate() {
            block.rows.iter().for_each(|&row| block_of[row as usize] = at);
            open[at] = block.rows.iter().filter(|&&row| !count.core[row as usize]).count();
        }
        for (at, block) in blocks.iter().enumerate() {
            watch.at(0.6 * part(at, blocks.len()))?;
            let mut near = self.blocks.near_block(at as u32, limit.most);
            near.retain(|&(_, other)| other as usize >= at);
            for (place, &row) in block.rows.iter().enumerate() {
                for &(_, other) in &near {
                    if count.core[row as usize] && open[other as usize] == 0 {
                        continue;
                    }
                    let others = &blocks[other as usize];
                    let from = if other as usize == at { place + 1 } else { 0 };
                    others.near(self.points.row(row), limit.most, from, |place, square| {
                        let other = others.rows[place];
                        let matters = !(count.core[row as usize] && count.core[other as usize]);
                        if matters && (square <= limit.sure || self.metric.measure(row, other) <= eps) {
                            for (row, other) in [(row, other), (other, row)] {
                                open[block_of[row as usize]] -= usize::from(count.add(row, other));
                            }
                        }
                        true
                    });
                }
            }
        }
        Ok(count)
    }

    fn join(
        &mut self,
        core: &[bool],
        eps: f64,
        limit: Limit,
        watch: &mut Watch<'_>,
    ) -> Result<Sets, Stopped> {
        let blocks = &self.blocks.blocks;
        let cores: Vec<Vec<u32>> = blocks
            .iter()
            .map(|block| block.rows.iter().copied().filter(|&row| core[row as usize]).collect())
            .collect();
        let mut sets = Sets::new(core.len());
        // A block whose cores are all in one set stays that way.
        let mut whole: Vec<bool> = cores.iter().map(|cores| cores.len() <= 1).collect();
        for at in 0..blocks.len() {
            watch.at(0.6 + 0.3 * part(at, blocks.len()))?;
            if cores[at].is_empty() {
                continue;
            }
            for (_, other) in self.blocks.near_block(at as u32, limit.most) {
                let other = other as usize;
                if other < at || cores[other].is_empty() {
                    continue;
                }
                let mut is_whole = |block: usize, sets: &mut Sets| {
                    whole[block] = whole[block]
                        || cores[block].iter().all(|&row| sets.first(row) == sets.first(cores[block][0]));
                    whole[block]
                };
                let one = is_whole(other, &mut sets);
                if one && is_whole(at, &mut sets) && sets.first(cores[at][0]) == sets.first(cores[other][0]) {
                    continue;
                }
                for &row in &cores[at] {
                    if one && sets.first(row) == sets.first(cores[other][0]) {
                        continue;
                    }
                    let others = &blocks[other];
                    others.near(self.points.row(row), limit.most, 0, |place, square| {
                        let other = others.rows[place];
                        if core[other as usize]
                            && sets.first(row) != sets.first(other)
                            && (square <= limit.sure || self.metric.measure(row, other) <= eps)
                        {
                            sets.join(row, other);
                        }
                        true
                    });
                }
            }
        }
        Ok(sets)
    }

    /// Assigns each row that is not core but near one to the cluster of that core.
    fn borders(
        &mut self,
        clustering: &mut Clustering,
        count: &Count<'_>,
        eps: f64,
        limit: Limit,
        watch: &mut Watch<'_>,
    ) -> Result<(), Stopped> {
        for row in (0..count.core.len()).filter(|&row| !count.core[row]) {
            watch.at(0.9 + 0.1 * part(row, count.core.len()))?;
            let mut border = Border::new(clustering);
            if let Some(neighbours) = count.neighbours(row) {
                neighbours.iter().for_each(|&other| border.add(other));
            } else {
                let (row, point) = (row as u32, self.points.row(row as u32));
                for (_, block) in self.blocks.near(point, point, limit.most) {
                    let block = &self.blocks.blocks[block as usize];
                    block.near(point, limit.most, 0, |place, square| {
                        if square <= limit.sure || self.metric.measure(row, block.rows[place]) <= eps {
                            border.add(block.rows[place]);
                        }
                        true
                    });
                }
            }
            clustering.labels[row] = border.label;
        }
        Ok(())
    }
}

fn part(done: usize, of: usize) -> f64 {
    done as f64 / of as f64
}
