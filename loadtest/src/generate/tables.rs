//! The learnt tables, prepared for drawing.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    kind::{Kind, Profile},
    profile::LEARNT,
    random::Weights,
};

/// Weights in the order of the learnt tables.
#[derive(Debug)]
pub struct Tables {
    pub credentials: Weights,
    pub usernames: Weights,
    pub passwords: Weights,
    pub telnet: Weights,
    pub tools: Weights,
    /// `tools` as people use them.
    pub humans: Weights,
    /// `tools` as scanners use them.
    pub scanners: Weights,
    pub versions: Weights,
    /// `versions` of SSH clients.
    pub clients: Weights,
    pub targets: Weights,
    pub sizes: Weights,
    pub archs: Weights,
    /// Kinds of sessions of a profile, on sensors of 2017 or on later ones.
    pub kinds: HashMap<(Profile, bool), (Vec<Kind>, Weights)>,
}

/// Factors on the learnt frequency over Telnet: of shells, which are rare in the samples, and of many logins,
/// which only logs of 2017 have.
const TELNET_SHELLS: f64 = 6.0;
const TELNET_LOGINS: f64 = 6.0;

pub static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let tools = |weight: &dyn Fn(&str) -> f64| {
        Weights::new(LEARNT.tools.iter().map(|tool| f64::from(tool.n) * weight(&tool.version)))
    };
    let mut kinds = HashMap::new();
    for profile in Profile::ALL {
        for old in [false, true] {
            let tables = LEARNT.kinds.iter().filter(|table| Profile::of(table.kind, table.telnet) == profile);
            let weight = |kind, telnet| match kind {
                Kind::Shell if telnet => TELNET_SHELLS,
                Kind::Enter if telnet && old => TELNET_LOGINS,
                Kind::Enter if telnet => 0.0,
                _ => 1.0,
            };
            let (names, weights): (Vec<_>, Vec<_>) =
                tables.map(|table| (table.kind, table.share * weight(table.kind, table.telnet))).unzip();
            kinds.insert((profile, old), (names, Weights::new(weights)));
        }
    }
    Tables {
        credentials: Weights::counted(LEARNT.credentials.iter().map(|row| row.2)),
        usernames: Weights::counted(LEARNT.usernames.iter().map(|row| row.1)),
        passwords: Weights::counted(LEARNT.passwords.iter().map(|row| row.1)),
        telnet: Weights::counted(LEARNT.telnet.iter().map(|row| row.2)),
        tools: tools(&|version| {
            f64::from(u8::from(!version.contains("Windows") && !version.contains("ZGrab")))
        }),
        humans: tools(&|version| {
            if version.contains("OpenSSH_for_Windows") {
                50.0
            } else {
                f64::from(u8::from(version.contains("OpenSSH")))
            }
        }),
        scanners: tools(&|version| if version.contains("ZGrab") { 20.0 } else { 1.0 }),
        versions: Weights::counted(LEARNT.versions.iter().map(|row| row.1)),
        clients: Weights::counted(
            LEARNT.versions.iter().map(|row| if row.0.starts_with("SSH-2.0-") { row.1 } else { 0 }),
        ),
        targets: Weights::counted(LEARNT.targets.iter().map(|row| row.2)),
        sizes: Weights::counted(LEARNT.sizes.iter().map(|row| row.2)),
        archs: Weights::counted(LEARNT.archs.iter().map(|row| row.1)),
        kinds,
    }
});
