//! The steps of a session of a kind: as often as learnt, in the order of Cowrie.

use super::{
    attacker::Attacker,
    commands,
    cowrie::Cowrie,
    forward,
    kind::{Kind, Profile},
    profile::{KindTable, LEARNT},
    session::{Client, Step, Text},
    tables::TABLES,
};

#[derive(Debug)]
pub struct Script<'a> {
    pub attacker: &'a mut Attacker,
    pub cowrie: Cowrie,
    /// How often each event occurs.
    pub table: &'a KindTable,
    /// In order.
    pub steps: Vec<Step>,
    shells: usize,
}

/// Returns the steps of a session. `repeats` is the number of the event that such a session may contain many
/// times.
pub fn script(attacker: &mut Attacker, cowrie: Cowrie, table: &KindTable, repeats: usize) -> Vec<Step> {
    let mut script = Script::of(attacker, cowrie, table);
    match table.kind {
        Kind::Knock | Kind::Banner => (),
        Kind::Guess => script.guess(repeats),
        _ => script.enter(),
    }
    match table.kind {
        Kind::Shell if table.telnet => script.mirai(),
        Kind::Shell => script.recon(repeats),
        Kind::Plant => script.plant(repeats),
        Kind::Download => script.download(),
        Kind::Proxy => forward::proxy(&mut script, repeats),
        Kind::Human => script.human(repeats),
        _ => (),
    }
    script.end()
}

impl<'a> Script<'a> {
    /// Begins with connection and greeting.
    pub fn of(attacker: &'a mut Attacker, cowrie: Cowrie, table: &'a KindTable) -> Self {
        let mut script = Self { attacker, cowrie, table, steps: vec![Step::Connect], shells: 0 };
        script.greet();
        script
    }

    /// Returns the steps. Now and then Cowrie ends before the session does.
    pub fn end(mut self) -> Vec<Step> {
        if self.often("session.closed") > 0 {
            self.steps.push(Step::Closed);
        }
        self.steps
    }

    /// Draws how often an event occurs that has a learnt mean.
    fn often(&mut self, name: &str) -> usize {
        let mean = self.table.means.get(name).copied().unwrap_or(0.0);
        self.attacker.random.rounded(f64::from(mean))
    }

    fn greet(&mut self) {
        if self.table.telnet {
            if self.cowrie.has_options() {
                self.negotiate();
            }
            return;
        }
        if self.table.kind == Kind::Knock {
            return;
        }
        self.steps.push(Step::Version);
        if self.cowrie.has_kex() && matches!(self.attacker.client, Client::Ssh(_)) {
            self.steps.push(Step::Kex);
            if self.cowrie == Cowrie::V2_5 && self.attacker.random.chance(0.004) {
                self.steps.push(Step::ServerKex);
            }
        }
        if self.cowrie == Cowrie::V3_0_12
            && self.table.kind == Kind::Banner
            && self.attacker.random.chance(0.01)
        {
            self.steps.push(Step::Malformed);
        }
    }

    fn negotiate(&mut self) {
        const OPTIONS: &[(&str, &str, u8)] = &[
            ("WILL", "NAWS", 31),
            ("DO", "ECHO", 1),
            ("DO", "SGA", 3),
            ("WILL", "TTYPE", 24),
            ("DONT", "LINEMODE", 34),
            ("WONT", "NEW_ENVIRON", 39),
        ];
        let (first, all) =
            (self.attacker.random.below(OPTIONS.len()), 1 + self.attacker.random.below(OPTIONS.len()));
        for (command, name, byte) in OPTIONS.iter().cycle().skip(first).take(all).copied() {
            self.steps.push(Step::Option { command, name, byte });
        }
        if self.attacker.random.chance(0.01) {
            self.steps.push(Step::Exploit { value: "-f root".into() });
        }
    }

    fn login(&mut self, success: bool) {
        let (user, password) = self.attacker.credential();
        self.steps.push(Step::Login { user, password, success });
    }

    /// Offers a key, as clients do before they ask for a password.
    fn offer(&mut self) -> usize {
        let offered = self.often("client.fingerprint");
        let user: Text =
            if self.attacker.random.chance(0.7) { "root".into() } else { self.attacker.credential().0 };
        for _ in 0..offered {
            let key = self.attacker.key;
            self.steps.push(Step::Fingerprint { user: user.clone(), key });
            self.steps.push(Step::KeyLogin { user: user.clone(), key });
        }
        offered
    }

    fn guess(&mut self, attempts: usize) {
        let offered = self.offer();
        (offered..attempts.max(1)).for_each(|_| self.login(false));
    }

    fn enter(&mut self) {
        let offered = self.offer();
        let old = self.cowrie == Cowrie::V1_3 && self.table.telnet;
        let (failed, successes) = if self.table.telnet && !old {
            (self.attacker.random.below(3), 1)
        } else {
            (self.often("login.failed"), self.often("login.success"))
        };
        (offered..failed).for_each(|_| self.login(false));
        for shell in 0..successes.max(1) {
            self.login(true);
            if old && self.table.kind == Kind::Enter {
                self.steps.push(Step::LogOpen { index: shell });
            }
        }
        if old && self.table.kind == Kind::Enter {
            self.close(0);
        }
    }

    pub fn open(&mut self) -> usize {
        let index = self.shells;
        self.shells += 1;
        let arch = LEARNT.archs[TABLES.archs.draw(&mut self.attacker.random)].0.as_str();
        self.steps.push(if self.cowrie.has_kex() { Step::Params { arch } } else { Step::LogOpen { index } });
        index
    }

    pub fn close(&mut self, index: usize) {
        let random = &mut self.attacker.random;
        let (size, sum) = (random.below(4000) as u64, random.below(600) as u64);
        self.steps.push(Step::LogClosed { index, size, sum, seconds: 0.0 });
    }

    /// Types a command into the open terminal.
    pub fn command(&mut self, input: Text) {
        let found = self.cowrie == Cowrie::V1_3
            && (self.table.kind != Kind::Human || self.attacker.random.chance(0.7));
        let first = input.split([';', '|']).next().unwrap_or_default().trim().to_owned();
        self.steps.push(Step::Command { input });
        if found && !first.is_empty() {
            self.steps.push(Step::Found { input: first.into() });
        }
    }

    /// Opens a channel for one command.
    pub fn execute(&mut self, input: Text, then: Option<Step>) {
        let index = self.open();
        self.command(input);
        self.steps.extend(then);
        self.close(index);
    }

    fn recon(&mut self, repeats: usize) {
        for _ in 0..repeats.max(1) {
            let input = *self.attacker.random.pick(commands::RECON);
            let failed = self.attacker.random.chance(0.02).then(|| Step::NotFound { input: input.into() });
            self.execute(input.into(), failed);
        }
    }

    fn plant(&mut self, repeats: usize) {
        let [first, second] = <[Text; 2]>::try_from(commands::plant(self.attacker)).unwrap_or_default();
        if repeats > 1 {
            self.execute(first, Some(Step::NotFound { input: "lockr -ia .ssh".into() }));
        }
        let (sum, duplicate) = (1000 + self.attacker.of_pool(40), self.attacker.random.chance(0.8));
        self.execute(
            second,
            Some(Step::Download {
                url: None,
                destination: "/root/.ssh/authorized_keys".into(),
                sum,
                duplicate,
            }),
        );
        for i in 2..repeats {
            self.execute(commands::AFTER_KEY[i % commands::AFTER_KEY.len()].into(), None);
        }
    }

    fn download(&mut self) {
        let (command, url, other) = commands::download(self.attacker);
        let index = self.open();
        self.command(command.into());
        for _ in 0..self.often("session.file_download") {
            self.steps.push(Step::Download {
                url: Some(url.clone().into()),
                destination: "".into(),
                sum: 2000 + self.attacker.of_pool(60),
                duplicate: false,
            });
        }
        for _ in 0..self.often("session.file_download.failed") {
            self.steps.push(Step::DownloadFailed { url: other.clone().into() });
        }
        // The connection is mostly closed before the shell is.
        if self.attacker.random.chance(0.12) {
            self.close(index);
        }
    }

    fn mirai(&mut self) {
        let (commands, url) = commands::mirai(self.attacker);
        let index = self.open();
        let reached = 3 + self.attacker.random.below(commands.len() - 2);
        let fetched = reached == commands.len();
        for (i, input) in commands.into_iter().take(reached).enumerate() {
            let unknown = input.starts_with("/bin/busybox ") && !input.contains("wget") || matches!(i, 1 | 4);
            let failed = unknown.then(|| Step::NotFound { input: input.clone() });
            self.command(input);
            self.steps.extend(failed);
        }
        if fetched {
            let sum = 3000 + self.attacker.of_pool(60);
            let got = self.attacker.random.chance(0.5);
            self.steps.push(if got {
                Step::Download { url: Some(url.into()), destination: "".into(), sum, duplicate: false }
            } else {
                Step::DownloadFailed { url: url.into() }
            });
        }
        self.close(index);
    }

    fn human(&mut self, repeats: usize) {
        debug_assert_eq!(self.attacker.profile, Profile::Human);
        let own = if self.attacker.apart { self.attacker.key >> 8 } else { 0 };
        let random = &mut self.attacker.random;
        let uploads =
            random.chance(f64::from(self.table.means.get("session.file_upload").copied().unwrap_or(0.0)));
        if uploads {
            let (name, sum) = (
                *random.pick(&["setup.sh", "a.txt", "x86_64", "config.json", "sshd"]),
                own + 4000 + random.below(50) as u64,
            );
            return self.steps.push(Step::Upload { name: name.into(), sum });
        }
        let (width, height, _) = LEARNT.sizes[TABLES.sizes.draw(random)];
        if random.chance(0.153) {
            self.steps.push(Step::Var {
                name: "LANG",
                value: ["C.UTF-8", "en_US.UTF-8", "pt_BR.UTF-8", "de_DE.UTF-8"][random.below(4)],
            });
        }
        self.steps.push(Step::Size { width, height });
        let index = self.open();
        for _ in 0..repeats {
            self.typed();
        }
        if self.attacker.random.chance(0.85) {
            self.close(index);
        }
    }

    fn typed(&mut self) {
        let random = &mut self.attacker.random;
        match random.below(200) {
            0..10 => {
                let input = *random.pick(commands::UNKNOWN);
                self.command(input.into());
                self.steps.push(Step::NotFound { input: input.into() });
            }
            10..17 => {
                let (name, sum) = (random.below(30), random.below(90) as u64);
                self.command(format!("echo test > file{name}").into());
                self.steps.push(Step::Download {
                    url: None,
                    destination: format!("/root/file{name}").into(),
                    sum: 5000 + sum,
                    duplicate: false,
                });
            }
            17 => {
                self.command("cat".into());
                self.steps.push(Step::Input { input: "test".into() });
            }
            _ => {
                let input = *random.pick(commands::TYPED);
                self.command(input.into());
            }
        }
    }
}
