//! What made a finding: a live rule of the user, or a detector of an analysis. It says what the key is.

use events::Dimension;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::redaction::Hiding;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A live rule. The user chose its name; the key is a value of the dimension.
    Live {
        name: String,
        #[serde(serialize_with = "write_dimension", deserialize_with = "read_dimension")]
        dimension: Dimension,
    },
    Detector(Detector),
}

/// A detector of the analyses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    RareCommand,
    AnomalousSequence,
    OutlierSession,
    EmergingPattern,
    HighEntropyPayload,
    Campaign,
}

impl Rule {
    pub fn name(&self) -> &str {
        match self {
            Self::Live { name, .. } => name,
            Self::Detector(detector) => detector.name(),
        }
    }

    /// What of the key is hidden outside the database. A new dimension or detector must decide it here.
    pub(crate) fn hiding(&self) -> Hiding {
        match self {
            Self::Live { dimension, .. } => match dimension {
                Dimension::Password => Hiding::Password,
                Dimension::Credential => Hiding::Credential,
                Dimension::All
                | Dimension::Sensor
                | Dimension::Eventid
                | Dimension::SrcIp
                | Dimension::SrcNet
                | Dimension::Username
                | Dimension::Hassh
                | Dimension::ClientVersion
                | Dimension::Command
                | Dimension::Download
                | Dimension::Forward => Hiding::Nothing,
            },
            Self::Detector(detector) => match detector {
                // A command as it was typed.
                Detector::RareCommand
                // Hashes.
                | Detector::AnomalousSequence
                | Detector::OutlierSession
                | Detector::HighEntropyPayload
                // `kind:text`; of a credential, its hash.
                | Detector::EmergingPattern
                // An id.
                | Detector::Campaign => Hiding::Nothing,
            },
        }
    }
}

impl Detector {
    pub fn name(self) -> &'static str {
        match self {
            Self::RareCommand => "rare_command",
            Self::AnomalousSequence => "anomalous_sequence",
            Self::OutlierSession => "outlier_session",
            Self::EmergingPattern => "emerging_pattern",
            Self::HighEntropyPayload => "high_entropy_payload",
            Self::Campaign => "campaign",
        }
    }
}

impl From<Detector> for Rule {
    fn from(detector: Detector) -> Self {
        Self::Detector(detector)
    }
}

fn write_dimension<S: Serializer>(dimension: &Dimension, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(dimension.name())
}

fn read_dimension<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dimension, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
