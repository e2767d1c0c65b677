//! Credentials in the lists of attackers: common ones, and ones that only this list has.

use crate::generate::{profile::LEARNT, random::Random, session::Text, tables::TABLES};

/// User name and password.
pub type Credential = (Text, Text);

/// Words that such lists contain: names of people and companies, devices, coins, games.
const WORDS: &[&str] = &[
    "acme",
    "hospital",
    "school",
    "minecraft",
    "valheim",
    "bitcoin",
    "monero",
    "validator",
    "eth",
    "node",
    "kube",
    "jenkins",
    "gitlab",
    "zabbix",
    "odoo",
    "asterisk",
    "camera",
    "dahua",
    "nvr",
    "tplink",
    "mikrotik",
    "huawei",
    "zte",
    "vyos",
    "pfsense",
    "raspberry",
    "orangepi",
    "jetson",
    "hadoop",
    "spark",
    "kafka",
    "elastic",
    "redis",
    "mysql",
    "oracle",
    "sap",
    "backup",
    "veeam",
    "nagios",
    "ansible",
    "terraform",
    "student",
    "lab",
    "office",
    "kasse",
    "lager",
    "buero",
    "praxis",
    "casa",
    "clave",
    "amor",
    "senha",
    "brasil",
    "futbol",
    "dragon",
    "monkey",
    "sunshine",
    "letmein",
    "welcome",
    "changeme",
    "qwerty",
    "asdfgh",
    "zxcvbn",
    "winter",
    "summer",
    "spring",
    "herbst",
    "januar",
    "march",
    "monday",
    "secret",
    "master",
    "shadow",
    "hunter",
    "killer",
    "pepper",
    "cookie",
    "ginger",
    "flower",
    "purple",
    "orange",
];

/// Names of people and of service accounts.
const NAMES: &[&str] = &[
    "adam",
    "alice",
    "andre",
    "anna",
    "bart",
    "ben",
    "bruno",
    "carla",
    "chen",
    "claire",
    "daniel",
    "david",
    "diana",
    "emil",
    "emma",
    "erik",
    "fatima",
    "felix",
    "frank",
    "george",
    "grace",
    "hans",
    "helen",
    "hugo",
    "ibrahim",
    "ines",
    "ivan",
    "jack",
    "jan",
    "jose",
    "julia",
    "karl",
    "kate",
    "kevin",
    "laura",
    "leo",
    "lin",
    "lucas",
    "maria",
    "mark",
    "max",
    "maya",
    "mike",
    "mohamed",
    "nadia",
    "nick",
    "nina",
    "olga",
    "oscar",
    "pablo",
    "paul",
    "petra",
    "priya",
    "rahul",
    "rosa",
    "ruth",
    "sam",
    "sara",
    "sergey",
    "simon",
    "sofia",
    "steve",
    "tim",
    "tom",
    "uma",
    "vera",
    "victor",
    "wang",
    "will",
    "yan",
    "yusuf",
    "zoe",
    "appuser",
    "builder",
    "ci",
    "cloud",
    "dba",
    "deploy",
    "devops",
    "dspace",
    "es",
    "grafana",
    "helpdesk",
    "invoice",
    "jboss",
    "kiosk",
    "ldap",
    "mailman",
    "mongo",
    "n8n",
    "nexus",
    "ops",
    "plex",
    "qa",
    "rabbit",
    "scan",
    "sonar",
    "svc",
    "teamspeak",
    "trac",
    "uploader",
    "vagrant",
    "webapp",
    "wiki",
    "xen",
    "zookeeper",
];

const ENDINGS: &[&str] =
    &["", "1", "12", "123", "1234", "!", "@123", "#1", "2023", "2024", "2025", ".", "_", "01", "007", "00"];

/// A common credential, weighted by its frequency.
pub fn common(random: &mut Random) -> Credential {
    let (user, password, _) = &LEARNT.credentials[TABLES.credentials.draw(random)];
    (user.as_str().into(), password.as_str().into())
}

/// One of the most common credentials.
pub fn popular(random: &mut Random) -> Credential {
    let (user, password, _) = &LEARNT.credentials[random.below(40).min(random.below(40))];
    (user.as_str().into(), password.as_str().into())
}

pub fn common_password(random: &mut Random) -> Text {
    LEARNT.passwords[TABLES.passwords.draw(random)].0.as_str().into()
}

/// A user name: a common one, or a person's.
pub fn user(random: &mut Random) -> Text {
    if random.chance(0.5) {
        LEARNT.usernames[TABLES.usernames.draw(random)].0.as_str().into()
    } else {
        (*random.pick(NAMES)).into()
    }
}

/// A password that few lists have.
pub fn own_password(random: &mut Random) -> Text {
    let word = *random.pick(WORDS);
    let ending = *random.pick(ENDINGS);
    match random.below(5) {
        0 => format!("{}{}{ending}", word[..1].to_uppercase(), &word[1..]),
        1 => format!("{word}{}{ending}", random.pick(WORDS)),
        2 => format!("{word}{}", random.below(10_000)),
        3 => word.replace('a', "@").replace('o', "0").replace('e', "3") + ending,
        _ => format!("{word}{ending}"),
    }
    .into()
}
