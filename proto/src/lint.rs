//! The rules of buf's category STANDARD (https://buf.build/docs/lint/rules) that names can break, against the
//! compiled files. The rules that a compiler enforces, and those about options of other languages, are left
//! out.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_lower_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('_').all(|word| !word.is_empty())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `JobState` as `JOB_STATE`.
fn upper_snake(name: &str) -> String {
    let spread = name.chars().enumerate().flat_map(|(n, c)| {
        let gap = (n > 0 && c.is_ascii_uppercase()).then_some('_');
        gap.into_iter().chain([c.to_ascii_uppercase()])
    });
    spread.collect()
}

fn lint_enum(one: &EnumDescriptorProto, wrong: &mut Vec<String>) {
    let prefix = upper_snake(one.name()) + "_";
    let zero = one.value.iter().find(|value| value.number() == 0).map_or("", |value| value.name());
    if !is_pascal(one.name()) {
        wrong.push(format!("ENUM_PASCAL_CASE {}", one.name()));
    }
    if one.value.first().map(|value| value.number()) != Some(0) {
        wrong.push(format!("ENUM_FIRST_VALUE_ZERO {}", one.name()));
    }
    if zero != format!("{prefix}UNSPECIFIED") {
        wrong.push(format!("ENUM_ZERO_VALUE_SUFFIX {zero}"));
    }
    for value in &one.value {
        if !value.name().starts_with(&prefix) || value.name() != value.name().to_uppercase() {
            wrong.push(format!("ENUM_VALUE_PREFIX, ENUM_VALUE_UPPER_SNAKE_CASE {}", value.name()));
        }
    }
}

fn lint_message(message: &DescriptorProto, wrong: &mut Vec<String>) {
    let is_map = message.options.as_ref().is_some_and(|options| options.map_entry());
    if !is_pascal(message.name()) && !is_map {
        wrong.push(format!("MESSAGE_PASCAL_CASE {}", message.name()));
    }
    for field in message.field.iter().filter(|field| !is_lower_snake(field.name())) {
        wrong.push(format!("FIELD_LOWER_SNAKE_CASE {}.{}", message.name(), field.name()));
    }
    message.enum_type.iter().for_each(|one| lint_enum(one, wrong));
    message.nested_type.iter().for_each(|one| lint_message(one, wrong));
}

fn lint_service(service: &ServiceDescriptorProto, used: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
    if !service.name().ends_with("Service") || !is_pascal(service.name()) {
        wrong.push(format!("SERVICE_SUFFIX {}", service.name()));
    }
    for rpc in &service.method {
        if !is_pascal(rpc.name()) {
            wrong.push(format!("RPC_PASCAL_CASE {}", rpc.name()));
        }
        for (kind, given) in [("Request", rpc.input_type()), ("Response", rpc.output_type())] {
            let short = given.rsplit('.').next().unwrap_or_default();
            let standard = [rpc.name().to_owned(), service.name().to_owned() + rpc.name()];
            if !standard.iter().any(|name| short == format!("{name}{kind}")) {
                wrong.push(format!(
                    "RPC_REQUEST_STANDARD_NAME, RPC_RESPONSE_STANDARD_NAME {}: {short}",
                    rpc.name()
                ));
            }
            if !used.insert(given.to_owned()) {
                wrong.push(format!("RPC_REQUEST_RESPONSE_UNIQUE {given}"));
            }
        }
    }
}

fn lint_file(file: &FileDescriptorProto, used: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
    let (folder, name) = file.name().rsplit_once('/').unwrap_or_default();
    if folder != file.package().replace('.', "/") {
        wrong.push(format!("PACKAGE_DIRECTORY_MATCH {}", file.name()));
    }
    if !name.strip_suffix(".proto").is_some_and(is_lower_snake) {
        wrong.push(format!("FILE_LOWER_SNAKE_CASE {}", file.name()));
    }
    let version = file.package().rsplit('.').next().and_then(|last| last.strip_prefix('v'));
    if version.is_none_or(|number| number.parse::<u32>().is_err()) {
        wrong.push(format!("PACKAGE_VERSION_SUFFIX {}", file.package()));
    }
    if file.syntax() != "proto3" {
        wrong.push(format!("SYNTAX_SPECIFIED {}", file.name()));
    }
    if !file.public_dependency.is_empty() || !file.weak_dependency.is_empty() {
        wrong.push(format!("IMPORT_NO_PUBLIC, IMPORT_NO_WEAK {}", file.name()));
    }
    file.enum_type.iter().for_each(|one| lint_enum(one, wrong));
    file.message_type.iter().for_each(|one| lint_message(one, wrong));
    file.service.iter().for_each(|one| lint_service(one, used, wrong));
}

fn lint(mut change: impl FnMut(&mut FileDescriptorProto)) -> Vec<String> {
    let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    for mut file in files.file.into_iter().filter(|file| file.package().starts_with("cowrie.")) {
        change(&mut file);
        lint_file(&file, &mut used, &mut wrong);
    }
    wrong
}

#[test]
fn the_files_pass_the_standard_rules() {
    assert_eq!(lint(|_| ()), [""; 0]);
}

#[test]
fn a_broken_rule_is_found() {
    let wrong = lint(|file| {
        for service in &mut file.service {
            service.name = Some("Jobs".into());
            service.method[0].output_type = Some(".cowrie.v1.Job".into());
        }
        for one in &mut file.enum_type {
            one.value[1].name = Some("QUEUED".into());
        }
    });
    for rule in
        ["SERVICE_SUFFIX", "RPC_RESPONSE_STANDARD_NAME", "RPC_REQUEST_RESPONSE_UNIQUE", "ENUM_VALUE_PREFIX"]
    {
        assert!(wrong.iter().any(|line| line.contains(rule)), "{rule}: {wrong:?}");
    }
}
