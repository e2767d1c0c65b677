//! Names that distinguish attacks and are therefore kept.

/// A directory that belongs to the system: a plain name below it is kept.
#[rustfmt::skip]
pub(super) fn is_system_root(first: &str) -> bool {
    matches!(
        first.as_bytes(),
        b"bin" | b"boot" | b"dev" | b"etc" | b"lib" | b"lib64" | b"proc" | b"sbin" | b"selinux" | b"sys" | b"usr"
    )
}

/// A directory that is kept if nothing follows it; `path` has no slash at either end.
#[rustfmt::skip]
pub(super) fn is_directory(path: &str) -> bool {
    matches!(
        path.as_bytes(),
        b"tmp" | b"var" | b"var/run" | b"var/tmp" | b"var/log" | b"var/lib" | b"var/spool" | b"var/cache" | b"var/www" | b"var/www/html" | b"run"
        | b"mnt" | b"root" | b"home" | b"opt" | b"srv" | b"media" | b"dev/shm" | b"data" | b"data/local" | b"data/local/tmp" | b"jffs"
        // Files of a process in /proc.
        | b"exe" | b"maps" | b"cmdline" | b"status" | b"stat" | b"fd" | b"environ" | b"comm" | b"cwd" | b"cgroup" | b"mem"
        // Menus of a router's shell.
        | b"ip" | b"system" | b"interface" | b"user" | b"tool" | b"import" | b"export"
    )
}

/// Names of files and directories that are common on many machines, at any depth and alone.
#[rustfmt::skip]
pub(super) fn is_name(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        b"." | b".." | b".ssh" | b"authorized_keys" | b"authorized_keys2" | b"known_hosts" | b"id_rsa" | b"id_rsa.pub" | b"id_ed25519" | b".profile"
        | b".bashrc" | b".bash_history" | b".bash_profile" | b".zshrc" | b".config" | b".local" | b".cache" | b".aws" | b".gnupg" | b".docker"
        | b".kube" | b".env" | b".git" | b".npm" | b".history" | b".netrc" | b".vnc" | b".viminfo" | b"passwd" | b"shadow" | b"group" | b"hosts"
        | b"hosts.deny" | b"hosts.allow" | b"credentials" | b"config" | b"TelegramDesktop" | b"tdata" | b"share" | b"resolv.conf" | b"rc.local"
        | b"crontab" | b"wtmp" | b"btmp" | b"utmp" | b"lastlog" | b"secure" | b"auth.log" | b"messages" | b"syslog" | b"cron" | b"crontabs"
        | b"smsd.log" | b"sms" | b"qmux_connect_socket" | b"get" | b"null"
    )
}

/// Extensions of scripts, programs, archives and source files.
#[rustfmt::skip]
pub(super) fn is_extension(end: &str) -> bool {
    matches!(
        end.as_bytes(),
        b"sh" | b"pl" | b"py" | b"php" | b"rb" | b"js" | b"jar" | b"bin" | b"elf" | b"exe" | b"out" | b"so" | b"c" | b"tar" | b"gz" | b"tgz" | b"bz2"
        | b"xz" | b"zip" | b"rpm" | b"deb" | b"txt" | b"log" | b"jpg" | b"png" | b"gif" | b"json" | b"conf" | b"tmp" | b"pid" | b"x86" | b"x86_64"
        | b"x64" | b"i386" | b"i486" | b"i586" | b"i686" | b"arm" | b"arm4" | b"arm5" | b"arm6" | b"arm7" | b"armv4l" | b"armv5l" | b"armv6l"
        | b"armv7l" | b"arm4t" | b"arm64" | b"aarch64" | b"mips" | b"mips64" | b"mipsel" | b"mpsl" | b"ppc" | b"powerpc" | b"sh4" | b"m68k" | b"spc"
        | b"sparc" | b"arc" | b"amd64" | b"riscv64"
    )
}

/// Words that look like random names but are not.
#[rustfmt::skip]
pub(super) fn is_word(word: &str) -> bool {
    matches!(
        word.as_bytes(),
        b"md5sum" | b"sha1sum" | b"sha224sum" | b"sha256sum" | b"sha384sum" | b"sha512sum" | b"mdrfckr" | b"devtmpfs" | b"squashfs" | b"kdevtmpfsi"
        | b"lighttpd" | b"vsftpd" | b"c3pool" | b"armv4l" | b"armv5l" | b"armv6l" | b"armv7l" | b"armv8l" | b"armv5tel" | b"x11vnc" | b"p7zip"
        | b"sysfs" | b"xxhsum" | b"nfs4acl" | b"strncmp"
    )
}

/// Applets of busybox. Attackers ask for any other name to test whether this is a real busybox, and invent it
/// for each run.
#[rustfmt::skip]
pub(super) fn is_applet(word: &str) -> bool {
    matches!(
        word.as_bytes(),
        b"sh" | b"ash" | b"hush" | b"wget" | b"tftp" | b"ftpget" | b"ftpput" | b"curl" | b"nc" | b"telnet" | b"telnetd" | b"cat" | b"echo" | b"printf"
        | b"cp" | b"mv" | b"rm" | b"rmdir" | b"mkdir" | b"chmod" | b"chown" | b"ls" | b"ps" | b"kill" | b"killall" | b"killall5" | b"pkill" | b"pgrep"
        | b"pidof" | b"top" | b"dd" | b"df" | b"du" | b"free" | b"uname" | b"uptime" | b"mount" | b"umount" | b"head" | b"tail" | b"grep" | b"egrep"
        | b"fgrep" | b"awk" | b"sed" | b"cut" | b"tr" | b"sort" | b"uniq" | b"wc" | b"xargs" | b"find" | b"which" | b"who" | b"whoami" | b"w" | b"id"
        | b"passwd" | b"chpasswd" | b"adduser" | b"deluser" | b"su" | b"login" | b"crontab" | b"crond" | b"ifconfig" | b"ip" | b"route" | b"netstat"
        | b"iptables" | b"ping" | b"hostname" | b"nslookup" | b"reboot" | b"halt" | b"poweroff" | b"init" | b"sleep" | b"usleep" | b"test" | b"true"
        | b"false" | b"touch" | b"ln" | b"readlink" | b"tar" | b"gunzip" | b"gzip" | b"bunzip2" | b"unzip" | b"vi" | b"hexdump" | b"xxd" | b"od"
        | b"base64" | b"md5sum" | b"sha1sum" | b"sha256sum" | b"env" | b"date" | b"dmesg" | b"lsmod" | b"insmod" | b"rmmod" | b"nohup" | b"watch"
        | b"setsid" | b"start-stop-daemon" | b"httpd" | b"udhcpc" | b"chattr" | b"lsattr" | b"tee" | b"clear" | b"stty" | b"history" | b"pwd"
        | b"arch" | b"nproc"
    )
}
