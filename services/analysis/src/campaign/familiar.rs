//! Tokens that are common in general, even if few sources of one data set have them: factory defaults,
//! well-known hosts, hashes of empty files.

/// At least this share of all sources tries a default credential. If few sources of a data set try it, that
/// is chance: it is not a secret.
const DEFAULT: f64 = 0.01;
/// At least this share of all sources tries two defaults in the same order: lists of defaults are public.
const IN_ORDER: f64 = 0.003;
/// At least this share of all sources connects to a well-known host.
const WELL_KNOWN: f64 = 0.02;

/// Credentials that Mirai and its descendants carry, and factory defaults of devices and systems. Written
/// from general knowledge, not copied from a file. A user name as its own password is not listed: see
/// [`credential`].
#[rustfmt::skip]
const CREDENTIALS: &[(&str, &str)] = &[
    // Mirai's own.
    ("root", "xc3511"), ("root", "vizxv"), ("root", "admin"), ("admin", "admin"), ("root", "888888"),
    ("root", "xmhdipc"), ("root", "default"), ("root", "juantech"), ("root", "123456"), ("root", "54321"),
    ("support", "support"), ("root", ""), ("admin", "password"), ("root", "root"), ("root", "12345"),
    ("user", "user"), ("admin", ""), ("root", "pass"), ("admin", "admin1234"), ("root", "1111"),
    ("admin", "smcadmin"), ("admin", "1111"), ("root", "666666"), ("root", "password"), ("root", "1234"),
    ("root", "klv123"), ("Administrator", "admin"), ("service", "service"), ("supervisor", "supervisor"),
    ("guest", "guest"), ("guest", "12345"), ("admin1", "password"), ("administrator", "1234"),
    ("666666", "666666"), ("888888", "888888"), ("ubnt", "ubnt"), ("root", "klv1234"), ("root", "Zte521"),
    ("root", "hi3518"), ("root", "jvbzd"), ("root", "anko"), ("root", "zlxx."), ("root", "7ujMko0vizxv"),
    ("root", "7ujMko0admin"), ("root", "system"), ("root", "ikwb"), ("root", "dreambox"), ("root", "user"),
    ("root", "realtek"), ("root", "00000000"), ("admin", "1111111"), ("admin", "1234"), ("admin", "12345"),
    ("admin", "54321"), ("admin", "123456"), ("admin", "7ujMko0admin"), ("admin", "pass"),
    ("admin", "meinsm"), ("tech", "tech"),
    // Descendants of Mirai; cameras, recorders, routers, modems and set-top boxes.
    ("root", "1001chin"), ("root", "hunt5759"), ("root", "GM8182"), ("root", "cat1029"),
    ("root", "oelinux123"), ("root", "5up"), ("root", "tsgoingon"), ("root", "solokey"),
    ("root", "swsbzkgn"), ("root", "xirtam"), ("root", "tl789"), ("root", "zsun1188"), ("root", "ttnet"),
    ("root", "aquario"), ("root", "founder88"), ("root", "ipcam_rt5350"), ("root", "ivdev"),
    ("root", "uClinux"), ("root", "alpine"), ("root", "pon521"), ("root", "Zte521"), ("root", "zhongxing"),
    ("root", "hg2x0"), ("root", "calvin"), ("root", "wubao"), ("root", "jiocentrum"), ("root", "iDirect"),
    ("root", "hslwificam"), ("root", "LSiuY7pOmZG2s"), ("root", "nE7jA%5m"), ("root", "gpon"),
    ("root", "3ep5w2u"), ("root", "avtech97981684"), ("root", "cxlinux"), ("root", "merlin"),
    ("root", "ahetzip8"), ("root", "taZz@23495859"), ("root", "vertex25ektks123"), ("root", "huigu309"),
    ("root", "unisheen"), ("root", "fidel123"), ("default", ""), ("default", "default"),
    ("default", "OxhlwSG8"), ("default", "S2fGqNFs"), ("default", "tlJwpbo6"), ("default", "antslq"),
    ("default", "lJwpbo6"), ("telnet", "telnet"), ("telnetadmin", "telnetadmin"),
    ("telecomadmin", "admintelecom"), ("CUAdmin", "CUAdmin"), ("e8ehome", "e8ehome"),
    ("e8telnet", "e8telnet"), ("mg3500", "merlin"), ("mother", "fucker"), ("vstarcam2015", "20150602"),
    ("hikvision", "hikvision"), ("daemon", ""), ("adm", ""), ("bin", ""), ("admin", "aerohive"),
    ("admin", "motorola"), ("admin", "changeme"), ("admin", "default"), ("admin", "conexant"),
    ("admin", "epicrouter"), ("admin", "utstar"), ("admin", "zhone"), ("admin", "vertex25ektks123"),
    ("admin", "cat1029"), ("admin", "zhongxing"), ("admin", "zte"), ("admin", "Zte521"),
    ("admin", "ipcam_rt5350"), ("admin", "QwestM0dem"), ("admin", "bintec"), ("admin", "netgear1"),
    ("admin", "manager"), ("admin", "pfsense"), ("admin", "ubnt"), ("admin", "atlantis"),
    ("admin", "barricade"), ("admin", "infrant1"), ("admin", "private"), ("admin", "public"),
    ("admin", "synnet"), ("admin", "comcomcom"), ("admin", "ho4uku6at"), ("supervisor", "zyad1234"),
    ("cisco", "cisco"), ("Cisco", "Cisco"), ("enable", "system"), ("enable\0", "system\0"), ("shell", "sh"),
    ("shell\0", "sh\0"), ("user", ""), ("guest", ""), ("guest", "123456"), ("guest", "1111"),
    ("support", "1234"), ("support", "admin"), ("support", "123456"),
    // Systems and services.
    ("pi", "raspberry"), ("pi", "raspberryraspberry993311"), ("osmc", "osmc"), ("root", "openelec"),
    ("root", "libreelec"), ("root", "toor"), ("root", "ubuntu"), ("root", "centos"), ("root", "debian"),
    ("root", "raspberry"), ("root", "vagrant"), ("root", "openvpnas"), ("root", "nas4free"),
    ("root", "freenas"), ("root", "bananapi"), ("root", "orangepi"), ("root", "rock"), ("root", "fa"),
    ("root", "live"), ("root", "ethos"), ("ethos", "live"), ("root", "proxmox"), ("root", "password1"),
    ("root", "changeme"), ("root", "letmein"), ("root", "server"), ("root", "test"), ("root", "linux"),
    ("root", "support"), ("root", "ftpuser"), ("oracle", "oracle123"), ("postgres", "postgres123"),
    ("test", "test123"), ("test", "123456"), ("test", "1234"), ("test", "12345"), ("test", "123"),
    ("test", ""), ("user", "123456"), ("user", "1234"), ("user", "12345"), ("user", "password"),
    ("ubuntu", "123456"), ("ubuntu", "password"), ("oracle", "123456"), ("postgres", "123456"),
    ("git", "123456"), ("mysql", "123456"), ("ftpuser", "123456"), ("ftp", "123456"), ("nagios", "123456"),
    ("hadoop", "123456"), ("tomcat", "s3cret"), ("sa", ""), ("admin", "operator"), ("operator", "1234"),
    ("anonymous", ""), ("anonymous", "anonymous"), ("nobody", ""), ("345gs5662d34", "345gs5662d34"),
    ("root", "3245gs5662d34"),
];

/// Passwords that every list has.
#[rustfmt::skip]
const PASSWORDS: &[&str] = &[
    "", "0", "1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890",
    "0000", "00000000", "1111", "111111", "11111111", "1111111", "123123", "123321", "654321", "54321",
    "666666", "888888", "88888888", "abc123", "a123456", "123abc", "123qwe", "qwe123", "qwer1234",
    "1234qwer", "1q2w3e", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "1qaz@WSX", "1qaz!QAZ", "!QAZ2wsx",
    "qazwsx", "qwerty", "qwerty123", "qwertyuiop", "asdfgh", "zxcvbnm", "pass", "passwd", "password",
    "Password", "password1", "password123", "Password1", "Password123", "P@ssw0rd", "P@ssword", "p@ssw0rd",
    "p@ssword", "Passw0rd", "passw0rd", "pass123", "pass1234", "Aa123456", "Aa@123456", "Admin123", "admin",
    "admin1", "admin12", "admin123", "admin1234", "admin@123", "Admin@123", "administrator", "root",
    "root123", "root1234", "root@123", "rootroot", "toor", "test", "test1", "test123", "test1234", "guest",
    "user", "user123", "default", "changeme", "letmein", "welcome", "welcome1", "Welcome1", "master",
    "server", "support", "service", "system", "manager", "public", "private", "secret", "temp", "ubuntu",
    "debian", "centos", "linux", "oracle", "mysql", "postgres", "alpine", "raspberry", "dragon", "monkey",
    "iloveyou", "sunshine", "football", "abcd1234", "abc@123", "Abc123", "abc12345", "huawei", "Huawei@123",
    "zaq12wsx", "!@#$%^", "!@#$%^&*", "!@#", "!@", "123!@#", "123456a", "123456aa", "qq123456", "asd123",
    "asdf1234", "147258369", "987654321", "112233", "121212", "159753", "5201314",
];

/// Hosts that unrelated sources fetch from and forward to; subdomains count as well.
#[rustfmt::skip]
const HOSTS: &[&str] = &[
    "github.com", "githubusercontent.com", "gitlab.com", "bitbucket.org", "pastebin.com", "transfer.sh",
    "dropbox.com", "discordapp.com", "sourceforge.net", "google.com", "googleapis.com", "gmail.com",
    "yandex.ru", "ya.ru", "mail.ru", "bing.com", "yahoo.com", "aol.com", "live.com", "outlook.com",
    "microsoft.com", "apple.com", "icloud.com", "facebook.com", "instagram.com", "twitter.com",
    "youtube.com", "amazon.com", "amazonaws.com", "cloudflare.com", "paypal.com", "ebay.com", "netflix.com",
    "baidu.com", "qq.com", "ipinfo.io", "ifconfig.me", "icanhazip.com", "api.ipify.org", "ip-api.com",
    "checkip.amazonaws.com", "ident.me", "ip-who.com", "ipecho.net", "httpbin.org", "example.com",
    "debian.org", "ubuntu.com", "centos.org", "kernel.org", "gnu.org",
    "docker.com", "archive.org", "1.1.1.1", "8.8.8.8", "8.8.4.4",
];

/// SHA-256 of the empty file and of a newline.
const NOTHING: [&str; 2] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
];

/// Least share of the sources that try a credential; 0 if it is not a default. For the user names that
/// scanners try first, every password of [`PASSWORDS`] is a default.
pub(super) fn credential(user: &str, password: &str) -> f64 {
    let everybodys = matches!(
        user,
        "root"
            | "admin"
            | "user"
            | "test"
            | "guest"
            | "ubuntu"
            | "support"
            | "oracle"
            | "postgres"
            | "pi"
            | "administrator"
    );
    let is_default = CREDENTIALS.contains(&(user, password))
        || user == password
        || (everybodys && PASSWORDS.contains(&password));
    if is_default { DEFAULT } else { 0.0 }
}

/// Least share of the sources that try two credentials one after the other, given the shares for each.
pub(super) fn order(first: f64, second: f64) -> f64 {
    if first > 0.0 && second > 0.0 { first.min(second) * IN_ORDER / DEFAULT } else { 0.0 }
}

/// Least share of the sources that fetch from a host, or forward to it.
pub(super) fn host(host: &str) -> f64 {
    let is_within =
        |known: &&str| host.strip_suffix(*known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if HOSTS.iter().any(is_within) { WELL_KNOWN } else { 0.0 }
}

/// Whether a file is empty or contains only a newline: such a file does not tie sources.
pub(super) fn is_empty(sha256: &str) -> bool {
    NOTHING.iter().any(|nothing| nothing.eq_ignore_ascii_case(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_well_known_hosts_are_familiar_and_nothing_else_is() {
        assert!(
            [("root", "xc3511"), ("deploy", "deploy"), ("root", "123456"), ("ubnt", "ubnt")]
                .iter()
                .all(|(user, password)| credential(user, password) >= 0.01)
        );
        assert!(
            [("root", "deploy-7"), ("deploy", "123456"), ("", "x")]
                .iter()
                .all(|(user, password)| credential(user, password) == 0.0)
        );
        assert!(host("raw.githubusercontent.com") > 0.0 && host("ya.ru") > 0.0);
        assert!(host("notya.ru") == 0.0 && host("ya.ru.evil.net") == 0.0 && host("") == 0.0);
        assert!(is_empty(NOTHING[0]) && is_empty(&NOTHING[1].to_uppercase()) && !is_empty(""));
    }
}
