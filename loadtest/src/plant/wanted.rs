//! What to plant, and how many of each.

use std::{collections::BTreeMap, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plant {
    Snowshoe,
    /// Campaigns of addresses that need not be quiet.
    Botnet,
    /// Sessions of people that do what hardly anybody else does.
    Intruders,
    /// Commands that consist mostly of an encoded program.
    Payloads,
    /// Malware that first occurs late and spreads.
    Emerging,
    /// Sessions that are odd without odd commands.
    Odd,
    /// Days on which several times as many unrelated attackers come.
    Busy,
    /// Groups of addresses that look alike but do not act together.
    Decoys,
}

impl Plant {
    /// All plants with the numbers that `all` means.
    pub const ALL: [(Self, usize); 8] = [
        (Self::Snowshoe, 4),
        (Self::Botnet, 3),
        (Self::Intruders, 20),
        (Self::Payloads, 10),
        (Self::Emerging, 2),
        (Self::Odd, 10),
        (Self::Busy, 1),
        (Self::Decoys, 3),
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snowshoe => "snowshoe",
            Self::Botnet => "botnet",
            Self::Intruders => "intruders",
            Self::Payloads => "payloads",
            Self::Emerging => "emerging",
            Self::Odd => "odd",
            Self::Busy => "busy",
            Self::Decoys => "decoys",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(pub BTreeMap<Plant, usize>);

impl Wanted {
    pub fn of(&self, plant: Plant) -> usize {
        self.0.get(&plant).copied().unwrap_or(0)
    }
}

/// More plants of one kind would be most of the log.
const MOST: usize = 10_000;

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Plant::ALL.into_iter().collect()));
        }
        let wrong = |part: &str| {
            format!(
                "{part:?}: expected `all`, or numbers such as snowshoe=3,botnet=2,intruders=10,payloads=5,emerging=1,odd=5,busy=1,decoys=3"
            )
        };
        let one = |part: &str| {
            let (name, number) = part.split_once('=').ok_or_else(|| wrong(part))?;
            let plant = Plant::ALL
                .iter()
                .map(|(plant, _)| *plant)
                .find(|plant| plant.name() == name.trim())
                .ok_or_else(|| wrong(part))?;
            let number =
                number.trim().parse().ok().filter(|&number| number <= MOST).ok_or_else(|| wrong(part))?;
            Ok((plant, number))
        };
        text.split(',').map(one).collect::<Result<_, String>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_or_refused_with_what_it_should_look_like() {
        let wanted: Wanted = "snowshoe=3, odd=0".parse().unwrap();
        assert_eq!((wanted.of(Plant::Snowshoe), wanted.of(Plant::Odd), wanted.of(Plant::Busy)), (3, 0, 0));
        assert_eq!("all".parse::<Wanted>().unwrap().0.len(), 8);
        for wrong in ["", "snowshoe", "snow=1", "odd=-1", "odd=99999"] {
            assert!(wrong.parse::<Wanted>().unwrap_err().contains("snowshoe=3"), "{wrong}");
        }
    }
}
