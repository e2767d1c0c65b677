//! Divides rows into blocks of neighbours, and the blocks into a tree of bounding boxes.

/// Most rows of a block.
const LANES: usize = 64;
/// Rows compared with a point at once: as many as vector registers hold.
const GROUP: usize = 16;
/// Dimensions between two checks whether all rows are already too far.
const STRIDE: usize = 8;
/// Each side of a cut gets at least one in N rows, so that the tree is shallow for any values.
const LEAST_SHARE: usize = 32;

/// Two bounds of a squared distance in f32. Sums of squares in f32 are off by at most one part in 10⁵, so
/// distances between the bounds are computed again in f64.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// At or below this value, the distance is surely within the limit.
    pub sure: f32,
    /// Above this value, it surely is not.
    pub most: f32,
}

impl Limit {
    /// Converts a squared distance in f64, for rows with this many dimensions.
    pub fn new(square: f64, dimensions: usize) -> Self {
        // Outside this range, f32 overflows or loses digits, so that nothing is sure.
        if !(1e-30..1e30).contains(&square) {
            return Self { sure: -1.0, most: if square < 1.0 { 1e-29 } else { f32::INFINITY } };
        }
        let off = (dimensions + 8) as f64 * f64::from(f32::EPSILON);
        Self { sure: (square * (1.0 - off)) as f32, most: (square * (1.0 + off)) as f32 }
    }
}

/// A bounding box of rows.
#[derive(Clone, Debug)]
struct Bounds {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Bounds {
    fn of(rows: &[u32], values: &Values<'_>) -> Self {
        let mut bounds = Self {
            low: vec![f32::INFINITY; values.dimensions],
            high: vec![f32::NEG_INFINITY; values.dimensions],
        };
        for &row in rows {
            for ((&value, low), high) in values.row(row).iter().zip(&mut bounds.low).zip(&mut bounds.high) {
                *low = low.min(value);
                *high = high.max(value);
            }
        }
        bounds
    }

    /// A lower bound of the squared distance to another box.
    fn gap_to(&self, low: &[f32], high: &[f32]) -> f32 {
        let mut sum = 0.0;
        for n in 0..self.low.len() {
            let gap = (low[n] - self.high[n]).max(self.low[n] - high[n]).max(0.0);
            sum += gap * gap;
        }
        sum
    }
}

/// Rows, stored one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub values: &'a [f32],
    pub dimensions: usize,
}

impl<'a> Values<'a> {
    pub fn row(&self, row: u32) -> &'a [f32] {
        let from = row as usize * self.dimensions;
        &self.values[from..from + self.dimensions]
    }
}

/// Rows that lie close together, stored by column.
#[derive(Clone, Debug)]
pub struct Block {
    pub rows: Vec<u32>,
    /// For each group of rows and each dimension, the values of the rows of the group. The padding is NaN,
    /// which is never near.
    columns: Vec<f32>,
}

impl Block {
    fn of(rows: &[u32], values: &Values<'_>) -> Self {
        let mut columns = vec![f32::NAN; rows.len().next_multiple_of(GROUP) * values.dimensions];
        for (lane, &row) in rows.iter().enumerate() {
            let from = lane / GROUP * GROUP * values.dimensions + lane % GROUP;
            columns[from..]
                .iter_mut()
                .step_by(GROUP)
                .zip(values.row(row))
                .for_each(|(place, &value)| *place = value);
        }
        Self { rows: rows.to_vec(), columns }
    }

    /// Calls with the place of each row from `from` on, and its squared distance to a point, if this is at
    /// most `most`. Ends when the call returns false.
    pub fn near(
        &self,
        point: &[f32],
        most: f32,
        from: usize,
        mut each: impl FnMut(usize, f32) -> bool,
    ) -> bool {
        for (group, columns) in self.columns.chunks_exact(GROUP * point.len()).enumerate().skip(from / GROUP)
        {
            let Some(squares) = squares(columns, point, most) else { continue };
            for (lane, &square) in squares.iter().enumerate() {
                if square <= most && group * GROUP + lane >= from && !each(group * GROUP + lane, square) {
                    return false;
                }
            }
        }
        true
    }
}

/// Returns the squared distances of a point to the rows of a group, or `None` when all exceed `most`. Written
/// so that it compiles to vector instructions.
fn squares(columns: &[f32], point: &[f32], most: f32) -> Option<[f32; GROUP]> {
    let mut sums = [0.0_f32; GROUP];
    for (columns, values) in columns.chunks(STRIDE * GROUP).zip(point.chunks(STRIDE)) {
        for (column, &value) in columns.as_chunks::<GROUP>().0.iter().zip(values) {
            for lane in 0..GROUP {
                let gap = column[lane] - value;
                sums[lane] += gap * gap;
            }
        }
        if sums.iter().map(|&sum| u32::from(sum <= most)).sum::<u32>() == 0 {
            return None;
        }
    }
    Some(sums)
}

/// A node: its box, and either a block or its children.
#[derive(Clone, Debug)]
struct Node {
    bounds: Bounds,
    below: Below,
}

#[derive(Clone, Copy, Debug)]
enum Below {
    Block(u32),
    Nodes(u32, u32),
}

/// All blocks and the tree over them.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    pub blocks: Vec<Block>,
    /// The tree node of each block.
    leaves: Vec<u32>,
    nodes: Vec<Node>,
}

impl Blocks {
    pub fn new(values: &Values<'_>) -> Self {
        let mut blocks = Self::default();
        let mut rows: Vec<u32> =
            (0..values.values.len().checked_div(values.dimensions).unwrap_or(0) as u32).collect();
        if !rows.is_empty() {
            blocks.add(&mut rows, values);
        }
        blocks
    }

    fn add(&mut self, rows: &mut [u32], values: &Values<'_>) -> u32 {
        let node = self.nodes.len() as u32;
        let bounds = Bounds::of(rows, values);
        self.nodes.push(Node { bounds, below: Below::Block(self.blocks.len() as u32) });
        if rows.len() <= LANES {
            self.blocks.push(Block::of(rows, values));
            self.leaves.push(node);
            return node;
        }
        let at = cut(rows, values);
        let (left, right) = rows.split_at_mut(at);
        let below = Below::Nodes(self.add(left, values), self.add(right, values));
        self.nodes[node as usize].below = below;
        node
    }

    /// Returns the blocks that may have rows within the squared distance `most` of a box, nearest first.
    pub fn near(&self, low: &[f32], high: &[f32], most: f32) -> Vec<(f32, u32)> {
        let mut found = Vec::new();
        let mut open = if self.nodes.is_empty() { Vec::new() } else { vec![0_u32] };
        while let Some(at) = open.pop() {
            let node = &self.nodes[at as usize];
            let gap = node.bounds.gap_to(low, high);
            if gap > most {
                continue;
            }
            match node.below {
                Below::Block(block) => found.push((gap, block)),
                Below::Nodes(left, right) => open.extend([left, right]),
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found
    }

    /// Returns the blocks that may have rows within the squared distance `most` of a row of this block,
    /// nearest first.
    pub fn near_block(&self, block: u32, most: f32) -> Vec<(f32, u32)> {
        let bounds = &self.nodes[self.leaves[block as usize] as usize].bounds;
        self.near(&bounds.low, &bounds.high, most)
    }
}

/// Splits rows at the middle of the dimension with the greatest variance, and keeps equal values on one side
/// if possible. Returns where the second side begins.
fn cut(rows: &mut [u32], values: &Values<'_>) -> usize {
    let widest = widest(rows, values);
    let value = |row: u32| values.row(row)[widest];
    let middle = rows.len() / 2;
    rows.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
    let at = value(rows[middle]);
    let from = rows.partition_point(|&row| value(row) < at);
    let to = rows.partition_point(|&row| value(row) <= at);
    let least = (rows.len() / LEAST_SHARE).max(1);
    let nearest = if middle - from <= to - middle { from } else { to };
    if (least..=rows.len() - least).contains(&nearest) { nearest } else { middle }
}

fn widest(rows: &[u32], values: &Values<'_>) -> usize {
    let mut sums = vec![(0.0_f64, 0.0_f64); values.dimensions];
    for &row in rows {
        for (&value, (sum, squares)) in values.row(row).iter().zip(&mut sums) {
            *sum += f64::from(value);
            *squares += f64::from(value) * f64::from(value);
        }
    }
    let variance = |(sum, squares): (f64, f64)| squares - sum * sum / rows.len() as f64;
    (0..values.dimensions)
        .max_by(|&a, &b| variance(sums[a]).total_cmp(&variance(sums[b])).then(b.cmp(&a)))
        .unwrap_or(0)
}
