//! Classifies programs by what they do with their arguments.

/// How a command's arguments are interpreted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// The next word is a program.
    Awaited,
    Busybox,
    Other,
    Chmod,
    /// Its bare arguments are files.
    Files,
    /// As `Files`; a command follows `-c`.
    Interpreter,
    Web,
    Tftp,
    Account,
    Openssl,
    OpensslPasswd,
    Passwords,
    /// Its quoted argument is a program of its own, whose slashes are not paths.
    Text,
}

impl Program {
    pub(super) fn named(name: &str) -> Self {
        match name.as_bytes() {
            b"busybox" => Self::Busybox,
            b"sudo" | b"nohup" | b"exec" | b"do" | b"then" | b"else" | b"if" | b"elif" | b"while"
            | b"until" | b"time" | b"env" | b"command" | b"setsid" => Self::Awaited,
            b"chmod" => Self::Chmod,
            b"rm" | b"touch" => Self::Files,
            b"sh" | b"bash" | b"ash" | b"dash" | b"perl" | b"python" | b"python2" | b"python3" | b"php" => {
                Self::Interpreter
            }
            b"wget" | b"curl" | b"lwp-download" => Self::Web,
            b"tftp" | b"ftpget" => Self::Tftp,
            b"useradd" | b"usermod" | b"adduser" | b"sshpass" => Self::Account,
            b"openssl" => Self::Openssl,
            b"chpasswd" | b"passwd" => Self::Passwords,
            b"awk" | b"gawk" | b"sed" | b"grep" | b"egrep" => Self::Text,
            _ => Self::Other,
        }
    }
}
