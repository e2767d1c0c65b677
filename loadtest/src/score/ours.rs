//! Our own analyses.

use std::{collections::BTreeSet, net::IpAddr};

use analysis::{
    Watch,
    autoencoder::Device,
    campaign::{self, Kind},
    longtail,
};

use super::labelled::{Labelled, addresses};

/// A group of sources that are said to act together.
pub type Group = BTreeSet<IpAddr>;

/// The campaigns that our analysis finds, most confident first.
pub fn campaigns(kind: Kind, log: &Labelled) -> anyhow::Result<Vec<Group>> {
    let mut tell = |_: &str, _: f64| true;
    let outcome = campaign::detect(
        kind,
        &log.data,
        log.range.clone(),
        &campaign::Earlier::default(),
        &campaign::Parameters::default(),
        &mut Watch::new(&mut tell),
    )?;
    Ok(outcome.findings.iter().map(|finding| addresses(&finding.sources)).collect())
}

/// The score of each session.
pub fn longtail(log: &Labelled) -> anyhow::Result<Vec<f64>> {
    let mut tell = |_: &str, _: f64| true;
    let part = longtail::Part::of(&log.data, &mut Watch::new(&mut tell))?;
    let (parameters, device) = (longtail::Parameters::default(), Device::open()?);
    let outcome = longtail::analyse(
        &[(log.range.clone(), &part)],
        Vec::new(),
        &parameters,
        &device,
        &mut Watch::new(&mut tell),
    )?;
    Ok(log.data.sessions.iter().map(|session| outcome.forms[&longtail::form(&log.data, session)]).collect())
}
