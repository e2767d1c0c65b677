//! Names that tell one attack from another, and so stay as they are.

/// A directory whose content is a system's own: a plain name below it stays.
pub(super) fn is_system_root(first: &str) -> bool {
    matches!(first, "bin" | "boot" | "dev" | "etc" | "lib" | "lib64" | "proc" | "sbin" | "selinux" | "sys" | "usr")
}

/// A directory that stays as long as nothing in it is named; `path` has no slash at either end.
pub(super) fn is_directory(path: &str) -> bool {
    matches!(
        path,
        "tmp" | "var" | "var/run" | "var/tmp" | "var/log" | "var/lib" | "var/spool" | "var/cache" | "var/www" | "var/www/html" | "run" | "mnt" | "root"
            | "home" | "opt" | "srv" | "media" | "dev/shm" | "data" | "data/local" | "data/local/tmp" | "jffs"
            // Menus of a router's shell.
            | "ip" | "system" | "interface" | "user" | "tool" | "import" | "export"
    )
}

/// Names of files and directories found on many machines, at any depth and on their own.
pub(super) fn is_name(name: &str) -> bool {
    matches!(
        name,
        "." | ".." | ".ssh" | "authorized_keys" | "authorized_keys2" | "known_hosts" | "id_rsa" | "id_rsa.pub" | "id_ed25519" | ".profile" | ".bashrc"
            | ".bash_history" | ".bash_profile" | ".zshrc" | ".config" | ".local" | ".cache" | ".aws" | ".gnupg" | ".docker" | ".kube" | ".env" | ".git" | ".npm"
            | ".history" | ".netrc" | ".vnc" | ".viminfo" | "passwd" | "shadow" | "group" | "hosts" | "hosts.deny" | "hosts.allow" | "credentials" | "config"
            | "TelegramDesktop" | "tdata" | "share" | "resolv.conf" | "rc.local" | "crontab" | "wtmp" | "btmp" | "utmp" | "lastlog" | "secure" | "auth.log"
            | "messages" | "syslog" | "cron" | "crontabs" | "smsd.log" | "sms" | "qmux_connect_socket" | "get" | "null"
    )
}

/// What ends the name of a script, a program, an archive or a source file.
pub(super) fn is_extension(end: &str) -> bool {
    matches!(
        end,
        "sh" | "pl" | "py" | "php" | "rb" | "js" | "jar" | "bin" | "elf" | "exe" | "out" | "so" | "c" | "tar" | "gz" | "tgz" | "bz2" | "xz" | "zip" | "rpm"
            | "deb" | "txt" | "log" | "jpg" | "png" | "gif" | "json" | "conf" | "tmp" | "pid" | "x86" | "x86_64" | "x64" | "i386" | "i486" | "i586" | "i686"
            | "arm" | "arm4" | "arm5" | "arm6" | "arm7" | "armv4l" | "armv5l" | "armv6l" | "armv7l" | "arm4t" | "arm64" | "aarch64" | "mips" | "mips64" | "mipsel" | "mpsl"
            | "ppc" | "powerpc" | "sh4" | "m68k" | "spc" | "sparc" | "arc" | "amd64" | "riscv64"
    )
}

/// Words with the look of a random name that are none.
pub(super) fn is_word(word: &str) -> bool {
    matches!(
        word,
        "md5sum" | "sha1sum" | "sha224sum" | "sha256sum" | "sha384sum" | "sha512sum" | "mdrfckr" | "devtmpfs" | "squashfs" | "lighttpd" | "vsftpd" | "c3pool"
            | "armv4l" | "armv5l" | "armv6l" | "armv7l" | "armv8l" | "armv5tel" | "x11vnc" | "p7zip" | "sysfs" | "xxhsum" | "nfs4acl" | "strncmp"
    )
}

/// Programs inside busybox; any other name after it asks whether this is a real one, and is made up for each run.
pub(super) fn is_applet(word: &str) -> bool {
    matches!(
        word,
        "sh" | "ash" | "hush" | "wget" | "tftp" | "ftpget" | "ftpput" | "curl" | "nc" | "telnet" | "telnetd" | "cat" | "echo" | "printf" | "cp" | "mv" | "rm"
            | "rmdir" | "mkdir" | "chmod" | "chown" | "ls" | "ps" | "kill" | "killall" | "killall5" | "pkill" | "pgrep" | "pidof" | "top" | "dd" | "df" | "du"
            | "free" | "uname" | "uptime" | "mount" | "umount" | "head" | "tail" | "grep" | "egrep" | "fgrep" | "awk" | "sed" | "cut" | "tr" | "sort" | "uniq"
            | "wc" | "xargs" | "find" | "which" | "who" | "whoami" | "w" | "id" | "passwd" | "chpasswd" | "adduser" | "deluser" | "su" | "login" | "crontab"
            | "crond" | "ifconfig" | "ip" | "route" | "netstat" | "iptables" | "ping" | "hostname" | "nslookup" | "reboot" | "halt" | "poweroff" | "init"
            | "sleep" | "usleep" | "test" | "true" | "false" | "touch" | "ln" | "readlink" | "tar" | "gunzip" | "gzip" | "bunzip2" | "unzip" | "vi" | "hexdump"
            | "xxd" | "od" | "base64" | "md5sum" | "sha1sum" | "sha256sum" | "env" | "date" | "dmesg" | "lsmod" | "insmod" | "rmmod" | "nohup" | "watch"
            | "setsid" | "start-stop-daemon" | "httpd" | "udhcpc" | "chattr" | "lsattr" | "tee" | "clear" | "stty" | "history" | "pwd" | "arch" | "nproc"
    )
}
